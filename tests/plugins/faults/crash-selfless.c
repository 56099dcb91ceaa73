/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, and has nothing to show for it. */
#include "fault.h"

struct config {
    const char *site;
};
static const struct bb_option options[] = {{"site", BB_STRING, offsetof(struct config, site), "main", 0, "the site"}};

static int open_none(const struct bb_host *host, struct bb_job *job, const void *config, void **self,
                     const char **error)
{
    (void)host, (void)job, (void)config, (void)self, (void)error;
    return 0;
}

STEP
{
    const struct config *volatile config = self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    send_body(in, out);
    out->request.path = host->format(in->job, "/%s", config->site);
    return BB_SEND;
}

PLUGIN(.config_size = sizeof(struct config), .options = options, .option_size = sizeof options[0], .option_count = 1,
       .open = open_none, );
