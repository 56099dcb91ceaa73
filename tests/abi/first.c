/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin of the first days, that uses all that header 1.0 has. It is built with every build, and first-x86_64.so is
 * the same built once, by tests/abi/build-first: both must load, keep the rules and hold the conversations of
 * first.case in every busbar whose ABI is 1. Neither is ever changed. */
#include "plugin-1.h"

#include <stdlib.h>
#include <string.h>

struct config {
    const char *site;
    bool strict;
    int64_t floor;
    double factor;
    int64_t patience_ms;
    const char *extra; /* JSON */
};

struct instance {
    const struct config *config;
    char *site; /* its own copy */
};

static const struct bb_option options[] = {
    {"key", BB_SECRET, 0, NULL, BB_REQUIRED, "the key"},
    {"site", BB_STRING, offsetof(struct config, site), "main", 0, "the site"},
    {"strict", BB_BOOL, offsetof(struct config, strict), "false", 0, "no polls"},
    {"floor", BB_INT, offsetof(struct config, floor), "0", 0, "lowest floor"},
    {"factor", BB_NUMBER, offsetof(struct config, factor), "1.5", 0, "a factor"},
    {"patience", BB_DURATION, offsetof(struct config, patience_ms), "15m", 0, "how long to wait when asked to"},
    {"extra", BB_JSON, offsetof(struct config, extra), "{}", 0, "sent along"},
};

static const struct bb_operation operations[] = {
    {.name = "order.create",
     .help = "Creates an order of a body",
     .flags = BB_WRITES | BB_CREATES | BB_CAN_LOOKUP | BB_WORK_ORDER,
     .max_batch = 1,
     .default_cooldown_ms = 3600000,
     .default_budget = "24/1d",
     .budget_pointer = "/plan"},
    {.name = "order.close",
     .help = "Closes an order",
     .flags = BB_WRITES | BB_IDEMPOTENT | BB_WORK_ORDER,
     .max_batch = 1,
     .order_pointer = "/order",
     .moves_to = "completed"},
    {.name = "count.set", .help = "Sets counts", .flags = BB_WRITES | BB_IDEMPOTENT, .max_batch = 50, .coalesce = "/id"},
    {.name = "site.read", .help = "Reads the site", .flags = BB_AT_START, .max_batch = 1},
};

static const struct bb_mapping statuses[] = {{"open", "requested"}, {"over", "completed"}};
static const struct bb_mapping priorities[] = {{"1", "critical"}, {"4", "low"}};
static const char *const dedup[] = {"/id", NULL};

static int first_open(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error)
{
    const struct config *given = config;
    if (strcmp(given->site, "nowhere") == 0) {
        *error = host->format(job, "there is no site %s", given->site);
        return -1;
    }
    struct instance *instance = calloc(1, sizeof *instance);
    *self = instance;
    instance->config = given;
    instance->site = strdup(given->site);
    return 0;
}

static void first_close(void *self)
{
    struct instance *instance = self;
    free(instance->site);
    free(instance);
}

static void first_describe(void *self, struct bb_description *description)
{
    const struct instance *instance = self;
    if (instance->config->strict)
        description->poll_ms = 0;
}

static const char *first_check(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                               struct bb_str body)
{
    (void)self;
    return body.len && body.data[0] == '[' ? host->format(job, "%s takes no list", operation) : NULL;
}

static const struct bb_message *message_at(const struct bb_in *in, size_t i)
{
    return (const void *)((const char *)in->messages + i * in->message_size);
}

static enum bb_next ask(const struct bb_host *host, const struct instance *instance, const struct bb_in *in,
                        struct bb_out *out)
{
    const char *site = host->path_segment(in->job, (struct bb_str){instance->site, strlen(instance->site)});
    *in->state = host->alloc(in->job, 1);
    if (in->message_count == 0) {
        out->request = (struct bb_request){.method = "GET", .path = host->format(in->job, "/sites/%s", site)};
    } else if (in->uncertain) {
        out->request = (struct bb_request){
            .method = "GET",
            .path = host->format(in->job, "/sites/%s/orders?mark=%s", site, message_at(in, 0)->id),
            .cache_ms = 1000};
    } else {
        struct bb_header *header = host->alloc(in->job, sizeof *header);
        const char *word = host->source_word(in->job, BB_PRIORITIES, "low");
        *header = (struct bb_header){"X-Priority", {word ? word : "none", strlen(word ? word : "none")}};
        const char *order = message_at(in, 0)->source_work_order_id;
        out->request = (struct bb_request){
            .method = "POST",
            .path = host->format(in->job, "/sites/%s/%s%s%s?n=%zu", site, in->operation, order ? "/" : "",
                                 order ? host->path_segment(in->job, (struct bb_str){order, strlen(order)}) : "",
                                 in->message_count),
            .body = message_at(in, 0)->body,
            .headers = header,
            .header_count = 1};
    }
    host->log(in->job, BB_LOG_DEBUG, "asked");
    host->count(in->job, "asked", 1);
    return BB_SEND;
}

static enum bb_next first_step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct instance *instance = self;
    if (!in->response)
        return ask(host, instance, in, out);
    const enum bb_next next = host->judge(in->job, in->response, out);
    if (in->response->status == 429)
        out->retry_after_ms = instance->config->patience_ms;
    if (next == BB_DONE && in->message_count == 1) {
        out->source_work_order_id = "77";
        out->asset_ref = host->common_word(in->job, BB_STATUSES, "over");
        host->note_put(in->job, "last", message_at(in, 0)->id);
    }
    if (next == BB_REJECT && in->message_count > 1) { /* the first is at fault, the others go again */
        host->settle(in->job, 0, BB_REJECT, &out->error);
        out->error = (struct bb_error){
            .error_class = BB_PROVIDER_UNAVAILABLE, .code = "again", .message = "another of the batch was refused"};
        return BB_RETRY;
    }
    return next;
}

static enum bb_next first_decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self, (void)out;
    const struct bb_message *message = message_at(in, 0);
    const struct bb_work_order order = {.source_work_order_id = "77", .source_status = "over", .source_priority = "1"};
    const struct bb_event event = {.size = sizeof event,
                                   .type = "work_order.completed",
                                   .name = host->format(in->job, "%.*s", (int)message->event.len, message->event.data),
                                   .dedup_id = "d-1",
                                   .occurred_ms = host->now_ms(in->job),
                                   .work_order = &order,
                                   .raw = message->body};
    host->emit(in->job, &event);
    return BB_DONE;
}

static enum bb_next first_poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    const char *last = host->note_get(in->job, "last");
    out->request = (struct bb_request){.method = "GET", .path = last ? "/news?known=1" : "/news"};
    return BB_SEND;
}

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "first",
    .title = "First",
    .version = "1.0",
    .help = "All of header 1.0.",
    .default_url = "https://first.example",
    .config_size = sizeof(struct config),
    .options = options,
    .option_size = sizeof options[0],
    .option_count = sizeof options / sizeof options[0],
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = sizeof operations / sizeof operations[0],
    .auth = {BB_AUTH_HEADER, "Api-Key", "key", NULL},
    .hook = {.event_pointer = "/event",
             .dedup_pointers = dedup,
             .dedup_required = "/id",
             .signature = {.header = "X-Sign", .sign_key = "sha256=", .signed_string = "{body}"}},
    .open = first_open,
    .close = first_close,
    .check = first_check,
    .step = first_step,
    .decode = first_decode,
    .poll = first_poll,
    .poll_ms = 60000,
    .user_agent_option = "site",
    .statuses = statuses,
    .status_count = sizeof statuses / sizeof statuses[0],
    .priorities = priorities,
    .priority_count = sizeof priorities / sizeof priorities[0],
    .describe = first_describe,
};
