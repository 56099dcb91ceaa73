/* SPDX-License-Identifier: Apache-2.0 */
/* Answers a path that lives on its own stack. */
#include "fault.h"

#include <stdio.h>

STEP
{
    (void)self;
    char path[40];
    if (in->response)
        return host->judge(in->job, in->response, out);
    send_body(in, out);
    snprintf(path, sizeof path, "/things?at=%lld", (long long)in->now_ms);
    const char *volatile hidden = path; /* or the compiler would see it */
    out->request.path = hidden;
    return BB_SEND;
}

PLUGIN();
