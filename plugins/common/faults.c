/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 8 /* so many are told in the sentence; the list holds them all */

struct pl_fault_told {
    struct pl_fault_told *next;
    const char *json; /* {"pointer","key","parameters"} */
};

/* As a JSON string. */
static const char *quote(const struct pl_faults *faults, const char *text)
{
    const char *at = text;
    while ((unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    if (*at == '\0')
        return faults->host->format(faults->job, "\"%s\"", text);
    PL_SCOPED struct json_object *string = json_object_new_string(text);
    return pl_print(faults->host, faults->job, string).data;
}

void pl_fault(struct pl_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence)
{
    struct pl_fault_told *told = faults->host->alloc(faults->job, sizeof *told);
    told->json =
        faults->host->format(faults->job, "{\"pointer\":%s,\"key\":\"%s\",\"parameters\":%s}", quote(faults, pointer),
                             key, parameters ? pl_print(faults->host, faults->job, parameters).data : "{}");
    pl_put(&parameters);
    if (faults->last)
        faults->last->next = told;
    else
        faults->first = told;
    faults->last = told;
    const char *where = *pointer ? pointer : "it";
    faults->count++;
    if (faults->count == 1)
        faults->text = faults->host->format(faults->job, "%s %s", where, sentence);
    else if (faults->count <= SAID_MAX)
        faults->text = faults->host->format(faults->job, "%s; %s %s", faults->text, where, sentence);
}

const char *pl_pointer_to(const struct pl_faults *faults, const char *pointer, const char *name)
{
    const size_t len = strlen(pointer);
    char *whole = faults->host->alloc(faults->job, len + 2 + 2 * strlen(name)), *to = whole + len;
    memcpy(whole, pointer, len);
    *to++ = '/';
    for (; *name; name++) {
        if (*name == '~' || *name == '/') {
            *to++ = '~';
            *to++ = *name == '~' ? '0' : '1';
        } else {
            *to++ = *name;
        }
    }
    return whole;
}

void pl_fault_identity(struct pl_faults *faults, const char *pointer, const char *key, const char *sentence)
{
    if (!faults->identity)
        faults->identity = key;
    pl_fault(faults, pointer, key, NULL, sentence);
}

void pl_fault_member(struct pl_faults *faults, const char *pointer, const char *name, const char *const *known,
                     size_t count)
{
    const char *near = pl_nearest(name, known, count);
    struct json_object *parameters = json_object_new_object();
    if (near)
        json_object_object_add(parameters, "nearest", json_object_new_string(near));
    pl_fault(faults, pointer, "unknown_member", parameters,
             near ? faults->host->format(faults->job, "is not a member (did you mean %s?)", near) : "is not a member");
}

void pl_fault_unknown(struct pl_faults *faults, struct json_object *object, const char *pointer,
                      const char *const *known, size_t count)
{
    json_object_object_foreach(object, name, value)
    {
        (void)value;
        size_t i = 0;
        while (i < count && strcmp(known[i], name) != 0)
            i++;
        if (i == count)
            pl_fault_member(faults, pl_pointer_to(faults, pointer, name), name, known, count);
    }
}

/* All of them as one JSON array. */
static const char *list(const struct pl_faults *faults)
{
    size_t size = sizeof "[]", len = 0;
    for (const struct pl_fault_told *told = faults->first; told; told = told->next)
        size += strlen(told->json) + 1;
    char *text = faults->host->alloc(faults->job, size);
    for (const struct pl_fault_told *told = faults->first; told; told = told->next) {
        const size_t json_len = strlen(told->json);
        text[len] = len ? ',' : '[';
        len++;
        memcpy(text + len, told->json, json_len);
        len += json_len;
    }
    text[len] = ']';
    return text;
}

enum bb_next pl_reject_faults(const struct pl_faults *faults, struct bb_out *out, const char *code, const char *subject)
{
    const char *more =
        faults->count > SAID_MAX ? faults->host->format(faults->job, "; and %zu more", faults->count - SAID_MAX) : "";
    out->error = (struct bb_error){
        .error_class = faults->identity ? BB_IDENTITY : BB_VALIDATION,
        .code = faults->identity ? faults->identity : code,
        .message = faults->host->format(faults->job, "%s: %s%s", subject, faults->text, more),
        .rejected_fields = list(faults),
    };
    return BB_REJECT;
}

enum bb_next pl_fail(struct bb_out *out, enum bb_next verdict, enum bb_class error_class, const char *code,
                     const char *message)
{
    out->error = (struct bb_error){.error_class = error_class, .code = code, .message = message};
    return verdict;
}
