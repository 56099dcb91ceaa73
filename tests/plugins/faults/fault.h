/* What the broken plugins share. Each breaks one rule of include/busbar/ABI.md: the one that its file is named after,
 * up to a '-'. Otherwise they are sound: an operation that sends what it was given and judges the answer. */
#ifndef FAULT_H
#define FAULT_H

#include <busbar/plugin.h>

static const struct bb_operation operations[] = {
    {.name = "thing.create", .help = "Creates", .flags = BB_WRITES | BB_CREATES, .max_batch = 10}};

static inline enum bb_next send_body(const struct bb_in *in, struct bb_out *out)
{
    out->request = (struct bb_request){.method = "POST", .path = "/things", .body = in->messages[0].body};
    return BB_SEND;
}

static inline enum bb_next reject(struct bb_out *out, enum bb_class error_class, const char *code, const char *message)
{
    out->error = (struct bb_error){.error_class = error_class, .code = code, .message = message};
    return BB_REJECT;
}

#define STEP \
    static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)

/* Members beside these may be given. */
#define PLUGIN(...)                                                                 \
    BB_EXPORT extern const struct bb_plugin busbar_plugin;                          \
    const struct bb_plugin busbar_plugin = {.magic = BB_MAGIC,                      \
                                            .abi = BB_ABI,                          \
                                            .size = sizeof(struct bb_plugin),       \
                                            .name = "fault",                        \
                                            .title = "Fault",                       \
                                            .version = "1",                         \
                                            .help = "Broken on purpose.",           \
                                            .default_url = "https://fault.example", \
                                            .operations = operations,               \
                                            .operation_size = sizeof operations[0], \
                                            .operation_count = 1,                   \
                                            .step = step,                           \
                                            __VA_ARGS__}

#endif
