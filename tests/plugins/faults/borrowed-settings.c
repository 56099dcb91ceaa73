/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a setting, which other calls have read. */
#include "fault.h"

struct config {
    const char *site;
};
static const struct bb_option options[] = {{"site", BB_STRING, offsetof(struct config, site), "main", 0, "the site"}};

STEP
{
    struct config *config = self;
    config->site = "other";
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN(.config_size = sizeof(struct config), .options = options, .option_size = sizeof options[0], .option_count = 1, );
