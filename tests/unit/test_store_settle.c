/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts and verdicts of a delivery, and what an operator makes of a dead letter. */
#include "store_delivery.h"

static void test_store_start_attempt_counts_and_marks(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    start(fixture, seq);
    SEEN seen = {0};
    get(fixture, seq, &seen);
    assert_int_equal(seen.last.attempts, 1);
    assert_true(seen.last.in_flight);
}

static void test_store_start_attempt_refuses_what_is_over(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    settle(fixture, seq, (struct settlement){.state = DELIVERY_DISCARDED});
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_start_attempt(fixture->session, seq, NULL, NOW), -1);
    store_rollback(fixture->session);
}

static void test_store_settle_writes_the_verdict(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    start(fixture, seq);
    settle(fixture, seq,
           (struct settlement){.state = DELIVERY_REJECTED,
                               .uncertain = true,
                               .unconfirmed = true,
                               .error = {.code = "unknown_asset", .message = "no such asset"},
                               .request = "POST",
                               .response = "404",
                               .merged_into = "b"});
    SEEN seen = {0};
    get(fixture, seq, &seen);
    assert_int_equal(seen.last.state, DELIVERY_REJECTED);
    assert_int_equal(seen.last.ended_ms, NOW + 1);
    assert_int_equal(seen.last.attempts, 1);
    assert_false(seen.last.in_flight);
    assert_true(seen.last.uncertain && seen.last.unconfirmed);
    assert_string_equal(seen.last.error.code, "unknown_asset");
    assert_string_equal(seen.last.request, "POST");
    assert_string_equal(seen.last.response, "404");
    assert_string_equal(seen.last.merged_into, "b");
}

static void test_store_settle_held_does_not_count_the_attempt(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    struct settlement held = {.state = DELIVERY_PENDING, .due_ms = NOW + 9, .keep_attempts = true};
    start(fixture, seq);
    settle(fixture, seq, held);
    settle(fixture, seq, held); /* nothing began: nothing to give back */
    SEEN seen = {0};
    get(fixture, seq, &seen);
    assert_int_equal(seen.last.attempts, 0);
    assert_int_equal(seen.last.due_ms, NOW + 9);
    assert_int_equal(seen.last.ended_ms, 0);
}

static void test_store_settle_keeps_the_last_exchange(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    settle(fixture, seq, (struct settlement){.state = DELIVERY_RETRYING, .request = "1", .response = "2"});
    settle(fixture, seq, (struct settlement){.state = DELIVERY_RETRYING});
    SEEN seen = {0};
    get(fixture, seq, &seen);
    assert_string_equal(seen.last.request, "1");
    assert_string_equal(seen.last.response, "2");
    settle(fixture, seq, (struct settlement){.state = DELIVERY_RETRYING, .request = "3"});
    get(fixture, seq, &seen);
    assert_string_equal(seen.last.request, "3");
    assert_null(seen.last.response); /* never the answer to another request */
}

static void test_store_settle_retry_of_a_dead_letter_begins_anew(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    start(fixture, seq);
    settle(fixture, seq, (struct settlement){.state = DELIVERY_REJECTED, .error.code = "crash"});
    settle(fixture, seq, (struct settlement){.state = DELIVERY_PENDING, .what = "retry", .who = "operator"});
    SEEN seen = {0};
    get(fixture, seq, &seen);
    assert_int_equal(seen.last.attempts, 0);
    assert_int_equal(seen.last.ended_ms, 0);
    assert_null(seen.last.error.code);
}

static void test_store_settle_of_an_unknown_number_fails(void **state)
{
    struct fixture *fixture = *state;
    struct settlement settlement = {.state = DELIVERY_DELIVERED, .who = "busbar", .what = "attempt"};
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_settle(fixture->session, 77, &settlement), -1);
    assert_non_null(strstr(store_error(fixture->session), "77"));
    store_rollback(fixture->session);
}

static void see_audit(void *context, const struct audit *audit)
{
    buf_printf(context, "%s %s %s %s %s: %s;", audit->who, audit->what, audit->delivery_id, audit->target,
               audit->outcome, audit->detail ? audit->detail : "-");
}

/* FV-09b, MW-P28 */
static void test_store_settle_writes_one_audit_row(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    settle(fixture, seq,
           (struct settlement){.state = DELIVERY_RETRYING,
                               .error = {.error_class = "provider_unavailable",
                                         .code = "http_503",
                                         .message = "busy",
                                         .http_status = 503,
                                         .request_id = "r-9"}});
    settle(fixture, seq, (struct settlement){.state = DELIVERY_DELIVERED, .merged_into = "b"});
    cleanup_buf struct buf text = {0};
    assert_int_equal(store_list_audit(fixture->session, &(struct audit_filter){.delivery_id = "a"}, see_audit, &text),
                     0);
    assert_string_equal(text.data,
                        "busbar attempt a mw delivered: merged into b;"
                        "busbar attempt a mw retrying: provider_unavailable http_503: busy (HTTP 503, request r-9);");
}

static void test_store_edit_sends_a_dead_letter_again(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    settle(fixture, seq, (struct settlement){.state = DELIVERY_REJECTED, .error.code = "unknown_asset"});
    const struct settlement edit = {
        .state = DELIVERY_PENDING, .due_ms = NOW + 9, .who = "operator", .what = "edit", .now_ms = NOW + 9};
    WRITE(fixture->session, store_edit_delivery(fixture->session, seq, SPAN("{\"new\":1}"), "task.create", &edit));
    SEEN seen = {0};
    get(fixture, seq, &seen);
    assert_int_equal(seen.last.state, DELIVERY_PENDING);
    assert_int_equal(seen.last.due_ms, NOW + 9);
    assert_string_equal(seen.last.operation, "task.create");
    assert_int_equal(seen.last.body.len, 9);
    assert_null(seen.last.error.code);
    cleanup_buf struct buf text = {0};
    assert_int_equal(
        store_list_audit(fixture->session, &(struct audit_filter){.delivery_id = "a", .limit = 1}, see_audit, &text),
        0);
    assert_string_equal(text.data, "operator edit a mw pending: -;");
}

static void test_store_edit_refuses_what_is_no_dead_letter(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_edit_delivery(fixture->session, seq, SPAN("{}"), NULL, &(struct settlement){0}), -1);
    assert_non_null(strstr(store_error(fixture->session), "dead letter"));
    store_rollback(fixture->session);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_start_attempt_counts_and_marks),    TEST(test_store_start_attempt_refuses_what_is_over),
        TEST(test_store_settle_writes_the_verdict),         TEST(test_store_settle_held_does_not_count_the_attempt),
        TEST(test_store_settle_keeps_the_last_exchange),    TEST(test_store_settle_retry_of_a_dead_letter_begins_anew),
        TEST(test_store_settle_of_an_unknown_number_fails), TEST(test_store_settle_writes_one_audit_row),
        TEST(test_store_edit_sends_a_dead_letter_again),    TEST(test_store_edit_refuses_what_is_no_dead_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
