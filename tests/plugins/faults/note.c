/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a note without a key. */
#include "fault.h"

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    host->note_put(in->job, "", "1");
    return host->judge(in->job, in->response, out);
}

PLUGIN();
