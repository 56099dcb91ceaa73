/* SPDX-License-Identifier: Apache-2.0 */
/* OAuth2 client credentials (RFC 6749, 4.4): what is asked of the token's server, and what is kept of its answer. The
 * token lives in memory, until half a minute before its end; one that was replaced stays hidden as long as answers to
 * it may come. */
#include "target_private.h"

#include "digest.h"
#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EARLY_MS INT64_C(30000)
#define LIFE_MS INT64_C(300000) /* where the server does not tell */
#define TOKEN_MAX 16384

enum { NOW, BEFORE, TOKENS };

struct target_token {
    char *basic;          /* credential of the client; NULL: it stands in the body */
    char *tokens[TOKENS]; /* NULL: none */
    size_t hidden;        /* the first of target->secrets that is a token's */
    char *header;         /* Bearer ... */
    int64_t until_ms;     /* a little before its end */
    int number;
};

static void put_encoded(struct buf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++)
        if (strchr(plain, *text))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
}

static void wipe(char **text)
{
    if (*text)
        explicit_bzero(*text, strlen(*text));
    mem_free_char(text);
}

void target_bind_token(const struct builder *b)
{
    const struct config_oauth2 *own = &b->config->auth.oauth2;
    struct target *target = b->target;
    struct target_token *token = mem_alloc(sizeof *token);
    const char *fault = own->token_url ? target_url_fault(own->token_url) : NULL;
    if (fault)
        problems_add(b->problems, b->config->auth.mark, "token_url of target %s: a url %s", b->config->name, fault);
    target->token = token;
    target->auth_header = "Authorization";
    target_hide(target, own->client_secret);
    if (own->client_auth != OAUTH2_POST) {
        struct buf pair cleanup_buf = {0};
        put_encoded(&pair, own->client_id);
        buf_putc(&pair, ':');
        put_encoded(&pair, own->client_secret);
        char *encoded cleanup_text = digest_base64(buf_span(&pair));
        explicit_bzero(pair.data, pair.len);
        token->basic = mem_printf("Basic %s", encoded);
        target_hide(target, target_keep(b, (struct span){encoded, strcspn(encoded, "=")}));
    }
    while (target->secrets[token->hidden])
        token->hidden++;
}

void target_free_token(struct target *target)
{
    struct target_token *token = target->token;
    if (!token)
        return;
    wipe(&token->basic);
    for (size_t i = 0; i < TOKENS; i++)
        wipe(&token->tokens[i]);
    wipe(&token->header);
    target->auth_value = NULL;
    free(token);
    target->token = NULL;
}

bool target_has_token(const struct target *target, int64_t now_ms)
{
    return target->token->header && now_ms < target->token->until_ms;
}

static void put_field(struct buf *body, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(body, "%s%s=", body->len > 0 ? "&" : "", name);
    put_encoded(body, value);
}

void target_ask_token(const struct target *target, struct arena *arena, struct http_request *out)
{
    const struct config_oauth2 *own = &target->config->auth.oauth2;
    struct http_header *headers = arena_alloc(arena, 3 * sizeof *headers);
    struct buf body cleanup_buf = {0};
    size_t count = 0;
    put_field(&body, "grant_type", "client_credentials");
    put_field(&body, "scope", own->scope);
    put_field(&body, "audience", own->audience);
    if (!target->token->basic) {
        put_field(&body, "client_id", own->client_id);
        put_field(&body, "client_secret", own->client_secret);
    } else {
        headers[count++] = (struct http_header){"Authorization", span_of(target->token->basic)};
    }
    headers[count++] = (struct http_header){"Content-Type", SPAN("application/x-www-form-urlencoded")};
    headers[count++] = (struct http_header){"Accept", SPAN("application/json")};
    *out = (struct http_request){.method = "POST",
                                 .url = own->token_url,
                                 .body = {arena_dup(arena, body.data, body.len), body.len},
                                 .headers = headers,
                                 .header_count = count,
                                 .options = &target->http};
    explicit_bzero(body.data, body.len);
}

static bool fits_header(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

/* NULL: the answer holds none. */
static const char *token_in(struct json_object *answer)
{
    struct json_object *text = json_get(answer, "access_token"), *type = json_get(answer, "token_type");
    if (!json_object_is_type(text, json_type_string) || json_object_get_string_len(text) == 0 ||
        json_object_get_string_len(text) > TOKEN_MAX ||
        strlen(json_object_get_string(text)) != (size_t)json_object_get_string_len(text) ||
        !fits_header(json_object_get_string(text)))
        return NULL;
    bool bearer = !type || (json_object_is_type(type, json_type_string) &&
                            strcasecmp(json_object_get_string(type), "bearer") == 0);
    return bearer ? json_object_get_string(text) : NULL;
}

static int64_t life_of(struct json_object *answer)
{
    struct json_object *seconds = json_get(answer, "expires_in");
    int64_t life = json_object_is_type(seconds, json_type_int)      ? json_object_get_int64(seconds)
                   : json_object_is_type(seconds, json_type_string) ? json_object_get_int64(seconds)
                                                                    : 0;
    return life > 0 && life < INT32_MAX ? life * 1000 : LIFE_MS;
}

bool target_take_token(struct target *target, int status, struct span body, int64_t now_ms, const char **why)
{
    struct target_token *token = target->token;
    const char *error = NULL;
    bool is_null = false;
    struct json_object *answer cleanup_json = json_parse(body, &is_null, &error);
    const char *text = json_object_is_type(answer, json_type_object) ? token_in(answer) : NULL;
    if (status < 200 || status > 299)
        *why = status == 400 || status == 401 || status == 403 ? "the token's server refuses the client"
                                                               : "the token's server does not answer as it should";
    else
        *why = text ? NULL : "the token's server answered without a bearer token";
    if (*why)
        return false;
    wipe(&token->tokens[BEFORE]);
    wipe(&token->header);
    token->tokens[BEFORE] = token->tokens[NOW];
    token->tokens[NOW] = mem_strdup(text);
    token->header = mem_printf("Bearer %s", text);
    const int64_t life_ms = life_of(answer), early_ms = life_ms / 2 < EARLY_MS ? life_ms / 2 : EARLY_MS;
    token->until_ms = now_ms + life_ms - early_ms;
    token->number++;
    target->auth_value = token->header;
    for (size_t i = 0; i < TOKENS; i++)
        target->secrets[token->hidden + i] = token->tokens[i];
    return true;
}

int target_token_number(const struct target *target)
{
    return target->token->header ? target->token->number : 0;
}

void target_refuse_token(struct target *target, int number)
{
    if (number == target->token->number)
        target->token->until_ms = 0;
}
