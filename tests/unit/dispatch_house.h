/* The dispatcher with a plugin that does as it is told, a store of its own, and a bus that the test plays. */
#ifndef BUSBAR_DISPATCH_HOUSE_H
#define BUSBAR_DISPATCH_HOUSE_H

#include "clock.h"
#include "dispatch.h"
#include "http.h"
#include "mqtt.h"
#include "store_fixture.h"
#include "target.h"

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

static inline enum bb_next done(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in, (void)out;
    return BB_DONE;
}

static inline enum bb_next refuse(struct bb_out *out, enum bb_next verdict)
{
    out->error = (struct bb_error){
        .error_class = BB_AUTHORIZATION, .code = "told_so", .message = "the test said so", .owner_action = NULL};
    return verdict;
}

static inline enum bb_next retry(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    return refuse(out, BB_RETRY);
}

static inline enum bb_next reject(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    return refuse(out, BB_REJECT);
}

static inline enum bb_next hold_operation(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    out->hold_operation = true;
    return refuse(out, BB_HOLD);
}

static inline enum bb_next on_step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
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

static inline enum bb_next on_decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    plugin_says.decodes++;
    return plugin_says.decode(host, in, out);
}

static inline enum bb_next on_poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    plugin_says.polls++;
    return plugin_says.poll(host, in, out);
}

static const struct bb_operation operations[] = {
    {.name = "thing.create", .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_CAN_LOOKUP, .max_batch = 1},
    {.name = "thing.update", .flags = BB_WRITES | BB_IDEMPOTENT, .max_batch = 1},
};

/* ---- the bus: what is published waits in `wire` until the test answers for it */

static struct {
    uint64_t wire[64];
    size_t wire_count, published, unsent;
    bool refuses; /* what is published cannot be sent */
    bool down, own_unanswered;
    size_t hurried;
    struct mqtt_completion answers[64];
    size_t answer_count;
} bus;

enum mqtt_state mqtt_state(const struct mqtt *mqtt)
{
    (void)mqtt;
    return bus.down ? MQTT_DOWN : MQTT_READY;
}

bool mqtt_is_idle(const struct mqtt *mqtt)
{
    return mqtt_state(mqtt) == MQTT_READY && bus.wire_count == 0 && !bus.own_unanswered;
}

enum mqtt_blame mqtt_blame(int reason) /* as the tests use it */
{
    return reason == 0 ? MQTT_MAY_BLAME : reason == 0x82 ? MQTT_BLAMES : MQTT_BLAMES_OTHER;
}

const char *mqtt_reason_text(int reason)
{
    return reason == 0x82 ? "Protocol error" : "it gives no reason";
}

void mqtt_hurry(struct mqtt *mqtt)
{
    (void)mqtt;
    bus.hurried++;
}

bool mqtt_takes(const struct mqtt *mqtt, const struct mqtt_publication *publication)
{
    (void)mqtt, (void)publication;
    return true;
}

bool mqtt_can_publish(const struct mqtt *mqtt)
{
    (void)mqtt;
    return bus.wire_count < 64;
}

int mqtt_publish(struct mqtt *mqtt, const struct mqtt_publication *publication, uint64_t token)
{
    (void)mqtt, (void)publication;
    if (bus.refuses) {
        bus.unsent++;
        return -1;
    }
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

static inline void answer_all(bool acked, int reason)
{
    for (size_t i = 0; i < bus.wire_count; i++)
        bus.answers[bus.answer_count++] =
            (struct mqtt_completion){.token = bus.wire[i], .acked = acked, .reason = reason};
    bus.wire_count = 0;
}

static inline void lose_all(int reason)
{
    for (size_t i = 0; i < bus.wire_count; i++)
        bus.answers[bus.answer_count++] =
            (struct mqtt_completion){.token = bus.wire[i], .lost = true, .reason = reason};
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

static inline int setup(void **state)
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
static inline void start(struct house *house)
{
    char *error = NULL;
    const struct dispatch_options options = {&house->config,      house->targets,        1,
                                             house->store->store, house->store->session, house->http};
    house->dispatch = dispatch_create(&options, &error);
    if (house->dispatch == NULL)
        fail_msg("%s", error);
    dispatch_set_bus(house->dispatch, (struct mqtt *)house); /* never looked into */
}

static inline int teardown(void **state)
{
    struct house *house = *state;
    void *store = house->store;
    http_destroy(house->http);
    dispatch_destroy(house->dispatch);
    int rc = fixture_teardown(&store);
    free(house);
    return rc;
}

static inline bool turn_stored(struct house *house, bool stored)
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
static inline void run(struct house *house)
{
    for (int turns = 0; turn_stored(house, true) || dispatch_next_due(house->dispatch) <= house->now_ms; turns++)
        if (turns > TURNS_MAX)
            fail_msg("it turns in a circle");
}

static inline void run_acked(struct house *house)
{
    run(house);
    while (bus.wire_count > 0) {
        answer_all(true, 0);
        run(house);
        house->now_ms += 10; /* acknowledgements wait a little for each other */
        run(house);
    }
}

static inline struct delivery delivery_of(const char *id, const char *operation, const char *lane)
{
    struct delivery delivery = make_delivery(id, "mw");
    delivery.operation = operation;
    delivery.lane = lane;
    return delivery;
}

static inline int64_t put(struct house *house, struct delivery delivery)
{
    WRITE(house->store->session, store_add_delivery(house->store->session, &delivery));
    dispatch_count_added(delivery.route, delivery.target, delivery.state);
    if (house->dispatch != NULL)
        dispatch_notice(house->dispatch);
    return delivery.seq;
}

/* <letter>00000 and so on; lane NULL: each in its own. */
static inline void put_many(struct house *house, char letter, const char *operation, const char *lane)
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

static inline void note_seen(void *context, const struct delivery *delivery)
{
    *(struct seen *)context = (struct seen){delivery->state, delivery->attempts, delivery->uncertain};
}

static inline struct seen look(struct house *house, const char *id)
{
    struct seen seen = {0};
    assert_int_equal(store_find_delivery(house->store->session, id, note_seen, &seen), 0);
    return seen;
}

static inline void count_topic(void *context, const struct delivery *delivery)
{
    const char *topic = delivery->topic;
    const char *end = "created";
    size_t len = strlen(topic), end_len = strlen(end);
    *(int *)context += len > end_len && strcmp(topic + len - end_len, end) == 0;
}

static inline int created_events(struct house *house)
{
    int count = 0;
    const struct delivery_filter filter = {.target = "bus"};
    assert_int_equal(store_list_deliveries(house->store->session, &filter, count_topic, &count), 0);
    return count;
}

/* With the breadcrumb: of an attempt that had sent nothing. */
static inline void die_in(struct house *house, int64_t seq)
{
    store_crumb_set(house->store->store, CRUMB_PLUGIN, (uint64_t)seq * 2);
    fixture_reopen(house->store);
}

#define HOUSE struct house *house = *state

#endif
