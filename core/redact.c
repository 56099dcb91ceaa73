/* SPDX-License-Identifier: Apache-2.0 */
#include "redact.h"

#include "digest.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ENCODED_MAX 3 /* times that something is percent-encoded */

struct pair {
    char *secret, *stand_in; /* of one length */
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
        explicit_bzero(redact->pairs[i].secret, strlen(redact->pairs[i].secret));
        free(redact->pairs[i].secret);
        free(redact->pairs[i].stand_in);
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

/* Without the = at its end, which some leave out. */
static char *bare_base64(const char *text)
{
    char *base64 = digest_base64(span_of(text));
    base64[strcspn(base64, "=")] = '\0';
    return base64;
}

/* Takes both. */
static void add_pair(struct redact *redact, char *secret, char *instead)
{
    bool known = false;
    for (size_t i = 0; i < redact->count; i++)
        known = known || strcmp(redact->pairs[i].secret, secret) == 0;
    if (known) {
        free(secret);
        free(instead);
        return;
    }
    redact->pairs = mem_grow(redact->pairs, &redact->cap, redact->count + 1, sizeof *redact->pairs);
    redact->pairs[redact->count++] = (struct pair){secret, instead};
}

void redact_add(struct redact *redact, const char *secret)
{
    if (!secret || strlen(secret) < REDACT_LEAST)
        return;
    char *instead = stand_in(secret);
    add_pair(redact, bare_base64(secret), bare_base64(instead));
    add_pair(redact, mem_strdup(secret), instead);
}

/* ---- spellings ----------------------------------------------------------------------- */

/* The number that so many hex digits say; -1: they are none. */
static int hex_number(struct span text, size_t digits)
{
    int number = 0;
    if (text.len < digits)
        return -1;
    for (size_t i = 0; i < digits; i++) {
        const char c = text.data[i];
        if (!isxdigit((unsigned char)c))
            return -1;
        number = number * 16 + (isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return number;
}

static struct span behind(struct span text, size_t len)
{
    return (struct span){text.data + len, text.len - len};
}

/* A letter, and what stands for it in a form, and in a URL's Base64. */
static const char also[][2] = {{' ', '+'}, {'+', '-'}, {'/', '_'}};

/* In capitals or not: what makes a URL or a header's name small makes all of it small. */
static bool is_letter(char c, char spelled)
{
    bool found = tolower((unsigned char)spelled) == tolower((unsigned char)c);
    for (size_t i = 0; i < sizeof also / sizeof *also; i++)
        found = found || (also[i][0] == c && also[i][1] == spelled);
    return found;
}

/* %2F, or %252F where it was encoded twice. */
static size_t percent_len(char c, struct span text, size_t times)
{
    size_t at = 1;
    if (times == 0 || text.data[0] != '%')
        return 0;
    for (; times > 1; times--, at += 2)
        if (at >= text.len || hex_number(behind(text, at), 2) != '%')
            return 0;
    const int byte = at < text.len ? hex_number(behind(text, at), 2) : -1;
    return byte > 0 && is_letter(c, (char)byte) ? at + 2 : 0;
}

/* Length in UTF-8. */
static size_t put_utf8(int code, char out[3])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(code < 0x800 ? 0xc0 | code >> 6 : 0xe0 | code >> 12);
    out[code < 0x800 ? 1 : 2] = (char)(0x80 | (code & 0x3f));
    if (code >= 0x800)
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    return code < 0x800 ? 2 : 3;
}

/* What may stand behind a backslash of JSON's: u002f, n, or the letter itself where it is none of the alphabet. */
static size_t escape_len(const char *secret, struct span text, size_t *taken)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    char bytes[3];
    const int code = text.len > 0 && *text.data == 'u' ? hex_number(behind(text, 1), 4) : -1;
    const size_t len = code > 0 ? put_utf8(code, bytes) : 0;
    if (len > 0 && strncmp(secret, bytes, len) == 0) {
        *taken = len;
        return 5;
    }
    const char *control = strchr(meant, *secret);
    const char wanted = control ? letters[control - meant] : *secret;
    return text.len > 0 && *text.data == wanted && (control || !isalnum((unsigned char)wanted)) ? 1 : 0;
}

static size_t backslashes(struct span text)
{
    size_t count = 0;
    while (count < text.len && text.data[count] == '\\')
        count++;
    return count;
}

/* How much of the text spells what the secret begins with, *taken bytes of it; 0: it does not. What is quoted twice has
 * more backslashes. times: how often the text is percent-encoded. */
static size_t letter_len(const char *secret, struct span text, size_t times, size_t *taken)
{
    const size_t quotes = backslashes(text), own = strspn(secret, "\\");
    size_t len;
    *taken = 1;
    if (text.len == 0)
        return 0;
    if (quotes > 0) {
        len = escape_len(secret, behind(text, quotes), taken);
        if (len > 0)
            return quotes + len;
        *taken = own;
        return own > 0 && quotes >= own ? quotes : 0;
    }
    len = percent_len(*secret, text, times);
    return len > 0 ? len : is_letter(*secret, *text.data) ? 1 : 0;
}

/* How much of the text is the secret; 0: it does not start here, *fits is how much of it would. out: where the stand-in
 * goes, with what is the same in both as the text spells it. NULL: nowhere. */
static size_t secret_len(const struct pair *pair, struct span text, size_t times, size_t *fits, struct buf *out)
{
    size_t taken;
    *fits = 0;
    for (const char *at = pair->secret; *at; at += taken) {
        const size_t len = letter_len(at, behind(text, *fits), times, &taken);
        if (len == 0)
            return 0;
        const char *instead = out ? pair->stand_in + (at - pair->secret) : at;
        const bool same = strncmp(at, instead, taken) == 0;
        if (out)
            buf_append(out, same ? text.data + *fits : instead, same ? len : taken);
        *fits += len;
    }
    return *fits;
}

/* *times: how often it is percent-encoded there, which is found by trying: only a % in the text or in the secret makes
 * a difference. */
static size_t pair_len(const struct pair *pair, struct span text, size_t *times)
{
    for (*times = 0; *times <= ENCODED_MAX; ++*times) {
        size_t fits;
        const size_t len = secret_len(pair, text, *times, &fits, NULL);
        if (len > 0)
            return strlen(pair->secret) >= REDACT_LEAST ? len : 0;
        const bool encoded = fits < text.len && text.data[fits] == '%';
        if (!encoded && (fits == 0 || !strchr(pair->secret, '%')))
            return 0;
    }
    return 0;
}

size_t redact_spelled(const char *secret, struct span text)
{
    size_t times;
    return pair_len(&(struct pair){.secret = (char *)(uintptr_t)secret}, text, &times);
}

void redact_begins(const char *secret, bool begins[256])
{
    begins['\\'] = begins['%'] = true;
    begins[tolower((unsigned char)*secret)] = begins[toupper((unsigned char)*secret)] = true;
    for (size_t i = 0; i < sizeof also / sizeof *also; i++)
        if (also[i][0] == *secret)
            begins[(unsigned char)also[i][1]] = true;
}

/* ---- text -------------------------------------------------------------------------------- */

/* The longest that stands here is replaced, so that one secret within another is no escape. 0: none does */
static size_t replace(const struct redact *redact, struct span text, struct buf *out)
{
    const struct pair *found = NULL;
    size_t longest = 0, encoded = 0, times;
    for (size_t i = 0; i < redact->count; i++) {
        const size_t len = pair_len(&redact->pairs[i], text, &times);
        if (len > longest) {
            found = &redact->pairs[i];
            longest = len;
            encoded = times;
        }
    }
    return found ? secret_len(found, text, encoded, &longest, out) : 0;
}

size_t redact_text(const struct redact *redact, struct span text, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len;) {
        const size_t len = replace(redact, behind(text, i), out);
        if (len == 0)
            buf_putc(out, text.data[i]);
        i += len > 0 ? len : 1;
        count += len > 0;
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

static size_t redact_items(struct json_object *array, struct redact *learn)
{
    size_t count = 0;
    for (size_t i = 0; i < json_object_array_length(array); i++)
        count += redact_members(json_object_array_get_idx(array, i), learn);
    return count;
}

size_t redact_members(struct json_object *value, struct redact *learn)
{
    size_t count = 0;
    if (json_object_is_type(value, json_type_array))
        return redact_items(value, learn);
    if (!json_object_is_type(value, json_type_object))
        return 0;
    json_object_object_foreach(value, name, member)
    {
        if (json_object_is_type(member, json_type_string) && redact_is_secret_name(name)) {
            if (learn)
                redact_add(learn, json_object_get_string(member));
            json_object_set_string(member, "***");
            count++;
        } else {
            count += redact_members(member, learn);
        }
    }
    return count;
}
