/* SPDX-License-Identifier: Apache-2.0 */
/* Assetic's times are wall times of the site without an offset, and nothing says which zone that is. So the target
 * names it, by a POSIX TZ text ("AEST-10AEDT,M10.1.0,M4.1.0/3"): such a text holds its rules in itself, where a
 * zone's name would need the system's files and the process's one TZ. */
#include "assetic.h"

#include <string.h>
#include <time.h>

#define DAY_S INT64_C(86400)

struct change { /* Mm.w.d/time */
    int month, week, day, time_s;
};

struct zone {
    int64_t standard_s, summer_s; /* east of Greenwich */
    bool has_summer;
    struct change begin, end;
};

static bool number(const char **at, int max, int *out)
{
    const char *start = *at;
    int value = 0;
    for (; **at >= '0' && **at <= '9' && *at - start < 3; (*at)++)
        value = value * 10 + (**at - '0');
    *out = value;
    return *at > start && value <= max;
}

static bool skip(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool name(const char **at)
{
    const char *start = *at;
    if (skip(at, '<')) {
        while (**at && **at != '>')
            (*at)++;
        return skip(at, '>');
    }
    while ((**at >= 'A' && **at <= 'Z') || (**at >= 'a' && **at <= 'z'))
        (*at)++;
    return *at - start >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool clock_time(const char **at, int max_hours, int *seconds)
{
    int sign = **at == '-' ? -1 : 1, hours = 0, minutes = 0, rest = 0;
    if (!skip(at, '-'))
        skip(at, '+');
    if (!number(at, max_hours, &hours) || (skip(at, ':') && !number(at, 59, &minutes)) ||
        (skip(at, ':') && !number(at, 59, &rest)))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60 + rest);
    return true;
}

static bool change_rule(const char **at, struct change *change)
{
    change->time_s = 2 * 3600;
    if (!skip(at, ',') || !skip(at, 'M') || !number(at, 12, &change->month) || !skip(at, '.') ||
        !number(at, 5, &change->week) || !skip(at, '.') || !number(at, 6, &change->day) || change->month < 1 ||
        change->week < 1)
        return false;
    return !skip(at, '/') || clock_time(at, 167, &change->time_s);
}

static bool read_zone(const char *text, struct zone *zone)
{
    const char *at = text;
    int seconds = 0;
    if (!name(&at) || !clock_time(&at, 24, &seconds))
        return false;
    zone->standard_s = -seconds; /* POSIX counts west of Greenwich */
    zone->summer_s = zone->standard_s + 3600;
    zone->has_summer = *at != '\0';
    if (!zone->has_summer)
        return true;
    if (!name(&at))
        return false;
    if (*at != ',') {
        if (!clock_time(&at, 24, &seconds))
            return false;
        zone->summer_s = -seconds;
    }
    return change_rule(&at, &zone->begin) && change_rule(&at, &zone->end) && *at == '\0';
}

const char *as_zone_problem(const char *posix_tz)
{
    struct zone zone = {0};
    return read_zone(posix_tz, &zone)
               ? NULL
               : "time_zone must be a POSIX TZ text such as AEST-10AEDT,M10.1.0,M4.1.0/3 or UTC0";
}

/* Wall time of a change in a year: the w-th (5: last) such weekday of the month. */
static int64_t change_s(const struct change *change, int year)
{
    struct tm first = {.tm_year = year, .tm_mon = change->month - 1, .tm_mday = 1};
    struct tm next = {.tm_year = year, .tm_mon = change->month, .tm_mday = 1};
    int64_t begin = (int64_t)timegm(&first), end = (int64_t)timegm(&next);
    int64_t at = begin + ((change->day - first.tm_wday + 7) % 7 + 7 * (change->week - 1)) * DAY_S;
    while (at >= end)
        at -= 7 * DAY_S;
    return at + change->time_s;
}

static int64_t offset_s(const struct zone *zone, int64_t utc_s)
{
    time_t standard = (time_t)(utc_s + zone->standard_s);
    struct tm t;
    if (!zone->has_summer || !gmtime_r(&standard, &t))
        return zone->standard_s;
    int64_t begin = change_s(&zone->begin, t.tm_year) - zone->standard_s;
    int64_t end = change_s(&zone->end, t.tm_year) - zone->summer_s;
    bool summer = begin < end ? utc_s >= begin && utc_s < end : utc_s >= begin || utc_s < end;
    return summer ? zone->summer_s : zone->standard_s;
}

static int64_t floor_s(int64_t ms)
{
    return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

int64_t as_wall_of(const char *posix_tz, int64_t utc_ms)
{
    struct zone zone = {0};
    read_zone(posix_tz, &zone); /* checked when the target opened */
    return utc_ms + offset_s(&zone, floor_s(utc_ms)) * 1000;
}

int64_t as_utc_of(const char *posix_tz, int64_t wall_ms)
{
    struct zone zone = {0};
    read_zone(posix_tz, &zone);
    int64_t utc_s = floor_s(wall_ms) - zone.standard_s;
    return wall_ms - offset_s(&zone, utc_s == floor_s(wall_ms) - offset_s(&zone, utc_s)
                                         ? utc_s
                                         : floor_s(wall_ms) - zone.summer_s) *
                         1000;
}

static bool digits(const char **at, int count, int *out)
{
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *out = value;
    return true;
}

static bool read_offset(const char **at, int64_t *seconds)
{
    int sign = **at == '-' ? -1 : 1, hour = 0, minute = 0;
    if (skip(at, 'Z'))
        return true;
    if ((!skip(at, '+') && !skip(at, '-')) || !digits(at, 2, &hour) || !skip(at, ':') || !digits(at, 2, &minute) ||
        hour > 23 || minute > 59)
        return false;
    *seconds = (int64_t)sign * (hour * 3600 + minute * 60);
    return true;
}

bool as_read_wall(const char *posix_tz, const char *text, int64_t *wall_ms)
{
    struct tm t = {0};
    const char *at = text;
    int year = 0, month = 0, ms = 0;
    bool shaped = digits(&at, 4, &year) && skip(&at, '-') && digits(&at, 2, &month) && skip(&at, '-') &&
                  digits(&at, 2, &t.tm_mday) && skip(&at, 'T') && digits(&at, 2, &t.tm_hour) && skip(&at, ':') &&
                  digits(&at, 2, &t.tm_min) && skip(&at, ':') && digits(&at, 2, &t.tm_sec);
    if (shaped && skip(&at, '.')) {
        const char *start = at;
        for (int scale = 100; *at >= '0' && *at <= '9'; at++, scale /= 10)
            ms += (*at - '0') * scale;
        shaped = at > start;
    }
    if (!shaped || month < 1 || month > 12 || t.tm_mday < 1 || t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 59)
        return false;
    t.tm_year = year - 1900;
    t.tm_mon = month - 1;
    int day = t.tm_mday;
    *wall_ms = (int64_t)timegm(&t) * 1000 + ms;
    if (t.tm_mday != day) /* 30 February came out as 2 March */
        return false;
    if (*at == '\0')
        return true;
    int64_t offset = 0;
    if (!read_offset(&at, &offset) || *at != '\0')
        return false;
    *wall_ms = as_wall_of(posix_tz, *wall_ms - offset * 1000);
    return true;
}

const char *as_print_wall(const struct as_call *call, int64_t wall_ms)
{
    time_t seconds = (time_t)floor_s(wall_ms);
    struct tm t;
    if (!gmtime_r(&seconds, &t))
        return "1970-01-01T00:00:00";
    return call->host->format(call->job, "%04d-%02d-%02dT%02d:%02d:%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                              t.tm_hour, t.tm_min, t.tm_sec);
}
