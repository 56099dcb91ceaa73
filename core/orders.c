/* SPDX-License-Identifier: Apache-2.0 */
/* The common record of a work order, in the store with the verdict, and on the bus: what a target says of it. What our
 * own writes make of it is orders_own.c's. */
#include "digest.h"
#include "dispatch_private.h"
#include "event.h"
#include "lifecycle.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

static void keep_order(void *context, const struct work_order *order)
{
    struct order_record *record = context;
    event_copy_order(record, order);
}

int orders_find(struct dispatch *d, const char *common_id, struct order_record *record)
{
    return store_find_order(d->options.session, common_id, keep_order, record);
}

int orders_find_by_source(struct dispatch *d, const char *target, const char *source_id, struct order_record *record)
{
    return store_find_order_by_source(d->options.session, target, source_id, keep_order, record);
}

static bool takes_webhooks(const struct dispatch *d, const struct slot *slot)
{
    const struct config_target *config = slot->target->config;
    return slot->target->plugin->hook.event_pointer != NULL && d->options.config->http.webhooks != NULL &&
           (config->webhook_secret_count > 0 || config->allow_unsigned);
}

/* Whether silence means something: a target that never speaks by itself confirms nothing. */
static bool speaks(const struct dispatch *d, const struct slot *slot)
{
    bool polls = slot->target->plugin->poll != NULL && slot->errands[ERRAND_POLL].every_ms > 0;
    return polls || takes_webhooks(d, slot);
}

/* FV-05f. 0: never. What is over is nobody's to confirm, but for a write of ours that waits. */
static int64_t fresh_until(const struct dispatch *d, const struct work_order *order)
{
    const struct slot *slot = dispatch_slot(d, order->provider_id);
    if (slot == NULL || slot->target == NULL || slot->target->config->freshness_ms == 0)
        return 0;
    bool waits = strcmp(order->sync_state, "pending") == 0;
    bool told = strcmp(order->sync_state, "imported") == 0 || strcmp(order->sync_state, "synchronized") == 0;
    if (!waits && !(told && !lifecycle_is_over(order->common_status) && speaks(d, slot)))
        return 0;
    return d->wall_ms + slot->target->config->freshness_ms;
}

int orders_put(struct dispatch *d, struct work_order *order)
{
    order->updated_ms = d->wall_ms;
    if (order->fresh_until_ms == 0)
        order->fresh_until_ms = fresh_until(d, order);
    if (order->fresh_until_ms > 0 && order->fresh_until_ms < d->stale_at_ms)
        d->stale_at_ms = order->fresh_until_ms;
    return store_put_order(d->options.session, order);
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
        if (orders_find(d, ids[i], known) != 0)
            return -1;
        if (known->order.common_work_order_id != NULL && strcmp(known->order.provider_id, target) == 0)
            return 0;
        order_record_finish(known);
    }
    if (said->source_work_order_id == NULL)
        return 0;
    return orders_find_by_source(d, target, said->source_work_order_id, known);
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

/* What was told is in the audit as an import: a webhook's delivery has its row, which names the order; for what was
 * polled, or told beside a write, there is none. */
static int audit_import(struct dispatch *d, struct attempt *a, const struct order_record *record, const char *was)
{
    const struct work_order *order = &record->order;
    bool webhook = a->line != NULL && a->line->kind == DELIVERY_IN;
    cleanup_text char *step =
        record->illegal
            ? mem_printf("%s to %s is no step of the lifecycle; the target's word holds", was, order->common_status)
            : NULL;
    const struct audit audit = {.at_ms = d->wall_ms,
                                .who = a->slot->name,
                                .what = "import",
                                .delivery_id = a->line != NULL ? a->message.id : NULL, /* a poll is none */
                                .target = a->slot->name,
                                .outcome = record->illegal ? "warning" : "delivered",
                                .detail = record->illegal ? step : order->common_status,
                                .order_id = order->common_work_order_id,
                                .sync_state = order->sync_state};
    if (webhook) {
        a->items[0].order_id = arena_dup(a->job.arena, audit.order_id, strlen(audit.order_id));
        a->items[0].sync_state = arena_dup(a->job.arena, audit.sync_state, strlen(audit.sync_state));
    }
    if (record->illegal)
        log_warn("the target made a step that the lifecycle does not know", "target", a->slot->name, "order",
                 order->common_work_order_id, "step", step, NULL);
    return webhook && !record->illegal ? 0 : store_add_audit(d->options.session, &audit);
}

/* ---- what a target says */

struct waiting { /* one of our deliveries whose answer was lost, and which may have been given up for it */
    bool any;
    int64_t seq;
    enum delivery_state state;
    char *route;
};

static void note_waiting(void *context, const struct delivery *delivery)
{
    bool parked = delivery->state == DELIVERY_REJECTED && delivery->error.code != NULL &&
                  strcmp(delivery->error.code, "uncertain_outcome") == 0;
    bool waits = delivery_state_is_open(delivery->state) || delivery->state == DELIVERY_REJECTED ||
                 delivery->state == DELIVERY_EXPIRED;
    bool lost = delivery->uncertain && waits;
    if (delivery->kind == DELIVERY_OUT && !delivery->in_flight && (lost || parked))
        *(struct waiting *)context =
            (struct waiting){true, delivery->seq, delivery->state, mem_strdup(delivery->route)};
}

/* The target carries our mark back: what we were about to send again, or gave up, has arrived. */
static int confirm(struct dispatch *d, const struct attempt *a, const char *delivery_id, bool *confirmed)
{
    struct waiting waiting = {0};
    const struct settlement s = {
        .state = DELIVERY_DELIVERED, .who = a->slot->name, .what = "confirm", .now_ms = d->wall_ms};
    *confirmed = false;
    if (delivery_id == NULL)
        return 0;
    int rc = store_find_delivery(d->options.session, delivery_id, note_waiting, &waiting);
    bool idle = waiting.any && !queue_has_taken(a->slot->out.queue, waiting.seq);
    *confirmed = rc == 0 && idle; /* not in this turn's hands */
    if (*confirmed) {
        rc = store_settle(d->options.session, waiting.seq, &s);
        d->confirmed = mem_grow(d->confirmed, &d->confirmed_cap, d->confirmed_count + 1, sizeof(d->confirmed[0]));
        d->confirmed[d->confirmed_count++] = (struct confirmed){a->slot, waiting.seq, waiting.state, waiting.route};
        waiting.route = NULL;
    }
    free(waiting.route);
    return rc;
}

/* Merges what was said, and stores it. */
static int take_in(struct dispatch *d, const struct attempt *a, const struct job_event *emitted,
                   struct order_record *known, struct event_facts *facts, struct order_record *record)
{
    const struct bb_work_order *said = &emitted->work_order;
    char id[UUID_TEXT_MAX];
    bool have = known->order.common_work_order_id != NULL;
    bool first_sight = !have || known->order.source_work_order_id == NULL;
    event_merge_order(record, have ? &known->order : NULL, said, a->slot->name, new_order_id(a, said, id), d->wall_ms);
    if (strcmp(facts->type, "work_order.created") == 0 && !first_sight)
        facts->type = "work_order.updated";
    facts->order = &record->order;
    return orders_put(d, &record->order);
}

/* Where webhooks tell what changes, the poll heals those that were lost: what it finds as our record has it was told.
 * Where there are none, it tells all. */
static bool was_told(const struct dispatch *d, const struct attempt *a, const struct order_record *known,
                     const struct order_record *record)
{
    bool polled = a->errand != NULL && a->errand->operation == NULL;
    return polled && !record->fresh && takes_webhooks(d, a->slot) && event_same_order(&known->order, &record->order);
}

int orders_note_event(struct dispatch *d, struct attempt *a, const struct job_event *emitted, struct event_facts *facts)
{
    struct order_record known = {0}, record = {0};
    bool confirmed;
    int rc = confirm(d, a, emitted->work_order.delivery_id, &confirmed);
    if (rc == 0)
        rc = find_order(d, a->slot->name, &emitted->work_order, &known);
    if (rc == 0 && confirmed && known.order.common_work_order_id != NULL)
        (void)event_enter_sync(&known.order, "pending", d->wall_ms); /* given up or not, it was on its way */
    if (rc == 0)
        rc = take_in(d, a, emitted, &known, facts, &record);
    if (rc == 0)
        rc = audit_import(d, a, &record, known.order.common_status);
    if (rc == 0 && !was_told(d, a, &known, &record))
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
