/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_TEXT_MAX 64

/* Copies a short text so that the C library can read it; no white space, no signs but '-' in front. */
static bool copy_plain(struct span text, const char *allowed, char copy[NUMBER_TEXT_MAX])
{
    if (text.len == 0 || text.len >= NUMBER_TEXT_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\0' || strchr(allowed, text.data[i]) == NULL)
            return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return true;
}

bool number_parse_int(struct span text, int64_t min, int64_t max, int64_t *out)
{
    char copy[NUMBER_TEXT_MAX], *end;
    if (!copy_plain(text, "-0123456789", copy))
        return false;
    errno = 0;
    long long value = strtoll(copy, &end, 10);
    if (*end != '\0' || errno != 0 || value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool number_parse_double(struct span text, double *out)
{
    char copy[NUMBER_TEXT_MAX], *end;
    if (!copy_plain(text, "+-.0123456789eE", copy) || copy[0] == '+')
        return false;
    errno = 0;
    double value = strtod(copy, &end); /* LC_NUMERIC stays "C": the program never calls setlocale */
    if (*end != '\0' || end == copy || !isfinite(value))
        return false;
    *out = value;
    return true;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* <whole number><unit>; the number of digits bounds the overflow check. */
static bool parse_with_unit(struct span text, const struct unit *units, size_t count, int64_t *out)
{
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    int64_t value;
    if (!number_parse_int((struct span){text.data, digits}, 0, INT64_MAX, &value))
        return false;
    struct span name = {text.data + digits, text.len - digits};
    for (size_t i = 0; i < count; i++) {
        if (!span_is(name, units[i].name))
            continue;
        if (value > INT64_MAX / units[i].factor)
            return false;
        *out = value * units[i].factor;
        return true;
    }
    return false;
}

static const struct unit duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

bool number_parse_duration(struct span text, int64_t *ms)
{
    if (span_is(text, "0")) {
        *ms = 0;
        return true;
    }
    return parse_with_unit(text, duration_units, sizeof(duration_units) / sizeof(duration_units[0]), ms);
}

bool number_parse_size(struct span text, int64_t *bytes)
{
    static const struct unit units[] = {{"", 1},          {"B", 1},           {"kB", 1000},
                                        {"MB", 1000000},  {"GB", 1000000000}, {"KiB", 1024},
                                        {"MiB", 1048576}, {"GiB", 1073741824}};
    return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), bytes);
}

static bool split_rate(struct span text, int64_t *count, int64_t *window_ms)
{
    const char *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    if (slash == NULL)
        return false;
    struct span left = {text.data, (size_t)(slash - text.data)};
    struct span right = {slash + 1, text.len - left.len - 1};
    if (!number_parse_int(left, 1, INT64_MAX / 2, count))
        return false;
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++)
        if (span_is(right, duration_units[i].name)) { /* "10/s" means "10/1s" */
            *window_ms = duration_units[i].factor;
            return true;
        }
    return number_parse_duration(right, window_ms) && *window_ms > 0;
}

bool number_parse_rate(struct span text, double *per_second)
{
    int64_t count, window_ms;
    if (!split_rate(text, &count, &window_ms))
        return false;
    *per_second = (double)count * 1000.0 / (double)window_ms;
    return true;
}

bool number_parse_budget(struct span text, int64_t *count, int64_t *window_ms)
{
    return split_rate(text, count, window_ms);
}

void number_format_duration(int64_t ms, char text[24])
{
    size_t i = sizeof(duration_units) / sizeof(duration_units[0]) - 1;
    while (i > 0 && (ms == 0 || ms % duration_units[i].factor != 0))
        i--;
    if (ms == 0)
        snprintf(text, 24, "0");
    else
        snprintf(text, 24, "%lld%s", (long long)(ms / duration_units[i].factor), duration_units[i].name);
}
