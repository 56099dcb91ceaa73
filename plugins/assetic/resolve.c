/* SPDX-License-Identifier: Apache-2.0 */
/* Names become ids (AS-E02..E10), and the codes are held against the work type and one definition (AS-F).
 *
 * Each function here asks for what it needs and answers false when that is not there yet; the step then sends the
 * question and starts over. A name that fits nothing, or two things, is an error: never a guess (A-U16). */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

#define DAY_MS (24 * AS_HOUR_MS) /* A-U14 */

/* ---- one item of a list by its name ---------------------------------------------*/

static bool says(struct json_object *item, const char *member, const char *text)
{
    struct json_object *value = pl_member(item, member);
    return json_object_is_type(value, json_type_string) && strcmp(json_object_get_string(value), text) == 0;
}

static bool says_any(struct json_object *item, const char *text)
{
    if (!json_object_is_type(item, json_type_object))
        return false;
    json_object_object_foreach(item, name, value)
    {
        (void)value;
        if (says(item, name, text))
            return true;
    }
    return false;
}

static bool same_id(struct json_object *a, struct json_object *b)
{
    return a && b && strcmp(json_object_get_string(a), json_object_get_string(b)) == 0;
}

/* What a search came to; two items of one id are one. */
struct found {
    struct json_object *id, *item; /* borrowed */
    size_t count;
};

static void consider(struct found *found, struct json_object *item, const char *id_name)
{
    struct json_object *id = pl_member(item, id_name);
    if (!id || same_id(id, found->id))
        return;
    if (found->count++ == 0) {
        found->id = id;
        found->item = item;
    }
}

static bool settle(struct as_order *order, const struct found *found, const char *pointer, const char *thing,
                   const char *text)
{
    const struct as_call *call = order->faults.call;
    if (found->count == 1)
        return true;
    if (found->count == 0)
        as_fault_identity(&order->faults, pointer, call->host->format(call->job, "unknown_%s", thing),
                          call->host->format(call->job, "names no %s that Assetic knows: %s", thing, text));
    else
        as_fault_identity(&order->faults, pointer, call->host->format(call->job, "ambiguous_%s", thing),
                          call->host->format(call->job, "fits %zu of Assetic's %ss: %s", found->count, thing, text));
    return false;
}

/* ---- references --------------------------------------------------------------------*/

/* AS-E10, A-U15 */
static bool resolve_asset(struct as_order *order)
{
    const struct as_call *call = order->faults.call;
    struct json_object *value = pl_member(order->request, "AssetId");
    if (as_is_guid(value))
        return true;
    const char *tag = as_text_of(call, value);
    const char *path = call->host->format(call->job, "/api/v2/assets/%s",
                                          call->host->path_segment(call->job, (struct bb_str){tag, strlen(tag)}));
    bool found;
    PL_SCOPED struct json_object *answer = as_ask(call, path, AS_HOUR_MS, &found);
    if (!answer && found)
        return false;
    struct json_object *id = pl_member(answer, "Id");
    if (as_is_guid(id) && !as_is_zero_guid(id))
        json_object_object_add(order->request, "AssetId", json_object_get(id));
    else
        as_fault_identity(&order->faults, "/AssetId", "unknown_asset",
                          call->host->format(call->job, "names no asset that Assetic knows: %s", tag));
    return true;
}

/* AS-E04 */
static bool resolve_self(struct as_order *order, const char *name)
{
    const struct as_call *call = order->faults.call;
    bool found;
    if (pl_member(order->request, name) && !as_is_zero_guid(pl_member(order->request, name)))
        return true;
    PL_SCOPED struct json_object *answer = as_ask(call, "/api/v2/auth", DAY_MS, &found);
    if (!answer && found)
        return false;
    const char *id = as_own_resource(call, answer);
    if (id)
        json_object_object_add(order->request, name, json_object_new_string(id));
    else
        as_fault_identity(&order->faults, call->host->format(call->job, "/%s", name), "unknown_creator",
                          "is not in GET /api/v2/auth where auth_pointer says: set it in the target's defaults");
    return true;
}

/* AS-E05: a resource by its display name. */
static bool resolve_resource(struct as_order *order, struct json_object *object, const char *name, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    struct json_object *value = pl_member(object, name);
    const char *text = as_text_of(call, value);
    if (!text || as_is_guid(value))
        return true;
    PL_SCOPED struct json_object *list =
        as_list(call, "/api/v2/resource", as_equals(call, "DisplayName", text), AS_HOUR_MS);
    struct found found = {0};
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (says(json_object_array_get_idx(list, i), "DisplayName", text))
            consider(&found, json_object_array_get_idx(list, i), "Id");
    if (list && settle(order, &found, pointer, "resource", text))
        json_object_object_add(object, name, json_object_get(found.id));
    return list != NULL;
}

/* AS-E07, AS-E08: an item by any of its texts, as the vendor names none. */
static bool resolve_listed(struct as_order *order, struct json_object *object, const char *name, const char *pointer,
                           const char *path, const char *thing)
{
    const struct as_call *call = order->faults.call;
    struct json_object *value = pl_member(object, name);
    const char *text = as_text_of(call, value);
    if (!text || as_is_guid(value))
        return true;
    PL_SCOPED struct json_object *list = as_list(call, path, NULL, AS_HOUR_MS);
    struct found found = {0};
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (says_any(json_object_array_get_idx(list, i), text))
            consider(&found, json_object_array_get_idx(list, i), "Id");
    if (list && settle(order, &found, pointer, thing, text))
        json_object_object_add(object, name, json_object_get(found.id));
    return list != NULL;
}

/* AS-E06: {Resource, WorkGroup, Craft} is one of the resource's pairs; one left out must not leave a choice. */
static bool resolve_craft(struct as_order *order, struct json_object *object, const char *name, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    struct json_object *wanted = pl_member(object, name);
    if (!json_object_is_type(wanted, json_type_object))
        return true;
    const size_t faults = order->faults.said.count;
    if (!resolve_resource(order, wanted, "Resource", pointer))
        return false;
    const char *resource = as_text_of(call, pl_member(wanted, "Resource"));
    if (order->faults.said.count > faults || !resource)
        return true;
    const char *path =
        call->host->format(call->job, "/api/v2/resource/%s/craft",
                           call->host->path_segment(call->job, (struct bb_str){resource, strlen(resource)}));
    const char *group = as_text_of(call, pl_member(wanted, "WorkGroup"));
    const char *craft = as_text_of(call, pl_member(wanted, "Craft"));
    PL_SCOPED struct json_object *list = as_list(call, path, NULL, AS_HOUR_MS);
    struct found found = {0};
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *each = json_object_array_get_idx(list, i);
        if ((!group || says_any(each, group)) && (!craft || says_any(each, craft)))
            consider(&found, each, "GroupCraftId");
    }
    if (list && settle(order, &found, pointer, "craft", as_print(call, wanted).data))
        json_object_object_add(object, name, json_object_get(found.id));
    return list != NULL;
}

/* AS-E09 */
static bool check_unit(struct as_order *order, struct json_object *service, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    const char *text = as_text_of(call, pl_member(service, "UnitType"));
    if (!text)
        return true;
    PL_SCOPED struct json_object *list = as_list(call, "/api/v2/unittype", NULL, DAY_MS);
    bool known = false;
    for (size_t i = 0; list && !known && i < json_object_array_length(list); i++) {
        struct json_object *each = json_object_array_get_idx(list, i);
        known = says_any(each, text) ||
                (json_object_is_type(each, json_type_string) && strcmp(json_object_get_string(each), text) == 0);
    }
    if (list && !known)
        as_fault_identity(&order->faults, pointer, "unknown_unit_type",
                          call->host->format(call->job, "names no unit type that Assetic knows: %s", text));
    return list != NULL;
}

/* ---- work type and codes (AS-F) -------------------------------------------------------*/

static bool flag(struct json_object *type, const char *name)
{
    return json_object_get_boolean(pl_member(type, name));
}

static void demand(struct as_order *order, bool required, const char *name)
{
    const struct as_call *call = order->faults.call;
    if (required && !pl_member(order->request, name))
        as_fault(&order->faults, call->host->format(call->job, "/%s", name), "required", NULL,
                 "is required by the work type");
}

/* AS-F01, AS-F02 */
static bool resolve_type(struct as_order *order)
{
    const struct as_call *call = order->faults.call;
    struct json_object *wanted = pl_member(order->request, "WorkOrderType");
    struct json_object *id = pl_member(wanted, "Id");
    const char *name = as_text_of(call, pl_member(wanted, "Name")), *code = as_text_of(call, pl_member(wanted, "Code"));
    PL_SCOPED struct json_object *list = as_list(call, "/api/v2/worktype", NULL, DAY_MS);
    struct found found = {0};
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *each = json_object_array_get_idx(list, i);
        if ((!id || same_id(pl_member(each, "Id"), id)) && (!name || says(each, "Name", name)) &&
            (!code || says(each, "Code", code)))
            consider(&found, each, "Id");
    }
    if (!list || !settle(order, &found, "/WorkOrderType", "work_type", as_print(call, wanted).data))
        return list != NULL;
    demand(order, flag(found.item, "IsFailureRequired"), "FailureSubCodeId");
    demand(order, flag(found.item, "IsCauseRequired"), "CauseSubCodeId");
    demand(order, flag(found.item, "IsRemedyRequired"), "RemedyCodeId");
    struct json_object *type = json_object_new_object();
    json_object_object_add(type, "Id", json_object_get(found.id));
    json_object_object_add(order->request, "WorkOrderType", type);
    return true;
}

static const struct code {
    const char *name, *list;
    bool below; /* in the sub codes of the list's items */
} codes[] = {
    {"FailureSubCodeId", "FailureCodes", true},
    {"CauseSubCodeId", "CauseCodes", true},
    {"RemedyCodeId", "RemedyCodes", false},
};

static void consider_code(struct found *found, struct json_object *item, struct json_object *wanted)
{
    bool fits = json_object_is_type(wanted, json_type_int) ? same_id(pl_member(item, "Id"), wanted)
                                                           : says(item, "Description", json_object_get_string(wanted));
    if (fits)
        consider(found, item, "Id");
}

static void consider_codes(struct found *found, struct json_object *list, struct json_object *wanted)
{
    for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++)
        consider_code(found, json_object_array_get_idx(list, i), wanted);
}

/* The vendor does not name the member that holds the sub codes: any array below a code is it. */
static struct found find_code(struct json_object *definition, const struct code *code, struct json_object *wanted)
{
    struct found found = {0};
    struct json_object *list = pl_member(definition, code->list);
    if (!code->below)
        consider_codes(&found, list, wanted);
    for (size_t i = 0; code->below && json_object_is_type(list, json_type_array) && i < json_object_array_length(list);
         i++) {
        struct json_object *parent = json_object_array_get_idx(list, i);
        if (!json_object_is_type(parent, json_type_object))
            continue;
        json_object_object_foreach(parent, name, value)
        {
            (void)name;
            consider_codes(&found, value, wanted);
        }
    }
    return found;
}

/* AS-F03: the definition that holds all codes of the order. NULL after a fault. */
static struct json_object *find_definition(struct as_order *order, struct json_object *list)
{
    const struct as_call *call = order->faults.call;
    const char *chosen = call->config->fcr_definition;
    struct json_object *fits = NULL;
    bool known[PL_COUNT(codes)] = {false};
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *definition = json_object_array_get_idx(list, i);
        bool all = true;
        if (chosen && !says_any(definition, chosen))
            continue;
        for (size_t c = 0; c < PL_COUNT(codes); c++) {
            struct json_object *wanted = pl_member(order->request, codes[c].name);
            bool here = !wanted || find_code(definition, &codes[c], wanted).count > 0;
            known[c] |= here;
            all &= here;
        }
        if (all && !fits)
            fits = definition;
        else if (all && chosen) {
            as_fault_identity(&order->faults, "/RemedyCodeId", "ambiguous_definition",
                              "belongs to two definitions of one name: fcr_definition must name one");
            return NULL;
        }
    }
    for (size_t c = 0; c < PL_COUNT(codes) && !fits; c++)
        if (!known[c])
            as_fault_identity(&order->faults, call->host->format(call->job, "/%s", codes[c].name), "unknown_code",
                              "is no code of a failure/cause/remedy definition (its Id, not its number)");
    if (!fits && order->faults.said.count == 0)
        as_fault_identity(&order->faults, "/RemedyCodeId", "mixed_definitions",
                          "must be of the same definition as the order's other codes");
    return fits;
}

/* A description is good in one definition only: in two, its ids differ. */
static bool is_ambiguous(struct as_order *order, struct json_object *list, const struct code *code,
                         struct json_object *wanted)
{
    struct found all = {0};
    for (size_t i = 0; json_object_is_type(wanted, json_type_string) && i < json_object_array_length(list); i++) {
        struct json_object *definition = json_object_array_get_idx(list, i);
        struct found here = find_code(definition, code, wanted);
        if (order->faults.call->config->fcr_definition &&
            !says_any(definition, order->faults.call->config->fcr_definition))
            continue;
        if (here.count > 1)
            return true;
        if (here.count == 1)
            consider(&all, here.item, "Id");
    }
    return all.count > 1;
}

static bool resolve_codes(struct as_order *order)
{
    const struct as_call *call = order->faults.call;
    bool any = false;
    for (size_t c = 0; c < PL_COUNT(codes); c++)
        any |= pl_member(order->request, codes[c].name) != NULL;
    if (!any)
        return true;
    PL_SCOPED struct json_object *list = as_list(call, "/api/v2/fcrcategorisation", NULL, DAY_MS);
    struct json_object *definition = list ? find_definition(order, list) : NULL;
    for (size_t c = 0; c < PL_COUNT(codes) && definition; c++) {
        struct json_object *wanted = pl_member(order->request, codes[c].name);
        if (wanted && is_ambiguous(order, list, &codes[c], wanted))
            as_fault_identity(&order->faults, call->host->format(call->job, "/%s", codes[c].name), "ambiguous_code",
                              "is the description of several codes: name its Id, or fcr_definition");
        else if (wanted)
            json_object_object_add(order->request, codes[c].name,
                                   json_object_get(find_code(definition, &codes[c], wanted).id));
    }
    return list != NULL;
}

/* ---- all of it ------------------------------------------------------------------------*/

static bool resolve_resources(struct as_order *order, struct json_object *labour, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    struct json_object *list = pl_member(labour, "MaintenanceResources");
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *each = json_object_array_get_idx(list, i);
        const char *at = call->host->format(call->job, "%s/MaintenanceResources/%zu", pointer, i);
        if (!resolve_craft(order, each, "AssignedGroupCraftId",
                           call->host->format(call->job, "%s/AssignedGroupCraftId", at)) ||
            !resolve_resource(order, pl_member(each, "Resource"), "Id",
                              call->host->format(call->job, "%s/Resource/Id", at)))
            return false;
    }
    return true;
}

static bool resolve_labour(struct as_order *order, struct json_object *labour, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    return resolve_craft(order, labour, "PlannedGroupCraftId",
                         call->host->format(call->job, "%s/PlannedGroupCraftId", pointer)) &&
           resolve_resources(order, labour, pointer);
}

static bool resolve_material(struct as_order *order, struct json_object *material, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    return resolve_listed(order, material, "BillOfMaterialId",
                          call->host->format(call->job, "%s/BillOfMaterialId", pointer), "/api/v2/billofmaterial",
                          "material");
}

static bool resolve_service(struct as_order *order, struct json_object *service, const char *pointer)
{
    const struct as_call *call = order->faults.call;
    return resolve_listed(order, service, "ServiceActivityId",
                          call->host->format(call->job, "%s/ServiceActivityId", pointer), "/api/v2/serviceactivity",
                          "service") &&
           check_unit(order, service, call->host->format(call->job, "%s/UnitType", pointer));
}

static bool resolve_each(struct as_order *order, const char *name,
                         bool (*resolve)(struct as_order *order, struct json_object *item, const char *pointer))
{
    const struct as_call *call = order->faults.call;
    struct json_object *list = pl_member(order->request, name);
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (!resolve(order, json_object_array_get_idx(list, i), call->host->format(call->job, "/%s/%zu", name, i)))
            return false;
    return true;
}

bool as_resolve_order(struct as_order *order)
{
    return resolve_asset(order) && resolve_self(order, "CreatorId") && resolve_self(order, "RequestorId") &&
           resolve_resource(order, order->request, "CreatorId", "/CreatorId") &&
           resolve_resource(order, order->request, "RequestorId", "/RequestorId") &&
           resolve_resource(order, order->request, "ResponsibleOfficerId", "/ResponsibleOfficerId") &&
           resolve_type(order) && resolve_codes(order) && resolve_each(order, "Labours", resolve_labour) &&
           resolve_each(order, "MaintenanceMaterials", resolve_material) &&
           resolve_each(order, "MaintenanceServices", resolve_service);
}
