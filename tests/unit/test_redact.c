/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "json.h"
#include "redact.h"

static void redacts(const char *secret, const char *text, const char *expected)
{
    struct redact *redact = redact_create();
    struct buf out cleanup_buf = {0};
    redact_add(redact, secret);
    redact_text(redact, span_of(text), &out);
    redact_destroy(redact);
    assert_string_equal(out.data, expected);
}

static void test_redact_keeps_the_shape(void **state)
{
    (void)state;
    redacts("Ab3-9z", "key Ab3-9z, Ab3-9", "key Aa0-0a, Ab3-9");
    redacts("aaa000", "aaa000", "bbb111"); /* it looks like its own stand-in */
}

static void test_redact_finds_every_spelling(void **state)
{
    (void)state;
    redacts("a/b c", "?q=a%2Fb%20c&r=a%2fb%20c&s=a/b c", "?q=a%2Fa%20a&r=a%2fa%20a&s=a/a a");
    redacts("a/b c", "f=a%2Fb+c&twice=a%252Fb%2520c", "f=a%2Fa+a&twice=a%252Fa%2520a");
    redacts("p%2Fq", "p%2Fq p%252Fq p%25252Fq", "a%0Aa a%250Aa a%25250Aa");
    redacts("%25ab", "%25ab %2525ab", "%00aa %2500aa");
    redacts("pass%", "pass% pass%25 pass%41", "aaaa% aaaa%25 aaaa%41");
    redacts("q\"/\\x", "{\"k\": \"q\\\"/\\\\x\", \"l\": \"q\\\"\\/\\\\x\"}",
            "{\"k\": \"a\\\"/\\\\a\", \"l\": \"a\\\"\\/\\\\a\"}");
    redacts("s<\xc3\xa9>/t\n", "s\\u003c\\u00E9>\\/t\\n s<\xc3\xa9\\u003E\\u002ft\\u000a",
            "a\\u003c\\u00E9>\\/a\\n a<\xc3\xa9\\u003E\\u002fa\\u000a");
    redacts("q\"b\\w", "{\"in\":\"{\\\"k\\\":\\\"q\\\\\\\"b\\\\\\\\w\\\"}\"}",
            "{\"in\":\"{\\\"k\\\":\\\"a\\\\\\\"a\\\\\\\\a\\\"}\"}");
    redacts("Xx\\\\y9", "\\u0058x\\u005c\\u005Cy9 X\\x\\\\y9 Xx\\y9", "Aa\\u005c\\u005Ca0 X\\x\\\\y9 Xx\\y9");
    redacts("a+b/c=", "a-b_c= a+b_c\\u003d a b/c=", "a-a_a= a+a_a\\u003d a b/c="); /* Base64 of a URL */
    redacts("user:pass", "Basic dXNlcjpwYXNz.", "Basic YWFhYTphYWFh.");
    redacts("user:pas", "dXNlcjpwYXM= dXNlcjpwYXM dXNlcjpwYXM%3D", "YWFhYTphYWE= YWFhYTphYWE YWFhYTphYWE%3D");
}

static void test_redact_takes_the_longest(void **state)
{
    (void)state;
    struct redact *redact = redact_create();
    struct buf out cleanup_buf = {0};
    redact_add(redact, "token");
    redact_add(redact, "token-9");
    redact_add(redact, "token");
    redact_add(redact, NULL);
    redact_add(redact, "abc"); /* too short to be told from other text */
    assert_int_equal(redact_text(redact, SPAN("token-9 token abc"), &out), 2);
    redact_destroy(redact);
    assert_string_equal(out.data, "aaaaa-0 aaaaa abc");
}

static void test_redact_members_by_their_names(void **state)
{
    (void)state;
    struct json_object *value cleanup_json = json_parse(
        SPAN("{\"access_token\":\"x\",\"a\":[{\"Password\":\"y\",\"b\":\"z\"}],\"token_count\":3,\"tokens\":[\"k\"]}"),
        NULL, NULL);
    struct buf out cleanup_buf = {0};
    assert_int_equal(redact_members(value, NULL), 2);
    json_print(value, &out);
    assert_string_equal(
        out.data,
        "{\"access_token\":\"***\",\"a\":[{\"Password\":\"***\",\"b\":\"z\"}],\"token_count\":3,\"tokens\":[\"k\"]}");
    assert_int_equal(redact_members(NULL, NULL), 0);
}

static void test_redact_learns_what_members_hold(void **state)
{
    (void)state;
    struct json_object *value cleanup_json = json_parse(SPAN("[{\"session\":\"abcd\"}]"), NULL, NULL);
    struct redact *learn = redact_create();
    struct buf out cleanup_buf = {0};
    assert_int_equal(redact_members(value, learn), 1);
    assert_int_equal(redact_text(learn, SPAN("x=abcd"), &out), 1);
    assert_string_equal(out.data, "x=aaaa");
    redact_destroy(learn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redact_keeps_the_shape),          cmocka_unit_test(test_redact_finds_every_spelling),
        cmocka_unit_test(test_redact_takes_the_longest),        cmocka_unit_test(test_redact_members_by_their_names),
        cmocka_unit_test(test_redact_learns_what_members_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
