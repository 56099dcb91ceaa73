/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, and closes nothing. */
#include "fault.h"

#include <stdlib.h>

static int open(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error)
{
    (void)host, (void)job, (void)config, (void)error;
    *self = calloc(1, 64);
    return 0;
}

STEP
{
    (void)self;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN(.open = open);
