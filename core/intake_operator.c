/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of the intake: a message mapped again, a route fired by hand, the counts. The rules are held for the
 * mapping alone: whoever waits for the store with them would wait for the intake's own group, which waits for them. */
#include "intake_private.h"

#include "clock.h"
#include "digest.h"
#include "dispatch.h"
#include "json.h"
#include "log.h"
#include "metrics.h"
#include "route.h"

#include <json-c/json.h>
#include <string.h>
#include <time.h>

struct mapping {
    bool accepted;
    struct buf lane, body, reason;
    char id[UUID_TEXT_MAX];
};

static void mapping_finish(struct mapping *mapping)
{
    buf_finish(&mapping->lane);
    buf_finish(&mapping->body);
    buf_finish(&mapping->reason);
}
#define cleanup_mapping __attribute__((cleanup(mapping_finish)))

static void take_mapping(void *context, const struct route_decision *decision)
{
    struct mapping *mapping = context;
    mapping->accepted = decision->outcome == OUTCOME_ACCEPTED;
    if (!mapping->accepted) {
        buf_puts(&mapping->reason, decision->reason);
        return;
    }
    buf_append(&mapping->lane, decision->lane.data, decision->lane.len);
    buf_append(&mapping->body, decision->body.data, decision->body.len);
    memcpy(mapping->id, decision->id, strlen(decision->id) + 1);
}

static size_t find_route(const struct intake *intake, const char *name)
{
    const struct config *config = intake->options.config;
    size_t i = 0;
    while (i < config->route_count && strcmp(config->routes[i].name, name) != 0)
        i++;
    return i;
}

static void map(struct intake *intake, size_t route, const struct message *message, struct mapping *mapping)
{
    pthread_mutex_lock(&intake->rules);
    route_set_map(intake->options.routes, route, message, take_mapping, mapping);
    pthread_mutex_unlock(&intake->rules);
}

int intake_map(struct intake *intake, const char *route, const struct message *message, struct buf *body,
               struct buf *reason)
{
    cleanup_mapping struct mapping mapping = {0};
    size_t i = find_route(intake, route);
    if (i == intake->options.config->route_count) {
        buf_puts(reason, "the configuration has no such route any more");
        return -1;
    }
    map(intake, i, message, &mapping);
    buf_append(body, mapping.body.data, mapping.body.len);
    buf_append(reason, mapping.reason.data, mapping.reason.len);
    return mapping.accepted ? 0 : -1;
}

/* ---- by hand */

/* As the intake counts a group: received, and the one outcome. */
static void count_fired(struct intake *intake, size_t route, enum delivery_state state)
{
    const struct config_route *config = &intake->options.config->routes[route];
    metric_add(intake->routes[route].received, 1);
    metric_add(intake->routes[route].metrics[OUTCOME_ACCEPTED], 1);
    dispatch_count_added(config->name, config->target, state);
    if (intake->options.accepted != NULL)
        intake->options.accepted(intake->options.context);
}

static int store_fired(const struct intake *intake, struct store_session *session, struct delivery *delivery)
{
    const struct audit audit = {.at_ms = delivery->accepted_ms,
                                .who = "operator",
                                .what = "fire",
                                .delivery_id = delivery->id,
                                .route = delivery->route,
                                .target = delivery->target,
                                .operation = delivery->operation,
                                .mode = intake_mode(intake, delivery),
                                .outcome = delivery_state_name(delivery->state),
                                .detail = delivery->topic};
    if (store_begin(session) == 0 && store_add_delivery(session, delivery) == 0 &&
        store_add_audit(session, &audit) == 0 && store_commit(session) == 0)
        return 0;
    store_rollback(session);
    return -1;
}

int intake_fire(struct intake *intake, struct store_session *session, const char *name, const struct message *given,
                char id[UUID_TEXT_MAX], struct buf *reason)
{
    cleanup_mapping struct mapping mapping = {0};
    struct message message = *given;
    size_t route = find_route(intake, name);
    if (route == intake->options.config->route_count) {
        buf_printf(reason, "no such route: %s", name);
        return -1;
    }
    if (!route_set_fits(intake->options.routes, route, &message.topic)) {
        buf_printf(reason, "the topic does not fit the route's filter: %s", intake->options.config->routes[route].from);
        return -1;
    }
    if (message.payload.len > (size_t)intake->options.config->bus.max_payload_bytes) {
        buf_puts(reason, "the payload is larger than bus.max_payload");
        return -1;
    }
    const struct config_input *input = &intake->options.config->routes[route].input;
    message.one_reading = input->each != NULL || input->format.kind == FORMAT_SPARKPLUG; /* not several */
    map(intake, route, &message, &mapping);
    if (!mapping.accepted) {
        buf_append(reason, mapping.reason.data, mapping.reason.len);
        return -1;
    }
    const struct route_decision decision = {.route = route,
                                            .id = mapping.id,
                                            .body = buf_span(&mapping.body),
                                            .payload = message.payload,
                                            .one_reading = message.one_reading};
    cleanup_text char *topic = span_dup(message.topic), *lane = span_dup(buf_span(&mapping.lane));
    cleanup_text char *user = intake_user_properties(&message);
    struct delivery delivery = intake_delivery(intake, &decision, &message, lane, topic);
    delivery.due_ms = clock_steady_ms();
    delivery.user = user;
    if (store_fired(intake, session, &delivery) != 0) {
        buf_printf(reason, "the store refused it: %s", store_error(session));
        return -1;
    }
    count_fired(intake, route, delivery.state);
    log_info("route fired by hand", "route", name, "id", mapping.id, NULL);
    memcpy(id, mapping.id, sizeof(mapping.id));
    return 0;
}

/* ---- shelves */

#define BUSY_MS 1000 /* groups of the other thread are short, and one gives way within this */

/* Takes the mutex between two groups of the other thread. false: it never came to that */
static bool lock_between_groups(struct intake *intake)
{
    for (int i = 0; i < BUSY_MS; i++) {
        pthread_mutex_lock(&intake->rules);
        if (!intake_is_busy(intake))
            return true;
        pthread_mutex_unlock(&intake->rules);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

static int audit_shelf(struct intake *intake, const char *route, const char *key, int64_t until_ms, const char *why)
{
    char until[CLOCK_TEXT_MAX];
    cleanup_buf struct buf detail = {0};
    if (key != NULL)
        buf_printf(&detail, "key %s, ", key);
    if (until_ms > 0)
        buf_printf(&detail, "until %s, ", clock_format(until_ms, until));
    buf_puts(&detail, why);
    const struct audit audit = {.at_ms = clock_wall_ms(),
                                .who = "operator",
                                .what = until_ms > 0 ? "shelve" : "unshelve",
                                .route = route,
                                .detail = detail.data};
    return store_add_audit(intake->options.session, &audit);
}

int intake_shelve(struct intake *intake, const char *name, const char *key, int64_t for_ms, const char *why,
                  struct buf *reason)
{
    size_t route = find_route(intake, name);
    if (route == intake->options.config->route_count || !intake->options.config->routes[route].trigger.given) {
        buf_printf(reason, "no such route with a trigger: %s", name);
        return -1;
    }
    if (!lock_between_groups(intake)) {
        buf_puts(reason, "the rules are busy: try again");
        return -1;
    }
    bool wake = false;
    const struct span span = span_of(key);
    int64_t now_ms = clock_steady_ms(), until_ms = for_ms > 0 ? now_ms + for_ms : 0;
    route_set_shelve(intake->options.routes, route, key != NULL ? &span : NULL, until_ms, now_ms, why);
    if (!intake_begin_group(intake) || audit_shelf(intake, name, key, until_ms, why) != 0)
        intake->failed = true;
    int rc = intake_flush_held(intake, &wake);
    pthread_mutex_unlock(&intake->rules);
    if (rc != 0)
        buf_puts(reason, "the store refused it");
    else
        log_info(for_ms > 0 ? "shelved" : "off the shelf", "route", name, "key", key != NULL ? key : "", "reason", why,
                 NULL);
    return rc;
}

/* ---- what there is */

struct json_object *intake_shelves(struct intake *intake)
{
    pthread_mutex_lock(&intake->rules);
    struct json_object *shelves = route_set_shelves(intake->options.routes);
    pthread_mutex_unlock(&intake->rules);
    return shelves;
}

struct json_object *intake_keys(struct intake *intake, const char *name, size_t limit)
{
    size_t route = find_route(intake, name);
    if (route == intake->options.config->route_count)
        return NULL;
    pthread_mutex_lock(&intake->rules);
    struct json_object *keys = route_set_describe(intake->options.routes, route, limit);
    pthread_mutex_unlock(&intake->rules);
    return keys;
}

struct json_object *intake_describe(struct intake *intake)
{
    struct json_object *routes = json_object_new_array();
    for (size_t i = 0; i < intake->options.config->route_count; i++) {
        const struct config_route *route = &intake->options.config->routes[i];
        const struct route_counts *counts = &intake->routes[i];
        struct json_object *item = json_object_new_object(), *messages = json_object_new_object();
        json_put_text(item, "name", route->name);
        json_put_text(item, "from", route->from);
        cleanup_text char *to = mem_printf("%s.%s", route->target, route->operation);
        json_put_text(item, "to", to);
        json_put_int(messages, "received", (int64_t)metric_value(counts->received));
        for (int outcome = OUTCOME_IGNORED; outcome <= OUTCOME_ACCEPTED; outcome++)
            json_put_int(messages, outcome_name((enum outcome)outcome),
                         (int64_t)metric_value(counts->metrics[outcome]));
        json_object_object_add(item, "messages", messages);
        json_object_array_add(routes, item);
    }
    return routes;
}
