/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server and clients that cost: slow ones, many of them, and bodies that do not end. */
#include "web_door.h"

#include <sys/resource.h>

/* ---- time */

static void test_web_slow_request_gets_408_wherever_it_is(void **state)
{
    (void)state;
    static const char *const starts[] = {
        "G",
        "GET / HTTP/1.1\r\nHos",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
    };
    struct door door;
    door_open_with(&door, (struct web_options){.timeout_ms = 50});
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        door.refused_count = 0;
        assert_int_equal(status_of(&door, starts[i]), 408);
        assert_int_equal(door.refused_count, 1);
        assert_int_equal(door.refused_last, 408);
    }
    turn_until_open(&door, 0);
    assert_int_equal(door.handled, 0);
    door_close(&door);
}

static void test_web_byte_now_and_then_buys_no_time(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.timeout_ms = 100});
    int fd = loopback_connect(door.port);
    says(fd, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (door.refused_count == 0 && clock_monotonic_us() < limit) {
        (void)!send(fd, "x", 1, MSG_NOSIGNAL);
        turn(&door);
    }
    assert_int_equal(door.refused_last, 408);
    close(fd);
    door_close(&door);
}

static void test_web_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.timeout_ms = 50});
    int fd = loopback_connect(door.port);
    says(fd, GET("/"));
    assert_true(reads(&door, fd, "{\"ok\":true}"));
    assert_true(is_closed(&door, fd));
    assert_int_equal(door.text.len, 0);
    assert_int_equal(door.refused_count, 0);
    close(fd);
    door_close(&door);
}

static void test_web_client_that_does_not_read_is_let_go(void **state)
{
    (void)state;
    size_t len = 16 << 20; /* more than the sockets hold */
    char *page = mem_alloc(len);
    memset(page, 'x', len);
    struct door door;
    door_open_with(&door, (struct web_options){.timeout_ms = 20});
    door.reply = (struct web_reply){.status = 200, .content_type = "text/plain", .body = {page, len}};
    int fd = loopback_connect(door.port);
    says(fd, GET("/"));
    turn_until(&door, &door.handled, 1);
    turn_until_open(&door, 0);
    close(fd);
    door_close(&door);
    free(page);
}

/* ---- caps on connections */

static void test_web_connections_over_the_cap_wait_their_turn(void **state)
{
    (void)state;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &files);
    struct door door;
    door_open_with(&door, (struct web_options){.max_connections = 16});
    static int fds[1016];
    for (int i = 0; i < 1016; i++) {
        fds[i] = loopback_connect(door.port);
        says(fds[i], GET("/"));
    }
    for (int i = 0; i < 1016; i++) { /* those that idle leave for those that wait */
        buf_clear(&door.text);
        assert_true(reads(&door, fds[i], "{\"ok\":true}"));
    }
    assert_int_equal(door.handled, 1016);
    for (int i = 0; i < 1016; i++)
        close(fds[i]);
    door_close(&door);
}

static void test_web_busy_connections_keep_their_places(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.max_connections = 2});
    door.keep = true;
    int busy[2] = {loopback_connect(door.port), loopback_connect(door.port)};
    says(busy[0], GET("/"));
    says(busy[1], GET("/"));
    turn_until(&door, &door.kept_count, 2);
    int late = loopback_connect(door.port);
    says(late, GET("/late"));
    for (int i = 0; i < 20; i++)
        turn(&door);
    assert_int_equal(door.kept_count, 2);
    web_reply(door.kept[0], &door.reply);
    web_reply(door.kept[1], &door.reply);
    turn_until(&door, &door.kept_count, 3);
    assert_string_equal(web_path(door.kept[2]), "/late");
    close(busy[0]);
    close(busy[1]);
    close(late);
    door_close(&door);
}

static bool is_open(struct door *door, int fd)
{
    char byte;
    for (int i = 0; i < 20; i++)
        turn(door);
    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Half a request that was read: slow from now on. */
static int slow_from(struct door *door, const char *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    inet_pton(AF_INET, address, &from.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    to.sin_port = htons((uint16_t)door->port);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    says(fd, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
    size_t before = web_open_requests(door->web);
    turn_until_open(door, before + 1);
    return fd;
}

static void test_web_slow_ones_leave_for_who_waits(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.max_connections = 4});
    int alone = slow_from(&door, "127.0.0.2"), many[3];
    for (int i = 0; i < 3; i++)
        many[i] = slow_from(&door, "127.0.0.3");
    for (int i = 0; i < 2; i++) { /* the oldest of who holds most */
        assert_true(is_open(&door, many[i]));
        assert_int_equal(status_of(&door, POST5), 200);
        buf_clear(&door.text);
        assert_true(reads(&door, many[i], "HTTP/1.1 503 "));
        assert_true(is_closed(&door, many[i]));
        close(many[i]);
        many[i] = slow_from(&door, "127.0.0.3");
    }
    assert_int_equal(door.refused_last, 503);
    says(alone, "llo"); /* who was there first, and once, goes on */
    buf_clear(&door.text);
    assert_true(reads(&door, alone, "HTTP/1.1 200 "));
    assert_int_equal(door.handled, 3);
    for (int i = 0; i < 3; i++)
        close(many[i]);
    close(alone);
    door_close(&door);
}

static void pumps(struct door *door, int fd, const char *head, size_t bytes)
{
    static char page[1 << 16];
    memset(page, 'x', sizeof(page));
    says(fd, head);
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (bytes > 0 && clock_monotonic_us() < limit) {
        ssize_t sent = send(fd, page, bytes < sizeof(page) ? bytes : sizeof(page), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* cut */
        bytes -= sent > 0 ? (size_t)sent : 0;
        turn(door);
    }
    assert_int_equal(bytes, 0);
}

static void test_web_bodies_that_do_not_end_share_a_budget(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.max_body_bytes = 8 << 20});
    int large[4], small = loopback_connect(door.port);
    pumps(&door, small, "POST / HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\n\r\n", 1999999);
    for (int i = 0; i < 4; i++) {
        large[i] = loopback_connect(door.port);
        pumps(&door, large[i], "POST / HTTP/1.1\r\n" HOST "Content-Length: 8000000\r\n\r\n", 7990000 + (size_t)i);
    }
    turn_until(&door, &door.refused_count, 1); /* 2 + 4 * 8 MB are more than four of the cap: the largest leaves */
    assert_int_equal(door.refused_last, 503);
    turn_until_open(&door, 4);
    says(small, "x");
    buf_clear(&door.text);
    assert_true(reads(&door, small, "HTTP/1.1 200 "));
    for (int i = 0; i < 4; i++)
        close(large[i]);
    close(small);
    door_close(&door);
}

static void test_web_chunk_line_without_end_is_refused(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    int fd = loopback_connect(door.port);
    pumps(&door, fd, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;", 100000);
    turn_until(&door, &door.refused_count, 1);
    assert_int_equal(door.refused_last, 400);
    turn_until_open(&door, 0);
    close(fd);
    door_close(&door);
}

static void test_web_caps_connections_of_one_address(void **state)
{
    (void)state;
    struct door door;
    door_open_with(&door, (struct web_options){.max_connections_per_ip = 2});
    int first = loopback_connect(door.port), second = loopback_connect(door.port), third = loopback_connect(door.port);
    says(first, GET("/"));
    says(second, GET("/"));
    assert_true(reads(&door, first, "{\"ok\":true}"));
    buf_clear(&door.text);
    assert_true(reads(&door, second, "{\"ok\":true}"));
    assert_true(is_closed(&door, third));
    close(first);
    close(second);
    close(third);
    door_close(&door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_web_slow_request_gets_408_wherever_it_is),
        cmocka_unit_test(test_web_byte_now_and_then_buys_no_time),
        cmocka_unit_test(test_web_idle_connection_is_closed_without_a_word),
        cmocka_unit_test(test_web_client_that_does_not_read_is_let_go),
        cmocka_unit_test(test_web_connections_over_the_cap_wait_their_turn),
        cmocka_unit_test(test_web_busy_connections_keep_their_places),
        cmocka_unit_test(test_web_slow_ones_leave_for_who_waits),
        cmocka_unit_test(test_web_bodies_that_do_not_end_share_a_budget),
        cmocka_unit_test(test_web_chunk_line_without_end_is_refused),
        cmocka_unit_test(test_web_caps_connections_of_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
