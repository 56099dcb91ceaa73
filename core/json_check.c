/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of RFC 8259, to the letter, before json-c sees a byte: json-c takes NaN, 1., raw control characters and
 * more for JSON, and it changes without a word what it cannot hold. What we could not hand on as it came is refused
 * here, so that the caller makes a dead letter or a 400 of it. Names that come twice are JSON: the last one counts. */
#include "json.h"

#include <string.h>

struct scan {
    const char *at, *end;
    uint64_t objects; /* a bit for each open bracket: it is a brace */
    unsigned depth;
};

_Static_assert(JSON_DEPTH_MAX <= 64, "a bit for each open bracket");

static const char TOO_EARLY[] = "it ends too early";

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    bool there = s->at < s->end && *s->at == c;
    s->at += there;
    return there;
}

static size_t take_digits(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return (size_t)(s->at - from);
}

/* json-c quietly clamps whole numbers beyond 64 bits. Numbers keep their text with us, so such a
 * text is refused rather than changed. */
static bool is_clamped(struct span digits, bool negative)
{
    static const char most[] = "18446744073709551615", least[] = "9223372036854775808";
    struct span limit = negative ? SPAN(least) : SPAN(most);
    return digits.len > limit.len || (digits.len == limit.len && memcmp(digits.data, limit.data, limit.len) > 0);
}

static const char *scan_number(struct scan *s)
{
    static const char broken[] = "it has a number that JSON does not know";
    bool negative = take(s, '-'), whole = true;
    struct span digits = {s->at, take_digits(s)};
    if (digits.len == 0 || (digits.len > 1 && digits.data[0] == '0'))
        return broken;
    if (take(s, '.')) {
        whole = false;
        if (take_digits(s) == 0)
            return broken;
    }
    if (take(s, 'e') || take(s, 'E')) {
        whole = false;
        (void)(take(s, '+') || take(s, '-'));
        if (take_digits(s) == 0)
            return broken;
    }
    return whole && is_clamped(digits, negative) ? "it has a whole number beyond 64 bits; send it as a string" : NULL;
}

/* The four hex digits behind \u; -1: they are none. */
static int take_unit(struct scan *s)
{
    int unit = 0;
    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Behind a backslash. */
static const char *scan_escape(struct scan *s, bool is_name)
{
    static const char half[] = "it has half of a surrogate pair in a string";
    static const char broken[] = "it has an escape that JSON does not know";
    if (s->at == s->end)
        return TOO_EARLY;
    char c = *s->at++;
    if (c != 'u')
        return c != '\0' && strchr("\"\\/bfnrt", c) != NULL ? NULL : broken;
    int unit = take_unit(s);
    if (unit < 0)
        return broken;
    if (unit == 0 && is_name)
        return "it has a NUL in a name"; /* json-c would cut the name there */
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return half; /* json-c would put U+FFFD in its place */
    if (unit < 0xD800 || unit > 0xDBFF)
        return NULL;
    if (!take(s, '\\') || !take(s, 'u'))
        return half;
    unit = take_unit(s);
    return unit < 0 ? broken : unit >= 0xDC00 && unit <= 0xDFFF ? NULL : half;
}

/* Behind its opening quote. That it is UTF-8 has been seen. */
static const char *scan_string(struct scan *s, bool is_name)
{
    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at++;
        const char *fault = NULL;
        if (c == '"')
            return NULL;
        if (c < 0x20)
            return "it has a control character in a string";
        if (c == '\\' && (fault = scan_escape(s, is_name)) != NULL)
            return fault;
    }
    return TOO_EARLY;
}

static const char *scan_name(struct scan *s)
{
    skip_blanks(s);
    if (!take(s, '"'))
        return s->at == s->end ? TOO_EARLY : "it has an object with something else than a name";
    const char *fault = scan_string(s, true);
    if (fault != NULL)
        return fault;
    skip_blanks(s);
    return take(s, ':') ? NULL : s->at == s->end ? TOO_EARLY : "it has a name without a colon";
}

static const char *scan_word(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(s->end - s->at) >= len && memcmp(s->at, words[i], len) == 0) {
            s->at += len;
            return NULL;
        }
    }
    return s->at == s->end ? TOO_EARLY : "it has something else where a value should be";
}

/* Opens a bracket. *empty: it is closed again already. */
static const char *scan_open(struct scan *s, bool is_object, bool *empty)
{
    if (s->depth == JSON_DEPTH_MAX)
        return "it is nested too deep";
    skip_blanks(s);
    *empty = take(s, is_object ? '}' : ']');
    if (*empty)
        return NULL;
    s->objects = s->objects << 1 | is_object;
    s->depth++;
    return is_object ? scan_name(s) : NULL;
}

/* Closes what ends behind a value, up to the next value; *more: there is one. */
static const char *scan_close(struct scan *s, bool *more)
{
    for (*more = false; s->depth > 0; s->objects >>= 1, s->depth--) {
        bool is_object = s->objects & 1;
        skip_blanks(s);
        if (take(s, ',')) {
            *more = true;
            return is_object ? scan_name(s) : NULL;
        }
        if (!take(s, is_object ? '}' : ']'))
            return s->at == s->end ? TOO_EARLY : "it has no comma between two values";
    }
    return NULL;
}

const char *json_fault(struct span text)
{
    if (text.len == 0)
        return "it is empty"; /* and data may be NULL */
    struct scan s = {.at = text.data, .end = text.data + text.len};
    const char *fault = span_is_utf8(text) ? NULL : "it is not UTF-8";
    for (bool more = true; fault == NULL && more;) {
        bool whole = true;
        skip_blanks(&s);
        if (take(&s, '{'))
            fault = scan_open(&s, true, &whole);
        else if (take(&s, '['))
            fault = scan_open(&s, false, &whole);
        else if (take(&s, '"'))
            fault = scan_string(&s, false);
        else if (s.at < s.end && (*s.at == '-' || (*s.at >= '0' && *s.at <= '9')))
            fault = scan_number(&s);
        else
            fault = scan_word(&s);
        if (fault == NULL && whole)
            fault = scan_close(&s, &more);
    }
    skip_blanks(&s);
    return fault != NULL || s.at == s.end ? fault : "it has something behind its end";
}
