/* SPDX-License-Identifier: Apache-2.0 */
/* MW-C17. People write 9, "PUMP-7", "jane@example.com" or {type, value}; Mobility Work prefers the typed form and
 * guesses the type of the others. We never let it guess: what goes out is always typed. Above all, an item code
 * such as "4711" would be ambiguous as a bare string. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define NATIVE_DIGITS_MAX 18

struct kind {
    const char *what;
    const char *tokens[4]; /* named by the API for this kind, beside the configured one */
};

static const struct kind kinds[] = {
    [MW_EQUIPMENT] = {"a native id (integer), an item code (string) or {type, value}",
                      {"native", "external", "externalReference", "itemCode"}},
    [MW_ASSIGNEE] = {"a native id (integer), an e-mail address or {type, value}", {"native", "email"}},
    [MW_SPARE_PART] = {"an external reference (string) or {type, value}", {"externalReference"}},
    [MW_TAG] = {"a native id (integer), a tag's code (string) or {type, value}", {"native", "code"}},
};

static const char *configured_type(const struct mw_config *config, enum mw_kind kind)
{
    switch (kind) {
    case MW_EQUIPMENT:
        return config->equipment_type;
    case MW_ASSIGNEE:
        return config->assignee_type;
    case MW_TAG:
        return config->tag_type;
    case MW_SPARE_PART:
        return config->spare_part_type;
    }
    return "";
}

static bool is_digits(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

static bool is_email(const char *text)
{
    const char *at = strchr(text, '@');
    return at && at > text && at[1] && !strchr(at + 1, '@') && !strpbrk(text, " \t\r\n,;<>");
}

static struct json_object *typed(const char *type, struct json_object *value)
{
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "type", json_object_new_string(type));
    json_object_object_add(object, "value", value);
    return object;
}

static struct json_object *refuse(struct mw_faults *faults, enum mw_kind kind, const char *pointer)
{
    pl_fault(&faults->said, pointer, "identifier", NULL,
             faults->call->host->format(faults->call->job, "must be %s", kinds[kind].what));
    return NULL;
}

/* A native id is a number, also where a template made text of it. */
static struct json_object *native_value(const char *text)
{
    if (is_digits(text) && strlen(text) <= NATIVE_DIGITS_MAX)
        return json_object_new_int64(strtoll(text, NULL, 10));
    return json_object_new_string(text);
}

static struct json_object *from_text(struct mw_faults *faults, enum mw_kind kind, const char *type, const char *pointer,
                                     struct json_object *value)
{
    const char *text = json_object_get_string(value);
    if (strlen(text) != (size_t)json_object_get_string_len(value) || text[strspn(text, " \t\r\n")] == '\0')
        return refuse(faults, kind, pointer);
    if (strcmp(type, "native") == 0)
        return typed(type, native_value(text));
    if (strcmp(type, "email") == 0 && !is_email(text))
        return refuse(faults, kind, pointer);
    return typed(type, json_object_new_string(text));
}

static bool type_known(const struct mw_config *config, enum mw_kind kind, const char *type)
{
    if (strcmp(type, configured_type(config, kind)) == 0)
        return true;
    for (size_t i = 0; i < PL_COUNT(kinds[kind].tokens) && kinds[kind].tokens[i]; i++)
        if (strcmp(type, kinds[kind].tokens[i]) == 0)
            return true;
    return false;
}

static struct json_object *from_object(struct mw_faults *faults, enum mw_kind kind, const char *pointer,
                                       struct json_object *object)
{
    static const char *const known[] = {"type", "value"};
    struct json_object *type = pl_at(object, "/type"), *value = pl_at(object, "/value");
    const char *type_text = json_object_is_type(type, json_type_string) ? json_object_get_string(type) : "";
    size_t before = faults->said.count;
    pl_fault_unknown(&faults->said, object, pointer, known, PL_COUNT(known));
    if (faults->said.count > before || (!faults->call->in && (!type || !value))) /* a template: not known yet */
        return NULL;
    if (!type_known(faults->call->config, kind, type_text)) {
        pl_fault(&faults->said, faults->call->host->format(faults->call->job, "%s/type", pointer), "identifier_type",
                 NULL, "is not a type of identifier that Mobility Work knows here");
        return NULL;
    }
    const char *at = faults->call->host->format(faults->call->job, "%s/value", pointer);
    if (json_object_is_type(value, json_type_int) && strcmp(type_text, "native") == 0)
        return typed(type_text, json_object_get(value));
    if (json_object_is_type(value, json_type_int)) /* a code or reference is text, also when it looks like a number */
        return typed(type_text, json_object_new_string(json_object_get_string(value)));
    if (json_object_is_type(value, json_type_string))
        return from_text(faults, kind, type_text, at, value);
    return refuse(faults, kind, at);
}

struct json_object *mw_identifier(struct mw_faults *faults, enum mw_kind kind, const char *pointer,
                                  struct json_object *value)
{
    const char *type = configured_type(faults->call->config, kind);
    if (json_object_is_type(value, json_type_int)) /* of a spare part no native id is known: a reference */
        return kind == MW_SPARE_PART && strcmp(type, "native") != 0
                   ? typed(type, json_object_new_string(json_object_get_string(value)))
                   : typed("native", json_object_get(value));
    if (json_object_is_type(value, json_type_object))
        return from_object(faults, kind, pointer, value);
    if (!json_object_is_type(value, json_type_string))
        return refuse(faults, kind, pointer);
    /* An address cannot be digits alone: this is a native id that came as text. */
    if (kind == MW_ASSIGNEE && is_digits(json_object_get_string(value)))
        type = "native";
    return from_text(faults, kind, type, pointer, value);
}
