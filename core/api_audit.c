/* SPDX-License-Identifier: Apache-2.0 */
/* The audit and sync log: who did what to which work order, how it ended, and what comes next (FV-16). */
#include "api_json.h"
#include "api_private.h"
#include "clock.h"
#include "host.h"
#include "json.h"
#include "number.h"

#include <json-c/json.h>
#include <string.h>

#define HISTORY_MAX 1000

struct rows {
    struct json_object *items;
    size_t count, limit;
    int64_t last_seq;
};

static void add_row(void *context, const struct audit *audit)
{
    struct rows *rows = context;
    if (rows->count++ < rows->limit) {
        json_object_array_add(rows->items, api_audit(audit));
        rows->last_seq = audit->seq;
    }
}

struct json_object *api_history(struct api_call *call, const char *delivery_id)
{
    struct rows rows = {.items = json_object_new_array(), .limit = HISTORY_MAX};
    const struct audit_filter filter = {.delivery_id = delivery_id, .limit = HISTORY_MAX};
    store_list_audit(call->api->session, &filter, add_row, &rows);
    return rows.items;
}

/* One page of what the filter asks for. */
static void reply_rows(struct api_call *call, struct audit_filter filter)
{
    struct rows rows = {0};
    if (!api_read_limit(call, &rows.limit) || !api_read_cursor(call, &filter.before_seq))
        return;
    filter.limit = rows.limit + 1;
    filter.scope = api_scope(call);
    rows.items = json_object_new_array();
    if (store_list_audit(call->api->session, &filter, add_row, &rows) != 0) {
        json_object_put(rows.items);
        api_reply_store_failed(call);
        return;
    }
    struct json_object *list = json_object_new_object();
    json_object_object_add(list, "items", rows.items);
    cleanup_text char *next = rows.count > rows.limit ? mem_printf("%lld", (long long)rows.last_seq) : NULL;
    json_put_text(list, "next", next);
    api_reply_json(call, list);
}

static bool read_since(struct api_call *call, int64_t *since_ms)
{
    int64_t ago_ms;
    const char *since = api_query(call, "since");
    if (since == NULL || clock_parse(span_of(since), since_ms))
        return true;
    if (number_parse_duration(span_of(since), &ago_ms)) {
        *since_ms = clock_wall_ms() - ago_ms;
        return true;
    }
    api_problem(call->reply, 400, "since is a duration such as 1h, or an RFC 3339 time");
    return false;
}

static bool read_outcome(struct api_call *call, int *outcome)
{
    const char *word = api_query(call, "outcome");
    bool ok = word != NULL && strcmp(word, "ok") == 0, failed = word != NULL && strcmp(word, "failed") == 0;
    *outcome = ok ? 1 : failed ? -1 : 0;
    if (word == NULL || ok || failed)
        return true;
    api_problem(call->reply, 400, "outcome is ok or failed");
    return false;
}

static bool read_class(struct api_call *call, const char **error_class)
{
    *error_class = api_query(call, "class");
    bool known = *error_class == NULL;
    for (int each = BB_AUTHENTICATION; each <= BB_PROVIDER_UNAVAILABLE && !known; each++)
        known = strcmp(host_class_name((enum bb_class)each), *error_class) == 0;
    if (!known)
        api_problem(call->reply, 400,
                    "class is one of authentication, authorization, validation, identity, conflict, "
                    "provider_unavailable");
    return known;
}

void api_get_audit(struct api_call *call)
{
    struct audit_filter filter = {.delivery_id = api_query(call, "id"),
                                  .order_id = api_query(call, "order"),
                                  .target = api_query(call, "target")};
    if (read_since(call, &filter.since_ms) && read_outcome(call, &filter.outcome) &&
        read_class(call, &filter.error_class))
        reply_rows(call, filter);
}

struct known {
    const struct api_call *call;
    bool any;
};

static void note_known(void *context, const struct work_order *order)
{
    struct known *known = context;
    known->any = api_may_see(known->call, order->provider_id);
}

void api_get_order_history(struct api_call *call)
{
    struct known known = {call, false};
    if (store_find_order(call->api->session, call->argument, note_known, &known) != 0)
        api_reply_store_failed(call);
    else if (!known.any)
        api_problem(call->reply, 404, "no such work order");
    else
        reply_rows(call, (struct audit_filter){.order_id = call->argument});
}
