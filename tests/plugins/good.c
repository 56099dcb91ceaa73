/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that keeps all rules: one option of each type, operations, webhooks, poll. */
#include <busbar/plugin.h>

#include <string.h>

struct config {
    const char *site;
    bool fast;
    int64_t floor;
    double factor;
    int64_t patience_ms;
    const char *codes; /* JSON */
};

static const struct bb_option options[] = {
    {"api_key", BB_SECRET, 0, NULL, BB_REQUIRED, "the key"},
    {"site", BB_STRING, offsetof(struct config, site), NULL, BB_REQUIRED, "name of the site"},
    {"fast", BB_BOOL, offsetof(struct config, fast), "true", 0, "skip what may be skipped"},
    {"floor", BB_INT, offsetof(struct config, floor), "-3", 0, "lowest floor"},
    {"factor", BB_NUMBER, offsetof(struct config, factor), "1.5", 0, "a factor"},
    {"patience", BB_DURATION, offsetof(struct config, patience_ms), "15m", 0, "how long"},
    {"codes", BB_JSON, offsetof(struct config, codes), "{\"a\":1}", 0, "codes"},
};

static const struct bb_operation operations[] = {
    {.name = "thing.create",
     .help = "Creates a thing",
     .flags = BB_WRITES | BB_CREATES | BB_CAN_LOOKUP,
     .default_cooldown_ms = 3600000,
     .default_budget = "24/1d",
     .budget_pointer = "/plan"},
    {.name = "thing.count",
     .help = "Sets counts",
     .flags = BB_WRITES | BB_IDEMPOTENT,
     .max_batch = 100,
     .coalesce = "/id"},
    {.name = "site.read", .help = "Reads the site", .flags = BB_AT_START},
};

static int good_open(const struct bb_host *host, struct bb_job *job, const void *config, void **self,
                     const char **error)
{
    const struct config *c = config;
    *self = (void *)(uintptr_t)config;
    if (strcmp(c->site, "nowhere") != 0)
        return 0;
    *error = host->format(job, "there is no site %s", c->site);
    return -1;
}

static const char *good_check(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                              struct bb_str body)
{
    (void)host, (void)job, (void)self, (void)operation;
    return memchr(body.data, '[', body.len) ? "a body is no list" : NULL;
}

static enum bb_next good_step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    if (in->response) {
        host->note_put(in->job, "last", in->operation);
        out->source_work_order_id = "77";
        return host->judge(in->job, in->response, out);
    }
    if (in->uncertain && !*in->state) {
        *in->state = host->alloc(in->job, 1);
        out->request.method = "GET";
        out->request.path = host->format(in->job, "/things?marker=%s", in->messages[0].id);
        out->request.cache_ms = 60000;
        return BB_SEND;
    }
    out->request.method = in->message_count ? "POST" : "GET";
    out->request.path = "/things";
    if (in->message_count)
        out->request.body = in->messages[0].body;
    return BB_SEND;
}

static enum bb_next good_decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self, (void)out;
    const char *name = host->format(in->job, "%.*s", (int)in->messages[0].event.len, in->messages[0].event.data);
    struct bb_work_order order = {.source_work_order_id = "77", .source_status = name, .common_status = "completed"};
    struct bb_event event = {.size = sizeof event,
                             .type = "work_order.completed",
                             .name = name,
                             .work_order = &order,
                             .raw = in->messages[0].body};
    host->emit(in->job, &event);
    return BB_DONE;
}

static const struct bb_mapping statuses[] = {{"open", "requested"}, {"done", "completed"}, {"over", "completed"}};

static const char *const dedup[] = {"/id", NULL};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "good",
    .title = "Good",
    .version = "1.2",
    .help = "Does nothing, well.",
    .default_url = "https://good.example/base/",
    .config_size = sizeof(struct config),
    .options = options,
    .option_size = sizeof options[0],
    .option_count = sizeof options / sizeof options[0],
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = sizeof operations / sizeof operations[0],
    .auth = {BB_AUTH_HEADER, "Api-Key", "api_key", NULL},
    .hook = {.event_pointer = "/event",
             .dedup_pointers = dedup,
             .dedup_required = "/id",
             .signature = {.header = "X-Sign", .sign_key = "sha256=", .signed_string = "{body}"}},
    .open = good_open,
    .check = good_check,
    .step = good_step,
    .decode = good_decode,
    .user_agent_option = "site",
    .statuses = statuses,
    .status_count = sizeof statuses / sizeof statuses[0],
};
