/* SPDX-License-Identifier: Apache-2.0 */
/* FV-05f: an order of which nothing was heard within its target's `freshness` turns stale. Each record carries the time
 * at which it would; the store has an index over those, and memory the earliest of them. So nothing is scanned, and
 * nothing is asked before somebody's time is up. */
#include "dispatch_private.h"

#include <stdlib.h>
#include <string.h>

#define STALE_A_TURN 64

struct stale {
    struct order_record records[STALE_A_TURN];
    size_t count;
};

static void keep(void *context, const struct work_order *order)
{
    struct stale *stale = context;
    event_copy_order(&stale->records[stale->count++], order);
}

bool orders_stale_due(const struct dispatch *d)
{
    return d->stale_at_ms <= d->wall_ms;
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

int orders_turn_stale(struct dispatch *d)
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

int64_t orders_next_stale(const struct dispatch *d)
{
    if (d->stale_at_ms == INT64_MAX)
        return INT64_MAX;
    return d->stale_at_ms > d->wall_ms ? d->now_ms + (d->stale_at_ms - d->wall_ms) : INT64_MIN;
}
