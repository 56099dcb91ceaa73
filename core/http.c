/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * The wait. curl_multi_poll waits for curl's own sockets, for the wake-up, and for one more descriptor:
 * an epoll that holds everything the other rooms watch. One descriptor, because curl reports neither
 * POLLHUP nor POLLERR of an extra one, and a hung-up pipe would then spin the loop unseen.
 *
 * Who completes. A call ends exactly once: its done runs from http_turn and never from http_send, or
 * http_cancel and http_destroy take it away in silence. What curl cannot be asked to send (a line
 * break in a header) ends the same way, one turn later, as HTTP_NOT_SENT.
 *
 * Sent or not. curl tells us through the pre-request callback that a connection is ready, before the
 * first byte of the request is written; from there on CURLINFO_REQUEST_SIZE grows with what the socket
 * took. No callback or no growth: the target saw nothing. Everything else is uncertain.
 *
 * No silent doubles. When a kept connection dies before the first byte of the answer, curl sends the
 * request again on a fresh one and says nothing, even where the server had read all of it (measured:
 * a server that reads a POST on a kept connection and hangs up sees the POST twice). No option turns
 * that off. The second attempt, too, goes through the pre-request callback: there a request that is
 * not safe to repeat is stopped and ends as HTTP_UNCERTAIN, unless not one byte of the first attempt
 * had been taken. Reads (GET, HEAD, OPTIONS) are left to curl.
 *
 * Handles are pooled. curl_easy_reset forgets the options, the connections live in the multi's cache.
 * SIGPIPE is ignored for the whole process: CURLOPT_NOSIGNAL leaves that to us. */
#include "http.h"

#include "clock.h"
#include "number.h"

#include <curl/curl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    TIMEOUT_MS = 30000,
    MAX_RESPONSE_BYTES = 16 << 20,
    MAX_HEADER_BYTES = 256 << 10,
    POOLED_CALLS = 64,        /* idle handles kept for the next calls */
    POOLED_BYTES = 256 << 10, /* a buffer that grew past this is not kept */
    HOST_CONNECTIONS = 128,
    TOTAL_CONNECTIONS = 512,
    IDLE_CONNECTION_SECONDS = 50, /* load balancers drop idle ones at 60 s, some without a word */
    READY_AT_ONCE = 32,
};
static const int64_t RETRY_AFTER_MAX_MS = 24LL * 60 * 60 * 1000;

struct header_place { /* offsets: the text moves while it grows */
    size_t name, value, value_len;
};

struct http_call {
    struct http *http;
    CURL *easy;
    struct http_call *prev, *next; /* among the open ones; next alone in the pool */
    http_done *done;
    void *context;
    int64_t started_us, max_bytes;
    const char *refused; /* why it was never handed to curl */
    bool repeatable;     /* a read: sending it twice does no harm */
    bool begun;          /* a connection was ready for it */
    bool too_large, ending;
    long size_before; /* CURLINFO_REQUEST_SIZE when begun: a proxy's CONNECT counts there too */
    struct curl_slist *sent_headers;
    struct buf body, answer, header_text;
    struct header_place *places;
    struct http_header *headers;
    size_t header_count, places_cap, headers_cap;
    char error[CURL_ERROR_SIZE];
};

struct watch {
    int fd;
    http_ready *ready;
    void *context;
};

struct http {
    CURLM *multi;
    int epoll;
    struct http_call *open, *pool;
    size_t open_count, pool_count, refused_count;
    struct watch *watches;
    size_t watch_count, watch_cap;
    atomic_bool woken; /* a wake-up is under way: another would be one more system call for the same turn */
};

/* ---- calls: open list and pool */

static void list_add(struct http_call **list, struct http_call *call)
{
    call->prev = NULL;
    call->next = *list;
    if (*list)
        (*list)->prev = call;
    *list = call;
}

static void list_remove(struct http_call **list, struct http_call *call)
{
    *(call->prev ? &call->prev->next : list) = call->next;
    if (call->next)
        call->next->prev = call->prev;
    call->prev = call->next = NULL;
}

static void call_free(struct http_call *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->sent_headers);
    buf_finish(&call->body);
    buf_finish(&call->answer);
    buf_finish(&call->header_text);
    free(call->places);
    free(call->headers);
    free(call);
}

static struct http_call *call_take(struct http *http)
{
    struct http_call *call = http->pool;
    if (call) {
        http->pool = call->next;
        http->pool_count--;
    } else {
        call = mem_alloc(sizeof(*call));
        call->http = http;
        call->easy = curl_easy_init();
        if (!call->easy)
            abort();
    }
    list_add(&http->open, call);
    http->open_count++;
    return call;
}

static void buf_reuse(struct buf *buf)
{
    if (buf->cap > POOLED_BYTES)
        buf_finish(buf);
    else
        buf_clear(buf);
}

/* The call leaves curl and the open list; its memory waits for the next one. */
static void call_release(struct http_call *call)
{
    struct http *http = call->http;
    if (call->refused)
        http->refused_count--;
    else
        curl_multi_remove_handle(http->multi, call->easy);
    list_remove(&http->open, call);
    http->open_count--;
    if (http->pool_count >= POOLED_CALLS) {
        call_free(call);
        return;
    }
    curl_easy_reset(call->easy);
    curl_slist_free_all(call->sent_headers);
    call->sent_headers = NULL;
    call->refused = NULL;
    buf_reuse(&call->body);
    buf_reuse(&call->answer);
    buf_reuse(&call->header_text);
    call->next = http->pool;
    http->pool = call;
    http->pool_count++;
}

/* ---- what curl calls */

static long request_size(const struct http_call *call)
{
    long size = 0;
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &size);
    return size;
}

static bool anything_sent(const struct http_call *call)
{
    return call->begun && request_size(call) > call->size_before;
}

static int on_before_request(void *context, char *peer, char *own, int peer_port, int own_port)
{
    (void)peer, (void)own, (void)peer_port, (void)own_port;
    struct http_call *call = context;
    if (!call->repeatable && anything_sent(call))
        return CURL_PREREQFUNC_ABORT;
    if (!call->begun)
        call->size_before = request_size(call);
    call->begun = true;
    return CURL_PREREQFUNC_OK;
}

/* As curl does it, but closed on exec: this curl does not ask for that. */
static curl_socket_t on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)context, (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    size_t len = size * count;
    if (len > (size_t)call->max_bytes - call->answer.len) {
        call->too_large = true;
        return 0;
    }
    buf_append(&call->answer, bytes, len);
    return len;
}

static void keep_header(struct http_call *call, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return;
    const char *value = colon + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
        end--;
    call->places = mem_grow(call->places, &call->places_cap, call->header_count + 1, sizeof(*call->places));
    struct header_place *place = &call->places[call->header_count++];
    place->name = call->header_text.len;
    for (const char *c = line; c < colon; c++)
        buf_putc(&call->header_text, *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c);
    buf_putc(&call->header_text, '\0');
    place->value = call->header_text.len;
    place->value_len = (size_t)(end - value);
    buf_append(&call->header_text, value, place->value_len);
    buf_putc(&call->header_text, '\0');
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    size_t len = size * count;
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* of several answers (100, then 201) the last one counts */
        call->header_count = 0;
        buf_clear(&call->header_text);
    } else if (call->header_text.len + len > MAX_HEADER_BYTES) {
        call->too_large = true;
        return 0;
    } else {
        keep_header(call, line, len);
    }
    return len;
}

/* ---- sending */

static bool has_line_break(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\r' || text.data[i] == '\n' || text.data[i] == '\0')
            return true;
    return false;
}

static const char *put_headers(struct http_call *call, const struct http_request *request)
{
    cleanup_buf struct buf line = {0};
    bool typed = false;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (has_line_break(span_of(header->name)) || has_line_break(header->value) || !*header->name)
            return "a header with a line break";
        typed |= strcasecmp(header->name, "Content-Type") == 0;
        buf_clear(&line);
        buf_puts(&line, header->name);
        if (header->value.len > 0) {
            buf_puts(&line, ": ");
            buf_append(&line, header->value.data, header->value.len);
        } else {
            buf_putc(&line, ';'); /* curl's way to say: with an empty value */
        }
        call->sent_headers = curl_slist_append(call->sent_headers, line.data);
    }
    if (!typed) /* else curl would call a body a form */
        call->sent_headers = curl_slist_append(call->sent_headers, "Content-Type:");
    call->sent_headers = curl_slist_append(call->sent_headers, "Expect:");
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->sent_headers);
    return NULL;
}

static const char *put_request(struct http_call *call, const struct http_request *request)
{
    CURL *easy = call->easy;
    const char *method = request->method;
    if (has_line_break(span_of(method)) || !*method || strchr(method, ' '))
        return "not a method";
    if (has_line_break(span_of(request->url)))
        return "a URL with a line break";
    bool writes = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    bool head = strcmp(method, "HEAD") == 0;
    call->repeatable = head || strcmp(method, "GET") == 0 || strcmp(method, "OPTIONS") == 0;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    if (head) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (writes || request->body.len > 0) {
        buf_append(&call->body, request->body.data, request->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.data : "");
    }
    if (!head)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    return put_headers(call, request);
}

static void put_options(struct http_call *call, const struct http_options *options)
{
    static const struct http_options none;
    CURL *easy = call->easy;
    const struct http_options *o = options ? options : &none;
    call->max_bytes = o->max_response_bytes > 0 ? o->max_response_bytes : MAX_RESPONSE_BYTES;
    int64_t connect_ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    int64_t total_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)total_ms);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->max_bytes);
    curl_easy_setopt(easy, CURLOPT_PROXY, o->proxy ? o->proxy : ""); /* "": nor one of the environment */
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, o->user_agent);
    if (o->ca_file) { /* this one instead of the system's, not beside them */
        curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        if (o->any_name)
            curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (o->cert_file)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, o->cert_file);
    if (o->key_file)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, o->key_file);
}

static void put_house_rules(struct http_call *call, const char *url)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never joins a resolver thread that hangs */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS); /* never h2c */
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IDLE_CONNECTION_SECONDS);
    /* A burst at start waits for the first TLS connection, which may turn out to carry all of it. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, strncasecmp(url, "https:", 6) == 0 ? 1L : 0L);
}

struct http_call *http_send(struct http *http, const struct http_request *request, http_done *done, void *context)
{
    struct http_call *call = call_take(http);
    call->done = done;
    call->context = context;
    call->started_us = clock_monotonic_us();
    call->begun = call->too_large = call->ending = false;
    call->size_before = 0;
    call->header_count = 0;
    call->error[0] = '\0';
    put_house_rules(call, request->url);
    put_options(call, request->options);
    call->refused = put_request(call, request);
    if (!call->refused && curl_multi_add_handle(http->multi, call->easy) != CURLM_OK)
        call->refused = "no memory";
    if (call->refused)
        http->refused_count++;
    return call;
}

void http_cancel(struct http *http, struct http_call *call)
{
    (void)http;
    if (!call->ending)
        call_release(call);
}

size_t http_open_calls(const struct http *http)
{
    return http->open_count;
}

/* ---- ending */

static enum http_failure judge(const struct http_call *call, CURLcode code)
{
    if (code == CURLE_OK)
        return HTTP_OK;
    if (call->too_large || code == CURLE_FILESIZE_EXCEEDED)
        return HTTP_TOO_LARGE;
    if (anything_sent(call))
        return HTTP_UNCERTAIN;
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
        code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CRL_BADFILE)
        return HTTP_BAD_TLS;
    return HTTP_NOT_SENT;
}

/* When a kept connection turned out to be dead, curl tries a new one, but keeps the words for the first. */
static const char *words_for(const struct http_call *call, CURLcode code, enum http_failure failure)
{
    bool stale = failure == HTTP_BAD_TLS && strstr(call->error, "SSL") == NULL;
    return call->error[0] != '\0' && !stale ? call->error : curl_easy_strerror(code);
}

static void call_end(struct http_call *call, const struct http_result *result)
{
    call->ending = true;
    call->done(call->context, result);
    call_release(call);
}

static void finish(struct http_call *call, CURLcode code)
{
    struct http_result result = {.failure = judge(call, code), .error = "", .headers = call->headers};
    result.duration_us = clock_monotonic_us() - call->started_us;
    if (result.failure != HTTP_OK) {
        result.error = words_for(call, code, result.failure);
        if (code == CURLE_ABORTED_BY_CALLBACK)
            result.error = "the connection died after the request was sent";
        else if (result.failure == HTTP_TOO_LARGE)
            result.error = "the answer is larger than allowed";
        call_end(call, &result);
        return;
    }
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->headers = mem_grow(call->headers, &call->headers_cap, call->header_count, sizeof(*call->headers));
    for (size_t i = 0; i < call->header_count; i++) {
        const struct header_place *place = &call->places[i];
        call->headers[i].name = call->header_text.data + place->name;
        call->headers[i].value = (struct span){call->header_text.data + place->value, place->value_len};
    }
    result.status = (int)status;
    result.body = buf_span(&call->answer);
    result.headers = call->headers;
    result.header_count = call->header_count;
    call_end(call, &result);
}

static void finish_refused(struct http *http)
{
    /* From the head each time: done may send and cancel others. */
    while (http->refused_count > 0) {
        struct http_call *call = http->open;
        while (!call->refused)
            call = call->next;
        struct http_result result = {.failure = HTTP_NOT_SENT, .error = call->refused};
        call_end(call, &result);
    }
}

/* ---- the wait */

void http_watch(struct http *http, int fd, http_ready *ready, void *context)
{
    size_t i = 0;
    while (i < http->watch_count && http->watches[i].fd != fd)
        i++;
    bool known = i < http->watch_count;
    if (!ready) {
        if (known) {
            epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, NULL);
            http->watches[i] = http->watches[--http->watch_count];
        }
        return;
    }
    if (!known) {
        http->watches = mem_grow(http->watches, &http->watch_cap, ++http->watch_count, sizeof(*http->watches));
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            abort(); /* not a descriptor that can be waited for: a bug of ours */
    }
    http->watches[i] = (struct watch){fd, ready, context};
}

static void run_ready(struct http *http)
{
    struct epoll_event events[READY_AT_ONCE];
    int count = epoll_wait(http->epoll, events, READY_AT_ONCE, 0);
    for (int e = 0; e < count; e++) {
        for (size_t i = 0; i < http->watch_count; i++) { /* looked up anew: a callback may end another's watch */
            if (http->watches[i].fd == events[e].data.fd) {
                struct watch watch = http->watches[i];
                watch.ready(watch.context, events[e].events);
                break;
            }
        }
    }
}

void http_turn(struct http *http, int64_t timeout_ms)
{
    struct curl_waitfd extra = {.fd = http->epoll, .events = CURL_WAIT_POLLIN};
    if (timeout_ms < 0 || http->refused_count > 0)
        timeout_ms = 0;
    else if (timeout_ms > INT_MAX)
        timeout_ms = INT_MAX;
    curl_multi_poll(http->multi, &extra, 1, (int)timeout_ms, NULL);
    atomic_exchange(&http->woken, false); /* from here on the caller looks at what there is to do */
    if (extra.revents)
        run_ready(http);
    int running, left;
    curl_multi_perform(http->multi, &running);
    finish_refused(http);
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        CURLcode code = message->data.result;
        struct http_call *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        finish(call, code);
    }
}

void http_wake(struct http *http)
{
    if (!atomic_exchange(&http->woken, true))
        curl_multi_wakeup(http->multi);
}

/* ---- life */

static void global_init(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
    signal(SIGPIPE, SIG_IGN);
}

struct http *http_create(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    struct http *http = mem_alloc(sizeof(*http));
    http->epoll = epoll_create1(EPOLL_CLOEXEC);
    http->multi = curl_multi_init();
    if (http->epoll < 0 || !http->multi)
        abort();
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)TOTAL_CONNECTIONS);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)TOTAL_CONNECTIONS);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    return http;
}

void http_destroy(struct http *http)
{
    if (!http)
        return;
    while (http->open)
        call_release(http->open);
    while (http->pool) {
        struct http_call *call = http->pool;
        http->pool = call->next;
        call_free(call);
    }
    curl_multi_cleanup(http->multi);
    close(http->epoll);
    free(http->watches);
    free(http);
}

/* ---- Retry-After */

static struct span trim(struct span value)
{
    while (value.len > 0 && (*value.data == ' ' || *value.data == '\t'))
        value.data++, value.len--;
    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    return value;
}

bool http_parse_date(struct span value, int64_t *wall_ms)
{
    /* RFC 9110, 5.6.7: the form in use, and the two that a recipient must still read */
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};
    value = trim(value);
    if (value.len == 0 || value.len > 40)
        return false;
    cleanup_text char *text = span_dup(value);
    struct tm tm;
    const char *end = NULL;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && (!end || *end); i++) {
        tm = (struct tm){0};
        end = strptime(text, forms[i], &tm);
    }
    if (!end || *end)
        return false;
    *wall_ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

bool http_parse_retry_after(struct span value, int64_t now_wall_ms, int64_t *delay_ms)
{
    value = trim(value);
    size_t digits = 0;
    while (digits < value.len && value.data[digits] >= '0' && value.data[digits] <= '9')
        digits++;
    int64_t seconds = INT64_MAX / 1000, delay;
    if (value.len > 0 && value.len <= 40 && digits == value.len) {
        number_parse_int(value, 0, INT64_MAX / 1000, &seconds); /* beyond the range: stays at its end */
        delay = seconds * 1000;
    } else {
        if (!http_parse_date(value, &delay))
            return false;
        delay -= now_wall_ms;
    }
    *delay_ms = delay < 0 ? 0 : delay > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : delay;
    return true;
}
