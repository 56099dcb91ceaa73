/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server against raw client sockets on the same thread: what is sent is exactly what is written here. */
#include "unit.h"

#include "buf.h"
#include "clock.h"
#include "http.h"
#include "web.h"

#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/resource.h>

enum { DEADLINE_US = 20 * 1000 * 1000 };

/* ---- a door with a handler that remembers */

struct door {
    struct http *http;
    struct web *web;
    int port, handled, refused_count, refused_last;
    bool keep; /* the handler keeps what comes */
    struct web_request *kept[16];
    int kept_count;
    struct web_reply reply;
    struct buf seen; /* "METHOD path peer\n" and the bodies */
    struct buf text; /* what the client read */
    const char *ask_query, *ask_header;
};

static void note_name(void *context, const char *name)
{
    buf_printf(context, "name=%s\n", name);
}

static void handle(void *context, struct web_request *request)
{
    struct door *door = context;
    struct span body = web_body(request);
    door->handled++;
    buf_printf(&door->seen, "%s %s %s %.*s\n", web_method(request), web_path(request), web_peer(request), (int)body.len,
               body.len ? body.data : "");
    if (door->ask_query) {
        const char *value = web_query(request, door->ask_query);
        buf_printf(&door->seen, "query=%s\n", value ? value : "absent");
        web_each_query(request, note_name, &door->seen);
    }
    if (door->ask_header) {
        const char *value = web_header_value(request, door->ask_header);
        buf_printf(&door->seen, "header=%s x%zu\n", value ? value : "absent",
                   web_header_count(request, door->ask_header));
    }
    if (door->keep)
        door->kept[door->kept_count++] = request;
    else
        web_reply(request, &door->reply);
}

static void count_refusal(void *context, int status)
{
    struct door *door = context;
    door->refused_count++;
    door->refused_last = status;
}

static void door_open_with(struct door *door, struct web_options options)
{
    char *error = NULL;
    *door = (struct door){.reply = {.status = 200, .body = SPAN("{\"ok\":true}")}};
    options.address = options.address ? options.address : "127.0.0.1:0";
    options.refused = count_refusal;
    door->http = http_create();
    door->web = web_create(&options, door->http, handle, door, &error);
    if (!door->web)
        fail_msg("%s", error);
    door->port = web_port(door->web);
}

static void door_open(struct door *door)
{
    door_open_with(door, (struct web_options){0});
}

static void door_close(struct door *door)
{
    web_destroy(door->web);
    http_destroy(door->http);
    buf_finish(&door->seen);
    buf_finish(&door->text);
}

static void turn(struct door *door)
{
    int64_t wait = web_tick(door->web);
    http_turn(door->http, wait >= 0 && wait < 5 ? wait : 5);
}

/* Runs the reactor until the client has read `needle`; false: the connection ended first. */
static bool reads(struct door *door, int fd, const char *needle)
{
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (clock_monotonic_us() < limit) {
        char chunk[4096];
        ssize_t got = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (got > 0)
            buf_append(&door->text, chunk, (size_t)got);
        if (door->text.len > 0 && strstr(door->text.data, needle))
            return true;
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        if (got < 0)
            turn(door);
    }
    fail_msg("waited in vain for %s", needle);
    return false;
}

static bool is_closed(struct door *door, int fd)
{
    buf_clear(&door->text);
    return !reads(door, fd, "\001");
}

static void turn_until(struct door *door, const int *value, int wanted)
{
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (*value != wanted && clock_monotonic_us() < limit)
        turn(door);
    assert_int_equal(*value, wanted);
}

static void turn_until_open(struct door *door, size_t wanted)
{
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (web_open_requests(door->web) != wanted && clock_monotonic_us() < limit)
        turn(door);
    assert_int_equal(web_open_requests(door->web), wanted);
}

static void says(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Sends one request on its own connection and gives the answer's status; the answer is in door->text. */
static int status_of(struct door *door, const char *request)
{
    int fd = loopback_connect(door->port), status = 0;
    buf_clear(&door->text);
    says(fd, request);
    if (reads(door, fd, "\r\n\r\n"))
        sscanf(door->text.data, "HTTP/1.1 %d", &status);
    close(fd);
    return status;
}

#define HOST "Host: busbar\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define POST5 "POST /hooks/mw HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"

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

/* ---- refusals */

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

/* ---- draining, listening */

static void test_web_draining_finishes_what_is_open_and_takes_no_more(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    int idle = loopback_connect(door.port), open = loopback_connect(door.port);
    says(idle, GET("/"));
    assert_true(reads(&door, idle, "{\"ok\":true}"));
    turn_until_open(&door, 0);
    door.keep = true;
    says(open, POST5);
    turn_until(&door, &door.kept_count, 1);
    web_refuse_new(door.web);
    web_refuse_new(door.web);
    assert_true(is_closed(&door, idle));
    int late = loopback_connect(door.port); /* stays in the queue for who inherits the socket */
    says(late, GET("/late"));
    for (int i = 0; i < 10; i++)
        turn(&door);
    assert_int_equal(web_open_requests(door.web), 1);
    web_reply(door.kept[0], &door.reply);
    buf_clear(&door.text);
    assert_true(reads(&door, open, "{\"ok\":true}"));
    assert_non_null(strstr(door.text.data, "Connection: close\r\n"));
    assert_true(is_closed(&door, open));
    assert_int_equal(web_open_requests(door.web), 0);
    assert_int_equal(door.kept_count, 1);
    close(idle);
    close(open);
    close(late);
    door_close(&door);
}

static void test_web_inherited_socket_serves_who_waited(void **state)
{
    (void)state;
    struct door old, new;
    door_open(&old);
    web_refuse_new(old.web);
    int late = loopback_connect(old.port);
    says(late, GET("/late"));
    int inherited = dup(web_listen_fd(old.web));
    door_close(&old);
    door_open_with(&new, (struct web_options){.listen_fd = inherited});
    assert_int_equal(new.port, old.port);
    assert_true(fcntl(inherited, F_GETFD) & FD_CLOEXEC);
    assert_true(reads(&new, late, "{\"ok\":true}"));
    close(late);
    door_close(&new);
    assert_int_equal(fcntl(inherited, F_GETFD), -1);
}

static void test_web_leaves_no_descriptor_behind_and_none_over_exec(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    web_destroy(door.web);
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the lowest free one */
    close(before);
    bool was_open[32];
    for (int i = 0; i < 32; i++)
        was_open[i] = fcntl(before + i, F_GETFD) >= 0;
    char *error = NULL;
    door.web = web_create(&(struct web_options){.address = "127.0.0.1:0"}, door.http, handle, &door, &error);
    assert_non_null(door.web);
    door.port = web_port(door.web);
    int fd = loopback_connect(door.port);
    says(fd, GET("/"));
    assert_true(reads(&door, fd, "{\"ok\":true}"));
    for (int i = before; i < before + 32; i++) {
        int flags = fcntl(i, F_GETFD);
        assert_true(flags < 0 || (flags & FD_CLOEXEC) || was_open[i - before]);
    }
    close(fd);
    web_destroy(door.web);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(after);
    assert_int_equal(after, before);
    door.web = NULL;
    door_close(&door);
}

static void test_web_listens_on_the_addresses_it_is_given(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:0", ":0", "0.0.0.0:0"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct door door;
        door_open_with(&door, (struct web_options){.address = good[i]});
        assert_int_equal(status_of(&door, GET("/")), 200);
        assert_non_null(strstr(door.seen.data, " 127.0.0.1 "));
        door_close(&door);
    }
}

static void test_web_listens_on_a_name(void **state)
{
    (void)state;
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", NULL, NULL, &found) != 0)
        skip(); /* a machine without /etc/hosts */
    freeaddrinfo(found);
    struct door door;
    door_open_with(&door, (struct web_options){.address = "localhost:0"});
    assert_int_equal(status_of(&door, GET("/")), 200);
    door_close(&door);
}

static void test_web_listens_on_v6(void **state)
{
    (void)state;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        skip(); /* a machine without IPv6 */
    close(fd);
    struct door door;
    door_open_with(&door, (struct web_options){.address = "[::1]:0"});
    address.sin6_port = htons((uint16_t)door.port);
    fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    says(fd, GET("/"));
    assert_true(reads(&door, fd, "{\"ok\":true}"));
    assert_non_null(strstr(door.seen.data, " ::1 "));
    close(fd);
    door_close(&door);
}

static void test_web_says_why_it_cannot_listen(void **state)
{
    (void)state;
    struct door door;
    door_open(&door);
    char taken[32];
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", door.port);
    int plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const struct {
        struct web_options options;
        const char *why;
    } rows[] = {
        {{.address = "localhost"}, "host:port"},
        {{.address = "localhost:http"}, "host:port"},
        {{.address = "localhost:65536"}, "host:port"},
        {{.address = "::1:8080"}, "host:port"},
        {{.address = "192.0.2.1:0"}, "Cannot assign requested address"},
        {{.address = taken}, "Address already in use"},
        {{.address = "a:0", .listen_fd = plain}, "not one that listens"},
        {{.address = "127.0.0.1:0", .tls_cert = "/nonexistent", .tls_key = "/nonexistent"}, "No such file"},
        {{.address = "127.0.0.1:0", .tls_cert = "/dev/null", .tls_key = "/dev/null"}, "cannot serve"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *error = NULL;
        assert_null(web_create(&rows[i].options, door.http, handle, &door, &error));
        if (!strstr(error, rows[i].why))
            fail_msg("row %zu: %s", i, error);
        free(error);
    }
    door_close(&door);
}

/* ---- TLS */

static void test_web_tls_answers_and_ends_slow_ones(void **state)
{
    (void)state;
    char folder[] = "/tmp/busbar-test-XXXXXX", cert[64], key[64], text[512];
    assert_non_null(mkdtemp(folder));
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    make_certificate("localhost", cert, key);
    struct door door;
    door_open_with(&door, (struct web_options){.tls_cert = cert, .tls_key = key, .timeout_ms = 500});
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *tls = SSL_new(context);
    int fd = loopback_connect(door.port), got = 0;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    SSL_set_fd(tls, fd);
    while (SSL_connect(tls) != 1)
        turn(&door);
    const char *requests = POST5 GET("/2");
    assert_int_equal(SSL_write(tls, requests, (int)strlen(requests)), strlen(requests));
    turn_until(&door, &door.handled, 2);
    assert_int_equal(SSL_write(tls, "GET /slow", 9), 9);
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (clock_monotonic_us() < limit) { /* the two answers, then the end */
        int now = SSL_read(tls, text, sizeof(text));
        got += now > 0 ? now : 0;
        if (now <= 0 && SSL_get_error(tls, now) != SSL_ERROR_WANT_READ)
            break;
        turn(&door);
    }
    assert_true(got > 200);
    int plain = loopback_connect(door.port); /* never begins its handshake */
    assert_true(is_closed(&door, plain));
    assert_int_equal(door.handled, 2);
    SSL_free(tls);
    SSL_CTX_free(context);
    close(plain);
    close(fd);
    door_close(&door);
    unlink(cert);
    unlink(key);
    rmdir(folder);
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
        cmocka_unit_test(test_web_refuses_what_breaks_the_caps),
        cmocka_unit_test(test_web_refusal_is_a_problem_document),
        cmocka_unit_test(test_web_body_at_the_cap_is_taken),
        cmocka_unit_test(test_web_chunks_past_the_cap_are_refused_at_once),
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
        cmocka_unit_test(test_web_draining_finishes_what_is_open_and_takes_no_more),
        cmocka_unit_test(test_web_inherited_socket_serves_who_waited),
        cmocka_unit_test(test_web_leaves_no_descriptor_behind_and_none_over_exec),
        cmocka_unit_test(test_web_listens_on_the_addresses_it_is_given),
        cmocka_unit_test(test_web_listens_on_a_name),
        cmocka_unit_test(test_web_listens_on_v6),
        cmocka_unit_test(test_web_says_why_it_cannot_listen),
        cmocka_unit_test(test_web_tls_answers_and_ends_slow_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
