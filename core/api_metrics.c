/* SPDX-License-Identifier: Apache-2.0 */
#include "api_private.h"

#include "clock.h"
#include "dispatch.h"
#include "metrics.h"
#include "strays.h"

static void set_gauge(const char *name, const char *help, double value)
{
    metric_set(metric_get(metric_family(METRIC_GAUGE, name, help, "")), value);
}

static void note_oldest(void *context, const struct delivery_head *head)
{
    int64_t *oldest_ms = context;
    if (head->accepted_ms < *oldest_ms)
        *oldest_ms = head->accepted_ms;
}

/* The first of a kind in the store's own order, so that a scrape costs the same however long the queue is. */
static void set_age(const struct api *api, const char *target, const enum delivery_kind *kinds, size_t count)
{
    int64_t now_ms = clock_wall_ms(), oldest_ms = now_ms;
    for (size_t i = 0; i < count; i++)
        if (store_scan_open(api->session, target, kinds[i], 0, 1, note_oldest, &oldest_ms) != 0)
            return; /* the store says so elsewhere; the last value stays */
    metric_set(metric_get(metric_family(METRIC_GAUGE, "busbar_deliveries_oldest_seconds",
                                        "How long the oldest pending or retrying delivery has waited; 0: none does.",
                                        "target"),
                          target),
               (double)(now_ms - oldest_ms) / 1000);
}

void api_get_metrics(struct api_call *call)
{
    static const enum delivery_kind of_target[] = {DELIVERY_OUT, DELIVERY_IN}, of_bus[] = {DELIVERY_BUS};
    const struct api *api = call->api;
    set_gauge("busbar_store_bytes", "Size of the store on disk.", (double)store_bytes(api->store));
    set_gauge("busbar_store_max_bytes", "The size at which it takes nothing more: store.max_size.",
              (double)api->config->store.max_bytes);
    struct store_trouble trouble;
    set_gauge("busbar_store_trouble",
              "1: the store takes nothing (disk full, read only, failing, damaged): status says which.",
              store_trouble(api->store, &trouble));
    for (size_t i = 0; i < api->config->target_count; i++)
        set_age(api, api->config->targets[i].name, of_target, 2);
    const struct strays *strays = api->dispatch != NULL ? dispatch_strays(api->dispatch) : NULL;
    for (size_t i = 0; strays != NULL && strays_target(strays, i) != NULL; i++)
        set_age(api, strays_target(strays, i), of_target, 2);
    set_age(api, "bus", of_bus, 1);
    call->reply->status = 200;
    call->reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_render(&call->reply->body);
}
