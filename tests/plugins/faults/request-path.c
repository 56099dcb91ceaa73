/* SPDX-License-Identifier: Apache-2.0 */
/* A path without a slash in front. */
#include "fault.h"

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    send_body(in, out);
    out->request.path = "things";
    return BB_SEND;
}

PLUGIN();
