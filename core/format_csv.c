/* SPDX-License-Identifier: Apache-2.0 */
/* One line of CSV (RFC 4180 with a separator of choice). A field in quotes is text; one without is null when it
 * is empty, a number when it reads as one, else text. */
#include "format.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

struct line {
    const char *at, *end;
    char separator;
};

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

/* After the opening quote. Leaves `at` behind the closing one; NULL when there is none, or more behind it. */
static struct json_object *quoted_field(struct line *line, struct buf *reason)
{
    cleanup_buf struct buf text = {0};
    while (line->at < line->end) {
        const char *quote = memchr(line->at, '"', (size_t)(line->end - line->at));
        if (quote == NULL)
            break;
        buf_append(&text, line->at, (size_t)(quote - line->at));
        line->at = quote + 1;
        if (line->at == line->end || *line->at == line->separator)
            return json_text(buf_span(&text));
        if (*line->at != '"') {
            buf_puts(reason, "there is text behind a closing quote");
            return NULL;
        }
        buf_putc(&text, '"');
        line->at++;
    }
    buf_puts(reason, "a quoted field is not closed");
    return NULL;
}

/* *text is left alone for null. */
static bool next_field(struct line *line, char decimal, struct json_object **field, struct buf *reason)
{
    *field = NULL;
    if (line->at < line->end && *line->at == '"') {
        line->at++;
        *field = quoted_field(line, reason);
        return *field != NULL;
    }
    const char *end = memchr(line->at, line->separator, (size_t)(line->end - line->at));
    end = end != NULL ? end : line->end;
    struct span text = trim((struct span){line->at, (size_t)(end - line->at)});
    line->at = end;
    if (text.len > 0 && memchr(text.data, '\n', text.len) != NULL) {
        buf_puts(reason, "it has more than one line");
        return false;
    }
    if (text.len > 0 && (*field = format_number(text, decimal)) == NULL)
        *field = json_text(text);
    return true;
}

/* The fields of the line, in order. gives; NULL: reason */
static struct json_object *read_fields(const struct format *format, struct span text, struct buf *reason)
{
    struct json_object *fields = json_object_new_array();
    struct line line = {text.data, text.data + text.len, format->separator != 0 ? format->separator : ','};
    for (;;) {
        struct json_object *field;
        bool ok = next_field(&line, format->decimal, &field, reason);
        if (ok && json_object_array_length(fields) == FORMAT_FIELDS_MAX) {
            buf_printf(reason, "it has more than %d fields", FORMAT_FIELDS_MAX);
            json_object_put(field);
            ok = false;
        }
        if (!ok)
            break;
        json_object_array_add(fields, field);
        if (line.at == line.end)
            return fields;
        line.at++; /* the separator; a field follows, even when it is empty */
    }
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
