/* A server on loopback that is as odd as its behaviour, one thread each, and a call of the HTTP client with what came
 * of it. */
#ifndef BUSBAR_HTTP_SERVER_H
#define BUSBAR_HTTP_SERVER_H

#include "unit.h"

#include "buf.h"
#include "clock.h"
#include "http.h"

#include "sockets.h"

#include <pthread.h>
#include <stdatomic.h>

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
static inline bool read_request(int fd, char *text, size_t size)
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

static inline void answer(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static inline void *serve(void *context)
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

static inline void server_start(struct server *server, behaviour *behave)
{
    *server = (struct server){.behave = behave};
    server->fd = loopback_listen(&server->port);
    pthread_create(&server->thread, NULL, serve, server);
}

static inline void server_stop(struct server *server)
{
    shutdown(server->fd, SHUT_RDWR); /* ends accept */
    pthread_join(server->thread, NULL);
    close(server->fd);
}

static inline bool says_created(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    answer(fd, "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX-Request-ID:  r-1 \r\nEmpty:\r\n\r\nnull");
    return true;
}

static inline bool says_nothing(struct server *server, int fd, int nth)
{
    (void)server, (void)nth;
    char byte;
    (void)!recv(fd, &byte, 1, 0); /* until the client gives up */
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

static inline void keep(void *context, const struct http_result *result)
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

static inline void turn_until(struct http *http, const int *ended, int count)
{
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (*ended < count && clock_monotonic_us() < limit)
        http_turn(http, 100);
    assert_int_equal(*ended, count);
}

static const struct http_options quick = {.connect_timeout_ms = 2000, .timeout_ms = 10000};

static inline const char *url_of(int port, char url[64])
{
    snprintf(url, 64, "http://127.0.0.1:%d/v1/tasks", port);
    return url;
}

static inline struct outcome ask(struct http *http, struct http_request request)
{
    struct outcome outcome = {0};
    if (!request.options)
        request.options = &quick;
    http_send(http, &request, keep, &outcome);
    assert_int_equal(outcome.ended, 0);
    turn_until(http, &outcome.ended, 1);
    return outcome;
}

static inline struct outcome post(struct http *http, int port)
{
    char url[64];
    return ask(http, (struct http_request){.method = "POST", .url = url_of(port, url), .body = SPAN("{\"a\":1}")});
}

#endif
