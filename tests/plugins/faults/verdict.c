/* SPDX-License-Identifier: Apache-2.0 */
/* Forgot the redirects: none of the cases is a 3xx. */
#include "fault.h"

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    if (in->response->status < 300 || in->response->status >= 400)
        return host->judge(in->job, in->response, out);
    return (enum bb_next)0;
}

PLUGIN();
