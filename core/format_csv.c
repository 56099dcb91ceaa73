/* SPDX-License-Identifier: Apache-2.0 */
/* One line of CSV (RFC 4180 with a separator of choice). A field in quotes is text; one without is null when it
 * is empty, a number when it reads as one, else text. */
#include "format.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

static struct span without_line_end(struct span text)
{
    if (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.data[text.len - 1] == '\r')
        text.len--;
    return text;
}

static struct span trim(struct span text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = (struct span){text.data + 1, text.len - 1};
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* What is left of the line begins after `len` bytes: with a separator, and then a field, or not at all. */
static void go_on(struct csv_line *line, size_t len)
{
    line->left.data += len;
    line->left.len -= len;
    if (line->left.len == 0)
        line->left.data = NULL;
    else
        line->left = (struct span){line->left.data + 1, line->left.len - 1};
}

static int quoted_field(struct csv_line *line, struct buf *field, struct buf *reason)
{
    const char *at = line->left.data + 1, *end = line->left.data + line->left.len;
    while (at < end) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL)
            break;
        buf_append(field, at, (size_t)(quote - at));
        at = quote + 1;
        if (at == end || *at == line->separator) {
            go_on(line, (size_t)(at - line->left.data));
            return 1;
        }
        if (*at != '"') {
            buf_puts(reason, "there is text behind a closing quote");
            return -1;
        }
        buf_putc(field, '"');
        at++;
    }
    buf_puts(reason, "a quoted field is not closed");
    return -1;
}

int csv_next(struct csv_line *line, struct buf *field, bool *quoted, struct buf *reason)
{
    buf_clear(field);
    if (line->left.data == NULL)
        return 0;
    *quoted = line->left.len > 0 && line->left.data[0] == '"';
    if (*quoted)
        return quoted_field(line, field, reason);
    const char *end = line->left.len > 0 ? memchr(line->left.data, line->separator, line->left.len) : NULL;
    size_t len = end != NULL ? (size_t)(end - line->left.data) : line->left.len;
    struct span text = trim((struct span){line->left.data, len});
    if (text.len > 0 && memchr(text.data, '\n', text.len) != NULL) {
        buf_puts(reason, "it has more than one line");
        return -1;
    }
    buf_append(field, text.data, text.len);
    go_on(line, len);
    return 1;
}

static struct json_object *value_of(struct span field, bool quoted, char decimal)
{
    struct json_object *number = quoted ? NULL : format_number(field, decimal);
    if (number != NULL || (field.len == 0 && !quoted))
        return number;
    return json_text(field);
}

/* The fields of the line, in order. gives; NULL: reason */
static struct json_object *read_fields(const struct format *format, struct span text, struct buf *reason)
{
    cleanup_buf struct buf field = {0};
    struct json_object *fields = json_object_new_array();
    struct csv_line line = {text, format->separator != 0 ? format->separator : ','};
    bool quoted = false;
    int next;
    while ((next = csv_next(&line, &field, &quoted, reason)) > 0) {
        if (json_object_array_length(fields) == FORMAT_FIELDS_MAX) {
            buf_printf(reason, "it has more than %d fields", FORMAT_FIELDS_MAX);
            next = -1;
            break;
        }
        json_object_array_add(fields, value_of(buf_span(&field), quoted, format->decimal));
    }
    if (next == 0)
        return fields;
    json_object_put(fields);
    return NULL;
}

struct json_object *format_parse_csv(const struct format *format, struct span payload, struct buf *reason)
{
    struct span text = without_line_end(payload);
    if (text.len == 0 || !span_is_utf8(text) || memchr(text.data, '\0', text.len) != NULL) {
        buf_puts(reason, text.len == 0 ? "it is empty" : "it is not UTF-8 text");
        return NULL;
    }
    struct json_object *fields = read_fields(format, text, reason);
    if (fields == NULL || format->column_count == 0)
        return fields;
    size_t count = json_object_array_length(fields);
    struct json_object *row = NULL;
    if (count == format->column_count) {
        row = json_object_new_object();
        for (size_t i = 0; i < count; i++)
            if (format->columns[i] != NULL)
                json_object_object_add(row, format->columns[i], json_object_get(json_object_array_get_idx(fields, i)));
    } else {
        buf_printf(reason, "it has %zu field%s where %zu columns are told", count, count == 1 ? "" : "s",
                   format->column_count);
    }
    json_object_put(fields);
    return row;
}
