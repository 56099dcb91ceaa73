/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for an answer that is none of an overload's. */
#include "fault.h"

STEP
{
    (void)self;
    volatile bool waiting = in->response && in->response->status == 503;
    while (waiting)
        ;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN();
