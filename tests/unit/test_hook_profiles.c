/* SPDX-License-Identifier: Apache-2.0 */
/* The signature profiles that a target may say over its plugin's, against the vectors that are published for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "hook.h"

static const struct bb_hook by_test = {.event_pointer = "/test"}; /* the vectors name no event: a number is none */
static const struct bb_hook by_type = {.event_pointer = "/type"};

/* standardwebhooks.com */
#define SW_KEY "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SW_SECRET "whsec_" SW_KEY
#define SW_ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define SW_TIME "1614265330"
#define SW_MS (INT64_C(1614265330) * 1000)
#define SW_BODY "{\"test\": 2432232314}"
#define SW_SIGN "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
/* docs.github.com, validating webhook deliveries */
#define GH_SECRET "It's a Secret to Everybody"
#define GH_BODY "Hello, World!"
#define GH_SIGN "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

static struct hook_secret one = {NULL, NULL};

static struct hook_rules rules_of(const struct bb_hook *hook, const struct config_signature *own, const char *secret)
{
    one.secret = secret;
    const struct hook_profile profile = hook_profile_of(own, &hook->signature);
    return (struct hook_rules){
        .hook = hook, .profile = profile, .secrets = &one, .secret_count = 1, .tolerance_ms = profile.tolerance_ms};
}

static struct hook_request request_of(const char *body, const char *sign, const char *time, const char *id)
{
    return (struct hook_request){.body = span_of(body),
                                 .signature = {sign, sign ? 1 : 0},
                                 .time = {time, time ? 1 : 0},
                                 .id = {id, id ? 1 : 0},
                                 .now_ms = SW_MS};
}

static void expect(const struct hook_rules *rules, struct hook_request request, const char *outcome)
{
    struct hook_result result;
    hook_verify(rules, &request, &result);
    assert_string_equal(result.outcome, outcome);
    assert_int_equal(result.status, strcmp(outcome, "accepted") == 0                                       ? 200
                                    : strcmp(outcome, "no_event") == 0 || strcmp(outcome, "bad_json") == 0 ? 400
                                                                                                           : 401);
    hook_result_finish(&result);
}

/* ---- Standard Webhooks */

static struct hook_rules standard(const char *secret)
{
    return rules_of(&by_test, &(struct config_signature){.profile = SIGNATURE_STANDARD_WEBHOOKS}, secret);
}

/* Its body is no event of ours: it is the signature that was good, else the answer was 401. */
static void test_hook_profiles_standard_webhooks_vector(void **state)
{
    (void)state;
    const struct hook_rules rules = standard(SW_SECRET);
    expect(&rules, request_of(SW_BODY, SW_SIGN, SW_TIME, SW_ID), "no_event");
    const struct hook_rules bare = standard(SW_KEY);
    expect(&bare, request_of(SW_BODY, SW_SIGN, SW_TIME, SW_ID), "no_event");
}

static void test_hook_profiles_standard_webhooks_refuses_what_was_changed(void **state)
{
    (void)state;
    const struct hook_rules rules = standard(SW_SECRET);
    expect(&rules, request_of("{\"test\": 2432232315}", SW_SIGN, SW_TIME, SW_ID), "bad_signature");
    expect(&rules, request_of(SW_BODY, SW_SIGN, "1614265331", SW_ID), "bad_signature");
    expect(&rules, request_of(SW_BODY, SW_SIGN, SW_TIME, "msg_p5jXN8AQM9LWM0D4loKWxJel"), "bad_signature");
    expect(&rules, request_of(SW_BODY, SW_SIGN, SW_TIME, NULL), "malformed_signature");
    expect(&rules, request_of(SW_BODY, SW_SIGN, NULL, SW_ID), "malformed_signature");
    expect(&rules, request_of(SW_BODY, "v1,g0hM9SsE", SW_TIME, SW_ID), "malformed_signature");
    expect(&rules, request_of(SW_BODY, &SW_SIGN[3], SW_TIME, SW_ID), "malformed_signature");
    const struct hook_rules other = standard("whsec_AAAAr8GKYqrTwjUPD8ILPZIo2LaLaSwA");
    expect(&other, request_of(SW_BODY, SW_SIGN, SW_TIME, SW_ID), "bad_signature");
}

static void test_hook_profiles_standard_webhooks_takes_one_of_several(void **state)
{
    (void)state;
    const struct hook_rules rules = standard(SW_SECRET);
    expect(&rules,
           request_of(SW_BODY,
                      "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= " SW_SIGN,
                      SW_TIME, SW_ID),
           "no_event");
    expect(&rules, request_of(SW_BODY, "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw", SW_TIME, SW_ID), "malformed_signature");
    char many[1024] = "";
    for (int i = 0; i < 17; i++)
        strcat(many, "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ");
    expect(&rules, request_of(SW_BODY, many, SW_TIME, SW_ID), "malformed_signature");
}

static void test_hook_profiles_standard_webhooks_rotates_keys(void **state)
{
    (void)state;
    const struct hook_secret both[] = {{NULL, "whsec_bmV3IGtleSBvZiB0aGUgZW5kcG9pbnQ="}, {NULL, SW_SECRET}};
    struct hook_rules rules = standard(SW_SECRET);
    rules.secrets = both;
    expect(&rules, request_of(SW_BODY, SW_SIGN, SW_TIME, SW_ID), "bad_signature"); /* the new one alone */
    rules.secret_count = 2;
    expect(&rules, request_of(SW_BODY, SW_SIGN, SW_TIME, SW_ID), "no_event");
}

static void test_hook_profiles_standard_webhooks_heeds_the_tolerance(void **state)
{
    (void)state;
    const struct hook_rules rules = standard(SW_SECRET);
    struct hook_request request = request_of(SW_BODY, SW_SIGN, SW_TIME, SW_ID);
    request.now_ms = SW_MS + 300000;
    expect(&rules, request, "no_event");
    request.now_ms = SW_MS + 300001;
    expect(&rules, request, "stale");
    request.now_ms = SW_MS - 300001;
    expect(&rules, request, "stale");
}

static void test_hook_profiles_refuse_each_header_twice(void **state)
{
    (void)state;
    const struct hook_rules rules = standard(SW_SECRET);
    for (int which = 0; which < 3; which++) {
        struct hook_request request = request_of(SW_BODY, SW_SIGN, SW_TIME, SW_ID);
        (which == 0 ? &request.signature : which == 1 ? &request.time : &request.id)->count = 2;
        expect(&rules, request, "malformed_signature");
    }
}

/* A genuine request of a scheme with `signed_string` over id, time and body. */
static char *sign(const char *key, const char *signed_text, bool base64)
{
    const struct span part = span_of(signed_text);
    unsigned char mac[DIGEST_BYTES];
    char hex[DIGEST_HEX_MAX];
    digest_hmac_sha256(span_of(key), &part, 1, mac);
    digest_hex(mac, sizeof mac, hex);
    return base64 ? digest_base64((struct span){(const char *)mac, sizeof mac}) : mem_strdup(hex);
}

/* The signed id says whether it was there before, where the body has no key of its own. */
static void test_hook_profiles_standard_webhooks_id_is_the_key(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(&by_type, &(struct config_signature){.profile = SIGNATURE_STANDARD_WEBHOOKS},
                                       "whsec_a2V5" /* "key" */);
    char *bare cleanup_text = sign("key", "m-1." SW_TIME ".{\"type\":\"a\"}", true);
    char *header cleanup_text = mem_printf("v1,%s", bare);
    const struct hook_request request = request_of("{\"type\":\"a\"}", header, SW_TIME, "m-1");
    struct hook_result result;
    hook_verify(&rules, &request, &result);
    assert_string_equal(result.outcome, "accepted");
    assert_string_equal(result.dedup_key, "id:m-1");
    hook_result_finish(&result);
    static const char *const pointers[] = {"/type", NULL};
    const struct bb_hook with_key = {.event_pointer = "/type", .dedup_pointers = pointers};
    rules.hook = &with_key;
    hook_verify(&rules, &request, &result);
    assert_string_equal(result.dedup_key, "[\"a\"]");
    hook_result_finish(&result);
}

static void test_hook_profiles_know_a_secret_that_is_none(void **state)
{
    (void)state;
    const struct hook_profile profile = standard(SW_SECRET).profile;
    assert_null(hook_secret_fault(&profile, SW_SECRET));
    assert_null(hook_secret_fault(&profile, SW_KEY));
    assert_non_null(hook_secret_fault(&profile, "whsec_not base64"));
    assert_non_null(hook_secret_fault(&profile, "whsec_"));
}

/* ---- GitHub */

static void test_hook_profiles_github_vector(void **state)
{
    (void)state;
    const struct config_signature own = {.profile = SIGNATURE_GITHUB};
    const struct hook_rules rules = rules_of(&by_type, &own, GH_SECRET);
    assert_string_equal(rules.profile.header, "X-Hub-Signature-256");
    expect(&rules, request_of(GH_BODY, GH_SIGN, NULL, NULL), "bad_json"); /* the signature was good */
    expect(&rules, request_of("Hello, World?", GH_SIGN, NULL, NULL), "bad_signature");
    expect(&rules, request_of(GH_BODY, &GH_SIGN[7], NULL, NULL), "malformed_signature");
    expect(&rules, request_of(GH_BODY, NULL, NULL, NULL), "unsigned");
}

/* ---- a scheme of the site's own */

static void test_hook_profiles_hmac_of_the_body_alone(void **state)
{
    (void)state;
    const struct config_signature own = {.profile = SIGNATURE_HMAC,
                                         .header = (char *)(uintptr_t) "X-Webhook-Signature"};
    const struct hook_rules rules = rules_of(&by_type, &own, "key");
    char *hex cleanup_text = sign("key", "{\"type\":\"a\"}", false);
    expect(&rules, request_of("{\"type\":\"a\"}", hex, NULL, NULL), "accepted");
    expect(&rules, request_of("{\"type\":\"b\"}", hex, NULL, NULL), "bad_signature");
}

static void test_hook_profiles_hmac_with_a_time_of_its_own(void **state)
{
    (void)state;
    const struct config_signature own = {.profile = SIGNATURE_HMAC,
                                         .encoding = SIGNATURE_BASE64,
                                         .header = (char *)(uintptr_t) "X-Sig",
                                         .prefix = (char *)(uintptr_t) "v0=",
                                         .signed_string = (char *)(uintptr_t) "v0:{time}:{body}",
                                         .time_header = (char *)(uintptr_t) "X-Time"};
    const struct hook_rules rules = rules_of(&by_type, &own, "key");
    assert_int_equal(rules.tolerance_ms, 300000);
    char *seconds cleanup_text = sign("key", "v0:" SW_TIME ":{\"type\":\"a\"}", true);
    char *header cleanup_text = mem_printf("v0=%s", seconds);
    expect(&rules, request_of("{\"type\":\"a\"}", header, SW_TIME, NULL), "accepted");
    expect(&rules, request_of("{\"type\":\"a\"}", header, "1614265331", NULL), "bad_signature");
    char *ms cleanup_text = sign("key", "v0:" SW_TIME "250:{\"type\":\"a\"}", true);
    char *with_ms cleanup_text = mem_printf("v0=%s", ms);
    expect(&rules, request_of("{\"type\":\"a\"}", with_ms, SW_TIME "250", NULL), "accepted"); /* 13 digits */
    char *old cleanup_text = sign("key", "v0:1614265029999:{\"type\":\"a\"}", true);
    char *stale cleanup_text = mem_printf("v0=%s", old);
    expect(&rules, request_of("{\"type\":\"a\"}", stale, "1614265029999", NULL), "stale");
    expect(&rules, request_of("{\"type\":\"a\"}", header, "yesterday", NULL), "malformed_signature");
}

/* ---- the site's own: a header of pairs */

#define PAIRED "{\"type\":\"a\"}"

static struct hook_rules paired(const char *secret)
{
    static const struct config_signature own = {.profile = SIGNATURE_HMAC,
                                                .header = (char *)(uintptr_t) "Stripe-Signature",
                                                .sign_key = (char *)(uintptr_t) "v1",
                                                .time_key = (char *)(uintptr_t) "t",
                                                .signed_string = (char *)(uintptr_t) "{time}.{body}"};
    return rules_of(&by_type, &own, secret);
}

static void test_hook_profiles_hmac_of_pairs(void **state)
{
    (void)state;
    const struct hook_rules rules = paired("key");
    assert_int_equal(rules.tolerance_ms, 300000);
    char *hex cleanup_text = sign("key", SW_TIME "." PAIRED, false);
    char *good cleanup_text = mem_printf("t=" SW_TIME ",v1=%s,v0=ancient", hex);
    char *bare cleanup_text = mem_printf("v1=%s", hex);
    char *later cleanup_text = mem_printf("t=1614265331,v1=%s", hex);
    char *twice cleanup_text = mem_printf("t=" SW_TIME ",t=" SW_TIME ",v1=%s", hex);
    expect(&rules, request_of(PAIRED, good, NULL, NULL), "accepted");
    expect(&rules, request_of("{\"type\":\"b\"}", good, NULL, NULL), "bad_signature");
    expect(&rules, request_of(PAIRED, bare, NULL, NULL), "malformed_signature");
    expect(&rules, request_of(PAIRED, later, NULL, NULL), "bad_signature");
    expect(&rules, request_of(PAIRED, twice, NULL, NULL), "malformed_signature");
    expect(&rules, request_of(PAIRED, hex, NULL, NULL), "malformed_signature");
    struct hook_request old = request_of(PAIRED, good, NULL, NULL);
    old.now_ms = SW_MS + 300001;
    expect(&rules, old, "stale");
}

/* While a key is changed, the sender signs with both. */
static void test_hook_profiles_hmac_of_pairs_takes_one_of_several(void **state)
{
    (void)state;
    const struct hook_rules old = paired("old"), other = paired("other");
    char *by_new cleanup_text = sign("new", SW_TIME "." PAIRED, false);
    char *by_old cleanup_text = sign("old", SW_TIME "." PAIRED, false);
    char *both cleanup_text = mem_printf("t=" SW_TIME ",v1=%s,v1=%s", by_new, by_old);
    one.secret = "old";
    expect(&old, request_of(PAIRED, both, NULL, NULL), "accepted");
    one.secret = "other";
    expect(&other, request_of(PAIRED, both, NULL, NULL), "bad_signature");
    struct buf many cleanup_buf = {0};
    buf_puts(&many, "t=" SW_TIME);
    for (int i = 0; i < 17; i++)
        buf_printf(&many, ",v1=%s", by_old);
    one.secret = "old";
    expect(&old, request_of(PAIRED, many.data, NULL, NULL), "malformed_signature");
}

/* ---- a shared token */

static void test_hook_profiles_bearer(void **state)
{
    (void)state;
    const struct config_signature own = {.profile = SIGNATURE_BEARER};
    struct hook_rules rules = rules_of(&by_type, &own, "s3cret");
    const char *body = "{\"type\":\"a\"}";
    assert_string_equal(rules.profile.header, "Authorization");
    expect(&rules, request_of(body, "Bearer s3cret", NULL, NULL), "accepted");
    expect(&rules, request_of(body, "Bearer s3cre", NULL, NULL), "bad_signature");
    expect(&rules, request_of(body, "Bearer s3crets", NULL, NULL), "bad_signature");
    expect(&rules, request_of(body, "Bearer ", NULL, NULL), "malformed_signature");
    expect(&rules, request_of(body, "s3cret", NULL, NULL), "malformed_signature");
    expect(&rules, request_of(body, NULL, NULL, NULL), "unsigned");
    one.secret = "";
    expect(&rules, request_of(body, "Bearer x", NULL, NULL), "bad_signature");
    const struct config_signature bare = {.profile = SIGNATURE_BEARER, .header = (char *)(uintptr_t) "X-Token"};
    rules = rules_of(&by_type, &bare, "s3cret");
    expect(&rules, request_of(body, "s3cret", NULL, NULL), "accepted");
    expect(&rules, request_of(body, "Bearer s3cret", NULL, NULL), "bad_signature");
}

/* GitHub's own events are named so. The name is not signed: what moves a record is in the body, which is. */
static void test_hook_profiles_take_the_event_from_a_header(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(&by_type, &(struct config_signature){.profile = SIGNATURE_GITHUB}, "key");
    char *hex cleanup_text = sign("key", "{\"a\":1}", false);
    char *header cleanup_text = mem_printf("sha256=%s", hex);
    struct hook_request request = request_of("{\"a\":1}", header, NULL, NULL);
    expect(&rules, request, "no_event");
    rules.event_in_header = true;
    expect(&rules, request, "no_event");
    request.event = (struct hook_header){"issues", 1};
    struct hook_result result;
    hook_verify(&rules, &request, &result);
    assert_string_equal(result.outcome, "accepted");
    assert_string_equal(result.event, "issues");
    hook_result_finish(&result);
    request.event.count = 2;
    expect(&rules, request, "no_event");
    request.event = (struct hook_header){"a\tb", 1};
    expect(&rules, request, "no_event");
    request.event = (struct hook_header){"\xa1s", 1};
    expect(&rules, request, "no_event");
}

static void test_hook_profiles_are_described(void **state)
{
    (void)state;
    static const struct {
        struct config_signature own;
        const char *value, *algorithm;
    } cases[] = {
        {{.profile = SIGNATURE_STANDARD_WEBHOOKS}, "v1,...", "base64"},
        {{.profile = SIGNATURE_GITHUB}, "sha256=...", "hex"},
        {{.profile = SIGNATURE_BEARER}, "Bearer ...", "shared secret"},
        {{.profile = SIGNATURE_HMAC, .sign_key = (char *)(uintptr_t) "v1", .time_key = (char *)(uintptr_t) "t"},
         "t=...,v1=...",
         "hex"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct hook_profile profile = hook_profile_of(&cases[i].own, &by_type.signature);
        struct buf value cleanup_buf = {0};
        const char *algorithm;
        hook_profile_describe(&profile, &value, &algorithm);
        assert_string_equal(value.data, cases[i].value);
        assert_non_null(strstr(algorithm, cases[i].algorithm));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hook_profiles_standard_webhooks_vector),
        cmocka_unit_test(test_hook_profiles_standard_webhooks_refuses_what_was_changed),
        cmocka_unit_test(test_hook_profiles_standard_webhooks_takes_one_of_several),
        cmocka_unit_test(test_hook_profiles_standard_webhooks_rotates_keys),
        cmocka_unit_test(test_hook_profiles_standard_webhooks_heeds_the_tolerance),
        cmocka_unit_test(test_hook_profiles_refuse_each_header_twice),
        cmocka_unit_test(test_hook_profiles_standard_webhooks_id_is_the_key),
        cmocka_unit_test(test_hook_profiles_know_a_secret_that_is_none),
        cmocka_unit_test(test_hook_profiles_github_vector),
        cmocka_unit_test(test_hook_profiles_hmac_of_the_body_alone),
        cmocka_unit_test(test_hook_profiles_hmac_with_a_time_of_its_own),
        cmocka_unit_test(test_hook_profiles_hmac_of_pairs),
        cmocka_unit_test(test_hook_profiles_hmac_of_pairs_takes_one_of_several),
        cmocka_unit_test(test_hook_profiles_bearer),
        cmocka_unit_test(test_hook_profiles_take_the_event_from_a_header),
        cmocka_unit_test(test_hook_profiles_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
