/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an attempt in the store: state, error, audit, notes, events, all in the turn's one transaction. The
 * work-order records are orders.c's, what goes to the bus announce.c's. */
#include "backoff.h"
#include "digest.h"
#include "dispatch_private.h"
#include "event.h"
#include "log.h"
#include "mqtt.h"

#include <string.h>

/* ---- events that a plugin emitted */

static void note_found(void *context, const struct delivery *delivery)
{
    (void)delivery;
    *(bool *)context = true;
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
        return orders_note_event(d, a, emitted, &facts);
    return announce_event(d, &facts, a->slot->name);
}

/* ---- the verdict */

/* Several attempts come back at once, also in one turn: one alarm. */
static bool is_held_already(const struct dispatch *d, const struct attempt *a, const char *operation)
{
    for (const struct attempt *before = d->finished.first; before != a; before = before->next)
        if (before->slot == a->slot && before->holds && strcmp(attempt_held_operation(before), operation) == 0)
            return true;
    return slot_hold(a->slot, operation) != NULL;
}

static int store_hold(struct dispatch *d, struct attempt *a)
{
    const char *operation = attempt_held_operation(a);
    bool held = is_held_already(d, a, operation);
    const char *reason = a->out.error.message != NULL ? a->out.error.message : "held";
    if (!held)
        log_error("target held", "target", a->slot->name, "operation", operation, "reason", reason, "action",
                  attempt_owner_action(&a->out.error), NULL);
    if (store_put_hold(d->options.session, a->slot->name, operation, reason, d->wall_ms) != 0)
        return -1;
    if (held)
        return 0;
    const struct alert alert = {.kind = "target_held",
                                .target = a->slot->name,
                                .operation = operation[0] != '\0' ? operation : NULL,
                                .reason = reason};
    return announce_alert(d, &alert);
}

static enum delivery_state state_of(const struct item *item)
{
    switch (item->fate) {
    case FATE_DELIVERED:
        return DELIVERY_DELIVERED;
    case FATE_RETRY:
        return DELIVERY_RETRYING;
    case FATE_EXPIRED:
        return DELIVERY_EXPIRED;
    case FATE_HELD:
        return item->was;
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

/* What was settled by itself before an answer got lost has its answer. */
static bool is_uncertain(const struct attempt *a, const struct item *item)
{
    bool lost = a->sent_uncertain && !item->own;
    return (lost || item->uncertain) && item->fate != FATE_DELIVERED && !item->parked;
}

/* Under which mode it was done; reading needs none. */
static const char *mode_of(const struct attempt *a)
{
    bool writes = a->operation.name != NULL && (a->operation.flags & BB_WRITES) != 0;
    return writes ? config_mode_name(config_mode_of(a->slot->target->config, a->operation.name)) : NULL;
}

/* Request and response are kept once for a batch: with a dead letter, which stays longest, else with what goes again.
 */
static const struct item *keeper(const struct attempt *a)
{
    const struct item *best = &a->items[0];
    for (size_t i = 0; i < a->count && best->fate != FATE_REJECTED; i++)
        if (a->items[i].fate == FATE_REJECTED || best->fate == FATE_DELIVERED)
            best = &a->items[i];
    return best;
}

static int write_verdict(struct dispatch *d, const struct attempt *a, const struct item *item, const struct item *keeps)
{
    const struct bb_error *error = &item->error;
    struct settlement s = {.state = state_of(item),
                           .due_ms = d->now_ms + (item->fate == FATE_RETRY ? a->delay_ms : 0),
                           .keep_attempts = item->fate == FATE_HELD,
                           .uncertain = is_uncertain(a, item),
                           .unconfirmed = item->fate == FATE_DELIVERED && a->out.unconfirmed,
                           .request = item == keeps ? a->request_text : NULL,
                           .response = item == keeps ? a->response_text : NULL,
                           .exchange_of =
                               item != keeps && keeps != NULL && a->request_text != NULL ? keeps->entry->seq : 0,
                           .order_id = item->order_id,
                           .sync_state = item->sync_state,
                           .mode = mode_of(a),
                           .attempt = item->attempt,
                           .who = "busbar",
                           .what = a->line->kind == DELIVERY_IN ? "import" : "attempt",
                           .now_ms = d->wall_ms};
    s.error.http_status = a->http_status;
    s.error.request_id = a->request_id;
    if (item->fate != FATE_DELIVERED) {
        s.error.error_class = host_class_name(error->error_class);
        s.error.code = error->code;
        s.error.message = error->message;
        s.error.rejected_fields = error->rejected_fields;
        s.error.owner_action = attempt_owner_action(error);
    }
    return store_settle(d->options.session, item->entry->seq, &s);
}

static int settle_item(struct dispatch *d, struct attempt *a, struct item *item, const struct item *keeps)
{
    bool failed = item->fate == FATE_REJECTED || item->fate == FATE_EXPIRED;
    if (orders_note_own(d, a, item) != 0 || write_verdict(d, a, item, keeps) != 0)
        return -1;
    if (answer_command(d, item->entry->route, item->entry->seq) != 0)
        return -1;
    return failed ? announce_failure(d, a, item) : 0;
}

static bool any(const struct attempt *a, enum fate fate)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].fate == fate)
            return true;
    return a->count == 0 && a->fate == fate;
}

int settle_attempt(struct dispatch *d, struct attempt *a)
{
    bool polled = a->errand != NULL; /* its cursor moves with its events or not at all */
    bool delivered = any(a, FATE_DELIVERED);
    const struct item *keeps = a->count > 0 ? keeper(a) : NULL;
    for (size_t i = 0; i < a->job.note_count && (!polled || delivered); i++)
        if (store_note_put(d->options.session, a->slot->name, a->job.notes[i].key, a->job.notes[i].value) != 0)
            return -1;
    if (a->holds && store_hold(d, a) != 0)
        return -1;
    a->delay_ms = any(a, FATE_RETRY) ? retry_delay(a) : 0;
    for (size_t i = 0; i < a->job.event_count && delivered; i++)
        if (emit(d, a, i) != 0)
            return -1;
    for (size_t i = 0; i < a->count; i++)
        if (settle_item(d, a, &a->items[i], keeps) != 0)
            return -1;
    if (a->scatters && store_dissolve_batch(d->options.session, a->items[0].entry->seq) < 0)
        return -1;
    return 0;
}

int settle_published(struct dispatch *d, const struct publishing *publishing)
{
    struct settlement s = {.state = DELIVERY_DELIVERED, .now_ms = d->wall_ms};
    if (publishing->too_large) {
        s.state = DELIVERY_REJECTED;
        s.who = "busbar";
        s.what = "attempt";
        s.error = (struct delivery_error){
            .error_class = host_class_name(BB_VALIDATION),
            .code = "packet_too_large",
            .message = "the broker takes no packet of this size",
            .owner_action = "Let the broker take larger packets (mosquitto: max_packet_size), then retry.",
        };
    }
    cleanup_text char *why =
        mem_printf("the broker ends the link when it is sent this: %s", mqtt_reason_text(publishing->reason));
    if (publishing->refused) {
        s.state = DELIVERY_REJECTED;
        s.who = "busbar";
        s.what = "attempt";
        s.attempt = publishing->entry->losses;
        s.error = (struct delivery_error){
            .error_class = host_class_name(BB_VALIDATION),
            .code = "broker_refuses",
            .message = why,
            .owner_action =
                "The broker's log says what it does not take, the topic most often. When it takes it, retry; "
                "else discard it.",
        };
    }
    return store_settle(d->options.session, publishing->entry->seq, &s);
}
