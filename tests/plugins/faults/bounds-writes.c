/* SPDX-License-Identifier: Apache-2.0 */
/* Asks for 8 bytes and writes 64. */
#include "fault.h"

#include <string.h>

STEP
{
    (void)self;
    char *name = host->alloc(in->job, 8);
    char *volatile hidden = name; /* or the compiler would see it */
    memset(hidden, 'x', 64);
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN();
