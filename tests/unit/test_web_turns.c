/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the reactor's turn the HTTP server takes: counted, not timed. */
#include "web_door.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>

enum {
    CROWD = 200,
    HALVES = 20,
    TICKS = 64,
};

/* ---- a crowd that never ends */

static struct crowd {
    struct door door;
    int fds[CROWD], count;
} crowd;

static void come(void)
{
    if (crowd.count == CROWD)
        return;
    crowd.fds[crowd.count] = loopback_connect(crowd.door.port);
    says(crowd.fds[crowd.count++], "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
}

/* Whoever is answered leaves, and somebody else is there already. */
static void answer_and_be_followed(void *context, struct web_request *request)
{
    crowd.door.handled++;
    come();
    web_reply(request, &crowd.door.reply);
    (void)context;
}

static void test_web_crowd_leaves_the_others_their_turn(void **state)
{
    (void)state;
    char *error = NULL;
    crowd.door = (struct door){.reply = {.status = 200, .body = SPAN("{}")}, .http = http_create()};
    crowd.door.web = web_create(&(struct web_options){.address = "127.0.0.1:0"}, crowd.door.http,
                                answer_and_be_followed, NULL, &error);
    assert_non_null(crowd.door.web);
    crowd.door.port = web_port(crowd.door.web);
    for (int i = 0; i < 8; i++) { /* half of them are let in while the other half is answered */
        come();
        if (i == 3)
            http_turn(crowd.door.http, 100);
    }
    int most = 0, limit = CROWD;
    while (crowd.door.handled < CROWD && limit-- > 0) {
        int before = crowd.door.handled;
        http_turn(crowd.door.http, 100);
        web_tick(crowd.door.web);
        most = crowd.door.handled - before > most ? crowd.door.handled - before : most;
    }
    assert_int_equal(crowd.door.handled, CROWD);
    assert_in_range(most, 1, CROWD / 4);
    for (int i = 0; i < CROWD; i++)
        close(crowd.fds[i]);
    door_close(&crowd.door);
}

/* ---- handshakes that wait for the client */

struct tls_door {
    struct door door;
    char folder[32], cert[64], key[64];
};

static void tls_door_open(struct tls_door *tls)
{
    snprintf(tls->folder, sizeof(tls->folder), "/tmp/busbar-test-XXXXXX");
    assert_non_null(mkdtemp(tls->folder));
    snprintf(tls->cert, sizeof(tls->cert), "%s/cert.pem", tls->folder);
    snprintf(tls->key, sizeof(tls->key), "%s/key.pem", tls->folder);
    make_certificate("localhost", tls->cert, tls->key);
    door_open_with(&tls->door, (struct web_options){.tls_cert = tls->cert, .tls_key = tls->key});
}

static void tls_door_close(struct tls_door *tls)
{
    door_close(&tls->door);
    unlink(tls->cert);
    unlink(tls->key);
    rmdir(tls->folder);
}

/* How many ticks until the reactor may sleep; TICKS: it may not. */
static int ticks_until_quiet(struct door *door)
{
    int ticks = 0;
    while (ticks < TICKS && web_tick(door->web) == 0) {
        http_turn(door->http, 0);
        ticks++;
    }
    return ticks;
}

static void test_web_half_handshakes_let_the_reactor_sleep(void **state)
{
    (void)state;
    static const char half[] = "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
    struct tls_door tls;
    int fds[HALVES];
    tls_door_open(&tls);
    for (int i = 0; i < HALVES; i++) {
        fds[i] = loopback_connect(tls.door.port);
        assert_int_equal(send(fds[i], half, sizeof(half) - 1, 0), sizeof(half) - 1);
    }
    for (int i = 0; i < HALVES; i++) /* let in, and each heard */
        http_turn(tls.door.http, 20);
    assert_in_range(ticks_until_quiet(&tls.door), 0, TICKS / 4);
    for (int i = 0; i < HALVES; i++)
        close(fds[i]);
    tls_door_close(&tls);
}

static void test_web_handshake_goes_on_when_the_client_does(void **state)
{
    (void)state;
    struct tls_door tls;
    char text[512] = "";
    tls_door_open(&tls);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *client = SSL_new(context);
    int fd = loopback_connect(tls.door.port), ticks = 0, got;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    SSL_set_fd(client, fd);
    assert_int_not_equal(SSL_connect(client), 1);
    struct pollfd answered = {.fd = fd, .events = POLLIN};
    while (poll(&answered, 1, 0) == 0 && ticks++ < TICKS) { /* the server's part; then the client takes its time */
        http_turn(tls.door.http, 20);
        web_tick(tls.door.web);
    }
    assert_in_range(ticks_until_quiet(&tls.door), 0, TICKS / 4);
    assert_int_equal(SSL_connect(client), 1);
    assert_int_equal(SSL_write(client, GET("/"), sizeof(GET("/")) - 1), sizeof(GET("/")) - 1);
    for (ticks = 0; (got = SSL_read(client, text, sizeof(text) - 1)) <= 0 && ticks < TICKS / 4; ticks++)
        http_turn(tls.door.http, web_tick(tls.door.web) == 0 ? 0 : 5000); /* what comes is announced */
    assert_true(got > 0 && strstr(text, " 200 "));
    SSL_free(client);
    SSL_CTX_free(context);
    close(fd);
    tls_door_close(&tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_web_crowd_leaves_the_others_their_turn),
        cmocka_unit_test(test_web_half_handshakes_let_the_reactor_sleep),
        cmocka_unit_test(test_web_handshake_goes_on_when_the_client_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
