/* SPDX-License-Identifier: Apache-2.0 */
/* What the settings of an operation, a lookup or a poll make of a message: one request. */
#include "http.h"

#include <json-c/json.h>
#include <json-c/json_pointer.h>
#include <string.h>

#define NATIVE "native" /* of a body: merged into what is sent */
#define FORM "application/x-www-form-urlencoded"

struct json_object *ht_operation(const struct ht_call *call)
{
    return pl_member(call->self->operations, call->in->operation);
}

struct ht_scope ht_message_scope(const struct ht_call *call, struct json_object *body)
{
    return (struct ht_scope){
        .call = call, .body = body, .faults = {.host = call->host, .job = call->job}, .messages = true};
}

const char *ht_setting(const struct ht_call *call, struct json_object *said, const char *name)
{
    return pl_text_of(call->host, call->job, pl_member(said, name));
}

const char *ht_pointer(struct json_object *said, const char *name)
{
    struct json_object *value = pl_member(said, name);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* ---- its parts -----------------------------------------------------------------------------*/

/* A value that is no text goes as JSON: a filter, a domain. */
static const char *query_text(struct ht_scope *scope, struct json_object *template)
{
    const struct ht_call *call = scope->call;
    if (json_object_is_type(template, json_type_string))
        return ht_fill_text(scope, json_object_get_string(template), HT_PLAIN);
    PL_SCOPED struct json_object *value = ht_fill(scope, template);
    return value ? pl_print(call->host, call->job, value).data : NULL;
}

static const char *encoded(const struct ht_call *call, const char *text)
{
    return call->host->path_segment(call->job, (struct bb_str){text, strlen(text)});
}

static const char *make_path(struct ht_scope *scope, struct json_object *said)
{
    const struct ht_call *call = scope->call;
    struct json_object *query = pl_member(said, "query");
    const char *path = ht_fill_text(scope, json_object_get_string(pl_member(said, "path")), HT_URL);
    if (scope->polls && call->state->query)
        return call->host->format(call->job, "%.*s?%s", (int)strcspn(path, "?"), path, call->state->query);
    if (!json_object_is_type(query, json_type_object))
        return path;
    json_object_object_foreach(query, name, template)
    {
        const char *text = query_text(scope, template);
        if (text)
            path = call->host->format(call->job, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', encoded(call, name),
                                      encoded(call, text));
    }
    return path;
}

static bool fits_header(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

static void add_headers(struct ht_scope *scope, struct json_object *map, struct bb_request *request,
                        struct bb_header *headers)
{
    const struct ht_call *call = scope->call;
    if (!json_object_is_type(map, json_type_object))
        return;
    json_object_object_foreach(map, name, template)
    {
        const char *text = ht_fill_text(scope, json_object_get_string(template), HT_PLAIN);
        if (text && !fits_header(text))
            pl_fault(&scope->faults, "", "header", NULL,
                     call->host->format(call->job, "has a line break in what goes into the header %s", name));
        else if (text)
            headers[request->header_count++] =
                (struct bb_header){call->host->format(call->job, "%s", name), {text, strlen(text)}};
    }
}

static void make_headers(struct ht_scope *scope, struct json_object *said, struct bb_request *request)
{
    struct json_object *common = scope->call->self->headers, *own = pl_member(said, "headers");
    const int most = json_object_object_length(common) + (own ? json_object_object_length(own) : 0);
    struct bb_header *headers = scope->call->host->alloc(scope->call->job, (size_t)most * sizeof *headers);
    request->headers = headers;
    add_headers(scope, common, request, headers);
    add_headers(scope, own, request, headers);
}

static void merge(struct json_object *into, struct json_object *native)
{
    json_object_object_foreach(native, name, value) json_object_object_add(into, name, json_object_get(value));
}

enum ht_format ht_format_of(const char *type)
{
    const size_t len = type ? strcspn(type, "; ") : 0;
    if (!type || (len >= 4 && strncmp(type + len - 4, "json", 4) == 0))
        return HT_JSON;
    if (len == strlen(FORM) && strncmp(type, FORM, len) == 0)
        return HT_FORM;
    return len >= 3 && strncmp(type + len - 3, "xml", 3) == 0 ? HT_MARKUP : HT_TEXT;
}

/* k=v&k=v; what is neither text nor a number goes as JSON. */
static struct bb_str make_form(const struct ht_call *call, struct json_object *members)
{
    const char *form = "";
    if (!json_object_is_type(members, json_type_object))
        return (struct bb_str){0};
    json_object_object_foreach(members, name, value)
    {
        const char *text = ht_word_at(call, value, "");
        if (value)
            form = call->host->format(call->job, "%s%s%s=%s", form, *form ? "&" : "", encoded(call, name),
                                      encoded(call, text ? text : pl_print(call->host, call->job, value).data));
    }
    return (struct bb_str){form, strlen(form)};
}

static struct bb_str make_text(struct ht_scope *scope, struct json_object *template, enum ht_encoding encoding)
{
    const char *text = ht_fill_text(scope, json_object_get_string(template), encoding);
    return text ? (struct bb_str){text, strlen(text)} : (struct bb_str){0};
}

/* Of an operation that says no body: the message's. */
static struct bb_str own_body(const struct ht_scope *scope, const char *method, enum ht_format format)
{
    const struct ht_call *call = scope->call;
    if (strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0)
        return (struct bb_str){0};
    return format == HT_FORM ? make_form(call, scope->body) : call->in->messages[0].body;
}

static void make_body(struct ht_scope *scope, struct json_object *said, struct bb_request *request)
{
    const struct ht_call *call = scope->call;
    struct json_object *template = pl_member(said, "body"), *native = pl_member(scope->body, NATIVE);
    const enum ht_format format = ht_format_of(request->content_type);
    const bool operates = call->in->operation && said == ht_operation(call);
    if (!template) {
        request->body = operates ? own_body(scope, request->method, format) : (struct bb_str){0};
        return;
    }
    if (format == HT_TEXT || format == HT_MARKUP) {
        request->body = make_text(scope, template, format == HT_MARKUP ? HT_XML : HT_PLAIN);
        return;
    }
    PL_SCOPED struct json_object *body = ht_fill(scope, template);
    if (operates && json_object_is_type(template, json_type_object) && json_object_is_type(native, json_type_object)) {
        body = body ? body : json_object_new_object();
        merge(body, native);
    }
    if (body)
        request->body = format == HT_FORM ? make_form(call, body) : pl_print(call->host, call->job, body);
}

enum bb_next ht_ask(struct ht_scope *scope, struct json_object *said, enum ht_stage stage)
{
    const struct ht_call *call = scope->call;
    struct bb_request request = {.method = ht_setting(call, said, "method")};
    if (!request.method)
        request.method = call->in->operation && said == ht_operation(call) ? "POST" : "GET";
    request.path = make_path(scope, said);
    const char *cache = ht_setting(call, said, "cache");
    if (!cache || strcmp(request.method, "GET") != 0 || !ht_read_duration(cache, &request.cache_ms))
        request.cache_ms = 0;
    request.content_type = ht_setting(call, said, "content_type");
    make_headers(scope, said, &request);
    make_body(scope, said, &request);
    if (scope->faults.count > 0)
        return pl_reject_faults(&scope->faults, call->out, "invalid_request",
                                call->in->operation ? call->in->operation : "the poll");
    call->state->stage = stage;
    call->out->request = request;
    return BB_SEND;
}

/* ---- a route's body, before anything runs -----------------------------------------------------*/

struct uses {
    const struct ht_call *call;
    struct json_object *body, *used; /* names of its members */
    struct pl_faults faults;
};

static void use(void *context, const char *pointer, bool needed)
{
    struct uses *uses = context;
    const char *name = pointer + 1;
    struct json_object *value = NULL;
    PL_SCOPED struct json_object *key = json_object_new_string_len(name, (int)strcspn(name, "/"));
    json_object_object_add(uses->used, json_object_get_string(key), NULL);
    if (needed && json_pointer_get(uses->body, pointer, &value) != 0)
        pl_fault(&uses->faults, pointer, "required", NULL, "is needed");
}

static void use_of(struct uses *uses, struct json_object *said)
{
    static const char *const parts[] = {"path", "query", "headers", "body"};
    for (size_t i = 0; i < PL_COUNT(parts); i++)
        ht_each_pointer(uses->call, pl_member(said, parts[i]), use, uses);
}

static void use_finds(struct uses *uses, struct json_object *finds)
{
    if (!json_object_is_type(finds, json_type_object))
        return;
    json_object_object_foreach(finds, name, find)
    {
        (void)name;
        struct json_object *match = pl_member(find, "match");
        ht_each_pointer(uses->call, match, use, uses);
        use_of(uses, find);
    }
}

static void use_names(struct uses *uses, struct json_object *said)
{
    const char *asset = ht_setting(uses->call, said, "asset"), *order = ht_setting(uses->call, said, "order");
    struct json_object *ignored = pl_member(said, "ignore");
    use(uses, asset ? asset : "/asset_ref", false);
    use(uses, order ? order : "/work_order", false);
    use(uses, "/" NATIVE, false);
    for (size_t i = 0; ignored && i < json_object_array_length(ignored); i++)
        json_object_object_add(uses->used, json_object_get_string(json_object_array_get_idx(ignored, i)), NULL);
}

const char *ht_check_body(const struct ht_call *call, const char *operation, struct bb_str text)
{
    struct json_object *said = pl_member(call->self->operations, operation);
    PL_SCOPED struct json_object *body = pl_parse(text);
    PL_SCOPED struct json_object *used = json_object_new_object();
    struct uses uses = {call, body, used, {.host = call->host, .job = call->job}};
    if (!said || !json_object_is_type(body, json_type_object))
        return NULL;
    use_of(&uses, said);
    use_of(&uses, pl_member(said, "lookup"));
    use_finds(&uses, pl_member(said, "find"));
    use_names(&uses, said);
    if (!pl_member(said, "body")) /* goes as it is */
        return uses.faults.text;
    const struct bb_operation *all = call->self->table;
    for (size_t i = 0; i < call->self->count; i++)
        if (strcmp(all[i].name, operation) == 0 && all[i].moves_to && *all[i].moves_to == '/')
            use(&uses, all[i].moves_to, false);
    json_object_object_foreach(body, name, value)
    {
        (void)value;
        if (!json_object_object_get_ex(used, name, NULL))
            pl_fault(&uses.faults, pl_pointer_to(&uses.faults, "", name), "unused", NULL,
                     "is read by nothing in the settings of this operation (let it: body; or say that it may: ignore)");
    }
    return uses.faults.text;
}
