/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries as they are accepted, found, listed and counted. */
#include "store_delivery.h"

static void test_store_delivery_state_names_are_read_back(void **state)
{
    (void)state;
    for (int i = DELIVERY_DRAFT; i <= DELIVERY_DISCARDED; i++) {
        enum delivery_state parsed;
        assert_true(delivery_state_parse(delivery_state_name((enum delivery_state)i), &parsed));
        assert_int_equal(parsed, i);
        assert_true(delivery_state_is_open(parsed) == (i <= DELIVERY_RETRYING));
    }
    enum delivery_state parsed;
    assert_false(delivery_state_parse("lost", &parsed));
}

static const char raw[] = "raw\0bytes\xff";

static void check_all_members(void *context, const struct delivery *d)
{
    ++*(int *)context;
    assert_true(d->seq > 0);
    assert_string_equal(d->id, "0190-a");
    assert_int_equal(d->kind, DELIVERY_BUS);
    assert_int_equal(d->state, DELIVERY_REJECTED);
    assert_string_equal(d->route, "bearing-hot");
    assert_string_equal(d->target, "mw");
    assert_string_equal(d->operation, "task.schedule");
    assert_string_equal(d->lane, "press-07 \xc3\xa9");
    assert_string_equal(d->order_id, "order-1");
    assert_int_equal(d->accepted_ms, NOW);
    assert_int_equal(d->due_ms, NOW + 5);
    assert_int_equal(d->ended_ms, NOW); /* it was over as it came */
    assert_int_equal(d->attempts, 0);
    assert_false(d->in_flight || d->uncertain || d->unconfirmed);
    assert_int_equal(d->body.len, sizeof raw);
    assert_memory_equal(d->body.data, raw, sizeof raw);
    assert_string_equal(d->topic, "plant/press-07");
    assert_int_equal(d->payload.len, 3);
    assert_memory_equal(d->payload.data, "\0\1\2", 3);
    assert_string_equal(d->user, "{\"a\":\"b\"}");
    assert_true(d->retained);
    assert_int_equal(d->packet_id, 65535);
    assert_true(d->packet_hash == INT64_MIN);
    assert_string_equal(d->error.error_class, "validation");
    assert_string_equal(d->error.code, "no_value");
    assert_string_equal(d->error.message, "there is no .celsius");
    assert_int_equal(d->error.http_status, 422);
    assert_string_equal(d->error.request_id, "r-1");
    assert_string_equal(d->error.rejected_fields, "[\"a\"]");
    assert_string_equal(d->error.owner_action, "mend the mapping");
    assert_null(d->request);
    assert_null(d->response);
    assert_null(d->merged_into);
}

static void test_store_delivery_keeps_every_member(void **state)
{
    struct fixture *fixture = *state;
    struct delivery delivery = {
        .id = "0190-a",
        .kind = DELIVERY_BUS,
        .state = DELIVERY_REJECTED,
        .route = "bearing-hot",
        .target = "mw",
        .operation = "task.schedule",
        .lane = "press-07 \xc3\xa9",
        .order_id = "order-1",
        .accepted_ms = NOW,
        .due_ms = NOW + 5,
        .body = {raw, sizeof raw},
        .topic = "plant/press-07",
        .payload = {"\0\1\2", 3},
        .user = "{\"a\":\"b\"}",
        .retained = true,
        .packet_id = 65535,
        .packet_hash = INT64_MIN,
        .attempts = 9,
        .error = {"validation", "no_value", "there is no .celsius", 422, "r-1", "[\"a\"]", "mend the mapping"},
    };
    WRITE(fixture->session, store_add_delivery(fixture->session, &delivery));
    fixture_reopen(fixture);
    int count = 0;
    assert_int_equal(store_find_delivery(fixture->session, "0190-a", check_all_members, &count), 0);
    assert_int_equal(count, 1);
}

static void check_work(void *context, const struct delivery *d)
{
    ++*(int *)context;
    assert_string_equal(d->id, "0190-b");
    assert_int_equal(d->kind, DELIVERY_OUT);
    assert_int_equal(d->state, DELIVERY_RETRYING);
    assert_int_equal(d->accepted_ms, NOW);
    assert_true(d->uncertain);
    assert_true(d->retained);
    assert_string_equal(d->order_id, "order-1");
    assert_string_equal(d->topic, "plant/press-07");
    assert_int_equal(d->body.len, sizeof raw);
    assert_memory_equal(d->body.data, raw, sizeof raw);
    assert_null(d->target);
    assert_null(d->request);
}

static void test_store_work_is_what_an_attempt_needs(void **state)
{
    struct fixture *fixture = *state;
    struct delivery delivery = {.id = "0190-b",
                                .kind = DELIVERY_OUT,
                                .state = DELIVERY_PENDING,
                                .target = "mw",
                                .order_id = "order-1",
                                .accepted_ms = NOW,
                                .body = {raw, sizeof raw},
                                .topic = "plant/press-07",
                                .retained = true};
    WRITE(fixture->session, store_add_delivery(fixture->session, &delivery));
    start(fixture, delivery.seq);
    settle(fixture, delivery.seq, (struct settlement){.state = DELIVERY_RETRYING, .uncertain = true, .request = "r"});
    int count = 0;
    assert_int_equal(store_get_work(fixture->session, delivery.seq, check_work, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(store_get_work(fixture->session, 77, check_work, &count), 0);
    assert_int_equal(count, 1);
}

static void test_store_delivery_members_may_be_null(void **state)
{
    struct fixture *fixture = *state;
    SEEN seen = {0};
    get(fixture, put_delivery(fixture->session, "a", "mw"), &seen);
    assert_null(seen.last.route);
    assert_null(seen.last.operation);
    assert_null(seen.last.lane);
    assert_null(seen.last.order_id);
    assert_null(seen.last.user);
    assert_int_equal(seen.last.payload.len, 0);
}

static void test_store_delivery_of_an_unknown_number_is_none(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;
    assert_int_equal(store_get_delivery(fixture->session, 77, count_delivery, &count), 0);
    assert_int_equal(count, 0);
}

static void test_store_delivery_numbers_are_never_used_twice(void **state)
{
    struct fixture *fixture = *state;
    int64_t seq = put_delivery(fixture->session, "a", "mw");
    settle(fixture, seq, (struct settlement){.state = DELIVERY_DELIVERED});
    assert_int_equal(store_retain(fixture->session, NOW + 9 * DAY, DAY, 10), 1);
    fixture_reopen(fixture);
    assert_true(put_delivery(fixture->session, "b", "mw") > seq);
}

/* ---- scanning ----------------------------------------------------------------*/

struct heads {
    int count;
    int64_t seqs[16];
    struct delivery_head last;
};

static void see_head(void *context, const struct delivery_head *head)
{
    struct heads *heads = context;
    heads->seqs[heads->count++] = head->seq;
    heads->last = *head;
}

static void test_store_scan_open_is_in_order_and_by_target(void **state)
{
    struct fixture *fixture = *state;
    int64_t first = put_delivery(fixture->session, "a", "mw");
    put_delivery(fixture->session, "b", "assetic");
    struct delivery webhook = make_delivery("webhook", "mw");
    webhook.kind = DELIVERY_IN;
    WRITE(fixture->session, store_add_delivery(fixture->session, &webhook));
    int64_t second = put_delivery(fixture->session, "c", "mw");
    struct heads heads = {0};
    assert_int_equal(store_scan_open(fixture->session, "mw", DELIVERY_OUT, 0, 10, see_head, &heads), 0);
    assert_int_equal(heads.count, 2);
    assert_int_equal(heads.seqs[0], first);
    assert_int_equal(heads.seqs[1], second);
}

static void test_store_scan_open_goes_on_after_a_number(void **state)
{
    struct fixture *fixture = *state;
    int64_t first = put_delivery(fixture->session, "a", "mw");
    int64_t second = put_delivery(fixture->session, "b", "mw");
    put_delivery(fixture->session, "c", "mw");
    struct heads heads = {0};
    assert_int_equal(store_scan_open(fixture->session, "mw", DELIVERY_OUT, first, 1, see_head, &heads), 0);
    assert_int_equal(heads.count, 1);
    assert_int_equal(heads.seqs[0], second);
}

static void test_store_scan_open_leaves_out_drafts_and_what_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct delivery draft = make_delivery("draft", "mw");
    draft.state = DELIVERY_DRAFT;
    WRITE(fixture->session, store_add_delivery(fixture->session, &draft));
    enum delivery_state over[] = {DELIVERY_DELIVERED, DELIVERY_REJECTED, DELIVERY_EXPIRED, DELIVERY_DISCARDED};
    for (int i = 0; i < 4; i++) {
        char id[] = {(char)('0' + i), '\0'};
        settle(fixture, put_delivery(fixture->session, id, "mw"), (struct settlement){.state = over[i]});
    }
    int64_t open = put_delivery(fixture->session, "open", "mw");
    settle(fixture, open, (struct settlement){.state = DELIVERY_RETRYING, .due_ms = NOW + 60000});
    struct heads heads = {0};
    assert_int_equal(store_scan_open(fixture->session, "mw", DELIVERY_OUT, 0, 10, see_head, &heads), 0);
    assert_int_equal(heads.count, 1);
    assert_int_equal(heads.last.seq, open);
    assert_int_equal(heads.last.state, DELIVERY_RETRYING);
    assert_int_equal(heads.last.due_ms, NOW + 60000);
    assert_int_equal(heads.last.kind, DELIVERY_OUT);
}

/* ---- lists and counts ----------------------------------------------------------*/

static void fill_list(struct fixture *fixture)
{
    static const struct {
        const char *id, *target, *route, *lane;
        enum delivery_state state;
        const char *code;
    } rows[] = {
        {"1", "mw", "hot", "a", DELIVERY_PENDING, NULL},  {"2", "mw", "hot", "b", DELIVERY_REJECTED, "unknown_asset"},
        {"3", "mw", NULL, "a", DELIVERY_DELIVERED, NULL}, {"4", "assetic", "hot", "a", DELIVERY_REJECTED, "no_value"},
        {"5", "mw", "wet", "a", DELIVERY_DRAFT, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct delivery delivery = make_delivery(rows[i].id, rows[i].target);
        delivery.route = rows[i].route;
        delivery.lane = rows[i].lane;
        delivery.state = rows[i].state;
        delivery.error.code = rows[i].code;
        WRITE(fixture->session, store_add_delivery(fixture->session, &delivery));
    }
}

static void assert_listed(struct fixture *fixture, struct delivery_filter filter, const char *seqs)
{
    SEEN seen = {0};
    assert_int_equal(store_list_deliveries(fixture->session, &filter, see, &seen), 0);
    cleanup_buf struct buf text = {0};
    for (int i = 0; i < seen.count; i++)
        buf_printf(&text, "%d", (int)seen.seqs[i]);
    assert_string_equal(text.data ? text.data : "", seqs);
}

static void test_store_list_filters(void **state)
{
    struct fixture *fixture = *state;
    fill_list(fixture);
    assert_listed(fixture, (struct delivery_filter){0}, "54321");
    assert_listed(fixture, (struct delivery_filter){.target = "mw"}, "5321");
    assert_listed(fixture, (struct delivery_filter){.route = "hot"}, "421");
    assert_listed(fixture, (struct delivery_filter){.lane = "b"}, "2");
    assert_listed(fixture, (struct delivery_filter){.code = "no_value"}, "4");
    assert_listed(fixture, (struct delivery_filter){.state = "rejected"}, "42");
    assert_listed(fixture, (struct delivery_filter){.state = "rejected", .target = "mw"}, "2");
    assert_listed(fixture, (struct delivery_filter){.state = "delivered"}, "3");
    assert_listed(fixture, (struct delivery_filter){.state = "draft"}, "5");
    assert_listed(fixture, (struct delivery_filter){.state = "expired"}, "");
}

static void test_store_list_pages_newest_first(void **state)
{
    struct fixture *fixture = *state;
    fill_list(fixture);
    assert_listed(fixture, (struct delivery_filter){.limit = 2}, "54");
    assert_listed(fixture, (struct delivery_filter){.limit = 2, .before_seq = 4}, "32");
    assert_listed(fixture, (struct delivery_filter){.state = "rejected", .before_seq = 4}, "2");
}

static void test_store_list_is_without_bodies(void **state)
{
    struct fixture *fixture = *state;
    put_delivery(fixture->session, "a", "mw");
    SEEN seen = {0};
    assert_int_equal(store_list_deliveries(fixture->session, &(struct delivery_filter){0}, see, &seen), 0);
    assert_int_equal(seen.last.body.len, 0);
}

static void test_store_list_refuses_an_unknown_state(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;
    struct delivery_filter filter = {.state = "lost"};
    assert_int_equal(store_list_deliveries(fixture->session, &filter, count_delivery, &count), -1);
    assert_non_null(strstr(store_error(fixture->session), "lost"));
}

static void see_count(void *context, const struct delivery_count *count)
{
    buf_printf(context, "%s.%s %s %d;", count->target, count->route ? count->route : "-",
               delivery_state_name(count->state), (int)count->count);
    assert_int_equal(count->oldest_ms, NOW);
}

static void test_store_count_deliveries_by_route_target_and_state(void **state)
{
    struct fixture *fixture = *state;
    fill_list(fixture);
    struct delivery delivery = make_delivery("6", "mw");
    delivery.route = "hot";
    delivery.accepted_ms = NOW + 7;
    WRITE(fixture->session, store_add_delivery(fixture->session, &delivery));
    cleanup_buf struct buf text = {0};
    assert_int_equal(store_count_deliveries(fixture->session, see_count, &text), 0);
    assert_string_equal(text.data, "mw.- delivered 1;assetic.hot rejected 1;mw.hot pending 2;mw.hot rejected 1;"
                                   "mw.wet draft 1;");
}

/* ---- packets -------------------------------------------------------------------*/

static void see_packet(void *context, int packet_id, int64_t packet_hash)
{
    buf_printf(context, "%d=%d ", packet_id, (int)packet_hash);
}

static void put_packet(struct fixture *fixture, int packet_id)
{
    char id[16];
    snprintf(id, sizeof id, "p%d", packet_id);
    struct delivery delivery = make_delivery(id, "mw");
    delivery.packet_id = packet_id;
    delivery.packet_hash = packet_id * 10;
    WRITE(fixture->session, store_add_delivery(fixture->session, &delivery));
}

/* MW-P24 */
static void test_store_recent_packets_are_the_newest_oldest_first(void **state)
{
    struct fixture *fixture = *state;
    put_packet(fixture, 1);
    put_packet(fixture, 2);
    put_delivery(fixture->session, "without", "mw");
    put_packet(fixture, 3);
    cleanup_buf struct buf text = {0};
    assert_int_equal(store_recent_packets(fixture->session, 2, see_packet, &text), 0);
    assert_string_equal(text.data, "2=20 3=30 ");
}

static void test_store_forget_packets_forgets_the_ones_before(void **state)
{
    struct fixture *fixture = *state;
    put_packet(fixture, 1);
    WRITE(fixture->session, store_forget_packets(fixture->session));
    put_packet(fixture, 2);
    cleanup_buf struct buf text = {0};
    assert_int_equal(store_recent_packets(fixture->session, 10, see_packet, &text), 0);
    assert_string_equal(text.data, "2=20 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_delivery_state_names_are_read_back),
        TEST(test_store_delivery_keeps_every_member),
        TEST(test_store_work_is_what_an_attempt_needs),
        TEST(test_store_delivery_members_may_be_null),
        TEST(test_store_delivery_of_an_unknown_number_is_none),
        TEST(test_store_delivery_numbers_are_never_used_twice),
        TEST(test_store_scan_open_is_in_order_and_by_target),
        TEST(test_store_scan_open_goes_on_after_a_number),
        TEST(test_store_scan_open_leaves_out_drafts_and_what_is_over),
        TEST(test_store_list_filters),
        TEST(test_store_list_pages_newest_first),
        TEST(test_store_list_is_without_bodies),
        TEST(test_store_list_refuses_an_unknown_state),
        TEST(test_store_count_deliveries_by_route_target_and_state),
        TEST(test_store_recent_packets_are_the_newest_oldest_first),
        TEST(test_store_forget_packets_forgets_the_ones_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
