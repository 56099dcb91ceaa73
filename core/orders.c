/* SPDX-License-Identifier: Apache-2.0 */
/* The common record of a work order: what a target says of it (an event), and what our own writes make of it.
 * In the store with the verdict, and on the bus. */
#include "digest.h"
#include "dispatch_private.h"
#include "event.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- what a target says */

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

int orders_note_event(struct dispatch *d, struct attempt *a, const struct job_event *emitted, struct event_facts *facts)
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
        rc = announce_event(d, facts, record.order.common_work_order_id);
    if (rc == 0)
        rc = announce_order(d, &record.order);
    for (enum word_list list = WORDS_STATUS; rc == 0 && list <= WORDS_PRIORITY; list++)
        if (emitted->unmapped[list] != NULL)
            rc = announce_unmapped(d, facts, list, emitted->unmapped[list]);
    order_record_finish(&known);
    order_record_finish(&record);
    return rc;
}

/* ---- our own orders */

static const char *sync_state_of(const struct attempt *a, const struct item *item)
{
    if (item->fate != FATE_DELIVERED)
        return "rejected";
    return a->out.unconfirmed ? "pending" : "synchronized";
}

/* What we created is a record from the moment the target took it, or refused it for good. It is
 * announced as created when the target's own id is known: at once, or by the target's first webhook. */
int orders_note_own(struct dispatch *d, struct attempt *a, const struct item *item)
{
    struct order_record record = {0};
    const struct bb_message *message = item->message;
    bool alone = a->count == 1; /* what the plugin says of an order is not said of each in a batch */
    if (store_find_order(d->options.session, message->order_id, keep_order, &record) != 0)
        return -1;
    struct work_order *order = &record.order;
    bool unannounced = order->source_work_order_id == NULL;
    order->common_work_order_id = message->order_id;
    order->delivery_id = message->id;
    order->provider_id = a->slot->name;
    order->sync_state = sync_state_of(a, item);
    order->updated_ms = d->wall_ms;
    if (order->asset_ref == NULL && alone)
        order->asset_ref = a->out.asset_ref;
    if (order->common_status == NULL)
        order->common_status = "requested";
    if (a->out.source_work_order_id != NULL && alone)
        order->source_work_order_id = a->out.source_work_order_id;
    if (strcmp(order->sync_state, "synchronized") == 0)
        order->last_synced_ms = d->wall_ms;
    int rc = store_put_order(d->options.session, order);
    if (rc == 0 && item->fate == FATE_DELIVERED) {
        char id[UUID_TEXT_MAX];
        cleanup_text char *name = mem_printf("%s/created/%s", a->slot->name, message->id);
        uuid_v5(span_of(name), id);
        struct event_facts facts = {.target = a->slot->name,
                                    .plugin = a->slot->target->plugin->name,
                                    .id = id,
                                    .type = "work_order.created",
                                    .time_ms = d->wall_ms,
                                    .order = order,
                                    .received_ms = d->wall_ms};
        if (unannounced && order->source_work_order_id != NULL)
            rc = announce_event(d, &facts, order->common_work_order_id);
        if (rc == 0)
            rc = announce_order(d, order);
    }
    order_record_finish(&record);
    return rc;
}
