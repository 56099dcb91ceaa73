/* SPDX-License-Identifier: Apache-2.0 */
/* Reading (FV-09a): one order, a list of them, tasks; and the poll, which is a list of what changed. Each thing read
 * is an event. Lists come in pages: an answer's `next` is the query's `cursor`. What is of another provider than
 * this target's is passed over, also when FactVerse hands it out. */
#include "factverse.h"

#include <json-c/json.h>
#include <string.h>

#define PAGES_MAX 60 /* an attempt may make 64 requests */

/* ---- queries -----------------------------------------------------------------------------*/

static const char *add_query(const struct fv_call *call, const char *path, const char *name, const char *value)
{
    return call->host->format(call->job, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', name,
                              call->host->path_segment(call->job, (struct bb_str){value, strlen(value)}));
}

static const char *add_members(const struct fv_call *call, const char *path, struct json_object *members)
{
    json_object_object_foreach(members, name, value)
    {
        const char *text = json_object_get_string(value); /* NULL of null */
        if (text)
            path =
                add_query(call, path, call->host->path_segment(call->job, (struct bb_str){name, strlen(name)}), text);
    }
    return path;
}

static enum bb_next ask(const struct fv_call *call, const char *path)
{
    call->out->request = (struct bb_request){.method = "GET", .path = path};
    fv_add_headers(call, NULL, NULL);
    call->state->stage = FV_SENT;
    return BB_SEND;
}

/* One page of a list; cursor NULL: the first. */
static enum bb_next ask_page(const struct fv_call *call, const struct fv_shape *shape, struct json_object *members,
                             const char *cursor)
{
    const char *path = fv_path(call, shape, &(struct fv_ids){0});
    path = add_query(call, path, "provider_id", call->config->provider_id);
    path = add_members(call, path, members);
    call->state->page++;
    return ask(call, cursor ? add_query(call, path, "cursor", cursor) : path);
}

/* ---- answers -------------------------------------------------------------------------------*/

static void tell_task(const struct fv_call *call, struct json_object *task)
{
    if (fv_is_foreign(call, task)) {
        call->host->count(call->job, "passed_over", 1);
        return;
    }
    const struct bb_event event = {.size = sizeof event, .name = "task", .raw = fv_print(call, task)};
    call->host->emit(call->job, &event);
}

/* The items of the answer; NULL: it is no list. borrows */
static struct json_object *items_of(const struct fv_call *call, struct json_object *answer)
{
    struct json_object *items = pl_at(answer, fv_pointer(call, FV_ITEMS));
    return json_object_is_type(items, json_type_array) ? items : NULL;
}

static enum bb_next odd(const struct fv_call *call)
{
    return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer",
                   "FactVerse answered a question with something else than was asked for");
}

/* Cursor of the page that follows, when it is to be read. */
static const char *next_page(const struct fv_call *call, struct json_object *answer)
{
    const char *next = fv_text_at(call, answer, fv_pointer(call, FV_NEXT));
    if (next && call->state->page >= PAGES_MAX) {
        call->host->log(call->job, BB_LOG_WARN, "a list has more pages than one attempt reads: the rest was left");
        return NULL;
    }
    return next;
}

static enum bb_next take_one(const struct fv_call *call)
{
    PL_SCOPED struct json_object *record = pl_parse(call->in->response->body);
    if (!json_object_is_type(record, json_type_object))
        return odd(call);
    if (fv_is_foreign(call, record))
        return pl_fail(call->out, BB_REJECT, BB_IDENTITY, "foreign_provider",
                       "the work order is of another provider_id than this target's");
    fv_emit_record(call, record);
    return BB_DONE;
}

static enum bb_next take_page(const struct fv_call *call, const struct fv_shape *shape, struct json_object *members)
{
    PL_SCOPED struct json_object *answer = pl_parse(call->in->response->body);
    struct json_object *items = items_of(call, answer);
    const bool orders = strcmp(shape->operation, "work_order.search") == 0;
    if (!items)
        return odd(call);
    for (size_t i = 0; i < json_object_array_length(items); i++)
        (orders ? fv_emit_record : tell_task)(call, json_object_array_get_idx(items, i));
    const char *next = next_page(call, answer);
    return next ? ask_page(call, shape, members, next) : BB_DONE;
}

static enum bb_next ask_one(const struct fv_call *call, const struct fv_shape *shape, struct json_object *given)
{
    const char *id = fv_text_of(call, pl_member(given, "work_order"));
    return ask(call, fv_path(call, shape, &(struct fv_ids){id, id}));
}

enum bb_next fv_read(const struct fv_call *call, const struct fv_shape *shape)
{
    struct fv_message message;
    enum bb_next next = BB_DONE;
    if (call->in->response) {
        next = fv_judge(call);
        if (next != BB_DONE)
            return next;
    }
    fv_message_read(&message, call, shape, call->in->messages[0].body);
    if (message.faults.count > 0)
        next = pl_reject_faults(&message.faults, call->out, "invalid_request", "the question would be refused");
    else if (shape->flags & FV_ONE)
        next = call->in->response ? take_one(call) : ask_one(call, shape, message.given);
    else
        next =
            call->in->response ? take_page(call, shape, message.request) : ask_page(call, shape, message.request, NULL);
    fv_message_finish(&message);
    return next;
}

/* ---- the poll ------------------------------------------------------------------------------------*/

static enum bb_next ask_changes(const struct fv_call *call, const char *cursor)
{
    const char *since = call->host->note_get(call->job, FV_NOTE_CURSOR);
    int64_t ms = call->in->now_ms; /* the first time, from now on: what was there before is not news */
    PL_SCOPED struct json_object *members = json_object_new_object();
    if (since)
        pl_read_time(since, &ms);
    if (!call->state->newest)
        call->state->newest = fv_print_time(call, ms);
    json_object_object_add(members, "updated_since",
                           json_object_new_string(fv_print_time(call, ms - call->config->poll_overlap_ms)));
    return ask_page(call, fv_find_shape("work_order.search"), members, cursor);
}

static void remember(const struct fv_call *call, const char *updated)
{
    int64_t ms, newest;
    if (updated && pl_read_time(updated, &ms) && pl_read_time(call->state->newest, &newest) && ms > newest)
        call->state->newest = fv_print_time(call, ms);
}

enum bb_next fv_poll(const struct fv_call *call)
{
    if (!call->in->response)
        return ask_changes(call, NULL);
    const enum bb_next verdict = fv_judge(call);
    if (verdict != BB_DONE)
        return verdict;
    PL_SCOPED struct json_object *answer = pl_parse(call->in->response->body);
    struct json_object *items = items_of(call, answer);
    if (!items)
        return odd(call);
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *item = json_object_array_get_idx(items, i);
        fv_emit_record(call, item);
        remember(call, fv_text_at(call, item, fv_pointer(call, FV_UPDATED)));
    }
    const char *next = next_page(call, answer);
    if (next)
        return ask_changes(call, next);
    call->host->note_put(call->job, FV_NOTE_CURSOR, call->state->newest);
    return BB_DONE;
}
