/* SPDX-License-Identifier: Apache-2.0 */
/* The generic target: what it can be asked for, and how, is all settings. */
#include "http.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct ht_config, member)

static const struct bb_option options[] = {
    {"operations", BB_JSON, AT(operations), "{}", 0, "What routes can name: {work_order.create: {path: /orders, ...}}"},
    {"record", BB_JSON, AT(record), "{}", 0,
     "Where a work order tells what, by JSON Pointers: {id: /id, status: /status, ...}"},
    {"answers", BB_JSON, AT(answers), "{}", 0, "Where an answer tells its error: {error: /error, code:, message:}"},
    {"errors", BB_JSON, AT(errors), "{}", 0, "What a status or an error's code means: {409: conflict}"},
    {"headers", BB_JSON, AT(headers), "{}", 0, "Headers of every request, no secrets: {Accept: application/json}"},
    {"webhook", BB_JSON, AT(webhook), NULL, 0, "What its webhooks are like: {event: /type, at: /data, ...}"},
    {"poll_orders", BB_JSON, AT(poll_orders), NULL, 0, "How to ask what changed: {path:, query:, items: /items, ...}"},
};

static void close_target(void *data)
{
    struct ht_self *self = data;
    if (!self)
        return;
    struct json_object *const all[] = {self->operations, self->record,  self->answers,    self->errors,
                                       self->headers,    self->webhook, self->poll_orders};
    for (size_t i = 0; i < PL_COUNT(all); i++)
        json_object_put(all[i]);
    free(self->table);
    free(self->dedup);
    free(self);
}

#define EVENT "/event"

static const char *event_pointer(const struct ht_self *self)
{
    struct json_object *event = pl_member(self->webhook, "event");
    return event ? json_object_get_string(event) : EVENT;
}

/* The event's name is a part of what it is: the first, then what the settings say. */
static void make_dedup(struct ht_self *self)
{
    struct json_object *list = pl_member(self->webhook, "dedup");
    const size_t count = list ? json_object_array_length(list) : 0;
    self->dedup = count ? calloc(count + 2, sizeof *self->dedup) : NULL;
    if (self->dedup)
        self->dedup[0] = event_pointer(self);
    for (size_t i = 0; self->dedup && i < count; i++)
        self->dedup[i + 1] = json_object_get_string(json_object_array_get_idx(list, i));
}

static int open_target(const struct bb_host *host, struct bb_job *job, const void *data, void **out, const char **error)
{
    const struct ht_config *config = data;
    struct ht_self *self = calloc(1, sizeof *self);
    struct pl_faults faults = {.host = host, .job = job};
    if (!self) {
        *error = "out of memory";
        return -1;
    }
    self->operations = pl_parse_text(config->operations);
    self->record = pl_parse_text(config->record);
    self->answers = pl_parse_text(config->answers);
    self->errors = pl_parse_text(config->errors);
    self->headers = pl_parse_text(config->headers);
    self->webhook = pl_parse_text(config->webhook);
    self->poll_orders = pl_parse_text(config->poll_orders);
    const struct ht_call call = {.host = host, .job = job, .self = self};
    ht_check_settings(&call, &faults);
    if (faults.count > 0) {
        *error = faults.text;
        close_target(self);
        return -1;
    }
    ht_make_operations(self);
    make_dedup(self);
    *out = self;
    return 0;
}

#define POLL_MS 60000

/* How its webhooks are signed is the target's `webhook_signature`. */
static void describe(void *data, struct bb_description *description)
{
    const struct ht_self *self = data;
    description->operations = self->table;
    description->operation_size = sizeof *self->table;
    description->operation_count = self->count;
    description->hook = (struct bb_hook){.event_pointer = self->webhook ? event_pointer(self) : NULL,
                                         .dedup_pointers = self->dedup,
                                         .dedup_required = self->dedup ? self->dedup[1] : NULL};
    description->poll_ms = self->poll_orders ? POLL_MS : 0;
}

static const char *check(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                         struct bb_str body)
{
    const struct ht_call call = {.host = host, .job = job, .self = self};
    return ht_check_body(&call, operation, body);
}

static struct ht_state *state_of(const struct bb_host *host, const struct bb_in *in)
{
    if (!*in->state)
        *in->state = host->alloc(in->job, sizeof(struct ht_state));
    return *in->state;
}

static bool writes(const struct ht_self *self, const char *operation)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->table[i].name, operation) == 0)
            return self->table[i].flags & BB_WRITES;
    return false;
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct ht_call call = {host, in->job, self, in, out, state_of(host, in)};
    if (!ht_operation(&call))
        return pl_fail(out, BB_REJECT, BB_VALIDATION, "unknown_operation", "the settings have no such operation");
    return writes(self, in->operation) ? ht_write(&call) : ht_read(&call);
}

static enum bb_next poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct ht_call call = {host, in->job, self, in, out, state_of(host, in)};
    return ht_poll(&call);
}

static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct ht_call call = {host, in->job, self, in, out, NULL};
    return ht_decode(&call);
}

extern BB_EXPORT const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "http",
    .title = "Any HTTP API",
    .version = "0.1.0",
    .help = "Speaks to a system that speaks JSON over HTTP, by settings alone: requests with placeholders, what "
            "answers mean, a lookup that keeps an order from being made twice, webhooks and a poll.",
    .config_size = sizeof(struct ht_config),
    .options = BB_ITEMS(options),
    .open = open_target,
    .close = close_target,
    .check = check,
    .step = step,
    .decode = decode,
    .poll = poll,
    .describe = describe,
};
