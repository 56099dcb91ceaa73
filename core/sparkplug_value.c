/* SPDX-License-Identifier: Apache-2.0 */
/* Values as their datatypes say. On the wire, signed integers are the bits of unsigned ones: an Int32 of -12 comes
 * as 4294967284, an Int8 of -1 as 255 or 4294967295. */
#include "sparkplug_private.h"

#include "json.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [SPARKPLUG_INT8] = "Int8",         [SPARKPLUG_INT16] = "Int16",     [SPARKPLUG_INT32] = "Int32",
    [SPARKPLUG_INT64] = "Int64",       [SPARKPLUG_UINT8] = "UInt8",     [SPARKPLUG_UINT16] = "UInt16",
    [SPARKPLUG_UINT32] = "UInt32",     [SPARKPLUG_UINT64] = "UInt64",   [SPARKPLUG_FLOAT] = "Float",
    [SPARKPLUG_DOUBLE] = "Double",     [SPARKPLUG_BOOLEAN] = "Boolean", [SPARKPLUG_STRING] = "String",
    [SPARKPLUG_DATETIME] = "DateTime", [SPARKPLUG_TEXT] = "Text",       [SPARKPLUG_UUID] = "UUID",
};

const char *sparkplug_type_name(uint32_t datatype)
{
    return datatype < sizeof(names) / sizeof(names[0]) ? names[datatype] : NULL;
}

/* With as few digits as bring back the same number of its width; NaN and the infinities have no JSON. */
static struct json_object *real_json(double value, bool single)
{
    char text[40];
    if (!isfinite(value))
        return NULL;
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    return json_object_new_double_s(strtod(text, NULL), text);
}

static bool whole_value(const struct wire_metric *metric, uint32_t datatype, struct json_object **value)
{
    if (metric->kind != WIRE_WHOLE)
        return false;
    switch (datatype) {
    case SPARKPLUG_INT8:
        *value = json_object_new_int((int8_t)(uint8_t)metric->whole);
        return true;
    case SPARKPLUG_INT16:
        *value = json_object_new_int((int16_t)(uint16_t)metric->whole);
        return true;
    case SPARKPLUG_INT32:
        *value = json_object_new_int((int32_t)(uint32_t)metric->whole);
        return true;
    case SPARKPLUG_INT64:
        *value = json_object_new_int64((int64_t)metric->whole);
        return true;
    default:
        *value = json_object_new_uint64(metric->whole);
        return true;
    }
}

bool sparkplug_value(const struct wire_metric *metric, uint32_t datatype, struct json_object **value)
{
    *value = NULL;
    if (sparkplug_type_name(datatype) == NULL)
        return false;
    if (metric->is_null)
        return true;
    switch ((enum sparkplug_type)datatype) {
    case SPARKPLUG_FLOAT:
    case SPARKPLUG_DOUBLE:
        if (metric->kind != WIRE_FLOAT && metric->kind != WIRE_DOUBLE)
            return false;
        *value = real_json(metric->real, metric->kind == WIRE_FLOAT);
        return true;
    case SPARKPLUG_BOOLEAN:
        if (metric->kind != WIRE_BOOLEAN)
            return false;
        *value = json_object_new_boolean(metric->boolean);
        return true;
    case SPARKPLUG_STRING:
    case SPARKPLUG_TEXT:
    case SPARKPLUG_UUID:
        if (metric->kind != WIRE_TEXT || !span_is_utf8(span_of(metric->text)))
            return false;
        *value = json_text(span_of(metric->text));
        return true;
    case SPARKPLUG_INT8:
    case SPARKPLUG_INT16:
    case SPARKPLUG_INT32:
    case SPARKPLUG_INT64:
    case SPARKPLUG_UINT8:
    case SPARKPLUG_UINT16:
    case SPARKPLUG_UINT32:
    case SPARKPLUG_UINT64:
    case SPARKPLUG_DATETIME:
        break;
    }
    return whole_value(metric, datatype, value);
}
