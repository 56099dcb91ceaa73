/* SPDX-License-Identifier: Apache-2.0 */
/* Our writes on orders that exist: which one is meant, what its lifecycle allows, what is told of the change. */
#include "orders_house.h"

#include "lifecycle.h"

/* By our id, by the target's, by a number; the plugin gets both ids. */
static void test_orders_are_found_by_either_id(void **state)
{
    HOUSE;
    static const char *const bodies[] = {"{\"order\":\"o1\"}", "{\"order\":\"17\"}", "{\"order\":17}"};
    start(house);
    put_order(house, "o1", "mw", "17", "assigned", "imported");
    for (size_t i = 0; i < COUNT(bodies); i++) {
        char id[4];
        snprintf(id, sizeof id, "d%zu", i);
        asked.order_id[0] = asked.source_order_id[0] = '\0';
        send(house, id, "work_order.update", bodies[i]);
        assert_string_equal(asked.order_id, "o1");
        assert_string_equal(asked.source_order_id, "17");
        assert_string_equal(verdict_of(house, id).order, "o1");
    }
    assert_string_equal(record(house, "o1"), "synchronized assigned 17");
    expect_history(house, "o1",
                   "attempt delivered synchronized - 1 write_back;attempt delivered synchronized - 1 write_back;"
                   "attempt delivered synchronized - 1 write_back;");
}

/* FV-07d, FV-09a: not known, or another target's, is the same answer, and nothing is sent. */
static void test_orders_of_nobody_and_of_another_target_are_unknown(void **state)
{
    HOUSE;
    static const char *const bodies[] = {"{\"order\":\"nobody\"}", "{\"order\":\"o2\"}", "{\"order\":\"T-2\"}"};
    start(house);
    put_order(house, "o2", "other", "T-2", "assigned", "imported");
    for (size_t i = 0; i < COUNT(bodies); i++) {
        char id[4];
        snprintf(id, sizeof id, "d%zu", i);
        send(house, id, "work_order.update", bodies[i]);
        struct verdict verdict = verdict_of(house, id);
        assert_int_equal(verdict.state, DELIVERY_REJECTED);
        assert_string_equal(verdict.error_class, "identity");
        assert_string_equal(verdict.code, "unknown_work_order");
        assert_string_equal(verdict.order, "");
    }
    assert_int_equal(plugin_says.steps, 0);
    assert_string_equal(record(house, "o2"), "imported assigned T-2");
}

static void test_orders_need_to_be_named(void **state)
{
    HOUSE;
    static const char *const bodies[] = {"{}", "{\"order\":null}", "{\"order\":{}}", "{\"order\":\"\"}", "[]", "7"};
    start(house);
    for (size_t i = 0; i < COUNT(bodies); i++) {
        char id[4];
        snprintf(id, sizeof id, "d%zu", i);
        send(house, id, "work_order.update", bodies[i]);
        assert_string_equal(verdict_of(house, id).code, "no_work_order");
    }
    assert_int_equal(plugin_says.steps, 0);
}

/* Its id is still to come: waited for, with nothing sent; then it goes. */
static void test_orders_without_their_id_are_waited_for(void **state)
{
    HOUSE;
    start(house);
    put_order(house, "o1", "mw", NULL, "assigned", "pending");
    send(house, "d1", "work_order.update", "{\"order\":\"o1\"}");
    struct verdict verdict = verdict_of(house, "d1");
    assert_int_equal(verdict.state, DELIVERY_RETRYING);
    assert_string_equal(verdict.code, "work_order_not_known_yet");
    assert_string_equal(record(house, "o1"), "pending assigned");
    assert_int_equal(plugin_says.steps, 0);
    const struct bb_work_order said = {.order_id = "o1", .source_work_order_id = "T-1"};
    hear(house, "w1", &said);
    house->now_ms += 10000;
    run_acked(house);
    assert_int_equal(verdict_of(house, "d1").state, DELIVERY_DELIVERED);
    assert_string_equal(asked.source_order_id, "T-1");
}

static void test_orders_never_made_are_not_waited_for(void **state)
{
    HOUSE;
    start(house);
    put_order(house, "o1", "mw", NULL, "requested", "rejected");
    send(house, "d1", "work_order.update", "{\"order\":\"o1\"}");
    assert_string_equal(verdict_of(house, "d1").error_class, "conflict");
    assert_string_equal(verdict_of(house, "d1").code, "work_order_not_created");
    assert_int_equal(plugin_says.steps, 0);
}

/* FV-04, FV-09c: every pair. What the table allows is sent and becomes the record's status; all else is a conflict that
 * says where one may go, and nothing is sent. */
static void test_orders_move_as_the_lifecycle_allows_and_no_further(void **state)
{
    HOUSE;
    size_t count;
    const char *const *words = lifecycle_words(WORDS_STATUS, &count);
    start(house);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            char order[8], id[8], body[64];
            snprintf(order, sizeof order, "o%zu", i * count + j);
            snprintf(id, sizeof id, "d%zu", i * count + j);
            snprintf(body, sizeof body, "{\"order\":\"%s\",\"to\":\"%s\"}", order, words[j]);
            put_order(house, order, "mw", order, words[i], "imported");
            plugin_says.steps = 0;
            send(house, id, "work_order.move", body);
            struct verdict end = verdict_of(house, id);
            cleanup_text char *wanted = mem_printf("synchronized %s %s", words[j], order);
            cleanup_text char *kept = mem_printf("rejected %s %s", words[i], order);
            if (lifecycle_allows(words[i], words[j])) {
                assert_int_equal(end.state, DELIVERY_DELIVERED);
                assert_int_equal(plugin_says.steps, 1); /* same to same is no step, but it is sent */
                assert_string_equal(record(house, order), wanted);
                continue;
            }
            cleanup_buf struct buf next = {0};
            lifecycle_print_next(words[i], &next);
            cleanup_text char *message =
                mem_printf("the work order is %s, which may become %s, not %s", words[i], next.data, words[j]);
            assert_int_equal(plugin_says.steps, 0);
            assert_int_equal(end.state, DELIVERY_REJECTED);
            assert_string_equal(end.error_class, "conflict");
            assert_string_equal(end.code, "illegal_transition");
            assert_string_equal(end.message, message);
            assert_string_equal(record(house, order), kept);
            expect_history(house, order, "attempt rejected rejected illegal_transition 1 write_back;");
        }
}

/* moves_to may be a word, or be left out of the body; what is no word of ours is refused. */
static void test_orders_move_by_the_descriptor_s_or_the_body_s_word(void **state)
{
    HOUSE;
    start(house);
    put_order(house, "o1", "mw", "T-1", "completed", "imported");
    send(house, "d1", "work_order.move", "{\"order\":\"o1\"}");
    assert_string_equal(record(house, "o1"), "synchronized completed T-1");
    send(house, "d2", "work_order.move", "{\"order\":\"o1\",\"to\":\"SHUT\"}");
    assert_string_equal(verdict_of(house, "d2").error_class, "validation");
    assert_string_equal(verdict_of(house, "d2").code, "unknown_status");
    assert_int_equal(plugin_says.steps, 1);
    send(house, "d3", "work_order.close", "{\"order\":\"o1\"}");
    assert_string_equal(record(house, "o1"), "synchronized closed T-1");
    send(house, "d4", "work_order.close", "{\"order\":\"o1\"}");
    assert_int_equal(verdict_of(house, "d4").state, DELIVERY_DELIVERED); /* the same again */
    assert_int_equal(plugin_says.steps, 3);
}

static void note_order_event(void *context, const struct delivery *delivery)
{
    if (strncmp(delivery->topic, "busbar/events/", 14) == 0)
        buf_printf(context, "%s;", delivery->topic + strlen("busbar/events/mw/"));
}

static void expect_events(struct house *house, const char *expected) /* newest first */
{
    cleanup_buf struct buf events = {0};
    const struct delivery_filter filter = {.target = "bus"};
    assert_int_equal(store_list_deliveries(house->store->session, &filter, note_order_event, &events), 0);
    assert_string_equal(events.len > 0 ? events.data : "", expected);
}

/* FV-06b, FV-06c, FV-06d: each change is told under its own name; the target's word goes with ours (FV-01). */
static void test_orders_changes_are_told(void **state)
{
    HOUSE;
    start(house);
    put_order(house, "o1", "mw", "T-1", "in_progress", "imported");
    send(house, "d1", "work_order.update", "{\"order\":\"o1\"}");
    send(house, "d2", "work_order.move", "{\"order\":\"o1\",\"to\":\"completed\"}");
    send(house, "d3", "work_order.close", "{\"order\":\"o1\"}");
    expect_events(house, "work_order/closed;work_order/completed;work_order/updated;");
    struct order_record found = {0};
    assert_int_equal(store_find_order(house->store->session, "o1", keep_order, &found), 0);
    assert_string_equal(found.order.source_status, "SHUT");
    order_record_finish(&found);
}

/* Accepted only: the status waits for the target's word, and so does the event. */
static void test_orders_change_that_was_only_accepted_waits(void **state)
{
    HOUSE;
    told.unconfirmed = true;
    start(house);
    put_order(house, "o1", "mw", "T-1", "completed", "synchronized");
    send(house, "d1", "work_order.close", "{\"order\":\"o1\"}");
    assert_string_equal(record(house, "o1"), "pending completed T-1");
    assert_int_equal(synced_ms(house, "o1"), NOW - DAY);
    expect_events(house, "");
    const struct bb_work_order said = {.source_work_order_id = "T-1", .source_status = "SHUT"};
    hear(house, "w1", &said);
    assert_string_equal(record(house, "o1"), "synchronized closed T-1");
}

/* What the plugin tells of it, nobody tells again. */
static void test_orders_change_is_not_told_twice(void **state)
{
    HOUSE;
    const struct bb_work_order said = {.source_work_order_id = "T-1", .source_status = "DONE"};
    told.says = &said;
    start(house);
    put_order(house, "o1", "mw", "T-1", "in_progress", "imported");
    send(house, "d1", "work_order.move", "{\"order\":\"o1\",\"to\":\"completed\"}");
    expect_events(house, "work_order/updated;");
    assert_string_equal(record(house, "o1"), "synchronized completed T-1");
}

/* FV-05d, FV-05e of a change: retrying, rejected, and pending again. */
static void test_orders_changes_have_sync_states_too(void **state)
{
    HOUSE;
    const char *error = NULL;
    told.verdict = BB_RETRY;
    start(house);
    put_order(house, "o1", "mw", "T-1", "completed", "synchronized");
    send(house, "d1", "work_order.close", "{\"order\":\"o1\"}");
    assert_string_equal(record(house, "o1"), "retrying completed T-1");
    house->now_ms += 10000;
    run_acked(house);
    assert_string_equal(record(house, "o1"), "rejected completed T-1");
    assert_int_equal(dispatch_hold(house->dispatch, "mw", NULL, NULL, &error), 0);
    assert_int_equal(dispatch_retry(house->dispatch, "d1", &error), 0);
    assert_string_equal(record(house, "o1"), "pending completed T-1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, orders_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_orders_are_found_by_either_id),
        TEST(test_orders_of_nobody_and_of_another_target_are_unknown),
        TEST(test_orders_need_to_be_named),
        TEST(test_orders_without_their_id_are_waited_for),
        TEST(test_orders_never_made_are_not_waited_for),
        TEST(test_orders_move_as_the_lifecycle_allows_and_no_further),
        TEST(test_orders_move_by_the_descriptor_s_or_the_body_s_word),
        TEST(test_orders_changes_are_told),
        TEST(test_orders_change_that_was_only_accepted_waits),
        TEST(test_orders_change_is_not_told_twice),
        TEST(test_orders_changes_have_sync_states_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
