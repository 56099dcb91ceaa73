/* The HTTP server: libmicrohttpd hung on the reactor (external epoll, no thread of its own).
 *
 * One struct web is one listener. A request is handed over whole, after its caps were checked:
 * 405, 408, 411, 413, 414 and 431 are answered here. The handler fills the reply before it returns,
 * or keeps `request` and answers later with web_reply (after a group commit). Reactor thread only. */
#ifndef BUSBAR_WEB_H
#define BUSBAR_WEB_H

#include "buf.h"

struct web;
struct http;
struct web_request;

struct web_options {
    const char *address;                /* host:port, [v6]:port; port 0: any */
    int listen_fd;                      /* >= 0: inherited socket, address only for messages */
    const char *tls_cert, *tls_key;     /* PEM files; NULL: plain */
    int64_t max_body_bytes, timeout_ms; /* 0: 1 MiB, 10 s */
    unsigned max_connections;           /* 0: 512 */
    unsigned max_connections_per_ip;    /* 0: no cap */
    /* Counts what never reached the handler: outcome is the status as text. May be NULL. */
    void (*refused)(void *context, int status);
};

struct web_header {
    const char *name;
    const char *value;
};

struct web_reply {
    int status;
    const char *content_type;         /* NULL: application/json */
    struct span body;                 /* copied */
    const struct web_header *headers; /* ended by a NULL name; NULL: none */
};

typedef void web_handler(void *context, struct web_request *request);

struct web *web_create(const struct web_options *options, struct http *reactor, web_handler *handler, void *context,
                       char **error);
void web_destroy(struct web *web); /* NULL is legal; open requests get their connection closed */
int web_port(const struct web *web);
int web_listen_fd(const struct web *web);
int64_t web_tick(struct web *web);    /* once a turn: time-outs; answers ms until it wants to be called, -1 never */
void web_refuse_new(struct web *web); /* draining: stops accepting, finishes what is open */
size_t web_open_requests(const struct web *web);

const char *web_method(const struct web_request *request);
const char *web_path(const struct web_request *request); /* percent-decoded, no query */
struct span web_body(const struct web_request *request);
const char *web_header_value(const struct web_request *request, const char *name); /* any case; NULL when absent */
size_t web_header_count(const struct web_request *request, const char *name);
const char *web_query(const struct web_request *request, const char *name); /* decoded; NULL when absent */
void web_each_query(const struct web_request *request, void (*each)(void *context, const char *name), void *context);
const char *web_peer(const struct web_request *request); /* address text */
bool web_asker_left(const struct web_request *request);  /* closed its side, so that nobody may be there to hear */
void web_reply(struct web_request *request, const struct web_reply *reply); /* takes the request */

#endif
