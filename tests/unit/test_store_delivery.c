/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries from acceptance to verdict. */
#include "store_fixture.h"

/* What a test looks at after the callback is over. */
struct seen {
    int count;
    struct delivery last;
    char *texts[16];
    size_t text_count;
    int64_t seqs[64];
};

static const char *keep(struct seen *seen, const char *text)
{
    if (!text)
        return NULL;
    return seen->texts[seen->text_count++] = mem_strdup(text);
}

static void see(void *context, const struct delivery *delivery)
{
    struct seen *seen = context;
    seen->seqs[seen->count++ % 64] = delivery->seq;
    while (seen->text_count > 0)
        mem_free_char(&seen->texts[--seen->text_count]);
    seen->last = *delivery;
    seen->last.error.code = keep(seen, delivery->error.code);
    seen->last.error.message = keep(seen, delivery->error.message);
    seen->last.operation = keep(seen, delivery->operation);
    seen->last.request = keep(seen, delivery->request);
    seen->last.response = keep(seen, delivery->response);
    seen->last.merged_into = keep(seen, delivery->merged_into);
    seen->last.body.data = keep(seen, delivery->body.data);
}

static void seen_finish(struct seen *seen)
{
    while (seen->text_count > 0)
        mem_free_char(&seen->texts[--seen->text_count]);
}
#define SEEN __attribute__((cleanup(seen_finish))) struct seen

static void get(struct fixture *fixture, int64_t seq, struct seen *seen)
{
    seen->count = 0;
    assert_int_equal(store_get_delivery(fixture->session, seq, see, seen), 0);
    assert_int_equal(seen->count, 1);
}

static void start(struct fixture *fixture, int64_t seq)
{
    WRITE(fixture->session, store_start_attempt(fixture->session, seq, NULL, NOW));
}

static void settle(struct fixture *fixture, int64_t seq, struct settlement settlement)
{
    if (!settlement.who)
        settlement.who = "busbar";
    if (!settlement.what)
        settlement.what = "attempt";
    settlement.now_ms = NOW + 1;
    WRITE(fixture->session, store_settle(fixture->session, seq, &settlement));
}

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

/* ---- attempts and verdicts -----------------------------------------------------*/

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

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_delivery_state_names_are_read_back),
        TEST(test_store_delivery_keeps_every_member),
        TEST(test_store_delivery_members_may_be_null),
        TEST(test_store_delivery_of_an_unknown_number_is_none),
        TEST(test_store_work_is_what_an_attempt_needs),
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
        TEST(test_store_start_attempt_counts_and_marks),
        TEST(test_store_start_attempt_refuses_what_is_over),
        TEST(test_store_settle_writes_the_verdict),
        TEST(test_store_settle_held_does_not_count_the_attempt),
        TEST(test_store_settle_keeps_the_last_exchange),
        TEST(test_store_settle_retry_of_a_dead_letter_begins_anew),
        TEST(test_store_settle_of_an_unknown_number_fails),
        TEST(test_store_settle_writes_one_audit_row),
        TEST(test_store_edit_sends_a_dead_letter_again),
        TEST(test_store_edit_refuses_what_is_no_dead_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
