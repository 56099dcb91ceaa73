/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher: lines, errands, uncertainty, the breadcrumb, the bus, the breaker. */
#include "dispatch_house.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* ---- the way through */

static void test_dispatch_delivers(void **state)
{
    HOUSE;
    start(house);
    put(house, delivery_of("d1", "thing.update", "lane"));
    run(house);
    assert_int_equal(plugin_says.steps, 1);
    assert_int_equal(look(house, "d1").state, DELIVERY_DELIVERED);
    assert_int_equal(dispatch_in_flight(house->dispatch), 0);
}

/* Whatever commit fails, the verdict is stored in the end and the plugin is asked once an attempt. */
static void test_dispatch_takes_a_turn_back_that_was_not_stored(void **state)
{
    HOUSE;
    start(house);
    put(house, delivery_of("d1", "thing.create", "lane"));
    assert_true(turn_stored(house, false)); /* the count of the attempt */
    assert_int_equal(plugin_says.steps, 0);
    house->now_ms += 2000;
    assert_true(turn_stored(house, true));
    assert_int_equal(plugin_says.steps, 1);
    for (int i = 0; i < 3; i++) { /* the verdict, with its order and event */
        assert_true(turn_stored(house, false));
        house->now_ms += 2000;
    }
    run_acked(house);
    assert_int_equal(plugin_says.steps, 1);
    struct seen seen = look(house, "d1");
    assert_int_equal(seen.state, DELIVERY_DELIVERED);
    assert_int_equal(seen.attempts, 1);
    assert_int_equal(dispatch_in_flight(house->dispatch), 0);
}

/* ---- lines: none hides another */

static void test_dispatch_webhooks_do_not_stop_what_goes_out(void **state)
{
    HOUSE;
    house->target_config.concurrency = 2;
    start(house);
    put(house, delivery_of("d1", "thing.update", "lane"));
    for (int i = 0; i < 50 && plugin_says.steps == 0; i++) {
        for (int k = 0; k < 4; k++) {
            char id[32];
            snprintf(id, sizeof(id), "hook-%d-%d", i, k);
            struct delivery hook = delivery_of(id, "webhook", id);
            hook.kind = DELIVERY_IN;
            put(house, hook);
        }
        turn_stored(house, true);
    }
    assert_true(plugin_says.decodes > 0);
    assert_int_equal(plugin_says.steps, 1);
}

static void hold_then_send_another(struct house *house, const char *lane)
{
    const char *error = NULL;
    put_many(house, 'a', "thing.update", lane);
    put(house, delivery_of("other", "thing.create", "other"));
    start(house);
    assert_int_equal(dispatch_hold(house->dispatch, "mw", "thing.update", NULL, &error), 0);
    run(house);
    assert_int_equal(look(house, "other").state, DELIVERY_DELIVERED);
    assert_int_equal(plugin_says.steps, 1);
    assert_int_equal(dispatch_resume(house->dispatch, "mw", "thing.update", &error), 0);
    run_acked(house);
    assert_int_equal(plugin_says.steps, 1 + MANY);
}

static void test_dispatch_a_held_operation_does_not_hide_others(void **state)
{
    HOUSE;
    hold_then_send_another(house, NULL);
}

static void test_dispatch_a_held_operation_in_one_lane_does_not_hide_others(void **state)
{
    HOUSE;
    hold_then_send_another(house, "crowded");
    assert_false(plugin_says.overtaken);
}

static enum bb_next retry_a(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    return in->messages[0].id[0] == 'a' ? retry(host, in, out) : BB_DONE;
}

static void test_dispatch_a_stuck_lane_does_not_hide_others(void **state)
{
    HOUSE;
    plugin_says.step = retry_a;
    put_many(house, 'a', "thing.update", "stuck");
    put_many(house, 'b', "thing.update", "crowded");
    put(house, delivery_of("other", "thing.update", "other"));
    start(house);
    run(house);
    assert_int_equal(look(house, "other").state, DELIVERY_DELIVERED);
    assert_int_equal(plugin_says.steps, 1 + MANY + 1);
    plugin_says.step = done;
    house->now_ms += 5000;
    run_acked(house);
    assert_int_equal(plugin_says.steps, 1 + MANY + 1 + MANY);
    assert_false(plugin_says.overtaken);
}

static void test_dispatch_sees_what_came_before_an_approved_draft(void **state)
{
    HOUSE;
    const char *error = NULL;
    start(house);
    put(house, delivery_of("first", "thing.update", "x"));
    run(house);
    put(house, delivery_of("second", "thing.update", "y"));
    struct delivery draft = delivery_of("draft", "thing.update", "z");
    draft.state = DELIVERY_DRAFT;
    put(house, draft);
    assert_int_equal(dispatch_approve(house->dispatch, "draft", &error), 0);
    run(house);
    assert_int_equal(look(house, "second").state, DELIVERY_DELIVERED);
    assert_int_equal(look(house, "draft").state, DELIVERY_DELIVERED);
    assert_int_equal(plugin_says.steps, 3);
}

/* The machine's clock ran ahead when this was accepted. */
static void test_dispatch_does_not_wait_for_a_clock_that_was_moved_back(void **state)
{
    HOUSE;
    struct delivery delivery = delivery_of("d1", "thing.update", "lane");
    delivery.due_ms = NOW + 3650 * DAY;
    put(house, delivery);
    start(house);
    run(house);
    assert_int_equal(look(house, "d1").state, DELIVERY_DELIVERED);
}

/* ---- errands */

static const struct bb_operation operations_at_start[] = {
    {.name = "thing.check", .flags = BB_AT_START, .max_batch = 1},
};

static void test_dispatch_a_poll_that_is_not_allowed_holds_the_target(void **state)
{
    HOUSE;
    house->plugin.poll = on_poll;
    house->plugin.poll_ms = 1000;
    plugin_says.poll = hold_operation;
    start(house);
    run(house);
    assert_int_equal(plugin_says.polls, 1);
    assert_true(dispatch_is_held(house->dispatch, "mw"));
}

static void test_dispatch_an_errand_of_a_held_operation_waits(void **state)
{
    HOUSE;
    const char *error = NULL;
    house->plugin.operations = operations_at_start;
    house->plugin.operation_count = 1;
    plugin_says.step = hold_operation;
    start(house);
    run(house);
    assert_int_equal(plugin_says.steps, 1);
    plugin_says.step = done;
    assert_int_equal(dispatch_resume(house->dispatch, "mw", NULL, &error), 0);
    run(house);
    assert_int_equal(plugin_says.steps, 2);
}

static enum bb_next poll_half(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    const struct bb_event event = {.size = sizeof(event), .name = "Change", .dedup_id = "1"};
    host->emit(in->job, &event);
    host->note_put(in->job, "cursor", "1");
    return refuse(out, BB_RETRY);
}

static void test_dispatch_a_cursor_does_not_move_without_its_events(void **state)
{
    HOUSE;
    house->plugin.poll = on_poll;
    house->plugin.poll_ms = 1000;
    plugin_says.poll = poll_half;
    start(house);
    run(house);
    assert_int_equal(plugin_says.polls, 1);
    assert_null(store_note_get(house->store->session, "mw", "cursor"));
    assert_int_equal(bus.published, 0);
}

/* ---- what may have happened */

static void make_uncertain(struct house *house, int64_t seq)
{
    const struct settlement settlement = {.state = DELIVERY_RETRYING,
                                          .due_ms = house->now_ms + DAY / 2,
                                          .uncertain = true,
                                          .who = "busbar",
                                          .what = "attempt",
                                          .now_ms = house->now_ms};
    WRITE(house->store->session, store_start_attempt(house->store->session, seq, NULL, house->now_ms));
    WRITE(house->store->session, store_settle(house->store->session, seq, &settlement));
}

static void test_dispatch_an_operators_retry_is_still_uncertain(void **state)
{
    HOUSE;
    const char *error = NULL;
    make_uncertain(house, put(house, delivery_of("d1", "thing.create", "lane")));
    start(house);
    run(house);
    assert_int_equal(plugin_says.steps, 0);
    assert_int_equal(dispatch_retry(house->dispatch, "d1", &error), 0);
    run(house);
    assert_int_equal(plugin_says.steps, 1);
    assert_true(plugin_says.saw_uncertain);
    assert_false(look(house, "d1").uncertain);
}

static void test_dispatch_a_dead_letter_is_still_uncertain(void **state)
{
    HOUSE;
    const char *error = NULL;
    plugin_says.step = reject;
    make_uncertain(house, put(house, delivery_of("d1", "thing.create", "lane")));
    start(house);
    house->now_ms += DAY;
    run(house);
    assert_int_equal(look(house, "d1").state, DELIVERY_REJECTED);
    plugin_says.step = done;
    assert_int_equal(dispatch_retry(house->dispatch, "d1", &error), 0);
    run(house);
    assert_int_equal(plugin_says.steps, 2);
    assert_true(plugin_says.saw_uncertain);
}

static enum bb_next done_as_7(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    out->source_work_order_id = "7";
    return BB_DONE;
}

static void test_dispatch_announces_an_order_that_was_refused_before(void **state)
{
    HOUSE;
    const char *error = NULL;
    struct delivery delivery = delivery_of("d1", "thing.create", "lane");
    delivery.order_id = "d1";
    plugin_says.step = reject;
    start(house);
    put(house, delivery);
    run_acked(house);
    assert_int_equal(created_events(house), 0);
    plugin_says.step = done_as_7;
    assert_int_equal(dispatch_retry(house->dispatch, "d1", &error), 0);
    run_acked(house);
    assert_int_equal(created_events(house), 1);
}

/* ---- the breadcrumb */

static void test_dispatch_buries_what_the_process_died_of_twice(void **state)
{
    HOUSE;
    int64_t seq = put(house, delivery_of("d1", "thing.update", "lane"));
    die_in(house, seq);
    die_in(house, seq);
    start(house);
    assert_int_equal(look(house, "d1").state, DELIVERY_REJECTED);
}

static void test_dispatch_starts_beside_a_breadcrumb_of_nothing(void **state)
{
    HOUSE;
    die_in(house, 77); /* of a store that was here before */
    die_in(house, 77);
    start(house);
}

static void test_dispatch_does_not_bury_what_is_over(void **state)
{
    HOUSE;
    int64_t seq = put(house, delivery_of("d1", "thing.update", "lane"));
    settle_as(house->store->session, seq, DELIVERY_DISCARDED, NOW);
    die_in(house, seq);
    die_in(house, seq);
    start(house);
    assert_int_equal(look(house, "d1").state, DELIVERY_DISCARDED);
}

/* ---- the bus */

static void put_event(struct house *house, const char *id)
{
    struct delivery event = delivery_of(id, "publish", id);
    event.kind = DELIVERY_BUS;
    event.target = "bus";
    event.topic = "busbar/events/mw/x";
    put(house, event);
}

static void test_dispatch_does_not_publish_at_once_what_the_broker_refused(void **state)
{
    HOUSE;
    start(house);
    put_event(house, "event");
    run(house);
    assert_int_equal(bus.published, 1);
    answer_all(false, 0x87);
    run(house);
    assert_int_equal(bus.published, 1);
    house->now_ms += 2000;
    run(house);
    assert_int_equal(bus.published, 2);
    lose_all(-3); /* with the next link at once */
    run(house);
    assert_int_equal(bus.published, 3);
    run_acked(house);
    assert_int_equal(look(house, "event").state, DELIVERY_DELIVERED);
}

/* The link goes with all that is on its way, and comes back; what is suspected has its turn a second later. */
static void lose_link(struct house *house, int reason)
{
    bus.down = true;
    lose_all(reason);
    run(house);
    bus.down = false;
    house->now_ms += 10; /* what is over is stored a little later */
    run(house);
}

static void suspect_two(struct house *house)
{
    put_event(house, "one");
    put_event(house, "two");
    start(house);
    run(house);
    assert_int_equal(bus.wire_count, 2);
    lose_link(house, 0);
    assert_int_equal(bus.wire_count, 2); /* once is nothing */
    lose_link(house, 0);
    put_event(house, "new");
    dispatch_notice(house->dispatch);
    run(house);
    assert_int_equal(bus.wire_count, 1); /* others go first */
    run_acked(house);
    assert_int_equal(bus.wire_count, 0);
    assert_int_equal(look(house, "new").state, DELIVERY_DELIVERED);
}

static void test_dispatch_publishes_alone_what_the_link_may_have_been_lost_for(void **state)
{
    HOUSE;
    suspect_two(house);
    bus.own_unanswered = true;
    house->now_ms += 1000;
    run(house);
    assert_int_equal(bus.wire_count, 0); /* a birth is on its way as well */
    bus.own_unanswered = false;
    run(house);
    assert_int_equal(bus.wire_count, 1);
    lose_link(house, 0x82); /* the broker says so */
    assert_int_equal(look(house, "one").state, DELIVERY_REJECTED);
    assert_int_equal(look(house, "two").state, DELIVERY_PENDING);
    assert_int_equal(bus.hurried, 1);
    assert_int_equal(bus.wire_count, 1); /* the alert */
    run_acked(house);
    house->now_ms += 1000;
    run_acked(house);
    assert_int_equal(look(house, "two").state, DELIVERY_DELIVERED);
}

static void test_dispatch_takes_no_publication_for_refused_when_the_link_is_lost_for_anything_else(void **state)
{
    HOUSE;
    suspect_two(house);
    for (int n = 0; n < 12; n++) { /* late each third time; or for what the broker says, or we */
        house->now_ms += 1000;
        run(house);
        assert_int_equal(bus.wire_count, 1);
        if (n % 3 == 2)
            house->now_ms += 2001;
        lose_link(house, n < 9 ? 0 : n == 9 ? 0x8b : -3);
        assert_int_equal(look(house, "one").state, DELIVERY_PENDING);
        assert_int_equal(look(house, "two").state, DELIVERY_PENDING);
    }
    house->now_ms += 1000;
    run_acked(house);
    house->now_ms += 1000;
    run_acked(house);
    assert_int_equal(look(house, "one").state, DELIVERY_DELIVERED);
    assert_int_equal(look(house, "two").state, DELIVERY_DELIVERED);
}

static void test_dispatch_believes_a_broker_without_words_the_third_time(void **state)
{
    HOUSE;
    put_event(house, "one");
    start(house);
    run(house);
    lose_link(house, 0);
    lose_link(house, 0);
    for (int n = 0; n < 3; n++) {
        assert_int_equal(look(house, "one").state, DELIVERY_PENDING);
        house->now_ms += 1000;
        run(house);
        assert_int_equal(bus.wire_count, 1);
        lose_link(house, 0);
    }
    assert_int_equal(look(house, "one").state, DELIVERY_REJECTED);
}

static void test_dispatch_does_not_try_them_all_when_one_cannot_be_sent(void **state)
{
    HOUSE;
    for (int n = 0; n < 40; n++) {
        char id[16];
        snprintf(id, sizeof(id), "event-%d", n);
        put_event(house, id);
    }
    start(house);
    bus.refuses = true;
    run(house);
    assert_int_equal(bus.unsent, 1);
    assert_int_equal(dispatch_next_due(house->dispatch), house->now_ms + 1000);
    bus.refuses = false;
    house->now_ms += 1000;
    run(house);
    assert_int_equal(bus.published, 40);
}

static void test_dispatch_does_not_double_what_is_being_published(void **state)
{
    HOUSE;
    const char *error = NULL;
    int64_t pending = dispatch_total(DELIVERY_PENDING);
    start(house);
    put_event(house, "event");
    run(house);
    assert_int_equal(dispatch_retry(house->dispatch, "event", &error), -1);
    run_acked(house);
    assert_int_equal(bus.published, 1);
    assert_int_equal(dispatch_total(DELIVERY_PENDING), pending);
}

/* ---- the breaker */

static enum bb_next get(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    if (in->response != NULL)
        return host->judge(in->job, in->response, out);
    out->request = (struct bb_request){.method = "GET", .path = "/"};
    return BB_SEND;
}

/* A port at which nobody listens. */
static int bind_silent(char url[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(url, 64, "http://127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

static void run_http(struct house *house)
{
    run(house);
    while (http_open_calls(house->http) > 0)
        http_turn(house->http, 100);
}

static void test_dispatch_a_probe_that_asks_nobody_does_not_spin(void **state)
{
    HOUSE;
    char url[64];
    int fd = bind_silent(url);
    house->target.url = url;
    plugin_says.step = get;
    start(house);
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof(id), "d%d", i);
        put(house, delivery_of(id, "thing.update", id));
    }
    run_http(house);
    run_http(house);
    run(house);
    assert_int_equal(plugin_says.steps, 5); /* the breaker is open */
    plugin_says.step = retry;               /* from here on without asking the target */
    house->now_ms += 60000;
    run(house);
    assert_int_equal(look(house, "d0").state, DELIVERY_RETRYING);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_dispatch_delivers),
        TEST(test_dispatch_takes_a_turn_back_that_was_not_stored),
        TEST(test_dispatch_webhooks_do_not_stop_what_goes_out),
        TEST(test_dispatch_a_held_operation_does_not_hide_others),
        TEST(test_dispatch_a_held_operation_in_one_lane_does_not_hide_others),
        TEST(test_dispatch_a_stuck_lane_does_not_hide_others),
        TEST(test_dispatch_sees_what_came_before_an_approved_draft),
        TEST(test_dispatch_does_not_wait_for_a_clock_that_was_moved_back),
        TEST(test_dispatch_a_poll_that_is_not_allowed_holds_the_target),
        TEST(test_dispatch_an_errand_of_a_held_operation_waits),
        TEST(test_dispatch_a_cursor_does_not_move_without_its_events),
        TEST(test_dispatch_an_operators_retry_is_still_uncertain),
        TEST(test_dispatch_a_dead_letter_is_still_uncertain),
        TEST(test_dispatch_announces_an_order_that_was_refused_before),
        TEST(test_dispatch_buries_what_the_process_died_of_twice),
        TEST(test_dispatch_starts_beside_a_breadcrumb_of_nothing),
        TEST(test_dispatch_does_not_bury_what_is_over),
        TEST(test_dispatch_does_not_publish_at_once_what_the_broker_refused),
        TEST(test_dispatch_does_not_try_them_all_when_one_cannot_be_sent),
        TEST(test_dispatch_publishes_alone_what_the_link_may_have_been_lost_for),
        TEST(test_dispatch_takes_no_publication_for_refused_when_the_link_is_lost_for_anything_else),
        TEST(test_dispatch_believes_a_broker_without_words_the_third_time),
        TEST(test_dispatch_does_not_double_what_is_being_published),
        TEST(test_dispatch_a_probe_that_asks_nobody_does_not_spin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
