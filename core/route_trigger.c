/* SPDX-License-Identifier: Apache-2.0 */

/* A rule with a trigger: its key's state is taken out, stepped by a reading or by time, and put back. What time
 * will fire keeps what it needs of the message: {"at", "topic", "value", "payload"}. */

#include "route_private.h"

#include "json.h"
#include "log.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

/* What had been sent while nothing was heard arrives first: it may end what is due. */
#define GRACE_MS 1000

/* The reading cannot be evaluated. The first time it is worth a line: a typo would stay unseen else. */
void reading_ignore(struct reading *r, struct rule *rule, const char *reason)
{
    if (!rule->warned) {
        rule->warned = true;
        log_warn("a reading cannot be evaluated; more of this route are only counted", "route", rule->name, "reason",
                 reason, "detail", buf_span(r->reason).data, NULL);
    }
    reading_decide(r, OUTCOME_IGNORED, reason);
}

static bool order_is_open(void *context, const char *order)
{
    const struct route_set *set = ((const struct reading *)context)->set;
    return set->order_is_open == NULL || set->order_is_open(set->order_context, order);
}

static bool is_shelved(void *context)
{
    const struct reading *r = context;
    return shelf_holds(r->set, r->decision.route, r->decision.key, r->now_ms);
}

static bool storms(void *context)
{
    const struct reading *r = context;
    return storm_takes(r->set, r->decision.route, r->decision.key, r->now_ms);
}

static struct trigger_gates gates_of(struct reading *r, int64_t now_ms)
{
    r->now_ms = now_ms;
    return (struct trigger_gates){
        .context = r, .order_is_open = order_is_open, .is_shelved = is_shelved, .storms = storms};
}

/* ---- what is kept of a message ----------------------------------------------*/

static void keep_message(struct reading *r, const struct rule *rule, struct trigger_state *state)
{
    struct buf *kept = &r->set->kept;
    const struct message *message = r->message;
    buf_clear(kept);
    buf_printf(kept, "{\"at\":%lld,\"time\":%lld,\"topic\":", (long long)r->scope.received_ms,
               (long long)r->scope.time_ms);
    buf_put_json(kept, message->topic);
    if (r->value != NULL) {
        buf_puts(kept, ",\"value\":");
        json_print(r->value, kept);
    }
    struct span payload = rule->keeps_payload ? reading_to_keep(r) : SPAN("");
    if (rule->keeps_payload && span_is_utf8(payload)) {
        buf_puts(kept, ",\"payload\":");
        buf_put_json(kept, payload);
    } else if (rule->keeps_payload) {
        cleanup_text char *base64 = digest_base64(payload);
        buf_printf(kept, ",\"base64\":\"%s\"", base64);
    }
    if (r->in_part)
        buf_puts(kept, ",\"part\":true");
    buf_putc(kept, '}');
    state->kept = buf_span(kept);
}

static bool needs_message(const struct rule *rule, const struct trigger_state *state)
{
    const struct trigger_rule *trigger = &rule->trigger.rule;
    return trigger_due(trigger, state) != INT64_MAX && state->phase != TRIGGER_CLEARING;
}

/* ---- one decision -------------------------------------------------------------*/

/* It fired: the body is made. The destination may still refuse it. */
static void finish_firing(struct reading *r, const struct rule *rule, struct trigger_state *state,
                          const struct trigger_state *before, struct trigger_result *result)
{
    bool alarm;
    if (!reading_map(r, rule)) {
        result->outcome = OUTCOME_INVALID;
        result->reason = buf_span(r->reason).data;
    } else if (rule->budget >= 0 && !budget_spends(r->set, rule, r->decision.body, r->now_ms, &alarm)) {
        *result = trigger_refuse(&rule->trigger.rule, state, before, alarm);
        r->decision.id = NULL;
        r->decision.body = SPAN("");
        return;
    }
    if (rule->trigger.rule.latch)
        memcpy(state->order, r->id, sizeof(state->order));
}

/* The key's order is open: what happened again is added to it. What cannot be said is counted all the same. */
static void note_on_order(struct reading *r, const struct rule *rule, const struct trigger_state *state,
                          struct trigger_result *result)
{
    buf_clear(r->reason);
    if (!reading_map_note(r, rule, state->order)) {
        log_warn("what happened again cannot be noted on the open order", "route", rule->name, "reason",
                 buf_span(r->reason).data, NULL);
        r->decision.id = NULL;
        r->decision.body = SPAN("");
        return;
    }
    r->decision.operation = rule->while_open.operation;
    result->outcome = OUTCOME_ACCEPTED;
    result->reason = "noted";
}

static void settle(struct reading *r, const struct rule *rule, struct trigger_state *state,
                   const struct trigger_state *before, struct trigger_result result)
{
    struct route_set *set = r->set;
    if (result.outcome == OUTCOME_ACCEPTED)
        finish_firing(r, rule, state, before, &result);
    else if (rule->while_open.body != NULL && strcmp(result.reason, "open_order") == 0)
        note_on_order(r, rule, state, &result);
    if (result.changed) {
        route_keys_put(set->keys, (uint32_t)r->decision.route, r->decision.key, state,
                       trigger_due(&rule->trigger.rule, state));
        r->decision.state_changed = true;
    }
    buf_clear(&set->value);
    if (r->value != NULL)
        json_print(r->value, &set->value);
    r->decision.value = buf_span(&set->value);
    r->decision.alarm = result.alarm;
    reading_decide(r, result.outcome, result.reason);
    r->decision.operation = NULL;
}

/* ---- by a reading -------------------------------------------------------------*/

static const char *read_members(struct reading *r, const struct rule *rule, struct trigger_state *state,
                                const char *copy_of, int64_t now_ms, struct trigger_reading *reading)
{
    const struct trigger_rule *trigger = &rule->trigger.rule;
    const char *wrong = "no_value";
    bool changed = false, any = false;
    for (size_t i = reading_find_member(r, rule, 0, copy_of); i < trigger->member_count;
         i = reading_find_member(r, rule, i + 1, copy_of)) {
        const struct condition *condition = &rule->members[i].condition;
        struct trigger_input input = {.member = i};
        if (!reading_find_value(r, condition, &input))
            continue;
        if (condition->rule.kind == TRIGGER_WHEN && !reading_ask_jq(r, condition, false, &input)) {
            wrong = "condition_error";
            continue;
        }
        struct trigger_reading says = trigger_compare(&condition->rule, &input);
        input.holds = says.holds;
        input.clear = says.clear;
        *reading = trigger_read(trigger, state, &input, now_ms);
        changed |= reading->changed;
        any = true;
    }
    reading->changed = changed;
    return any ? NULL : wrong;
}

static const char *read_one(struct reading *r, const struct rule *rule, struct trigger_state *state,
                            struct trigger_input *input, int64_t now_ms, struct trigger_reading *reading)
{
    const struct trigger_rule *trigger = &rule->trigger.rule;
    bool armed = state->phase == TRIGGER_ARMED;
    if (trigger->kind == TRIGGER_WHEN && !reading_ask_jq(r, &rule->trigger, armed, input))
        return "condition_error";
    *reading = trigger_read(trigger, state, input, now_ms);
    if (trigger->derive != TRIGGER_AS_IT_IS) {
        char text[32];
        snprintf(text, sizeof(text), "%.10g", reading->value);
        reading_set_value(r, json_object_new_double_s(reading->value, text));
    }
    return NULL;
}

static void step(struct reading *r, struct rule *rule, struct trigger_state *state, struct trigger_reading reading,
                 int64_t now_ms)
{
    struct trigger_gates gates = gates_of(r, now_ms);
    const struct trigger_state before = *state;
    r->decision.suppressed = state->suppressed;
    struct trigger_result result = trigger_step(&rule->trigger.rule, state, reading, &gates, now_ms);
    if (result.changed && needs_message(rule, state))
        keep_message(r, rule, state);
    settle(r, rule, state, &before, result);
}

void reading_step(struct reading *r, struct rule *rule, uint32_t number, const char *copy_of, int64_t steady_ms)
{
    struct route_set *set = r->set;
    struct trigger_state state = {.words = set->words, .word_count = trigger_words(&rule->trigger.rule)};
    struct trigger_reading reading = {0};
    struct trigger_input input = {0};
    if (rule->members == NULL && !reading_find_value(r, &rule->trigger, &input)) {
        reading_decide(r, OUTCOME_IGNORED, "no_value");
        return;
    }
    if (!reading_convert(r, rule, &input)) {
        reading_ignore(r, rule, "out_of_range");
        return;
    }
    if (input.numeric && reading_is_doubtful(r, rule)) {
        reading_decide(r, OUTCOME_IGNORED, "bad_quality");
        return;
    }
    if (!reading_find_key(r, rule)) {
        reading_ignore(r, rule, "no_key");
        return;
    }
    bool heard = rule->trigger.rule.kind == TRIGGER_ABSENT; /* when it came ends a silence, not when it was measured */
    if (!heard && reading_is_late(r, rule, number, &steady_ms)) {
        reading_decide(r, OUTCOME_IGNORED, "late");
        return;
    }
    route_keys_get(set->keys, number, r->decision.key, &state);
    const char *wrong = rule->members != NULL ? read_members(r, rule, &state, copy_of, steady_ms, &reading)
                                              : read_one(r, rule, &state, &input, steady_ms, &reading);
    if (wrong == NULL)
        step(r, rule, &state, reading, steady_ms);
    else if (strcmp(wrong, "no_value") == 0)
        reading_decide(r, OUTCOME_IGNORED, wrong);
    else
        reading_ignore(r, rule, wrong);
}

/* ---- by time --------------------------------------------------------------------*/

void route_set_ask_orders(struct route_set *set, bool (*is_open)(void *context, const char *delivery), void *context)
{
    set->order_is_open = is_open;
    set->order_context = context;
}

void route_set_listen(struct route_set *set, bool listening, int64_t steady_ms)
{
    if (listening && !set->listening)
        set->listening_since_ms = steady_ms;
    set->listening = listening;
}

int64_t route_set_due(const struct route_set *set)
{
    if (!set->listening)
        return INT64_MAX;
    int64_t due = route_keys_due(set->keys), earliest = set->listening_since_ms + GRACE_MS;
    return due > earliest ? due : earliest;
}

/* The message as it was kept. What it borrows lies in *kept and *payload. */
static struct message kept_message(struct json_object *kept, struct buf *payload, int64_t now_ms)
{
    const char *base64 = json_get_text(kept, "base64");
    if (base64 != NULL)
        digest_base64_decode(span_of(base64), payload);
    else if (json_get(kept, "payload") != NULL)
        json_to_text(json_get(kept, "payload"), payload);
    return (struct message){.topic = span_of(json_get_text(kept, "topic")),
                            .payload = buf_span(payload),
                            .one_reading = json_object_get_boolean(json_get(kept, "part")),
                            .received_ms = now_ms,
                            .qos = 1};
}

static void expire(struct route_set *set, struct rule *rule, uint32_t number, struct span key,
                   struct trigger_state *state, int64_t now_ms, route_decide *each, void *context)
{
    struct reading r;
    cleanup_buf struct buf payload = {0};
    cleanup_json struct json_object *kept = json_parse(state->kept, NULL, NULL);
    const struct message message = kept_message(kept, &payload, now_ms);
    reading_open(&r, set, &message, each, context);
    reading_begin_rule(&r, rule, number);
    if (message.topic.len == 0) /* it was not kept: no capture is better than an empty one */
        r.captures.count = 0;
    if (json_get(kept, "at") != NULL)
        r.scope.received_ms = r.scope.time_ms = json_object_get_int64(json_get(kept, "at"));
    if (json_get(kept, "time") != NULL)
        r.scope.time_ms = json_object_get_int64(json_get(kept, "time"));
    if (json_get(kept, "value") != NULL)
        reading_set_value(&r, json_object_get(json_get(kept, "value")));
    r.decision.key = r.scope.key = key;
    r.decision.timed = true;
    r.decision.suppressed = state->suppressed;
    struct trigger_gates gates = gates_of(&r, now_ms);
    const struct trigger_state before = *state;
    settle(&r, rule, state, &before, trigger_expire(&rule->trigger.rule, state, &gates, now_ms));
    reading_close(&r);
}

/* An absence is counted while something could be heard only: a broker that was away is not a thousand silent
 * sensors.
 */
static int64_t heard_due(const struct route_set *set, const struct rule *rule, const struct trigger_state *state)
{
    int64_t due = trigger_due(&rule->trigger.rule, state), since = set->listening_since_ms;
    if (rule->trigger.rule.kind == TRIGGER_ABSENT && due != INT64_MAX && state->since_ms < since)
        due = since + rule->trigger.rule.period_ms;
    return due;
}

static void expire_key(struct route_set *set, uint32_t number, struct span key, int64_t now_ms, route_decide *each,
                       void *context)
{
    struct rule *rule = &set->rules[number];
    struct trigger_state state = {.words = set->words, .word_count = trigger_words(&rule->trigger.rule)};
    route_keys_get(set->keys, number, key, &state);
    int64_t due = heard_due(set, rule, &state);
    if (due > now_ms)
        route_keys_put(set->keys, number, key, &state, due);
    else
        expire(set, rule, number, key, &state, now_ms, each, context);
}

void route_set_tick(struct route_set *set, int64_t steady_ms, route_decide *each, void *context)
{
    uint32_t number;
    struct span due_key;
    while (route_set_due(set) <= steady_ms && route_keys_next_due(set->keys, steady_ms, &number, &due_key)) {
        cleanup_text char *copy = span_dup(due_key);
        struct span key = {copy, due_key.len};
        switch (route_space(number)) {
        case SPACE_SHELF:
        case SPACE_BUDGET:
            shelf_expire(set, number, key);
            break;
        case SPACE_STORM:
            storm_expire(set, number, key, steady_ms, each, context);
            break;
        default:
            expire_key(set, number, key, steady_ms, each, context);
        }
    }
}
