/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules remember, on its way to the store and back, and to people. */

#include "route_private.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

static const char *const spaces[] = {"", "shelf/", "storm/", "budget/"};

/* Under what name an entry is stored. */
static const char *stored_name(const struct route_set *set, uint32_t number, struct buf *out)
{
    size_t index = route_index(number);
    buf_clear(out);
    buf_printf(out, "%s%s", spaces[route_space(number)],
               route_space(number) == SPACE_BUDGET ? set->budgets[index].name : set->rules[index].name);
    return out->data;
}

size_t route_set_changes(struct route_set *set, route_state_each *each, void *context)
{
    size_t count = route_keys_changed(set->keys);
    for (size_t i = 0; i < count && each != NULL; i++) {
        uint32_t number;
        struct span key;
        route_keys_get_changed(set->keys, i, &number, &key);
        const struct trigger_rule *rule = route_shape(set, number);
        struct trigger_state state = {.words = set->words, .word_count = trigger_words(rule)};
        route_keys_get(set->keys, number, key, &state);
        buf_clear(&set->state);
        if (!trigger_state_is_initial(&state))
            trigger_state_print(rule, &state, &set->state);
        each(context, stored_name(set, number, &set->text), key, buf_span(&set->state));
    }
    return count;
}

void route_set_commit(struct route_set *set)
{
    route_keys_commit(set->keys);
    route_newest_commit(set->newest);
}

void route_set_rollback(struct route_set *set)
{
    route_keys_rollback(set->keys);
    route_newest_rollback(set->newest);
}

size_t route_set_keys(const struct route_set *set)
{
    return route_keys_count(set->keys);
}

/* Which entry a stored name is; false: nothing of this configuration. */
static bool find_stored(struct route_set *set, const char *name, uint32_t *number)
{
    uint32_t space = SPACE_KEYS;
    for (uint32_t i = SPACE_SHELF; i <= SPACE_BUDGET; i++)
        if (strncmp(name, spaces[i], strlen(spaces[i])) == 0)
            space = i;
    name += strlen(spaces[space]);
    size_t count = space == SPACE_BUDGET ? set->budget_count : set->count;
    for (size_t i = 0; i < count; i++) {
        size_t at = (set->last_restored + i) % count; /* they come sorted: begin with the one of the last call */
        if (strcmp(space == SPACE_BUDGET ? set->budgets[at].name : set->rules[at].name, name) != 0)
            continue;
        set->last_restored = at;
        *number = route_number(space, at);
        return (space == SPACE_BUDGET || set->rules[at].has_trigger) &&
               (space != SPACE_STORM || set->rules[at].storm.keys > 0);
    }
    return false;
}

static int64_t due_of(const struct route_set *set, uint32_t number, struct span key, const struct trigger_state *state)
{
    switch (route_space(number)) {
    case SPACE_SHELF:
        return shelf_due(state);
    case SPACE_STORM:
        return storm_due(set, route_index(number), key, state);
    case SPACE_BUDGET:
        return budget_due(set, route_index(number), state);
    default:
        return trigger_due(&set->rules[route_index(number)].trigger.rule, state);
    }
}

void route_set_restore(struct route_set *set, const char *route, struct span key, struct span state)
{
    uint32_t number;
    if (!find_stored(set, route, &number))
        return;
    const struct trigger_rule *rule = route_shape(set, number);
    struct trigger_state parsed = {.words = set->words, .word_count = trigger_words(rule)};
    if (!trigger_state_parse(rule, state, &parsed, &set->kept))
        return;
    route_keys_put(set->keys, number, key, &parsed, due_of(set, number, key, &parsed));
    route_keys_commit(set->keys);
}

/* ---- for people --------------------------------------------------------------*/

struct description {
    struct route_set *set;
    size_t route, limit;
    struct json_object *items;
};

static void describe_key(void *context, uint32_t number, struct span key)
{
    struct description *d = context;
    if (number != d->route || json_object_array_length(d->items) >= d->limit)
        return;
    const struct trigger_rule *rule = &d->set->rules[number].trigger.rule;
    struct trigger_state state = {.words = d->set->words, .word_count = trigger_words(rule)};
    route_keys_get(d->set->keys, number, key, &state);
    struct json_object *item = json_object_new_object();
    json_object_object_add(item, "key", json_text(key));
    json_put_text(item, "phase", trigger_phase_name(state.phase));
    json_put_time(item, "since", state.since_ms);
    json_put_time(item, "last_fired", state.last_fired_ms);
    json_put_int(item, "suppressed", state.suppressed);
    json_put_text(item, "order", state.order[0] != '\0' ? state.order : NULL);
    int64_t due = trigger_due(rule, &state);
    json_put_time(item, "due", due != INT64_MAX ? due : 0);
    json_object_array_add(d->items, item);
}

struct json_object *route_set_describe(struct route_set *set, size_t route, size_t limit)
{
    struct description d = {set, route, limit, json_object_new_array()};
    route_keys_each(set->keys, describe_key, &d);
    return d.items;
}
