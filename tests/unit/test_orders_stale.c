/* SPDX-License-Identifier: Apache-2.0 */
/* A record that nobody confirms in time. */
#include "orders_house.h"

/* FV-05f: at the time, not before; from pending, synchronized and imported; told once. */
static void test_orders_turn_stale_when_nobody_confirms(void **state)
{
    HOUSE;
    told.unconfirmed = true;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    told.unconfirmed = false;
    send(house, "d2", "work_order.create", "{}");
    const struct bb_work_order said = {.order_id = "e0000000-0000-4000-8000-000000000001", .common_status = "assigned"};
    hear(house, "w1", &said);
    house->now_ms += 2000; /* past the look whether something is still to be answered */
    run_acked(house);
    int64_t due_ms = dispatch_next_due(house->dispatch);
    assert_in_range(due_ms, NOW + FRESHNESS, house->now_ms + FRESHNESS - 2000);
    house->now_ms = due_ms - 1000;
    run_acked(house);
    assert_string_equal(record(house, "d1"), "pending requested");
    house->now_ms = due_ms + 1000;
    run_acked(house);
    assert_string_equal(record(house, "d1"), "stale requested");
    assert_string_equal(record(house, "d2"), "stale requested");
    assert_string_equal(record(house, said.order_id), "stale assigned");
    assert_int_equal(dispatch_next_due(house->dispatch), INT64_MAX);
    expect_history(house, "d1", "stale stale stale - 0 -;attempt delivered pending - 1 write_back;");
    assert_true(synced_ms(house, "d2") < due_ms);
    hear(house, "w2", &said);
    assert_string_equal(record(house, said.order_id), "synchronized assigned");
}

/* A turn that is not stored turns nothing stale; the next one does. */
static void test_orders_turn_stale_after_a_failed_commit(void **state)
{
    HOUSE;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    house->now_ms += FRESHNESS + 10;
    assert_true(turn_stored(house, false));
    assert_string_equal(record(house, "d1"), "synchronized requested");
    house->now_ms += 10000;
    run_acked(house);
    assert_string_equal(record(house, "d1"), "stale requested");
}

/* Over is over; retrying and rejected wait for something else. */
static void test_orders_that_are_over_never_turn_stale(void **state)
{
    HOUSE;
    start(house);
    const struct bb_work_order said = {.order_id = "e0000000-0000-4000-8000-000000000001", .common_status = "canceled"};
    hear(house, "w1", &said);
    told.verdict = BB_REJECT;
    send(house, "d1", "work_order.create", "{}");
    house->now_ms += FRESHNESS + 10;
    run_acked(house);
    assert_int_equal(dispatch_next_due(house->dispatch), INT64_MAX);
    assert_string_equal(record(house, said.order_id), "imported canceled");
    assert_string_equal(record(house, "d1"), "rejected requested");
}

/* Of a target that never speaks by itself, silence says nothing: but a 202 is still unconfirmed. */
static void test_orders_of_a_silent_target_turn_stale_only_unconfirmed(void **state)
{
    HOUSE;
    house->config.http.webhooks = NULL;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    told.unconfirmed = true;
    send(house, "d2", "work_order.create", "{}");
    house->now_ms += FRESHNESS + 10;
    run_acked(house);
    assert_int_equal(dispatch_next_due(house->dispatch), INT64_MAX);
    assert_string_equal(record(house, "d1"), "synchronized requested");
    assert_string_equal(record(house, "d2"), "stale requested");
}

static void test_orders_of_a_polled_target_turn_stale(void **state)
{
    HOUSE;
    house->config.http.webhooks = NULL;
    house->plugin.poll = on_poll;
    house->plugin.poll_ms = DAY;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    house->now_ms += FRESHNESS + 10;
    run_acked(house);
    assert_string_equal(record(house, "d1"), "stale requested");
}

static void test_orders_without_freshness_never_turn_stale(void **state) /* F-U11 */
{
    HOUSE;
    house->target_config.freshness_ms = 0;
    told.unconfirmed = true;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    house->now_ms += 10 * FRESHNESS;
    run_acked(house);
    assert_int_equal(dispatch_next_due(house->dispatch), INT64_MAX);
    assert_string_equal(record(house, "d1"), "pending requested");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, orders_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_orders_turn_stale_when_nobody_confirms),
        TEST(test_orders_turn_stale_after_a_failed_commit),
        TEST(test_orders_that_are_over_never_turn_stale),
        TEST(test_orders_of_a_silent_target_turn_stale_only_unconfirmed),
        TEST(test_orders_of_a_polled_target_turn_stale),
        TEST(test_orders_without_freshness_never_turn_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
