/* SPDX-License-Identifier: Apache-2.0 */
/* One write: what may have been made before is looked for (`lookup`), then what the request needs to know (`find`),
 * then the request, then what its answer says. */
#include "http.h"

#include <json-c/json.h>
#include <string.h>

/* Text or a number that tells one from another. */
static const char *id_at(const struct ht_call *call, struct json_object *root, const char *pointer)
{
    const char *id =
        json_object_is_type(pl_at(root, pointer), json_type_boolean) ? NULL : ht_word_at(call, root, pointer);
    return id && strlen(id) <= HT_ID_MAX && id[strspn(id, " \t\r\n")] ? id : NULL;
}

/* `id: false`: the answer tells none, wherever the record has it elsewhere. */
static bool tells_none(struct json_object *operation)
{
    return json_object_is_type(pl_member(operation, "id"), json_type_boolean);
}

/* Where the id stands: `id` in the whole answer, else the record's in the record. */
static const char *id_of(const struct ht_call *call, struct json_object *said, struct json_object *operation,
                         struct json_object *answer)
{
    const char *at = ht_pointer(said, "at"), *own = ht_pointer(said, "id");
    const char *place = ht_place(call, operation, "id");
    if (own)
        return id_at(call, answer, own);
    return place ? id_at(call, at ? pl_at(answer, at) : answer, place) : NULL;
}

static bool makes(const struct ht_call *call)
{
    for (size_t i = 0; i < call->self->count; i++)
        if (strcmp(call->self->table[i].name, call->in->operation) == 0)
            return call->self->table[i].flags & BB_CREATES;
    return false;
}

static enum bb_next done(const struct ht_call *call, struct json_object *body, const char *id)
{
    const char *asset = ht_setting(call, ht_operation(call), "asset");
    if (makes(call)) {
        call->out->source_work_order_id = id;
        call->out->asset_ref = ht_word_at(call, body, asset ? asset : "/asset_ref");
    }
    return BB_DONE;
}

static enum bb_next taken(const struct ht_call *call, struct json_object *body, struct json_object *answer)
{
    struct json_object *operation = ht_operation(call);
    if (!makes(call) || tells_none(operation))
        return done(call, body, NULL);
    const char *id = id_of(call, operation, operation, answer);
    const bool named = ht_pointer(operation, "id") || ht_place(call, operation, "id");
    const int status = call->in->response->status;
    if (named && !id && status >= 200 && status <= 299 && status != 202) {
        call->out->unconfirmed = false;
        return ht_odd(call, "the answer tells no id of what was made: see `id`");
    }
    if (named && !id) /* accepted, to be made later; or what the settings call done */
        call->host->log(call->job, BB_LOG_WARN, "the target took it, but its answer tells no id: see `id`");
    return done(call, body, id);
}

static struct json_object *find(struct ht_scope *scope, struct json_object *lookup, struct json_object *items)
{
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *item = json_object_array_get_idx(items, i);
        if (ht_matches(scope, pl_member(lookup, "match"), item))
            return item;
    }
    return NULL;
}

/* The one that a question was for: an item of the list, or the answer itself. NULL: there is none. *odd: no list */
static struct json_object *look_at(struct ht_scope *scope, struct json_object *said, struct json_object *answer,
                                   bool *odd)
{
    const char *items_at = ht_pointer(said, "items");
    struct json_object *items = items_at ? pl_at(answer, items_at) : NULL;
    *odd = items_at && !json_object_is_type(items, json_type_array);
    if (*odd)
        return NULL;
    if (items_at)
        return find(scope, said, items);
    return ht_matches(scope, pl_member(said, "match"), answer) ? answer : NULL;
}

/* ---- what the request needs to know first (`find`) -----------------------------------------------*/

/* The first that was not asked for yet; NULL: all were. What the message does not speak of is not asked for. */
static struct json_object *next_find(struct ht_scope *scope, const char **found_name)
{
    const struct ht_call *call = scope->call;
    struct json_object *finds = pl_member(ht_operation(call), "find");
    if (!json_object_is_type(finds, json_type_object))
        return NULL;
    json_object_object_foreach(finds, name, said)
    {
        const char *when = ht_setting(call, said, "when");
        *found_name = name;
        if (!pl_member(scope->found, name) && (!when || pl_at(scope->body, when)))
            return said;
    }
    return NULL;
}

static enum bb_next send(struct ht_scope *scope)
{
    const char *name;
    struct json_object *said = next_find(scope, &name);
    return said ? ht_ask(scope, said, HT_FINDING) : ht_ask(scope, ht_operation(scope->call), HT_SENT);
}

static enum bb_next unknown(const struct ht_call *call, const char *name)
{
    return pl_fail(call->out, BB_REJECT, BB_IDENTITY, call->host->format(call->job, "unknown_%s", name),
                   call->host->format(call->job, "the target has no %s such as the message names", name));
}

static enum bb_next found(struct ht_scope *scope, struct json_object *answer)
{
    const struct ht_call *call = scope->call;
    const char *name = "";
    bool odd = false;
    struct json_object *said = next_find(scope, &name), *one = NULL;
    const enum bb_next next = ht_judge(call, said, answer);
    const bool missing = next == BB_REJECT && call->out->error.error_class == BB_IDENTITY;
    if (next != BB_DONE && !missing)
        return next;
    if (!missing)
        one = look_at(scope, said, answer, &odd);
    if (odd)
        return ht_odd(call, "the target answered a question without the list that `items` names");
    struct json_object *value = one ? pl_at(one, ht_pointer(said, "value")) : NULL;
    if (!value)
        return unknown(call, name);
    json_object_object_add(scope->found, name, json_object_get(value));
    call->state->found = pl_print(call->host, call->job, scope->found).data;
    *call->out = (struct bb_out){.size = call->out->size};
    return send(scope);
}

/* ---- what may have been made before (`lookup`) --------------------------------------------------------*/

static enum bb_next looked(struct ht_scope *scope, struct json_object *answer)
{
    const struct ht_call *call = scope->call;
    struct json_object *operation = ht_operation(call), *lookup = pl_member(operation, "lookup"), *one = NULL;
    const enum bb_next next = ht_judge(call, lookup, answer);
    const bool missing = next == BB_REJECT && call->out->error.error_class == BB_IDENTITY;
    bool odd = false;
    if (next != BB_DONE && !missing)
        return next;
    if (!missing)
        one = look_at(scope, lookup, answer, &odd);
    if (odd)
        return ht_odd(call, "the target answered the lookup without the list that `items` names");
    *call->out = (struct bb_out){.size = call->out->size};
    if (!one)
        return send(scope);
    const char *id = id_of(call, lookup, operation, one);
    return id ? done(call, scope->body, id)
              : ht_odd(call, "the lookup found our work order, but `id` or `record` tells no id of it");
}

enum bb_next ht_write(const struct ht_call *call)
{
    struct json_object *operation = ht_operation(call), *lookup = pl_member(operation, "lookup");
    PL_SCOPED struct json_object *body = pl_parse(call->in->messages[0].body);
    PL_SCOPED struct json_object *answer = call->in->response ? pl_parse(call->in->response->body) : NULL;
    PL_SCOPED struct json_object *known = call->state->found ? pl_parse_text(call->state->found) : NULL;
    struct ht_scope scope = ht_message_scope(call, body);
    known = known ? known : json_object_new_object();
    scope.found = known;
    const bool again = call->in->uncertain || call->in->attempt > 1;
    enum bb_next next;
    switch (call->state->stage) {
    case HT_START:
        return again && lookup && makes(call) ? ht_ask(&scope, lookup, HT_LOOKING) : send(&scope);
    case HT_LOOKING:
        return looked(&scope, answer);
    case HT_FINDING:
        return found(&scope, answer);
    case HT_SENT:
        next = ht_judge(call, operation, answer);
        return next == BB_DONE ? taken(call, body, answer) : next;
    case HT_READING:
        break;
    }
    return ht_odd(call, "the conversation lost its way");
}
