/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_private.h"

#include "fence.h"
#include "json.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define MOST_SENDS 64 /* the core's own limit */
#define HANG_CPU_S 2

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* the other one only ticks while the timer below runs */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t trial_begin_call(void)
{
    const struct itimerval hangs = {.it_value.tv_sec = HANG_CPU_S};
    setitimer(ITIMER_PROF, &hangs, NULL); /* its signal ends the process */
    return cpu_us();
}

void trial_end_call(struct conform *c, int64_t before_us)
{
    const int64_t us = cpu_us() - before_us;
    c->shared->calls++;
    c->shared->slow_calls += us > SLOW_US;
    if (us > c->shared->slowest_us)
        c->shared->slowest_us = us;
}

bool trial_too_slow(const struct conform *c)
{
    return c->shared->slow_calls >= SLOW_CALLS;
}

/* ---- the host, watched -------------------------------------------------------------------- */

/* The core takes the last word; a plugin that says two has lost count. */
static void watched_settle(struct bb_job *job, size_t i, enum bb_next verdict, const struct bb_error *error)
{
    if (i < job->item_count && job->items[i].verdict != 0)
        conform_complain_of_call(job->context, RULE_SETTLE, "settle: message %zu is settled a second time", i);
    host_table()->settle(job, i, verdict, error);
}

/* A plugin's open has no argument that is ours. */
static struct conform *opening;

static int watched_open(const struct bb_host *host, struct bb_job *job, const void *config, void **self,
                        const char **error)
{
    (void)host;
    const char mark = 0;
    fence_begin();
    fence_watch("host", &opening->host, sizeof opening->host);
    fence_watch_settings(&opening->plugin->descriptor, config);
    job->context = opening;
    trial_begin_call();
    const int answer = opening->open(&opening->host, job, config, self, error);
    (void)trial_check_fence(opening);
    if (answer != 0 && *error && memory_is_dead_stack((uintptr_t)&mark, *error)) {
        conform_complain(opening, RULE_LIFETIME, "open: *error points to a variable of a call that has returned");
        *error = "a text that is gone";
    }
    return answer;
}

void trial_watch_plugin(struct conform *c)
{
    c->host = fence_host();
    c->host.settle = watched_settle;
    opening = c;
    c->watched = *c->plugin;
    c->open = c->plugin->descriptor.open;
    if (c->open)
        c->watched.descriptor.open = watched_open;
    c->plugin = &c->watched;
}

bool trial_check_fence(struct conform *c)
{
    struct buf what cleanup_buf = {0};
    const enum fence_fault fault = fence_check(&what);
    if (fault != FENCE_HOLDS)
        conform_complain_of_call(c, fault == FENCE_OVERRUN ? RULE_BOUNDS : RULE_BORROWED, "%s", what.data);
    return fault == FENCE_HOLDS;
}

/* ---- what a call is handed -------------------------------------------------------------------- */

static const char *door_name(const struct trial *trial)
{
    switch (trial->door) {
    case DOOR_STEP:
        return trial->operation;
    case DOOR_DECODE:
        return "decode";
    case DOOR_POLL:
        return "poll";
    }
    return "";
}

static void say_doing(struct conform *c, const struct trial *trial, bool answered)
{
    char *doing = c->shared->doing;
    const size_t size = sizeof c->shared->doing;
    int n = snprintf(doing, size, "%s with %zu message%s %.40s", door_name(trial), trial->messages,
                     trial->messages == 1 ? "" : "s", trial->messages ? trial->body : "");
    if (n > 0 && (size_t)n < size && trial->apart)
        n += snprintf(doing + n, size - (size_t)n, " of %zu bytes each", sizeof(struct bb_message) + trial->apart);
    if (n > 0 && (size_t)n < size && answered)
        snprintf(doing + n, size - (size_t)n, " and the answer %d %.40s", trial->status, trial->answer);
    else if (n > 0 && (size_t)n < size && trial->uncertain)
        snprintf(doing + n, size - (size_t)n, " after an uncertain attempt");
}

/* Ids differ by message. They end in NUL, as the header says. */
static void fill_messages(struct inputs *inputs, const struct trial *trial, struct bb_in *in)
{
    const struct bb_str body = inputs_text(inputs, trial->body);
    const struct bb_str event = inputs_text(inputs, trial->door == DOOR_DECODE ? "x" : "");
    in->message_size = sizeof(struct bb_message) + trial->apart;
    in->message_count = trial->messages;
    char *messages = inputs_struct(inputs, (trial->messages + 1) * in->message_size), *id = NULL;
    memset(messages, 0xEE, (trial->messages + 1) * in->message_size); /* what this header does not know */
    for (size_t i = 0; i < trial->messages; i++) {
        id = inputs_struct(inputs, 48);
        snprintf(id, 48, "00000000-0000-7000-8000-%012zu", i);
        const struct bb_message message = {.id = id,
                                           .order_id = id,
                                           .body = body,
                                           .event = event,
                                           .received_ms = in->now_ms,
                                           .source_work_order_id = id};
        memcpy(messages + i * in->message_size, &message, sizeof message);
    }
    in->messages = (const void *)messages;
}

static struct bb_in *fill_inputs(struct conform *c, const struct trial *trial, struct bb_job *job, bool answered)
{
    struct inputs *inputs = &c->inputs;
    inputs_begin(inputs);
    struct bb_in *in = inputs_struct(inputs, sizeof *in);
    *in = (struct bb_in){.size = sizeof *in,
                         .job = job,
                         .operation = trial->operation,
                         .state = &job->state,
                         .attempt = trial->uncertain ? 2 : 1,
                         .uncertain = trial->uncertain,
                         .now_ms = job->now_ms};
    if (answered) {
        struct bb_response *response = inputs_struct(inputs, sizeof *response);
        struct bb_header *header = inputs_struct(inputs, sizeof *header);
        *response = (struct bb_response){.size = sizeof *response,
                                         .status = trial->status,
                                         .body = inputs_text(inputs, trial->answer),
                                         .headers = header,
                                         .header_count = 1};
        *header = (struct bb_header){"content-type", inputs_text(inputs, "text/plain")};
        in->response = response;
    }
    fill_messages(inputs, trial, in);
    return in;
}

static enum bb_next call(struct conform *c, const struct trial *trial, const struct bb_in *in, struct bb_out *out)
{
    const struct bb_plugin *plugin = c->target->plugin;
    enum bb_next (*const calls[])(const struct bb_host *, void *, const struct bb_in *, struct bb_out *) = {
        [DOOR_STEP] = plugin->step, [DOOR_DECODE] = plugin->decode, [DOOR_POLL] = plugin->poll};
    say_doing(c, trial, in->response != NULL);
    *out = (struct bb_out){.size = sizeof *out};
    fence_watch_inputs(&c->host, in);
    fence_watch_settings(plugin, c->target->plugin_config);
    const int64_t before = trial_begin_call();
    const enum bb_next next = calls[trial->door](&c->host, c->target->self, in, out);
    trial_end_call(c, before);
    return next;
}

/* ---- what came of it ------------------------------------------------------------------------------ */

/* The words of the core's own review, by the rule that they are about. */
static enum rule rule_of_misuse(const char *misuse)
{
    if (strstr(misuse, "is not UTF-8"))
        return RULE_TEXT;
    return strncmp(misuse, "settle:", 7) == 0 ? RULE_SETTLE : strncmp(misuse, "emit:", 5) == 0 ? RULE_EVENT : RULE_NOTE;
}

/* As an id that came in and goes on: no plugin need measure it, for the core refuses it for all. */
static bool is_too_long(const char *misuse)
{
    return strstr(misuse, "is over") != NULL;
}

static bool review_verdict(struct conform *c, const struct trial *trial, enum bb_next next)
{
    if (next < BB_SEND || next > BB_HOLD)
        conform_complain_of_call(c, RULE_VERDICT, "it answered %d, which is no verdict", (int)next);
    else if (trial->door == DOOR_DECODE && next != BB_DONE && next != BB_REJECT)
        conform_complain_of_call(c, RULE_VERDICT, "decode answers BB_DONE or BB_REJECT, not %d", (int)next);
    else
        return true;
    return false;
}

/* Statuses by which no target says that something was done already. */
static bool is_refusal(int status)
{
    return status < 200 || (status >= 300 && status < 400) || status == 401 || status == 403 || status == 429 ||
           status >= 500;
}

static void review_done(struct conform *c, const struct trial *trial, const struct bb_job *job)
{
    bool all_settled = job->item_count > 0;
    for (size_t i = 0; i < job->item_count; i++)
        all_settled = all_settled && job->items[i].verdict != 0 && job->items[i].verdict != BB_DONE;
    if (trial->door == DOOR_STEP && is_refusal(trial->status) && !all_settled)
        conform_complain_of_call(c, RULE_REFUSED, "it says that it is done");
}

static bool is_array(const char *text)
{
    bool is_null = false;
    const char *error = NULL;
    struct json_object *value cleanup_json = json_parse(span_of(text), &is_null, &error);
    return value && *text == '[';
}

/* Whether the conversation may go on. */
static bool review(struct conform *c, const struct trial *trial, struct bb_job *job, enum bb_next next,
                   struct bb_out *out)
{
    const char *fault = NULL;
    if (job->misuse && is_too_long(job->misuse))
        return false;
    if (job->misuse) {
        conform_complain_of_call(c, rule_of_misuse(job->misuse), "%s", job->misuse);
        return false;
    }
    if (!review_verdict(c, trial, next))
        return false;
    fault = job_review(job, next, out);
    if (fault && is_too_long(fault))
        return false;
    if (fault) {
        enum rule rule = next == BB_SEND ? RULE_REQUEST : RULE_ERROR;
        conform_complain_of_call(c, strstr(fault, "is not UTF-8") ? RULE_TEXT : rule, "%s", fault);
        return false;
    }
    if (job->flaw)
        conform_complain_of_call(c, RULE_TEXT, "%s", job->flaw);
    if (next != BB_SEND && next != BB_DONE && out->error.rejected_fields && !is_array(out->error.rejected_fields))
        conform_complain_of_call(c, RULE_ERROR, "rejected_fields is no JSON array");
    struct http_request request;
    if (next == BB_SEND && target_request(c->target, job, &out->request, &request, &fault) != 0) {
        conform_complain_of_call(c, RULE_REQUEST, "%s", fault);
        return false;
    }
    return next == BB_SEND;
}

/* ---- for comparison --------------------------------------------------------------------------------- */

static void take_down(struct buf *out, const char *name, const char *text)
{
    if (text)
        buf_printf(out, "%s %.200s\n", name, text);
}

static void take_down_error(struct buf *out, const struct bb_error *error)
{
    buf_printf(out, "class %d\n", (int)error->error_class);
    take_down(out, "code", error->code);
    take_down(out, "message", error->message);
}

static void take_down_answer(struct buf *out, enum bb_next next, const struct bb_out *answer)
{
    static const char *const names[] = {"no verdict", "BB_SEND", "BB_DONE", "BB_RETRY", "BB_REJECT", "BB_HOLD"};
    buf_printf(out, "%s\n", next >= BB_SEND && next <= BB_HOLD ? names[next] : names[0]);
    if (next == BB_SEND) {
        take_down(out, answer->request.method ? answer->request.method : "", answer->request.path);
        buf_printf(out, "body of %zu: %.*s\n", answer->request.body.len,
                   (int)(answer->request.body.len < 200 ? answer->request.body.len : 200),
                   answer->request.body.data ? answer->request.body.data : "");
        for (size_t i = 0; i < answer->request.header_count; i++)
            buf_printf(out, "%s: %.*s\n", answer->request.headers[i].name, (int)answer->request.headers[i].value.len,
                       answer->request.headers[i].value.data);
    } else if (next != BB_DONE) {
        take_down_error(out, &answer->error);
    }
    take_down(out, "source_work_order_id", answer->source_work_order_id);
    take_down(out, "asset_ref", answer->asset_ref);
}

static void take_down_job(struct buf *out, const struct bb_job *job)
{
    for (size_t i = 0; i < job->item_count; i++)
        if (job->items[i].verdict) {
            buf_printf(out, "message %zu: %d\n", i, (int)job->items[i].verdict);
            take_down_error(out, &job->items[i].error);
        }
    for (size_t i = 0; i < job->event_count; i++) {
        take_down(out, "event", job->events[i].event.type ? job->events[i].event.type : job->events[i].event.name);
        take_down(out, "dedup_id", job->events[i].event.dedup_id);
    }
    for (size_t i = 0; i < job->note_count; i++)
        take_down(out, job->notes[i].key, job->notes[i].value ? job->notes[i].value : "(deleted)");
}

/* ---- one conversation ------------------------------------------------------------------------------------ */

/* A call, what it wrote, and what it answered looked at before it is read for good. False: it must not be read. */
static bool call_carefully(struct conform *c, const struct trial *trial, const struct bb_in *in, enum bb_next *next,
                           struct bb_out *out)
{
    const char mark = 0;
    c->stack = (uintptr_t)&mark;
    *next = call(c, trial, in, out);
    if (!trial_check_fence(c))
        return false;
    return !c->careful || answered_stays(c, answered_read(c, *next, out));
}

void trial_play(struct conform *c, const struct trial *trial)
{
    struct bb_job job;
    target_init_job(c->target, &job, trial->messages, CHECK_NOW_MS);
    job.context = c;
    fence_begin();
    for (int sends = 0;; sends++) {
        struct bb_out out;
        enum bb_next next;
        const struct bb_in *in = fill_inputs(c, trial, &job, sends > 0);
        if (!call_carefully(c, trial, in, &next, &out))
            break;
        c->shared->reading = true;
        const bool goes_on = review(c, trial, &job, next, &out);
        if (c->transcript && next >= BB_SEND && next <= BB_HOLD)
            take_down_answer(c->transcript, next, &out);
        c->shared->reading = false;
        if (next == BB_DONE && sends > 0)
            review_done(c, trial, &job);
        if (c->careful)
            inputs_retire(&c->inputs);
        if (!goes_on || trial_too_slow(c))
            break;
        if (sends == MOST_SENDS) {
            conform_complain_of_call(c, RULE_ENDLESS, "it sends without end, whatever the answer");
            break;
        }
    }
    if (c->transcript)
        take_down_job(c->transcript, &job);
    job_finish(&job);
}
