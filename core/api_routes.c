/* SPDX-License-Identifier: Apache-2.0 */
#include "api_private.h"

#include "clock.h"
#include "digest.h"
#include "dispatch.h"
#include "intake.h"
#include "json.h"
#include "message.h"
#include "number.h"

#include <json-c/json.h>
#include <string.h>

#define SHELF_MAX_MS ((int64_t)365 * 86400000)

/* Whether what the route makes would be sent now: up, away, held. targets: of dispatch_describe. */
static const char *state_of(const struct config_route *route, struct json_object *targets)
{
    const char *state = NULL;
    for (size_t i = 0; i < json_object_array_length(targets); i++) {
        struct json_object *target = json_object_array_get_idx(targets, i), *holds = json_get(target, "holds");
        if (strcmp(json_get_text(target, "name"), route->target) != 0)
            continue;
        state = strcmp(json_get_text(target, "state"), "away") == 0 ? "away" : "up";
        for (size_t k = 0; k < json_object_array_length(holds); k++) {
            const char *operation = json_get_text(json_object_array_get_idx(holds, k), "operation");
            if (operation == NULL || strcmp(operation, route->operation) == 0)
                state = "held";
        }
    }
    return state;
}

void api_get_routes(struct api_call *call)
{
    if (!api_need_daemon(call))
        return;
    const struct config *config = call->api->config;
    struct json_object *routes = intake_describe(call->api->intake);
    cleanup_json struct json_object *targets = dispatch_describe(call->api->dispatch);
    for (size_t i = 0; i < json_object_array_length(routes) && i < config->route_count; i++) {
        struct json_object *item = json_object_array_get_idx(routes, i);
        const struct config_route *route = &config->routes[i];
        const struct config_target *target = config_target(config, route->target);
        json_put_text(item, "state", state_of(route, targets));
        json_put_text(item, "mode", target != NULL ? config_mode_name(config_mode_of(target, route->operation)) : NULL);
    }
    api_reply_list(call, routes);
}

/* The request's body is the payload, as it is. */
void api_post_fire(struct api_call *call)
{
    char id[UUID_TEXT_MAX];
    cleanup_buf struct buf reason = {0};
    const char *topic = api_query(call, "topic");
    if (!api_need_daemon(call))
        return;
    struct message_property user[MESSAGE_USER_MAX];
    const char *properties = api_query(call, "user");
    cleanup_json struct json_object *object = properties != NULL ? json_parse(span_of(properties), NULL, NULL) : NULL;
    if (properties != NULL && !json_object_is_type(object, json_type_object)) {
        api_problem(call->reply, 400, "user is a JSON object of texts");
        return;
    }
    const struct message message = {.topic = span_of(topic != NULL ? topic : ""),
                                    .payload = call->request->body,
                                    .qos = 1,
                                    .user = user,
                                    .user_count = message_read_user(object, user),
                                    .received_ms = clock_wall_ms()};
    int rc = intake_fire(call->api->intake, call->api->session, call->argument, &message, id, &reason);
    if (rc != 0) {
        const char *error = reason.data;
        api_reply_done(call, rc, &error);
        return;
    }
    struct json_object *fired = json_object_new_object();
    json_put_text(fired, "id", id);
    api_reply_json(call, fired);
}

void api_get_keys(struct api_call *call)
{
    size_t limit;
    if (!api_need_daemon(call) || !api_read_limit(call, &limit))
        return;
    struct json_object *keys = intake_keys(call->api->intake, call->argument, limit);
    if (keys == NULL)
        api_problem(call->reply, 404, "no such route");
    else
        api_reply_list(call, keys);
}

void api_get_shelves(struct api_call *call)
{
    if (api_need_daemon(call))
        api_reply_list(call, intake_shelves(call->api->intake));
}

void api_post_shelve(struct api_call *call)
{
    cleanup_buf struct buf reason = {0};
    const char *length = api_query(call, "for"), *why = api_query(call, "reason");
    int64_t for_ms;
    if (!api_need_daemon(call))
        return;
    if (length == NULL || !number_parse_duration(span_of(length), &for_ms) || for_ms > SHELF_MAX_MS) {
        api_problem(call->reply, 400, "for is a duration such as 2h, at most 365d; 0 takes it off the shelf");
        return;
    }
    if (for_ms > 0 && (why == NULL || why[0] == '\0')) {
        api_problem(call->reply, 400, "reason is missing: the next shift reads it");
        return;
    }
    int rc = intake_shelve(call->api->intake, call->argument, api_query(call, "key"), for_ms, why != NULL ? why : "",
                           &reason);
    const char *error = buf_span(&reason).data;
    api_reply_done(call, rc, &error);
}
