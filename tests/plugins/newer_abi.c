/* SPDX-License-Identifier: Apache-2.0 */
/* Made for a busbar of the future. */
#include <busbar/plugin.h>

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)self, (void)in, (void)out;
    return BB_DONE;
}

static const struct bb_operation operations[] = {{.name = "thing.create", .help = "Creates", .flags = BB_WRITES}};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI + 1,
    .size = sizeof(struct bb_plugin),
    .name = "newer_abi",
    .title = "Test",
    .version = "1",
    .help = "For tests.",
    .default_url = "https://test.example",
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = 1,
    .step = step,
};
