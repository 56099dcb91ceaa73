/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin compiled against the frozen header, plugin-1.h. Its descriptor, options and operations are cut short
 * besides, as if they were older still: what is missing must read as zero. */
#include "plugin-1.h"

struct config {
    const char *greeting;
};

struct short_option {
    const char *name;
    enum bb_option_type type;
    size_t offset;
};

struct short_operation {
    const char *name, *help;
    unsigned flags;
};

static const struct short_option options[] = {{"greeting", BB_STRING, offsetof(struct config, greeting)},
                                              {"token", BB_SECRET, 0}};
static const struct short_operation operations[] = {{"word.say", "Says a word", BB_WRITES},
                                                    {"word.ask", "Asks for a word", 0}};

static int old_open(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error)
{
    (void)error;
    const char **greeting = host->alloc(job, sizeof *greeting);
    *greeting = ((const struct config *)config)->greeting;
    *self = (void *)(uintptr_t)config;
    return 0;
}

static enum bb_next old_step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    if (in->response)
        return host->judge(in->job, in->response, out);
    const struct config *config = self;
    out->request.method = "PUT";
    out->request.path = host->format(in->job, "/words/%s", config->greeting ? config->greeting : "none");
    out->request.body = in->message_count ? in->messages->body : (struct bb_str){"{}", 2};
    return BB_SEND;
}

/* Where step ends, this descriptor ends. */
struct short_plugin {
    uint32_t magic, abi;
    size_t size;
    const char *name, *title, *version, *help, *default_url;
    size_t config_size;
    const void *options;
    size_t option_size, option_count;
    const void *operations;
    size_t operation_size, operation_count;
    struct bb_auth auth;
    struct bb_hook hook;
    int (*open)(const struct bb_host *, struct bb_job *, const void *, void **, const char **);
    void (*close)(void *);
    const char *(*check)(const struct bb_host *, struct bb_job *, void *, const char *, struct bb_str);
    enum bb_next (*step)(const struct bb_host *, void *, const struct bb_in *, struct bb_out *);
};
_Static_assert(sizeof(struct short_plugin) == offsetof(struct bb_plugin, decode), "the same shape, shorter");

/* What the linker puts behind it must not be taken for decode and poll. */
BB_EXPORT const struct {
    struct short_plugin plugin;
    size_t junk[8];
} busbar_plugin = {{.magic = BB_MAGIC,
                    .abi = 1,
                    .size = sizeof(struct short_plugin),
                    .name = "old_plugin",
                    .title = "Old",
                    .version = "0.1",
                    .help = "From the first days.",
                    .default_url = "https://old.example",
                    .config_size = sizeof(struct config),
                    .options = options,
                    .option_size = sizeof options[0],
                    .option_count = 2,
                    .operations = operations,
                    .operation_size = sizeof operations[0],
                    .operation_count = 2,
                    .auth = {BB_AUTH_BEARER, NULL, "token", NULL},
                    .open = old_open,
                    .step = old_step},
                   {1, 2, 3, 4, 5, 6, 7, 8}};
