/* SPDX-License-Identifier: Apache-2.0 */

/* A node's life: NBIRTH (seq 0), then its devices' DBIRTHs, data with seq counting 0..255 around, NDEATH by the
 * broker's last will. A will may arrive after the node has come back: bdSeq ties it to its birth. Overlapping
 * filters bring a message twice in a row, so the seq of the last one is no gap.
 *
 * Data without a birth that we know is not guessed at: what it names by number is counted and left out. A birth from
 * before our restart, or before a gap, is believed until the new one comes that is asked for at once: a node keeps
 * its numbers from birth to birth, unless somebody changed it just then. */

#include "sparkplug.h"

#include "json.h"
#include "metrics.h"
#include "sparkplug_births.h"
#include "sparkplug_private.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS 5
#define NODES_MAX 100000
#define DEVICES_MAX 10000 /* of a node */

enum kind { NBIRTH, NDATA, NDEATH, DBIRTH, DDATA, DDEATH, OTHER };

static const char *const kind_names[] = {"NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"};

struct sparkplug {
    struct births *births;
    size_t node_count;
    bool changed;
    struct born_node **doubtful; /* of the messages since births were last asked for */
    size_t doubtful_count, doubtful_cap;
};

struct place { /* what a topic says */
    enum kind kind;
    struct span group, node, device;
};

struct telling { /* one message's readings while they are made */
    const struct place *place;
    struct born_node *node;
    const struct wire_payload *payload;
    struct json_object *readings;
};

static void count(const char *what)
{
    metric_add(metric_get(metric_family(METRIC_COUNTER, "busbar_sparkplug_total",
                                        "Sparkplug B: births, deaths, gaps in seq, births asked for, metrics left out.",
                                        "what"),
                          what),
               1);
}

struct sparkplug *sparkplug_create(void)
{
    struct sparkplug *sparkplug = mem_alloc(sizeof(*sparkplug));
    sparkplug->births = births_create();
    return sparkplug;
}

void sparkplug_destroy(struct sparkplug *sparkplug)
{
    if (sparkplug == NULL)
        return;
    births_destroy(sparkplug->births);
    free(sparkplug->doubtful);
    free(sparkplug);
}

/* ---- the topic: spBv1.0/<group>/<kind>/<node>[/<device>] */

static bool parse_topic(struct span topic, struct place *place)
{
    struct span levels[LEVELS + 1] = {{0}};
    size_t depth = 0;
    while (depth <= LEVELS) {
        const char *slash = topic.len > 0 ? memchr(topic.data, '/', topic.len) : NULL;
        size_t len = slash != NULL ? (size_t)(slash - topic.data) : topic.len;
        levels[depth++] = (struct span){topic.data, len};
        if (slash == NULL)
            break;
        topic = (struct span){slash + 1, topic.len - len - 1};
    }
    *place = (struct place){.kind = OTHER, .group = levels[1], .node = levels[3], .device = levels[4]};
    if (!span_is(levels[0], "spBv1.0"))
        return false;
    if (span_is(levels[1], "STATE") || span_is(levels[2], "NCMD") || span_is(levels[2], "DCMD"))
        return true;
    for (int kind = NBIRTH; kind < OTHER; kind++)
        if (span_is(levels[2], kind_names[kind]))
            place->kind = (enum kind)kind;
    size_t wanted = place->kind < DBIRTH ? 4 : 5;
    return place->kind != OTHER && depth == wanted && levels[1].len > 0 && levels[3].len > 0 &&
           (wanted == 4 || levels[4].len > 0);
}

/* ---- readings */

static const char *quality_name(int64_t quality)
{
    if (quality == 500)
        return "stale";
    return quality < 0 || (quality >= 192 && quality < 256) ? "good" : "bad"; /* 192 ..: OPC's good ones */
}

static struct json_object *new_reading(const struct telling *t, const char *device, const char *metric,
                                       uint32_t datatype)
{
    struct json_object *reading = json_object_new_object();
    json_object_object_add(reading, "group", json_text(t->place->group));
    json_object_object_add(reading, "node", json_text(t->place->node));
    json_put_text(reading, "device", device[0] != '\0' ? device : NULL);
    json_put_text(reading, "type", kind_names[t->place->kind]);
    json_put_text(reading, "metric", metric);
    json_put_text(reading, "datatype", sparkplug_type_name(datatype));
    return reading;
}

static void tell(struct telling *t, const char *device, const char *name, uint32_t datatype,
                 const struct wire_metric *metric)
{
    struct json_object *value;
    int64_t at_ms = metric->has_timestamp ? (int64_t)metric->timestamp_ms : wire_timestamp_ms(t->payload);
    if (!span_is_utf8(span_of(name)) || !sparkplug_value(metric, datatype, &value)) {
        count("skipped");
        return;
    }
    struct json_object *reading = new_reading(t, device, name, datatype);
    json_object_object_add(reading, "value", value);
    json_object_object_add(reading, "timestamp", at_ms > 0 ? json_object_new_int64(at_ms) : NULL);
    json_put_text(reading, "quality", quality_name(metric->quality));
    json_object_object_add(reading, "alive", json_object_new_boolean(1));
    json_object_object_add(reading, "historical", json_object_new_boolean(metric->historical));
    json_object_array_add(t->readings, reading);
}

/* A node or device died: nothing is known of its metrics any more. */
static void tell_stale(struct telling *t, const struct born_device *device)
{
    int64_t at_ms = wire_timestamp_ms(t->payload);
    for (size_t i = 0; i < device->count; i++) {
        if (sparkplug_type_name(device->metrics[i].datatype) == NULL)
            continue;
        struct json_object *reading =
            new_reading(t, device->name, device->metrics[i].name, device->metrics[i].datatype);
        json_object_object_add(reading, "value", NULL);
        json_object_object_add(reading, "timestamp", at_ms > 0 ? json_object_new_int64(at_ms) : NULL);
        json_put_text(reading, "quality", "stale");
        json_object_object_add(reading, "alive", json_object_new_boolean(0));
        json_object_object_add(reading, "historical", json_object_new_boolean(0));
        json_object_array_add(t->readings, reading);
    }
}

/* ---- births, data, deaths */

static void change(struct sparkplug *sparkplug, struct born_device *device)
{
    device->changed = sparkplug->changed = true;
}

/* Not known after a restart of ours: something may have been missed. */
static void check_seq(struct born_node *node, int64_t seq)
{
    if (seq < 0)
        return;
    bool follows = node->seq >= 0 && (seq == node->seq || seq == (node->seq + 1) % 256);
    if (!follows) {
        if (node->seq >= 0)
            count("gap");
        node->unsure = true;
    }
    node->seq = (int)seq;
}

static int64_t find_bdseq(const struct wire_payload *payload)
{
    struct wire_metric metric;
    for (size_t i = 0; i < wire_count(payload); i++) {
        wire_metric(payload, i, &metric);
        if (metric.name != NULL && strcmp(metric.name, "bdSeq") == 0 && metric.kind == WIRE_WHOLE)
            return (int64_t)(metric.whole & INT64_MAX);
    }
    return -1;
}

static void take_birth(struct sparkplug *sparkplug, struct telling *t, struct born_device *device)
{
    struct wire_metric metric;
    count("birth");
    born_clear(device);
    for (size_t i = 0; i < wire_count(t->payload); i++) {
        wire_metric(t->payload, i, &metric);
        if (metric.name == NULL || !span_is_utf8(span_of(metric.name)))
            continue;
        born_add(device, metric.name, metric.has_alias, metric.alias, metric.datatype);
        tell(t, device->name, metric.name, metric.datatype, &metric);
    }
    born_settle(device);
    device->alive = true;
    change(sparkplug, device);
}

static void take_node_birth(struct sparkplug *sparkplug, struct telling *t)
{
    struct born_node *node = t->node;
    for (size_t i = 1; i < node->count; i++) { /* each is born again, or is gone */
        node->devices[i]->alive = false;
        change(sparkplug, node->devices[i]);
    }
    node->seq = (int)wire_seq(t->payload);
    node->bdseq = find_bdseq(t->payload);
    node->unsure = false;
    take_birth(sparkplug, t, node->devices[0]);
}

static void take_data(struct telling *t, const struct born_device *device)
{
    struct wire_metric metric;
    bool born = device != NULL && device->alive;
    cleanup_text char *name = span_dup(t->place->device);
    if (!born)
        t->node->unsure = true;
    for (size_t i = 0; i < wire_count(t->payload); i++) {
        wire_metric(t->payload, i, &metric);
        const struct born_metric *known = !born                 ? NULL
                                          : metric.name != NULL ? born_find_name(device, metric.name)
                                                                : born_find_alias(device, metric.alias);
        if (metric.name == NULL && (known == NULL || !metric.has_alias)) {
            count("unknown_alias");
            t->node->unsure = true;
            continue;
        }
        uint32_t datatype = metric.datatype != 0 ? metric.datatype : known != NULL ? known->datatype : 0;
        tell(t, name, metric.name != NULL ? metric.name : known->name, datatype, &metric);
    }
}

static void take_death(struct sparkplug *sparkplug, struct telling *t, struct born_device *device)
{
    if (device == NULL)
        return;
    tell_stale(t, device);
    if (device->alive)
        change(sparkplug, device);
    device->alive = false;
}

static void take_node_death(struct sparkplug *sparkplug, struct telling *t)
{
    int64_t bdseq = find_bdseq(t->payload);
    if (bdseq >= 0 && t->node->bdseq >= 0 && bdseq != t->node->bdseq) {
        count("old_death");
        return;
    }
    count("death");
    for (size_t i = 0; i < t->node->count; i++)
        take_death(sparkplug, t, t->node->devices[i]);
    t->node->seq = -1;
}

static void take(struct sparkplug *sparkplug, struct telling *t)
{
    struct born_node *node = t->node;
    switch (t->place->kind) {
    case NBIRTH:
        take_node_birth(sparkplug, t);
        return;
    case NDEATH:
        take_node_death(sparkplug, t);
        return;
    case NDATA:
        check_seq(node, wire_seq(t->payload));
        take_data(t, node->devices[0]);
        return;
    case DBIRTH:
        check_seq(node, wire_seq(t->payload));
        if (!node->devices[0]->alive)
            node->unsure = true;
        take_birth(sparkplug, t, born_get_device(node, t->place->device));
        return;
    case DDATA:
        check_seq(node, wire_seq(t->payload));
        take_data(t, born_find_device(node, t->place->device));
        return;
    case DDEATH:
        check_seq(node, wire_seq(t->payload));
        count("death");
        take_death(sparkplug, t, born_find_device(node, t->place->device));
        return;
    case OTHER:
        return;
    }
}

/* NULL: there are too many already. */
static struct born_node *find_node(struct sparkplug *sparkplug, const struct place *place)
{
    struct born_node *node = births_find(sparkplug->births, place->group, place->node);
    if (node == NULL && sparkplug->node_count < NODES_MAX) {
        node = births_get(sparkplug->births, place->group, place->node);
        sparkplug->node_count++;
    }
    bool full = node != NULL && place->kind == DBIRTH && node->count >= DEVICES_MAX &&
                born_find_device(node, place->device) == NULL;
    return full ? NULL : node;
}

struct json_object *sparkplug_read(struct sparkplug *sparkplug, struct span topic, struct span bytes,
                                   struct buf *reason)
{
    struct place place;
    const char *error = NULL;
    struct wire_payload *payload = NULL;
    struct born_node *node = NULL;
    if (!parse_topic(topic, &place))
        error = "its topic is none of Sparkplug's: spBv1.0/<group>/<type>/<node>/<device>";
    else if (place.kind == OTHER)
        return json_object_new_array();
    else if (bytes.len > SPARKPLUG_BYTES_MAX)
        error = "it is larger than 4 MiB";
    else if ((payload = wire_unpack(bytes)) == NULL)
        error = "it is no Sparkplug B payload";
    else if ((node = find_node(sparkplug, &place)) == NULL)
        error = "there are more nodes, or devices of one, than can be remembered";
    if (error != NULL) {
        wire_free(payload);
        buf_puts(reason, error);
        return NULL;
    }
    struct telling t = {&place, node, payload, json_object_new_array()};
    take(sparkplug, &t);
    wire_free(payload);
    if (node->unsure && !node->listed) {
        sparkplug->doubtful = mem_grow(sparkplug->doubtful, &sparkplug->doubtful_cap, sparkplug->doubtful_count + 1,
                                       sizeof(sparkplug->doubtful[0]));
        sparkplug->doubtful[sparkplug->doubtful_count++] = node;
        node->listed = true;
    }
    return t.readings;
}

/* ---- for the store: "<group>/<node>/<device>" */

bool sparkplug_has_changes(const struct sparkplug *sparkplug)
{
    return sparkplug->changed;
}

void sparkplug_changes(const struct sparkplug *sparkplug, sparkplug_each_change *each, void *context)
{
    cleanup_buf struct buf text = {0};
    struct born_node *node = NULL;
    while (sparkplug->changed && (node = births_next(sparkplug->births, node)) != NULL)
        for (size_t i = 0; i < node->count; i++) {
            const struct born_device *device = node->devices[i];
            if (!device->changed)
                continue;
            cleanup_text char *key = mem_printf("%s/%s/%s", node->group, node->name, device->name);
            buf_clear(&text);
            born_print(node, device, &text);
            each(context, key, buf_span(&text));
        }
}

void sparkplug_stored(struct sparkplug *sparkplug)
{
    struct born_node *node = NULL;
    while (sparkplug->changed && (node = births_next(sparkplug->births, node)) != NULL)
        for (size_t i = 0; i < node->count; i++)
            node->devices[i]->changed = false;
    sparkplug->changed = false;
}

void sparkplug_restore(struct sparkplug *sparkplug, const char *key, struct span text)
{
    const char *node = strchr(key, '/'), *device = node != NULL ? strchr(node + 1, '/') : NULL;
    if (device == NULL)
        return;
    struct place place = {.kind = DBIRTH,
                          .group = {key, (size_t)(node - key)},
                          .node = {node + 1, (size_t)(device - node - 1)},
                          .device = span_of(device + 1)};
    struct born_node *known = find_node(sparkplug, &place);
    if (known != NULL)
        born_parse(known, born_get_device(known, place.device), text);
}

/* ---- births asked for */

bool sparkplug_wants_rebirths(const struct sparkplug *sparkplug)
{
    return sparkplug->doubtful_count > 0;
}

void sparkplug_rebirths(struct sparkplug *sparkplug, int64_t steady_ms, int64_t wall_ms, sparkplug_each_command *each,
                        void *context)
{
    cleanup_buf struct buf payload = {0};
    for (size_t i = 0; i < sparkplug->doubtful_count; i++) {
        struct born_node *node = sparkplug->doubtful[i];
        node->listed = false; /* its next message lists it again, until its births are there */
        if (!node->unsure || (node->asked_ms != 0 && steady_ms - node->asked_ms < SPARKPLUG_REBIRTH_EVERY_MS))
            continue;
        cleanup_text char *topic = mem_printf("spBv1.0/%s/NCMD/%s", node->group, node->name);
        node->asked_ms = steady_ms;
        count("rebirth");
        buf_clear(&payload);
        wire_pack_rebirth(wall_ms, &payload);
        each(context, topic, buf_span(&payload));
    }
    sparkplug->doubtful_count = 0;
}
