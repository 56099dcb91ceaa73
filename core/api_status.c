/* SPDX-License-Identifier: Apache-2.0 */
/* Status: one screen. */
#include "api_private.h"
#include "dispatch.h"
#include "intake.h"
#include "json.h"
#include "strays.h"

#include <json-c/json.h>
#include <string.h>

bool api_is_configured(const struct api *api, const char *target)
{
    if (target == NULL) /* the row is damaged */
        return false;
    for (size_t i = 0; i < api->config->target_count; i++)
        if (strcmp(api->config->targets[i].name, target) == 0)
            return true;
    return strcmp(target, "bus") == 0;
}

struct counting {
    const struct api *api;
    struct json_object *queue;
    struct strays *strays;
};

static void add_count(void *context, const struct delivery_count *count)
{
    struct counting *counting = context;
    struct json_object *known;
    const char *state = delivery_state_name(count->state);
    if (json_object_object_get_ex(counting->queue, state, &known)) /* only the states of count_queue */
        json_put_int(counting->queue, state, json_object_get_int64(known) + count->count);
    if (delivery_state_is_open(count->state) && !api_is_configured(counting->api, count->target))
        strays_add(counting->strays, count->target, count->count);
}

/* What is open and what is dead. The daemon keeps count; without it, the store is read through. */
static int count_queue(const struct api *api, struct json_object *queue, struct json_object **strays)
{
    static const enum delivery_state states[] = {DELIVERY_DRAFT, DELIVERY_PENDING, DELIVERY_RETRYING,
                                                 DELIVERY_REJECTED};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        json_put_int(queue, delivery_state_name(states[i]), api->dispatch != NULL ? dispatch_total(states[i]) : 0);
    if (api->dispatch != NULL) {
        *strays = strays_describe(dispatch_strays(api->dispatch));
        return 0;
    }
    struct counting counting = {api, queue, strays_create()};
    int rc = store_count_deliveries(api->session, add_count, &counting);
    if (rc == 0)
        *strays = strays_describe(counting.strays);
    strays_destroy(counting.strays);
    return rc;
}

static struct json_object *describe_trouble(const struct api *api)
{
    struct store_trouble trouble;
    if (!store_trouble(api->store, &trouble))
        return NULL;
    struct json_object *json = json_object_new_object();
    json_put_text(json, "name", trouble.name);
    json_put_text(json, "text", trouble.text);
    json_put_time(json, "since", trouble.since_ms);
    return json;
}

void api_get_status(struct api_call *call)
{
    const struct api *api = call->api;
    struct json_object *status = json_object_new_object(), *queue = json_object_new_object(),
                       *bus = json_object_new_object(), *strays = NULL;
    const char *why = api_why_not_ready(api);
    json_put_text(status, "instance", api->config->instance);
    json_put_text(status, "version", BUSBAR_VERSION);
    json_put_time(status, "started", api->started_ms);
    json_object_object_add(status, "ready", json_object_new_boolean(why == NULL));
    json_put_text(status, "reason", why);
    json_put_text(bus, "state", api->bus_state != NULL ? api->bus_state(api->context) : NULL);
    json_put_text(bus, "url", api->config->bus.url_count > 0 ? api->config->bus.urls[0] : NULL);
    json_put_text(bus, "reason", api->bus_reason != NULL ? api->bus_reason(api->context) : NULL);
    json_object_object_add(status, "bus", bus);
    if (count_queue(api, queue, &strays) != 0) { /* the rest is worth the more then */
        json_object_put(queue);
        queue = NULL;
    }
    json_object_object_add(status, "queue", queue);
    json_object_object_add(status, "not_configured", strays);
    json_put_int(status, "store_bytes", store_bytes(api->store));
    json_object_object_add(status, "store_trouble", describe_trouble(api));
    json_object_object_add(status, "targets", api->dispatch != NULL ? dispatch_describe(api->dispatch) : NULL);
    json_object_object_add(status, "routes", api->intake != NULL ? intake_describe(api->intake) : NULL);
    api_reply_json(call, status);
}
