/* SPDX-License-Identifier: Apache-2.0 */
/* work_order.create: POST /api/v2/workorder (AS-E01).
 *
 * The request is put together from the target's defaults, the message's common members, its own members in
 * Assetic's words and its native block, each over the one before. What is wrong with it is said before anything
 * is asked of Assetic; then names become ids, one lookup a step.
 *
 * The order carries our delivery's id as ExternalId (A-U11). From the second attempt on, whatever ended the first,
 * the order is looked for before it is made. */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

#define PATH "/api/v2/workorder"
#define DESCRIPTION_MAX 250

static const char *const common[] = {"asset_ref", "title",      "description", "location",
                                     "priority",  "sla_due_at", "native"};

static bool is_common(const char *name)
{
    for (size_t i = 0; i < PL_COUNT(common); i++)
        if (strcmp(common[i], name) == 0)
            return true;
    return false;
}

/* ---- putting it together -----------------------------------------------------*/

/* Null is the same as left out; in a template it is what is not known yet. takes */
static void put(struct as_order *order, struct json_object *object, const char *name, struct json_object *value)
{
    if (value || !order->faults.call->in)
        json_object_object_add(object, name, value);
}

static struct json_object *scheduling_of(struct as_order *order)
{
    struct json_object *scheduling = pl_member(order->request, "Scheduling");
    if (!scheduling && !json_object_object_get_ex(order->request, "Scheduling", NULL)) {
        scheduling = json_object_new_object();
        json_object_object_add(order->request, "Scheduling", scheduling);
    }
    return json_object_is_type(scheduling, json_type_object) ? scheduling : NULL;
}

static void put_natives(struct as_order *order, struct json_object *from)
{
    if (!json_object_is_type(from, json_type_object))
        return;
    json_object_object_foreach(from, name, value)
    {
        if (from == order->given && is_common(name))
            continue;
        if (strcmp(name, "ExternalId") == 0) {
            as_fault(&order->faults, "/ExternalId", "reserved", NULL, "is busbar's own mark and cannot be set");
            continue;
        }
        struct json_object *scheduling = strcmp(name, "Scheduling") == 0 ? scheduling_of(order) : NULL;
        if (scheduling && json_object_is_type(value, json_type_object)) { /* the one object that is merged */
            json_object_object_foreach(value, when, time) put(order, scheduling, when, json_object_get(time));
        } else {
            put(order, order->request, name, json_object_get(value));
        }
    }
}

/* Fits one member of the message to one of Assetic's. */
static void put_common(struct as_order *order, const char *name, struct json_object *object, const char *native)
{
    struct json_object *value = NULL;
    if (object && json_object_object_get_ex(order->given, name, &value))
        put(order, object, native, json_object_get(value));
}

/* AS-R11. 0: it is none. */
static int priority_id(const char *word)
{
    return word && *word >= '1' && *word <= '5' && word[1] == '\0' ? *word - '0' : 0;
}

/* F-U4: a word means what the site says it means. */
static void put_priority(struct as_order *order)
{
    const struct as_call *call = order->faults.call;
    struct json_object *word = NULL;
    if (!json_object_object_get_ex(order->given, "priority", &word))
        return;
    if (!word) {
        put(order, order->request, "PriorityId", NULL);
        return;
    }
    const char *text = as_text_of(call, word);
    int id = text ? priority_id(call->host->source_word(call->job, BB_PRIORITIES, text)) : 0;
    if (id)
        json_object_object_add(order->request, "PriorityId", json_object_new_int(id));
    else
        as_fault(&order->faults, "/priority", "unmapped_priority", NULL,
                 "must be one of critical, high, medium, low to which the target's map gives a PriorityId");
}

/* Title and description are the brief description and a note; a description alone is the brief one. */
static void put_texts(struct as_order *order)
{
    struct json_object *title = NULL, *description = NULL;
    bool has_title = json_object_object_get_ex(order->given, "title", &title);
    if (!json_object_object_get_ex(order->given, "description", &description) || !has_title) {
        put_common(order, has_title ? "title" : "description", order->request, "BriefDescription");
        return;
    }
    put(order, order->request, "BriefDescription", json_object_get(title));
    if (!description)
        return;
    struct json_object *note = json_object_new_object(), *notes = json_object_new_array();
    json_object_object_add(note, "Description", json_object_get(description));
    json_object_array_add(notes, note);
    json_object_object_add(order->request, "SupportingInformation", notes);
}

/* A-U17 */
static void cut_description(struct as_order *order)
{
    struct json_object *brief = pl_member(order->request, "BriefDescription");
    if (!json_object_is_type(brief, json_type_string) || pl_characters(brief) <= DESCRIPTION_MAX)
        return;
    const char *text = json_object_get_string(brief);
    int bytes = 0;
    for (size_t count = 0; count <= DESCRIPTION_MAX; bytes++)
        count += ((unsigned char)text[bytes] & 0xc0) != 0x80;
    json_object_object_add(order->request, "BriefDescription", json_object_new_string_len(text, bytes - 1));
}

static void put_default(struct as_order *order, const char *name, struct json_object *value)
{
    if (json_object_object_get_ex(order->request, name, NULL))
        json_object_put(value);
    else
        json_object_object_add(order->request, name, value);
}

/* Assetic wants the arrays, also where there is nothing in them (AS-M14, AS-M23). */
static void put_defaults(struct as_order *order)
{
    static const char *const arrays[] = {"Labours", "MaintenanceMaterials", "MaintenanceServices",
                                         "SupportingInformation"};
    const struct as_call *call = order->faults.call;
    struct json_object *scheduling = scheduling_of(order);
    put_default(order, "Status", json_object_new_string(call->config->status));
    for (size_t i = 0; i < PL_COUNT(arrays); i++)
        put_default(order, arrays[i], json_object_new_array());
    if (scheduling && !json_object_object_get_ex(scheduling, "TargetStart", NULL)) { /* the same in every attempt */
        const int64_t utc = call->in ? call->in->messages[0].received_ms : 0;
        json_object_object_add(scheduling, "TargetStart",
                               json_object_new_string(as_print_wall(call, as_wall_of(call->config->time_zone, utc))));
    }
}

static void build(struct as_order *order, struct bb_str body)
{
    const struct as_call *call = order->faults.call;
    PL_SCOPED struct json_object *defaults = pl_parse_text(call->config->defaults);
    order->given = order->faults.given = pl_parse(body);
    order->request = json_object_new_object();
    if (!order->given && !call->in)
        return; /* a template that is one placeholder */
    if (!json_object_is_type(order->given, json_type_object)) {
        as_fault(&order->faults, "", "type", NULL, "must be a JSON object");
        return;
    }
    put_natives(order, defaults);
    put_common(order, "asset_ref", order->request, "AssetId");
    put_common(order, "location", order->request, "LocationDescription");
    put_common(order, "sla_due_at", scheduling_of(order), "TargetFinish");
    put_texts(order);
    put_priority(order);
    put_natives(order, order->given);
    put_natives(order, pl_member(order->given, "native"));
    put_defaults(order);
    if (call->config->cut_description)
        cut_description(order);
    as_check_order(order);
}

static void finish(struct as_order *order)
{
    pl_put(&order->given);
    pl_put(&order->request);
}

/* ---- sending it ----------------------------------------------------------------*/

static enum bb_next send_order(struct as_order *order)
{
    const struct as_call *call = order->faults.call;
    const double factor = call->config->duration_factor; /* A-U4 */
    if (factor < 1 || factor > 1)
        json_object_object_add(
            order->request, "EstimatedDuration",
            json_object_new_double(json_object_get_double(pl_member(order->request, "EstimatedDuration")) * factor));
    json_object_object_add(order->request, "ExternalId", json_object_new_string(call->in->messages[0].id));
    call->state->stage = AS_SENT;
    call->out->request = (struct bb_request){.method = "POST", .path = PATH, .body = as_print(call, order->request)};
    return BB_SEND;
}

static enum bb_next ask_or_send(const struct as_call *call)
{
    struct as_order order = {.faults = as_no_faults(call)};
    enum bb_next next = BB_REJECT;
    build(&order, call->in->messages[0].body);
    const bool resolved = order.faults.said.count == 0 && as_resolve_order(&order);
    if (order.faults.said.count > 0) /* whatever is left to ask */
        next = pl_reject_faults(&order.faults.said, call->out, "invalid_work_order", "the work order would be refused");
    else
        next = resolved ? send_order(&order) : as_send_lookup(call);
    finish(&order);
    return next;
}

/* What the order is about, as the message names it. */
static const char *asset_of(const struct as_call *call)
{
    PL_SCOPED struct json_object *body = pl_parse(call->in->messages[0].body);
    PL_SCOPED struct json_object *defaults = pl_parse_text(call->config->defaults);
    const char *const places[] = {"/native/AssetId", "/AssetId", "/asset_ref"};
    for (size_t i = 0; i < PL_COUNT(places); i++) {
        const char *asset = as_text_at(call, body, places[i]);
        if (asset)
            return asset;
    }
    return as_text_at(call, defaults, "/AssetId");
}

static enum bb_next done(const struct as_call *call, const char *id)
{
    call->out->source_work_order_id = id;
    call->out->asset_ref = asset_of(call);
    return BB_DONE;
}

static enum bb_next find_or_make(const struct as_call *call)
{
    size_t count = 0;
    call->state->stage = AS_FINDING_MARK;
    const char *id = as_find_marked(call, call->in->messages[0].id, &count);
    if (count == 1)
        return done(call, id);
    if (count > 1)
        return pl_fail(call->out, BB_REJECT, BB_CONFLICT, "made_twice",
                       call->host->format(call->job, "%zu work orders have the ExternalId %s: one is enough", count,
                                          call->in->messages[0].id));
    if (call->want->path)
        return as_send_lookup(call);
    call->state->stage = AS_START;
    return ask_or_send(call);
}

static enum bb_next made(const struct as_call *call)
{
    enum bb_next next = as_judge(call);
    if (next == BB_DONE) {
        const char *id = as_answered_id(call, call->in->response->body);
        if (id)
            return done(call, id);
        return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer", /* the next attempt looks for it */
                       "Assetic took the work order, but its answer names no Id");
    }
    if (call->in->response->status != 400 || !call->state->cached || call->state->again)
        return next;
    call->state->again = true; /* A-U14: perhaps it was refused for what we remembered */
    call->state->answers = NULL;
    call->out->error = (struct bb_error){0};
    return ask_or_send(call);
}

enum bb_next as_order_create(const struct as_call *call)
{
    const enum as_stage stage = call->state->stage;
    if (stage == AS_START)
        return call->in->uncertain || call->in->attempt > 1 ? find_or_make(call) : ask_or_send(call);
    if (stage == AS_SENT)
        return made(call);
    enum bb_next next = as_take_lookup(call);
    if (next != BB_DONE)
        return next;
    return stage == AS_FINDING_MARK ? find_or_make(call) : ask_or_send(call);
}

const char *as_order_check(const struct as_call *call, struct bb_str body)
{
    struct as_order order = {.faults = as_no_faults(call)};
    build(&order, body);
    const char *wrong = order.faults.said.text;
    finish(&order);
    return wrong;
}

/* ---- options ---------------------------------------------------------------------*/

static bool is_status(const char *text)
{
    for (size_t i = 0; i < AS_STATUSES; i++)
        if (strcmp(as_statuses[i], text) == 0)
            return true;
    return false;
}

/* What a site maps to a common priority is sent as PriorityId. */
static const char *priorities_problem(const struct as_call *call)
{
    static const char *const words[] = {"critical", "high", "medium", "low"};
    for (size_t i = 0; i < PL_COUNT(words); i++) {
        const char *id = call->host->source_word(call->job, BB_PRIORITIES, words[i]);
        if (id && !priority_id(id))
            return call->host->format(call->job, "map: priority: %.32s is no PriorityId from 1 to 5", id);
    }
    return NULL;
}

const char *as_order_options(const struct as_call *call)
{
    const struct as_config *config = call->config;
    PL_SCOPED struct json_object *defaults = pl_parse_text(config->defaults);
    const char *problem = as_zone_problem(config->time_zone);
    if (problem)
        return problem;
    if (!is_status(config->status))
        return "status must be one of PREP WAPPR APPR WMATL RFE INPRG TCOMP COMP ASSESS";
    if (strcmp(config->remedy, "always") != 0 && strcmp(config->remedy, "by_worktype") != 0)
        return "remedy must be always or by_worktype";
    if (!json_object_is_type(defaults, json_type_object))
        return "defaults must be a map of Assetic's members, such as {WorkOrderType: {Id: 6}}";
    if (!(config->duration_factor > 0))
        return "duration_factor must be greater than 0";
    if (*config->auth_pointer != '/')
        return "auth_pointer must be a JSON Pointer such as /ResourceId";
    return priorities_problem(call);
}
