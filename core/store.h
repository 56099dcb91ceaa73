/* The durable store: deliveries, trigger states, work orders, audit, dedup, notes, in one SQLite file.
 *
 * Speaks in busbar's nouns, not in SQL, so that a second backend can stand behind it later.
 * A struct store is the file (locked: two daemons never share one), a struct store_session one thread's
 * way to it. One session writes at a time: store_begin takes a fair mutex and store_commit or
 * store_rollback gives it back. Between them: no plugin, no HTTP, no Paho call. Reads need no begin.
 *
 * int functions answer 0, or -1 with store_error(session) set. Writes stand between begin and commit where
 * nothing else is said; after a failed one nothing but rollback is left (a commit rolls back and answers -1).
 * What a callback is handed is borrowed for its call; inside of it, neither begin nor the same read again.
 * Text members may be NULL where it says so. */
#ifndef BUSBAR_STORE_H
#define BUSBAR_STORE_H

#include "buf.h"
#include "digest.h"

struct store;
struct store_session;

struct store_options {
    const char *path;
    bool power_loss;   /* synchronous=FULL */
    int64_t max_bytes; /* accepts are refused above; verdicts may use 10 % more */
    bool read_only;    /* no lock, no writes: the command line beside or without a daemon */
};

/* NULL and *error (gives; says what to do). Creates and migrates; a newer schema is refused. */
struct store *store_open(const struct store_options *options, char **error);
void store_close(struct store *store); /* sessions first; checkpoints */
long store_holder(const char *path);   /* the process that has it open to write; 0: none, or it cannot be told */
struct store_session *store_session_open(struct store *store, char **error);
void store_session_close(struct store_session *session); /* NULL is legal */
const char *store_error(const struct store_session *session);
int64_t store_bytes(const struct store *store); /* file and WAL */
/* Commits in the log of a dead process that cannot be read, as its log is wrong before them; more than one: not (only)
 * a power cut. */
int64_t store_unread_commits(const struct store *store);
bool store_has_room(const struct store *store); /* cheap, any thread: false says that an accept would be refused */

bool store_is_tight(const struct store *store); /* less than a tenth is left: call store_make_room */

/* Why the store takes nothing just now, as its last write found it. */
struct store_trouble {
    const char *name; /* disk_full, read_only, disk_fails, damaged, removed, locked, open_files */
    const char *text; /* what is wrong, and what to do */
    int64_t since_ms;
};
bool store_trouble(const struct store *store, struct store_trouble *trouble); /* any thread; false: none */
int store_probe(struct store_session *session); /* a transaction of its own, written to disk: does it work again? */

int store_begin(struct store_session *session);
int store_commit(struct store_session *session);
void store_rollback(struct store_session *session); /* legal without begin */
/* The reads in between, and no writes, see one state of the store and lock it once instead of once each. */
int store_begin_read(struct store_session *session);
void store_end_read(struct store_session *session); /* legal without begin */
bool store_in_transaction(void); /* of this thread: asserted false before Paho, plugin and HTTP calls */

/* ---- deliveries ---------------------------------------------------------*/

enum delivery_kind {
    DELIVERY_OUT = 1 /* to a target */,
    DELIVERY_IN /* a webhook to decode */,
    DELIVERY_BUS /* to publish */
};

enum delivery_state {
    DELIVERY_DRAFT = 1, /* waits for a person's approval */
    DELIVERY_PENDING,
    DELIVERY_RETRYING,
    DELIVERY_DELIVERED,
    DELIVERY_REJECTED, /* dead letter */
    DELIVERY_EXPIRED,
    DELIVERY_DISCARDED
};
const char *delivery_state_name(enum delivery_state state);
bool delivery_state_parse(const char *name, enum delivery_state *state);
bool delivery_state_is_open(enum delivery_state state); /* draft, pending, retrying */

struct delivery_error {      /* all may be NULL */
    const char *error_class; /* authentication ... provider_unavailable */
    const char *code, *message;
    int http_status; /* 0: none */
    const char *request_id;
    const char *rejected_fields; /* JSON array */
    const char *owner_action;
};

struct delivery {
    int64_t seq; /* order of acceptance */
    const char *id;
    enum delivery_kind kind;
    enum delivery_state state;
    const char *route; /* NULL for webhooks, events */
    const char *target, *operation, *lane;
    const char *order_id; /* common work order id, or NULL */
    int64_t accepted_ms, due_ms, ended_ms /* 0: open */, attempted_ms /* the last one; 0: none */;
    int attempts;
    int64_t repeats;     /* a dead letter that stands for as many more like it */
    bool in_flight;      /* an attempt began and has no verdict: found so at start, its outcome is uncertain */
    bool uncertain;      /* an attempt was sent, its answer lost */
    bool unconfirmed;    /* delivered by 202 */
    struct span body;    /* what the plugin gets; DELIVERY_BUS: the payload; DELIVERY_IN: raw bytes */
    const char *topic;   /* OUT: came from; BUS: goes to; IN: the event's name */
    struct span payload; /* OUT: the message as it came (for editing and mapping again) */
    bool one_reading;    /* payload is one reading of that message, as JSON */
    const char *user;    /* JSON object of user properties, or NULL */
    bool retained;       /* BUS */
    const char *reply;   /* {"topic": ..., "correlation": base64}: of a command, where its outcome is answered; BUS: the
                            correlation of the answer. Or NULL */
    int packet_id;
    int64_t packet_hash; /* of the message that made it; 0: none */
    struct delivery_error error;
    const char *request, *response; /* last ones, cut to 8 KiB, without secrets; or NULL */
    const char *merged_into;        /* id, or NULL */
    const char *batch;              /* id of the batch it went with last; its own: it goes alone; or NULL */
};

/* Fills seq. Kinds OUT and IN are refused when the store is full. Members that come later (attempts, ended ...) are
 * ignored; a state other than pending may be given (draft; rejected with error, for what could not be mapped). */
int store_add_delivery(struct store_session *session, struct delivery *delivery);

struct delivery_head {
    int64_t seq, due_ms, accepted_ms;
    const char *operation, *lane, *route;
    int attempts;
    enum delivery_kind kind;
    enum delivery_state state;
    bool in_flight, uncertain;
    const char *batch; /* as above */
};
/* Pending and retrying ones of a target with seq > after, of one kind, in order, at most limit. */
int store_scan_open(struct store_session *session, const char *target, enum delivery_kind kind, int64_t after_seq,
                    size_t limit, void (*each)(void *context, const struct delivery_head *head), void *context);
/* Those of a target's that went with a batch and are still open: by batch, in order. */
int store_scan_batches(struct store_session *session, const char *target,
                       void (*each)(void *context, const struct delivery_head *head), void *context);
/* What is left of the batch that a delivery belongs to is none any more: each goes alone. Answers how many, or -1; 0:
 * it belongs to none, or is alone. */
int64_t store_dissolve_batch(struct store_session *session, int64_t seq);
/* Whole deliveries. each may be called 0 or 1 times by the first two. */
typedef void store_delivery_each(void *context, const struct delivery *delivery);
int store_get_delivery(struct store_session *session, int64_t seq, store_delivery_each *each, void *context);
int store_find_delivery(struct store_session *session, const char *id, store_delivery_each *each, void *context);
/* Of kind OUT: the seq of the last open one of the lane before this one, 0: none; -1: failed. */
int64_t store_before_in_lane(struct store_session *session, const char *target, const char *lane, int64_t seq);
int64_t store_last_delivery(struct store_session *session); /* the last seq, open or not; -1: failed */
/* What an attempt needs, and nothing else: id, kind, state, accepted_ms, uncertain, retained, order_id, topic, body,
 * reply, and the code of what its last attempt failed of. */
int store_get_work(struct store_session *session, int64_t seq, store_delivery_each *each, void *context);

struct delivery_filter { /* NULL or 0: any; without a target, what goes to the bus is left out */
    const char *target, *route, *state, *code, *lane;
    int64_t before_seq; /* cursor: newest first, seq < this */
    size_t limit;
    const char *scope; /* JSON array of the targets that may be seen; NULL: all */
};
int store_list_deliveries(struct store_session *session, const struct delivery_filter *filter,
                          store_delivery_each *each, void *context); /* without bodies, request, response */
struct delivery_count {
    const char *route, *target; /* route NULL: none */
    enum delivery_state state;
    int64_t count, oldest_ms;
};
int store_count_deliveries(struct store_session *session,
                           void (*each)(void *context, const struct delivery_count *count), void *context);
/* The message hashes of the newest `limit` accepted messages, oldest first: the duplicate ring at start. */
int store_recent_packets(struct store_session *session, size_t limit,
                         void (*each)(void *context, int packet_id, int64_t packet_hash), void *context);
int store_forget_packets(struct store_session *session); /* the broker lost our session: ids start anew */
/* Intake's own record of the packets it judged last, also of those that made no delivery. opaque */
int store_put_packets(struct store_session *session, struct span record);
int store_get_packets(struct store_session *session, void (*each)(void *context, struct span record), void *context);

/* Another dead letter like this one: counted, not kept. *counted false: it is no dead letter any more. */
int store_repeat_delivery(struct store_session *session, int64_t seq, bool *counted);
/* Counts the attempt and marks it in flight, before the plugin runs. stamp_ms: no other turn's. batch NULL: what it has
 * stays. */
int store_start_attempt(struct store_session *session, int64_t seq, const char *batch, int64_t stamp_ms);

struct settlement {
    enum delivery_state state;
    int64_t due_ms;     /* pending, retrying */
    bool keep_attempts; /* held, breaker open: this attempt does not count */
    bool uncertain, unconfirmed;
    struct delivery_error error;
    const char *request, *response, *merged_into;
    int64_t exchange_of;    /* another delivery of the batch, which has request and response; 0: itself */
    const char *order_id;   /* the work order that it is about, or NULL; kept with the delivery */
    const char *mode;       /* audit, as are the next two */
    const char *sync_state; /* of the order from now on, or NULL */
    int attempt;            /* 0: none */
    const char *who;        /* audit: "busbar", or "operator" */
    const char
        *what; /* audit: "attempt", "import", "retry", "discard", "approve", "edit", "crash", "merge"; NULL: no row */
    int64_t now_ms;
};
/* The verdict: state, error, one audit row. request and response NULL: those of the last attempt stay. What was
 * over and opens again (an operator's retry) starts with no attempts. */
int store_settle(struct store_session *session, int64_t seq, const struct settlement *settlement);
/* An edited dead letter goes back to pending with a new body (and operation when given), its attempts begin anew. Of
 * the settlement: due_ms, and what the audit row says. Any other state is refused. */
int store_edit_delivery(struct store_session *session, int64_t seq, struct span body, const char *operation,
                        const struct settlement *settlement);
/* At start: in-flight ones become uncertain (out) and not in flight, an audit row each. Of `unsent_seq` (0: none) and
 * what began in its turn it is known that nothing was sent. Answers how many, or -1. */
int64_t store_recover(struct store_session *session, int64_t unsent_seq, int64_t now_ms);
/* Before that: those that it will call uncertain are not due before. Steady. */
int store_postpone_uncertain(struct store_session *session, int64_t unsent_seq, const char *target,
                             const char *operation, int64_t due_ms);

/* Pending and retrying ones of an operation that nobody approved become drafts, uncertain ones too (they stay that),
 * and each goes alone; an audit row each. Answers how many, or -1. */
int64_t store_draft_unapproved(struct store_session *session, const char *target, const char *operation,
                               int64_t now_ms);
/* Open ones that are due later than `latest_ms` are due at `due_ms`: the clock was set back. Steady. Answers how many,
 * or -1. */
int64_t store_believe_due(struct store_session *session, int64_t latest_ms, int64_t due_ms);

/* ---- triggers, webhooks, holds, notes, session -----------------------------*/

int store_put_trigger(struct store_session *session, const char *route, struct span key,
                      struct span state); /* empty: delete */
int store_load_triggers(struct store_session *session,
                        void (*each)(void *context, const char *route, struct span key, struct span state),
                        void *context);

/* Remembers; *seen says that it was there before. Namespaces: "hook:<target>", "nonce:<target>", "event:<target>". */
int store_remember(struct store_session *session, const char *space, struct span key, int64_t now_ms, bool *seen);
int store_is_remembered(struct store_session *session, const char *space, struct span key, bool *seen);

/* operation "" is the whole target. */
int store_put_hold(struct store_session *session, const char *target, const char *operation, const char *reason,
                   int64_t since_ms); /* reason NULL: resume */
int store_load_holds(struct store_session *session,
                     void (*each)(void *context, const char *target, const char *operation, const char *reason,
                                  int64_t since_ms),
                     void *context);
char *store_note_get(struct store_session *session, const char *target, const char *key); /* gives, NULL */
int store_note_put(struct store_session *session, const char *target, const char *key, const char *value);
int store_load_notes(struct store_session *session, const char *target,
                     void (*each)(void *context, const char *key, struct span value), void *context);

int store_put_subscriptions(struct store_session *session, const char *client_id, const char *const *filters,
                            size_t count);
int store_load_subscriptions(struct store_session *session, const char *client_id,
                             void (*each)(void *context, const char *filter), void *context);

/* ---- work orders ----------------------------------------------------------*/

struct work_order { /* the common record; NULL: null */
    const char *common_work_order_id, *provider_id, *source_work_order_id, *asset_ref, *source_status, *common_status,
        *priority, *source_priority;
    int64_t sla_due_ms; /* 0: null */
    const char *sync_state;
    int64_t last_synced_ms;  /* 0: null */
    const char *delivery_id; /* ours, or NULL */
    int64_t updated_ms;
    int64_t fresh_until_ms; /* then it turns stale; 0: never */
};
typedef void store_order_each(void *context, const struct work_order *order);
int store_put_order(struct store_session *session, const struct work_order *order); /* insert or replace by common id */
int store_remove_order(struct store_session *session, const char *common_id);
int store_find_order(struct store_session *session, const char *common_id, store_order_each *each, void *context);
int store_find_order_by_source(struct store_session *session, const char *provider_id, const char *source_id,
                               store_order_each *each, void *context);
struct order_filter { /* NULL or 0: any */
    const char *provider_id;
    const char *after_id; /* cursor: id > this */
    size_t limit;
    const char *scope; /* JSON array of the targets that may be seen; NULL: all */
};
int store_list_orders(struct store_session *session, const struct order_filter *filter, store_order_each *each,
                      void *context);

/* Those whose time is up, the longest first. */
int store_scan_stale(struct store_session *session, int64_t now_ms, size_t limit, store_order_each *each,
                     void *context);
int store_next_stale(struct store_session *session, int64_t *at_ms); /* INT64_MAX: none */

/* ---- audit ---------------------------------------------------------------*/

struct audit {
    int64_t seq, at_ms;
    const char *who, *what, *delivery_id, *route, *target, *operation, *mode, *outcome,
        *detail; /* NULL allowed but who, what */
    const char *order_id, *sync_state;
    const char *error_class, *code, *owner_action; /* of what failed */
    int attempt;                                   /* 0: none */
    int64_t next_ms;                               /* when it is tried again; 0: it is not */
};
struct audit_filter { /* NULL or 0: any */
    const char *delivery_id, *order_id, *target, *error_class;
    int outcome; /* 1: what went well, -1: what failed */
    int64_t since_ms, before_seq;
    size_t limit;
    const char *scope; /* JSON array of the targets that may be seen; NULL: all */
};
int store_add_audit(struct store_session *session, const struct audit *audit);
/* Newest first. */
int store_list_audit(struct store_session *session, const struct audit_filter *filter,
                     void (*each)(void *context, const struct audit *audit), void *context);

/* ---- upkeep ----------------------------------------------------------------*/

/* Removes at most `limit` rows that ended before now - retention (dead letters stay), and old memories.
 * In its own transaction. Answers rows removed, or -1. */
int64_t store_retain(struct store_session *session, int64_t now_ms, int64_t retention_ms, size_t limit);
/* The same when the store is tight: history gives way to what is still owed. What is over goes whatever its age, then
 * the oldest audit rows. Dead letters, drafts and what is open stay. */
int64_t store_make_room(struct store_session *session, int64_t now_ms, size_t limit);
int store_checkpoint(struct store_session *session);               /* passive, a small step */
int store_backup(struct store_session *session, const char *path); /* online copy */
/* What is wrong with the file, a line each; answers how many. Reads all of it. */
int store_check(struct store_session *session, void (*each)(void *context, const char *finding), void *context);
/* Copies what can be read of a damaged store into a new one, in one transaction. Told: what, how many rows, and whether
 * something of it was lost: missing names the numbers that could not be read, "" where they have none. */
typedef void store_saved(void *context, const char *what, int64_t rows, bool lost, const char *missing);
int store_save(struct store_session *from, struct store_session *to, store_saved *each, void *context);

/* ---- the breadcrumb: what was being worked on when the process died ------------- */

enum store_crumb { CRUMB_INTAKE = 0, CRUMB_PLUGIN = 1 };
void store_crumb_set(struct store *store, enum store_crumb which,
                     uint64_t value); /* memory-mapped: survives a crash, not a power cut */
void store_crumb_clear(struct store *store, enum store_crumb which);
/* The value that a process died with, and how many did so in a row; known until a process worked it off (set, then
 * clear) or died with another. 0: none. */
uint64_t store_crumb_found(const struct store *store, enum store_crumb which, int *deaths);

#endif
