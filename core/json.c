/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "clock.h"
#include "number.h"

#include <json-c/json.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One tokener a thread, kept between calls and freed with its thread. */
static pthread_key_t tokener_key;
static pthread_once_t tokener_once = PTHREAD_ONCE_INIT;

static void free_tokener(void *tokener)
{
    json_tokener_free(tokener);
}

static void make_tokener_key(void)
{
    if (pthread_key_create(&tokener_key, free_tokener) != 0)
        abort();
}

static struct json_tokener *thread_tokener(void)
{
    pthread_once(&tokener_once, make_tokener_key);
    struct json_tokener *tokener = pthread_getspecific(tokener_key);
    if (tokener == NULL) {
        tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 2); /* json_fault is stricter */
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        pthread_setspecific(tokener_key, tokener);
    }
    json_tokener_reset(tokener);
    return tokener;
}

struct json_object *json_parse(struct span text, bool *is_null, const char **error)
{
    const char *unused;
    if (error == NULL)
        error = &unused;
    if (is_null != NULL)
        *is_null = false;
    *error = text.len > INT32_MAX - 1 ? "it is too large" : json_fault(text);
    if (*error != NULL)
        return NULL;
    struct json_tokener *tokener = thread_tokener();
    struct json_object *value = json_tokener_parse_ex(tokener, text.data, (int)text.len);
    if (json_tokener_get_error(tokener) == json_tokener_continue) /* a number must be told that it ended */
        value = json_tokener_parse_ex(tokener, "\0", 1);
    enum json_tokener_error state = json_tokener_get_error(tokener);
    if (state != json_tokener_success) {
        *error = json_tokener_error_desc(state);
        return NULL;
    }
    if (value == NULL && is_null != NULL)
        *is_null = true;
    return value;
}

void json_print(const struct json_object *value, struct buf *out)
{
    size_t len = 0;
    /* json-c caches its print buffer in the object: it takes a non-const pointer */
    const char *text = json_object_to_json_string_length((struct json_object *)(uintptr_t)value,
                                                         JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    buf_append(out, text, len);
}

struct json_object *json_pointer(struct json_object *root, const char *pointer, bool *found)
{
    struct json_object *at = root;
    char key[256];
    if (found != NULL)
        *found = false;
    while (*pointer == '/') {
        size_t len = 0;
        for (pointer++; *pointer != '\0' && *pointer != '/'; pointer++) {
            char c = *pointer;
            if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
                c = *++pointer == '0' ? '~' : '/';
            if (len + 1 >= sizeof(key))
                return NULL;
            key[len++] = c;
        }
        key[len] = '\0';
        if (json_object_is_type(at, json_type_array)) {
            int64_t index;
            if (!number_parse_int((struct span){key, len}, 0, INT32_MAX, &index) ||
                (size_t)index >= json_object_array_length(at))
                return NULL;
            at = json_object_array_get_idx(at, (size_t)index);
        } else if (!json_object_is_type(at, json_type_object) || !json_object_object_get_ex(at, key, &at)) {
            return NULL;
        }
    }
    if (*pointer != '\0')
        return NULL;
    if (found != NULL)
        *found = true;
    return at;
}

struct json_object *json_get(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, key, &value))
        return NULL;
    return value;
}

const char *json_get_text(struct json_object *object, const char *key)
{
    struct json_object *value = json_get(object, key);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

bool json_to_double(struct json_object *value, double *out)
{
    switch (json_object_get_type(value)) {
    case json_type_int:
    case json_type_double:
        *out = json_object_get_double(value);
        return isfinite(*out); /* NaN, Infinity, 1e999: json-c reads them, nothing can be compared with them */
    case json_type_string:
        return number_parse_double(
            (struct span){json_object_get_string(value), (size_t)json_object_get_string_len(value)}, out);
    case json_type_null:
    case json_type_boolean:
    case json_type_object:
    case json_type_array:
        return false;
    }
    return false;
}

bool json_to_text(struct json_object *value, struct buf *out)
{
    switch (json_object_get_type(value)) {
    case json_type_string:
        buf_append(out, json_object_get_string(value), (size_t)json_object_get_string_len(value));
        return true;
    case json_type_object:
    case json_type_array:
        return false;
    case json_type_null:
    case json_type_boolean:
    case json_type_int:
    case json_type_double:
        json_print(value, out);
        return true;
    }
    return false;
}

/* What we print is JSON, whoever the text came from: a target, a plugin, an older store. */
struct json_object *json_text(struct span text)
{
    cleanup_buf struct buf mended = {0};
    if (!span_is_utf8(text)) {
        buf_put_text(&mended, text);
        text = buf_span(&mended);
    }
    return json_object_new_string_len(text.data != NULL ? text.data : "", (int)text.len);
}

void json_put_text(struct json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, value == NULL ? NULL : json_text(span_of(value)));
}

void json_put_time(struct json_object *object, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT_MAX];
    json_put_text(object, key, wall_ms == 0 ? NULL : clock_format(wall_ms, text));
}

void json_put_int(struct json_object *object, const char *key, int64_t value)
{
    json_object_object_add(object, key, json_object_new_int64(value));
}

void json_free(struct json_object **value)
{
    json_object_put(*value);
    *value = NULL;
}
