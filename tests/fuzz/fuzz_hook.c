/* SPDX-License-Identifier: Apache-2.0 */
/* A webhook's signature header and body: without the secret nothing is genuine, and each answer has its reason. */
#include "fuzz.h"

#include "hook.h"

static const char *const dedup[] = {"/networkId", "/_event", "/_idempotencyKey", NULL};

static const struct bb_hook hook = {
    .event_pointer = "/_event", .dedup_pointers = dedup, .dedup_required = "/_idempotencyKey"};

static const struct hook_profile profiles[] = {
    {.proof = HOOK_HMAC,
     .header = "X-MW-Signature",
     .pairs = true,
     .time_key = "t",
     .nonce_key = "nonce",
     .sign_key = "signature",
     .signed_string = "{time}.{nonce}.{body}"},
    {.proof = HOOK_HMAC, .header = "X-Hub-Signature-256", .prefix = "sha256=", .signed_string = "{body}"},
    {.proof = HOOK_HMAC,
     .header = "webhook-signature",
     .prefix = "v1,",
     .several = true,
     .time_header = "webhook-timestamp",
     .id_header = "webhook-id",
     .signed_string = "{id}.{time}.{body}",
     .base64 = true},
    {.proof = HOOK_TOKEN, .header = "Authorization", .prefix = "Bearer "},
};

/* A header that came once, twice, or not at all. */
static struct hook_header header(const char *text, uint8_t choice)
{
    return choice & 8 ? (struct hook_header){0} : (struct hook_header){text, 1 + (choice >> 7)};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = {(const char *)data, size};
    uint8_t choice = fuzz_byte(&rest), which = fuzz_byte(&rest);
    cleanup_text char *signature = span_dup(fuzz_part(&rest)), *time = span_dup(fuzz_part(&rest)),
                      *id = span_dup(fuzz_part(&rest));
    const struct hook_secret secrets[] = {{NULL, "a secret that no input knows"}, {"TaskWasStarted", "another one"}};
    const struct hook_rules rules = {.hook = &hook,
                                     .event_in_header = (choice & 16) != 0,
                                     .profile = profiles[which % (sizeof(profiles) / sizeof(profiles[0]))],
                                     .secrets = choice & 2 ? NULL : secrets,
                                     .secret_count = choice & 2 ? 0 : 2,
                                     .allow_unsigned = (choice & 2) != 0,
                                     .tolerance_ms = choice & 4 ? 300000 : 0};
    const struct hook_request request = {.body = rest,
                                         .signature = header(signature, choice),
                                         .time = header(time, choice & 0xf7),
                                         .id = header(id, choice & 0xf7),
                                         .event = header("an.event", which),
                                         .now_ms = 1700000000000};
    struct hook_result result = {0};
    hook_verify(&rules, &request, &result);
    HOLDS(result.status == 200 || result.status == 400 || result.status == 401);
    HOLDS(result.status != 200 || rules.allow_unsigned);
    HOLDS(result.status == 200 ? result.event != NULL && result.dedup_key != NULL : result.reason != NULL);
    HOLDS(result.outcome != NULL);
    hook_result_finish(&result);
    return 0;
}
