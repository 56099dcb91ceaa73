/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include "config.h"
#include "dispatch_private.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)

static struct writes *hourly(int64_t most)
{
    struct config_target config = {.max_writes = most, .max_writes_window_ms = HOUR};
    struct writes *writes = writes_create(&config);
    assert_non_null(writes);
    return writes;
}

static void test_writes_without_a_limit_are_free(void **state)
{
    (void)state;
    struct config_target config = {0};
    assert_null(writes_create(&config));
    assert_true(writes_spend(NULL, 1000000, NOW));
}

static void test_writes_are_had_back_as_the_window_moves(void **state)
{
    (void)state;
    struct writes *writes = hourly(10);
    assert_true(writes_spend(writes, 6, NOW));
    assert_true(writes_spend(writes, 4, NOW + 30 * MINUTE));
    assert_false(writes_spend(writes, 1, NOW + 31 * MINUTE));
    assert_int_equal(writes_spent(writes, NOW + 58 * MINUTE), 10);
    assert_false(writes_spend(writes, 1, NOW + 58 * MINUTE)); /* never more than the limit in any hour */
    assert_true(writes_spend(writes, 6, NOW + 61 * MINUTE));  /* the first six are an hour old */
    assert_false(writes_spend(writes, 1, NOW + 62 * MINUTE));
    assert_int_equal(writes_spent(writes, NOW + 100 * HOUR), 0);
    free(writes);
}

static void test_writes_a_batch_larger_than_the_limit_goes_alone(void **state)
{
    (void)state;
    struct writes *writes = hourly(10);
    assert_true(writes_spend(writes, 100, NOW));
    assert_false(writes_spend(writes, 1, NOW));
    assert_int_equal(writes_spent(writes, NOW), 100);
    writes_forget(writes);
    assert_true(writes_spend(writes, 5, NOW));
    assert_false(writes_spend(writes, 6, NOW));
    free(writes);
}

static void test_writes_a_clock_set_back_gives_nothing_back(void **state)
{
    (void)state;
    struct writes *writes = hourly(10);
    assert_true(writes_spend(writes, 9, NOW));
    assert_true(writes_spend(writes, 1, NOW - 5 * HOUR));
    assert_false(writes_spend(writes, 1, NOW - 5 * HOUR));
    assert_int_equal(writes_spent(writes, NOW - 5 * HOUR + 59 * MINUTE), 10);
    assert_true(writes_spend(writes, 1, NOW - 4 * HOUR)); /* what was counted is an hour old by the clock that holds */
    assert_int_equal(writes_spent(writes, NOW + 2 * HOUR), 0);
    free(writes);
}

static void test_writes_outlive_the_process(void **state)
{
    struct fixture *fixture = *state;
    struct writes *writes = hourly(10), *again = hourly(10), *daily;
    assert_true(writes_spend(writes, 3, NOW - 50 * MINUTE));
    assert_true(writes_spend(writes, 4, NOW));
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(writes_store(writes, fixture->session, "mw"), 0);
    assert_int_equal(store_commit(fixture->session), 0);
    fixture_reopen(fixture);
    writes_load(again, fixture->session, "other", NOW);
    assert_int_equal(writes_spent(again, NOW), 0);
    writes_load(again, fixture->session, "mw", NOW);
    assert_int_equal(writes_spent(again, NOW), 7);
    assert_int_equal(writes_spent(again, NOW + 20 * MINUTE), 4); /* at the times that they were */

    struct config_target config = {.max_writes = 10, .max_writes_window_ms = 24 * HOUR};
    daily = writes_create(&config); /* another window: nothing is forgotten */
    writes_load(daily, fixture->session, "mw", NOW);
    assert_int_equal(writes_spent(daily, NOW), 7);

    writes_forget(again);
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(writes_store(again, fixture->session, "mw"), 0);
    assert_int_equal(store_commit(fixture->session), 0);
    cleanup_text char *note = store_note_get(fixture->session, "$writes", "mw");
    assert_null(note);
    free(writes);
    free(again);
    free(daily);
}

static void test_writes_a_note_that_is_garbage_is_none(void **state)
{
    struct fixture *fixture = *state;
    static const char *const notes[] = {"",  "x",    "1700000000000", "1700000000000 -1", "1700000000000 9e9",
                                        " ", "1 1 1"};
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
        struct writes *writes = hourly(10);
        assert_int_equal(store_begin(fixture->session), 0);
        assert_int_equal(store_note_put(fixture->session, "$writes", "mw", notes[i]), 0);
        assert_int_equal(store_commit(fixture->session), 0);
        writes_load(writes, fixture->session, "mw", NOW);
        assert_int_equal(writes_spent(writes, NOW), 0);
        free(writes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_without_a_limit_are_free),
        cmocka_unit_test(test_writes_are_had_back_as_the_window_moves),
        cmocka_unit_test(test_writes_a_batch_larger_than_the_limit_goes_alone),
        cmocka_unit_test(test_writes_a_clock_set_back_gives_nothing_back),
        cmocka_unit_test_setup_teardown(test_writes_outlive_the_process, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_writes_a_note_that_is_garbage_is_none, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
