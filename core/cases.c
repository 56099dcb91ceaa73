/* SPDX-License-Identifier: Apache-2.0 */
/* A file is lines; a line is words that a table knows and a rest. The lines before the first `case`
 * are run again at the start of each case, so that cases share their options and nothing else.
 *
 * The plugin is driven lazily: `expect send` and the expected verdicts step it, all other lines only
 * prepare or look. So `respond` may be followed by `respond header`, and a line that fails is the one
 * that says what was expected. */
#include "cases.h"

#include "cases_run.h"
#include "clock.h"
#include "fence.h"
#include "hook.h"
#include "json.h"
#include "number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_NOW_MS INT64_C(1704164645000) /* 2024-01-02T03:04:05Z */

/* ---- helpers -------------------------------------------------------------------- */

void case_fail(struct case_run *run, const char *format, ...)
{
    if (run->failed)
        return;
    run->failed = true;
    buf_printf(run->report, "%s:%d: %s: ", run->file, run->line, run->title);
    va_list args;
    va_start(args, format);
    buf_vprintf(run->report, format, args);
    va_end(args);
    buf_putc(run->report, '\n');
}

char *case_keep(struct case_run *run, struct span text)
{
    return arena_dup(run->arena, text.data, text.len);
}

const char *case_next_name(enum bb_next next)
{
    switch (next) {
    case BB_SEND:
        return "send";
    case BB_DONE:
        return "done";
    case BB_RETRY:
        return "retry";
    case BB_REJECT:
        return "reject";
    case BB_HOLD:
        return "hold";
    }
    return "nothing";
}

/* ---- driving the plugin ------------------------------------------------------------ */

static char *read_note(void *context, const char *key)
{
    const struct case_run *run = context;
    for (size_t i = run->note_count; i-- > 0;)
        if (strcmp(run->notes[i].key, key) == 0)
            return mem_strdup(run->notes[i].value);
    return NULL;
}

static void put_note(struct case_run *run, const char *key, const char *value)
{
    if (run->note_count == CASE_NOTES) {
        case_fail(run, "more than %d notes", CASE_NOTES);
        return;
    }
    run->notes[run->note_count++] =
        (struct job_note){case_keep(run, span_of(key)), value ? case_keep(run, span_of(value)) : NULL};
}

bool case_open_target(struct case_run *run)
{
    if (run->target || run->failed)
        return !run->failed;
    const struct bb_plugin *plugin = &run->plugin->descriptor;
    run->config.name = case_keep(run, span_of(plugin->name));
    run->config.mark = (struct mark){run->file, run->line, 1};
    run->config.mode_given = true;
    run->config.allow_unsigned = plugin->hook.event_pointer != NULL;
    run->config.options = run->options;
    if (!run->config.url && !plugin->default_url)
        run->config.url = case_keep(run, SPAN("https://target.example"));
    run->target = target_create(&run->config, run->plugin, &run->problems);
    return run->target != NULL;
}

/* The same, where anything but a target is a failure of the case. */
static bool need_target(struct case_run *run)
{
    if (run->failed || case_open_target(run))
        return !run->failed;
    struct buf text cleanup_buf = {0};
    problems_print(&run->problems, &text);
    struct span said = case_trim(buf_span(&text));
    case_fail(run, "the target does not open: %.*s", (int)said.len, said.data);
    return false;
}

static void start_job(struct case_run *run)
{
    target_init_job(run->target, &run->job, run->message_count, run->now_ms);
    run->host = fence_host();
    fence_begin();
    run->job.read_note = read_note;
    run->job.context = run;
    for (size_t i = 0; i < run->message_count; i++) {
        run->messages[i].topic = (struct bb_str){run->topic, run->topic ? strlen(run->topic) : 0};
        run->messages[i].received_ms = run->now_ms;
    }
    run->in = (struct bb_in){.size = sizeof run->in,
                             .job = &run->job,
                             .operation = run->kind == CASE_STEP ? run->operation : NULL,
                             .messages = run->messages,
                             .message_size = sizeof run->messages[0],
                             .message_count = run->message_count,
                             .state = &run->job.state,
                             .attempt = run->attempt,
                             .uncertain = run->uncertain,
                             .now_ms = run->now_ms};
    run->started = true;
    run->events_seen = 0;
}

static void call_plugin(struct case_run *run)
{
    const struct bb_plugin *plugin = run->target->plugin;
    enum bb_next (*const calls[])(const struct bb_host *, void *, const struct bb_in *, struct bb_out *) = {
        [CASE_STEP] = plugin->step, [CASE_DECODE] = plugin->decode, [CASE_POLL] = plugin->poll};
    run->in.response = run->answered ? &run->response : NULL;
    run->out = (struct bb_out){.size = sizeof run->out};
    fence_watch_inputs(&run->host, &run->in);
    fence_watch_settings(plugin, run->target->plugin_config);
    run->next = calls[run->kind](&run->host, run->target->self, &run->in, &run->out);
    struct buf wrote cleanup_buf = {0};
    if (fence_check(&wrote) != FENCE_HOLDS) {
        case_fail(run, "the plugin breaks a rule: %s", wrote.data);
        return;
    }
    const char *fault = job_review(&run->job, run->next, &run->out);
    if (!fault)
        fault = run->job.flaw; /* the daemon would mend it */
    if (!fault && run->kind == CASE_DECODE && run->next != BB_DONE && run->next != BB_REJECT)
        fault = "decode answers done or reject";
    if (!fault && run->next == BB_SEND)
        (void)target_request(run->target, &run->job, &run->out.request, &run->request, &fault);
    if (fault)
        case_fail(run, "the plugin breaks a rule: %s", fault);
    target_heed_retry_after(run->next, run->in.response, run->now_ms, &run->out);
    run->answered = false;
}

static bool can_start(struct case_run *run)
{
    if (!need_target(run))
        return false;
    const struct bb_plugin *plugin = run->target->plugin;
    struct bb_operation operation;
    if (run->kind == CASE_POLL && !plugin->poll)
        case_fail(run, "the plugin has no poll");
    else if (run->kind == CASE_STEP && !run->operation)
        case_fail(run, "an operation line is missing");
    else if (run->kind == CASE_STEP && !plugin_find_operation(plugin, run->operation, &operation))
        case_fail(run, "the plugin has no operation %s", run->operation);
    else if (run->kind == CASE_STEP && run->message_count > operation.max_batch)
        case_fail(run, "%zu messages, but %s takes %u a call", run->message_count, run->operation, operation.max_batch);
    else if (run->kind == CASE_STEP && run->message_count == 0 && !(operation.flags & BB_AT_START))
        case_fail(run, "a message line is missing");
    return !run->failed;
}

bool case_advance(struct case_run *run)
{
    if (!run->started) {
        if (!can_start(run))
            return false;
        start_job(run);
    } else if (run->next != BB_SEND) {
        case_fail(run, "the attempt has ended: it answered %s", case_next_name(run->next));
    } else if (!run->answered) {
        case_fail(run, "the plugin waits for an answer to %s %s: a respond line is missing", run->out.request.method,
                  run->out.request.path);
    }
    if (!run->failed)
        call_plugin(run);
    return !run->failed;
}

void case_end_attempt(struct case_run *run)
{
    if (!run->started)
        return;
    if (run->answered)
        case_fail(run, "a respond line with nothing expected after it");
    if (run->events_seen < run->job.event_count) {
        const struct bb_event *event = &run->job.events[run->events_seen].event;
        case_fail(run, "the event %s was not expected", event->type ? event->type : event->name);
    }
    for (size_t i = 0; run->next != BB_SEND && i < run->job.note_count; i++)
        put_note(run, run->job.notes[i].key, run->job.notes[i].value);
    job_finish(&run->job);
    run->started = run->answered = false;
    run->next = 0;
}

/* ---- lines that set up ----------------------------------------------------------------- */

/* Where an option of that name goes: a case may say anew what the file's head said. */
static size_t option_place(struct case_run *run, struct span name)
{
    size_t i = 0;
    while (i < run->config.option_count && !span_is(name, run->options[i].name))
        i++;
    if (i == run->config.option_count)
        run->config.option_count++;
    yaml_destroy(run->trees[i]);
    run->trees[i] = NULL;
    return i;
}

static void line_option(struct case_run *run, struct span rest)
{
    struct span name = case_word(&rest);
    if (name.len == 0 || rest.len == 0 || run->config.option_count == CASE_OPTIONS) {
        case_fail(run, "write: option NAME VALUE");
        return;
    }
    const size_t i = option_place(run, name);
    run->options[i] = (struct config_option){.name = case_keep(run, name), .mark = {run->file, run->line, 1}};
    run->trees[i] = yaml_read_text(rest, run->file, &run->problems);
    run->options[i].node = run->trees[i] ? yaml_root(run->trees[i]) : NULL;
    if (!run->options[i].node)
        case_fail(run, "the option's value is no YAML");
    else if (run->options[i].node->kind == YAML_SCALAR)
        run->options[i].text = case_keep(run, run->options[i].node->text);
}

static void line_map(struct case_run *run, struct span rest)
{
    const size_t errors = run->problems.errors;
    struct yaml_tree *tree = yaml_read_text(rest, run->file, &run->problems);
    if (tree)
        config_read_map(&run->problems, yaml_root(tree), &run->config);
    yaml_destroy(tree);
    if (run->problems.errors > errors)
        case_fail(run, "%s", run->problems.items[run->problems.count - 1].text);
}

static void line_url(struct case_run *run, struct span rest)
{
    run->config.url = case_keep(run, rest);
}

static void line_now(struct case_run *run, struct span rest)
{
    if (!clock_parse(rest, &run->now_ms))
        case_fail(run, "write: now, then an RFC 3339 time such as 2024-01-02T03:04:05Z");
}

/* Lines that say how an attempt begins come before it does. */
static bool not_started(struct case_run *run)
{
    if (run->started)
        case_fail(run, "this line stands before the first expect of an attempt");
    return !run->started;
}

static void line_operation(struct case_run *run, struct span rest)
{
    if (!not_started(run))
        return;
    run->kind = CASE_STEP;
    run->operation = case_keep(run, rest);
}

static void line_topic(struct case_run *run, struct span rest)
{
    run->topic = case_keep(run, rest);
}

static struct bb_message *add_message(struct case_run *run, struct span body)
{
    if (run->message_count == CASE_MESSAGES) {
        case_fail(run, "more than %d messages", CASE_MESSAGES);
        return NULL;
    }
    struct bb_message *message = &run->messages[run->message_count++];
    char id[32], order[32];
    snprintf(id, sizeof id, "delivery-%zu", run->message_count);
    snprintf(order, sizeof order, "order-%zu", run->message_count);
    *message = (struct bb_message){.id = case_keep(run, span_of(id)),
                                   .order_id = case_keep(run, span_of(order)),
                                   .body = {case_keep(run, body), body.len}};
    return message;
}

static void line_message(struct case_run *run, struct span rest)
{
    bool is_null = false;
    const char *error = NULL;
    struct json_object *value cleanup_json = json_parse(rest, &is_null, &error);
    struct buf text cleanup_buf = {0};
    if (!not_started(run))
        return;
    if (!value && !is_null) {
        case_fail(run, "the message is no JSON: %s", error);
        return;
    }
    json_print(value, &text); /* minified, as a route makes it */
    (void)add_message(run, buf_span(&text));
}

static struct bb_message *last_message(struct case_run *run)
{
    if (run->message_count == 0)
        case_fail(run, "this line stands after a message line");
    return run->message_count && not_started(run) ? &run->messages[run->message_count - 1] : NULL;
}

static void line_id(struct case_run *run, struct span rest)
{
    struct bb_message *message = last_message(run);
    if (message)
        message->id = case_keep(run, rest);
}

static void line_order(struct case_run *run, struct span rest)
{
    struct bb_message *message = last_message(run);
    if (message)
        message->order_id = case_keep(run, rest);
}

static void line_source(struct case_run *run, struct span rest)
{
    struct bb_message *message = last_message(run);
    if (message)
        message->source_work_order_id = case_keep(run, rest);
}

static void line_attempt(struct case_run *run, struct span rest)
{
    int64_t attempt;
    if (!number_parse_int(rest, 1, 1000000, &attempt))
        case_fail(run, "write: attempt NUMBER from 1");
    else if (not_started(run))
        run->attempt = (int)attempt;
}

static void line_uncertain(struct case_run *run, struct span rest)
{
    (void)rest;
    run->uncertain = not_started(run);
}

static void line_note(struct case_run *run, struct span rest)
{
    struct span key = case_word(&rest);
    char *name cleanup_text = span_dup(key), *value cleanup_text = span_dup(rest);
    put_note(run, name, value);
}

/* ---- lines that drive ---------------------------------------------------------------------- */

static void line_decode(struct case_run *run, struct span rest)
{
    if (!need_target(run))
        return;
    const struct bb_plugin *plugin = run->target->plugin;
    if (!plugin->decode) {
        case_fail(run, "the plugin has no decode");
        return;
    }
    case_end_attempt(run);
    run->message_count = 0;
    run->kind = CASE_DECODE;
    const struct hook_rules rules = {.hook = &plugin->hook, .allow_unsigned = true};
    const struct hook_request request = {.body = rest, .now_ms = run->now_ms};
    struct hook_result result = {0};
    hook_verify(&rules, &request, &result);
    struct bb_message *message = result.status == 200 ? add_message(run, rest) : NULL;
    if (message) {
        message->event.data = case_keep(run, span_of(result.event));
        message->event.len = strlen(message->event.data);
        run->dedup_key = case_keep(run, span_of(result.dedup_key));
    } else {
        case_fail(run, "the door answers %d: %s", result.status, result.reason ? result.reason : "");
    }
    hook_result_finish(&result);
}

static void line_poll(struct case_run *run, struct span rest)
{
    (void)rest;
    case_end_attempt(run);
    run->message_count = 0;
    run->kind = CASE_POLL;
}

static void line_check(struct case_run *run, struct span rest)
{
    if (!need_target(run))
        return;
    const struct bb_plugin *plugin = run->target->plugin;
    if (!plugin->check || !run->operation) {
        case_fail(run, plugin->check ? "an operation line is missing" : "the plugin has no check");
        return;
    }
    struct bb_job job;
    target_init_job(run->target, &job, 0, run->now_ms);
    const char *complaint =
        plugin->check(host_table(), &job, run->target->self, run->operation, (struct bb_str){rest.data, rest.len});
    run->complaint = complaint ? case_keep(run, span_of(complaint)) : NULL;
    run->check_ran = true;
    job_finish(&job);
}

static void line_respond(struct case_run *run, struct span rest)
{
    int64_t status;
    struct span number = case_word(&rest), body;
    if (!number_parse_int(number, 100, 999, &status)) {
        case_fail(run, "write: respond STATUS [BODY], or: respond STATUS text \"...\"");
        return;
    }
    if (run->next != BB_SEND || run->answered) {
        case_fail(run, "respond, but no request waits for an answer");
        return;
    }
    if (!case_read_body(run, rest, &body))
        return;
    run->response = (struct bb_response){
        .size = sizeof run->response, .status = (int)status, .body = {body.data, body.len}, .headers = run->headers};
    run->answered = true;
}

static void line_respond_header(struct case_run *run, struct span rest)
{
    const char *colon = rest.len ? memchr(rest.data, ':', rest.len) : NULL;
    if (!run->answered || !colon || run->response.header_count == CASE_HEADERS) {
        case_fail(run, "write: respond header NAME: VALUE after a respond line");
        return;
    }
    char *name = case_keep(run, (struct span){rest.data, (size_t)(colon - rest.data)});
    struct span value = case_trim((struct span){colon + 1, (size_t)(rest.data + rest.len - colon - 1)});
    for (char *c = name; *c; c++) /* as http.c hands them over */
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    run->headers[run->response.header_count++] = (struct bb_header){name, {case_keep(run, value), value.len}};
}

static void line_again(struct case_run *run, struct span rest)
{
    (void)rest;
    if (!run->started)
        case_fail(run, "again, but nothing ran yet");
    case_end_attempt(run);
    run->attempt++;
}

static void line_lost(struct case_run *run, struct span rest)
{
    if (run->next != BB_SEND)
        case_fail(run, "lost, but no request waits for an answer");
    line_again(run, rest);
    run->uncertain = true;
}

const struct case_word case_set_words[] = {
    {"option", line_option, true},
    {"map", line_map, true},
    {"url", line_url, false},
    {"now", line_now, false},
    {"operation", line_operation, false},
    {"topic", line_topic, false},
    {"message", line_message, true},
    {"id", line_id, false},
    {"order", line_order, false},
    {"source", line_source, false},
    {"attempt", line_attempt, false},
    {"uncertain", line_uncertain, false},
    {"note", line_note, false},
    {"decode", line_decode, true},
    {"poll", line_poll, false},
    {"check", line_check, true},
    {"respond header", line_respond_header, false},
    {"respond", line_respond, true},
    {"again", line_again, false},
    {"lost", line_lost, false},
    {NULL, NULL, false},
};

/* ---- a case ----------------------------------------------------------------------------------------- */

static void run_lines(struct case_run *run, const struct case_line *lines, size_t count)
{
    for (size_t i = 0; i < count && !run->failed; i++) {
        run->line = lines[i].number;
        run->checked = run->checked || strncmp(lines[i].word->words, "expect", 6) == 0;
        lines[i].word->run(run, lines[i].rest);
    }
}

static void finish_case(struct case_run *run)
{
    if (run->started)
        case_end_attempt(run);
    target_destroy(run->target);
    for (size_t i = 0; i < run->config.option_count; i++)
        yaml_destroy(run->trees[i]);
    config_finish_map(&run->config);
    problems_finish(&run->problems);
    arena_destroy(run->arena);
}

static bool run_case(const struct loaded_plugin *plugin, const char *file, struct buf *report, char doing[256],
                     const struct case_line *common, size_t common_count, const struct case_line *lines, size_t count)
{
    struct case_run *run = mem_alloc(sizeof *run);
    *run = (struct case_run){.plugin = plugin,
                             .file = file,
                             .report = report,
                             .arena = arena_create(),
                             .line = lines[0].number,
                             .kind = CASE_STEP,
                             .attempt = 1,
                             .now_ms = DEFAULT_NOW_MS};
    run->title = lines[0].rest.len ? case_keep(run, lines[0].rest) : "a case without a title";
    snprintf(doing, 256, "%s:%d: %s", file, run->line, run->title);
    run_lines(run, common, common_count);
    run_lines(run, lines + 1, count - 1);
    if (!run->checked)
        case_fail(run, "it expects nothing");
    finish_case(run);
    bool passed = !run->failed;
    free(run);
    return passed;
}

int cases_run(const struct loaded_plugin *plugin, const char *file, bool verbose, struct buf *report,
              struct cases_result *result)
{
    struct buf text cleanup_buf = {0};
    size_t count, common = 0;
    struct case_line *lines = case_read_file(file, &text, report, &count);
    if (!lines)
        return -1;
    while (common < count && lines[common].word)
        common++;
    if (common == count)
        buf_printf(report, "%s: it holds no case\n", file);
    for (size_t start = common, end; start < count; start = end) {
        for (end = start + 1; end < count && lines[end].word;)
            end++;
        bool passed = run_case(plugin, file, report, result->doing, lines, common, lines + start, end - start);
        result->cases++;
        result->failed += !passed;
        if (passed && verbose)
            buf_printf(report, "ok: %.*s\n", (int)lines[start].rest.len, lines[start].rest.data);
    }
    free(lines);
    return common == count ? -1 : 0;
}
