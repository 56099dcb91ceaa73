/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(n) (1u << (n))

/* ---- the words -------------------------------------------------------------*/

enum status {
    REQUESTED,
    TRIAGED,
    APPROVED,
    ASSIGNED,
    IN_PROGRESS,
    BLOCKED,
    COMPLETED,
    CLOSED,
    CANCELED,
    REOPENED,
    UNKNOWN,
    STATUS_COUNT
};

static const char *const statuses[STATUS_COUNT] = {
    [REQUESTED] = "requested",     [TRIAGED] = "triaged",   [APPROVED] = "approved",   [ASSIGNED] = "assigned",
    [IN_PROGRESS] = "in_progress", [BLOCKED] = "blocked",   [COMPLETED] = "completed", [CLOSED] = "closed",
    [CANCELED] = "canceled",       [REOPENED] = "reopened", [UNKNOWN] = "unknown",
};

static const char *const priorities[] = {"critical", "high", "medium", "low"};

static const char *const events[] = {"work_order.created", "work_order.updated", "work_order.completed",
                                     "work_order.closed",  "attachment.added",   "sync.failed",
                                     "mapping.exception"};

static const struct {
    const char *name;
    const char *const *words;
    size_t count;
} lists[WORD_LISTS] = {
    [WORDS_STATUS] = {"status", statuses, COUNT(statuses)},
    [WORDS_PRIORITY] = {"priority", priorities, COUNT(priorities)},
    [WORDS_EVENT] = {"event", events, COUNT(events)},
};

const char *lifecycle_list_name(enum word_list list)
{
    return lists[list].name;
}

const char *const *lifecycle_words(enum word_list list, size_t *count)
{
    *count = lists[list].count;
    return lists[list].words;
}

/* The number of words when it is none of them. */
static size_t find(const char *const *words, size_t count, const char *word)
{
    size_t i = 0;
    while (i < count && (word == NULL || strcmp(words[i], word) != 0))
        i++;
    return i;
}

const char *lifecycle_word(enum word_list list, const char *word)
{
    size_t i = find(lists[list].words, lists[list].count, word);
    return i < lists[list].count ? lists[list].words[i] : NULL;
}

/* ---- the lifecycle -----------------------------------------------------------*/

/* FV-04: bits of what may follow. Nothing follows unknown: where it stands, nobody could say. */
static const unsigned next_of[STATUS_COUNT] = {
    [REQUESTED] = BIT(TRIAGED) | BIT(APPROVED) | BIT(ASSIGNED) | BIT(CANCELED),
    [TRIAGED] = BIT(APPROVED) | BIT(ASSIGNED) | BIT(CANCELED),
    [APPROVED] = BIT(ASSIGNED) | BIT(BLOCKED) | BIT(IN_PROGRESS) | BIT(CANCELED),
    [ASSIGNED] = BIT(IN_PROGRESS) | BIT(BLOCKED) | BIT(COMPLETED) | BIT(CANCELED),
    [IN_PROGRESS] = BIT(BLOCKED) | BIT(COMPLETED) | BIT(CANCELED),
    [BLOCKED] = BIT(APPROVED) | BIT(ASSIGNED) | BIT(IN_PROGRESS) | BIT(CANCELED),
    [COMPLETED] = BIT(CLOSED) | BIT(REOPENED),
    [CLOSED] = BIT(REOPENED),
    [CANCELED] = BIT(REOPENED),
    [REOPENED] = BIT(ASSIGNED) | BIT(IN_PROGRESS) | BIT(COMPLETED) | BIT(CANCELED),
};

bool lifecycle_allows(const char *from, const char *to)
{
    size_t f = find(statuses, STATUS_COUNT, from), t = find(statuses, STATUS_COUNT, to);
    return f < STATUS_COUNT && t < STATUS_COUNT && (f == t || (next_of[f] & BIT(t)) != 0);
}

bool lifecycle_is_over(const char *status)
{
    size_t i = find(statuses, STATUS_COUNT, status);
    return i == COMPLETED || i == CLOSED || i == CANCELED;
}

void lifecycle_print_next(const char *from, struct buf *out)
{
    size_t f = find(statuses, STATUS_COUNT, from), left = 0;
    for (size_t t = 0; f < STATUS_COUNT && t < STATUS_COUNT; t++)
        left += (next_of[f] & BIT(t)) != 0;
    if (left == 0)
        buf_puts(out, "nothing");
    for (size_t t = 0; left > 0; t++) {
        if ((next_of[f] & BIT(t)) == 0)
            continue;
        left--;
        buf_printf(out, "%s%s", statuses[t], left == 0 ? "" : left == 1 ? " or " : ", ");
    }
}

/* ---- sync states ---------------------------------------------------------------*/

enum sync { NEW, IMPORTED, PENDING, SYNCHRONIZED, RETRYING, REJECTED, STALE, SYNC_COUNT };

static const char *const sync_names[SYNC_COUNT] = {[NEW] = "",
                                                   [IMPORTED] = "imported",
                                                   [PENDING] = "pending",
                                                   [SYNCHRONIZED] = "synchronized",
                                                   [RETRYING] = "retrying",
                                                   [REJECTED] = "rejected",
                                                   [STALE] = "stale"};

/* FV-05: bits of what a state is entered from. Beyond the contract's table, each by what the state means: a retry is
 * answered 202 (retrying -> pending), and a target speaks again of what had turned stale (stale -> synchronized). */
static const unsigned entered_from[SYNC_COUNT] = {
    [IMPORTED] = BIT(NEW),
    [PENDING] = BIT(NEW) | BIT(IMPORTED) | BIT(SYNCHRONIZED) | BIT(STALE) | BIT(REJECTED) | BIT(RETRYING),
    [SYNCHRONIZED] = BIT(PENDING) | BIT(RETRYING) | BIT(IMPORTED) | BIT(STALE),
    [RETRYING] = BIT(PENDING),
    [REJECTED] = BIT(PENDING) | BIT(RETRYING),
    [STALE] = BIT(PENDING) | BIT(SYNCHRONIZED) | BIT(IMPORTED),
};

bool sync_state_allows(const char *from, const char *to)
{
    size_t f = find(sync_names, SYNC_COUNT, from != NULL ? from : ""), t = find(sync_names, SYNC_COUNT, to);
    return f < SYNC_COUNT && t < SYNC_COUNT && (entered_from[t] & BIT(f)) != 0;
}
