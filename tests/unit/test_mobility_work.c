/* SPDX-License-Identifier: Apache-2.0 */
/* The mobility_work plugin as the core meets it: loaded from its file, driven with the host's own jobs. */
#include "unit.h"

#include "host.h"
#include "json.h"
#include "loader.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW_MS INT64_C(1700000000000)
#define NETWORK "17df9a0f-5c04-43c8-b010-b48e1237e6ff"

/* The plugin's own settings, as its option table lays them out. */
static const struct bb_plugin *plugin;
static char settings[256];
static char note_network[64]; /* the note network_id; empty: none */

/* One call of the plugin and what came of it. */
struct call {
    struct bb_job job;
    struct bb_out out;
    enum bb_next next;
    struct json_object *request; /* body of out.request */
    struct json_object *fields;  /* out.error.rejected_fields */
};

static void set_option(const char *name, const char *value)
{
    for (size_t i = 0; i < plugin->option_count; i++) {
        struct bb_option option;
        plugin_option(plugin, i, &option);
        if (strcmp(option.name, name) != 0)
            continue;
        bool truth = value && strcmp(value, "true") == 0;
        if (option.type == BB_BOOL)
            memcpy(settings + option.offset, &truth, sizeof truth);
        else
            memcpy(settings + option.offset, &value, sizeof value);
        return;
    }
    fail_msg("no option %s", name);
}

static int set_up(void **state)
{
    (void)state;
    memset(settings, 0, sizeof settings);
    note_network[0] = '\0';
    for (size_t i = 0; i < plugin->option_count; i++) {
        struct bb_option option;
        plugin_option(plugin, i, &option);
        if (option.type != BB_SECRET)
            set_option(option.name, option.default_value);
    }
    set_option("network_name", "Factory Inc.");
    return 0;
}

static char *read_note(void *context, const char *key)
{
    (void)context;
    return strcmp(key, "network_id") == 0 && note_network[0] ? mem_strdup(note_network) : NULL;
}

static void run(struct call *call,
                enum bb_next (*entry)(const struct bb_host *, void *, const struct bb_in *, struct bb_out *),
                const char *operation, const char *body, const struct bb_response *response)
{
    const struct bb_message message = {.id = "0190-delivery",
                                       .order_id = "0190-order",
                                       .body = {body, body ? strlen(body) : 0},
                                       .topic = {"plant/l1/m7", 11},
                                       .received_ms = NOW_MS};
    *call = (struct call){0};
    job_init(&call->job, "mw", "mobility_work", body ? 1 : 0, NOW_MS);
    call->job.read_note = read_note;
    struct bb_in in = {.size = sizeof in,
                       .job = &call->job,
                       .operation = operation,
                       .messages = &message,
                       .message_size = sizeof message,
                       .message_count = body ? 1 : 0,
                       .response = response,
                       .state = &call->job.state,
                       .attempt = 1,
                       .now_ms = NOW_MS};
    call->out.size = sizeof call->out;
    call->next = entry(host_table(), settings, &in, &call->out);
    const char *wrong = job_review(&call->job, call->next, &call->out);
    if (wrong)
        fail_msg("%s", wrong);
    struct span sent = {call->out.request.body.data, call->out.request.body.len};
    call->request = sent.len > 0 ? json_parse(sent, NULL, NULL) : NULL;
    call->fields =
        call->out.error.rejected_fields ? json_parse(span_of(call->out.error.rejected_fields), NULL, NULL) : NULL;
}

static void finish(struct call *call)
{
    json_free(&call->request);
    json_free(&call->fields);
    job_finish(&call->job);
}

static void ask(struct call *call, const char *operation, const char *body)
{
    run(call, plugin->step, operation, body, NULL);
}

static void answer(struct call *call, const char *operation, const char *body, int status, const char *text)
{
    struct bb_response response = {.size = sizeof response, .status = status, .body = {text, strlen(text)}};
    run(call, plugin->step, operation, body, &response);
}

static void decode(struct call *call, const char *body)
{
    run(call, plugin->decode, NULL, body, NULL);
}

static const char *at(struct json_object *root, const char *pointer)
{
    bool found = false;
    struct json_object *value = json_pointer(root, pointer, &found);
    return found ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                 : "(absent)";
}

static bool has_field(const struct call *call, const char *pointer, const char *key)
{
    for (size_t i = 0; call->fields && i < json_object_array_length(call->fields); i++) {
        struct json_object *field = json_object_array_get_idx(call->fields, i);
        if (strcmp(json_get_text(field, "pointer"), pointer) == 0 && strcmp(json_get_text(field, "key"), key) == 0)
            return json_object_is_type(json_get(field, "parameters"), json_type_object);
    }
    return false;
}

static const char *check(struct bb_job *job, const char *operation, const char *body)
{
    job_init(job, "mw", "mobility_work", 0, NOW_MS);
    return plugin->check(host_table(), job, settings, operation, (struct bb_str){body, strlen(body)});
}

/* ---- task.schedule, MW-E08 -------------------------------------------------------*/

#define REST                                                                                         \
    "\"startDateTime\":\"2022-01-11T09:00:00+00:00\",\"endDateTime\":\"2022-01-11T10:00:00+00:00\"," \
    "\"assignees\":[3,\"john.doe@example.com\"]"
#define TASK_WITH(member) "{\"equipment\":9,\"description\":\"API Task creation\"," REST "," member "}"
#define TASK "{\"equipment\":9,\"description\":\"API Task creation\"," REST ",\"allDay\":false}"
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
    set_option("send_email_to_assignees", "true");
    set_option("inherit_equipment_tags", "true");
    expect_sent(TASK, "/sendEmailToAssignees", "true");
    expect_sent(TASK, "/inheritEquipmentTags", "true");
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

/* ---- answers, MW-C05, C07, C08, C20 -------------------------------------------------*/

/* MW-C05: 201 has no payload, or null. */
static void test_mobility_work_answer_201_is_done(void **state)
{
    (void)state;
    const char *const bodies[] = {"", "null", "{}", "not json"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call;
        answer(&call, "task.schedule", TASK, 201, bodies[i]);
        assert_int_equal(call.next, BB_DONE);
        assert_false(call.out.unconfirmed);
        assert_null(call.out.source_work_order_id);
        finish(&call);
    }
}

#define ERROR_BODY(code, global, properties)                                                             \
    "{\"http_status_code\":400,\"code\":\"" code "\",\"message\":\"The request payload is not valid.\"," \
    "\"extended_message\":{\"global_errors\":" global ",\"property_errors\":" properties "},\"more_info_url\":null}"

static void test_mobility_work_answer_400_tells_the_fields(void **state) /* MW-C20 */
{
    (void)state;
    struct call call;
    answer(&call, "task.schedule", TASK, 400,
           ERROR_BODY("400044", "[]",
                      "{\"/description\":[{\"messageKey\":\"error.payload.min_length\","
                      "\"parameters\":{\"min\":3,\"length\":1}},{\"messageKey\":\"error.payload.other\","
                      "\"parameters\":{}}]}"));
    assert_int_equal(call.next, BB_REJECT);
    assert_int_equal(call.out.error.error_class, BB_VALIDATION);
    assert_string_equal(call.out.error.code, "400044");
    assert_non_null(strstr(call.out.error.message, "The request payload is not valid."));
    assert_true(has_field(&call, "/description", "error.payload.min_length"));
    assert_true(has_field(&call, "/description", "error.payload.other"));
    assert_string_equal(at(call.fields, "/0/parameters"), "{\"min\":3,\"length\":1}");
    finish(&call);
}

static void test_mobility_work_answer_400_unknown_is_an_identity_error(void **state) /* FV-07d */
{
    (void)state;
    const struct {
        const char *body, *code;
    } cases[] = {
        {ERROR_BODY("400044", "[]",
                    "{\"/equipment\":[{\"messageKey\":\"error.payload.equipment.unknown\","
                    "\"parameters\":{\"type\":\"native\",\"value\":99999}}]}"),
         "unknown_equipment"},
        {ERROR_BODY("400044", "[]",
                    "{\"/description\":[{\"messageKey\":\"error.payload.min_length\",\"parameters\":{}}],"
                    "\"/assignees/0\":[{\"messageKey\":\"error.payload.assignees.unknown\",\"parameters\":{}}]}"),
         "unknown_assignees"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call;
        answer(&call, "task.schedule", TASK, 400, cases[i].body);
        assert_int_equal(call.next, BB_REJECT);
        assert_int_equal(call.out.error.error_class, BB_IDENTITY);
        assert_string_equal(call.out.error.code, cases[i].code);
        finish(&call);
    }
}

static void test_mobility_work_answer_bodies_of_any_shape_are_survived(void **state)
{
    (void)state;
    const char *const bodies[] = {
        "",
        "<html>Bad Request</html>",
        "null",
        "[]",
        "{\"extended_message\":7}",
        "{\"message\":[],\"code\":{},\"extended_message\":[]}",
        "{\"code\":\"a b\",\"extended_message\":{\"property_errors\":[]}}",
        "{\"extended_message\":{\"property_errors\":{\"/x\":{}},\"global_errors\":[null,7,{}]}}",
        "{\"extended_message\":{\"property_errors\":{\"/x\":[{\"messageKey\":\".unknown\"}]}}}"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call;
        answer(&call, "task.schedule", TASK, 400, bodies[i]);
        assert_int_equal(call.next, BB_REJECT);
        assert_int_equal(call.out.error.error_class, BB_VALIDATION);
        assert_string_equal(call.out.error.code, "http_400");
        finish(&call);
    }
}

static void test_mobility_work_answer_401_holds_the_target(void **state)
{
    (void)state;
    struct call call;
    answer(&call, "task.schedule", TASK, 401,
           "{\"http_status_code\":401,\"code\":\"401001\",\"message\":\"Authentication error\",\"extended_message\":"
           "{\"global_errors\":[{\"messageKey\":\"Invalid Api Key.\",\"parameters\":{}}],\"property_errors\":{}}}");
    assert_int_equal(call.next, BB_HOLD);
    assert_false(call.out.hold_operation);
    assert_int_equal(call.out.error.error_class, BB_AUTHENTICATION);
    assert_non_null(strstr(call.out.error.message, "Invalid Api Key."));
    assert_non_null(strstr(call.out.error.owner_action, "api_key"));
    finish(&call);
}

static void test_mobility_work_answer_403_holds_the_operation_and_hints_at_the_plan(void **state) /* MW-C07, P-U8 */
{
    (void)state;
    struct call call;
    answer(&call, "maintenance_plan.trigger", "{\"planId\":\"p1\"}", 403, "");
    assert_int_equal(call.next, BB_HOLD);
    assert_true(call.out.hold_operation);
    assert_int_equal(call.out.error.error_class, BB_AUTHORIZATION);
    assert_non_null(strstr(call.out.error.owner_action, "plan"));
    finish(&call);
}

static void test_mobility_work_answer_5xx_and_429_are_retried(void **state) /* MW-C08, U14 */
{
    (void)state;
    const int codes[] = {408, 429, 500, 502, 503, 504};
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct call call;
        answer(&call, "task.schedule", TASK, codes[i], "null");
        assert_int_equal(call.next, BB_RETRY);
        assert_int_equal(call.out.error.error_class, BB_PROVIDER_UNAVAILABLE);
        finish(&call);
    }
}

static void test_mobility_work_answer_redirect_holds(void **state) /* U22 */
{
    (void)state;
    struct call call;
    answer(&call, "task.schedule", TASK, 302, "");
    assert_int_equal(call.next, BB_HOLD);
    finish(&call);
}

/* ---- maintenance_plan.trigger, MW-P01 .. P09, P30 -----------------------------------*/

/* MW-P02, P03: the plan's id is all that is said. */
static void test_mobility_work_plan_sends_the_template(void **state)
{
    (void)state;
    const struct {
        const char *body, *path;
    } cases[] = {
        {"{\"planId\":\"PLAN-1\"}", "/partners/v1/maintenance-plans/PLAN-1/trigger"},
        {"{\"planId\":4711}", "/partners/v1/maintenance-plans/4711/trigger"},
        {"{\"planId\":\"17df9a0f-5c04-43c8-b010-b48e1237e6ff\"}",
         "/partners/v1/maintenance-plans/17df9a0f-5c04-43c8-b010-b48e1237e6ff/trigger"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call;
        ask(&call, "maintenance_plan.trigger", cases[i].body);
        assert_int_equal(call.next, BB_SEND);
        assert_string_equal(call.out.request.method, "POST");
        assert_string_equal(call.out.request.path, cases[i].path);
        assert_string_equal(call.out.request.body.data, "{}");
        finish(&call);
    }
}

/* Section 4, statement 8. */
static void test_mobility_work_plan_refuses_unsafe_ids(void **state)
{
    (void)state;
    const char *const bodies[] = {"{\"planId\":\"a/b\"}",
                                  "{\"planId\":\"..\"}",
                                  "{\"planId\":\"a.b\"}",
                                  "{\"planId\":\"a%2Fb\"}",
                                  "{\"planId\":\"a?b\"}",
                                  "{\"planId\":\"a b\"}",
                                  "{\"planId\":\"\xc3\xa9\"}",
                                  "{\"planId\":\"a\\u0000b\"}",
                                  "{\"planId\":\"\"}",
                                  "{\"planId\":null}",
                                  "{\"planId\":1.5}",
                                  "{\"planId\":[\"a\"]}",
                                  "{\"planId\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
                                  "{}"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call;
        ask(&call, "maintenance_plan.trigger", bodies[i]);
        assert_int_equal(call.next, BB_REJECT);
        assert_int_equal(call.out.error.error_class, BB_VALIDATION);
        assert_true(has_field(&call, "/planId", "plan_id") || has_field(&call, "/planId", "required"));
        finish(&call);
    }
}

static void test_mobility_work_plan_names_unknown_members(void **state)
{
    (void)state;
    struct call call;
    ask(&call, "maintenance_plan.trigger", "{\"plan_id\":\"a\"}");
    assert_int_equal(call.next, BB_REJECT);
    assert_true(has_field(&call, "/plan_id", "unknown_member"));
    assert_non_null(strstr(call.out.error.message, "did you mean planId?"));
    finish(&call);
}

static void test_mobility_work_plan_template_is_ours_to_change(void **state)
{
    (void)state;
    set_option("plan_path", "/partners/v2/plans/run?plan={planId}");
    set_option("plan_method", "PUT");
    set_option("plan_body",
               "{\"plan\":\"{planId}\",\"note\":\"{topic} at {time}: {id} {orderId} {else}\",\"n\":[1,true,null]}");
    struct call call;
    ask(&call, "maintenance_plan.trigger", "{\"planId\":\"P1\"}");
    assert_int_equal(call.next, BB_SEND);
    assert_string_equal(call.out.request.method, "PUT");
    assert_string_equal(call.out.request.path, "/partners/v2/plans/run?plan=P1");
    assert_string_equal(call.out.request.body.data,
                        "{\"plan\":\"P1\",\"note\":\"plant/l1/m7 at 2023-11-14T22:13:20Z: 0190-delivery 0190-order "
                        "{else}\",\"n\":[1,true,null]}");
    finish(&call);
}

static void test_mobility_work_plan_get_has_no_body(void **state)
{
    (void)state;
    set_option("plan_method", "GET");
    struct call call;
    ask(&call, "maintenance_plan.trigger", "{\"planId\":\"P1\"}");
    assert_string_equal(call.out.request.method, "GET");
    assert_int_equal(call.out.request.body.len, 0);
    finish(&call);
}

static void test_mobility_work_plan_success_codes_and_task_id(void **state)
{
    (void)state;
    const struct {
        int status;
        const char *body, *task_id;
    } cases[] = {
        {200, "{\"taskId\":\"32828f62\"}", "32828f62"},
        {201, "{\"id\":\"32828f62\"}", "32828f62"},
        {201, "null", NULL},
        {202, "null", NULL},
        {204, "", NULL},
        {200, "{\"id\":7}", NULL},
        {200, "<html>", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call;
        answer(&call, "maintenance_plan.trigger", "{\"planId\":\"P1\"}", cases[i].status, cases[i].body);
        assert_int_equal(call.next, BB_DONE);
        assert_int_equal(call.out.unconfirmed, cases[i].status == 202);
        if (cases[i].task_id)
            assert_string_equal(call.out.source_work_order_id, cases[i].task_id);
        else
            assert_null(call.out.source_work_order_id);
        finish(&call);
    }
}

/* Section 4, statement 5: no retry, a dead letter with the plan's id. */
static void test_mobility_work_plan_404_and_400_are_an_unknown_plan(void **state)
{
    (void)state;
    const int codes[] = {400, 404};
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct call call;
        answer(&call, "maintenance_plan.trigger", "{\"planId\":\"PLAN-9\"}", codes[i], "");
        assert_int_equal(call.next, BB_REJECT);
        assert_int_equal(call.out.error.error_class, BB_IDENTITY);
        assert_string_equal(call.out.error.code, "unknown_plan");
        assert_non_null(strstr(call.out.error.message, "unknown plan id PLAN-9"));
        finish(&call);
    }
}

static void test_mobility_work_plan_503_is_retried(void **state)
{
    (void)state;
    struct call call;
    answer(&call, "maintenance_plan.trigger", "{\"planId\":\"P1\"}", 503, "");
    assert_int_equal(call.next, BB_RETRY);
    finish(&call);
}

/* P21, P22, P26: what keeps a plan from flooding comes with the operation. */
static void test_mobility_work_plan_descriptor_bounds_the_flood(void **state)
{
    (void)state;
    struct bb_operation operation;
    assert_true(plugin_find_operation(plugin, "maintenance_plan.trigger", &operation));
    assert_int_equal(operation.flags, BB_WRITES | BB_CREATES | BB_UNVERIFIED | BB_PARK);
    assert_int_equal(operation.default_cooldown_ms, 3600000);
    assert_string_equal(operation.default_budget, "24/1d");
    assert_string_equal(operation.budget_pointer, "/planId");
}

static void test_mobility_work_plan_options_are_checked_at_open(void **state)
{
    (void)state;
    const struct {
        const char *option, *value;
    } wrong[] = {
        {"plan_path", "partners/{planId}"},
        {"plan_path", "/partners/run"},
        {"plan_path", "/a/../{planId}"},
        {"plan_path", "/a b/{planId}"},
        {"plan_path", "/{planId}#x"},
        {"plan_method", "DELETE"},
        {"plan_method", "post"},
        {"plan_body", "{"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        set_up(NULL);
        set_option(wrong[i].option, wrong[i].value);
        struct bb_job job;
        void *self = NULL;
        const char *error = NULL;
        job_init(&job, "mw", "mobility_work", 0, NOW_MS);
        assert_int_equal(plugin->open(host_table(), &job, settings, &self, &error), -1);
        assert_int_equal(strncmp(error, wrong[i].option, strlen(wrong[i].option)), 0);
        job_finish(&job);
    }
}

static void test_mobility_work_opens_with_its_defaults(void **state)
{
    (void)state;
    struct bb_job job;
    void *self = NULL;
    const char *error = NULL;
    job_init(&job, "mw", "mobility_work", 0, NOW_MS);
    assert_int_equal(plugin->open(host_table(), &job, settings, &self, &error), 0);
    assert_ptr_equal(self, settings);
    job_finish(&job);
}

/* ---- check: a template before anything runs ----------------------------------------------*/

static void test_mobility_work_check_takes_placeholders_for_granted(void **state)
{
    (void)state;
    const char *const good[] = {
        "{\"equipment\":{\"type\":\"external\",\"value\":null},\"description\":null,\"startDateTime\":null,"
        "\"endDateTime\":null,\"allDay\":false,\"assignees\":[\"a@b.c\",null]}",
        "{\"equipment\":null,\"description\":\"abc\",\"startDateTime\":null,\"endDateTime\":null,\"assignees\":null,"
        "\"metadata\":{\"line\":null}}",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct bb_job job;
        const char *wrong = check(&job, "task.schedule", good[i]);
        if (wrong)
            fail_msg("%s", wrong);
        job_finish(&job);
    }
}

static void test_mobility_work_check_finds_what_no_value_can_heal(void **state)
{
    (void)state;
    const struct {
        const char *operation, *body, *word;
    } cases[] = {
        {"task.schedule", "{\"equipment\":null,\"description\":null,\"startDateTime\":null,\"endDateTime\":null}",
         "/assignees is required"},
        {"task.schedule",
         "{\"equipment\":null,\"desciption\":null,\"description\":null,\"startDateTime\":null,\"endDateTime\":null,"
         "\"assignees\":null}",
         "did you mean description?"},
        {"task.schedule",
         "{\"equipment\":{\"type\":\"nativ\",\"value\":1},\"description\":null,\"startDateTime\":null,"
         "\"endDateTime\":null,\"assignees\":null}",
         "/equipment/type"},
        {"task.schedule", "[]", "must be a JSON object"},
        {"maintenance_plan.trigger", "{\"planId\":\"a/b\"}", "/planId"},
        {"maintenance_plan.trigger", "{}", "/planId is required"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bb_job job;
        const char *wrong = check(&job, cases[i].operation, cases[i].body);
        assert_non_null(wrong);
        assert_non_null(strstr(wrong, cases[i].word));
        job_finish(&job);
    }
    struct bb_job job;
    assert_null(check(&job, "maintenance_plan.trigger", "{\"planId\":null}"));
    job_finish(&job);
}

/* ---- network.settings, MW-E09 ------------------------------------------------------------- */

static const char *note_of(const struct call *call, const char *key)
{
    for (size_t i = 0; i < call->job.note_count; i++)
        if (strcmp(call->job.notes[i].key, key) == 0)
            return call->job.notes[i].value;
    return NULL;
}

static void test_mobility_work_settings_are_asked_at_start(void **state)
{
    (void)state;
    struct call call;
    struct bb_operation operation;
    assert_true(plugin_find_operation(plugin, "network.settings", &operation));
    assert_int_equal(operation.flags, BB_IDEMPOTENT | BB_AT_START);
    ask(&call, "network.settings", NULL);
    assert_int_equal(call.next, BB_SEND);
    assert_string_equal(call.out.request.method, "GET");
    assert_string_equal(call.out.request.path, "/partners/v1/network/settings");
    assert_int_equal(call.out.request.body.len, 0);
    finish(&call);
}

static void test_mobility_work_settings_are_remembered(void **state)
{
    (void)state;
    struct call call;
    answer(&call, "network.settings", NULL, 200,
           "{\"networkId\":\"" NETWORK "\",\"legacyNetworkId\":686,\"name\":\"Factory Inc.\","
           "\"timezone\":\"Europe/Paris\",\"currency\":\"EUR\"}");
    assert_int_equal(call.next, BB_DONE);
    assert_string_equal(note_of(&call, "network_id"), NETWORK);
    assert_string_equal(note_of(&call, "currency"), "EUR");
    assert_string_equal(note_of(&call, "timezone"), "Europe/Paris");
    finish(&call);
}

static void test_mobility_work_settings_of_any_shape_prove_the_key(void **state)
{
    (void)state;
    const char *const bodies[] = {"", "null", "[]", "{\"networkId\":7}"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call;
        answer(&call, "network.settings", NULL, 200, bodies[i]);
        assert_int_equal(call.next, BB_DONE);
        assert_null(note_of(&call, "network_id"));
        finish(&call);
    }
    struct call call;
    answer(&call, "network.settings", NULL, 401, "");
    assert_int_equal(call.next, BB_HOLD);
    finish(&call);
}

/* ---- webhooks, MW-W00 .. W11, W90 ------------------------------------------------------------ */

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

static void test_mobility_work_hook_required_members_are_asked_for(void **state)
{
    (void)state;
    const struct {
        const char *body, *pointers[4];
    } cases[] = {
        {"{\"_event\":\"TaskWasCompleted\"}", {"/id", "/doneAt", "/initiator", "/metadata"}},
        {"{\"_event\":\"TaskWasScheduled\"}", {"/taskId", "/scheduled", "/associatedTo"}},
        {"{\"_event\":\"TaskWasCanceled\"}", {"/taskId", "/canceled", "/associatedTo"}},
        {"{\"_event\":\"TaskWasStarted\"}", {"/taskId", "/started", "/associatedTo"}},
        {"{\"_event\":\"ActivityWasAddedOnTask\"}", {"/_metadata", "/task", "/equipment", "/activity"}},
        {"{\"_event\":\"SparePartWasOutOfStock\"}", {"/stock", "/sparePart", "/movement"}},
        {"{\"_event\":\"SparePartStockWasUnderMinThresholdPayload\"}", {"/stock", "/sparePart", "/movement"}},
        {"{\"_event\":\"SparePartWasManuallyRecounted\"}", {"/sparePart", "/location", "/initiator", "/recounted"}},
        {"{\"_event\":\"SparePartWasRestocked\"}", {"/sparePart", "/location", "/initiator", "/restocked"}},
        {"{\"_event\":\"SparePartWasConsumed\"}", {"/sparePart", "/location", "/initiator", "/consumed"}},
        {"{\"_event\":\"SparePartConsumptionWasCanceled\"}", {"/task", "/sparePart", "/activity"}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call;
        decode(&call, cases[i].body);
        assert_int_equal(call.next, BB_REJECT);
        assert_int_equal(call.out.error.error_class, BB_VALIDATION);
        assert_string_equal(call.out.error.code, "invalid_webhook");
        assert_int_equal(call.job.event_count, 0);
        for (size_t j = 0; j < COUNT(cases[i].pointers) && cases[i].pointers[j]; j++)
            assert_true(has_field(&call, cases[i].pointers[j], "required"));
        finish(&call);
    }
    struct call call;
    decode(&call, "{\"_event\":\"TaskWasStarted\",\"taskId\":7,\"started\":[],\"associatedTo\":\"x\"}");
    assert_true(has_field(&call, "/taskId", "type"));
    assert_true(has_field(&call, "/associatedTo", "type"));
    assert_false(has_field(&call, "/started", "type")); /* an empty object may come as [] */
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

/* ---- the descriptor ---------------------------------------------------------------------------- */

static void test_mobility_work_descriptor(void **state)
{
    (void)state;
    assert_string_equal(plugin->default_url, "https://api.mobility-work.com"); /* MW-C01 */
    assert_int_equal(plugin->auth.scheme, BB_AUTH_HEADER);
    assert_string_equal(plugin->auth.header, "Api-Key"); /* MW-C02 */
    assert_string_equal(plugin->auth.secret_option, "api_key");
    assert_string_equal(plugin->user_agent_option, "network_name"); /* MW-C04 */
    const struct bb_signature *signature = &plugin->hook.signature;
    assert_string_equal(signature->header, "X-MW-Signature");               /* MW-S01 */
    assert_string_equal(signature->signed_string, "{time}.{nonce}.{body}"); /* MW-S03 */
    assert_int_equal(signature->tolerance_ms, 300000);                      /* MW-S06, U2 */
    struct bb_operation operation;
    assert_true(plugin_find_operation(plugin, "task.schedule", &operation));
    assert_int_equal(operation.flags, BB_WRITES | BB_CREATES);
}

#define TEST(name) cmocka_unit_test_setup(test_mobility_work_##name, set_up)

int main(void)
{
    char *error = NULL;
    const struct loaded_plugin *loaded = loader_load("mobility_work", &error);
    if (!loaded) {
        print_error("%s\n", error);
        free(error);
        return 1;
    }
    plugin = &loaded->descriptor;
    assert_true(plugin->config_size <= sizeof settings);
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
        TEST(answer_201_is_done),
        TEST(answer_400_tells_the_fields),
        TEST(answer_400_unknown_is_an_identity_error),
        TEST(answer_bodies_of_any_shape_are_survived),
        TEST(answer_401_holds_the_target),
        TEST(answer_403_holds_the_operation_and_hints_at_the_plan),
        TEST(answer_5xx_and_429_are_retried),
        TEST(answer_redirect_holds),
        TEST(plan_sends_the_template),
        TEST(plan_refuses_unsafe_ids),
        TEST(plan_names_unknown_members),
        TEST(plan_template_is_ours_to_change),
        TEST(plan_get_has_no_body),
        TEST(plan_success_codes_and_task_id),
        TEST(plan_404_and_400_are_an_unknown_plan),
        TEST(plan_503_is_retried),
        TEST(plan_descriptor_bounds_the_flood),
        TEST(plan_options_are_checked_at_open),
        TEST(opens_with_its_defaults),
        TEST(check_takes_placeholders_for_granted),
        TEST(check_finds_what_no_value_can_heal),
        TEST(settings_are_asked_at_start),
        TEST(settings_are_remembered),
        TEST(settings_of_any_shape_prove_the_key),
        TEST(hook_task_events),
        TEST(hook_activity_is_about_an_order_when_the_task_says_which),
        TEST(hook_activity_metadata_is_of_any_type),
        TEST(hook_spare_part_events),
        TEST(hook_carries_our_marks_back),
        TEST(hook_ignores_marks_that_are_none),
        TEST(hook_time_of_completion),
        TEST(hook_id_is_stable_over_redeliveries),
        TEST(hook_unknown_events_and_members_pass),
        TEST(hook_required_members_are_asked_for),
        TEST(hook_of_another_network_is_refused),
        TEST(hook_refuses_what_is_no_webhook),
        TEST(descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
