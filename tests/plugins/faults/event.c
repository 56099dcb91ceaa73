/* SPDX-License-Identifier: Apache-2.0 */
/* Emits an event that has neither type nor name. */
#include "fault.h"

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    const struct bb_event event = {.size = sizeof event, .dedup_id = "1"};
    host->emit(in->job, &event);
    return host->judge(in->job, in->response, out);
}

PLUGIN();
