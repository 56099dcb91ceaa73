/* SPDX-License-Identifier: Apache-2.0 */
/* Blanks the first byte of a body in place. */
#include "fault.h"

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    *(char *)(uintptr_t)in->messages[0].body.data = ' ';
    return send_body(in, out);
}

PLUGIN();
