/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts the message of an error in the middle of a character. */
#include "fault.h"

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    const enum bb_next next = host->judge(in->job, in->response, out);
    if (next != BB_DONE)
        out->error.message = host->format(in->job, "%.2s", "2°C");
    return next;
}

PLUGIN();
