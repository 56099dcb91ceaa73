/* SPDX-License-Identifier: Apache-2.0 */
/* Sends a body that is longer than memory. */
#include "fault.h"

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    send_body(in, out);
    out->request.body = (struct bb_str){"abc", (size_t)-1};
    return BB_SEND;
}

PLUGIN();
