/* Shared by the files of the HTTP server: a listener's connections, each in one phase, and who of them leaves. */
#ifndef BUSBAR_WEB_PRIVATE_H
#define BUSBAR_WEB_PRIVATE_H

#include "web.h"

#include <arpa/inet.h>

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

enum phase { PHASE_RECEIVING, PHASE_HANDLED, PHASE_SENDING, PHASE_IDLE };

struct peer { /* an address that has connections, kept as long as it has some */
    struct peer *next;
    unsigned connections;
    char text[INET6_ADDRSTRLEN];
};

struct connection { /* one TCP connection */
    struct web *web;
    struct MHD_Connection *mhd;
    struct connection *prev, *next;
    struct peer *peer;
    struct web_request *request;
    int fd;
    enum phase phase;
    int64_t since_us, deadline_ms; /* of the phase */
    bool cut;
    bool full;         /* when it was looked at last, there was something to read that libmicrohttpd had no room for */
    size_t full_bytes; /* of the body, then */
};

struct web_request {
    struct connection *connection;
    const char *method, *path;
    struct buf body;
    int refuse; /* status decided while parsing; 0: none */
    bool looked_at, handed_over, in_handler;
    struct MHD_Response *response;
    unsigned status;
};

struct web {
    struct MHD_Daemon *daemon;
    struct http *reactor;
    web_handler *handler;
    void *context;
    void (*refused)(void *context, int status);
    size_t max_body;
    int64_t timeout_ms, next_check_ms;
    unsigned max_connections;
    struct connection *connections;
    struct peer *peers;
    size_t connection_count, cut_count, request_count;
    size_t held_bytes; /* of bodies */
    unsigned hurries;  /* runs in a row that libmicrohttpd wanted at once */
    unsigned idle;     /* runs in a row that nothing had announced, and that brought nothing */
    int64_t look_ms;   /* when it is to run all the same */
    bool stirred;      /* the run was announced, or brought something */
    int listen_fd, epoll_fd;
    bool tls, draining;
    bool resumed;        /* replies wait for libmicrohttpd to run */
    bool closed;         /* a connection closed in this run */
    char complaint[256]; /* libmicrohttpd's last one, for web_create's error */
};

/* web_places.c */
void web_seat(struct web *web, struct connection *connection, const struct sockaddr *address);
void web_unseat(struct connection *connection); /* the memory stays the caller's */
void web_enter_phase(struct connection *connection, enum phase phase);
/* Ends a connection from our side. status 0: without a word. */
void web_cut(struct connection *connection, int status);
void web_cut_overdue(struct web *web, int64_t now_ms);
bool web_is_full(const struct web *web);
void web_make_room(struct web *web); /* when places or memory run out */
void web_watch_progress(struct web *web, bool hurries);

#endif
