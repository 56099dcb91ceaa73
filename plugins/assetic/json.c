/* SPDX-License-Identifier: Apache-2.0 */
#include "assetic.h"

#include <json-c/json.h>
#include <json-c/json_pointer.h>
#include <limits.h>
#include <string.h>

#define DEPTH_MAX 64
#define WORD_MAX 48
#define HEX "0123456789abcdefABCDEF"

struct json_object *as_parse(struct bb_str text)
{
    if (text.len == 0 || text.len > INT_MAX - 1)
        return NULL;
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *value = json_tokener_parse_ex(tokener, text.data, (int)text.len);
    enum json_tokener_error state = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    if (state == json_tokener_continue) { /* a bare number ends only where the text does */
        value = json_tokener_parse_ex(tokener, "", 1);
        state = json_tokener_get_error(tokener);
        end = text.len;
    }
    while (end < text.len && text.data[end] != '\0' && strchr(" \t\r\n", text.data[end]))
        end++;
    json_tokener_free(tokener);
    if (state == json_tokener_success && end == text.len)
        return value;
    json_object_put(value);
    return NULL;
}

struct json_object *as_parse_text(const char *text)
{
    return text ? as_parse((struct bb_str){text, strlen(text)}) : NULL;
}

void as_put(struct json_object **value)
{
    json_object_put(*value);
    *value = NULL;
}

struct bb_str as_print(const struct as_call *call, struct json_object *value)
{
    size_t len = 0;
    const char *text =
        json_object_to_json_string_length(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    char *copy = call->host->alloc(call->job, len + 1);
    memcpy(copy, text, len);
    return (struct bb_str){copy, len};
}

struct json_object *as_at(struct json_object *root, const char *pointer)
{
    struct json_object *value = NULL;
    return root && json_pointer_get(root, pointer, &value) == 0 ? value : NULL;
}

struct json_object *as_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &value);
    return value;
}

const char *as_text_of(const struct as_call *call, struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string))
        return NULL;
    const char *text = json_object_get_string(value);
    size_t len = (size_t)json_object_get_string_len(value);
    return len > 0 && strlen(text) == len ? call->host->format(call->job, "%s", text) : NULL;
}

const char *as_text_at(const struct as_call *call, struct json_object *root, const char *pointer)
{
    return as_text_of(call, as_at(root, pointer));
}

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

size_t as_characters(struct json_object *text)
{
    const char *bytes = json_object_get_string(text);
    size_t count = 0;
    for (int i = 0; i < json_object_get_string_len(text); i++)
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

/* Edits from a to b, by rows. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], lb = strlen(b);
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < step ? change : step;
        }
    }
    return row[lb];
}

const char *as_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t least = strlen(word) / 2 + 1;
    if (strlen(word) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, words[i]);
        if (d < least) {
            least = d;
            best = words[i];
        }
    }
    return best;
}

const char *as_answered_id(const struct as_call *call, struct bb_str body)
{
    AS_SCOPED struct json_object *answer = as_parse(body);
    struct json_object *at = answer;
    if (json_object_is_type(at, json_type_array))
        at = json_object_array_length(at) > 0 ? json_object_array_get_idx(at, 0) : NULL;
    if (json_object_is_type(at, json_type_object))
        at = as_member(at, "Id");
    return as_is_guid(at) && !as_is_zero_guid(at) ? as_text_of(call, at) : NULL;
}
