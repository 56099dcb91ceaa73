/* SPDX-License-Identifier: Apache-2.0 */
/* The work-order read model: the eleven fields of the common record, whoever they came from. */
#include "api_private.h"
#include "event.h"
#include "json.h"

#include <json-c/json.h>

struct order_page {
    struct json_object *items;
    size_t count, limit;
    char *last_id;
};

static struct json_object *order_json(const struct work_order *order)
{
    cleanup_buf struct buf text = {0};
    event_print_order(order, &text);
    struct json_object *object = json_parse(buf_span(&text), NULL, NULL); /* ours: it is an object */
    json_put_text(object, "delivery", order->delivery_id);
    json_put_time(object, "updated", order->updated_ms);
    return object;
}

static void add_order(void *context, const struct work_order *order)
{
    struct order_page *page = context;
    if (page->count++ >= page->limit)
        return;
    json_object_array_add(page->items, order_json(order));
    mem_free_char(&page->last_id);
    page->last_id = mem_strdup(order->common_work_order_id);
}

void api_get_orders(struct api_call *call)
{
    struct order_page page = {0};
    if (!api_read_limit(call, &page.limit))
        return;
    page.items = json_object_new_array();
    const struct order_filter filter = {.provider_id = api_query(call, "target"),
                                        .after_id = api_query(call, "cursor"),
                                        .limit = page.limit + 1,
                                        .scope = api_scope(call)};
    if (store_list_orders(call->api->session, &filter, add_order, &page) != 0) {
        json_object_put(page.items);
        api_reply_store_failed(call);
    } else {
        struct json_object *list = json_object_new_object();
        json_object_object_add(list, "items", page.items);
        json_put_text(list, "next", page.count > page.limit ? page.last_id : NULL);
        api_reply_json(call, list);
    }
    mem_free_char(&page.last_id);
}

struct found {
    const struct api_call *call;
    struct json_object *order;
};

static void take_order(void *context, const struct work_order *order)
{
    struct found *found = context;
    if (api_may_see(found->call, order->provider_id))
        found->order = order_json(order);
}

void api_get_order(struct api_call *call)
{
    struct found found = {call, NULL};
    if (store_find_order(call->api->session, call->argument, take_order, &found) != 0)
        api_reply_store_failed(call);
    else if (found.order == NULL)
        api_problem(call->reply, 404, "no such work order");
    else
        api_reply_json(call, found.order);
}
