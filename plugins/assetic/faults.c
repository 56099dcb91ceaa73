/* SPDX-License-Identifier: Apache-2.0 */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

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
    if (pl_member(pl_member(faults->given, "native"), token))
        return faults->call->host->format(faults->call->job, "/native%s", pointer);
    if (pl_member(faults->given, token))
        return pointer;
    for (size_t i = 0; i < PL_COUNT(aliases); i++)
        if (strcmp(aliases[i].native, pointer) == 0 && pl_member(faults->given, aliases[i].common + 1))
            return aliases[i].common;
    return pointer;
}

struct as_faults as_no_faults(const struct as_call *call)
{
    return (struct as_faults){.call = call, .said = {.host = call->host, .job = call->job}};
}

void as_fault(struct as_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence)
{
    pl_fault(&faults->said, place_of(faults, pointer), key, parameters, sentence);
}

void as_fault_identity(struct as_faults *faults, const char *pointer, const char *key, const char *sentence)
{
    pl_fault_identity(&faults->said, place_of(faults, pointer), key, sentence);
}

void as_fault_unknown(struct as_faults *faults, const char *pointer, const char *name, const char *const *known,
                      size_t count)
{
    pl_fault_member(&faults->said, place_of(faults, pl_pointer_to(&faults->said, pointer, name)), name, known, count);
}
