/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials of a target: how they go with a request, and that nobody sees them. */
#include "target_fixture.h"

/* ---- the plugin's secret */

static void test_target_wants_the_secret(void **state)
{
    (void)state;
    f.options[0].text = TEXT("");
    refused("option api_key of target t is empty");
}

static void test_target_never_prints_a_secret(void **state)
{
    (void)state;
    f.options[0].text = TEXT("line\nbreak-secret");
    refused("which no header may hold");
    struct buf text cleanup_buf = {0};
    problems_print(&f.problems, &text);
    assert_null(strstr(text.data, "break-secret"));
}

static void test_target_keeps_the_secret_from_the_plugin(void **state) /* MW-C02 */
{
    (void)state;
    created();
    const char *bytes = f.target->plugin_config;
    for (size_t i = 0; i + sizeof(char *) <= sizeof(struct good_config); i += sizeof(char *)) {
        const char *pointer;
        memcpy(&pointer, bytes + i, sizeof pointer);
        assert_ptr_not_equal(pointer, f.target->auth_value);
        assert_ptr_not_equal(pointer, f.options[0].text);
    }
}

static void auth_is(struct bb_auth auth, const char *value)
{
    struct loaded_plugin copy = copy_of_good();
    copy.descriptor.auth = auth;
    const struct loaded_plugin *good = f.plugin;
    f.plugin = &copy;
    created();
    f.plugin = good;
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/"}), 0);
    assert_true(span_is(sent_header("Authorization")->value, value));
    target_destroy(f.target);
    f.target = NULL;
}

static void test_target_authenticates_with_bearer(void **state)
{
    (void)state;
    auth_is((struct bb_auth){BB_AUTH_BEARER, NULL, "api_key", NULL}, "Bearer s3cret-key");
}

static void test_target_authenticates_with_basic(void **state)
{
    (void)state;
    auth_is((struct bb_auth){BB_AUTH_BASIC, NULL, "api_key", "site"}, "Basic RmFjdG9yeSBJbmMuOnMzY3JldC1rZXk=");
}

/* ---- the target's own auth */

static void own_auth_is(struct config_auth auth, const char *name, const char *value)
{
    own_auth(auth);
    created();
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/"}), 0);
    assert_null(sent_header("Api-Key"));
    if (name)
        assert_true(span_is(sent_header(name)->value, value));
    else
        assert_int_equal(f.request.header_count, 0);
}

static void test_target_own_bearer(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_BEARER, .bearer = TEXT("t0ken")}, "Authorization", "Bearer t0ken");
}

static void test_target_own_basic(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_BASIC, .basic = {TEXT("user"), TEXT("pass")}}, "Authorization",
                "Basic dXNlcjpwYXNz");
}

static void test_target_own_header(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_HEADER, .header = {TEXT("X-Api-Key"), TEXT("k3y-of-ours")}},
                "X-Api-Key", "k3y-of-ours");
    header_refused("x-api-key", (struct bb_str){"x", 1}, "the core's");
    const struct bb_str body = {"k3y-of-ours", 11};
    assert_int_equal(ask((struct bb_request){.method = "POST", .path = "/", .body = body}), 0);
    struct buf text cleanup_buf = {0};
    target_request_print(&f.request, f.target, &text, 8192);
    assert_null(strstr(text.data, "k3y"));
    assert_non_null(strstr(text.data, "X-Api-Key: ***"));
}

static void test_target_own_header_hides_what_is_behind_its_scheme(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_HEADER, .header = {TEXT("Authorization"), TEXT("token k3y:s3cret")}},
                "Authorization", "token k3y:s3cret");
    struct buf text cleanup_buf = {0};
    target_scrub(f.target, SPAN("you sent k3y:s3cret"), &text, 100);
    assert_string_equal(text.data, "you sent ***");
}

static void test_target_own_auth_may_be_none(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_NONE}, NULL, NULL);
}

static void test_target_refuses_auth_beside_the_plugin_s_secret(void **state)
{
    (void)state;
    f.config.auth = (struct config_auth){.kind = AUTH_BEARER, .bearer = TEXT("t0ken")};
    refused("target t has auth and the option api_key: one of them is the credential");
}

/* ---- nobody sees them */

static void test_target_prints_requests_without_the_secret(void **state)
{
    (void)state;
    created();
    const char body[] = "{\"leak\":\"s3cret-key\"}";
    assert_int_equal(ask((struct bb_request){.method = "POST", .path = "/x", .body = {body, sizeof body - 1}}), 0);
    struct buf text cleanup_buf = {0};
    target_request_print(&f.request, f.target, &text, 8192);
    assert_string_equal(text.data, "POST https://good.example/base/x\nApi-Key: ***\nContent-Type: application/json\n"
                                   "User-Agent: busbar/" BUSBAR_VERSION " Factory Inc.\n\n{\"leak\":\"***\"}");
}

static void test_target_prints_no_short_secret(void **state)
{
    (void)state;
    f.options[0].text = TEXT("abc");
    created();
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/abc"}), 0);
    struct buf text cleanup_buf = {0};
    target_request_print(&f.request, f.target, &text, 8192);
    assert_non_null(strstr(text.data, "Api-Key: ***\n"));
    assert_non_null(strstr(text.data, "/abc\n"));
}

static void test_target_hides_a_secret_however_it_is_spelled(void **state)
{
    (void)state;
    f.options[0].text = TEXT("ab/c\"d\\e");
    created();
    struct buf text cleanup_buf = {0};
    target_scrub(f.target, SPAN("as it is: ab/c\"d\\e."), &text, 8192);
    assert_string_equal(text.data, "as it is: ***.");
    buf_clear(&text);
    target_scrub(f.target, SPAN("{\"a\":\"ab\\/c\\\"d\\\\e\",\"b\":\"ab/c\\\"d\\\\e\"}"), &text, 8192);
    assert_string_equal(text.data, "{\"a\":\"***\",\"b\":\"***\"}");
    buf_clear(&text);
    target_scrub(f.target, SPAN("\\u0061b\\u002fc\\u0022d\\u005ce, ?k=ab%2Fc%22d%5ce&twice=ab%252Fc%2522d%255Ce"),
                 &text, 8192);
    assert_string_equal(text.data, "***, ?k=***&twice=***");
    buf_clear(&text);
    target_scrub(f.target, SPAN("ab/c\"d\\ ab\\/c ab"), &text, 8192); /* begins like it */
    assert_string_equal(text.data, "ab/c\"d\\ ab\\/c ab");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_target_wants_the_secret),
        TEST(test_target_never_prints_a_secret),
        TEST(test_target_keeps_the_secret_from_the_plugin),
        TEST(test_target_authenticates_with_bearer),
        TEST(test_target_authenticates_with_basic),
        TEST(test_target_own_bearer),
        TEST(test_target_own_basic),
        TEST(test_target_own_header),
        TEST(test_target_own_header_hides_what_is_behind_its_scheme),
        TEST(test_target_own_auth_may_be_none),
        TEST(test_target_refuses_auth_beside_the_plugin_s_secret),
        TEST(test_target_prints_requests_without_the_secret),
        TEST(test_target_prints_no_short_secret),
        TEST(test_target_hides_a_secret_however_it_is_spelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
