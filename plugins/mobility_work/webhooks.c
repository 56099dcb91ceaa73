/* SPDX-License-Identifier: Apache-2.0 */
/* One webhook becomes one event (MW-W00 .. W11, W90).
 *
 * What arrives here is signed, so it is what Mobility Work says, whatever its documentation says: any member may
 * be missing, new or of any shape, and the object goes on as it came (U8). A documented member that is not as
 * documented is logged and counted, so that a change of their side is noticed. An event that nobody knows here
 * goes on too. What a nested object holds is not published: nothing in it is relied upon but the task's id and
 * our own marks. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

#define MARK_MAX 128
#define ID_MAX 128

enum shape { ANY = 1, TEXT, OBJECT };

struct documented {
    const char *pointer;
    enum shape shape;
};

struct hook_event {
    const char *name, *alias;       /* alias: a second name of the same event, published under the first */
    const char *type;               /* NULL: the event has no common name and is about no work order */
    const char *task_id, *metadata; /* JSON Pointers, with type */
    const char *times[2];           /* pointers of when it happened, best first */
    struct documented members[8];
};

/* legacyId of W01 is required by the letter but deprecated in the same line: not missed. */
static const struct hook_event events[] = {
    {.name = "TaskWasCompleted", /* MW-W01: id, not taskId */
     .type = "work_order.completed",
     .task_id = "/id",
     .metadata = "/metadata",
     .times = {"/doneAt"},
     .members =
         {{"/id", TEXT}, {"/doneAt", TEXT}, {"/initiator", OBJECT}, {"/associatedTo", OBJECT}, {"/metadata", ANY}}},
    {.name = "TaskWasScheduled", /* MW-W02: the core says updated when it knew the order before */
     .type = "work_order.created",
     .task_id = "/taskId",
     .metadata = "/metadata",
     .members = {{"/taskId", TEXT}, {"/scheduled", OBJECT}, {"/associatedTo", OBJECT}}},
    {.name = "TaskWasCanceled", /* MW-W03 */
     .type = "work_order.updated",
     .task_id = "/taskId",
     .metadata = "/metadata",
     .members = {{"/taskId", TEXT}, {"/canceled", OBJECT}, {"/associatedTo", OBJECT}}},
    {.name = "TaskWasStarted", /* MW-W04 */
     .type = "work_order.updated",
     .task_id = "/taskId",
     .metadata = "/metadata",
     .members = {{"/taskId", TEXT}, {"/started", OBJECT}, {"/associatedTo", OBJECT}}},
    {.name = "ActivityWasAddedOnTask", /* MW-W05: task is not described; id is where one would look */
     .type = "work_order.updated",
     .task_id = "/task/id",
     .metadata = "/task/metadata",
     .times = {"/emittedAt", "/_sentAt"},
     .members = {{"/_type", TEXT},
                 {"/_sentAt", TEXT},
                 {"/emittedAt", TEXT},
                 {"/_metadata", ANY},
                 {"/task", OBJECT},
                 {"/equipment", OBJECT},
                 {"/activity", OBJECT}}},
    {.name = "SparePartWasOutOfStock", /* MW-W06 */
     .times = {"/_date"},
     .members = {{"/stock", OBJECT}, {"/sparePart", OBJECT}, {"/movement", OBJECT}}},
    {.name = "SparePartStockWasUnderMinThreshold", /* MW-W07: schema and sample disagree on the name */
     .alias = "SparePartStockWasUnderMinThresholdPayload",
     .times = {"/_date"},
     .members = {{"/stock", OBJECT}, {"/sparePart", OBJECT}, {"/movement", OBJECT}}},
    {.name = "SparePartWasManuallyRecounted", /* MW-W08 */
     .times = {"/emittedAt", "/_sentAt"},
     .members = {{"/sparePart", OBJECT}, {"/location", OBJECT}, {"/initiator", OBJECT}, {"/recounted", OBJECT}}},
    {.name = "SparePartWasRestocked", /* MW-W09 */
     .times = {"/emittedAt", "/_sentAt"},
     .members = {{"/sparePart", OBJECT}, {"/location", OBJECT}, {"/initiator", OBJECT}, {"/restocked", OBJECT}}},
    {.name = "SparePartWasConsumed", /* MW-W10 */
     .times = {"/emittedAt", "/_sentAt"},
     .members = {{"/sparePart", OBJECT}, {"/location", OBJECT}, {"/initiator", OBJECT}, {"/consumed", OBJECT}}},
    {.name = "SparePartConsumptionWasCanceled", /* MW-W11 */
     .times = {"/emittedAt", "/_sentAt"},
     .members = {{"/task", OBJECT}, {"/sparePart", OBJECT}, {"/activity", OBJECT}}},
};

const char *const mw_event_names[] = {"TaskWasCompleted",
                                      "TaskWasScheduled",
                                      "TaskWasCanceled",
                                      "TaskWasStarted",
                                      "ActivityWasAddedOnTask",
                                      "SparePartWasOutOfStock",
                                      "SparePartStockWasUnderMinThreshold",
                                      "SparePartStockWasUnderMinThresholdPayload",
                                      "SparePartWasManuallyRecounted",
                                      "SparePartWasRestocked",
                                      "SparePartWasConsumed",
                                      "SparePartConsumptionWasCanceled",
                                      NULL};

static const struct hook_event *find_event(const char *name)
{
    for (size_t i = 0; i < PL_COUNT(events); i++)
        if (strcmp(events[i].name, name) == 0 || (events[i].alias && strcmp(events[i].alias, name) == 0))
            return &events[i];
    return NULL;
}

/* NULL, or how a member differs from the documentation. */
static const char *difference(struct json_object *body, const struct documented *member)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(body, member->pointer + 1, &value))
        return "is missing";
    switch (member->shape) {
    case ANY:
        return NULL;
    case TEXT:
        return json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 0 ? NULL
                                                                                                     : "is no text";
    case OBJECT: /* an empty one may come as [] */
        return json_object_is_type(value, json_type_object) ||
                       (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0)
                   ? NULL
                   : "is no object";
    }
    return NULL;
}

static void note_differences(const struct mw_call *call, const struct hook_event *event, struct json_object *body)
{
    const struct bb_host *host = call->host;
    const char *said = NULL;
    for (size_t i = 0; i < PL_COUNT(event->members) && event->members[i].pointer; i++) {
        const char *how = difference(body, &event->members[i]);
        if (how)
            said = host->format(call->job, "%s%s %s %s", said ? said : event->name, said ? "," : ":",
                                event->members[i].pointer, how);
    }
    if (!said)
        return;
    host->log(call->job, BB_LOG_WARN, host->format(call->job, "a webhook is not as documented: %s", said));
    host->count(call->job, "undocumented_webhook", 1);
}

static int64_t occurred_ms(const struct mw_call *call, const struct hook_event *event, struct json_object *body)
{
    for (size_t i = 0; i < PL_COUNT(event->times) && event->times[i]; i++) {
        const char *text = mw_text_at(call, body, event->times[i]);
        int64_t ms;
        if (text && pl_read_time(text, &ms))
            return ms;
    }
    return 0;
}

/* Anyone who may write tasks may write metadata: what is no id of ours is not taken for one. */
static const char *read_mark(const struct mw_call *call, struct json_object *metadata, const char *pointer)
{
    const char *mark = mw_text_at(call, metadata, pointer);
    return mark && pl_matches(mark, MARK_MAX, "_.:-") ? mark : NULL;
}

/* Redeliveries share network, event and key; without a key the core makes an id from the raw bytes. */
static const char *dedup_id(const struct mw_call *call, const char *name, struct json_object *body)
{
    const char *key = mw_text_at(call, body, "/_idempotencyKey"), *network = mw_text_at(call, body, "/networkId");
    if (!key)
        return NULL;
    PL_SCOPED struct json_object *parts = json_object_new_array();
    json_object_array_add(parts, network ? json_object_new_string(network) : NULL);
    json_object_array_add(parts, json_object_new_string(name));
    json_object_array_add(parts, json_object_new_string(key));
    return mw_print(call, parts).data;
}

static void emit(const struct mw_call *call, const struct hook_event *known, const char *name, struct json_object *body)
{
    struct bb_work_order order = {0};
    struct bb_event event = {.size = sizeof event,
                             .name = known ? known->name : name,
                             .dedup_id = dedup_id(call, known ? known->name : name, body),
                             .occurred_ms = known ? occurred_ms(call, known, body) : 0,
                             .raw = call->in->messages[0].body};
    if (known && known->type) {
        struct json_object *metadata = pl_at(body, known->metadata);
        order.source_work_order_id = mw_text_at(call, body, known->task_id);
        if (order.source_work_order_id && strlen(order.source_work_order_id) > ID_MAX)
            order.source_work_order_id = NULL;
        order.delivery_id = read_mark(call, metadata, "/" MW_MARK_DELIVERY);
        order.order_id = read_mark(call, metadata, "/" MW_MARK_ORDER);
        order.source_status = known->name;
    }
    /* It may not tell which task (W05): then it is news of the provider, and of no work order that could be found. */
    if (order.source_work_order_id || order.order_id || order.delivery_id) {
        event.type = known->type;
        event.work_order = &order;
    }
    call->host->emit(call->job, &event);
}

static enum bb_next refuse(const struct mw_call *call, enum bb_class error_class, const char *code, const char *message)
{
    call->out->error = (struct bb_error){.error_class = error_class, .code = code, .message = message};
    return BB_REJECT;
}

/* One key is one network (MW-C02): another network's webhook is not about this target's work orders. */
static bool is_foreign(const struct mw_call *call, struct json_object *body)
{
    const char *ours = call->host->note_get(call->job, MW_NOTE_NETWORK);
    const char *theirs = mw_text_at(call, body, "/networkId");
    return ours && theirs && strcasecmp(ours, theirs) != 0;
}

enum bb_next mw_decode(const struct mw_call *call)
{
    PL_SCOPED struct json_object *body = pl_parse(call->in->messages[0].body);
    const char *name = mw_text_at(call, body, "/_event");
    if (!name)
        return refuse(call, BB_VALIDATION, "invalid_webhook", "the webhook is not a JSON object that names its _event");
    if (is_foreign(call, body))
        return refuse(call, BB_IDENTITY, "foreign_network",
                      "the webhook's networkId is not the network that api_key belongs to");
    const struct hook_event *known = find_event(name);
    if (known)
        note_differences(call, known, body);
    emit(call, known, name, body);
    return BB_DONE;
}
