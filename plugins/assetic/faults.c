/* SPDX-License-Identifier: Apache-2.0 */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 8 /* so many are told in the sentence; the list holds them all */
#define TOKEN_MAX 64

/* Common members that stand for one of Assetic's. */
static const struct {
    const char *native, *common;
} aliases[] = {
    {"/AssetId", "/asset_ref"},
    {"/BriefDescription", "/title"},
    {"/BriefDescription", "/description"},
    {"/LocationDescription", "/location"},
    {"/PriorityId", "/priority"},
    {"/Scheduling/TargetFinish", "/sla_due_at"},
};

/* Where the message says what stands at this place of the request; the place itself when a default does. */
static const char *place_of(const struct as_faults *faults, const char *pointer)
{
    char token[TOKEN_MAX];
    size_t len = *pointer == '/' ? strcspn(pointer + 1, "/") : 0;
    if (len == 0 || len >= sizeof token)
        return pointer;
    memcpy(token, pointer + 1, len);
    token[len] = '\0';
    if (as_member(as_member(faults->given, "native"), token))
        return faults->call->host->format(faults->call->job, "/native%s", pointer);
    if (as_member(faults->given, token))
        return pointer;
    for (size_t i = 0; i < AS_COUNT(aliases); i++)
        if (strcmp(aliases[i].native, pointer) == 0 && as_member(faults->given, aliases[i].common + 1))
            return aliases[i].common;
    return pointer;
}

void as_fault(struct as_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence)
{
    const struct as_call *call = faults->call;
    const char *place = place_of(faults, pointer), *where = *place ? place : "it";
    struct json_object *fault = json_object_new_object();
    json_object_object_add(fault, "pointer", json_object_new_string(place));
    json_object_object_add(fault, "key", json_object_new_string(key));
    json_object_object_add(fault, "parameters", parameters ? parameters : json_object_new_object());
    if (!faults->list)
        faults->list = json_object_new_array();
    json_object_array_add(faults->list, fault);
    faults->count++;
    if (faults->count == 1)
        faults->text = call->host->format(call->job, "%s %s", where, sentence);
    else if (faults->count <= SAID_MAX)
        faults->text = call->host->format(call->job, "%s; %s %s", faults->text, where, sentence);
}

void as_fault_identity(struct as_faults *faults, const char *pointer, const char *key, const char *sentence)
{
    if (!faults->identity)
        faults->identity = key;
    as_fault(faults, pointer, key, NULL, sentence);
}

/* As a reference token of a JSON Pointer. */
static const char *escape_token(const struct as_call *call, const char *name)
{
    char *token = call->host->alloc(call->job, 2 * strlen(name) + 1);
    for (char *to = token; *name; name++) {
        if (*name == '~' || *name == '/') {
            *to++ = '~';
            *to++ = *name == '~' ? '0' : '1';
        } else {
            *to++ = *name;
        }
    }
    return token;
}

void as_fault_unknown(struct as_faults *faults, const char *pointer, const char *name, const char *const *known,
                      size_t count)
{
    const struct as_call *call = faults->call;
    const char *near = as_nearest(name, known, count);
    struct json_object *parameters = json_object_new_object();
    if (near)
        json_object_object_add(parameters, "nearest", json_object_new_string(near));
    as_fault(faults, call->host->format(call->job, "%s/%s", pointer, escape_token(call, name)), "unknown_member",
             parameters,
             near ? call->host->format(call->job, "is not a member (did you mean %s?)", near) : "is not a member");
}

enum bb_next as_reject_faults(struct as_faults *faults, const char *code, const char *subject)
{
    const struct as_call *call = faults->call;
    const char *more =
        faults->count > SAID_MAX ? call->host->format(call->job, "; and %zu more", faults->count - SAID_MAX) : "";
    call->out->error = (struct bb_error){
        .error_class = faults->identity ? BB_IDENTITY : BB_VALIDATION,
        .code = faults->identity ? faults->identity : code,
        .message = call->host->format(call->job, "%s: %s%s", subject, faults->text, more),
        .rejected_fields = as_print(call, faults->list).data,
    };
    return BB_REJECT;
}

void as_faults_finish(struct as_faults *faults)
{
    as_put(&faults->list);
}

enum bb_next as_fail(const struct as_call *call, enum bb_next verdict, enum bb_class error_class, const char *code,
                     const char *message)
{
    call->out->error = (struct bb_error){.error_class = error_class, .code = code, .message = message};
    return verdict;
}
