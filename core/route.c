/* SPDX-License-Identifier: Apache-2.0 */

/* One message's way: its routes by the trie, then for each rule
 *
 *     value -> key -> condition -> trigger_step -> (it fired) id -> lane -> body -> decision
 *
 * and nothing that a rule does not need. A rule without a trigger starts at the id. What keeps a rule from being
 * evaluated (no value, no key, a failing condition) is an ignored reading; what keeps a fired one from being mapped is
 * a dead letter. */

#include "route_private.h"

#include "json.h"
#include "sparkplug.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* ---- the set --------------------------------------------------------------*/

static struct filter *filter_of(struct route_set *set, const char *mqtt)
{
    for (size_t i = 0; i < set->filter_count; i++)
        if (strcmp(set->filters[i].mqtt, mqtt) == 0)
            return &set->filters[i];
    set->filters = mem_grow(set->filters, &set->filter_cap, set->filter_count + 1, sizeof(*set->filters));
    struct filter *filter = &set->filters[set->filter_count++];
    filter->mqtt = mqtt;
    return filter;
}

/* Another filter brings the same messages; of two that bring the same, the first stays. */
static bool is_covered(const struct route_set *set, size_t i)
{
    for (size_t j = 0; j < set->filter_count; j++) {
        const char *a = set->filters[i].mqtt, *b = set->filters[j].mqtt;
        if (i != j && topic_filter_covers(b, a) && (j < i || !topic_filter_covers(a, b)))
            return true;
    }
    return false;
}

static void add_filter(struct route_set *set, const char *mqtt, uint32_t rule)
{
    if (mqtt == NULL)
        return;
    struct filter *filter = filter_of(set, mqtt);
    if (filter->count > 0 && filter->rules[filter->count - 1] == rule)
        return; /* two members of one topic */
    filter->rules = mem_grow(filter->rules, &filter->cap, filter->count + 1, sizeof(*filter->rules));
    filter->rules[filter->count++] = rule;
    topic_trie_add(set->trie, mqtt, rule);
}

static void index_filters(struct route_set *set, const struct config_bus *bus)
{
    set->trie = topic_trie_create();
    for (size_t i = 0; i < set->count; i++) {
        const struct rule *rule = &set->rules[i];
        if (rule->members == NULL)
            add_filter(set, rule->filter.mqtt, (uint32_t)i);
        for (size_t m = 0; m < rule->trigger.rule.member_count; m++)
            add_filter(set, rule->members[m].filter.mqtt, (uint32_t)i);
    }
    set->subscriptions = mem_alloc((set->filter_count + 1) * sizeof(*set->subscriptions));
    for (size_t i = 0; i < set->filter_count; i++) {
        const char *mqtt = set->filters[i].mqtt;
        if (bus->version == 3 && is_covered(set, i))
            continue;
        set->subscriptions[set->subscription_count++] =
            bus->share != NULL ? mem_printf("$share/%s/%s", bus->share, mqtt) : mem_strdup(mqtt);
    }
    set->routed_count = set->subscription_count;
    if (bus->commands) {
        set->commands = mem_printf("%s/commands/+/+", bus->prefix);
        set->subscriptions[set->subscription_count++] =
            bus->share != NULL ? mem_printf("$share/%s/%s", bus->share, set->commands) : mem_strdup(set->commands);
    }
}

void route_set_need_words(struct route_set *set, size_t count)
{
    size_t bytes = count * sizeof(*set->words);
    if (count <= set->word_cap)
        return;
    free(set->words);
    free(set->other_words);
    set->words = mem_alloc(bytes);
    set->other_words = mem_alloc(bytes);
    set->word_cap = count;
}

struct route_set *route_set_create(const struct config *config, struct problems *problems)
{
    struct route_set *set = mem_alloc(sizeof(*set));
    size_t before = problems->errors;
    set->count = config->route_count;
    set->rules = mem_alloc(set->count * sizeof(*set->rules));
    set->exprs = expr_create();
    set->templates = template_pool_create();
    set->keys = route_keys_create();
    set->newest = route_newest_create();
    if (config->assets.file != NULL)
        set->assets = assets_load(config->assets.file, config->assets.mark, problems);
    set->prefix = config->bus.prefix != NULL ? mem_printf("%s/", config->bus.prefix) : NULL;
    set->prefix_len = set->prefix != NULL ? strlen(set->prefix) : 0;
    for (size_t i = 0; i < set->count && set->sparkplug == NULL; i++)
        if (config->routes[i].input.format.kind == FORMAT_SPARKPLUG)
            set->sparkplug = sparkplug_create();
    for (size_t i = 0; i < set->count; i++)
        rule_build(&set->rules[i], config, &config->routes[i], set->assets, set->exprs, set->templates, problems);
    expr_compile(set->exprs, problems);
    route_set_need_words(set, 4);
    for (size_t i = 0; i < set->count; i++)
        route_set_need_words(set, trigger_words(&set->rules[i].trigger.rule));
    index_filters(set, &config->bus);
    if (problems->errors == before)
        return set;
    route_set_destroy(set);
    return NULL;
}

void route_set_destroy(struct route_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->subscription_count; i++)
        free((char *)(uintptr_t)set->subscriptions[i]);
    free(set->subscriptions);
    for (size_t i = 0; i < set->filter_count; i++)
        free(set->filters[i].rules);
    free(set->filters);
    for (size_t i = 0; i < set->count; i++)
        rule_finish(&set->rules[i]);
    free(set->rules);
    free(set->prefix);
    free(set->commands);
    topic_trie_destroy(set->trie);
    expr_destroy(set->exprs);
    template_pool_destroy(set->templates);
    route_keys_destroy(set->keys);
    route_newest_destroy(set->newest);
    assets_destroy(set->assets);
    sparkplug_destroy(set->sparkplug);
    free(set->matches);
    free(set->words);
    free(set->other_words);
    for (size_t i = 0; i < set->budget_count; i++) {
        free(set->budgets[i].name);
        free(set->budgets[i].pointer);
    }
    free(set->budgets);
    struct buf *scratch[] = {&set->key,  &set->lane, &set->body,  &set->reason, &set->state,
                             &set->text, &set->kept, &set->value, &set->part,   &set->asset};
    for (size_t i = 0; i < sizeof(scratch) / sizeof(scratch[0]); i++)
        buf_finish(scratch[i]);
    free(set);
}

struct sparkplug *route_set_sparkplug(const struct route_set *set)
{
    return set->sparkplug;
}

size_t route_set_filters(const struct route_set *set, const char *const **filters)
{
    *filters = set->subscriptions;
    return set->subscription_count;
}

int route_set_next_filter(const struct route_set *set, struct span topic, int after)
{
    for (size_t i = (size_t)after; i < set->filter_count; i++)
        if (topic_filter_matches(set->filters[i].mqtt, topic))
            return (int)i + 1;
    bool command = set->commands != NULL && (size_t)after <= set->filter_count;
    return command && topic_filter_matches(set->commands, topic) ? (int)set->filter_count + 1 : 0;
}

bool route_set_fits(const struct route_set *set, size_t route, struct span *topic)
{
    const char *filter = set->rules[route].filter.mqtt;
    if (topic->len == 0 && strpbrk(filter, "+#") == NULL)
        *topic = span_of(filter);
    return topic_is_valid(*topic) && topic_filter_matches(filter, *topic);
}

char *route_set_outline(const struct route_set *set, size_t route)
{
    if (route >= set->count || set->rules[route].body == NULL)
        return NULL;
    struct buf out = {0};
    body_outline(set->rules[route].body, &out);
    return buf_steal(&out);
}

/* ---- a message's way -------------------------------------------------------*/

static void map(struct reading *r, const struct rule *rule, const char *reason)
{
    if (reading_map(r, rule))
        reading_decide(r, OUTCOME_ACCEPTED, reason);
    else
        reading_decide(r, OUTCOME_INVALID, buf_span(&r->set->reason).data);
}

/* What cannot be read is, for a trigger, a reading without a value; for a command it is a dead letter. */
static void fail(struct reading *r, struct rule *rule)
{
    if (rule->has_trigger)
        reading_ignore(r, rule, "no_value");
    else
        reading_refuse(r);
}

struct turn { /* of one message with one rule */
    struct rule *rule;
    uint32_t number;
    const char *copy_of; /* the filter that the copy came for; NULL: any that matches */
    int64_t now_ms;
};

static void judge(struct reading *r, const struct turn *turn)
{
    buf_clear(r->reason);
    if (!reading_find_time(r, turn->rule))
        fail(r, turn->rule);
    else if (turn->rule->has_trigger)
        reading_step(r, turn->rule, turn->number, turn->copy_of, turn->now_ms);
    else
        map(r, turn->rule, "command");
}

/* Each reading of the message on its own, in their order; a message without any is one that is ignored. */
static void judge_parts(struct reading *r, const struct turn *turn)
{
    cleanup_json struct json_object *parts = reading_parts(r, turn->rule);
    size_t count = parts != NULL ? json_object_array_length(parts) : 0, judged = 0;
    for (size_t i = 0; i < count; i++) {
        struct json_object *part = json_object_array_get_idx(parts, i);
        if (!reading_is_wanted(turn->rule, part))
            continue;
        judged++;
        reading_begin_part(r, turn->number);
        reading_see_part(r, part);
        if (reading_is_history(r, turn->rule))
            reading_decide(r, OUTCOME_IGNORED, "historical");
        else
            judge(r, turn);
    }
    reading_see_whole(r);
    if (parts == NULL)
        fail(r, turn->rule);
    else if (judged == 0)
        reading_decide(r, OUTCOME_IGNORED, "no_reading");
}

static void judge_message(struct reading *r, const struct turn *turn)
{
    buf_clear(r->reason);
    if (r->message->retained && !turn->rule->retained)
        reading_decide(r, OUTCOME_IGNORED, "retained");
    else if (!reading_fits_format(r))
        fail(r, turn->rule);
    else if (rule_has_parts(turn->rule))
        judge_parts(r, turn);
    else
        judge(r, turn);
}

/* The filter of the subscription that a copy came for; NULL: unknown, or of an older configuration's. */
static const struct filter *filter_of_copy(const struct route_set *set, const struct message *message)
{
    size_t id = message->subscription_id > 0 ? (size_t)message->subscription_id : 0;
    bool ours = id > 0 && id <= set->filter_count && set->routed_count == set->filter_count &&
                topic_filter_matches(set->filters[id - 1].mqtt, message->topic);
    return ours ? &set->filters[id - 1] : NULL;
}

/* The rules of a copy that came for one subscription, else all that match. An identifier that does not
 * fit the topic is one of an older configuration's subscriptions: the broker still had the message. */
static size_t find_rules(struct route_set *set, const struct message *message, const uint32_t **rules)
{
    const struct filter *filter = filter_of_copy(set, message);
    if (filter != NULL) {
        *rules = filter->rules;
        return filter->count;
    }
    size_t count = topic_trie_match(set->trie, message->topic, &set->matches, &set->match_cap);
    *rules = set->matches;
    return count;
}

static bool is_own(const struct route_set *set, struct span topic)
{
    size_t len = set->prefix_len;
    return len > 0 && topic.len >= len && memcmp(topic.data, set->prefix, len) == 0;
}

bool route_set_is_command(const struct route_set *set, const struct message *message)
{
    return set->commands != NULL && topic_filter_matches(set->commands, message->topic) &&
           filter_of_copy(set, message) == NULL;
}

size_t route_set_match(struct route_set *set, const struct message *message, const uint32_t **routes)
{
    return is_own(set, message->topic) ? 0 : find_rules(set, message, routes);
}

size_t route_set_evaluate(struct route_set *set, const struct message *message, int64_t steady_ms, route_decide *each,
                          void *context)
{
    const uint32_t *rules;
    size_t count = route_set_match(set, message, &rules);
    if (count == 0)
        return 0;
    const struct filter *copy = filter_of_copy(set, message);
    struct reading r;
    reading_open(&r, set, message, each, context);
    for (size_t i = 0; i < count; i++) {
        const struct turn turn = {&set->rules[rules[i]], rules[i], copy != NULL ? copy->mqtt : NULL, steady_ms};
        reading_begin_rule(&r, turn.rule, turn.number);
        judge_message(&r, &turn);
    }
    reading_close(&r);
    return count;
}

/* One of the filters that the captures could come from. */
static bool fits(const struct rule *rule, struct span topic)
{
    bool any = rule->filter.capture_count == 0 || topic_filter_matches(rule->filter.mqtt, topic);
    for (size_t i = 0; i < rule->trigger.rule.member_count && !any; i++)
        any = topic_filter_matches(rule->members[i].filter.mqtt, topic);
    return any;
}

void route_set_map(struct route_set *set, size_t route, const struct message *message, route_decide *each,
                   void *context)
{
    const struct rule *rule = &set->rules[route];
    struct reading r;
    struct trigger_input input = {0};
    reading_open(&r, set, message, each, context);
    reading_begin_rule(&r, rule, (uint32_t)route);
    buf_clear(&set->reason);
    if (!fits(rule, message->topic)) {
        buf_printf(&set->reason, "the topic does not fit the route's filter %s", rule->filter.mqtt);
        r.captures.count = 0;
    } else if (rule_has_parts(rule) && !message->one_reading) {
        buf_puts(&set->reason, "a message of several readings cannot be mapped as one: give a body");
    } else if (reading_fits_format(&r)) {
        bool found =
            rule->has_trigger && reading_find_value(&r, &rule->trigger, &input); /* else ${value} will say so */
        if (!found || reading_convert(&r, rule, &input)) {
            reading_find_time(&r, rule);
            buf_clear(&set->reason);
            if (reading_find_key(&r, rule))
                buf_clear(&set->reason);
        }
    }
    if (set->reason.len == 0)
        map(&r, rule, "manual");
    else
        reading_refuse(&r);
    reading_close(&r);
}
