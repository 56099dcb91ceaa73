/* SPDX-License-Identifier: Apache-2.0 */

/* What a reading says: the condition with its memory. Cost and memory do not grow with the number of
 * readings: a window is 20 buckets, a meter two numbers. */

#include "trigger_words.h"

#include "number.h"

#include <math.h>
#include <string.h>

size_t trigger_words(const struct trigger_rule *rule)
{
    size_t words = (size_t)rule->budget;
    if (rule->derive == TRIGGER_RATE)
        return words + RATE_WORDS;
    if (rule->derive != TRIGGER_AS_IT_IS)
        return words + 1 + (size_t)TRIGGER_BUCKETS * BUCKET_WORDS;
    switch (rule->kind) {
    case TRIGGER_CHANGES:
        return words + CHANGES_WORDS;
    case TRIGGER_EVERY:
        return words + METER_WORDS;
    case TRIGGER_ALL:
    case TRIGGER_ANY:
        return words + rule->member_count * MEMBER_WORDS;
    case TRIGGER_NONE:
    case TRIGGER_ABOVE:
    case TRIGGER_BELOW:
    case TRIGGER_OUTSIDE:
    case TRIGGER_EQUALS:
    case TRIGGER_WHEN:
    case TRIGGER_ABSENT:
        break;
    }
    return words;
}

/* ---- without memory --------------------------------------------------------*/

static bool is_equal(const struct trigger_rule *rule, const struct trigger_input *input)
{
    for (size_t i = 0; i < rule->equal_count; i++) {
        const struct trigger_equal *equal = &rule->equals[i];
        if (equal->numeric && input->numeric) {
            if (equal->number == input->number)
                return true;
        } else if (equal->text.len == input->text.len &&
                   (equal->text.len == 0 || memcmp(equal->text.data, input->text.data, equal->text.len) == 0)) {
            return true;
        }
    }
    return false;
}

static struct trigger_reading compare(const struct trigger_rule *rule, double value)
{
    struct trigger_reading reading = {.value = value};
    if (rule->kind == TRIGGER_ABOVE) {
        reading.holds = value > rule->high;
        reading.clear = value < rule->clear_high;
        reading.reason = "below_threshold";
    } else if (rule->kind == TRIGGER_BELOW) {
        reading.holds = value < rule->low;
        reading.clear = value > rule->clear_low;
        reading.reason = "above_threshold";
    } else {
        reading.holds = value < rule->low || value > rule->high;
        reading.clear = value >= rule->clear_low && value <= rule->clear_high;
        reading.reason = "in_band";
    }
    if (!rule->has_clear)
        reading.clear = !reading.holds;
    return reading;
}

struct trigger_reading trigger_compare(const struct trigger_rule *rule, const struct trigger_input *input)
{
    if (rule->kind == TRIGGER_EQUALS) {
        bool equal = is_equal(rule, input);
        return (struct trigger_reading){equal, !equal, false, "not_equal", input->number};
    }
    if (rule->kind == TRIGGER_WHEN)
        return (struct trigger_reading){input->holds, input->clear, false, "condition_false", input->number};
    return compare(rule, input->number);
}

/* ---- derived values --------------------------------------------------------*/

static struct trigger_reading nothing_yet(const char *reason, bool changed)
{
    return (struct trigger_reading){.changed = changed, .reason = reason};
}

/* The change since the last reading, in units per period. Two readings of one millisecond have no rate: the
 * first of them stays the one that the next is compared with. */
static struct trigger_reading read_rate(const struct trigger_rule *rule, double *words, double value, int64_t now_ms)
{
    double then = words[RATE_VALUE], passed = (double)now_ms - words[RATE_TIME];
    bool known = words[RATE_KNOWN] != 0;
    if (known && passed == 0)
        return nothing_yet("no_time_passed", false);
    words[RATE_KNOWN] = 1;
    words[RATE_VALUE] = value;
    words[RATE_TIME] = (double)now_ms;
    if (!known || passed < 0)
        return nothing_yet("first_reading", true);
    struct trigger_reading reading = compare(rule, (value - then) / passed * (double)rule->period_ms);
    reading.changed = true;
    return reading;
}

static void slide(double *words, double bucket)
{
    double steps = bucket - words[0];
    if (steps >= TRIGGER_BUCKETS || steps < -TRIGGER_BUCKETS) {
        memset(words + 1, 0, sizeof(*words) * TRIGGER_BUCKETS * BUCKET_WORDS);
    } else {
        for (int64_t at = (int64_t)words[0] + 1; at <= (int64_t)bucket; at++)
            memset(words + 1 + (size_t)BUCKET_WORDS * (size_t)(at % TRIGGER_BUCKETS), 0, BUCKET_WORDS * sizeof(*words));
        if (steps < 0)
            return; /* the wall was set back over a restart: the newest bucket takes it */
    }
    words[0] = bucket;
}

static double aggregate(enum trigger_derive derive, const double *buckets)
{
    double sum = 0, count = 0, least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < TRIGGER_BUCKETS; i++) {
        const double *bucket = buckets + i * BUCKET_WORDS;
        if (bucket[BUCKET_COUNT] == 0)
            continue;
        sum += bucket[BUCKET_SUM];
        count += bucket[BUCKET_COUNT];
        least = fmin(least, bucket[BUCKET_SUM]);
        most = fmax(most, bucket[BUCKET_SUM]);
    }
    return derive == TRIGGER_MIN ? least : derive == TRIGGER_MAX ? most : derive == TRIGGER_COUNT ? count : sum / count;
}

static struct trigger_reading read_window(const struct trigger_rule *rule, double *words, double value, int64_t now_ms)
{
    slide(words, floor((double)now_ms / ((double)rule->period_ms / TRIGGER_BUCKETS)));
    double *bucket = words + 1 + BUCKET_WORDS * (size_t)fmod(words[0], TRIGGER_BUCKETS), had = bucket[BUCKET_COUNT];
    bucket[BUCKET_COUNT]++;
    if (rule->derive == TRIGGER_AVG)
        bucket[BUCKET_SUM] += value;
    else if (had == 0 || (rule->derive == TRIGGER_MIN ? value < bucket[BUCKET_SUM] : value > bucket[BUCKET_SUM]))
        bucket[BUCKET_SUM] = value;
    struct trigger_reading reading = compare(rule, aggregate(rule->derive, words + 1));
    reading.changed = true;
    return reading;
}

/* ---- events ------------------------------------------------------------------*/

/* A growing meter. A fall to less than half is a new beginning (a reset, another meter): what was counted stays
 * counted. A smaller fall is a late reading: the meter stands where it stood. */
static struct trigger_reading read_meter(const struct trigger_rule *rule, double *words, double value)
{
    double last = words[METER_VALUE];
    if (words[METER_KNOWN] == 0) {
        words[METER_KNOWN] = 1;
        words[METER_VALUE] = value;
        return nothing_yet("first_reading", true);
    }
    if (value == last || (value < last && value >= last / 2))
        return nothing_yet("no_progress", false);
    double before = words[METER_OFFSET] + last;
    if (value < last) /* only what is above a multiple matters: the sum of all would lose the digits of a small one */
        before = words[METER_OFFSET] = fmod(before, rule->step);
    words[METER_VALUE] = value;
    double total = words[METER_OFFSET] + value;
    return (struct trigger_reading){.holds = floor(total / rule->step) > floor(before / rule->step),
                                    .changed = true,
                                    .reason = "no_multiple",
                                    .value = value};
}

void words_report(const struct trigger_rule *rule, struct trigger_state *state)
{
    double *reported = words_condition(rule, state) + CHANGES_REPORTED;
    double *read = words_condition(rule, state) + CHANGES_READ;
    for (size_t i = 0; i < 2; i++) {
        double old = reported[i];
        reported[i] = read[i];
        read[i] = old;
    }
}

static struct trigger_reading read_changes(const struct trigger_rule *rule, double *words,
                                           const struct trigger_input *input)
{
    double *reported = words + CHANGES_REPORTED, *read = words + CHANGES_READ;
    if (rule->step > 0) {
        read[0] = input->number;
        read[1] = 0;
    } else {
        uint64_t digest = digest_fast(input->text, 0);
        read[0] = (double)(uint32_t)(digest >> 32);
        read[1] = (double)(uint32_t)digest;
    }
    if (words[CHANGES_KNOWN] == 0) { /* a change needs a before */
        words[CHANGES_KNOWN] = 1;
        memcpy(reported, read, 2 * sizeof(*read));
        return nothing_yet("first_reading", true);
    }
    bool changed = rule->step > 0 ? fabs(read[0] - reported[0]) >= rule->step
                                  : read[0] != reported[0] || read[1] != reported[1]; /* 0 and -0 are one */
    return (struct trigger_reading){.holds = changed, .reason = "unchanged", .value = input->number};
}

void words_forget_spent(double *times, size_t count, int64_t window_ms, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++)
        if (times[i] + (double)window_ms <= (double)now_ms)
            times[i] = 0;
}

/* ---- several topics of one key ------------------------------------------------*/

/* all: every member's last reading held; clear when one is. any: one held; clear when all that spoke are. */
static struct trigger_reading read_member(const struct trigger_rule *rule, double *words,
                                          const struct trigger_input *input, int64_t now_ms)
{
    struct trigger_reading reading = {.reason = "not_all", .value = input->number};
    double *own = words + input->member * MEMBER_WORDS;
    double says = input->holds ? MEMBER_HOLDS : input->clear ? MEMBER_CLEAR : MEMBER_BETWEEN;
    reading.changed = own[MEMBER_SAYS] != says || rule->max_age_ms > 0;
    own[MEMBER_SAYS] = says;
    own[MEMBER_TIME] = rule->max_age_ms > 0 ? (double)now_ms : 0;
    size_t holding = 0, clear = 0, silent = 0;
    for (size_t i = 0; i < rule->member_count; i++) {
        const double *member = words + i * MEMBER_WORDS;
        bool stale = rule->max_age_ms > 0 && member[MEMBER_TIME] + (double)rule->max_age_ms < (double)now_ms;
        holding += !stale && member[MEMBER_SAYS] == MEMBER_HOLDS;
        clear += !stale && member[MEMBER_SAYS] == MEMBER_CLEAR;
        silent += stale || member[MEMBER_SAYS] == MEMBER_UNKNOWN;
    }
    if (rule->kind == TRIGGER_ALL) {
        reading.holds = holding == rule->member_count;
        reading.clear = clear > 0;
    } else {
        reading.holds = holding > 0;
        reading.clear = clear + silent == rule->member_count;
        reading.reason = "none";
    }
    return reading;
}

struct trigger_reading trigger_read(const struct trigger_rule *rule, struct trigger_state *state,
                                    const struct trigger_input *input, int64_t now_ms)
{
    double *words = words_condition(rule, state);
    if (rule->derive == TRIGGER_RATE)
        return read_rate(rule, words, input->number, now_ms);
    if (rule->derive != TRIGGER_AS_IT_IS)
        return read_window(rule, words, input->number, now_ms);
    switch (rule->kind) {
    case TRIGGER_CHANGES:
        return read_changes(rule, words, input);
    case TRIGGER_EVERY:
        return read_meter(rule, words, input->number);
    case TRIGGER_ALL:
    case TRIGGER_ANY:
        return read_member(rule, words, input, now_ms);
    case TRIGGER_NONE:
    case TRIGGER_ABOVE:
    case TRIGGER_BELOW:
    case TRIGGER_OUTSIDE:
    case TRIGGER_EQUALS:
    case TRIGGER_WHEN:
    case TRIGGER_ABSENT:
        break;
    }
    return trigger_compare(rule, input);
}
