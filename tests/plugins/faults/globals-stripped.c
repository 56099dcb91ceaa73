/* SPDX-License-Identifier: Apache-2.0 */
/* The same as globals.c, linked without a symbol table: only its behaviour tells. */
#include "fault.h"

struct config {
    int64_t floor;
};
static const struct bb_option options[] = {{"floor", BB_INT, offsetof(struct config, floor), "0", 0, "the floor"}};
static const struct config *the_config;

static int open(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error)
{
    (void)host, (void)job, (void)self, (void)error;
    the_config = config;
    return 0;
}

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    out->request.method = "POST";
    out->request.path = host->format(in->job, "/floors/%lld", (long long)the_config->floor);
    return BB_SEND;
}

PLUGIN(.config_size = sizeof(struct config), .options = options, .option_size = sizeof options[0], .option_count = 1,
       .open = open);
