/* SPDX-License-Identifier: Apache-2.0 */
/* What the intake itself sends to the bus: commands to edge nodes and mapping exceptions. Each is a delivery of the
 * group that caused it, so it is sent if and only if that was committed. */
#include "intake_private.h"

#include "clock.h"
#include "event.h"
#include "json.h"
#include "route.h"
#include "sparkplug.h"
#include "target.h"

#include <json-c/json.h>
#include <string.h>

#define BIRTHS "$sparkplug" /* in the place of a target's name, which cannot begin so */

int intake_add_to_bus(struct intake *intake, const char *id, const char *topic, const char *lane, struct span payload,
                      const char *reply)
{
    struct delivery delivery = {.id = id,
                                .kind = DELIVERY_BUS,
                                .state = DELIVERY_PENDING,
                                .target = "bus",
                                .operation = "publish",
                                .lane = lane,
                                .topic = topic,
                                .accepted_ms = clock_wall_ms(),
                                .due_ms = clock_steady_ms(),
                                .body = payload,
                                .reply = reply};
    if (store_add_delivery(intake->options.session, &delivery) != 0)
        return -1;
    intake_note_added(intake, NO_ROUTE, delivery.state);
    return 0;
}

/* ---- edge nodes */

static void restore_birth(void *context, const char *key, struct span text)
{
    sparkplug_restore(context, key, text);
}

int intake_load_births(struct intake *intake)
{
    struct sparkplug *sparkplug = route_set_sparkplug(intake->options.routes);
    return sparkplug == NULL ? 0 : store_load_notes(intake->options.session, BIRTHS, restore_birth, sparkplug);
}

static void put_birth(void *context, const char *key, struct span text)
{
    struct intake *intake = context;
    if (store_note_put(intake->options.session, BIRTHS, key, text.data) != 0)
        intake->failed = true;
}

static void put_command(void *context, const char *topic, struct span payload)
{
    struct intake *intake = context;
    char id[UUID_TEXT_MAX];
    uuid_v7(clock_wall_ms(), id);
    if (intake_add_to_bus(intake, id, topic, topic, payload, NULL) != 0)
        intake->failed = true;
}

int intake_store_births(struct intake *intake)
{
    struct sparkplug *sparkplug = route_set_sparkplug(intake->options.routes);
    if (sparkplug == NULL || (!sparkplug_has_changes(sparkplug) && !sparkplug_wants_rebirths(sparkplug)))
        return 0;
    if (!intake_begin_group(intake))
        return -1;
    sparkplug_changes(sparkplug, put_birth, intake);
    sparkplug_rebirths(sparkplug, intake->steady_ms, clock_wall_ms(), put_command, intake);
    return intake->failed ? -1 : 0;
}

void intake_births_stored(struct intake *intake)
{
    struct sparkplug *sparkplug = route_set_sparkplug(intake->options.routes);
    if (sparkplug != NULL)
        sparkplug_stored(sparkplug);
}

/* ---- exceptions */

/* The error record of the contract (FV-07), of what was never attempted. */
static struct json_object *error_record(const struct delivery *delivery)
{
    struct json_object *record = json_object_new_object(), *retry = json_object_new_object();
    json_put_text(record, "class", delivery->error.error_class);
    json_put_text(record, "code", delivery->error.code);
    json_put_text(record, "message", delivery->error.message);
    json_object_object_add(record, "provider_http_status", NULL);
    json_object_object_add(record, "provider_request_id", NULL);
    json_object_object_add(record, "rejected_fields", json_object_new_array());
    json_object_object_add(record, "provider_response", NULL);
    json_put_int(retry, "attempt", 0);
    json_object_object_add(retry, "next_at", NULL);
    json_object_object_add(retry, "final", json_object_new_boolean(1));
    json_object_object_add(record, "retry_state", retry);
    json_put_text(record, "owner_action", delivery->error.owner_action);
    json_put_text(record, "delivery", delivery->id);
    json_put_text(record, "route", delivery->route);
    json_put_text(record, "operation", delivery->operation);
    json_put_time(record, "at", delivery->accepted_ms);
    return record;
}

static const char *plugin_name(const struct intake *intake, const char *target)
{
    for (size_t i = 0; i < intake->options.target_count; i++)
        if (strcmp(intake->options.targets[i]->name, target) == 0)
            return intake->options.targets[i]->plugin->name;
    return "";
}

int intake_announce_exception(struct intake *intake, const struct delivery *delivery)
{
    char id[UUID_TEXT_MAX];
    cleanup_buf struct buf extra = {0}, payload = {0};
    cleanup_json struct json_object *record = error_record(delivery);
    const struct config *config = intake->options.config;
    buf_puts(&extra, "\"error\":");
    json_print(record, &extra);
    uuid_v7(delivery->accepted_ms, id);
    const struct event_facts facts = {.instance = config->instance,
                                      .target = delivery->target,
                                      .plugin = plugin_name(intake, delivery->target),
                                      .id = id,
                                      .type = "mapping.exception",
                                      .time_ms = delivery->accepted_ms,
                                      .received_ms = delivery->accepted_ms,
                                      .extra = buf_span(&extra)};
    event_print(&facts, &payload);
    cleanup_text char *topic = event_topic(config->bus.prefix, delivery->target, facts.type);
    return intake_add_to_bus(intake, id, topic, delivery->lane, buf_span(&payload), NULL);
}
