/* SPDX-License-Identifier: Apache-2.0 */
/* The program is its own child: as the real one, or, by the target's name, as one that an attacker has taken over. */
#include "unit.h"

#include "cell.h"
#include "cell_wire.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOW 1700000000000

/* ---- a hostile child */

static void say(struct buf *text)
{
    if (write(STDIN_FILENO, text->data, text->len) != (ssize_t)text->len)
        _exit(3);
    buf_clear(text);
}

static void hear(enum wire_kind wanted)
{
    struct buf received = {0};
    uint8_t kind = 0;
    size_t used;
    struct span members;
    do {
        char bytes[65536];
        while (wire_next(buf_span(&received), UINT32_MAX, &kind, &members, &used) == 0) {
            ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
            if (got <= 0)
                _exit(0);
            buf_append(&received, bytes, (size_t)got);
        }
        buf_clear(&received);
    } while (kind != wanted);
    buf_finish(&received);
}

static void answer(int64_t number, struct span effects)
{
    const struct wire_answer done = {.number = number, .next = BB_DONE};
    struct buf text = {0};
    const struct bb_out out = {.size = sizeof(out)};
    wire_put_answer(&text, &done, &out, effects);
    say(&text);
}

static void say_raw(const char *bytes, size_t len)
{
    struct buf text = {0};
    buf_append(&text, bytes, len);
    say(&text);
}

static void want_notes(void)
{
    struct buf text = {0};
    for (int i = 0;; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key %d", i);
        size_t at = wire_begin(&text, WIRE_NOTE_WANTED);
        wire_put_number(&text, 1);
        wire_put_text(&text, key);
        wire_end(&text, at);
        say(&text);
        hear(WIRE_NOTE);
    }
}

static void log_much(void)
{
    struct buf effects = {0};
    for (int i = 0; i < 5000; i++)
        wire_put_log(&effects, BB_LOG_INFO, "noise");
    answer(1, buf_span(&effects));
}

static void misbehave(const char *how)
{
    struct buf text = {0};
    if (strcmp(how, "evil length") == 0)
        say_raw("\xff\xff\xff\xff\x06", 5);
    else if (strcmp(how, "evil kind") == 0)
        say_raw("\0\0\0\0\x63", 5);
    else if (strcmp(how, "evil empty") == 0)
        say_raw("\0\0\0\0\x06", 5);
    else if (strcmp(how, "evil other") == 0)
        answer(77, (struct span){0});
    else if (strcmp(how, "evil effects") == 0)
        answer(1, SPAN("\x01\0\0\0\0\0\0\0 and then nothing of it"));
    else if (strcmp(how, "evil log") == 0)
        log_much();
    else if (strcmp(how, "evil notes") == 0)
        want_notes();
    else if (strcmp(how, "evil opened") == 0) {
        const struct bb_description nothing = {0};
        wire_put_opened(&text, NULL, &nothing);
        say(&text);
    } else if (strcmp(how, "evil twice") == 0) {
        answer(1, (struct span){0});
        answer(1, (struct span){0});
    } else if (strcmp(how, "evil half") == 0) {
        say_raw("\xff\0\0\0\x06half of it", 15);
        _exit(0);
    }
    for (;;) /* what closes its socket, and what says nothing: it is there until it is ended */
        if (strcmp(how, "evil closed") == 0)
            close(STDIN_FILENO);
        else
            hear(WIRE_CALL);
}

static int be_evil(const char *how)
{
    const struct bb_description nothing = {0};
    struct buf text = {0};
    hear(WIRE_OPEN);
    if (strcmp(how, "evil start") == 0) {
        say_raw("\x08\0\0\0\x05 12345678", 13);
        return 0;
    }
    wire_put_opened(&text, NULL, &nothing);
    say(&text);
    hear(WIRE_CALL);
    misbehave(how);
    return 0;
}

/* ---- a cell with a job */

struct settings { /* as rogue.c has them */
    const char *at_open;
};

struct asking {
    struct bb_job job;
    struct bb_message message;
    struct bb_in in;
    struct bb_out out;
    struct cell_call call;
    bool over;
    enum bb_next next;
    const char *failure;
};

static struct settings settings;
static struct arena *arena;
static struct cell *cell;

static const struct loaded_plugin *rogue(void)
{
    char path[4096];
    char *error = NULL;
    snprintf(path, sizeof(path), "%s/tests/plugins/rogue.so", getenv("TEST_BUILD_DIR"));
    const struct loaded_plugin *plugin = loader_load(path, &error);
    if (plugin == NULL)
        fail_msg("%s", error);
    return plugin;
}

static const char *open_cell(const char *target, int64_t limit_ms)
{
    static struct cell_options options;
    struct bb_description description;
    options = (struct cell_options){.target = target,
                                    .plugin = rogue(),
                                    .config = &settings,
                                    .memory_bytes = (int64_t)64 << 20,
                                    .limit_ms = limit_ms};
    cell = cell_create(&options);
    return cell_open(cell, arena, &description);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_create();
    settings = (struct settings){0};
    cell = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cell_destroy(cell);
    arena_destroy(arena);
    return 0;
}

static void on_done(void *context, enum bb_next next, int64_t took_us, const char *failure)
{
    struct asking *asking = context;
    assert_true(took_us >= 0);
    assert_false(asking->over);
    asking->over = true;
    asking->next = next;
    asking->failure = failure;
}

static void ask(struct asking *asking, const char *body)
{
    *asking = (struct asking){.message = {.id = "d-1", .body = {body, strlen(body)}, .received_ms = NOW}};
    job_init(&asking->job, "rogue", "rogue", 1, NOW);
    asking->in = (struct bb_in){.size = sizeof(asking->in),
                                .job = &asking->job,
                                .operation = "thing.do",
                                .messages = &asking->message,
                                .message_size = sizeof(asking->message),
                                .message_count = 1,
                                .attempt = 1,
                                .now_ms = NOW};
    asking->call = (struct cell_call){
        .door = CELL_STEP, .in = &asking->in, .out = &asking->out, .done = on_done, .context = asking};
    cell_call(cell, &asking->call);
}

static void wait_for(const bool *over)
{
    while (!*over) {
        struct pollfd ready = {.fd = cell_fd(cell), .events = POLLIN};
        cell_tick(cell);
        if (poll(&ready, 1, 10) > 0)
            cell_ready(cell);
    }
}

static void respond(struct asking *asking, int status)
{
    struct bb_response *response = arena_alloc(asking->job.arena, sizeof(*response));
    *response = (struct bb_response){.size = sizeof(*response), .status = status, .body = {"{}", 2}};
    asking->in.response = response;
    asking->over = false;
    cell_call(cell, &asking->call);
}

/* ---- what a plugin does, through the socket */

static void test_cell_carries_a_conversation(void **state)
{
    (void)state;
    struct asking asking;
    assert_null(open_cell("rogue", 1000));
    ask(&asking, "{\"do\": \"ask\"}");
    wait_for(&asking.over);
    assert_null(asking.failure);
    assert_int_equal(asking.next, BB_SEND);
    assert_string_equal(asking.out.request.method, "POST");
    assert_string_equal(asking.out.request.path, "/orders");
    assert_memory_equal(asking.out.request.body.data, "{\"do\": \"ask\"}", asking.out.request.body.len);
    assert_int_equal(asking.job.note_count, 1); /* as if the plugin had run here */
    assert_string_equal(asking.job.notes[0].key, "last");
    respond(&asking, 201);
    wait_for(&asking.over);
    assert_int_equal(asking.next, BB_DONE);
    assert_int_equal(asking.job.event_count, 1);
    assert_string_equal(asking.job.events[0].event.name, "asked");
    assert_null(job_review(&asking.job, asking.next, &asking.out));
    job_finish(&asking.job);
}

static void test_cell_goes_on_in_the_next_child(void **state)
{
    (void)state;
    struct asking first, bad;
    assert_null(open_cell("rogue", 1000));
    ask(&first, "{\"do\": \"ask\"}");
    wait_for(&first.over);
    ask(&bad, "{\"do\": \"crash\"}");
    wait_for(&bad.over);
    assert_non_null(strstr(bad.failure, "SIGSEGV in step"));
    assert_int_equal(bad.next, BB_RETRY);
    respond(&first, 201);
    wait_for(&first.over);
    assert_null(first.failure);
    assert_int_equal(first.next, BB_DONE); /* the state was there, or it would be state_lost */
    assert_int_equal(first.job.note_count, 1);
    assert_int_equal(first.job.event_count, 1);
    assert_int_equal(cell_health(cell).restarts, 1);
    job_finish(&first.job);
    job_finish(&bad.job);
}

static void test_cell_blames_the_first_of_the_line_alone(void **state)
{
    (void)state;
    struct asking asked[5];
    static const char *const bodies[] = {"{\"do\": \"ask\"}", "{\"do\": \"crash\"}", "{\"do\": \"ask\"}",
                                         "{\"do\": \"exit\"}", "{\"do\": \"nothing\"}"};
    assert_null(open_cell("rogue", 1000));
    for (size_t i = 0; i < 5; i++)
        ask(&asked[i], bodies[i]);
    for (size_t i = 0; i < 5; i++)
        wait_for(&asked[i].over);
    assert_int_equal(asked[0].next, BB_SEND);
    assert_non_null(strstr(asked[1].failure, "SIGSEGV"));
    assert_int_equal(asked[2].next, BB_SEND);
    assert_non_null(strstr(asked[3].failure, "exit status 7"));
    assert_int_equal(asked[4].next, BB_DONE);
    assert_int_equal(cell_health(cell).restarts, 2);
    for (size_t i = 0; i < 5; i++)
        job_finish(&asked[i].job);
}

static void test_cell_ends_what_does_not_come_back(void **state)
{
    (void)state;
    struct asking loops, sleeps;
    assert_null(open_cell("rogue", 50));
    ask(&loops, "{\"do\": \"loop\"}");
    wait_for(&loops.over);
    assert_non_null(strstr(loops.failure, "did not come back from step within 50 ms"));
    ask(&sleeps, "{\"do\": \"sleep\"}"); /* it uses no processor time */
    wait_for(&sleeps.over);
    assert_non_null(strstr(sleeps.failure, "did not come back"));
    job_finish(&loops.job);
    job_finish(&sleeps.job);
}

static void test_cell_says_what_open_says(void **state)
{
    (void)state;
    settings.at_open = "refuse";
    assert_string_equal(open_cell("rogue", 1000), "the settings say so");
    cell_destroy(cell);
    settings.at_open = "crash";
    assert_non_null(strstr(open_cell("rogue", 1000), "SIGSEGV in open"));
}

static void test_cell_that_is_stopped_drops_its_calls(void **state)
{
    (void)state;
    struct asking asking;
    assert_null(open_cell("rogue", 1000));
    ask(&asking, "{\"do\": \"ask\"}");
    cell_stop(cell);
    cell_ready(cell);
    cell_forget(cell, &asking.call);
    assert_false(asking.over);
    job_finish(&asking.job);
}

/* ---- a child that is not ours any more */

static void test_cell_survives_a_hostile_child(void **state)
{
    (void)state;
    static const char *const hows[] = {"evil length", "evil kind",  "evil empty",  "evil other", "evil effects",
                                       "evil log",    "evil notes", "evil opened", "evil half"};
    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
        struct asking asking;
        assert_null(open_cell(hows[i], 1000));
        ask(&asking, "{}");
        wait_for(&asking.over);
        if (asking.failure == NULL || asking.next != BB_RETRY)
            fail_msg("%s: it was believed", hows[i]);
        assert_int_equal(asking.job.event_count + asking.job.note_count, 0);
        job_finish(&asking.job);
        cell_destroy(cell);
        cell = NULL;
    }
}

static void test_cell_takes_one_answer_to_a_call(void **state)
{
    (void)state;
    struct asking asking;
    assert_null(open_cell("evil twice", 1000));
    ask(&asking, "{}");
    wait_for(&asking.over);
    assert_int_equal(asking.next, BB_DONE);
    while (cell_health(cell).restarts == 0) { /* the second makes no sense */
        struct pollfd ready = {.fd = cell_fd(cell), .events = POLLIN};
        if (poll(&ready, 1, 5000) <= 0)
            fail_msg("it is still there");
        cell_ready(cell);
    }
    job_finish(&asking.job);
}

static void test_cell_ends_a_child_that_closed_its_socket_or_is_silent(void **state)
{
    (void)state;
    static const char *const hows[] = {"evil closed", "evil silent"};
    for (size_t i = 0; i < 2; i++) {
        struct asking asking;
        assert_null(open_cell(hows[i], 20));
        ask(&asking, "{}");
        wait_for(&asking.over);
        assert_non_null(asking.failure);
        job_finish(&asking.job);
        cell_destroy(cell);
        cell = NULL;
    }
}

static void test_cell_does_not_open_with_nonsense(void **state)
{
    (void)state;
    assert_non_null(open_cell("evil start", 1000));
}

/* ---- frames */

static void test_cell_wire_never_reads_past_its_end(void **state)
{
    (void)state;
    struct buf frame = {0}, effects = {0};
    const struct bb_work_order order = {.order_id = "o", .source_status = "open"};
    const struct bb_event event = {.size = sizeof(event), .name = "e", .work_order = &order, .raw = {"{}", 2}};
    const struct bb_error error = {BB_VALIDATION, "code", "message", "[]", NULL};
    const struct bb_header header = {"X", {"1", 1}};
    const struct wire_answer sent = {.number = 1, .took_us = 2, .next = BB_SEND};
    const struct bb_out out = {.size = sizeof(out),
                               .request = {.method = "GET", .path = "/", .headers = &header, .header_count = 1},
                               .error = error,
                               .asset_ref = "a"};
    wire_put_emit(&effects, &event);
    wire_put_settle(&effects, 0, BB_REJECT, &error);
    wire_put_note(&effects, "key", NULL);
    wire_put_log(&effects, BB_LOG_DEBUG, "text");
    wire_put_count(&effects, "n", 1);
    wire_put_answer(&frame, &sent, &out, buf_span(&effects));
    for (size_t len = 0; len <= frame.len - WIRE_HEAD; len++) { /* every beginning of it, in memory that ends there */
        char *exact = malloc(len + 1);
        struct bb_job job;
        struct bb_out got;
        struct wire_answer taken;
        memcpy(exact, frame.data + WIRE_HEAD, len);
        job_init(&job, "mw", "rogue", 1, NOW);
        struct wire wire = {.left = {exact, len}};
        bool whole = wire_take_number(&wire) == 1 && wire_take_answer(&wire, &job, &taken, &got);
        assert_int_equal(whole, len == frame.len - WIRE_HEAD);
        if (whole) {
            assert_int_equal(taken.next, BB_SEND);
            assert_string_equal(got.request.headers[0].name, "X");
            assert_string_equal(got.error.code, "code");
            assert_string_equal(got.asset_ref, "a");
            assert_string_equal(job.events[0].event.work_order->order_id, "o");
            assert_int_equal(job.items[0].verdict, BB_REJECT);
            assert_null(job.notes[0].value);
            assert_null(job.misuse);
        }
        job_finish(&job);
        free(exact);
    }
    buf_finish(&frame);
    buf_finish(&effects);
}

static void test_cell_wire_refuses_what_is_no_text_or_number(void **state)
{
    (void)state;
    struct buf text = {0};
    wire_put_bytes(&text, (struct span){"a\0b", 3});
    struct wire wire = {.left = buf_span(&text)};
    assert_null(wire_text(&wire, arena));
    assert_true(wire.bad);
    buf_clear(&text);
    wire_put_number(&text, -2); /* of a length */
    wire = (struct wire){.left = buf_span(&text)};
    assert_null(wire_text(&wire, arena));
    assert_true(wire.bad);
    wire = (struct wire){.left = buf_span(&text)};
    assert_false(wire_bool(&wire));
    assert_true(wire.bad);
    buf_finish(&text);
}

static void test_cell_wire_judges_effects_as_a_plugin_s(void **state)
{
    (void)state;
    struct buf frame = {0}, effects = {0};
    const struct wire_answer sent = {.number = 1, .next = BB_DONE};
    struct wire_answer taken;
    struct bb_out out = {.size = sizeof(out)};
    struct bb_job job;
    wire_put_emit(&effects, NULL); /* as a plugin that gives no event */
    wire_put_answer(&frame, &sent, &out, buf_span(&effects));
    struct wire wire = {.left = {frame.data + WIRE_HEAD, frame.len - WIRE_HEAD}};
    job_init(&job, "mw", "rogue", 1, NOW);
    wire_take_number(&wire);
    assert_true(wire_take_answer(&wire, &job, &taken, &out));
    assert_string_equal(job_review(&job, taken.next, &out), "emit: an event without its size");
    job_finish(&job);
    buf_finish(&frame);
    buf_finish(&effects);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "cell") == 0)
        _exit(strncmp(argv[2], "evil", 4) == 0 ? be_evil(argv[2]) : cell_serve(STDIN_FILENO));
    log_open(false, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(test_cell_carries_a_conversation),
        TEST(test_cell_goes_on_in_the_next_child),
        TEST(test_cell_blames_the_first_of_the_line_alone),
        TEST(test_cell_ends_what_does_not_come_back),
        TEST(test_cell_says_what_open_says),
        TEST(test_cell_that_is_stopped_drops_its_calls),
        TEST(test_cell_survives_a_hostile_child),
        TEST(test_cell_takes_one_answer_to_a_call),
        TEST(test_cell_ends_a_child_that_closed_its_socket_or_is_silent),
        TEST(test_cell_does_not_open_with_nonsense),
        TEST(test_cell_wire_never_reads_past_its_end),
        TEST(test_cell_wire_refuses_what_is_no_text_or_number),
        TEST(test_cell_wire_judges_effects_as_a_plugin_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
