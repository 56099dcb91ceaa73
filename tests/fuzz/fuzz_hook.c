/* SPDX-License-Identifier: Apache-2.0 */
/* A webhook's signature header and body: without the secret nothing is genuine, and each answer has its reason. */
#include "fuzz.h"

#include "hook.h"

static const char *const dedup[] = {"/networkId", "/_event", "/_idempotencyKey", NULL};

static const struct bb_hook profiles[] = {
    {.event_pointer = "/_event",
     .dedup_pointers = dedup,
     .dedup_required = "/_idempotencyKey",
     .signature = {.header = "X-MW-Signature",
                   .pairs = true,
                   .time_key = "t",
                   .nonce_key = "nonce",
                   .sign_key = "signature",
                   .signed_string = "{time}.{nonce}.{body}",
                   .tolerance_ms = 300000}},
    {.event_pointer = "/event",
     .dedup_pointers = dedup,
     .signature = {.header = "X-Hub-Signature-256", .sign_key = "sha256=", .signed_string = "{body}"}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = {(const char *)data, size};
    uint8_t choice = fuzz_byte(&rest);
    struct span header = fuzz_part(&rest);
    cleanup_text char *signature = span_dup(header);
    const struct hook_secret secrets[] = {{NULL, "a secret that no input knows"}, {"TaskWasStarted", "another one"}};
    const struct hook_rules rules = {.profile = &profiles[choice & 1],
                                     .secrets = choice & 2 ? NULL : secrets,
                                     .secret_count = choice & 2 ? 0 : 2,
                                     .allow_unsigned = (choice & 2) != 0,
                                     .tolerance_ms = choice & 4 ? 300000 : 0};
    const struct hook_request request = {.body = rest,
                                         .signature = choice & 8 ? NULL : signature,
                                         .signature_count = choice & 8 ? 0 : 1 + (choice >> 7),
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
