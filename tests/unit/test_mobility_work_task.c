/* SPDX-License-Identifier: Apache-2.0 */
/* task.schedule of the mobility_work plugin: MW-E08, MW-C15, MW-C17, U16, U18, U19. */
#include "mobility_work.h"

#define REST                                                                                         \
    "\"startDateTime\":\"2022-01-11T09:00:00+00:00\",\"endDateTime\":\"2022-01-11T10:00:00+00:00\"," \
    "\"assignees\":[3,\"john.doe@example.com\"]"
#define TASK_WITH(member) "{\"equipment\":9,\"description\":\"API Task creation\"," REST "," member "}"
#define TASK_ON(equipment) "{\"equipment\":" equipment ",\"description\":\"API Task creation\"," REST "}"
#define TASK_DESCRIBED(text) "{\"equipment\":9,\"description\":" text "," REST "}"
#define TASK_AT(start, end)                                                                                   \
    "{\"equipment\":9,\"description\":\"API Task creation\",\"startDateTime\":" start ",\"endDateTime\":" end \
    ",\"assignees\":[3]}"
#define TASK_FOR(assignees)                                                                              \
    "{\"equipment\":9,\"description\":\"API Task creation\",\"startDateTime\":\"2022-01-11T09:00:00Z\"," \
    "\"endDateTime\":\"2022-01-11T10:00:00Z\",\"assignees\":" assignees "}"

static void expect_sent(const char *body, const char *pointer, const char *value)
{
    struct call call;
    ask(&call, "task.schedule", body);
    if (call.next != BB_SEND)
        fail_msg("%s: %s", body, call.out.error.message);
    assert_string_equal(at(call.request, pointer), value);
    finish(&call);
}

static void expect_refused(const char *body, const char *pointer, const char *key)
{
    struct call call;
    ask(&call, "task.schedule", body);
    if (call.next != BB_REJECT || call.out.error.error_class != BB_VALIDATION || !has_field(&call, pointer, key))
        fail_msg("%s: %d %s", body, call.next, call.out.error.rejected_fields);
    assert_non_null(strstr(call.out.error.message, *pointer ? pointer : "it"));
    finish(&call);
}

/* MW-E08 with the contract's sample; MW-C01 path without trailing slash; MW-C03 minified JSON. */
static void test_mobility_work_task_sends_the_sample(void **state)
{
    (void)state;
    struct call call;
    ask(&call, "task.schedule", TASK);
    assert_int_equal(call.next, BB_SEND);
    assert_string_equal(call.out.request.method, "POST");
    assert_string_equal(call.out.request.path, "/partners/v1/tasks");
    assert_int_equal(call.out.request.header_count, 0); /* Api-Key is the core's */
    assert_string_equal(call.out.request.body.data,
                        "{\"equipment\":{\"type\":\"native\",\"value\":9},\"description\":\"API Task creation\","
                        "\"startDateTime\":\"2022-01-11T09:00:00+00:00\",\"endDateTime\":\"2022-01-11T10:00:00+00:00\","
                        "\"allDay\":false,\"assignees\":[{\"type\":\"native\",\"value\":3},"
                        "{\"type\":\"email\",\"value\":\"john.doe@example.com\"}],"
                        "\"metadata\":{\"busbarId\":\"0190-delivery\",\"busbarOrder\":\"0190-order\"}}");
    assert_int_equal(call.out.request.body.len, strlen(call.out.request.body.data));
    finish(&call);
}

static void test_mobility_work_task_sends_the_same_bytes_again(void **state) /* MW-C08 */
{
    (void)state;
    struct call first, second;
    ask(&first, "task.schedule", TASK_WITH("\"metadata\":{\"b\":1,\"a\":2}"));
    ask(&second, "task.schedule", TASK_WITH("\"metadata\":{\"b\":1,\"a\":2}"));
    assert_string_equal(first.out.request.body.data, second.out.request.body.data);
    finish(&first);
    finish(&second);
}

static void test_mobility_work_task_says_all_day_itself(void **state)
{
    (void)state;
    expect_sent(TASK_ON("9"), "/allDay", "true");
    expect_sent(TASK_WITH("\"allDay\":null"), "/allDay", "true");
    expect_sent(TASK_WITH("\"allDay\":false"), "/allDay", "false");
    expect_refused(TASK_WITH("\"allDay\":\"yes\""), "/allDay", "type");
}

/* MW-C17: always typed; a value of digits is never a bare string. */
static void test_mobility_work_task_types_the_equipment(void **state)
{
    (void)state;
    const struct {
        const char *body, *sent;
    } cases[] = {
        {TASK_ON("2507"), "{\"type\":\"native\",\"value\":2507}"},
        {TASK_ON("\"PUMP-7\""), "{\"type\":\"external\",\"value\":\"PUMP-7\"}"},
        {TASK_ON("\"4711\""), "{\"type\":\"external\",\"value\":\"4711\"}"},
        {TASK_ON("{\"type\":\"external\",\"value\":\"0815\"}"), "{\"type\":\"external\",\"value\":\"0815\"}"},
        {TASK_ON("{\"type\":\"external\",\"value\":815}"), "{\"type\":\"external\",\"value\":\"815\"}"},
        {TASK_ON("{\"type\":\"native\",\"value\":2507}"), "{\"type\":\"native\",\"value\":2507}"},
        {TASK_ON("{\"type\":\"native\",\"value\":\"2507\"}"), "{\"type\":\"native\",\"value\":2507}"},
        {TASK_ON("{\"type\":\"itemCode\",\"value\":\"P7\"}"), "{\"type\":\"itemCode\",\"value\":\"P7\"}"},
        {TASK_ON("{\"type\":\"native\",\"value\":\"99999999999999999999\"}"), /* no number of 64 bits */
         "{\"type\":\"native\",\"value\":\"99999999999999999999\"}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_sent(cases[i].body, "/equipment", cases[i].sent);
}

static void test_mobility_work_task_takes_the_configured_token(void **state)
{
    (void)state;
    set_option("equipment_type", "serialNumber");
    expect_sent(TASK_ON("\"PUMP-7\""), "/equipment", "{\"type\":\"serialNumber\",\"value\":\"PUMP-7\"}");
    expect_sent(TASK_ON("{\"type\":\"serialNumber\",\"value\":\"7\"}"), "/equipment",
                "{\"type\":\"serialNumber\",\"value\":\"7\"}");
}

static void test_mobility_work_task_refuses_wrong_equipment(void **state)
{
    (void)state;
    const struct {
        const char *body, *pointer, *key;
    } cases[] = {
        {TASK_ON("\"\""), "/equipment", "identifier"},
        {TASK_ON("\"  \""), "/equipment", "identifier"},
        {TASK_ON("1.5"), "/equipment", "identifier"},
        {TASK_ON("true"), "/equipment", "identifier"},
        {TASK_ON("[9]"), "/equipment", "identifier"},
        {TASK_ON("null"), "/equipment", "required"},
        {TASK_ON("{}"), "/equipment/type", "identifier_type"},
        {TASK_ON("{\"type\":\"extern\",\"value\":\"a\"}"), "/equipment/type", "identifier_type"},
        {TASK_ON("{\"type\":\"external\"}"), "/equipment/value", "identifier"},
        {TASK_ON("{\"type\":\"external\",\"value\":\"\"}"), "/equipment/value", "identifier"},
        {TASK_ON("{\"type\":\"external\",\"value\":1.5}"), "/equipment/value", "identifier"},
        {TASK_ON("{\"type\":\"external\",\"value\":\"a\",\"x\":1}"), "/equipment/x", "unknown_member"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_refused(cases[i].body, cases[i].pointer, cases[i].key);
}

/* U19: code points, not bytes. */
static void test_mobility_work_task_counts_characters(void **state)
{
    (void)state;
    expect_refused(TASK_DESCRIBED("\"ab\""), "/description", "min_length");
    expect_refused(TASK_DESCRIBED("\"\xc3\xa9\xc3\xa9\""), "/description", "min_length");
    expect_sent(TASK_DESCRIBED("\"\xc3\xa9t\xc3\xa9\""), "/description", "\"\xc3\xa9t\xc3\xa9\"");
    expect_refused(TASK_DESCRIBED("17"), "/description", "type");
    struct buf text = {0};
    for (int i = 0; i < 3000; i++)
        buf_puts(&text, "\xe2\x82\xac"); /* three bytes each */
    for (int more = 0; more < 2; more++, buf_puts(&text, "x")) {
        cleanup_text char *body = mem_printf("{\"equipment\":9,\"description\":\"%s\"," REST "}", text.data);
        struct call call;
        ask(&call, "task.schedule", body);
        assert_int_equal(call.next, more ? BB_REJECT : BB_SEND);
        if (more)
            assert_true(has_field(&call, "/description", "max_length"));
        finish(&call);
    }
    buf_finish(&text);
}

/* MW-C15 */
static void test_mobility_work_task_wants_times_with_offset(void **state)
{
    (void)state;
    const char *const wrong[] = {"\"2022-01-11T09:00:00\"",
                                 "\"2022-01-11 09:00:00Z\"",
                                 "\"2022-01-11\"",
                                 "\"2022-02-29T09:00:00Z\"",
                                 "\"2022-13-01T09:00:00Z\"",
                                 "\"2022-01-11T24:00:00Z\"",
                                 "\"2022-01-11T09:00:00+0100\"",
                                 "\"2022-01-11T09:00:00.Z\"",
                                 "1641891600",
                                 "\"2022-01-11T09:00:00+00:00x\"",
                                 "\"\"",
                                 "\"tomorrow\""};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        cleanup_text char *body = mem_printf(TASK_AT("%s", "\"2022-01-11T10:00:00Z\""), wrong[i]);
        expect_refused(body, "/startDateTime", "date_time");
    }
    expect_sent(TASK_AT("\"2024-02-29T09:00:00.123Z\"", "\"2024-02-29T10:00:00-05:30\""), "/endDateTime",
                "\"2024-02-29T10:00:00-05:30\"");
}

/* U18: compared as instants, whatever their offsets. */
static void test_mobility_work_task_must_not_end_before_it_starts(void **state)
{
    (void)state;
    expect_refused(TASK_AT("\"2022-01-11T09:00:00Z\"", "\"2022-01-11T08:59:59Z\""), "/endDateTime", "end_before_start");
    expect_refused(TASK_AT("\"2022-01-11T09:00:00Z\"", "\"2022-01-11T09:30:00+01:00\""), "/endDateTime",
                   "end_before_start");
    expect_refused(TASK_AT("\"2022-01-11T09:00:00.25Z\"", "\"2022-01-11T09:00:00.2Z\""), "/endDateTime",
                   "end_before_start");
    expect_sent(TASK_AT("\"2022-01-11T09:00:00.25Z\"", "\"2022-01-11T09:00:00.3Z\""), "/endDateTime",
                "\"2022-01-11T09:00:00.3Z\"");
    expect_sent(TASK_AT("\"2022-01-11T09:00:00Z\"", "\"2022-01-11T10:00:00+01:00\""), "/endDateTime",
                "\"2022-01-11T10:00:00+01:00\"");
}

static void test_mobility_work_task_types_the_assignees(void **state)
{
    (void)state;
    expect_sent(TASK_FOR("[\"3\",{\"type\":\"native\",\"value\":4},{\"type\":\"email\",\"value\":\"a@b.c\"}]"),
                "/assignees",
                "[{\"type\":\"native\",\"value\":3},{\"type\":\"native\",\"value\":4},"
                "{\"type\":\"email\",\"value\":\"a@b.c\"}]");
    expect_refused(TASK_FOR("[]"), "/assignees", "min_items"); /* U18 */
    expect_refused(TASK_FOR("3"), "/assignees", "type");
    expect_refused(TASK_FOR("[3,\"nobody\"]"), "/assignees/1", "identifier");
    expect_refused(TASK_FOR("[3,null]"), "/assignees/1", "identifier");
    expect_refused(TASK_FOR("[{\"type\":\"email\",\"value\":\"@\"}]"), "/assignees/0/value", "identifier");
}

static void test_mobility_work_task_types_the_tags(void **state)
{
    (void)state;
    expect_sent(TASK_WITH("\"tags\":[7,\"urgent\",\"12\"]"), "/tags",
                "[{\"type\":\"native\",\"value\":7},{\"type\":\"code\",\"value\":\"urgent\"},"
                "{\"type\":\"code\",\"value\":\"12\"}]");
    expect_sent(TASK_WITH("\"tags\":[]"), "/tags", "[]");
    expect_refused(TASK_WITH("\"tags\":\"urgent\""), "/tags", "type");
    expect_refused(TASK_WITH("\"tags\":[true]"), "/tags/0", "identifier");
}

static void test_mobility_work_task_optional_members(void **state)
{
    (void)state;
    expect_sent(TASK_WITH("\"checklist\":\"17df9a0f-5c04-43c8-b010-b48e1237e6ff\""), "/checklist",
                "\"17df9a0f-5c04-43c8-b010-b48e1237e6ff\"");
    expect_sent(TASK_WITH("\"checklist\":null"), "/checklist", "(absent)");
    expect_refused(TASK_WITH("\"checklist\":\"17df9a0f5c0443c8b010b48e1237e6ff\""), "/checklist", "uuid");
    expect_refused(TASK_WITH("\"checklist\":\"17df9a0f-5c04-43c8-b010-b48e1237e6ffa\""), "/checklist", "uuid");
    expect_sent(TASK_WITH("\"sendEmailToAssignees\":true"), "/sendEmailToAssignees", "true");
    expect_sent(TASK_WITH("\"inheritEquipmentTags\":true"), "/inheritEquipmentTags", "true");
    expect_refused(TASK_WITH("\"sendEmailToAssignees\":1"), "/sendEmailToAssignees", "type");
    expect_sent(TASK, "/sendEmailToAssignees", "(absent)");
}

static void test_mobility_work_task_never_sends_what_is_deprecated(void **state)
{
    (void)state;
    expect_sent(TASK_WITH("\"emailToCreator\":true"), "/emailToCreator", "(absent)");
}

static void test_mobility_work_task_defaults_of_the_target(void **state)
{
    (void)state;
    set_option("defaults", "{\"sendEmailToAssignees\":true,\"tags\":[\"hot\"]}");
    expect_sent(TASK, "/sendEmailToAssignees", "true");
    expect_sent(TASK, "/tags", "[{\"type\":\"code\",\"value\":\"hot\"}]");
    expect_sent(TASK_WITH("\"tags\":null"), "/tags", "[{\"type\":\"code\",\"value\":\"hot\"}]");
    expect_sent(TASK_WITH("\"tags\":[]"), "/tags", "[]");
    expect_sent(TASK_WITH("\"sendEmailToAssignees\":false"), "/sendEmailToAssignees", "false");
}

/* U16: our marks beside the message's own members, and stronger than a copy of an older task's. */
static void test_mobility_work_task_marks_its_metadata(void **state)
{
    (void)state;
    expect_sent(TASK_WITH("\"metadata\":{\"line\":\"l1\",\"cost\":0.10,\"busbarId\":\"old\"}"), "/metadata",
                "{\"line\":\"l1\",\"cost\":0.10,\"busbarId\":\"0190-delivery\",\"busbarOrder\":\"0190-order\"}");
    expect_refused(TASK_WITH("\"metadata\":[]"), "/metadata", "type");
}

static void test_mobility_work_task_names_unknown_members(void **state)
{
    (void)state;
    struct call call;
    ask(&call, "task.schedule", TASK_WITH("\"assignes\":[3],\"a/b\":1"));
    assert_int_equal(call.next, BB_REJECT);
    assert_true(has_field(&call, "/assignes", "unknown_member"));
    assert_true(has_field(&call, "/a~1b", "unknown_member"));
    assert_non_null(strstr(call.out.error.message, "did you mean assignees?"));
    finish(&call);
}

static void test_mobility_work_task_names_everything_at_once(void **state)
{
    (void)state;
    struct call call;
    ask(&call, "task.schedule", "{}");
    const char *const required[] = {"/equipment", "/description", "/startDateTime", "/endDateTime", "/assignees"};
    assert_int_equal(call.next, BB_REJECT);
    assert_string_equal(call.out.error.code, "invalid_task");
    for (size_t i = 0; i < COUNT(required); i++)
        assert_true(has_field(&call, required[i], "required"));
    finish(&call);
    expect_refused("[]", "", "type");
    expect_refused("nonsense", "", "type");
}

int main(void)
{
    if (!load_plugin())
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(task_sends_the_sample),
        TEST(task_sends_the_same_bytes_again),
        TEST(task_says_all_day_itself),
        TEST(task_types_the_equipment),
        TEST(task_takes_the_configured_token),
        TEST(task_refuses_wrong_equipment),
        TEST(task_counts_characters),
        TEST(task_wants_times_with_offset),
        TEST(task_must_not_end_before_it_starts),
        TEST(task_types_the_assignees),
        TEST(task_types_the_tags),
        TEST(task_optional_members),
        TEST(task_never_sends_what_is_deprecated),
        TEST(task_defaults_of_the_target),
        TEST(task_marks_its_metadata),
        TEST(task_names_unknown_members),
        TEST(task_names_everything_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
