/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

static int64_t steady_offset_us;

/* Before main, so that no thread can see it half done. */
__attribute__((constructor)) static void fix_steady_offset(void)
{
    steady_offset_us = read_us(CLOCK_REALTIME) - read_us(CLOCK_MONOTONIC);
}

int64_t clock_steady_ms(void)
{
    return (clock_monotonic_us() + steady_offset_us) / 1000;
}

const char *clock_format(int64_t wall_ms, char text[CLOCK_TEXT_MAX])
{
    int64_t ms = wall_ms % 1000;
    if (ms < 0)
        ms += 1000;
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL || parts.tm_year + 1900 > 9999 || parts.tm_year + 1900 < 0) {
        snprintf(text, CLOCK_TEXT_MAX, "1970-01-01T00:00:00.000Z");
        return text;
    }
    size_t len = strftime(text, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + len, CLOCK_TEXT_MAX - len, ".%03dZ", (int)ms);
    return text;
}

/* Reads exactly `digits` digits. */
static bool read_digits(struct span *text, int digits, int *out)
{
    int value = 0;
    if (text->len < (size_t)digits)
        return false;
    for (int i = 0; i < digits; i++) {
        char c = text->data[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    text->data += digits;
    text->len -= (size_t)digits;
    *out = value;
    return true;
}

static bool read_char(struct span *text, const char *any_of)
{
    if (text->len == 0 || strchr(any_of, text->data[0]) == NULL || text->data[0] == '\0')
        return false;
    text->data++;
    text->len--;
    return true;
}

static bool read_fraction_ms(struct span *text, int *ms)
{
    int scale = 100;
    bool any = false;
    *ms = 0;
    while (text->len > 0 && text->data[0] >= '0' && text->data[0] <= '9') {
        *ms += (text->data[0] - '0') * scale;
        scale /= 10;
        any = true;
        text->data++;
        text->len--;
    }
    return any;
}

static bool read_offset(struct span *text, int *minutes)
{
    if (text->len == 0)
        return false;
    char sign = text->data[0];
    if (read_char(text, "Zz")) {
        *minutes = 0;
        return true;
    }
    int hours, mins;
    if (!read_char(text, "+-") || !read_digits(text, 2, &hours) || !read_char(text, ":") ||
        !read_digits(text, 2, &mins) || hours > 23 || mins > 59)
        return false;
    *minutes = (sign == '-' ? -1 : 1) * (hours * 60 + mins);
    return true;
}

bool clock_parse(struct span text, int64_t *wall_ms)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm t = {0};
    int ms = 0, offset = 0, year, month;
    if (!read_digits(&text, 4, &year) || !read_char(&text, "-") || !read_digits(&text, 2, &month) ||
        !read_char(&text, "-") || !read_digits(&text, 2, &t.tm_mday) || !read_char(&text, "Tt ") ||
        !read_digits(&text, 2, &t.tm_hour) || !read_char(&text, ":") || !read_digits(&text, 2, &t.tm_min) ||
        !read_char(&text, ":") || !read_digits(&text, 2, &t.tm_sec))
        return false;
    if (read_char(&text, ".") && !read_fraction_ms(&text, &ms))
        return false;
    if (!read_offset(&text, &offset) || text.len != 0)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month < 1 || month > 12 || t.tm_mday < 1 || t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 60 ||
        t.tm_mday > month_days[month - 1] + (month == 2 && leap ? 1 : 0))
        return false;
    t.tm_year = year - 1900;
    t.tm_mon = month - 1;
    *wall_ms = ((int64_t)timegm(&t) - (int64_t)offset * 60) * 1000 + ms;
    return true;
}
