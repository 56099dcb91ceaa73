/* SPDX-License-Identifier: Apache-2.0 */
/* MW-P25: fires with restarts at random points equal fires without, for every kind and behaviour together. Only
 * changed states are stored, as the daemon does; what an initial state would say is deleted. */
#include "trigger_fixture.h"

static uint32_t random_state;
static uint32_t draw(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static struct trigger_rule random_condition(void)
{
    static const struct trigger_equal equals[] = {{.text = {"7", 1}, .numeric = true, .number = 7},
                                                  {.text = {"20", 2}, .numeric = true, .number = 20}};
    static const enum trigger_kind kinds[] = {TRIGGER_ABOVE, TRIGGER_BELOW,   TRIGGER_OUTSIDE, TRIGGER_EQUALS,
                                              TRIGGER_WHEN,  TRIGGER_CHANGES, TRIGGER_EVERY,   TRIGGER_ABSENT,
                                              TRIGGER_ALL,   TRIGGER_ANY};
    struct trigger_rule rule = {.kind = kinds[draw(10)], .low = 10, .high = 20, .has_clear = draw(2) == 0};
    rule.clear_low = rule.kind == TRIGGER_BELOW ? 12 : 13;
    rule.clear_high = rule.kind == TRIGGER_ABOVE ? 18 : 17;
    rule.equals = equals;
    rule.equal_count = 2;
    rule.step = rule.kind == TRIGGER_EVERY ? 50 : draw(3);
    if (rule.kind == TRIGGER_ABOVE || rule.kind == TRIGGER_BELOW || rule.kind == TRIGGER_OUTSIDE)
        rule.derive = (enum trigger_derive)draw(6);
    if (rule.kind == TRIGGER_ALL || rule.kind == TRIGGER_ANY) {
        rule.member_count = 2 + draw(2);
        rule.max_age_ms = draw(2) * 60;
    }
    rule.period_ms = 20 + draw(60);
    return rule;
}

static struct trigger_rule random_rule(void)
{
    struct trigger_rule rule = random_condition();
    if (!trigger_is_event(rule.kind) && rule.kind != TRIGGER_ABSENT) {
        rule.for_ms = draw(3) * 12;
        rule.clear_for_ms = draw(3) * 9;
        rule.repeat = draw(4);
    }
    rule.cooldown_ms = draw(2) * 50;
    rule.budget = draw(2) * (1 + draw(4));
    rule.budget_ms = 400;
    rule.latch = draw(2) == 0;
    rule.latch_ms = rule.latch ? 300 : 0;
    return rule;
}

static struct trigger_input random_input(const struct trigger_rule *rule, double *meter, char text[32])
{
    double value = (double)draw(31);
    if (rule->kind == TRIGGER_EVERY)
        value = *meter = draw(60) == 0 ? 0 : *meter + draw(20);
    snprintf(text, 32, "%.10g", value);
    struct trigger_input input = {.number = value, .numeric = true, .text = span_of(text)};
    input.member = rule->member_count > 0 ? draw((uint32_t)rule->member_count) : 0;
    input.holds = value > 15;
    input.clear = value < 12;
    return input;
}

static bool is_same(struct trigger_result a, struct trigger_result b)
{
    return a.outcome == b.outcome && a.changed == b.changed && a.alarm == b.alarm && strcmp(a.reason, b.reason) == 0;
}

static void run_one(uint32_t seed, size_t fires[TRIGGER_ANY + 1])
{
    random_state = seed;
    struct trigger_rule rule = random_rule();
    struct play steady, restarted;
    cleanup_buf struct buf stored = {0};
    double meter = 0;
    int64_t now_ms = T0;
    play_begin(&steady, &rule);
    play_begin(&restarted, &rule);
    for (int i = 0; i < 300; i++) {
        char text[32];
        now_ms += draw(30) == 0 ? 100 : draw(10);
        struct trigger_result a = play_tick(&steady, now_ms), b = play_tick(&restarted, now_ms);
        bool changed = b.changed;
        if (is_same(a, b) && draw(3) != 0) {
            const struct trigger_input input = random_input(&rule, &meter, text);
            a = play_input(&steady, &input, now_ms);
            b = play_input(&restarted, &input, now_ms);
            changed |= b.changed;
        }
        if (!is_same(a, b))
            fail_msg("seed %u (kind %d, derive %d), reading %d: %s and %s", seed, (int)rule.kind, (int)rule.derive, i,
                     a.reason, b.reason);
        fires[rule.kind] += a.outcome == OUTCOME_ACCEPTED;
        if (draw(20) == 0)
            steady.order_open = restarted.order_open = false;
        if (changed)
            play_store(&restarted, &stored);
        if (draw(7) == 0)
            play_restart(&restarted, &stored);
    }
}

static void test_trigger_restart_changes_no_decision(void **state)
{
    (void)state;
    size_t fires[TRIGGER_ANY + 1] = {0};
    for (uint32_t seed = 1; seed <= 3000; seed++)
        run_one(seed, fires);
    for (int kind = TRIGGER_ABOVE; kind <= TRIGGER_ANY; kind++)
        assert_true(fires[kind] > 100); /* none of them is proved by silence */
}

static void test_trigger_restart_reads_unknown_members(void **state)
{
    (void)state;
    const struct trigger_rule rule = {.kind = TRIGGER_ABOVE};
    struct trigger_state memory = {0};
    cleanup_buf struct buf kept = {0};
    assert_true(trigger_state_parse(&rule, SPAN("{\"phase\":\"tripped\",\"since\":5,\"later\":[1]}"), &memory, &kept));
    assert_int_equal(memory.phase, TRIGGER_TRIPPED);
    assert_int_equal(memory.since_ms, 5);
    assert_int_equal(memory.last_fired_ms, 0);
    assert_false(trigger_state_parse(&rule, SPAN("{\"phase\":\"odd\"}"), &memory, &kept));
    assert_false(trigger_state_parse(&rule, SPAN("[]"), &memory, &kept));
    assert_false(trigger_state_parse(&rule, SPAN("{"), &memory, &kept));
}

/* A window of another length, another kind: the numbers would mean something else. */
static void test_trigger_restart_with_another_rule_forgets_its_numbers(void **state)
{
    (void)state;
    const struct trigger_rule meter = {.kind = TRIGGER_EVERY, .step = 100};
    const struct trigger_rule average = {.kind = TRIGGER_ABOVE, .derive = TRIGGER_AVG, .high = 5, .period_ms = M};
    struct play play;
    cleanup_buf struct buf stored = {0};
    play_begin(&play, &meter);
    play_value(&play, 1e6, T0);
    play_store(&play, &stored);
    play_begin(&play, &average);
    play_restart(&play, &stored);
    assert_string_equal(play_value(&play, 1, T0).reason, "below_threshold");
}

static void test_trigger_restart_keeps_what_was_kept(void **state)
{
    (void)state;
    const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .for_ms = S};
    struct trigger_state memory = {.phase = TRIGGER_WAITING, .since_ms = T0, .kept = SPAN("{\"topic\":\"a/b\"}")},
                         again = {0};
    cleanup_buf struct buf stored = {0}, kept = {0};
    trigger_state_print(&rule, &memory, &stored);
    assert_true(trigger_state_parse(&rule, buf_span(&stored), &again, &kept));
    assert_true(span_is(again.kept, "{\"topic\":\"a/b\"}"));
    assert_int_equal(trigger_due(&rule, &again), T0 + S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_restart_changes_no_decision),
        cmocka_unit_test(test_trigger_restart_reads_unknown_members),
        cmocka_unit_test(test_trigger_restart_with_another_rule_forgets_its_numbers),
        cmocka_unit_test(test_trigger_restart_keeps_what_was_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
