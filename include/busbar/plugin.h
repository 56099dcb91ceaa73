/* SPDX-License-Identifier: Apache-2.0
 *
 * busbar plugin ABI 1.
 *
 * A plugin is a pure translator for one kind of target system. It does no
 * input or output: the core hands it a message and sends the HTTP request that
 * it answers; the core hands it the response and files the verdict that it
 * answers. Time-outs, TLS, credentials, retries, rates and metrics are the
 * core's. The header is all that a plugin includes of busbar; plugins/README.md
 * teaches writing one.
 *
 * Rules
 *  - One exported const object, `busbar_plugin`, of type struct bb_plugin.
 *  - Ownership: what comes in is borrowed until the call returns; what goes out
 *    is static, of self, from host->alloc() or came in with the same call. A
 *    plugin frees nothing of a job.
 *  - Calls come from one thread, are never re-entered and must not block; the
 *    core warns past 10 ms and 5 us for each message.
 *  - No writable globals: one process may hold several targets of one plugin.
 *  - Text is UTF-8. What something is found by (an id, code, name, word, key,
 *    path, header) is taken as it is, or the message becomes a dead letter
 *    (plugin_misuse). What a person reads (a message, an action, rejected
 *    fields, a line of the log) is mended, and cut where it is too long.
 *    plugins/ABI.md has the limits.
 *  - A slice carries its length and is not NUL-terminated unless
 *    a member says so. Times are milliseconds since 1970-01-01T00:00:00Z.
 *  - Structs grow at their end only. Where one carries its size, read no member
 *    past it; arrays of options, operations and messages are walked with the
 *    element size beside them. bb_header, bb_work_order, bb_mapping and what is
 *    held by value inside another struct are final.
 *  - What the core hands out to be filled (struct bb_out) comes zeroed.
 *
 * Clean as C17 and as C++17.
 */
#ifndef BUSBAR_PLUGIN_H
#define BUSBAR_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BB_ABI 1u            /* of this header; a plugin and a busbar of the same ABI fit, whichever is older */
#define BB_MAGIC 0x42425553u /* "BBUS": what a descriptor begins with */

/* A borrowed piece of text or bytes. data may be NULL when len is 0. */
struct bb_str {
    const char *data; /* not NUL-terminated */
    size_t len;       /* bytes */
};

/* What a step answers. The four after BB_SEND are verdicts and end the job. */
enum bb_next {
    BB_SEND = 1, /* send out->request, call step again with the response */
    BB_DONE,     /* the obligation is met */
    BB_RETRY,    /* not now: again after backoff, or out->retry_after_ms */
    BB_REJECT,   /* never: a dead letter with out->error */
    BB_HOLD      /* keep this and all that follow until someone resumes the target */
};

/* The six classes of errors; they decide what the operator is told. */
enum bb_class {
    BB_CLASS_NONE = 0,      /* no error: no verdict that needs one may have it */
    BB_AUTHENTICATION,      /* credential missing, wrong, expired */
    BB_AUTHORIZATION,       /* credential good, action not allowed */
    BB_VALIDATION,          /* the payload is wrong */
    BB_IDENTITY,            /* it names something that the target does not know */
    BB_CONFLICT,            /* revision, transition, duplicate, ownership */
    BB_PROVIDER_UNAVAILABLE /* transport, overload, outage */
};

/* ---- options: a target's settings, parsed by the core ------------------- */

enum bb_option_type {
    BB_STRING = 1, /* const char *, NUL-terminated, NULL when absent and no default */
    BB_BOOL,       /* bool */
    BB_INT,        /* int64_t */
    BB_NUMBER,     /* double */
    BB_DURATION,   /* int64_t, milliseconds; written 250ms 30s 15m 1h 7d */
    BB_JSON,       /* const char *, NUL-terminated JSON text of any YAML value; a default is JSON */
    BB_SECRET      /* never in the plugin's struct: the core's auth uses it */
};

#define BB_REQUIRED 1u /* a target without it is refused; it has no default */

/* One key of a target's settings. */
struct bb_option {
    const char *name;          /* lower case, digits and _; none of a target's own keys */
    enum bb_option_type type;  /* what the member holds */
    size_t offset;             /* of the member in the plugin's config struct */
    const char *default_value; /* as it would be written in YAML, or NULL */
    unsigned flags;            /* BB_REQUIRED */
    const char *help;          /* one line */
};

/* ---- operations: what can be asked of the target ------------------------ */

#define BB_WRITES 1u       /* changes something in the target */
#define BB_CREATES 2u      /* makes a new object: allowed in mode handoff */
#define BB_IDEMPOTENT 4u   /* sending twice equals sending once */
#define BB_CAN_LOOKUP 8u   /* after an uncertain outcome, step looks for its marker first */
#define BB_PARK 16u        /* default on_uncertain: park (else retry) */
#define BB_UNVERIFIED 32u  /* the request's shape is our guess: said at start */
#define BB_AT_START 64u    /* run once when the target opens, to prove its settings */
#define BB_WORK_ORDER 128u /* what it creates or changes is a work order: the core keeps its common record */
#define BB_REPEAT_5XX 256u /* the vendor asks for the same call again after any 5xx: also a gateway's 502, 504 */

/* What a route can name behind the target: to: <target>.<name> */
struct bb_operation {
    const char *name;            /* resource.verb: lower case, digits and _ */
    const char *help;            /* one line */
    unsigned flags;              /* of BB_WRITES ... BB_REPEAT_5XX, or 0: it only reads */
    unsigned max_batch;          /* 1: one message a call */
    const char *coalesce;        /* JSON Pointer of the key of which only the newest counts, or NULL */
    int64_t default_cooldown_ms; /* for a route with a trigger that names none; 0: none */
    const char *default_budget;  /* such as "24/1d", or NULL */
    const char *budget_pointer;  /* JSON Pointer of a second budget's key in the body, or NULL */
    /* With BB_WORK_ORDER, of what does not create: */
    const char *order_pointer; /* JSON Pointer in the body of the work order it is about: our common id, or the
                                  target's own. The core finds its record, or refuses (identity). max_batch is 1 */
    const char *moves_to;      /* the common status that it moves the order to, or a JSON Pointer of it in the body:
                                  a step that the lifecycle does not allow is refused (conflict). NULL: none */
};

/* ---- authentication: the core adds the credential ----------------------- */

enum bb_auth_scheme {
    BB_AUTH_NONE = 0, /* no credential of the plugin's; the target's own auth: may still give one */
    BB_AUTH_HEADER,   /* <header>: <secret> */
    BB_AUTH_BASIC,    /* Authorization: Basic, of user and secret */
    BB_AUTH_BEARER    /* Authorization: Bearer <secret> */
};

/* Which credential each request gets. */
struct bb_auth {
    enum bb_auth_scheme scheme; /* BB_AUTH_NONE: the rest is left out */
    const char *header;         /* BB_AUTH_HEADER: its name, e.g. "Api-Key" */
    const char *secret_option;  /* name of the BB_SECRET option: key, token or password */
    const char *user_option;    /* BB_AUTH_BASIC: name of the BB_STRING or BB_SECRET option with the user */
};

/* ---- webhooks: the plugin describes, the core verifies ------------------ */

/* HMAC-SHA256 in lower-case hex over signed_string with the raw body, compared in constant time. */
struct bb_signature {
    const char *header;        /* e.g. "X-MW-Signature" */
    bool pairs;                /* true: the value is k=v,k=v,... with the three keys below */
    const char *time_key;      /* key of the Unix time in seconds, or NULL */
    const char *nonce_key;     /* key of the nonce, or NULL */
    const char *sign_key;      /* key of the signature; when !pairs: a prefix such as "sha256=", or NULL */
    const char *signed_string; /* from {time} {nonce} {body} and literals, e.g. "{time}.{nonce}.{body}" */
    int64_t tolerance_ms;      /* default clock tolerance; 0: not checked */
};

/* Where a webhook tells what it is. */
struct bb_hook {
    const char *event_pointer;         /* JSON Pointer of the event's name; absent in a body: 400 */
    const char *const *dedup_pointers; /* NULL-terminated JSON Pointers; all together are the dedup key. */
    const char *dedup_required;        /* the pointer without which the body's hash is the key, or NULL */
    struct bb_signature signature;     /* header NULL: the target does not sign */
};

/* ---- a job ---------------------------------------------------------------*/

/* An HTTP header. */
struct bb_header {
    const char *name;    /* NUL-terminated */
    struct bb_str value; /* one line; at most 64 KiB of what you send */
};

/* What the core is to send. */
struct bb_request {
    const char *method; /* "GET" "POST" "PUT" "PATCH" "DELETE" */
    const char
        *path; /* NUL-terminated, relative to the target's url, starts with '/', query included; at most 64 KiB */
    struct bb_str body;              /* empty: none; at most 256 MiB; not copied: unchanged until the attempt ends */
    const char *content_type;        /* NULL: application/json when there is a body */
    const struct bb_header *headers; /* beside the auth header, which the core adds */
    size_t header_count;             /* at most 64 */
    int64_t cache_ms;                /* GET only: the core may answer from a response this fresh; 0: never */
};

/* What came back. */
struct bb_response {
    size_t size;                     /* sizeof(struct bb_response) as the core compiled it */
    int status;                      /* HTTP status; transport failures never reach a plugin */
    struct bb_str body;              /* as it came; empty: none */
    const struct bb_header *headers; /* in the order they came, names in lower case */
    size_t header_count;             /* of headers */
    bool cached;                     /* from an earlier request of the same path, see cache_ms */
};

/* One delivery, or one webhook. */
struct bb_message {
    const char *id;                   /* the delivery's id: stable over attempts and restarts, NUL-terminated */
    const char *order_id;             /* common work order id that busbar gave this delivery, NUL-terminated */
    struct bb_str body;               /* JSON as the route made it; for decode: the raw webhook bytes */
    struct bb_str topic;              /* MQTT topic it came from; empty when none */
    struct bb_str event;              /* decode: the event's name; else empty */
    int64_t received_ms;              /* when it was accepted */
    const char *source_work_order_id; /* of the order that order_pointer names, when the target gave it one; or NULL */
};

struct bb_job; /* the host's own */

/* What a call is about. */
struct bb_in {
    size_t size;                        /* sizeof(struct bb_in) as the core compiled it */
    struct bb_job *job;                 /* what host functions are called with */
    const char *operation;              /* one of the descriptor's names; NULL in decode and poll */
    const struct bb_message *messages;  /* walk with message_size */
    size_t message_size;                /* of one in bytes: may be more than your header knows */
    size_t message_count;               /* 1 .. max_batch; 0 in poll and for BB_AT_START */
    const struct bb_response *response; /* NULL in the first call of an attempt */
    void **state;                       /* yours for this attempt; NULL at first; memory from host->alloc */
    int attempt;                        /* 1 .. */
    bool uncertain;                     /* an earlier attempt was sent and its answer was lost */
    int64_t now_ms;                     /* the time; ask nobody else */
};

/* Why a message was not done, for a person. */
struct bb_error {
    enum bb_class error_class;   /* never BB_CLASS_NONE */
    const char *code;            /* short and stable, e.g. "unknown_equipment" */
    const char *message;         /* one sentence: what is wrong and what would be right; cut at 8 KiB */
    const char *rejected_fields; /* JSON array of {"pointer","key","parameters"}, or NULL */
    const char *owner_action;    /* what a person should do, or NULL for the class's own text */
};

/* What a call answers beside its verdict. */
struct bb_out {
    size_t size;                      /* sizeof(struct bb_out) as the core compiled it */
    struct bb_request request;        /* with BB_SEND */
    struct bb_error error;            /* with BB_RETRY, BB_REJECT, BB_HOLD */
    int64_t retry_after_ms;           /* with BB_RETRY: a duration; 0: the core's backoff */
    bool hold_operation;              /* with BB_HOLD: this operation only, not the whole target */
    bool unconfirmed;                 /* with BB_DONE: accepted, not yet confirmed (HTTP 202) */
    const char *source_work_order_id; /* with BB_DONE: the id that the target gave, or NULL */
    const char *asset_ref;            /* with BB_DONE of what creates: the asset that it is about, or NULL */
};

/* ---- events --------------------------------------------------------------*/

/* What a target says about a work order. NULL members leave the record as it is. */
struct bb_work_order {
    const char *order_id;             /* our common id, when the target carried it back */
    const char *delivery_id;          /* our delivery's id, when the target carried it back */
    const char *source_work_order_id; /* the target's own id */
    const char *asset_ref;            /* the asset that it is about, as the routes name it */
    const char *source_status;        /* the target's word; the core maps it by the target's table */
    const char *common_status;   /* requested triaged approved assigned in_progress blocked completed closed canceled
                                    reopened unknown: only where no table could tell */
    const char *priority;        /* critical high medium low: likewise */
    const char *source_priority; /* the target's word; mapped likewise */
    const char *sla_due_at;      /* RFC 3339 */
};

/* Something that happened in the target. */
struct bb_event {
    size_t size;          /* sizeof(struct bb_event) as you compiled it */
    const char *type;     /* work_order.created|updated|completed|closed, attachment.added, mapping.exception,
                             or NULL: provider.<plugin>.<name> */
    const char *name;     /* the provider's own name of it */
    const char *dedup_id; /* stable over redeliveries; NULL: made from the raw bytes */
    int64_t occurred_ms;  /* 0: unknown */
    const struct bb_work_order *work_order; /* NULL: not about a work order */
    struct bb_str raw;                      /* JSON passed on as it is, what is none becomes a string; at most 16 MiB */
};

/* ---- mapping tables: a target's words for statuses and priorities ------------ */

/* Several words may mean one common one; the first listed is what we send for it. A target's settings (map:) add to
 * the table and win over it. A word that no line maps is published as mapping.exception, never guessed. */
struct bb_mapping {
    const char *source, *common; /* the target's word; ours, as in bb_work_order */
};

enum bb_table {
    BB_STATUSES = 1, /* of work orders: common_status */
    BB_PRIORITIES    /* of work orders: priority */
};

/* ---- what the core offers ------------------------------------------------*/

enum bb_log_level {
    BB_LOG_DEBUG = 1, /* not shown by default */
    BB_LOG_INFO,      /* worth a line in any week */
    BB_LOG_WARN,      /* someone should look at it one day */
    BB_LOG_ERROR      /* someone should look at it now */
};

/* Append-only. Check size before a member that is newer than your ABI. */
struct bb_host {
    size_t size;   /* sizeof(struct bb_host) as the core compiled it */
    void *context; /* the core's own */

    /* Zeroed memory that lives until the job ends. Never NULL. */
    void *(*alloc)(struct bb_job *job, size_t bytes);
    /* printf into job memory; NUL-terminated. Never NULL. */
    const char *(*format)(struct bb_job *job, const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 2, 3)))
#endif
        ;
    /* Percent-encodes as one path segment, into job memory. */
    const char *(*path_segment)(struct bb_job *job, struct bb_str text);
    /* Publishes an event when the job's verdict is stored. */
    void (*emit)(struct bb_job *job, const struct bb_event *event);
    /* Gives message i of a batch (from 0) its own verdict: BB_DONE, or BB_RETRY, BB_REJECT with an error. What is
     * not settled when the job ends shares its verdict. out->unconfirmed then is of all that are done. */
    void (*settle)(struct bb_job *job, size_t i, enum bb_next verdict, const struct bb_error *error);
    /* The shared classifier: fills *out from a response and answers the verdict that its
     * status means: 2xx DONE (202 unconfirmed), 401 HOLD, 403 HOLD operation, 3xx HOLD,
     * 408 425 429 5xx RETRY, 404 410 REJECT identity, 409 412 428 REJECT conflict, other 4xx
     * REJECT validation. A page of HTML under a 2xx is RETRY odd_answer: that code of yours, after
     * a 2xx to a write, leaves its outcome uncertain too. A plugin may refine what it wrote. A
     * retry that leaves retry_after_ms at 0 follows the response's Retry-After by itself. */
    enum bb_next (*judge)(struct bb_job *job, const struct bb_response *response, struct bb_out *out);
    /* Durable notes of the target; commit with the verdict. get: NUL-terminated in job memory, or NULL. */
    const char *(*note_get)(struct bb_job *job, const char *key);
    void (*note_put)(struct bb_job *job, const char *key, const char *value); /* NULL value: delete */
    /* The time; the same in all of a call as in->now_ms. */
    int64_t (*now_ms)(struct bb_job *job);
    /* No secrets, no payloads. */
    void (*log)(struct bb_job *job, enum bb_log_level level, const char *message);
    /* Adds to busbar_plugin_events_total{target,name}. */
    void (*count)(struct bb_job *job, const char *name, uint64_t n);
    /* The target's mapping tables: its word for a common one, or NULL when no line maps it. */
    const char *(*source_word)(struct bb_job *job, enum bb_table table, const char *common);
    /* And back: the common word for the target's, or NULL. */
    const char *(*common_word)(struct bb_job *job, enum bb_table table, const char *source);
};

/* ---- the descriptor ------------------------------------------------------*/

/* What a plugin may say of one target otherwise than its descriptor does. */
struct bb_description {
    size_t size;                            /* sizeof(struct bb_description) as the core compiled it */
    const struct bb_operation *operations;  /* instead of the descriptor's */
    size_t operation_size, operation_count; /* of one in bytes; how many */
    struct bb_hook hook;                    /* event_pointer NULL: this target has no webhooks */
    int64_t poll_ms;                        /* 0: nor a poll */
};

/* All that a plugin exports. */
struct bb_plugin {
    uint32_t magic;          /* BB_MAGIC */
    uint32_t abi;            /* BB_ABI */
    size_t size;             /* sizeof(struct bb_plugin) as you compiled it */
    const char *name;        /* mobility_work: lower case, digits and _; the file is <name>.so */
    const char *title;       /* Mobility Work */
    const char *version;     /* the plugin's own */
    const char *help;        /* one paragraph */
    const char *default_url; /* https://api.example.com, or NULL: the target must say url */

    size_t config_size;               /* of your config struct: zeroed, then filled from options */
    const struct bb_option *options;  /* a target's settings; BB_ITEMS(options) fills all three */
    size_t option_size, option_count; /* of one in bytes; how many */

    const struct bb_operation *operations;  /* what routes can ask for; BB_ITEMS(operations) fills all three */
    size_t operation_size, operation_count; /* of one in bytes; how many */

    struct bb_auth auth; /* which credential a request gets */
    struct bb_hook hook; /* event_pointer NULL: no webhooks */

    /* Called once a target. Returns 0 and *self, or -1 with *error (static or host->format). The
     * config outlives self. NULL: self is the config itself. `job` is good until open returns. */
    int (*open)(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error);
    /* Called once for each open that returned 0, when nothing of the target is under way. May be NULL. */
    void (*close)(void *self);

    /* Checks a route's body template before anything runs; may be NULL. Returns NULL, or what is
     * wrong. Strings that still hold a placeholder arrive as JSON null. */
    const char *(*check)(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                         struct bb_str body);

    /* Outbound: drives one attempt of one or more messages to a verdict. */
    enum bb_next (*step)(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out);
    /* Inbound: one verified webhook becomes 0..n events. Answers BB_DONE or BB_REJECT. */
    enum bb_next (*decode)(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out);
    /* For systems without webhooks: called every poll_ms, same shape as step. May be NULL. */
    enum bb_next (*poll)(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out);
    int64_t poll_ms; /* default interval; 0: no poll */

    /* User-Agent sent to the target, after "busbar/<version> "; name of a BB_STRING option, or NULL. */
    const char *user_agent_option;

    const struct bb_mapping *statuses;   /* the target's words and ours, unless its settings (map:) say otherwise */
    size_t status_count;                 /* lines */
    const struct bb_mapping *priorities; /* the same for priorities */
    size_t priority_count;               /* lines */

    /* Where a target's settings decide what it can do: called once, after open. *description comes with what the
     * descriptor says; what it then points to lives as long as self. NULL: the descriptor holds for every target. */
    void (*describe)(void *self, struct bb_description *description);

    /* The names that events of its webhooks may have, NULL-terminated: settings that name another are warned of. NULL:
     * not known. */
    const char *const *hook_events;
};

#define BB_ITEMS(array) (array), sizeof((array)[0]), sizeof(array) / sizeof((array)[0])

#if defined(__GNUC__)
#define BB_EXPORT __attribute__((visibility("default")))
#else
#define BB_EXPORT
#endif

/* extern "C" BB_EXPORT const struct bb_plugin busbar_plugin = { BB_MAGIC, BB_ABI, sizeof(struct bb_plugin), ... }; */

#ifdef __cplusplus
}
#endif

#endif
