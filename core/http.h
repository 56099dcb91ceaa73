/* The HTTP client and the process's one wait: libcurl's multi interface. Reactor thread only.
 *
 * curl_multi_poll is the reactor: other rooms hang their file descriptors on it with http_watch, any
 * thread ends the wait with http_wake. TLS is verified, redirects are never followed, the body of a
 * response is capped. */
#ifndef BUSBAR_HTTP_H
#define BUSBAR_HTTP_H

#include "buf.h"

struct http;
struct http_call;

struct http_options {
    int64_t connect_timeout_ms, timeout_ms; /* 0: 5 s, 30 s */
    const char *ca_file;                    /* NULL: the system's */
    bool any_name;                          /* ca_file is the server's own certificate, whatever name is in it */
    const char *cert_file, *key_file;       /* client certificate; NULL: none */
    const char *proxy;                      /* NULL: none, environment ignored */
    const char *user_agent;
    int64_t max_response_bytes; /* 0: 16 MiB */
};

struct http_header {
    const char *name; /* NUL-terminated */
    struct span value;
};

struct http_request { /* all borrowed until http_send returns, which copies what it needs */
    const char *method, *url;
    struct span body;
    const struct http_header *headers;
    size_t header_count;
    const struct http_options *options; /* borrowed until the call completes */
};

enum http_failure {
    HTTP_OK = 0,    /* an HTTP response came, whatever its status */
    HTTP_NOT_SENT,  /* resolve, connect, TLS: the target saw no request */
    HTTP_UNCERTAIN, /* something was sent, no whole answer came */
    HTTP_BAD_TLS,   /* certificate refused: not sent, and somebody has to mend it */
    HTTP_TOO_LARGE  /* answer over the cap: uncertain too */
};

struct http_result { /* borrowed for the call of done */
    enum http_failure failure;
    const char *error; /* "" or what curl said */
    int status;
    struct span body;
    const struct http_header *headers; /* lower-case names */
    size_t header_count;
    int64_t duration_us;
};

typedef void http_done(void *context, const struct http_result *result);
typedef void http_ready(void *context, unsigned events); /* POLLIN ... */

struct http *http_create(void);
void http_destroy(struct http *http); /* open calls are dropped without done; NULL is legal */
/* Never calls done from inside. gives a call that is valid until done returns. */
struct http_call *http_send(struct http *http, const struct http_request *request, http_done *done, void *context);
void http_cancel(struct http *http, struct http_call *call); /* no done */
size_t http_open_calls(const struct http *http);
/* POLLIN, and POLLHUP or POLLERR, as long as it lasts. ready NULL: stop watching, before closing. */
void http_watch(struct http *http, int fd, http_ready *ready, void *context);
/* Waits at most timeout_ms for anything, runs what is ready, calls done for what ended. */
void http_turn(struct http *http, int64_t timeout_ms);
void http_wake(struct http *http); /* any thread */

bool http_parse_date(struct span value, int64_t *wall_ms); /* false: none, *wall_ms stays */
/* Seconds or an HTTP date (then now_wall_ms is by the clock that wrote it); answers false when it is neither. *delay_ms
 * is not negative. */
bool http_parse_retry_after(struct span value, int64_t now_wall_ms, int64_t *delay_ms);

#endif
