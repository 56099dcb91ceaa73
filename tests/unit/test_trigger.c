/* SPDX-License-Identifier: Apache-2.0 */
/* Phases and gates, in simulated time. */
#include "trigger_fixture.h"

static const struct trigger_rule above = {.kind = TRIGGER_ABOVE, .high = 85};
static const struct trigger_rule above_clear = {.kind = TRIGGER_ABOVE, .high = 85, .has_clear = true, .clear_high = 80};
static const struct trigger_rule above_cooldown = {.kind = TRIGGER_ABOVE, .high = 85, .cooldown_ms = H};

/* MW-P20 */
static void test_trigger_fires_on_the_edge_only(void **state)
{
    (void)state;
    PLAY(above, {0, 80, "below_threshold"}, {1, 86, "fired"}, {2, 87, "tripped"}, {3, 99, "tripped"},
         {4, 85, "rearmed"}, {5, 84, "below_threshold"}, {6, 86, "fired"});
}

static void test_trigger_first_reading_may_fire(void **state)
{
    (void)state;
    PLAY(above, {0, 90, "fired"});
}

/* MW-P20: the band between clear and threshold neither fires nor re-arms */
static void test_trigger_rearms_past_clear_only(void **state)
{
    (void)state;
    PLAY(above_clear, {0, 86, "fired"}, {1, 82, "below_threshold"}, {2, 86, "tripped"}, {3, 80, "below_threshold"},
         {4, 79, "rearmed"}, {5, 86, "fired"});
}

/* MW-P21 */
static void test_trigger_cooldown_consumes_the_crossing(void **state)
{
    (void)state;
    PLAY(above_cooldown, {0, 86, "fired"}, {1, 80, "rearmed"}, {H - 1, 86, "cooldown"}, {H + 1, 87, "tripped"},
         {H + 2, 80, "rearmed"}, {H + 3, 86, "fired"});
}

static void test_trigger_cooldown_runs_from_the_last_firing(void **state)
{
    (void)state;
    PLAY(above_cooldown, {0, 86, "fired"}, {H / 2, 80, "rearmed"}, {H - 1, 86, "cooldown"}, {H - 1, 80, "rearmed"},
         {H, 86, "fired"});
}

static void test_trigger_cooldown_is_not_stretched_by_a_clock_set_back(void **state)
{
    (void)state;
    struct play play;
    play_begin(&play, &above_cooldown);
    play.state.last_fired_ms = T0 + 1000 * H;
    assert_string_equal(play_value(&play, 90, T0).reason, "cooldown");
    play_value(&play, 10, T0 + 1);
    assert_string_equal(play_value(&play, 90, T0 + H).reason, "fired");
}

static void test_trigger_waits_are_not_stretched_by_a_clock_set_back(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {
        .kind = TRIGGER_ABOVE, .high = 85, .budget = 1, .budget_ms = D, .clear_for_ms = M};
    struct play play;
    play_begin(&play, &rule);
    play_value(&play, 90, T0 + 1000 * H);
    play_value(&play, 10, T0 + 1000 * H);
    assert_true(play_value(&play, 10, T0).changed);
    assert_string_equal(play_tick(&play, T0 + M).reason, "rearmed");
    assert_string_equal(play_value(&play, 90, T0 + H).reason, "budget");
    play_value(&play, 10, T0 + H);
    play_tick(&play, T0 + 2 * H);
    assert_string_equal(play_value(&play, 90, T0 + H + D).reason, "fired");
}

/* What is written before the acknowledgement: transitions and firings, no more. */
static void test_trigger_changes_are_transitions_only(void **state)
{
    (void)state;
    struct play play;
    play_begin(&play, &above_clear);
    static const struct {
        double value;
        bool changed;
    } turns[] = {{70, false}, {86, true}, {90, false}, {82, false}, {79, true}, {78, false}};
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++)
        assert_int_equal(play_value(&play, turns[i].value, T0 + (int64_t)i).changed, turns[i].changed);
}

static void test_trigger_counts_what_the_gates_suppressed(void **state)
{
    (void)state;
    struct play play;
    play_begin(&play, &above_cooldown);
    for (int i = 0; i < 4; i++) {
        play_value(&play, 90, T0 + i);
        play_value(&play, 10, T0 + i);
    }
    assert_int_equal(play.state.suppressed, 3);
    play_value(&play, 90, T0 + H);
    assert_int_equal(play.state.suppressed, 0);
}

static void test_trigger_forgets_what_no_longer_matters(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {
        .kind = TRIGGER_ABOVE, .high = 85, .cooldown_ms = H, .budget = 3, .budget_ms = D};
    struct play play;
    play_begin(&play, &rule);
    assert_true(trigger_state_is_initial(&play.state));
    play_value(&play, 90, T0);
    assert_false(trigger_state_is_initial(&play.state));
    play_value(&play, 10, T0 + 1);
    assert_false(trigger_state_is_initial(&play.state)); /* it cools down */
    play_value(&play, 90, T0 + 2);
    play_value(&play, 10, T0 + H);
    assert_false(trigger_state_is_initial(&play.state)); /* a third of its budget is spent */
    play_value(&play, 90, T0 + H + 1);
    play_value(&play, 10, T0 + D + H + 1);
    assert_true(trigger_state_is_initial(&play.state));
}

/* ---- time */

/* The on-delay: without a break for that long; time alone fires it. */
static void test_trigger_for_waits_and_fires_by_time(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .high = 85, .for_ms = 30 * S};
    PLAY(rule, {0, 86, "waiting"}, {10 * S, 90, "waiting"}, TICK(29 * S, "nothing_due"), TICK(30 * S, "fired"),
         {31 * S, 90, "tripped"}, {32 * S, 80, "rearmed"}, TICK(2 * H, "nothing_due"));
    PLAY(rule, {0, 86, "waiting"}, {29 * S, 85, "not_held"}, TICK(30 * S, "nothing_due"), {31 * S, 86, "waiting"},
         {61 * S, 86, "fired"});
}

/* Between clear and threshold the condition does not hold: the on-delay begins anew. */
static void test_trigger_for_is_broken_in_the_band(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {
        .kind = TRIGGER_ABOVE, .high = 85, .has_clear = true, .clear_high = 80, .for_ms = 30 * S};
    PLAY(rule, {0, 86, "waiting"}, {20 * S, 82, "not_held"}, {40 * S, 86, "waiting"}, {70 * S, 86, "fired"});
}

static void test_trigger_clear_for_is_an_off_delay(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .high = 85, .clear_for_ms = M};
    PLAY(rule, {0, 86, "fired"}, {S, 80, "clearing"}, {30 * S, 81, "clearing"}, {40 * S, 86, "tripped"},
         {50 * S, 80, "clearing"}, TICK(109 * S, "nothing_due"), TICK(110 * S, "rearmed"), {111 * S, 86, "fired"});
}

static void test_trigger_repeat_counts_readings_in_a_row(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .high = 85, .repeat = 3};
    PLAY(rule, {0, 86, "waiting"}, {1, 86, "waiting"}, {2, 80, "not_held"}, {3, 86, "waiting"}, {4, 86, "waiting"},
         {5, 86, "fired"}, {6, 86, "tripped"});
}

static void test_trigger_repeat_and_for_must_both_be_met(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .high = 85, .repeat = 3, .for_ms = 30 * S};
    PLAY(rule, {0, 86, "waiting"}, {S, 86, "waiting"}, TICK(40 * S, "nothing_due"), {50 * S, 86, "fired"});
    PLAY(rule, {0, 86, "waiting"}, {S, 86, "waiting"}, {2 * S, 86, "waiting"}, TICK(30 * S, "fired"));
}

static void test_trigger_absent_fires_by_time_and_rearms_with_a_message(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABSENT, .period_ms = 10 * M};
    PLAY(rule, TICK(H, "nothing_due"), {H, 0, "present"}, {H + 9 * M, 0, "present"}, TICK(H + 18 * M, "nothing_due"),
         TICK(H + 19 * M, "fired"), TICK(2 * H, "nothing_due"), {2 * H, 0, "rearmed"}, TICK(2 * H + 10 * M, "fired"));
}

/* ---- gates */

/* MW-P22: at most so many in a sliding time; the first that is refused raises the alarm */
static void test_trigger_budget_slides(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .high = 85, .budget = 2, .budget_ms = D};
    PLAY(rule, {0, 90, "fired"}, {1, 0, "rearmed"}, {12 * H, 90, "fired"}, {12 * H, 0, "rearmed"},
         {13 * H, 90, "budget"}, {13 * H, 0, "rearmed"}, {D - 1, 90, "budget"}, {D - 1, 0, "rearmed"}, {D, 90, "fired"},
         {D, 0, "rearmed"}, {D + 1, 90, "budget"});
    struct play play;
    play_begin(&play, &rule);
    static const struct {
        int64_t at_ms;
        bool alarm;
    } turns[] = {{0, false}, {1, false}, {2, true}, {3, false}, {D, false}, {D + 1, false}, {D + 2, true}};
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        assert_int_equal(play_value(&play, 90, T0 + turns[i].at_ms).alarm, turns[i].alarm);
        play_value(&play, 0, T0 + turns[i].at_ms);
    }
}

/* MW-P23: one open order a key; closed, or too old to be believed, it lets the key fire again */
static void test_trigger_latch_holds_until_the_order_is_closed(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .high = 85, .latch = true, .latch_ms = 7 * D};
    struct play play;
    play_begin(&play, &rule);
    assert_string_equal(play_value(&play, 90, T0).reason, "fired");
    assert_string_equal(play_value(&play, 80, T0 + 1).reason, "rearmed");
    assert_string_equal(play_value(&play, 90, T0 + H).reason, "open_order");
    assert_string_equal(play_value(&play, 90, T0 + H).reason, "tripped"); /* consumed */
    play_value(&play, 80, T0 + H);
    play.order_open = false;
    assert_string_equal(play_value(&play, 90, T0 + 2 * H).reason, "fired");
    play_value(&play, 80, T0 + 2 * H);
    assert_string_equal(play_value(&play, 90, T0 + 2 * H + 7 * D - 1).reason, "open_order");
    play_value(&play, 80, T0 + 2 * H + 7 * D - 1);
    assert_string_equal(play_value(&play, 90, T0 + 2 * H + 7 * D).reason, "fired"); /* the webhook was lost */
}

/* A key that was clear meanwhile must not forget the order that holds it. */
static void test_trigger_latch_outlives_the_rearming(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .high = 85, .latch = true, .latch_ms = 7 * D};
    struct play play;
    cleanup_buf struct buf stored = {0};
    play_begin(&play, &rule);
    play_value(&play, 90, T0);
    play_value(&play, 80, T0 + 1);
    play_store(&play, &stored);
    play_restart(&play, &stored);
    assert_string_equal(play_value(&play, 90, T0 + H).reason, "open_order");
    assert_int_equal(play.state.suppressed, 1);
}

/* The first gate that is closed is the reason: latch, shelved, cooldown, budget, storm. */
static void test_trigger_gates_stand_in_their_order(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE,
                                             .high = 85,
                                             .latch = true,
                                             .latch_ms = 7 * D,
                                             .cooldown_ms = H,
                                             .budget = 1,
                                             .budget_ms = D,
                                             .storm = true};
    struct play play;
    play_begin(&play, &rule);
    assert_string_equal(play_value(&play, 90, T0).reason, "fired");
    play.shelved = play.storm = true;
    static const char *const reasons[] = {"open_order", "shelved", "cooldown", "budget", "storm", "fired"};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        int64_t now_ms = T0 + (i < 3 ? M : i < 4 ? 2 * H : 2 * D);
        if (i == 1)
            play.order_open = false;
        if (i == 2)
            play.shelved = false;
        if (i == 5)
            play.storm = false;
        play_value(&play, 0, now_ms);
        assert_string_equal(play_value(&play, 90, now_ms).reason, reasons[i]);
    }
}

/* What a storm took is not spent from the budget. */
static void test_trigger_storm_spends_no_budget(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {
        .kind = TRIGGER_ABOVE, .high = 85, .budget = 1, .budget_ms = D, .storm = true};
    struct play play;
    play_begin(&play, &rule);
    play.storm = true;
    assert_string_equal(play_value(&play, 90, T0).reason, "storm");
    play_value(&play, 0, T0);
    play.storm = false;
    assert_string_equal(play_value(&play, 90, T0).reason, "fired");
}

/* Two rules, one plan, one budget: what the destination refuses is no firing of this key. */
static void test_trigger_refused_by_the_destination_is_no_firing(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {
        .kind = TRIGGER_ABOVE, .high = 85, .budget = 1, .budget_ms = D, .cooldown_ms = H};
    struct play play;
    play_begin(&play, &rule);
    struct trigger_state before = play.state;
    assert_int_equal(play_value(&play, 90, T0).outcome, OUTCOME_ACCEPTED);
    struct trigger_result refused = trigger_refuse(&rule, &play.state, &before, true);
    assert_int_equal(refused.outcome, OUTCOME_SUPPRESSED);
    assert_string_equal(refused.reason, "destination_budget");
    assert_true(refused.alarm && refused.changed);
    assert_int_equal(play.state.suppressed, 1);
    play_value(&play, 0, T0 + 1);
    assert_string_equal(play_value(&play, 90, T0 + 2).reason, "fired"); /* neither cooldown nor budget */
}

static void test_trigger_a_change_refused_by_the_destination_is_not_reported(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_CHANGES, .step = 5};
    struct play play;
    play_begin(&play, &rule);
    play_value(&play, 20, T0);
    struct trigger_state before = play.state;
    assert_string_equal(play_value(&play, 30, T0 + 1).reason, "fired");
    trigger_refuse(&rule, &play.state, &before, false);
    assert_string_equal(play_value(&play, 31, T0 + 2).reason, "fired"); /* the newest goes out when it may */
    assert_string_equal(play_value(&play, 32, T0 + 3).reason, "unchanged");
}

static void test_trigger_event_is_gated_but_never_tripped(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_EVERY, .step = 100, .cooldown_ms = H};
    PLAY(rule, {0, 50, "first_reading"}, {S, 101, "fired"}, {2 * S, 201, "cooldown"}, {3 * S, 210, "no_multiple"},
         {H, 290, "no_multiple"}, {H + S, 300, "fired"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_fires_on_the_edge_only),
        cmocka_unit_test(test_trigger_first_reading_may_fire),
        cmocka_unit_test(test_trigger_rearms_past_clear_only),
        cmocka_unit_test(test_trigger_cooldown_consumes_the_crossing),
        cmocka_unit_test(test_trigger_cooldown_runs_from_the_last_firing),
        cmocka_unit_test(test_trigger_cooldown_is_not_stretched_by_a_clock_set_back),
        cmocka_unit_test(test_trigger_waits_are_not_stretched_by_a_clock_set_back),
        cmocka_unit_test(test_trigger_changes_are_transitions_only),
        cmocka_unit_test(test_trigger_counts_what_the_gates_suppressed),
        cmocka_unit_test(test_trigger_forgets_what_no_longer_matters),
        cmocka_unit_test(test_trigger_for_waits_and_fires_by_time),
        cmocka_unit_test(test_trigger_for_is_broken_in_the_band),
        cmocka_unit_test(test_trigger_clear_for_is_an_off_delay),
        cmocka_unit_test(test_trigger_repeat_counts_readings_in_a_row),
        cmocka_unit_test(test_trigger_repeat_and_for_must_both_be_met),
        cmocka_unit_test(test_trigger_absent_fires_by_time_and_rearms_with_a_message),
        cmocka_unit_test(test_trigger_budget_slides),
        cmocka_unit_test(test_trigger_latch_holds_until_the_order_is_closed),
        cmocka_unit_test(test_trigger_latch_outlives_the_rearming),
        cmocka_unit_test(test_trigger_gates_stand_in_their_order),
        cmocka_unit_test(test_trigger_storm_spends_no_budget),
        cmocka_unit_test(test_trigger_refused_by_the_destination_is_no_firing),
        cmocka_unit_test(test_trigger_a_change_refused_by_the_destination_is_not_reported),
        cmocka_unit_test(test_trigger_event_is_gated_but_never_tripped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
