/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation that took place, as lines of a case: bodies exactly, JSON by value. */
#include "cases.h"

#include "cases_run.h"
#include "json.h"
#include "number.h"
#include "redact.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SHORT_JSON 110 /* bytes: a longer one goes over several lines */

/* ---- values ------------------------------------------------------------------------ */

static void put_json(struct json_object *value, struct buf *out)
{
    struct buf text cleanup_buf = {0};
    redact_members(value, NULL);
    json_print(value, &text);
    if (text.len <= SHORT_JSON)
        buf_append(out, text.data, text.len);
    else
        buf_puts(out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void put_body(struct bb_str body, struct buf *out)
{
    const struct span text = {body.data, body.len};
    bool is_null = false;
    struct json_object *value cleanup_json = json_parse(text, &is_null, NULL);
    if (json_object_is_type(value, json_type_object) || json_object_is_type(value, json_type_array))
        put_json(value, out);
    else if ((value || is_null) && case_is_line(text)) /* null, 12, "x": as they are */
        buf_append(out, text.data, text.len);
    else
        case_put_text(text, out);
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
    put_body(message->body, out);
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
    buf_puts(out, request->body.len ? "expect body " : "expect no body");
    if (request->body.len)
        put_body(request->body, out);
    buf_putc(out, '\n');
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
    buf_printf(out, "respond %d%s", response->status, response->body.len ? " " : "");
    if (response->body.len)
        put_body(response->body, out);
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
        else if (last && case_is_line(span_of(note->value)))
            buf_printf(out, "expect note %s %s\n", note->key, note->value);
    }
}

void case_write_verdict(const struct target *target, const struct bb_job *job, int next, const struct bb_out *said,
                        struct buf *out)
{
    put_answer("", (enum bb_next)next, said, out);
    if (next == BB_DONE && said->unconfirmed)
        buf_puts(out, "expect unconfirmed\n");
    if (next == BB_DONE && said->source_work_order_id && case_is_line(span_of(said->source_work_order_id)))
        buf_printf(out, "expect source %s\n", said->source_work_order_id);
    if (next == BB_DONE && said->asset_ref && case_is_line(span_of(said->asset_ref)))
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
