/* SPDX-License-Identifier: Apache-2.0 */

/* `map:` of a target: what its words mean at this site. Three lists, each from a source word to one of a closed list of
 * common words, in the order in which they stand: the first line with a common word is what is sent for it. */
#include "config_table.h"

#include <stdlib.h>

#define LINES_MAX 1000

static void add_line(struct problems *problems, struct config_map *map, enum word_list list,
                     const struct yaml_pair *pair)
{
    size_t count;
    const char *const *words = lifecycle_words(list, &count);
    const struct yaml_node *key = pair->key, *value = pair->value;
    char shown[TABLE_SHOWN_MAX];
    if (key->text.len == 0) {
        problems_add(problems, key->mark, "'map': a word of the target's cannot be empty");
        return;
    }
    if (value->kind != YAML_SCALAR || yaml_is_null(value)) {
        problems_add(problems, value->mark, "'map': '%s' must be one word: what it means",
                     table_shown(key->text, shown));
        return;
    }
    cleanup_text char *common = span_dup(value->text);
    if (lifecycle_word(list, common) == NULL) {
        cleanup_text char *what = mem_printf("common %s", lifecycle_list_name(list));
        table_report_unknown(problems, value->mark, what, value->text, words, count);
        return;
    }
    for (size_t i = 0; i < map->count; i++)
        if (span_is(key->text, map->lines[i].source)) { /* a case says anew what its file's head said */
            map->lines[i].common = lifecycle_word(list, common);
            return;
        }
    size_t cap = map->count;
    map->lines = mem_grow(map->lines, &cap, map->count + 1, sizeof(map->lines[0]));
    map->lines[map->count++] = (struct config_map_line){span_dup(key->text), lifecycle_word(list, common)};
}

static enum word_list find_list(struct span name)
{
    int list = 0;
    while (list < WORD_LISTS && !span_is(name, lifecycle_list_name((enum word_list)list)))
        list++;
    return (enum word_list)list;
}

static void read_list(struct problems *problems, const struct yaml_pair *pair, struct config_target *target)
{
    enum word_list list = find_list(pair->key->text);
    if (list == WORD_LISTS) {
        const char *names[WORD_LISTS];
        for (size_t i = 0; i < WORD_LISTS; i++)
            names[i] = lifecycle_list_name((enum word_list)i);
        table_report_unknown(problems, pair->key->mark, "list of 'map'", pair->key->text, names, WORD_LISTS);
    } else if (pair->value->kind != YAML_MAPPING && !yaml_is_null(pair->value)) {
        problems_add(problems, pair->value->mark, "'%s' of 'map' must be a map from the target's word to a common one",
                     lifecycle_list_name(list));
    } else if (pair->value->count > LINES_MAX) {
        problems_add(problems, pair->value->mark, "more than %d lines in 'map'", LINES_MAX);
    } else {
        for (size_t i = 0; i < pair->value->count; i++)
            add_line(problems, &target->maps[list], list, &pair->value->items[i]);
    }
}

void config_read_map(struct problems *problems, const struct yaml_node *node, struct config_target *target)
{
    if (yaml_is_null(node))
        return;
    if (node->kind != YAML_MAPPING) {
        problems_add(problems, node->mark, "'map' must be a map such as {status: {WAPPR: triaged}}");
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        read_list(problems, &node->items[i], target);
}

void config_finish_map(struct config_target *target)
{
    for (size_t list = 0; list < WORD_LISTS; list++) {
        for (size_t i = 0; i < target->maps[list].count; i++)
            free(target->maps[list].lines[i].source);
        free(target->maps[list].lines);
        target->maps[list] = (struct config_map){0};
    }
}

/* ---- the row in the target's table ------------------------------------------------*/

void config_read_map_row(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    config_read_map(reader->problems, node, base);
}

void config_print_map_row(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    const struct config_target *target = base;
    const char *before = "map: {";
    for (size_t list = 0; list < WORD_LISTS; list++) {
        const struct config_map *map = &target->maps[list];
        if (map->count == 0)
            continue;
        if (*before == 'm')
            table_indent(out, indent);
        buf_printf(out, "%s%s: {", before, lifecycle_list_name((enum word_list)list));
        for (size_t i = 0; i < map->count; i++) {
            buf_puts(out, i > 0 ? ", " : "");
            buf_put_json(out, span_of(map->lines[i].source)); /* quoted: 5 or null is a word too */
            buf_printf(out, ": %s", map->lines[i].common);
        }
        buf_putc(out, '}');
        before = ", ";
    }
    buf_puts(out, *before == 'm' ? "" : "}\n");
}
