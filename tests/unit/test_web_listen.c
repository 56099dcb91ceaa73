/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server's socket: where it listens, who inherits it, how it drains, and TLS on it. */
#include "web_door.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/ssl.h>

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
