/* SPDX-License-Identifier: Apache-2.0 */
#include "api_json.h"

#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>

static const char *kind_name(enum delivery_kind kind)
{
    switch (kind) {
    case DELIVERY_OUT:
        return "out";
    case DELIVERY_IN:
        return "in";
    case DELIVERY_BUS:
        return "bus";
    }
    return "?";
}

/* Where the delivery's retries stand. */
static struct json_object *retry_state(const struct delivery *delivery)
{
    struct json_object *retry = json_object_new_object();
    bool open = delivery_state_is_open(delivery->state);
    json_put_int(retry, "attempt", delivery->attempts);
    json_put_time(retry, "next_at", open ? delivery->due_ms : 0);
    json_object_object_add(retry, "final", json_object_new_boolean(!open));
    return retry;
}

/* The error record of the contract (FV-07), as sync.failed has it; provider_response comes with the details. */
static struct json_object *error_json(const struct delivery *delivery)
{
    const struct delivery_error *error = &delivery->error;
    if (error->code == NULL && error->error_class == NULL)
        return NULL;
    struct json_object *object = json_object_new_object();
    json_put_text(object, "class", error->error_class);
    json_put_text(object, "code", error->code);
    json_put_text(object, "message", error->message);
    json_object_object_add(object, "provider_http_status",
                           error->http_status > 0 ? json_object_new_int(error->http_status) : NULL);
    json_put_text(object, "provider_request_id", error->request_id);
    json_object_object_add(object, "rejected_fields",
                           error->rejected_fields != NULL ? json_parse(span_of(error->rejected_fields), NULL, NULL)
                                                          : json_object_new_array());
    json_object_object_add(object, "retry_state", retry_state(delivery));
    json_put_text(object, "owner_action", error->owner_action);
    json_put_text(object, "work_order", delivery->order_id);
    json_put_time(object, "at", delivery->ended_ms > 0 ? delivery->ended_ms : delivery->attempted_ms);
    return object;
}

struct json_object *api_delivery(const struct delivery *delivery, const char *held_reason)
{
    struct json_object *object = json_object_new_object();
    json_put_text(object, "id", delivery->id);
    json_put_text(object, "direction", kind_name(delivery->kind));
    json_put_text(object, "route", delivery->route);
    json_put_text(object, "target", delivery->target);
    json_put_text(object, "operation", delivery->operation);
    json_put_text(object, "lane", delivery->lane);
    json_put_text(object, "state", delivery_state_name(delivery->state));
    json_put_int(object, "attempts", delivery->attempts);
    json_put_int(object, "repeats", delivery->repeats);
    json_object_object_add(object, "in_flight", json_object_new_boolean(delivery->in_flight));
    json_object_object_add(object, "uncertain", json_object_new_boolean(delivery->uncertain));
    json_object_object_add(object, "unconfirmed", json_object_new_boolean(delivery->unconfirmed));
    json_put_text(object, "held_reason", held_reason);
    json_put_time(object, "accepted", delivery->accepted_ms);
    json_put_time(object, "due", delivery_state_is_open(delivery->state) ? delivery->due_ms : 0);
    json_put_time(object, "ended", delivery->ended_ms);
    json_put_text(object, "topic", delivery->topic);
    json_put_text(object, "order", delivery->order_id);
    json_put_text(object, "merged_into", delivery->merged_into);
    json_put_text(object, "batch", delivery->batch);
    json_object_object_add(object, "error", error_json(delivery));
    return object;
}

/* JSON where it is JSON, else the text as a string. */
static struct json_object *payload_json(struct span bytes)
{
    const char *error = NULL;
    if (bytes.len == 0)
        return NULL;
    struct json_object *value = json_parse(bytes, NULL, &error);
    return error == NULL ? value : json_text(bytes);
}

void api_delivery_details(struct json_object *object, const struct delivery *delivery)
{
    struct json_object *message = json_object_new_object();
    json_object_object_add(object, "body", payload_json(delivery->body));
    json_put_text(message, "topic", delivery->topic);
    json_object_object_add(message, "payload", payload_json(delivery->payload));
    json_object_object_add(message, "user",
                           delivery->user != NULL ? json_parse(span_of(delivery->user), NULL, NULL) : NULL);
    json_object_object_add(object, "message", message);
    json_put_text(object, "request", delivery->request);
    json_put_text(object, "response", delivery->response);
    struct json_object *error = json_get(object, "error");
    if (error != NULL)
        json_put_text(error, "provider_response", delivery->response);
}

struct json_object *api_audit(const struct audit *audit)
{
    struct json_object *object = json_object_new_object();
    json_put_time(object, "at", audit->at_ms);
    json_put_text(object, "who", audit->who);
    json_put_text(object, "what", audit->what);
    json_put_text(object, "delivery", audit->delivery_id);
    json_put_text(object, "route", audit->route);
    json_put_text(object, "target", audit->target);
    json_put_text(object, "operation", audit->operation);
    json_put_text(object, "mode", audit->mode);
    json_put_text(object, "outcome", audit->outcome);
    json_put_text(object, "order", audit->order_id);
    json_put_text(object, "sync_state", audit->sync_state);
    json_put_text(object, "class", audit->error_class);
    json_put_text(object, "code", audit->code);
    json_object_object_add(object, "attempt", audit->attempt > 0 ? json_object_new_int(audit->attempt) : NULL);
    json_put_time(object, "next_at", audit->next_ms);
    json_put_text(object, "owner_action", audit->owner_action);
    json_put_text(object, "detail", audit->detail);
    return object;
}
