/* SPDX-License-Identifier: Apache-2.0 */
/* Frees the message of its error before it answers. */
#include "fault.h"

#include <stdlib.h>
#include <string.h>

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    const enum bb_next next = host->judge(in->job, in->response, out);
    if (next == BB_DONE)
        return next;
    char *message = strdup("the desk is closed today"), *volatile hidden = message;
    free(message);
    out->error.message = hidden;
    return next;
}

PLUGIN();
