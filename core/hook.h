/* The webhook door, without network or store: is this request genuine, and what is its name?
 * Follows the signature profile, the plugin's or the target's own, over the raw bytes. Pure. */
#ifndef BUSBAR_HOOK_H
#define BUSBAR_HOOK_H

#include "config.h"

#include <busbar/plugin.h>

enum hook_proof { HOOK_UNSIGNED = 0, HOOK_HMAC /* SHA-256 */, HOOK_TOKEN /* the secret itself */ };

/* How a webhook shows that it is genuine. */
struct hook_profile {
    enum hook_proof proof;
    const char *header; /* of the signature */
    bool pairs;         /* its value is k=v,k=v,... with these three keys, of which the first two may be NULL: */
    const char *time_key, *nonce_key, *sign_key;
    const char *prefix; /* !pairs: before the signature; NULL: none */
    bool several; /* signatures, of which one must match: pairs of the same key, or parted by spaces, some foreign */
    const char *time_header, *id_header; /* signed too, in headers of their own; NULL: none */
    const char *signed_string;           /* from {time} {nonce} {id} {body} and literals */
    bool base64;                         /* the signature; else lower-case hex */
    const char *key_prefix;              /* the key is the base64 after this in the secret; NULL: it is the secret */
    int64_t tolerance_ms;                /* 0: not checked */
};

struct hook_secret {
    const char *event; /* NULL: any */
    const char *secret;
};

struct hook_rules {             /* borrowed */
    const struct bb_hook *hook; /* where the body tells what it is */
    bool event_in_header;       /* but the event's name is the request's */
    struct hook_profile profile;
    const struct hook_secret *secrets;
    size_t secret_count;
    bool allow_unsigned;
    int64_t tolerance_ms; /* 0: not checked */
};

struct hook_header {
    const char *value; /* NULL: absent */
    size_t count;      /* how often it came; more than once is refused */
};

struct hook_request {
    struct span body;
    struct hook_header signature, time, id; /* the profile's */
    struct hook_header event;
    int64_t now_ms; /* wall */
};

struct hook_result {
    int status;          /* 200: genuine; 400 or 401 with reason */
    const char *outcome; /* static, for busbar_webhooks_total: "accepted", "bad_json", "no_event", "unsigned",
                            "bad_signature", "stale", "malformed_signature" */
    const char *reason;  /* static sentence */
    const char *detail;  /* static: what is wrong with the JSON; NULL */
    char *event;         /* gives */
    char *dedup_key;     /* gives */
    char *nonce;         /* gives, NULL: the profile has none. Signed, so it may be remembered */
    char *id;            /* likewise, and the same in a redelivery */
};

/* The profile in force: the target's own, else the plugin's. Borrows both. */
struct hook_profile hook_profile_of(const struct config_signature *own, const struct bb_signature *plugins);
/* NULL, or why no signature could be made with this secret. static */
const char *hook_secret_fault(const struct hook_profile *profile, const char *secret);
/* How its signature is made, for people. */
void hook_profile_describe(const struct hook_profile *profile, struct buf *value, const char **algorithm);

void hook_verify(const struct hook_rules *rules, const struct hook_request *request, struct hook_result *result);
void hook_result_finish(struct hook_result *result);

#endif
