/* SPDX-License-Identifier: Apache-2.0 */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

#define HEX "0123456789abcdefABCDEF"

bool as_is_guid(struct json_object *value)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const char *text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    size_t i = 0;
    while (i < sizeof shape - 1 && text[i] && (shape[i] == '-' ? text[i] == '-' : strchr(HEX, text[i]) != NULL))
        i++;
    return i == sizeof shape - 1 && text[i] == '\0';
}

bool as_is_zero_guid(struct json_object *value)
{
    return as_is_guid(value) && json_object_get_string(value)[strspn(json_object_get_string(value), "0-")] == '\0';
}

const char *as_answered_id(const struct as_call *call, struct bb_str body)
{
    PL_SCOPED struct json_object *answer = pl_parse(body);
    struct json_object *at = answer;
    if (json_object_is_type(at, json_type_array))
        at = json_object_array_length(at) > 0 ? json_object_array_get_idx(at, 0) : NULL;
    if (json_object_is_type(at, json_type_object))
        at = pl_member(at, "Id");
    return as_is_guid(at) && !as_is_zero_guid(at) ? as_text_of(call, at) : NULL;
}
