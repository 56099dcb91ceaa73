/* SPDX-License-Identifier: Apache-2.0 */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 8 /* so many are told in the sentence; the list holds them all */

void mw_fault(struct mw_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence)
{
    struct json_object *fault = json_object_new_object();
    json_object_object_add(fault, "pointer", json_object_new_string(pointer));
    json_object_object_add(fault, "key", json_object_new_string(key));
    json_object_object_add(fault, "parameters", parameters ? parameters : json_object_new_object());
    if (!faults->list)
        faults->list = json_object_new_array();
    json_object_array_add(faults->list, fault);
    const char *where = *pointer ? pointer : "it";
    faults->count++;
    if (faults->count == 1)
        faults->text = faults->call->host->format(faults->call->job, "%s %s", where, sentence);
    else if (faults->count <= SAID_MAX)
        faults->text = faults->call->host->format(faults->call->job, "%s; %s %s", faults->text, where, sentence);
}

/* As a reference token of a JSON Pointer. */
static const char *escape_token(const struct mw_call *call, const char *name)
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

void mw_fault_unknown(struct mw_faults *faults, struct json_object *object, const char *pointer,
                      const char *const *known, size_t count)
{
    const struct mw_call *call = faults->call;
    json_object_object_foreach(object, name, value)
    {
        (void)value;
        size_t i = 0;
        while (i < count && strcmp(known[i], name) != 0)
            i++;
        if (i < count)
            continue;
        const char *near = mw_nearest(name, known, count);
        struct json_object *parameters = json_object_new_object();
        if (near)
            json_object_object_add(parameters, "nearest", json_object_new_string(near));
        mw_fault(faults, call->host->format(call->job, "%s/%s", pointer, escape_token(call, name)), "unknown_member",
                 parameters,
                 near ? call->host->format(call->job, "is not a member (did you mean %s?)", near) : "is not a member");
    }
}

enum bb_next mw_reject_faults(struct mw_faults *faults, const char *code, const char *subject)
{
    const struct mw_call *call = faults->call;
    const char *more =
        faults->count > SAID_MAX ? call->host->format(call->job, "; and %zu more", faults->count - SAID_MAX) : "";
    call->out->error = (struct bb_error){
        .error_class = BB_VALIDATION,
        .code = code,
        .message = call->host->format(call->job, "%s: %s%s", subject, faults->text, more),
        .rejected_fields = mw_print(call, faults->list).data,
    };
    return BB_REJECT;
}

void mw_faults_finish(struct mw_faults *faults)
{
    mw_put(&faults->list);
}
