/* SPDX-License-Identifier: Apache-2.0 */

/* A key is armed until a crossing, then tripped until a reading is clear. What a gate behind "tripped"
 * refuses is consumed all the same: the key trips, so that it is not made up for when the gate opens.
 *
 * Nothing outlives its use: a key that re-arms with its cooldown over is like one never seen, and its
 * state is forgotten. So the number of states is bounded by what is tripped or cooling down. */

#include "trigger.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

static const char *const phase_names[] = {"armed", "waiting", "tripped"};

struct trigger_reading trigger_read(const struct trigger_rule *rule, double value)
{
    struct trigger_reading reading = {0};
    switch (rule->kind) {
    case TRIGGER_ABOVE:
        reading.holds = value > rule->high;
        reading.clear = value < rule->clear_high;
        break;
    case TRIGGER_BELOW:
        reading.holds = value < rule->low;
        reading.clear = value > rule->clear_low;
        break;
    case TRIGGER_OUTSIDE:
        reading.holds = value < rule->low || value > rule->high;
        reading.clear = value >= rule->clear_low && value <= rule->clear_high;
        break;
    case TRIGGER_NONE:
    case TRIGGER_WHEN:
        break;
    }
    if (!rule->has_clear)
        reading.clear = !reading.holds;
    return reading;
}

/* Why a reading for which the condition does not hold is ignored. */
static const char *off_reason(enum trigger_kind kind)
{
    switch (kind) {
    case TRIGGER_ABOVE:
        return "below_threshold";
    case TRIGGER_BELOW:
        return "above_threshold";
    case TRIGGER_OUTSIDE:
        return "in_band";
    case TRIGGER_NONE:
    case TRIGGER_WHEN:
        break;
    }
    return "condition_false";
}

static bool is_cooling(const struct trigger_rule *rule, const struct trigger_state *state, int64_t now_ms)
{
    return rule->cooldown_ms > 0 && state->last_fired_ms != 0 && now_ms - state->last_fired_ms < rule->cooldown_ms;
}

static struct trigger_result rearm(const struct trigger_rule *rule, struct trigger_state *state, int64_t now_ms)
{
    if (is_cooling(rule, state, now_ms)) {
        state->phase = TRIGGER_ARMED;
        state->since_ms = now_ms;
    } else {
        *state = (struct trigger_state){0};
    }
    return (struct trigger_result){OUTCOME_IGNORED, "rearmed", true};
}

struct trigger_result trigger_step(const struct trigger_rule *rule, struct trigger_state *state,
                                   struct trigger_reading reading, int64_t now_ms)
{
    bool tripped = state->phase == TRIGGER_TRIPPED;
    if (!reading.holds) {
        if (tripped && reading.clear)
            return rearm(rule, state, now_ms);
        return (struct trigger_result){OUTCOME_IGNORED, off_reason(rule->kind), false};
    }
    /* `for` comes here: an armed key begins to wait (WAITING) and goes on when its time is up. */
    if (tripped)
        return (struct trigger_result){OUTCOME_SUPPRESSED, "tripped", false};

    state->phase = TRIGGER_TRIPPED;
    state->since_ms = now_ms;
    if (state->last_fired_ms > now_ms) /* the wall was set back over a restart: a cooldown never grows by that */
        state->last_fired_ms = now_ms;
    /* The latch comes here. */
    if (is_cooling(rule, state, now_ms)) {
        state->suppressed++;
        return (struct trigger_result){OUTCOME_SUPPRESSED, "cooldown", true};
    }
    /* The budget comes here. */
    state->last_fired_ms = now_ms;
    state->suppressed = 0;
    return (struct trigger_result){OUTCOME_ACCEPTED, "fired", true};
}

void trigger_state_print(const struct trigger_state *state, struct buf *out)
{
    buf_printf(out, "{\"phase\":\"%s\"", phase_names[state->phase]);
    if (state->since_ms != 0)
        buf_printf(out, ",\"since\":%lld", (long long)state->since_ms);
    if (state->last_fired_ms != 0)
        buf_printf(out, ",\"fired\":%lld", (long long)state->last_fired_ms);
    if (state->suppressed != 0)
        buf_printf(out, ",\"suppressed\":%lld", (long long)state->suppressed);
    buf_putc(out, '}');
}

bool trigger_state_parse(struct span text, struct trigger_state *state)
{
    cleanup_json struct json_object *object = json_parse(text, NULL, NULL);
    const char *phase = json_get_text(object, "phase");
    if (phase == NULL)
        return false;
    for (size_t i = 0; i < sizeof(phase_names) / sizeof(phase_names[0]); i++) {
        if (strcmp(phase, phase_names[i]) != 0)
            continue;
        *state = (struct trigger_state){
            .phase = (enum trigger_phase)i,
            .since_ms = json_object_get_int64(json_get(object, "since")),
            .last_fired_ms = json_object_get_int64(json_get(object, "fired")),
            .suppressed = json_object_get_int64(json_get(object, "suppressed")),
        };
        return true;
    }
    return false;
}

bool trigger_state_is_initial(const struct trigger_state *state)
{
    return state->phase == TRIGGER_ARMED && state->last_fired_ms == 0;
}
