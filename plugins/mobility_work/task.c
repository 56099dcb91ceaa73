/* SPDX-License-Identifier: Apache-2.0 */
/* task.schedule and what work_order.create becomes: POST /partners/v1/tasks (MW-E08).
 *
 * A call that Mobility Work would refuse is not made: each member is checked here by the contract's rules and
 * what is wrong is named with its JSON Pointer. The answer to a task that was made holds no id, so the task
 * carries ours in its metadata, where its webhooks bring it back (U16). */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>

#define PATH "/partners/v1/tasks"
#define DESCRIPTION_MIN 3
#define DESCRIPTION_MAX 3000

/* What to send for a member; NULL when there is nothing to send, after a fault or without. gives */
typedef struct json_object *read_member(struct mw_task *task, const char *pointer, struct json_object *value);

static struct json_object *wrong_type(struct mw_task *task, const char *pointer, const char *sentence)
{
    pl_fault(&task->faults.said, pointer, "type", NULL, sentence);
    return NULL;
}

static struct json_object *read_equipment(struct mw_task *task, const char *pointer, struct json_object *value)
{
    return mw_identifier(&task->faults, MW_EQUIPMENT, pointer, value);
}

static struct json_object *read_description(struct mw_task *task, const char *pointer, struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string))
        return wrong_type(task, pointer, "must be a string");
    int length = pl_characters(value);
    if (length >= DESCRIPTION_MIN && length <= DESCRIPTION_MAX)
        return json_object_get(value);
    struct json_object *parameters = json_object_new_object();
    json_object_object_add(parameters, "min", json_object_new_int(DESCRIPTION_MIN));
    json_object_object_add(parameters, "max", json_object_new_int(DESCRIPTION_MAX));
    json_object_object_add(parameters, "length", json_object_new_int(length));
    pl_fault(&task->faults.said, pointer, length < DESCRIPTION_MIN ? "min_length" : "max_length", parameters,
             "must hold 3 to 3000 characters");
    return NULL;
}

static struct json_object *read_time(struct mw_task *task, const char *pointer, struct json_object *value)
{
    int64_t ms;
    if (json_object_is_type(value, json_type_string) && pl_read_time(json_object_get_string(value), &ms))
        return json_object_get(value);
    pl_fault(&task->faults.said, pointer, "date_time", NULL,
             "must be an RFC 3339 date-time with offset, such as 2022-01-11T09:00:00+00:00");
    return NULL;
}

static struct json_object *read_end(struct mw_task *task, const char *pointer, struct json_object *value)
{
    struct json_object *end = read_time(task, pointer, value), *start = pl_at(task->request, "/startDateTime");
    int64_t start_ms, end_ms;
    if (end && start && pl_read_time(json_object_get_string(start), &start_ms) &&
        pl_read_time(json_object_get_string(end), &end_ms) && end_ms < start_ms)
        pl_fault(&task->faults.said, pointer, "end_before_start", NULL, "must not be before the start"); /* U18 */
    return end;
}

static struct json_object *read_bool(struct mw_task *task, const char *pointer, struct json_object *value)
{
    return json_object_is_type(value, json_type_boolean) ? json_object_get(value)
                                                         : wrong_type(task, pointer, "must be true or false");
}

static struct json_object *read_identifiers(struct mw_task *task, enum mw_kind kind, const char *pointer,
                                            struct json_object *value)
{
    const struct mw_call *call = task->faults.call;
    if (!json_object_is_type(value, json_type_array))
        return wrong_type(task, pointer, "must be an array");
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        struct json_object *item = json_object_array_get_idx(value, i);
        if (!item && !call->in)
            continue; /* a template: not known yet */
        struct json_object *identifier =
            mw_identifier(&task->faults, kind, call->host->format(call->job, "%s/%zu", pointer, i), item);
        if (identifier)
            json_object_array_add(list, identifier);
    }
    return list;
}

static struct json_object *read_assignees(struct mw_task *task, const char *pointer, struct json_object *value)
{
    if (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0) {
        struct json_object *parameters = json_object_new_object();
        json_object_object_add(parameters, "min", json_object_new_int(1));
        pl_fault(&task->faults.said, pointer, "min_items", parameters, "must name at least one assignee"); /* U18 */
        return NULL;
    }
    return read_identifiers(task, MW_ASSIGNEE, pointer, value);
}

static struct json_object *read_tags(struct mw_task *task, const char *pointer, struct json_object *value)
{
    return read_identifiers(task, MW_TAG, pointer, value);
}

static struct json_object *read_checklist(struct mw_task *task, const char *pointer, struct json_object *value)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const char *text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    size_t i = 0;
    while (i < sizeof shape - 1 && text[i] &&
           (shape[i] == '-' ? text[i] == '-' : strchr("0123456789abcdefABCDEF", text[i]) != NULL))
        i++;
    if (i == sizeof shape - 1 && text[i] == '\0')
        return json_object_get(value);
    pl_fault(&task->faults.said, pointer, "uuid", NULL, "must be a checklist's UUID, or null");
    return NULL;
}

/* Deprecated by Mobility Work and about to be removed: accepted for the sake of old messages, never sent. */
static struct json_object *drop_email_to_creator(struct mw_task *task, const char *pointer, struct json_object *value)
{
    const struct mw_call *call = task->faults.call;
    (void)pointer;
    if (call->in && json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value))
        call->host->log(call->job, BB_LOG_WARN, "emailToCreator is deprecated by Mobility Work and was not sent");
    return NULL;
}

static struct json_object *read_metadata(struct mw_task *task, const char *pointer, struct json_object *value)
{
    return json_object_is_type(value, json_type_object) ? json_object_get(value)
                                                        : wrong_type(task, pointer, "must be an object");
}

static const struct member {
    const char *name;
    bool required;
    read_member *read;
} members[] = {
    /* startDateTime before endDateTime, which looks at it */
    {"equipment", true, read_equipment},
    {"description", true, read_description},
    {"startDateTime", true, read_time},
    {"endDateTime", true, read_end},
    {"allDay", false, read_bool},
    {"assignees", true, read_assignees},
    {"tags", false, read_tags},
    {"checklist", false, read_checklist},
    {"emailToCreator", false, drop_email_to_creator},
    {"sendEmailToAssignees", false, read_bool},
    {"inheritEquipmentTags", false, read_bool},
    {"metadata", false, read_metadata},
};

/* Where the message says it, or would. */
const char *mw_task_pointer(const struct mw_task *task, const char *pointer)
{
    const struct mw_call *call = task->faults.call;
    const size_t len = *pointer ? 1 + strcspn(pointer + 1, "/") : 0; /* its first token */
    const char *elsewhere = mw_text_at(call, task->pointers, mw_text(call, (struct bb_str){pointer, len}));
    return elsewhere ? call->host->format(call->job, "%s%s", elsewhere, pointer + len)
                     : call->host->format(call->job, "%s%s", len ? task->place : "", pointer);
}

static void read_one(struct mw_task *task, const struct member *member)
{
    struct json_object *value = NULL, *send = NULL;
    bool there = json_object_object_get_ex(task->given, member->name, &value);
    const struct mw_call *call = task->faults.call;
    bool missing = member->required && !value && !(there && !call->in); /* null in a template: not known yet */
    if (!value && !missing)
        return;
    const char *pointer = mw_task_pointer(task, call->host->format(call->job, "/%s", member->name));
    if (missing)
        pl_fault(&task->faults.said, pointer, "required", NULL, "is required");
    else
        send = member->read(task, pointer, value);
    if (send)
        json_object_object_add(task->request, member->name, send);
}

static void read_members(struct mw_task *task)
{
    const char *names[PL_COUNT(members)];
    if (!task->given)
        return;
    for (size_t i = 0; i < PL_COUNT(members); i++) {
        names[i] = members[i].name;
        read_one(task, &members[i]);
    }
    pl_fault_unknown(&task->faults.said, task->given, task->place, names, PL_COUNT(members));
}

/* What the message leaves open, as the target's settings have it. */
void mw_task_put_defaults(struct mw_task *task)
{
    const struct mw_call *call = task->faults.call;
    const char *text = call->config->defaults;
    PL_SCOPED struct json_object *defaults = pl_parse_text(text);
    json_object_object_foreach(defaults, name, value)
    {
        struct json_object *own = NULL;
        if (!json_object_object_get_ex(task->given, name, &own) || (!own && call->in))
            json_object_object_add(task->given, name, json_object_get(value));
    }
}

static void take_body(struct mw_task *task, struct json_object *body)
{
    task->given = json_object_get(body);
    mw_task_put_defaults(task);
}

typedef void read_body(struct mw_task *task, struct json_object *body);

static void start(struct mw_task *task, const struct mw_call *call, struct bb_str text, read_body *read)
{
    PL_SCOPED struct json_object *body = pl_parse(text);
    *task = (struct mw_task){.faults = mw_no_faults(call), .place = "", .request = json_object_new_object()};
    if (json_object_is_type(body, json_type_object))
        read(task, body);
    else if (body || call->in) /* in a template null: all of it is not known yet */
        wrong_type(task, "", "must be a JSON object");
}

static void finish(struct mw_task *task)
{
    pl_put(&task->given);
    pl_put(&task->pointers);
    pl_put(&task->request);
}

/* ---- sending it ------------------------------------------------------------------*/

/* The message's metadata with our marks beside its own members. */
static void put_marks(struct mw_task *task)
{
    const struct bb_message *message = task->faults.call->in->messages;
    struct json_object *metadata = json_object_new_object(), *own = NULL;
    if (json_object_object_get_ex(task->request, "metadata", &own)) {
        json_object_object_foreach(own, key, value) json_object_object_add(metadata, key, json_object_get(value));
    }
    json_object_object_add(metadata, MW_MARK_DELIVERY, json_object_new_string(message->id));
    if (message->order_id)
        json_object_object_add(metadata, MW_MARK_ORDER, json_object_new_string(message->order_id));
    json_object_object_add(task->request, "metadata", metadata);
}

/* What the task is about, for the order's record: the equipment as the message has it. */
static const char *asset_of(const struct mw_task *task)
{
    const struct mw_call *call = task->faults.call;
    struct json_object *typed = pl_at(task->given, "/equipment/value");
    struct json_object *value = typed ? typed : pl_at(task->given, "/equipment");
    return value ? call->host->format(call->job, "%s", json_object_get_string(value)) : NULL;
}

struct verb {
    read_body *read;
    const char *fault_code, *fault_subject;
};

static const struct verb schedule = {take_body, "invalid_task", "the task would be refused"};
static const struct verb create = {mw_order_as_task, "invalid_work_order", "the work order would be refused"};

static enum bb_next send_task(struct mw_task *task, const struct verb *verb)
{
    const struct mw_call *call = task->faults.call;
    read_members(task);
    if (task->faults.said.count > 0)
        return pl_reject_faults(&task->faults.said, call->out, verb->fault_code, verb->fault_subject);
    if (!json_object_object_get_ex(task->request, "allDay", NULL)) /* required; the API calls true its default */
        json_object_object_add(task->request, "allDay", json_object_new_boolean(true));
    put_marks(task);
    *call->in->state = (void *)(uintptr_t)asset_of(task); /* for the answer */
    call->out->request = (struct bb_request){.method = "POST", .path = PATH, .body = mw_print(call, task->request)};
    return BB_SEND;
}

/* 201 with null is all that is promised (MW-C05): the status is the proof, there is nothing to read. Only of a refusal
 * the message is read again, for where in it stands what was refused. */
static enum bb_next take_answer(const struct mw_call *call, const struct verb *verb)
{
    const int status = call->in->response->status;
    struct mw_task task;
    if (status >= 200 && status <= 299) {
        const enum bb_next made = mw_judge_write(call);
        if (made == BB_DONE)
            call->out->asset_ref = *call->in->state;
        return made;
    }
    start(&task, call, call->in->messages[0].body, verb->read);
    enum bb_next next = mw_judge_task(&task);
    finish(&task);
    return next;
}

static enum bb_next step(const struct mw_call *call, const struct verb *verb)
{
    struct mw_task task;
    if (call->in->response)
        return take_answer(call, verb);
    start(&task, call, call->in->messages[0].body, verb->read);
    enum bb_next next = send_task(&task, verb);
    finish(&task);
    return next;
}

enum bb_next mw_task_schedule(const struct mw_call *call)
{
    return step(call, &schedule);
}

enum bb_next mw_order_create(const struct mw_call *call)
{
    return step(call, &create);
}

static const char *check_body(const struct mw_call *call, struct bb_str body, const struct verb *verb)
{
    struct mw_task task;
    start(&task, call, body, verb->read);
    read_members(&task);
    finish(&task);
    return task.faults.said.text;
}

const char *mw_task_check(const struct mw_call *call, struct bb_str body)
{
    return check_body(call, body, &schedule);
}

const char *mw_order_check(const struct mw_call *call, struct bb_str body)
{
    return check_body(call, body, &create);
}

/* ---- options ---------------------------------------------------------------------*/

const char *mw_task_options(const struct mw_call *call)
{
    const char *text = call->config->defaults;
    struct mw_task task = {.faults = mw_no_faults(call), .place = "", .request = json_object_new_object()};
    task.given = pl_parse_text(text);
    if (!json_object_is_type(task.given, json_type_object))
        wrong_type(&task, "", "must be a map of a task's members, such as {assignees: [jane@example.com]}");
    for (size_t i = 0; i < PL_COUNT(members) && task.faults.said.count == 0; i++) /* none is required */
        if (!json_object_object_get_ex(task.given, members[i].name, NULL))
            json_object_object_add(task.given, members[i].name, NULL);
    if (task.faults.said.count == 0)
        read_members(&task);
    finish(&task);
    return task.faults.said.text ? call->host->format(call->job, "defaults: %s", task.faults.said.text) : NULL;
}
