/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that keeps all rules, and reads each byte of a batch twice, as one does that parses its JSON. */
#include <busbar/plugin.h>

#define READS 2

static const struct bb_operation operations[] = {
    {.name = "thing.count", .help = "Sets counts", .flags = BB_WRITES | BB_IDEMPOTENT, .max_batch = 100}};

static void parse(struct bb_str text)
{
    volatile unsigned sum = 0;
    for (size_t i = 0; i < READS * text.len; i++)
        sum = sum * 31 + (unsigned char)text.data[i % text.len];
}

static enum bb_next parser_step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    for (size_t i = 0; i < in->message_count; i++) {
        const struct bb_message *message = (const void *)((const char *)in->messages + i * in->message_size);
        parse(message->body);
    }
    out->request = (struct bb_request){.method = "POST", .path = "/things", .body = {"{}", 2}};
    return BB_SEND;
}

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "parser",
    .title = "Parser",
    .version = "1",
    .help = "Parses what it sends.",
    .default_url = "https://parser.example",
    .operations = BB_ITEMS(operations),
    .step = parser_step,
};
