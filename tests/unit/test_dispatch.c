/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher with a plugin that does as it is told, a store of its own, and a bus that the test plays. */
#include "clock.h"
#include "dispatch.h"
#include "http.h"
#include "mqtt.h"
#include "store_fixture.h"
#include "target.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define MANY 5000 /* more than the window of a line */
#define TURNS_MAX 20000

/* ---- the plugin */

typedef enum bb_next script(const struct bb_host *host, const struct bb_in *in, struct bb_out *out);

static struct {
    script *step, *decode, *poll;
    int steps, decodes, polls;
    bool saw_uncertain;
    char last_lane_id[2][40]; /* of messages whose id begins with a, b */
    bool overtaken;
} plugin_says;

static enum bb_next done(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in, (void)out;
    return BB_DONE;
}

static enum bb_next refuse(struct bb_out *out, enum bb_next verdict)
{
    out->error = (struct bb_error){
        .error_class = BB_AUTHORIZATION, .code = "told_so", .message = "the test said so", .owner_action = NULL};
    return verdict;
}

static enum bb_next retry(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    return refuse(out, BB_RETRY);
}

static enum bb_next reject(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    return refuse(out, BB_REJECT);
}

static enum bb_next hold_operation(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    out->hold_operation = true;
    return refuse(out, BB_HOLD);
}

static enum bb_next on_step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    plugin_says.steps++;
    plugin_says.saw_uncertain = in->uncertain;
    enum bb_next next = plugin_says.step(host, in, out);
    if (next == BB_DONE && in->message_count == 1 && (in->messages[0].id[0] == 'a' || in->messages[0].id[0] == 'b')) {
        char *last = plugin_says.last_lane_id[in->messages[0].id[0] - 'a'];
        plugin_says.overtaken |= strcmp(last, in->messages[0].id) >= 0;
        snprintf(last, sizeof(plugin_says.last_lane_id[0]), "%s", in->messages[0].id);
    }
    return next;
}

static enum bb_next on_decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    plugin_says.decodes++;
    return plugin_says.decode(host, in, out);
}

static enum bb_next on_poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    plugin_says.polls++;
    return plugin_says.poll(host, in, out);
}

static const struct bb_operation operations[] = {
    {.name = "thing.create", .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_CAN_LOOKUP, .max_batch = 1},
    {.name = "thing.update", .flags = BB_WRITES | BB_IDEMPOTENT, .max_batch = 1},
};
static const struct bb_operation operations_at_start[] = {
    {.name = "thing.check", .flags = BB_AT_START, .max_batch = 1},
};

/* ---- the bus: what is published waits in `wire` until the test answers for it */

static struct {
    uint64_t wire[64];
    size_t wire_count, published;
    struct mqtt_completion answers[64];
    size_t answer_count;
} bus;

enum mqtt_state mqtt_state(const struct mqtt *mqtt)
{
    (void)mqtt;
    return MQTT_READY;
}

bool mqtt_can_publish(const struct mqtt *mqtt)
{
    (void)mqtt;
    return bus.wire_count < 64;
}

int mqtt_publish(struct mqtt *mqtt, const char *topic, struct span payload, bool retained, const char *content_type,
                 uint64_t token)
{
    (void)mqtt, (void)topic, (void)payload, (void)retained, (void)content_type;
    bus.wire[bus.wire_count++] = token;
    bus.published++;
    return 0;
}

size_t mqtt_collect(struct mqtt *mqtt, struct mqtt_completion *out, size_t max)
{
    (void)mqtt, (void)max;
    size_t count = bus.answer_count;
    memcpy(out, bus.answers, count * sizeof(*out));
    bus.answer_count = 0;
    return count;
}

static void answer_all(bool acked, int reason)
{
    for (size_t i = 0; i < bus.wire_count; i++)
        bus.answers[bus.answer_count++] = (struct mqtt_completion){bus.wire[i], acked, reason};
    bus.wire_count = 0;
}

/* ---- the house */

struct house {
    struct fixture *store;
    struct bb_plugin plugin;
    struct config_mode_entry mode;
    struct config_target target_config;
    struct config config;
    struct target target;
    struct target *targets[1];
    struct http *http;
    struct dispatch *dispatch;
    int64_t now_ms;
};

static int setup(void **state)
{
    struct house *house = mem_alloc(sizeof(*house));
    if (fixture_setup((void **)&house->store) != 0)
        return -1;
    memset(&plugin_says, 0, sizeof(plugin_says));
    memset(&bus, 0, sizeof(bus));
    plugin_says.step = plugin_says.decode = plugin_says.poll = done;
    house->now_ms = NOW;
    house->plugin = (struct bb_plugin){.magic = BB_MAGIC,
                                       .abi = BB_ABI,
                                       .size = sizeof(house->plugin),
                                       .name = "told",
                                       .step = on_step,
                                       .decode = on_decode};
    house->plugin.operations = operations;
    house->plugin.operation_size = sizeof(operations[0]);
    house->plugin.operation_count = sizeof(operations) / sizeof(operations[0]);
    house->mode = (struct config_mode_entry){.mode = MODE_WRITE_BACK};
    house->target_config =
        (struct config_target){.name = (char[]){"mw"},
                               .modes = &house->mode,
                               .mode_count = 1,
                               .concurrency = 4,
                               .poll_ms = -1,
                               .retry = {.first_ms = 1000, .max_ms = 2000, .max_age_ms = 7 * DAY, .attempts = 8}};
    static char prefix[] = "busbar", instance[] = "test";
    house->config.instance = instance;
    house->config.bus.prefix = prefix;
    house->target = (struct target){
        .config = &house->target_config, .plugin = &house->plugin, .name = "mw", .url = "http://127.0.0.1:9"};
    house->targets[0] = &house->target;
    house->http = http_create();
    *state = house;
    return 0;
}

/* Late, so that a test says first what stands in the store and what the target is like. */
static void start(struct house *house)
{
    char *error = NULL;
    const struct dispatch_options options = {&house->config,      house->targets,        1,
                                             house->store->store, house->store->session, house->http};
    house->dispatch = dispatch_create(&options, &error);
    if (house->dispatch == NULL)
        fail_msg("%s", error);
    dispatch_set_bus(house->dispatch, (struct mqtt *)house); /* never looked into */
}

static int teardown(void **state)
{
    struct house *house = *state;
    void *store = house->store;
    http_destroy(house->http);
    dispatch_destroy(house->dispatch);
    int rc = fixture_teardown(&store);
    free(house);
    return rc;
}

static bool turn_stored(struct house *house, bool stored)
{
    struct store_session *session = house->store->session;
    if (!dispatch_pick(house->dispatch, house->now_ms, house->now_ms))
        return false;
    assert_int_equal(store_begin(session), 0);
    if (dispatch_store(house->dispatch) != 0)
        fail_msg("%s", store_error(session));
    if (stored)
        assert_int_equal(store_commit(session), 0);
    else
        store_rollback(session);
    dispatch_go(house->dispatch, stored);
    return true;
}

/* Until nothing is to be done now. Fails when that never comes. */
static void run(struct house *house)
{
    for (int turns = 0; turn_stored(house, true) || dispatch_next_due(house->dispatch) <= house->now_ms; turns++)
        if (turns > TURNS_MAX)
            fail_msg("it turns in a circle");
}

static void run_acked(struct house *house)
{
    run(house);
    while (bus.wire_count > 0) {
        answer_all(true, 0);
        run(house);
        house->now_ms += 10; /* acknowledgements wait a little for each other */
        run(house);
    }
}

static struct delivery delivery_of(const char *id, const char *operation, const char *lane)
{
    struct delivery delivery = make_delivery(id, "mw");
    delivery.operation = operation;
    delivery.lane = lane;
    return delivery;
}

static int64_t put(struct house *house, struct delivery delivery)
{
    WRITE(house->store->session, store_add_delivery(house->store->session, &delivery));
    dispatch_count_added(delivery.route, delivery.target, delivery.state);
    if (house->dispatch != NULL)
        dispatch_notice(house->dispatch);
    return delivery.seq;
}

/* <letter>00000 and so on; lane NULL: each in its own. */
static void put_many(struct house *house, char letter, const char *operation, const char *lane)
{
    assert_int_equal(store_begin(house->store->session), 0);
    for (int i = 0; i < MANY; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%c%05d", letter, i);
        struct delivery delivery = delivery_of(id, operation, lane != NULL ? lane : id);
        assert_int_equal(store_add_delivery(house->store->session, &delivery), 0);
    }
    assert_int_equal(store_commit(house->store->session), 0);
}

struct seen {
    enum delivery_state state;
    int attempts;
    bool uncertain;
};

static void note_seen(void *context, const struct delivery *delivery)
{
    *(struct seen *)context = (struct seen){delivery->state, delivery->attempts, delivery->uncertain};
}

static struct seen look(struct house *house, const char *id)
{
    struct seen seen = {0};
    assert_int_equal(store_find_delivery(house->store->session, id, note_seen, &seen), 0);
    return seen;
}

static void count_topic(void *context, const struct delivery *delivery)
{
    const char *topic = delivery->topic;
    const char *end = "created";
    size_t len = strlen(topic), end_len = strlen(end);
    *(int *)context += len > end_len && strcmp(topic + len - end_len, end) == 0;
}

static int created_events(struct house *house)
{
    int count = 0;
    const struct delivery_filter filter = {.target = "bus"};
    assert_int_equal(store_list_deliveries(house->store->session, &filter, count_topic, &count), 0);
    return count;
}

#define HOUSE struct house *house = *state

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

static void die_in(struct house *house, int64_t seq)
{
    store_crumb_set(house->store->store, CRUMB_PLUGIN, (uint64_t)seq * 2);
    fixture_reopen(house->store);
}

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

static void put_event(struct house *house)
{
    struct delivery event = delivery_of("event", "publish", "order");
    event.kind = DELIVERY_BUS;
    event.target = "bus";
    event.topic = "busbar/events/mw/x";
    put(house, event);
}

static void test_dispatch_does_not_publish_at_once_what_the_broker_refused(void **state)
{
    HOUSE;
    start(house);
    put_event(house);
    run(house);
    assert_int_equal(bus.published, 1);
    answer_all(false, 0x87);
    run(house);
    assert_int_equal(bus.published, 1);
    house->now_ms += 2000;
    run(house);
    assert_int_equal(bus.published, 2);
    answer_all(false, -3); /* the link went: with the next one at once */
    run(house);
    assert_int_equal(bus.published, 3);
    run_acked(house);
    assert_int_equal(look(house, "event").state, DELIVERY_DELIVERED);
}

static void test_dispatch_does_not_double_what_is_being_published(void **state)
{
    HOUSE;
    const char *error = NULL;
    int64_t pending = dispatch_total(DELIVERY_PENDING);
    start(house);
    put_event(house);
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
        TEST(test_dispatch_does_not_double_what_is_being_published),
        TEST(test_dispatch_a_probe_that_asks_nobody_does_not_spin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
