/* Shared by dispatch.c (who runs next), attempt.c (one attempt), settle.c (its verdict in the store), orders*.c
 * (the work-order records), announce.c (what of it goes to the bus), publish.c (the bus as a target) and operate.c
 * (what people ask for). */
#ifndef BUSBAR_DISPATCH_PRIVATE_H
#define BUSBAR_DISPATCH_PRIVATE_H

#include "cell.h"
#include "dispatch.h"
#include "event.h"
#include "host.h"
#include "http.h"
#include "lookup.h"
#include "metrics.h"
#include "queue.h"
#include "target.h"

#include <stdatomic.h>

#define QUEUE_WINDOW 4096
#define QUEUE_AHEAD 512 /* of the newest, beside the window, in a backlog */
#define STORE_PAUSE_MS 1000
#define TEXT_KEPT_MAX ((size_t)8192)               /* of a request or response */
#define RETRY_AFTER_MAX_MS (24LL * 60 * 60 * 1000) /* http.c heeds no more */

struct op_hold {
    char *operation; /* "" : the whole target */
    char *reason;
    int64_t since_ms; /* wall */
};

/* What stands in line for one target, in one direction. */
struct line {
    struct queue *queue;
    enum delivery_kind kind;
    bool rescan; /* the store may hold more than the window */
    /* out, while it does: up to here it was seen whether the newest may go ahead; 0: there is no backlog */
    int64_t newest_seq;
    bool newest_more;
};

/* A job of the target's own, without a delivery: what proves its settings at start, and the poll. */
enum { ERRAND_AT_START = 0, ERRAND_POLL, ERRANDS };
struct errand {
    const char *operation; /* NULL: poll */
    int64_t due_ms;        /* INT64_MAX: not now */
    int64_t every_ms;      /* poll */
    int tries;             /* in vain, in a row */
    int64_t done_ms;       /* wall, the last that went well; 0: none yet */
    char error[64];        /* code of the last one, "" when it went well */
};

struct slot {
    struct target *target; /* NULL: the bus */
    const char *name;
    struct line out, in;
    struct batch_rule *rules; /* by operation and route */
    size_t rule_count;
    size_t running;  /* out, and errands: what concurrency limits */
    size_t decoding; /* in */
    double tokens;
    int64_t tokens_at_ms;
    struct op_hold *holds;
    size_t hold_count, hold_cap;
    int failures; /* in a row */
    bool breaker_open, probing;
    bool untrusted;         /* its certificate is not what it should be, and that was told */
    struct arena *asking;   /* for its credential (OAuth2), while attempts wait for it; NULL: nobody asks */
    char last_failure[160]; /* what kept the target from answering; "" when it answers */
    int breaker_trips;
    int64_t pause_until_ms; /* breaker or Retry-After: nothing before */
    struct errand errands[ERRANDS];
    struct lookup_cache *lookups;
    struct writes *writes; /* max_writes; NULL: no limit */
    struct metric *writes_count;
    struct metric *held_gauge, *breaker_gauge, *seconds, *plugin_seconds;
};

enum fate { FATE_NONE = 0, FATE_DELIVERED, FATE_RETRY, FATE_REJECTED, FATE_EXPIRED, FATE_HELD };

/* One delivery of an attempt, and what becomes of it. */
struct item {
    struct queue_entry *entry; /* taken */
    struct bb_message *message;
    enum delivery_state was;
    int attempt;         /* 1 .. */
    bool uncertain;      /* an earlier attempt may have done it */
    bool parked;         /* for its uncertain outcome: a person looks, and what is then retried is certain */
    bool own;            /* the plugin gave it a verdict of its own */
    bool crashed_before; /* the last attempt ended with the plugin */
    enum fate fate;
    struct bb_error error;
    /* Of an operation on work orders: */
    bool known_order;       /* it names a record of this target's; message->order_id is its id */
    const char *moves_to;   /* the common status that it leads to, or NULL. static */
    const char *order_id;   /* with the verdict: the record that it changed, or NULL */
    const char *sync_state; /* and how that stands now */
};

/* One conversation with the plugin, about one delivery or a batch of them; an errand has none. */
struct attempt {
    struct attempt *prev, *next; /* in one of the dispatcher's lists */
    struct slot *slot;
    struct line *line;         /* NULL: an errand */
    struct errand *errand;     /* NULL: deliveries */
    struct queue_batch *batch; /* NULL: none */
    struct item *items;
    size_t count;                  /* of items, each with its message */
    struct item item;              /* what items points to when it is one, */
    struct bb_message message;     /* and its message. Of an errand: what names its events */
    struct bb_operation operation; /* name NULL: decode */
    struct bb_job job;
    struct bb_in in;
    struct bb_out out;
    struct http_call *call;
    struct cell_call ask;    /* of a plugin in a cell */
    bool crashed;            /* the plugin's process ended in it, */
    bool scatters;           /* a second time: what is left of the batch goes on in pieces */
    int calls;               /* requests so far */
    int64_t cache_ms;        /* of the lookup on its way; 0: not to be kept */
    const char *lookup_path; /* job's arena */
    bool harmless;           /* the request on its way only reads */
    bool wrote;              /* one of this attempt did not */
    bool refused;            /* by mode or policy: the plugin is not asked */
    bool over_max;           /* refused by max_writes: it holds the target */
    bool postponed;          /* refused for now: to be tried again */
    bool transport_failed, sent_uncertain, probe;
    bool holds;         /* its verdict: nothing more until someone resumes */
    int64_t show_at_ms; /* its orders are pending, and the bus is told so then; 0: it need not be */
    bool waits_for_token, token_renewed;
    int token_number;      /* of the one that the request on its way has */
    bool place_given_back; /* no longer counted in slot->running */
    int http_status;
    int64_t delay_ms;                                      /* until the next attempt */
    const char *request_text, *response_text, *request_id; /* job's arena */
    enum fate fate;     /* of the conversation: an errand's, and of the items that have no verdict of their own */
    const char *who_is; /* id for logs */
};

struct attempt_list {
    struct attempt *first, *last;
};

struct publishing {            /* one publish that waits for its PUBACK */
    struct queue_entry *entry; /* NULL: free */
    bool too_large;            /* it waits for none: not sent, a dead letter */
    bool refused;              /* nor this one: the broker ends the link for it, */
    int reason;                /* and says that */
};

struct alert {
    const char *kind, *target, *operation, *route; /* kind, and where it is about one: NULL else */
    const char *reason;
};

struct confirmed { /* settled by a webhook while it waited to be sent again */
    struct slot *slot;
    int64_t seq;
    enum delivery_state was;
    char *route;
};

struct dispatch {
    struct dispatch_options options;
    struct slot *slots; /* targets, then the bus as the last */
    size_t slot_count, next_slot;
    struct slot *bus;
    struct strays *strays;
    struct mqtt *mqtt;
    struct attempt_list starting, running, finished;
    struct publishing *publishing;
    size_t publishing_count, publishing_open;
    uint64_t *acked; /* indexes into publishing */
    size_t acked_count, acked_cap;
    int64_t acked_since_ms; /* the first of them */
    int64_t now_ms, wall_ms;
    int64_t stamp_ms; /* of this turn's attempts: the wall time, and no other turn's */
    _Atomic bool noticed;
    size_t added;         /* deliveries to the bus in this turn's transaction */
    struct alert *alerts; /* to be told with the next turn */
    size_t alert_count, alert_cap;
    struct confirmed *confirmed; /* likewise */
    size_t confirmed_count, confirmed_cap;
    size_t publishing_hint;
    struct queue_entry *suspect; /* taken, to be published alone; NULL: none */
    bool suspect_sent;
    int64_t suspect_sent_ms;
    bool link_up; /* as publish_pick saw it last, */
    int64_t link_since_ms;
    bool draining;
    int64_t store_pause_until_ms;   /* the store failed: wait */
    int64_t publish_pause_until_ms; /* one could not be sent */
    int64_t stale_at_ms;            /* wall: an order may have turned stale */
    int64_t show_at_ms;             /* an attempt's orders may have to be shown as pending */
    int64_t forget_at_ms;           /* records are looked at for what is over, */
    char *forgot_up_to;             /* up to this one; NULL: none yet */
};

/* attempt.c */
struct attempt *attempt_create(struct dispatch *d, struct slot *slot, struct line *line, struct queue_entry *entry);
struct attempt *attempt_create_errand(struct dispatch *d, struct slot *slot, struct errand *errand);
void attempt_destroy(struct attempt *attempt);
void attempt_examine(struct dispatch *d, struct attempt *attempt); /* may refuse it without asking the plugin */
void attempt_run(struct dispatch *d, struct attempt *attempt);     /* after the count was committed */
void attempt_conclude(struct dispatch *d, struct attempt *attempt,
                      enum bb_next verdict);                    /* decides its fate, to `finished` */
void attempt_send(struct dispatch *d, struct attempt *attempt); /* the plugin's request */
/* What the plugin answered. */
void attempt_go_on(struct dispatch *d, struct attempt *attempt, enum bb_next next, int64_t took_us);
/* attempt_cell.c */
void attempt_ask_cell(struct dispatch *d, struct attempt *attempt); /* attempt_go_on follows, or its conclusion */
void attempt_keep_response(struct attempt *attempt,
                           const struct http_result *result); /* attempt_answer.c: for people, */
void attempt_hand_response(struct attempt *attempt, const struct http_result *result); /* for the plugin, */
enum bb_next attempt_take_answer(struct attempt *attempt, enum bb_next next);          /* the plugin's */
void attempt_scrub_errors(struct attempt *attempt);                                    /* and what it said of it */
const char *attempt_held_operation(const struct attempt *attempt);                     /* "": the whole target */
const char *attempt_owner_action(const struct bb_error *error); /* what its error asks a person to do */
void attempt_list_append(struct attempt_list *list, struct attempt *attempt);
void attempt_list_remove(struct attempt_list *list, struct attempt *attempt);

/* token.c */
bool token_is_ready(const struct dispatch *d, const struct attempt *attempt);
void token_wait(struct dispatch *d, struct attempt *attempt); /* attempt_send follows, or its conclusion */
bool token_renews(struct dispatch *d, struct attempt *attempt, int status); /* true: the answer was not the last word */

/* batch.c */
void batch_init(const struct dispatch *d, struct slot *slot);
int batch_load(const struct dispatch *d, struct slot *slot, int64_t now_ms); /* what the last process had begun */
/* Fills in what it may share a request with. key: memory for it */
void batch_admit(const struct dispatch *d, const struct slot *slot, const struct delivery_head *head,
                 struct queue_delivery *delivery, struct buf *key);
int batch_start(struct dispatch *d, struct attempt *attempt); /* inside the transaction: counts and freezes */
void batch_started(struct attempt *attempt);                  /* it is committed */

/* recover.c: at start */
int recover_deliveries(struct dispatch *d);
uint64_t recover_crumb(int64_t seq, bool sent); /* sent: something was, in this attempt */
uint64_t recover_crumb_errand(const char *target);

/* writes.c: max_writes. Wall time; writes NULL: no limit */
struct writes *writes_create(const struct config_target *config);
void writes_load(struct writes *writes, struct store_session *session, const char *target, int64_t now_ms);
bool writes_spend(struct writes *writes, size_t count, int64_t now_ms); /* false: that would be too many */
int64_t writes_spent(struct writes *writes, int64_t now_ms);            /* not NULL */
int writes_store(struct writes *writes, struct store_session *session, const char *target); /* inside the transaction */
void writes_stored(struct writes *writes);                                                  /* it is committed */
void writes_forget(struct writes *writes);                                                  /* a person looked */

/* ledger.c */
void count_at_start(void *context, const struct delivery_count *count);
void count_moved(const char *route, const char *target, enum delivery_state from, enum delivery_state to);
void count_coalesced(const char *route, const char *target); /* a pending one into a newer */

/* settle.c: inside the transaction, as orders.c and announce.c */
int settle_attempt(struct dispatch *d, struct attempt *attempt);
int settle_published(struct dispatch *d, const struct publishing *publishing);

/* orders.c: the common record, kept and announced */
int orders_note_event(struct dispatch *d, struct attempt *attempt, const struct job_event *emitted,
                      struct event_facts *facts); /* what a target says */
/* By its common id; record->order.common_work_order_id NULL: there is none. order_record_finish() it. */
int orders_find(struct dispatch *d, const char *common_id, struct order_record *record);
int orders_find_by_source(struct dispatch *d, const char *target, const char *source_id, struct order_record *record);
int orders_put(struct dispatch *d, struct work_order *order); /* says itself until when it is fresh */

/* orders_own.c: what our writes make of a record */
void orders_examine(struct dispatch *d, struct attempt *attempt); /* may refuse it, as attempt_examine */
int orders_begin(struct dispatch *d, struct attempt *attempt, const struct item *item);
int orders_note_own(struct dispatch *d, struct attempt *attempt, struct item *item); /* what it came to */
int orders_note_operator(struct dispatch *d, const char *order_id, enum delivery_state to);

/* orders_time.c: what nobody answers or confirms in time, and what is over for long */
void orders_show_later(struct dispatch *d, struct attempt *attempt); /* its orders are pending */
bool orders_time_is_up(const struct dispatch *d);
int orders_let_time_pass(struct dispatch *d);
int64_t orders_next_due(const struct dispatch *d); /* steady */

/* announce.c: deliveries to the bus */
int announce_order(struct dispatch *d, const struct work_order *order);
int announce_forgotten(struct dispatch *d, const struct work_order *order); /* takes the retained record away */
int announce_event(struct dispatch *d, struct event_facts *facts, const char *lane);
int announce_alert(struct dispatch *d, const struct alert *alert);
/* answer.c: what became of a command, where it asked for it, once it is over */
int answer_command(struct dispatch *d, const char *route, int64_t seq);
int announce_failure(struct dispatch *d, struct attempt *attempt, const struct item *item);
void announce_release(struct dispatch *d); /* what was added is stored: it is counted and stands in line */
/* A word of the target's that no line of its tables maps: told once, with the first order that brought it. */
int announce_unmapped(struct dispatch *d, const struct event_facts *event, enum word_list list, const char *source);

/* publish.c */
bool publish_pick(struct dispatch *d); /* sends what it may, collects completions; true: acks to store */
void publish_go(struct dispatch *d, bool stored);
int64_t publish_next_due(const struct dispatch *d);

/* errand.c */
void errand_init(struct slot *slot);
void errand_pick(struct dispatch *d, struct slot *slot);
void errand_release(struct dispatch *d, struct attempt *attempt);
void errand_take_back(struct dispatch *d, struct attempt *attempt); /* the turn was not stored */
int64_t errand_next_due(const struct slot *slot);

/* refill.c */
void refill_lines(struct dispatch *d); /* all of them, as far as there is room */
bool refill_is_wanted(const struct line *line);
void line_add(const struct dispatch *d, struct slot *slot, struct line *line, const struct delivery_head *head,
              int64_t due_ms, bool ahead);

/* dispatch.c */
bool slot_may_send(const struct dispatch *d, const struct slot *slot);
struct slot *dispatch_slot(const struct dispatch *d, const char *name);
const struct op_hold *slot_hold(const struct slot *slot, const char *operation); /* its own or the whole target's */
void slot_set_hold(struct slot *slot, const char *operation, const char *reason,
                   int64_t since_ms); /* reason NULL: off */
void slot_note_answer(struct dispatch *d, struct slot *slot, struct attempt *attempt, bool healthy);
void slot_distrust(struct dispatch *d,
                   struct slot *slot); /* before its failure is noted, which opens the breaker at once */
extern const char mend_certificate[];

#endif
