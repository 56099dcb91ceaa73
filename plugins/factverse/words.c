/* SPDX-License-Identifier: Apache-2.0 */
#include "factverse.h"

#include <string.h>
#include <time.h>

static const char *const statuses[] = {"requested", "triaged", "approved", "assigned", "in_progress", "blocked",
                                       "completed", "closed",  "canceled", "reopened", "unknown"};
static const char *const priorities[] = {"critical", "high", "medium", "low"};
static const char *const sync_states[] = {"imported", "pending", "synchronized", "retrying", "rejected", "stale"};

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(words[i], word) != 0)
        i++;
    return i < count;
}

bool fv_is_status(const char *word)
{
    return is_one_of(word, statuses, PL_COUNT(statuses));
}

bool fv_is_priority(const char *word)
{
    return is_one_of(word, priorities, PL_COUNT(priorities));
}

bool fv_is_sync_state(const char *word)
{
    return is_one_of(word, sync_states, PL_COUNT(sync_states));
}

const char *fv_nearest_status(const char *word)
{
    return pl_nearest(word, statuses, PL_COUNT(statuses));
}

bool fv_is_provider(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    return strspn(word, plain) == strlen(word) && *word && strlen(word) <= 64 && !strchr("_.-", *word);
}

const char *fv_print_time(const struct fv_call *call, int64_t ms)
{
    char text[32];
    const time_t seconds = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t);
    const int fraction = (int)((ms % 1000 + 1000) % 1000);
    return fraction ? call->host->format(call->job, "%s.%03dZ", text, fraction)
                    : call->host->format(call->job, "%sZ", text);
}
