/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin may put into a request, and what a target makes of its answer. */
#include "target_fixture.h"

static void test_target_makes_a_request(void **state) /* MW-C02, MW-C03, MW-C04 */
{
    (void)state;
    created();
    const struct bb_header extra = {"X-Extra", {"yes", 3}};
    assert_int_equal(
        ask((struct bb_request){
            .method = "POST", .path = "/things?a=b..c", .body = {"{}", 2}, .headers = &extra, .header_count = 1}),
        0);
    assert_string_equal(f.request.url, "https://good.example/base/things?a=b..c");
    assert_true(span_is(sent_header("Api-Key")->value, "s3cret-key"));
    assert_true(span_is(sent_header("Content-Type")->value, "application/json"));
    assert_true(span_is(sent_header("X-Extra")->value, "yes"));
    assert_true(span_is(f.request.body, "{}"));
    assert_string_equal(f.request.options->user_agent, "busbar/" BUSBAR_VERSION " Factory Inc.");
}

static void test_target_sends_no_content_type_without_body(void **state)
{
    (void)state;
    created();
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/things"}), 0);
    assert_null(sent_header("Content-Type"));
}

static void test_target_refuses_methods(void **state)
{
    (void)state;
    created();
    request_refused((struct bb_request){.method = "CONNECT", .path = "/"}, "method");
    request_refused((struct bb_request){.method = "get", .path = "/"}, "method");
    request_refused((struct bb_request){.method = NULL, .path = "/"}, "method");
    request_refused((struct bb_request){.method = "GET", .path = "/", .body = {"x", 1}}, "GET has a body");
    request_refused((struct bb_request){.method = "POST", .path = "/", .cache_ms = 1}, "cache_ms");
}

static void test_target_refuses_paths(void **state)
{
    (void)state;
    created();
    static const char *const paths[] = {"",
                                        "things",
                                        "https://evil.example/",
                                        "@evil.example/",
                                        "/a b",
                                        "/a\r\nX: y",
                                        "/a\nb",
                                        "/a#b",
                                        "/../up",
                                        "/a/./b",
                                        "/a/..",
                                        "/%2e%2E/up",
                                        "/.%2e",
                                        "/a\\b",
                                        "/\xc3\xa9",
                                        "/\x7f"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        request_refused((struct bb_request){.method = "GET", .path = paths[i]}, "path");
    request_refused((struct bb_request){.method = "GET", .path = NULL}, "path");
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/a..b/.../x?y=../.."}), 0);
}

static void test_target_refuses_headers(void **state)
{
    (void)state;
    created();
    header_refused("authorization", (struct bb_str){"x", 1}, "the core's");
    header_refused("API-KEY", (struct bb_str){"x", 1}, "the core's");
    header_refused("Host", (struct bb_str){"x", 1}, "the core's");
    header_refused("Transfer-Encoding", (struct bb_str){"x", 1}, "the core's");
    header_refused("X-A", (struct bb_str){"a\r\nB: c", 7}, "line break");
    header_refused("X-A", (struct bb_str){"a\0b", 3}, "line break");
    header_refused("X A", (struct bb_str){"x", 1}, "proper name");
    header_refused("X-A: b\r\nY", (struct bb_str){"x", 1}, "proper name");
    header_refused(NULL, (struct bb_str){"x", 1}, "proper name");
    request_refused((struct bb_request){.method = "POST", .path = "/", .body = {"x", 1}, .content_type = "a\r\nb"},
                    "content_type");
}

static void test_target_cuts_at_a_character(void **state)
{
    (void)state;
    created();
    struct buf text cleanup_buf = {0};
    target_scrub(f.target, SPAN("ab\xe2\x82\xac\xe2\x82\xac"), &text, 6);
    assert_string_equal(text.data, "ab\xe2\x82\xac...");
    buf_clear(&text);
    target_scrub(f.target, SPAN("ab\xe2\x82\xac"), &text, 5);
    assert_string_equal(text.data, "ab\xe2\x82\xac");
}

static void test_target_heeds_retry_after(void **state)
{
    (void)state;
    const struct bb_header header = {"retry-after", {"60", 2}};
    const struct bb_response response = {.status = 503, .headers = &header, .header_count = 1};
    struct bb_out out = {0};
    target_heed_retry_after(BB_REJECT, &response, 0, &out);
    assert_int_equal(out.retry_after_ms, 0);
    target_heed_retry_after(BB_RETRY, &response, 0, &out);
    assert_int_equal(out.retry_after_ms, 60000);
    out.retry_after_ms = 5;
    target_heed_retry_after(BB_RETRY, &response, 0, &out);
    assert_int_equal(out.retry_after_ms, 5);
}

static void test_target_reads_retry_after_by_the_clock_of_the_target(void **state)
{
    (void)state;
    struct bb_header headers[] = {{"Retry-After", {"Sun, 06 Nov 1994 08:49:47 GMT", 29}},
                                  {"Date", {"Sun, 06 Nov 1994 08:49:37 GMT", 29}}};
    const struct bb_response response = {.status = 503, .headers = headers, .header_count = 2};
    for (int64_t hours = -1; hours <= 1; hours++) { /* whatever ours says */
        struct bb_out out = {0};
        target_heed_retry_after(BB_RETRY, &response, 784111777000 + hours * 3600000, &out);
        assert_int_equal(out.retry_after_ms, 10000);
    }
    headers[1].value = (struct bb_str){"yesterday", 9}; /* no date: ours then */
    struct bb_out out = {0};
    target_heed_retry_after(BB_RETRY, &response, 784111777000, &out);
    assert_int_equal(out.retry_after_ms, 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_target_makes_a_request),   TEST(test_target_sends_no_content_type_without_body),
        TEST(test_target_refuses_methods),   TEST(test_target_refuses_paths),
        TEST(test_target_refuses_headers),   TEST(test_target_cuts_at_a_character),
        TEST(test_target_heeds_retry_after), TEST(test_target_reads_retry_after_by_the_clock_of_the_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
