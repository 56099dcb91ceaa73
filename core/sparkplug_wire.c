/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf-c's home. */
#include "sparkplug_private.h"

#include <sparkplug.pb-c.h>
#include <stdlib.h>
#include <string.h>

struct wire_payload {
    Sparkplug__Payload *inner;
};

struct wire_payload *wire_unpack(struct span bytes)
{
    Sparkplug__Payload *inner =
        sparkplug__payload__unpack(NULL, bytes.len, (const uint8_t *)(bytes.data != NULL ? bytes.data : ""));
    if (inner == NULL)
        return NULL;
    struct wire_payload *payload = mem_alloc(sizeof(*payload));
    payload->inner = inner;
    return payload;
}

void wire_free(struct wire_payload *payload)
{
    if (payload == NULL)
        return;
    sparkplug__payload__free_unpacked(payload->inner, NULL);
    free(payload);
}

size_t wire_count(const struct wire_payload *payload)
{
    return payload->inner->n_metrics;
}

int64_t wire_seq(const struct wire_payload *payload)
{
    return payload->inner->has_seq && payload->inner->seq <= 255 ? (int64_t)payload->inner->seq : -1;
}

static int64_t time_of(uint64_t ms)
{
    return ms <= INT64_MAX / 2 ? (int64_t)ms : 0;
}

int64_t wire_timestamp_ms(const struct wire_payload *payload)
{
    return payload->inner->has_timestamp ? time_of(payload->inner->timestamp) : 0;
}

static int64_t find_quality(const Sparkplug__PropertySet *set)
{
    for (size_t i = 0; set != NULL && i < set->n_keys && i < set->n_values; i++) {
        const Sparkplug__PropertyValue *value = set->values[i];
        if (strcmp(set->keys[i], "Quality") != 0)
            continue;
        if (value->value_case == SPARKPLUG__PROPERTY_VALUE__VALUE_INT_VALUE)
            return value->int_value;
        if (value->value_case == SPARKPLUG__PROPERTY_VALUE__VALUE_LONG_VALUE)
            return time_of(value->long_value);
    }
    return -1;
}

static void take_value(const Sparkplug__Metric *metric, struct wire_metric *out)
{
    switch (metric->value_case) {
    case SPARKPLUG__METRIC__VALUE_INT_VALUE:
        out->kind = WIRE_WHOLE;
        out->whole = metric->int_value;
        return;
    case SPARKPLUG__METRIC__VALUE_LONG_VALUE:
        out->kind = WIRE_WHOLE;
        out->whole = metric->long_value;
        return;
    case SPARKPLUG__METRIC__VALUE_FLOAT_VALUE:
        out->kind = WIRE_FLOAT;
        out->real = (double)metric->float_value;
        return;
    case SPARKPLUG__METRIC__VALUE_DOUBLE_VALUE:
        out->kind = WIRE_DOUBLE;
        out->real = metric->double_value;
        return;
    case SPARKPLUG__METRIC__VALUE_BOOLEAN_VALUE:
        out->kind = WIRE_BOOLEAN;
        out->boolean = metric->boolean_value != 0;
        return;
    case SPARKPLUG__METRIC__VALUE_STRING_VALUE:
        out->kind = WIRE_TEXT;
        out->text = metric->string_value;
        return;
    case SPARKPLUG__METRIC__VALUE__NOT_SET:
    case _SPARKPLUG__METRIC__VALUE__CASE_IS_INT_SIZE:
        return;
    }
}

void wire_metric(const struct wire_payload *payload, size_t i, struct wire_metric *out)
{
    const Sparkplug__Metric *metric = payload->inner->metrics[i];
    *out = (struct wire_metric){.name = metric->name != NULL && metric->name[0] != '\0' ? metric->name : NULL,
                                .has_alias = metric->has_alias != 0,
                                .historical = metric->has_is_historical && metric->is_historical,
                                .is_null = metric->has_is_null && metric->is_null,
                                .has_timestamp = metric->has_timestamp != 0,
                                .alias = metric->alias,
                                .timestamp_ms = metric->has_timestamp ? (uint64_t)time_of(metric->timestamp) : 0,
                                .datatype = metric->has_datatype ? metric->datatype : 0,
                                .quality = find_quality(metric->properties)};
    take_value(metric, out);
}

void wire_pack_rebirth(int64_t wall_ms, struct buf *out)
{
    static char name[] = "Node Control/Rebirth";
    Sparkplug__Metric metric = SPARKPLUG__METRIC__INIT, *metrics[] = {&metric};
    Sparkplug__Payload payload = SPARKPLUG__PAYLOAD__INIT;
    metric.name = name;
    metric.has_timestamp = metric.has_datatype = payload.has_timestamp = 1;
    metric.timestamp = payload.timestamp = (uint64_t)wall_ms;
    metric.datatype = SPARKPLUG_BOOLEAN;
    metric.value_case = SPARKPLUG__METRIC__VALUE_BOOLEAN_VALUE;
    metric.boolean_value = 1;
    payload.n_metrics = 1;
    payload.metrics = metrics;
    size_t len = sparkplug__payload__get_packed_size(&payload);
    buf_reserve(out, len + 1);
    sparkplug__payload__pack(&payload, (uint8_t *)out->data + out->len);
    out->len += len;
    out->data[out->len] = '\0';
}
