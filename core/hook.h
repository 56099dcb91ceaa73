/* The webhook door, without network or store: is this request genuine, and what is its name?
 * Follows the plugin's signature profile over the raw bytes. Pure. */
#ifndef BUSBAR_HOOK_H
#define BUSBAR_HOOK_H

#include "buf.h"

#include <busbar/plugin.h>

struct hook_secret {
    const char *event; /* NULL: any */
    const char *secret;
};

struct hook_rules { /* borrowed */
    const struct bb_hook *profile;
    const struct hook_secret *secrets;
    size_t secret_count;
    bool allow_unsigned;
    int64_t tolerance_ms; /* 0: not checked */
};

struct hook_request {
    struct span body;
    const char *signature;  /* value of the profile's header; NULL: absent */
    size_t signature_count; /* how often the header came; more than one is refused */
    int64_t now_ms;         /* wall */
};

struct hook_result {
    int status;          /* 200: genuine; 400 or 401 with reason */
    const char *outcome; /* static, for busbar_webhooks_total: "accepted", "bad_json", "no_event", "unsigned",
                            "bad_signature", "stale", "malformed_signature" */
    const char *reason;  /* static sentence */
    char *event;         /* gives */
    char *dedup_key;     /* gives */
    char *nonce;         /* gives, NULL: the profile has none. Signed, so it may be remembered */
};

void hook_verify(const struct hook_rules *rules, const struct hook_request *request, struct hook_result *result);
void hook_result_finish(struct hook_result *result);

#endif
