/* A rule played in simulated time: readings, ticks, restarts. */
#ifndef TRIGGER_FIXTURE_H
#define TRIGGER_FIXTURE_H

#include "unit.h"

#include "trigger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0 INT64_C(1700000000000)
#define S INT64_C(1000)
#define M (60 * S)
#define H (60 * M)
#define D (24 * H)
#define WORDS_MAX 2048

struct play { /* one key */
    const struct trigger_rule *rule;
    struct trigger_state state;
    double words[WORDS_MAX];
    struct trigger_gates gates;
    bool order_open, shelved, storm; /* what the gates answer */
};

static inline bool play_order(void *context, const char *order)
{
    assert_string_equal(order, "0190-order");
    return ((struct play *)context)->order_open;
}
static inline bool play_shelved(void *context)
{
    return ((struct play *)context)->shelved;
}
static inline bool play_storm(void *context)
{
    return ((struct play *)context)->storm;
}

static inline void play_begin(struct play *play, const struct trigger_rule *rule)
{
    memset(play, 0, sizeof(*play));
    play->rule = rule;
    play->state.words = play->words;
    play->state.word_count = trigger_words(rule);
    play->gates = (struct trigger_gates){play, play_order, play_shelved, play_storm};
    assert_true(play->state.word_count <= WORDS_MAX);
}

/* As the daemon does: a latched key learns its order when it fired. */
static inline struct trigger_result play_end(struct play *play, struct trigger_result result)
{
    if (play->rule->latch && result.outcome == OUTCOME_ACCEPTED) {
        snprintf(play->state.order, sizeof(play->state.order), "0190-order");
        play->order_open = true;
    }
    return result;
}

static inline struct trigger_result play_tick(struct play *play, int64_t now_ms)
{
    struct trigger_result result = {.reason = "nothing_due"};
    if (trigger_due(play->rule, &play->state) <= now_ms)
        result = play_end(play, trigger_expire(play->rule, &play->state, &play->gates, now_ms));
    return result;
}

static inline struct trigger_result play_input(struct play *play, const struct trigger_input *input, int64_t now_ms)
{
    struct trigger_reading reading = trigger_read(play->rule, &play->state, input, now_ms);
    return play_end(play, trigger_step(play->rule, &play->state, reading, &play->gates, now_ms));
}

static inline struct trigger_result play_value(struct play *play, double value, int64_t now_ms)
{
    char text[32];
    snprintf(text, sizeof(text), "%.10g", value);
    const struct trigger_input input = {.number = value, .numeric = true, .text = span_of(text)};
    return play_input(play, &input, now_ms);
}

/* What a restart leaves: the stored text, or nothing. */
static inline void play_restart(struct play *play, const struct buf *stored)
{
    cleanup_buf struct buf kept = {0};
    memset(play->words, 0, sizeof(play->words));
    play->state = (struct trigger_state){.words = play->words, .word_count = play->state.word_count};
    if (stored->len > 0)
        assert_true(trigger_state_parse(play->rule, buf_span(stored), &play->state, &kept));
    play->state.kept = (struct span){0};
}

static inline void play_store(const struct play *play, struct buf *stored)
{
    buf_clear(stored);
    if (!trigger_state_is_initial(&play->state))
        trigger_state_print(play->rule, &play->state, stored);
}

/* One line of a table: a reading (or, with TICK, time alone) and what must come of it. */
struct turn {
    int64_t at_ms;
    double value; /* NAN: time alone */
    const char *reason;
};

#define TICK(at, reason) \
    {                    \
        at, NAN, reason  \
    }

static inline void play_turns(const char *name, const struct trigger_rule *rule, const struct turn *turns, size_t count)
{
    struct play play;
    play_begin(&play, rule);
    for (size_t i = 0; i < count; i++) {
        int64_t now_ms = T0 + turns[i].at_ms;
        struct trigger_result result =
            isnan(turns[i].value) ? play_tick(&play, now_ms) : play_value(&play, turns[i].value, now_ms);
        if (strcmp(result.reason, turns[i].reason) != 0)
            fail_msg("%s, turn %zu: %s, wanted %s", name, i, result.reason, turns[i].reason);
    }
}

#define PLAY(rule, ...)                                                         \
    do {                                                                        \
        static const struct turn turns[] = {__VA_ARGS__};                       \
        play_turns(__func__, &(rule), turns, sizeof(turns) / sizeof(turns[0])); \
    } while (0)

#endif
