/* SPDX-License-Identifier: Apache-2.0 */
/* The mobility_work plugin: its descriptor, settings, plans, and what it makes of answers. */
#include "mobility_work.h"

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
    assert_int_equal(operation.flags, BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_REPEAT_5XX);
}

/* ---- answers, MW-C05, C07, C08, C20 ---------------------------------------------- */

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

/* ---- maintenance_plan.trigger, MW-P01 .. P09, P30 -------------------------------- */

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

/* MW-P02, MW-P30, section 4, statement 8: one safe path segment. */
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
        {200, "not json", NULL},
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
    assert_int_equal(operation.flags, BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_UNVERIFIED | BB_PARK | BB_REPEAT_5XX);
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

/* ---- check: a template before anything runs -------------------------------------- */

static const char *check(struct bb_job *job, const char *operation, const char *body)
{
    job_init(job, "mw", "mobility_work", 0, NOW_MS);
    return plugin->check(host_table(), job, settings, operation, (struct bb_str){body, strlen(body)});
}

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

/* ---- network.settings, MW-E09 ---------------------------------------------------- */

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

int main(void)
{
    if (!load_plugin())
        return 1;
    const struct CMUnitTest tests[] = {
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
        TEST(descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
