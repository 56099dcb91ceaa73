/* SPDX-License-Identifier: Apache-2.0 */
/* What an error answer means. Its body (MW-C20) is read as far as it is what the contract says it is;
 * anything else leaves the verdict of the shared classifier as it was. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 5

/* An error body, and what it says as a whole. */
struct refusal {
    const struct mw_call *call;
    const struct mw_task *task; /* into which the pointers go, or NULL */
    struct json_object *body;
    const char *message, *code; /* NULL: none */
};

/* What it says of the call, or of one item. */
struct reading {
    struct json_object *fields; /* [{"pointer","key","parameters"}], NULL: nothing read */
    const char *text;           /* for people */
    const char *unknown;        /* "equipment" of error.payload.equipment.unknown */
};

/* "error.payload.equipment.unknown" -> "equipment", else NULL. */
static const char *unknown_thing(const struct mw_call *call, const char *key)
{
    static const char tail[] = ".unknown";
    size_t len = strlen(key), tail_len = sizeof tail - 1;
    if (len <= tail_len || strcmp(key + len - tail_len, tail) != 0)
        return NULL;
    const char *end = key + len - tail_len, *start = end;
    while (start > key && start[-1] != '.')
        start--;
    const char *thing = mw_text(call, (struct bb_str){start, (size_t)(end - start)});
    return pl_matches(thing, 32, "_") ? thing : NULL;
}

static void read_error(const struct refusal *refusal, struct reading *reading, const char *pointer,
                       struct json_object *error)
{
    const struct mw_call *call = refusal->call;
    const char *key = pl_text_of(call->host, call->job, pl_member(error, "messageKey"));
    struct json_object *parameters = pl_member(error, "parameters");
    if (!key)
        return;
    if (!reading->unknown)
        reading->unknown = unknown_thing(call, key);
    if (refusal->task)
        pointer = mw_task_pointer(refusal->task, pointer);
    struct json_object *field = json_object_new_object();
    json_object_object_add(field, "pointer", json_object_new_string(pointer));
    json_object_object_add(field, "key", json_object_new_string(key));
    json_object_object_add(field, "parameters", parameters ? json_object_get(parameters) : json_object_new_object());
    if (!reading->fields)
        reading->fields = json_object_new_array();
    json_object_array_add(reading->fields, field);
    if (json_object_array_length(reading->fields) > SAID_MAX)
        return;
    const char *detail = parameters ? mw_print(call, parameters).data : "";
    const char *said = call->host->format(call->job, "%s%s%s %s", pointer, *pointer ? " " : "", key, detail);
    reading->text = reading->text ? call->host->format(call->job, "%s; %s", reading->text, said) : said;
}

static void read_errors(const struct refusal *refusal, struct reading *reading, const char *pointer,
                        struct json_object *errors)
{
    if (!json_object_is_type(errors, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(errors); i++)
        read_error(refusal, reading, pointer, json_object_array_get_idx(errors, i));
}

/* Writes into the error what was read, and forgets it. */
static void finish_reading(const struct refusal *refusal, struct reading *reading, struct bb_error *error)
{
    const struct mw_call *call = refusal->call;
    const char *message = refusal->message;
    if (message || reading->text)
        error->message = call->host->format(call->job, "Mobility Work: %s%s%s", message ? message : "",
                                            message && reading->text ? " " : "", reading->text ? reading->text : "");
    if (refusal->code)
        error->code = refusal->code;
    if (reading->fields)
        error->rejected_fields = mw_print(call, reading->fields).data;
    if (reading->unknown && error->error_class == BB_VALIDATION) {
        error->error_class = BB_IDENTITY;
        error->code = call->host->format(call->job, "unknown_%s", reading->unknown);
    }
    pl_put(&reading->fields);
}

static struct refusal open_refusal(const struct mw_call *call, const struct mw_task *task, struct json_object *body)
{
    const char *code = mw_text_at(call, body, "/code");
    return (struct refusal){.call = call,
                            .task = task,
                            .body = body,
                            .message = mw_text_at(call, body, "/message"),
                            .code = code && pl_matches(code, 32, "_.-") ? code : NULL};
}

static void refine(const struct refusal *refusal, struct bb_error *error)
{
    struct reading reading = {0};
    struct json_object *properties = pl_at(refusal->body, "/extended_message/property_errors");
    read_errors(refusal, &reading, "", pl_at(refusal->body, "/extended_message/global_errors"));
    if (json_object_is_type(properties, json_type_object)) {
        json_object_object_foreach(properties, pointer, errors) read_errors(refusal, &reading, pointer, errors);
    }
    finish_reading(refusal, &reading, error);
}

/* "/17/name" -> 17, and "/name" in *rest; SIZE_MAX when the pointer does not begin with an index below count. */
static size_t index_of(const char *pointer, size_t count, const char **rest)
{
    size_t index = 0;
    const char *digits = pointer + 1, *at = digits;
    if (*pointer != '/')
        return SIZE_MAX;
    for (; *at >= '0' && *at <= '9' && index < count; at++)
        index = index * 10 + (size_t)(*at - '0');
    *rest = at;
    const bool shaped = at > digits && (*at == '/' || *at == '\0') && (*digits != '0' || at == digits + 1);
    return shaped && index < count ? index : SIZE_MAX;
}

size_t mw_refused_items(const struct mw_call *call, struct bb_error *errors, size_t count)
{
    PL_SCOPED struct json_object *body = pl_parse(call->in->response->body);
    struct json_object *properties = pl_at(body, "/extended_message/property_errors");
    size_t named = 0;
    if (!json_object_is_type(properties, json_type_object))
        return 0;
    const struct refusal refusal = open_refusal(call, NULL, body);
    struct reading *readings = call->host->alloc(call->job, count * sizeof *readings);
    json_object_object_foreach(properties, pointer, told)
    {
        const char *rest;
        const size_t i = index_of(pointer, count, &rest);
        if (i == SIZE_MAX)
            continue;
        read_errors(&refusal, &readings[i], rest, told);
    }
    for (size_t i = 0; i < count; i++) {
        if (!readings[i].fields)
            continue;
        errors[i] = (struct bb_error){.error_class = BB_VALIDATION, .code = "http_400", .message = "it was refused"};
        finish_reading(&refusal, &readings[i], &errors[i]);
        named++;
    }
    return named;
}

static enum bb_next judge(const struct mw_call *call, const struct mw_task *task)
{
    const struct bb_response *response = call->in->response;
    enum bb_next next = call->host->judge(call->job, response, call->out);
    if (next == BB_DONE)
        return next;
    PL_SCOPED struct json_object *body = pl_parse(response->body);
    if (json_object_is_type(body, json_type_object)) {
        const struct refusal refusal = open_refusal(call, task, body);
        refine(&refusal, &call->out->error);
    }
    if (response->status == 401)
        call->out->error.owner_action = "Check api_key: it is missing, wrong or revoked; Mobility Work's support "
                                        "issues keys. Then resume the target.";
    else if (response->status == 403)
        call->out->error.owner_action = "Check that the network's subscription plan includes this call and that the "
                                        "key may make it. Then resume the operation.";
    return next;
}

enum bb_next mw_judge(const struct mw_call *call)
{
    return judge(call, NULL);
}

enum bb_next mw_judge_write(const struct mw_call *call)
{
    const int status = call->in->response->status;
    const enum bb_next next = judge(call, NULL);
    if (next != BB_DONE || status == 201 || status == 202)
        return next;
    call->out->unconfirmed = false;
    return pl_fail(
        call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer",
        call->host->format(call->job, "Mobility Work answers what it took by 201 or 202, not by %d", status));
}

enum bb_next mw_judge_task(const struct mw_task *task)
{
    return judge(task->faults.call, task);
}
