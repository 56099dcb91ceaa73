/* SPDX-License-Identifier: Apache-2.0 */
/* What time does to records.
 *
 * A write of ours makes its order pending when it begins. Most are answered in less than a second, and telling the bus
 * of both would cost a third of a delivery's CPU time: so pending is told when the answer lets wait for it, or does not
 * come at all. The record itself is there at once.
 *
 * FV-05f: an order of which nothing was heard within its target's `freshness` turns stale. Each record carries the time
 * at which it would; the store has an index over those, and memory the earliest of them. So nothing is scanned, and
 * nothing is asked before somebody's time is up. */
#include "dispatch_private.h"

#include <stdlib.h>
#include <string.h>

#define STALE_A_TURN 64
#define SHOWN_AFTER_MS 1000

/* ---- pending */

void orders_show_later(struct dispatch *d, struct attempt *a)
{
    a->show_at_ms = d->now_ms + SHOWN_AFTER_MS;
    if (a->show_at_ms < d->show_at_ms)
        d->show_at_ms = a->show_at_ms;
}

static int show(struct dispatch *d, struct attempt *a)
{
    for (size_t i = 0; i < a->count; i++) {
        struct order_record record = {0};
        int rc = orders_find(d, a->items[i].message->order_id, &record);
        if (rc == 0 && record.order.common_work_order_id != NULL)
            rc = announce_order(d, &record.order);
        order_record_finish(&record);
        if (rc != 0)
            return -1;
    }
    a->show_at_ms = 0;
    return 0;
}

static int show_pending(struct dispatch *d)
{
    int64_t next_ms = INT64_MAX;
    for (struct attempt *a = d->running.first; a != NULL; a = a->next) {
        if (a->show_at_ms != 0 && a->show_at_ms <= d->now_ms && show(d, a) != 0)
            return -1;
        if (a->show_at_ms != 0 && a->show_at_ms < next_ms)
            next_ms = a->show_at_ms;
    }
    for (struct attempt *a = d->starting.first; a != NULL; a = a->next)
        if (a->show_at_ms != 0 && a->show_at_ms < next_ms)
            next_ms = a->show_at_ms;
    d->show_at_ms = next_ms;
    return 0;
}

/* ---- stale */

struct stale {
    struct order_record records[STALE_A_TURN];
    size_t count;
};

static void keep(void *context, const struct work_order *order)
{
    struct stale *stale = context;
    event_copy_order(&stale->records[stale->count++], order);
}

static int turn(struct dispatch *d, struct work_order *order)
{
    const struct audit audit = {.at_ms = d->wall_ms,
                                .who = "busbar",
                                .what = "stale",
                                .delivery_id = order->delivery_id,
                                .target = order->provider_id,
                                .outcome = "stale",
                                .detail = "nothing was heard of it in time",
                                .order_id = order->common_work_order_id,
                                .sync_state = "stale"};
    if (!event_enter_sync(order, "stale", d->wall_ms))
        order->fresh_until_ms = 0;
    order->updated_ms = d->wall_ms;
    if (store_put_order(d->options.session, order) != 0 || store_add_audit(d->options.session, &audit) != 0)
        return -1;
    return announce_order(d, order);
}

static int turn_stale(struct dispatch *d)
{
    struct stale *stale = mem_alloc(sizeof(*stale));
    int rc = store_scan_stale(d->options.session, d->wall_ms, STALE_A_TURN, keep, stale);
    for (size_t i = 0; rc == 0 && i < stale->count; i++)
        rc = turn(d, &stale->records[i].order);
    for (size_t i = 0; i < stale->count; i++)
        order_record_finish(&stale->records[i]);
    free(stale);
    return rc != 0 ? -1 : store_next_stale(d->options.session, &d->stale_at_ms);
}

/* ---- both */

bool orders_time_is_up(const struct dispatch *d)
{
    return d->show_at_ms <= d->now_ms || d->stale_at_ms <= d->wall_ms;
}

int orders_let_time_pass(struct dispatch *d)
{
    if (d->show_at_ms <= d->now_ms && show_pending(d) != 0)
        return -1;
    return d->stale_at_ms <= d->wall_ms ? turn_stale(d) : 0;
}

int64_t orders_next_due(const struct dispatch *d)
{
    int64_t stale = INT64_MAX;
    if (d->stale_at_ms != INT64_MAX)
        stale = d->stale_at_ms > d->wall_ms ? d->now_ms + (d->stale_at_ms - d->wall_ms) : INT64_MIN;
    return d->show_at_ms < stale ? d->show_at_ms : stale;
}
