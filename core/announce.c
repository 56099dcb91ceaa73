/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to the bus: records, events, alerts, failures. Each is a delivery of its own, stored with the verdict
 * that caused it. Nothing here changes memory that a rollback would have to take back, except d->added, which the
 * next try begins anew. */
#include "clock.h"
#include "digest.h"
#include "dispatch_private.h"
#include "event.h"
#include "json.h"
#include "log.h"

#include <json-c/json.h>
#include <string.h>

#define BATCH_RESPONSE_MAX 512

static int add_to_bus(struct dispatch *d, const char *id, const char *topic, const char *lane,
                      const struct buf *payload, bool retained)
{
    struct delivery delivery = {.id = id,
                                .kind = DELIVERY_BUS,
                                .state = DELIVERY_PENDING,
                                .target = d->bus->name,
                                .operation = "publish",
                                .lane = lane,
                                .topic = topic,
                                .accepted_ms = d->wall_ms,
                                .due_ms = d->now_ms,
                                .body = buf_span(payload),
                                .retained = retained};
    if (store_add_delivery(d->options.session, &delivery) != 0)
        return -1;
    d->added++;
    return 0;
}

void announce_release(struct dispatch *d)
{
    for (; d->added > 0; d->added--) {
        dispatch_count_added(NULL, d->bus->name, DELIVERY_PENDING);
        d->bus->out.rescan = true;
    }
}

int announce_order(struct dispatch *d, const struct work_order *order)
{
    char id[UUID_TEXT_MAX];
    cleanup_buf struct buf payload = {0};
    cleanup_text char *topic =
        event_order_topic(d->options.config->bus.prefix, order->provider_id, order->common_work_order_id);
    uuid_v7(d->wall_ms, id);
    event_print_order(order, &payload);
    return add_to_bus(d, id, topic, order->common_work_order_id, &payload, true);
}

int announce_forgotten(struct dispatch *d, const struct work_order *order)
{
    char id[UUID_TEXT_MAX];
    const struct buf nothing = {0}; /* takes the retained one away */
    cleanup_text char *topic =
        event_order_topic(d->options.config->bus.prefix, order->provider_id, order->common_work_order_id);
    uuid_v7(d->wall_ms, id);
    return add_to_bus(d, id, topic, order->common_work_order_id, &nothing, true);
}

int announce_event(struct dispatch *d, struct event_facts *facts, const char *lane)
{
    cleanup_buf struct buf payload = {0};
    const struct config *config = d->options.config;
    cleanup_text char *topic = event_topic(config->bus.prefix, facts->target, facts->type);
    facts->instance = config->instance;
    event_print(facts, &payload);
    return add_to_bus(d, facts->id, topic, lane, &payload, false);
}

int announce_alert(struct dispatch *d, const struct alert *alert)
{
    char id[UUID_TEXT_MAX];
    cleanup_buf struct buf payload = {0};
    cleanup_text char *topic = mem_printf("%s/alerts", d->options.config->bus.prefix);
    cleanup_json struct json_object *record = json_object_new_object();
    json_put_time(record, "time", d->wall_ms);
    json_put_text(record, "instance", d->options.config->instance);
    json_put_text(record, "alert", alert->kind);
    json_put_text(record, "target", alert->target);
    json_put_text(record, "operation", alert->operation);
    json_put_text(record, "route", alert->route);
    json_put_text(record, "reason", alert->reason);
    json_print(record, &payload);
    uuid_v7(d->wall_ms, id);
    return add_to_bus(d, id, topic, topic, &payload, false);
}

/* ---- failures that a person must see */

static void note_found(void *context, const struct delivery *delivery)
{
    (void)delivery;
    *(bool *)context = true;
}

/* FV-06g. What to do is to add a line, so it names the line. */
static void print_unmapped(const char *target, enum word_list list, const char *source, struct buf *out)
{
    size_t count;
    const char *const *words = lifecycle_words(list, &count);
    cleanup_json struct json_object *mapping = json_object_new_object();
    cleanup_buf struct buf action = {0};
    buf_printf(&action, "say what it means, in the settings of target %s: `map: {%s: {", target,
               lifecycle_list_name(list));
    buf_put_json(&action, span_of(source));
    buf_puts(&action, ": ...}}`, with one of");
    for (size_t i = 0; i < count; i++)
        buf_printf(&action, "%s %s", i > 0 ? "," : "", words[i]);
    json_put_text(mapping, "field", lifecycle_list_name(list));
    json_put_text(mapping, "source", source);
    json_put_text(mapping, "owner_action", action.data);
    buf_puts(out, "\"mapping\":");
    json_print(mapping, out);
}

int announce_unmapped(struct dispatch *d, const struct event_facts *event, enum word_list list, const char *source)
{
    char id[UUID_TEXT_MAX];
    bool told = false;
    cleanup_buf struct buf extra = {0};
    cleanup_text char *name = mem_printf("%s/unmapped/%s/%s", event->target, lifecycle_list_name(list), source);
    uuid_v5(span_of(name), id);
    if (store_find_delivery(d->options.session, id, note_found, &told) != 0)
        return -1;
    if (told)
        return 0;
    print_unmapped(event->target, list, source, &extra);
    struct event_facts exception = *event;
    exception.id = id;
    exception.type = "mapping.exception";
    exception.extra = buf_span(&extra);
    log_warn("a word of the target's is not mapped", "target", event->target, "field", lifecycle_list_name(list),
             "word", source, NULL);
    return announce_event(d, &exception, event->order->common_work_order_id);
}

/* The error record of the contract (FV-07). */
/* A batch's answer is about all of its items, and would be told with each that failed. */
static const char *provider_response(const struct attempt *a, struct buf *cut)
{
    if (a->count <= 1 || a->response_text == NULL)
        return a->response_text;
    target_scrub(a->slot->target, span_of(a->response_text), cut, BATCH_RESPONSE_MAX);
    return cut->data;
}

static struct json_object *error_record(const struct dispatch *d, const struct attempt *a, const struct item *item)
{
    const struct bb_error *error = &item->error;
    struct json_object *record = json_object_new_object(), *retry = json_object_new_object();
    cleanup_buf struct buf response = {0};
    json_put_text(record, "class", host_class_name(error->error_class));
    json_put_text(record, "code", error->code);
    json_put_text(record, "message", error->message);
    json_object_object_add(record, "provider_http_status",
                           a->http_status > 0 ? json_object_new_int(a->http_status) : NULL);
    json_put_text(record, "provider_request_id", a->request_id);
    json_object_object_add(record, "rejected_fields",
                           error->rejected_fields != NULL ? json_parse(span_of(error->rejected_fields), NULL, NULL)
                                                          : json_object_new_array());
    json_put_text(record, "provider_response", provider_response(a, &response));
    json_put_int(retry, "attempt", item->attempt);
    json_object_object_add(retry, "next_at", NULL);
    json_object_object_add(retry, "final", json_object_new_boolean(1));
    json_object_object_add(record, "retry_state", retry);
    json_put_text(record, "owner_action", attempt_owner_action(error));
    json_put_text(record, "work_order", item->order_id);
    json_put_text(record, "delivery", item->message->id);
    json_put_text(record, "route", item->entry->route);
    json_put_text(record, "operation", a->in.operation);
    json_put_time(record, "at", d->wall_ms);
    return record;
}

/* The event of a failure: about the work order when there is one. */
static int tell_failure(struct dispatch *d, struct attempt *a, const struct item *item, const char *type,
                        const struct buf *extra, const struct work_order *order)
{
    const struct bb_message *message = item->message;
    char id[UUID_TEXT_MAX];
    uuid_v7(d->wall_ms, id); /* stored with the verdict, so made once; attempts begin anew when someone retries */
    struct event_facts facts = {.target = a->slot->name,
                                .plugin = a->slot->target->plugin->name,
                                .id = id,
                                .type = type,
                                .time_ms = d->wall_ms,
                                .order = order->common_work_order_id != NULL ? order : NULL,
                                .received_ms = message->received_ms,
                                .extra = buf_span(extra)};
    if (a->line->kind == DELIVERY_IN) { /* the webhook that could not be read, as it came */
        facts.provider_event = arena_dup(a->job.arena, message->event.data, message->event.len);
        facts.raw = (struct span){message->body.data, message->body.len};
    }
    return announce_event(d, &facts, message->order_id);
}

int announce_failure(struct dispatch *d, struct attempt *a, const struct item *item)
{
    struct order_record known = {0};
    cleanup_buf struct buf extra = {0};
    cleanup_json struct json_object *record = error_record(d, a, item);
    buf_puts(&extra, "\"error\":");
    json_print(record, &extra);
    log_warn("dead letter", "delivery", item->message->id, "target", a->slot->name, "route", item->entry->route,
             "class", host_class_name(item->error.error_class), "code", item->error.code, NULL);
    int rc = item->order_id != NULL ? orders_find(d, item->order_id, &known) : 0;
    if (rc == 0)
        rc = tell_failure(d, a, item, "sync.failed", &extra, &known.order);
    if (rc == 0 && item->error.error_class == BB_IDENTITY) /* FV-07d: a name is to be mended */
        rc = tell_failure(d, a, item, "mapping.exception", &extra, &known.order);
    order_record_finish(&known);
    return rc;
}
