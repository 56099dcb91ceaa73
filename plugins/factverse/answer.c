/* SPDX-License-Identifier: Apache-2.0 */
/* What an error answer means. Its body is read as the contract's error record (FV-07), as far as it is one; anything
 * else leaves the verdict of the shared classifier as it was. */
#include "factverse.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 500
#define CODE_MAX 64

/* {"pointer", "key", "parameters"}, each as far as it is there. gives */
static struct json_object *read_field(const struct fv_call *call, struct json_object *told)
{
    const char *pointer = fv_text_of(call, pl_member(told, "pointer")), *key = fv_text_of(call, pl_member(told, "key"));
    struct json_object *parameters = pl_member(told, "parameters"), *field = NULL;
    if (!pointer || *pointer != '/')
        return NULL;
    field = json_object_new_object();
    json_object_object_add(field, "pointer", json_object_new_string(pointer));
    json_object_object_add(field, "key", json_object_new_string(key ? key : "refused"));
    json_object_object_add(field, "parameters",
                           json_object_is_type(parameters, json_type_object) ? json_object_get(parameters)
                                                                             : json_object_new_object());
    return field;
}

static void read_fields(const struct fv_call *call, struct json_object *told)
{
    PL_SCOPED struct json_object *fields = json_object_new_array();
    for (size_t i = 0; json_object_is_type(told, json_type_array) && i < json_object_array_length(told); i++) {
        struct json_object *field = read_field(call, json_object_array_get_idx(told, i));
        if (field)
            json_object_array_add(fields, field);
    }
    if (json_object_array_length(fields) > 0)
        call->out->error.rejected_fields = fv_print(call, fields).data;
}

/* A refusal may be of another class than its status says: a 400 that names an unknown asset. */
static void read_class(struct bb_error *error, const char *word)
{
    static const struct {
        const char *word;
        enum bb_class error_class;
    } classes[] = {{"validation", BB_VALIDATION}, {"identity", BB_IDENTITY}, {"conflict", BB_CONFLICT}};
    for (size_t i = 0; word && i < PL_COUNT(classes); i++)
        if (strcmp(classes[i].word, word) == 0)
            error->error_class = classes[i].error_class;
}

static void refine(const struct fv_call *call, enum bb_next next)
{
    struct bb_error *error = &call->out->error;
    PL_SCOPED struct json_object *body = pl_parse(call->in->response->body);
    struct json_object *record = pl_member(body, "error");
    record = json_object_is_type(record, json_type_object) ? record : body;
    const char *message = fv_text_of(call, pl_member(record, "message"));
    const char *code = fv_text_of(call, pl_member(record, "code"));
    const char *action = fv_text_of(call, pl_member(record, "owner_action"));
    if (message)
        error->message = call->host->format(call->job, "FactVerse: %.*s", SAID_MAX, message);
    if (code && pl_matches(code, CODE_MAX, "_.-"))
        error->code = code;
    if (action)
        error->owner_action = call->host->format(call->job, "%.*s", SAID_MAX, action);
    if (next == BB_REJECT)
        read_class(error, fv_text_of(call, pl_member(record, "class")));
    read_fields(call, pl_member(record, "rejected_fields"));
}

enum bb_next fv_judge(const struct fv_call *call)
{
    const enum bb_next next = call->host->judge(call->job, call->in->response, call->out);
    if (next == BB_DONE)
        return next;
    refine(call, next);
    struct bb_error *error = &call->out->error;
    if (call->in->response->status == 401 && !error->owner_action)
        error->owner_action = "Check token: the service identity that it belongs to, and that it is of this "
                              "environment. Then resume the target.";
    else if (call->in->response->status == 403 && !error->owner_action)
        error->owner_action = "Check the scope of the service identity: this action, this tenant, this provider_id. "
                              "Then resume the operation.";
    return next;
}
