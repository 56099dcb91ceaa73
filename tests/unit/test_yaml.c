/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "json.h"
#include "yaml.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Problems of a text as printed. gives */
static char *problems_of(struct span text)
{
    struct problems problems = {0};
    struct buf out = {0};
    yaml_destroy(yaml_read_text(text, "f", &problems));
    problems_print(&problems, &out);
    problems_finish(&problems);
    return buf_steal(&out);
}

static void assert_problem(const char *text, const char *expected)
{
    cleanup_text char *printed = problems_of(span_of(text));
    if (strstr(printed, expected) == NULL)
        fail_msg("for <%s>\nexpected <%s>\ngot      <%s>", text, expected, printed);
}

/* The JSON of a text without problems. gives */
static char *json_of(const char *text)
{
    struct problems problems = {0};
    struct buf out = {0};
    struct yaml_tree *tree = yaml_read_text(span_of(text), "f", &problems);
    problems_print(&problems, &out);
    assert_string_equal(out.len > 0 ? out.data : "", "");
    cleanup_json struct json_object *value = yaml_to_json(yaml_root(tree));
    json_print(value, &out);
    yaml_destroy(tree);
    problems_finish(&problems);
    return buf_steal(&out);
}

static void assert_json(const char *text, const char *expected)
{
    cleanup_text char *printed = json_of(text);
    assert_string_equal(printed, expected);
}

static void test_yaml_marks_line_and_column(void **state)
{
    (void)state;
    struct problems problems = {0};
    struct yaml_tree *tree =
        yaml_read_text(SPAN("\xEF\xBB\xBF# a\nmw:\n  \xC3\xA9t\xC3\xA9: {rate: 10/s}\n"), "f", &problems);
    assert_non_null(tree);
    const struct yaml_node *season = yaml_get(yaml_get(yaml_root(tree), "mw"), "\xC3\xA9t\xC3\xA9");
    const struct yaml_node *rate = yaml_get(season, "rate");
    assert_int_equal(rate->mark.line, 3);
    assert_int_equal(rate->mark.column, 15); /* characters, not bytes */
    assert_string_equal(rate->mark.file, "f");
    assert_true(span_is(rate->text, "10/s"));
    assert_null(yaml_get(season, "rat"));
    assert_null(yaml_get(rate, "rate"));
    yaml_destroy(tree);
    problems_finish(&problems);
}

static void test_yaml_empty_has_no_root(void **state)
{
    (void)state;
    struct problems problems = {0};
    struct yaml_tree *tree = yaml_read_text(SPAN("# nothing\n"), "f", &problems);
    assert_non_null(tree);
    assert_null(yaml_root(tree));
    assert_int_equal(problems.count, 0);
    yaml_destroy(tree);
}

static void test_yaml_core_schema_words(void **state)
{
    (void)state;
    assert_json("[null, Null, NULL, ~, '', \"null\", '~']", "[null,null,null,null,\"\",\"null\",\"~\"]");
    assert_json("a:\nb: nULL", "{\"a\":null,\"b\":\"nULL\"}");
    assert_json("[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]");
    assert_json("[yes, no, on, off, y, tRue, 'true']", "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"tRue\",\"true\"]");
}

static void test_yaml_core_schema_whole_numbers(void **state)
{
    (void)state;
    assert_json("[0, 85, -7, +12, 007, -0]", "[0,85,-7,12,7,-0]");
    assert_json("[0o17, 0xFF, 0xff, 0o8, 0xg, -0x1, 0b1]", "[15,255,255,\"0o8\",\"0xg\",\"-0x1\",\"0b1\"]");
    assert_json("[9223372036854775807, -9223372036854775808, 9007199254740993]",
                "[9223372036854775807,-9223372036854775808,9007199254740993]");
    assert_json("[18446744073709551616, 0xffffffffffffffff]", "[18446744073709551616,18446744073709551615]");
    assert_json("[1_000, 12:30, '85', 1 2, 0x, -, +]", "[\"1_000\",\"12:30\",\"85\",\"1 2\",\"0x\",\"-\",\"+\"]");
}

static void test_yaml_fractions_keep_their_text(void **state)
{
    (void)state;
    assert_json("[0.10, -2.50, 1e3, 1.0E-7, 3.141592653589793]", "[0.10,-2.50,1e3,1.0E-7,3.141592653589793]");
    assert_json("[.5, 5., -.5, +0.1, 00.1]", "[0.5,5.0,-0.5,0.1,0.1]"); /* as JSON must write them */
    assert_json("[.inf, -.INF, .nan, ., 1e, 1e+, 1.2.3, e5, 1e999]",
                "[\".inf\",\"-.INF\",\".nan\",\".\",\"1e\",\"1e+\",\"1.2.3\",\"e5\",\"1e999\"]");
}

static void test_yaml_text_forms(void **state)
{
    (void)state;
    assert_json("a: |\n  one\n  two\nb: >-\n  one\n  two\nc: \"\\u00e9\"",
                "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\",\"c\":\"\xC3\xA9\"}");
    assert_json("a: ${.celsius}\nb: \"${value} \xC2\xB0"
                "C\"",
                "{\"a\":\"${.celsius}\",\"b\":\"${value} \xC2\xB0"
                "C\"}");
}

static void test_yaml_aliases_copy(void **state)
{
    (void)state;
    assert_json("a: &x {b: [1, 2]}\nc: *x\nd: &x 5\ne: *x",
                "{\"a\":{\"b\":[1,2]},\"c\":{\"b\":[1,2]},\"d\":5,\"e\":5}");
    assert_problem("a: *nope", "f:1:4: error: alias '*nope'");
    assert_problem("a: &x [1, *x]", "f:1:11: error: alias '*x'"); /* no node holds itself */
}

static void test_yaml_duplicate_keys_are_problems(void **state)
{
    (void)state;
    assert_problem("rate: 1\nmode: x\n\"rate\": 2\n",
                   "f:3:1: error: key 'rate' stands twice, first at line 1, column 1");
    assert_problem("a: {b: 1, c: 2, b: 3}", "f:1:17: error: key 'b' stands twice, first at line 1, column 5");
}

static void test_yaml_unquoted_placeholder_in_flow_says_so(void **state)
{
    (void)state;
    const char *hint = "a placeholder inside {...} or [...] must be quoted, as in {id: \"${part}\"}";
    assert_problem("body: {id: ${part}}", hint);
    assert_problem("body: {id: ${part}}", "f:1:13: error: not YAML");
    assert_problem("body: [${part}]", hint);
    assert_problem("body: {text: on ${part}, n: 1}", hint);
    assert_problem("body: {${part}: 1}", hint);
    assert_problem("\xC3\xA9: {id: ${part}}", hint); /* marks count characters */
    assert_problem("body: {id: { {part}: 1 }}", "a placeholder inside {...} must be quoted");
    assert_problem("? {a: b}\n: 1", "f:1:3: error: a key must be text");
    assert_json("body: {id: \"${part}\"}", "{\"body\":{\"id\":\"${part}\"}}");
}

static void test_yaml_common_slips_have_hints(void **state)
{
    (void)state;
    assert_problem("from: {line}/x", "text that starts with '{' must be quoted");
    assert_problem("a:\n\tb: 1",
                   "f:2:1: error: not YAML: found character that cannot start any token while scanning for "
                   "the next token; a tab cannot indent, use spaces");
    assert_problem("a: @x", "must be quoted");
    assert_problem("a: b: c", "text with ': ' in it must be quoted");
    assert_problem(
        "a: {b: c",
        "f:2:1: error: not YAML: did not find expected ',' or '}' while parsing a flow mapping from line 1 on");
    assert_problem("a: \"x", "not YAML");
}

static void test_yaml_refuses_what_it_does_not_mean(void **state)
{
    (void)state;
    assert_problem("a: !!str 5", "f:1:4: error: tags are not supported: remove");
    assert_problem("a: 1\n---\nb: 2", "f:2:1: error: one document a file");
    assert_problem("a: &x {b: 1}\nc:\n  <<: *x", "f:3:3: error: merge keys are not supported");
    assert_problem("a: \"x\\0y\"", "f:1:4: error: text cannot hold a NUL character");
}

static void test_yaml_refuses_bad_bytes(void **state)
{
    (void)state;
    cleanup_text char *nul = problems_of((struct span){"a: 1\nb\0: 2", 10});
    assert_string_equal(nul, "f:2:2: error: not YAML: it has a NUL byte\n");
    assert_problem("a: 1\nb: \xFF", "f:2:4: error: not YAML");
    assert_problem("a: \xC3", "not YAML");
    assert_problem("a: \x01", "f:1:4: error: not YAML: control characters are not allowed");
    cleanup_text char *wide = problems_of((struct span){"\xFF\xFE"
                                                        "a\0:\0",
                                                        6}); /* UTF-16 */
    assert_non_null(strstr(wide, "error"));
}

static char *repeat(const char *text, size_t times)
{
    struct buf out = {0};
    for (size_t i = 0; i < times; i++)
        buf_puts(&out, text);
    return buf_steal(&out);
}

static void test_yaml_caps_depth(void **state)
{
    (void)state;
    cleanup_text char *flow = repeat("[", 100000), *block = repeat("- ", 100000), *maps = repeat("{a: ", 100000);
    assert_problem(flow, "f:1:66: error: nested deeper than 64 levels");
    assert_problem(block, "nested deeper than 64 levels");
    assert_problem(maps, "nested deeper than 64 levels");
}

static void test_yaml_caps_alias_bombs(void **state)
{
    (void)state;
    assert_problem("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                   "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
                   "more than 400000 values, aliases expanded");
    /* depth, too, counts through aliases */
    struct buf deep = {0};
    buf_puts(&deep, "- &a0 x\n");
    for (int i = 1; i < 70; i++)
        buf_printf(&deep, "- &a%d [*a%d]\n", i, i - 1);
    assert_problem(deep.data, "nested deeper than 64 levels");
    buf_finish(&deep);
}

static void test_yaml_caps_anchors(void **state)
{
    (void)state;
    cleanup_text char *many = repeat("- &a 1\n", 1001);
    assert_problem(many, "f:1001:3: error: more than 1000 anchors");
}

static void test_yaml_caps_size(void **state)
{
    (void)state;
    cleanup_text char *large = repeat("# 456789012345\n", 300000);
    assert_problem(large, "f: error: larger than 4 MiB");
}

static void test_yaml_file_problems_name_the_file(void **state)
{
    (void)state;
    struct problems problems = {0};
    cleanup_buf struct buf out = {0};
    assert_null(yaml_read_file("/nonexistent/busbar.yaml", &problems));
    assert_null(yaml_read_file("/", &problems));
    problems_print(&problems, &out);
    assert_string_equal(out.data, "/: error: cannot be read: Is a directory\n"
                                  "/nonexistent/busbar.yaml: error: cannot be read: No such file or directory\n");
    problems_finish(&problems);
}

static void test_yaml_file_reads_as_text_does(void **state)
{
    (void)state;
    char path[] = "/tmp/test-yaml-XXXXXX";
    int fd = mkstemp(path);
    cleanup_text char *large = repeat("- abcdefghijklmn\n", 10000);
    assert_int_equal(write(fd, large, strlen(large)), strlen(large));
    close(fd);
    struct problems problems = {0};
    struct yaml_tree *tree = yaml_read_file(path, &problems);
    unlink(path);
    assert_non_null(tree);
    assert_int_equal(yaml_root(tree)->count, 10000);
    assert_true(span_is(yaml_root(tree)->items[9999].value->text, "abcdefghijklmn"));
    assert_string_equal(yaml_root(tree)->mark.file, path);
    yaml_destroy(tree);
}

/* Every prefix and every one-byte change of a text with all of the syntax: refused or read, never more. */
static void test_yaml_survives_damage(void **state)
{
    (void)state;
    static const char text[] = "a: &x {b: [1, \"\\u00e9\"], c: 'd'}\n? e\n: |\n  f\n- *x\n<<: !t >\n  g # h\n---\n%Y\n";
    char copy[sizeof(text)];
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        cleanup_text char *cut = problems_of((struct span){text, i});
        assert_non_null(cut);
        for (const char *c = "{}[]:,-?&*!|>'\"%@ \n\t\xC3\x80"; *c != '\0'; c++) {
            memcpy(copy, text, sizeof(text));
            copy[i] = *c;
            cleanup_text char *changed = problems_of((struct span){copy, sizeof(text) - 1});
            assert_non_null(changed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_marks_line_and_column),
        cmocka_unit_test(test_yaml_empty_has_no_root),
        cmocka_unit_test(test_yaml_core_schema_words),
        cmocka_unit_test(test_yaml_core_schema_whole_numbers),
        cmocka_unit_test(test_yaml_fractions_keep_their_text),
        cmocka_unit_test(test_yaml_text_forms),
        cmocka_unit_test(test_yaml_aliases_copy),
        cmocka_unit_test(test_yaml_duplicate_keys_are_problems),
        cmocka_unit_test(test_yaml_unquoted_placeholder_in_flow_says_so),
        cmocka_unit_test(test_yaml_common_slips_have_hints),
        cmocka_unit_test(test_yaml_refuses_what_it_does_not_mean),
        cmocka_unit_test(test_yaml_refuses_bad_bytes),
        cmocka_unit_test(test_yaml_caps_depth),
        cmocka_unit_test(test_yaml_caps_alias_bombs),
        cmocka_unit_test(test_yaml_caps_anchors),
        cmocka_unit_test(test_yaml_caps_size),
        cmocka_unit_test(test_yaml_file_problems_name_the_file),
        cmocka_unit_test(test_yaml_file_reads_as_text_does),
        cmocka_unit_test(test_yaml_survives_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
