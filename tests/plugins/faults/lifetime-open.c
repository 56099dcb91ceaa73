/* SPDX-License-Identifier: Apache-2.0 */
/* Says why it does not open in a text of its own stack. */
#include "fault.h"

#include <stdio.h>

static int open_not(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error)
{
    (void)host, (void)job, (void)config, (void)self;
    char text[40];
    snprintf(text, sizeof text, "the site is closed, %d", 1);
    const char *volatile hidden = text; /* or the compiler would see it */
    *error = hidden;
    return -1;
}

STEP
{
    (void)self;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN(.open = open_not, );
