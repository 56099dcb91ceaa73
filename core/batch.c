/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: which deliveries may share a request, and what the store knows of one.
 *
 * What may share is a group of the queue: deliveries of one operation whose routes say the same of `batch` and
 * `on_uncertain`, that were never tried. What was tried goes again as it was: with its batch, whose composition was
 * committed with the count of its first attempt, or alone. So a request whose answer was lost is repeated byte by byte,
 * also by the next process.
 *
 * Where the operation names what of the body coalesces, the older of several are merged into the newest in the
 * transaction that freezes its batch: they are over, and the newest carries what was owed. Two values are equal when
 * their JSON is, whatever the order of members and the space between them; nothing is inferred, so a part that is
 * written in two ways has two keys, and both go, in their order. */
#include "dispatch_private.h"
#include "json.h"
#include "loader.h"
#include "log.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define WINDOWS_A_BATCH \
    4 /* so that a lane's many values are seen together, and one batch can fill while another goes */

struct batch_rule {
    const char *operation, *route; /* route "": of any that has no rule */
    const char *coalesce;          /* or NULL */
    struct queue_group *group;     /* NULL: each goes alone */
};

/* ---- who may share */

static int by_name(const void *left, const void *right)
{
    const struct batch_rule *a = left, *b = right;
    int order = strcmp(a->operation, b->operation);
    return order != 0 ? order : strcmp(a->route, b->route);
}

static void add_rule(struct slot *slot, size_t *cap, const struct bb_operation *operation,
                     const struct config_route *route)
{
    int64_t max = operation->max_batch, wait_ms = 0;
    if (route != NULL && route->batch.max > 0 && route->batch.max < max)
        max = route->batch.max;
    if (route != NULL && route->batch.wait_ms > 0)
        wait_ms = route->batch.wait_ms;
    struct batch_rule rule = {
        .operation = operation->name, .route = route != NULL ? route->name : "", .coalesce = operation->coalesce};
    if (max > 1) {
        int on_uncertain = route != NULL ? (int)route->on_uncertain : 0; /* parked as a whole, or not at all */
        rule.group = queue_group(slot->out.queue, operation->name, (size_t)max, wait_ms, on_uncertain);
        if (route != NULL)
            queue_widen(slot->out.queue, WINDOWS_A_BATCH * (size_t)max);
    }
    slot->rules = mem_grow(slot->rules, cap, slot->rule_count + 1, sizeof(slot->rules[0]));
    slot->rules[slot->rule_count++] = rule;
}

static struct metric *items_of(const char *target, const char *operation)
{
    return metric_get(metric_family(METRIC_SIZES, "busbar_batch_items",
                                    "Items of a request of an operation that takes batches, first attempts.",
                                    "target,operation"),
                      target, operation);
}

void batch_init(const struct dispatch *d, struct slot *slot)
{
    struct bb_operation operation;
    const struct config *config = d->options.config;
    size_t cap = 0;
    for (size_t i = 0; plugin_operation(slot->target->plugin, i, &operation) != NULL; i++) {
        if (operation.max_batch <= 1)
            continue;
        items_of(slot->name, operation.name); /* exported from the start */
        add_rule(slot, &cap, &operation, NULL);
        for (size_t k = 0; k < config->route_count; k++) {
            const struct config_route *route = &config->routes[k];
            if (route->target != NULL && strcmp(route->target, slot->name) == 0 && route->name != NULL &&
                strcmp(route->operation, operation.name) == 0)
                add_rule(slot, &cap, &operation, route);
        }
    }
    if (slot->rule_count > 0)
        qsort(slot->rules, slot->rule_count, sizeof(slot->rules[0]), by_name);
}

static const struct batch_rule *find_rule(const struct slot *slot, const char *operation, const char *route)
{
    struct batch_rule wanted = {.operation = operation, .route = route != NULL ? route : ""};
    if (slot->rule_count == 0 || operation == NULL)
        return NULL;
    const struct batch_rule *rule = bsearch(&wanted, slot->rules, slot->rule_count, sizeof(wanted), by_name);
    if (rule != NULL)
        return rule;
    wanted.route = "";
    return bsearch(&wanted, slot->rules, slot->rule_count, sizeof(wanted), by_name);
}

/* ---- what coalesces */

static int by_member(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

/* Members sorted, no space. */
static void print_canonical(struct json_object *value, struct buf *out)
{
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            buf_putc(out, i > 0 ? ',' : '[');
            print_canonical(json_object_array_get_idx(value, i), out);
        }
        buf_puts(out, json_object_array_length(value) > 0 ? "]" : "[]");
        return;
    }
    if (!json_object_is_type(value, json_type_object)) {
        json_print(value, out);
        return;
    }
    size_t count = 0;
    const char **names = mem_alloc(((size_t)json_object_object_length(value) + 1) * sizeof(*names));
    json_object_object_foreach(value, name, member)
    {
        (void)member;
        names[count++] = name;
    }
    qsort(names, count, sizeof(*names), by_member);
    buf_putc(out, '{');
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, i > 0 ? "," : "");
        buf_put_json(out, span_of(names[i]));
        buf_putc(out, ':');
        print_canonical(json_object_object_get(value, names[i]), out);
    }
    buf_putc(out, '}');
    free(names);
}

struct keying {
    const char *pointer;
    struct buf *key;
};

static void read_key(void *context, const struct delivery *delivery)
{
    const struct keying *keying = context;
    cleanup_json struct json_object *body = json_parse(delivery->body, NULL, NULL);
    struct json_object *value = json_pointer(body, keying->pointer, NULL);
    if (value != NULL)
        print_canonical(value, keying->key);
}

void batch_admit(const struct dispatch *d, const struct slot *slot, const struct delivery_head *head,
                 struct queue_delivery *delivery, struct buf *key)
{
    const struct batch_rule *rule = find_rule(slot, head->operation, head->route);
    bool fresh = head->attempts == 0 && head->state == DELIVERY_PENDING && !head->uncertain && head->batch == NULL;
    if (rule == NULL || rule->group == NULL || !fresh)
        return;
    delivery->group = rule->group;
    if (rule->coalesce == NULL || !queue_would_add(slot->out.queue, head->seq, head->lane))
        return; /* a body is read only for what stays */
    struct keying keying = {rule->coalesce, key};
    if (store_get_work(d->options.session, head->seq, read_key, &keying) == 0)
        delivery->key = buf_span(key);
}

/* ---- what the store knows */

/* Inside the transaction: counts the attempt, and freezes what is tried for the first time. */
int batch_start(struct dispatch *d, struct attempt *a)
{
    const struct queue_batch *batch = a->batch;
    const char *id = batch != NULL && !batch->frozen ? batch->id : NULL;
    for (size_t i = 0; i < a->count; i++)
        if (store_start_attempt(d->options.session, a->items[i].entry->seq, id, d->stamp_ms) != 0 ||
            orders_begin(d, a, &a->items[i]) != 0)
            return -1;
    for (size_t i = 0; id != NULL && i < batch->count; i++) {
        const struct queue_entry *entry = batch->entries[i];
        if (entry->merged_into == NULL)
            continue;
        const struct settlement merged = {.state = DELIVERY_DELIVERED,
                                          .merged_into = entry->merged_into->item->message->id,
                                          .who = "busbar",
                                          .what = "merge",
                                          .now_ms = d->wall_ms};
        if (store_settle(d->options.session, entry->seq, &merged) != 0)
            return -1;
    }
    return 0;
}

/* It is committed. */
void batch_started(struct attempt *a)
{
    struct queue_batch *batch = a->batch;
    if (batch == NULL || batch->frozen)
        return;
    batch->frozen = true;
    metric_observe(items_of(a->slot->name, a->operation.name), (double)a->count);
    for (size_t i = 0; i < batch->count; i++) {
        struct queue_entry *entry = batch->entries[i];
        if (entry->merged_into == NULL)
            continue;
        count_coalesced(entry->route, a->slot->name);
        queue_remove(a->line->queue, entry);
    }
}

struct found_batches {
    struct slot *slot;
    struct queue_batch *batch;
    int64_t due_ms, now_ms;
};

static void close_found(struct found_batches *found)
{
    if (found->batch == NULL)
        return;
    if (found->due_ms > found->now_ms + RETRY_AFTER_MAX_MS) /* a clock that was set back */
        found->due_ms = found->now_ms;
    queue_return(found->slot->out.queue, found->batch->entries[0], found->due_ms);
    found->batch = NULL;
}

static void found_member(void *context, const struct delivery_head *head)
{
    struct found_batches *found = context;
    const struct queue_delivery delivery = {.seq = head->seq,
                                            .due_ms = head->due_ms,
                                            .accepted_ms = head->accepted_ms,
                                            .lane = head->lane,
                                            .operation = head->operation,
                                            .route = head->route,
                                            .attempts = head->attempts};
    if (found->batch != NULL && strcmp(found->batch->id, head->batch) != 0)
        close_found(found);
    if (found->batch == NULL) {
        found->batch = queue_batch_create(head->batch);
        found->batch->frozen = true;
        found->due_ms = head->due_ms;
    }
    queue_batch_add(found->slot->out.queue, found->batch, &delivery);
}

/* At start: those that the last process had begun. */
int batch_load(const struct dispatch *d, struct slot *slot, int64_t now_ms)
{
    struct found_batches found = {.slot = slot, .now_ms = now_ms};
    if (store_scan_batches(d->options.session, slot->name, found_member, &found) != 0)
        return -1;
    close_found(&found);
    return 0;
}
