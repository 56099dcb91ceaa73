/* The HTTP server with a handler that remembers, and raw client sockets on the same thread: what is sent is exactly
 * what is written in the test. */
#ifndef BUSBAR_WEB_DOOR_H
#define BUSBAR_WEB_DOOR_H

#include "unit.h"

#include "buf.h"
#include "clock.h"
#include "http.h"
#include "web.h"

#include "sockets.h"

#include <errno.h>

enum { DEADLINE_US = 20 * 1000 * 1000 };

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

static inline void note_name(void *context, const char *name)
{
    buf_printf(context, "name=%s\n", name);
}

static inline void handle(void *context, struct web_request *request)
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

static inline void count_refusal(void *context, int status)
{
    struct door *door = context;
    door->refused_count++;
    door->refused_last = status;
}

static inline void door_open_with(struct door *door, struct web_options options)
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

static inline void door_open(struct door *door)
{
    door_open_with(door, (struct web_options){0});
}

static inline void door_close(struct door *door)
{
    web_destroy(door->web);
    http_destroy(door->http);
    buf_finish(&door->seen);
    buf_finish(&door->text);
}

static inline void turn(struct door *door)
{
    int64_t wait = web_tick(door->web);
    http_turn(door->http, wait >= 0 && wait < 5 ? wait : 5);
}

/* Runs the reactor until the client has read `needle`; false: the connection ended first. */
static inline bool reads(struct door *door, int fd, const char *needle)
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

static inline bool is_closed(struct door *door, int fd)
{
    buf_clear(&door->text);
    return !reads(door, fd, "\001");
}

static inline void turn_until(struct door *door, const int *value, int wanted)
{
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (*value != wanted && clock_monotonic_us() < limit)
        turn(door);
    assert_int_equal(*value, wanted);
}

static inline void turn_until_open(struct door *door, size_t wanted)
{
    int64_t limit = clock_monotonic_us() + DEADLINE_US;
    while (web_open_requests(door->web) != wanted && clock_monotonic_us() < limit)
        turn(door);
    assert_int_equal(web_open_requests(door->web), wanted);
}

static inline void says(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Sends one request on its own connection and gives the answer's status; the answer is in door->text. */
static inline int status_of(struct door *door, const char *request)
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

#endif
