/* SPDX-License-Identifier: Apache-2.0 */
/* A record and the target's own word: what it confirms, what it tells of orders that are not ours. */
#include "orders_house.h"

/* FV-05b, FV-05c: accepted is pending, its webhook confirms it. */
static void test_orders_accepted_is_pending_until_it_is_confirmed(void **state)
{
    HOUSE;
    told.unconfirmed = true;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "pending requested");
    assert_int_equal(synced_ms(house, "d1"), 0);
    const struct bb_work_order said = {.delivery_id = "d1", .source_work_order_id = "T-1", .common_status = "assigned"};
    hear(house, "w1", &said);
    assert_string_equal(record(house, "d1"), "synchronized assigned T-1");
    assert_true(synced_ms(house, "d1") >= NOW);
    expect_history(house, "d1", "import delivered synchronized - 1 -;attempt delivered pending - 1 write_back;");
}

/* The webhook may overtake the answer: a 202 that comes after it takes nothing back. */
static void test_orders_confirmed_before_the_answer_stays_so(void **state)
{
    HOUSE;
    const struct bb_work_order said = {.delivery_id = "d1", .source_work_order_id = "T-1", .common_status = "assigned"};
    told.unconfirmed = true;
    told.says = &said;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "synchronized assigned T-1");
}

/* FV-05a: what the target tells of its own. */
static void test_orders_of_the_target_s_own_are_imported(void **state)
{
    HOUSE;
    const struct bb_work_order said = {
        .order_id = "e0000000-0000-4000-8000-000000000001", .source_work_order_id = "T-9", .common_status = "assigned"};
    start(house);
    hear(house, "w1", &said);
    assert_string_equal(record(house, said.order_id), "imported assigned T-9");
    assert_true(synced_ms(house, said.order_id) >= NOW);
    hear(house, "w2", &said);
    assert_string_equal(record(house, said.order_id), "synchronized assigned T-9");
}

/* FV-05e: the target's later word does not hide that a write of ours needs a person; last_synced_at waits with it. */
static void test_orders_rejected_is_not_healed_by_an_import(void **state)
{
    HOUSE;
    start(house);
    put_order(house, "o1", "mw", "T-1", "assigned", "rejected");
    const struct bb_work_order said = {.source_work_order_id = "T-1", .common_status = "in_progress"};
    hear(house, "w1", &said);
    assert_string_equal(record(house, "o1"), "rejected in_progress T-1");
    assert_int_equal(synced_ms(house, "o1"), NOW - DAY);
}

/* A write that was given up, its answer lost, and then the target carries our mark back. */
static void test_orders_given_up_is_confirmed_by_its_mark(void **state)
{
    HOUSE;
    start(house);
    struct delivery delivery = delivery_of("d1", "work_order.create", "d1");
    delivery.order_id = "d1";
    int64_t seq = put(house, delivery);
    const struct settlement parked = {.state = DELIVERY_REJECTED,
                                      .error = {.error_class = "provider_unavailable", .code = "uncertain_outcome"},
                                      .who = "busbar",
                                      .what = "attempt",
                                      .now_ms = NOW};
    WRITE(house->store->session, store_settle(house->store->session, seq, &parked));
    put_order(house, "d1", "mw", NULL, "requested", "rejected");
    const struct bb_work_order said = {.delivery_id = "d1", .source_work_order_id = "T-1", .common_status = "assigned"};
    hear(house, "w1", &said);
    assert_int_equal(verdict_of(house, "d1").state, DELIVERY_DELIVERED);
    assert_string_equal(record(house, "d1"), "synchronized assigned T-1");
}

/* FV-04: an import that makes a step which is none is taken, and marked; from an end nothing but a reopen leads on. */
static void test_orders_imports_are_taken_with_a_warning(void **state)
{
    HOUSE;
    start(house);
    put_order(house, "o1", "mw", "T-1", "requested", "imported");
    put_order(house, "o2", "mw", "T-2", "closed", "imported");
    const struct bb_work_order leap = {.source_work_order_id = "T-1", .common_status = "completed"};
    const struct bb_work_order late = {.source_work_order_id = "T-2", .common_status = "in_progress"};
    hear(house, "w1", &leap);
    hear(house, "w2", &late);
    assert_string_equal(record(house, "o1"), "synchronized completed T-1");
    assert_string_equal(record(house, "o2"), "synchronized closed T-2");
    expect_history(house, "o1", "import delivered synchronized - 1 -;import warning synchronized - 0 -;");
    expect_history(house, "o2", "import delivered synchronized - 1 -;");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, orders_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_orders_accepted_is_pending_until_it_is_confirmed),
        TEST(test_orders_confirmed_before_the_answer_stays_so),
        TEST(test_orders_of_the_target_s_own_are_imported),
        TEST(test_orders_rejected_is_not_healed_by_an_import),
        TEST(test_orders_given_up_is_confirmed_by_its_mark),
        TEST(test_orders_imports_are_taken_with_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
