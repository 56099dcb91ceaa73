/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox's ledger: what began, what ended and how, and how many stand in each state. */
#include "dispatch_private.h"

/* How many of each state there are. What is over and goes with the retention is not kept count of. */
static _Atomic int64_t totals[DELIVERY_DISCARDED + 1];

static void count_state(const char *route, const char *target, enum delivery_state state, int64_t n)
{
    if (!delivery_state_is_open(state) && state != DELIVERY_REJECTED)
        return;
    atomic_fetch_add(&totals[state], n);
    metric_add(metric_get(metric_family(METRIC_GAUGE, "busbar_deliveries",
                                        "Deliveries that are open or dead letters, by state.", "route,target,state"),
                          route, target, delivery_state_name(state)),
               n);
}

int64_t dispatch_total(enum delivery_state state)
{
    return atomic_load(&totals[state]);
}

static void count_begun(const char *route, const char *target)
{
    metric_add(metric_get(metric_family(METRIC_COUNTER, "busbar_deliveries_accepted_total",
                                        "Deliveries that began here: the outbox ledger's left side.", "route,target"),
                          route, target),
               1);
}

void dispatch_count_added(const char *route, const char *target, enum delivery_state state)
{
    count_state(route, target, state, 1);
    count_begun(route, target);
    if (!delivery_state_is_open(state))
        count_moved(route, target, 0, state);
}

static void count_verdict(const char *route, const char *target, const char *verdict)
{
    static const char help[] = "Deliveries that ended, by verdict; reopened ones count on the other side.";
    metric_add(metric_get(metric_family(METRIC_COUNTER, "busbar_deliveries_total", help, "route,target,verdict"), route,
                          target, verdict),
               1);
}

void dispatch_count_merged(const char *route, const char *target)
{
    count_begun(route, target);
    count_verdict(route, target, "merged");
}

void count_coalesced(const char *route, const char *target)
{
    count_state(route, target, DELIVERY_PENDING, -1);
    count_verdict(route, target, "merged");
}

void count_moved(const char *route, const char *target, enum delivery_state from, enum delivery_state to)
{
    if (from == to)
        return;
    if (from != 0) {
        count_state(route, target, from, -1);
        count_state(route, target, to, 1);
    }
    bool was_open = from != 0 && delivery_state_is_open(from), open = delivery_state_is_open(to);
    if (from != 0 && was_open == open && open)
        return;
    if (from != 0 && !was_open && !open)
        count_verdict(route, target, "reopened"); /* a dead letter that is discarded ended twice */
    count_verdict(route, target, open ? "reopened" : delivery_state_name(to));
}

void count_at_start(void *context, const struct delivery_count *count)
{
    (void)context;
    count_state(count->route, count->target, count->state, count->count);
    if (delivery_state_is_open(count->state))
        metric_add(metric_get(metric_family(METRIC_GAUGE, "busbar_deliveries_carried",
                                            "Open deliveries that this process found at its start.", "route,target"),
                              count->route, count->target),
                   count->count);
}
