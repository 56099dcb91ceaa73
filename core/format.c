/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include "json.h"
#include "number.h"

#include <json-c/json.h>
#include <string.h>

#define NUMBER_MAX 64 /* as number.h has it */

const char *format_name(enum format_kind kind)
{
    switch (kind) {
    case FORMAT_JSON:
        return "JSON";
    case FORMAT_NUMBER:
        return "number";
    case FORMAT_TEXT:
        return "UTF-8 text";
    case FORMAT_CSV:
        return "CSV line";
    case FORMAT_SPARKPLUG:
        return "Sparkplug B message";
    }
    return "?";
}

static struct span trim(struct span text)
{
    while (text.len > 0 && memchr(" \t\r\n", text.data[0], 4) != NULL)
        text = (struct span){text.data + 1, text.len - 1};
    while (text.len > 0 && memchr(" \t\r\n", text.data[text.len - 1], 4) != NULL)
        text.len--;
    return text;
}

/* What JSON would print as it stands: 007 and .5 are numbers too, but have to be written anew. */
static bool is_json_number(struct span text)
{
    size_t at = text.len > 0 && text.data[0] == '-' ? 1 : 0;
    size_t digits = at;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    if (digits == at || (text.data[at] == '0' && digits > at + 1))
        return false;
    return digits == text.len || text.data[digits] != '.' ||
           (digits + 1 < text.len && text.data[digits + 1] >= '0' && text.data[digits + 1] <= '9');
}

struct json_object *format_number(struct span text, char decimal)
{
    char copy[NUMBER_MAX];
    double value;
    if (text.len > 1 && text.data[0] == '+' && text.data[1] != '-')
        text = (struct span){text.data + 1, text.len - 1};
    if (text.len == 0 || text.len >= sizeof(copy))
        return NULL;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (decimal != 0 && decimal != '.') {
        if (memchr(copy, '.', text.len) != NULL)
            return NULL;
        char *comma = memchr(copy, decimal, text.len);
        if (comma != NULL)
            *comma = '.';
    }
    text.data = copy;
    if (!number_parse_double(text, &value))
        return NULL;
    return is_json_number(text) ? json_object_new_double_s(value, copy) : json_object_new_double(value);
}

struct json_object *format_parse(const struct format *format, struct span payload, bool *is_null, struct buf *reason)
{
    const char *error = NULL;
    struct json_object *value = NULL;
    *is_null = false;
    switch (format->kind) {
    case FORMAT_JSON:
        value = json_parse(payload, is_null, &error);
        break;
    case FORMAT_NUMBER:
        value = format_number(trim(payload), format->decimal);
        error = "it is no decimal number";
        break;
    case FORMAT_TEXT:
        value = span_is_utf8(payload) ? json_text(payload) : NULL;
        error = "it is not UTF-8";
        break;
    case FORMAT_CSV:
        return format_parse_csv(format, payload, reason);
    case FORMAT_SPARKPLUG:
        error = "its births are not at hand";
        break;
    }
    if (value == NULL && !*is_null)
        buf_puts(reason, error);
    return value;
}
