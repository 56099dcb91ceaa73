/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include "api.h"
#include "cmd.h"
#include "config.h"
#include "http.h"
#include "json.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void client_query(struct buf *path, const char *name, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    if (value == NULL)
        return;
    buf_putc(path, memchr(path->data, '?', path->len) != NULL ? '&' : '?');
    buf_printf(path, "%s=", name);
    for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
                     strchr("-._~", *p) != NULL;
        if (plain) {
            buf_putc(path, (char)*p);
        } else {
            buf_putc(path, '%');
            buf_putc(path, hex[*p >> 4]);
            buf_putc(path, hex[*p & 15]);
        }
    }
}

void client_reply_finish(struct client_reply *reply)
{
    json_free(&reply->json);
    buf_finish(&reply->text);
}

int client_complain(const struct client_reply *reply)
{
    const char *detail = json_get_text(reply->json, "detail");
    if (detail != NULL)
        fprintf(stderr, "busbar: %s\n", detail);
    else
        fprintf(stderr, "busbar: the daemon answered %d\n", reply->status);
    return CMD_NO;
}

/* ---- through the daemon */

enum { CONNECT_MS = 2000, READ_MS = 5000, WRITE_MS = 15000 };

struct answer {
    bool done, timed_out;
    int waited_s;
    enum http_failure failure;
    char error[128];
    struct client_reply *reply;
};

static void on_answer(void *context, const struct http_result *result)
{
    struct answer *answer = context;
    answer->done = true;
    answer->failure = result->failure;
    answer->timed_out = result->failure != HTTP_OK && result->duration_us / 1000 >= CONNECT_MS;
    answer->waited_s = (int)(result->duration_us / 1000000);
    snprintf(answer->error, sizeof(answer->error), "%s", result->error);
    answer->reply->status = result->status;
    if (result->failure == HTTP_OK) /* else the body is the transport's error */
        buf_append(&answer->reply->text, result->body.data, result->body.len);
}

/* Where the command line finds the admin port: a wildcard address is this machine. */
static char *admin_url(const struct config *config, const char *path)
{
    const char *address = config->http.admin, *scheme = config->http.tls.cert != NULL ? "https" : "http";
    if (strncmp(address, "0.0.0.0:", 8) == 0)
        return mem_printf("%s://127.0.0.1:%s%s", scheme, address + 8, path);
    if (strncmp(address, "[::]:", 5) == 0)
        return mem_printf("%s://[::1]:%s%s", scheme, address + 5, path);
    return mem_printf("%s://%s%s", scheme, address, path);
}

static void ask_daemon(const struct config *config, const char *method, const char *path, struct span body,
                       struct answer *answer)
{
    struct http *http = http_create();
    cleanup_text char *url = admin_url(config, path);
    cleanup_text char *bearer =
        mem_printf("Bearer %s", config->http.admin_token != NULL ? config->http.admin_token : "");
    const struct http_header headers[] = {{"Content-Type", SPAN("application/json")},
                                          {"Authorization", span_of(bearer)}};
    const struct http_options options = {.connect_timeout_ms = CONNECT_MS,
                                         .timeout_ms = strcmp(method, "GET") == 0 ? READ_MS : WRITE_MS,
                                         .user_agent = "busbar",
                                         .ca_file = config->http.tls.cert,
                                         .any_name = true}; /* made for the outside: we ask on the loopback */
    const struct http_request request = {.method = method,
                                         .url = url,
                                         .body = body,
                                         .headers = headers,
                                         .header_count = config->http.admin_token != NULL ? 2 : 1,
                                         .options = &options};
    http_send(http, &request, on_answer, answer);
    while (!answer->done)
        http_turn(http, 1000);
    http_destroy(http);
}

/* What the daemon is, when it gave no answer: NULL, it is down. A refused connection alone does not say so. gives */
static char *why_away(const struct config *config, const struct answer *answer)
{
    const char *admin = config->http.admin;
    long pid = store_holder(config->store.path);
    cleanup_text char *who = pid > 0 ? mem_printf("busbar runs (pid %ld) but", pid) : mem_strdup("busbar");
    if (pid == 0 && (admin == NULL || (answer->failure == HTTP_NOT_SENT && !answer->timed_out)))
        return NULL;
    if (admin == NULL)
        return mem_printf("%s cannot be asked: http.admin is off", who);
    if (answer->timed_out)
        return mem_printf("%s does not answer at %s within %d s", who, admin, answer->waited_s);
    if (answer->failure == HTTP_NOT_SENT)
        return mem_printf("%s does not listen at %s: it starts or stops, or http.admin was another when it started",
                          who, admin);
    return mem_printf("%s gives no answer at %s: %s", who, admin, answer->error);
}

/* ---- or, when it does not answer, from the store */

#define PARAMETERS_MAX 16

struct split_query { /* borrows the path's copy, in which the values are decoded */
    struct {
        const char *name, *value;
    } parameters[PARAMETERS_MAX];
    size_t count;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p != '\0'; p++) {
        int high = *p == '%' ? hex_digit(p[1]) : -1, low = high >= 0 ? hex_digit(p[2]) : -1;
        *to++ = low >= 0 ? (char)(high * 16 + low) : *p;
        p += low >= 0 ? 2 : 0;
    }
    *to = '\0';
}

/* name=value&name=value */
static void split(char *text, struct split_query *query)
{
    char *rest = text;
    for (char *pair; query->count < PARAMETERS_MAX && (pair = strsep(&rest, "&")) != NULL;) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        decode(value);
        query->parameters[query->count].name = pair;
        query->parameters[query->count++].value = value;
    }
}

static const char *offline_query(void *context, const char *name)
{
    const struct split_query *query = context;
    for (size_t i = 0; i < query->count; i++)
        if (strcmp(query->parameters[i].name, name) == 0)
            return query->parameters[i].value;
    return NULL;
}

static void each_offline_name(void *context, void (*each)(void *found, const char *name), void *found)
{
    const struct split_query *query = context;
    for (size_t i = 0; i < query->count; i++)
        each(found, query->parameters[i].name);
}

/* A target can be held before a start. No other verb works on a store that nobody runs on. */
static bool is_hold(const char *method, const char *path)
{
    static const char verb[] = "/hold";
    size_t len = strcspn(path, "?"), end = sizeof(verb) - 1;
    return strcmp(method, "POST") == 0 && len > end && memcmp(path + len - end, verb, end) == 0;
}

static int ask_store(const struct config *config, const char *method, const char *path, const char *away,
                     struct client_reply *reply)
{
    char *error = NULL;
    const bool writes = is_hold(method, path) && access(config->store.path, F_OK) == 0; /* makes none */
    const struct store_options options = {.path = config->store.path, .power_loss = true, .read_only = !writes};
    struct store *store = store_open(&options, &error);
    struct store_session *session = store != NULL ? store_session_open(store, &error) : NULL;
    if (session == NULL) {
        fprintf(stderr, "busbar: %s, and its store cannot be %s: %s\n", away != NULL ? away : "the daemon is down",
                writes ? "written" : "read", error != NULL ? error : "?");
        free(error);
        if (store != NULL)
            store_close(store);
        return -1;
    }
    cleanup_text char *copy = mem_strdup(path);
    char *mark = strchr(copy, '?');
    struct split_query query = {0};
    if (mark != NULL) {
        *mark = '\0';
        split(mark + 1, &query);
    }
    const struct api api = {.config = config, .store = store, .session = session, .away = away};
    const struct api_request request = {method, copy, offline_query, each_offline_name, &query, {NULL, 0}, NULL};
    struct api_reply answer = {0};
    api_handle(&api, &request, &answer);
    reply->status = answer.status;
    reply->text = answer.body;
    reply->offline = true;
    reply->hangs = away != NULL;
    if (away != NULL && reply->status == 200)
        fprintf(stderr, "busbar: %s; this is what its store says\n", away);
    store_session_close(session);
    store_close(store);
    return 0;
}

/* Each 200 has JSON: one that has none must not look like an empty list. */
static int understand(struct client_reply *reply)
{
    const char *fault = NULL;
    reply->json = json_parse(buf_span(&reply->text), NULL, &fault);
    if (reply->status != 200 || fault == NULL)
        return 0;
    fprintf(stderr, "busbar: the answer cannot be read as JSON (%s): is http.admin the daemon's own port?\n", fault);
    client_reply_finish(reply);
    return -1;
}

static int ask(const struct config *config, const char *method, const char *path, struct span body,
               struct client_reply *reply)
{
    struct answer answer = {.reply = reply, .failure = HTTP_NOT_SENT};
    if (config->http.admin != NULL)
        ask_daemon(config, method, path, body, &answer);
    if (answer.done && answer.failure == HTTP_OK)
        return 0;
    cleanup_text char *away = why_away(config, &answer);
    if (strcmp(method, "GET") == 0 || (away == NULL && is_hold(method, path))) {
        struct problems unsaid = {0}; /* of the rest, what can be understood is enough */
        struct config *whole = config_load(config->file, &unsaid);
        int rc = ask_store(whole != NULL ? whole : config, method, path, away, reply);
        config_destroy(whole);
        problems_finish(&unsaid);
        return rc;
    }
    if (away == NULL)
        fputs("busbar: the daemon is down: start `busbar run`\n", stderr);
    else
        fprintf(stderr, "busbar: %s; %s\n", away,
                answer.failure == HTTP_UNCERTAIN || answer.failure == HTTP_TOO_LARGE
                    ? "what you asked may still be done: look with `busbar audit`"
                    : "nothing was done");
    return -1;
}

int client_call(const char *config_path, const char *method, const char *path, struct span body,
                struct client_reply *reply)
{
    struct problems problems = {0};
    cleanup_text char *found = config_find(config_path);
    cleanup_buf struct buf said = {0};
    *reply = (struct client_reply){0};
    struct config *config = found != NULL ? config_peek(found, &problems) : NULL;
    int rc = -1;
    if (config != NULL && problems.errors == 0) {
        rc = ask(config, method, path, body, reply);
    } else {
        problems_print(&problems, &said);
        fprintf(stderr, "%sbusbar: %s%s\n", said.len > 0 ? said.data : "",
                found != NULL ? found : "there is no configuration: name one with -c",
                found != NULL ? " does not tell where its daemon and store are" : "");
    }
    if (rc == 0)
        rc = understand(reply);
    config_destroy(config);
    problems_finish(&problems);
    return rc;
}
