/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance_plan.trigger: one call makes one task of a plan that Mobility Work holds (MW-P01 .. P09).
 *
 * How the call looks is not published: path, method, body and success are options, their defaults are a guess (MW-P30)
 * and the operation says so. Mobility Work sets no limit to what it creates, so the descriptor brings a cooldown
 * and a budget for each plan, and an uncertain outcome is parked instead of sent again. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>
#include <time.h>

#define PLAN_ID_MAX 64
#define ID_MAX 128
#define PLACE "{planId}"

/* The plan's id as text; NULL when the body is not {"planId": "<one safe path segment>"}, with faults. */
static const char *read_plan_id(struct mw_faults *faults, struct json_object *body)
{
    static const char *const known[] = {"planId"};
    const struct mw_call *call = faults->call;
    struct json_object *value = NULL;
    if (!json_object_is_type(body, json_type_object)) {
        pl_fault(&faults->said, "", "type", NULL, "must be a JSON object with planId");
        return NULL;
    }
    pl_fault_unknown(&faults->said, body, "", known, PL_COUNT(known));
    bool there = json_object_object_get_ex(body, "planId", &value);
    if (!value && (call->in || !there))
        pl_fault(&faults->said, "/planId", "required", NULL, "is required");
    if (!value)
        return NULL;
    const char *text = json_object_is_type(value, json_type_int)
                           ? call->host->format(call->job, "%s", json_object_get_string(value))
                           : mw_text_at(call, body, "/planId");
    if (text && pl_matches(text, PLAN_ID_MAX, "_-"))
        return text;
    pl_fault(&faults->said, "/planId", "plan_id", NULL, "must be 1 to 64 of A-Z a-z 0-9 _ -");
    return NULL;
}

/* ---- the template -------------------------------------------------------------*/

struct place {
    const char *name, *value;
};

/* Replaces {name} in the text, left to right; what was put in is not looked at again. */
static const char *fill_text(const struct mw_call *call, const char *text, const struct place *places, size_t count)
{
    const char *done = "";
    while (*text) {
        size_t i = 0, literal = 0;
        while (i < count && strncmp(text, places[i].name, strlen(places[i].name)) != 0)
            i++;
        if (i < count) {
            done = call->host->format(call->job, "%s%s", done, places[i].value);
            text += strlen(places[i].name);
            continue;
        }
        literal = 1 + strcspn(text + 1, "{");
        done = call->host->format(call->job, "%s%.*s", done, (int)literal, text);
        text += literal;
    }
    return done;
}

static struct json_object *fill(const struct mw_call *call, struct json_object *value, const struct place *places,
                                size_t count)
{
    struct json_object *filled;
    switch (json_object_get_type(value)) {
    case json_type_string:
        return json_object_new_string(fill_text(call, json_object_get_string(value), places, count));
    case json_type_array:
        filled = json_object_new_array();
        for (size_t i = 0; i < json_object_array_length(value); i++)
            json_object_array_add(filled, fill(call, json_object_array_get_idx(value, i), places, count));
        return filled;
    case json_type_object:
        filled = json_object_new_object();
        {
            json_object_object_foreach(value, key, member)
                json_object_object_add(filled, key, fill(call, member, places, count));
        }
        return filled;
    case json_type_null:
    case json_type_boolean:
    case json_type_double:
    case json_type_int:
        return json_object_get(value);
    }
    return NULL;
}

static const char *received_text(const struct mw_call *call)
{
    char text[32];
    time_t seconds = (time_t)(call->in->messages[0].received_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &t);
    return call->host->format(call->job, "%s", text);
}

static enum bb_next send_trigger(const struct mw_call *call, const char *plan_id)
{
    const struct mw_config *config = call->config;
    const struct bb_message *message = call->in->messages;
    const struct place body_places[] = {{PLACE, plan_id},
                                        {"{id}", message->id},
                                        {"{orderId}", message->order_id ? message->order_id : ""},
                                        {"{topic}", mw_text(call, message->topic)},
                                        {"{time}", received_text(call)}};
    const struct place path_places[] = {
        {PLACE, call->host->path_segment(call->job, (struct bb_str){plan_id, strlen(plan_id)})}};
    call->out->request =
        (struct bb_request){.method = config->plan_method, .path = fill_text(call, config->plan_path, path_places, 1)};
    if (strcmp(config->plan_method, "GET") != 0) {
        PL_SCOPED struct json_object *shape = pl_parse((struct bb_str){config->plan_body, strlen(config->plan_body)});
        PL_SCOPED struct json_object *body = fill(call, shape, body_places, PL_COUNT(body_places));
        call->out->request.body = mw_print(call, body);
    }
    return BB_SEND;
}

/* ---- the answer -------------------------------------------------------------- */

static bool is_success(struct json_object *codes, int status)
{
    for (size_t i = 0; i < json_object_array_length(codes); i++)
        if (json_object_get_int(json_object_array_get_idx(codes, i)) == status)
            return true;
    return false;
}

/* The shared judgement, save that plan_success says what a success is; a page is none under any status. */
static enum bb_next judge_status(const struct mw_call *call, int status)
{
    PL_SCOPED struct json_object *codes = pl_parse_text(call->config->plan_success);
    enum bb_next next = mw_judge(call);
    struct bb_error *error = &call->out->error;
    if (next == BB_RETRY && status >= 200 && status <= 299)
        return next;
    if (is_success(codes, status)) {
        *error = (struct bb_error){0};
        call->out->hold_operation = false;
        return BB_DONE;
    }
    if (next != BB_DONE)
        return next;
    call->out->unconfirmed = false;
    error->error_class = BB_VALIDATION;
    error->code = "unexpected_status";
    error->message = call->host->format(
        call->job, "HTTP %d is none of plan_success; the plan may have been triggered all the same", status);
    error->owner_action = "Look in Mobility Work whether the task is there; then discard this or retry it, and add the "
                          "status to plan_success when it means success.";
    return BB_REJECT;
}

static enum bb_next judge_trigger(const struct mw_call *call, const char *plan_id)
{
    int status = call->in->response->status;
    enum bb_next next = judge_status(call, status);
    if (next == BB_DONE) {
        PL_SCOPED struct json_object *body = pl_parse(call->in->response->body);
        const char *id = mw_text_at(call, body, "/taskId");
        id = id ? id : mw_text_at(call, body, "/id");
        if (id && strlen(id) <= ID_MAX)
            call->out->source_work_order_id = id;
    } else if (next == BB_REJECT && (status == 400 || status == 404)) {
        struct bb_error *error = &call->out->error;
        error->error_class = BB_IDENTITY;
        error->code = "unknown_plan";
        error->message = call->host->format(call->job, "unknown plan id %s (HTTP %d)%s%s", plan_id, status,
                                            error->message ? ": " : "", error->message ? error->message : "");
        error->owner_action = "Check the plan's id in Mobility Work, and plan_path: its default is unverified.";
    } else if (next == BB_HOLD && status == 403) {
        call->out->error.owner_action =
            "Check that the key may act as an administrator and that the network's subscription "
            "has plans triggered by API: Starter, Premium or On demand (also called "
            "Ultimate). Then resume the operation.";
    }
    return next;
}

enum bb_next mw_plan_trigger(const struct mw_call *call)
{
    struct mw_faults faults = mw_no_faults(call);
    PL_SCOPED struct json_object *body = pl_parse(call->in->messages[0].body);
    const char *plan_id = read_plan_id(&faults, body);
    enum bb_next next;
    if (!plan_id || faults.said.count > 0)
        next = pl_reject_faults(&faults.said, call->out, "invalid_plan_id", "the plan was not triggered");
    else
        next = call->in->response ? judge_trigger(call, plan_id) : send_trigger(call, plan_id);
    return next;
}

const char *mw_plan_check(const struct mw_call *call, struct bb_str text)
{
    struct mw_faults faults = mw_no_faults(call);
    PL_SCOPED struct json_object *body = pl_parse(text);
    read_plan_id(&faults, body);
    return faults.said.text;
}

static const char *success_fault(const struct mw_config *config)
{
    PL_SCOPED struct json_object *codes = pl_parse_text(config->plan_success);
    bool good = json_object_is_type(codes, json_type_array) && json_object_array_length(codes) > 0;
    for (size_t i = 0; good && i < json_object_array_length(codes); i++) {
        struct json_object *code = json_object_array_get_idx(codes, i);
        good = json_object_is_type(code, json_type_int) && json_object_get_int(code) >= 200 &&
               json_object_get_int(code) < 500;
    }
    return good ? NULL : "plan_success: must be a list of HTTP statuses from 200 to 499";
}

const char *mw_plan_options(const struct mw_call *call)
{
    static const char *const methods[] = {"POST", "PUT", "PATCH", "GET"};
    const struct mw_config *config = call->config;
    size_t method = 0;
    while (method < PL_COUNT(methods) && strcmp(config->plan_method, methods[method]) != 0)
        method++;
    if (method == PL_COUNT(methods))
        return "plan_method: must be POST, PUT, PATCH or GET";
    for (const char *c = config->plan_path; *c; c++)
        if (*c <= ' ' || *c > '~')
            return "plan_path: must be printable ASCII without spaces";
    if (config->plan_path[0] != '/' || strstr(config->plan_path, "..") || strchr(config->plan_path, '#'))
        return "plan_path: must start with / and hold neither .. nor #";
    if (!strstr(config->plan_path, PLACE) && !strstr(config->plan_body, PLACE))
        return "plan_path: must hold {planId} (or plan_body must)";
    PL_SCOPED struct json_object *body = pl_parse((struct bb_str){config->plan_body, strlen(config->plan_body)});
    return body ? success_fault(config) : "plan_body: must be a JSON value";
}
