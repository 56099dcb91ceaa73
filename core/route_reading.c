/* SPDX-License-Identifier: Apache-2.0 */
#include "route_private.h"

#include "json.h"
#include "number.h"
#include "sparkplug.h"

#include <json-c/json.h>
#include <string.h>

#define PARTS_MAX 10000 /* readings of one message */

void reading_begin(struct reading *r, const struct message *message)
{
    r->message = message;
    r->scope.payload_text = message->payload;
    r->scope.topic = message->topic;
    r->scope.now_ms = r->scope.received_ms = r->scope.time_ms = message->received_ms;
    r->scope.user = message->user;
    r->scope.user_count = message->user_count;
    r->scope.captures = &r->captures;
}

static void forget_payload(struct reading *r)
{
    reading_see_whole(r);
    json_object_put(r->jq_payload);
    json_object_put(r->payload);
    r->jq_payload = r->payload = r->scope.payload = NULL;
    r->scope.payload_null = r->parsed = false;
    r->scope.payload_error = NULL;
}

void reading_end(struct reading *r)
{
    forget_payload(r);
    buf_finish(&r->format_error);
}

void reading_use_format(struct reading *r, const struct format *format)
{
    if (r->format == format)
        return;
    forget_payload(r);
    r->format = format;
}

void reading_parse(struct reading *r)
{
    if (r->parsed)
        return;
    r->parsed = true;
    if (r->format == NULL) {
        r->payload = json_parse(r->message->payload, &r->scope.payload_null, &r->scope.payload_error);
    } else {
        buf_clear(&r->format_error);
        if (r->format->kind == FORMAT_SPARKPLUG)
            r->payload = sparkplug_read(r->set->sparkplug, r->message->topic, r->message->payload, &r->format_error);
        else
            r->payload = format_parse(r->format, r->message->payload, &r->scope.payload_null, &r->format_error);
        if (r->payload == NULL && !r->scope.payload_null)
            r->scope.payload_error = buf_span(&r->format_error).data;
    }
    r->scope.payload = r->payload;
}

struct json_object *reading_jq_payload(struct reading *r)
{
    reading_parse(r);
    if (r->jq_payload == NULL) {
        if (r->payload != NULL || r->scope.payload_null)
            r->jq_payload = json_object_get(r->payload);
        else if (span_is_utf8(r->message->payload))
            r->jq_payload = json_text(r->message->payload);
    }
    return r->jq_payload;
}

struct json_object *reading_parts(struct reading *r, const struct rule *rule)
{
    struct json_object *parts = NULL;
    reading_parse(r);
    if (rule->input.each == NULL)
        return json_object_get(r->payload); /* Sparkplug's metrics */
    if (template_render(rule->input.each, &r->scope, &parts, r->reason) != 0)
        return NULL;
    if (!json_object_is_type(parts, json_type_array)) {
        buf_printf(r->reason, "what `each` names is no array but %s", json_type_to_name(json_object_get_type(parts)));
    } else if (json_object_array_length(parts) > PARTS_MAX) {
        buf_printf(r->reason, "%zu readings in one message, at most %d are taken", json_object_array_length(parts),
                   PARTS_MAX);
    } else {
        return parts;
    }
    json_object_put(parts);
    return NULL;
}

static void see(struct reading *r, struct json_object *payload, bool is_null)
{
    json_object_put(r->jq_payload);
    r->jq_payload = NULL;
    r->payload = r->scope.payload = payload;
    r->scope.payload_null = is_null;
}

void reading_see_part(struct reading *r, struct json_object *part)
{
    if (r->in_part) {
        json_object_put(r->payload);
    } else {
        r->whole = r->scope.root = r->payload;
        r->whole_null = r->scope.payload_null;
        r->in_part = true;
    }
    see(r, json_object_get(part), part == NULL);
}

void reading_see_whole(struct reading *r)
{
    if (!r->in_part)
        return;
    json_object_put(r->payload);
    see(r, r->whole, r->whole_null);
    r->whole = r->scope.root = NULL;
    r->in_part = false;
}

static struct span trim(struct span text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.data[0]) != NULL && text.data[0] != '\0')
        text = (struct span){text.data + 1, text.len - 1};
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL && text.data[text.len - 1] != '\0')
        text.len--;
    return text;
}

struct span reading_raw(const struct reading *r)
{
    return trim(r->message->payload);
}

/* Without a format no JSON is parsed for it. */
bool reading_number(struct reading *r, double *number)
{
    if (r->format == NULL && !r->in_part)
        return number_parse_double(trim(r->message->payload), number);
    reading_parse(r);
    return json_to_double(r->payload, number);
}

bool reading_fits_format(struct reading *r)
{
    if (r->format == NULL)
        return true;
    reading_parse(r);
    if (r->payload != NULL || r->scope.payload_null)
        return true;
    buf_printf(r->reason, "the payload is no %s: %s", format_name(r->format->kind), r->scope.payload_error);
    return false;
}
