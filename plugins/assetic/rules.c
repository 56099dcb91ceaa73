/* SPDX-License-Identifier: Apache-2.0 */
/* What Assetic demands of an order, as far as it can be said without asking: the mandatory matrix (AS-M01..M23)
 * and the value rules (AS-R). A table per object says each member's kind and the status from which it is
 * mandatory; the rest of the file is the rules that look at two members at once.
 *
 * In a template (check) a member may be null: what it will be is not known yet, so it counts as good. */
#include "assetic.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NEVER AS_STATUSES
#define DESCRIPTION_MAX 250 /* A-U17 */
#define MARGIN_MS 60000     /* A-U8 */

const char *const as_statuses[AS_STATUSES] = {"PREP",  "WAPPR", "APPR", "WMATL", "RFE",
                                              "INPRG", "TCOMP", "COMP", "ASSESS"};

enum kind { TEXT, INTEGER, NUMBER, BOOLEAN, TIME, GUID, REFERENCE, CRAFT, CODE, OBJECT, ARRAY };

struct member {
    const char *name;
    enum kind kind;
    int from; /* status from which it is mandatory; NEVER: optional */
};

static const struct member order_members[] = {
    {"Status", TEXT, AS_PREP},              /* M01 */
    {"AssetId", REFERENCE, AS_PREP},        /* M02 */
    {"BriefDescription", TEXT, AS_PREP},    /* M03 */
    {"PriorityId", INTEGER, AS_WAPPR},      /* M04 */
    {"EstimatedDuration", NUMBER, AS_PREP}, /* M05 */
    {"LocationDescription", TEXT, AS_PREP}, /* M06 */
    {"PointString", TEXT, NEVER},           /* M07 */
    {"CreatorId", REFERENCE, NEVER},        /* M08: the API user when left out */
    {"RequestorId", REFERENCE, NEVER},      /* M09: the same */
    {"ResponsibleOfficerId", REFERENCE, NEVER},
    {"WorkOrderType", OBJECT, AS_PREP}, /* M10 */
    {"FailureSubCodeId", CODE, NEVER},  /* M11: by the work type */
    {"CauseSubCodeId", CODE, NEVER},    /* M12: the same */
    {"RemedyCodeId", CODE, NEVER},      /* M13: see check_remedy */
    {"Scheduling", OBJECT, AS_PREP},
    {"Labours", ARRAY, AS_PREP},               /* M14 */
    {"MaintenanceMaterials", ARRAY, AS_PREP},  /* M23 */
    {"MaintenanceServices", ARRAY, AS_PREP},   /* M23 */
    {"SupportingInformation", ARRAY, AS_PREP}, /* M23 */
    {"WorkTasks", ARRAY, NEVER},
    {"LinkedWorkRequests", ARRAY, NEVER},
    {"WorkOrderWorkGroup", TEXT, NEVER},
};
static const struct member type_members[] = {{"Id", INTEGER, NEVER}, {"Name", TEXT, NEVER}, {"Code", TEXT, NEVER}};
static const struct member scheduling_members[] = {
    {"TargetStart", TIME, AS_PREP},    {"TargetFinish", TIME, NEVER}, {"ScheduledStart", TIME, AS_RFE},
    {"ScheduledFinish", TIME, AS_RFE}, {"ActualStart", TIME, NEVER},  {"ActualFinish", TIME, NEVER},
}; /* M15, M16, M17 */
static const struct member labour_members[] = {
    {"PlannedGroupCraftId", CRAFT, AS_WAPPR}, {"HoursRequired", NUMBER, AS_WAPPR},
    {"QuantityRequired", NUMBER, AS_WAPPR},   {"MaintenanceResources", ARRAY, AS_INPRG},
    {"LinkedWorkTaskId", GUID, NEVER},
}; /* M14 */
static const struct member resource_members[] = {
    {"StatusId", INTEGER, AS_INPRG},  {"AssignedGroupCraftId", CRAFT, AS_INPRG},
    {"Resource", OBJECT, AS_INPRG},   {"HoursRequired", INTEGER, NEVER},
    {"ActualHours", NUMBER, NEVER},   {"ActualStart", TIME, AS_TCOMP},
    {"ActualFinish", TIME, AS_TCOMP},
}; /* M18 .. M22 */
static const struct member resource_id_members[] = {{"Id", REFERENCE, AS_PREP}};
static const struct member material_members[] = {
    {"BillOfMaterialId", REFERENCE, AS_PREP}, {"IsMaterialAvailable", BOOLEAN, NEVER},
    {"PlannedQuantity", NUMBER, AS_PREP},     {"ActualQuantity", NUMBER, NEVER},
    {"LinkedWorkTaskId", GUID, NEVER},
};
static const struct member service_members[] = {
    {"ServiceActivityId", REFERENCE, AS_PREP}, {"Description", TEXT, AS_PREP}, {"PlannedQuantity", NUMBER, AS_PREP},
    {"PlannedUnitRate", NUMBER, AS_PREP},      {"UnitType", TEXT, NEVER},      {"ActualQuantity", NUMBER, NEVER},
    {"ActualUnitRate", NUMBER, NEVER},         {"ActualCost", NUMBER, NEVER},  {"LinkedWorkTaskId", GUID, NEVER},
    {"PurchaseOrderNumber", TEXT, NEVER},
};
static const struct member note_members[] = {{"Description", TEXT, AS_PREP}};
static const struct member task_members[] = {
    {"FriendlyId", INTEGER, AS_PREP},
    {"BriefDescription", TEXT, AS_PREP},
    {"Status", INTEGER, AS_PREP},
    {"Id", GUID, NEVER},
};
static const struct member request_members[] = {{"ID", GUID, AS_PREP}}; /* AS-C09: upper case */

const char *as_order_member(size_t i)
{
    const size_t marked = PL_COUNT(order_members); /* the last is our own, which no message may give */
    return i < marked ? order_members[i].name : i == marked ? "ExternalId" : NULL;
}

/* ---- one member ---------------------------------------------------------------*/

static bool is_template(const struct as_order *order)
{
    return order->faults.call->in == NULL;
}

static bool is_number(struct json_object *value)
{
    return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

static const char *kind_wanted(enum kind kind)
{
    switch (kind) {
    case TEXT:
    case REFERENCE:
        return "must be text that is not empty";
    case INTEGER:
        return "must be an integer";
    case NUMBER:
        return "must be a number, 0 or more";
    case BOOLEAN:
        return "must be true or false";
    case TIME:
        return "must be a date-time such as 2022-01-11T09:00:00+01:00, or without offset in the site's time";
    case GUID:
        return "must be a GUID";
    case CRAFT:
        return "must be a GUID, or {Resource, WorkGroup, Craft} to look one up";
    case CODE:
        return "must be the code's Id (integer) or its description";
    case OBJECT:
        return "must be an object";
    case ARRAY:
        return "must be an array";
    }
    return "is wrong";
}

static bool is_text(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 0 &&
           strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
}

static bool fits(const struct as_order *order, enum kind kind, struct json_object *value)
{
    int64_t ms;
    switch (kind) {
    case TEXT:
    case REFERENCE:
        return is_text(value);
    case INTEGER:
        return json_object_is_type(value, json_type_int);
    case NUMBER:
        return is_number(value) && json_object_get_double(value) >= 0;
    case BOOLEAN:
        return json_object_is_type(value, json_type_boolean);
    case TIME:
        return is_text(value) &&
               as_read_wall(order->faults.call->config->time_zone, json_object_get_string(value), &ms);
    case GUID:
        return as_is_guid(value);
    case CRAFT:
        return as_is_guid(value) || pl_member(value, "Resource");
    case CODE:
        return json_object_is_type(value, json_type_int) || is_text(value);
    case OBJECT:
        return json_object_is_type(value, json_type_object);
    case ARRAY:
        return json_object_is_type(value, json_type_array);
    }
    return false;
}

static void check_member(struct as_order *order, struct json_object *object, const char *pointer,
                         const struct member *member)
{
    const struct as_call *call = order->faults.call;
    struct json_object *value = NULL;
    bool there = json_object_object_get_ex(object, member->name, &value);
    const char *at = call->host->format(call->job, "%s/%s", pointer, member->name);
    if (as_is_zero_guid(value)) /* A-U22 */
        value = NULL;
    if (!value) {
        bool unknown = there && is_template(order);
        if (!unknown && order->status >= member->from)
            as_fault(&order->faults, at, "required", NULL,
                     member->from == AS_PREP
                         ? "is required"
                         : call->host->format(call->job, "is required from %s on", as_statuses[member->from]));
        return;
    }
    if (!fits(order, member->kind, value)) {
        as_fault(&order->faults, at, member->kind == TIME && is_text(value) ? "date_time" : "type", NULL,
                 kind_wanted(member->kind));
    } else if (member->kind == TIME) { /* A-U6: what goes out is the site's time */
        int64_t wall = 0;
        as_read_wall(call->config->time_zone, json_object_get_string(value), &wall);
        json_object_object_add(object, member->name, json_object_new_string(as_print_wall(call, wall)));
    }
}

static void check_members(struct as_order *order, struct json_object *object, const char *pointer,
                          const struct member *members, size_t count)
{
    const char *names[PL_COUNT(order_members)];
    for (size_t i = 0; i < count; i++) {
        names[i] = members[i].name;
        check_member(order, object, pointer, &members[i]);
    }
    json_object_object_foreach(object, name, value)
    {
        (void)value;
        size_t i = 0;
        while (i < count && strcmp(names[i], name) != 0)
            i++;
        if (i == count)
            as_fault_unknown(&order->faults, pointer, name, names, count);
    }
}

/* ---- arrays of objects ---------------------------------------------------------*/

typedef void check_item(struct as_order *order, struct json_object *item, const char *pointer);

static void check_items(struct as_order *order, struct json_object *object, const char *parent, const char *name,
                        const struct member *members, size_t count, check_item *more)
{
    const struct as_call *call = order->faults.call;
    struct json_object *list = pl_member(object, name);
    for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        const char *pointer = call->host->format(call->job, "%s/%s/%zu", parent, name, i);
        if (!item && is_template(order))
            continue;
        if (!json_object_is_type(item, json_type_object)) {
            as_fault(&order->faults, pointer, "type", NULL, kind_wanted(OBJECT));
            continue;
        }
        check_members(order, item, pointer, members, count);
        if (more)
            more(order, item, pointer);
    }
}

static struct json_object *range(int64_t min, int64_t max)
{
    struct json_object *parameters = json_object_new_object();
    json_object_object_add(parameters, "min", json_object_new_int64(min));
    json_object_object_add(parameters, "max", json_object_new_int64(max));
    return parameters;
}

/* 5 before INPRG, 1 at INPRG, 6 from TCOMP on (AS-R05, A-U10). */
static void check_stage(struct as_order *order, struct json_object *item, const char *pointer, const char *name)
{
    const struct as_call *call = order->faults.call;
    struct json_object *value = pl_member(item, name);
    const int wanted = order->status < AS_INPRG ? 5 : order->status == AS_INPRG ? 1 : 6;
    if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) != wanted)
        as_fault(&order->faults, call->host->format(call->job, "%s/%s", pointer, name), "status_id",
                 range(wanted, wanted),
                 call->host->format(call->job, "must be %d in an order at %s", wanted, as_statuses[order->status]));
}

/* AS-R07: the id of one of the order's own tasks. */
static void check_link(struct as_order *order, struct json_object *item, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    struct json_object *id = pl_member(item, "LinkedWorkTaskId");
    const char *link = as_is_guid(id) ? as_text_of(call, id) : NULL; /* else it has its fault */
    struct json_object *tasks = pl_member(order->request, "WorkTasks");
    for (size_t i = 0; link && json_object_is_type(tasks, json_type_array) && i < json_object_array_length(tasks);
         i++) {
        const char *its = as_text_of(call, pl_member(json_object_array_get_idx(tasks, i), "Id"));
        if (its && strcasecmp(its, link) == 0)
            return;
    }
    if (link)
        as_fault(&order->faults, call->host->format(call->job, "%s/LinkedWorkTaskId", pointer), "unknown_task", NULL,
                 "must be the Id of one of WorkTasks");
}

static bool wall_at(const struct as_order *order, struct json_object *object, const char *name, int64_t *ms)
{
    struct json_object *value = pl_member(object, name);
    return is_text(value) && as_read_wall(order->faults.call->config->time_zone, json_object_get_string(value), ms);
}

/* A-U7 */
static void check_span(struct as_order *order, struct json_object *object, const char *pointer, const char *start,
                       const char *finish)
{
    const struct as_call *call = order->faults.call;
    int64_t from, to;
    if (wall_at(order, object, start, &from) && wall_at(order, object, finish, &to) && to < from)
        as_fault(&order->faults, call->host->format(call->job, "%s/%s", pointer, finish), "finish_before_start", NULL,
                 call->host->format(call->job, "must not be before %s", start));
}

static void check_resource(struct as_order *order, struct json_object *item, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    struct json_object *resource = pl_member(item, "Resource");
    if (json_object_is_type(resource, json_type_object))
        check_members(order, resource, call->host->format(call->job, "%s/Resource", pointer), resource_id_members,
                      PL_COUNT(resource_id_members));
    check_stage(order, item, pointer, "StatusId");
    check_span(order, item, pointer, "ActualStart", "ActualFinish");
}

static void check_labour(struct as_order *order, struct json_object *item, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    struct json_object *resources = pl_member(item, "MaintenanceResources");
    check_items(order, item, pointer, "MaintenanceResources", resource_members, PL_COUNT(resource_members),
                check_resource);
    if (order->status >= AS_INPRG && json_object_is_type(resources, json_type_array) &&
        json_object_array_length(resources) == 0)
        as_fault(&order->faults, call->host->format(call->job, "%s/MaintenanceResources", pointer), "min_items", NULL,
                 "must hold at least one from INPRG on");
    check_link(order, item, pointer);
}

/* AS-R06, A-U9: what is not available keeps an order at WMATL; left out means not available. */
static void check_material(struct as_order *order, struct json_object *item, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    if (order->status >= AS_RFE && !json_object_get_boolean(pl_member(item, "IsMaterialAvailable")))
        as_fault(&order->faults, call->host->format(call->job, "%s/IsMaterialAvailable", pointer), "not_available",
                 NULL, "must be true beyond WMATL");
    check_link(order, item, pointer);
}

static void check_task(struct as_order *order, struct json_object *item, const char *pointer)
{
    check_stage(order, item, pointer, "Status");
}

/* ---- the order's own rules --------------------------------------------------------*/

static void find_status(struct as_order *order)
{
    const struct as_call *call = order->faults.call;
    const char *text = as_text_of(call, pl_member(order->request, "Status"));
    order->status = AS_STATUSES;
    while (order->status > 0 && (!text || strcmp(as_statuses[order->status - 1], text) != 0))
        order->status--;
    order->status--;
    if (text && order->status < 0)
        as_fault(&order->faults, "/Status", "status", NULL,
                 "must be one of PREP WAPPR APPR WMATL RFE INPRG TCOMP COMP ASSESS");
    if (order->status > AS_WAPPR && !call->config->late_statuses) /* A-U20 */
        as_fault(&order->faults, "/Status", "late_status", NULL,
                 "must be PREP or WAPPR, unless the target says late_statuses: true");
    if (order->status < 0)
        order->status = AS_PREP; /* what every status demands */
}

/* "<longitude> <latitude>" (AS-R09) */
static bool is_point(const char *text)
{
    static const double limits[] = {180, 90};
    for (size_t i = 0; i < 2; i++) {
        const char *start = text;
        text += strspn(text, "+-");
        size_t whole = strspn(text, "0123456789");
        text += whole;
        if (*text == '.')
            text += 1 + strspn(text + 1, "0123456789");
        if (whole == 0 || text - start > 32 || *text != (i == 0 ? ' ' : '\0'))
            return false;
        const double value = strtod(start, NULL);
        if (!(value >= -limits[i] && value <= limits[i]))
            return false;
        text++;
    }
    return true;
}

static void check_texts(struct as_order *order)
{
    struct json_object *brief = pl_member(order->request, "BriefDescription");
    struct json_object *point = pl_member(order->request, "PointString");
    struct json_object *priority = pl_member(order->request, "PriorityId");
    if (is_text(brief) && pl_characters(brief) > DESCRIPTION_MAX)
        as_fault(&order->faults, "/BriefDescription", "max_length", range(1, DESCRIPTION_MAX),
                 "must hold at most 250 characters (cut_description: true cuts it)");
    if (is_text(point) && !is_point(json_object_get_string(point)))
        as_fault(&order->faults, "/PointString", "point", NULL,
                 "must be longitude and latitude with one space, such as 144.964 -37.818");
    if (json_object_is_type(priority, json_type_int) &&
        (json_object_get_int64(priority) < 1 || json_object_get_int64(priority) > 5)) /* AS-R11 */
        as_fault(&order->faults, "/PriorityId", "range", range(1, 5), "must be 1 to 5");
}

static void check_type(struct as_order *order)
{
    struct json_object *type = pl_member(order->request, "WorkOrderType");
    if (!json_object_is_type(type, json_type_object))
        return;
    check_members(order, type, "/WorkOrderType", type_members, PL_COUNT(type_members));
    if (json_object_object_length(type) == 0)
        as_fault(&order->faults, "/WorkOrderType/Id", "required", NULL, "is required (or Name, or Code)");
}

/* A-U2: the matrix demands it always, the prose by the work type. */
static void check_remedy(struct as_order *order)
{
    struct json_object *value = NULL;
    bool there = json_object_object_get_ex(order->request, "RemedyCodeId", &value);
    if (!value && !(there && is_template(order)) && strcmp(order->faults.call->config->remedy, "always") == 0)
        as_fault(&order->faults, "/RemedyCodeId", "required", NULL, "is required (remedy: always)");
}

static void check_scheduling(struct as_order *order)
{
    static const char *const scheduled[] = {"ScheduledStart", "ScheduledFinish"};
    const struct as_call *call = order->faults.call;
    struct json_object *scheduling = pl_member(order->request, "Scheduling");
    if (!json_object_is_type(scheduling, json_type_object))
        return;
    check_members(order, scheduling, "/Scheduling", scheduling_members, PL_COUNT(scheduling_members));
    check_span(order, scheduling, "/Scheduling", "ScheduledStart", "ScheduledFinish");
    check_span(order, scheduling, "/Scheduling", "ActualStart", "ActualFinish");
    for (size_t i = 0; i < PL_COUNT(scheduled) && order->status == AS_RFE && call->in; i++) { /* AS-R03, A-U8 */
        int64_t wall;
        if (wall_at(order, scheduling, scheduled[i], &wall) &&
            wall < as_wall_of(call->config->time_zone, call->in->now_ms + MARGIN_MS))
            as_fault(&order->faults, call->host->format(call->job, "/Scheduling/%s", scheduled[i]), "not_later", NULL,
                     "must be later than now in an order at RFE");
    }
}

/* AS-R10, A-U3: the vendor's text says greater, the vendor's sample is equal. */
static void check_duration(struct as_order *order)
{
    const struct as_call *call = order->faults.call;
    struct json_object *duration = pl_member(order->request, "EstimatedDuration");
    struct json_object *labours = pl_member(order->request, "Labours");
    double hours = 0;
    for (size_t i = 0; json_object_is_type(labours, json_type_array) && i < json_object_array_length(labours); i++) {
        struct json_object *labour = json_object_array_get_idx(labours, i);
        hours += json_object_get_double(pl_member(labour, "HoursRequired")) *
                 json_object_get_double(pl_member(labour, "QuantityRequired"));
    }
    if (!is_number(duration) || hours <= 0)
        return;
    const double spare = json_object_get_double(duration) - hours;
    if (spare < -1e-9) /* 3 * 0.1 is not 0.3 */
        as_fault(&order->faults, "/EstimatedDuration", "too_short", NULL,
                 call->host->format(call->job, "must not be less than the %g hours of its labours", hours));
    else if (spare < 1e-9 && call->in && !call->in->response)
        call->host->log(call->job, BB_LOG_WARN,
                        "EstimatedDuration equals the hours of the labours: Assetic's text asks for more");
}

static void check_labours(struct as_order *order)
{
    struct json_object *labours = pl_member(order->request, "Labours");
    check_items(order, order->request, "", "Labours", labour_members, PL_COUNT(labour_members), check_labour);
    if (order->status >= AS_WAPPR && json_object_is_type(labours, json_type_array) &&
        json_object_array_length(labours) == 0)
        as_fault(&order->faults, "/Labours", "min_items", NULL, "must hold at least one from WAPPR on");
}

void as_check_order(struct as_order *order)
{
    struct json_object *request = order->request;
    find_status(order);
    check_members(order, request, "", order_members, PL_COUNT(order_members));
    check_texts(order);
    check_type(order);
    check_remedy(order);
    check_scheduling(order);
    check_labours(order);
    check_items(order, request, "", "MaintenanceMaterials", material_members, PL_COUNT(material_members),
                check_material);
    check_items(order, request, "", "MaintenanceServices", service_members, PL_COUNT(service_members), check_link);
    check_items(order, request, "", "SupportingInformation", note_members, PL_COUNT(note_members), NULL);
    check_items(order, request, "", "WorkTasks", task_members, PL_COUNT(task_members), check_task);
    check_items(order, request, "", "LinkedWorkRequests", request_members, PL_COUNT(request_members), NULL);
    check_duration(order);
}
