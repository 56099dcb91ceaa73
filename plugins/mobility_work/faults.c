/* SPDX-License-Identifier: Apache-2.0 */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 8 /* so many are told in the sentence; the list holds them all */

struct mw_fault_told {
    struct mw_fault_told *next;
    const char *json; /* {"pointer","key","parameters"} */
};

/* As a JSON string. */
static const char *quote(const struct mw_call *call, const char *text)
{
    const char *at = text;
    while ((unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    if (*at == '\0')
        return call->host->format(call->job, "\"%s\"", text);
    MW_SCOPED struct json_object *string = json_object_new_string(text);
    return mw_print(call, string).data;
}

void mw_fault(struct mw_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence)
{
    const struct mw_call *call = faults->call;
    struct mw_fault_told *told = call->host->alloc(call->job, sizeof *told);
    told->json = call->host->format(call->job, "{\"pointer\":%s,\"key\":\"%s\",\"parameters\":%s}",
                                    quote(call, pointer), key, parameters ? mw_print(call, parameters).data : "{}");
    mw_put(&parameters);
    if (faults->last)
        faults->last->next = told;
    else
        faults->first = told;
    faults->last = told;
    const char *where = *pointer ? pointer : "it";
    faults->count++;
    if (faults->count == 1)
        faults->text = call->host->format(call->job, "%s %s", where, sentence);
    else if (faults->count <= SAID_MAX)
        faults->text = call->host->format(call->job, "%s; %s %s", faults->text, where, sentence);
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

/* All of them as one JSON array. */
static const char *list(const struct mw_faults *faults)
{
    size_t size = sizeof "[]", len = 0;
    for (const struct mw_fault_told *told = faults->first; told; told = told->next)
        size += strlen(told->json) + 1;
    char *text = faults->call->host->alloc(faults->call->job, size);
    for (const struct mw_fault_told *told = faults->first; told; told = told->next) {
        const size_t json_len = strlen(told->json);
        text[len] = len ? ',' : '[';
        len++;
        memcpy(text + len, told->json, json_len);
        len += json_len;
    }
    text[len] = ']';
    return text;
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
        .rejected_fields = list(faults),
    };
    return BB_REJECT;
}
