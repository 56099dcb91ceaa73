/* SPDX-License-Identifier: Apache-2.0 */
#include "handoff_private.h"

#include "number.h"
#include "rehearse.h"
#include "sample.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

/* The request as it would go out, its credential as ***. gives */
static struct json_object *describe_request(const struct target *target, const struct http_request *http)
{
    struct json_object *request = json_object_new_object(), *headers = json_object_new_object();
    json_put_text(request, "method", http->method);
    json_put_text(request, "url", http->url);
    for (size_t i = 0; i < http->header_count; i++) {
        const struct http_header *header = &http->headers[i];
        bool secret = target->auth_header != NULL && strcasecmp(header->name, target->auth_header) == 0;
        json_object_object_add(headers, header->name, json_text(secret ? SPAN("***") : header->value));
    }
    json_put_text(headers, "User-Agent", target->http.user_agent);
    json_object_object_add(request, "headers", headers);
    json_object_object_add(request, "body", http->body.len > 0 ? json_text(http->body) : NULL);
    return request;
}

struct json_object *handoff_start_request(const struct target *target, const char *operation, int64_t now_ms)
{
    struct rehearsal rehearsal;
    rehearse(&rehearsal, target, operation, NULL, now_ms);
    struct json_object *request = rehearsal_sends(&rehearsal) ? describe_request(target, &rehearsal.http) : NULL;
    rehearsal_finish(&rehearsal);
    return request;
}

static void put_node(struct json_object *object, const char *key, const struct yaml_node *node)
{
    if (node != NULL)
        json_object_object_add(object, key, yaml_to_json(node));
}

static struct json_object *describe_trigger(const struct config_route *route)
{
    struct json_object *trigger = json_object_new_object();
    if (!route->trigger.given)
        return trigger;
    put_node(trigger, "value", route->trigger.value);
    put_node(trigger, "above", route->trigger.above);
    put_node(trigger, "below", route->trigger.below);
    put_node(trigger, "outside", route->trigger.outside);
    put_node(trigger, "when", route->trigger.when);
    put_node(trigger, "clear", route->trigger.clear);
    put_duration(trigger, "cooldown", route->trigger.cooldown_ms > 0 ? route->trigger.cooldown_ms : 0);
    put_node(trigger, "key", route->trigger.key);
    return trigger;
}

/* What the plugin makes of the sample: the request, or why there is none. */
static void put_outcome(struct json_object *example, const struct app *app, const struct config_route *route,
                        const struct sample *sample, int64_t now_ms)
{
    const struct target *target = app_target(app, route->target);
    const struct bb_message message = {.id = sample->id,
                                       .order_id = sample->id,
                                       .body = {sample->body.data, sample->body.len},
                                       .topic = {sample->topic, strlen(sample->topic)},
                                       .received_ms = now_ms};
    cleanup_buf struct buf why = {0};
    struct rehearsal rehearsal;
    rehearse(&rehearsal, target, route->operation, &message, now_ms);
    rehearsal_explain(&rehearsal, &why);
    json_object_object_add(example, "request",
                           rehearsal_sends(&rehearsal) ? describe_request(target, &rehearsal.http) : NULL);
    json_put_text(example, "why_none", why.len > 0 ? why.data : NULL);
    rehearsal_finish(&rehearsal);
}

static struct json_object *describe_example(const struct app *app, size_t route, const struct sample *sample,
                                            int64_t now_ms)
{
    struct json_object *example = json_object_new_object();
    json_put_text(example, "topic", sample->topic);
    json_object_object_add(example, "payload", sample->is_json ? json_object_get(sample->payload) : NULL);
    json_put_text(example, "text", sample->payload_text.data);
    json_object_object_add(example, "user", json_object_get(sample->user));
    json_object_object_add(example, "body",
                           sample->body.len > 0 ? json_parse(buf_span(&sample->body), NULL, NULL) : NULL);
    if (sample->body.len > 0) {
        put_outcome(example, app, &app->config->routes[route], sample, now_ms);
    } else {
        json_object_object_add(example, "request", NULL);
        json_put_text(example, "why_none", sample->reason.data);
    }
    return example;
}

struct json_object *handoff_payloads(const struct app *app, int64_t now_ms)
{
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->config->route_count; i++) {
        const struct config_route *route = &app->config->routes[i];
        struct json_object *item = json_object_new_object();
        struct sample sample;
        sample_make(&sample, app, i, now_ms);
        cleanup_text char *to = mem_printf("%s.%s", route->target, route->operation);
        json_put_text(item, "route", route->name);
        json_put_text(item, "from", route->from);
        json_put_text(item, "to", to);
        json_object_object_add(item, "trigger", route->trigger.given ? describe_trigger(route) : NULL);
        json_object_object_add(item, "fields", json_object_get(sample.fields));
        json_object_object_add(item, "body", route->body != NULL ? yaml_to_json(route->body) : NULL);
        json_object_object_add(item, "body_jq", route->body_jq != NULL ? yaml_to_json(route->body_jq) : NULL);
        json_object_object_add(item, "example", describe_example(app, i, &sample, now_ms));
        json_object_array_add(items, item);
        sample_finish(&sample);
    }
    return items;
}
