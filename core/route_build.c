/* SPDX-License-Identifier: Apache-2.0 */

/* From a route's configuration to a rule. config.c has looked at the shapes already and may have
 * complained; what it accepted can still be wrong in what only this room knows: filters, templates, jq. */

#include "route_rule.h"

#include <stdlib.h>
#include <string.h>

static bool is_reported(const struct problems *problems, struct mark mark)
{
    for (size_t i = 0; i < problems->count; i++)
        if (problems->items[i].mark.line == mark.line && problems->items[i].mark.column == mark.column)
            return true;
    return false;
}

void rule_wrong(struct rule_builder *b, struct mark mark, const char *wanted)
{
    if (!is_reported(b->problems, mark))
        problems_add(b->problems, mark, "this needs %s", wanted);
}

static void build_filter(struct rule_builder *b, const char *prefix)
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
struct template *rule_build_template(struct rule_builder *b, const struct yaml_node *node, unsigned without)
{
    static const struct {
        unsigned use;
        const char *word;
    } words[] = {{TEMPLATE_USES_VALUE, "value"}, {TEMPLATE_USES_KEY, "key"}, {TEMPLATE_USES_ID, "id"}};
    if (node == NULL)
        return NULL;
    if (node->kind != YAML_SCALAR) {
        rule_wrong(b, node->mark, "text with placeholders");
        return NULL;
    }
    struct template *t = template_pool_get(b->pool, node, &b->names, b->problems);
    for (size_t i = 0; t != NULL && i < sizeof(words) / sizeof(words[0]); i++)
        if (template_uses(t) & words[i].use & without)
            problems_add(b->problems, node->mark, "${%s} is not known yet where this is evaluated", words[i].word);
    if (t != NULL && (template_uses(t) & TEMPLATE_USES_ASSET) != 0 && (without & TEMPLATE_USES_ID) != 0)
        problems_add(b->problems, node->mark, "${asset...} is looked up for what fires: use the tag itself here");
    return t;
}

int rule_build_jq(struct rule_builder *b, const struct yaml_node *node)
{
    if (node == NULL)
        return -1;
    if (node->kind == YAML_SCALAR)
        return expr_add(b->exprs, node->text, node->mark);
    rule_wrong(b, node->mark, "a jq expression");
    return -1;
}

void rule_build(struct rule *rule, const struct config *config, const struct config_route *route,
                const struct assets *assets, struct expr_set *exprs, struct template_pool *pool,
                struct problems *problems)
{
    struct rule_builder b = {.rule = rule, .route = route, .exprs = exprs, .problems = problems, .pool = pool};
    b.names.captures = b.captures;
    *rule = (struct rule){.name = route->name, .retained = route->retained, .body_jq = -1};
    rule->trigger.when = rule->trigger.clear = -1;
    rule->budget = -1;
    build_filter(&b, config->bus.prefix);
    if (route->from != NULL && rule->filter.mqtt == NULL)
        return; /* without the captures, every template would be wrong */
    b.names.assets = assets != NULL ? assets_columns(assets) : NULL;
    rule_build_input(&b);
    rule_build_trigger(&b);
    if (route->key != NULL) {
        struct yaml_node key = {
            .kind = YAML_SCALAR, .mark = route->key_mark, .text = span_of(route->key), .plain = true};
        rule->lane = rule_build_template(&b, &key, TEMPLATE_USES_KEY);
    }
    if (route->body != NULL)
        rule->body = body_compile(route->body, &b.names, &rule->body_uses, problems);
    rule->body_jq = rule_build_jq(&b, route->body_jq);
    unsigned uses = rule->body_uses | (rule->lane != NULL ? template_uses(rule->lane) : 0) |
                    (rule->input.asset != NULL ? template_uses(rule->input.asset) : 0);
    rule->keeps_payload = rule->body == NULL || (uses & TEMPLATE_USES_PAYLOAD) != 0 ||
                          ((uses & TEMPLATE_USES_VALUE) != 0 && rule->trigger.value == NULL);
}

void rule_finish(struct rule *rule)
{
    topic_filter_finish(&rule->filter);
    rule_finish_trigger(rule);
    body_destroy(rule->body);
}
