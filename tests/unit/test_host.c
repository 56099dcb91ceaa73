/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "host.h"
#include "metrics.h"

#include <stdio.h>
#include <string.h>

static struct bb_job job;
static const struct bb_host *host;

static int setup(void **state)
{
    (void)state;
    host = host_table();
    job_init(&job, "mw", "mobility_work", 2, 1700000000000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    job_finish(&job);
    return 0;
}

static struct bb_str str(const char *text)
{
    return (struct bb_str){text, strlen(text)};
}

static void test_host_alloc_is_zeroed(void **state)
{
    (void)state;
    char *memory = host->alloc(&job, 4096);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(memory[i], 0);
    assert_non_null(host->alloc(&job, 0));
}

static void test_host_path_segment_encodes(void **state)
{
    (void)state;
    assert_string_equal(host->path_segment(&job, str("a-b_c.d~9")), "a-b_c.d~9");
    assert_string_equal(host->path_segment(&job, str("a/b?c#d e%\xc3\xa9")), "a%2Fb%3Fc%23d%20e%25%C3%A9");
    assert_string_equal(host->path_segment(&job, str("..")), "%2E%2E");
    assert_string_equal(host->path_segment(&job, (struct bb_str){NULL, 0}), "");
}

static void test_host_emit_copies_deeply(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char id[8], raw[] = "{\"a\":1}";
        snprintf(id, sizeof id, "%d", i);
        struct bb_work_order order = {.source_work_order_id = id};
        struct bb_event event = {.size = sizeof event,
                                 .type = "work_order.updated",
                                 .dedup_id = id,
                                 .occurred_ms = i,
                                 .work_order = &order,
                                 .raw = str(raw)};
        host->emit(&job, &event);
        memset(raw, 'x', sizeof raw);
        memset(id, 'x', sizeof id);
    }
    assert_null(job.misuse);
    assert_int_equal(job.event_count, 20);
    assert_string_equal(job.events[0].event.dedup_id, "0");
    assert_ptr_equal(job.events[0].event.work_order, &job.events[0].work_order);
    assert_string_equal(job.events[7].work_order.source_work_order_id, "7");
    assert_memory_equal(job.events[19].event.raw.data, "{\"a\":1}", 7);
    assert_int_equal(job.events[19].event.occurred_ms, 19);
}

/* ---- mapping tables */

static const struct bb_mapping status_lines[] = {
    {"APPR", "approved"}, {"COMP", "completed"}, {"TCOMP", "completed"}, {"ODD", "unknown"}};
static const struct bb_mapping priority_lines[] = {{"1", "critical"}};
static const struct bb_mapping event_lines[] = {{"TaskWasStarted", "work_order.completed"},
                                                {"PartWasUsed", "work_order.updated"},
                                                {"PhotoWasAdded", "attachment.added"}};
static const struct mapping_table tables[WORD_LISTS] = {
    [WORDS_STATUS] = {status_lines, 4}, [WORDS_PRIORITY] = {priority_lines, 1}, [WORDS_EVENT] = {event_lines, 3}};

static const struct job_event *emit_order(const struct bb_work_order *order)
{
    job.tables = tables;
    const struct bb_event event = {
        .size = sizeof event, .type = "work_order.updated", .name = "x", .work_order = order};
    host->emit(&job, &event);
    assert_null(job.misuse);
    return &job.events[job.event_count - 1];
}

static void assert_text(const char *is, const char *wanted)
{
    if (wanted)
        assert_string_equal(is, wanted);
    else
        assert_null(is);
}

static void test_host_emit_puts_the_target_s_words_into_ours(void **state) /* FV-04, FV-01, FV-15 */
{
    (void)state;
    static const struct {
        const char *source, *said, *common, *unmapped;
    } rows[] = {
        {"APPR", NULL, "approved", NULL},    {"APPR", "closed", "approved", NULL}, /* the table wins over the plugin */
        {"NEW", "triaged", "triaged", NULL},                                       /* where no table could tell */
        {"NEW", NULL, "unknown", "NEW"},     {"NEW", "unknown", "unknown", "NEW"}, {"NEW", "paused", "unknown", "NEW"},
        {"ODD", NULL, "unknown", NULL}, /* the site knows that nobody knows */
        {NULL, "closed", "closed", NULL},    {NULL, "paused", "unknown", NULL},    {NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct bb_work_order order = {.source_status = rows[i].source, .common_status = rows[i].said};
        const struct job_event *kept = emit_order(&order);
        assert_text(kept->work_order.source_status, rows[i].source);
        assert_text(kept->work_order.common_status, rows[i].common);
        assert_text(kept->unmapped[WORDS_STATUS], rows[i].unmapped);
        assert_null(kept->unmapped[WORDS_PRIORITY]);
    }
}

static void test_host_emit_maps_priorities_and_guesses_none(void **state) /* FV-01, F-U4 */
{
    (void)state;
    static const struct {
        const char *source, *said, *common, *unmapped;
    } rows[] = {
        {"1", NULL, "critical", NULL}, {"9", NULL, NULL, "9"},       {"9", "low", "low", NULL},
        {NULL, "high", "high", NULL},  {NULL, "urgent", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct bb_work_order order = {.source_priority = rows[i].source, .priority = rows[i].said};
        const struct job_event *kept = emit_order(&order);
        assert_text(kept->work_order.source_priority, rows[i].source);
        assert_text(kept->work_order.priority, rows[i].common);
        assert_text(kept->unmapped[WORDS_PRIORITY], rows[i].unmapped);
        assert_null(kept->work_order.common_status);
    }
}

static void test_host_emit_calls_events_as_the_site_does(void **state) /* FV-06, F-U13 */
{
    (void)state;
    static const struct {
        const char *name, *type, *called;
        bool about_order;
    } rows[] = {
        {"TaskWasStarted", "work_order.updated", "work_order.completed", true},
        {"TaskWasCanceled", "work_order.updated", "work_order.updated", true},
        {"PhotoWasAdded", NULL, "attachment.added", false},
        {"PartWasUsed", NULL, NULL, false}, /* about no work order: none of its events */
        {"PartWasPainted", NULL, NULL, false},
    };
    const struct bb_work_order order = {.source_work_order_id = "7"};
    job.tables = tables;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct bb_event event = {.size = sizeof event,
                                       .type = rows[i].type,
                                       .name = rows[i].name,
                                       .work_order = rows[i].about_order ? &order : NULL};
        host->emit(&job, &event);
        assert_text(job.events[i].event.type, rows[i].called);
        assert_string_equal(job.events[i].event.name, rows[i].name);
    }
}

static void test_host_looks_words_up_both_ways(void **state)
{
    (void)state;
    assert_null(host->common_word(&job, BB_STATUSES, "APPR")); /* no tables at all */
    job.tables = tables;
    assert_string_equal(host->common_word(&job, BB_STATUSES, "TCOMP"), "completed");
    assert_string_equal(host->source_word(&job, BB_STATUSES, "completed"), "COMP"); /* the first listed */
    assert_string_equal(host->source_word(&job, BB_PRIORITIES, "critical"), "1");
    assert_null(host->source_word(&job, BB_PRIORITIES, "low"));
    assert_null(host->source_word(&job, BB_STATUSES, NULL));
    assert_null(host->common_word(&job, (enum bb_table)0, "APPR"));
    assert_null(host->common_word(&job, (enum bb_table)3, "TaskWasStarted"));
}

/* ---- misuse */

static void emit_is_misuse(struct bb_event event, const char *what)
{
    host->emit(&job, &event);
    assert_non_null(job.misuse);
    assert_non_null(strstr(job.misuse, what));
    assert_int_equal(job.event_count, 0);
}

static void test_host_emit_refuses_an_unknown_type(void **state)
{
    (void)state;
    emit_is_misuse((struct bb_event){.size = sizeof(struct bb_event), .type = "work_order.lost"}, "work_order.lost");
}

static void test_host_emit_refuses_no_name(void **state)
{
    (void)state;
    emit_is_misuse((struct bb_event){.size = sizeof(struct bb_event)}, "needs a type or a name");
}

static void test_host_emit_refuses_no_size(void **state)
{
    (void)state;
    emit_is_misuse((struct bb_event){.name = "x"}, "without its size");
}

/* Found by fuzzing: a target's answer that json-c takes and we do not is no fault of the plugin that passes it on. */
static void test_host_emit_keeps_raw_that_is_no_json(void **state)
{
    (void)state;
    host->emit(&job, &(struct bb_event){.size = sizeof(struct bb_event), .name = "x", .raw = {"[\"\xc0\x83\"]", 6}});
    assert_null(job.misuse);
    assert_int_equal(job.event_count, 1);
    assert_int_equal(job.events[0].event.raw.len, 6);
}

static void test_host_misuse_keeps_the_first(void **state)
{
    (void)state;
    host->settle(&job, 9, BB_DONE, NULL);
    host->emit(&job, NULL);
    assert_string_equal(job.misuse, "settle: there is no message 9 in a batch of 2");
}

static void test_host_settle_copies_the_error(void **state)
{
    (void)state;
    char code[] = "too_short";
    host->settle(&job, 1, BB_REJECT, &(struct bb_error){BB_VALIDATION, code, "name is too short", NULL, NULL});
    memset(code, 'x', sizeof code - 1);
    assert_null(job.misuse);
    assert_int_equal(job.items[0].verdict, 0);
    assert_int_equal(job.items[1].verdict, BB_REJECT);
    assert_string_equal(job.items[1].error.code, "too_short");
}

static void test_host_settle_wants_an_error(void **state)
{
    (void)state;
    host->settle(&job, 0, BB_REJECT, NULL);
    assert_non_null(job.misuse);
    assert_int_equal(job.items[0].verdict, 0);
}

static void test_host_settle_refuses_a_hold(void **state)
{
    (void)state;
    host->settle(&job, 0, BB_HOLD, &(struct bb_error){BB_VALIDATION, "c", "m", NULL, NULL});
    assert_non_null(job.misuse);
}

/* ---- notes ---------------------------------------------------------------------- */

static char *stored(void *context, const char *key)
{
    (void)context;
    return strcmp(key, "cursor") == 0 ? mem_strdup("old") : NULL;
}

static void test_host_notes_read_what_was_put(void **state)
{
    (void)state;
    job.read_note = stored;
    assert_string_equal(host->note_get(&job, "cursor"), "old");
    host->note_put(&job, "cursor", "new");
    host->note_put(&job, "cursor", "newer");
    assert_string_equal(host->note_get(&job, "cursor"), "newer");
    assert_int_equal(job.note_count, 1);
    host->note_put(&job, "cursor", NULL);
    assert_null(host->note_get(&job, "cursor"));
    assert_null(host->note_get(&job, "other"));
    assert_null(job.misuse);
}

static void test_host_notes_refuse_an_empty_key(void **state)
{
    (void)state;
    host->note_put(&job, "", "x");
    assert_non_null(job.misuse);
    assert_int_equal(job.note_count, 0);
}

static void test_host_counts_by_target_and_name(void **state)
{
    (void)state;
    host->count(&job, "unknown_event", 3);
    struct buf text cleanup_buf = {0};
    metrics_render(&text);
    assert_non_null(strstr(text.data, "busbar_plugin_events_total{target=\"mw\",name=\"unknown_event\"} 3"));
    host->count(&job, "Bad Name", 1);
    assert_non_null(job.misuse);
}

/* ---- the classifier (FV-07) --------------------------------------------------------- */

static void judged(int status, enum bb_next verdict, enum bb_class error_class, const char *code)
{
    struct bb_response response = {.size = sizeof response, .status = status};
    struct bb_out out = {.size = sizeof out, .error = {.message = "stale"}, .request = {.path = "/kept"}};
    assert_int_equal(host->judge(&job, &response, &out), verdict);
    assert_int_equal(out.error.error_class, error_class);
    assert_string_equal(out.request.path, "/kept");
    assert_int_equal(out.hold_operation, status == 403);
    assert_int_equal(out.unconfirmed, status == 202);
    if (code)
        assert_string_equal(out.error.code, code);
    else
        assert_null(out.error.message);
    assert_null(job_review(&job, verdict, &out));
}

static void test_host_judges_success(void **state) /* MW-C05 */
{
    (void)state;
    judged(200, BB_DONE, BB_CLASS_NONE, NULL);
    judged(201, BB_DONE, BB_CLASS_NONE, NULL);
    judged(202, BB_DONE, BB_CLASS_NONE, NULL);
    judged(204, BB_DONE, BB_CLASS_NONE, NULL);
}

static enum bb_next judge_body(const char *content_type, const char *body)
{
    const struct bb_header header = {"content-type", str(content_type ? content_type : "")};
    const struct bb_response response = {.size = sizeof response,
                                         .status = 200,
                                         .body = str(body),
                                         .headers = &header,
                                         .header_count = content_type != NULL};
    struct bb_out out = {.size = sizeof out};
    const enum bb_next next = host->judge(&job, &response, &out);
    if (next == BB_RETRY)
        assert_string_equal(out.error.code, HOST_ODD_ANSWER);
    assert_null(job_review(&job, next, &out));
    return next;
}

static void test_host_judges_a_page_to_be_no_answer(void **state)
{
    (void)state;
    assert_int_equal(judge_body("text/html", "Sign in"), BB_RETRY);
    assert_int_equal(judge_body("Text/HTML; charset=utf-8", "<p>"), BB_RETRY);
    assert_int_equal(judge_body("application/xhtml+xml", "<?xml version=\"1.0\"?><html/>"), BB_RETRY);
    assert_int_equal(judge_body("application/json", "<HTML>"), BB_RETRY);
    assert_int_equal(judge_body(NULL, "\xef\xbb\xbf\r\n<!doctype HTML><html>"), BB_RETRY);
    struct bb_response failed = {.size = sizeof failed, .status = 503, .body = str("<html>")};
    struct bb_out out = {.size = sizeof out};
    assert_int_equal(host->judge(&job, &failed, &out), BB_RETRY);
    assert_string_equal(out.error.code, "http_503");
}

static void test_host_judges_no_page(void **state)
{
    (void)state;
    assert_int_equal(judge_body("text/html", ""), BB_DONE);
    assert_int_equal(judge_body("text/html", " \r\n"), BB_DONE);
    assert_int_equal(judge_body("text/html", "{\"id\": 7}"), BB_DONE); /* what PHP calls all */
    assert_int_equal(judge_body("text/html", "null"), BB_DONE);
    assert_int_equal(judge_body("text/xml", "<created id=\"7\"/>"), BB_DONE);
    assert_int_equal(judge_body("text/plain", "OK"), BB_DONE);
    assert_int_equal(judge_body(NULL, "<ok/>"), BB_DONE);
}

static void test_host_judges_authentication(void **state) /* FV-07a */
{
    (void)state;
    judged(401, BB_HOLD, BB_AUTHENTICATION, "http_401");
}

static void test_host_judges_authorization(void **state) /* FV-07b */
{
    (void)state;
    judged(403, BB_HOLD, BB_AUTHORIZATION, "http_403");
}

static void test_host_judges_validation(void **state) /* FV-07c */
{
    (void)state;
    const int statuses[] = {400, 405, 406, 411, 413, 415, 418, 422, 431, 451};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        judged(statuses[i], BB_REJECT, BB_VALIDATION, host->format(&job, "http_%d", statuses[i]));
}

static void test_host_judges_redirects(void **state)
{
    (void)state;
    judged(301, BB_HOLD, BB_VALIDATION, "http_301");
    judged(308, BB_HOLD, BB_VALIDATION, "http_308");
    struct bb_response response = {.status = 302};
    struct bb_out out = {0};
    host->judge(&job, &response, &out);
    assert_non_null(strstr(out.error.message, "wrong base URL"));
}

static void test_host_judges_identity(void **state) /* FV-07d */
{
    (void)state;
    judged(404, BB_REJECT, BB_IDENTITY, "http_404");
    judged(410, BB_REJECT, BB_IDENTITY, "http_410");
}

static void test_host_judges_conflict(void **state) /* FV-07e */
{
    (void)state;
    judged(409, BB_REJECT, BB_CONFLICT, "http_409");
    judged(412, BB_REJECT, BB_CONFLICT, "http_412");
    judged(428, BB_REJECT, BB_CONFLICT, "http_428");
}

static void test_host_judges_unavailable(void **state) /* FV-07f, MW-C08 */
{
    (void)state;
    judged(408, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "http_408");
    judged(425, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "http_425");
    judged(429, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "http_429");
    judged(500, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "http_500");
    judged(599, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "http_599");
    judged(999, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "http_999");
}

static void test_host_judges_no_answer(void **state)
{
    (void)state;
    struct bb_out out = {0};
    assert_int_equal(host_judge(&job, NULL, &out), BB_RETRY);
    assert_int_equal(out.error.error_class, BB_PROVIDER_UNAVAILABLE);
    assert_string_equal(out.error.code, "no_answer");
}

static void test_host_has_a_text_for_each_class(void **state)
{
    (void)state;
    for (int i = BB_AUTHENTICATION; i <= BB_PROVIDER_UNAVAILABLE; i++) {
        assert_non_null(host_class_name((enum bb_class)i));
        assert_non_null(host_owner_action((enum bb_class)i));
    }
    assert_null(host_class_name(BB_CLASS_NONE));
    assert_string_equal(host_class_name(BB_PROVIDER_UNAVAILABLE), "provider_unavailable");
}

static void test_host_review_names_broken_answers(void **state)
{
    (void)state;
    struct bb_out out = {.size = sizeof out};
    assert_non_null(job_review(&job, (enum bb_next)0, &out));
    assert_non_null(job_review(&job, (enum bb_next)6, &out));
    assert_non_null(job_review(&job, BB_SEND, &out));
    assert_non_null(job_review(&job, BB_REJECT, &out));
    assert_null(job_review(&job, BB_DONE, &out));
    out.error = (struct bb_error){BB_CONFLICT, "c", "m", NULL, NULL};
    assert_null(job_review(&job, BB_RETRY, &out));
    out.retry_after_ms = -1;
    assert_non_null(job_review(&job, BB_RETRY, &out));
    host->emit(&job, NULL);
    assert_ptr_equal(job_review(&job, BB_DONE, &out), job.misuse);
}

/* What a plugin points to may be gone, or change, when its call has returned. */
static void test_host_review_copies_the_answer(void **state)
{
    (void)state;
    char path[] = "/a", body[] = "{}", name[] = "X-A", value[] = "b", message[] = "m", id[] = "7";
    const struct bb_header header = {name, {value, 1}};
    struct bb_out out = {.size = sizeof out};
    out.request = (struct bb_request){
        .method = "POST", .path = path, .body = {body, 2}, .headers = &header, .header_count = 1, .cache_ms = 5};
    assert_null(job_review(&job, BB_SEND, &out));
    path[1] = body[0] = name[0] = value[0] = '?';
    assert_string_equal(out.request.path, "/a");
    assert_string_equal(out.request.body.data, "{}");
    assert_string_equal(out.request.headers[0].name, "X-A");
    assert_memory_equal(out.request.headers[0].value.data, "b", 1);
    assert_int_equal(out.request.cache_ms, 5);
    out = (struct bb_out){.size = sizeof out,
                          .error = {BB_CONFLICT, "c", message, NULL, NULL},
                          .retry_after_ms = 7,
                          .hold_operation = true,
                          .source_work_order_id = id};
    assert_null(job_review(&job, BB_HOLD, &out));
    message[0] = id[0] = '?';
    assert_string_equal(out.error.message, "m");
    assert_string_equal(out.source_work_order_id, "7");
    assert_true(out.hold_operation && out.retry_after_ms == 7);
}

static void refused(enum bb_next next, struct bb_out out, const char *why)
{
    struct bb_job other;
    job_init(&other, "mw", "mobility_work", 0, 1000);
    out.size = sizeof out;
    const char *fault = job_review(&other, next, &out);
    assert_non_null(fault);
    assert_string_equal(fault, why);
    assert_null(out.request.path); /* nothing of it is there to be read */
    assert_null(out.error.message);
    job_finish(&other);
}

static void test_host_review_refuses_what_cannot_be_kept(void **state)
{
    (void)state;
    const size_t much = 70000;
    char *path = test_malloc(much + 1);
    memset(path, 'a', much);
    path[0] = '/';
    path[much] = '\0';
    const struct bb_header bare = {"X-A", {NULL, 3}}, latin = {"X-A", {"\xe4", 1}}, longer = {"X-A", {path, much}};
#define REQUEST(...) ((struct bb_out){.request = {.method = "POST", .path = "/", __VA_ARGS__}})
    refused(BB_SEND, REQUEST(.body = {NULL, 100}), "the body has a length, and no bytes");
    refused(BB_SEND, REQUEST(.body = {"abc", (size_t)-1}), "the body is over 268435456 bytes");
    refused(BB_SEND, REQUEST(.header_count = 2), "the plugin sets 2 headers, and there are none");
    refused(BB_SEND, REQUEST(.headers = &bare, .header_count = 2000000000), "the plugin sets more than 64 headers");
    refused(BB_SEND, REQUEST(.headers = &bare, .header_count = 1), "a header's value has a length, and no bytes");
    refused(BB_SEND, REQUEST(.headers = &latin, .header_count = 1), "a header's value is not UTF-8");
    refused(BB_SEND, REQUEST(.headers = &longer, .header_count = 1), "a header's value is over 65536 bytes");
    refused(BB_SEND, REQUEST(.content_type = "\xe4"), "content_type is not UTF-8");
    refused(BB_SEND, (struct bb_out){.request = {.method = "GET", .path = path}}, "the path is over 65536 bytes");
    refused(BB_DONE, (struct bb_out){.source_work_order_id = "Ger\xe4t"}, "source_work_order_id is not UTF-8");
    refused(BB_DONE, (struct bb_out){.asset_ref = "Ger\xe4t"}, "asset_ref is not UTF-8");
    refused(BB_DONE, (struct bb_out){.asset_ref = path}, "asset_ref is over 1024 bytes");
    refused(BB_REJECT, (struct bb_out){.error = {BB_CONFLICT, "\xe4", "m", NULL, NULL}}, "error.code is not UTF-8");
    test_free(path);
}

/* A verdict is worth more than its sentence. */
static void test_host_review_mends_what_a_person_reads(void **state)
{
    (void)state;
    const size_t much = 70000;
    char *longer = test_malloc(much + 1);
    memset(longer, 'a', much);
    longer[JOB_SENTENCE_MAX - 1] = '\xc3'; /* the cut goes through it */
    longer[JOB_SENTENCE_MAX] = '\xa9';
    longer[much] = '\0';
    struct bb_out out = {.size = sizeof out, .error = {BB_CONFLICT, "c", "Ger\xe4t", "[\"\xe4\"]", longer}};
    assert_null(job_review(&job, BB_REJECT, &out));
    assert_string_equal(out.error.message, "Ger\xef\xbf\xbdt");
    assert_string_equal(out.error.rejected_fields, "[\"\xef\xbf\xbd\"]");
    assert_int_equal(strlen(out.error.owner_action), JOB_SENTENCE_MAX - 1 + 3);
    assert_string_equal(out.error.owner_action + JOB_SENTENCE_MAX - 3, "aa...");
    assert_string_equal(job.flaw, "error.message is not UTF-8");
    out.error = (struct bb_error){BB_CONFLICT, "c", "m", longer, NULL}; /* cut it would be no JSON */
    assert_null(job_review(&job, BB_REJECT, &out));
    assert_null(out.error.rejected_fields);
    test_free(longer);
}

static void emitted(struct bb_event event, const char *why)
{
    struct bb_job other;
    job_init(&other, "mw", "mobility_work", 0, 1000);
    event.size = sizeof event;
    host->emit(&other, &event);
    assert_string_equal(other.misuse, why);
    assert_int_equal(other.event_count, 0);
    job_finish(&other);
}

static void test_host_emit_refuses_what_cannot_be_kept(void **state)
{
    (void)state;
    const struct bb_work_order order = {.source_status = "ge\xe4ndert"};
    emitted((struct bb_event){.name = "n\xe4me"}, "emit: name is not UTF-8");
    emitted((struct bb_event){.name = "n", .dedup_id = "\xe4"}, "emit: dedup_id is not UTF-8");
    emitted((struct bb_event){.name = "n", .work_order = &order}, "emit: a text of the work order is not UTF-8");
    emitted((struct bb_event){.name = "n", .raw = {NULL, 3}}, "emit: raw has a length, and no bytes");
    emitted((struct bb_event){.name = "n", .raw = {"{}", (size_t)-1}}, "emit: raw is over 16777216 bytes");
    const size_t most = (size_t)16 << 20;
    char *raw = test_malloc(most);
    memset(raw, '1', most);
    const struct bb_event large = {.size = sizeof large, .name = "n", .raw = {raw, most}};
    for (int i = 0; i < 4; i++)
        host->emit(&job, &large);
    assert_null(job.misuse);
    host->emit(&job, &large);
    assert_string_equal(job.misuse, "emit: raw is over 67108864 bytes in one job");
    assert_int_equal(job.event_count, 4);
    test_free(raw);
}

static void test_host_settle_and_notes_hold_texts(void **state)
{
    (void)state;
    host->settle(&job, 0, BB_REJECT, &(struct bb_error){BB_VALIDATION, "c", "Ger\xe4t", NULL, NULL});
    assert_null(job.misuse);
    assert_string_equal(job.items[0].error.message, "Ger\xef\xbf\xbdt");
    host->note_put(&job, "k", "v\xe4");
    assert_string_equal(job.misuse, "note_put: the note is not UTF-8");
    assert_int_equal(job.note_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_host_alloc_is_zeroed),
        TEST(test_host_path_segment_encodes),
        TEST(test_host_emit_copies_deeply),
        TEST(test_host_emit_puts_the_target_s_words_into_ours),
        TEST(test_host_emit_maps_priorities_and_guesses_none),
        TEST(test_host_emit_calls_events_as_the_site_does),
        TEST(test_host_looks_words_up_both_ways),
        TEST(test_host_emit_refuses_an_unknown_type),
        TEST(test_host_emit_refuses_no_name),
        TEST(test_host_emit_refuses_no_size),
        TEST(test_host_emit_keeps_raw_that_is_no_json),
        TEST(test_host_misuse_keeps_the_first),
        TEST(test_host_settle_copies_the_error),
        TEST(test_host_settle_wants_an_error),
        TEST(test_host_settle_refuses_a_hold),
        TEST(test_host_notes_read_what_was_put),
        TEST(test_host_notes_refuse_an_empty_key),
        TEST(test_host_counts_by_target_and_name),
        TEST(test_host_judges_success),
        TEST(test_host_judges_a_page_to_be_no_answer),
        TEST(test_host_judges_no_page),
        TEST(test_host_judges_authentication),
        TEST(test_host_judges_authorization),
        TEST(test_host_judges_validation),
        TEST(test_host_judges_redirects),
        TEST(test_host_judges_identity),
        TEST(test_host_judges_conflict),
        TEST(test_host_judges_unavailable),
        TEST(test_host_judges_no_answer),
        TEST(test_host_has_a_text_for_each_class),
        TEST(test_host_review_names_broken_answers),
        TEST(test_host_review_copies_the_answer),
        TEST(test_host_review_refuses_what_cannot_be_kept),
        TEST(test_host_review_mends_what_a_person_reads),
        TEST(test_host_emit_refuses_what_cannot_be_kept),
        TEST(test_host_settle_and_notes_hold_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
