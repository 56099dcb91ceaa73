/* SPDX-License-Identifier: Apache-2.0 */
/* Signature profiles: the published ones, the site's own, and what a plugin describes. */
#include "hook.h"

#include <string.h>
#include <strings.h>

#define TOLERANCE_MS INT64_C(300000)

/* While its key is changed, a system signs with the old one and the new: several pairs of `sign_key`, here and in
 * own_hmac(). */
static struct hook_profile plugin_profile(const struct bb_signature *signature)
{
    return (struct hook_profile){.proof = signature->header ? HOOK_HMAC : HOOK_UNSIGNED,
                                 .header = signature->header,
                                 .pairs = signature->pairs,
                                 .time_key = signature->time_key,
                                 .nonce_key = signature->nonce_key,
                                 .sign_key = signature->pairs ? signature->sign_key : NULL,
                                 .several = signature->pairs,
                                 .prefix = signature->pairs ? NULL : signature->sign_key,
                                 .signed_string = signature->signed_string,
                                 .tolerance_ms = signature->tolerance_ms};
}

/* standardwebhooks.com: the id is that of the message, the same whenever it is sent again. */
static const struct hook_profile standard_webhooks = {.proof = HOOK_HMAC,
                                                      .header = "webhook-signature",
                                                      .prefix = "v1,",
                                                      .several = true,
                                                      .time_header = "webhook-timestamp",
                                                      .id_header = "webhook-id",
                                                      .signed_string = "{id}.{time}.{body}",
                                                      .base64 = true,
                                                      .key_prefix = "whsec_",
                                                      .tolerance_ms = TOLERANCE_MS};

static const struct hook_profile github = {
    .proof = HOOK_HMAC, .header = "X-Hub-Signature-256", .prefix = "sha256=", .signed_string = "{body}"};

static struct hook_profile own_hmac(const struct config_signature *own)
{
    const bool timed = own->time_header || own->time_key;
    return (struct hook_profile){.proof = HOOK_HMAC,
                                 .header = own->header,
                                 .pairs = own->sign_key != NULL,
                                 .time_key = own->time_key,
                                 .nonce_key = own->nonce_key,
                                 .sign_key = own->sign_key,
                                 .several = own->sign_key != NULL,
                                 .prefix = own->prefix,
                                 .time_header = own->time_header,
                                 .id_header = own->id_header,
                                 .signed_string = own->signed_string ? own->signed_string : "{body}",
                                 .base64 = own->encoding == SIGNATURE_BASE64,
                                 .tolerance_ms = timed ? TOLERANCE_MS : 0};
}

static struct hook_profile own_bearer(const struct config_signature *own)
{
    const char *header = own->header ? own->header : "Authorization";
    const char *prefix = strcasecmp(header, "Authorization") == 0 ? "Bearer " : NULL;
    return (struct hook_profile){.proof = HOOK_TOKEN, .header = header, .prefix = own->prefix ? own->prefix : prefix};
}

struct hook_profile hook_profile_of(const struct config_signature *own, const struct bb_signature *plugins)
{
    switch ((enum config_signature_profile)own->profile) {
    case SIGNATURE_STANDARD_WEBHOOKS:
        return standard_webhooks;
    case SIGNATURE_GITHUB:
        return github;
    case SIGNATURE_HMAC:
        return own_hmac(own);
    case SIGNATURE_BEARER:
        return own_bearer(own);
    }
    return plugin_profile(plugins);
}

void hook_profile_describe(const struct hook_profile *profile, struct buf *value, const char **algorithm)
{
    const char *keys[] = {profile->time_key, profile->nonce_key, profile->sign_key};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (profile->pairs && keys[i] != NULL)
            buf_printf(value, "%s%s=...", value->len > 0 ? "," : "", keys[i]);
    if (!profile->pairs)
        buf_printf(value, "%s...", profile->prefix != NULL ? profile->prefix : "");
    *algorithm = profile->proof == HOOK_TOKEN ? "the shared secret itself"
                 : profile->base64            ? "HMAC-SHA256, base64, over the raw bytes"
                                              : "HMAC-SHA256, lower-case hex, over the raw bytes";
}
