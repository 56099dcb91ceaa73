/* SPDX-License-Identifier: Apache-2.0 */

/* The phases and the gates. A level condition is armed until a crossing, then tripped until a reading is
 * clear. What a gate behind "tripped" refuses is consumed all the same: the key trips, so that it is not made up
 * for when the gate opens. An event has no level to trip on: `every` consumes the multiple, `changes` keeps
 * the last value that was reported, so that the newest one goes out when the gate opens.
 *
 * Nothing outlives its use: a key that re-arms with its cooldown over and its budget whole is like one never
 * seen, and its state is forgotten. */

#include "trigger.h"
#include "trigger_words.h"

#include <math.h>
#include <string.h>

bool trigger_is_event(enum trigger_kind kind)
{
    return kind == TRIGGER_CHANGES || kind == TRIGGER_EVERY;
}

bool trigger_is_timed(const struct trigger_rule *rule)
{
    return rule->kind == TRIGGER_ABSENT || rule->for_ms > 0 || rule->clear_for_ms > 0;
}

static struct trigger_result result(enum outcome outcome, const char *reason, bool changed)
{
    return (struct trigger_result){.outcome = outcome, .reason = reason, .changed = changed};
}

static void enter(struct trigger_state *state, enum trigger_phase phase, int64_t now_ms)
{
    state->phase = phase;
    state->since_ms = phase == TRIGGER_ARMED ? 0 : now_ms;
    state->repeats = 0;
    state->kept = (struct span){0};
}

static bool is_cooling(const struct trigger_rule *rule, const struct trigger_state *state, int64_t now_ms)
{
    return rule->cooldown_ms > 0 && state->last_fired_ms != 0 && now_ms - state->last_fired_ms < rule->cooldown_ms;
}

/* ---- the gates -----------------------------------------------------------*/

static bool is_latched(const struct trigger_rule *rule, struct trigger_state *state, const struct trigger_gates *gates,
                       int64_t now_ms)
{
    if (!rule->latch || state->order[0] == '\0')
        return false;
    bool young = now_ms - state->last_fired_ms < rule->latch_ms; /* a webhook that never came heals by age */
    if (young && (gates->order_is_open == NULL || gates->order_is_open(gates->context, state->order)))
        return true;
    state->order[0] = '\0';
    return false;
}

bool trigger_spend(double *times, size_t count, int64_t window_ms, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) /* the wall was set back over a restart: as for a cooldown */
        times[i] = fmin(times[i], (double)now_ms);
    for (size_t i = 0; i < count; i++)
        if (times[i] == 0 || times[i] + (double)window_ms <= (double)now_ms) {
            times[i] = (double)now_ms;
            return true;
        }
    return false;
}

void trigger_unspend(double *times, size_t count)
{
    size_t newest = 0;
    for (size_t i = 1; i < count; i++)
        if (times[i] > times[newest])
            newest = i;
    if (count > 0)
        times[newest] = 0;
}

/* The first gate that is closed; NULL: it fires. */
static const char *closed_gate(const struct trigger_rule *rule, struct trigger_state *state,
                               const struct trigger_gates *gates, int64_t now_ms)
{
    if (state->last_fired_ms > now_ms) /* the wall was set back over a restart: a cooldown never grows by that */
        state->last_fired_ms = now_ms;
    if (is_latched(rule, state, gates, now_ms))
        return "open_order";
    if (gates->is_shelved != NULL && gates->is_shelved(gates->context))
        return "shelved";
    if (is_cooling(rule, state, now_ms))
        return "cooldown";
    if (rule->budget > 0 && !trigger_spend(words_budget(state), (size_t)rule->budget, rule->budget_ms, now_ms))
        return "budget";
    if (rule->storm && gates->storms != NULL && gates->storms(gates->context)) {
        if (rule->budget > 0)
            trigger_unspend(words_budget(state), (size_t)rule->budget);
        return "storm";
    }
    return NULL;
}

static struct trigger_result fire(const struct trigger_rule *rule, struct trigger_state *state,
                                  const struct trigger_gates *gates, int64_t now_ms)
{
    enter(state, trigger_is_event(rule->kind) ? TRIGGER_ARMED : TRIGGER_TRIPPED, now_ms);
    const char *closed = closed_gate(rule, state, gates, now_ms);
    if (closed != NULL) {
        struct trigger_result refused = result(OUTCOME_SUPPRESSED, closed, true);
        refused.alarm = strcmp(closed, "budget") == 0 && !state->alarmed;
        state->alarmed |= refused.alarm;
        state->suppressed++;
        return refused;
    }
    state->last_fired_ms = now_ms;
    state->suppressed = 0;
    state->alarmed = false;
    return result(OUTCOME_ACCEPTED, "fired", true);
}

struct trigger_result trigger_refuse(const struct trigger_rule *rule, struct trigger_state *state,
                                     const struct trigger_state *before, bool alarm)
{
    struct trigger_result refused = result(OUTCOME_SUPPRESSED, "destination_budget", true);
    if (rule->budget > 0)
        trigger_unspend(words_budget(state), (size_t)rule->budget);
    if (rule->kind == TRIGGER_CHANGES)
        words_report(rule, state);
    state->last_fired_ms = before->last_fired_ms;
    state->suppressed = before->suppressed + 1;
    state->alarmed = before->alarmed;
    refused.alarm = alarm;
    return refused;
}

/* ---- the phases ------------------------------------------------------------*/

static struct trigger_result rearm(const struct trigger_rule *rule, struct trigger_state *state, int64_t now_ms)
{
    enter(state, TRIGGER_ARMED, now_ms);
    if (rule->budget > 0)
        words_forget_spent(words_budget(state), (size_t)rule->budget, rule->budget_ms, now_ms);
    if (now_ms - state->last_fired_ms >= rule->latch_ms)
        state->order[0] = '\0';
    if (!is_cooling(rule, state, now_ms) && state->order[0] == '\0') {
        state->last_fired_ms = 0;
        state->suppressed = 0;
    }
    return result(OUTCOME_IGNORED, "rearmed", true);
}

static struct trigger_result step_off(const struct trigger_rule *rule, struct trigger_state *state,
                                      struct trigger_reading reading, int64_t now_ms)
{
    switch (state->phase) {
    case TRIGGER_ARMED:
        break;
    case TRIGGER_WAITING:
        enter(state, TRIGGER_ARMED, now_ms);
        return result(OUTCOME_IGNORED, "not_held", true);
    case TRIGGER_TRIPPED:
        if (!reading.clear)
            break;
        if (rule->clear_for_ms == 0)
            return rearm(rule, state, now_ms);
        enter(state, TRIGGER_CLEARING, now_ms);
        return result(OUTCOME_IGNORED, "clearing", true);
    case TRIGGER_CLEARING:
        if (reading.clear && state->since_ms <= now_ms)
            return result(OUTCOME_IGNORED, "clearing", reading.changed);
        if (reading.clear) { /* the wall was set back */
            state->since_ms = now_ms;
            return result(OUTCOME_IGNORED, "clearing", true);
        }
        enter(state, TRIGGER_TRIPPED, now_ms);
        return result(OUTCOME_IGNORED, "not_clear", true);
    }
    return result(OUTCOME_IGNORED, reading.reason, reading.changed);
}

static bool has_waited(const struct trigger_rule *rule, const struct trigger_state *state, int64_t now_ms)
{
    return state->repeats >= rule->repeat && now_ms - state->since_ms >= rule->for_ms;
}

static struct trigger_result step_on(const struct trigger_rule *rule, struct trigger_state *state,
                                     struct trigger_reading reading, const struct trigger_gates *gates, int64_t now_ms)
{
    switch (state->phase) {
    case TRIGGER_ARMED:
        if (rule->for_ms == 0 && rule->repeat <= 1)
            return fire(rule, state, gates, now_ms);
        enter(state, TRIGGER_WAITING, now_ms);
        state->repeats = 1;
        return result(OUTCOME_WAITING, "waiting", true);
    case TRIGGER_WAITING:
        if (state->since_ms > now_ms)
            state->since_ms = now_ms;
        if (state->repeats < rule->repeat)
            state->repeats++;
        return has_waited(rule, state, now_ms) ? fire(rule, state, gates, now_ms)
                                               : result(OUTCOME_WAITING, "waiting", true);
    case TRIGGER_TRIPPED:
        break;
    case TRIGGER_CLEARING:
        enter(state, TRIGGER_TRIPPED, now_ms);
        return result(OUTCOME_SUPPRESSED, "tripped", true);
    }
    return result(OUTCOME_SUPPRESSED, "tripped", reading.changed);
}

/* A message came: the key is not silent. */
static struct trigger_result step_absent(const struct trigger_rule *rule, struct trigger_state *state, int64_t now_ms)
{
    bool tripped = state->phase == TRIGGER_TRIPPED;
    if (tripped)
        rearm(rule, state, now_ms);
    state->since_ms = now_ms;
    return result(OUTCOME_IGNORED, tripped ? "rearmed" : "present", true);
}

struct trigger_result trigger_step(const struct trigger_rule *rule, struct trigger_state *state,
                                   struct trigger_reading reading, const struct trigger_gates *gates, int64_t now_ms)
{
    if (rule->kind == TRIGGER_ABSENT)
        return step_absent(rule, state, now_ms);
    if (!reading.holds)
        return step_off(rule, state, reading, now_ms);
    if (!trigger_is_event(rule->kind))
        return step_on(rule, state, reading, gates, now_ms);
    struct trigger_result fired = fire(rule, state, gates, now_ms);
    if (rule->kind == TRIGGER_CHANGES && fired.outcome == OUTCOME_ACCEPTED)
        words_report(rule, state);
    return fired;
}

int64_t trigger_due(const struct trigger_rule *rule, const struct trigger_state *state)
{
    switch (state->phase) {
    case TRIGGER_ARMED:
        return rule->kind == TRIGGER_ABSENT && state->since_ms != 0 ? state->since_ms + rule->period_ms : INT64_MAX;
    case TRIGGER_WAITING:
        return rule->for_ms > 0 && state->repeats >= rule->repeat ? state->since_ms + rule->for_ms : INT64_MAX;
    case TRIGGER_TRIPPED:
        break;
    case TRIGGER_CLEARING:
        return state->since_ms + rule->clear_for_ms;
    }
    return INT64_MAX;
}

struct trigger_result trigger_expire(const struct trigger_rule *rule, struct trigger_state *state,
                                     const struct trigger_gates *gates, int64_t now_ms)
{
    return state->phase == TRIGGER_CLEARING ? rearm(rule, state, now_ms) : fire(rule, state, gates, now_ms);
}
