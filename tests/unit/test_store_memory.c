/* SPDX-License-Identifier: Apache-2.0 */
/* Trigger states, memories, holds, notes, subscriptions, work orders, audit, and their upkeep. */
#include "store_fixture.h"

#include <sys/stat.h>

/* ---- triggers ------------------------------------------------------------------*/

static void see_trigger(void *context, const char *route, struct span key, struct span state)
{
    buf_printf(context, "%s|", route);
    buf_append(context, key.data, key.len);
    buf_printf(context, "|%.*s;", (int)state.len, state.data);
}

static void assert_triggers(struct fixture *fixture, const char *expected, size_t len)
{
    cleanup_buf struct buf text = {0};
    assert_int_equal(store_load_triggers(fixture->session, see_trigger, &text), 0);
    assert_int_equal(text.len, len);
    if (len > 0)
        assert_memory_equal(text.data, expected, len);
}

/* MW-P25 */
static void test_store_trigger_survives_a_restart(void **state)
{
    struct fixture *fixture = *state;
    struct span key = SPAN("line 3/\xe7\x83\xad\0x");
    WRITE(fixture->session, store_put_trigger(fixture->session, "hot", key, SPAN("{\"phase\":2}")));
    WRITE(fixture->session, store_put_trigger(fixture->session, "hot", key, SPAN("{\"phase\":0}")));
    fixture_reopen(fixture);
    static const char expected[] = "hot|line 3/\xe7\x83\xad\0x|{\"phase\":0};";
    assert_triggers(fixture, expected, sizeof expected - 1);
}

static void test_store_trigger_with_no_state_is_deleted(void **state)
{
    struct fixture *fixture = *state;
    WRITE(fixture->session, store_put_trigger(fixture->session, "hot", SPAN("k"), SPAN("{}")));
    WRITE(fixture->session, store_put_trigger(fixture->session, "hot", SPAN("k"), SPAN("")));
    assert_triggers(fixture, "", 0);
}

/* ---- memories ------------------------------------------------------------------*/

static bool remember(struct fixture *fixture, const char *space, const char *key, int64_t now_ms)
{
    bool seen;
    WRITE(fixture->session, store_remember(fixture->session, space, span_of(key), now_ms, &seen));
    return seen;
}

static bool is_remembered(struct fixture *fixture, const char *space, const char *key)
{
    bool seen;
    assert_int_equal(store_is_remembered(fixture->session, space, span_of(key), &seen), 0);
    return seen;
}

static void test_store_remember_says_what_was_seen(void **state)
{
    struct fixture *fixture = *state;
    assert_false(remember(fixture, "hook:mw", "k", NOW));
    assert_true(remember(fixture, "hook:mw", "k", NOW));
    assert_false(remember(fixture, "nonce:mw", "k", NOW));
    assert_true(is_remembered(fixture, "hook:mw", "k"));
    assert_false(is_remembered(fixture, "hook:mw", "other"));
}

static void test_store_retain_forgets_memories_after_seven_days(void **state)
{
    struct fixture *fixture = *state;
    remember(fixture, "hook:mw", "old", NOW);
    remember(fixture, "hook:mw", "older", NOW);
    remember(fixture, "hook:mw", "new", NOW + 2 * DAY);
    assert_int_equal(store_retain(fixture->session, NOW + 7 * DAY + 1, 30 * DAY, 1), 1);
    assert_int_equal(store_retain(fixture->session, NOW + 7 * DAY + 1, 30 * DAY, 10), 1);
    assert_false(is_remembered(fixture, "hook:mw", "old"));
    assert_true(is_remembered(fixture, "hook:mw", "new"));
}

/* ---- holds, notes, subscriptions -------------------------------------------------*/

static void see_hold(void *context, const char *target, const char *operation, const char *reason, int64_t since_ms)
{
    buf_printf(context, "%s|%s|%s|%d;", target, operation, reason, (int)(since_ms - NOW));
}

static void test_store_holds_last_until_resumed(void **state)
{
    struct fixture *fixture = *state;
    WRITE(fixture->session, store_put_hold(fixture->session, "mw", "", "401", NOW));
    WRITE(fixture->session, store_put_hold(fixture->session, "mw", "task.schedule", "403", NOW + 1));
    WRITE(fixture->session, store_put_hold(fixture->session, "mw", "", NULL, NOW));
    fixture_reopen(fixture);
    cleanup_buf struct buf text = {0};
    assert_int_equal(store_load_holds(fixture->session, see_hold, &text), 0);
    assert_string_equal(text.data, "mw|task.schedule|403|1;");
}

static void assert_note(struct fixture *fixture, const char *target, const char *expected)
{
    cleanup_text char *value = store_note_get(fixture->session, target, "cursor");
    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
}

static void test_store_notes_belong_to_a_target(void **state)
{
    struct fixture *fixture = *state;
    WRITE(fixture->session, store_note_put(fixture->session, "mw", "cursor", "1"));
    WRITE(fixture->session, store_note_put(fixture->session, "mw", "cursor", "2"));
    assert_note(fixture, "mw", "2");
    assert_note(fixture, "assetic", NULL);
    WRITE(fixture->session, store_note_put(fixture->session, "mw", "cursor", NULL));
    assert_note(fixture, "mw", NULL);
}

static void see_filter(void *context, const char *filter)
{
    buf_printf(context, "%s;", filter);
}

static void test_store_subscriptions_are_replaced(void **state)
{
    struct fixture *fixture = *state;
    const char *first[] = {"a/#", "b/+"}, *second[] = {"b/+", "c"};
    WRITE(fixture->session, store_put_subscriptions(fixture->session, "me", first, 2));
    WRITE(fixture->session, store_put_subscriptions(fixture->session, "other", first, 1));
    WRITE(fixture->session, store_put_subscriptions(fixture->session, "me", second, 2));
    cleanup_buf struct buf text = {0};
    assert_int_equal(store_load_subscriptions(fixture->session, "me", see_filter, &text), 0);
    assert_string_equal(text.data, "b/+;c;");
}

/* ---- work orders -------------------------------------------------------------------*/

static void see_order(void *context, const struct work_order *order)
{
    buf_printf(context, "%s %s;", order->common_work_order_id, order->common_status ? order->common_status : "-");
}

static void check_order(void *context, const struct work_order *order)
{
    ++*(int *)context;
    assert_string_equal(order->common_work_order_id, "c1");
    assert_string_equal(order->provider_id, "mw");
    assert_string_equal(order->source_work_order_id, "s1");
    assert_null(order->asset_ref);
    assert_string_equal(order->source_status, "Done");
    assert_string_equal(order->common_status, "completed");
    assert_string_equal(order->priority, "high");
    assert_string_equal(order->source_priority, "1");
    assert_int_equal(order->sla_due_ms, NOW + 1);
    assert_string_equal(order->sync_state, "synchronized");
    assert_int_equal(order->last_synced_ms, NOW + 2);
    assert_string_equal(order->delivery_id, "d1");
    assert_int_equal(order->updated_ms, NOW + 3);
    assert_int_equal(order->fresh_until_ms, NOW + 4);
}

/* FV-12 */
static void test_store_order_keeps_every_member(void **state)
{
    struct fixture *fixture = *state;
    struct work_order order = {"c1", "mw",    "s1",           NULL,    "Done", "completed", "high",
                               "1",  NOW + 1, "synchronized", NOW + 2, "d1",   NOW + 3,     NOW + 4};
    WRITE(fixture->session, store_put_order(fixture->session, &order));
    int count = 0;
    assert_int_equal(store_find_order(fixture->session, "c1", check_order, &count), 0);
    assert_int_equal(store_find_order_by_source(fixture->session, "mw", "s1", check_order, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(store_find_order_by_source(fixture->session, "assetic", "s1", check_order, &count), 0);
    assert_int_equal(count, 2);
}

static void put_order(struct fixture *fixture, const char *id, const char *provider, const char *status)
{
    struct work_order order = {.common_work_order_id = id, .provider_id = provider, .common_status = status};
    WRITE(fixture->session, store_put_order(fixture->session, &order));
}

static void assert_orders(struct fixture *fixture, const char *provider, const char *after, size_t limit,
                          const char *expected)
{
    cleanup_buf struct buf text = {0};
    const struct order_filter filter = {.provider_id = provider, .after_id = after, .limit = limit};
    assert_int_equal(store_list_orders(fixture->session, &filter, see_order, &text), 0);
    assert_string_equal(text.data ? text.data : "", expected);
}

static void test_store_orders_are_replaced_and_listed(void **state)
{
    struct fixture *fixture = *state;
    put_order(fixture, "c2", "mw", "created");
    put_order(fixture, "c1", "mw", "created");
    put_order(fixture, "c3", "assetic", NULL);
    put_order(fixture, "c2", "mw", "closed");
    assert_orders(fixture, NULL, NULL, 0, "c1 created;c2 closed;c3 -;");
    assert_orders(fixture, "mw", NULL, 1, "c1 created;");
    assert_orders(fixture, "mw", "c1", 10, "c2 closed;");
}

/* FV-05f: the longest overdue first, and when the next is. */
static void test_store_orders_that_turn_stale_are_found_by_their_time(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *id;
        int64_t fresh_until_ms;
    } orders[] = {{"never", 0}, {"late", NOW + 30}, {"first", NOW + 10}, {"second", NOW + 20}};
    int64_t at_ms;
    assert_int_equal(store_next_stale(fixture->session, &at_ms), 0);
    assert_int_equal(at_ms, INT64_MAX);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        const struct work_order order = {.common_work_order_id = orders[i].id,
                                         .fresh_until_ms = orders[i].fresh_until_ms};
        WRITE(fixture->session, store_put_order(fixture->session, &order));
    }
    cleanup_buf struct buf due = {0}, one = {0};
    assert_int_equal(store_scan_stale(fixture->session, NOW + 20, 10, see_order, &due), 0);
    assert_string_equal(due.data, "first -;second -;");
    assert_int_equal(store_scan_stale(fixture->session, NOW + 20, 1, see_order, &one), 0);
    assert_string_equal(one.data, "first -;");
    assert_int_equal(store_next_stale(fixture->session, &at_ms), 0);
    assert_int_equal(at_ms, NOW + 10);
}

/* ---- audit ---------------------------------------------------------------------------*/

static void put_audit(struct fixture *fixture, const char *what, const char *delivery_id, int64_t at_ms)
{
    struct audit audit = {.at_ms = at_ms, .who = "busbar", .what = what, .delivery_id = delivery_id, .mode = "read"};
    WRITE(fixture->session, store_add_audit(fixture->session, &audit));
}

static void see_audit(void *context, const struct audit *audit)
{
    assert_string_equal(audit->who, "busbar");
    assert_string_equal(audit->mode, "read");
    assert_null(audit->detail);
    buf_printf(context, "%d:%s ", (int)audit->seq, audit->what);
}

static void assert_audit(struct fixture *fixture, const char *id, int64_t since_ms, int64_t before, size_t limit,
                         const char *expected)
{
    cleanup_buf struct buf text = {0};
    const struct audit_filter filter = {.delivery_id = id, .since_ms = since_ms, .before_seq = before, .limit = limit};
    assert_int_equal(store_list_audit(fixture->session, &filter, see_audit, &text), 0);
    assert_string_equal(text.data ? text.data : "", expected);
}

/* FV-16 */
static void test_store_audit_is_listed_newest_first(void **state)
{
    struct fixture *fixture = *state;
    put_audit(fixture, "accept", "a", NOW);
    put_audit(fixture, "hold", NULL, NOW + 10);
    put_audit(fixture, "attempt", "a", NOW + 20);
    assert_audit(fixture, NULL, 0, 0, 0, "3:attempt 2:hold 1:accept ");
    assert_audit(fixture, "a", 0, 0, 0, "3:attempt 1:accept ");
    assert_audit(fixture, NULL, NOW + 10, 0, 0, "3:attempt 2:hold ");
    assert_audit(fixture, NULL, 0, 3, 1, "2:hold ");
}

static void see_row(void *context, const struct audit *audit)
{
    buf_printf(context, "%s ", audit->what);
}

/* FV-16: by order, target, class and outcome, and each row with what a person asks of a failure (FV-09e). */
static void test_store_audit_is_filtered(void **state)
{
    struct fixture *fixture = *state;
    const struct audit rows[] = {
        {.at_ms = NOW, .who = "busbar", .what = "a", .target = "mw", .order_id = "o1", .error_class = "validation"},
        {.at_ms = NOW, .who = "busbar", .what = "b", .target = "mw", .order_id = "o2"},
        {.at_ms = NOW, .who = "busbar", .what = "c", .target = "at", .order_id = "o1", .error_class = "conflict"},
        {.at_ms = NOW, .who = "busbar", .what = "d", .target = "at", .delivery_id = "x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        WRITE(fixture->session, store_add_audit(fixture->session, &rows[i]));
    const struct {
        struct audit_filter filter;
        const char *expected;
    } asked[] = {
        {{.order_id = "o1"}, "c a "},
        {{.order_id = "o1", .target = "mw"}, "a "},
        {{.target = "at"}, "d c "},
        {{.error_class = "conflict"}, "c "},
        {{.outcome = -1}, "c a "},
        {{.outcome = 1}, "d b "},
        {{.outcome = 1, .delivery_id = "x"}, "d "},
        {{.outcome = -1, .order_id = "o1", .before_seq = 3}, "a "},
        {{.order_id = "o3"}, ""},
    };
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        cleanup_buf struct buf text = {0};
        assert_int_equal(store_list_audit(fixture->session, &asked[i].filter, see_row, &text), 0);
        assert_string_equal(text.data ? text.data : "", asked[i].expected);
    }
}

static void check_row(void *context, const struct audit *audit)
{
    ++*(int *)context;
    assert_string_equal(audit->mode, "handoff");
    assert_string_equal(audit->order_id, "o1");
    assert_string_equal(audit->sync_state, "retrying");
    assert_string_equal(audit->error_class, "provider_unavailable");
    assert_string_equal(audit->code, "http_503");
    assert_string_equal(audit->owner_action, "wait");
    assert_int_equal(audit->attempt, 2);
    assert_int_equal(audit->next_ms, NOW + 60);
}

static void test_store_audit_row_keeps_every_member(void **state)
{
    struct fixture *fixture = *state;
    const struct audit row = {.at_ms = NOW,
                              .who = "busbar",
                              .what = "attempt",
                              .mode = "handoff",
                              .order_id = "o1",
                              .sync_state = "retrying",
                              .error_class = "provider_unavailable",
                              .code = "http_503",
                              .owner_action = "wait",
                              .attempt = 2,
                              .next_ms = NOW + 60};
    int count = 0;
    WRITE(fixture->session, store_add_audit(fixture->session, &row));
    assert_int_equal(store_list_audit(fixture->session, &(struct audit_filter){0}, check_row, &count), 0);
    assert_int_equal(count, 1);
}

/* F-U12 */
static void test_store_retain_keeps_the_audit_for_ninety_days(void **state)
{
    struct fixture *fixture = *state;
    put_audit(fixture, "accept", "a", NOW);
    assert_int_equal(store_retain(fixture->session, NOW + 89 * DAY, DAY, 10), 0);
    assert_int_equal(store_retain(fixture->session, NOW + 91 * DAY, 100 * DAY, 10), 0);
    assert_int_equal(store_retain(fixture->session, NOW + 91 * DAY, DAY, 10), 1);
}

/* ---- retention of deliveries, checkpoints, backup ---------------------------------------*/

static void test_store_retain_keeps_dead_letters_and_what_is_open(void **state)
{
    struct fixture *fixture = *state;
    enum delivery_state states[] = {DELIVERY_PENDING,  DELIVERY_RETRYING, DELIVERY_DELIVERED,
                                    DELIVERY_REJECTED, DELIVERY_EXPIRED,  DELIVERY_DISCARDED};
    for (int i = 0; i < 6; i++) {
        char id[] = {(char)('0' + i), '\0'};
        settle_as(fixture->session, put_delivery(fixture->session, id, "mw"), states[i], NOW);
    }
    put_order(fixture, "c1", "mw", "closed");
    assert_int_equal(store_retain(fixture->session, NOW + DAY, DAY, 10), 0); /* not older yet */
    assert_int_equal(store_retain(fixture->session, NOW + DAY + 1, DAY, 10), 3);
    assert_true(has_delivery(fixture->session, "0") && has_delivery(fixture->session, "1"));
    assert_true(has_delivery(fixture->session, "3"));
    assert_false(has_delivery(fixture->session, "2") || has_delivery(fixture->session, "4"));
    assert_orders(fixture, NULL, NULL, 0, "c1 closed;");
}

static void test_store_retain_goes_in_steps(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 5; i++) {
        char id[] = {(char)('0' + i), '\0'};
        settle_as(fixture->session, put_delivery(fixture->session, id, "mw"), DELIVERY_DELIVERED, NOW);
    }
    assert_int_equal(store_retain(fixture->session, NOW + 2 * DAY, DAY, 2), 2);
    assert_int_equal(store_retain(fixture->session, NOW + 2 * DAY, DAY, 2), 2);
    assert_int_equal(store_retain(fixture->session, NOW + 2 * DAY, DAY, 2), 1);
    assert_int_equal(store_retain(fixture->session, NOW + 2 * DAY, DAY, 2), 0);
}

static void write_megabytes(struct fixture *fixture, int round, int count)
{
    static char bytes[1 << 20];
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%d-%d", round, i);
        struct delivery delivery = make_delivery(id, "mw");
        delivery.body = (struct span){bytes, sizeof bytes};
        WRITE(fixture->session, store_add_delivery(fixture->session, &delivery));
        assert_int_equal(store_checkpoint(fixture->session), 0);
    }
}

/* 60 MB written, yet the WAL is begun anew again and again. */
static void test_store_checkpoint_keeps_the_wal_short(void **state)
{
    struct fixture *fixture = *state;
    write_megabytes(fixture, 0, 60);
    cleanup_text char *wal = mem_printf("%s-wal", fixture->path);
    struct stat file;
    assert_int_equal(stat(wal, &file), 0);
    assert_in_range(file.st_size, 1 << 20, 12 << 20);
}

static void test_store_backup_is_a_whole_store(void **state)
{
    struct fixture *fixture = *state;
    put_delivery(fixture->session, "a", "mw");
    struct fixture copy = *fixture;
    snprintf(copy.path, sizeof copy.path, "%s/backup.db", fixture->directory);
    assert_int_equal(store_backup(fixture->session, copy.path), 0);
    put_delivery(fixture->session, "later", "mw");
    fixture_open(&copy);
    assert_true(has_delivery(copy.session, "a"));
    assert_false(has_delivery(copy.session, "later"));
    put_delivery(copy.session, "b", "mw");
    fixture_close(&copy);
}

static void test_store_backup_overwrites_nothing(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(store_backup(fixture->session, fixture->path), -1);
    assert_non_null(strstr(store_error(fixture->session), "exists"));
    assert_int_equal(store_backup(fixture->session, "/nonexistent/backup.db"), -1);
    put_delivery(fixture->session, "a", "mw");
}

static void test_store_backup_from_a_reader(void **state)
{
    struct fixture *fixture = *state;
    put_delivery(fixture->session, "a", "mw");
    struct fixture reader = *fixture, copy = *fixture;
    reader.options.read_only = true;
    fixture_open(&reader);
    snprintf(copy.path, sizeof copy.path, "%s/backup.db", fixture->directory);
    assert_int_equal(store_backup(reader.session, copy.path), 0);
    fixture_close(&reader);
    fixture_open(&copy);
    assert_true(has_delivery(copy.session, "a"));
    fixture_close(&copy);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_store_trigger_survives_a_restart),
        TEST(test_store_trigger_with_no_state_is_deleted),
        TEST(test_store_remember_says_what_was_seen),
        TEST(test_store_retain_forgets_memories_after_seven_days),
        TEST(test_store_holds_last_until_resumed),
        TEST(test_store_notes_belong_to_a_target),
        TEST(test_store_subscriptions_are_replaced),
        TEST(test_store_order_keeps_every_member),
        TEST(test_store_orders_are_replaced_and_listed),
        TEST(test_store_orders_that_turn_stale_are_found_by_their_time),
        TEST(test_store_audit_is_listed_newest_first),
        TEST(test_store_audit_is_filtered),
        TEST(test_store_audit_row_keeps_every_member),
        TEST(test_store_retain_keeps_the_audit_for_ninety_days),
        TEST(test_store_retain_keeps_dead_letters_and_what_is_open),
        TEST(test_store_retain_goes_in_steps),
        TEST(test_store_checkpoint_keeps_the_wal_short),
        TEST(test_store_backup_is_a_whole_store),
        TEST(test_store_backup_overwrites_nothing),
        TEST(test_store_backup_from_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
