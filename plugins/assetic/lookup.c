/* SPDX-License-Identifier: Apache-2.0 */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

#define PAGE_SIZE 500 /* AS-C06 */
#define PAGES_MAX 20
#define ORDERS "/api/v2/workorder"

static const struct as_answer *answer_to(const struct as_call *call, const char *path)
{
    const struct as_answer *answer = call->state->answers;
    while (answer && strcmp(answer->path, path) != 0)
        answer = answer->next;
    return answer;
}

struct json_object *as_ask(const struct as_call *call, const char *path, int64_t cache_ms, bool *found)
{
    const struct as_answer *answer = answer_to(call, path);
    *found = true;
    if (!answer) {
        call->want->path = path;
        call->want->cache_ms = call->state->again ? 0 : cache_ms;
        return NULL;
    }
    *found = answer->found;
    return answer->found ? pl_parse(answer->body) : NULL;
}

enum bb_next as_send_lookup(const struct as_call *call)
{
    if (call->state->stage != AS_FINDING_MARK)
        call->state->stage = AS_LOOKING_UP;
    call->state->path = call->want->path;
    call->out->request =
        (struct bb_request){.method = "GET", .path = call->want->path, .cache_ms = call->want->cache_ms};
    return BB_SEND;
}

enum bb_next as_take_lookup(const struct as_call *call)
{
    const struct bb_response *response = call->in->response;
    enum bb_next next = as_judge(call);
    bool list = strchr(call->state->path, '?') != NULL;
    if (next != BB_DONE && (response->status != 404 || list))
        return next;
    struct as_answer *answer = call->host->alloc(call->job, sizeof *answer);
    char *copy = call->host->alloc(call->job, response->body.len + 1);
    if (response->body.len > 0)
        memcpy(copy, response->body.data, response->body.len);
    *answer = (struct as_answer){call->state->path, {copy, response->body.len}, next == BB_DONE, call->state->answers};
    if (answer->found) { /* what is no list must not be taken for an empty one */
        PL_SCOPED struct json_object *json = pl_parse(answer->body);
        if (!json || (list && !as_items(json)))
            return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer",
                           call->host->format(call->job, "Assetic answered GET %s with %s", call->state->path,
                                              list ? "no list" : "no JSON"));
    }
    call->state->answers = answer;
    call->state->cached |= response->cached;
    call->out->error = (struct bb_error){0};
    return BB_DONE;
}

struct json_object *as_items(struct json_object *answer)
{
    struct json_object *list = pl_member(answer, "ResourceList");
    if (json_object_is_type(list, json_type_array))
        return list;
    return json_object_is_type(answer, json_type_array) ? answer : NULL;
}

const char *as_equals(const struct as_call *call, const char *name, const char *value)
{
    char *quoted = call->host->alloc(call->job, 2 * strlen(value) + 1), *to = quoted;
    for (; *value; value++) {
        if (*value == '\'')
            *to++ = '\'';
        *to++ = *value;
    }
    return call->host->format(call->job, "%s~eq~'%s'", name, quoted);
}

const char *as_list_path(const struct as_call *call, const char *path, const char *filter, const char *sort, int page,
                         int page_size)
{
    const char *whole =
        call->host->format(call->job, "%s?requestParams.page=%d&requestParams.pageSize=%d", path, page, page_size);
    if (sort)
        whole = call->host->format(call->job, "%s&requestParams.sorts=%s", whole, sort);
    if (filter)
        whole = call->host->format(call->job, "%s&requestParams.filters=%s", whole,
                                   call->host->path_segment(call->job, (struct bb_str){filter, strlen(filter)}));
    return whole;
}

struct json_object *as_list(const struct as_call *call, const char *path, const char *filter, int64_t cache_ms)
{
    struct json_object *all = json_object_new_array();
    for (int page = 1, pages = 1; page <= pages && page <= PAGES_MAX; page++) {
        bool found;
        PL_SCOPED struct json_object *answer =
            as_ask(call, as_list_path(call, path, filter, NULL, page, PAGE_SIZE), cache_ms, &found);
        if (!answer && found) {
            pl_put(&all);
            return NULL;
        }
        struct json_object *items = as_items(answer);
        for (size_t i = 0; items && i < json_object_array_length(items); i++)
            json_object_array_add(all, json_object_get(json_object_array_get_idx(items, i)));
        pages = json_object_get_int(pl_member(answer, "TotalPages"));
    }
    return all;
}

const char *as_find_marked(const struct as_call *call, const char *external_id, size_t *count)
{
    const char *id = NULL;
    PL_SCOPED struct json_object *orders = as_list(call, ORDERS, as_equals(call, "ExternalId", external_id), 0);
    *count = 0;
    for (size_t i = 0; orders && i < json_object_array_length(orders); i++) {
        struct json_object *each = json_object_array_get_idx(orders, i);
        const char *mark = as_text_at(call, each, "/ExternalId"), *its = as_text_at(call, each, "/Id");
        if (!mark || !its || strcmp(mark, external_id) != 0) /* a filter that was not heeded finds others too */
            continue;
        id = id ? id : its;
        (*count)++;
    }
    return id;
}
