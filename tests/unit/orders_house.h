/* The dispatcher's house for the common record of work orders: a plugin that answers as it is told, and what became of
 * a record. */
#ifndef BUSBAR_ORDERS_HOUSE_H
#define BUSBAR_ORDERS_HOUSE_H

#include "dispatch_house.h"
#include "event.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FRESHNESS (3600 * INT64_C(1000))

/* ---- the plugin: what it answers, and with what it was asked */

static struct {
    enum bb_next verdict;
    enum bb_class error_class;
    bool unconfirmed;
    const char *source_id;
    const struct bb_work_order *says; /* emitted by step, or by decode */
} told;

static struct {
    char order_id[64], source_order_id[64];
} asked;

static inline void say(const struct bb_host *host, const struct bb_in *in, const struct bb_work_order *order)
{
    const struct bb_event event = {.size = sizeof event,
                                   .type = "work_order.updated",
                                   .name = "changed",
                                   .dedup_id = in->messages[0].id,
                                   .work_order = order};
    if (order)
        host->emit(in->job, &event);
}

static inline enum bb_next as_told(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    const struct bb_message *message = &in->messages[0];
    snprintf(asked.order_id, sizeof asked.order_id, "%s", message->order_id);
    snprintf(asked.source_order_id, sizeof asked.source_order_id, "%s",
             message->source_work_order_id ? message->source_work_order_id : "");
    say(host, in, told.says);
    out->request = (struct bb_request){.method = "POST", .path = "/"}; /* of BB_SEND: it stays on its way */
    out->unconfirmed = told.unconfirmed;
    out->source_work_order_id = told.source_id;
    out->error = (struct bb_error){told.error_class, "told_so", "the test said so", NULL, NULL};
    return told.verdict;
}

static inline enum bb_next says_what_it_heard(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)out;
    say(host, in, told.says);
    return BB_DONE;
}

#define WRITES_ORDERS (BB_WRITES | BB_WORK_ORDER)
static const struct bb_operation order_operations[] = {
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

/* ---- the house */

static inline int orders_setup(void **state)
{
    static char door[] = "127.0.0.1:1";
    if (setup(state) != 0)
        return -1;
    HOUSE;
    memset(&told, 0, sizeof(told));
    memset(&asked, 0, sizeof(asked));
    told.verdict = BB_DONE;
    told.error_class = BB_VALIDATION;
    plugin_says.step = as_told;
    plugin_says.decode = says_what_it_heard;
    house->plugin.operations = order_operations;
    house->plugin.operation_count = COUNT(order_operations);
    house->plugin.hook.event_pointer = "/event";
    house->target.tables[WORDS_STATUS] = (struct mapping_table){status_lines, COUNT(status_lines)};
    house->target.tables[WORDS_PRIORITY] = (struct mapping_table){priority_lines, COUNT(priority_lines)};
    house->target_config.allow_unsigned = true;
    house->target_config.freshness_ms = FRESHNESS;
    house->target_config.retry.attempts = 2;
    house->config.http.webhooks = door;
    return 0;
}

static inline void send(struct house *house, const char *id, const char *operation, const char *body)
{
    struct delivery delivery = delivery_of(id, operation, id);
    delivery.body = span_of(body);
    delivery.accepted_ms = house->now_ms;
    delivery.due_ms = house->now_ms;
    if (strcmp(operation, "work_order.create") == 0)
        delivery.order_id = id;
    put(house, delivery);
    run_acked(house);
}

static inline void hear(struct house *house, const char *id, const struct bb_work_order *order)
{
    struct delivery delivery = delivery_of(id, NULL, id);
    delivery.kind = DELIVERY_IN;
    delivery.topic = "changed";
    delivery.due_ms = house->now_ms;
    told.says = order;
    put(house, delivery);
    run_acked(house);
    told.says = NULL;
}

static inline void put_order(struct house *house, const char *id, const char *provider, const char *source,
                             const char *status, const char *sync_state)
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

static inline void keep_order(void *context, const struct work_order *order)
{
    event_copy_order(context, order);
}

/* The record's members as one line; "none". */
static inline const char *record(struct house *house, const char *id)
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

static inline int64_t synced_ms(struct house *house, const char *id)
{
    struct order_record found = {0};
    assert_int_equal(store_find_order(house->store->session, id, keep_order, &found), 0);
    int64_t at_ms = found.order.last_synced_ms;
    order_record_finish(&found);
    return at_ms;
}

struct verdict {
    char code[40], error_class[32], message[200], order[64];
    enum delivery_state state;
};

static inline void note_verdict(void *context, const struct delivery *delivery)
{
    struct verdict *verdict = context;
    verdict->state = delivery->state;
    snprintf(verdict->code, sizeof verdict->code, "%s", delivery->error.code ? delivery->error.code : "");
    snprintf(verdict->error_class, sizeof verdict->error_class, "%s",
             delivery->error.error_class ? delivery->error.error_class : "");
    snprintf(verdict->message, sizeof verdict->message, "%s", delivery->error.message ? delivery->error.message : "");
    snprintf(verdict->order, sizeof verdict->order, "%s", delivery->order_id ? delivery->order_id : "");
}

static inline struct verdict verdict_of(struct house *house, const char *id)
{
    struct verdict verdict = {0};
    assert_int_equal(store_find_delivery(house->store->session, id, note_verdict, &verdict), 0);
    return verdict;
}

/* Topics published so far, oldest first, without "busbar/". */
static inline void note_topic(void *context, const struct delivery *delivery)
{
    struct buf *topics = context;
    struct buf older = *topics;
    *topics = (struct buf){0};
    buf_printf(topics, "%s%s%s", delivery->topic + strlen("busbar/"), older.len > 0 ? " " : "",
               older.len > 0 ? older.data : "");
    buf_finish(&older);
}

static inline void expect_topics(struct house *house, const char *expected)
{
    cleanup_buf struct buf topics = {0};
    const struct delivery_filter filter = {.target = "bus"};
    assert_int_equal(store_list_deliveries(house->store->session, &filter, note_topic, &topics), 0);
    assert_string_equal(topics.len > 0 ? topics.data : "", expected);
}

static inline void note_row(void *context, const struct audit *audit)
{
    buf_printf(context, "%s %s %s %s %d %s;", audit->what, audit->outcome, audit->sync_state ? audit->sync_state : "-",
               audit->code ? audit->code : "-", audit->attempt, audit->mode ? audit->mode : "-");
}

static inline void expect_history(struct house *house, const char *order_id, const char *expected)
{
    cleanup_buf struct buf rows = {0};
    const struct audit_filter filter = {.order_id = order_id};
    assert_int_equal(store_list_audit(house->store->session, &filter, note_row, &rows), 0);
    assert_string_equal(rows.len > 0 ? rows.data : "", expected);
}

#endif
