/* SPDX-License-Identifier: Apache-2.0 */
/* The common record and its CloudEvents: FV-01, FV-04, FV-06. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <json-c/json.h>
#include <string.h>

#include "event.h"
#include "json.h"
#include "lifecycle.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW_MS INT64_C(1700000000000)
#define BEFORE_MS INT64_C(1600000000000)

static const char *const statuses[] = {"requested", "triaged", "approved", "assigned", "in_progress", "blocked",
                                       "completed", "closed",  "canceled", "reopened", "unknown"};

static struct work_order known_order(const char *source_status, const char *common_status)
{
    return (struct work_order){.common_work_order_id = "wo-1",
                               .provider_id = "mw",
                               .source_work_order_id = "32828f62",
                               .asset_ref = "pump-7",
                               .source_status = source_status,
                               .common_status = common_status,
                               .priority = "high",
                               .source_priority = "2",
                               .sla_due_ms = BEFORE_MS,
                               .sync_state = "pending",
                               .last_synced_ms = BEFORE_MS,
                               .delivery_id = "d-1",
                               .updated_ms = BEFORE_MS};
}

static void merge(struct order_record *record, const char *source, const char *common, const char *new_source,
                  const char *new_common)
{
    struct work_order known = known_order(source, common);
    struct bb_work_order said = {.source_status = new_source, .common_status = new_common};
    event_merge_order(record, &known, &said, "mw", "unused", NOW_MS);
}

/* FV-05a..f: every pair goes by the table, and last_synced_at moves with imported and synchronized alone (FV-01k). */
static void test_event_enters_a_sync_state_where_the_table_leads(void **state)
{
    (void)state;
    static const char *const states[] = {NULL, "imported", "pending", "synchronized", "retrying", "rejected", "stale"};
    for (size_t i = 0; i < COUNT(states); i++)
        for (size_t j = 1; j < COUNT(states); j++) {
            struct work_order order = {
                .sync_state = states[i], .last_synced_ms = BEFORE_MS, .fresh_until_ms = BEFORE_MS};
            bool confirms = j == 1 || j == 3, again = i == j, allowed = sync_state_allows(states[i], states[j]);
            assert_int_equal(event_enter_sync(&order, states[j], NOW_MS), allowed || again);
            bool entered = allowed || (again && confirms);
            if (entered)
                assert_string_equal(order.sync_state, states[j]);
            else
                assert_ptr_equal(order.sync_state, states[i]);
            assert_int_equal(order.last_synced_ms, entered && confirms ? NOW_MS : BEFORE_MS);
            assert_int_equal(order.fresh_until_ms, entered ? 0 : BEFORE_MS); /* to be said anew */
        }
}

static void test_event_import_makes_a_new_record(void **state)
{
    (void)state;
    struct bb_work_order said = {.source_work_order_id = "32828f62",
                                 .source_status = "TaskWasScheduled",
                                 .common_status = "assigned",
                                 .sla_due_at = "2022-01-11T09:00:00+00:00"};
    struct order_record record;
    event_merge_order(&record, NULL, &said, "mw", "wo-new", NOW_MS);
    assert_true(record.fresh);
    assert_true(record.status_changed);
    assert_false(record.illegal);
    assert_string_equal(record.order.common_work_order_id, "wo-new");
    assert_string_equal(record.order.provider_id, "mw");
    assert_string_equal(record.order.source_work_order_id, "32828f62");
    assert_string_equal(record.order.common_status, "assigned");
    assert_string_equal(record.order.sync_state, "imported");
    assert_null(record.order.asset_ref);
    assert_int_equal(record.order.sla_due_ms, INT64_C(1641891600000));
    assert_int_equal(record.order.last_synced_ms, NOW_MS);
    order_record_finish(&record);
}

static void test_event_import_confirms_a_known_record(void **state)
{
    (void)state;
    struct order_record record;
    merge(&record, "TaskWasScheduled", "assigned", "TaskWasStarted", "in_progress");
    assert_false(record.fresh);
    assert_true(record.status_changed);
    assert_string_equal(record.order.source_status, "TaskWasStarted");
    assert_string_equal(record.order.common_status, "in_progress");
    assert_string_equal(record.order.sync_state, "synchronized");
    assert_int_equal(record.order.last_synced_ms, NOW_MS);
    assert_int_equal(record.order.updated_ms, NOW_MS);
    order_record_finish(&record);
}

static void test_event_silence_leaves_the_record_as_it_is(void **state)
{
    (void)state;
    struct work_order known = known_order("TaskWasStarted", "in_progress");
    struct bb_work_order said = {0};
    struct order_record record;
    event_merge_order(&record, &known, &said, "other", "unused", NOW_MS);
    assert_false(record.status_changed);
    assert_string_equal(record.order.common_work_order_id, "wo-1");
    assert_string_equal(record.order.provider_id, "mw");
    assert_string_equal(record.order.asset_ref, "pump-7");
    assert_string_equal(record.order.source_status, "TaskWasStarted");
    assert_string_equal(record.order.common_status, "in_progress");
    assert_string_equal(record.order.priority, "high");
    assert_string_equal(record.order.source_priority, "2");
    assert_string_equal(record.order.delivery_id, "d-1");
    assert_int_equal(record.order.sla_due_ms, BEFORE_MS);
    order_record_finish(&record);
}

/* The record owns its text: the known one may go. */
static void test_event_record_owns_its_text(void **state)
{
    (void)state;
    char asset[] = "pump-7", source[] = "TaskWasStarted";
    struct work_order known = known_order(NULL, "assigned");
    known.asset_ref = asset;
    struct bb_work_order said = {.source_status = source, .common_status = "in_progress"};
    struct order_record record;
    event_merge_order(&record, &known, &said, "mw", "unused", NOW_MS);
    memset(asset, 'x', sizeof asset - 1);
    memset(source, 'x', sizeof source - 1);
    assert_string_equal(record.order.asset_ref, "pump-7");
    assert_string_equal(record.order.source_status, "TaskWasStarted");
    order_record_finish(&record);
}

/* Every pair: what is over moves only by the table; what is open always moves, marked when the table says no. */
static void test_event_import_follows_the_owner_but_never_out_of_an_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(statuses); i++) {
        for (size_t j = 0; j < COUNT(statuses); j++) {
            struct order_record record;
            merge(&record, "old", statuses[i], "new", statuses[j]);
            bool over = strcmp(statuses[i], "completed") == 0 || strcmp(statuses[i], "closed") == 0 ||
                        strcmp(statuses[i], "canceled") == 0;
            bool moves = !over || lifecycle_allows(statuses[i], statuses[j]);
            bool from_unknown = strcmp(statuses[i], "unknown") == 0;
            assert_string_equal(record.order.common_status, moves ? statuses[j] : statuses[i]);
            assert_string_equal(record.order.source_status, moves ? "new" : "old");
            assert_int_equal(record.status_changed, moves && i != j);
            assert_int_equal(record.illegal, moves && !from_unknown && !lifecycle_allows(statuses[i], statuses[j]));
            order_record_finish(&record);
        }
    }
}

static void test_event_late_event_is_still_a_confirmation(void **state)
{
    (void)state;
    struct order_record record;
    merge(&record, "TaskWasCompleted", "completed", "ActivityWasAddedOnTask", "in_progress");
    assert_false(record.status_changed);
    assert_false(record.illegal);
    assert_string_equal(record.order.sync_state, "synchronized");
    assert_int_equal(record.order.updated_ms, NOW_MS);
    order_record_finish(&record);
}

static void test_event_unmapped_status_is_unknown_never_a_guess(void **state)
{
    (void)state;
    struct order_record record;
    merge(&record, "INPRG", "in_progress", "WEIRD", NULL);
    assert_string_equal(record.order.source_status, "WEIRD");
    assert_string_equal(record.order.common_status, "unknown");
    order_record_finish(&record);
    merge(&record, "INPRG", "in_progress", "WEIRD", "no_word_of_ours");
    assert_string_equal(record.order.common_status, "unknown");
    order_record_finish(&record);
}

static void test_event_priority_travels_in_a_pair(void **state)
{
    (void)state;
    struct work_order known = known_order(NULL, "assigned");
    struct bb_work_order said = {.source_priority = "9", .priority = "super"};
    struct order_record record;
    event_merge_order(&record, &known, &said, "mw", "unused", NOW_MS);
    assert_null(record.order.priority);
    assert_string_equal(record.order.source_priority, "9");
    order_record_finish(&record);
    said = (struct bb_work_order){.source_priority = "1", .priority = "critical"};
    event_merge_order(&record, &known, &said, "mw", "unused", NOW_MS);
    assert_string_equal(record.order.priority, "critical");
    order_record_finish(&record);
}

static void test_event_ids_stay_once_learned(void **state)
{
    (void)state;
    struct work_order known = known_order(NULL, "assigned");
    struct bb_work_order said = {.source_work_order_id = "other", .delivery_id = "d-2", .asset_ref = "pump-8"};
    struct order_record record;
    event_merge_order(&record, &known, &said, "mw", "unused", NOW_MS);
    assert_string_equal(record.order.source_work_order_id, "32828f62");
    assert_string_equal(record.order.delivery_id, "d-1");
    assert_string_equal(record.order.asset_ref, "pump-8");
    order_record_finish(&record);
    known.source_work_order_id = known.delivery_id = NULL;
    event_merge_order(&record, &known, &said, "mw", "unused", NOW_MS);
    assert_string_equal(record.order.source_work_order_id, "other");
    assert_string_equal(record.order.delivery_id, "d-2");
    order_record_finish(&record);
}

static void test_event_prints_the_eleven_contract_fields(void **state)
{
    (void)state;
    struct work_order order = known_order("TaskWasStarted", "in_progress");
    order.last_synced_ms = 0;
    order.priority = NULL;
    cleanup_buf struct buf out = {0};
    event_print_order(&order, &out);
    assert_string_equal(out.data,
                        "{\"common_work_order_id\":\"wo-1\",\"provider_id\":\"mw\","
                        "\"source_work_order_id\":\"32828f62\",\"asset_ref\":\"pump-7\","
                        "\"source_status\":\"TaskWasStarted\",\"common_status\":\"in_progress\",\"priority\":null,"
                        "\"source_priority\":\"2\",\"sla_due_at\":\"2020-09-13T12:26:40.000Z\","
                        "\"sync_state\":\"pending\",\"last_synced_at\":null}");
}

static struct event_facts facts_of(const struct work_order *order)
{
    return (struct event_facts){.instance = "edge-01",
                                .target = "mw",
                                .plugin = "mobility_work",
                                .id = "e-1",
                                .type = "work_order.updated",
                                .time_ms = BEFORE_MS,
                                .order = order,
                                .provider_event = "TaskWasStarted",
                                .received_ms = NOW_MS,
                                .raw = SPAN("{\"n\": 0.10}")};
}

static void test_event_is_a_cloudevent(void **state)
{
    (void)state;
    struct work_order order = known_order("TaskWasStarted", "in_progress");
    struct event_facts facts = facts_of(&order);
    cleanup_buf struct buf out = {0}, work_order = {0}, want = {0};
    event_print(&facts, &out);
    event_print_order(&order, &work_order);
    buf_printf(&want,
               "{\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":\"/busbar/edge-01/mw\","
               "\"type\":\"work_order.updated\",\"subject\":\"wo-1\",\"time\":\"2020-09-13T12:26:40.000Z\","
               "\"datacontenttype\":\"application/json\",\"data\":{\"work_order\":%s,"
               "\"provider\":{\"event\":\"TaskWasStarted\",\"received_at\":\"2023-11-14T22:13:20.000Z\","
               "\"raw\":{\"n\": 0.10}}}}",
               work_order.data);
    assert_string_equal(out.data, want.data);
}

/* Spare-part events: work_order null, no subject. */
static void test_event_without_order_has_no_subject(void **state)
{
    (void)state;
    struct event_facts facts = facts_of(NULL);
    facts.type = "provider.mobility_work.SparePartWasConsumed";
    facts.time_ms = 0;
    cleanup_buf struct buf out = {0};
    event_print(&facts, &out);
    bool is_null = false;
    cleanup_json struct json_object *json = json_parse(buf_span(&out), &is_null, NULL);
    assert_non_null(json);
    bool found = true;
    json_pointer(json, "/subject", &found);
    assert_false(found);
    assert_null(json_pointer(json, "/data/work_order", &found));
    assert_true(found);
    assert_string_equal(json_get_text(json, "time"), "2023-11-14T22:13:20.000Z"); /* as good as it gets: received */
}

static void test_event_of_our_own_has_no_provider_and_extra_members(void **state)
{
    (void)state;
    struct event_facts facts = facts_of(NULL);
    facts.provider_event = NULL;
    facts.raw = (struct span){0};
    facts.extra = SPAN("\"error\":{\"class\":\"validation\"}");
    cleanup_buf struct buf out = {0};
    event_print(&facts, &out);
    bool is_null = false;
    cleanup_json struct json_object *json = json_parse(buf_span(&out), &is_null, NULL);
    assert_non_null(json);
    bool found = false;
    assert_null(json_pointer(json, "/data/provider", &found));
    assert_true(found);
    assert_string_equal(json_object_get_string(json_pointer(json, "/data/error/class", NULL)), "validation");
}

static void test_event_envelope_survives_raw_that_is_no_json(void **state)
{
    (void)state;
    struct event_facts facts = facts_of(NULL);
    facts.raw = SPAN("} \"oops\" {");
    cleanup_buf struct buf out = {0};
    event_print(&facts, &out);
    bool is_null = false;
    cleanup_json struct json_object *json = json_parse(buf_span(&out), &is_null, NULL);
    assert_non_null(json);
    assert_string_equal(json_object_get_string(json_pointer(json, "/data/provider/raw", NULL)), "} \"oops\" {");
}

static void test_event_source_is_a_uri_reference(void **state)
{
    (void)state;
    struct event_facts facts = facts_of(NULL);
    facts.instance = "my host/1";
    cleanup_buf struct buf out = {0};
    event_print(&facts, &out);
    assert_non_null(strstr(out.data, "\"source\":\"/busbar/my%20host%2F1/mw\""));
}

static void test_event_topics(void **state)
{
    (void)state;
    const struct {
        const char *type, *topic;
    } cases[] = {
        {"work_order.completed", "busbar/events/mw/work_order/completed"},
        {"provider.mobility_work.SparePartWasConsumed", "busbar/events/mw/provider/mobility_work/SparePartWasConsumed"},
        {"provider.p.evil/#+\n", "busbar/events/mw/provider/p/evil____"},
        /* brokers end the link for these: C1 controls, non-characters, very many levels */
        {"a\xc2\x85\xef\xb7\x90\xef\xb7\xaf\xef\xbf\xbe\xf0\x9f\xbf\xbf.x", "busbar/events/mw/a_____/x"},
        {"\xc2\xa0\xef\xb7\x8f\xef\xb7\xb0\xef\xbf\xbd\xf0\x9f\x98\x80",
         "busbar/events/mw/\xc2\xa0\xef\xb7\x8f\xef\xb7\xb0\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"..................", "busbar/events/mw////////////////..."},
        {"a\xe2\x82.x\x80", "busbar/events/mw/a__/x_"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cleanup_text char *topic = event_topic("busbar", "mw", cases[i].type);
        assert_string_equal(topic, cases[i].topic);
    }
    char longest[70000] = "";
    memset(longest, 'x', sizeof(longest) - 1);
    cleanup_text char *cut = event_topic("busbar", "mw", longest);
    assert_true(strlen(cut) < 2000); /* a topic has at most 65535 bytes */
    cleanup_text char *order = event_order_topic("busbar", "mw", "0190.a/#");
    assert_string_equal(order, "busbar/orders/mw/0190.a__");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_enters_a_sync_state_where_the_table_leads),
        cmocka_unit_test(test_event_import_makes_a_new_record),
        cmocka_unit_test(test_event_import_confirms_a_known_record),
        cmocka_unit_test(test_event_silence_leaves_the_record_as_it_is),
        cmocka_unit_test(test_event_record_owns_its_text),
        cmocka_unit_test(test_event_import_follows_the_owner_but_never_out_of_an_end),
        cmocka_unit_test(test_event_late_event_is_still_a_confirmation),
        cmocka_unit_test(test_event_unmapped_status_is_unknown_never_a_guess),
        cmocka_unit_test(test_event_priority_travels_in_a_pair),
        cmocka_unit_test(test_event_ids_stay_once_learned),
        cmocka_unit_test(test_event_prints_the_eleven_contract_fields),
        cmocka_unit_test(test_event_is_a_cloudevent),
        cmocka_unit_test(test_event_without_order_has_no_subject),
        cmocka_unit_test(test_event_of_our_own_has_no_provider_and_extra_members),
        cmocka_unit_test(test_event_envelope_survives_raw_that_is_no_json),
        cmocka_unit_test(test_event_source_is_a_uri_reference),
        cmocka_unit_test(test_event_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
