/* SPDX-License-Identifier: Apache-2.0 */

/* A route's trigger, from its configuration to what is asked of a reading: the condition, its members, what
 * derives the value, and the behaviour around it. */

#include "number.h"
#include "route_rule.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS ((int64_t)86400000)
#define BUDGET_MAX 1000
#define EQUALS_MAX 64
#define MEMBERS_MAX 16
#define STORM_KEYS_MAX 1000

/* ---- small shapes -----------------------------------------------------------*/

static bool is_number(const struct yaml_node *node, double *out)
{
    return node->kind == YAML_SCALAR && node->plain && number_parse_double(node->text, out);
}

static void build_number(struct rule_builder *b, const struct yaml_node *node, double *out)
{
    if (!is_number(node, out))
        rule_wrong(b, node->mark, "a number");
}

static void build_band(struct rule_builder *b, const struct yaml_node *node, double *low, double *high)
{
    if (node->kind != YAML_SEQUENCE || node->count != 2) {
        rule_wrong(b, node->mark, "two numbers: [low, high]");
        return;
    }
    build_number(b, node->items[0].value, low);
    build_number(b, node->items[1].value, high);
    if (*low > *high)
        rule_wrong(b, node->mark, "the lower number first: [low, high]");
}

static bool build_duration(struct rule_builder *b, const struct yaml_node *node, int64_t *ms)
{
    bool good =
        node->kind == YAML_SCALAR && number_parse_duration(node->text, ms) && *ms >= 1000 && *ms <= 3650 * DAY_MS;
    if (!good)
        rule_wrong(b, node->mark, "a duration of a second or more, such as 10m");
    return good;
}

/* A mapping with these keys only. */
static bool has_keys(struct rule_builder *b, const struct yaml_node *node, const char *const *known, size_t count)
{
    if (node->kind != YAML_MAPPING) {
        rule_wrong(b, node->mark, "'key: value' pairs");
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        struct span key = node->items[i].key->text;
        bool good = false;
        for (size_t k = 0; k < count; k++)
            good |= span_is(key, known[k]);
        const char *near = good ? NULL : problems_nearest(key, known, count);
        if (!good)
            problems_add(b->problems, node->items[i].key->mark, "unknown key '%.*s'%s%s%s", (int)key.len, key.data,
                         near != NULL ? ", did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    return true;
}
#define HAS_KEYS(b, node, keys) has_keys(b, node, keys, sizeof(keys) / sizeof((keys)[0]))

/* ---- conditions ---------------------------------------------------------------*/

struct asked { /* the nodes of one condition */
    const struct yaml_node *above, *below, *outside, *equals, *when, *clear;
};

static void build_above(struct rule_builder *b, const struct asked *asked, struct trigger_rule *rule)
{
    rule->kind = TRIGGER_ABOVE;
    build_number(b, asked->above, &rule->high);
    if (asked->clear != NULL)
        build_number(b, asked->clear, &rule->clear_high);
    if (asked->clear != NULL && rule->clear_high > rule->high)
        rule_wrong(b, asked->clear->mark, "a number not above `above`");
}

static void build_below(struct rule_builder *b, const struct asked *asked, struct trigger_rule *rule)
{
    rule->kind = TRIGGER_BELOW;
    build_number(b, asked->below, &rule->low);
    if (asked->clear != NULL)
        build_number(b, asked->clear, &rule->clear_low);
    if (asked->clear != NULL && rule->clear_low < rule->low)
        rule_wrong(b, asked->clear->mark, "a number not below `below`");
}

static void build_outside(struct rule_builder *b, const struct asked *asked, struct trigger_rule *rule)
{
    rule->kind = TRIGGER_OUTSIDE;
    build_band(b, asked->outside, &rule->low, &rule->high);
    if (asked->clear != NULL)
        build_band(b, asked->clear, &rule->clear_low, &rule->clear_high);
    if (asked->clear != NULL && (rule->clear_low < rule->low || rule->clear_high > rule->high))
        rule_wrong(b, asked->clear->mark, "a band inside that of `outside`");
}

static void build_equals(struct rule_builder *b, const struct yaml_node *node, struct condition *condition)
{
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    condition->rule.kind = TRIGGER_EQUALS;
    if (node->kind == YAML_MAPPING || count == 0 || count > EQUALS_MAX) {
        rule_wrong(b, node->mark, "a value, or a list of values, such as [FAULT, ALARM]");
        return;
    }
    condition->equals = mem_alloc(count * sizeof(condition->equals[0]));
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *item = node->kind == YAML_SEQUENCE ? node->items[i].value : node;
        struct trigger_equal *equal = &condition->equals[i];
        if (item->kind != YAML_SCALAR)
            rule_wrong(b, item->mark, "a single value");
        equal->text = item->text;
        equal->numeric = is_number(item, &equal->number);
    }
    condition->rule.equals = condition->equals;
    condition->rule.equal_count = count;
}

/* One of above, below, outside, equals, when. false: none of them */
static bool build_plain(struct rule_builder *b, const struct asked *asked, struct condition *condition)
{
    struct trigger_rule *rule = &condition->rule;
    rule->has_clear = asked->clear != NULL;
    if (asked->above != NULL) {
        build_above(b, asked, rule);
    } else if (asked->below != NULL) {
        build_below(b, asked, rule);
    } else if (asked->outside != NULL) {
        build_outside(b, asked, rule);
    } else if (asked->equals != NULL) {
        build_equals(b, asked->equals, condition);
        if (asked->clear != NULL)
            rule_wrong(b, asked->clear->mark, "above, below, outside or when");
    } else if (asked->when != NULL) {
        rule->kind = TRIGGER_WHEN;
        condition->when = rule_build_jq(b, asked->when);
        condition->clear = rule_build_jq(b, asked->clear);
    } else {
        return false;
    }
    return true;
}

static size_t count_asked(const struct asked *asked)
{
    const void *const given[] = {asked->above, asked->below, asked->outside, asked->equals, asked->when};
    size_t count = 0;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        count += given[i] != NULL ? 1 : 0;
    return count;
}

static void build_rate(struct rule_builder *b, const struct yaml_node *node, const struct yaml_node *clear)
{
    static const char *const keys[] = {"above", "below", "outside", "per"};
    struct trigger_rule *rule = &b->rule->trigger.rule;
    if (!HAS_KEYS(b, node, keys))
        return;
    const struct asked asked = {.above = yaml_get(node, "above"),
                                .below = yaml_get(node, "below"),
                                .outside = yaml_get(node, "outside"),
                                .clear = clear};
    const struct yaml_node *per = yaml_get(node, "per");
    if (count_asked(&asked) != 1 || per == NULL)
        rule_wrong(b, node->mark, "one of above, below, outside, and per, such as {above: 5, per: 1m}");
    else if (build_duration(b, per, &rule->period_ms) && build_plain(b, &asked, &b->rule->trigger))
        rule->derive = TRIGGER_RATE;
}

static void build_window(struct rule_builder *b, const struct yaml_node *node)
{
    static const char *const keys[] = {"avg", "min", "max", "count"};
    struct trigger_rule *rule = &b->rule->trigger.rule;
    if (!HAS_KEYS(b, node, keys))
        return;
    bool compared = rule->kind == TRIGGER_ABOVE || rule->kind == TRIGGER_BELOW || rule->kind == TRIGGER_OUTSIDE;
    if (node->count != 1 || !compared || rule->derive != TRIGGER_AS_IT_IS) {
        rule_wrong(b, node->mark, "one of avg, min, max, count, such as {avg: 10m}, beside above, below or outside");
        return;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (yaml_get(node, keys[i]) != NULL && build_duration(b, yaml_get(node, keys[i]), &rule->period_ms))
            rule->derive = (enum trigger_derive)(TRIGGER_AVG + (int)i);
}

static void build_changes(struct rule_builder *b, const struct yaml_node *node)
{
    struct trigger_rule *rule = &b->rule->trigger.rule;
    bool any = false;
    rule->kind = TRIGGER_CHANGES;
    if (yaml_to_bool(node, &any) && any)
        return;
    if (any || !is_number(node, &rule->step) || rule->step <= 0)
        rule_wrong(b, node->mark, "true, or a dead-band above 0");
}

static void build_every(struct rule_builder *b, const struct yaml_node *node)
{
    struct trigger_rule *rule = &b->rule->trigger.rule;
    rule->kind = TRIGGER_EVERY;
    if (!is_number(node, &rule->step) || rule->step <= 0)
        rule_wrong(b, node->mark, "a number above 0");
}

/* ---- members of all and any ----------------------------------------------------*/

/* Its filter must name what the route's does: the key and the body use those names. */
static void order_captures(struct rule_builder *b, struct member *member, struct mark mark)
{
    const struct topic_filter *route = &b->rule->filter, *own = &member->filter;
    bool good = route->capture_count == own->capture_count;
    for (size_t i = 0; i < route->capture_count && good; i++) {
        size_t at = 0;
        while (at < own->capture_count && strcmp(own->captures[at].name, route->captures[i].name) != 0)
            at++;
        good = at < own->capture_count;
        member->order[i] = (uint8_t)at;
    }
    if (!good)
        problems_add(b->problems, mark, "this must name the same captures as the route's 'from'");
}

static void build_member(struct rule_builder *b, const struct yaml_node *node, struct member *member)
{
    static const char *const keys[] = {"from", "value", "above", "below", "outside", "equals", "when", "clear"};
    member->condition.when = member->condition.clear = -1;
    if (!HAS_KEYS(b, node, keys))
        return;
    cleanup_text char *error = NULL;
    const struct yaml_node *from = yaml_get(node, "from");
    struct span filter = from != NULL ? from->text : span_of(b->route->from);
    if (from != NULL && from->kind != YAML_SCALAR)
        rule_wrong(b, from->mark, "a topic filter");
    else if (topic_filter_parse(filter, &member->filter, &error) != 0)
        problems_add(b->problems, from != NULL ? from->mark : node->mark, "%s", error);
    else
        order_captures(b, member, from != NULL ? from->mark : node->mark);
    const struct asked asked = {yaml_get(node, "above"),  yaml_get(node, "below"), yaml_get(node, "outside"),
                                yaml_get(node, "equals"), yaml_get(node, "when"),  yaml_get(node, "clear")};
    if (count_asked(&asked) != 1)
        problems_add(b->problems, node->mark, "this needs one condition: above, below, outside, equals or when");
    else
        build_plain(b, &asked, &member->condition);
    member->condition.value =
        rule_build_template(b, yaml_get(node, "value"), TEMPLATE_USES_VALUE | TEMPLATE_USES_KEY | TEMPLATE_USES_ID);
}

static void build_members(struct rule_builder *b, enum trigger_kind kind, const struct yaml_node *node)
{
    struct trigger_rule *rule = &b->rule->trigger.rule;
    rule->kind = kind;
    if (node->kind != YAML_SEQUENCE || node->count < 2 || node->count > MEMBERS_MAX) {
        rule_wrong(b, node->mark, "a list of 2 to 16 conditions");
        return;
    }
    rule->member_count = node->count;
    b->rule->members = mem_alloc(node->count * sizeof(b->rule->members[0]));
    for (size_t i = 0; i < node->count; i++)
        build_member(b, node->items[i].value, &b->rule->members[i]);
    if (b->route->trigger.value != NULL)
        rule_wrong(b, b->route->trigger.value->mark, "its place in each condition of the list");
    if (b->route->trigger.clear != NULL)
        rule_wrong(b, b->route->trigger.clear->mark, "its place in each condition of the list");
}

/* ---- the whole ---------------------------------------------------------------------*/

static void build_condition(struct rule_builder *b)
{
    struct trigger_rule *rule = &b->rule->trigger.rule;
    const struct asked asked = {b->route->trigger.above,  b->route->trigger.below, b->route->trigger.outside,
                                b->route->trigger.equals, b->route->trigger.when,  b->route->trigger.clear};
    bool takes_clear = true;
    if (build_plain(b, &asked, &b->rule->trigger))
        ;
    else if (b->route->trigger.rate != NULL)
        build_rate(b, b->route->trigger.rate, b->route->trigger.clear);
    else
        takes_clear = false;
    if (takes_clear)
        return;
    if (b->route->trigger.changes != NULL)
        build_changes(b, b->route->trigger.changes);
    else if (b->route->trigger.every != NULL)
        build_every(b, b->route->trigger.every);
    else if (b->route->trigger.all != NULL)
        build_members(b, TRIGGER_ALL, b->route->trigger.all);
    else if (b->route->trigger.any != NULL)
        build_members(b, TRIGGER_ANY, b->route->trigger.any);
    else if (b->route->trigger.absent_ms > 0) {
        rule->kind = TRIGGER_ABSENT;
        rule->period_ms = b->route->trigger.absent_ms;
    }
    if (b->route->trigger.clear != NULL)
        rule_wrong(b, b->route->trigger.clear->mark, "above, below, outside, rate or when");
}

static void build_budget(struct rule_builder *b, const struct yaml_node *node)
{
    struct trigger_rule *rule = &b->rule->trigger.rule;
    if (node == NULL)
        return;
    bool good = node->kind == YAML_SCALAR && number_parse_budget(node->text, &rule->budget, &rule->budget_ms) &&
                rule->budget >= 1 && rule->budget <= BUDGET_MAX && rule->budget_ms >= 1000;
    if (!good) {
        rule->budget = 0;
        rule_wrong(b, node->mark, "a budget such as 24/1d, of at most 1000");
    }
}

static int64_t given(int64_t value)
{
    return value > 0 ? value : 0;
}

static void build_storm(struct rule_builder *b, const struct yaml_node *node)
{
    static const char *const keys[] = {"keys", "within", "body"};
    static const struct template_names none = {0};
    if (node == NULL || !HAS_KEYS(b, node, keys))
        return;
    const struct yaml_node *count = yaml_get(node, "keys"), *within = yaml_get(node, "within"),
                           *body = yaml_get(node, "body");
    bool good = count != NULL && count->kind == YAML_SCALAR && within != NULL && body != NULL &&
                number_parse_int(count->text, 1, STORM_KEYS_MAX, &b->rule->storm.keys);
    if (!good)
        rule_wrong(b, node->mark, "keys, within and body, such as {keys: 50, within: 10s, body: {...}}");
    else if (build_duration(b, within, &b->rule->storm.within_ms))
        b->rule->storm.body = body_compile(body, &none, &b->rule->storm.uses, b->problems);
    b->rule->trigger.rule.storm = good;
}

/* Its `to` is checked with the target's plugin, in app.c. */
static void build_while_open(struct rule_builder *b, const struct yaml_node *node)
{
    static const char *const keys[] = {"to", "body"};
    if (node == NULL || !HAS_KEYS(b, node, keys))
        return;
    const struct yaml_node *to = yaml_get(node, "to"), *body = yaml_get(node, "body");
    if (!b->rule->trigger.rule.latch)
        problems_add(b->problems, node->mark, "'while_open' belongs to 'until: closed'");
    if (to == NULL || to->kind != YAML_SCALAR || body == NULL || body->kind != YAML_MAPPING) {
        rule_wrong(b, node->mark,
                   "an operation of the target and a body, such as {to: work_order.comment, body: {text: ...}}");
        return;
    }
    b->rule->while_open.operation = span_dup(to->text);
    b->rule->while_open.body = body_compile(body, &b->names, &b->rule->while_open.uses, b->problems);
}

/* What an event or silence has no use for. */
static void check_behaviour(struct rule_builder *b)
{
    const struct trigger_rule *rule = &b->rule->trigger.rule;
    bool level = !trigger_is_event(rule->kind) && rule->kind != TRIGGER_ABSENT;
    struct mark mark = b->route->trigger.mark;
    if (!level && (rule->for_ms > 0 || rule->clear_for_ms > 0 || rule->repeat > 1))
        problems_add(b->problems, mark,
                     "'for', 'clear_for' and 'repeat' belong to conditions that hold for a while, "
                     "not to 'changes', 'every' or 'absent'");
    if (rule->max_age_ms > 0 && rule->member_count == 0)
        problems_add(b->problems, mark, "'max_age' belongs to 'all' and 'any'");
    if (b->route->trigger.until_max_age_ms >= 0 && !rule->latch)
        problems_add(b->problems, mark, "'until_max_age' belongs to 'until: closed'");
}

void rule_build_trigger(struct rule_builder *b)
{
    struct trigger_rule *rule = &b->rule->trigger.rule;
    if (!b->route->trigger.given)
        return;
    b->rule->has_trigger = true;
    build_condition(b);
    if (b->route->trigger.window != NULL)
        build_window(b, b->route->trigger.window);
    build_budget(b, b->route->trigger.budget);
    rule->max_age_ms = given(b->route->trigger.max_age_ms);
    rule->for_ms = given(b->route->trigger.for_ms);
    rule->clear_for_ms = given(b->route->trigger.clear_for_ms);
    rule->repeat = given(b->route->trigger.repeat);
    rule->cooldown_ms = given(b->route->trigger.cooldown_ms);
    rule->latch = b->route->trigger.until == UNTIL_CLOSED;
    rule->latch_ms = !rule->latch                              ? 0
                     : b->route->trigger.until_max_age_ms >= 0 ? b->route->trigger.until_max_age_ms
                                                               : 7 * DAY_MS;
    build_while_open(b, b->route->trigger.while_open);
    build_storm(b, b->route->trigger.storm);
    check_behaviour(b);
    if (rule->member_count == 0)
        b->rule->trigger.value =
            rule_build_template(b, b->route->trigger.value, TEMPLATE_USES_VALUE | TEMPLATE_USES_KEY | TEMPLATE_USES_ID);
    b->rule->key = rule_build_template(b, b->route->trigger.key, TEMPLATE_USES_KEY | TEMPLATE_USES_ID);
}

static void finish_condition(struct condition *condition)
{
    free(condition->equals);
}

void rule_finish_trigger(struct rule *rule)
{
    for (size_t i = 0; rule->members != NULL && i < rule->trigger.rule.member_count; i++) {
        topic_filter_finish(&rule->members[i].filter);
        finish_condition(&rule->members[i].condition);
    }
    free(rule->members);
    finish_condition(&rule->trigger);
    body_destroy(rule->storm.body);
    body_destroy(rule->while_open.body);
    free(rule->while_open.operation);
}
