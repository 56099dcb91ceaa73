/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <json-c/json.h>
#include <json-c/json_pointer.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 64
#define WORD_MAX 48

struct json_tokener *pl_parser(int depth)
{
    struct json_tokener *tokener = json_tokener_new_ex(depth);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    return tokener;
}

struct json_object *pl_parse(struct bb_str text)
{
    struct json_tokener *tokener = pl_parser(DEPTH_MAX);
    struct json_object *value = pl_parse_with(tokener, text);
    json_tokener_free(tokener);
    return value;
}

/* json-c's own check takes what is longer than it need be, surrogates, and what is beyond U+10FFFF. */
static bool is_utf8(struct bb_str text)
{
    const unsigned char *p = (const unsigned char *)text.data, *end = p + text.len;
    while (p < end) {
        if (*p < 0x80) {
            p++;
            continue;
        }
        int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
        uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80, c = *p & (0x3fU >> more);
        if (*p < 0xc2 || *p > 0xf4 || end - p <= more)
            return false;
        for (p++; more > 0; more--, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            c = c << 6 | (*p & 0x3f);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
    }
    return true;
}

struct json_object *pl_parse_with(struct json_tokener *tokener, struct bb_str text)
{
    if (text.len == 0 || text.len > INT_MAX - 1 || !is_utf8(text))
        return NULL;
    json_tokener_reset(tokener);
    struct json_object *value = json_tokener_parse_ex(tokener, text.data, (int)text.len);
    enum json_tokener_error state = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    if (state == json_tokener_continue) { /* a bare number ends only where the text does */
        value = json_tokener_parse_ex(tokener, "", 1);
        state = json_tokener_get_error(tokener);
        end = text.len;
    }
    while (end < text.len && text.data[end] != '\0' && strchr(" \t\r\n", text.data[end]))
        end++;
    if (state == json_tokener_success && end == text.len)
        return value;
    json_object_put(value);
    return NULL;
}

struct json_object *pl_parse_text(const char *text)
{
    return text ? pl_parse((struct bb_str){text, strlen(text)}) : NULL;
}

void pl_put(struct json_object **value)
{
    json_object_put(*value);
    *value = NULL;
}

struct bb_str pl_print(const struct bb_host *host, struct bb_job *job, struct json_object *value)
{
    size_t len = 0;
    const char *text =
        json_object_to_json_string_length(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    return (struct bb_str){pl_text(host, job, (struct bb_str){text, len}), len};
}

const char *pl_text(const struct bb_host *host, struct bb_job *job, struct bb_str text)
{
    char *copy = host->alloc(job, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

struct json_object *pl_at(struct json_object *root, const char *pointer)
{
    struct json_object *value = NULL;
    return root && json_pointer_get(root, pointer, &value) == 0 ? value : NULL;
}

struct json_object *pl_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &value);
    return value;
}

const char *pl_text_of(const struct bb_host *host, struct bb_job *job, struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string))
        return NULL;
    struct bb_str text = {json_object_get_string(value), (size_t)json_object_get_string_len(value)};
    return text.len > 0 && strlen(text.data) == text.len ? pl_text(host, job, text) : NULL;
}

const char *pl_text_at(const struct bb_host *host, struct bb_job *job, struct json_object *root, const char *pointer)
{
    return pl_text_of(host, job, pl_at(root, pointer));
}

int pl_characters(struct json_object *text)
{
    const char *bytes = json_object_get_string(text);
    int count = 0;
    for (int i = 0; i < json_object_get_string_len(text); i++)
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

bool pl_matches(const char *text, size_t max, const char *extra)
{
    size_t len = 0;
    for (; text[len]; len++) {
        char c = text[len];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (len >= max || (!plain && !strchr(extra, c)))
            return false;
    }
    return len > 0;
}

/* Edits from a to b, by rows. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], lb = strlen(b);
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < step ? change : step;
        }
    }
    return row[lb];
}

const char *pl_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t least = strlen(word) / 2 + 1;
    if (strlen(word) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, words[i]);
        if (d < least) {
            least = d;
            best = words[i];
        }
    }
    return best;
}

static bool read_number(const char **at, size_t digits, int *out)
{
    int value = 0;
    for (size_t i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *out = value;
    return true;
}

static bool skip(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool read_fraction(const char **at, int *ms)
{
    const char *start = *at;
    for (int scale = 100; **at >= '0' && **at <= '9'; (*at)++, scale /= 10)
        *ms += (**at - '0') * scale;
    return *at > start;
}

static bool read_offset(const char **at, int *minutes)
{
    int sign = **at == '-' ? -1 : 1, hour = 0, minute = 0;
    if (skip(at, 'Z'))
        return true;
    if (!skip(at, '+') && !skip(at, '-'))
        return false;
    if (!read_number(at, 2, &hour) || !skip(at, ':') || !read_number(at, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *minutes = sign * (hour * 60 + minute);
    return true;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool pl_read_time(const char *text, int64_t *ms)
{
    struct tm t = {0};
    const char *at = text;
    int year = 0, month = 0, fraction = 0, offset = 0;
    bool shaped = read_number(&at, 4, &year) && skip(&at, '-') && read_number(&at, 2, &month) && skip(&at, '-') &&
                  read_number(&at, 2, &t.tm_mday) && skip(&at, 'T') && read_number(&at, 2, &t.tm_hour) &&
                  skip(&at, ':') && read_number(&at, 2, &t.tm_min) && skip(&at, ':') &&
                  read_number(&at, 2, &t.tm_sec) && (!skip(&at, '.') || read_fraction(&at, &fraction)) &&
                  read_offset(&at, &offset) && *at == '\0';
    if (!shaped || month < 1 || month > 12 || t.tm_mday < 1 || t.tm_mday > days_of(year, month) || t.tm_hour > 23 ||
        t.tm_min > 59 || t.tm_sec > 60)
        return false;
    t.tm_year = year - 1900;
    t.tm_mon = month - 1;
    *ms = ((int64_t)timegm(&t) - (int64_t)offset * 60) * 1000 + fraction;
    return true;
}

const char *pl_print_time(const struct bb_host *host, struct bb_job *job, int64_t ms)
{
    const int64_t past = ((ms % 1000) + 1000) % 1000;
    const time_t seconds = (time_t)((ms - past) / 1000);
    struct tm t;
    char text[40];
    if (!gmtime_r(&seconds, &t) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t) == 0)
        return "";
    return past ? host->format(job, "%s.%03d+00:00", text, (int)past) : host->format(job, "%s+00:00", text);
}
