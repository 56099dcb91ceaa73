/* SPDX-License-Identifier: Apache-2.0 */
/* One write: what may have been made before is looked for (`lookup`), then the request, then what its answer says. */
#include "http.h"

#include <json-c/json.h>
#include <string.h>

/* Where the id stands: `id` in the whole answer, else the record's in the record. */
static const char *id_of(const struct ht_call *call, struct json_object *said, struct json_object *operation,
                         struct json_object *answer)
{
    const char *at = ht_setting(call, said, "at"), *own = ht_setting(call, said, "id");
    const char *place = ht_place(call, operation, "id");
    const char *id = own     ? ht_word_at(call, answer, own)
                     : place ? ht_word_at(call, at ? pl_at(answer, at) : answer, place)
                             : NULL;
    return id && strlen(id) <= HT_ID_MAX ? id : NULL;
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
    const char *id = makes(call) ? id_of(call, operation, operation, answer) : NULL;
    const bool named = ht_setting(call, operation, "id") || ht_place(call, operation, "id");
    if (makes(call) && named && !id)
        call->host->log(call->job, BB_LOG_WARN, "the target took it, but its answer tells no id: see `id`");
    return done(call, body, id);
}

/* *text* is anywhere in what is there. */
static bool is_like(const struct ht_call *call, const char *is, const char *should)
{
    const size_t len = strlen(should);
    if (len < 3 || should[0] != '*' || should[len - 1] != '*')
        return strcmp(is, should) == 0;
    return strstr(is, pl_text(call->host, call->job, (struct bb_str){should + 1, len - 2})) != NULL;
}

/* Ours among what was found: all that `match` says is so. */
static bool matches(struct ht_scope *scope, struct json_object *match, struct json_object *item)
{
    if (!match)
        return true;
    json_object_object_foreach(match, pointer, template)
    {
        const char *is = ht_word_at(scope->call, item, pointer);
        const char *should = ht_fill_text(scope, json_object_get_string(template), false);
        if (!is || !should || !is_like(scope->call, is, should))
            return false;
    }
    return true;
}

static struct json_object *find(struct ht_scope *scope, struct json_object *lookup, struct json_object *items)
{
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *item = json_object_array_get_idx(items, i);
        if (matches(scope, pl_member(lookup, "match"), item))
            return item;
    }
    return NULL;
}

static enum bb_next looked(const struct ht_call *call, struct ht_scope *scope, struct json_object *answer)
{
    struct json_object *operation = ht_operation(call), *lookup = pl_member(operation, "lookup"), *found = NULL;
    const char *items_at = ht_setting(call, lookup, "items");
    const enum bb_next next = ht_judge(call, lookup, answer);
    const bool missing = next == BB_REJECT && call->out->error.error_class == BB_IDENTITY;
    if (next != BB_DONE && !missing)
        return next;
    if (!missing && items_at) {
        struct json_object *items = pl_at(answer, items_at);
        if (!json_object_is_type(items, json_type_array))
            return ht_odd(call, "the target answered the lookup without the list that `items` names");
        found = find(scope, lookup, items);
    } else if (!missing) {
        found = matches(scope, pl_member(lookup, "match"), answer) ? answer : NULL;
    }
    *call->out = (struct bb_out){.size = call->out->size};
    if (!found)
        return ht_ask(scope, operation, HT_SENT);
    const char *id = id_of(call, lookup, operation, found);
    return id ? done(call, scope->body, id)
              : ht_odd(call, "the lookup found our work order, but `id` or `record` tells no id of it");
}

enum bb_next ht_write(const struct ht_call *call)
{
    struct json_object *operation = ht_operation(call), *lookup = pl_member(operation, "lookup");
    PL_SCOPED struct json_object *body = pl_parse(call->in->messages[0].body);
    PL_SCOPED struct json_object *answer = call->in->response ? pl_parse(call->in->response->body) : NULL;
    struct ht_scope scope = ht_message_scope(call, body);
    const bool again = call->in->uncertain || call->in->attempt > 1;
    enum bb_next next;
    switch (call->state->stage) {
    case HT_START:
        return again && lookup && makes(call) ? ht_ask(&scope, lookup, HT_LOOKING) : ht_ask(&scope, operation, HT_SENT);
    case HT_LOOKING:
        return looked(call, &scope, answer);
    case HT_SENT:
        next = ht_judge(call, operation, answer);
        return next == BB_DONE ? taken(call, body, answer) : next;
    case HT_READING:
        break;
    }
    return ht_odd(call, "the conversation lost its way");
}
