/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an attempt in the store: state, error, audit, notes, events, the work-order record and
 * what of it goes to the bus, all in the turn's one transaction. Nothing here changes memory that a
 * rollback would have to take back, except d->added, which the next try begins anew. */
#include "backoff.h"
#include "clock.h"
#include "digest.h"
#include "dispatch_private.h"
#include "event.h"
#include "json.h"
#include "log.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* ---- deliveries to the bus */

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

static int publish_order(struct dispatch *d, const struct work_order *order)
{
    char id[UUID_TEXT_MAX];
    cleanup_buf struct buf payload = {0};
    cleanup_text char *topic =
        event_order_topic(d->options.config->bus.prefix, order->provider_id, order->common_work_order_id);
    uuid_v7(d->wall_ms, id);
    event_print_order(order, &payload);
    return add_to_bus(d, id, topic, order->common_work_order_id, &payload, true);
}

static int publish_event(struct dispatch *d, struct event_facts *facts, const char *lane)
{
    cleanup_buf struct buf payload = {0};
    const struct config *config = d->options.config;
    cleanup_text char *topic = event_topic(config->bus.prefix, facts->target, facts->type);
    facts->instance = config->instance;
    event_print(facts, &payload);
    return add_to_bus(d, facts->id, topic, lane, &payload, false);
}

int settle_alert(struct dispatch *d, const char *kind, const char *target, const char *operation, const char *reason)
{
    char id[UUID_TEXT_MAX];
    cleanup_buf struct buf payload = {0};
    cleanup_text char *topic = mem_printf("%s/alerts", d->options.config->bus.prefix);
    cleanup_json struct json_object *alert = json_object_new_object();
    json_put_time(alert, "time", d->wall_ms);
    json_put_text(alert, "instance", d->options.config->instance);
    json_put_text(alert, "alert", kind);
    json_put_text(alert, "target", target);
    json_put_text(alert, "operation", operation[0] != '\0' ? operation : NULL);
    json_put_text(alert, "reason", reason);
    json_print(alert, &payload);
    uuid_v7(d->wall_ms, id);
    return add_to_bus(d, id, topic, topic, &payload, false);
}

/* ---- the work-order record */

static void keep_order(void *context, const struct work_order *order)
{
    struct order_record *record = context;
    event_copy_order(record, order);
}

/* The record that an event speaks about, when we hold it: by the id that the target carried back, else
 * by the target's own id. A record of another target is not this one's business. */
static int find_order(struct dispatch *d, const char *target, const struct bb_work_order *said,
                      struct order_record *known)
{
    const char *ids[] = {said->order_id, said->delivery_id};
    for (size_t i = 0; i < 2; i++) {
        if (ids[i] == NULL)
            continue;
        if (store_find_order(d->options.session, ids[i], keep_order, known) != 0)
            return -1;
        if (known->order.common_work_order_id != NULL && strcmp(known->order.provider_id, target) == 0)
            return 0;
        order_record_finish(known);
    }
    if (said->source_work_order_id == NULL)
        return 0;
    return store_find_order_by_source(d->options.session, target, said->source_work_order_id, keep_order, known);
}

/* Our own ids are UUIDs. What else a target sends back as ours was not made by busbar. */
static bool looks_like_ours(const char *id)
{
    return id != NULL && strlen(id) == UUID_TEXT_MAX - 1 && strspn(id, "0123456789abcdef-") == UUID_TEXT_MAX - 1;
}

static const char *new_order_id(const struct attempt *a, const struct bb_work_order *said, char id[UUID_TEXT_MAX])
{
    if (looks_like_ours(said->order_id))
        return said->order_id;
    if (looks_like_ours(said->delivery_id))
        return said->delivery_id;
    cleanup_text char *name = mem_printf(
        "%s/%s", a->slot->name, said->source_work_order_id != NULL ? said->source_work_order_id : a->message.id);
    uuid_v5(span_of(name), id);
    return id;
}

static int audit_illegal(struct dispatch *d, const struct attempt *a, const struct work_order *order)
{
    const struct audit audit = {.at_ms = d->wall_ms,
                                .who = a->slot->name,
                                .what = "import",
                                .delivery_id = a->message.id,
                                .target = a->slot->name,
                                .outcome = "warning",
                                .detail = order->common_status};
    log_warn("the target made a step that the lifecycle does not know", "target", a->slot->name, "order",
             order->common_work_order_id, NULL);
    return store_add_audit(d->options.session, &audit);
}

/* ---- events that a plugin emitted */

static void note_found(void *context, const struct delivery *delivery)
{
    (void)delivery;
    *(bool *)context = true;
}

struct waiting { /* one of our deliveries whose answer was lost */
    bool any;
    int64_t seq;
    enum delivery_state state;
    char *route;
};

static void note_waiting(void *context, const struct delivery *delivery)
{
    bool lost = delivery->kind == DELIVERY_OUT && delivery->uncertain && !delivery->in_flight &&
                (delivery->state == DELIVERY_PENDING || delivery->state == DELIVERY_RETRYING);
    if (lost)
        *(struct waiting *)context =
            (struct waiting){true, delivery->seq, delivery->state, mem_strdup(delivery->route)};
}

/* The target's webhook carries our mark back: what we were about to send again has arrived. */
static int confirm(struct dispatch *d, const struct attempt *a, const char *delivery_id)
{
    struct waiting waiting = {0};
    const struct settlement s = {
        .state = DELIVERY_DELIVERED, .who = a->slot->name, .what = "confirm", .now_ms = d->wall_ms};
    if (delivery_id == NULL)
        return 0;
    int rc = store_find_delivery(d->options.session, delivery_id, note_waiting, &waiting);
    bool idle = waiting.any && !queue_has_taken(a->slot->out.queue, waiting.seq);
    if (rc == 0 && idle) { /* not in this turn's hands */
        rc = store_settle(d->options.session, waiting.seq, &s);
        d->confirmed = mem_grow(d->confirmed, &d->confirmed_cap, d->confirmed_count + 1, sizeof(d->confirmed[0]));
        d->confirmed[d->confirmed_count++] = (struct confirmed){a->slot, waiting.seq, waiting.state, waiting.route};
        waiting.route = NULL;
    }
    free(waiting.route);
    return rc;
}

static int emit_about_order(struct dispatch *d, struct attempt *a, const struct job_event *emitted,
                            struct event_facts *facts)
{
    struct order_record known = {0}, record = {0};
    char id[UUID_TEXT_MAX];
    int rc = find_order(d, a->slot->name, &emitted->work_order, &known);
    if (rc == 0) {
        bool have = known.order.common_work_order_id != NULL;
        event_merge_order(&record, have ? &known.order : NULL, &emitted->work_order, a->slot->name,
                          new_order_id(a, &emitted->work_order, id), d->wall_ms);
        bool first_sight = !have || known.order.source_work_order_id == NULL;
        if (strcmp(facts->type, "work_order.created") == 0 && !first_sight)
            facts->type = "work_order.updated";
        facts->order = &record.order;
        rc = store_put_order(d->options.session, &record.order);
    }
    if (rc == 0 && record.illegal)
        rc = audit_illegal(d, a, &record.order);
    if (rc == 0)
        rc = confirm(d, a, emitted->work_order.delivery_id);
    if (rc == 0)
        rc = publish_event(d, facts, record.order.common_work_order_id);
    if (rc == 0)
        rc = publish_order(d, &record.order);
    order_record_finish(&known);
    order_record_finish(&record);
    return rc;
}

static int emit(struct dispatch *d, struct attempt *a, size_t i)
{
    const struct job_event *emitted = &a->job.events[i];
    const struct bb_event *event = &emitted->event;
    const char *plugin = a->slot->target->plugin->name;
    char id[UUID_TEXT_MAX];
    cleanup_text char *name = event->dedup_id != NULL ? mem_printf("%s/%s", a->slot->name, event->dedup_id)
                                                      : mem_printf("%s/%s/%zu", a->slot->name, a->message.id, i);
    cleanup_text char *own_type = mem_printf("provider.%s.%s", plugin, event->name != NULL ? event->name : "event");
    bool seen = false;
    uuid_v5(span_of(name), id);
    if (store_find_delivery(d->options.session, id, note_found, &seen) != 0)
        return -1;
    if (seen)
        return 0; /* the same event told twice: it has been published under this id */
    struct event_facts facts = {.target = a->slot->name,
                                .plugin = plugin,
                                .id = id,
                                .type = event->type != NULL ? event->type : own_type,
                                .time_ms = event->occurred_ms != 0 ? event->occurred_ms : a->message.received_ms,
                                .provider_event = event->name,
                                .received_ms = a->message.received_ms,
                                .raw = {event->raw.data, event->raw.len}};
    if (event->work_order != NULL)
        return emit_about_order(d, a, emitted, &facts);
    return publish_event(d, &facts, a->slot->name);
}

/* ---- our own orders */

static const char *sync_state_of(const struct attempt *a)
{
    if (a->fate != FATE_DELIVERED)
        return "rejected";
    return a->out.unconfirmed ? "pending" : "synchronized";
}

/* What we created is a record from the moment the target took it, or refused it for good. It is
 * announced as created when the target's own id is known: at once, or by the target's first webhook. */
static int record_own(struct dispatch *d, struct attempt *a)
{
    struct order_record record = {0};
    if (store_find_order(d->options.session, a->message.order_id, keep_order, &record) != 0)
        return -1;
    struct work_order *order = &record.order;
    bool unannounced = order->source_work_order_id == NULL;
    order->common_work_order_id = a->message.order_id;
    order->delivery_id = a->message.id;
    order->provider_id = a->slot->name;
    order->sync_state = sync_state_of(a);
    order->updated_ms = d->wall_ms;
    if (order->asset_ref == NULL)
        order->asset_ref = a->out.asset_ref;
    if (order->common_status == NULL)
        order->common_status = "requested";
    if (a->out.source_work_order_id != NULL)
        order->source_work_order_id = a->out.source_work_order_id;
    if (strcmp(order->sync_state, "synchronized") == 0)
        order->last_synced_ms = d->wall_ms;
    int rc = store_put_order(d->options.session, order);
    if (rc == 0 && a->fate == FATE_DELIVERED) {
        char id[UUID_TEXT_MAX];
        cleanup_text char *name = mem_printf("%s/created/%s", a->slot->name, a->message.id);
        uuid_v5(span_of(name), id);
        struct event_facts facts = {.target = a->slot->name,
                                    .plugin = a->slot->target->plugin->name,
                                    .id = id,
                                    .type = "work_order.created",
                                    .time_ms = d->wall_ms,
                                    .order = order,
                                    .received_ms = d->wall_ms};
        if (unannounced && order->source_work_order_id != NULL)
            rc = publish_event(d, &facts, order->common_work_order_id);
        if (rc == 0)
            rc = publish_order(d, order);
    }
    order_record_finish(&record);
    return rc;
}

/* ---- failures that a person must see */

static const char *owner_action(const struct attempt *a)
{
    return a->out.error.owner_action != NULL ? a->out.error.owner_action : host_owner_action(a->out.error.error_class);
}

/* The error record of the contract (FV-07). */
static struct json_object *error_record(const struct dispatch *d, const struct attempt *a)
{
    const struct bb_error *error = &a->out.error;
    struct json_object *record = json_object_new_object(), *retry = json_object_new_object();
    json_put_text(record, "class", host_class_name(error->error_class));
    json_put_text(record, "code", error->code);
    json_put_text(record, "message", error->message);
    json_object_object_add(record, "provider_http_status",
                           a->http_status > 0 ? json_object_new_int(a->http_status) : NULL);
    json_put_text(record, "provider_request_id", a->request_id);
    json_object_object_add(record, "rejected_fields",
                           error->rejected_fields != NULL ? json_parse(span_of(error->rejected_fields), NULL, NULL)
                                                          : json_object_new_array());
    json_put_text(record, "provider_response", a->response_text);
    json_put_int(retry, "attempt", a->in.attempt);
    json_object_object_add(retry, "next_at", NULL);
    json_object_object_add(retry, "final", json_object_new_boolean(1));
    json_object_object_add(record, "retry_state", retry);
    json_put_text(record, "owner_action", owner_action(a));
    json_put_text(record, "delivery", a->message.id);
    json_put_text(record, "route", a->entry->route);
    json_put_text(record, "operation", a->in.operation);
    json_put_time(record, "at", d->wall_ms);
    return record;
}

static int publish_failure(struct dispatch *d, struct attempt *a)
{
    char id[UUID_TEXT_MAX];
    cleanup_buf struct buf extra = {0};
    cleanup_json struct json_object *record = error_record(d, a);
    uuid_v7(d->wall_ms, id); /* stored with the verdict, so made once; attempts begin anew when someone retries */
    buf_puts(&extra, "\"error\":");
    json_print(record, &extra);
    bool mapping = a->out.error.error_class == BB_IDENTITY;
    struct event_facts facts = {.target = a->slot->name,
                                .plugin = a->slot->target->plugin->name,
                                .id = id,
                                .type = mapping ? "mapping.exception" : "sync.failed",
                                .time_ms = d->wall_ms,
                                .received_ms = a->message.received_ms,
                                .extra = buf_span(&extra)};
    if (a->line->kind == DELIVERY_IN) { /* the webhook that could not be read, as it came */
        facts.provider_event = arena_dup(a->job.arena, a->message.event.data, a->message.event.len);
        facts.raw = (struct span){a->message.body.data, a->message.body.len};
    }
    log_warn("dead letter", "delivery", a->message.id, "target", a->slot->name, "route", a->entry->route, "class",
             host_class_name(a->out.error.error_class), "code", a->out.error.code, NULL);
    return publish_event(d, &facts, a->message.order_id);
}

static int store_hold(struct dispatch *d, struct attempt *a)
{
    const char *operation = attempt_held_operation(a);
    const char *reason = a->out.error.message != NULL ? a->out.error.message : "held";
    log_error("target held", "target", a->slot->name, "operation", operation, "reason", reason, "action",
              owner_action(a), NULL);
    if (store_put_hold(d->options.session, a->slot->name, operation, reason, d->wall_ms) != 0)
        return -1;
    if (slot_hold(a->slot, operation) != NULL)
        return 0; /* several attempts came back at once: one alarm */
    return settle_alert(d, "target_held", a->slot->name, operation, reason);
}

/* ---- the verdict */

static enum delivery_state state_of(const struct attempt *a)
{
    switch (a->fate) {
    case FATE_DELIVERED:
        return DELIVERY_DELIVERED;
    case FATE_RETRY:
        return DELIVERY_RETRYING;
    case FATE_EXPIRED:
        return DELIVERY_EXPIRED;
    case FATE_HELD:
        return a->was;
    case FATE_NONE:
    case FATE_REJECTED:
        break;
    }
    return DELIVERY_REJECTED;
}

static int64_t retry_delay(const struct attempt *a)
{
    const struct config_retry *retry = &a->slot->target->config->retry;
    if (a->out.retry_after_ms > 0)
        return a->out.retry_after_ms;
    return backoff_delay_ms(retry->first_ms, retry->max_ms, a->in.attempt, random_unit());
}

static int write_verdict(struct dispatch *d, struct attempt *a)
{
    const struct bb_error *error = &a->out.error;
    struct settlement s = {.state = state_of(a),
                           .due_ms = d->now_ms + (a->fate == FATE_RETRY ? a->delay_ms : 0),
                           .keep_attempts = a->fate == FATE_HELD,
                           .uncertain =
                               (a->sent_uncertain || a->in.uncertain) && a->fate != FATE_DELIVERED && !a->parked,
                           .unconfirmed = a->fate == FATE_DELIVERED && a->out.unconfirmed,
                           .request = a->request_text,
                           .response = a->response_text,
                           .who = "busbar",
                           .what = a->line->kind == DELIVERY_IN ? "import" : "attempt",
                           .now_ms = d->wall_ms};
    s.error.http_status = a->http_status;
    s.error.request_id = a->request_id;
    if (a->fate != FATE_DELIVERED) {
        s.error.error_class = host_class_name(error->error_class);
        s.error.code = error->code;
        s.error.message = error->message;
        s.error.rejected_fields = error->rejected_fields;
        s.error.owner_action = owner_action(a);
    }
    return store_settle(d->options.session, a->entry->seq, &s);
}

int settle_attempt(struct dispatch *d, struct attempt *a)
{
    bool polled = a->entry == NULL; /* its cursor moves with its events or not at all */
    for (size_t i = 0; i < a->job.note_count && (!polled || a->fate == FATE_DELIVERED); i++)
        if (store_note_put(d->options.session, a->slot->name, a->job.notes[i].key, a->job.notes[i].value) != 0)
            return -1;
    if (a->fate == FATE_HELD && !a->outage && store_hold(d, a) != 0)
        return -1;
    a->delay_ms = a->fate == FATE_RETRY ? retry_delay(a) : 0;
    if (a->entry != NULL && write_verdict(d, a) != 0)
        return -1;
    for (size_t i = 0; i < a->job.event_count && a->fate == FATE_DELIVERED; i++)
        if (emit(d, a, i) != 0)
            return -1;
    if (a->entry == NULL)
        return 0;
    bool final = a->fate == FATE_DELIVERED || a->fate == FATE_REJECTED || a->fate == FATE_EXPIRED;
    if (final && (a->operation.flags & BB_CREATES) != 0 && !a->refused && record_own(d, a) != 0)
        return -1;
    if (a->fate == FATE_REJECTED || a->fate == FATE_EXPIRED)
        return publish_failure(d, a);
    return 0;
}

int settle_published(struct dispatch *d, const struct queue_entry *entry)
{
    const struct settlement s = {.state = DELIVERY_DELIVERED, .now_ms = d->wall_ms};
    return store_settle(d->options.session, entry->seq, &s);
}
