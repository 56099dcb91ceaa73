/* SPDX-License-Identifier: Apache-2.0 */

/* A storm: more than N keys of a route fire within T. From then on one order lists them all, those too that had
 * orders of their own just before.
 *
 * Each key that fired has an entry in the table: for T while it is calm, until it was listed in a storm. The
 * storm itself is the entry "": how many fired lately, and in a storm the round. A round takes T; the first one ends
 * with the order, later ones end the storm when no more than N fired in them, with another order for those that
 * were not listed yet. So a storm makes two orders, or one, and a long one with very many keys a few. */

#include "route_private.h"

#include "clock.h"
#include "digest.h"
#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 5000   /* keys that wait to be listed */
#define LIST_BYTES 2600 /* of one order's list: an order's text has room for 3,000 where we know it */

/* Of the storm: how many keys stand there, firings of this round, whether the first order is made, when it began.
 * TRIPPED: it storms, since the round began. Of a key: TRIPPED: it had no order of its own. */
enum { STORM_KEYS, STORM_ROUND, STORM_FIRST, STORM_BEGAN, STORM_WORDS };

static struct trigger_state get(struct route_set *set, uint32_t number, struct span key)
{
    struct trigger_state state = {.words = set->other_words, .word_count = STORM_WORDS};
    route_keys_get(set->keys, number, key, &state);
    return state;
}

static void put(struct route_set *set, uint32_t number, struct span key, const struct trigger_state *state)
{
    route_keys_put(set->keys, number, key, state, storm_due(set, route_index(number), key, state));
}

int64_t storm_due(const struct route_set *set, size_t rule, struct span key, const struct trigger_state *state)
{
    int64_t within_ms = set->rules[rule].storm.within_ms;
    if (state->since_ms == 0 || (key.len > 0 && state->phase == TRIGGER_TRIPPED))
        return INT64_MAX;
    return state->since_ms + within_ms;
}

bool storm_takes(struct route_set *set, size_t rule, struct span key, int64_t now_ms)
{
    uint32_t number = route_number(SPACE_STORM, rule);
    double words[STORM_WORDS];
    struct trigger_state storm = get(set, number, SPAN(""));
    memcpy(words, storm.words, sizeof(words));
    storm.words = words;
    buf_clear(&set->text);
    buf_putc(&set->text, '=');
    buf_append(&set->text, key.data, key.len);
    struct trigger_state own = get(set, number, buf_span(&set->text));
    words[STORM_KEYS] += own.since_ms == 0;
    bool storms = storm.phase == TRIGGER_TRIPPED || words[STORM_KEYS] > (double)set->rules[rule].storm.keys;
    own.since_ms = now_ms;
    if (storms)
        own.phase = TRIGGER_TRIPPED;
    put(set, number, buf_span(&set->text), &own);
    if (storms && storm.phase != TRIGGER_TRIPPED) {
        storm.phase = TRIGGER_TRIPPED;
        storm.since_ms = now_ms;
        words[STORM_BEGAN] = (double)now_ms;
    }
    words[STORM_ROUND] += storms;
    put(set, number, SPAN(""), &storm);
    return storms;
}

/* ---- the order ---------------------------------------------------------------*/

struct list {
    uint32_t number;
    char **keys;
    size_t count, cap;
};

static void add_key(void *context, uint32_t number, struct span key)
{
    struct list *list = context;
    if (number != list->number || key.len == 0)
        return;
    list->keys = mem_grow(list->keys, &list->cap, list->count + 1, sizeof(*list->keys));
    list->keys[list->count++] = span_dup((struct span){key.data + 1, key.len - 1});
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* How many of them, from `first` on, one order lists: a text that a target has no room for would be refused. */
static size_t fill(const struct list *list, size_t first)
{
    size_t count = 0;
    for (size_t bytes = 0; first + count < list->count; count++) {
        bytes += strlen(list->keys[first + count]) + 1;
        if (bytes > LIST_BYTES && count > 0)
            break;
    }
    return count;
}

/* What an order's body is made of. */
static void print_payload(const struct rule *rule, const struct list *list, size_t first, size_t count,
                          int64_t began_ms, int64_t now_ms, struct buf *out)
{
    char since[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX];
    cleanup_buf struct buf text = {0};
    buf_printf(out, "{\"route\":\"%s\",\"count\":%zu,\"total\":%zu,\"since\":\"%s\",\"until\":\"%s\",\"keys\":[",
               rule->name, count, list->count, clock_format(began_ms, since), clock_format(now_ms, until));
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, i > 0 ? "," : "");
        buf_put_json(out, span_of(list->keys[first + i]));
        buf_printf(&text, "%s%s", i > 0 ? "," : "", list->keys[first + i]);
    }
    buf_puts(out, "],\"list\":");
    buf_put_json(out, buf_span(&text));
    buf_putc(out, '}');
}

/* Listed, and forgotten: one that fires again is one more. */
static void drop_keys(struct route_set *set, const struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        buf_clear(&set->text);
        buf_printf(&set->text, "=%s", list->keys[i]);
        struct trigger_state none = {.words = set->other_words};
        route_keys_put(set->keys, list->number, buf_span(&set->text), &none, INT64_MAX);
    }
}

static void decide_order(struct route_set *set, uint32_t number, struct span payload, int64_t now_ms,
                         route_decide *each, void *context)
{
    const struct rule *rule = &set->rules[route_index(number)];
    struct reading r;
    const struct message message = {
        .topic = span_of(rule->filter.mqtt), .payload = payload, .one_reading = true, .received_ms = now_ms, .qos = 1};
    reading_open(&r, set, &message, each, context);
    reading_begin_rule(&r, rule, (uint32_t)route_index(number));
    r.decision.timed = true;
    r.decision.lane = span_of(rule->name);
    if (reading_map_with(&r, rule->storm.body, rule->storm.uses))
        reading_decide(&r, OUTCOME_ACCEPTED, "storm_order");
    else
        reading_decide(&r, OUTCOME_INVALID, buf_span(r.reason).data);
    reading_close(&r);
}

/* One, or as many as it takes to list them all. */
static void make_order(struct route_set *set, uint32_t number, int64_t began_ms, int64_t now_ms, route_decide *each,
                       void *context)
{
    struct list list = {.number = number};
    route_keys_each(set->keys, add_key, &list);
    if (list.count > 0)
        qsort(list.keys, list.count, sizeof(*list.keys), by_text);
    drop_keys(set, &list);
    for (size_t first = 0, count; first < list.count; first += count) {
        cleanup_buf struct buf payload = {0};
        count = fill(&list, first);
        print_payload(&set->rules[route_index(number)], &list, first, count, began_ms, now_ms, &payload);
        decide_order(set, number, buf_span(&payload), now_ms, each, context);
    }
    for (size_t i = 0; i < list.count; i++)
        free(list.keys[i]);
    free(list.keys);
}

/* ---- time --------------------------------------------------------------------*/

static void end_round(struct route_set *set, uint32_t number, int64_t now_ms, route_decide *each, void *context)
{
    struct trigger_state storm = get(set, number, SPAN(""));
    double words[STORM_WORDS];
    memcpy(words, storm.words, sizeof(words));
    storm.words = words;
    bool first = words[STORM_FIRST] == 0,
         ebbs = words[STORM_ROUND] <= (double)set->rules[route_index(number)].storm.keys;
    int64_t began_ms = (int64_t)words[STORM_BEGAN];
    bool lists = words[STORM_KEYS] > 0 && (first || ebbs || words[STORM_KEYS] >= LIST_MAX);
    words[STORM_ROUND] = 0;
    words[STORM_FIRST] = 1;
    if (lists)
        words[STORM_KEYS] = 0;
    storm.since_ms = now_ms;
    if (ebbs && !first) {
        memset(words, 0, sizeof(words));
        storm.phase = TRIGGER_ARMED;
        storm.since_ms = 0;
    }
    put(set, number, SPAN(""), &storm);
    if (lists)
        make_order(set, number, began_ms, now_ms, each, context);
}

/* It is calm, and the key fired longer ago than T. */
static void forget_key(struct route_set *set, uint32_t number, struct span key)
{
    struct trigger_state storm = get(set, number, SPAN(""));
    double words[STORM_WORDS];
    if (storm.phase == TRIGGER_TRIPPED) { /* it waits to be listed */
        struct trigger_state own = get(set, number, key);
        route_keys_put(set->keys, number, key, &own, INT64_MAX);
        return;
    }
    memcpy(words, storm.words, sizeof(words));
    words[STORM_KEYS] = words[STORM_KEYS] > 0 ? words[STORM_KEYS] - 1 : 0;
    storm.words = words;
    put(set, number, SPAN(""), &storm);
    struct trigger_state none = {.words = set->other_words};
    route_keys_put(set->keys, number, key, &none, INT64_MAX);
}

void storm_expire(struct route_set *set, uint32_t number, struct span key, int64_t now_ms, route_decide *each,
                  void *context)
{
    if (key.len > 0)
        forget_key(set, number, key);
    else
        end_round(set, number, now_ms, each, context);
}
