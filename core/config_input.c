/* SPDX-License-Identifier: Apache-2.0 */

/* What a route says about its payloads: `format:` and what goes with it. */
#include "config_table.h"

#include <stdlib.h>
#include <string.h>

static const struct choice kinds[] = {
    {"json", FORMAT_JSON}, {"number", FORMAT_NUMBER}, {"text", FORMAT_TEXT}, {"csv", FORMAT_CSV}, {NULL, 0}};
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

void config_print_format(const struct config *config, const void *base, int indent, struct buf *out)
{
    const struct config_input *input = &((const struct config_route *)base)->input;
    (void)config;
    if (input->format_node == NULL)
        return;
    table_indent(out, indent);
    buf_puts(out, "format: ");
    table_print_node(input->format_node, out);
    buf_putc(out, '\n');
}

void config_finish_input(struct config_input *input)
{
    for (size_t i = 0; i < input->format.column_count; i++)
        free(input->format.columns[i]);
    free(input->format.columns);
    free(input->separator);
}
