/* SPDX-License-Identifier: Apache-2.0 */
#include "redact.h"

#include "digest.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct pair { /* one spelling of a secret, and the same of its stand-in */
    char *from, *to;
    bool exact; /* else in capitals or not: the hex of percent-encoding */
};

struct redact {
    struct pair *pairs;
    size_t count, cap;
};

struct redact *redact_create(void)
{
    return mem_alloc(sizeof(struct redact));
}

void redact_destroy(struct redact *redact)
{
    for (size_t i = 0; redact && i < redact->count; i++) {
        explicit_bzero(redact->pairs[i].from, strlen(redact->pairs[i].from));
        free(redact->pairs[i].from);
        free(redact->pairs[i].to);
    }
    if (redact)
        free(redact->pairs);
    free(redact);
}

/* ---- stand-ins --------------------------------------------------------------------- */

static char *shape_of(const char *secret, const char letters[3])
{
    char *shape = mem_strdup(secret);
    for (char *c = shape; *c; c++)
        *c = isdigit((unsigned char)*c)   ? letters[0]
             : islower((unsigned char)*c) ? letters[1]
             : isupper((unsigned char)*c) ? letters[2]
                                          : *c;
    return shape;
}

/* A secret that looks like its own stand-in gets another one. */
static char *stand_in(const char *secret)
{
    char *shape = shape_of(secret, "0aA");
    if (strcmp(shape, secret) != 0)
        return shape;
    free(shape);
    return shape_of(secret, "1bB");
}

/* ---- spellings ----------------------------------------------------------------------- */

static char *percent(const char *text, const char *plain)
{
    struct buf out = {0};
    for (const char *c = text; *c; c++)
        if (isalnum((unsigned char)*c) || strchr(plain, *c))
            buf_putc(&out, *c);
        else
            buf_printf(&out, "%%%02X", (unsigned)(unsigned char)*c);
    return buf_steal(&out);
}

static char *json_inside(const char *text, int flags)
{
    struct json_object *value = json_object_new_string(text);
    const char *quoted = json_object_to_json_string_ext(value, flags);
    char *inside = span_dup((struct span){quoted + 1, strlen(quoted) - 2});
    json_object_put(value);
    return inside;
}

/* Takes both. */
static void add_pair(struct redact *redact, char *from, char *to, bool exact)
{
    bool known = false;
    for (size_t i = 0; i < redact->count; i++)
        known = known || strcmp(redact->pairs[i].from, from) == 0;
    if (known) {
        free(from);
        free(to);
        return;
    }
    redact->pairs = mem_grow(redact->pairs, &redact->cap, redact->count + 1, sizeof *redact->pairs);
    redact->pairs[redact->count++] = (struct pair){from, to, exact};
}

void redact_add(struct redact *redact, const char *secret)
{
    static const char *const plain[] = {"-_.~", "-_.", "-_.~!$'()*,;:@"}; /* what encoders leave as it is */
    if (!secret || strlen(secret) < REDACT_LEAST)
        return;
    char *to cleanup_text = stand_in(secret);
    add_pair(redact, mem_strdup(secret), mem_strdup(to), true);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        add_pair(redact, percent(secret, plain[i]), percent(to, plain[i]), false);
    add_pair(redact, json_inside(secret, 0), json_inside(to, 0), true);
    add_pair(redact, json_inside(secret, JSON_C_TO_STRING_NOSLASHESCAPE),
             json_inside(to, JSON_C_TO_STRING_NOSLASHESCAPE), true);
    add_pair(redact, digest_base64(span_of(secret)), digest_base64(span_of(to)), true);
}

/* ---- text -------------------------------------------------------------------------------- */

/* The longest that stands here, so that one secret within another is no escape. */
static const struct pair *pair_at(const struct redact *redact, struct span text)
{
    const struct pair *found = NULL;
    for (size_t i = 0; i < redact->count; i++) {
        const struct pair *pair = &redact->pairs[i];
        const size_t len = strlen(pair->from);
        if (len > text.len || (found && len <= strlen(found->from)))
            continue;
        if (pair->exact ? memcmp(pair->from, text.data, len) == 0 : strncasecmp(pair->from, text.data, len) == 0)
            found = pair;
    }
    return found;
}

size_t redact_text(const struct redact *redact, struct span text, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len;) {
        const struct pair *pair = pair_at(redact, (struct span){text.data + i, text.len - i});
        buf_append(out, pair ? pair->to : text.data + i, pair ? strlen(pair->to) : 1);
        i += pair ? strlen(pair->from) : 1;
        count += pair != NULL;
    }
    return count;
}

/* ---- names --------------------------------------------------------------------------------- */

bool redact_is_secret_name(const char *name)
{
    static const char *const words[] = {"token",   "secret",  "password", "passwd",  "cookie",     "apikey",
                                        "api_key", "api-key", "authoriz", "session", "credential", "signature"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

static size_t redact_items(struct json_object *array)
{
    size_t count = 0;
    for (size_t i = 0; i < json_object_array_length(array); i++)
        count += redact_members(json_object_array_get_idx(array, i));
    return count;
}

size_t redact_members(struct json_object *value)
{
    size_t count = 0;
    if (json_object_is_type(value, json_type_array))
        return redact_items(value);
    if (!json_object_is_type(value, json_type_object))
        return 0;
    json_object_object_foreach(value, name, member)
    {
        if (json_object_is_type(member, json_type_string) && redact_is_secret_name(name)) {
            json_object_set_string(member, "***");
            count++;
        } else {
            count += redact_members(member);
        }
    }
    return count;
}
