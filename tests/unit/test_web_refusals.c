/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server refuses what breaks the caps or the protocol, before the handler sees it, and says so. */
#include "web_door.h"

static void test_web_refuses_what_breaks_the_caps(void **state)
{
    (void)state;
    cleanup_buf struct buf uri = {0}, headers = {0}, gross = {0}, many = {0};
    buf_puts(&uri, "GET /");
    buf_puts(&headers, "GET / HTTP/1.1\r\n" HOST "X-Long: ");
    buf_puts(&gross, "GET / HTTP/1.1\r\n" HOST "X-Long: ");
    for (int i = 0; i < 9000; i++)
        buf_puts(&uri, "a");
    for (int i = 0; i < 18000; i++)
        buf_puts(&headers, "a");
    for (int i = 0; i < 60000; i++)
        buf_puts(&gross, "a");
    buf_puts(&uri, " HTTP/1.1\r\n" HOST "\r\n");
    buf_puts(&many, "GET /?a");
    for (int i = 0; i < 700; i++)
        buf_puts(&many, "&a=1");
    buf_puts(&many, " HTTP/1.1\r\n" HOST "\r\n");
    buf_puts(&headers, "\r\n\r\n");
    buf_puts(&gross, "\r\n\r\n");
    const struct {
        const char *request;
        int status;
        bool ours;
    } rows[] = {
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 65\r\n\r\n", 413, true},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 65\r\nExpect: 100-continue\r\n\r\n", 413, true},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999\r\n\r\nabc", 413, true},
        {"POST / HTTP/1.1\r\n" HOST "\r\n", 411, true},
        {uri.data, 414, true},
        {many.data, 414, true},
        {headers.data, 431, true},
        {gross.data, 431, false},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 405, true},
        {"DELETE / HTTP/1.1\r\n" HOST "\r\n", 405, true},
        {"TRACE / HTTP/1.1\r\n" HOST "\r\n", 405, true},
        {GET("/hooks/mw%00.txt"), 400, true},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, true},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nX-A: b\rContent-Length: 5\r\n\r\nhello", 400, true},
        {"POST / HTTP/1.1\r\n" HOST HOST "Content-Length: 5\r\n\r\nhello", 400, true},
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, true},
        {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\nhello", 501, true},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, true},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\nhello", 501, true},
        {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501, true},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\nhello", 400, false},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5x\r\n\r\nhello", 400, false},
        {"GET / HTTP/1.1\r\n\r\n", 400, false}, /* no Host */
        {"nonsense\r\n\r\n", 0, false},         /* closed without a word */
    };
    struct door door;
    door_open_with(&door, (struct web_options){.max_body_bytes = 64});
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        door.refused_count = 0;
        int status = status_of(&door, rows[i].request);
        if (status != rows[i].status)
            fail_msg("row %zu: %d, not %d", i, status, rows[i].status);
        assert_int_equal(door.refused_count, rows[i].ours);
        if (rows[i].ours)
            assert_int_equal(door.refused_last, status);
    }
    assert_int_equal(door.handled, 0);
    assert_int_equal(status_of(&door, POST5), 200); /* and goes on */
    door_close(&door);
}

static void test_web_refusal_is_a_problem_document(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    int fd = loopback_connect(door.port);
    says(fd, "DELETE / HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reads(&door, fd, "{\"type\":\"about:blank\",\"title\":\"Method Not Allowed\",\"status\":405}\n"));
    assert_non_null(strstr(door.text.data, "Content-Type: application/problem+json\r\n"));
    assert_non_null(strstr(door.text.data, "Allow: GET, HEAD, POST\r\n"));
    close(fd);
    door_close(&door);
}

static void test_web_body_at_the_cap_is_taken(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.max_body_bytes = 5});
    assert_int_equal(status_of(&door, POST5), 200);
    assert_int_equal(
        status_of(&door, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 200);
    assert_int_equal(door.handled, 2);
    door_close(&door);
}

static void test_web_chunks_past_the_cap_are_refused_at_once(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.max_body_bytes = 5});
    int fd = loopback_connect(door.port);
    says(fd, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n3\r\nlo!\r\n"); /* no end */
    assert_true(reads(&door, fd, "HTTP/1.1 413 "));
    assert_true(is_closed(&door, fd));
    close(fd);
    assert_int_equal(door.refused_last, 413);
    assert_int_equal(door.handled, 0);
    turn_until_open(&door, 0);
    door_close(&door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_web_refuses_what_breaks_the_caps),
        cmocka_unit_test(test_web_refusal_is_a_problem_document),
        cmocka_unit_test(test_web_body_at_the_cap_is_taken),
        cmocka_unit_test(test_web_chunks_past_the_cap_are_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
