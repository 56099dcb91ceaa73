/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation that took place, as lines of a case. What no line can say (a body that is no JSON, a text over several
 * lines) is left out or made one line: who writes a case runs it before it is kept. */
#include "cases.h"

#include "cases_run.h"
#include "json.h"
#include "number.h"
#include "redact.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SHORT_JSON 110 /* bytes: a longer one goes over several lines */
#define MOST_TEXT 400  /* bytes of an answer that is no JSON */

/* ---- values ------------------------------------------------------------------------ */

/* Whether a line can hold it as it is. */
static bool is_line(const char *text)
{
    return *text && !isspace((unsigned char)*text) && !isspace((unsigned char)text[strlen(text) - 1]) &&
           !strpbrk(text, "\r\n");
}

static void put_json(struct json_object *value, struct buf *out)
{
    struct buf text cleanup_buf = {0};
    redact_members(value);
    json_print(value, &text);
    if (text.len <= SHORT_JSON)
        buf_append(out, text.data, text.len);
    else
        buf_puts(out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* False, and nothing appended, when it is no JSON object or array. */
static bool put_body(struct bb_str body, struct buf *out)
{
    struct json_object *value cleanup_json = json_parse((struct span){body.data, body.len}, NULL, NULL);
    if (!json_object_is_type(value, json_type_object) && !json_object_is_type(value, json_type_array))
        return false;
    put_json(value, out);
    return true;
}

/* Text as one line, without what would be read as JSON that goes on. */
static void put_text(struct bb_str text, struct buf *out)
{
    const size_t len = text.len < MOST_TEXT ? text.len : MOST_TEXT;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text.data[i];
        buf_putc(out, c < 0x20 || c >= 0x7f || strchr("{}[]\"", c) ? ' ' : (char)c);
    }
}

/* ---- the target ------------------------------------------------------------------------- */

static const struct config_option *given_option(const struct target *target, const char *name)
{
    for (size_t i = 0; i < target->config->option_count; i++)
        if (strcmp(target->config->options[i].name, name) == 0)
            return &target->config->options[i];
    return NULL;
}

static void put_option(const struct bb_option *option, const struct config_option *given, struct buf *out)
{
    buf_printf(out, "option %s ", option->name);
    if (!given) {
        buf_puts(out, "a-secret-of-the-tests"); /* the target has a credential of its own in its place */
    } else if (option->type == BB_JSON && given->node && !given->secret) {
        struct json_object *value cleanup_json = yaml_to_json(given->node);
        json_print(value, out);
    } else if (option->type == BB_STRING || option->type == BB_SECRET || option->type == BB_JSON) {
        buf_put_json(out, span_of(given->text));
    } else {
        buf_puts(out, given->text);
    }
    buf_putc(out, '\n');
}

static void put_map(const struct config_target *config, struct buf *out)
{
    struct json_object *all cleanup_json = json_object_new_object();
    for (enum word_list list = WORDS_STATUS; list < WORD_LISTS; list++) {
        struct json_object *lines = config->maps[list].count ? json_object_new_object() : NULL;
        for (size_t i = 0; i < config->maps[list].count; i++)
            json_put_text(lines, config->maps[list].lines[i].source, config->maps[list].lines[i].common);
        if (lines)
            json_object_object_add(all, lifecycle_list_name(list), lines);
    }
    if (json_object_object_length(all) == 0)
        return;
    buf_puts(out, "map ");
    json_print(all, out);
    buf_putc(out, '\n');
}

void case_write_target(const struct target *target, struct buf *out)
{
    struct bb_option option;
    for (size_t i = 0; plugin_option(target->plugin, i, &option); i++) {
        const struct config_option *given = given_option(target, option.name);
        if (given || (option.type == BB_SECRET && (option.flags & BB_REQUIRED)))
            put_option(&option, given, out);
    }
    put_map(target->config, out);
}

/* ---- the conversation -------------------------------------------------------------------- */

void case_write_message(const struct bb_message *message, struct buf *out)
{
    buf_puts(out, "message ");
    if (!put_body(message->body, out))
        buf_append(out, message->body.data, message->body.len);
    buf_printf(out, "\nid %s\norder %s\n", message->id, message->order_id);
    if (message->source_work_order_id)
        buf_printf(out, "source %s\n", message->source_work_order_id);
}

void case_write_request(const struct bb_request *request, struct buf *out)
{
    buf_printf(out, "expect send %s %s\n", request->method, request->path);
    if (request->content_type && request->body.len)
        buf_printf(out, "expect header Content-Type: %s\n", request->content_type);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct bb_header *header = &request->headers[i];
        buf_printf(out, "expect header %s: %.*s\n", header->name, (int)header->value.len, header->value.data);
    }
    if (request->cache_ms) {
        char duration[24];
        number_format_duration(request->cache_ms, duration);
        buf_printf(out, "expect cache %s\n", duration);
    }
    const size_t start = out->len;
    buf_puts(out, "expect body ");
    if (request->body.len && put_body(request->body, out)) {
        buf_putc(out, '\n');
        return;
    }
    out->len = start;
    struct buf text cleanup_buf = {0};
    buf_append(&text, request->body.data, request->body.len);
    if (!request->body.len)
        buf_puts(out, "expect no body\n");
    else if (strlen(text.data) == request->body.len && is_line(text.data))
        buf_printf(out, "expect body text %s\n", text.data);
    else
        buf_puts(out, "# its body is of several lines and no JSON: not compared\n");
}

/* What says something of the answer, not of the way it took, and is no credential. */
static bool is_worth_keeping(const char *name)
{
    static const char *const way[] = {"date",
                                      "server",
                                      "connection",
                                      "keep-alive",
                                      "content-length",
                                      "transfer-encoding",
                                      "vary",
                                      "cache-control",
                                      "via",
                                      "strict-transport-security",
                                      "age",
                                      "content-encoding",
                                      "expires",
                                      "pragma",
                                      "alt-svc",
                                      "content-security-policy",
                                      "expect-ct",
                                      "accept-ranges"};
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        if (strcasecmp(way[i], name) == 0)
            return false;
    return !redact_is_secret_name(name) && strcasecmp(name, "www-authenticate") != 0;
}

void case_write_response(const struct bb_response *response, struct buf *out)
{
    buf_printf(out, "respond %d ", response->status);
    if (!put_body(response->body, out))
        put_text(response->body, out);
    buf_putc(out, '\n');
    for (size_t i = 0, kept = 0; i < response->header_count && kept < CASE_HEADERS; i++) {
        const struct bb_header *header = &response->headers[i];
        if (!is_worth_keeping(header->name))
            continue;
        buf_printf(out, "respond header %s: %.*s\n", header->name, (int)header->value.len, header->value.data);
        kept++;
    }
}

/* ---- the end -------------------------------------------------------------------------------- */

/* CLASS CODE [POINTER...] */
static void put_error(const struct bb_error *error, struct buf *out)
{
    const char *name = host_class_name(error->error_class);
    buf_printf(out, " %s %s", name ? name : "none", error->code);
    struct json_object *fields cleanup_json =
        error->rejected_fields ? json_parse(span_of(error->rejected_fields), NULL, NULL) : NULL;
    struct buf pointers cleanup_buf = {0};
    for (size_t i = 0; json_object_is_type(fields, json_type_array) && i < json_object_array_length(fields); i++) {
        const char *pointer = json_get_text(json_object_array_get_idx(fields, i), "pointer");
        if (!pointer || !*pointer || strpbrk(pointer, " \t\r\n"))
            return;
        buf_printf(&pointers, " %s", pointer);
    }
    buf_append(out, pointers.data, pointers.len);
}

static void put_answer(const char *what, enum bb_next next, const struct bb_out *said, struct buf *out)
{
    buf_printf(out, "expect %s%s", what, case_next_name(next));
    if (next == BB_HOLD && said->hold_operation)
        buf_puts(out, " operation");
    if (next != BB_DONE)
        put_error(&said->error, out);
    if (next == BB_RETRY && said->retry_after_ms > 0) {
        char duration[24];
        number_format_duration(said->retry_after_ms, duration);
        buf_printf(out, " after %s", duration);
    }
    buf_putc(out, '\n');
}

static void put_events(const struct target *target, const struct bb_job *job, struct buf *out)
{
    for (size_t i = 0; i < job->event_count; i++) {
        const struct bb_event *event = &job->events[i].event;
        struct json_object *json cleanup_json = case_event_json(event);
        if (event->type)
            buf_printf(out, "expect event %s ", event->type);
        else
            buf_printf(out, "expect event provider.%s.%s ", target->plugin->name, event->name);
        put_json(json, out);
        buf_putc(out, '\n');
    }
}

static void put_notes(const struct bb_job *job, struct buf *out)
{
    for (size_t i = 0; i < job->note_count; i++) {
        const struct job_note *note = &job->notes[i];
        bool last = true;
        for (size_t later = i + 1; later < job->note_count; later++)
            last = last && strcmp(job->notes[later].key, note->key) != 0;
        if (last && !note->value)
            buf_printf(out, "expect no note %s\n", note->key);
        else if (last && is_line(note->value))
            buf_printf(out, "expect note %s %s\n", note->key, note->value);
    }
}

void case_write_verdict(const struct target *target, const struct bb_job *job, int next, const struct bb_out *said,
                        struct buf *out)
{
    put_answer("", (enum bb_next)next, said, out);
    if (next == BB_DONE && said->unconfirmed)
        buf_puts(out, "expect unconfirmed\n");
    if (next == BB_DONE && said->source_work_order_id && is_line(said->source_work_order_id))
        buf_printf(out, "expect source %s\n", said->source_work_order_id);
    if (next == BB_DONE && said->asset_ref && is_line(said->asset_ref))
        buf_printf(out, "expect asset %s\n", said->asset_ref);
    for (size_t i = 0; i < job->item_count; i++) {
        char what[32];
        const struct bb_out own = {.error = job->items[i].error};
        snprintf(what, sizeof what, "item %zu ", i);
        if (job->items[i].verdict)
            put_answer(what, job->items[i].verdict, &own, out);
    }
    put_events(target, job, out);
    put_notes(job, out);
}
