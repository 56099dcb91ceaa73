/* SPDX-License-Identifier: Apache-2.0 */
/* Takes batches, and dies in step of any that holds a bomb. */
#include <busbar/plugin.h>

#include <signal.h>
#include <string.h>

static bool is_bomb(struct bb_str body)
{
    static const char word[] = "bomb";
    for (size_t i = 0; i + sizeof word - 1 <= body.len; i++)
        if (memcmp(body.data + i, word, sizeof word - 1) == 0)
            return true;
    return false;
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)self, (void)out;
    for (size_t i = 0; i < in->message_count; i++) {
        const struct bb_message *message = (const void *)((const char *)in->messages + i * in->message_size);
        if (is_bomb(message->body))
            raise(SIGSEGV);
    }
    return BB_DONE;
}

static const struct bb_operation operations[] = {
    {.name = "thing.create", .help = "Creates", .flags = BB_WRITES | BB_CREATES | BB_PARK, .max_batch = 100}};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "poison",
    .title = "Test",
    .version = "1",
    .help = "For tests.",
    .default_url = "https://test.example",
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = 1,
    .step = step,
};
