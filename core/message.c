/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <json-c/json.h>

size_t message_read_user(struct json_object *object, struct message_property user[MESSAGE_USER_MAX])
{
    size_t count = 0;
    if (!json_object_is_type(object, json_type_object))
        return 0;
    json_object_object_foreach(object, name, value)
    {
        if (count < MESSAGE_USER_MAX && json_object_is_type(value, json_type_string))
            user[count++] = (struct message_property){span_of(name), span_of(json_object_get_string(value))};
    }
    return count;
}

const char *outcome_name(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_IGNORED:
        return "ignored";
    case OUTCOME_SUPPRESSED:
        return "suppressed";
    case OUTCOME_INVALID:
        return "invalid";
    case OUTCOME_DUPLICATE:
        return "duplicate";
    case OUTCOME_WAITING:
        return "waiting";
    case OUTCOME_ACCEPTED:
        return "accepted";
    }
    return "?";
}
