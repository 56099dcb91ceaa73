/* SPDX-License-Identifier: Apache-2.0 */
/* The webhooks of the mobility_work plugin: MW-W00 .. W11, W90. */
#include "mobility_work.h"

#define TAIL "\"networkId\":\"" NETWORK "\"}"
#define MARKED "\"metadata\":{\"busbarId\":\"0190-delivery\",\"busbarOrder\":\"0190-order\"}"

#define W01                                                                                                          \
    "{\"_event\":\"TaskWasCompleted\",\"_idempotencyKey\":\"i6WeIdxywu\",\"legacyId\":\"32828f62\","                 \
    "\"id\":\"32828f62\",\"doneAt\":\"2021-11-02T16:32:38+00:00\",\"initiator\":{},\"associatedTo\":{},\"tags\":[]," \
    "\"requiredSpareParts\":[],\"metadata\":{}," TAIL
#define TASK_STATE(event, member)                                                                    \
    "{\"_event\":\"" event "\",\"_idempotencyKey\":\"i6WeIdxywu\",\"taskId\":\"32828f62\",\"" member \
    "\":{},\"associatedTo\":{},\"tags\":[],\"requiredSpareParts\":[],\"metadata\":{}," TAIL
#define W05                                                                                                   \
    "{\"_event\":\"ActivityWasAddedOnTask\",\"_idempotencyKey\":\"i6WeIdxywu\","                              \
    "\"_type\":\"ActivityWasAddedOnTaskWebhook\",\"_sentAt\":\"2023-06-13T15:23:48+00:00\",\"_metadata\":[]," \
    "\"emittedAt\":\"2023-06-13T15:23:43+00:00\",\"task\":{%s},\"equipment\":{},\"activity\":{},"             \
    "\"networkId\":\"" NETWORK "\",\"requiredSpareParts\":[]}"
#define STOCK(event)                                                                                        \
    "{\"_event\":\"" event "\",\"_idempotencyKey\":\"i6WeIdxywu\",\"_date\":\"2022-06-02T14:31:06+00:00\"," \
    "\"_metadata\":null,\"stock\":{},\"sparePart\":{},\"movement\":{}," TAIL
#define PART(event, rest)                                                                                       \
    "{\"_type\":\"" event "Webhook\",\"_event\":\"" event "\",\"_idempotencyKey\":\"i6WeIdxywu\","              \
    "\"_sentAt\":\"2022-06-02T14:31:06+00:00\",\"emittedAt\":\"2023-02-08T23:00:00+00:00\",\"_metadata\":\"\"," \
    "\"sparePart\":{},\"location\":{}," rest "," TAIL

static const struct bb_event *only_event(const struct call *call)
{
    if (call->next != BB_DONE)
        fail_msg("%s %s", call->out.error.message, call->out.error.rejected_fields);
    assert_int_equal(call->job.event_count, 1);
    return &call->job.events[0].event;
}

static void expect_order_event(const char *body, const char *type, const char *name, const char *common_status)
{
    struct call call;
    decode(&call, body);
    const struct bb_event *event = only_event(&call);
    assert_string_equal(event->type, type);
    assert_string_equal(event->name, name);
    assert_non_null(event->work_order);
    assert_string_equal(event->work_order->source_work_order_id, "32828f62");
    assert_string_equal(event->work_order->source_status, name);
    assert_string_equal(event->work_order->common_status, common_status);
    assert_null(event->work_order->asset_ref);
    assert_int_equal(event->raw.len, strlen(body)); /* MW-W90: as it came */
    assert_memory_equal(event->raw.data, body, event->raw.len);
    finish(&call);
}

/* MW-W01 .. W11, and the second name of W07: what settings may name is what decode knows, so it misses their members.
 */
static void test_mobility_work_hook_names_its_events(void **state)
{
    (void)state;
    size_t count = 0;
    for (const char *const *name = plugin->hook_events; *name; name++, count++) {
        struct call call;
        char *body cleanup_text = mem_printf("{\"_event\":\"%s\"}", *name);
        decode(&call, body);
        assert_int_equal(heard.counts, 1);
        finish(&call);
    }
    assert_int_equal(count, 12);
}

/* MW-W01 (its task is in id, not taskId) .. W04 */
static void test_mobility_work_hook_task_events(void **state)
{
    (void)state;
    expect_order_event(W01, "work_order.completed", "TaskWasCompleted", "completed");
    expect_order_event(TASK_STATE("TaskWasScheduled", "scheduled"), "work_order.created", "TaskWasScheduled",
                       "assigned");
    expect_order_event(TASK_STATE("TaskWasCanceled", "canceled"), "work_order.updated", "TaskWasCanceled", "canceled");
    expect_order_event(TASK_STATE("TaskWasStarted", "started"), "work_order.updated", "TaskWasStarted", "in_progress");
}

/* MW-W05: what a task holds is not published. */
static void test_mobility_work_hook_activity_is_about_an_order_when_the_task_says_which(void **state)
{
    (void)state;
    cleanup_text char *with_id = mem_printf(W05, "\"id\":\"32828f62\"");
    cleanup_text char *without = mem_printf(W05, "");
    expect_order_event(with_id, "work_order.updated", "ActivityWasAddedOnTask", "in_progress");
    struct call call;
    decode(&call, without);
    const struct bb_event *event = only_event(&call);
    assert_null(event->type);
    assert_null(event->work_order);
    assert_string_equal(event->name, "ActivityWasAddedOnTask");
    finish(&call);
}

static void test_mobility_work_hook_activity_metadata_is_of_any_type(void **state)
{
    (void)state;
    const char *const values[] = {"null", "\"\"", "[]", "[[1]]", "{}", "7"};
    for (size_t i = 0; i < COUNT(values); i++) {
        cleanup_text char *body =
            mem_printf("{\"_event\":\"ActivityWasAddedOnTask\",\"_type\":\"x\",\"_sentAt\":\"x\",\"_metadata\":%s,"
                       "\"emittedAt\":\"x\",\"task\":{\"id\":\"32828f62\"},\"equipment\":{},\"activity\":{}}",
                       values[i]);
        expect_order_event(body, "work_order.updated", "ActivityWasAddedOnTask", "in_progress");
    }
}

/* MW-W06 .. W11: no common name, no work order. */
static void test_mobility_work_hook_spare_part_events(void **state)
{
    (void)state;
    const struct {
        const char *body, *name;
        int64_t occurred_ms;
    } cases[] = {
        {STOCK("SparePartWasOutOfStock"), "SparePartWasOutOfStock", INT64_C(1654180266000)},
        {STOCK("SparePartStockWasUnderMinThreshold"), "SparePartStockWasUnderMinThreshold", INT64_C(1654180266000)},
        {STOCK("SparePartStockWasUnderMinThresholdPayload"), "SparePartStockWasUnderMinThreshold",
         INT64_C(1654180266000)},
        {PART("SparePartWasManuallyRecounted", "\"initiator\":{},\"recounted\":{}"), "SparePartWasManuallyRecounted",
         INT64_C(1675897200000)},
        {PART("SparePartWasRestocked", "\"task\":null,\"initiator\":{},\"restocked\":{}"), "SparePartWasRestocked",
         INT64_C(1675897200000)},
        {PART(
             "SparePartWasConsumed",
             "\"task\":{\"id\":\"x\"},\"initiator\":{},\"consumed\":{\"_type\":\"SparePartConsumption\",\"quantity\":3,"
             "\"previousStock\":116}"),
         "SparePartWasConsumed", INT64_C(1675897200000)},
        {PART("SparePartConsumptionWasCanceled", "\"task\":{},\"activity\":{}"), "SparePartConsumptionWasCanceled",
         INT64_C(1675897200000)},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call;
        decode(&call, cases[i].body);
        const struct bb_event *event = only_event(&call);
        assert_null(event->type);
        assert_null(event->work_order);
        assert_string_equal(event->name, cases[i].name);
        assert_int_equal(event->occurred_ms, cases[i].occurred_ms);
        assert_memory_equal(event->raw.data, cases[i].body, strlen(cases[i].body));
        finish(&call);
    }
}

/* Our marks in the task's metadata lead back to our delivery and order (U16). */
static void test_mobility_work_hook_carries_our_marks_back(void **state)
{
    (void)state;
    struct call call;
    decode(&call,
           "{\"_event\":\"TaskWasScheduled\",\"taskId\":\"t1\",\"scheduled\":{},\"associatedTo\":{}," MARKED "}");
    const struct bb_event *event = only_event(&call);
    assert_string_equal(event->work_order->delivery_id, "0190-delivery");
    assert_string_equal(event->work_order->order_id, "0190-order");
    finish(&call);
}

static void test_mobility_work_hook_ignores_marks_that_are_none(void **state)
{
    (void)state;
    const char *const metadata[] = {"[]", "null", "\"x\"", "{\"busbarId\":7,\"busbarOrder\":\"a/#\"}",
                                    "{\"busbarId\":\"\",\"busbarOrder\":\"a b\"}"};
    for (size_t i = 0; i < COUNT(metadata); i++) {
        cleanup_text char *body = mem_printf("{\"_event\":\"TaskWasStarted\",\"taskId\":\"t1\",\"started\":{},"
                                             "\"associatedTo\":{},\"metadata\":%s}",
                                             metadata[i]);
        struct call call;
        decode(&call, body);
        const struct bb_event *event = only_event(&call);
        assert_null(event->work_order->delivery_id);
        assert_null(event->work_order->order_id);
        finish(&call);
    }
}

static void test_mobility_work_hook_time_of_completion(void **state)
{
    (void)state;
    struct call call;
    decode(&call, W01);
    assert_int_equal(only_event(&call)->occurred_ms, INT64_C(1635870758000));
    finish(&call);
    decode(&call, TASK_STATE("TaskWasStarted", "started"));
    assert_int_equal(only_event(&call)->occurred_ms, 0); /* the task-state events carry none */
    finish(&call);
}

static void test_mobility_work_hook_id_is_stable_over_redeliveries(void **state)
{
    (void)state;
    struct call first, again, other;
    decode(&first, W01);
    decode(&again, W01);
    decode(&other, TASK_STATE("TaskWasStarted", "started")); /* the samples share one key */
    assert_string_equal(only_event(&first)->dedup_id, only_event(&again)->dedup_id);
    assert_string_not_equal(only_event(&first)->dedup_id, only_event(&other)->dedup_id);
    finish(&first);
    finish(&again);
    finish(&other);
    decode(&first, "{\"_event\":\"SomethingNew\"}"); /* MW-W00: the key is optional */
    assert_null(only_event(&first)->dedup_id);
    finish(&first);
}

/* MW-W90 */
static void test_mobility_work_hook_unknown_events_and_members_pass(void **state)
{
    (void)state;
    const char *body = "{\"_event\":\"TaskWasPainted\", \"colour\": {\"deep\": [0.10]}}";
    struct call call;
    decode(&call, body);
    const struct bb_event *event = only_event(&call);
    assert_null(event->type);
    assert_null(event->work_order);
    assert_string_equal(event->name, "TaskWasPainted");
    assert_memory_equal(event->raw.data, body, strlen(body));
    finish(&call);
    decode(&call,
           "{\"_event\":\"TaskWasStarted\",\"taskId\":\"t1\",\"started\":{\"new\":1},\"associatedTo\":{},\"more\":[]}");
    assert_string_equal(only_event(&call)->work_order->source_work_order_id, "t1");
    finish(&call);
}

/* The vector body V1 has neither started nor associatedTo: it is signed, so it is news all the same (U8). */
static void test_mobility_work_hook_goes_on_without_documented_members(void **state)
{
    (void)state;
    expect_order_event("{\"_event\":\"TaskWasStarted\",\"taskId\":\"32828f62\"}", "work_order.updated",
                       "TaskWasStarted", "in_progress");
    assert_int_equal(heard.counts, 1);
    assert_string_equal(heard.counted, "undocumented_webhook");
}

static void test_mobility_work_hook_says_nothing_of_what_is_as_documented(void **state)
{
    (void)state;
    const char *const bodies[] = {W01, TASK_STATE("TaskWasStarted", "started"), STOCK("SparePartWasOutOfStock"),
                                  "{\"_event\":\"TaskWasPainted\"}"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call;
        decode(&call, bodies[i]);
        assert_int_equal(heard.messages + heard.counts, 0);
        finish(&call);
    }
}

static void test_mobility_work_hook_warns_once_of_all_that_differs(void **state)
{
    (void)state;
    const struct {
        const char *body, *said;
    } cases[] = {
        {"{\"_event\":\"TaskWasCompleted\",\"id\":\"x\"}",
         "TaskWasCompleted: /doneAt is missing, /initiator is missing, /associatedTo is missing, /metadata is missing"},
        {"{\"_event\":\"TaskWasScheduled\"}",
         "TaskWasScheduled: /taskId is missing, /scheduled is missing, /associatedTo is missing"},
        {"{\"_event\":\"TaskWasCanceled\"}",
         "TaskWasCanceled: /taskId is missing, /canceled is missing, /associatedTo is missing"},
        {"{\"_event\":\"TaskWasStarted\",\"taskId\":7,\"started\":[],\"associatedTo\":\"s3cret\"}",
         "TaskWasStarted: /taskId is no text, /associatedTo is no object"}, /* an empty object may come as [] */
        {"{\"_event\":\"ActivityWasAddedOnTask\",\"_type\":\"x\",\"_sentAt\":\"x\",\"emittedAt\":\"x\"}",
         "ActivityWasAddedOnTask: /_metadata is missing, /task is missing, /equipment is missing, /activity is "
         "missing"},
        {"{\"_event\":\"SparePartWasOutOfStock\"}",
         "SparePartWasOutOfStock: /stock is missing, /sparePart is missing, /movement is missing"},
        {"{\"_event\":\"SparePartStockWasUnderMinThresholdPayload\",\"stock\":{}}",
         "SparePartStockWasUnderMinThreshold: /sparePart is missing, /movement is missing"},
        {"{\"_event\":\"SparePartWasManuallyRecounted\",\"sparePart\":{},\"location\":null}",
         "SparePartWasManuallyRecounted: /location is no object, /initiator is missing, /recounted is missing"},
        {"{\"_event\":\"SparePartWasRestocked\",\"sparePart\":{},\"location\":{}}",
         "SparePartWasRestocked: /initiator is missing, /restocked is missing"},
        {"{\"_event\":\"SparePartWasConsumed\",\"sparePart\":{},\"location\":{}}",
         "SparePartWasConsumed: /initiator is missing, /consumed is missing"},
        {"{\"_event\":\"SparePartConsumptionWasCanceled\",\"sparePart\":{}}",
         "SparePartConsumptionWasCanceled: /task is missing, /activity is missing"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call;
        decode(&call, cases[i].body);
        assert_string_equal(heard.log + strlen("a webhook is not as documented: "), cases[i].said);
        assert_int_equal(heard.messages, 1);
        assert_int_equal(heard.counts, 1);
        assert_memory_equal(only_event(&call)->raw.data, cases[i].body, strlen(cases[i].body));
        finish(&call);
    }
}

/* Without an id and without our marks there is no work order that could be found; with one of them there is. */
static void test_mobility_work_hook_without_an_id_goes_by_the_marks(void **state)
{
    (void)state;
    struct call call;
    decode(&call, "{\"_event\":\"TaskWasCompleted\"," MARKED "}");
    const struct bb_event *event = only_event(&call);
    assert_string_equal(event->type, "work_order.completed");
    assert_string_equal(event->work_order->delivery_id, "0190-delivery");
    assert_null(event->work_order->source_work_order_id);
    finish(&call);
    decode(&call, "{\"_event\":\"TaskWasCompleted\",\"id\":{\"new\":\"shape\"}}");
    event = only_event(&call);
    assert_null(event->type);
    assert_null(event->work_order);
    assert_string_equal(event->name, "TaskWasCompleted");
    finish(&call);
}

/* MW-E09: the webhook must be of the network that the key belongs to. */
static void test_mobility_work_hook_of_another_network_is_refused(void **state)
{
    (void)state;
    struct call call;
    strcpy(note_network, "00000000-5c04-43c8-b010-b48e1237e6ff");
    decode(&call, W01);
    assert_int_equal(call.next, BB_REJECT);
    assert_int_equal(call.out.error.error_class, BB_IDENTITY);
    assert_string_equal(call.out.error.code, "foreign_network");
    finish(&call);
    strcpy(note_network, "17DF9A0F-5C04-43C8-B010-B48E1237E6FF"); /* a UUID is a UUID in any case */
    decode(&call, W01);
    assert_int_equal(call.next, BB_DONE);
    finish(&call);
    decode(&call, "{\"_event\":\"SomethingNew\"}"); /* networkId is optional */
    assert_int_equal(call.next, BB_DONE);
    finish(&call);
}

static void test_mobility_work_hook_refuses_what_is_no_webhook(void **state)
{
    (void)state;
    const char *const bodies[] = {
        "nonsense", "[]", "{}", "{\"_event\":7}", "{\"_event\":\"\"}", "{\"_event\":\"x\"} x"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call;
        decode(&call, bodies[i]);
        assert_int_equal(call.next, BB_REJECT);
        assert_string_equal(call.out.error.code, "invalid_webhook");
        finish(&call);
    }
}

int main(void)
{
    if (!load_plugin())
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(hook_task_events),
        TEST(hook_activity_is_about_an_order_when_the_task_says_which),
        TEST(hook_activity_metadata_is_of_any_type),
        TEST(hook_spare_part_events),
        TEST(hook_carries_our_marks_back),
        TEST(hook_ignores_marks_that_are_none),
        TEST(hook_time_of_completion),
        TEST(hook_id_is_stable_over_redeliveries),
        TEST(hook_unknown_events_and_members_pass),
        TEST(hook_goes_on_without_documented_members),
        TEST(hook_says_nothing_of_what_is_as_documented),
        TEST(hook_names_its_events),
        TEST(hook_warns_once_of_all_that_differs),
        TEST(hook_without_an_id_goes_by_the_marks),
        TEST(hook_of_another_network_is_refused),
        TEST(hook_refuses_what_is_no_webhook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
