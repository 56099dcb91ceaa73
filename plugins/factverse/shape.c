/* SPDX-License-Identifier: Apache-2.0 */
/* What each operation takes, and what is sent for it: one table. A message has the words that all targets
 * understand (asset_ref, title, priority ...) and a native block, which is merged in. What is sent is the common
 * record: the provider's word and ours always together (FV-01), and as much of it as the operation is about. */
#include "factverse.h"

#include <json-c/json.h>
#include <string.h>

#define TITLE_MAX 250
#define TEXT_MAX 4000
#define NAME_MAX 250

#define ORDER                                          \
    {                                                  \
        "work_order", FV_ORDER, FV_REQUIRED, FV_ID_MAX \
    }
#define NATIVE                    \
    {                             \
        "native", FV_NATIVE, 0, 0 \
    }
#define STATUSES                                      \
    {"common_status", FV_STATUS, 0, 0},               \
    {                                                 \
        "source_status", FV_TEXT, FV_SOURCE, NAME_MAX \
    }
#define PRIORITIES                                      \
    {"priority", FV_PRIORITY, 0, 0},                    \
    {                                                   \
        "source_priority", FV_TEXT, FV_SOURCE, NAME_MAX \
    }
#define DOCUMENT                                                                                                 \
    {"document_ref", FV_TEXT, FV_REQUIRED, 512}, {"file_name", FV_TEXT, 0, NAME_MAX}, {"url", FV_TEXT, 0, 2000}, \
        {"document_type", FV_TEXT, 0, NAME_MAX}, {"uploaded_at", FV_TIME, 0, 0},                                 \
    {                                                                                                            \
        "access_policy", FV_TEXT, 0, NAME_MAX                                                                    \
    }

static const struct fv_member create[] = {{"asset_ref", FV_TEXT, FV_REQUIRED, FV_ID_MAX},
                                          {"title", FV_TEXT, 0, TITLE_MAX},
                                          {"description", FV_TEXT, FV_NULLABLE, TEXT_MAX},
                                          {"location", FV_TEXT, FV_NULLABLE, NAME_MAX},
                                          {"sla_due_at", FV_TIME, FV_NULLABLE, 0},
                                          PRIORITIES,
                                          STATUSES,
                                          NATIVE};
static const struct fv_member update[] = {ORDER,
                                          {"asset_ref", FV_TEXT, 0, FV_ID_MAX},
                                          {"title", FV_TEXT, 0, TITLE_MAX},
                                          {"description", FV_TEXT, FV_NULLABLE, TEXT_MAX},
                                          {"location", FV_TEXT, FV_NULLABLE, NAME_MAX},
                                          {"sla_due_at", FV_TIME, FV_NULLABLE, 0},
                                          PRIORITIES,
                                          STATUSES,
                                          NATIVE};
static const struct fv_member assign[] = {ORDER,
                                          {"assignee", FV_TEXT, FV_REQUIRED, NAME_MAX},
                                          {"team", FV_TEXT, 0, NAME_MAX},
                                          {"note", FV_TEXT, 0, TEXT_MAX},
                                          NATIVE};
static const struct fv_member comment[] = {
    ORDER, {"text", FV_TEXT, FV_REQUIRED, TEXT_MAX}, {"author", FV_TEXT, 0, NAME_MAX}, NATIVE};
static const struct fv_member attach[] = {ORDER, DOCUMENT, NATIVE};
static const struct fv_member move[] = {ORDER, {"note", FV_TEXT, 0, TEXT_MAX}, NATIVE};
static const struct fv_member read_one[] = {ORDER};
static const struct fv_member search[] = {
    {"asset_ref", FV_TEXT, 0, FV_ID_MAX}, {"updated_since", FV_TIME, 0, 0}, STATUSES, PRIORITIES, NATIVE};
static const struct fv_member task_list[] = {
    {"assignee", FV_TEXT, 0, NAME_MAX}, {"asset_ref", FV_TEXT, 0, FV_ID_MAX}, {"updated_since", FV_TIME, 0, 0}, NATIVE};
static const struct fv_member progress[] = {
    ORDER, {"percent", FV_PERCENT, 0, 0}, {"note", FV_TEXT, 0, TEXT_MAX}, STATUSES, NATIVE};
static const struct fv_member issue[] = {
    ORDER, {"title", FV_TEXT, FV_REQUIRED, TITLE_MAX}, {"description", FV_TEXT, 0, TEXT_MAX}, PRIORITIES, NATIVE};
static const struct fv_member closeout[] = {ORDER,
                                            {"resolution_note", FV_TEXT, FV_REQUIRED, TEXT_MAX},
                                            {"action_taken", FV_TEXT, 0, TEXT_MAX},
                                            {"root_cause", FV_TEXT, 0, TEXT_MAX},
                                            {"completed_at", FV_TIME, 0, 0},
                                            NATIVE};

#define MEMBERS(list) (list), PL_COUNT(list)
#define ORDERS "/work-orders"
#define AN_ORDER ORDERS "/{source_work_order_id}"

const struct fv_shape fv_shapes[] = {
    {"work_order.create", "POST", ORDERS, MEMBERS(create), FV_MAKES, NULL},
    {"work_order.read", "GET", AN_ORDER, MEMBERS(read_one), FV_READS | FV_ONE, NULL},
    {"work_order.search", "GET", ORDERS, MEMBERS(search), FV_READS, NULL},
    {"work_order.update", "PATCH", AN_ORDER, MEMBERS(update), FV_CHANGES, NULL},
    {"work_order.assign", "POST", AN_ORDER "/assign", MEMBERS(assign), 0, "assigned"},
    {"work_order.comment", "POST", AN_ORDER "/comments", MEMBERS(comment), 0, NULL},
    {"work_order.attach", "POST", AN_ORDER "/attachments", MEMBERS(attach), FV_ATTACHES, NULL},
    {"work_order.complete", "POST", AN_ORDER "/complete", MEMBERS(move), 0, "completed"},
    {"work_order.close", "POST", AN_ORDER "/close", MEMBERS(move), 0, "closed"},
    {"work_order.reopen", "POST", AN_ORDER "/reopen", MEMBERS(move), 0, "reopened"},
    {"work_order.cancel", "POST", AN_ORDER "/cancel", MEMBERS(move), 0, "canceled"},
    {"attachment.add", "POST", AN_ORDER "/attachments", MEMBERS(attach), FV_ATTACHES, NULL},
    {"task.list", "GET", "/tasks", MEMBERS(task_list), FV_READS, NULL},
    {"task.progress", "POST", AN_ORDER "/progress", MEMBERS(progress), FV_CHANGES, NULL},
    {"task.issue", "POST", AN_ORDER "/issues", MEMBERS(issue), 0, NULL},
    {"task.evidence", "POST", AN_ORDER "/evidence", MEMBERS(attach), FV_ATTACHES, NULL},
    {"task.closeout", "POST", AN_ORDER "/closeout", MEMBERS(closeout), 0, "completed"},
};
const size_t fv_shape_count = PL_COUNT(fv_shapes);

const struct fv_shape *fv_find_shape(const char *operation)
{
    for (size_t i = 0; i < fv_shape_count; i++)
        if (strcmp(fv_shapes[i].operation, operation) == 0)
            return &fv_shapes[i];
    return NULL;
}

/* The contract's own fields: busbar's business, whatever a native block says. */
static const char *const reserved[] = {
    "common_work_order_id", "provider_id", "source_work_order_id", "asset_ref",  "source_status",
    "common_status",        "priority",    "source_priority",      "sla_due_at", "sync_state",
    "last_synced_at"};

/* ---- one member --------------------------------------------------------------------------*/

static const char *at(const struct fv_message *message, const char *name)
{
    return message->call->host->format(message->call->job, "/%s", name);
}

static void fault(struct fv_message *message, const struct fv_member *member, const char *key, const char *sentence)
{
    pl_fault(&message->faults, at(message, member->name), key, NULL, sentence);
}

static void put(struct fv_message *message, const char *name, struct json_object *value)
{
    json_object_object_add(message->request, name, value);
}

static void put_text(struct fv_message *message, const char *name, const char *text)
{
    put(message, name, text ? json_object_new_string(text) : NULL);
}

/* NULL after a fault. */
static const char *read_text(struct fv_message *message, const struct fv_member *member, struct json_object *value)
{
    const struct fv_call *call = message->call;
    const char *text = fv_text_of(call, value);
    if (!text) {
        fault(message, member, "type", "must be text that is not empty");
        return NULL;
    }
    if (member->max == 0 || pl_characters(value) <= member->max)
        return text;
    struct json_object *parameters = json_object_new_object();
    json_object_object_add(parameters, "max", json_object_new_int(member->max));
    json_object_object_add(parameters, "length", json_object_new_int(pl_characters(value)));
    pl_fault(&message->faults, at(message, member->name), "max_length", parameters,
             call->host->format(call->job, "must hold at most %d characters", member->max));
    return NULL;
}

static void read_time(struct fv_message *message, const struct fv_member *member, struct json_object *value)
{
    int64_t ms;
    if (json_object_is_type(value, json_type_string) && pl_read_time(json_object_get_string(value), &ms))
        put_text(message, member->name, fv_print_time(message->call, ms));
    else
        fault(message, member, "date_time",
              "must be an RFC 3339 date-time with offset, such as 2026-01-01T09:00:00+00:00");
}

static void read_percent(struct fv_message *message, const struct fv_member *member, struct json_object *value)
{
    const bool number = json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
    if (number && json_object_get_double(value) >= 0 && json_object_get_double(value) <= 100)
        put(message, member->name, json_object_get(value));
    else
        fault(message, member, "range", "must be a number from 0 to 100");
}

/* A word of one of the contract's lists. */
static void read_word(struct fv_message *message, const struct fv_member *member, struct json_object *value)
{
    const struct fv_call *call = message->call;
    const char *text = fv_text_of(call, value);
    const bool status = member->kind == FV_STATUS;
    if (text && (status ? fv_is_status(text) && strcmp(text, "unknown") != 0 : fv_is_priority(text))) {
        put_text(message, member->name, text);
        return;
    }
    const char *near = text && status ? fv_nearest_status(text) : NULL;
    const char *list = status ? "must be one of the common states" : "must be one of critical, high, medium, low";
    fault(message, member, status ? "unknown_status" : "unknown_priority",
          near ? call->host->format(call->job, "%s (did you mean %s?)", list, near) : list);
}

static bool is_reserved(const char *name)
{
    size_t i = 0;
    while (i < PL_COUNT(reserved) && strcmp(reserved[i], name) != 0)
        i++;
    return i < PL_COUNT(reserved);
}

/* Fits into a query; null: not known yet, or left out. */
static bool is_plain(struct json_object *value)
{
    return !json_object_is_type(value, json_type_object) && !json_object_is_type(value, json_type_array);
}

static void read_native(struct fv_message *message, const struct fv_member *member, struct json_object *value)
{
    if (!json_object_is_type(value, json_type_object)) {
        fault(message, member, "type", "must be an object of FactVerse's members");
        return;
    }
    json_object_object_foreach(value, name, its)
    {
        const char *pointer = pl_pointer_to(&message->faults, "/native", name);
        if (is_reserved(name))
            pl_fault(&message->faults, pointer, "reserved", NULL,
                     "is one of the contract's fields: it stands beside native, or is busbar's own");
        else if ((message->shape->flags & FV_READS) && !is_plain(its))
            pl_fault(&message->faults, pointer, "type", NULL, "must be text, a number, true or false in a question");
        else
            put(message, name, json_object_get(its));
    }
}

static void read_member(struct fv_message *message, const struct fv_member *member)
{
    struct json_object *value = NULL;
    const bool there = json_object_object_get_ex(message->given, member->name, &value);
    const bool template = !message->call->in;
    if (!value) { /* null: not known yet in a template, none where that is a value, else as if left out */
        if (!template && there && (member->flags & FV_NULLABLE))
            put(message, member->name, NULL);
        else if ((member->flags & FV_REQUIRED) && !(template && there))
            fault(message, member, "required", "is required");
        return;
    }
    const char *text;
    switch (member->kind) {
    case FV_TEXT:
        text = read_text(message, member, value);
        if (text)
            put_text(message, member->name, text);
        return;
    case FV_TIME:
        read_time(message, member, value);
        return;
    case FV_PERCENT:
        read_percent(message, member, value);
        return;
    case FV_STATUS:
    case FV_PRIORITY:
        read_word(message, member, value);
        return;
    case FV_ORDER:
        read_text(message, member, value);
        return;
    case FV_NATIVE:
        read_native(message, member, value);
        return;
    }
}

/* ---- the whole ------------------------------------------------------------------------------*/

/* FV-01: the provider's word and ours travel together; what is given of the two leads to the other. But a step is
 * said in the common word, by which the core holds it against the lifecycle before anything is sent (FV-09c). */
static void pair(struct fv_message *message, enum bb_table table, const char *source, const char *common)
{
    const struct fv_call *call = message->call;
    const char *theirs = fv_text_of(call, pl_member(message->request, source));
    const char *ours = fv_text_of(call, pl_member(message->request, common));
    if (!theirs && ours) {
        theirs = call->host->source_word(call->job, table, ours);
        put_text(message, source, theirs ? theirs : ours);
    } else if (theirs && !ours && message->call->in && table == BB_STATUSES && !(message->shape->flags & FV_MAKES)) {
        pl_fault(&message->faults, at(message, common), "required", NULL, "is required where source_status is given");
    } else if (theirs && !ours && message->call->in) {
        ours = call->host->common_word(call->job, table, theirs);
        put_text(message, common, ours);
        if (!ours)
            pl_fault(&message->faults, at(message, source), "unmapped", NULL,
                     "is a word that the target's map does not know: say the common one too, or add a line to map");
    }
}

static void add_ids(struct fv_message *message)
{
    const struct fv_ids ids = fv_ids_of(message->call, message->shape);
    put_text(message, "common_work_order_id", ids.order_id);
    put_text(message, "provider_id", message->call->config->provider_id);
    put_text(message, "source_work_order_id", ids.source_id);
    put_text(message, "sync_state", "pending");
    if (message->shape->flags & FV_MAKES)
        put(message, "last_synced_at", NULL);
}

/* FV-01a..k: in a new record each field stands, known or not. */
static void add_rest(struct fv_message *message)
{
    if (!pl_member(message->request, "common_status") && !pl_member(message->request, "source_status"))
        put_text(message, "common_status", "requested");
    for (size_t i = 0; i < PL_COUNT(reserved); i++)
        if (!json_object_object_get_ex(message->request, reserved[i], NULL))
            put(message, reserved[i], NULL);
}

/* In a template null stands for what is not known yet. */
static bool says(const struct fv_message *message, const char *name)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(message->given, name, &value) && (value || !message->call->in);
}

static void check_changes(struct fv_message *message)
{
    size_t changes = 0;
    json_object_object_foreach(message->given, name, value)
    {
        (void)value;
        changes += strcmp(name, "work_order") != 0;
    }
    if (changes == 0)
        pl_fault(&message->faults, "", "no_change", NULL, "must name something to change beside the work order");
}

static void read_all(struct fv_message *message)
{
    const struct fv_shape *shape = message->shape;
    const char *known[16];
    for (size_t i = 0; i < shape->member_count; i++)
        known[i] = shape->members[i].name;
    pl_fault_unknown(&message->faults, message->given, "", known, shape->member_count);
    for (size_t i = 0; i < shape->member_count; i++)
        read_member(message, &shape->members[i]);
    if (shape->flags & FV_CHANGES)
        check_changes(message);
    if (shape->flags & FV_MAKES && !says(message, "title") && !says(message, "description"))
        pl_fault(&message->faults, "/title", "required", NULL, "or /description is required");
    if (shape->flags & FV_MAKES && message->call->in)
        add_rest(message);
    if (shape->status)
        put_text(message, "common_status", shape->status);
    if (shape->flags & FV_READS)
        return;
    pair(message, BB_STATUSES, "source_status", "common_status");
    pair(message, BB_PRIORITIES, "source_priority", "priority");
    if (message->call->in)
        add_ids(message);
}

void fv_message_read(struct fv_message *message, const struct fv_call *call, const struct fv_shape *shape,
                     struct bb_str body)
{
    *message = (struct fv_message){.call = call,
                                   .shape = shape,
                                   .faults = {.host = call->host, .job = call->job},
                                   .given = pl_parse(body),
                                   .request = json_object_new_object()};
    if (json_object_is_type(message->given, json_type_object))
        read_all(message);
    else if (message->given || call->in) /* a template may be one placeholder */
        pl_fault(&message->faults, "", "type", NULL, "must be a JSON object");
}

void fv_message_finish(struct fv_message *message)
{
    pl_put(&message->given);
    pl_put(&message->request);
}
