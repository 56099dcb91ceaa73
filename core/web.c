/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * libmicrohttpd runs without a thread: its epoll hangs on the reactor, web_ready lets it work, web_tick
 * is for what no descriptor announces (time, and bytes that TLS has already read).
 *
 * A turn is bounded. A run takes in at most a handful and looks at each connection once; after a few runs
 * the rest waits for the next turn, so that a crowd does not hold up the commit of those who were heard.
 * And a connection in the midst of its TLS handshake counts with libmicrohttpd (0.9.75) as ready, so that
 * it wants to run again at once, for as long as the client takes: one would cost a whole processor. What
 * the client sends is announced, so when some runs in a row brought nothing, the next one waits.
 *
 * Cutting. libmicrohttpd can answer before the body or after it, never within headers or body. Where
 * we must refuse there (408; a chunked body that outgrows its cap) the answer is written to the socket
 * directly, which nothing else writes to in that phase, and the socket is shut down; libmicrohttpd
 * then sees the end and cleans up. Over TLS we cannot write: the connection closes without an answer.
 *
 * Answering later. A request that the handler keeps is suspended: libmicrohttpd does not look at its
 * socket, so a client that goes away is not noticed and the request stays valid until web_reply
 * resumes it. Only then does sending fail, and everything is freed in one place, on_completed.
 *
 * libmicrohttpd refuses by itself what it cannot parse and what outgrows its own memory (our limits
 * for URI and headers are lower); those refusals are not counted. It also reads more than HTTP is: a
 * line may end with LF alone, a NUL ends a path or a value; and of a Transfer-Encoding that it does not know
 * it makes a body without an end. What makes two readings of where a request ends is refused here.
 *
 * Time, places and memory: web_places.c. */
#include "web_private.h"

#include "clock.h"
#include "http.h"
#include "listen.h"
#include "log.h"
#include "number.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_BODY_BYTES = 1 << 20,
    MAX_URI_BYTES = 8 << 10,
    MAX_PARAMETERS = 100,
    MAX_HEADER_BYTES = 16 << 10, /* request line and headers together */
    CONNECTION_MEMORY = 32 << 10,
    MAX_PEM_BYTES = 1 << 20,
    TIMEOUT_MS = 10000,
    MAX_CONNECTIONS = 512,
    FULL_POLL_MS = 10, /* how often to look for someone waiting at the door while all places are taken */
    RUNS_AT_ONCE = 4,  /* before everybody else has a turn */
    IDLE_RUNS = 4,     /* that may bring nothing, before the next one waits */
    IDLE_RUN_MS = 10,
};

static int64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

/* ---- connections */

static void request_free(struct web_request *request)
{
    struct connection *connection = request->connection;
    if (request->response)
        MHD_destroy_response(request->response);
    connection->web->held_bytes -= request->body.len;
    buf_finish(&request->body);
    connection->web->request_count--;
    connection->request = NULL;
    free(request);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **place,
                          enum MHD_ConnectionNotificationCode code)
{
    struct web *web = context;
    struct connection *connection = *place;
    web->stirred = true;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection = mem_alloc(sizeof(*connection));
        connection->mhd = mhd;
        connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        web_seat(web, connection, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
        *place = connection;
    } else if (connection) {
        if (connection->request)
            request_free(connection->request);
        web_unseat(connection);
        *place = NULL;
        free(connection);
    }
}

/* ---- replies */

static bool is_json(const char *content_type)
{
    return strstr(content_type, "json") != NULL;
}

static struct MHD_Response *make_response(const struct web *web, const struct web_reply *reply)
{
    const char *type = reply->content_type ? reply->content_type : "application/json";
    /* libmicrohttpd does not write to what it is told to copy */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->body.len, (void *)(uintptr_t)reply->body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        abort();
    bool cached = false;
    for (const struct web_header *header = reply->headers; header && header->name; header++) {
        MHD_add_response_header(response, header->name, header->value);
        cached |= strcasecmp(header->name, "Cache-Control") == 0;
    }
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (is_json(type) && !cached)
        MHD_add_response_header(response, "Cache-Control", "no-store");
    if (web->draining)
        MHD_add_response_header(response, "Connection", "close");
    return response;
}

static enum MHD_Result queue(struct web_request *request)
{
    struct MHD_Response *response = request->response;
    web_enter_phase(request->connection, PHASE_SENDING);
    enum MHD_Result result = MHD_queue_response(request->connection->mhd, request->status, response);
    MHD_destroy_response(response);
    request->response = NULL;
    return result;
}

static enum MHD_Result refuse(struct web_request *request, int status)
{
    struct web *web = request->connection->web;
    cleanup_buf struct buf body = {0};
    buf_printf(&body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d}\n",
               MHD_get_reason_phrase_for((unsigned)status), status);
    /* its body, if it has one, is read by nobody: what follows it cannot be told from it */
    static const struct web_header close_it[] = {{"Connection", "close"}, {NULL, NULL}};
    static const struct web_header allow[] = {{"Connection", "close"}, {"Allow", "GET, HEAD, POST"}, {NULL, NULL}};
    const struct web_reply reply = {.content_type = "application/problem+json",
                                    .body = buf_span(&body),
                                    .headers = status == 405 ? allow : close_it};
    if (web->refused)
        web->refused(web->context, status);
    request->response = make_response(web, &reply);
    request->status = (unsigned)status;
    return queue(request);
}

void web_reply(struct web_request *request, const struct web_reply *reply)
{
    assert(!request->response);
    request->response = make_response(request->connection->web, reply);
    request->status = (unsigned)reply->status;
    if (request->in_handler)
        return;
    struct web *web = request->connection->web;
    MHD_resume_connection(request->connection->mhd);
    if (!web->resumed)
        http_wake(web->reactor); /* the caller may be about to wait, and no descriptor tells */
    web->resumed = true;
}

/* ---- receiving */

static size_t count_of(const char *text, char c)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == c;
    return count;
}

/* The request line was read. What this returns is the request's context from here on. */
static void *on_uri(void *context, const char *uri, struct MHD_Connection *mhd)
{
    struct web *web = context;
    struct connection *connection = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct web_request *request = mem_alloc(sizeof(*request));
    web->stirred = true;
    request->connection = connection;
    connection->request = request;
    web->request_count++;
    if (connection->phase != PHASE_RECEIVING)
        web_enter_phase(connection, PHASE_RECEIVING);
    if (strlen(uri) > MAX_URI_BYTES)
        request->refuse = 414;
    else if (strstr(uri, "%00"))
        request->refuse = 400; /* decoded, it would end the text early */
    if (count_of(uri, '&') > MAX_PARAMETERS)
        web_cut(connection, 414); /* libmicrohttpd would have no room for them, and say nothing */
    return request;
}

struct frame { /* what the headers say of where the request ends */
    size_t lengths, codings, hosts;
    const char *length, *coding;
    bool broken; /* a CR alone, which others may take for the end of the line */
};

static enum MHD_Result add_to_frame(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct frame *frame = context;
    frame->broken |= value && strchr(value, '\r');
    if (strcasecmp(name, "Content-Length") == 0) {
        frame->lengths++;
        frame->length = value ? value : "";
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        frame->codings++;
        frame->coding = value ? value : "";
    } else if (strcasecmp(name, "Host") == 0) {
        frame->hosts++;
    }
    return MHD_YES;
}

/* Two readings of where the body ends are a way to smuggle a request. 0: there is one. */
static int judge_frame(const struct web_request *request, const char *version, bool post)
{
    struct frame frame = {0};
    int64_t length = 0;
    MHD_get_connection_values(request->connection->mhd, MHD_HEADER_KIND, add_to_frame, &frame);
    if (frame.broken || frame.lengths + frame.codings > 1 || frame.hosts > 1)
        return 400;
    if (frame.codings && strcmp(version, "HTTP/1.1") != 0)
        return 400; /* 1.0 has no chunks */
    if (frame.codings && strcasecmp(frame.coding, "chunked") != 0)
        return 501;
    if (post && frame.lengths + frame.codings == 0)
        return 411;
    if (frame.lengths && !number_parse_int(span_of(frame.length), 0, INT64_MAX, &length))
        return 400;
    return length > (int64_t)request->connection->web->max_body ? 413 : 0;
}

/* What the headers alone say against the request; 0: nothing. */
static int judge_headers(const struct web_request *request, const char *version)
{
    const char *method = request->method;
    bool post = strcmp(method, "POST") == 0;
    if (request->refuse)
        return request->refuse;
    if (MHD_get_connection_info(request->connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size >
        MAX_HEADER_BYTES)
        return 431;
    if (!post && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return 405;
    return judge_frame(request, version, post);
}

static void take_body(struct web_request *request, const char *bytes, size_t len)
{
    struct connection *connection = request->connection;
    if (connection->cut)
        return;
    if (len > connection->web->max_body - request->body.len) {
        web_cut(connection, 413);
        return;
    }
    buf_append(&request->body, bytes, len);
    connection->web->held_bytes += len;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *len, void **place)
{
    struct web *web = context;
    struct web_request *request = *place;
    web->stirred = true;
    if (!request->looked_at) {
        request->looked_at = true;
        request->method = method;
        request->path = url;
        int status = judge_headers(request, version);
        if (status == 0 && strcmp(method, "HEAD") == 0)
            request->method = "GET"; /* libmicrohttpd leaves the body out */
        return status ? refuse(request, status) : MHD_YES;
    }
    if (*len > 0) {
        take_body(request, bytes, *len);
        *len = 0;
        return MHD_YES;
    }
    if (request->connection->cut)
        return MHD_NO;
    if (!request->handed_over) {
        request->handed_over = request->in_handler = true;
        web_enter_phase(request->connection, PHASE_HANDLED);
        web->handler(web->context, request);
        request->in_handler = false;
    }
    if (request->response)
        return queue(request);
    MHD_suspend_connection(mhd);
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **place, enum MHD_RequestTerminationCode code)
{
    (void)context, (void)mhd, (void)code;
    struct web_request *request = *place;
    if (!request)
        return;
    struct connection *connection = request->connection;
    *place = NULL;
    request_free(request);
    web_enter_phase(connection, PHASE_IDLE);
    if (connection->web->draining && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        web_cut(connection, 0);
}

/* ---- asking about a request */

const char *web_method(const struct web_request *request)
{
    return request->method;
}

const char *web_path(const struct web_request *request)
{
    return request->path;
}

struct span web_body(const struct web_request *request)
{
    return buf_span(&request->body);
}

const char *web_header_value(const struct web_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection->mhd, MHD_HEADER_KIND, name);
}

struct name_count {
    const char *name;
    size_t count;
};

static enum MHD_Result count_name(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind, (void)value;
    struct name_count *wanted = context;
    wanted->count += strcasecmp(name, wanted->name) == 0;
    return MHD_YES;
}

size_t web_header_count(const struct web_request *request, const char *name)
{
    struct name_count wanted = {name, 0};
    MHD_get_connection_values(request->connection->mhd, MHD_HEADER_KIND, count_name, &wanted);
    return wanted.count;
}

const char *web_query(const struct web_request *request, const char *name)
{
    const char *value = NULL;
    size_t len = 0;
    if (MHD_lookup_connection_value_n(request->connection->mhd, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value,
                                      &len) != MHD_YES)
        return NULL;
    return value ? value : ""; /* ?name without = */
}

struct names {
    void (*each)(void *context, const char *name);
    void *context;
};

static enum MHD_Result tell_name(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind, (void)value;
    const struct names *names = context;
    names->each(names->context, name);
    return MHD_YES;
}

void web_each_query(const struct web_request *request, void (*each)(void *context, const char *name), void *context)
{
    struct names names = {each, context};
    MHD_get_connection_values(request->connection->mhd, MHD_GET_ARGUMENT_KIND, tell_name, &names);
}

const char *web_peer(const struct web_request *request)
{
    const struct peer *peer = request->connection->peer;
    return peer ? peer->text : "";
}

/* Over TLS, what announces the end looks like data: nobody is seen leaving. */
bool web_asker_left(const struct web_request *request)
{
    char next;
    return recv(request->connection->fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* ---- the reactor's side */

/* At its limits libmicrohttpd stops listening; a run after one that closed something resumes it. */
static void run(struct web *web, bool announced)
{
    unsigned runs = 0;
    web->stirred = announced || web->resumed;
    web->resumed = false;
    do {
        web->closed = false;
        MHD_run(web->daemon);
    } while (web->closed && ++runs < RUNS_AT_ONCE);
    web->idle = web->stirred ? 0 : web->idle + 1;
    web->look_ms = now_ms() + IDLE_RUN_MS;
}

static void web_ready(void *context, unsigned events)
{
    (void)events;
    run(context, true);
}

static bool wants_to_run(const struct web *web)
{
    MHD_UNSIGNED_LONG_LONG due = 0;
    return MHD_get_timeout(web->daemon, &due) == MHD_YES && due == 0;
}

/* In how many ms libmicrohttpd is to run though no descriptor says so; -1: it is not. */
static int64_t run_due(const struct web *web, bool wants, int64_t now)
{
    if (web->resumed || web->closed)
        return 0;
    if (!wants)
        return -1;
    return web->idle < IDLE_RUNS || now >= web->look_ms ? 0 : web->look_ms - now;
}

int64_t web_tick(struct web *web)
{
    bool hurries = wants_to_run(web);
    int64_t now = now_ms(), due = run_due(web, hurries, now);
    if (due == 0)
        run(web, false);
    if (due <= 0)
        web_watch_progress(web, hurries);
    if (now >= web->next_check_ms)
        web_cut_overdue(web, now);
    web_make_room(web);
    int64_t wait = web->next_check_ms == INT64_MAX ? INT64_MAX : web->next_check_ms - now;
    if (web_is_full(web) && wait > FULL_POLL_MS)
        wait = FULL_POLL_MS;
    due = run_due(web, wants_to_run(web), now);
    if (due >= 0 && due < wait)
        wait = due;
    return wait == INT64_MAX ? -1 : wait > 0 ? wait : 0;
}

void web_refuse_new(struct web *web)
{
    if (web->draining)
        return;
    web->draining = true;
    MHD_quiesce_daemon(web->daemon);
    for (struct connection *c = web->connections; c; c = c->next)
        if (c->phase == PHASE_IDLE)
            web_cut(c, 0);
}

size_t web_open_requests(const struct web *web)
{
    return web->request_count;
}

/* ---- life */

static bool read_pem(const char *path, struct buf *pem, char **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && pem->len < MAX_PEM_BYTES) {
        char chunk[4096];
        got = read(fd, chunk, sizeof(chunk));
        if (got > 0)
            buf_append(pem, chunk, (size_t)got);
        explicit_bzero(chunk, sizeof(chunk));
    }
    if (got != 0)
        *error = mem_printf("cannot read %s: %s", path, got < 0 ? strerror(errno) : "larger than a PEM file is");
    if (fd >= 0)
        close(fd);
    return got == 0;
}

static void forget_key(struct buf *key)
{
    if (key->data)
        explicit_bzero(key->data, key->len);
    buf_finish(key);
}

static void __attribute__((format(printf, 2, 0))) on_complaint(void *context, const char *format, va_list args)
{
    struct web *web = context;
    vsnprintf(web->complaint, sizeof(web->complaint), format, args);
    size_t len = strlen(web->complaint);
    if (len > 0 && web->complaint[len - 1] == '\n')
        web->complaint[len - 1] = '\0';
    log_debug("http server", "detail", web->complaint, NULL);
}

static bool start(struct web *web, const struct web_options *options, char **error)
{
    cleanup_buf struct buf cert = {0};
    struct buf key = {0};
    bool readable = !web->tls || (read_pem(options->tls_cert, &cert, error) && read_pem(options->tls_key, &key, error));
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, cert.data},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, key.data},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_ERROR_LOG | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    if (readable)
        web->daemon =
            MHD_start_daemon(web->tls ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, on_request,
                             web, /* the logger first: it hears the rest */
                             MHD_OPTION_EXTERNAL_LOGGER, on_complaint, web, MHD_OPTION_LISTEN_SOCKET, web->listen_fd,
                             MHD_OPTION_CONNECTION_LIMIT, web->max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                             options->max_connections_per_ip, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                             (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
                             on_uri, web, MHD_OPTION_NOTIFY_COMPLETED, on_completed, web, MHD_OPTION_NOTIFY_CONNECTION,
                             on_connection, web, MHD_OPTION_ARRAY, web->tls ? tls : none, MHD_OPTION_END);
    forget_key(&key);
    if (readable && !web->daemon)
        *error = mem_printf("cannot serve %s: %s", options->address,
                            web->complaint[0] ? web->complaint : "libmicrohttpd does not start");
    return web->daemon != NULL;
}

struct web *web_create(const struct web_options *options, struct http *reactor, web_handler *handler, void *context,
                       char **error)
{
    struct web *web = mem_alloc(sizeof(*web));
    web->reactor = reactor;
    web->handler = handler;
    web->context = context;
    web->refused = options->refused;
    web->max_body = options->max_body_bytes > 0 ? (size_t)options->max_body_bytes : MAX_BODY_BYTES;
    web->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS;
    web->max_connections = options->max_connections > 0 ? options->max_connections : MAX_CONNECTIONS;
    web->next_check_ms = INT64_MAX;
    web->tls = options->tls_cert != NULL;
    web->listen_fd = options->listen_fd > 0 ? listen_inherit(options->listen_fd, options->address, error)
                                            : listen_open(options->address, error);
    if (web->listen_fd < 0 || !start(web, options, error)) {
        if (web->listen_fd >= 0)
            close(web->listen_fd);
        free(web);
        return NULL;
    }
    web->epoll_fd = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    http_watch(reactor, web->epoll_fd, web_ready, web);
    return web;
}

void web_destroy(struct web *web)
{
    if (!web)
        return;
    http_watch(web->reactor, web->epoll_fd, NULL, NULL);
    web->refused = NULL;
    for (struct connection *c = web->connections; c; c = c->next) {
        web_cut(c, 0);
        /* kept by the handler: libmicrohttpd wants none suspended when it stops */
        if (c->phase == PHASE_HANDLED && !c->request->response)
            MHD_resume_connection(c->mhd);
    }
    MHD_stop_daemon(web->daemon);
    if (web->draining)
        close(web->listen_fd); /* libmicrohttpd gave it back */
    free(web);
}

int web_port(const struct web *web)
{
    return listen_port(web->listen_fd);
}

int web_listen_fd(const struct web *web)
{
    return web->listen_fd;
}
