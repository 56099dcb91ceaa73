/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client when it fails: was it sent? That decides whether a write may go again. */
#include "http_server.h"

#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>

static void test_http_refused_connection_was_not_sent(void **state)
{
    (void)state;
    int port, fd = loopback_listen(&port);
    close(fd);
    struct http *http = http_create();
    struct outcome got = post(http, port);
    assert_int_equal(got.failure, HTTP_NOT_SENT);
    assert_int_equal(got.status, 0);
    assert_true(got.error[0] != '\0');
    http_destroy(http);
}

static void test_http_unusable_requests_were_not_sent(void **state)
{
    (void)state;
    const struct http_header broken = {"X-A", SPAN("1\r\nX-B: 2")};
    struct http *http = http_create();
    const struct http_request requests[] = {
        {.method = "GET", .url = "ftp://127.0.0.1/x"},
        {.method = "GET", .url = "file:///etc/passwd"},
        {.method = "GET", .url = "not a url"},
        {.method = "GET\r\n", .url = "http://127.0.0.1:1/"},
        {.method = "GET", .url = "http://127.0.0.1:1/", .headers = &broken, .header_count = 1},
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct outcome got = ask(http, requests[i]);
        assert_int_equal(got.failure, HTTP_NOT_SENT);
        assert_true(got.error[0] != '\0');
    }
    assert_int_equal(http_open_calls(http), 0);
    http_destroy(http);
}

static void test_http_connect_time_out_was_not_sent(void **state)
{
    (void)state;
    /* A listener whose queue is full: the handshake of one more never ends. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0), fillers[4];
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&address, len);
    }
    struct http *http = http_create();
    char url[64];
    struct http_options options = {.connect_timeout_ms = 100, .timeout_ms = 10000};
    struct http_request request = {.method = "POST", .url = url_of(ntohs(address.sin_port), url), .options = &options};
    assert_int_equal(ask(http, request).failure, HTTP_NOT_SENT);
    http_destroy(http);
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
    close(fd);
}

static void test_http_answer_that_never_comes_is_uncertain(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, says_nothing);
    struct http *http = http_create();
    char url[64];
    struct http_options options = {.timeout_ms = 100};
    struct http_request request = {
        .method = "POST", .url = url_of(server.port, url), .body = SPAN("{}"), .options = &options};
    assert_int_equal(ask(http, request).failure, HTTP_UNCERTAIN);
    http_destroy(http);
    server_stop(&server);
}

static bool hangs_up(struct server *server, int fd, int nth)
{
    (void)server, (void)fd, (void)nth;
    return false;
}

static void test_http_hang_up_on_a_fresh_connection_is_uncertain(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, hangs_up);
    struct http *http = http_create();
    assert_int_equal(post(http, server.port).failure, HTTP_UNCERTAIN);
    assert_int_equal(atomic_load(&server.requests), 1);
    http_destroy(http);
    server_stop(&server);
}

static bool cuts_the_answer(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd, "HTTP/1.1 201 Created\r\nContent-Length: 400\r\n\r\nnull");
    return false;
}

static void test_http_half_an_answer_is_uncertain(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, cuts_the_answer);
    struct http *http = http_create();
    struct outcome got = post(http, server.port);
    assert_int_equal(got.failure, HTTP_UNCERTAIN);
    assert_int_equal(got.status, 0);
    http_destroy(http);
    server_stop(&server);
}

/* The first request is answered and the connection kept; every later one is read whole and not answered. */
static bool answers_once(struct server *server, int fd, int nth)
{
    if (nth == 1)
        return says_created(server, fd, nth);
    return false;
}

/* curl by itself would send the request again: see the design notes of core/http.c. */
static void test_http_write_on_a_dying_kept_connection_is_never_doubled(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
    const struct span bodies[] = {SPAN("{\"a\":1}"), {NULL, 0}};
    for (size_t m = 0; m < 4; m++) {
        for (size_t b = 0; b < 2; b++) {
            struct server server;
            server_start(&server, answers_once);
            struct http *http = http_create();
            char url[64];
            struct http_request request = {.method = methods[m], .url = url_of(server.port, url), .body = bodies[b]};
            assert_int_equal(ask(http, request).failure, HTTP_OK);
            struct outcome got = ask(http, request);
            assert_int_equal(got.failure, HTTP_UNCERTAIN);
            assert_string_equal(got.error, "the connection died after the request was sent");
            http_destroy(http);
            server_stop(&server);
            assert_int_equal(atomic_load(&server.requests), 2); /* the answered one and the lost one */
        }
    }
}

static void test_http_read_on_a_dying_kept_connection_is_asked_again(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, answers_once);
    struct http *http = http_create();
    char url[64];
    struct http_request request = {.method = "GET", .url = url_of(server.port, url)};
    assert_int_equal(ask(http, request).failure, HTTP_OK);
    assert_int_equal(ask(http, request).failure, HTTP_UNCERTAIN); /* the fresh one hangs up, too */
    http_destroy(http);
    server_stop(&server);
    assert_int_equal(atomic_load(&server.requests), 3);
}

static bool says_created_and_leaves(struct server *server, int fd, int nth)
{
    says_created(server, fd, nth);
    return false;
}

static void test_http_connection_closed_while_idle_is_replaced(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, says_created_and_leaves);
    struct http *http = http_create();
    assert_int_equal(post(http, server.port).status, 201);
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (atomic_load(&server.closed) == 0 && clock_monotonic_us() < limit)
        poll(NULL, 0, 1);
    assert_int_equal(post(http, server.port).status, 201);
    assert_int_equal(atomic_load(&server.requests), 2);
    assert_int_equal(atomic_load(&server.connections), 2);
    http_destroy(http);
    server_stop(&server);
}

static bool answers_large_chunked(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    char chunk[1100];
    memcpy(chunk, "400\r\n", 5);
    memset(chunk + 5, 'x', 1024);
    memcpy(chunk + 1029, "\r\n", 3);
    answer(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 8; i++)
        answer(fd, chunk);
    answer(fd, "0\r\n\r\n");
    return true;
}

static bool announces_large(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    return false;
}

static void test_http_answer_over_the_cap_is_too_large(void **state)
{
    (void)state;
    static behaviour *const behaviours[] = {answers_large_chunked, announces_large};
    for (size_t i = 0; i < 2; i++) {
        struct server server;
        server_start(&server, behaviours[i]);
        struct http *http = http_create();
        char url[64];
        struct http_options options = quick;
        options.max_response_bytes = 4096;
        struct http_request request = {.method = "GET", .url = url_of(server.port, url), .options = &options};
        assert_int_equal(ask(http, request).failure, HTTP_TOO_LARGE);
        options.max_response_bytes = 8192;
        if (i == 0)
            assert_int_equal(ask(http, request).body_len, 8192);
        http_destroy(http);
        server_stop(&server);
    }
}

/* ---- a resolver that never answers */

static atomic_bool resolver_stuck;

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **list)
{
    typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    union {
        void *object;
        lookup *function;
    } real = {.object = dlsym(RTLD_NEXT, "getaddrinfo")};
    if (name && strcmp(name, "black.hole.test") == 0) {
        while (atomic_load(&resolver_stuck))
            poll(NULL, 0, 5);
        return EAI_AGAIN;
    }
    return real.function(name, service, hints, list);
}

static void test_http_black_holed_resolver_does_not_stall_the_loop(void **state)
{
    (void)state;
    atomic_store(&resolver_stuck, true);
    struct server server;
    server_start(&server, says_created);
    struct http *http = http_create();
    struct http_options options = {.connect_timeout_ms = 100, .timeout_ms = 10000};
    struct http_request request = {.method = "POST", .url = "http://black.hole.test/", .options = &options};
    struct outcome lost = {0};
    http_send(http, &request, keep, &lost);
    assert_int_equal(post(http, server.port).status, 201);
    turn_until(http, &lost.ended, 1);
    assert_int_equal(lost.failure, HTTP_NOT_SENT);
    http_destroy(http); /* nor does it wait for the thread that hangs */
    assert_true(atomic_load(&resolver_stuck));
    atomic_store(&resolver_stuck, false);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_refused_connection_was_not_sent),
        cmocka_unit_test(test_http_unusable_requests_were_not_sent),
        cmocka_unit_test(test_http_connect_time_out_was_not_sent),
        cmocka_unit_test(test_http_answer_that_never_comes_is_uncertain),
        cmocka_unit_test(test_http_hang_up_on_a_fresh_connection_is_uncertain),
        cmocka_unit_test(test_http_half_an_answer_is_uncertain),
        cmocka_unit_test(test_http_write_on_a_dying_kept_connection_is_never_doubled),
        cmocka_unit_test(test_http_read_on_a_dying_kept_connection_is_asked_again),
        cmocka_unit_test(test_http_connection_closed_while_idle_is_replaced),
        cmocka_unit_test(test_http_answer_over_the_cap_is_too_large),
        cmocka_unit_test(test_http_black_holed_resolver_does_not_stall_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
