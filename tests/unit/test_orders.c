/* SPDX-License-Identifier: Apache-2.0 */
/* The common record through the dispatcher: what our own writes make of it, what is refused before it is sent, what a
 * target says, and what nobody confirms in time. The plugin answers as it is told and nothing goes to a network. */
#include "dispatch.h"
#include "event.h"
#include "http.h"
#include "json.h"
#include "lifecycle.h"
#include "mqtt.h"
#include "store_fixture.h"
#include "target.h"

#include <json-c/json.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TURNS_MAX 1000
#define FRESHNESS (3600 * INT64_C(1000))

/* ---- the plugin: asked how often, with what, and what it answers */

static struct {
    enum bb_next verdict;
    enum bb_class error_class;
    bool unconfirmed;
    const char *source_id;
    const struct bb_work_order *says; /* emitted by step, or by decode */
    int steps;
    char order_id[64], source_order_id[64];
} plugin_says;

static void say(const struct bb_host *host, const struct bb_in *in, const struct bb_work_order *order)
{
    const struct bb_event event = {.size = sizeof event,
                                   .type = "work_order.updated",
                                   .name = "changed",
                                   .dedup_id = in->messages[0].id,
                                   .work_order = order};
    if (order)
        host->emit(in->job, &event);
}

static enum bb_next on_step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    const struct bb_message *message = &in->messages[0];
    plugin_says.steps++;
    snprintf(plugin_says.order_id, sizeof plugin_says.order_id, "%s", message->order_id);
    snprintf(plugin_says.source_order_id, sizeof plugin_says.source_order_id, "%s",
             message->source_work_order_id ? message->source_work_order_id : "");
    say(host, in, plugin_says.says);
    out->request = (struct bb_request){.method = "POST", .path = "/"}; /* of BB_SEND: it stays on its way */
    out->unconfirmed = plugin_says.unconfirmed;
    out->source_work_order_id = plugin_says.source_id;
    out->error = (struct bb_error){plugin_says.error_class, "told_so", "the test said so", NULL, NULL};
    return plugin_says.verdict;
}

static enum bb_next on_decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self, (void)out;
    say(host, in, plugin_says.says);
    return BB_DONE;
}

static enum bb_next on_poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)self, (void)in, (void)out;
    return BB_DONE;
}

#define WRITES_ORDERS (BB_WRITES | BB_WORK_ORDER)
static const struct bb_operation operations[] = {
    {.name = "work_order.create", .flags = WRITES_ORDERS | BB_CREATES, .max_batch = 1},
    {.name = "work_order.update", .flags = WRITES_ORDERS, .max_batch = 1, .order_pointer = "/order"},
    {.name = "work_order.move", .flags = WRITES_ORDERS, .max_batch = 1, .order_pointer = "/order", .moves_to = "/to"},
    {.name = "work_order.close",
     .flags = WRITES_ORDERS,
     .max_batch = 1,
     .order_pointer = "/order",
     .moves_to = "closed"},
    {.name = "part.create", .flags = BB_WRITES | BB_CREATES, .max_batch = 1},
};
static const struct bb_mapping status_lines[] = {{"DONE", "completed"}, {"SHUT", "closed"}};
static const struct bb_mapping priority_lines[] = {{"1", "high"}};

/* ---- the bus takes all */

static struct mqtt_completion acks[64];
static size_t ack_count;

enum mqtt_state mqtt_state(const struct mqtt *mqtt)
{
    (void)mqtt;
    return MQTT_READY;
}

bool mqtt_takes(const struct mqtt *mqtt, const struct mqtt_publication *publication)
{
    (void)mqtt, (void)publication;
    return true;
}

bool mqtt_can_publish(const struct mqtt *mqtt)
{
    (void)mqtt;
    return ack_count < COUNT(acks);
}

int mqtt_publish(struct mqtt *mqtt, const struct mqtt_publication *publication, uint64_t token)
{
    (void)mqtt, (void)publication;
    acks[ack_count++] = (struct mqtt_completion){token, true, 0};
    return 0;
}

size_t mqtt_collect(struct mqtt *mqtt, struct mqtt_completion *out, size_t max)
{
    (void)mqtt, (void)max;
    size_t count = ack_count;
    memcpy(out, acks, count * sizeof(*out));
    ack_count = 0;
    return count;
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
#define HOUSE struct house *house = *state

static int setup(void **state)
{
    struct house *house = mem_alloc(sizeof(*house));
    if (fixture_setup((void **)&house->store) != 0)
        return -1;
    memset(&plugin_says, 0, sizeof(plugin_says));
    plugin_says.verdict = BB_DONE;
    plugin_says.error_class = BB_VALIDATION;
    ack_count = 0;
    house->now_ms = NOW;
    house->plugin = (struct bb_plugin){.magic = BB_MAGIC,
                                       .abi = BB_ABI,
                                       .size = sizeof(house->plugin),
                                       .name = "told",
                                       .operations = operations,
                                       .operation_size = sizeof(operations[0]),
                                       .operation_count = COUNT(operations),
                                       .hook = {.event_pointer = "/event"},
                                       .step = on_step,
                                       .decode = on_decode};
    house->mode = (struct config_mode_entry){.mode = MODE_WRITE_BACK};
    static char name[] = "mw", prefix[] = "busbar", instance[] = "test", door[] = "127.0.0.1:1";
    house->target_config =
        (struct config_target){.name = name,
                               .modes = &house->mode,
                               .mode_count = 1,
                               .concurrency = 4,
                               .poll_ms = -1,
                               .allow_unsigned = true,
                               .freshness_ms = FRESHNESS,
                               .retry = {.first_ms = 1000, .max_ms = 2000, .max_age_ms = 7 * DAY, .attempts = 2}};
    house->config.instance = instance;
    house->config.bus.prefix = prefix;
    house->config.http.webhooks = door;
    house->target = (struct target){.config = &house->target_config,
                                    .plugin = &house->plugin,
                                    .name = "mw",
                                    .url = "http://127.0.0.1:9",
                                    .tables = {{status_lines, 2}, {priority_lines, 1}, {NULL, 0}}};
    house->targets[0] = &house->target;
    house->http = http_create();
    *state = house;
    return 0;
}

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
    HOUSE;
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

static void run_now(struct house *house)
{
    for (int turns = 0; turn_stored(house, true) || dispatch_next_due(house->dispatch) <= house->now_ms; turns++)
        if (turns > TURNS_MAX)
            fail_msg("it turns in a circle");
}

/* Until nothing is to be done; acknowledgements of the bus wait a little for each other. */
static void run(struct house *house)
{
    run_now(house);
    while (ack_count > 0 || dispatch_next_due(house->dispatch) <= house->now_ms + 100) {
        house->now_ms += 10;
        run_now(house);
    }
}

static void send(struct house *house, const char *id, const char *operation, const char *body)
{
    struct delivery delivery = make_delivery(id, "mw");
    delivery.operation = operation;
    delivery.lane = id;
    delivery.body = span_of(body);
    delivery.accepted_ms = house->now_ms;
    delivery.due_ms = house->now_ms;
    if (strcmp(operation, "work_order.create") == 0)
        delivery.order_id = id;
    WRITE(house->store->session, store_add_delivery(house->store->session, &delivery));
    dispatch_count_added(delivery.route, delivery.target, delivery.state);
    dispatch_notice(house->dispatch);
    run(house);
}

static void hear(struct house *house, const char *id, const struct bb_work_order *order)
{
    struct delivery delivery = make_delivery(id, "mw");
    delivery.kind = DELIVERY_IN;
    delivery.lane = id;
    delivery.topic = "changed";
    delivery.due_ms = house->now_ms;
    plugin_says.says = order;
    WRITE(house->store->session, store_add_delivery(house->store->session, &delivery));
    dispatch_count_added(delivery.route, delivery.target, delivery.state);
    dispatch_notice(house->dispatch);
    run(house);
    plugin_says.says = NULL;
}

static void put_order(struct house *house, const char *id, const char *provider, const char *source, const char *status,
                      const char *sync_state)
{
    const struct work_order order = {.common_work_order_id = id,
                                     .provider_id = provider,
                                     .source_work_order_id = source,
                                     .common_status = status,
                                     .source_status = "WORD",
                                     .sync_state = sync_state,
                                     .last_synced_ms = NOW - DAY,
                                     .updated_ms = NOW - DAY};
    WRITE(house->store->session, store_put_order(house->store->session, &order));
}

/* ---- looking */

static void keep_order(void *context, const struct work_order *order)
{
    event_copy_order(context, order);
}

/* The record's members as one line; "none". */
static const char *record(struct house *house, const char *id)
{
    static char line[256];
    struct order_record found = {0};
    assert_int_equal(store_find_order(house->store->session, id, keep_order, &found), 0);
    const struct work_order *order = &found.order;
    if (order->common_work_order_id == NULL)
        return "none";
    snprintf(line, sizeof line, "%s %s%s%s", order->sync_state, order->common_status,
             order->source_work_order_id ? " " : "", order->source_work_order_id ? order->source_work_order_id : "");
    order_record_finish(&found);
    return line;
}

static int64_t synced_ms(struct house *house, const char *id)
{
    struct order_record found = {0};
    assert_int_equal(store_find_order(house->store->session, id, keep_order, &found), 0);
    int64_t at_ms = found.order.last_synced_ms;
    order_record_finish(&found);
    return at_ms;
}

struct dead {
    char code[40], error_class[32], message[200], order[64];
    enum delivery_state state;
};

static void note_dead(void *context, const struct delivery *delivery)
{
    struct dead *dead = context;
    dead->state = delivery->state;
    snprintf(dead->code, sizeof dead->code, "%s", delivery->error.code ? delivery->error.code : "");
    snprintf(dead->error_class, sizeof dead->error_class, "%s",
             delivery->error.error_class ? delivery->error.error_class : "");
    snprintf(dead->message, sizeof dead->message, "%s", delivery->error.message ? delivery->error.message : "");
    snprintf(dead->order, sizeof dead->order, "%s", delivery->order_id ? delivery->order_id : "");
}

static struct dead look(struct house *house, const char *id)
{
    struct dead dead = {0};
    assert_int_equal(store_find_delivery(house->store->session, id, note_dead, &dead), 0);
    return dead;
}

/* Topics published so far, oldest first, without "busbar/". */
static void note_topic(void *context, const struct delivery *delivery)
{
    struct buf *topics = context;
    struct buf older = *topics;
    *topics = (struct buf){0};
    buf_printf(topics, "%s%s%s", delivery->topic + strlen("busbar/"), older.len > 0 ? " " : "",
               older.len > 0 ? older.data : "");
    buf_finish(&older);
}

static void expect_topics(struct house *house, const char *expected)
{
    cleanup_buf struct buf topics = {0};
    const struct delivery_filter filter = {.target = "bus"};
    assert_int_equal(store_list_deliveries(house->store->session, &filter, note_topic, &topics), 0);
    assert_string_equal(topics.len > 0 ? topics.data : "", expected);
}

static void note_row(void *context, const struct audit *audit)
{
    buf_printf(context, "%s %s %s %s %d %s;", audit->what, audit->outcome, audit->sync_state ? audit->sync_state : "-",
               audit->code ? audit->code : "-", audit->attempt, audit->mode ? audit->mode : "-");
}

static void expect_history(struct house *house, const char *order_id, const char *expected)
{
    cleanup_buf struct buf rows = {0};
    const struct audit_filter filter = {.order_id = order_id};
    assert_int_equal(store_list_audit(house->store->session, &filter, note_row, &rows), 0);
    assert_string_equal(rows.len > 0 ? rows.data : "", expected);
}

/* ---- what we create */

/* FV-05b, FV-05c: there from its first attempt, confirmed by the answer. */
static void test_orders_created_is_pending_then_synchronized(void **state)
{
    HOUSE;
    plugin_says.source_id = "T-1";
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
    struct delivery delivery = make_delivery("d1", "mw");
    delivery.operation = "work_order.create";
    delivery.lane = delivery.order_id = "d1";
    WRITE(house->store->session, store_add_delivery(house->store->session, &delivery));
    dispatch_notice(house->dispatch);
    struct store_session *session = house->store->session;
    assert_true(dispatch_pick(house->dispatch, house->now_ms, house->now_ms));
    assert_int_equal(store_begin(session), 0);
    assert_int_equal(dispatch_store(house->dispatch), 0);
    assert_int_equal(store_commit(session), 0);
    assert_int_equal(plugin_says.steps, 0);
    assert_string_equal(record(house, "d1"), "pending requested");
    assert_int_equal(synced_ms(house, "d1"), 0);
    dispatch_go(house->dispatch, true);
    run(house);
    assert_int_equal(plugin_says.steps, 1);
}

/* FV-05d, FV-05e: retrying while there is hope, rejected when attempts are used up; no success is claimed. */
static void test_orders_created_is_retrying_then_rejected(void **state)
{
    HOUSE;
    plugin_says.verdict = BB_RETRY;
    plugin_says.error_class = BB_PROVIDER_UNAVAILABLE;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "retrying requested");
    house->now_ms += 10000;
    run(house);
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
    plugin_says.verdict = BB_REJECT;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "rejected requested");
    expect_topics(house, "orders/mw/d1 events/mw/sync/failed");
    plugin_says.verdict = BB_DONE;
    assert_int_equal(dispatch_hold(house->dispatch, "mw", NULL, NULL, &error), 0);
    assert_int_equal(dispatch_retry(house->dispatch, "d1", &error), 0);
    assert_string_equal(record(house, "d1"), "pending requested");
    assert_int_equal(dispatch_resume(house->dispatch, "mw", NULL, &error), 0);
    run(house);
    assert_string_equal(record(house, "d1"), "synchronized requested");
    expect_history(house, "d1",
                   "attempt delivered synchronized - 1 write_back;retry pending - - 0 write_back;"
                   "attempt rejected rejected told_so 1 write_back;");
}

static void test_orders_discarded_is_rejected(void **state) /* settled 13 */
{
    HOUSE;
    const char *error = NULL;
    plugin_says.verdict = BB_RETRY;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_int_equal(dispatch_discard(house->dispatch, "d1", &error), 0);
    assert_string_equal(record(house, "d1"), "rejected requested");
}

static void test_orders_held_is_still_pending(void **state)
{
    HOUSE;
    plugin_says.verdict = BB_HOLD;
    plugin_says.error_class = BB_AUTHENTICATION;
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
    plugin_says.verdict = BB_SEND;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    assert_string_equal(record(house, "d1"), "pending requested");
    expect_topics(house, "");
    house->now_ms += 1000;
    run(house);
    expect_topics(house, "orders/mw/d1");
    house->now_ms += 10000;
    run(house);
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
    assert_string_equal(look(house, "d2").code, "mode_refuses");
    assert_string_equal(record(house, "d1"), "none");
    assert_string_equal(record(house, "d2"), "none");
    assert_int_equal(plugin_says.steps, 1);
}

/* ---- 202 and the target's own word */

/* FV-05b, FV-05c: accepted is pending, its webhook confirms it. */
static void test_orders_accepted_is_pending_until_it_is_confirmed(void **state)
{
    HOUSE;
    plugin_says.unconfirmed = true;
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
    plugin_says.unconfirmed = true;
    plugin_says.says = &said;
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
    struct delivery delivery = make_delivery("d1", "mw");
    delivery.operation = "work_order.create";
    delivery.lane = delivery.order_id = "d1";
    WRITE(house->store->session, store_add_delivery(house->store->session, &delivery));
    const struct settlement parked = {.state = DELIVERY_REJECTED,
                                      .error = {.error_class = "provider_unavailable", .code = "uncertain_outcome"},
                                      .who = "busbar",
                                      .what = "attempt",
                                      .now_ms = NOW};
    WRITE(house->store->session, store_settle(house->store->session, delivery.seq, &parked));
    put_order(house, "d1", "mw", NULL, "requested", "rejected");
    const struct bb_work_order said = {.delivery_id = "d1", .source_work_order_id = "T-1", .common_status = "assigned"};
    hear(house, "w1", &said);
    assert_int_equal(look(house, "d1").state, DELIVERY_DELIVERED);
    assert_string_equal(record(house, "d1"), "synchronized assigned T-1");
}

/* ---- freshness */

/* FV-05f: at the time, not before; from pending, synchronized and imported; told once. */
static void test_orders_turn_stale_when_nobody_confirms(void **state)
{
    HOUSE;
    plugin_says.unconfirmed = true;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    plugin_says.unconfirmed = false;
    send(house, "d2", "work_order.create", "{}");
    const struct bb_work_order said = {.order_id = "e0000000-0000-4000-8000-000000000001", .common_status = "assigned"};
    hear(house, "w1", &said);
    house->now_ms += 2000; /* past the look whether something is still to be answered */
    run(house);
    int64_t due_ms = dispatch_next_due(house->dispatch);
    assert_in_range(due_ms, NOW + FRESHNESS, house->now_ms + FRESHNESS - 2000);
    house->now_ms = due_ms - 1000;
    run(house);
    assert_string_equal(record(house, "d1"), "pending requested");
    house->now_ms = due_ms + 1000;
    run(house);
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
    run(house);
    assert_string_equal(record(house, "d1"), "stale requested");
}

/* Over is over; retrying and rejected wait for something else. */
static void test_orders_that_are_over_never_turn_stale(void **state)
{
    HOUSE;
    start(house);
    const struct bb_work_order said = {.order_id = "e0000000-0000-4000-8000-000000000001", .common_status = "canceled"};
    hear(house, "w1", &said);
    plugin_says.verdict = BB_REJECT;
    send(house, "d1", "work_order.create", "{}");
    house->now_ms += FRESHNESS + 10;
    run(house);
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
    plugin_says.unconfirmed = true;
    send(house, "d2", "work_order.create", "{}");
    house->now_ms += FRESHNESS + 10;
    run(house);
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
    run(house);
    assert_string_equal(record(house, "d1"), "stale requested");
}

static void test_orders_without_freshness_never_turn_stale(void **state) /* F-U11 */
{
    HOUSE;
    house->target_config.freshness_ms = 0;
    plugin_says.unconfirmed = true;
    start(house);
    send(house, "d1", "work_order.create", "{}");
    house->now_ms += 10 * FRESHNESS;
    run(house);
    assert_int_equal(dispatch_next_due(house->dispatch), INT64_MAX);
    assert_string_equal(record(house, "d1"), "pending requested");
}

/* ---- our writes on orders that exist */

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
        plugin_says.order_id[0] = plugin_says.source_order_id[0] = '\0';
        send(house, id, "work_order.update", bodies[i]);
        assert_string_equal(plugin_says.order_id, "o1");
        assert_string_equal(plugin_says.source_order_id, "17");
        assert_string_equal(look(house, id).order, "o1");
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
        struct dead dead = look(house, id);
        assert_int_equal(dead.state, DELIVERY_REJECTED);
        assert_string_equal(dead.error_class, "identity");
        assert_string_equal(dead.code, "unknown_work_order");
        assert_string_equal(dead.order, "");
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
        assert_string_equal(look(house, id).code, "no_work_order");
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
    struct dead dead = look(house, "d1");
    assert_int_equal(dead.state, DELIVERY_RETRYING);
    assert_string_equal(dead.code, "work_order_not_known_yet");
    assert_string_equal(record(house, "o1"), "pending assigned");
    assert_int_equal(plugin_says.steps, 0);
    const struct bb_work_order said = {.order_id = "o1", .source_work_order_id = "T-1"};
    hear(house, "w1", &said);
    house->now_ms += 10000;
    run(house);
    assert_int_equal(look(house, "d1").state, DELIVERY_DELIVERED);
    assert_string_equal(plugin_says.source_order_id, "T-1");
}

static void test_orders_never_made_are_not_waited_for(void **state)
{
    HOUSE;
    start(house);
    put_order(house, "o1", "mw", NULL, "requested", "rejected");
    send(house, "d1", "work_order.update", "{\"order\":\"o1\"}");
    assert_string_equal(look(house, "d1").error_class, "conflict");
    assert_string_equal(look(house, "d1").code, "work_order_not_created");
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
            struct dead end = look(house, id);
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
    assert_string_equal(look(house, "d2").error_class, "validation");
    assert_string_equal(look(house, "d2").code, "unknown_status");
    assert_int_equal(plugin_says.steps, 1);
    send(house, "d3", "work_order.close", "{\"order\":\"o1\"}");
    assert_string_equal(record(house, "o1"), "synchronized closed T-1");
    send(house, "d4", "work_order.close", "{\"order\":\"o1\"}");
    assert_int_equal(look(house, "d4").state, DELIVERY_DELIVERED); /* the same again */
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
    plugin_says.unconfirmed = true;
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
    plugin_says.says = &said;
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
    plugin_says.verdict = BB_RETRY;
    start(house);
    put_order(house, "o1", "mw", "T-1", "completed", "synchronized");
    send(house, "d1", "work_order.close", "{\"order\":\"o1\"}");
    assert_string_equal(record(house, "o1"), "retrying completed T-1");
    house->now_ms += 10000;
    run(house);
    assert_string_equal(record(house, "o1"), "rejected completed T-1");
    assert_int_equal(dispatch_hold(house->dispatch, "mw", NULL, NULL, &error), 0);
    assert_int_equal(dispatch_retry(house->dispatch, "d1", &error), 0);
    assert_string_equal(record(house, "o1"), "pending completed T-1");
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
        TEST(test_orders_accepted_is_pending_until_it_is_confirmed),
        TEST(test_orders_confirmed_before_the_answer_stays_so),
        TEST(test_orders_of_the_target_s_own_are_imported),
        TEST(test_orders_rejected_is_not_healed_by_an_import),
        TEST(test_orders_given_up_is_confirmed_by_its_mark),
        TEST(test_orders_turn_stale_when_nobody_confirms),
        TEST(test_orders_turn_stale_after_a_failed_commit),
        TEST(test_orders_that_are_over_never_turn_stale),
        TEST(test_orders_of_a_silent_target_turn_stale_only_unconfirmed),
        TEST(test_orders_of_a_polled_target_turn_stale),
        TEST(test_orders_without_freshness_never_turn_stale),
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
        TEST(test_orders_imports_are_taken_with_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
