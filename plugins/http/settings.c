/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a target: what each may hold, all that is wrong with them at once, and the operations that they
 * make. A setting is a row of a table: its name and its kind. */
#include "http.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    TEXT,
    METHOD,
    PATH,     /* a template that begins with / */
    TEMPLATE, /* any JSON of templates */
    HEADERS,  /* a map of templates */
    POINTER,
    WHERE,    /* a pointer into an answer: "" is the whole of it */
    ID,       /* the same, or false: the answer tells none */
    NEXT,     /* a pointer, or a header's name */
    POINTERS, /* a list of them */
    WORDS,    /* a list of text */
    BOOL,
    COUNT,
    DURATION,
    STATUSES, /* a list of HTTP statuses */
    CLASSES,  /* a map from a status or a code to a class */
    MATCH,    /* a map from a pointer to a template */
    STATUS,   /* a common status, or a pointer to one */
    LOOKUP,
    FINDS, /* a map of lookups */
    RECORD
};

struct rule {
    const char *name;
    enum kind kind;
    bool required;
};

#define REQUEST                                                                                               \
    {"method", METHOD, false}, {"path", PATH, true}, {"query", TEMPLATE, false}, {"headers", HEADERS, false}, \
        {"body", TEMPLATE, false}, {"content_type", TEXT, false}, {"success", STATUSES, false},               \
    {                                                                                                         \
        "errors", CLASSES, false                                                                              \
    }

static const struct rule operation_rules[] = {REQUEST,
                                              {"help", TEXT, false},
                                              {"reads", BOOL, false},
                                              {"creates", BOOL, false},
                                              {"idempotent", BOOL, false},
                                              {"id", ID, false},
                                              {"at", WHERE, false},
                                              {"items", WHERE, false},
                                              {"record", RECORD, false},
                                              {"asset", POINTER, false},
                                              {"order", POINTER, false},
                                              {"moves_to", STATUS, false},
                                              {"ignore", WORDS, false},
                                              {"find", FINDS, false},
                                              {"lookup", LOOKUP, false}};
static const struct rule lookup_rules[] = {
    REQUEST, {"items", WHERE, false}, {"match", MATCH, false}, {"id", WHERE, false}, {"at", WHERE, false}};
static const struct rule find_rules[] = {REQUEST,
                                         {"items", WHERE, false},
                                         {"match", MATCH, false},
                                         {"value", WHERE, true},
                                         {"when", POINTER, false},
                                         {"cache", DURATION, false}};
static const struct rule poll_rules[] = {REQUEST,
                                         {"items", WHERE, true},
                                         {"at", WHERE, false},
                                         {"record", RECORD, false},
                                         {"next", POINTER, false},
                                         {"next_url", NEXT, false},
                                         {"more", POINTER, false},
                                         {"size", COUNT, false},
                                         {"first_page", COUNT, false},
                                         {"start", DURATION, false},
                                         {"overlap", DURATION, false}};
static const struct rule record_rules[] = {{"id", POINTER, false},          {"order_id", POINTER, false},
                                           {"delivery_id", POINTER, false}, {"status", POINTER, false},
                                           {"asset", POINTER, false},       {"priority", POINTER, false},
                                           {"due", POINTER, false},         {"updated", POINTER, false}};
static const struct rule webhook_rules[] = {{"event", POINTER, false},    {"at", POINTER, false},
                                            {"record", RECORD, false},    {"dedup", POINTERS, false},
                                            {"occurred", POINTER, false}, {"orders", WORDS, false}};
static const struct rule answers_rules[] = {
    {"ok", MATCH, false}, {"error", POINTER, false}, {"code", POINTER, false}, {"message", POINTER, false}};

#define HEADER_MAX 63
#define RULES(table) (table), PL_COUNT(table)

/* ---- checking one ---------------------------------------------------------------------------*/

static void check_map(struct ht_scope *scope, struct json_object *map, const char *at, const struct rule *rules,
                      size_t count);

static bool is_word(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; word && i < count; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

static const char *text_of(const struct ht_scope *scope, struct json_object *value)
{
    return pl_text_of(scope->call->host, scope->call->job, value);
}

static bool is_scalar(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) || json_object_is_type(value, json_type_int) ||
           json_object_is_type(value, json_type_boolean);
}

static bool is_pointer(const struct ht_scope *scope, struct json_object *value)
{
    const char *text = text_of(scope, value);
    return text && *text == '/';
}

static void check_templates(struct ht_scope *scope, struct json_object *value, const char *at)
{
    if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, name, member)
            check_templates(scope, member, pl_pointer_to(&scope->faults, at, name));
    } else if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++)
            check_templates(scope, json_object_array_get_idx(value, i), at);
    } else if (json_object_is_type(value, json_type_string)) {
        const char *fault = ht_template_fault(scope, json_object_get_string(value));
        if (fault)
            pl_fault(&scope->faults, at, "template", NULL, fault);
    }
}

static void check_path(struct ht_scope *scope, struct json_object *value, const char *at)
{
    const char *path = text_of(scope, value);
    if (!path || *path != '/' || strstr(path, "/..") || strpbrk(path, " #"))
        pl_fault(&scope->faults, at, "path", NULL, "must begin with / and hold neither .. nor # nor a space");
    else
        check_templates(scope, value, at);
}

static void check_headers(struct ht_scope *scope, struct json_object *map, const char *at)
{
    static const char *const ours[] = {"authorization", "host",       "content-type", "content-length",
                                       "user-agent",    "connection", "expect",       "transfer-encoding",
                                       "upgrade",       "te",         "trailer"};
    if (!json_object_is_type(map, json_type_object)) {
        pl_fault(&scope->faults, at, "type", NULL, "must be a map such as {Accept: application/json}");
        return;
    }
    json_object_object_foreach(map, name, value)
    {
        const char *place = pl_pointer_to(&scope->faults, at, name);
        char lower[HEADER_MAX + 1];
        size_t i = 0;
        for (; name[i] && i < sizeof lower - 1; i++)
            lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 32 : name[i]);
        lower[i] = '\0';
        if (!pl_matches(name, HEADER_MAX, "-_"))
            pl_fault(&scope->faults, place, "header", NULL, "is no header's name");
        else if (is_word(ours, PL_COUNT(ours), lower))
            pl_fault(&scope->faults, place, "header", NULL, "is a header of busbar's own (credentials: auth)");
        else if (!text_of(scope, value))
            pl_fault(&scope->faults, place, "type", NULL, "must be text");
        else
            check_templates(scope, value, place);
    }
}

static void check_each(struct ht_scope *scope, struct json_object *list, const char *at, enum kind kind)
{
    bool good = json_object_is_type(list, json_type_array) && json_object_array_length(list) > 0;
    for (size_t i = 0; good && i < json_object_array_length(list); i++) {
        struct json_object *value = json_object_array_get_idx(list, i);
        const int64_t status = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
        good = kind == POINTERS   ? is_pointer(scope, value)
               : kind == STATUSES ? status >= 200 && status <= 599
                                  : text_of(scope, value) != NULL;
    }
    if (!good)
        pl_fault(&scope->faults, at, "type", NULL,
                 kind == POINTERS   ? "must be a list of JSON Pointers such as [/id]"
                 : kind == STATUSES ? "must be a list of HTTP statuses such as [200, 201]"
                                    : "must be a list of words");
}

static void check_classes(struct ht_scope *scope, struct json_object *map, const char *at)
{
    static const char *const known[] = {"authentication", "authorization", "validation", "identity",
                                        "conflict",       "retry",         "done"};
    if (!json_object_is_type(map, json_type_object))
        pl_fault(&scope->faults, at, "type", NULL, "must be a map such as {409: conflict}");
    if (!json_object_is_type(map, json_type_object))
        return;
    json_object_object_foreach(map, name, value) if (!is_word(known, PL_COUNT(known), text_of(scope, value)))
        pl_fault(&scope->faults, pl_pointer_to(&scope->faults, at, name), "class", NULL,
                 "must be authentication, authorization, validation, identity, conflict, retry or done");
}

static void check_match(struct ht_scope *scope, struct json_object *map, const char *at)
{
    if (!json_object_is_type(map, json_type_object)) {
        pl_fault(&scope->faults, at, "type", NULL, "must be a map such as {/external_id: \"{order_id}\"}");
        return;
    }
    json_object_object_foreach(map, name, value)
    {
        if (*name != '/' || !is_scalar(value))
            pl_fault(&scope->faults, pl_pointer_to(&scope->faults, at, name), "pointer", NULL,
                     "must be a JSON Pointer and what stands there");
        check_templates(scope, value, pl_pointer_to(&scope->faults, at, name));
    }
}

static const char *const common_statuses[] = {"requested", "triaged",   "approved", "assigned", "in_progress",
                                              "blocked",   "completed", "closed",   "canceled", "reopened"};

static bool is_empty_text(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) && json_object_get_string_len(value) == 0;
}

/* Kinds that one look decides. NULL, or what it must be. */
static const char *plain_fault(const struct ht_scope *scope, struct json_object *value, enum kind kind)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    const char *text = text_of(scope, value);
    int64_t ms;
    switch (kind) {
    case TEXT:
        return text ? NULL : "must be text";
    case METHOD:
        return is_word(methods, PL_COUNT(methods), text) ? NULL : "must be GET, POST, PUT, PATCH or DELETE";
    case POINTER:
        return is_pointer(scope, value) ? NULL : "must be a JSON Pointer such as /data/id";
    case WHERE:
        return is_pointer(scope, value) || is_empty_text(value)
                   ? NULL
                   : "must be a JSON Pointer such as /data/id (\"\" is the whole answer)";
    case ID:
        return is_pointer(scope, value) || is_empty_text(value) ||
                       (json_object_is_type(value, json_type_boolean) && !json_object_get_boolean(value))
                   ? NULL
                   : "must be a JSON Pointer such as /data/id (\"\" is the whole answer), or false: it tells none";
    case NEXT:
        return is_pointer(scope, value) || (text && pl_matches(text, HEADER_MAX, "-_"))
                   ? NULL
                   : "must be a JSON Pointer such as /next, or a header's name: Link";
    case BOOL:
        return json_object_is_type(value, json_type_boolean) ? NULL : "must be true or false";
    case COUNT:
        return json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0 &&
                       json_object_get_int64(value) <= 10000
                   ? NULL
                   : "must be a number from 0 to 10000";
    case DURATION:
        return text && ht_read_duration(text, &ms) ? NULL : "must be a duration such as 30s, 5m, 1h, 7d";
    case STATUS:
        return is_pointer(scope, value) || is_word(common_statuses, PL_COUNT(common_statuses), text)
                   ? NULL
                   : "must be a common status, or a JSON Pointer to one in the body";
    case PATH:
    case TEMPLATE:
    case HEADERS:
    case POINTERS:
    case WORDS:
    case STATUSES:
    case CLASSES:
    case MATCH:
    case LOOKUP:
    case FINDS:
    case RECORD:
        break;
    }
    return NULL;
}

static void check_finds(struct ht_scope *scope, struct json_object *finds, const char *at)
{
    if (!json_object_is_type(finds, json_type_object)) {
        pl_fault(&scope->faults, at, "type", NULL, "must be a map such as {asset: {path: /assets, value: /id}}");
        return;
    }
    json_object_object_foreach(finds, name, find)
        check_map(scope, find, pl_pointer_to(&scope->faults, at, name), RULES(find_rules));
}

static void check_value(struct ht_scope *scope, struct json_object *value, const char *at, enum kind kind)
{
    const char *fault = plain_fault(scope, value, kind);
    if (fault)
        pl_fault(&scope->faults, at, "type", NULL, fault);
    else if (kind == PATH)
        check_path(scope, value, at);
    else if (kind == TEMPLATE)
        check_templates(scope, value, at);
    else if (kind == HEADERS)
        check_headers(scope, value, at);
    else if (kind == POINTERS || kind == WORDS || kind == STATUSES)
        check_each(scope, value, at, kind);
    else if (kind == CLASSES)
        check_classes(scope, value, at);
    else if (kind == MATCH)
        check_match(scope, value, at);
    else if (kind == FINDS)
        check_finds(scope, value, at);
    else if (kind == LOOKUP)
        check_map(scope, value, at, RULES(lookup_rules));
    else if (kind == RECORD)
        check_map(scope, value, at, RULES(record_rules));
}

/* An operation posts unless it says otherwise; a question gets. */
static void check_get(struct ht_scope *scope, struct json_object *map, const char *at, bool operation)
{
    const char *method = text_of(scope, pl_member(map, "method"));
    if (pl_member(map, "body") && strcmp(method ? method : operation ? "POST" : "GET", "GET") == 0)
        pl_fault(&scope->faults, at, "body", NULL, "is a GET, which has no body: say method: POST");
}

/* Text goes as it is; only JSON and a form can be made of a map. */
static void check_format(struct ht_scope *scope, struct json_object *map, const char *at)
{
    struct json_object *body = pl_member(map, "body");
    const enum ht_format format = ht_format_of(text_of(scope, pl_member(map, "content_type")));
    if (body && format == HT_FORM && !json_object_is_type(body, json_type_object))
        pl_fault(&scope->faults, at, "body", NULL, "is a form, so its body must be a map");
    if (body && (format == HT_TEXT || format == HT_MARKUP) && !json_object_is_type(body, json_type_string))
        pl_fault(&scope->faults, at, "body", NULL, "has a content_type that is no JSON, so its body must be text");
}

static void check_map(struct ht_scope *scope, struct json_object *map, const char *at, const struct rule *rules,
                      size_t count)
{
    const char *known[32];
    if (!json_object_is_type(map, json_type_object)) {
        pl_fault(&scope->faults, at, "type", NULL, "must be a map of settings");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct json_object *value = NULL;
        known[i] = rules[i].name;
        const char *place = pl_pointer_to(&scope->faults, at, rules[i].name);
        if (json_object_object_get_ex(map, rules[i].name, &value))
            check_value(scope, value, place, rules[i].kind);
        else if (rules[i].required)
            pl_fault(&scope->faults, place, "required", NULL, "is missing");
    }
    pl_fault_unknown(&scope->faults, map, at, known, count);
    check_get(scope, map, at, rules == operation_rules);
    check_format(scope, map, at);
}

/* ---- all of them ------------------------------------------------------------------------------*/

static bool is_operation_name(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot && dot > name && dot[1] && strlen(name) <= 64 && *name >= 'a' && *name <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.") == strlen(name);
}

static void check_operations(struct ht_scope *scope, struct json_object *operations)
{
    if (!json_object_is_type(operations, json_type_object)) {
        pl_fault(&scope->faults, "/operations", "type", NULL,
                 "must be a map such as {work_order.create: {path: /orders}}");
        return;
    }
    json_object_object_foreach(operations, name, said)
    {
        const char *at = pl_pointer_to(&scope->faults, "/operations", name);
        if (!is_operation_name(name))
            pl_fault(&scope->faults, at, "name", NULL, "must be named resource.verb, such as work_order.create");
        scope->found = pl_member(said, "find");
        check_map(scope, said, at, RULES(operation_rules));
    }
}

void ht_check_settings(const struct ht_call *call, struct pl_faults *faults)
{
    const struct ht_self *self = call->self;
    struct ht_scope scope = {.call = call, .faults = *faults, .messages = true};
    check_operations(&scope, self->operations);
    check_headers(&scope, self->headers, "/headers");
    scope.messages = false;
    scope.found = NULL;
    check_map(&scope, self->record, "/record", RULES(record_rules));
    check_map(&scope, self->answers, "/answers", RULES(answers_rules));
    check_classes(&scope, self->errors, "/errors");
    if (self->webhook)
        check_map(&scope, self->webhook, "/webhook", RULES(webhook_rules));
    scope.polls = true;
    if (self->poll_orders)
        check_map(&scope, self->poll_orders, "/poll_orders", RULES(poll_rules));
    *faults = scope.faults;
}

/* ---- what they make -----------------------------------------------------------------------------*/

static bool has_verb(const char *name, const char *verb)
{
    return strcmp(strrchr(name, '.') + 1, verb) == 0;
}

/* What is said, or what the name and the method mean. */
static bool is_said(struct json_object *said, const char *name, bool otherwise)
{
    struct json_object *value = pl_member(said, name);
    return value ? json_object_get_boolean(value) : otherwise;
}

static const char *text_at(struct json_object *said, const char *name, const char *otherwise)
{
    struct json_object *value = pl_member(said, name);
    return value ? json_object_get_string(value) : otherwise;
}

static unsigned flags_of(const char *name, struct json_object *said)
{
    const char *method = text_at(said, "method", "POST");
    const bool reads = is_said(said, "reads", strcmp(method, "GET") == 0);
    const bool creates = !reads && is_said(said, "creates", has_verb(name, "create"));
    const bool again = strcmp(method, "PUT") == 0 || strcmp(method, "DELETE") == 0 || strcmp(method, "PATCH") == 0;
    const bool looks = creates && pl_member(said, "lookup"), idempotent = is_said(said, "idempotent", again || reads);
    unsigned flags = (reads ? 0 : BB_WRITES) | (creates ? BB_CREATES : 0) | (idempotent ? BB_IDEMPOTENT : 0) |
                     (looks ? BB_CAN_LOOKUP : 0);
    if (!reads && strncmp(name, "work_order.", 11) == 0)
        flags |= BB_WORK_ORDER;
    if (creates && !looks && !idempotent) /* nothing would tell whether it is there */
        flags |= BB_PARK;
    return flags;
}

static const char *moves_of(const char *name)
{
    static const struct {
        const char *verb, *status;
    } moves[] = {{"assign", "assigned"}, {"start", "in_progress"},     {"complete", "completed"},
                 {"close", "closed"},    {"cancel", "canceled"},       {"reopen", "reopened"},
                 {"block", "blocked"},   {"update", "/common_status"}, {"approve", "approved"},
                 {"triage", "triaged"}};
    for (size_t i = 0; i < PL_COUNT(moves); i++)
        if (has_verb(name, moves[i].verb))
            return moves[i].status;
    return NULL;
}

/* Text that lives as long as the settings: it hangs in them. */
static const char *keep(struct json_object *said, const char *name, const char *text)
{
    struct json_object *value = json_object_new_string(text);
    json_object_object_add(said, name, value);
    return json_object_get_string(value);
}

static struct bb_operation make_operation(const char *name, struct json_object *said)
{
    struct bb_operation operation = {.name = name, .flags = flags_of(name, said), .max_batch = 1};
    char help[256];
    snprintf(help, sizeof help, "%s %s", text_at(said, "method", "POST"), text_at(said, "path", ""));
    operation.help = text_at(said, "help", NULL);
    if (!operation.help)
        operation.help = keep(said, "help", help);
    if ((operation.flags & BB_WORK_ORDER) && !(operation.flags & BB_CREATES)) {
        operation.order_pointer = text_at(said, "order", "/work_order");
        operation.moves_to = text_at(said, "moves_to", moves_of(name));
    }
    return operation;
}

void ht_make_operations(struct ht_self *self)
{
    const size_t most = (size_t)json_object_object_length(self->operations);
    self->table = calloc(most + 1, sizeof *self->table);
    json_object_object_foreach(self->operations, name, said)
    {
        if (self->table)
            self->table[self->count++] = make_operation(name, said);
    }
}
