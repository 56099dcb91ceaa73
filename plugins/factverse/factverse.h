/* The rooms of the factverse plugin. Everything here lives within one call of the core: text comes from the job's
 * memory, JSON objects are put before the call returns. Ids such as FV-01d name the rows of FactVerse's contract,
 * F-U8 the choices where it is silent: it names no endpoint, no credential and no payload, so the shapes here are
 * ours, and what a deployment has otherwise is an option. */
#ifndef FACTVERSE_H
#define FACTVERSE_H

#include <busbar/plugin.h>

#include "../common/faults.h"
#include "../common/json.h"

#define FV_ID_MAX 128
#define FV_NOTE_CURSOR "updated_since"

struct fv_config {
    const char *provider_id, *tenant;
    const char *paths, *headers, *answers; /* JSON */
    bool poll_changes;
    int64_t poll_overlap_ms;
};

enum fv_stage { FV_START, FV_LOOKING, FV_SENT, FV_READING_AGAIN };

/* What an attempt remembers from one request to the next. */
struct fv_state {
    enum fv_stage stage;
    struct bb_error refusal; /* while the order is read again */
    int refusal_status;      /* of HTTP */
    const char *newest;      /* poll */
    int page, noted;         /* so many pages were read, so many revisions noted */
};

struct fv_call {
    const struct bb_host *host;
    struct bb_job *job;
    const struct fv_config *config;
    const struct bb_in *in; /* NULL in check and open */
    struct bb_out *out;     /* the same */
    struct fv_state *state; /* the same, and in decode */
};

/* ---- job memory ------------------------------------------------------------------*/

static inline struct bb_str fv_print(const struct fv_call *call, struct json_object *value)
{
    return pl_print(call->host, call->job, value);
}

static inline const char *fv_text_of(const struct fv_call *call, struct json_object *value)
{
    return pl_text_of(call->host, call->job, value);
}

static inline const char *fv_text_at(const struct fv_call *call, struct json_object *root, const char *pointer)
{
    return pl_text_at(call->host, call->job, root, pointer);
}

/* ---- words.c: the contract's own words -----------------------------------------------*/

bool fv_is_status(const char *word);   /* FV-04 */
bool fv_is_priority(const char *word); /* FV-01g */
bool fv_is_sync_state(const char *word);
bool fv_is_provider(const char *word);                             /* FV-01b */
const char *fv_print_time(const struct fv_call *call, int64_t ms); /* RFC 3339 UTC */
const char *fv_nearest_status(const char *word);

/* ---- shape.c: what each operation takes and what is sent for it ------------------------*/

enum fv_kind {
    FV_TEXT,
    FV_TIME,
    FV_PERCENT,
    FV_STATUS,
    FV_PRIORITY,
    FV_ORDER, /* the work order that it is about: not sent, its ids are */
    FV_NATIVE /* an object of FactVerse's members */
};

#define FV_REQUIRED 1u
#define FV_NULLABLE 2u /* null is sent: none */
#define FV_SOURCE 4u   /* of the pair of words, the provider's */

struct fv_member {
    const char *name;
    enum fv_kind kind;
    unsigned flags;
    int max; /* characters of a text */
};

#define FV_READS 1u    /* a GET: members are its query */
#define FV_MAKES 2u    /* the whole record is sent */
#define FV_CHANGES 4u  /* at least one member beside the order is wanted */
#define FV_ATTACHES 8u /* adds a document */
#define FV_ONE 16u     /* reads one order, which its path names */

struct fv_shape {
    const char *operation, *method, *path;
    const struct fv_member *members;
    size_t member_count;
    unsigned flags;
    const char *status; /* the common status that it moves to; NULL: what the message says, or none */
};

extern const struct fv_shape fv_shapes[];
extern const size_t fv_shape_count;
const struct fv_shape *fv_find_shape(const char *operation);

struct fv_message {
    const struct fv_call *call;
    const struct fv_shape *shape;
    struct pl_faults faults;
    struct json_object *given, *request;
};
/* Reads and checks all of a body, and makes the request's. */
void fv_message_read(struct fv_message *message, const struct fv_call *call, const struct fv_shape *shape,
                     struct bb_str body);
void fv_message_finish(struct fv_message *message);

/* ---- paths.c: where and with which headers, by the options ------------------------------*/

/* As FactVerse knows an order; NULL: the request is about none. */
struct fv_ids {
    const char *order_id; /* its common_work_order_id: busbar's, but for what others made */
    const char *source_id;
};

const char *fv_method(const struct fv_call *call, const struct fv_shape *shape);
const char *fv_path(const struct fv_call *call, const struct fv_shape *shape, const struct fv_ids *ids);
/* The configured ones, the tenant's and what is named; NULL value: left out. */
void fv_add_headers(const struct fv_call *call, const char *idempotency_key, const char *revision);
enum fv_place { FV_ID, FV_REVISION, FV_UPDATED, FV_ITEMS, FV_NEXT };
/* Where an answer tells it: a JSON Pointer. */
const char *fv_pointer(const struct fv_call *call, enum fv_place place);
const char *fv_options_problem(const struct fv_call *call); /* NULL: they are good */

/* ---- answer.c ------------------------------------------------------------------------------*/

/* The shared classifier, refined by what FactVerse's error record says (FV-07). */
enum bb_next fv_judge(const struct fv_call *call);

/* ---- record.c: a work order as FactVerse tells it (FV-01) ----------------------------------*/

/* False when it tells no id. Words of the wrong kind are left out and logged. */
bool fv_read_record(const struct fv_call *call, struct json_object *record, struct bb_work_order *order);
bool fv_is_foreign(const struct fv_call *call, struct json_object *record); /* of another provider: FV-09a */
/* Of the message's order. */
struct fv_ids fv_ids_of(const struct fv_call *call, const struct fv_shape *shape);
/* F-U8: the last seen revision of an order, as it goes into If-Match; NULL: none was seen. */
const char *fv_revision(const struct fv_call *call, const char *id);
void fv_note_revision(const struct fv_call *call, const char *id, const char *revision); /* NULL: unknown now */
/* Of the answer that the call holds: its ETag, else what its body tells. */
const char *fv_answered_revision(const struct fv_call *call, struct json_object *body);
/* What news tells of it: not a lower number than is known. And FactVerse's own reference of what others made. */
void fv_note_told(const struct fv_call *call, struct json_object *record, const struct bb_work_order *order);
void fv_emit_record(const struct fv_call *call, struct json_object *record);

/* ---- the conversations -----------------------------------------------------------------------*/

enum bb_next fv_write(const struct fv_call *call, const struct fv_shape *shape);
enum bb_next fv_read(const struct fv_call *call, const struct fv_shape *shape);
enum bb_next fv_poll(const struct fv_call *call);
enum bb_next fv_decode(const struct fv_call *call);

#endif
