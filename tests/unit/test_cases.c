/* SPDX-License-Identifier: Apache-2.0 */
/* The cases runner: a case that holds passes, one that does not fails at its line and says why. */
#include "unit.h"

#include "cases.h"
#include "cases_run.h"
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct buf report;
static struct cases_result result;

static int setup(void **state)
{
    (void)state;
    result = (struct cases_result){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_finish(&report);
    return 0;
}

static const struct loaded_plugin *plugin(const char *name)
{
    char *path cleanup_text = mem_printf("%s/tests/plugins/%s.so", getenv("TEST_BUILD_DIR"), name);
    char *error cleanup_text = NULL;
    const struct loaded_plugin *loaded = loader_load(path, &error);
    assert_non_null(loaded);
    return loaded;
}

static int run_with(const char *name, const char *text)
{
    char file[] = "/tmp/busbar-case-XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    int rc = cases_run(plugin(name), file, true, &report, &result);
    unlink(file);
    return rc;
}

#define OPTIONS "option api_key k\noption site s\n"           /* lines 1, 2 */
#define CREATE "case t\noperation thing.create\nmessage {}\n" /* lines 3 .. 5 */

static void fails(const char *lines, const char *says)
{
    char *text cleanup_text = mem_printf(OPTIONS CREATE "%s", lines);
    buf_clear(&report);
    result = (struct cases_result){0};
    assert_int_equal(run_with("good", text), 0);
    assert_int_equal(result.failed, 1);
    if (!strstr(report.data, says))
        fail_msg("\"%s\" does not say \"%s\"", report.data, says);
}

static void test_cases_run_each_kind_of_line(void **state)
{
    (void)state;
    char *file cleanup_text = mem_printf("%s/tests/cases/good.case", getenv("TEST_SOURCE_DIR"));
    assert_int_equal(cases_run(plugin("good"), file, false, &report, &result), 0);
    if (result.failed)
        fail_msg("%s", report.data);
    assert_int_equal(result.cases, 16);
    assert_int_equal(report.len, 0);
}

static void test_cases_run_against_the_frozen_abi(void **state)
{
    (void)state;
    assert_int_equal(run_with("old_plugin",
                              "option greeting hi\noption token abcd\ncase t\noperation word.say\nmessage {}\n"
                              "expect send PUT /words/hi\nexpect header Authorization: Bearer abcd\n"
                              "respond 200\nexpect done\n"),
                     0);
    assert_int_equal(result.failed, 0);
}

static void test_cases_name_the_line(void **state)
{
    (void)state;
    fails("expect send PUT /things\n", ":6: t: expected PUT /things, got POST /things\n");
}

static void test_cases_go_on_after_a_failure(void **state)
{
    (void)state;
    run_with("good", OPTIONS CREATE "expect done\n" CREATE "expect send POST /things\n");
    assert_int_equal(result.cases, 2);
    assert_int_equal(result.failed, 1);
    assert_non_null(strstr(report.data, "expected done, got send POST /things"));
    assert_non_null(strstr(report.data, "ok: t\n"));
}

static void test_cases_show_where_json_differs(void **state)
{
    (void)state;
    fails("expect send POST /things\nexpect body {\"a\": 1}\n", ":7: t: body: /a is missing");
}

static void test_cases_compare_bodies_that_are_no_json(void **state)
{
    (void)state;
    fails("expect send POST /things\nexpect body text a=1\n", ":7: t: body: expected text a=1, got text \"{}\"");
    fails("expect send POST /things\nexpect body text \"{\\n}\"\n", "expected text \"{\\n}\", got text \"{}\"");
    fails("expect send POST /things\nexpect body bytes \"\\u00e4\"\n", "expected bytes \"\xc3\xa4\", got text");
}

static void test_cases_take_text_as_a_string(void **state)
{
    (void)state;
    run_with("good", OPTIONS "case t\noperation thing.create\nmessage {\"a\":\"\xc3\xbc\"}\nexpect send POST /things\n"
                             "expect body text \"{\\u0022a\\u0022:\\\"\\u00fc\\\"}\"\n"
                             "expect body bytes \"{\\\"a\\\":\\\"\xc3\x83\\u00bc\\\"}\"\n");
    if (result.failed)
        fail_msg("%s", report.data);
    fails("expect send POST /things\nrespond 200 text \"a\nexpect done\n", "write: text \"...\" or bytes \"...\"");
    fails("expect send POST /things\nrespond 200 bytes a\nexpect done\n", "write: text \"...\" or bytes \"...\"");
    fails("expect send POST /things\nexpect body bytes \"\\u0100\"\n", "none is above \\u00ff");
}

/* What a target really said is what its case says: byte for byte, on one line, and read back as the same. */
static void test_cases_write_each_body_exactly(void **state)
{
    (void)state;
    char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)i;
    const struct {
        struct span body;
        const char *line; /* NULL: any */
    } rows[] = {
        {SPAN(""), "respond 200\n"},
        {SPAN("Bad request"), "respond 200 text Bad request\n"},
        {SPAN("null"), "respond 200 null\n"},
        {SPAN("\"x\""), "respond 200 \"x\"\n"},
        {SPAN("<a b=\"1\">\n {\n"), "respond 200 text \"<a b=\\\"1\\\">\\n {\\n\"\n"},
        {SPAN("Ger\xc3\xa4t"), "respond 200 text Ger\xc3\xa4t\n"},
        {SPAN("Ger\xe4t"), "respond 200 bytes \"Ger\xc3\xa4t\"\n"},
        {SPAN("text x"), NULL},
        {SPAN("bytes \"x\""), NULL},
        {SPAN(" x"), NULL},
        {SPAN("x\r\n"), NULL},
        {SPAN("null\n"), NULL},
        {SPAN("\xef\xbb\xbf{}"), NULL},
        {SPAN("{\"a\":"), NULL},
        {SPAN("\"open"), NULL},
        {SPAN("a\0b"), NULL},
        {SPAN("\xc3"), NULL},
        {{all, sizeof all}, NULL},
        {{all, 0x80}, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct case_run run = {.arena = arena_create(), .report = &report, .file = "f", .title = "t"};
        struct buf line cleanup_buf = {0};
        const struct bb_response response = {.status = 200, .body = {rows[i].body.data, rows[i].body.len}};
        case_write_response(&response, &line);
        if (rows[i].line)
            assert_string_equal(line.data, rows[i].line);
        assert_ptr_equal(memchr(line.data, '\n', line.len), line.data + line.len - 1);
        struct span rest = case_trim(buf_span(&line)), body;
        assert_true(case_take(&rest, "respond") && case_take(&rest, "200"));
        assert_true(case_read_body(&run, rest, &body));
        assert_int_equal(body.len, rows[i].body.len);
        assert_memory_equal(body.data, rows[i].body.data, body.len);
        arena_destroy(run.arena);
    }
}

static void test_cases_compare_json(void **state)
{
    (void)state;
    static const struct {
        const char *message, *expected, *says; /* NULL: the same */
    } rows[] = {
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", NULL},
        {"{\"a\":1.50}", "{\"a\":1.5}", NULL},
        {"{\"a\":1}", "{\"a\":1.0}", "/a: expected 1.0, got 1"},
        {"{\"a\":1,\"b\":2}", "{\"a\":1}", "/b was not expected"},
        {"{\"a\":[1,2]}", "{\"a\":[1]}", "/a: expected 1 items, got [1,2]"},
        {"{\"a\":[1,{\"b\":null}]}", "{\"a\":[1,{\"b\":0}]}", "/a/1/b: expected 0, got null"},
        {"{\"a/b\":1}", "{\"a/b\":2}", "/a~1b: expected 2, got 1"},
        {"null", "{}", "body: expected {}, got null"},
        {"null", "null", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&report);
        result = (struct cases_result){0};
        char *text cleanup_text =
            mem_printf(OPTIONS "case t\noperation thing.create\nmessage %s\nexpect send POST /things\nexpect body %s\n",
                       rows[i].message, rows[i].expected);
        run_with("good", text);
        if (result.failed != (rows[i].says != NULL) || (rows[i].says && !strstr(report.data, rows[i].says)))
            fail_msg("%s against %s: %s", rows[i].message, rows[i].expected, report.data);
    }
}

static void test_cases_say_what_is_wrong_with_a_map(void **state)
{
    (void)state;
    fails("map {status: {done: clsoed}}\nexpect send POST /things\n",
          ":6: t: unknown common status 'clsoed', did you mean 'closed'?");
}

static void test_cases_want_an_expectation(void **state)
{
    (void)state;
    fails("", "it expects nothing");
}

static void test_cases_want_an_answer(void **state)
{
    (void)state;
    fails("expect send POST /things\nexpect done\n", "a respond line is missing");
}

static void test_cases_want_nothing_left_over(void **state)
{
    (void)state;
    fails("expect send POST /things\nrespond 201\n", "a respond line with nothing expected after it");
}

static void test_cases_want_all_events(void **state)
{
    (void)state;
    run_with("good", OPTIONS "case t\ndecode {\"event\":\"e\"}\nexpect done\n");
    assert_non_null(strstr(report.data, "the event work_order.completed was not expected"));
}

static void test_cases_refuse_a_webhook_without_event(void **state)
{
    (void)state;
    run_with("good", OPTIONS "case t\ndecode {\"id\":1}\nexpect done\n");
    assert_non_null(strstr(report.data, "the door answers 400"));
}

static void test_cases_compare_verdicts(void **state)
{
    (void)state;
    fails("expect send POST /things\nrespond 404\nexpect reject validation http_404\n",
          "expected validation http_404, got identity http_404");
}

static void test_cases_compare_rejected_fields(void **state)
{
    (void)state;
    fails("expect send POST /things\nrespond 400\nexpect reject validation http_400 /name\n",
          "expected rejected field /name, got none");
}

static void test_cases_compare_holds(void **state)
{
    (void)state;
    fails("expect send POST /things\nrespond 401\nexpect hold operation\n",
          "expected hold of the operation, got hold of the target");
}

static void test_cases_compare_delays(void **state)
{
    (void)state;
    fails("expect send POST /things\nrespond 503\nexpect retry after 60s\n", "expected retry after 60000 ms, got 0 ms");
}

static void test_cases_compare_headers(void **state)
{
    (void)state;
    fails("expect send POST /things\nexpect header Api-Key: other\n", "expected header Api-Key: other, got k");
}

static void test_cases_catch_broken_rules(void **state)
{
    (void)state;
    run_with("sloppy", "case t\noperation thing.create\nmessage {}\nexpect done\n");
    assert_non_null(strstr(report.data, "the plugin breaks a rule: settle: there is no message 7 in a batch of 1"));
}

/* By the daemon's own review: what it refuses, and what it would mend. */
static void test_cases_hold_a_plugin_to_text_and_limits(void **state)
{
    static const char *const said[][2] = {
        {"latin_id\"}\nexpect send POST /things\nrespond 201\n", "source_work_order_id is not UTF-8"},
        {"latin_event\"}\nexpect send POST /things\nrespond 201\n", "emit: name is not UTF-8"},
        {"latin_error\"}\n", "error.message is not UTF-8"},
        {"latin_log\"}\nexpect send POST /things\nrespond 201\n", "log: a message is not UTF-8"},
        {"null_body\"}\n", "the body has a length, and no bytes"},
        {"long_path\"}\n", "the path is over 65536 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        char *text cleanup_text = mem_printf("case t\noperation thing.create\nmessage {\"say\":\"%s"
                                             "expect reject\n",
                                             said[i][0]);
        char *why cleanup_text = mem_printf("the plugin breaks a rule: %s", said[i][1]);
        buf_clear(&report);
        result = (struct cases_result){0};
        assert_int_equal(run_with("liar", text), 0);
        assert_int_equal(result.failed, 1);
        if (!strstr(report.data, why))
            fail_msg("\"%s\" does not say \"%s\"", report.data, why);
    }
}

static void test_cases_find_what_was_written_over(void **state)
{
    (void)state;
    static const char *const faults[][2] = {
        {"faults/bounds-writes", "it wrote past the end of what host->alloc() gave it for 8 bytes"},
        {"faults/borrowed-writes", "it wrote into a message's body"},
        {"faults/borrowed-settings", "it wrote into the settings"},
        {"faults/borrowed-host", "it wrote into host"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        assert_int_equal(run_with(faults[i][0], CREATE "expect send POST /things\n"), 0);
        assert_int_equal(result.failed, i + 1);
        if (!strstr(report.data, faults[i][1]))
            fail_msg("\"%s\" does not say \"%s\"", report.data, faults[i][1]);
    }
}

static void test_cases_say_why_a_target_does_not_open(void **state)
{
    (void)state;
    run_with("good", "option api_key k\ncase t\noperation thing.create\nmessage {}\nexpect done\n");
    assert_non_null(strstr(report.data, "the target does not open"));
    assert_non_null(strstr(report.data, "needs the option site"));
}

static void test_cases_refuse_an_unknown_operation(void **state)
{
    (void)state;
    run_with("good", OPTIONS "case t\noperation thing.paint\nmessage {}\nexpect done\n");
    assert_non_null(strstr(report.data, "the plugin has no operation thing.paint"));
}

static void test_cases_refuse_too_large_a_batch(void **state)
{
    (void)state;
    fails("message {}\nexpect send POST /things\n", "2 messages, but thing.create takes 1 a call");
}

/* Words are parted by any blanks, and an editor's byte order mark is not part of the first. */
static void test_cases_take_tabs_and_a_byte_order_mark(void **state)
{
    (void)state;
    assert_int_equal(run_with("good",
                              "\xef\xbb\xbf" OPTIONS "case\tt\r\noperation\tthing.create\nmessage \t{\n\t}\n"
                              "expect\tsend  POST\t/things\nexpect \t body\ttext {}\nrespond\t201\nexpect  done\n"),
                     0);
    if (result.failed)
        fail_msg("%s", report.data);
    assert_int_equal(result.cases, 1);
}

static void test_cases_refuse_unknown_lines(void **state)
{
    (void)state;
    assert_int_equal(run_with("good", OPTIONS CREATE "expect miracle\n"), -1);
    assert_non_null(strstr(report.data, ":6: no such line: expect miracle"));
}

static void test_cases_say_how_an_answer_of_several_lines_is_written(void **state)
{
    (void)state;
    assert_int_equal(run_with("good", OPTIONS CREATE "expect send POST /things\nrespond 200 <a>\n</a>\n"), -1);
    assert_non_null(strstr(report.data, ":8: no such line: </a> (an answer of several lines"));
    assert_int_equal(run_with("good", OPTIONS CREATE "expect send POST /things\nrespond 200 <a>{\nexpect done\n"), -1);
    assert_non_null(strstr(report.data, ":7: the brackets that open here are never closed (an answer"));
}

static void test_cases_refuse_open_brackets(void **state)
{
    (void)state;
    assert_int_equal(run_with("good", OPTIONS "case t\nmessage {\"a\": [1\nexpect done\n"), -1);
    assert_non_null(strstr(report.data, ":4: the brackets that open here are never closed"));
}

static void test_cases_refuse_an_empty_file(void **state)
{
    (void)state;
    assert_int_equal(run_with("good", "# nothing\n" OPTIONS), -1);
    assert_non_null(strstr(report.data, "it holds no case"));
    assert_int_equal(cases_run(plugin("good"), "/nonexistent.case", true, &report, &result), -1);
}

static void test_cases_refuse_lines_out_of_place(void **state)
{
    (void)state;
    fails("respond 200\nexpect done\n", "no request waits for an answer");
}

static void test_cases_refuse_ids_without_a_message(void **state)
{
    (void)state;
    fails("expect send POST /things\nid x\n", "before the first expect");
    assert_int_equal(run_with("good", OPTIONS "case t\noperation thing.create\nsource 7\nexpect done\n"), 0);
    assert_non_null(strstr(report.data, "this line stands after a message line"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cases_run_each_kind_of_line),
        TEST(test_cases_run_against_the_frozen_abi),
        TEST(test_cases_name_the_line),
        TEST(test_cases_go_on_after_a_failure),
        TEST(test_cases_show_where_json_differs),
        TEST(test_cases_compare_bodies_that_are_no_json),
        TEST(test_cases_take_text_as_a_string),
        TEST(test_cases_write_each_body_exactly),
        TEST(test_cases_compare_json),
        TEST(test_cases_say_what_is_wrong_with_a_map),
        TEST(test_cases_want_an_expectation),
        TEST(test_cases_want_an_answer),
        TEST(test_cases_want_nothing_left_over),
        TEST(test_cases_want_all_events),
        TEST(test_cases_refuse_a_webhook_without_event),
        TEST(test_cases_compare_verdicts),
        TEST(test_cases_compare_rejected_fields),
        TEST(test_cases_compare_holds),
        TEST(test_cases_compare_delays),
        TEST(test_cases_compare_headers),
        TEST(test_cases_catch_broken_rules),
        TEST(test_cases_hold_a_plugin_to_text_and_limits),
        TEST(test_cases_find_what_was_written_over),
        TEST(test_cases_say_why_a_target_does_not_open),
        TEST(test_cases_refuse_an_unknown_operation),
        TEST(test_cases_refuse_too_large_a_batch),
        TEST(test_cases_take_tabs_and_a_byte_order_mark),
        TEST(test_cases_refuse_unknown_lines),
        TEST(test_cases_say_how_an_answer_of_several_lines_is_written),
        TEST(test_cases_refuse_open_brackets),
        TEST(test_cases_refuse_an_empty_file),
        TEST(test_cases_refuse_lines_out_of_place),
        TEST(test_cases_refuse_ids_without_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
