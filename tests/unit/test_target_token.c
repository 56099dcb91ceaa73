/* SPDX-License-Identifier: Apache-2.0 */
/* OAuth2 client credentials: what is asked for, what is kept, and for how long. */
#include "target_fixture.h"

#define TOKEN "{\"access_token\":\"t0ken-1\",\"token_type\":\"Bearer\",\"expires_in\":3600}"

static int token_setup(void **state)
{
    const struct config_auth auth = {.kind = AUTH_OAUTH2,
                                     .oauth2 = {.token_url = TEXT("https://id.example/token"),
                                                .client_id = TEXT("bus bar"),
                                                .client_secret = TEXT("s3cret:of/ours"),
                                                .scope = TEXT("orders write")}};
    int rc = setup(state);
    own_auth(auth);
    return rc;
}

static bool take(int status, const char *body, int64_t now_ms)
{
    const char *why = NULL;
    bool taken = target_take_token(f.target, status, span_of(body), now_ms, &why);
    assert_int_equal(taken, why == NULL);
    return taken;
}

static void ask_target(void)
{
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/things"}), 0);
}

/* RFC 6749, 2.3.1: id and secret are form-encoded before they are paired. */
static void test_target_token_asks_with_basic(void **state)
{
    (void)state;
    created();
    target_ask_token(f.target, f.job.arena, &f.request);
    assert_string_equal(f.request.method, "POST");
    assert_string_equal(f.request.url, "https://id.example/token");
    assert_true(span_is(f.request.body, "grant_type=client_credentials&scope=orders%20write"));
    assert_true(span_is(sent_header("Authorization")->value, "Basic YnVzJTIwYmFyOnMzY3JldCUzQW9mJTJGb3Vycw=="));
    assert_true(span_is(sent_header("Content-Type")->value, "application/x-www-form-urlencoded"));
}

static void test_target_token_asks_in_the_body(void **state)
{
    (void)state;
    f.config.auth.oauth2.client_auth = OAUTH2_POST;
    f.config.auth.oauth2.scope = NULL;
    f.config.auth.oauth2.audience = TEXT("https://api");
    created();
    target_ask_token(f.target, f.job.arena, &f.request);
    assert_true(span_is(f.request.body, "grant_type=client_credentials&audience=https%3A%2F%2Fapi&client_id=bus%20bar&"
                                        "client_secret=s3cret%3Aof%2Fours"));
    assert_null(sent_header("Authorization"));
}

static void test_target_token_is_kept_until_half_a_minute_before_its_end(void **state)
{
    (void)state;
    created();
    assert_false(target_has_token(f.target, 0));
    assert_true(take(200, TOKEN, 1000));
    assert_true(target_has_token(f.target, 1000 + 3600000 - 30001));
    assert_false(target_has_token(f.target, 1000 + 3600000 - 30000));
    ask_target();
    assert_true(span_is(sent_header("Authorization")->value, "Bearer t0ken-1"));
}

/* One of ten seconds is good for five, and one without an end for a while. */
static void test_target_token_of_short_life(void **state)
{
    (void)state;
    created();
    assert_true(take(200, "{\"access_token\":\"a\",\"expires_in\":\"10\"}", 0));
    assert_true(target_has_token(f.target, 4999));
    assert_false(target_has_token(f.target, 5000));
    assert_true(take(200, "{\"access_token\":\"a\"}", 0));
    assert_true(target_has_token(f.target, 269999));
    assert_false(target_has_token(f.target, 270000));
}

static void test_target_token_takes_no_nonsense(void **state)
{
    (void)state;
    static const char *const bodies[] = {"",
                                         "<html>",
                                         "[]",
                                         "null",
                                         "{\"access_token\":\"\"}",
                                         "{\"access_token\":7}",
                                         "{\"access_token\":\"a b\"}",
                                         "{\"access_token\":\"a\\r\\nX: y\"}",
                                         "{\"access_token\":\"a\\u0000b\"}",
                                         "{\"access_token\":\"a\",\"token_type\":\"mac\"}",
                                         "{\"access_token\":\"a\",\"token_type\":null,\"x\":1"};
    created();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (take(200, bodies[i], 0))
            fail_msg("taken: %s", bodies[i]);
    assert_false(take(401, TOKEN, 0));
    assert_false(take(503, TOKEN, 0));
    assert_false(target_has_token(f.target, 0));
}

/* Two attempts that were refused with the same one ask for one new. */
static void test_target_token_that_is_refused_is_replaced_once(void **state)
{
    (void)state;
    created();
    assert_int_equal(target_token_number(f.target), 0);
    assert_true(take(200, TOKEN, 0));
    const int first = target_token_number(f.target);
    target_refuse_token(f.target, first);
    assert_false(target_has_token(f.target, 0));
    assert_true(take(200, "{\"access_token\":\"t0ken-2\",\"expires_in\":3600}", 0));
    target_refuse_token(f.target, first);
    assert_true(target_has_token(f.target, 0));
    assert_int_not_equal(target_token_number(f.target), first);
}

static void test_target_token_is_never_shown(void **state)
{
    (void)state;
    created();
    assert_true(take(200, TOKEN, 0));
    assert_true(take(200, "{\"access_token\":\"t0ken-2\"}", 0));
    struct buf text cleanup_buf = {0};
    ask_target();
    target_request_print(&f.request, f.target, &text, 8192);
    assert_non_null(strstr(text.data, "Authorization: ***"));
    target_scrub(f.target,
                 SPAN("t0ken-1 t0ken-2 s3cret:of/ours s3cret%3Aof%2fours s3cret:of\\/ours "
                      "YnVzJTIwYmFyOnMzY3JldCUzQW9mJTJGb3Vycw== YnVzJTIwYmFyOnMzY3JldCUzQW9mJTJGb3Vycw"),
                 &text, 8192);
    assert_null(strstr(text.data, "t0ken"));
    assert_null(strstr(text.data, "s3cret"));
    assert_null(strstr(text.data, "YnVz"));
}

static void test_target_token_url_is_https_or_this_machine(void **state)
{
    (void)state;
    f.config.auth.oauth2.token_url = TEXT("http://id.example/token");
    refused("token_url of target t: a url starts with https://");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_target_token_asks_with_basic),
        TEST(test_target_token_asks_in_the_body),
        TEST(test_target_token_is_kept_until_half_a_minute_before_its_end),
        TEST(test_target_token_of_short_life),
        TEST(test_target_token_takes_no_nonsense),
        TEST(test_target_token_that_is_refused_is_replaced_once),
        TEST(test_target_token_is_never_shown),
        TEST(test_target_token_url_is_https_or_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
