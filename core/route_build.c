/* SPDX-License-Identifier: Apache-2.0 */

/* From a route's configuration to a rule. config.c has looked at the shapes already and may have
 * complained; what it accepted can still be wrong in what only this room knows: filters, templates, jq. */

#include "number.h"
#include "route_rule.h"

#include <stdlib.h>
#include <string.h>

struct builder {
    struct rule *rule;
    const struct config_route *route;
    struct expr_set *exprs;
    struct problems *problems;
    const char *captures[TOPIC_CAPTURES_MAX + 1];
    struct template_names names;
};

static bool is_reported(const struct problems *problems, struct mark mark)
{
    for (size_t i = 0; i < problems->count; i++)
        if (problems->items[i].mark.line == mark.line && problems->items[i].mark.column == mark.column)
            return true;
    return false;
}

static void wrong_shape(struct builder *b, struct mark mark, const char *wanted)
{
    if (!is_reported(b->problems, mark))
        problems_add(b->problems, mark, "this needs %s", wanted);
}

static void build_filter(struct builder *b, const char *prefix)
{
    cleanup_text char *error = NULL;
    if (b->route->from == NULL)
        return;
    if (topic_filter_parse(span_of(b->route->from), &b->rule->filter, &error) != 0) {
        problems_add(b->problems, b->route->from_mark, "%s", error);
        return;
    }
    for (size_t i = 0; i < b->rule->filter.capture_count; i++)
        b->captures[i] = b->rule->filter.captures[i].name;
    cleanup_text char *own = prefix != NULL ? mem_printf("%s/#", prefix) : NULL;
    if (own != NULL && topic_filter_covers(own, b->rule->filter.mqtt))
        problems_add(b->problems, b->route->from_mark,
                     "topics below %s/ are busbar's own and are not routed (bus.prefix names them)", prefix);
}

/* A template that may use all words but those of `without`. */
static struct template *build_template(struct builder *b, const struct yaml_node *node, unsigned without)
{
    static const struct {
        unsigned use;
        const char *word;
    } words[] = {{TEMPLATE_USES_VALUE, "value"}, {TEMPLATE_USES_KEY, "key"}, {TEMPLATE_USES_ID, "id"}};
    if (node == NULL)
        return NULL;
    if (node->kind != YAML_SCALAR) {
        wrong_shape(b, node->mark, "text with placeholders");
        return NULL;
    }
    struct template *t = body_scalar(node, &b->names, b->problems);
    for (size_t i = 0; t != NULL && i < sizeof(words) / sizeof(words[0]); i++)
        if (template_uses(t) & words[i].use & without)
            problems_add(b->problems, node->mark, "${%s} is not known yet where this is evaluated", words[i].word);
    return t;
}

static int build_jq(struct builder *b, const struct yaml_node *node)
{
    if (node == NULL)
        return -1;
    if (node->kind == YAML_SCALAR)
        return expr_add(b->exprs, node->text, node->mark);
    wrong_shape(b, node->mark, "a jq expression");
    return -1;
}

static void build_number(struct builder *b, const struct yaml_node *node, double *out)
{
    if (node->kind != YAML_SCALAR || !number_parse_double(node->text, out))
        wrong_shape(b, node->mark, "a number");
}

static void build_band(struct builder *b, const struct yaml_node *node, double *low, double *high)
{
    if (node->kind != YAML_SEQUENCE || node->count != 2) {
        wrong_shape(b, node->mark, "two numbers: [low, high]");
        return;
    }
    build_number(b, node->items[0].value, low);
    build_number(b, node->items[1].value, high);
    if (*low > *high)
        wrong_shape(b, node->mark, "the lower number first: [low, high]");
}

static void build_condition(struct builder *b)
{
    struct trigger_rule *rule = &b->rule->trigger;
    const struct yaml_node *above = b->route->trigger.above, *below = b->route->trigger.below,
                           *outside = b->route->trigger.outside, *when = b->route->trigger.when,
                           *clear = b->route->trigger.clear;
    if ((above != NULL) + (below != NULL) + (outside != NULL) + (when != NULL) != 1) {
        wrong_shape(b, b->route->trigger.mark, "one of above, below, outside, when");
        return;
    }
    rule->has_clear = clear != NULL;
    if (above != NULL) {
        rule->kind = TRIGGER_ABOVE;
        build_number(b, above, &rule->high);
        if (clear != NULL)
            build_number(b, clear, &rule->clear_high);
        if (clear != NULL && rule->clear_high > rule->high)
            wrong_shape(b, clear->mark, "a number not above `above`");
    } else if (below != NULL) {
        rule->kind = TRIGGER_BELOW;
        build_number(b, below, &rule->low);
        if (clear != NULL)
            build_number(b, clear, &rule->clear_low);
        if (clear != NULL && rule->clear_low < rule->low)
            wrong_shape(b, clear->mark, "a number not below `below`");
    } else if (outside != NULL) {
        rule->kind = TRIGGER_OUTSIDE;
        build_band(b, outside, &rule->low, &rule->high);
        if (clear != NULL)
            build_band(b, clear, &rule->clear_low, &rule->clear_high);
        if (clear != NULL && (rule->clear_low < rule->low || rule->clear_high > rule->high))
            wrong_shape(b, clear->mark, "a band inside that of `outside`");
    } else {
        rule->kind = TRIGGER_WHEN;
        b->rule->when = build_jq(b, when);
        b->rule->clear = build_jq(b, clear);
    }
}

static void build_trigger(struct builder *b)
{
    if (!b->route->trigger.given)
        return;
    b->rule->has_trigger = true;
    build_condition(b);
    b->rule->trigger.cooldown_ms = b->route->trigger.cooldown_ms > 0 ? b->route->trigger.cooldown_ms : 0;
    b->rule->value =
        build_template(b, b->route->trigger.value, TEMPLATE_USES_VALUE | TEMPLATE_USES_KEY | TEMPLATE_USES_ID);
    b->rule->key = build_template(b, b->route->trigger.key, TEMPLATE_USES_KEY | TEMPLATE_USES_ID);
}

void rule_build(struct rule *rule, const struct config *config, const struct config_route *route,
                struct expr_set *exprs, struct problems *problems)
{
    struct builder b = {.rule = rule, .route = route, .exprs = exprs, .problems = problems};
    b.names.captures = b.captures;
    *rule = (struct rule){.name = route->name, .retained = route->retained, .when = -1, .clear = -1, .body_jq = -1};
    rule->format = route->input.format.kind != 0 ? &route->input.format : NULL;
    build_filter(&b, config->bus.prefix);
    if (route->from != NULL && rule->filter.mqtt == NULL)
        return; /* without the captures, every template would be wrong */
    build_trigger(&b);
    if (route->key != NULL) {
        struct yaml_node key = {
            .kind = YAML_SCALAR, .mark = route->key_mark, .text = span_of(route->key), .plain = true};
        rule->lane = build_template(&b, &key, TEMPLATE_USES_KEY);
    }
    if (route->body != NULL)
        rule->body = body_compile(route->body, &b.names, &rule->body_uses, problems);
    rule->body_jq = build_jq(&b, route->body_jq);
    rule->each = build_template(&b, route->input.each, TEMPLATE_USES_VALUE | TEMPLATE_USES_KEY | TEMPLATE_USES_ID);
}

void rule_finish(struct rule *rule)
{
    topic_filter_finish(&rule->filter);
    template_destroy(rule->each);
    template_destroy(rule->value);
    template_destroy(rule->key);
    template_destroy(rule->lane);
    body_destroy(rule->body);
}
