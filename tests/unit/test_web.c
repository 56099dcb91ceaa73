/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: what the handler sees and what the client gets, now or later. */
#include "web_door.h"

/* ---- what the handler sees and what the client gets */

static void test_web_request_is_handed_over_whole(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    assert_int_equal(status_of(&door, POST5), 200);
    assert_string_equal(door.seen.data, "POST /hooks/mw 127.0.0.1 hello\n");
    assert_non_null(strstr(door.text.data, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(door.text.data, "X-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(door.text.data, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(door.text.data, "{\"ok\":true}"));
    door_close(&door);
}

static void test_web_reply_carries_its_own_headers(void **state)
{
    (void)state;
    static const struct web_header headers[] = {{"X-A", "1"}, {"Cache-Control", "max-age=60"}, {NULL, NULL}};
    struct door door;
    door_open(&door);
    door.reply = (struct web_reply){.status = 404, .content_type = "application/problem+json", .headers = headers};
    assert_int_equal(status_of(&door, GET("/")), 404);
    assert_non_null(strstr(door.text.data, "X-A: 1\r\n"));
    assert_non_null(strstr(door.text.data, "Cache-Control: max-age=60\r\n"));
    assert_null(strstr(door.text.data, "no-store"));
    door_close(&door);
}

static void test_web_page_may_be_cached(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    door.reply = (struct web_reply){.status = 200, .content_type = "text/html", .body = SPAN("<p>")};
    assert_int_equal(status_of(&door, GET("/")), 200);
    assert_null(strstr(door.text.data, "Cache-Control"));
    assert_non_null(strstr(door.text.data, "X-Content-Type-Options: nosniff\r\n"));
    door_close(&door);
}

static void test_web_head_is_get_without_a_body(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    int fd = loopback_connect(door.port);
    says(fd, "HEAD /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_false(reads(&door, fd, "ok"));
    close(fd);
    assert_non_null(strstr(door.text.data, "Content-Length: 11\r\n"));
    assert_string_equal(door.seen.data, "GET /x 127.0.0.1 \n");
    door_close(&door);
}

static void test_web_path_and_query_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *request, *path, *query;
    } rows[] = {
        {GET("/a%20b"), "GET /a b ", "query=absent\n"},
        {GET("/a?name=x%2By+z"), "GET /a ", "query=x+y z\n"},
        {GET("/a?name"), "GET /a ", "query=\n"},
        {GET("/a?other=1&name=2"), "GET /a ", "query=2\nname=other\nname=name\n"},
    };
    struct door door;
    door_open(&door);
    door.ask_query = "name";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_clear(&door.seen);
        assert_int_equal(status_of(&door, rows[i].request), 200);
        assert_non_null(strstr(door.seen.data, rows[i].path));
        assert_non_null(strstr(door.seen.data, rows[i].query));
    }
    door_close(&door);
}

static void test_web_headers_are_found_in_any_case_and_counted(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    door.ask_header = "X-MW-Signature";
    assert_int_equal(status_of(&door, "GET / HTTP/1.1\r\n" HOST "x-mw-signature: a\r\nX-Mw-Signature: b\r\n\r\n"), 200);
    assert_non_null(strstr(door.seen.data, "x2\n"));
    buf_clear(&door.seen);
    assert_int_equal(status_of(&door, GET("/")), 200);
    assert_non_null(strstr(door.seen.data, "header=absent x0\n"));
    door_close(&door);
}

static void test_web_body_may_come_in_pieces_and_chunks(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    int fd = loopback_connect(door.port);
    const char *text = "POST /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello";
    for (const char *c = text; *c; c++) {
        assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
        http_turn(door.http, 0);
    }
    assert_true(reads(&door, fd, "{\"ok\":true}"));
    says(fd, "POST /b HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n");
    turn_until(&door, &door.handled, 2);
    assert_string_equal(door.seen.data, "POST /a 127.0.0.1 hello\nPOST /b 127.0.0.1 hello\n");
    close(fd);
    door_close(&door);
}

static void test_web_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    door.keep = true;
    int fd = loopback_connect(door.port);
    says(fd, POST5 GET("/2") GET("/3"));
    for (int i = 0; i < 3; i++) {
        turn_until(&door, &door.kept_count, i + 1);
        turn(&door);
        assert_int_equal(door.handled, i + 1); /* the next waits for the answer */
        char text[8];
        snprintf(text, sizeof(text), "<%d>", i + 1);
        web_reply(door.kept[i], &(struct web_reply){.status = 200, .body = span_of(text)});
    }
    assert_true(reads(&door, fd, "<3>"));
    assert_true(strstr(door.text.data, "<1>") < strstr(door.text.data, "<2>"));
    assert_true(strstr(door.text.data, "<2>") < strstr(door.text.data, "<3>"));
    close(fd);
    door_close(&door);
}

/* ---- answering later */

static void test_web_reply_may_come_later(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    door.keep = true;
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = loopback_connect(door.port);
        says(fds[i], POST5);
    }
    turn_until(&door, &door.kept_count, 8);
    assert_int_equal(web_open_requests(door.web), 8);
    for (int i = 7; i >= 0; i--) /* one commit, many answers */
        web_reply(door.kept[i], &door.reply);
    for (int i = 0; i < 8; i++) {
        buf_clear(&door.text);
        assert_true(reads(&door, fds[i], "{\"ok\":true}"));
        close(fds[i]);
    }
    turn_until_open(&door, 0);
    door_close(&door);
}

static void test_web_kept_request_outlives_its_client(void **state)
{
    (void)state;
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct door door;
    door_open_with(&door, (struct web_options){.timeout_ms = 20});
    door.keep = true;
    for (int i = 0; i < 2; i++) {
        int fd = loopback_connect(door.port);
        says(fd, POST5);
        turn_until(&door, &door.kept_count, i + 1);
        if (i == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
    }
    int64_t until = clock_monotonic_us() + 60 * 1000; /* no limit runs while it is ours */
    while (clock_monotonic_us() < until)
        turn(&door);
    assert_int_equal(web_open_requests(door.web), 2);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(web_body(door.kept[i]).data, "hello", 5);
        web_reply(door.kept[i], &door.reply);
    }
    turn_until_open(&door, 0);
    door_close(&door);
}

static void test_web_destroy_closes_what_is_kept_answered_or_half_read(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    door.keep = true;
    int kept = loopback_connect(door.port), answered = loopback_connect(door.port), half = loopback_connect(door.port);
    says(kept, POST5);
    turn_until(&door, &door.kept_count, 1);
    says(answered, POST5);
    turn_until(&door, &door.kept_count, 2);
    says(half, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
    turn_until_open(&door, 3);
    web_reply(door.kept[1], &door.reply);
    web_destroy(door.web);
    door.web = NULL;
    char byte;
    assert_true(recv(kept, &byte, 1, 0) <= 0);
    assert_true(recv(half, &byte, 1, 0) <= 0);
    close(kept);
    close(answered);
    close(half);
    door_close(&door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_web_request_is_handed_over_whole),
        cmocka_unit_test(test_web_reply_carries_its_own_headers),
        cmocka_unit_test(test_web_page_may_be_cached),
        cmocka_unit_test(test_web_head_is_get_without_a_body),
        cmocka_unit_test(test_web_path_and_query_are_decoded),
        cmocka_unit_test(test_web_headers_are_found_in_any_case_and_counted),
        cmocka_unit_test(test_web_body_may_come_in_pieces_and_chunks),
        cmocka_unit_test(test_web_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_web_reply_may_come_later),
        cmocka_unit_test(test_web_kept_request_outlives_its_client),
        cmocka_unit_test(test_web_destroy_closes_what_is_kept_answered_or_half_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
