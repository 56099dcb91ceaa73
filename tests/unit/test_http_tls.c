/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client speaks TLS to whom it trusts: against our own server on the same reactor. */
#include "http_server.h"

#include "web.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_tls_with_the_given_ca_is_trusted),
        cmocka_unit_test(test_http_tls_with_an_unknown_ca_is_bad),
        cmocka_unit_test(test_http_tls_for_another_host_is_bad),
        cmocka_unit_test(test_http_tls_without_its_ca_file_is_bad),
        cmocka_unit_test(test_http_tls_handshake_that_fails_was_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
