/* SPDX-License-Identifier: Apache-2.0 */
/* What time does to records.
 *
 * A write of ours makes its order pending when it begins. Most are answered in less than a second, and telling the bus
 * of both would cost a third of a delivery's CPU time: so pending is told when the answer lets wait for it, or does not
 * come at all. The record itself is there at once.
 *
 * FV-05f: an order of which nothing was heard within its target's `freshness` turns stale. Each record carries the time
 * at which it would; the store has an index over those, and memory the earliest of them. So nothing is scanned, and
 * nothing is asked before somebody's time is up.
 *
 * Retention: records are looked at in turns, a thousand of them a minute, and those that are over for long are given
 * up, in the store and on the bus, where each stands retained. An index over their age would cost every delivery. */
#include "dispatch_private.h"
#include "lifecycle.h"
#include "log.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

#define STALE_A_TURN 64
#define SHOWN_AFTER_MS 1000
#define LOOKED_AT_A_TURN 1000
#define LOOK_EVERY_MS 60000
#define LOOK_EVERY_WHEN_TIGHT_MS 1000
#define DAY_MS INT64_C(86400000)
#define OVER_LEAST_MS (90 * DAY_MS)    /* as long as the audit */
#define SILENT_LEAST_MS (365 * DAY_MS) /* nothing came of it, nobody will tell */

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

/* ---- forgotten */

struct look {
    const struct dispatch *d;
    int64_t over_ms, silent_ms; /* wall: what was changed before is given up */
    struct order_record found[LOOKED_AT_A_TURN];
    size_t count, seen;
    char *last;
};

static int64_t longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void look_at(void *context, const struct work_order *order)
{
    struct look *look = context;
    bool over = order->common_status != NULL && lifecycle_is_over(order->common_status);
    look->seen++;
    free(look->last);
    look->last = mem_strdup(order->common_work_order_id);
    if (order->updated_ms < (over ? look->over_ms : look->silent_ms))
        event_copy_order(&look->found[look->count++], order);
}

static int forget_some(struct dispatch *d)
{
    bool tight = store_is_tight(d->options.store);
    int64_t kept_ms = d->options.config->store.retention_ms;
    struct look *look = mem_alloc(sizeof(*look));
    look->over_ms = d->wall_ms - (tight ? 0 : longer(kept_ms, OVER_LEAST_MS));
    look->silent_ms = d->wall_ms - longer(kept_ms, SILENT_LEAST_MS);
    const struct order_filter next = {.after_id = d->forgot_up_to, .limit = LOOKED_AT_A_TURN};
    int rc = store_list_orders(d->options.session, &next, look_at, look);
    for (size_t i = 0; i < look->count; i++) {
        struct work_order *order = &look->found[i].order;
        if (rc == 0)
            rc = store_remove_order(d->options.session, order->common_work_order_id);
        if (rc == 0)
            rc = announce_forgotten(d, order);
        order_record_finish(&look->found[i]);
    }
    if (look->count > 0) {
        cleanup_text char *count = mem_printf("%zu", look->count);
        log_info("work orders that were over for long are forgotten", "count", count, NULL);
    }
    free(d->forgot_up_to);
    d->forgot_up_to = look->seen == LOOKED_AT_A_TURN ? look->last : NULL; /* NULL: from the first again */
    if (d->forgot_up_to == NULL)
        free(look->last);
    free(look);
    d->forget_at_ms = d->now_ms + (tight ? LOOK_EVERY_WHEN_TIGHT_MS : LOOK_EVERY_MS);
    return rc;
}

/* ---- all */

bool orders_time_is_up(const struct dispatch *d)
{
    return d->show_at_ms <= d->now_ms || d->stale_at_ms <= d->wall_ms || d->forget_at_ms <= d->now_ms;
}

int orders_let_time_pass(struct dispatch *d)
{
    if (d->show_at_ms <= d->now_ms && show_pending(d) != 0)
        return -1;
    if (d->forget_at_ms <= d->now_ms && forget_some(d) != 0)
        return -1;
    return d->stale_at_ms <= d->wall_ms ? turn_stale(d) : 0;
}

int64_t orders_next_due(const struct dispatch *d)
{
    int64_t stale = INT64_MAX;
    if (d->stale_at_ms != INT64_MAX)
        stale = d->stale_at_ms > d->wall_ms ? d->now_ms + (d->stale_at_ms - d->wall_ms) : INT64_MIN;
    return d->show_at_ms < stale ? d->show_at_ms : stale; /* forgetting can wait until somebody wakes us */
}
