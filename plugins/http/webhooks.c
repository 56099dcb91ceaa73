/* SPDX-License-Identifier: Apache-2.0 */
/* One webhook becomes one event, and moves a work order where it carries its record. */
#include "http.h"

#include <json-c/json.h>
#include <string.h>

static bool is_about_orders(const struct ht_call *call, const char *name)
{
    struct json_object *orders = pl_member(call->self->webhook, "orders");
    for (size_t i = 0; orders && i < json_object_array_length(orders); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(orders, i)), name) == 0)
            return true;
    return !orders;
}

static int64_t occurred_ms(const struct ht_call *call, struct json_object *body)
{
    const char *place = ht_setting(call, call->self->webhook, "occurred");
    int64_t ms;
    bool local;
    return place && ht_read_time(call, pl_at(body, place), &ms, &local) && !local ? ms : 0;
}

/* The name and all of `dedup`; without it the core's own key of the bytes tells. */
static const char *dedup_id(const struct ht_call *call, struct json_object *body, const char *name)
{
    const char *id = NULL;
    for (const char *const *at = call->self->dedup ? call->self->dedup + 1 : NULL; at && *at; at++) {
        const char *part = ht_word_at(call, body, *at);
        if (!part)
            return NULL;
        id = call->host->format(call->job, "%s/%s", id ? id : name, part);
    }
    return id;
}

enum bb_next ht_decode(const struct ht_call *call)
{
    const struct bb_message *message = &call->in->messages[0];
    struct json_object *said = call->self->webhook;
    PL_SCOPED struct json_object *body = pl_parse(message->body);
    const char *at = ht_setting(call, said, "at");
    const char *name = call->host->format(call->job, "%.*s", (int)message->event.len, message->event.data);
    struct bb_work_order order;
    if (!json_object_is_type(body, json_type_object))
        return pl_fail(call->out, BB_REJECT, BB_VALIDATION, "invalid_webhook", "the webhook is not a JSON object");
    struct bb_event event = {.size = sizeof event,
                             .name = *name ? name : "event",
                             .dedup_id = dedup_id(call, body, name),
                             .occurred_ms = occurred_ms(call, body),
                             .raw = message->body};
    struct json_object *record = at ? pl_at(body, at) : body;
    if (is_about_orders(call, name) && ht_read_record(call, said, record, &order)) {
        event.type = ht_event_type(call, &order);
        event.work_order = &order;
    }
    call->host->emit(call->job, &event);
    return BB_DONE;
}
