/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client: what is asked and what is handed over. */
#include "http_server.h"

static void test_http_answer_is_handed_over_whole(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, says_created);
    struct http *http = http_create();
    char url[64];
    struct http_header headers[] = {{"Content-Type", SPAN("application/json")}, {"X-Nothing", {NULL, 0}}};
    struct http_options options = quick;
    options.user_agent = "busbar/test";
    struct outcome got = ask(http, (struct http_request){.method = "POST",
                                                         .url = url_of(server.port, url),
                                                         .body = SPAN("{\"a\":1}"),
                                                         .headers = headers,
                                                         .header_count = 2,
                                                         .options = &options});
    assert_int_equal(got.failure, HTTP_OK);
    assert_int_equal(got.status, 201);
    assert_string_equal(got.body, "null");
    assert_string_equal(got.request_id, "r-1");
    assert_true(got.empty_header);
    assert_int_equal(got.header_count, 3);
    assert_string_equal(got.error, "");
    http_destroy(http);
    server_stop(&server);
    assert_non_null(strstr(server.last, "POST /v1/tasks HTTP/1.1\r\n"));
    assert_non_null(strstr(server.last, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(server.last, "X-Nothing:\r\n"));
    assert_non_null(strstr(server.last, "User-Agent: busbar/test\r\n"));
    assert_non_null(strstr(server.last, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(server.last, "Expect"));
    assert_null(strstr(server.last, "Upgrade")); /* h2c is never offered */
}

static void test_http_connection_is_reused(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, says_created);
    struct http *http = http_create();
    for (int i = 0; i < 5; i++)
        assert_int_equal(post(http, server.port).status, 201);
    assert_int_equal(atomic_load(&server.connections), 1);
    assert_int_equal(atomic_load(&server.requests), 5);
    http_destroy(http);
    server_stop(&server);
}

static void test_http_methods_carry_their_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *method, *body, *expect, *expect_not;
    } rows[] = {
        {"GET", NULL, "GET /v1", "Content-Length"},
        {"DELETE", NULL, "DELETE /v1", "Content-Length"},
        {"DELETE", "{}", "Content-Length: 2", "Content-Type"},
        {"POST", NULL, "Content-Length: 0", "Content-Type"},
        {"PUT", "{}", "PUT /v1", "form"},
        {"PATCH", "{}", "PATCH /v1", "form"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct server server;
        server_start(&server, says_created);
        struct http *http = http_create();
        char url[64];
        struct http_request request = {
            .method = rows[i].method, .url = url_of(server.port, url), .body = span_of(rows[i].body)};
        assert_int_equal(ask(http, request).status, 201);
        http_destroy(http);
        server_stop(&server);
        assert_non_null(strstr(server.last, rows[i].expect));
        assert_null(strstr(server.last, rows[i].expect_not));
    }
}

static bool redirects(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
    return true;
}

static void test_http_redirect_is_not_followed(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, redirects);
    struct http *http = http_create();
    struct outcome got = post(http, server.port);
    assert_int_equal(got.failure, HTTP_OK);
    assert_int_equal(got.status, 302);
    assert_int_equal(atomic_load(&server.requests), 1);
    http_destroy(http);
    server_stop(&server);
}

static bool says_continue_first(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd,
           "HTTP/1.1 100 Continue\r\nX-First: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Second: 2\r\nContent-Length: 0\r\n\r\n");
    return true;
}

static void test_http_headers_are_those_of_the_last_answer(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, says_continue_first);
    struct http *http = http_create();
    struct outcome got = post(http, server.port);
    assert_int_equal(got.status, 200);
    assert_int_equal(got.header_count, 2);
    assert_true(got.second_header);
    http_destroy(http);
    server_stop(&server);
}

/* ---- Retry-After */

static void test_http_retry_after_reads_seconds_and_dates(void **state)
{
    (void)state;
    static const int64_t now = 784111777000; /* Sun, 06 Nov 1994 08:49:37 GMT */
    static const int64_t day = 24LL * 60 * 60 * 1000;
    static const struct {
        const char *text;
        int64_t delay; /* -1: neither */
    } rows[] = {
        {"0", 0},
        {"120", 120000},
        {" 120\t", 120000},
        {"86401", day},
        {"99999999999999999999999999", day},
        {"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
        {"Sunday, 06-Nov-94 08:49:47 GMT", 10000},
        {"Sun Nov  6 08:49:47 1994", 10000},
        {"Sun, 06 Nov 1994 08:49:36 GMT", 0},
        {"Sun, 06 Nov 2094 08:49:36 GMT", day},
        {"", -1},
        {" ", -1},
        {"-1", -1},
        {"1.5", -1},
        {"soon", -1},
        {"Sun, 06 Nov 1994 08:49:47 CET", -1},
        {"Sun, 06 Nov 1994 08:49:47 GMT, or later", -1},
        {"Sun, 06 Foo 1994 08:49:47 GMT", -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t delay = -1;
        assert_int_equal(http_parse_retry_after(span_of(rows[i].text), now, &delay), rows[i].delay >= 0);
        assert_int_equal(delay, rows[i].delay);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_answer_is_handed_over_whole),
        cmocka_unit_test(test_http_connection_is_reused),
        cmocka_unit_test(test_http_methods_carry_their_bodies),
        cmocka_unit_test(test_http_redirect_is_not_followed),
        cmocka_unit_test(test_http_headers_are_those_of_the_last_answer),
        cmocka_unit_test(test_http_retry_after_reads_seconds_and_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
