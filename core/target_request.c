/* SPDX-License-Identifier: Apache-2.0 */
#include "target_private.h"

#include "redact.h"

#include <string.h>
#include <strings.h>

#define MOST_HEADERS 64

/* ---- what a plugin may ask for -------------------------------------------------- */

static bool is_method(const char *method)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; method && i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i], method) == 0)
            return true;
    return false;
}

/* "." or "..", also percent-encoded. */
static bool is_dots(const char *segment, const char *end)
{
    size_t dots = 0;
    for (; segment < end; dots++) {
        if (*segment == '.')
            segment++;
        else if (end - segment >= 3 && strncasecmp(segment, "%2e", 3) == 0)
            segment += 3;
        else
            return false;
    }
    return dots == 1 || dots == 2;
}

bool target_path_walks(struct span path)
{
    const char *end = path.data + path.len;
    for (const char *at = path.data; at < end;) {
        const char *slash = memchr(at + 1, '/', (size_t)(end - at - 1));
        slash = slash ? slash : end;
        if (is_dots(at + 1, slash))
            return true;
        at = slash;
    }
    return false;
}

static const char *path_fault(const char *path)
{
    if (!path || *path != '/')
        return "the plugin's path does not start with /";
    for (const char *at = path; *at; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f || *at == '#' || *at == '\\')
            return "the plugin's path has a character that must be percent-encoded";
    if (target_path_walks((struct span){path, strcspn(path, "?")}))
        return "the plugin's path walks with . or ..";
    return NULL;
}

static bool has_line_break(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f)
            return true;
    return false;
}

/* Headers that are the core's, or that change how a request is framed. */
static bool is_core_header(const struct target *target, const char *name)
{
    static const char *const names[] = {
        "Authorization", "Proxy-Authorization", "Host",       "Content-Length", "Content-Type", "Transfer-Encoding",
        "Expect",        "Connection",          "User-Agent", "Upgrade",        "TE",           "Trailer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(names[i], name) == 0)
            return true;
    if (target->auth_header && strcasecmp(target->auth_header, name) == 0)
        return true;
    return target->plugin->auth.header && strcasecmp(target->plugin->auth.header, name) == 0;
}

static const char *header_fault(const struct target *target, const struct bb_header *header)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (!header->name || !*header->name || strspn(header->name, token) != strlen(header->name))
        return "a header of the plugin's has no proper name";
    if (is_core_header(target, header->name))
        return "the plugin sets a header that is the core's";
    if (has_line_break((struct span){header->value.data, header->value.len}))
        return "a header of the plugin's has a line break or control character";
    return NULL;
}

static const char *request_fault(const struct target *target, const struct bb_request *request)
{
    if (!is_method(request->method))
        return "the plugin's method is none of GET, POST, PUT, PATCH, DELETE";
    bool get = strcmp(request->method, "GET") == 0;
    if (get && request->body.len)
        return "the plugin's GET has a body";
    if (request->cache_ms < 0 || (request->cache_ms > 0 && !get))
        return "the plugin's cache_ms is negative or not with a GET";
    if (request->content_type && has_line_break(span_of(request->content_type)))
        return "the plugin's content_type has a line break or control character";
    if (request->header_count > MOST_HEADERS)
        return "the plugin sets more than 64 headers";
    const char *fault = path_fault(request->path);
    for (size_t i = 0; !fault && i < request->header_count; i++)
        fault = header_fault(target, &request->headers[i]);
    return fault;
}

int target_request(const struct target *target, struct bb_job *job, const struct bb_request *request,
                   struct http_request *out, const char **error)
{
    *error = request_fault(target, request);
    if (*error)
        return -1;
    size_t base = strlen(target->url), path = strlen(request->path);
    char *url = arena_alloc(job->arena, base + path + 1);
    memcpy(url, target->url, base);
    memcpy(url + base, request->path, path);
    struct http_header *headers = arena_alloc(job->arena, (request->header_count + 2) * sizeof *headers);
    size_t count = 0;
    if (target->auth_header)
        headers[count++] = (struct http_header){target->auth_header, span_of(target->auth_value)};
    if (request->body.len)
        headers[count++] = (struct http_header){
            "Content-Type", span_of(request->content_type ? request->content_type : "application/json")};
    for (size_t i = 0; i < request->header_count; i++) {
        const struct bb_header *header = &request->headers[i];
        headers[count++] = (struct http_header){header->name, {header->value.data, header->value.len}};
    }
    *out = (struct http_request){.method = request->method,
                                 .url = url,
                                 .body = {request->body.data, request->body.len},
                                 .headers = headers,
                                 .header_count = count,
                                 .options = &target->http};
    return 0;
}

/* ---- for people -------------------------------------------------------------------- */

/* Length of the secret that starts here, or 0. */
static size_t secret_at(const struct target *target, struct span text)
{
    for (size_t i = 0; i < TARGET_SECRETS && target->secrets[i]; i++) {
        const size_t len = redact_spelled(target->secrets[i], text);
        if (len > 0)
            return len;
    }
    return 0;
}

void target_scrub(const struct target *target, struct span text, struct buf *out, size_t max)
{
    const size_t start = out->len;
    bool begins[256] = {false}; /* a secret may begin with this byte; what lies between such bytes is copied in runs */
    for (size_t i = 0; i < TARGET_SECRETS && target->secrets[i]; i++)
        redact_begins(target->secrets[i], begins);
    size_t i = 0;
    while (i < text.len && out->len - start < max) {
        size_t secret = secret_at(target, (struct span){text.data + i, text.len - i}), run = 1,
               room = max - (out->len - start);
        if (secret) {
            buf_puts(out, "***");
            i += secret;
            continue;
        }
        while (run < room && i + run < text.len && !begins[(unsigned char)text.data[i + run]])
            run++;
        buf_append(out, text.data + i, run);
        i += run;
    }
    if (i == text.len)
        return;
    while (out->len > start && ((unsigned char)text.data[i] & 0xc0) == 0x80) { /* not inside a character */
        i--;
        out->data[--out->len] = '\0';
    }
    buf_puts(out, "...");
}

void target_request_print(const struct http_request *request, const struct target *target, struct buf *out, size_t max)
{
    struct buf text cleanup_buf = {0};
    buf_puts(&text, request->method);
    buf_putc(&text, ' ');
    buf_puts(&text, request->url);
    buf_putc(&text, '\n');
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        bool secret = target->auth_header && strcasecmp(header->name, target->auth_header) == 0;
        buf_puts(&text, header->name);
        buf_puts(&text, ": ");
        if (secret)
            buf_puts(&text, "***");
        else
            buf_append(&text, header->value.data, header->value.len);
        buf_putc(&text, '\n');
    }
    if (request->options && request->options->user_agent)
        buf_printf(&text, "User-Agent: %s\n", request->options->user_agent);
    if (request->body.len) {
        buf_putc(&text, '\n');
        buf_append(&text, request->body.data, request->body.len);
    }
    target_scrub(target, buf_span(&text), out, max);
}

static bool find_header(const struct bb_response *response, const char *name, struct span *value)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0) {
            *value = (struct span){response->headers[i].value.data, response->headers[i].value.len};
            return true;
        }
    return false;
}

/* A date is by the target's own clock, which may be an hour off: its Date says what time it has. */
void target_heed_retry_after(enum bb_next next, const struct bb_response *response, int64_t now_wall_ms,
                             struct bb_out *out)
{
    if (next != BB_RETRY || !response || out->retry_after_ms != 0)
        return;
    struct span after, date;
    int64_t now_ms = now_wall_ms;
    if (!find_header(response, "Retry-After", &after))
        return;
    if (find_header(response, "Date", &date))
        http_parse_date(date, &now_ms);
    http_parse_retry_after(after, now_ms, &out->retry_after_ms);
}
