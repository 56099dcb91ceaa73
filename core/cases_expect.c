/* SPDX-License-Identifier: Apache-2.0 */
/* The expect lines. Those that name an answer of the plugin's (send, done, retry, reject, hold) let it
 * run; the others look at what the last answer left behind. */
#include "cases_run.h"
#include "clock.h"
#include "json.h"
#include "number.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

/* Compares text; fails with what was expected. */
static void same_text(struct case_run *run, const char *what, struct span expected, const char *actual)
{
    if (!actual || !span_is(expected, actual))
        case_fail(run, "expected %s %.*s, got %s", what, (int)expected.len, expected.data, actual ? actual : "none");
}

static void holds_text(struct case_run *run, const char *what, struct span expected, const char *actual)
{
    if (!actual || !memmem(actual, strlen(actual), expected.data, expected.len))
        case_fail(run, "expected %s with \"%.*s\", got %s%s%s", what, (int)expected.len, expected.data,
                  actual ? "\"" : "", actual ? actual : "none", actual ? "\"" : "");
}

static void same_json(struct case_run *run, const char *what, struct span expected, struct span actual, bool subset)
{
    bool is_null = false;
    const char *error = NULL;
    struct json_object *left cleanup_json = json_parse(expected, &is_null, &error);
    if (error) {
        case_fail(run, "the expected %s is no JSON: %s", what, error);
        return;
    }
    struct json_object *right cleanup_json = json_parse(actual, &is_null, &error);
    if (error) {
        case_fail(run, "expected %s %.*s, got %.*s, which is no JSON: %s", what, (int)expected.len, expected.data,
                  (int)actual.len, actual.len ? actual.data : "", error);
        return;
    }
    struct buf where cleanup_buf = {0};
    if (!case_json_matches(left, right, subset, &where))
        case_fail(run, "%s: %s", what, where.data);
}

/* ---- answers ------------------------------------------------------------------------ */

static bool answers(struct case_run *run, enum bb_next expected)
{
    if (!case_advance(run))
        return false;
    if (run->next == expected)
        return true;
    const struct bb_out *out = &run->out;
    if (run->next == BB_SEND)
        case_fail(run, "expected %s, got send %s %s", case_next_name(expected), out->request.method, out->request.path);
    else if (run->next == BB_DONE)
        case_fail(run, "expected %s, got done", case_next_name(expected));
    else
        case_fail(run, "expected %s, got %s %s %s: %s", case_next_name(expected), case_next_name(run->next),
                  host_class_name(out->error.error_class), out->error.code, out->error.message);
    return false;
}

static void expect_send(struct case_run *run, struct span rest)
{
    struct span method = case_word(&rest);
    if (!answers(run, BB_SEND))
        return;
    const struct bb_request *request = &run->out.request;
    if (!span_is(method, request->method) || !span_is(rest, request->path))
        case_fail(run, "expected %.*s %.*s, got %s %s", (int)method.len, method.data, (int)rest.len, rest.data,
                  request->method, request->path);
}

static void expect_done(struct case_run *run, struct span rest)
{
    (void)rest;
    (void)answers(run, BB_DONE);
}

static void check_pointers(struct case_run *run, const struct bb_error *error, struct span rest)
{
    struct json_object *fields cleanup_json =
        error->rejected_fields ? json_parse(span_of(error->rejected_fields), NULL, NULL) : NULL;
    const size_t count = json_object_is_type(fields, json_type_array) ? json_object_array_length(fields) : 0;
    size_t expected = 0;
    for (struct span pointer; rest.len; expected++) {
        pointer = case_word(&rest);
        bool found = false;
        for (size_t i = 0; i < count; i++) {
            const char *each = json_get_text(json_object_array_get_idx(fields, i), "pointer");
            found = found || (each && span_is(pointer, each));
        }
        if (!found)
            case_fail(run, "expected rejected field %.*s, got %s", (int)pointer.len, pointer.data,
                      error->rejected_fields ? error->rejected_fields : "none");
    }
    if (expected && expected != count)
        case_fail(run, "expected %zu rejected fields, got %s", expected, error->rejected_fields);
}

/* [CLASS CODE [POINTER...]] */
static void check_error(struct case_run *run, const struct bb_error *error, struct span rest)
{
    if (rest.len == 0)
        return;
    const struct span expected_class = case_word(&rest), code = case_word(&rest);
    const char *error_class = host_class_name(error->error_class);
    if (!error_class || !span_is(expected_class, error_class) || !span_is(code, error->code))
        case_fail(run, "expected %.*s %.*s, got %s %s: %s", (int)expected_class.len, expected_class.data, (int)code.len,
                  code.data, error_class, error->code, error->message);
    else
        check_pointers(run, error, rest);
}

static void expect_reject(struct case_run *run, struct span rest)
{
    if (answers(run, BB_REJECT))
        check_error(run, &run->out.error, rest);
}

static void expect_hold(struct case_run *run, struct span rest)
{
    const bool operation = case_take(&rest, "operation");
    if (!answers(run, BB_HOLD))
        return;
    if (operation != run->out.hold_operation)
        case_fail(run, "expected hold of the %s, got hold of the %s", operation ? "operation" : "target",
                  operation ? "target" : "operation");
    check_error(run, &run->out.error, rest);
}

/* [CLASS CODE] [after DURATION] */
static void expect_retry(struct case_run *run, struct span rest)
{
    struct span error = rest;
    const char *after = rest.len ? memmem(rest.data, rest.len, "after ", 6) : NULL;
    int64_t delay = 0;
    if (after && (after == rest.data || after[-1] == ' ')) {
        const struct span text = {after + 6, (size_t)(rest.data + rest.len - after) - 6};
        if (!number_parse_duration(text, &delay)) {
            case_fail(run, "write: expect retry [CLASS CODE] [after DURATION]");
            return;
        }
        error.len = (size_t)(after - rest.data);
        while (error.len && error.data[error.len - 1] == ' ')
            error.len--;
    }
    if (!answers(run, BB_RETRY))
        return;
    check_error(run, &run->out.error, error);
    if (after && delay != run->out.retry_after_ms)
        case_fail(run, "expected retry after %lld ms, got %lld ms", (long long)delay,
                  (long long)run->out.retry_after_ms);
}

/* ---- the request ------------------------------------------------------------------------ */

static bool has_request(struct case_run *run)
{
    if (run->next != BB_SEND)
        case_fail(run, "there is no request: the plugin answered %s", case_next_name(run->next));
    return run->next == BB_SEND;
}

static void expect_body(struct case_run *run, struct span rest)
{
    if (has_request(run))
        same_json(run, "body", rest, run->request.body, false);
}

static void expect_body_has(struct case_run *run, struct span rest)
{
    if (has_request(run))
        same_json(run, "body", rest, run->request.body, true);
}

static void same_body(struct case_run *run, struct span expected)
{
    const struct span is = run->request.body;
    struct buf left cleanup_buf = {0}, right cleanup_buf = {0};
    if (is.len == expected.len && (is.len == 0 || memcmp(is.data, expected.data, is.len) == 0))
        return;
    case_put_text(expected, &left);
    case_put_text(is, &right);
    case_fail(run, "body: expected %s, got %s", left.data, right.data);
}

static void expect_body_text(struct case_run *run, struct span rest)
{
    struct span expected;
    if (has_request(run) && case_read_text(run, rest, &expected))
        same_body(run, expected);
}

static void expect_body_bytes(struct case_run *run, struct span rest)
{
    struct span expected;
    if (has_request(run) && case_read_bytes(run, rest, &expected))
        same_body(run, expected);
}

static void expect_no_body(struct case_run *run, struct span rest)
{
    (void)rest;
    if (has_request(run) && run->request.body.len)
        case_fail(run, "expected no body, got %.*s", (int)run->request.body.len, run->request.body.data);
}

static bool find_header(struct case_run *run, struct span name, struct span *value)
{
    char *wanted cleanup_text = span_dup(name);
    if (strcasecmp(wanted, "User-Agent") == 0) {
        *value = span_of(run->request.options->user_agent);
        return true;
    }
    for (size_t i = 0; i < run->request.header_count; i++)
        if (strcasecmp(run->request.headers[i].name, wanted) == 0) {
            *value = run->request.headers[i].value;
            return true;
        }
    return false;
}

/* NAME: VALUE. part: the value has this in it. */
static void check_header(struct case_run *run, struct span rest, bool part)
{
    const char *colon = rest.len ? memchr(rest.data, ':', rest.len) : NULL;
    if (!colon) {
        case_fail(run, "write: expect header [has] NAME: VALUE");
        return;
    }
    const struct span name = {rest.data, (size_t)(colon - rest.data)};
    const struct span expected = case_trim((struct span){colon + 1, rest.len - name.len - 1});
    struct span actual = {0};
    if (!has_request(run))
        return;
    if (!find_header(run, name, &actual))
        case_fail(run, "expected header %.*s, got none", (int)rest.len, rest.data);
    else if (!memmem(actual.data, actual.len, expected.data, expected.len) || (!part && actual.len != expected.len))
        case_fail(run, "expected header %.*s, got %.*s", (int)rest.len, rest.data, (int)actual.len, actual.data);
}

static void expect_header(struct case_run *run, struct span rest)
{
    check_header(run, rest, false);
}

static void expect_header_has(struct case_run *run, struct span rest)
{
    check_header(run, rest, true);
}

static void expect_no_header(struct case_run *run, struct span rest)
{
    struct span value;
    if (has_request(run) && find_header(run, rest, &value))
        case_fail(run, "expected no header %.*s, got %.*s", (int)rest.len, rest.data, (int)value.len, value.data);
}

static void expect_cache(struct case_run *run, struct span rest)
{
    int64_t expected;
    if (!number_parse_duration(rest, &expected))
        case_fail(run, "write: expect cache DURATION");
    else if (has_request(run) && expected != run->out.request.cache_ms)
        case_fail(run, "expected cache %lld ms, got %lld ms", (long long)expected,
                  (long long)run->out.request.cache_ms);
}

/* ---- what a verdict says ------------------------------------------------------------------ */

static bool has_verdict(struct case_run *run, enum bb_next wanted)
{
    if (run->next == wanted || (wanted == 0 && run->next != BB_SEND && run->next != 0))
        return true;
    case_fail(run, "expected a verdict first, got %s", case_next_name(run->next));
    return false;
}

static void expect_unconfirmed(struct case_run *run, struct span rest)
{
    (void)rest;
    if (has_verdict(run, BB_DONE) && !run->out.unconfirmed)
        case_fail(run, "expected unconfirmed, got confirmed");
}

static void expect_confirmed(struct case_run *run, struct span rest)
{
    (void)rest;
    if (has_verdict(run, BB_DONE) && run->out.unconfirmed)
        case_fail(run, "expected confirmed, got unconfirmed");
}

static void expect_source(struct case_run *run, struct span rest)
{
    if (has_verdict(run, BB_DONE))
        same_text(run, "source", rest, run->out.source_work_order_id);
}

static void expect_asset(struct case_run *run, struct span rest)
{
    if (has_verdict(run, BB_DONE))
        same_text(run, "asset", rest, run->out.asset_ref);
}

static void expect_error(struct case_run *run, struct span rest)
{
    if (has_verdict(run, 0))
        holds_text(run, "an error", rest, run->out.error.message);
}

static void expect_action(struct case_run *run, struct span rest)
{
    if (!has_verdict(run, 0))
        return;
    const struct bb_error *error = &run->out.error;
    holds_text(run, "an owner action", rest,
               error->owner_action ? error->owner_action : host_owner_action(error->error_class));
}

static void expect_item(struct case_run *run, struct span rest)
{
    int64_t i;
    if (!number_parse_int(case_word(&rest), 0, INT32_MAX, &i) || (size_t)i >= run->job.item_count) {
        case_fail(run, "write: expect item N VERDICT, N from 0 to below %zu", run->job.item_count);
        return;
    }
    const struct span verdict = case_word(&rest);
    const struct job_item *item = &run->job.items[i];
    if (!span_is(verdict, case_next_name(item->verdict)))
        case_fail(run, "expected item %d %.*s, got %s%s%s", (int)i, (int)verdict.len, verdict.data,
                  case_next_name(item->verdict), item->error.message ? ": " : "",
                  item->error.message ? item->error.message : "");
    else if (item->verdict != BB_DONE)
        check_error(run, &item->error, rest);
}

/* ---- events, notes ---------------------------------------------------------------------------- */

static struct json_object *order_json(const struct bb_work_order *order)
{
    struct json_object *json = json_object_new_object();
    json_put_text(json, "order_id", order->order_id);
    json_put_text(json, "delivery_id", order->delivery_id);
    json_put_text(json, "source_work_order_id", order->source_work_order_id);
    json_put_text(json, "asset_ref", order->asset_ref);
    json_put_text(json, "source_status", order->source_status);
    json_put_text(json, "common_status", order->common_status);
    json_put_text(json, "priority", order->priority);
    json_put_text(json, "source_priority", order->source_priority);
    json_put_text(json, "sla_due_at", order->sla_due_at);
    return json;
}

struct json_object *case_event_json(const struct bb_event *event)
{
    struct json_object *json = json_object_new_object();
    json_put_text(json, "name", event->name);
    json_put_text(json, "dedup_id", event->dedup_id);
    json_put_time(json, "occurred_at", event->occurred_ms);
    json_object_object_add(json, "work_order", event->work_order ? order_json(event->work_order) : NULL);
    json_object_object_add(json, "raw", json_parse((struct span){event->raw.data, event->raw.len}, NULL, NULL));
    return json;
}

static void expect_event(struct case_run *run, struct span rest)
{
    const struct span expected = case_word(&rest);
    if (!run->started || run->events_seen == run->job.event_count) {
        case_fail(run, "expected event %.*s, got no %sevent", (int)expected.len, expected.data,
                  run->started && run->events_seen ? "further " : "");
        return;
    }
    const struct bb_event *event = &run->job.events[run->events_seen++].event;
    char *provider cleanup_text = mem_printf("provider.%s.%s", run->plugin->descriptor.name, event->name);
    same_text(run, "event", expected, event->type ? event->type : provider);
    if (run->failed || rest.len == 0)
        return;
    struct json_object *json cleanup_json = case_event_json(event);
    struct buf text cleanup_buf = {0};
    json_print(json, &text);
    same_json(run, "event", rest, buf_span(&text), true);
}

static const char *note_value(const struct case_run *run, struct span key)
{
    const char *value = NULL;
    for (size_t i = 0; i < run->note_count; i++)
        if (span_is(key, run->notes[i].key))
            value = run->notes[i].value;
    for (size_t i = 0; run->started && i < run->job.note_count; i++)
        if (span_is(key, run->job.notes[i].key))
            value = run->job.notes[i].value;
    return value;
}

static void expect_note(struct case_run *run, struct span rest)
{
    const struct span key = case_word(&rest);
    same_text(run, "note", rest, note_value(run, key));
}

static void expect_no_note(struct case_run *run, struct span rest)
{
    const char *value = note_value(run, rest);
    if (value)
        case_fail(run, "expected no note %.*s, got %s", (int)rest.len, rest.data, value);
}

static void expect_dedup(struct case_run *run, struct span rest)
{
    same_text(run, "dedup key", rest, run->dedup_key);
}

/* ---- before anything runs ------------------------------------------------------------------------ */

static void expect_accepted(struct case_run *run, struct span rest)
{
    (void)rest;
    if (!run->check_ran)
        case_fail(run, "expect accepted stands after a check line");
    else if (run->complaint)
        case_fail(run, "expected accepted, got: %s", run->complaint);
}

static void expect_complaint(struct case_run *run, struct span rest)
{
    if (!run->check_ran)
        case_fail(run, "expect complaint stands after a check line");
    else
        holds_text(run, "a complaint", rest, run->complaint);
}

static void expect_refused(struct case_run *run, struct span rest)
{
    if (case_open_target(run)) {
        case_fail(run, "expected the target to be refused, got a target");
        return;
    }
    struct buf text cleanup_buf = {0};
    problems_print(&run->problems, &text);
    holds_text(run, "a refusal", rest, text.data);
}

const struct case_word case_expect_words[] = {
    {"expect send", expect_send, false},
    {"expect done", expect_done, false},
    {"expect retry", expect_retry, false},
    {"expect reject", expect_reject, false},
    {"expect hold", expect_hold, false},
    {"expect body has", expect_body_has, true},
    {"expect body text", expect_body_text, false},
    {"expect body bytes", expect_body_bytes, false},
    {"expect body", expect_body, true},
    {"expect no body", expect_no_body, false},
    {"expect header has", expect_header_has, false},
    {"expect header", expect_header, false},
    {"expect no header", expect_no_header, false},
    {"expect cache", expect_cache, false},
    {"expect confirmed", expect_confirmed, false},
    {"expect unconfirmed", expect_unconfirmed, false},
    {"expect source", expect_source, false},
    {"expect asset", expect_asset, false},
    {"expect error", expect_error, false},
    {"expect action", expect_action, false},
    {"expect item", expect_item, false},
    {"expect event", expect_event, true},
    {"expect note", expect_note, false},
    {"expect no note", expect_no_note, false},
    {"expect dedup", expect_dedup, false},
    {"expect accepted", expect_accepted, false},
    {"expect complaint", expect_complaint, false},
    {"expect refused", expect_refused, false},
    {NULL, NULL, false},
};
