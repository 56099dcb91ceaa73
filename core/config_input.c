/* SPDX-License-Identifier: Apache-2.0 */

/* What a route says about its payloads: `format:` and what goes with it. */
#include "config_table.h"

#include <stdlib.h>
#include <string.h>

static const struct choice kinds[] = {{"json", FORMAT_JSON}, {"number", FORMAT_NUMBER},       {"text", FORMAT_TEXT},
                                      {"csv", FORMAT_CSV},   {"sparkplug", FORMAT_SPARKPLUG}, {NULL, 0}};
static const struct choice decimals[] = {{".", '.'}, {",", ','}, {NULL, 0}};

static void read_columns(struct config_reader *reader, const struct yaml_node *node, void *base);

#define AT(member) offsetof(struct config_input, member)
static const struct setting format_rows[] = {
    {.key = "type",
     .kind = SETTING_CHOICE,
     .offset = AT(format_kind),
     .choices = kinds,
     .flags = SETTING_REQUIRED,
     .fallback = "json"},
    {.key = "columns", .kind = SETTING_CUSTOM, .read = read_columns},
    {.key = "separator", .kind = SETTING_TEXT, .offset = AT(separator)},
    {.key = "decimal", .kind = SETTING_CHOICE, .offset = AT(decimal), .choices = decimals},
};
#undef AT
const struct section config_format_section = SECTION("format", format_rows, NULL);

static bool is_column(const struct config_input *input, struct span name)
{
    for (size_t i = 0; i < input->format.column_count; i++)
        if (input->format.columns[i] != NULL && span_is(name, input->format.columns[i]))
            return true;
    return false;
}

static void read_columns(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_input *input = base;
    char shown[TABLE_SHOWN_MAX];
    if (node->kind != YAML_SEQUENCE || node->count == 0 || node->count > FORMAT_FIELDS_MAX) {
        problems_add(reader->problems, node->mark,
                     "'columns' must be a list of names, such as [time, ~, celsius]; ~ leaves a field out");
        return;
    }
    input->format.columns = mem_alloc(node->count * sizeof(input->format.columns[0]));
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *item = node->items[i].value;
        if (item->kind != YAML_SCALAR || (item->text.len == 0 && !yaml_is_null(item)))
            problems_add(reader->problems, item->mark, "a column is a name, or ~ to leave it out");
        else if (!yaml_is_null(item) && is_column(input, item->text))
            problems_add(reader->problems, item->mark, "column '%s' stands twice", table_shown(item->text, shown));
        else if (!yaml_is_null(item))
            input->format.columns[i] = span_dup(item->text);
        input->format.column_count = i + 1;
    }
}

static void settle_format(struct config_reader *reader, struct config_input *input, const struct yaml_node *node)
{
    struct format *format = &input->format;
    static const char *const csv_only[] = {"columns", "separator"};
    format->kind = (enum format_kind)input->format_kind;
    format->decimal = (char)input->decimal;
    for (size_t i = 0; i < 2; i++) {
        const struct yaml_node *value = yaml_get(node, csv_only[i]);
        if (value != NULL && format->kind != FORMAT_CSV)
            problems_add(reader->problems, value->mark, "'%s' goes with 'type: csv' only", csv_only[i]);
    }
    const struct yaml_node *decimal = yaml_get(node, "decimal"), *separator = yaml_get(node, "separator");
    if (decimal != NULL && format->kind != FORMAT_CSV && format->kind != FORMAT_NUMBER)
        problems_add(reader->problems, decimal->mark, "'decimal' goes with 'type: csv' and 'type: number' only");
    char c = input->separator != NULL ? input->separator[0] : ',';
    if (input->separator == NULL) {
        if (format->kind == FORMAT_CSV && format->decimal == c)
            problems_add(reader->problems, decimal->mark, "with a decimal ',' the 'separator' must be another");
        return;
    }
    if (input->separator[1] != '\0' || (unsigned char)c >= 0x80 || (c != '\t' && c < ' ') || c == '"')
        problems_add(reader->problems, separator->mark, "'separator' must be one character, such as ';' or \"\\t\"");
    else if (format->decimal == c || (c >= '0' && c <= '9'))
        problems_add(reader->problems, separator->mark, "'separator' cannot be told from a number's own characters");
    format->separator = c;
}

void config_read_format(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_input *input = &((struct config_route *)base)->input;
    input->format_node = node;
    if (node->kind == YAML_MAPPING) {
        table_read(reader, &config_format_section, node, node->mark, input);
        if (yaml_get(node, "type") != NULL)
            settle_format(reader, input, node);
        return;
    }
    struct setting alone = format_rows[0]; /* format: csv */
    alone.key = "format";
    table_read_setting(reader, &alone, node, input);
    input->format.kind = (enum format_kind)input->format_kind;
}

/* ---- metric: names or patterns of a Sparkplug route */

void config_read_metric(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_input *input = &((struct config_route *)base)->input;
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    input->metric_node = node;
    input->metrics = mem_alloc((count + 1) * sizeof(input->metrics[0]));
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *item = node->kind == YAML_SEQUENCE ? node->items[i].value : node;
        if (item->kind == YAML_SCALAR && item->text.len > 0)
            input->metrics[input->metric_count++] = item->text.data;
        else
            problems_add(reader->problems, item->mark,
                         "'metric' is a name such as Temperature, a pattern such as \"Motor/*\", or a list of them");
    }
    if (count == 0)
        problems_add(reader->problems, node->mark, "'metric' is an empty list");
}

static void print_node(const char *key, const struct yaml_node *node, int indent, struct buf *out)
{
    if (node == NULL)
        return;
    table_indent(out, indent);
    buf_printf(out, "%s: ", key);
    table_print_node(node, out);
    buf_putc(out, '\n');
}

void config_print_format(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    print_node("format", ((const struct config_route *)base)->input.format_node, indent, out);
}

void config_print_metric(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    print_node("metric", ((const struct config_route *)base)->input.metric_node, indent, out);
}

/* ---- unit: {from: "[degF]", to: Cel} of a trigger's value */

struct unit_codes {
    char *from, *to;
};

static const struct setting unit_rows[] = {
    {.key = "from", .kind = SETTING_RAW, .offset = offsetof(struct unit_codes, from), .flags = SETTING_REQUIRED},
    {.key = "to", .kind = SETTING_RAW, .offset = offsetof(struct unit_codes, to), .flags = SETTING_REQUIRED},
};
const struct section config_unit_section = SECTION("unit", unit_rows, NULL);

void config_read_unit(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_input *input = &((struct config_route *)base)->input;
    struct unit_codes codes = {NULL, NULL};
    size_t errors = reader->problems->errors;
    cleanup_text char *error = NULL;
    table_read(reader, &config_unit_section, node, node->mark, &codes);
    if (reader->problems->errors == errors &&
        measure_find(span_of(codes.from), span_of(codes.to), &input->unit, &error) != 0)
        problems_add(reader->problems, node->mark, "%s", error);
    input->unit_node = node;
    free(codes.from);
    free(codes.to);
}

void config_print_unit(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    print_node("unit", ((const struct config_route *)base)->input.unit_node, indent, out);
}

/* ---- what goes with what */

/* Births, data and deaths of a node, its devices' too: all of them have to come. */
static bool takes_all_types(const char *from)
{
    cleanup_text char *copy = mem_strdup(from);
    char *rest = copy, *level;
    const char *last = "";
    for (int i = 0; (level = strsep(&rest, "/")) != NULL; i++) {
        bool wild = strcmp(level, "+") == 0 || strcmp(level, "#") == 0 || level[0] == '{';
        if ((i == 0 && strcmp(level, "spBv1.0") != 0) || (i == 2 && !wild) || i > 4)
            return false;
        last = level;
    }
    size_t len = strlen(last);
    return strcmp(last, "#") == 0 || (len > 4 && strcmp(last + len - 4, "...}") == 0);
}

void config_check_input(struct config_reader *reader, const struct config_route *route)
{
    const struct config_input *input = &route->input;
    bool sparkplug = input->format.kind == FORMAT_SPARKPLUG;
    if (sparkplug && route->from != NULL && !takes_all_types(route->from))
        problems_add(reader->problems, route->from_mark,
                     "a Sparkplug route needs births and deaths too: spBv1.0/{group}/{type}/{node}/{device...}, where "
                     "group and node may be names");
    if (input->metric_node != NULL && !sparkplug)
        problems_add(reader->problems, input->metric_node->mark, "'metric' goes with 'format: sparkplug' only");
    if (input->each != NULL && sparkplug)
        problems_add(reader->problems, input->each->mark, "with 'format: sparkplug' each metric is a reading already");
    if (input->unit_node != NULL && (route->trigger.all != NULL || route->trigger.any != NULL))
        problems_add(reader->problems, input->unit_node->mark, "'unit' is of one value: 'all' and 'any' have several");
    if (input->late_ms >= 0 && (input->time == NULL || !route->trigger.given))
        problems_add(reader->problems, route->mark, "'late' needs 'time' and a trigger");
}

void config_finish_input(struct config_input *input)
{
    for (size_t i = 0; i < input->format.column_count; i++)
        free(input->format.columns[i]);
    free(input->format.columns);
    free(input->separator);
    free(input->metrics);
}
