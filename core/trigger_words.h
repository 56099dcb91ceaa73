/* What a key remembers beyond its phase: an array of doubles, laid out by its rule (a part of the trigger room).
 *
 *     [budget: the times of its firings] [what the condition remembers]
 *
 * A millisecond since 1970 is exact in a double. All zero is a key never seen. */
#ifndef BUSBAR_TRIGGER_WORDS_H
#define BUSBAR_TRIGGER_WORDS_H

#include "trigger.h"

enum { RATE_KNOWN, RATE_VALUE, RATE_TIME, RATE_WORDS };
enum { METER_KNOWN, METER_VALUE, METER_OFFSET, METER_WORDS };
/* A value is two words: a number and 0, or the halves of its text's digest. */
enum { CHANGES_KNOWN, CHANGES_REPORTED, CHANGES_READ = CHANGES_REPORTED + 2, CHANGES_WORDS = CHANGES_READ + 2 };
enum { BUCKET_SUM, BUCKET_COUNT, BUCKET_WORDS }; /* behind the number of the newest bucket; min and max stand in SUM */
enum { MEMBER_SAYS, MEMBER_TIME, MEMBER_WORDS };
enum { MEMBER_UNKNOWN = 0, MEMBER_CLEAR, MEMBER_BETWEEN, MEMBER_HOLDS }; /* what it says */

static inline double *words_budget(const struct trigger_state *state)
{
    return state->words;
}

static inline double *words_condition(const struct trigger_rule *rule, const struct trigger_state *state)
{
    return state->words + rule->budget;
}

void words_forget_spent(double *times, size_t count, int64_t window_ms, int64_t now_ms);
/* changes: this reading is the one that was reported. A second call takes that back. */
void words_report(const struct trigger_rule *rule, struct trigger_state *state);

#endif
