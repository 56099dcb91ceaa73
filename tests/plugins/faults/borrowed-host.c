/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to the table of the host's functions. */
#include "fault.h"

STEP
{
    (void)self;
    struct bb_host *mine = (struct bb_host *)(uintptr_t)host;
    mine->size = 8;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN();
