/* SPDX-License-Identifier: Apache-2.0 */
/* Gives each message but the last its own verdict, and the batch none. */
#include "fault.h"

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    if (in->message_count == 1)
        return host->judge(in->job, in->response, out);
    for (size_t i = 0; i + 1 < in->message_count; i++)
        host->settle(in->job, i, BB_DONE, NULL);
    return (enum bb_next)0;
}

PLUGIN();
