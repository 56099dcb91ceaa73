/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "format.h"
#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* The value as JSON, or "!" and why not. gives */
static char *parse(const struct format *format, struct span payload)
{
    cleanup_buf struct buf reason = {0};
    struct buf out = {0};
    bool is_null;
    cleanup_json struct json_object *value = format_parse(format, payload, &is_null, &reason);
    if (value != NULL || is_null)
        json_print(value, &out);
    else
        buf_printf(&out, "!%s", buf_span(&reason).data);
    return buf_steal(&out);
}

static void assert_parsed(const struct format *format, struct span payload, const char *expected)
{
    cleanup_text char *got = parse(format, payload);
    if (strcmp(got, expected) != 0)
        fail_msg("for %.*s expected %s, got %s", (int)payload.len, payload.data, expected, got);
}

static void test_format_number_keeps_its_text(void **state)
{
    (void)state;
    const struct format number = {.kind = FORMAT_NUMBER}, comma = {.kind = FORMAT_NUMBER, .decimal = ','};
    static const char *const cases[][2] = {
        {"21.50", "21.50"},
        {" 21.5\r\n", "21.5"},
        {"-0", "-0"},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"1e3", "1e3"},
        {"+5", "5"},
        {"007", "7.0"},
        {".5", "0.5"},
        {"1.e3", "1000.0"},
        {"", "!it is no decimal number"},
        {"1e999", "!it is no decimal number"},
        {"0x10", "!it is no decimal number"},
        {"nan", "!it is no decimal number"},
        {"21.5 C", "!it is no decimal number"},
        {"1,5", "!it is no decimal number"},
        {"+-5", "!it is no decimal number"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_parsed(&number, span_of(cases[i][0]), cases[i][1]);
    assert_parsed(&comma, SPAN("21,50"), "21.50");
    assert_parsed(&comma, SPAN("1.234,5"), "!it is no decimal number");
    assert_parsed(&comma, SPAN("1,2,3"), "!it is no decimal number");
}

static void test_format_text_and_json(void **state)
{
    (void)state;
    const struct format text = {.kind = FORMAT_TEXT}, json = {.kind = FORMAT_JSON};
    assert_parsed(&text, SPAN("a \"b\""), "\"a \\\"b\\\"\"");
    assert_parsed(&text, SPAN(""), "\"\"");
    assert_parsed(&text, SPAN("\xff"), "!it is not UTF-8");
    assert_parsed(&json, SPAN("null"), "null");
    assert_parsed(&json, SPAN("{\"a\":1.50}"), "{\"a\":1.50}");
    cleanup_text char *got = parse(&json, SPAN("{"));
    assert_int_equal(got[0], '!');
}

static void test_format_csv_line_is_an_array(void **state)
{
    (void)state;
    const struct format csv = {.kind = FORMAT_CSV}, semicolon = {.kind = FORMAT_CSV, .separator = ';', .decimal = ','};
    assert_parsed(&csv, SPAN("P-7, 21.50 ,,on"), "[\"P-7\",21.50,null,\"on\"]");
    assert_parsed(&csv, SPAN("1\r\n"), "[1]");
    assert_parsed(&csv, SPAN(","), "[null,null]");
    assert_parsed(&csv, SPAN("\"21.5\",\"a,\"\"b\"\"\",\"\""), "[\"21.5\",\"a,\\\"b\\\"\",\"\"]");
    assert_parsed(&csv, SPAN("\"two\nlines\",1"), "[\"two\\nlines\",1]");
    assert_parsed(&csv, SPAN("1,\""), "!a quoted field is not closed");
    assert_parsed(&csv, SPAN("\"a\"b,1"), "!there is text behind a closing quote");
    assert_parsed(&csv, SPAN("1,2\n3,4"), "!it has more than one line");
    assert_parsed(&csv, SPAN(""), "!it is empty");
    assert_parsed(&csv, SPAN("\n"), "!it is empty");
    assert_parsed(&csv, SPAN("a,\xc3"), "!it is not UTF-8 text");
    assert_parsed(&csv, (struct span){"a\0b", 3}, "!it is not UTF-8 text");
    assert_parsed(&semicolon, SPAN("P;21,50"), "[\"P\",21.50]");
}

static void test_format_csv_columns_name_the_fields(void **state)
{
    (void)state;
    char ts[] = "ts", celsius[] = "celsius";
    char *columns[] = {ts, NULL, celsius};
    const struct format csv = {.kind = FORMAT_CSV, .columns = columns, .column_count = 3};
    assert_parsed(&csv, SPAN("5,x,21.50"), "{\"ts\":5,\"celsius\":21.50}");
    assert_parsed(&csv, SPAN("5,x,"), "{\"ts\":5,\"celsius\":null}");
    assert_parsed(&csv, SPAN("5,x"), "!it has 2 fields where 3 columns are told");
    assert_parsed(&csv, SPAN("5"), "!it has 1 field where 3 columns are told");
    assert_parsed(&csv, SPAN("5,6,7,8"), "!it has 4 fields where 3 columns are told");
}

/* Any bytes: an answer, never more than the cap, nothing read beyond the end (asan sees it). */
static void test_format_csv_survives_hostile_lines(void **state)
{
    (void)state;
    static const char bytes[] = "\",;\n\r\t 1.-e\xc3\xa4";
    const struct format csv = {.kind = FORMAT_CSV};
    uint64_t random = 7;
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)(random >> 33) % 24;
        char *line = malloc(len + 1); /* its own allocation, without a NUL behind it */
        for (size_t i = 0; i < len; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            line[i] = bytes[(random >> 40) % (sizeof(bytes) - 1)];
        }
        random = random * 6364136223846793005u + 1442695040888963407u;
        char *exact = len > 0 ? memcpy(malloc(len), line, len) : NULL;
        free(parse(&csv, (struct span){exact, len}));
        free(exact);
        free(line);
    }
    cleanup_buf struct buf many = {0};
    for (int i = 0; i < FORMAT_FIELDS_MAX - 1; i++)
        buf_putc(&many, ',');
    cleanup_text char *most = parse(&csv, buf_span(&many));
    assert_int_equal(most[0], '[');
    buf_putc(&many, ',');
    assert_parsed(&csv, buf_span(&many), "!it has more than 1024 fields");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_number_keeps_its_text),
        cmocka_unit_test(test_format_text_and_json),
        cmocka_unit_test(test_format_csv_line_is_an_array),
        cmocka_unit_test(test_format_csv_columns_name_the_fields),
        cmocka_unit_test(test_format_csv_survives_hostile_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
