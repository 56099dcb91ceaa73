/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: what a route asks for (a GET), and the poll (`poll_orders`), which asks for what changed. Each work order
 * is an event; of what is none the whole answer is. */
#include "http.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

#define PAGES_MAX 60     /* an attempt may make 64 requests */
#define RECORDS_MAX 9000 /* and emit 10,000 events */
#define NOTE_NEWEST "newest"
#define START_MS INT64_C(86400000)
#define OVERLAP_MS INT64_C(300000)

/* ---- what a route asks for -------------------------------------------------------------------*/

static void tell_answer(const struct ht_call *call, struct json_object *answer)
{
    const struct bb_event event = {
        .size = sizeof event, .name = call->in->operation, .raw = pl_print(call->host, call->job, answer)};
    call->host->emit(call->job, &event);
}

static enum bb_next take(const struct ht_call *call, struct json_object *operation, struct json_object *answer)
{
    const char *items_at = ht_pointer(operation, "items"), *at = ht_pointer(operation, "at");
    int64_t updated;
    if (strncmp(call->in->operation, "work_order.", 11) != 0) {
        tell_answer(call, answer);
        return BB_DONE;
    }
    if (!items_at)
        return ht_emit_record(call, operation, at ? pl_at(answer, at) : answer, &updated)
                   ? BB_DONE
                   : ht_odd(call, "the target answered without a record that has an id");
    struct json_object *items = pl_at(answer, items_at);
    if (!json_object_is_type(items, json_type_array))
        return ht_odd(call, "the target answered without the list that `items` names");
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *item = json_object_array_get_idx(items, i);
        (void)ht_emit_record(call, operation, at ? pl_at(item, at) : item, &updated);
    }
    return BB_DONE;
}

enum bb_next ht_read(const struct ht_call *call)
{
    struct json_object *operation = ht_operation(call);
    PL_SCOPED struct json_object *body = pl_parse(call->in->messages[0].body);
    struct ht_scope scope = ht_message_scope(call, body);
    if (!call->in->response)
        return ht_ask(&scope, operation, HT_READING);
    PL_SCOPED struct json_object *answer = pl_parse(call->in->response->body);
    const enum bb_next next = ht_judge(call, operation, answer);
    return next == BB_DONE ? take(call, operation, answer) : next;
}

/* ---- the poll --------------------------------------------------------------------------------------*/

static int64_t duration(const struct ht_call *call, const char *name, int64_t otherwise)
{
    const char *text = ht_setting(call, call->self->poll_orders, name);
    int64_t ms;
    return text && ht_read_duration(text, &ms) ? ms : otherwise;
}

/* From a little before the newest that was seen; while nothing was, from so long ago. The target's clock, and its
 * time zone where it tells none, are the ones that count. */
static int64_t since(const struct ht_call *call)
{
    PL_SCOPED struct json_object *newest = pl_parse_text(call->host->note_get(call->job, NOTE_NEWEST));
    if (json_object_is_type(newest, json_type_int))
        return json_object_get_int64(newest) - duration(call, "overlap", OVERLAP_MS);
    return call->in->now_ms - duration(call, "start", START_MS);
}

static enum bb_next ask_page(const struct ht_call *call)
{
    struct json_object *size = pl_member(call->self->poll_orders, "size");
    struct json_object *first = pl_member(call->self->poll_orders, "first_page");
    struct ht_scope scope = {.call = call,
                             .faults = {.host = call->host, .job = call->job},
                             .since_ms = since(call),
                             .polls = true,
                             .size = size ? json_object_get_int(size) : 0,
                             .first_page = first ? json_object_get_int(first) : 1};
    return ht_ask(&scope, call->self->poll_orders, HT_READING);
}

/* ---- where the next page is: a cursor (`next`), a URL (`next_url`), or the next number (`size`, `more`) */

/* The one of a Link header that is rel="next". */
static const char *link_of(const struct ht_call *call, struct bb_str header)
{
    const char *at = pl_text(call->host, call->job, header), *end;
    for (; (at = strchr(at, '<')) && (end = strchr(at, '>')); at = end) {
        const char *words = pl_text(call->host, call->job, (struct bb_str){end + 1, strcspn(end + 1, "<")});
        if (strstr(words, "rel=\"next\"") || strstr(words, "rel=next"))
            return pl_text(call->host, call->job, (struct bb_str){at + 1, (size_t)(end - at - 1)});
    }
    return NULL;
}

static const char *header_link(const struct ht_call *call, const char *name)
{
    const struct bb_response *response = call->in->response;
    for (size_t i = 0; i < response->header_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0)
            return link_of(call, response->headers[i].value);
    return NULL;
}

static bool fits_query(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text == '#' || *text >= 0x7f)
            return false;
    return true;
}

/* Host and path stay as the settings have them, whatever the target names: only the query is heeded. */
static const char *next_query(const struct ht_call *call, struct json_object *answer)
{
    const char *where = ht_setting(call, call->self->poll_orders, "next_url");
    const char *url = !where ? NULL : *where == '/' ? ht_word_at(call, answer, where) : header_link(call, where);
    const char *question = url ? strchr(url, '?') : NULL;
    if (url && (!question || !fits_query(question + 1)))
        call->host->log(call->job, BB_LOG_WARN, "the next page's URL has no query that can be asked: not read");
    return question && fits_query(question + 1) ? question + 1 : NULL;
}

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* A target that names the same page again has none. */
static bool names_more(const struct ht_call *call, struct json_object *answer, size_t count)
{
    struct json_object *said = call->self->poll_orders, *size = pl_member(said, "size");
    struct ht_state *state = call->state;
    const char *more_at = ht_setting(call, said, "more"), *next_at = ht_setting(call, said, "next");
    const char *cursor = next_at ? ht_word_at(call, answer, next_at) : NULL, *query = next_query(call, answer);
    const bool again = is_same(cursor, state->cursor) || is_same(query, state->query);
    state->cursor = cursor;
    state->query = query;
    if (again || (more_at && !json_object_get_boolean(pl_at(answer, more_at))))
        return false;
    if (next_at || pl_member(said, "next_url"))
        return cursor || query;
    return more_at || (size && count >= (size_t)json_object_get_int(size));
}

static bool has_more(const struct ht_call *call, struct json_object *answer, size_t count)
{
    call->state->page++;
    const bool more = names_more(call, answer, count);
    const bool room = call->state->page < PAGES_MAX && call->state->records < RECORDS_MAX;
    if (more && !room)
        call->host->log(call->job, BB_LOG_WARN, "a poll has more than one attempt reads: the next goes on");
    return more && room;
}

static void take_page(const struct ht_call *call, struct json_object *items)
{
    struct json_object *said = call->self->poll_orders;
    const char *at = ht_pointer(said, "at");
    int64_t updated;
    for (size_t i = 0; i < json_object_array_length(items) && call->state->records < RECORDS_MAX; i++) {
        struct json_object *item = json_object_array_get_idx(items, i);
        (void)ht_emit_record(call, said, at ? pl_at(item, at) : item, &updated);
        call->state->records++;
        if (updated > call->state->newest)
            call->state->newest = updated;
    }
}

static void note_newest(const struct ht_call *call)
{
    PL_SCOPED struct json_object *known = pl_parse_text(call->host->note_get(call->job, NOTE_NEWEST));
    if (call->state->newest > json_object_get_int64(known))
        call->host->note_put(call->job, NOTE_NEWEST,
                             call->host->format(call->job, "%lld", (long long)call->state->newest));
}

enum bb_next ht_poll(const struct ht_call *call)
{
    if (!call->in->response)
        return ask_page(call);
    PL_SCOPED struct json_object *answer = pl_parse(call->in->response->body);
    const enum bb_next next = ht_judge(call, call->self->poll_orders, answer);
    if (next != BB_DONE)
        return next;
    struct json_object *items = pl_at(answer, ht_pointer(call->self->poll_orders, "items"));
    if (!json_object_is_type(items, json_type_array))
        return ht_odd(call, "the target answered the poll without the list that `items` names");
    take_page(call, items);
    if (has_more(call, answer, json_object_array_length(items)))
        return ask_page(call);
    note_newest(call);
    return BB_DONE;
}
