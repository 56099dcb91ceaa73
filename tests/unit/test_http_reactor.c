/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client's reactor: calls that a handler ends or begins, how long a turn waits, and descriptors of others. */
#include "http_server.h"

#include <poll.h>
#include <sys/eventfd.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_cancelled_call_says_nothing),
        cmocka_unit_test(test_http_done_may_cancel_itself_and_another_that_ended_too),
        cmocka_unit_test(test_http_done_may_send_the_next),
        cmocka_unit_test(test_http_wake_ends_the_wait),
        cmocka_unit_test(test_http_turn_waits_no_longer_than_told),
        cmocka_unit_test(test_http_watched_descriptor_is_reported),
        cmocka_unit_test(test_http_watched_pipe_that_hung_up_is_reported),
        cmocka_unit_test(test_http_callback_may_end_the_watch_of_another_that_is_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
