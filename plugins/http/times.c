/* SPDX-License-Identifier: Apache-2.0 */
/* Times as systems write them. */
#include "http.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 40
#define MILLISECONDS_FROM INT64_C(100000000000) /* as seconds: the year 5138 */

static bool read_text(const struct ht_call *call, const char *text, int64_t *ms, bool *local)
{
    char *copy = call->host->alloc(call->job, strlen(text) + 2);
    strcpy(copy, text);
    if (strlen(copy) > 10 && copy[10] == ' ')
        copy[10] = 'T';
    *local = false;
    if (pl_read_time(copy, ms))
        return true;
    strcat(copy, "Z");
    *local = true;
    return pl_read_time(copy, ms);
}

bool ht_read_time(const struct ht_call *call, struct json_object *value, int64_t *ms, bool *local)
{
    if (json_object_is_type(value, json_type_int)) {
        const int64_t number = json_object_get_int64(value);
        *local = false;
        *ms = number < MILLISECONDS_FROM ? number * 1000 : number;
        return number > 0;
    }
    const char *text = pl_text_of(call->host, call->job, value);
    return text && strlen(text) < TEXT_MAX && read_text(call, text, ms, local);
}

static bool is(const char *format, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(format, name, len) == 0;
}

struct json_object *ht_print_time(const struct ht_call *call, int64_t ms, const char *format, size_t len)
{
    const time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    char text[TEXT_MAX] = "";
    if (is(format, len, "seconds"))
        return json_object_new_int64(ms / 1000);
    if (is(format, len, "ms"))
        return json_object_new_int64(ms);
    if (len == 0)
        return json_object_new_string(pl_print_time(call->host, call->job, ms));
    if (gmtime_r(&seconds, &t))
        strftime(text, sizeof text,
                 is(format, len, "date")       ? "%Y-%m-%d"
                 : is(format, len, "datetime") ? "%Y-%m-%d %H:%M:%S"
                                               : "%Y-%m-%dT%H:%M:%S",
                 &t);
    return json_object_new_string(
        is(format, len, "iso") ? call->host->format(call->job, "%s.%03dZ", text, (int)(ms % 1000)) : text);
}

bool ht_read_duration(const char *text, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    char *end;
    const long long count = strtoll(text, &end, 10);
    for (size_t i = 0; i < PL_COUNT(units); i++)
        if (end > text && *end == units[i].unit && end[1] == '\0' && count >= 0 && count <= 36500) {
            *ms = count * units[i].ms;
            return true;
        }
    return false;
}
