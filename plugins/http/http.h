/* The rooms of the http plugin. What a target's settings say is JSON, read once by open and kept; everything else
 * lives within one call of the core: text comes from the job's memory, JSON objects are put before the call returns. */
#ifndef HTTP_PLUGIN_H
#define HTTP_PLUGIN_H

#include <busbar/plugin.h>

#include "../common/faults.h"
#include "../common/json.h"

#define HT_ID_MAX 200

struct ht_config { /* as the core fills it: JSON */
    const char *operations, *record, *answers, *errors, *headers, *webhook, *poll_orders;
};

struct ht_self {
    struct json_object *operations, *record, *answers, *errors, *headers, *webhook, *poll_orders;
    struct bb_operation *table; /* by the order of operations */
    size_t count;
    const char **dedup; /* NULL-terminated */
};

enum ht_stage { HT_START, HT_LOOKING, HT_FINDING, HT_SENT, HT_READING };

/* What an attempt remembers from one request to the next. */
struct ht_state {
    enum ht_stage stage;
    int page;                   /* so many were read */
    int records;                /* so many were told */
    const char *cursor, *query; /* poll: where the next page begins; the whole query that the last one named */
    int64_t newest;             /* poll: of what was seen; 0: nothing was */
    const char *found;          /* JSON of what was looked up, by its name; NULL: nothing yet */
};

struct ht_call {
    const struct bb_host *host;
    struct bb_job *job;
    const struct ht_self *self;
    const struct bb_in *in; /* NULL in check and open */
    struct bb_out *out;     /* the same */
    struct ht_state *state; /* the same, and in decode */
};

/* ---- template.c: text and JSON with {placeholders} ------------------------------------*/

/* What placeholders mean. */
struct ht_scope {
    const struct ht_call *call;
    struct json_object *body;  /* the message's: {/pointer} */
    struct json_object *found; /* {find.name}; when settings are checked: what can be */
    struct pl_faults faults;
    int64_t since_ms;     /* {since}; 0: there is none */
    bool polls;           /* {since}, {page}, {offset} and {cursor} mean something */
    bool messages;        /* {id}, {order_id}, {topic} and {/pointer} do */
    int size, first_page; /* of pages, for {offset} and {page} */
};

/* What values must not break out of: a URL's segment or query, the text of XML. */
enum ht_encoding { HT_PLAIN, HT_URL, HT_XML };

/* Text with each placeholder replaced, encoded. NULL: it is one optional placeholder, and there is nothing. What is
 * missing is a fault. */
const char *ht_fill_text(struct ht_scope *scope, const char *template, enum ht_encoding encoding);
/* Text that is one placeholder keeps the type of its value. Members of which nothing is left are left out. gives */
struct json_object *ht_fill(struct ht_scope *scope, struct json_object *template);
/* NULL, or what is wrong with a template's text. */
const char *ht_template_fault(const struct ht_scope *scope, const char *template);
/* Calls `use` with each pointer into the message's body, and whether it must be there. */
typedef void ht_use(void *context, const char *pointer, bool needed);
void ht_each_pointer(const struct ht_call *call, struct json_object *template, ht_use *use, void *context);

/* ---- times.c ------------------------------------------------------------------------------*/

/* RFC 3339, the same with a space or without an offset (then *local, and as if it were UTC), Unix seconds or
 * milliseconds. */
bool ht_read_time(const struct ht_call *call, struct json_object *value, int64_t *ms, bool *local);
/* date, datetime, iso, seconds, ms; len 0: RFC 3339. gives */
struct json_object *ht_print_time(const struct ht_call *call, int64_t ms, const char *format, size_t len);
bool ht_read_duration(const char *text, int64_t *ms); /* 30s 15m 1h 7d */

/* ---- settings.c -----------------------------------------------------------------------------*/

void ht_check_settings(const struct ht_call *call, struct pl_faults *faults);
/* The table of operations, from settings that are good. */
void ht_make_operations(struct ht_self *self);

/* How a body is written, by its content type. */
enum ht_format { HT_JSON, HT_FORM, HT_TEXT, HT_MARKUP };
enum ht_format ht_format_of(const char *content_type); /* NULL: JSON */

/* ---- request.c ------------------------------------------------------------------------------*/

struct json_object *ht_operation(const struct ht_call *call); /* the one under way. borrows */
struct ht_scope ht_message_scope(const struct ht_call *call, struct json_object *body);
/* What `said` (an operation, a lookup, a poll) asks for; BB_SEND, or BB_REJECT with what is missing. */
enum bb_next ht_ask(struct ht_scope *scope, struct json_object *said, enum ht_stage stage);
/* NULL, or what a route's body lacks, or has that nothing reads. */
const char *ht_check_body(const struct ht_call *call, const char *operation, struct bb_str body);

/* ---- answer.c -------------------------------------------------------------------------------*/

/* The shared classifier, refined by `success`, `errors` and where an answer tells its error. answer: its body */
enum bb_next ht_judge(const struct ht_call *call, struct json_object *said, struct json_object *answer);
enum bb_next ht_odd(const struct ht_call *call, const char *what);
/* All that `match` says is so: a map from pointers to what should stand there; NULL: nothing is said. */
bool ht_matches(struct ht_scope *scope, struct json_object *match, struct json_object *item);

/* ---- record.c: a work order as the target tells it -----------------------------------------------*/

/* Text, or a number as text; NULL: neither. */
const char *ht_word_at(const struct ht_call *call, struct json_object *root, const char *pointer);
const char *ht_setting(const struct ht_call *call, struct json_object *said, const char *name);
/* A pointer into an answer, which may be "": the whole of it. NULL: not said. borrows */
const char *ht_pointer(struct json_object *said, const char *name);
/* Where `said` or the record says that it stands; NULL: nowhere. */
const char *ht_place(const struct ht_call *call, struct json_object *said, const char *name);
bool ht_read_record(const struct ht_call *call, struct json_object *said, struct json_object *record,
                    struct bb_work_order *order);
const char *ht_event_type(const struct ht_call *call, const struct bb_work_order *order);
/* False when it tells no id. *updated_ms: when it changed; 0: it does not tell. */
bool ht_emit_record(const struct ht_call *call, struct json_object *said, struct json_object *record,
                    int64_t *updated_ms);

/* ---- the conversations ----------------------------------------------------------------------------*/

enum bb_next ht_write(const struct ht_call *call);
enum bb_next ht_read(const struct ht_call *call);
enum bb_next ht_poll(const struct ht_call *call);
enum bb_next ht_decode(const struct ht_call *call);

#endif
