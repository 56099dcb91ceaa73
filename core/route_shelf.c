/* SPDX-License-Identifier: Apache-2.0 */

/* What people lay on a shelf: a route, or one key of it, fires nothing until a time; it ends by itself. And budgets
 * that several rules share because they end in one plan (MW-P22). */

#include "route_private.h"

#include "json.h"

#include <json-c/json.h>
#include <string.h>

enum { SHELF_UNTIL, SHELF_WORDS };
static const struct trigger_rule shelf_shape = {.budget = SHELF_WORDS};
static const struct trigger_rule storm_shape = {.budget = 4};

const struct trigger_rule *route_shape(const struct route_set *set, uint32_t number)
{
    switch (route_space(number)) {
    case SPACE_SHELF:
        return &shelf_shape;
    case SPACE_STORM:
        return &storm_shape;
    case SPACE_BUDGET:
        return &set->budgets[route_index(number)].rule;
    default:
        return &set->rules[route_index(number)].trigger.rule;
    }
}

/* ---- shelves ---------------------------------------------------------------*/

static struct trigger_state other_state(struct route_set *set, uint32_t number)
{
    return (struct trigger_state){.words = set->other_words, .word_count = trigger_words(route_shape(set, number))};
}

int64_t shelf_due(const struct trigger_state *state)
{
    return state->words[SHELF_UNTIL] > 0 ? (int64_t)state->words[SHELF_UNTIL] : INT64_MAX;
}

/* "" for all keys of a route. */
static struct span shelf_key(const struct span *key, struct buf *out)
{
    buf_clear(out);
    if (key == NULL)
        return SPAN("");
    buf_putc(out, '=');
    buf_append(out, key->data, key->len);
    return buf_span(out);
}

static bool lies_there(struct route_set *set, uint32_t number, struct span key, int64_t now_ms)
{
    struct trigger_state state = other_state(set, number);
    return route_keys_get(set->keys, number, key, &state) && state.words[SHELF_UNTIL] > (double)now_ms;
}

bool shelf_holds(struct route_set *set, size_t rule, struct span key, int64_t now_ms)
{
    uint32_t number = route_number(SPACE_SHELF, rule);
    return lies_there(set, number, SPAN(""), now_ms) || lies_there(set, number, shelf_key(&key, &set->text), now_ms);
}

void route_set_shelve(struct route_set *set, size_t route, const struct span *key, int64_t until_ms, int64_t now_ms,
                      const char *reason)
{
    uint32_t number = route_number(SPACE_SHELF, route);
    struct trigger_state state = other_state(set, number);
    struct span at = shelf_key(key, &set->text);
    route_keys_get(set->keys, number, at, &state);
    state.words[SHELF_UNTIL] = until_ms > now_ms ? (double)until_ms : 0;
    state.since_ms = until_ms > now_ms ? now_ms : 0;
    buf_clear(&set->kept);
    buf_puts(&set->kept, "{\"reason\":");
    buf_put_json(&set->kept, span_of(reason));
    buf_putc(&set->kept, '}');
    state.kept = until_ms > now_ms ? buf_span(&set->kept) : (struct span){0};
    route_keys_put(set->keys, number, at, &state, shelf_due(&state));
}

void shelf_expire(struct route_set *set, uint32_t number, struct span key)
{
    struct trigger_state state = other_state(set, number);
    for (size_t i = 0; i < state.word_count; i++)
        state.words[i] = 0;
    route_keys_put(set->keys, number, key, &state, INT64_MAX);
}

struct clock_back {
    struct route_set *set;
    int64_t now_ms;
};

static void shorten(void *context, uint32_t number, struct span key)
{
    const struct clock_back *back = context;
    if (route_space(number) != SPACE_SHELF)
        return;
    struct trigger_state state = other_state(back->set, number);
    route_keys_get(back->set->keys, number, key, &state);
    if (state.since_ms <= back->now_ms)
        return;
    state.words[SHELF_UNTIL] -= (double)(state.since_ms - back->now_ms);
    state.since_ms = back->now_ms;
    route_keys_put(back->set->keys, number, key, &state, shelf_due(&state));
}

void route_set_clock_back(struct route_set *set, int64_t now_ms)
{
    struct clock_back back = {set, now_ms};
    route_keys_each(set->keys, shorten, &back);
}

struct shelves {
    struct route_set *set;
    struct json_object *items;
};

static void describe_shelf(void *context, uint32_t number, struct span key)
{
    struct shelves *shelves = context;
    if (route_space(number) != SPACE_SHELF)
        return;
    struct trigger_state state = other_state(shelves->set, number);
    route_keys_get(shelves->set->keys, number, key, &state);
    cleanup_json struct json_object *kept = json_parse(state.kept, NULL, NULL);
    struct json_object *item = json_object_new_object();
    json_put_text(item, "route", shelves->set->rules[route_index(number)].name);
    json_object_object_add(item, "key", key.len > 0 ? json_text((struct span){key.data + 1, key.len - 1}) : NULL);
    json_put_time(item, "since", state.since_ms);
    json_put_time(item, "until", shelf_due(&state));
    json_put_text(item, "reason", json_get_text(kept, "reason"));
    json_object_array_add(shelves->items, item);
}

struct json_object *route_set_shelves(struct route_set *set)
{
    struct shelves shelves = {set, json_object_new_array()};
    route_keys_each(set->keys, describe_shelf, &shelves);
    return shelves.items;
}

/* ---- shared budgets ----------------------------------------------------------*/

void route_set_share_budget(struct route_set *set, size_t route, const char *name, const char *pointer, int64_t count,
                            int64_t window_ms)
{
    size_t i = 0;
    while (i < set->budget_count && strcmp(set->budgets[i].name, name) != 0)
        i++;
    if (i == set->budget_count) {
        set->budgets = mem_grow(set->budgets, &set->budget_cap, i + 1, sizeof(*set->budgets));
        set->budgets[set->budget_count++] =
            (struct shared_budget){mem_strdup(name), mem_strdup(pointer), {.budget = count, .budget_ms = window_ms}};
        route_set_need_words(set, (size_t)count);
    }
    set->rules[route].budget = (int)i;
}

/* When it is whole again, and forgotten. */
int64_t budget_due(const struct route_set *set, size_t budget, const struct trigger_state *state)
{
    double newest = 0;
    for (size_t i = 0; i < state->word_count; i++)
        newest = state->words[i] > newest ? state->words[i] : newest;
    return newest > 0 ? (int64_t)newest + set->budgets[budget].rule.budget_ms : INT64_MAX;
}

bool budget_spends(struct route_set *set, const struct rule *rule, struct span body, int64_t now_ms, bool *alarm)
{
    const struct shared_budget *budget = &set->budgets[rule->budget];
    uint32_t number = route_number(SPACE_BUDGET, (size_t)rule->budget);
    cleanup_json struct json_object *object = json_parse(body, NULL, NULL);
    struct json_object *plan = json_pointer(object, budget->pointer, NULL);
    *alarm = false;
    buf_clear(&set->text);
    if (plan == NULL || !json_to_text(plan, &set->text))
        return true; /* it names no plan: the target will say so */
    struct trigger_state state = other_state(set, number);
    route_keys_get(set->keys, number, buf_span(&set->text), &state);
    bool room = trigger_spend(state.words, state.word_count, budget->rule.budget_ms, now_ms);
    *alarm = !room && !state.alarmed;
    state.alarmed = !room;
    route_keys_put(set->keys, number, buf_span(&set->text), &state, budget_due(set, (size_t)rule->budget, &state));
    return room;
}
