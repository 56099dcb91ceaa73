/* SPDX-License-Identifier: Apache-2.0 */
/* An option that lies outside the config struct. */
#include "fault.h"

struct config {
    const char *site;
};
static const struct bb_option options[] = {
    {"site", BB_STRING, offsetof(struct config, site), NULL, 0, "the site"},
    {"floor", BB_INT, sizeof(struct config), "0", 0, "the floor"},
};

STEP
{
    (void)self;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN(.config_size = sizeof(struct config), .options = options, .option_size = sizeof options[0], .option_count = 2);
