/* SPDX-License-Identifier: Apache-2.0 */

/* `trigger:` of a route: its keys, and the shape of what compares numbers. What the other conditions need is
 * said by the rules' own room, which compiles them. */
#include "config_table.h"

#include "number.h"

#include <string.h>

#define DAY_MS ((int64_t)86400000)
#define LONGEST_MS (3650 * DAY_MS)

static const struct choice until_words[] = {{"closed", UNTIL_CLOSED}, {0}};

#define AT(member) offsetof(struct config_route, trigger.member)
#define NODE(name)                                             \
    {                                                          \
        .key = #name, .kind = SETTING_NODE, .offset = AT(name) \
    }
#define DURATION(name, member)                                                                     \
    {                                                                                              \
        .key = (name), .kind = SETTING_DURATION, .offset = AT(member), .min = 0, .max = LONGEST_MS \
    }
static const struct setting trigger_rows[] = {
    NODE(value),
    NODE(above),
    NODE(below),
    NODE(outside),
    NODE(equals),
    NODE(changes),
    NODE(when),
    NODE(rate),
    NODE(every),
    {.key = "absent", .kind = SETTING_DURATION, .offset = AT(absent_ms), .min = 1000, .max = LONGEST_MS},
    NODE(all),
    NODE(any),
    DURATION("max_age", max_age_ms),
    NODE(window),
    NODE(clear),
    {.key = "repeat", .kind = SETTING_WHOLE, .offset = AT(repeat), .min = 1, .max = 10000},
    DURATION("for", for_ms),
    DURATION("clear_for", clear_for_ms),
    {.key = "until", .kind = SETTING_CHOICE, .offset = AT(until), .choices = until_words},
    DURATION("until_max_age", until_max_age_ms),
    NODE(while_open),
    DURATION("cooldown", cooldown_ms),
    NODE(budget),
    NODE(storm),
    NODE(key),
    {.key = "unit",
     .kind = SETTING_CUSTOM,
     .read = config_read_unit,
     .print = config_print_unit,
     .section = &config_unit_section},
};
#undef AT
const struct section config_trigger_section = SECTION("trigger", trigger_rows, NULL);

static bool to_number(struct config_reader *reader, const struct yaml_node *node, const char *key, double *out)
{
    if (node->kind == YAML_SCALAR && node->plain && number_parse_double(node->text, out))
        return true;
    char said[TABLE_SHOWN_MAX + 8];
    problems_add(reader->problems, node->mark, "'%s' must be a number, such as 85 or -2.5%s", key,
                 table_not(node->text, node->kind != YAML_SCALAR, said));
    return false;
}

/* [a, b] with a < b. */
static bool to_band(struct config_reader *reader, const struct yaml_node *node, const char *key, double band[2])
{
    bool pair = node->kind == YAML_SEQUENCE && node->count == 2;
    for (size_t i = 0; i < 2 && pair; i++) {
        const struct yaml_node *item = node->items[i].value;
        pair = item->kind == YAML_SCALAR && item->plain && number_parse_double(item->text, &band[i]);
    }
    if (!pair || band[0] >= band[1])
        problems_add(reader->problems, node->mark, "'%s' must be two numbers, the smaller first, such as [10, 20]",
                     key);
    return pair && band[0] < band[1];
}

void config_check_jq(struct config_reader *reader, const struct yaml_node *node, const char *key)
{
    if (node->kind != YAML_SCALAR || node->text.len == 0)
        problems_add(reader->problems, node->mark,
                     "'%s' must be a jq expression, quoted when it has ': ' or starts with '{' or '['", key);
}

static void check_threshold(struct config_reader *reader, const struct yaml_node *node, const char *key,
                            const struct yaml_node *clear, bool above)
{
    double limit, back;
    bool good = to_number(reader, node, key, &limit);
    if (clear == NULL || !to_number(reader, clear, "clear", &back) || !good)
        return;
    if (above ? back > limit : back < limit)
        problems_add(reader->problems, clear->mark, "'clear' must not be %s '%s' (%s)", above ? "above" : "below", key,
                     node->text.data);
}

static void check_outside(struct config_reader *reader, const struct yaml_node *node, const struct yaml_node *clear)
{
    double band[2], inner[2];
    bool good = to_band(reader, node, "outside", band);
    if (clear == NULL || !to_band(reader, clear, "clear", inner) || !good)
        return;
    if (inner[0] < band[0] || inner[1] > band[1])
        problems_add(reader->problems, clear->mark, "'clear' must lie inside 'outside'");
}

static void check_text(struct config_reader *reader, const struct yaml_node *node, const char *key)
{
    if (node != NULL && node->kind != YAML_SCALAR)
        problems_add(reader->problems, node->mark, "'%s' must be text, such as \"${.celsius}\"", key);
}

static void check_conditions(struct config_reader *reader, const struct config_route *route)
{
    const struct yaml_node *conditions[] = {route->trigger.above,   route->trigger.below, route->trigger.outside,
                                            route->trigger.equals,  route->trigger.when,  route->trigger.rate,
                                            route->trigger.changes, route->trigger.every, route->trigger.all,
                                            route->trigger.any};
    size_t count = route->trigger.absent_ms >= 0 ? 1 : 0;
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
        count += conditions[i] != NULL ? 1 : 0;
    if (count != 1)
        problems_add(reader->problems, route->trigger.mark,
                     "a trigger has one condition, such as 'above', 'when' or 'absent'; here are %zu", count);
}

void config_read_trigger(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_route *route = base;
    size_t errors = reader->problems->errors;
    table_read(reader, &config_trigger_section, node, node->mark, route);
    route->trigger.given = true;
    route->trigger.mark = node->mark;
    const struct yaml_node *clear = route->trigger.clear;
    if (route->trigger.above != NULL)
        check_threshold(reader, route->trigger.above, "above", clear, true);
    else if (route->trigger.below != NULL)
        check_threshold(reader, route->trigger.below, "below", clear, false);
    else if (route->trigger.outside != NULL)
        check_outside(reader, route->trigger.outside, clear);
    else if (route->trigger.when != NULL && clear != NULL)
        config_check_jq(reader, clear, "clear");
    if (route->trigger.when != NULL)
        config_check_jq(reader, route->trigger.when, "when");
    check_text(reader, route->trigger.value, "value");
    check_text(reader, route->trigger.key, "key");
    if (reader->problems->errors == errors) /* a misspelt condition is one problem, not two */
        check_conditions(reader, route);
}

void config_print_trigger(const struct config *config, const void *base, int indent, struct buf *out)
{
    const struct config_route *route = base;
    if (!route->trigger.given)
        return;
    table_indent(out, indent);
    buf_puts(out, "trigger:\n");
    table_print(config, &config_trigger_section, route, indent + 2, out);
}
