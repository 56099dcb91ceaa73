/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook door against the published signature scheme: MW-S01 .. MW-S06, U1, U2, U4, U5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "hook.h"

#define SECRET "busbar-test-secret"
#define K100 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define NONCE "752c14ea195c460bac3c3b7896975ee9fd15eeb7"
#define SENT_S 1660338149
#define SENT_MS (SENT_S * INT64_C(1000))

#define BODY_V1 "{\"_event\":\"TaskWasStarted\",\"taskId\":\"32828f62\"}"
#define BODY_V2 "{\"_event\":\"TaskWasStarted\",\"taskId\":\"\xc3\xa9t\xc3\xa9-1\"}"
#define SIGN_V1 "f0e9c19139d417b9905421b7bf593a109451d5ed720ff2090eb884b06d976965"
#define SIGN_V2 "9ac8581870f67c6b63862d2a03dc1c021d787bc1e0b5722979463af82ca7c235"
#define SIGN_V3 "e504e5de8d88713e13000f33206b653e6b5b67a9c3da84c8405e56201ab5492c"
#define SIGN_V4 "021fd9ce40914d4f3b76648f1f2f042e2a798fd92a48dc7147ee27b37f9f19b8"
#define HEAD "t=1660338149,nonce=" NONCE ",signature="

static const char *const dedup_pointers[] = {"/networkId", "/_event", "/_idempotencyKey", NULL};

static const struct bb_hook profile = {
    .event_pointer = "/_event",
    .dedup_pointers = dedup_pointers,
    .dedup_required = "/_idempotencyKey",
    .signature = {.header = "X-MW-Signature",
                  .pairs = true,
                  .time_key = "t",
                  .nonce_key = "nonce",
                  .sign_key = "signature",
                  .signed_string = "{time}.{nonce}.{body}",
                  .tolerance_ms = 300000},
};
static const struct hook_secret one_secret[] = {{NULL, SECRET}};

static struct hook_rules rules_of(const struct hook_secret *secrets, size_t count)
{
    return (struct hook_rules){.hook = &profile,
                               .profile = hook_profile_of(&(struct config_signature){0}, &profile.signature),
                               .secrets = secrets,
                               .secret_count = count,
                               .tolerance_ms = 300000};
}

static struct hook_result verify(const struct hook_rules *rules, const char *body, const char *signature,
                                 int64_t now_ms)
{
    struct hook_request request = {
        .body = span_of(body), .signature = {signature, signature ? 1 : 0}, .now_ms = now_ms};
    struct hook_result result;
    hook_verify(rules, &request, &result);
    return result;
}

static void expect(const struct hook_rules *rules, const char *body, const char *signature, int status,
                   const char *outcome)
{
    struct hook_result result = verify(rules, body, signature, SENT_MS);
    assert_int_equal(result.status, status);
    assert_string_equal(result.outcome, outcome);
    assert_non_null(result.reason);
    hook_result_finish(&result);
}

static void expect_simple(const char *body, const char *signature, int status, const char *outcome)
{
    struct hook_rules rules = rules_of(one_secret, 1);
    expect(&rules, body, signature, status, outcome);
}

/* A genuine header over any body, with the secret given. */
static char *sign(const char *secret, const char *body)
{
    struct span parts[] = {SPAN("1660338149." NONCE "."), span_of(body)};
    unsigned char mac[DIGEST_BYTES];
    char hex[DIGEST_HEX_MAX];
    digest_hmac_sha256(span_of(secret), parts, 2, mac);
    digest_hex(mac, sizeof mac, hex);
    return mem_printf(HEAD "%s", hex);
}

static char *dedup_key_of(const char *body)
{
    struct hook_rules rules = rules_of(one_secret, 1);
    cleanup_text char *header = sign(SECRET, body);
    struct hook_result result = verify(&rules, body, header, SENT_MS);
    assert_int_equal(result.status, 200);
    char *key = mem_strdup(result.dedup_key);
    hook_result_finish(&result);
    return key;
}

static void test_hook_accepts_vector_1(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(one_secret, 1);
    struct hook_result result = verify(&rules, BODY_V1, HEAD SIGN_V1, SENT_MS);
    assert_int_equal(result.status, 200);
    assert_string_equal(result.outcome, "accepted");
    assert_string_equal(result.event, "TaskWasStarted");
    assert_string_equal(result.nonce, NONCE);
    hook_result_finish(&result);
}

static void test_hook_accepts_vector_2_utf8(void **state)
{
    (void)state;
    assert_int_equal(strlen(BODY_V2), 46);
    expect_simple(BODY_V2, HEAD SIGN_V2, 200, "accepted");
}

/* The signature of nothing is good, so the answer is 400 and not 401. */
static void test_hook_accepts_vector_3_as_signature_but_not_as_json(void **state)
{
    (void)state;
    expect_simple("", HEAD SIGN_V3, 400, "bad_json");
}

static void test_hook_accepts_vector_4_long_secret(void **state)
{
    (void)state;
    const struct hook_secret secrets[] = {{NULL, K100}};
    assert_int_equal(strlen(K100), 100);
    struct hook_rules rules = rules_of(secrets, 1);
    expect(&rules, BODY_V1, HEAD SIGN_V4, 200, "accepted");
}

static void test_hook_refuses_changed_body(void **state)
{
    (void)state;
    expect_simple("{\"_event\":\"TaskWasStarted\",\"taskId\":\"32828f63\"}", HEAD SIGN_V1, 401, "bad_signature");
}

/* MW-S05: the raw bytes, so even equal JSON with a space more is another body. */
static void test_hook_refuses_reformatted_body(void **state)
{
    (void)state;
    expect_simple("{\"_event\": \"TaskWasStarted\",\"taskId\":\"32828f62\"}", HEAD SIGN_V1, 401, "bad_signature");
}

static void test_hook_refuses_every_changed_hex_digit(void **state)
{
    (void)state;
    for (size_t i = 0; i < 64; i++) {
        char header[] = HEAD SIGN_V1;
        char *digit = header + strlen(HEAD) + i;
        *digit = *digit == '0' ? '1' : '0';
        expect_simple(BODY_V1, header, 401, "bad_signature");
    }
}

static void test_hook_refuses_changed_time_or_nonce(void **state)
{
    (void)state;
    expect_simple(BODY_V1, "t=1660338150,nonce=" NONCE ",signature=" SIGN_V1, 401, "bad_signature");
    expect_simple(BODY_V1, "t=1660338149,nonce=852c14ea195c460bac3c3b7896975ee9fd15eeb7,signature=" SIGN_V1, 401,
                  "bad_signature");
}

static void test_hook_tolerance_counts_both_ways(void **state)
{
    (void)state;
    const struct {
        int64_t shift_ms;
        int status;
    } cases[] = {{300000, 200}, {-300000, 200}, {300001, 401}, {-300001, 401}};
    struct hook_rules rules = rules_of(one_secret, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hook_result result = verify(&rules, BODY_V1, HEAD SIGN_V1, SENT_MS + cases[i].shift_ms);
        assert_int_equal(result.status, cases[i].status);
        assert_string_equal(result.outcome, cases[i].status == 200 ? "accepted" : "stale");
        hook_result_finish(&result);
    }
}

static void test_hook_tolerance_zero_is_off(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(one_secret, 1);
    rules.tolerance_ms = 0;
    struct hook_result result = verify(&rules, BODY_V1, HEAD SIGN_V1, SENT_MS + INT64_C(1000000000000));
    assert_int_equal(result.status, 200);
    hook_result_finish(&result);
}

static void test_hook_refuses_missing_header(void **state)
{
    (void)state;
    expect_simple(BODY_V1, NULL, 401, "unsigned");
}

/* Not even to say that the body is no JSON. */
static void test_hook_missing_header_comes_before_bad_json(void **state)
{
    (void)state;
    expect_simple("nonsense", NULL, 401, "unsigned");
}

/* Which of both would be right? The same words in one value are refused below. */
static void test_hook_refuses_header_twice(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(one_secret, 1);
    struct hook_request request = {.body = SPAN(BODY_V1), .signature = {HEAD SIGN_V1, 2}, .now_ms = SENT_MS};
    struct hook_result result;
    hook_verify(&rules, &request, &result);
    assert_int_equal(result.status, 401);
    assert_string_equal(result.outcome, "malformed_signature");
    assert_null(result.event);
    hook_result_finish(&result);
}

static void test_hook_header_order_and_unknown_pairs_do_not_matter(void **state)
{
    (void)state;
    expect_simple(BODY_V1, "v=2,signature=" SIGN_V1 ",x=a=b=c,nonce=" NONCE ",empty=,t=1660338149", 200, "accepted");
    expect_simple(BODY_V1, "t=1660338149, nonce=" NONCE ",\tsignature=" SIGN_V1 " ", 200, "accepted");
}

static void test_hook_refuses_malformed_headers(void **state)
{
    (void)state;
    const char *const headers[] = {
        "",
        "nonsense",
        ",",
        SIGN_V1,
        "t=1660338149,nonce=" NONCE,                                    /* no signature */
        "nonce=" NONCE ",signature=" SIGN_V1,                           /* no time */
        "t=1660338149,signature=" SIGN_V1,                              /* no nonce */
        "t=1660338149,t=1660338149,nonce=" NONCE ",signature=" SIGN_V1, /* a key twice */
        HEAD SIGN_V1 ", " HEAD SIGN_V1,                                 /* two headers joined by a proxy */
        "t=,nonce=" NONCE ",signature=" SIGN_V1,
        "t=1660338149,nonce=,signature=" SIGN_V1,
        "t=-1660338149,nonce=" NONCE ",signature=" SIGN_V1,
        "t=+1660338149,nonce=" NONCE ",signature=" SIGN_V1,
        "t=1660338149.5,nonce=" NONCE ",signature=" SIGN_V1,
        "t=0x62F6C4E5,nonce=" NONCE ",signature=" SIGN_V1,
        "t=99999999999999999999,nonce=" NONCE ",signature=" SIGN_V1,
        "T=1660338149,nonce=" NONCE ",signature=" SIGN_V1,
        "t=1660338149,nonce=" NONCE ",signature=F0E9C19139D417B9905421B7BF593A109451D5ED720FF2090EB884B06D976965",
        "t=1660338149,nonce=" NONCE ",signature=" SIGN_V1 "00",
        "t=1660338149,nonce=" NONCE ",signature=f0e9",
        "t=1660338149,nonce=" NONCE ",signature=",
        "t=1660338149,nonce=" NONCE ",signature=g0e9c19139d417b9905421b7bf593a109451d5ed720ff2090eb884b06d976965",
        HEAD SIGN_V1 ",", /* a part that is no pair */
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        expect_simple(BODY_V1, headers[i], 401, "malformed_signature");
}

/* A vendor that changes its secret signs with both for a while. What else stands there twice stays refused. */
static void test_hook_takes_one_of_several_signatures(void **state)
{
    (void)state;
    expect_simple(BODY_V1, HEAD SIGN_V2 ",signature=" SIGN_V1, 200, "accepted");
    expect_simple(BODY_V1, HEAD SIGN_V1 ", signature=" SIGN_V2, 200, "accepted");
    expect_simple(BODY_V1, HEAD SIGN_V2 ",signature=" SIGN_V2, 401, "bad_signature");
    expect_simple(BODY_V1, HEAD SIGN_V1 ",signature=f0e9", 401, "malformed_signature");
    expect_simple(BODY_V1, HEAD SIGN_V1 ",nonce=" NONCE, 401, "malformed_signature");
    expect_simple(BODY_V1, "t=1660338149," HEAD SIGN_V1, 401, "malformed_signature");
}

static void test_hook_refuses_huge_nonce(void **state)
{
    (void)state;
    char nonce[300];
    memset(nonce, 'a', sizeof nonce);
    cleanup_text char *header = mem_printf("t=1660338149,nonce=%.*s,signature=" SIGN_V1, (int)sizeof nonce, nonce);
    expect_simple(BODY_V1, header, 401, "malformed_signature");
}

static void test_hook_any_of_several_secrets_matches(void **state)
{
    (void)state;
    const struct hook_secret secrets[] = {{NULL, "the-new-one"}, {NULL, SECRET}};
    struct hook_rules rules = rules_of(secrets, 2);
    expect(&rules, BODY_V1, HEAD SIGN_V1, 200, "accepted");
    rules.secret_count = 1;
    expect(&rules, BODY_V1, HEAD SIGN_V1, 401, "bad_signature");
}

static void test_hook_secret_belongs_to_its_event(void **state)
{
    (void)state;
    const struct hook_secret secrets[] = {{"TaskWasStarted", SECRET}, {"TaskWasCompleted", "another"}};
    struct hook_rules rules = rules_of(secrets, 2);
    expect(&rules, BODY_V1, HEAD SIGN_V1, 200, "accepted");
    const char *completed = "{\"_event\":\"TaskWasCompleted\"}";
    cleanup_text char *with_started = sign(SECRET, completed);
    cleanup_text char *with_completed = sign("another", completed);
    expect(&rules, completed, with_started, 401, "bad_signature");
    expect(&rules, completed, with_completed, 200, "accepted");
}

static void test_hook_event_without_secret_is_refused(void **state)
{
    (void)state;
    const struct hook_secret secrets[] = {{"TaskWasCompleted", SECRET}};
    struct hook_rules rules = rules_of(secrets, 1);
    expect(&rules, BODY_V1, HEAD SIGN_V1, 401, "bad_signature");
    expect(&rules, BODY_V1, NULL, 401, "unsigned");
}

static void test_hook_allow_unsigned_does_not_open_an_event_that_has_a_secret(void **state)
{
    (void)state;
    const struct hook_secret secrets[] = {{"TaskWasCompleted", SECRET}};
    struct hook_rules rules = rules_of(secrets, 1);
    rules.allow_unsigned = true;
    expect(&rules, BODY_V1, NULL, 200, "accepted");
    expect(&rules, "{\"_event\":\"TaskWasCompleted\"}", NULL, 401, "unsigned");
}

static void test_hook_allow_unsigned_does_not_excuse_a_missing_header(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(one_secret, 1);
    rules.allow_unsigned = true;
    expect(&rules, BODY_V1, NULL, 401, "unsigned");
    expect(&rules, BODY_V1, HEAD SIGN_V2, 401, "bad_signature");
}

static void test_hook_without_secret_is_closed_unless_allowed(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(NULL, 0);
    expect(&rules, BODY_V1, NULL, 401, "unsigned");
    expect(&rules, BODY_V1, HEAD SIGN_V1, 401, "unsigned");
    rules.allow_unsigned = true;
    expect(&rules, BODY_V1, NULL, 200, "accepted");
    expect(&rules, "nonsense", NULL, 400, "bad_json");
}

static void test_hook_empty_secret_never_matches(void **state)
{
    (void)state;
    const struct hook_secret secrets[] = {{NULL, ""}};
    struct hook_rules rules = rules_of(secrets, 1);
    cleanup_text char *header = sign("", BODY_V1);
    expect(&rules, BODY_V1, header, 401, "bad_signature");
}

static void test_hook_target_that_does_not_sign(void **state)
{
    (void)state;
    struct bb_hook unsigned_profile = profile;
    unsigned_profile.signature = (struct bb_signature){0};
    struct hook_rules rules = rules_of(one_secret, 1);
    rules.profile = hook_profile_of(&(struct config_signature){0}, &unsigned_profile.signature);
    expect(&rules, BODY_V1, NULL, 401, "unsigned");
    rules.allow_unsigned = true;
    expect(&rules, BODY_V1, NULL, 200, "accepted");
}

/* The other shape of the ABI: the bare digest, with a prefix. */
static void test_hook_prefixed_signature(void **state)
{
    (void)state;
    struct bb_hook prefixed = profile;
    prefixed.signature =
        (struct bb_signature){.header = "X-Hub-Signature-256", .sign_key = "sha256=", .signed_string = "{body}"};
    struct hook_rules rules = rules_of(one_secret, 1);
    rules.profile = hook_profile_of(&(struct config_signature){0}, &prefixed.signature);
    unsigned char mac[DIGEST_BYTES];
    char hex[DIGEST_HEX_MAX];
    struct span body = SPAN(BODY_V1);
    digest_hmac_sha256(span_of(SECRET), &body, 1, mac);
    digest_hex(mac, sizeof mac, hex);
    cleanup_text char *header = mem_printf("sha256=%s", hex);
    expect(&rules, BODY_V1, header, 200, "accepted");
    expect(&rules, BODY_V1, hex, 401, "malformed_signature");
    expect(&rules, BODY_V1, "sha256=" SIGN_V1, 401, "bad_signature");
}

static void test_hook_refuses_what_is_no_json_object(void **state)
{
    (void)state;
    const char *const bodies[] = {"nonsense", "[]", "null", "3", "{\"_event\":", "{} {}", "\"TaskWasStarted\""};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        cleanup_text char *header = sign(SECRET, bodies[i]);
        expect_simple(bodies[i], header, 400, "bad_json");
    }
}

static void test_hook_refuses_body_without_event(void **state)
{
    (void)state;
    const char *const bodies[] = {"{}", "{\"_event\":null}", "{\"_event\":3}", "{\"_event\":\"\"}",
                                  "{\"_event\":\"a\\u0000b\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        cleanup_text char *header = sign(SECRET, bodies[i]);
        expect_simple(bodies[i], header, 400, "no_event");
    }
}

/* MW-W90, U6: an event that nobody here knows is genuine all the same. */
static void test_hook_accepts_unknown_event(void **state)
{
    (void)state;
    const char *body = "{\"_event\":\"SomethingNew\"}";
    cleanup_text char *header = sign(SECRET, body);
    expect_simple(body, header, 200, "accepted");
}

/* The samples of the contract share one idempotency key over all events. */
static void test_hook_dedup_key_is_network_event_and_key(void **state)
{
    (void)state;
    cleanup_text char *a = dedup_key_of("{\"_event\":\"A\",\"_idempotencyKey\":\"i6\",\"networkId\":\"n1\",\"x\":1}");
    cleanup_text char *same = dedup_key_of("{\"networkId\":\"n1\",\"_idempotencyKey\":\"i6\",\"_event\":\"A\"}");
    cleanup_text char *event = dedup_key_of("{\"_event\":\"B\",\"_idempotencyKey\":\"i6\",\"networkId\":\"n1\"}");
    cleanup_text char *network = dedup_key_of("{\"_event\":\"A\",\"_idempotencyKey\":\"i6\",\"networkId\":\"n2\"}");
    cleanup_text char *absent = dedup_key_of("{\"_event\":\"A\",\"_idempotencyKey\":\"i6\"}");
    assert_string_equal(a, same);
    assert_string_not_equal(a, event);
    assert_string_not_equal(a, network);
    assert_string_not_equal(a, absent);
}

static void test_hook_dedup_key_cannot_run_into_its_neighbour(void **state)
{
    (void)state;
    cleanup_text char *a = dedup_key_of("{\"_event\":\"A\",\"_idempotencyKey\":\"k\",\"networkId\":\"n\\\",\\\"A\"}");
    cleanup_text char *b = dedup_key_of("{\"_event\":\"A\\\",\\\"A\",\"_idempotencyKey\":\"k\",\"networkId\":\"n\"}");
    assert_string_not_equal(a, b);
}

static void test_hook_dedup_key_falls_back_to_the_hash_of_the_body(void **state)
{
    (void)state;
    const char *const bodies[] = {"{\"_event\":\"A\",\"networkId\":\"n1\"}",
                                  "{\"_event\":\"A\",\"networkId\":\"n1\",\"_idempotencyKey\":\"\"}",
                                  "{\"_event\":\"A\",\"networkId\":\"n1\",\"_idempotencyKey\":null}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        cleanup_text char *key = dedup_key_of(bodies[i]);
        unsigned char hash[DIGEST_BYTES];
        char hex[DIGEST_HEX_MAX];
        digest_sha256(span_of(bodies[i]), hash);
        digest_hex(hash, sizeof hash, hex);
        assert_int_equal(strncmp(key, "sha256:", 7), 0);
        assert_string_equal(key + 7, hex);
    }
}

static void test_hook_dedup_key_stays_short(void **state)
{
    (void)state;
    char long_key[2000];
    memset(long_key, 'k', sizeof long_key);
    cleanup_text char *body =
        mem_printf("{\"_event\":\"A\",\"_idempotencyKey\":\"%.*s\"}", (int)sizeof long_key, long_key);
    cleanup_text char *key = dedup_key_of(body);
    assert_true(strlen(key) < 100);
}

static void test_hook_refusal_gives_nothing(void **state)
{
    (void)state;
    struct hook_rules rules = rules_of(one_secret, 1);
    struct hook_result result = verify(&rules, BODY_V1, HEAD SIGN_V1, SENT_MS + 3600000);
    assert_null(result.event);
    assert_null(result.dedup_key);
    assert_null(result.nonce);
    hook_result_finish(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hook_accepts_vector_1),
        cmocka_unit_test(test_hook_accepts_vector_2_utf8),
        cmocka_unit_test(test_hook_accepts_vector_3_as_signature_but_not_as_json),
        cmocka_unit_test(test_hook_accepts_vector_4_long_secret),
        cmocka_unit_test(test_hook_refuses_changed_body),
        cmocka_unit_test(test_hook_refuses_reformatted_body),
        cmocka_unit_test(test_hook_refuses_every_changed_hex_digit),
        cmocka_unit_test(test_hook_refuses_changed_time_or_nonce),
        cmocka_unit_test(test_hook_tolerance_counts_both_ways),
        cmocka_unit_test(test_hook_tolerance_zero_is_off),
        cmocka_unit_test(test_hook_refuses_missing_header),
        cmocka_unit_test(test_hook_missing_header_comes_before_bad_json),
        cmocka_unit_test(test_hook_refuses_header_twice),
        cmocka_unit_test(test_hook_header_order_and_unknown_pairs_do_not_matter),
        cmocka_unit_test(test_hook_refuses_malformed_headers),
        cmocka_unit_test(test_hook_takes_one_of_several_signatures),
        cmocka_unit_test(test_hook_refuses_huge_nonce),
        cmocka_unit_test(test_hook_any_of_several_secrets_matches),
        cmocka_unit_test(test_hook_secret_belongs_to_its_event),
        cmocka_unit_test(test_hook_event_without_secret_is_refused),
        cmocka_unit_test(test_hook_allow_unsigned_does_not_open_an_event_that_has_a_secret),
        cmocka_unit_test(test_hook_allow_unsigned_does_not_excuse_a_missing_header),
        cmocka_unit_test(test_hook_without_secret_is_closed_unless_allowed),
        cmocka_unit_test(test_hook_empty_secret_never_matches),
        cmocka_unit_test(test_hook_target_that_does_not_sign),
        cmocka_unit_test(test_hook_prefixed_signature),
        cmocka_unit_test(test_hook_refuses_what_is_no_json_object),
        cmocka_unit_test(test_hook_refuses_body_without_event),
        cmocka_unit_test(test_hook_accepts_unknown_event),
        cmocka_unit_test(test_hook_dedup_key_is_network_event_and_key),
        cmocka_unit_test(test_hook_dedup_key_cannot_run_into_its_neighbour),
        cmocka_unit_test(test_hook_dedup_key_falls_back_to_the_hash_of_the_body),
        cmocka_unit_test(test_hook_dedup_key_stays_short),
        cmocka_unit_test(test_hook_refusal_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
