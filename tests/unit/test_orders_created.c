/* SPDX-License-Identifier: Apache-2.0 */
/* The record of an order that we create: what its first write makes of it. */
#include "orders_house.h"

/* FV-05b, FV-05c: there from its first attempt, confirmed by the answer. */
static void test_orders_created_is_pending_then_synchronized(void **state)
{
    HOUSE;
    told.source_id = "T-1";
    start(house);
    send(house, "d1", "work_order.create",
         "{\"asset_ref\":\"P-1\",\"priority\":\"high\",\"sla_due_at\":\"2030-01-01T00:00:00Z\"}");
    assert_string_equal(record(house, "d1"), "synchronized requested T-1");
    assert_true(synced_ms(house, "d1") >= NOW);
    expect_topics(house, "events/mw/work_order/created orders/mw/d1");
    expect_history(house, "d1", "attempt delivered synchronized - 1 write_back;");
    struct order_record found = {0};
    assert_int_equal(store_find_order(house->store->session, "d1", keep_order, &found), 0);
    assert_string_equal(found.order.asset_ref, "P-1");
    assert_string_equal(found.order.priority, "high");
    assert_string_equal(found.order.source_priority, "1");
    assert_int_equal(found.order.sla_due_ms, INT64_C(1893456000000));
    order_record_finish(&found);
}

/* FV-05b: it is stored with the count of its first attempt, before the plugin is asked. */
static void test_orders_is_pending_before_it_is_sent(void **state)
{
    HOUSE;
    start(house);
    struct delivery delivery = delivery_of("d1", "work_order.create", "d1");
    delivery.order_id = "d1";
    put(house, delivery);
    struct store_session *session = house->store->session;
    assert_true(dispatch_pick(house->dispatch, house->now_ms, house->now_ms));
    assert_int_equal(store_begin(session), 0);
    assert_int_equal(dispatch_store(house->dispatch), 0);
    assert_int_equal(store_commit(session), 0);
    assert_int_equal(plugin_says.steps, 0);
    assert_string_equal(record(house, "d1"), "pending requested");
    assert_int_equal(synced_ms(house, "d1"), 0);
    dispatch_go(house->dispatch, true);
    run_acked(house);
    assert_int_equal(plugin_says.steps, 1);
}

/* FV-05d, FV-05e: retrying while there is hope, rejected when attempts are used up; no success is claimed. */
static void test_orders_created_is_retrying_then_rejected(void **state)
{
    HOUSE;
    told.verdict = BB_RETRY;
    told.error_class = BB_PROVIDER_UNAVAILABLE;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "retrying requested");
    house->now_ms += 10000;
    run_acked(house);
    assert_string_equal(record(house, "d1"), "rejected requested");
    assert_int_equal(synced_ms(house, "d1"), 0);
    expect_topics(house, "orders/mw/d1 orders/mw/d1 events/mw/sync/failed");
    expect_history(house, "d1",
                   "attempt rejected rejected told_so 2 write_back;attempt retrying retrying told_so 1 write_back;");
}

/* FV-05e, FV-09e: a refusal for good; sync.failed once. And back to pending by a person. */
static void test_orders_rejected_is_pending_again_by_an_operator(void **state)
{
    HOUSE;
    const char *error = NULL;
    told.verdict = BB_REJECT;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "rejected requested");
    expect_topics(house, "orders/mw/d1 events/mw/sync/failed");
    told.verdict = BB_DONE;
    assert_int_equal(dispatch_hold(house->dispatch, "mw", NULL, NULL, &error), 0);
    assert_int_equal(dispatch_retry(house->dispatch, "d1", &error), 0);
    assert_string_equal(record(house, "d1"), "pending requested");
    assert_int_equal(dispatch_resume(house->dispatch, "mw", NULL, &error), 0);
    run_acked(house);
    assert_string_equal(record(house, "d1"), "synchronized requested");
    expect_history(house, "d1",
                   "attempt delivered synchronized - 1 write_back;retry pending - - 0 write_back;"
                   "attempt rejected rejected told_so 1 write_back;");
}

static void test_orders_discarded_is_rejected(void **state) /* settled 13 */
{
    HOUSE;
    const char *error = NULL;
    told.verdict = BB_RETRY;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_int_equal(dispatch_discard(house->dispatch, "d1", &error), 0);
    assert_string_equal(record(house, "d1"), "rejected requested");
}

static void test_orders_held_is_still_pending(void **state)
{
    HOUSE;
    told.verdict = BB_HOLD;
    told.error_class = BB_AUTHENTICATION;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "pending requested");
    expect_topics(house, "alerts orders/mw/d1");
    expect_history(house, "d1", "attempt pending pending told_so 1 write_back;");
}

/* An answer within a second spares the bus one message; one that lets wait for it is told. */
static void test_orders_on_their_way_are_shown_as_pending(void **state)
{
    HOUSE;
    told.verdict = BB_SEND;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "pending requested");
    expect_topics(house, "");
    house->now_ms += 1000;
    run_acked(house);
    expect_topics(house, "orders/mw/d1");
    house->now_ms += 10000;
    run_acked(house);
    expect_topics(house, "orders/mw/d1"); /* once */
}

/* What the mode refuses is no order (FV-08a), and no record is kept of what is none (no BB_WORK_ORDER). */
static void test_orders_keeps_no_record_of_what_is_none(void **state)
{
    HOUSE;
    start(house);
    send(house, "d1", "part.create", "{}");
    house->mode.mode = MODE_READ;
    send(house, "d2", "work_order.create", "{}");
    assert_string_equal(verdict_of(house, "d2").code, "mode_refuses");
    assert_string_equal(record(house, "d1"), "none");
    assert_string_equal(record(house, "d2"), "none");
    assert_int_equal(plugin_says.steps, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, orders_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_orders_created_is_pending_then_synchronized),
        TEST(test_orders_is_pending_before_it_is_sent),
        TEST(test_orders_created_is_retrying_then_rejected),
        TEST(test_orders_rejected_is_pending_again_by_an_operator),
        TEST(test_orders_discarded_is_rejected),
        TEST(test_orders_held_is_still_pending),
        TEST(test_orders_on_their_way_are_shown_as_pending),
        TEST(test_orders_keeps_no_record_of_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
