/* The rooms of the assetic plugin. Everything here lives within one call of the core: text comes from the job's
 * memory, JSON objects are put before the call returns. Ids such as AS-M04 name the rules of Assetic's API that
 * the code follows, A-U15 the choices where the vendor is silent. */
#ifndef ASSETIC_H
#define ASSETIC_H

#include <busbar/plugin.h>

#include "../common/faults.h"
#include "../common/json.h"

#define AS_HOUR_MS INT64_C(3600000)

struct as_config {
    const char *user, *time_zone, *status, *remedy, *auth_pointer, *fcr_definition;
    const char *defaults; /* JSON */
    bool late_statuses, cut_description;
    double duration_factor;
    int64_t max_attachment;
    int64_t poll_overlap_ms;
};

enum as_stage { AS_START, AS_FINDING_MARK, AS_LOOKING_UP, AS_SENT };

struct as_answer {
    const char *path;
    struct bb_str body;
    bool found; /* false: 404 */
    struct as_answer *next;
};

/* What an attempt remembers from one request to the next. */
struct as_state {
    enum as_stage stage;
    const char *path;          /* of the lookup under way */
    struct as_answer *answers; /* of those that ended */
    bool cached, again;        /* one came from the cache; all are asked for anew */
    int64_t from_ms, until_ms; /* poll: the span that is asked for, wall clock of the site */
    const char *newest;        /* poll */
    int page;                  /* poll */
};

/* Set by a lookup that has no answer yet. */
struct as_want {
    const char *path;
    int64_t cache_ms;
};

struct as_call {
    const struct bb_host *host;
    struct bb_job *job;
    const struct as_config *config;
    const struct bb_in *in; /* NULL in check */
    struct bb_out *out;     /* NULL in check */
    struct as_state *state; /* NULL in check */
    struct as_want *want;
};

/* ---- guid.c, and job memory ---------------------------------------------------*/

static inline struct bb_str as_print(const struct as_call *call, struct json_object *value)
{
    return pl_print(call->host, call->job, value);
}

static inline const char *as_text_of(const struct as_call *call, struct json_object *value)
{
    return pl_text_of(call->host, call->job, value);
}

static inline const char *as_text_at(const struct as_call *call, struct json_object *root, const char *pointer)
{
    return pl_text_at(call->host, call->job, root, pointer);
}

bool as_is_guid(struct json_object *value);      /* AS-C10: any case */
bool as_is_zero_guid(struct json_object *value); /* A-U22 */
/* Id of an answer: {"Id"}, [{"Id"}] or a bare GUID; NULL: none. */
const char *as_answered_id(const struct as_call *call, struct bb_str body);

/* ---- times.c: the site's wall clock (A-U6) -------------------------------------
 * Assetic's times have no zone. A wall time here is such a text as if it were UTC, in milliseconds. */

const char *as_zone_problem(const char *posix_tz); /* NULL: it is good */
int64_t as_wall_of(const char *posix_tz, int64_t utc_ms);
int64_t as_utc_of(const char *posix_tz, int64_t wall_ms);
/* RFC 3339, the offset may be missing: then it is the site's wall time already. */
bool as_read_wall(const char *posix_tz, const char *text, int64_t *wall_ms);
const char *as_print_wall(const struct as_call *call, int64_t wall_ms);

/* ---- faults.c: what is wrong with a body, all of it ---------------------------*/

struct as_faults {
    const struct as_call *call;
    struct json_object *given; /* the message: where a member came from. borrows */
    struct pl_faults said;
};
struct as_faults as_no_faults(const struct as_call *call);
/* As pl_fault and its sisters, with a pointer of the request; what is reported is where the message says it. */
void as_fault(struct as_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence);
void as_fault_identity(struct as_faults *faults, const char *pointer, const char *key, const char *sentence);
void as_fault_unknown(struct as_faults *faults, const char *pointer, const char *name, const char *const *known,
                      size_t count);
/* ---- answer.c: AS-C07, AS-C08 ----------------------------------------------------*/

enum bb_next as_judge(const struct as_call *call);

/* ---- lookup.c: questions, each asked once in an attempt ---------------------------
 * A step starts from the message each time and asks for all it needs; what has no answer yet becomes the next
 * request. So there is no order of stages to keep, and nothing but answers to remember. */

/* NULL: no answer yet (call->want is set), or none such (404, *found false). gives */
struct json_object *as_ask(const struct as_call *call, const char *path, int64_t cache_ms, bool *found);
/* All items of a list over its pages; filter NULL: none. NULL: no answer yet. gives */
struct json_object *as_list(const struct as_call *call, const char *path, const char *filter, int64_t cache_ms);
/* "Name~eq~'value'" with quotes doubled (AS-C06). */
const char *as_equals(const struct as_call *call, const char *name, const char *value);
/* The items of one page: ResourceList of the envelope, or the array itself; NULL: neither. borrows */
struct json_object *as_items(struct json_object *answer);
/* sort, filter: NULL: none. page from 1. */
const char *as_list_path(const struct as_call *call, const char *path, const char *filter, const char *sort, int page,
                         int page_size);
enum bb_next as_send_lookup(const struct as_call *call); /* what was wanted */
enum bb_next as_take_lookup(const struct as_call *call); /* keeps the answer: BB_DONE, else the verdict */
/* Work orders with this ExternalId (A-U11). *count: how many. Id of the first, NULL: no answer yet, or none. */
const char *as_find_marked(const struct as_call *call, const char *external_id, size_t *count);

/* ---- an order's request: order.c, rules.c, resolve.c -------------------------------*/

#define AS_STATUSES 9
extern const char *const as_statuses[AS_STATUSES];
enum as_status { AS_PREP, AS_WAPPR, AS_APPR, AS_WMATL, AS_RFE, AS_INPRG, AS_TCOMP, AS_COMP, AS_ASSESS };

struct as_order {
    struct as_faults faults;
    struct json_object *given, *request;
    int status; /* enum as_status; -1: unknown */
};

void as_check_order(struct as_order *order); /* AS-M, AS-R: all that needs no look at Assetic */
const char *as_order_member(size_t i);       /* NULL: there are no more */
/* Names become ids, AS-F holds. false: an answer is missing, and call->want says which. */
bool as_resolve_order(struct as_order *order);

/* ---- the operations ------------------------------------------------------------------*/

enum bb_next as_order_create(const struct as_call *call);
const char *as_order_check(const struct as_call *call, struct bb_str body);
const char *as_order_options(const struct as_call *call); /* NULL, or what is wrong with them */
enum bb_next as_attachment_add(const struct as_call *call);
const char *as_attachment_check(const struct as_call *call, struct bb_str body);
enum bb_next as_account(const struct as_call *call);
enum bb_next as_contract(const struct as_call *call);
const char *as_contract_check(const struct as_call *call, struct bb_str body);
enum bb_next as_poll(const struct as_call *call);
/* Resource id of the API user in an answer of AS-E04, or NULL. */
const char *as_own_resource(const struct as_call *call, struct json_object *answer);

#endif
