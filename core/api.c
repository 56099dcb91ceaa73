/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include "api_json.h"
#include "api_private.h"
#include "clock.h"
#include "dispatch.h"
#include "intake.h"
#include "json.h"
#include "message.h"
#include "number.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX 1000

/* ---- replies */

static const char *title_of(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 503:
        return "Service Unavailable";
    default:
        return status == 401 ? "Unauthorized" : status == 403 ? "Forbidden" : "Internal Server Error";
    }
}

void api_problem(struct api_reply *reply, int status, const char *detail)
{
    reply->status = status;
    reply->content_type = "application/problem+json";
    buf_clear(&reply->body);
    buf_printf(&reply->body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":", title_of(status),
               status);
    buf_put_json(&reply->body, span_of(detail));
    buf_putc(&reply->body, '}');
}

void api_reply_json(struct api_call *call, struct json_object *value) /* takes */
{
    call->reply->status = 200;
    call->reply->content_type = "application/json";
    json_print(value, &call->reply->body);
    json_object_put(value);
}

void api_reply_store_failed(struct api_call *call)
{
    api_problem(call->reply, 503, store_error(call->api->session));
}

void api_reply_done(struct api_call *call, int rc, const char *const *error)
{
    if (rc == 0) {
        api_reply_json(call, json_object_new_object());
        return;
    }
    bool missing = strncmp(*error, "no such", 7) == 0;
    api_problem(call->reply, missing ? 404 : 409, *error);
}

bool api_need_daemon(struct api_call *call)
{
    if (call->api->dispatch != NULL)
        return true;
    const char *away = call->api->away;
    api_problem(call->reply, 503, away != NULL ? away : "the daemon is down: start `busbar run`");
    return false;
}

const char *api_query(const struct api_call *call, const char *name)
{
    return call->request->query != NULL ? call->request->query(call->request->context, name) : NULL;
}

bool api_may_see(const struct api_call *call, const char *target)
{
    const struct config_viewer *viewer = call->request->viewer;
    for (size_t i = 0; viewer != NULL && target != NULL && i < viewer->target_count; i++)
        if (strcmp(viewer->targets[i].name, target) == 0)
            return true;
    return viewer == NULL;
}

const char *api_scope(const struct api_call *call)
{
    return call->request->viewer != NULL ? call->request->viewer->scope : NULL;
}

bool api_read_limit(struct api_call *call, size_t *limit)
{
    int64_t number = PAGE_DEFAULT;
    const char *text = api_query(call, "limit");
    if (text != NULL && !number_parse_int(span_of(text), 1, PAGE_MAX, &number)) {
        api_problem(call->reply, 400, "limit is a number from 1 to 1000");
        return false;
    }
    *limit = (size_t)number;
    return true;
}

bool api_read_cursor(struct api_call *call, int64_t *cursor)
{
    const char *text = api_query(call, "cursor");
    *cursor = 0;
    if (text == NULL || number_parse_int(span_of(text), 0, INT64_MAX, cursor))
        return true;
    api_problem(call->reply, 400, "cursor is what the last page's `next` said");
    return false;
}

/* ---- health */

static void get_healthz(struct api_call *call)
{
    call->reply->status = 200;
    call->reply->content_type = "text/plain; charset=utf-8";
    buf_puts(&call->reply->body, "ok\n");
}

const char *api_why_not_ready(const struct api *api)
{
    if (api->ready != NULL)
        return api->ready(api->context);
    return api->away != NULL ? api->away : "the daemon is down";
}

static void get_readyz(struct api_call *call)
{
    const char *why = api_why_not_ready(call->api);
    call->reply->status = why == NULL ? 200 : 503;
    call->reply->content_type = "text/plain; charset=utf-8";
    buf_printf(&call->reply->body, "%s\n", why == NULL ? "ready" : why);
}

/* ---- deliveries */

static const char state_words[] = "state is one of draft, pending, retrying, delivered, rejected, expired, discarded";

struct page {
    const struct api *api;
    struct json_object *items;
    size_t count, limit;
    int64_t last_seq;
};

static const char *held_reason(const struct api *api, const struct delivery *delivery)
{
    const bool open = delivery_state_is_open(delivery->state);
    if (open && !api_is_configured(api, delivery->target))
        return "its target is not configured";
    bool held = api->dispatch != NULL && open && delivery->kind == DELIVERY_OUT &&
                dispatch_is_held(api->dispatch, delivery->target);
    return held ? "the target is held: `busbar targets list` says why" : NULL;
}

static void add_delivery(void *context, const struct delivery *delivery)
{
    struct page *page = context;
    if (page->count++ < page->limit) {
        json_object_array_add(page->items, api_delivery(delivery, held_reason(page->api, delivery)));
        page->last_seq = delivery->seq;
    }
}

static struct json_object *finish_page(struct page *page)
{
    struct json_object *list = json_object_new_object();
    json_object_object_add(list, "items", page->items);
    cleanup_text char *next = page->count > page->limit ? mem_printf("%lld", (long long)page->last_seq) : NULL;
    json_put_text(list, "next", next);
    return list;
}

static void get_deliveries(struct api_call *call)
{
    struct page page = {.api = call->api};
    int64_t cursor;
    if (!api_read_limit(call, &page.limit) || !api_read_cursor(call, &cursor))
        return;
    page.items = json_object_new_array();
    const struct delivery_filter filter = {.target = api_query(call, "target"),
                                           .route = api_query(call, "route"),
                                           .state = api_query(call, "state"),
                                           .code = api_query(call, "code"),
                                           .lane = api_query(call, "lane"),
                                           .before_seq = cursor,
                                           .limit = page.limit + 1,
                                           .scope = api_scope(call)};
    enum delivery_state state;
    if (filter.state != NULL && !delivery_state_parse(filter.state, &state)) {
        json_object_put(page.items);
        api_problem(call->reply, 400, state_words);
        return;
    }
    if (store_list_deliveries(call->api->session, &filter, add_delivery, &page) != 0) {
        json_object_put(page.items);
        api_reply_store_failed(call);
        return;
    }
    api_reply_json(call, finish_page(&page));
}

struct whole {
    const struct api_call *call;
    struct json_object *delivery;
};

static void show_delivery(void *context, const struct delivery *delivery)
{
    struct whole *whole = context;
    if (!api_may_see(whole->call, delivery->target))
        return;
    whole->delivery = api_delivery(delivery, held_reason(whole->call->api, delivery));
    api_delivery_details(whole->delivery, delivery);
}

static void get_delivery(struct api_call *call)
{
    struct whole whole = {call, NULL};
    if (store_find_delivery(call->api->session, call->argument, show_delivery, &whole) != 0) {
        api_reply_store_failed(call);
        return;
    }
    if (whole.delivery == NULL) {
        api_problem(call->reply, 404, "no such delivery");
        return;
    }
    json_object_object_add(whole.delivery, "history", api_history(call, call->argument));
    api_reply_json(call, whole.delivery);
}

static void note_state(void *context, const struct delivery *delivery)
{
    *(enum delivery_state *)context = delivery->state;
}

/* Who acts on what a list showed says in which state that was: another may have acted on it since. Answers whether to
 * go on; else it has replied. */
static bool is_as_seen(struct api_call *call)
{
    enum delivery_state seen, now = 0;
    const char *text = api_query(call, "state");
    if (text == NULL)
        return true;
    if (!delivery_state_parse(text, &seen)) {
        api_problem(call->reply, 400, state_words);
        return false;
    }
    if (store_find_delivery(call->api->session, call->argument, note_state, &now) != 0) {
        api_reply_store_failed(call);
        return false;
    }
    if (now == 0 || now == seen) /* 0: the verb says that there is none */
        return true;
    cleanup_text char *why = mem_printf("it is %s by now, not %s any more", delivery_state_name(now), text);
    api_problem(call->reply, 409, why);
    return false;
}

typedef int delivery_verb(struct dispatch *dispatch, const char *id, const char **error);

static void act(struct api_call *call, delivery_verb *verb)
{
    const char *error = "";
    if (api_need_daemon(call) && is_as_seen(call))
        api_reply_done(call, verb(call->api->dispatch, call->argument, &error), &error);
}

static void post_retry(struct api_call *call)
{
    act(call, dispatch_retry);
}

static void post_discard(struct api_call *call)
{
    act(call, dispatch_discard);
}

static void post_approve(struct api_call *call)
{
    act(call, dispatch_approve);
}

struct remap {
    const struct api *api;
    const char *route; /* NULL: the delivery's own */
    bool found, mapped;
    struct buf body, reason;
};

static void map_again(void *context, const struct delivery *delivery)
{
    struct remap *remap = context;
    const char *route = remap->route != NULL ? remap->route : delivery->route;
    struct message_property user[MESSAGE_USER_MAX];
    cleanup_json struct json_object *object =
        delivery->user != NULL ? json_parse(span_of(delivery->user), NULL, NULL) : NULL;
    const struct message message = {.topic = span_of(delivery->topic),
                                    .payload = delivery->payload,
                                    .one_reading = delivery->one_reading,
                                    .qos = 1,
                                    .user = user,
                                    .user_count = message_read_user(object, user),
                                    .received_ms = delivery->accepted_ms};
    remap->found = true;
    if (route == NULL)
        buf_puts(&remap->reason, "it came through no route: give a body");
    else
        remap->mapped = intake_map(remap->api->intake, route, &message, &remap->body, &remap->reason) == 0;
}

/* With a body: that. Without: the message mapped again through the current route. */
static void post_edit(struct api_call *call)
{
    const char *error = "";
    struct remap remap = {.api = call->api, .route = api_query(call, "route")};
    if (!api_need_daemon(call) || !is_as_seen(call))
        return;
    if (call->request->body.len > 0) {
        api_reply_done(call, dispatch_edit(call->api->dispatch, call->argument, call->request->body, &error), &error);
        return;
    }
    if (store_find_delivery(call->api->session, call->argument, map_again, &remap) != 0)
        api_reply_store_failed(call);
    else if (!remap.found)
        api_problem(call->reply, 404, "no such delivery");
    else if (!remap.mapped)
        api_problem(call->reply, 409, buf_span(&remap.reason).data);
    else
        api_reply_done(call, dispatch_edit(call->api->dispatch, call->argument, buf_span(&remap.body), &error), &error);
    buf_finish(&remap.body);
    buf_finish(&remap.reason);
}

/* ---- targets, routes, audit */

void api_reply_list(struct api_call *call, struct json_object *items) /* takes */
{
    struct json_object *list = json_object_new_object();
    json_object_object_add(list, "items", items);
    json_object_object_add(list, "next", NULL);
    api_reply_json(call, list);
}

static void get_targets(struct api_call *call)
{
    if (!api_need_daemon(call))
        return;
    struct json_object *all = dispatch_describe(call->api->dispatch), *seen = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *target = json_object_array_get_idx(all, i);
        if (api_may_see(call, json_object_get_string(json_get(target, "name"))))
            json_object_array_add(seen, json_object_get(target));
    }
    json_object_put(all);
    api_reply_list(call, seen);
}

static void post_hold(struct api_call *call)
{
    const struct api *api = call->api;
    const char *target = call->argument, *operation = api_query(call, "operation"), *why = api_query(call, "reason");
    const char *error = "";
    int rc = api->dispatch != NULL ? dispatch_hold(api->dispatch, target, operation, why, &error)
                                   : dispatch_hold_stopped(api->config, api->session, target, operation, why, &error);
    api_reply_done(call, rc, &error);
}

static void post_resume(struct api_call *call)
{
    const char *error = "";
    if (api_need_daemon(call))
        api_reply_done(call, dispatch_resume(call->api->dispatch, call->argument, api_query(call, "operation"), &error),
                       &error);
}

static void get_openapi(struct api_call *call);

static void get_root(struct api_call *call)
{
    call->reply->status = 200;
    call->reply->content_type = "text/plain; charset=utf-8";
    buf_puts(&call->reply->body, "busbar " BUSBAR_VERSION "\n\n/healthz  /readyz  /metrics  /api/v1/status  "
                                 "/api/v1/openapi.json\n");
}

/* ---- the table of all there is; a path's {} is one segment */

static const struct endpoint {
    const char *method, *path;
    void (*run)(struct api_call *call);
    const char *help;
    const char *parameters; /* of the query, parted by blanks */
} endpoints[] = {
    {"GET", "/", get_root, "Where to look.", ""},
    {"GET", "/healthz", get_healthz, "Alive.", ""},
    {"GET", "/readyz", get_readyz, "Bus connected and subscribed, store writable, not draining.", ""},
    {"GET", "/metrics", api_get_metrics, "Prometheus text.", ""},
    {"GET", "/api/v1/openapi.json", get_openapi, "This description.", ""},
    {"GET", "/api/v1/status", api_get_status, "One screen: bus, targets, routes, queue.", ""},
    {"GET", "/api/v1/deliveries", get_deliveries, "Deliveries, newest first; those to the bus with target=bus.",
     "target route state code lane limit cursor"},
    {"GET", "/api/v1/deliveries/{id}", get_delivery, "One delivery with request, response and history.", ""},
    {"POST", "/api/v1/deliveries/{id}/retry", post_retry,
     "A dead letter or waiting delivery, again and now; with state, only while it is in that.", "state"},
    {"POST", "/api/v1/deliveries/{id}/discard", post_discard, "Gives it up.", "state"},
    {"POST", "/api/v1/deliveries/{id}/approve", post_approve, "Sends a draft.", "state"},
    {"POST", "/api/v1/deliveries/{id}/edit", post_edit,
     "A dead letter with another body: the request's, or without one its message mapped again.", "route state"},
    {"GET", "/api/v1/targets", get_targets, "Targets and whether they are held.", ""},
    {"POST", "/api/v1/targets/{id}/hold", post_hold, "Sends nothing until it is resumed.", "operation reason"},
    {"POST", "/api/v1/targets/{id}/resume", post_resume, "Goes on.", "operation"},
    {"GET", "/api/v1/routes", api_get_routes, "Routes, whether what they make is sent, and their ledger.", ""},
    {"POST", "/api/v1/routes/{id}/fire", api_post_fire,
     "Accepts the request's body as a message on a route, as if its trigger had fired.", "topic user"},
    {"GET", "/api/v1/routes/{id}/keys", api_get_keys, "What a route's trigger remembers of each key.", "limit"},
    {"POST", "/api/v1/routes/{id}/shelve", api_post_shelve,
     "A route, or one key of it, fires nothing for a time; for=0 ends it.", "key for reason"},
    {"GET", "/api/v1/shelves", api_get_shelves, "What is shelved, until when and why.", ""},
    {"GET", "/api/v1/orders", api_get_orders, "Work orders, the common record of what is known.",
     "target limit cursor"},
    {"GET", "/api/v1/orders/{id}", api_get_order, "One work order, by its common id.", ""},
    {"GET", "/api/v1/orders/{id}/history", api_get_order_history,
     "What was done about a work order and told of it, newest first.", "limit cursor"},
    {"GET", "/api/v1/audit", api_get_audit, "Who did what, newest first.",
     "id order target outcome class since limit cursor"},
};
#define ENDPOINTS (sizeof(endpoints) / sizeof(endpoints[0]))

/* What shows no more than the viewer's targets. Anything else is not for viewers. */
static bool is_for_viewers(const struct endpoint *endpoint)
{
    static const char *const paths[] = {
        "/",
        "/api/v1/openapi.json",
        "/api/v1/deliveries",
        "/api/v1/deliveries/{id}",
        "/api/v1/targets",
        "/api/v1/orders",
        "/api/v1/orders/{id}",
        "/api/v1/orders/{id}/history",
        "/api/v1/audit",
    };
    bool listed = false;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        listed = listed || strcmp(paths[i], endpoint->path) == 0;
    return listed && strcmp(endpoint->method, "GET") == 0;
}

static struct json_object *describe_parameter(const char *name, size_t len, const char *in)
{
    struct json_object *parameter = json_object_new_object(), *schema = json_object_new_object();
    cleanup_text char *text = span_dup((struct span){name, len});
    json_put_text(parameter, "name", text);
    json_put_text(parameter, "in", in);
    json_object_object_add(parameter, "required", json_object_new_boolean(strcmp(in, "path") == 0));
    json_put_text(schema, "type", "string");
    json_object_object_add(parameter, "schema", schema);
    return parameter;
}

static void describe_endpoint(struct json_object *paths, const struct endpoint *endpoint)
{
    struct json_object *path = json_get(paths, endpoint->path), *operation = json_object_new_object(),
                       *parameters = json_object_new_array(), *responses = json_object_new_object(),
                       *ok = json_object_new_object();
    if (path == NULL) {
        path = json_object_new_object();
        json_object_object_add(paths, endpoint->path, path);
    }
    json_put_text(operation, "summary", endpoint->help);
    if (strstr(endpoint->path, "{id}") != NULL)
        json_object_array_add(parameters, describe_parameter("id", 2, "path"));
    for (const char *p = endpoint->parameters; *p != '\0';) {
        size_t len = strcspn(p, " ");
        json_object_array_add(parameters, describe_parameter(p, len, "query"));
        p += len + (p[len] == ' ');
    }
    json_object_object_add(operation, "parameters", parameters);
    json_put_text(ok, "description", "Done.");
    json_object_object_add(responses, "200", ok);
    json_object_object_add(operation, "responses", responses);
    json_object_object_add(path, strcmp(endpoint->method, "GET") == 0 ? "get" : "post", operation);
}

static void get_openapi(struct api_call *call)
{
    struct json_object *root = json_object_new_object(), *info = json_object_new_object(),
                       *paths = json_object_new_object();
    json_put_text(root, "openapi", "3.1.0");
    json_put_text(info, "title", "busbar admin API");
    json_put_text(info, "version", BUSBAR_VERSION);
    json_object_object_add(root, "info", info);
    for (size_t i = 0; i < ENDPOINTS; i++)
        describe_endpoint(paths, &endpoints[i]);
    json_object_object_add(root, "paths", paths);
    api_reply_json(call, root);
}

/* True when the path fits; *argument gets the {id} segment (gives). */
static bool path_fits(const char *pattern, const char *path, char **argument)
{
    const char *brace = strstr(pattern, "{id}");
    if (brace == NULL)
        return strcmp(pattern, path) == 0;
    size_t before = (size_t)(brace - pattern);
    if (strncmp(pattern, path, before) != 0)
        return false;
    size_t len = strcspn(path + before, "/");
    if (len == 0 || strcmp(path + before + len, brace + 4) != 0)
        return false;
    *argument = span_dup((struct span){path + before, len});
    return true;
}

bool api_is_open(const char *path)
{
    return strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0;
}

/* What of the query the endpoint does not know: a filter that is not heeded would answer another question. */
struct strangers {
    const struct endpoint *endpoint;
    struct buf names;
};

static bool is_listed(const char *words, const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = words; *p != '\0';) {
        size_t word = strcspn(p, " ");
        if (word == len && memcmp(p, name, len) == 0)
            return true;
        p += word + (p[word] == ' ');
    }
    return false;
}

static void note_stranger(void *context, const char *name)
{
    struct strangers *strangers = context;
    if (!is_listed(strangers->endpoint->parameters, name))
        buf_printf(&strangers->names, "%s'%.64s'", strangers->names.len > 0 ? ", " : "", name);
}

static bool knows_the_query(const struct endpoint *endpoint, const struct api_request *request, struct api_reply *reply)
{
    struct strangers strangers = {.endpoint = endpoint};
    cleanup_buf struct buf text = {0};
    if (request->each_name == NULL || strncmp(endpoint->path, "/api/", 5) != 0) /* probes say what they like */
        return true;
    request->each_name(request->context, note_stranger, &strangers);
    const bool good = strangers.names.len == 0;
    if (!good) {
        buf_printf(&text, "no such parameter: %s; ", strangers.names.data);
        for (const char *p = endpoint->parameters; *p != '\0'; p++)
            buf_printf(&text, "%s%.*s", p == endpoint->parameters ? "known here: " : "", *p == ' ' ? 2 : 1,
                       *p == ' ' ? ", " : p);
        if (*endpoint->parameters == '\0')
            buf_puts(&text, "none is known here");
        api_problem(reply, 400, text.data);
    }
    buf_finish(&strangers.names);
    return good;
}

void api_handle(const struct api *api, const struct api_request *request, struct api_reply *reply)
{
    bool known = false;
    const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
    for (size_t i = 0; i < ENDPOINTS; i++) {
        cleanup_text char *argument = NULL;
        if (!path_fits(endpoints[i].path, request->path, &argument))
            continue;
        known = true;
        if (strcmp(endpoints[i].method, method) != 0)
            continue;
        if (request->viewer != NULL && !is_for_viewers(&endpoints[i])) {
            api_problem(reply, 403,
                        "a viewer's token reads its targets, their orders, deliveries and audit, and does no more");
            return;
        }
        struct api_call call = {api, request, reply, argument};
        if (knows_the_query(&endpoints[i], request, reply))
            endpoints[i].run(&call);
        return;
    }
    api_problem(reply, known ? 405 : 404,
                known ? "another method is allowed here" : "no such path: see /api/v1/openapi.json");
}
