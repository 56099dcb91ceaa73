/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions and what they remember, in simulated time. */
#include "trigger_fixture.h"

static void test_trigger_condition_compares_numbers(void **state)
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
        const struct trigger_input input = {.number = cases[i].value, .numeric = true};
        struct trigger_reading reading = trigger_compare(&cases[i].rule, &input);
        if (reading.holds != cases[i].holds || reading.clear != cases[i].clear)
            fail_msg("case %zu: %f", i, cases[i].value);
    }
}

static void test_trigger_condition_equals_text_and_numbers(void **state)
{
    (void)state;
    static const struct trigger_equal words[] = {{.text = {"FAULT", 5}},
                                                 {.text = {"3", 1}, .numeric = true, .number = 3}};
    static const struct trigger_rule rule = {.kind = TRIGGER_EQUALS, .equals = words, .equal_count = 2};
    static const struct {
        const char *text;
        bool numeric;
        double number;
        bool holds;
    } cases[] = {{"FAULT", false, 0, true},
                 {"fault", false, 0, false},
                 {"FAULTY", false, 0, false},
                 {"", false, 0, false},
                 {"3", true, 3, true},
                 {"3.0", true, 3, true},
                 {"3.0000001", true, 3.0000001, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct trigger_input input = {
            .text = span_of(cases[i].text), .numeric = cases[i].numeric, .number = cases[i].number};
        struct trigger_reading reading = trigger_compare(&rule, &input);
        if (reading.holds != cases[i].holds || reading.clear == reading.holds)
            fail_msg("%s", cases[i].text);
    }
}

static void test_trigger_condition_when_takes_the_callers_word(void **state)
{
    (void)state;
    const struct trigger_rule rule = {.kind = TRIGGER_WHEN};
    struct play play;
    play_begin(&play, &rule);
    static const struct {
        bool holds, clear;
        const char *reason;
    } turns[] = {{false, true, "condition_false"},
                 {true, false, "fired"},
                 {true, true, "tripped"},
                 {false, false, "condition_false"},
                 {false, true, "rearmed"}};
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        const struct trigger_input input = {.holds = turns[i].holds, .clear = turns[i].clear};
        assert_string_equal(play_input(&play, &input, T0).reason, turns[i].reason);
    }
}

/* The dead-band is measured from what was last reported, so that a creep is reported too. */
static void test_trigger_condition_changes_past_the_dead_band(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_CHANGES, .step = 0.5};
    PLAY(rule, {0, 20, "first_reading"}, {1, 20.4, "unchanged"}, {2, 20.5, "fired"}, {3, 20.9, "unchanged"},
         {4, 20.1, "unchanged"}, {5, 20.0, "fired"}, {6, 19.0, "fired"});
}

/* While the cooldown holds, the value reported stays the old one: the newest goes out afterwards. */
static void test_trigger_condition_changes_report_the_newest_after_a_cooldown(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_CHANGES, .step = 1, .cooldown_ms = M};
    PLAY(rule, {0, 10, "first_reading"}, {S, 12, "fired"}, {2 * S, 15, "cooldown"}, {M + S, 15, "fired"},
         {2 * M + S, 15, "unchanged"});
}

static void test_trigger_condition_any_change_of_a_text(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_CHANGES};
    static const struct {
        const char *text, *reason;
    } turns[] = {
        {"RUN", "first_reading"}, {"RUN", "unchanged"}, {"STOP", "fired"}, {"STOP", "unchanged"}, {"RUN", "fired"}};
    struct play play;
    play_begin(&play, &rule);
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        const struct trigger_input input = {.text = span_of(turns[i].text)};
        assert_string_equal(play_input(&play, &input, T0 + (int64_t)i).reason, turns[i].reason);
    }
}

/* Per minute: 5 in 10 s is 30. */
static void test_trigger_condition_rate_between_readings(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .derive = TRIGGER_RATE, .high = 29, .period_ms = M};
    PLAY(rule, {0, 100, "first_reading"}, {10 * S, 104, "below_threshold"}, {20 * S, 109, "fired"},
         {20 * S, 500, "no_time_passed"}, {30 * S, 114, "tripped"}, {40 * S, 114, "rearmed"},
         {50 * S, 100, "below_threshold"});
    static const struct trigger_rule falling = {
        .kind = TRIGGER_BELOW, .derive = TRIGGER_RATE, .low = -3, .period_ms = H};
    PLAY(falling, {0, 100, "first_reading"}, {30 * M, 99, "above_threshold"}, {H, 97, "fired"});
}

/* A meter: each multiple once, one firing for several at once, a reset counts on, a late reading does nothing. */
static void test_trigger_condition_every_multiple_once(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_EVERY, .step = 250};
    PLAY(rule, {0, 240, "first_reading"}, {1, 249.9, "no_multiple"}, {2, 250, "fired"}, {3, 250, "no_progress"},
         {4, 251, "no_multiple"}, {5, 1010, "fired"}, {6, 1000, "no_progress"}, {7, 1100, "no_multiple"},
         {8, 3, "no_multiple"},                                                       /* replaced at 1100: 1103 */
         {9, 100, "no_multiple"},                                                     /* 1200 */
         {10, 151, "fired"});                                                         /* 1251 */
    PLAY(rule, {0, 240, "first_reading"}, {1, 1e300, "fired"}, {2, 1, "no_multiple"}, /* garbage once is not for ever */
         {3, 600, "fired"}, {4, 900, "fired"}, {5, 1200, "fired"});
}

static void play_window(enum trigger_derive derive, double limit, const struct turn *turns, size_t count)
{
    const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .derive = derive, .high = limit, .period_ms = 20 * M};
    play_turns("window", &rule, turns, count);
}
#define WINDOW(derive, limit, ...)                                           \
    do {                                                                     \
        static const struct turn turns[] = {__VA_ARGS__};                    \
        play_window(derive, limit, turns, sizeof(turns) / sizeof(turns[0])); \
    } while (0)

static void test_trigger_condition_windows_slide(void **state)
{
    (void)state;
    WINDOW(TRIGGER_AVG, 10, {0, 8, "below_threshold"}, {M, 12, "below_threshold"}, {2 * M, 13, "fired"},
           {3 * M, 5, "rearmed"}, {23 * M, 11, "fired"});
    WINDOW(TRIGGER_MAX, 10, {0, 11, "fired"}, {19 * M, 1, "tripped"}, {20 * M, 1, "rearmed"});
    WINDOW(TRIGGER_MIN, 10, {0, 11, "fired"}, {M, 5, "rearmed"}, {20 * M, 12, "below_threshold"},
           {21 * M, 12, "fired"});
    WINDOW(TRIGGER_COUNT, 3, {0, 0, "below_threshold"}, {S, 0, "below_threshold"}, {2 * S, 0, "below_threshold"},
           {3 * S, 0, "fired"}, {20 * M, 0, "rearmed"});
}

/* Against the definition: every reading of the last 19/20 is in, none older than the window is. */
static void test_trigger_condition_window_is_between_its_bounds(void **state)
{
    (void)state;
    const struct trigger_rule rule = {.kind = TRIGGER_ABOVE, .derive = TRIGGER_COUNT, .high = 1e9, .period_ms = 20 * S};
    struct play play;
    static int64_t times[4000];
    play_begin(&play, &rule);
    srand(7);
    int64_t now_ms = T0;
    for (size_t i = 0; i < 4000; i++) {
        now_ms += rand() % (i % 500 == 0 ? 60000 : 900);
        times[i] = now_ms;
        const struct trigger_input input = {0};
        double count = trigger_read(&rule, &play.state, &input, now_ms).value;
        double least = 0, most = 0;
        for (size_t j = 0; j <= i; j++) {
            least += times[j] > now_ms - 19 * S;
            most += times[j] > now_ms - 20 * S;
        }
        if (count < least || count > most)
            fail_msg("reading %zu: %f of %f to %f", i, count, least, most);
    }
}

static struct trigger_result member(struct play *play, size_t number, int says, int64_t at_ms)
{
    const struct trigger_input input = {.member = number, .holds = says > 0, .clear = says < 0};
    return play_input(play, &input, T0 + at_ms);
}

static void test_trigger_condition_all_members_must_hold(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ALL, .member_count = 2};
    struct play play;
    play_begin(&play, &rule);
    assert_string_equal(member(&play, 0, 1, 0).reason, "not_all"); /* the other never spoke */
    assert_false(member(&play, 0, 1, 1).changed);                  /* says what it said */
    assert_string_equal(member(&play, 1, 1, 2).reason, "fired");
    assert_string_equal(member(&play, 1, 0, 3).reason, "not_all"); /* in its band: neither */
    assert_string_equal(member(&play, 1, 1, 4).reason, "tripped");
    assert_string_equal(member(&play, 0, -1, 5).reason, "rearmed");
    assert_string_equal(member(&play, 0, 1, 6).reason, "fired");
}

static void test_trigger_condition_any_member_may_hold(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ANY, .member_count = 3};
    struct play play;
    play_begin(&play, &rule);
    assert_string_equal(member(&play, 0, -1, 0).reason, "none");
    assert_string_equal(member(&play, 1, 1, 1).reason, "fired");
    assert_string_equal(member(&play, 0, 1, 2).reason, "tripped");
    assert_string_equal(member(&play, 1, -1, 3).reason, "tripped"); /* the first holds still */
    assert_string_equal(member(&play, 0, -1, 4).reason, "rearmed");
}

static void test_trigger_condition_a_stale_member_does_not_hold(void **state)
{
    (void)state;
    static const struct trigger_rule rule = {.kind = TRIGGER_ALL, .member_count = 2, .max_age_ms = M};
    struct play play;
    play_begin(&play, &rule);
    member(&play, 0, 1, 0);
    assert_string_equal(member(&play, 1, 1, M + 1).reason, "not_all");
    assert_string_equal(member(&play, 0, 1, M + 2).reason, "fired");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_condition_compares_numbers),
        cmocka_unit_test(test_trigger_condition_equals_text_and_numbers),
        cmocka_unit_test(test_trigger_condition_when_takes_the_callers_word),
        cmocka_unit_test(test_trigger_condition_changes_past_the_dead_band),
        cmocka_unit_test(test_trigger_condition_changes_report_the_newest_after_a_cooldown),
        cmocka_unit_test(test_trigger_condition_any_change_of_a_text),
        cmocka_unit_test(test_trigger_condition_rate_between_readings),
        cmocka_unit_test(test_trigger_condition_every_multiple_once),
        cmocka_unit_test(test_trigger_condition_windows_slide),
        cmocka_unit_test(test_trigger_condition_window_is_between_its_bounds),
        cmocka_unit_test(test_trigger_condition_all_members_must_hold),
        cmocka_unit_test(test_trigger_condition_any_member_may_hold),
        cmocka_unit_test(test_trigger_condition_a_stale_member_does_not_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
