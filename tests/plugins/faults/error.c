/* SPDX-License-Identifier: Apache-2.0 */
/* Rejects, and does not say why. */
#include "fault.h"

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    if (in->response->status == 400)
        return reject(out, BB_CLASS_NONE, "bad", "it is bad");
    return host->judge(in->job, in->response, out);
}

PLUGIN();
