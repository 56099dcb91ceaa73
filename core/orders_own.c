/* SPDX-License-Identifier: Apache-2.0 */
/* What our own writes make of a work order's record. An operation that creates has one from its first attempt on; one
 * on an order that exists must name a record of its target, and may lead it only where the lifecycle does: what may not
 * be is refused here, so that nothing is sent. From then on both go the same way: pending, retrying, synchronized or
 * rejected (FV-05). */
#include "clock.h"
#include "digest.h"
#include "dispatch_private.h"
#include "json.h"
#include "lifecycle.h"

#include <json-c/json.h>
#include <string.h>

static bool is_about_orders(const struct attempt *a)
{
    return a->line != NULL && a->line->kind == DELIVERY_OUT && (a->operation.flags & BB_WORK_ORDER) != 0;
}

static bool creates(const struct attempt *a)
{
    return (a->operation.flags & BB_CREATES) != 0;
}

/* ---- before anything is sent */

static void refuse(struct attempt *a, enum bb_class error_class, const char *code, const char *message)
{
    a->out.error = (struct bb_error){.error_class = error_class, .code = code, .message = message};
    a->refused = true;
}

/* The member that is to blame, for rejected_fields. */
static void blame(struct attempt *a, const char *pointer, const char *key)
{
    struct buf fields = {0};
    buf_puts(&fields, "[{\"pointer\":");
    buf_put_json(&fields, span_of(pointer));
    buf_printf(&fields, ",\"key\":\"%s\",\"parameters\":{}}]", key);
    a->out.error.rejected_fields = arena_dup(a->job.arena, fields.data, fields.len);
    buf_finish(&fields);
}

/* Text or a whole number of the body; NULL: absent, null, or anything else. In the job's arena. */
static const char *text_at(struct attempt *a, struct json_object *body, const char *pointer)
{
    struct json_object *value = json_pointer(body, pointer, NULL);
    if (!json_object_is_type(value, json_type_string) && !json_object_is_type(value, json_type_int))
        return NULL;
    const char *text = json_object_get_string(value);
    return text[0] != '\0' ? arena_dup(a->job.arena, text, strlen(text)) : NULL;
}

/* By our id, else by the target's. Another target's record is none of this one's business: it is not known. */
static int find_named(struct dispatch *d, const struct attempt *a, const char *named, struct order_record *record)
{
    if (orders_find(d, named, record) != 0)
        return -1;
    if (record->order.common_work_order_id != NULL && strcmp(record->order.provider_id, a->slot->name) == 0)
        return 0;
    order_record_finish(record);
    return orders_find_by_source(d, a->slot->name, named, record);
}

/* An order whose id the target has not told yet can only be waited for; one that was never made, not even that. */
static void await_id(struct attempt *a, const struct work_order *order)
{
    if (strcmp(order->sync_state, "rejected") == 0) {
        refuse(a, BB_CONFLICT, "work_order_not_created", "the target never took the work order that is meant");
        a->out.error.owner_action = "retry or edit the dead letter that creates the work order first";
        return;
    }
    refuse(a, BB_PROVIDER_UNAVAILABLE, "work_order_not_known_yet",
           "the target has not told yet under which id it knows the work order");
    a->postponed = true;
    a->out.error.owner_action = "wait for the target's webhook or poll; then `busbar queue retry`";
}

static void refuse_step(struct attempt *a, const char *from, const char *to)
{
    cleanup_buf struct buf next = {0};
    lifecycle_print_next(from, &next);
    cleanup_text char *message = mem_printf("the work order is %s, which may become %s, not %s", from, next.data, to);
    refuse(a, BB_CONFLICT, "illegal_transition", arena_dup(a->job.arena, message, strlen(message)));
    if (strcmp(from, "unknown") == 0)
        a->out.error.owner_action = "give the target's status a line in the target's `map: {status: ...}`";
}

static void examine_step(struct attempt *a, struct item *item, struct json_object *body, const struct work_order *order)
{
    const char *to = a->operation.moves_to;
    if (to != NULL && to[0] == '/')
        to = text_at(a, body, to); /* absent: it changes something else */
    item->moves_to = lifecycle_word(WORDS_STATUS, to);
    if (to != NULL && item->moves_to == NULL) {
        refuse(a, BB_VALIDATION, "unknown_status",
               "the status must be one of requested, triaged, approved, assigned, in_progress, blocked, completed, "
               "closed, canceled, reopened");
        blame(a, a->operation.moves_to, "enum");
    } else if (to != NULL && !lifecycle_allows(order->common_status, to)) {
        refuse_step(a, order->common_status, to);
    }
}

static void examine_order(struct dispatch *d, struct attempt *a, struct item *item, struct json_object *body)
{
    struct order_record record = {0};
    const char *named = text_at(a, body, a->operation.order_pointer);
    if (named == NULL) {
        refuse(a, BB_VALIDATION, "no_work_order", "the message must name the work order that is meant");
        blame(a, a->operation.order_pointer, "required");
    } else if (find_named(d, a, named, &record) != 0) {
        refuse(a, BB_PROVIDER_UNAVAILABLE, "store_failed", "busbar's own store could not be read");
        a->postponed = true;
    } else if (record.order.common_work_order_id == NULL) {
        refuse(a, BB_IDENTITY, "unknown_work_order", "the target has no work order of that id, ours or its own");
        blame(a, a->operation.order_pointer, "unknown");
    } else {
        const struct work_order *order = &record.order;
        item->known_order = true;
        item->message->order_id =
            arena_dup(a->job.arena, order->common_work_order_id, strlen(order->common_work_order_id));
        if (order->source_work_order_id == NULL)
            await_id(a, order);
        else
            item->message->source_work_order_id =
                arena_dup(a->job.arena, order->source_work_order_id, strlen(order->source_work_order_id));
        if (!a->refused)
            examine_step(a, item, body, order);
    }
    order_record_finish(&record);
}

void orders_examine(struct dispatch *d, struct attempt *a)
{
    if (a->refused || !is_about_orders(a) || creates(a) || a->operation.order_pointer == NULL)
        return;
    for (size_t i = 0; i < a->count && !a->refused; i++) { /* one: see descriptor.c */
        const struct bb_str text = a->items[i].message->body;
        cleanup_json struct json_object *body = json_parse((struct span){text.data, text.len}, NULL, NULL);
        examine_order(d, a, &a->items[i], body);
    }
}

/* ---- the record */

/* What the common body of a new order says of it; other bodies speak the target's own language. */
static void read_common_body(struct attempt *a, const struct item *item, struct work_order *order)
{
    const struct bb_str text = item->message->body;
    if (strcmp(a->operation.name, "work_order.create") != 0)
        return;
    cleanup_json struct json_object *body = json_parse((struct span){text.data, text.len}, NULL, NULL);
    const char *due = text_at(a, body, "/sla_due_at");
    order->asset_ref = text_at(a, body, "/asset_ref");
    order->priority = lifecycle_word(WORDS_PRIORITY, text_at(a, body, "/priority"));
    order->source_priority = mapping_source_word(&a->slot->target->tables[WORDS_PRIORITY], order->priority);
    if (due != NULL)
        clock_parse(span_of(due), &order->sla_due_ms);
}

static void begin_record(struct attempt *a, const struct item *item, struct work_order *order)
{
    *order = (struct work_order){.common_work_order_id = item->message->order_id,
                                 .delivery_id = item->message->id,
                                 .provider_id = a->slot->name,
                                 .common_status = "requested"};
    read_common_body(a, item, order);
}

int orders_begin(struct dispatch *d, struct attempt *a, const struct item *item)
{
    struct order_record record = {0};
    struct work_order *order = &record.order;
    bool first = creates(a) ? item->attempt == 1 : item->known_order;
    if (!is_about_orders(a) || a->refused || !first)
        return 0;
    if (orders_find(d, item->message->order_id, &record) != 0)
        return -1;
    if (order->common_work_order_id == NULL)
        begin_record(a, item, order);
    bool under_way = order->sync_state != NULL &&
                     (strcmp(order->sync_state, "pending") == 0 || strcmp(order->sync_state, "retrying") == 0);
    int rc = 0;
    if (!under_way && event_enter_sync(order, "pending", d->wall_ms)) {
        rc = orders_put(d, order);
        orders_show_later(d, a);
    }
    order_record_finish(&record);
    return rc;
}

/* ---- what became of it */

/* NULL: as it was. */
static const char *state_after(const struct attempt *a, const struct item *item, const struct work_order *order)
{
    switch (item->fate) {
    case FATE_DELIVERED:
        if (!a->out.unconfirmed)
            return "synchronized";
        /* accepted, but the target's own word came first */
        return order->sync_state != NULL && strcmp(order->sync_state, "synchronized") == 0 ? NULL : "pending";
    case FATE_RETRY:
        return a->postponed ? NULL : "retrying";
    case FATE_REJECTED:
    case FATE_EXPIRED:
        return "rejected";
    case FATE_NONE:
    case FATE_HELD:
        break;
    }
    return NULL;
}

/* Each write passes through pending: where no step leads from here, that one does. */
static bool enter(struct work_order *order, const char *state, int64_t now_ms)
{
    if (state == NULL ||
        (order->sync_state != NULL && strcmp(order->sync_state, state) == 0 && strcmp(state, "synchronized") != 0))
        return false;
    if (!event_enter_sync(order, state, now_ms)) {
        (void)event_enter_sync(order, "pending", now_ms);
        (void)event_enter_sync(order, state, now_ms);
    }
    return true;
}

/* What the answer tells of the order. What the plugin says of one is not said of each in a batch. */
static void take_answer(const struct attempt *a, const struct item *item, struct work_order *order)
{
    if (item->fate != FATE_DELIVERED || a->count != 1)
        return;
    if (order->asset_ref == NULL)
        order->asset_ref = a->out.asset_ref;
    if (order->source_work_order_id == NULL && creates(a))
        order->source_work_order_id = a->out.source_work_order_id;
    /* Meanwhile the target may have gone on: then its own word holds. */
    bool moves = item->moves_to != NULL && !a->out.unconfirmed && strcmp(order->common_status, item->moves_to) != 0 &&
                 lifecycle_allows(order->common_status, item->moves_to);
    if (!moves)
        return;
    order->common_status = item->moves_to;
    order->source_status = mapping_source_word(&a->slot->target->tables[WORDS_STATUS], item->moves_to);
}

static const char *type_of(const struct attempt *a, const struct item *item)
{
    const char *to = item->moves_to;
    if (creates(a))
        return "work_order.created";
    if (to != NULL && strcmp(to, "completed") == 0)
        return "work_order.completed";
    return to != NULL && strcmp(to, "closed") == 0 ? "work_order.closed" : "work_order.updated";
}

static bool plugin_told(const struct attempt *a)
{
    for (size_t i = 0; i < a->job.event_count; i++)
        if (a->job.events[i].event.work_order != NULL)
            return true;
    return false;
}

/* An order of ours is announced as created when the target's own id is known: at once, or by the target's first
 * webhook. What was changed is told unless the plugin told it, or the target is still to confirm it. */
static int tell(struct dispatch *d, const struct attempt *a, const struct item *item, const struct work_order *order,
                bool knew_id)
{
    bool news = creates(a) ? !knew_id && order->source_work_order_id != NULL : !a->out.unconfirmed && !plugin_told(a);
    if (item->fate != FATE_DELIVERED || !news)
        return 0;
    char id[UUID_TEXT_MAX];
    cleanup_text char *name =
        mem_printf("%s/%s/%s", a->slot->name, creates(a) ? "created" : "written", item->message->id);
    uuid_v5(span_of(name), id);
    struct event_facts facts = {.target = a->slot->name,
                                .plugin = a->slot->target->plugin->name,
                                .id = id,
                                .type = type_of(a, item),
                                .time_ms = d->wall_ms,
                                .order = order,
                                .received_ms = d->wall_ms};
    return announce_event(d, &facts, order->common_work_order_id);
}

int orders_note_own(struct dispatch *d, struct attempt *a, struct item *item)
{
    struct order_record record = {0};
    struct work_order *order = &record.order;
    if (!is_about_orders(a) || (!creates(a) && !item->known_order))
        return 0;
    if (orders_find(d, item->message->order_id, &record) != 0)
        return -1;
    bool have = order->common_work_order_id != NULL;
    if (!have && (a->refused || !creates(a)))
        return 0; /* what may not be sent is no order */
    if (!have)
        begin_record(a, item, order);
    bool knew_id = order->source_work_order_id != NULL;
    take_answer(a, item, order);
    bool changed = enter(order, state_after(a, item, order), d->wall_ms) || item->fate == FATE_DELIVERED;
    item->order_id = item->message->order_id;
    item->sync_state =
        order->sync_state != NULL ? arena_dup(a->job.arena, order->sync_state, strlen(order->sync_state)) : NULL;
    int rc = changed ? orders_put(d, order) : 0;
    if (rc == 0)
        rc = tell(d, a, item, order, knew_id);
    bool unseen = a->show_at_ms != 0; /* pending, and nobody was told */
    if (rc == 0 && (changed || unseen))
        rc = announce_order(d, order);
    order_record_finish(&record);
    return rc;
}

int orders_note_operator(struct dispatch *d, const char *order_id, enum delivery_state to)
{
    struct order_record record = {0};
    struct work_order *order = &record.order;
    const char *state = to == DELIVERY_DISCARDED ? "rejected" : "pending";
    if (order_id == NULL)
        return 0;
    if (orders_find(d, order_id, &record) != 0)
        return -1;
    bool have = order->common_work_order_id != NULL;
    bool same = have && order->sync_state != NULL && strcmp(order->sync_state, state) == 0;
    int rc = 0;
    if (have && !same && event_enter_sync(order, state, d->wall_ms)) {
        rc = orders_put(d, order);
        if (rc == 0)
            rc = announce_order(d, order);
    }
    order_record_finish(&record);
    return rc;
}
