/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are no JSON, as a line of a case says them: as they are, or `text "..."` where a line does not hold them,
 * or `bytes "..."` where they are no UTF-8: each character is one byte then. Not in Base64, where neither a person nor
 * the redactor would see what is in it. */
#include "cases_run.h"
#include "json.h"

#include <ctype.h>
#include <json-c/json.h>
#include <string.h>

/* A character up to U+00FF is the byte of that number. False: one is above. */
static bool to_bytes(struct span utf8, struct buf *bytes)
{
    for (size_t i = 0; i < utf8.len; i++) {
        const unsigned char c = (unsigned char)utf8.data[i];
        if (c > 0xc3)
            return false;
        if (c >= 0xc2) /* one of two bytes: all that is between U+0080 and U+00FF */
            buf_putc(bytes, (char)((c & 3) << 6 | ((unsigned char)utf8.data[++i] & 0x3f)));
        else
            buf_putc(bytes, (char)c);
    }
    return true;
}

static void from_bytes(struct span bytes, struct buf *utf8)
{
    for (size_t i = 0; i < bytes.len; i++) {
        const unsigned char c = (unsigned char)bytes.data[i];
        if (c >= 0x80)
            buf_putc(utf8, (char)(0xc0 | c >> 6));
        buf_putc(utf8, c >= 0x80 ? (char)(0x80 | (c & 0x3f)) : (char)c);
    }
}

static void keep_body(struct case_run *run, struct span text, struct span *body)
{
    *body = (struct span){case_keep(run, text), text.len};
}

/* The string that stands there in JSON's quotes. False after saying that there is none. */
static bool unquote(struct case_run *run, struct span quoted, struct buf *text)
{
    struct json_object *value cleanup_json = json_parse(quoted, NULL, NULL);
    if (json_object_is_type(value, json_type_string))
        buf_append(text, json_object_get_string(value), (size_t)json_object_get_string_len(value));
    else
        case_fail(run, "write: text \"...\" or bytes \"...\", on one line, as a string of JSON (\\n, \\\", \\u00e4)");
    return !run->failed;
}

bool case_read_text(struct case_run *run, struct span rest, struct span *body)
{
    struct buf text cleanup_buf = {0};
    if (rest.len == 0 || *rest.data != '"')
        buf_append(&text, rest.data, rest.len);
    else if (!unquote(run, rest, &text))
        return false;
    keep_body(run, buf_span(&text), body);
    return true;
}

bool case_read_bytes(struct case_run *run, struct span rest, struct span *body)
{
    struct buf utf8 cleanup_buf = {0}, bytes cleanup_buf = {0};
    if (!unquote(run, rest, &utf8))
        return false;
    if (!to_bytes(buf_span(&utf8), &bytes))
        case_fail(run, "bytes: each character is one byte, so none is above \\u00ff");
    keep_body(run, buf_span(&bytes), body);
    return !run->failed;
}

bool case_read_body(struct case_run *run, struct span rest, struct span *body)
{
    if (case_take(&rest, "bytes"))
        return case_read_bytes(run, rest, body);
    if (case_take(&rest, "text"))
        return case_read_text(run, rest, body);
    keep_body(run, rest, body);
    return true;
}

bool case_is_line(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return text.len && !isspace((unsigned char)*text.data) && !isspace((unsigned char)text.data[text.len - 1]) &&
           span_is_utf8(text);
}

/* Whether a line can hold it without quotes, and without being read as JSON that goes on. */
static bool is_bare(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (strchr("{}[]\"", text.data[i]))
            return false;
    return case_is_line(text);
}

void case_put_text(struct span body, struct buf *out)
{
    struct buf utf8 cleanup_buf = {0};
    const bool bytes = !span_is_utf8(body);
    if (is_bare(body)) {
        buf_puts(out, "text ");
        buf_append(out, body.data, body.len);
        return;
    }
    if (bytes)
        from_bytes(body, &utf8);
    buf_puts(out, bytes ? "bytes " : "text ");
    buf_put_json(out, bytes ? buf_span(&utf8) : body);
}
