/* SPDX-License-Identifier: Apache-2.0 */
/* Are two JSON values the same, and if not, where? */
#include "cases_run.h"
#include "json.h"

#include <json-c/json.h>
#include <string.h>

struct diff {
    struct buf path; /* JSON Pointer of where we are */
    bool subset;
    struct buf *where;
};

static bool matches(struct diff *diff, struct json_object *expected, struct json_object *actual);

static bool differ(struct diff *diff, const char *what, struct json_object *expected, struct json_object *actual)
{
    struct buf *where = diff->where;
    buf_printf(where, "%s%sexpected ", diff->path.len ? diff->path.data : "", diff->path.len ? ": " : "");
    if (what)
        buf_puts(where, what);
    else
        json_print(expected, where);
    buf_puts(where, ", got ");
    json_print(actual, where);
    return false;
}

static void enter(struct diff *diff, const char *key)
{
    buf_putc(&diff->path, '/');
    for (; *key; key++) {
        if (*key == '~' || *key == '/')
            buf_puts(&diff->path, *key == '~' ? "~0" : "~1");
        else
            buf_putc(&diff->path, *key);
    }
}

static void leave(struct diff *diff, size_t len)
{
    diff->path.len = len;
    diff->path.data[len] = '\0';
}

static bool objects_match(struct diff *diff, struct json_object *expected, struct json_object *actual)
{
    json_object_object_foreach(expected, key, value)
    {
        struct json_object *other = NULL;
        const size_t len = diff->path.len;
        bool found = json_object_object_get_ex(actual, key, &other);
        enter(diff, key);
        if (!found)
            buf_printf(diff->where, "%s is missing", diff->path.data);
        if (!found || !matches(diff, value, other))
            return false;
        leave(diff, len);
    }
    if (diff->subset)
        return true;
    json_object_object_foreach(actual, extra, unused)
    {
        (void)unused;
        if (json_object_object_get_ex(expected, extra, NULL))
            continue;
        enter(diff, extra);
        buf_printf(diff->where, "%s was not expected", diff->path.data);
        return false;
    }
    return true;
}

static bool arrays_match(struct diff *diff, struct json_object *expected, struct json_object *actual)
{
    const size_t count = json_object_array_length(expected);
    if (count != json_object_array_length(actual)) {
        char *what cleanup_text = mem_printf("%zu items", count);
        return differ(diff, what, expected, actual);
    }
    for (size_t i = 0; i < count; i++) {
        const size_t len = diff->path.len;
        buf_printf(&diff->path, "/%zu", i);
        if (!matches(diff, json_object_array_get_idx(expected, i), json_object_array_get_idx(actual, i)))
            return false;
        leave(diff, len);
    }
    return true;
}

static bool doubles_match(struct json_object *expected, struct json_object *actual)
{
    double a = json_object_get_double(expected), b = json_object_get_double(actual);
    return !(a < b) && !(a > b);
}

static bool matches(struct diff *diff, struct json_object *expected, struct json_object *actual)
{
    const enum json_type type = json_object_get_type(expected);
    if (type != json_object_get_type(actual))
        return differ(diff, NULL, expected, actual);
    bool same = true;
    switch (type) {
    case json_type_object:
        return objects_match(diff, expected, actual);
    case json_type_array:
        return arrays_match(diff, expected, actual);
    case json_type_double:
        same = doubles_match(expected, actual);
        break;
    case json_type_null:
    case json_type_boolean:
    case json_type_int:
    case json_type_string:
        same = json_object_equal(expected, actual);
        break;
    }
    return same || differ(diff, NULL, expected, actual);
}

bool case_json_matches(struct json_object *expected, struct json_object *actual, bool subset, struct buf *where)
{
    struct diff diff = {.subset = subset, .where = where};
    bool same = matches(&diff, expected, actual);
    buf_finish(&diff.path);
    return same;
}
