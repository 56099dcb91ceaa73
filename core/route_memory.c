/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules remember, on its way to the store and back, and to people. */

#include "route_private.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

size_t route_set_changes(struct route_set *set, route_state_each *each, void *context)
{
    size_t count = route_keys_changed(set->keys);
    for (size_t i = 0; i < count && each != NULL; i++) {
        uint32_t number;
        struct span key;
        route_keys_get_changed(set->keys, i, &number, &key);
        const struct trigger_rule *rule = &set->rules[number].trigger.rule;
        struct trigger_state state = {.words = set->words, .word_count = trigger_words(rule)};
        route_keys_get(set->keys, number, key, &state);
        buf_clear(&set->state);
        if (!trigger_state_is_initial(&state))
            trigger_state_print(rule, &state, &set->state);
        each(context, set->rules[number].name, key, buf_span(&set->state));
    }
    return count;
}

void route_set_commit(struct route_set *set)
{
    route_keys_commit(set->keys);
}

void route_set_rollback(struct route_set *set)
{
    route_keys_rollback(set->keys);
}

size_t route_set_keys(const struct route_set *set)
{
    return route_keys_count(set->keys);
}

void route_set_restore(struct route_set *set, const char *route, struct span key, struct span state)
{
    /* They come sorted by route: begin with the one of the last call. */
    for (size_t i = 0; i < set->count; i++) {
        size_t at = (set->last_restored + i) % set->count;
        const struct trigger_rule *rule = &set->rules[at].trigger.rule;
        if (strcmp(set->rules[at].name, route) != 0)
            continue;
        set->last_restored = at;
        struct trigger_state parsed = {.words = set->words, .word_count = trigger_words(rule)};
        if (set->rules[at].has_trigger && trigger_state_parse(rule, state, &parsed, &set->kept)) {
            route_keys_put(set->keys, (uint32_t)at, key, &parsed, trigger_due(rule, &parsed));
            route_keys_commit(set->keys);
        }
        return;
    }
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
