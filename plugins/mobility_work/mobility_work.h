/* The rooms of the mobility_work plugin. Everything here lives within one call of the core: text comes from
 * the job's memory, JSON objects are put before the call returns. Ids such as MW-C17 name the rules of Mobility
 * Work's API that the code follows. */
#ifndef MOBILITY_WORK_H
#define MOBILITY_WORK_H

#include <busbar/plugin.h>

#include "../common/faults.h"
#include "../common/json.h"

/* Members of the network's settings that are kept as notes of the target. */
#define MW_NOTE_NETWORK "network_id"
#define MW_NOTE_CURRENCY "currency"
#define MW_NOTE_TIMEZONE "timezone"

/* Members of a task's metadata by which its webhooks are recognised (U16). */
#define MW_MARK_DELIVERY "busbarId"
#define MW_MARK_ORDER "busbarOrder"

struct mw_config {
    const char *network_name;
    const char *equipment_type, *assignee_type, *tag_type, *spare_part_type;
    const char *defaults; /* JSON: members of every task */
    int64_t task_duration_ms;
    const char *plan_path, *plan_method, *plan_body, *plan_success;
    const char *currency; /* NULL: the network's */
    const char *part_price_member, *part_price_body, *part_stock_member, *part_stock_body;
};

struct mw_call {
    const struct bb_host *host;
    struct bb_job *job;
    const struct mw_config *config;
    const struct bb_in *in; /* NULL in check */
    struct bb_out *out;     /* NULL in check */
};

/* ---- job memory ------------------------------------------------------------------*/

static inline struct bb_str mw_print(const struct mw_call *call, struct json_object *value)
{
    return pl_print(call->host, call->job, value);
}

static inline const char *mw_text(const struct mw_call *call, struct bb_str text)
{
    return pl_text(call->host, call->job, text);
}

static inline const char *mw_text_at(const struct mw_call *call, struct json_object *root, const char *pointer)
{
    return pl_text_at(call->host, call->job, root, pointer);
}

static inline const char *mw_print_time(const struct mw_call *call, int64_t ms)
{
    return pl_print_time(call->host, call->job, ms);
}

struct mw_faults {
    const struct mw_call *call;
    struct pl_faults said;
};

static inline struct mw_faults mw_no_faults(const struct mw_call *call)
{
    return (struct mw_faults){.call = call, .said = {.host = call->host, .job = call->job}};
}

/* ---- identifier.c: MW-C17 ------------------------------------------------------*/

enum mw_kind { MW_EQUIPMENT, MW_ASSIGNEE, MW_TAG, MW_SPARE_PART };
/* The typed form of an identifier as a person may write it; NULL after a fault. gives */
struct json_object *mw_identifier(struct mw_faults *faults, enum mw_kind kind, const char *pointer,
                                  struct json_object *value);

/* ---- answer.c: MW-C05, C07, C08, C20 -------------------------------------------*/

/* The shared classifier, refined by what Mobility Work's error body says. */
enum bb_next mw_judge(const struct mw_call *call);
/* The same of a write, which is done by 201 and 202 alone (MW-C05): another 2xx is another's. */
enum bb_next mw_judge_write(const struct mw_call *call);
/* What a refusal says of the items of an array: fills the errors of those that it names by index, with pointers into
 * the item. Answers how many. */
size_t mw_refused_items(const struct mw_call *call, struct bb_error *errors, size_t count);

/* ---- money.c: MW-C13 -------------------------------------------------------------*/

#define MW_NO_MINOR_UNIT (-1)
bool mw_is_currency(const char *code);
int mw_minor_unit(const char *currency); /* decimals, or MW_NO_MINOR_UNIT */
/* A decimal's text times 10^places, exactly; false when it is no decimal from 0 or something would be lost. */
bool mw_shift_decimal(const char *text, int places, int64_t *out);

/* ---- item.c: an item of a bulk call -------------------------------------------------*/

/* What the items of a call share. */
struct mw_items {
    const struct mw_call *call;
    struct json_tokener *parser;
    struct json_object *price_body, *stock_body; /* templates of a new part's two objects */
    const char *currency;                        /* of a price that names none; NULL: nobody knows */
};

struct mw_item {
    const struct mw_items *shared;
    struct mw_faults faults;
    struct json_object *given, *request;
    bool no_currency; /* a price names none, and nobody else does */
    bool too_large;
};

#define MW_REQUIRED 1u
#define MW_UNSETS 2u   /* null is sent: unset */
#define MW_NOT_NULL 4u /* null is a fault */
#define MW_MEMBERS_MAX 16

struct mw_member {
    const char *pointer; /* "/name" */
    /* What to send; NULL after a fault, or in a template. gives */
    struct json_object *(*read)(struct mw_item *item, const struct mw_member *member, struct json_object *value);
    unsigned flags;
    int min, max;                                           /* characters; max 0: any */
    const char *(*sent_as)(const struct mw_config *config); /* NULL: by its own name */
};

struct mw_bulk {
    const char *method, *path;
    const char *fault_code, *fault_subject;
    const struct mw_member *members;
    size_t member_count;
    bool open_ended; /* other members are passed on */
};

void mw_items_start(struct mw_items *items, const struct mw_call *call);
void mw_items_finish(struct mw_items *items);
void mw_item_start(struct mw_item *item, const struct mw_items *items, struct bb_str body);
void mw_item_read(struct mw_item *item, const struct mw_bulk *bulk);
void mw_item_finish(struct mw_item *item);
const char *mw_item_options(const struct mw_call *call); /* NULL, or what is wrong with them */

#define MW_READER(name) \
    struct json_object *name(struct mw_item *item, const struct mw_member *member, struct json_object *value)
MW_READER(mw_read_text);
MW_READER(mw_read_gtin);
MW_READER(mw_read_location);
MW_READER(mw_read_whole);
MW_READER(mw_read_number);
MW_READER(mw_read_bool);
MW_READER(mw_read_part);
MW_READER(mw_read_equipment);
MW_READER(mw_read_texts);
MW_READER(mw_read_objects);
MW_READER(mw_read_place);
MW_READER(mw_read_price);
MW_READER(mw_read_new_price);
MW_READER(mw_read_new_stock);
#undef MW_READER

/* ---- bulk.c, batch.c: the operations of many items --------------------------------------*/

extern const struct mw_bulk mw_spare_part_create, mw_spare_part_set_stock, mw_spare_part_update, mw_spare_part_relocate,
    mw_equipment_create, mw_equipment_update, mw_location_create;
enum bb_next mw_bulk_step(const struct mw_call *call, const struct mw_bulk *bulk);
const char *mw_bulk_check(const struct mw_call *call, const struct mw_bulk *bulk, struct bb_str body);

/* ---- task.c, order.c: a task, and the work order that becomes one --------------------------*/

struct mw_task {
    struct mw_faults faults;
    struct json_object *given;    /* in Mobility Work's words */
    const char *place;            /* in the message where its members stand: "" or "/native" */
    struct json_object *pointers; /* name -> pointer of those that stand elsewhere; NULL: none do */
    struct json_object *request;
};

void mw_task_put_defaults(struct mw_task *task);
/* A pointer into the task, as one into the message. */
const char *mw_task_pointer(const struct mw_task *task, const char *pointer);
/* mw_judge, with pointers into the message. */
enum bb_next mw_judge_task(const struct mw_task *task);
/* Fills given from a work order's common words. */
void mw_order_as_task(struct mw_task *task, struct json_object *body);

/* ---- the other operations: one file each ----------------------------------------------*/

enum bb_next mw_task_schedule(const struct mw_call *call);
const char *mw_task_check(const struct mw_call *call, struct bb_str body);
enum bb_next mw_order_create(const struct mw_call *call);
const char *mw_order_check(const struct mw_call *call, struct bb_str body);
const char *mw_task_options(const struct mw_call *call); /* NULL, or what is wrong with them */
enum bb_next mw_plan_trigger(const struct mw_call *call);
const char *mw_plan_check(const struct mw_call *call, struct bb_str body);
const char *mw_plan_options(const struct mw_call *call); /* NULL, or what is wrong with them */
enum bb_next mw_network_settings(const struct mw_call *call);
enum bb_next mw_decode(const struct mw_call *call);

/* webhooks.c: the names of all that it knows */
extern const char *const mw_event_names[];

#endif
