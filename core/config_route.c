/* SPDX-License-Identifier: Apache-2.0 */

/* `routes:` of busbar.yaml: their shape. Topic filters, templates and jq are compiled by route.c,
 * operations are known once the plugins are loaded. */
#include "config_table.h"

#include "number.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS ((int64_t)86400000)

#define AT(member) offsetof(struct config_route, batch.member)
static const struct setting batch_rows[] = {
    {.key = "max", .kind = SETTING_WHOLE, .offset = AT(max), .min = 1, .max = 1000000},
    {.key = "wait", .kind = SETTING_DURATION, .offset = AT(wait_ms), .min = 0, .max = DAY_MS},
};
#undef AT
const struct section config_batch_section = SECTION("batch", batch_rows, NULL);

static void read_batch(struct config_reader *reader, const struct yaml_node *node, void *base);
static void print_batch(const struct config *config, const void *base, int indent, struct buf *out);
static void read_to(struct config_reader *reader, const struct yaml_node *node, void *base);
static void print_to(const struct config *config, const void *base, int indent, struct buf *out);

#define AT(member) offsetof(struct config_route, member)
static const struct setting route_rows[] = {
    {.key = "name", .kind = SETTING_RAW, .offset = AT(name), .flags = SETTING_REQUIRED},
    {.key = "from", .kind = SETTING_RAW, .offset = AT(from), .flags = SETTING_REQUIRED},
    {.key = "retained", .kind = SETTING_BOOL, .offset = AT(retained), .fallback = "false"},
    {.key = "format", .kind = SETTING_CUSTOM, .read = config_read_format, .print = config_print_format},
    {.key = "each", .kind = SETTING_NODE, .offset = AT(input.each)},
    {.key = "metric", .kind = SETTING_CUSTOM, .read = config_read_metric, .print = config_print_metric},
    {.key = "time", .kind = SETTING_NODE, .offset = AT(input.time)},
    {.key = "late", .kind = SETTING_DURATION, .offset = AT(input.late_ms), .min = 0, .max = 3650 * DAY_MS},
    {.key = "asset", .kind = SETTING_NODE, .offset = AT(input.asset)},
    {.key = "trigger",
     .kind = SETTING_CUSTOM,
     .section = &config_trigger_section,
     .read = config_read_trigger,
     .print = config_print_trigger},
    {.key = "key", .kind = SETTING_RAW, .offset = AT(key)},
    {.key = "to", .kind = SETTING_CUSTOM, .flags = SETTING_REQUIRED, .read = read_to, .print = print_to},
    {.key = "body", .kind = SETTING_NODE, .offset = AT(body)},
    {.key = "body_jq", .kind = SETTING_NODE, .offset = AT(body_jq)},
    {.key = "on_uncertain", .kind = SETTING_CHOICE, .offset = AT(on_uncertain), .choices = config_uncertain_words},
    {.key = "batch",
     .kind = SETTING_CUSTOM,
     .section = &config_batch_section,
     .read = read_batch,
     .print = print_batch},
};
#undef AT
const struct section config_route_section = SECTION("route", route_rows, NULL);

/* ---- batch: how many go together. The operation's own limit is known once the plugins are loaded ------*/

static void read_batch(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_route *route = base;
    const struct yaml_node *max = yaml_get(node, "max");
    route->batch.mark = node->mark;
    route->batch.max_mark = max != NULL ? max->mark : node->mark;
    table_read(reader, &config_batch_section, node, node->mark, route);
}

static void print_batch(const struct config *config, const void *base, int indent, struct buf *out)
{
    const struct config_route *route = base;
    if (route->batch.mark.line == 0)
        return;
    table_indent(out, indent);
    buf_puts(out, "batch:\n");
    table_print(config, &config_batch_section, route, indent + 2, out);
}

/* ---- to: target.operation ----------------------------------------------------------------*/

static void read_to(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_route *route = base;
    const char *dot = node->kind == YAML_SCALAR ? strchr(node->text.data, '.') : NULL;
    if (dot == NULL || dot == node->text.data || dot[1] == '\0') {
        problems_add(reader->problems, node->mark,
                     "'to' must look like <target>.<operation>, such as mw.task.schedule");
        return;
    }
    route->to_mark = node->mark;
    route->target = span_dup((struct span){node->text.data, (size_t)(dot - node->text.data)});
    route->operation = mem_strdup(dot + 1);
}

static void print_to(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    const struct config_route *route = base;
    if (route->target == NULL)
        return;
    cleanup_text char *to = mem_printf("%s.%s", route->target, route->operation);
    table_indent(out, indent);
    buf_puts(out, "to: ");
    buf_put_json(out, span_of(to));
    buf_putc(out, '\n');
}

/* ---- routes ------------------------------------------------------------------------------*/

static void check_route(struct config_reader *reader, struct config_route *route, const struct yaml_node *node)
{
    struct problems *problems = reader->problems;
    char shown[TABLE_SHOWN_MAX];
    if (route->name != NULL && !config_name_is_valid(span_of(route->name), true))
        problems_add(problems, yaml_get(node, "name")->mark,
                     "'%s' cannot name a route: letters, digits, '_', '-' and '.' only, at most 64",
                     table_shown(span_of(route->name), shown));
    if (route->body != NULL && route->body_jq != NULL)
        problems_add(problems, yaml_get(node, "body_jq")->mark, "'body' and 'body_jq' exclude each other");
    if (route->body_jq != NULL)
        config_check_jq(reader, route->body_jq, "body_jq");
    config_check_input(reader, route);
    if (route->key != NULL && route->trigger.key != NULL)
        problems_warn(problems, route->key_mark, "'key' has no effect beside the trigger's own 'key'");
}

static void add_route(struct config_reader *reader, const struct yaml_node *node)
{
    struct config *config = reader->config;
    struct config_route route = {.mark = node->mark, .to_mark = node->mark, .input.late_ms = -1};
    route.trigger.cooldown_ms = route.batch.max = route.batch.wait_ms = -1;
    const struct yaml_node *from = yaml_get(node, "from"), *key = yaml_get(node, "key");
    route.from_mark = from != NULL ? from->mark : node->mark;
    route.key_mark = key != NULL ? key->mark : node->mark;
    if (yaml_is_null(node))
        problems_add(reader->problems, node->mark, "this route is empty");
    else
        table_read(reader, &config_route_section, node, node->mark, &route);
    check_route(reader, &route, node);
    config->routes = mem_grow(config->routes, &reader->route_cap, config->route_count + 1, sizeof(config->routes[0]));
    config->routes[config->route_count++] = route;
}

void config_read_routes(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    (void)base;
    if (node->kind != YAML_SEQUENCE) {
        if (!yaml_is_null(node))
            problems_add(reader->problems, node->mark, "'routes' must be a list: each route starts with '- name: ...'");
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        add_route(reader, node->items[i].value);
}

const struct config_route *config_route(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->route_count; i++)
        if (config->routes[i].name != NULL && strcmp(config->routes[i].name, name) == 0)
            return &config->routes[i];
    return NULL;
}

static int by_name(const void *left, const void *right)
{
    const struct config_route *const *a = left, *const *b = right;
    int order = strcmp((*a)->name, (*b)->name);
    return order != 0 ? order : *a < *b ? -1 : 1;
}

static void check_names(struct config_reader *reader)
{
    const struct config *config = reader->config;
    const struct config_route **order = mem_alloc((config->route_count + 1) * sizeof(*order));
    size_t count = 0;
    for (size_t i = 0; i < config->route_count; i++)
        if (config->routes[i].name != NULL)
            order[count++] = &config->routes[i];
    qsort(order, count, sizeof(*order), by_name);
    for (size_t i = 1, first = 0; i < count; i++) {
        if (strcmp(order[i]->name, order[first]->name) != 0)
            first = i;
        else
            problems_add(reader->problems, order[i]->mark, "route '%s' is already defined at %s:%d:%d", order[i]->name,
                         order[first]->mark.file, order[first]->mark.line, order[first]->mark.column);
    }
    free(order);
}

void config_check_routes(struct config_reader *reader)
{
    const struct config *config = reader->config;
    const char **names = mem_alloc((config->target_count + 1) * sizeof(*names));
    for (size_t i = 0; i < config->target_count; i++)
        names[i] = config->targets[i].name;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->target == NULL || config_target(config, route->target) != NULL)
            continue;
        if (strcmp(route->target, "bus") == 0)
            problems_add(reader->problems, route->to_mark, "'to: bus...' is not supported by this version");
        else
            table_report_unknown(reader->problems, route->to_mark, "target", span_of(route->target), names,
                                 config->target_count);
    }
    free(names);
    check_names(reader);
}

void config_print_routes(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)base;
    table_indent(out, indent);
    buf_puts(out, config->route_count > 0 ? "routes:\n" : "routes: []\n");
    for (size_t i = 0; i < config->route_count; i++) {
        table_indent(out, indent + 2);
        buf_puts(out, "-\n");
        table_print(config, &config_route_section, &config->routes[i], indent + 4, out);
    }
}

void config_finish_routes(struct config *config)
{
    for (size_t i = 0; i < config->route_count; i++) {
        table_finish(&config_route_section, &config->routes[i]);
        config_finish_input(&config->routes[i].input);
        free(config->routes[i].target);
        free(config->routes[i].operation);
    }
    free(config->routes);
}
