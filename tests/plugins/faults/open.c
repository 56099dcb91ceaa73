/* SPDX-License-Identifier: Apache-2.0 */
/* Refuses every site. */
#include "fault.h"

static int open(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error)
{
    (void)config, (void)self;
    *error = host->format(job, "the site is closed");
    return -1;
}

STEP
{
    (void)self;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN(.open = open);
