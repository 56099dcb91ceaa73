/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against small servers on loopback: one thread a server, one function a behaviour. */
#include "unit.h"

#include "buf.h"
#include "clock.h"
#include "http.h"
#include "web.h"

#include "sockets.h"

#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

enum { DEADLINE_US = 20 * 1000 * 1000 };

/* ---- a server that is as odd as its behaviour */

struct server;
typedef bool behaviour(struct server *server, int fd, int nth); /* after request nth, from 1; false: hang up */

struct server {
    int fd, port;
    behaviour *behave;
    pthread_t thread;
    atomic_int connections, requests, closed;
    char last[4096]; /* the last request: read it only after server_stop */
};

/* Reads one request of less than 4 KiB; false at the end of the connection. */
static bool read_request(int fd, char *text, size_t size)
{
    size_t len = 0, want = SIZE_MAX;
    while (len < want) {
        ssize_t got = recv(fd, text + len, size - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
        text[len] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end && want == SIZE_MAX) {
            const char *length = strstr(text, "Content-Length: ");
            want = (size_t)(end + 4 - text) + (length ? strtoul(length + 16, NULL, 10) : 0);
        }
    }
    return true;
}

static void answer(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void *serve(void *context)
{
    struct server *server = context;
    int fd;
    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        atomic_fetch_add(&server->connections, 1);
        while (read_request(fd, server->last, sizeof(server->last)))
            if (!server->behave(server, fd, atomic_fetch_add(&server->requests, 1) + 1))
                break;
        close(fd);
        atomic_fetch_add(&server->closed, 1);
    }
    return NULL;
}

static void server_start(struct server *server, behaviour *behave)
{
    *server = (struct server){.behave = behave};
    server->fd = loopback_listen(&server->port);
    pthread_create(&server->thread, NULL, serve, server);
}

static void server_stop(struct server *server)
{
    shutdown(server->fd, SHUT_RDWR); /* ends accept */
    pthread_join(server->thread, NULL);
    close(server->fd);
}

static bool says_created(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd, "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX-Request-ID:  r-1 \r\nEmpty:\r\n\r\nnull");
    return true;
}

static bool hangs_up(struct server *server, int fd, int nth)
{
    (void)server, (void)fd, (void)nth;
    return false;
}

/* The first request is answered and the connection kept; every later one is read whole and not answered. */
static bool answers_once(struct server *server, int fd, int nth)
{
    if (nth == 1)
        return says_created(server, fd, nth);
    return false;
}

static bool cuts_the_answer(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd, "HTTP/1.1 201 Created\r\nContent-Length: 400\r\n\r\nnull");
    return false;
}

static bool says_nothing(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    char byte;
    (void)!recv(fd, &byte, 1, 0); /* until the client gives up */
    return false;
}

static bool redirects(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
    return true;
}

static bool says_continue_first(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd,
           "HTTP/1.1 100 Continue\r\nX-First: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Second: 2\r\nContent-Length: 0\r\n\r\n");
    return true;
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

/* ---- a call and what came of it */

struct outcome {
    int ended;
    enum http_failure failure;
    int status;
    char body[64], error[256], request_id[32];
    size_t body_len, header_count;
    bool empty_header, second_header;
};

static void keep(void *context, const struct http_result *result)
{
    struct outcome *outcome = context;
    outcome->ended++;
    outcome->failure = result->failure;
    outcome->status = result->status;
    outcome->header_count = result->header_count;
    outcome->body_len = result->body.len;
    snprintf(outcome->body, sizeof(outcome->body), "%.*s", (int)result->body.len,
             result->body.len ? result->body.data : "");
    snprintf(outcome->error, sizeof(outcome->error), "%s", result->error);
    for (size_t i = 0; i < result->header_count; i++) {
        const struct http_header *header = &result->headers[i];
        if (strcmp(header->name, "x-request-id") == 0)
            snprintf(outcome->request_id, sizeof(outcome->request_id), "%.*s", (int)header->value.len,
                     header->value.data);
        outcome->empty_header |= strcmp(header->name, "empty") == 0 && header->value.len == 0;
        outcome->second_header |= strcmp(header->name, "x-second") == 0;
    }
}

static void turn_until(struct http *http, const int *ended, int count)
{
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (*ended < count && clock_monotonic_us() < limit)
        http_turn(http, 100);
    assert_int_equal(*ended, count);
}

static const struct http_options quick = {.connect_timeout_ms = 2000, .timeout_ms = 10000};

static const char *url_of(int port, char url[64])
{
    snprintf(url, 64, "http://127.0.0.1:%d/v1/tasks", port);
    return url;
}

static struct outcome ask(struct http *http, struct http_request request)
{
    struct outcome outcome = {0};
    if (!request.options)
        request.options = &quick;
    http_send(http, &request, keep, &outcome);
    assert_int_equal(outcome.ended, 0);
    turn_until(http, &outcome.ended, 1);
    return outcome;
}

static struct outcome post(struct http *http, int port)
{
    char url[64];
    return ask(http, (struct http_request){.method = "POST", .url = url_of(port, url), .body = SPAN("{\"a\":1}")});
}

/* ---- answers */

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

/* ---- failures: was it sent? */

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

/* ---- cancel, destroy, many at once */

static void test_http_cancelled_call_says_nothing(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, says_nothing);
    struct http *http = http_create();
    char url[64];
    struct outcome outcome = {0};
    struct http_request request = {.method = "GET", .url = url_of(server.port, url), .options = &quick};
    struct http_call *call = http_send(http, &request, keep, &outcome);
    http_turn(http, 10);
    assert_int_equal(http_open_calls(http), 1);
    http_cancel(http, call);
    assert_int_equal(http_open_calls(http), 0);
    request.url = "not\na url";
    http_cancel(http, http_send(http, &request, keep, &outcome));
    http_turn(http, 0);
    assert_int_equal(outcome.ended, 0);
    http_send(http, &request, keep, &outcome);
    http_destroy(http);
    assert_int_equal(outcome.ended, 0);
    server_stop(&server);
}

struct pair {
    struct http *http;
    struct http_call *calls[2];
    int ended;
};

static void cancel_the_other(void *context, const struct http_result *result)
{
    (void)result;
    struct pair *pair = context;
    pair->ended++;
    http_cancel(pair->http, pair->calls[0]);
    if (pair->calls[1] != pair->calls[0])
        http_cancel(pair->http, pair->calls[1]);
}

static void test_http_done_may_cancel_itself_and_another_that_ended_too(void **state)
{
    (void)state;
    static const char *const urls[] = {"not\na url", "ftp://127.0.0.1/"};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = {.http = http_create()};
        struct http_request request = {.method = "GET", .url = urls[i]};
        for (size_t c = 0; c < 2; c++)
            pair.calls[c] = http_send(pair.http, &request, cancel_the_other, &pair);
        turn_until(pair.http, &pair.ended, 1);
        http_turn(pair.http, 0);
        assert_int_equal(pair.ended, 1);
        assert_int_equal(http_open_calls(pair.http), 0);
        http_destroy(pair.http);
    }
}

struct chain {
    struct http *http;
    struct http_request request;
    int left, ended;
};

static void send_next(void *context, const struct http_result *result)
{
    struct chain *chain = context;
    chain->ended += result->status == 201;
    if (--chain->left > 0)
        http_send(chain->http, &chain->request, send_next, chain);
}

static void test_http_done_may_send_the_next(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, says_created);
    char url[64];
    struct chain chain = {.http = http_create(), .left = 200};
    chain.request =
        (struct http_request){.method = "POST", .url = url_of(server.port, url), .body = SPAN("{}"), .options = &quick};
    http_send(chain.http, &chain.request, send_next, &chain);
    turn_until(chain.http, &chain.ended, 200);
    assert_int_equal(atomic_load(&server.connections), 1);
    http_destroy(chain.http);
    server_stop(&server);
}

/* ---- the wait */

static void *wake_soon(void *http)
{
    http_wake(http);
    return NULL;
}

static void test_http_wake_ends_the_wait(void **state)
{
    (void)state;
    struct http *http = http_create();
    pthread_t thread;
    int64_t before = clock_monotonic_us();
    pthread_create(&thread, NULL, wake_soon, http);
    http_turn(http, 10000);
    assert_true(clock_monotonic_us() - before < 5 * 1000 * 1000);
    pthread_join(thread, NULL);
    http_destroy(http);
}

static void test_http_turn_waits_no_longer_than_told(void **state)
{
    (void)state;
    struct http *http = http_create();
    int64_t before = clock_monotonic_us();
    http_turn(http, 30);
    int64_t took = clock_monotonic_us() - before;
    assert_true(took >= 25 * 1000 && took < 5 * 1000 * 1000);
    http_destroy(http);
}

struct seen {
    struct http *http;
    int count, fd, other;
    unsigned events;
};

static void on_ready(void *context, unsigned events)
{
    struct seen *seen = context;
    seen->count++;
    seen->events = events;
    uint64_t value;
    (void)!read(seen->fd, &value, sizeof(value));
    if (seen->other >= 0)
        http_watch(seen->http, seen->other, NULL, NULL);
}

static void test_http_watched_descriptor_is_reported(void **state)
{
    (void)state;
    struct seen seen = {.http = http_create(), .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .other = -1};
    http_watch(seen.http, seen.fd, on_ready, &seen);
    http_turn(seen.http, 0);
    assert_int_equal(seen.count, 0);
    uint64_t one = 1;
    assert_int_equal(write(seen.fd, &one, sizeof(one)), sizeof(one));
    http_turn(seen.http, 10000);
    assert_int_equal(seen.count, 1);
    assert_true(seen.events & POLLIN);
    http_watch(seen.http, seen.fd, NULL, NULL);
    assert_int_equal(write(seen.fd, &one, sizeof(one)), sizeof(one));
    http_turn(seen.http, 0);
    assert_int_equal(seen.count, 1);
    http_destroy(seen.http);
    close(seen.fd);
}

static void test_http_watched_pipe_that_hung_up_is_reported(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct seen seen = {.http = http_create(), .fd = ends[0], .other = -1};
    http_watch(seen.http, seen.fd, on_ready, &seen);
    close(ends[1]);
    http_turn(seen.http, 10000);
    assert_int_equal(seen.count, 1);
    assert_true(seen.events & POLLHUP);
    http_destroy(seen.http);
    close(ends[0]);
}

static void test_http_callback_may_end_the_watch_of_another_that_is_ready(void **state)
{
    (void)state;
    struct http *http = http_create();
    uint64_t one = 1;
    struct seen a = {.http = http, .fd = eventfd(0, EFD_NONBLOCK)}, b = {.http = http, .fd = eventfd(0, EFD_NONBLOCK)};
    a.other = b.fd;
    b.other = a.fd;
    http_watch(http, a.fd, on_ready, &a);
    http_watch(http, b.fd, on_ready, &b);
    assert_int_equal(write(a.fd, &one, sizeof(one)), sizeof(one));
    assert_int_equal(write(b.fd, &one, sizeof(one)), sizeof(one));
    http_turn(http, 10000);
    assert_int_equal(a.count + b.count, 1);
    http_destroy(http);
    close(a.fd);
    close(b.fd);
}

/* ---- TLS, against our own server on the same reactor */

static void say_hello(void *context, struct web_request *request)
{
    (void)context;
    web_reply(request, &(struct web_reply){.status = 200, .body = SPAN("{\"hello\":1}")});
}

struct tls {
    char folder[32], cert[64], key[64], url[64];
    struct http *http;
    struct web *web;
};

static void tls_start(struct tls *tls, const char *host)
{
    strcpy(tls->folder, "/tmp/busbar-test-XXXXXX");
    assert_non_null(mkdtemp(tls->folder));
    snprintf(tls->cert, sizeof(tls->cert), "%s/cert.pem", tls->folder);
    snprintf(tls->key, sizeof(tls->key), "%s/key.pem", tls->folder);
    make_certificate(host, tls->cert, tls->key);
    char *error = NULL;
    tls->http = http_create();
    tls->web = web_create(
        &(struct web_options){.address = "127.0.0.1:0", .listen_fd = -1, .tls_cert = tls->cert, .tls_key = tls->key},
        tls->http, say_hello, NULL, &error);
    assert_non_null(tls->web);
    snprintf(tls->url, sizeof(tls->url), "https://localhost:%d/", web_port(tls->web));
}

static struct outcome tls_ask(struct tls *tls, const struct http_options *options)
{
    struct outcome outcome = {0};
    struct http_request request = {.method = "GET", .url = tls->url, .options = options};
    http_send(tls->http, &request, keep, &outcome);
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (!outcome.ended && clock_monotonic_us() < limit) {
        int64_t wait = web_tick(tls->web);
        http_turn(tls->http, wait >= 0 && wait < 100 ? wait : 100);
    }
    assert_int_equal(outcome.ended, 1);
    return outcome;
}

static void tls_stop(struct tls *tls)
{
    web_destroy(tls->web);
    http_destroy(tls->http);
    unlink(tls->cert);
    unlink(tls->key);
    rmdir(tls->folder);
}

static void test_http_tls_with_the_given_ca_is_trusted(void **state)
{
    (void)state;
    struct tls tls;
    tls_start(&tls, "localhost");
    struct http_options options = quick;
    options.ca_file = tls.cert;
    struct outcome got = tls_ask(&tls, &options);
    assert_string_equal(got.error, "");
    assert_int_equal(got.status, 200);
    assert_string_equal(got.body, "{\"hello\":1}");
    tls_stop(&tls);
}

static void test_http_tls_with_an_unknown_ca_is_bad(void **state)
{
    (void)state;
    struct tls tls;
    tls_start(&tls, "localhost");
    assert_int_equal(tls_ask(&tls, &quick).failure, HTTP_BAD_TLS);
    tls_stop(&tls);
}

static void test_http_tls_for_another_host_is_bad(void **state)
{
    (void)state;
    struct tls tls;
    tls_start(&tls, "elsewhere.example");
    struct http_options options = quick;
    options.ca_file = tls.cert;
    assert_int_equal(tls_ask(&tls, &options).failure, HTTP_BAD_TLS);
    tls_stop(&tls);
}

static void test_http_tls_without_its_ca_file_is_bad(void **state)
{
    (void)state;
    struct tls tls;
    tls_start(&tls, "localhost");
    struct http_options options = quick;
    options.ca_file = "/nonexistent/ca.pem";
    assert_int_equal(tls_ask(&tls, &options).failure, HTTP_BAD_TLS);
    tls_stop(&tls);
}

static void test_http_tls_handshake_that_fails_was_not_sent(void **state)
{
    (void)state;
    struct server server; /* speaks no TLS */
    server_start(&server, says_created);
    struct http *http = http_create();
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
    struct http_options options = {.connect_timeout_ms = 300, .timeout_ms = 300};
    struct http_request request = {.method = "POST", .url = url, .options = &options};
    assert_int_equal(ask(http, request).failure, HTTP_NOT_SENT);
    http_destroy(http);
    server_stop(&server);
    assert_int_equal(atomic_load(&server.requests), 0);
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
        cmocka_unit_test(test_http_cancelled_call_says_nothing),
        cmocka_unit_test(test_http_done_may_cancel_itself_and_another_that_ended_too),
        cmocka_unit_test(test_http_done_may_send_the_next),
        cmocka_unit_test(test_http_wake_ends_the_wait),
        cmocka_unit_test(test_http_turn_waits_no_longer_than_told),
        cmocka_unit_test(test_http_watched_descriptor_is_reported),
        cmocka_unit_test(test_http_watched_pipe_that_hung_up_is_reported),
        cmocka_unit_test(test_http_callback_may_end_the_watch_of_another_that_is_ready),
        cmocka_unit_test(test_http_tls_with_the_given_ca_is_trusted),
        cmocka_unit_test(test_http_tls_with_an_unknown_ca_is_bad),
        cmocka_unit_test(test_http_tls_for_another_host_is_bad),
        cmocka_unit_test(test_http_tls_without_its_ca_file_is_bad),
        cmocka_unit_test(test_http_tls_handshake_that_fails_was_not_sent),
        cmocka_unit_test(test_http_retry_after_reads_seconds_and_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
