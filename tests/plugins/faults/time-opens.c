/* SPDX-License-Identifier: Apache-2.0 */
/* Computes without end before it is open. */
#include "fault.h"

static int open_never(const struct bb_host *host, struct bb_job *job, const void *config, void **self,
                      const char **error)
{
    (void)host, (void)job, (void)config, (void)self, (void)error;
    for (volatile unsigned i = 1; i != 0; i += 2)
        ;
    return 0;
}

STEP
{
    (void)self;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN(.open = open_never, );
