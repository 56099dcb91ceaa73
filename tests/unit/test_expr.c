/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "expr.h"
#include "json.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct expr_set *compile(const char *const *texts, size_t count)
{
    struct expr_set *set = expr_create();
    struct problems problems = {0};
    for (size_t i = 0; i < count; i++)
        expr_add(set, span_of(texts[i]), (struct mark){"t.yaml", (int)i + 1, 5});
    if (expr_compile(set, &problems) != 0) {
        cleanup_buf struct buf text = {0};
        problems_print(&problems, &text);
        fail_msg("%s", text.data);
    }
    return set;
}

/* The result as JSON, or "!" and the reason. gives */
static char *eval(struct expr_set *set, int n, struct expr_scope scope, const char *payload)
{
    cleanup_json struct json_object *json = json_parse(span_of(payload), NULL, NULL), *out = NULL;
    struct buf text = {0};
    cleanup_buf struct buf reason = {0};
    scope.payload = json;
    if (expr_eval(set, n, &scope, &out, &reason) == 0)
        json_print(out, &text);
    else
        buf_printf(&text, "!%s", buf_span(&reason).data);
    return buf_steal(&text);
}

static void evals(const char *expression, const char *payload, const char *wanted)
{
    struct expr_set *set = compile(&expression, 1);
    cleanup_text char *got = eval(set, 0, (struct expr_scope){0}, payload);
    expr_destroy(set);
    assert_string_equal(got, wanted);
}

static void test_expr_gives_the_first_result(void **state)
{
    (void)state;
    evals(".a", "{\"a\":[1,{\"b\":null}]}", "[1,{\"b\":null}]");
    evals("1, 2, 3", "null", "1");
    evals("repeat(7)", "null", "7"); /* infinite: only the first is taken */
    evals("{x: .a, y: \"t \\(.a)\"}", "{\"a\":5}", "{\"x\":5,\"y\":\"t 5\"}");
    evals(". # a comment", "1", "1");
    evals("def f: . + 1; f", "1", "2");
}

static void test_expr_numbers_come_out_as_they_would_be_written(void **state)
{
    (void)state;
    evals(". + 1", "16", "17");
    evals(". * 1.0", "17.0", "17");
    evals(".", "0.1", "0.1");
    evals(". / 3", "1", "0.3333333333333333");
    evals(". * 10", "1e22", "1e+23");
    evals("-0.5", "1", "-0.5");
    evals("nan", "1", "null");
    evals(".", "9007199254740993", "9007199254740992"); /* jq counts in doubles: documented */
}

static void test_expr_binds_its_scope(void **state)
{
    (void)state;
    const char *texts[] = {"[$value, $key, $topic, $captures.line, $id, $now]", "$captures", ".", "[$id, $keys_x?]"};
    struct expr_set *set = compile(texts, 3);
    cleanup_json struct json_object *value = json_parse(SPAN("4.5"), NULL, NULL);
    cleanup_json struct json_object *captures = json_parse(SPAN("{\"line\":\"l1\"}"), NULL, NULL);
    struct expr_scope scope = {.value = value,
                               .captures = captures,
                               .key = SPAN("k"),
                               .topic = SPAN("a/b"),
                               .id = "i-1",
                               .now_ms = 1700000000000};
    cleanup_text char *all = eval(set, 0, scope, "1"), *one = eval(set, 1, scope, "1"),
                      *none = eval(set, 2, scope, "1");
    assert_string_equal(all, "[4.5,\"k\",\"a/b\",\"l1\",\"i-1\",\"2023-11-14T22:13:20.000Z\"]");
    assert_string_equal(one, "{\"line\":\"l1\"}");
    assert_string_equal(none, "1");
    assert_int_equal(expr_uses(set, 1), EXPR_USES_CAPTURES);
    assert_int_equal(expr_uses(set, 2), 0);
    expr_destroy(set);
    evals("[$value, $id]", "1", "[null,null]");
}

static void test_expr_says_why_it_failed(void **state)
{
    (void)state;
    evals(".a", "1", "!Cannot index number with string \"a\"");
    evals("error(\"too hot\")", "1", "!too hot");
    evals("error({code: 1})", "1", "!{\"code\":1}");
    evals("empty", "1", "!no result");
    evals("first(empty)", "1", "!no result");
    evals("[limit(100; repeat(1))] | reduce .[] as $x (0; [.])", "1", "!the result is nested deeper than 64");
}

static void test_expr_goes_on_after_an_error(void **state)
{
    (void)state;
    const char *texts[] = {".a", "halt", ". + 1"};
    struct expr_set *set = compile(texts, 3);
    for (int round = 0; round < 3; round++) {
        cleanup_text char *bad = eval(set, 0, (struct expr_scope){0}, "1");
        cleanup_text char *halted = eval(set, 1, (struct expr_scope){0}, "1");
        cleanup_text char *good = eval(set, 2, (struct expr_scope){0}, "1");
        assert_int_equal(bad[0], '!');
        assert_string_equal(halted, "!halt");
        assert_string_equal(good, "2");
    }
    expr_destroy(set);
}

static void test_expr_sees_nothing_of_the_outside(void **state)
{
    (void)state;
    setenv("BUSBAR_TEST_SECRET", "s", 1);
    evals("[$ENV, env]", "1", "[{},{}]");
    evals("input", "1", "!input: there is one message");
    evals("[inputs]", "1", "[]");
    evals("debug | stderr", "1", "1");
    evals("halt_error", "\"x\"", "!x");
    evals("\"a\" | modulemeta", "1", "!modules are not available");
    char folder[] = "/tmp/busbar-expr-XXXXXX";
    assert_non_null(mkdtemp(folder));
    cleanup_text char *file = mem_printf("%s/.jq", folder), *old = mem_strdup(getenv("HOME"));
    FILE *jq = fopen(file, "w");
    fputs("def from_home: 1;", jq);
    fclose(jq);
    setenv("HOME", folder, 1);
    struct expr_set *set = expr_create();
    struct problems problems = {0};
    expr_add(set, SPAN("from_home"), (struct mark){0});
    assert_int_equal(expr_compile(set, &problems), -1);
    assert_string_equal(getenv("HOME"), folder);
    setenv("HOME", old != NULL ? old : "/", 1);
    problems_finish(&problems);
    expr_destroy(set);
    unlink(file);
    rmdir(folder);
}

static void test_expr_test_is_jq_truth(void **state)
{
    (void)state;
    const char *texts[] = {".", "empty"};
    struct expr_set *set = compile(texts, 2);
    static const struct {
        const char *payload;
        int truth;
    } cases[] = {{"true", 1}, {"0", 1}, {"\"\"", 1}, {"[]", 1}, {"false", 0}, {"null", 0}};
    cleanup_buf struct buf reason = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_json struct json_object *payload = json_parse(span_of(cases[i].payload), NULL, NULL);
        struct expr_scope scope = {.payload = payload};
        assert_int_equal(expr_test(set, 0, &scope, &reason), cases[i].truth);
        assert_int_equal(expr_test(set, 1, &scope, &reason), -1);
    }
    expr_destroy(set);
}

static void test_expr_equal_text_is_one_expression(void **state)
{
    (void)state;
    struct expr_set *set = expr_create();
    assert_int_equal(expr_add(set, SPAN(".a"), (struct mark){0}), 0);
    assert_int_equal(expr_add(set, SPAN(".b"), (struct mark){0}), 1);
    assert_int_equal(expr_add(set, SPAN(".a"), (struct mark){0}), 0);
    expr_destroy(set);
}

static void test_expr_finds_each_of_many(void **state)
{
    (void)state;
    enum { COUNT = 300 }; /* more than one program holds */
    static char texts[COUNT][32];
    const char *list[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof(texts[i]), ".x + %d", i);
        list[i] = texts[i];
    }
    struct expr_set *set = compile(list, COUNT);
    for (int i = 0; i < COUNT; i++) {
        char wanted[16];
        snprintf(wanted, sizeof(wanted), "%d", 100 + i);
        cleanup_text char *got = eval(set, i, (struct expr_scope){0}, "{\"x\":100}");
        assert_string_equal(got, wanted);
    }
    expr_destroy(set);
}

/* The problems of these expressions, one on each line. gives */
static char *problems_of(const char *const *texts, size_t count)
{
    struct expr_set *set = expr_create();
    struct problems problems = {0};
    for (size_t i = 0; i < count; i++)
        expr_add(set, span_of(texts[i]), (struct mark){"t.yaml", (int)i + 1, 5});
    assert_int_equal(expr_compile(set, &problems), -1);
    struct buf text = {0};
    problems_print(&problems, &text);
    problems_finish(&problems);
    expr_destroy(set);
    return buf_steal(&text);
}

static void test_expr_places_every_error(void **state)
{
    (void)state;
    const char *texts[] = {".a", "foo", ".b > 1", "1 +", "$valeu", ".\n| bar", "  "};
    cleanup_text char *text = problems_of(texts, 7);
    assert_string_equal(
        text, "t.yaml:2:5: error: jq: foo/0 is not defined\n"
              "t.yaml:4:5: error: jq: syntax error, unexpected end of the expression\n"
              "t.yaml:5:5: error: jq: $valeu is not defined; there are $value $key $topic $captures $id $now\n"
              "t.yaml:6:5: error: jq: bar/0 is not defined (line 2 of the expression)\n"
              "t.yaml:7:5: error: an empty jq expression\n");
}

static void test_expr_cannot_join_hands_with_its_neighbour(void **state)
{
    (void)state;
    const char *open[] = {"1) else (2", ".b", "(1"}; /* together they would parse */
    cleanup_text char *text = problems_of(open, 3);
    assert_non_null(strstr(text, "t.yaml:1:5: error: jq: brackets or quotes do not match"));
    assert_null(strstr(text, "t.yaml:2:5"));
    assert_non_null(strstr(text, "t.yaml:3:5: error: jq: "));
    const char *quote[] = {"\"a", ".b", "b\""};
    cleanup_text char *quotes = problems_of(quote, 3);
    assert_non_null(strstr(quotes, "t.yaml:1:5: error: jq: "));
    assert_non_null(strstr(quotes, "t.yaml:3:5: error: jq: "));
    evals("\"\\(\"in \\(1 + 1) }\")\" # (", "1", "\"in 2 }\""); /* brackets in strings and comments are none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expr_gives_the_first_result),
        cmocka_unit_test(test_expr_numbers_come_out_as_they_would_be_written),
        cmocka_unit_test(test_expr_binds_its_scope),
        cmocka_unit_test(test_expr_says_why_it_failed),
        cmocka_unit_test(test_expr_goes_on_after_an_error),
        cmocka_unit_test(test_expr_sees_nothing_of_the_outside),
        cmocka_unit_test(test_expr_test_is_jq_truth),
        cmocka_unit_test(test_expr_equal_text_is_one_expression),
        cmocka_unit_test(test_expr_finds_each_of_many),
        cmocka_unit_test(test_expr_places_every_error),
        cmocka_unit_test(test_expr_cannot_join_hands_with_its_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
