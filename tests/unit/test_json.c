/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

static void test_json_keeps_number_text(void **state)
{
    (void)state;
    const char *texts[] = {"0.10",
                           "9007199254740993",
                           "1e400",
                           "[1.50,{\"a\":null}]",
                           "17",
                           "18446744073709551615",
                           "-9223372036854775808",
                           "{\"a\":\"99999999999999999999\"}",
                           "true",
                           "null",
                           "\"x\""};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cleanup_buf struct buf out = {0};
        bool is_null;
        const char *error = NULL;
        cleanup_json struct json_object *value = json_parse(span_of(texts[i]), &is_null, &error);
        assert_null(error);
        json_print(value, &out);
        assert_string_equal(out.data, texts[i]);
    }
}

#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

/* What is JSON is taken, whatever json-c is used to; NULL: it is not, with this in the reason. */
static const struct {
    struct span text;
    const char *reason;
} json_texts[] = {
    {TEXT(" \t\r\n{ \"a\" : [ 1 , -0.5e+10 , 0E-0 , -0 ] } \n"), NULL},
    {TEXT("[]"), NULL},
    {TEXT(" {} "), NULL},
    {TEXT("\"\\u00e9\\uD83D\\uDE00\\b\\/\\\"\\u0000\x7f\""), NULL},
    {TEXT("{\"\":{\"\":[[],{}]},\"a\":1,\"a\":2}"), NULL},
    {TEXT("1.7976931348623157e999"), NULL},
    {TEXT("-12 "), NULL},
    {TEXT(""), "empty"},
    {{NULL, 0}, "empty"},
    {TEXT(" "), "too early"},
    {TEXT("{"), "too early"},
    {TEXT("[1"), "too early"},
    {TEXT("[1,"), "too early"},
    {TEXT("{\"a\""), "too early"},
    {TEXT("{\"a\":"), "too early"},
    {TEXT("\"a"), "too early"},
    {TEXT("\"\\"), "too early"},
    {TEXT("{} x"), "behind its end"},
    {TEXT("{}}"), "behind its end"},
    {TEXT("1 2"), "behind its end"},
    {TEXT("{\"a\":1}\0x"), "behind its end"},
    {TEXT("[1]\0"), "behind its end"},
    {TEXT("nul"), "a value should be"},
    {TEXT("True"), "a value should be"},
    {TEXT("NaN"), "a value should be"},
    {TEXT("[Infinity]"), "a value should be"},
    {TEXT("[1,]"), "a value should be"},
    {TEXT("[,1]"), "a value should be"},
    {TEXT("'a'"), "a value should be"},
    {TEXT("[/**/1]"), "a value should be"},
    {TEXT("\xef\xbb\xbf[]"), "a value should be"},
    {TEXT("[+1]"), "a value should be"},
    {TEXT("[.5]"), "a value should be"},
    {TEXT("[1}"), "no comma"},
    {TEXT("{\"a\":1]"), "no comma"},
    {TEXT("[1 2]"), "no comma"},
    {TEXT("{a:1}"), "else than a name"},
    {TEXT("{\"a\":1,}"), "else than a name"},
    {TEXT("{\"a\" 1}"), "without a colon"},
    {TEXT("[1.]"), "a number"},
    {TEXT("[1.e3]"), "a number"},
    {TEXT("[1e]"), "a number"},
    {TEXT("[1e+]"), "a number"},
    {TEXT("[-]"), "a number"},
    {TEXT("[-Infinity]"), "a number"},
    {TEXT("[012]"), "a number"},
    {TEXT("[-01]"), "a number"},
    {TEXT("[0x1]"), "no comma"},
    {TEXT("\"\xff\""), "UTF-8"},
    {TEXT("\"a\tb\""), "control character"},
    {TEXT("\"a\0b\""), "control character"},
    {TEXT("\"\\x41\""), "an escape"},
    {TEXT("\"\\\0\""), "an escape"},
    {TEXT("\"\\u00g0\""), "an escape"},
    {TEXT("\"\\u00\""), "an escape"},
    {TEXT("\"\\uD83D\\u12\""), "an escape"},
    {TEXT("\"\\uD83D\""), "surrogate"},
    {TEXT("\"\\uDE00\""), "surrogate"},
    {TEXT("\"\\uD83D\\uD83D\""), "surrogate"},
    {TEXT("\"\\uD83D\\n\""), "surrogate"},
    {TEXT("{\"a\\u0000b\":1}"), "NUL in a name"},
    {TEXT("123456789012345678901234567890"), "64 bits"},
    {TEXT("[18446744073709551616]"), "64 bits"},
    {TEXT("-9223372036854775809"), "64 bits"},
};

static void test_json_is_to_the_letter(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(json_texts) / sizeof(json_texts[0]); i++) {
        const char *error = NULL, *wanted = json_texts[i].reason;
        cleanup_json struct json_object *value = json_parse(json_texts[i].text, NULL, &error);
        if (wanted == NULL ? error != NULL : error == NULL || strstr(error, wanted) == NULL || value != NULL)
            fail_msg("%s: %s instead of %s", json_texts[i].text.data ? json_texts[i].text.data : "",
                     error ? error : "taken", wanted ? wanted : "taken");
    }
}

static void nest(struct buf *text, const char *open, const char *middle, const char *close, size_t times)
{
    buf_clear(text);
    for (size_t i = 0; i < times; i++)
        buf_puts(text, open);
    buf_puts(text, middle);
    for (size_t i = 0; i < times; i++)
        buf_puts(text, close);
}

static void test_json_depth_is_capped(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    const char *error = NULL;
    for (int round = 0; round < 2; round++) {
        const char *open = round == 0 ? "[" : "{\"a\":", *close = round == 0 ? "]" : "}";
        nest(&text, open, "1", close, JSON_DEPTH_MAX);
        cleanup_json struct json_object *deepest = json_parse(buf_span(&text), NULL, &error);
        assert_non_null(deepest);
        nest(&text, open, "1", close, JSON_DEPTH_MAX + 1);
        assert_null(json_parse(buf_span(&text), NULL, &error));
        assert_string_equal(error, "it is nested too deep");
        nest(&text, open, "1", "", 100000);
        assert_null(json_parse(buf_span(&text), NULL, &error));
        assert_string_equal(error, "it is nested too deep");
    }
}

/* What a target, a plugin or an older store said is printed as JSON all the same. */
static void test_json_is_printed_whatever_the_text(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    cleanup_json struct json_object *object = json_object_new_object();
    json_put_text(object, "a", "Ger\xe4t \x01\"");
    json_object_object_add(object, "b", json_text((struct span){"\xff\0\xc3\xa9", 4}));
    json_put_text(object, "c", NULL);
    json_print(object, &text);
    assert_string_equal(text.data, "{\"a\":\"Ger\xef\xbf\xbdt \\u0001\\\"\","
                                   "\"b\":\"\xef\xbf\xbd\\u0000\xc3\xa9\",\"c\":null}");
    assert_null(json_fault(buf_span(&text)));
}

static void test_json_pointer_follows_rfc6901(void **state)
{
    (void)state;
    cleanup_json struct json_object *root = json_parse(SPAN("{\"a/b\":[10,{\"~\":null}]}"), NULL, NULL);
    bool found;
    double d = 0;
    assert_true(json_to_double(json_pointer(root, "/a~1b/0", &found), &d) && d == 10.0);
    assert_null(json_pointer(root, "/a~1b/1/~0", &found));
    assert_true(found);
    assert_null(json_pointer(root, "/a~1b/2", &found));
    assert_false(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_keeps_number_text),       cmocka_unit_test(test_json_is_to_the_letter),
        cmocka_unit_test(test_json_depth_is_capped),         cmocka_unit_test(test_json_is_printed_whatever_the_text),
        cmocka_unit_test(test_json_pointer_follows_rfc6901),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
