/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request goes, which headers it has, and where an answer tells what we want to know (F-U1): FactVerse says
 * none of it in public, so each is a default of ours that the target's settings replace. */
#include "factverse.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

/* ---- templates --------------------------------------------------------------------------*/

enum name { ORDER_ID, SOURCE_ID, PROVIDER, TENANT, NAMES };

static const char *const names[NAMES] = {[ORDER_ID] = "{order_id}",
                                         [SOURCE_ID] = "{source_work_order_id}",
                                         [PROVIDER] = "{provider_id}",
                                         [TENANT] = "{tenant}"};

/* The placeholder at the text's start; NAMES: none. */
static enum name name_at(const char *text)
{
    int i = 0;
    while (i < NAMES && strncmp(text, names[i], strlen(names[i])) != 0)
        i++;
    return (enum name)i;
}

/* Replaces each placeholder; what was put in is not looked at again. A value that is NULL leaves nothing. */
static const char *fill(const struct fv_call *call, const char *template, const char *const values[NAMES])
{
    const char *done = "";
    while (*template) {
        const enum name name = name_at(template);
        const size_t literal = 1 + strcspn(template + 1, "{");
        if (name == NAMES) {
            done = call->host->format(call->job, "%s%.*s", done, (int)literal, template);
            template += literal;
        } else {
            done = call->host->format(call->job, "%s%s", done, values[name] ? values[name] : "");
            template += strlen(names[name]);
        }
    }
    return done;
}

/* NULL, or what is wrong. */
static const char *template_problem(const struct fv_call *call, const char *text, bool order)
{
    for (const char *c = text; *c; c++) {
        if (*c < ' ' || *c > '~')
            return "must be printable ASCII";
        if (*c == '}' || *c != '{')
            continue;
        const enum name name = name_at(c);
        if (name == NAMES)
            return "knows {order_id}, {source_work_order_id}, {provider_id} and {tenant}";
        if (!order && (name == ORDER_ID || name == SOURCE_ID))
            return call->host->format(call->job, "cannot hold %s: it is not about one work order", names[name]);
        if (name == TENANT && !call->config->tenant)
            return "holds {tenant}, and there is no tenant";
    }
    return NULL;
}

/* ---- paths ------------------------------------------------------------------------------------*/

static const char *segment(const struct fv_call *call, const char *text)
{
    return text ? call->host->path_segment(call->job, (struct bb_str){text, strlen(text)}) : NULL;
}

/* What the option says of an operation: "method" or "path"; NULL: nothing. */
static const char *configured(const struct fv_call *call, const struct fv_shape *shape, const char *what)
{
    PL_SCOPED struct json_object *paths = pl_parse_text(call->config->paths);
    return fv_text_of(call, pl_member(pl_member(paths, shape->operation), what));
}

const char *fv_method(const struct fv_call *call, const struct fv_shape *shape)
{
    const char *method = configured(call, shape, "method");
    return method ? method : shape->method;
}

/* Until the target has told its own id of an order, it is known there by ours. */
const char *fv_path(const struct fv_call *call, const struct fv_shape *shape, const struct fv_ids *ids)
{
    const char *path = configured(call, shape, "path");
    const char *const values[NAMES] = {[ORDER_ID] = segment(call, ids->order_id),
                                       [SOURCE_ID] = segment(call, ids->source_id ? ids->source_id : ids->order_id),
                                       [PROVIDER] = segment(call, call->config->provider_id),
                                       [TENANT] = segment(call, call->config->tenant)};
    return fill(call, path ? path : shape->path, values);
}

static bool is_about_an_order(const struct fv_shape *shape)
{
    for (size_t i = 0; i < shape->member_count; i++)
        if (shape->members[i].kind == FV_ORDER)
            return true;
    return shape->flags & FV_MAKES;
}

static const char *path_problem(const struct fv_call *call, const struct fv_shape *shape, struct json_object *line)
{
    static const char *const methods[] = {"POST", "PUT", "PATCH"};
    static const char *const known[] = {"method", "path"};
    struct pl_faults faults = {.host = call->host, .job = call->job};
    const char *method = fv_text_of(call, pl_member(line, "method")), *path = fv_text_of(call, pl_member(line, "path"));
    if (!json_object_is_type(line, json_type_object))
        return "must be {method: ..., path: ...}";
    pl_fault_unknown(&faults, line, "", known, PL_COUNT(known));
    if (faults.count > 0)
        return faults.text;
    if ((pl_member(line, "method") && !method) || (pl_member(line, "path") && !path))
        return "method and path are text";
    size_t i = 0;
    while (method && i < PL_COUNT(methods) && strcmp(methods[i], method) != 0)
        i++;
    if (method && (shape->flags & FV_READS ? strcmp(method, "GET") != 0 : i == PL_COUNT(methods)))
        return shape->flags & FV_READS ? "method must be GET" : "method must be POST, PUT or PATCH";
    if (path && (*path != '/' || strstr(path, "..") || strpbrk(path, " #")))
        return "path must begin with / and hold neither .. nor # nor a space";
    return path ? template_problem(call, path, is_about_an_order(shape)) : NULL;
}

static const char *paths_problem(const struct fv_call *call)
{
    PL_SCOPED struct json_object *paths = pl_parse_text(call->config->paths);
    if (!json_object_is_type(paths, json_type_object))
        return "paths must be a map of operations, such as {work_order.close: {method: PUT, path: "
               "/orders/{order_id}/end}}";
    json_object_object_foreach(paths, operation, line)
    {
        const struct fv_shape *shape = fv_find_shape(operation);
        const char *problem = shape ? path_problem(call, shape, line) : "is no operation";
        if (problem)
            return call->host->format(call->job, "paths: %s: %s", operation, problem);
    }
    return NULL;
}

/* ---- headers -----------------------------------------------------------------------------------*/

#define TENANT_HEADER "X-Tenant"
#define FIXED 3 /* tenant, key, revision */

void fv_add_headers(const struct fv_call *call, const char *idempotency_key, const char *revision)
{
    const struct fv_config *config = call->config;
    PL_SCOPED struct json_object *map = pl_parse_text(config->headers);
    const char *const values[NAMES] = {[PROVIDER] = config->provider_id, [TENANT] = config->tenant};
    const size_t most = (size_t)json_object_object_length(map) + FIXED;
    struct bb_header *headers = call->host->alloc(call->job, most * sizeof *headers);
    const struct {
        const char *name, *value;
    } fixed[FIXED] = {{TENANT_HEADER, config->tenant}, {"Idempotency-Key", idempotency_key}, {"If-Match", revision}};
    size_t count = 0;
    for (size_t i = 0; i < FIXED; i++)
        if (fixed[i].value)
            headers[count++] = (struct bb_header){fixed[i].name, {fixed[i].value, strlen(fixed[i].value)}};
    json_object_object_foreach(map, name, value)
    {
        const char *text = fill(call, json_object_get_string(value), values);
        headers[count++] = (struct bb_header){call->host->format(call->job, "%s", name), {text, strlen(text)}};
    }
    call->out->request.headers = headers;
    call->out->request.header_count = count;
}

static const char *header_problem(const struct fv_call *call, const char *name, struct json_object *value)
{
    static const char *const ours[] = {"Authorization", "Host",     "Content-Type",      "Content-Length", "User-Agent",
                                       "Connection",    "Expect",   "Transfer-Encoding", "Upgrade",        "TE",
                                       "Trailer",       "If-Match", "Idempotency-Key"};
    if (!pl_matches(name, 64, "-_"))
        return "is no header's name";
    for (size_t i = 0; i < PL_COUNT(ours); i++)
        if (strcasecmp(ours[i], name) == 0)
            return "is a header of busbar's own";
    if (strcasecmp(name, TENANT_HEADER) == 0 && call->config->tenant)
        return "is set by tenant already";
    const char *text = fv_text_of(call, value);
    return text ? template_problem(call, text, false) : "must be text";
}

static const char *headers_problem(const struct fv_call *call)
{
    PL_SCOPED struct json_object *map = pl_parse_text(call->config->headers);
    if (!json_object_is_type(map, json_type_object))
        return "headers must be a map such as {X-Site: plant-1}";
    json_object_object_foreach(map, name, value)
    {
        const char *problem = header_problem(call, name, value);
        if (problem)
            return call->host->format(call->job, "headers: %s: %s", name, problem);
    }
    return NULL;
}

/* ---- answers ---------------------------------------------------------------------------------------*/

static const struct {
    const char *name, *pointer;
} places[] = {[FV_ID] = {"id", "/source_work_order_id"},
              [FV_REVISION] = {"revision", "/revision"},
              [FV_UPDATED] = {"updated", "/updated_at"},
              [FV_ITEMS] = {"items", "/items"},
              [FV_NEXT] = {"next", "/next"}};

const char *fv_pointer(const struct fv_call *call, enum fv_place place)
{
    PL_SCOPED struct json_object *map = pl_parse_text(call->config->answers);
    const char *own = fv_text_of(call, pl_member(map, places[place].name));
    return own ? own : places[place].pointer;
}

static const char *answers_problem(const struct fv_call *call)
{
    static const char *const known[] = {"id", "revision", "updated", "items", "next"};
    struct pl_faults faults = {.host = call->host, .job = call->job};
    PL_SCOPED struct json_object *map = pl_parse_text(call->config->answers);
    if (!json_object_is_type(map, json_type_object))
        return "answers must be a map such as {id: /data/id}";
    pl_fault_unknown(&faults, map, "", known, PL_COUNT(known));
    if (faults.count > 0)
        return call->host->format(call->job, "answers: %s", faults.text);
    json_object_object_foreach(map, name, value)
    {
        const char *text = fv_text_of(call, value);
        if (!text || *text != '/')
            return call->host->format(call->job, "answers: %s must be a JSON Pointer such as /data/id", name);
    }
    return NULL;
}

const char *fv_options_problem(const struct fv_call *call)
{
    const struct fv_config *config = call->config;
    if (!fv_is_provider(config->provider_id))
        return "provider_id must be 1 to 64 of a-z 0-9 _ . - and begin with a letter or digit"; /* FV-01b */
    if (config->tenant)
        for (const char *c = config->tenant; *c; c++)
            if (*c <= ' ' || *c > '~')
                return "tenant must be printable ASCII without spaces";
    if (config->poll_overlap_ms < 0)
        return "poll_overlap must be 0 or more";
    const char *problem = paths_problem(call);
    problem = problem ? problem : headers_problem(call);
    return problem ? problem : answers_problem(call);
}
