/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "trigger.h"

#include <stdlib.h>
#include <string.h>

#define T0 1700000000000
#define H INT64_C(3600000)

static const struct trigger_rule above = {.kind = TRIGGER_ABOVE, .high = 85};
static const struct trigger_rule above_clear = {.kind = TRIGGER_ABOVE, .high = 85, .has_clear = true, .clear_high = 80};
static const struct trigger_rule above_cooldown = {.kind = TRIGGER_ABOVE, .high = 85, .cooldown_ms = H};

static void test_trigger_reads_each_condition(void **state)
{
    (void)state;
    static const struct {
        struct trigger_rule rule;
        double value;
        bool holds, clear;
    } cases[] = {
        {{.kind = TRIGGER_ABOVE, .high = 85}, 85, false, true}, /* > and not >= */
        {{.kind = TRIGGER_ABOVE, .high = 85}, 85.0001, true, false},
        {{.kind = TRIGGER_ABOVE, .high = 85, .has_clear = true, .clear_high = 80}, 80, false, false},
        {{.kind = TRIGGER_ABOVE, .high = 85, .has_clear = true, .clear_high = 80}, 79.9, false, true},
        {{.kind = TRIGGER_BELOW, .low = 3}, 3, false, true},
        {{.kind = TRIGGER_BELOW, .low = 3}, 2.9, true, false},
        {{.kind = TRIGGER_BELOW, .low = 3, .has_clear = true, .clear_low = 4}, 4, false, false},
        {{.kind = TRIGGER_BELOW, .low = 3, .has_clear = true, .clear_low = 4}, 4.1, false, true},
        {{.kind = TRIGGER_OUTSIDE, .low = 1, .high = 9}, 1, false, true},
        {{.kind = TRIGGER_OUTSIDE, .low = 1, .high = 9}, 9, false, true},
        {{.kind = TRIGGER_OUTSIDE, .low = 1, .high = 9}, 0.9, true, false},
        {{.kind = TRIGGER_OUTSIDE, .low = 1, .high = 9}, 9.1, true, false},
        {{.kind = TRIGGER_OUTSIDE, .low = 1, .high = 9, .has_clear = true, .clear_low = 2, .clear_high = 8},
         1.5,
         false,
         false},
        {{.kind = TRIGGER_OUTSIDE, .low = 1, .high = 9, .has_clear = true, .clear_low = 2, .clear_high = 8},
         8,
         false,
         true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct trigger_reading reading = trigger_read(&cases[i].rule, cases[i].value);
        if (reading.holds != cases[i].holds || reading.clear != cases[i].clear)
            fail_msg("case %zu: %f", i, cases[i].value);
    }
}

struct turn {
    int64_t at_ms;
    double value;
    enum outcome outcome;
    const char *reason;
    bool changed;
};

static void play(const struct trigger_rule *rule, const struct turn *turns, size_t count)
{
    struct trigger_state memory = {0};
    for (size_t i = 0; i < count; i++) {
        struct trigger_result result =
            trigger_step(rule, &memory, trigger_read(rule, turns[i].value), T0 + turns[i].at_ms);
        if (result.outcome != turns[i].outcome || strcmp(result.reason, turns[i].reason) != 0 ||
            result.changed != turns[i].changed)
            fail_msg("turn %zu: %s %s %d", i, outcome_name(result.outcome), result.reason, result.changed);
    }
}
#define PLAY(rule, ...)                                       \
    do {                                                      \
        static const struct turn turns[] = {__VA_ARGS__};     \
        play(&rule, turns, sizeof(turns) / sizeof(turns[0])); \
    } while (0)

/* MW-P20 */
static void test_trigger_fires_on_the_edge_only(void **state)
{
    (void)state;
    PLAY(above, {0, 80, OUTCOME_IGNORED, "below_threshold", false}, {1, 86, OUTCOME_ACCEPTED, "fired", true},
         {2, 87, OUTCOME_SUPPRESSED, "tripped", false}, {3, 99, OUTCOME_SUPPRESSED, "tripped", false},
         {4, 85, OUTCOME_IGNORED, "rearmed", true}, {5, 84, OUTCOME_IGNORED, "below_threshold", false},
         {6, 86, OUTCOME_ACCEPTED, "fired", true});
}

static void test_trigger_first_reading_may_fire(void **state)
{
    (void)state;
    PLAY(above, {0, 90, OUTCOME_ACCEPTED, "fired", true});
}

/* MW-P20: the band between clear and threshold neither fires nor re-arms */
static void test_trigger_rearms_past_clear_only(void **state)
{
    (void)state;
    PLAY(above_clear, {0, 86, OUTCOME_ACCEPTED, "fired", true}, {1, 82, OUTCOME_IGNORED, "below_threshold", false},
         {2, 86, OUTCOME_SUPPRESSED, "tripped", false}, {3, 80, OUTCOME_IGNORED, "below_threshold", false},
         {4, 79, OUTCOME_IGNORED, "rearmed", true}, {5, 86, OUTCOME_ACCEPTED, "fired", true});
}

/* MW-P21 */
static void test_trigger_cooldown_consumes_the_crossing(void **state)
{
    (void)state;
    PLAY(above_cooldown, {0, 86, OUTCOME_ACCEPTED, "fired", true}, {1, 80, OUTCOME_IGNORED, "rearmed", true},
         {H - 1, 86, OUTCOME_SUPPRESSED, "cooldown", true}, {H + 1, 87, OUTCOME_SUPPRESSED, "tripped", false},
         {H + 2, 80, OUTCOME_IGNORED, "rearmed", true}, {H + 3, 86, OUTCOME_ACCEPTED, "fired", true});
}

static void test_trigger_cooldown_runs_from_the_last_firing(void **state)
{
    (void)state;
    PLAY(above_cooldown, {0, 86, OUTCOME_ACCEPTED, "fired", true}, {H / 2, 80, OUTCOME_IGNORED, "rearmed", true},
         {H - 1, 86, OUTCOME_SUPPRESSED, "cooldown", true}, {H - 1, 80, OUTCOME_IGNORED, "rearmed", true},
         {H, 86, OUTCOME_ACCEPTED, "fired", true});
}

/* MW-P25 */
static void test_trigger_cooldown_survives_a_restart(void **state)
{
    (void)state;
    struct trigger_state memory = {0}, again = {0};
    trigger_step(&above_cooldown, &memory, trigger_read(&above_cooldown, 90), T0);
    trigger_step(&above_cooldown, &memory, trigger_read(&above_cooldown, 10), T0 + 5);
    cleanup_buf struct buf text = {0};
    trigger_state_print(&memory, &text);
    assert_true(trigger_state_parse(buf_span(&text), &again));
    struct trigger_result result = trigger_step(&above_cooldown, &again, trigger_read(&above_cooldown, 90), T0 + H - 1);
    assert_int_equal(result.outcome, OUTCOME_SUPPRESSED);
    assert_string_equal(result.reason, "cooldown");
}

static void test_trigger_cooldown_is_not_stretched_by_a_clock_set_back(void **state)
{
    (void)state;
    struct trigger_state memory = {.phase = TRIGGER_ARMED, .last_fired_ms = T0 + 1000 * H};
    struct trigger_reading hot = trigger_read(&above_cooldown, 90), cold = trigger_read(&above_cooldown, 10);
    assert_string_equal(trigger_step(&above_cooldown, &memory, hot, T0).reason, "cooldown");
    trigger_step(&above_cooldown, &memory, cold, T0 + 1);
    assert_string_equal(trigger_step(&above_cooldown, &memory, hot, T0 + H).reason, "fired");
}

static void test_trigger_counts_what_the_gates_suppressed(void **state)
{
    (void)state;
    struct trigger_state memory = {0};
    struct trigger_reading hot = trigger_read(&above_cooldown, 90), cold = trigger_read(&above_cooldown, 10);
    for (int i = 0; i < 4; i++) {
        trigger_step(&above_cooldown, &memory, hot, T0 + i);
        trigger_step(&above_cooldown, &memory, cold, T0 + i);
    }
    assert_int_equal(memory.suppressed, 3);
    trigger_step(&above_cooldown, &memory, hot, T0 + H);
    assert_int_equal(memory.suppressed, 0);
}

static void test_trigger_forgets_what_no_longer_matters(void **state)
{
    (void)state;
    struct trigger_state memory = {0};
    struct trigger_reading hot = trigger_read(&above_cooldown, 90), cold = trigger_read(&above_cooldown, 10);
    assert_true(trigger_state_is_initial(&memory));
    trigger_step(&above_cooldown, &memory, hot, T0);
    assert_false(trigger_state_is_initial(&memory));
    trigger_step(&above_cooldown, &memory, cold, T0 + 1);
    assert_false(trigger_state_is_initial(&memory)); /* it cools down */
    trigger_step(&above_cooldown, &memory, hot, T0 + 2);
    trigger_step(&above_cooldown, &memory, cold, T0 + H);
    assert_true(trigger_state_is_initial(&memory));
}

static void test_trigger_when_takes_the_callers_word(void **state)
{
    (void)state;
    const struct trigger_rule rule = {.kind = TRIGGER_WHEN};
    struct trigger_state memory = {0};
    struct trigger_reading off = {false, true}, on = {true, false}, neither = {false, false}, both = {true, true};
    assert_string_equal(trigger_step(&rule, &memory, off, T0).reason, "condition_false");
    assert_string_equal(trigger_step(&rule, &memory, on, T0).reason, "fired");
    assert_string_equal(trigger_step(&rule, &memory, both, T0).reason, "tripped");
    assert_string_equal(trigger_step(&rule, &memory, neither, T0).reason, "condition_false");
    assert_string_equal(trigger_step(&rule, &memory, off, T0).reason, "rearmed");
}

static void test_trigger_state_is_read_with_unknown_members(void **state)
{
    (void)state;
    struct trigger_state memory;
    assert_true(trigger_state_parse(SPAN("{\"phase\":\"tripped\",\"since\":5,\"later\":[1]}"), &memory));
    assert_int_equal(memory.phase, TRIGGER_TRIPPED);
    assert_int_equal(memory.since_ms, 5);
    assert_int_equal(memory.last_fired_ms, 0);
    assert_false(trigger_state_parse(SPAN("{\"phase\":\"odd\"}"), &memory));
    assert_false(trigger_state_parse(SPAN("[]"), &memory));
    assert_false(trigger_state_parse(SPAN("{"), &memory));
}

static uint32_t random_state;
static uint32_t draw(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static struct trigger_rule random_rule(void)
{
    struct trigger_rule rule = {.kind = TRIGGER_ABOVE + draw(3), .low = 10, .high = 20, .has_clear = draw(2) == 0};
    rule.clear_low = rule.kind == TRIGGER_BELOW ? 12 : 13;
    rule.clear_high = rule.kind == TRIGGER_ABOVE ? 18 : 17;
    rule.cooldown_ms = draw(2) == 0 ? 0 : 50;
    return rule;
}

/* MW-P25: fires with restarts equal fires without. Only changed states are stored, as the daemon does. */
static void test_trigger_with_restarts_fires_as_without(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        random_state = seed;
        struct trigger_rule rule = random_rule();
        struct trigger_state steady = {0}, restarted = {0};
        cleanup_buf struct buf stored = {0};
        int64_t now_ms = T0;
        for (int i = 0; i < 300; i++) {
            now_ms += draw(10);
            struct trigger_reading reading = trigger_read(&rule, (double)draw(31));
            struct trigger_result a = trigger_step(&rule, &steady, reading, now_ms);
            struct trigger_result b = trigger_step(&rule, &restarted, reading, now_ms);
            if (a.outcome != b.outcome || a.reason != b.reason || a.changed != b.changed)
                fail_msg("seed %u, reading %d: %s and %s", seed, i, a.reason, b.reason);
            if (b.changed) {
                buf_clear(&stored);
                if (!trigger_state_is_initial(&restarted))
                    trigger_state_print(&restarted, &stored);
            }
            if (draw(7) == 0) {
                restarted = (struct trigger_state){0};
                if (stored.len > 0)
                    assert_true(trigger_state_parse(buf_span(&stored), &restarted));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_reads_each_condition),
        cmocka_unit_test(test_trigger_fires_on_the_edge_only),
        cmocka_unit_test(test_trigger_first_reading_may_fire),
        cmocka_unit_test(test_trigger_rearms_past_clear_only),
        cmocka_unit_test(test_trigger_cooldown_consumes_the_crossing),
        cmocka_unit_test(test_trigger_cooldown_runs_from_the_last_firing),
        cmocka_unit_test(test_trigger_cooldown_survives_a_restart),
        cmocka_unit_test(test_trigger_cooldown_is_not_stretched_by_a_clock_set_back),
        cmocka_unit_test(test_trigger_counts_what_the_gates_suppressed),
        cmocka_unit_test(test_trigger_forgets_what_no_longer_matters),
        cmocka_unit_test(test_trigger_when_takes_the_callers_word),
        cmocka_unit_test(test_trigger_state_is_read_with_unknown_members),
        cmocka_unit_test(test_trigger_with_restarts_fires_as_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
