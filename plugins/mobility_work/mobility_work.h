/* The rooms of the mobility_work plugin. Everything here lives within one call of the core: text comes from
 * the job's memory, JSON objects are put before the call returns. Ids such as MW-C17 name the rules of Mobility
 * Work's API that the code follows. */
#ifndef MOBILITY_WORK_H
#define MOBILITY_WORK_H

#include <busbar/plugin.h>

struct json_object;

#define MW_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Members of the network's settings that are kept as notes of the target. */
#define MW_NOTE_NETWORK "network_id"
#define MW_NOTE_CURRENCY "currency"
#define MW_NOTE_TIMEZONE "timezone"

/* Members of a task's metadata by which its webhooks are recognised (U16). */
#define MW_MARK_DELIVERY "busbarId"
#define MW_MARK_ORDER "busbarOrder"

struct mw_config {
    const char *network_name;
    const char *equipment_type, *assignee_type, *tag_type;
    bool send_email_to_assignees, inherit_equipment_tags;
    const char *plan_path, *plan_method, *plan_body;
};

struct mw_call {
    const struct bb_host *host;
    struct bb_job *job;
    const struct mw_config *config;
    const struct bb_in *in; /* NULL in check */
    struct bb_out *out;     /* NULL in check */
};

/* ---- json.c: JSON and job memory ---------------------------------------------*/

struct json_object *mw_parse(struct bb_str text); /* NULL when it is not one JSON text, or null. gives */
void mw_put(struct json_object **value);          /* for cleanup */
#define MW_SCOPED __attribute__((cleanup(mw_put)))
struct bb_str mw_print(const struct mw_call *call, struct json_object *value); /* minified, NUL-terminated */
const char *mw_text(const struct mw_call *call, struct bb_str text);           /* NUL-terminated copy */
struct json_object *mw_at(struct json_object *root, const char *pointer);      /* borrows; NULL: absent or null */
/* A string that is not empty and holds no NUL, in job memory; else NULL. */
const char *mw_text_at(const struct mw_call *call, struct json_object *root, const char *pointer);
bool mw_matches(const char *text, size_t max, const char *extra); /* 1..max of A-Z a-z 0-9 and extra */
/* The word nearest to what was written, or NULL. */
const char *mw_nearest(const char *word, const char *const *words, size_t count);
/* RFC 3339 with an offset (MW-C15). */
bool mw_read_time(const char *text, int64_t *ms);

/* ---- faults.c: what is wrong with a body, all of it ---------------------------*/

struct mw_faults {
    const struct mw_call *call;
    struct json_object *list; /* [{"pointer","key","parameters"}] */
    const char *text;         /* the same for people; NULL: nothing is wrong */
    size_t count;
};
/* parameters: takes, NULL: none. The sentence goes on after the pointer: "must hold 3 to 3000 characters". */
void mw_fault(struct mw_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence);
/* Members that no one knows, each with the nearest known one. */
void mw_fault_unknown(struct mw_faults *faults, struct json_object *object, const char *pointer,
                      const char *const *known, size_t count);
/* Fills out->error (validation) and answers BB_REJECT. */
enum bb_next mw_reject_faults(struct mw_faults *faults, const char *code, const char *subject);
void mw_faults_finish(struct mw_faults *faults);

/* ---- identifier.c: MW-C17 ------------------------------------------------------*/

enum mw_kind { MW_EQUIPMENT, MW_ASSIGNEE, MW_TAG };
/* The typed form of an identifier as a person may write it; NULL after a fault. gives */
struct json_object *mw_identifier(struct mw_faults *faults, enum mw_kind kind, const char *pointer,
                                  struct json_object *value);

/* ---- answer.c: MW-C05, C07, C08, C20 -------------------------------------------*/

/* The shared classifier, refined by what Mobility Work's error body says. */
enum bb_next mw_judge(const struct mw_call *call);

/* ---- the operations: one file each ----------------------------------------------*/

enum bb_next mw_task_schedule(const struct mw_call *call);
const char *mw_task_check(const struct mw_call *call, struct bb_str body);
enum bb_next mw_plan_trigger(const struct mw_call *call);
const char *mw_plan_check(const struct mw_call *call, struct bb_str body);
const char *mw_plan_options(const struct mw_call *call); /* NULL, or what is wrong with them */
enum bb_next mw_network_settings(const struct mw_call *call);
enum bb_next mw_decode(const struct mw_call *call);

#endif
