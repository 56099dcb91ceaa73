/* SPDX-License-Identifier: Apache-2.0 */
#include "assets.h"

#include "digest.h"
#include "format.h"
#include "yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 64
#define FILE_BYTES_MAX ((int64_t)256 << 20)
#define SAID_MAX 10 /* problems of one file */

struct assets {
    struct arena *arena; /* all text */
    const char *columns[COLUMNS_MAX + 1];
    size_t column_count;
    struct span *cells; /* rows of 1 + column_count: the tag first */
    size_t count, cap;
    uint32_t *table; /* row + 1; 0: free. Twice as large as there are rows */
    size_t table_size;
};

struct loader {
    struct assets *assets;
    struct mark mark;
    struct problems *problems;
    size_t said;
};

static void say(struct loader *l, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(struct loader *l, int line, const char *format, ...)
{
    va_list args;
    cleanup_buf struct buf text = {0};
    if (l->said++ >= SAID_MAX)
        return;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    problems_add(l->problems, (struct mark){l->mark.file, line, 1}, "%s", buf_span(&text).data);
}

/* ---- rows */

static size_t width(const struct assets *assets)
{
    return 1 + assets->column_count;
}

static struct span *add_row(struct assets *assets)
{
    assets->cells =
        mem_grow(assets->cells, &assets->cap, (assets->count + 1) * width(assets), sizeof(assets->cells[0]));
    struct span *row = &assets->cells[assets->count++ * width(assets)];
    for (size_t i = 0; i < width(assets); i++)
        row[i] = SPAN("");
    return row;
}

static struct span keep(struct assets *assets, struct span text)
{
    return (struct span){arena_dup(assets->arena, text.data != NULL ? text.data : "", text.len), text.len};
}

static void add_column(struct loader *l, int line, struct span name)
{
    struct assets *assets = l->assets;
    for (size_t i = 0; i < assets->column_count; i++)
        if (span_is(name, assets->columns[i])) {
            say(l, line, "column '%s' stands twice", assets->columns[i]);
            return;
        }
    if (name.len == 0 || memchr(name.data, '}', name.len) != NULL || memchr(name.data, '?', name.len) != NULL)
        say(l, line, "a column needs a name without '?' and '}'");
    else if (assets->column_count == COLUMNS_MAX)
        say(l, line, "more than %d columns", COLUMNS_MAX);
    else
        assets->columns[assets->column_count++] = keep(assets, name).data;
}

static size_t slot_of(const struct assets *assets, struct span tag)
{
    size_t at = (size_t)digest_fast(tag, 0) & (assets->table_size - 1);
    while (assets->table[at] != 0) {
        struct span other = assets->cells[(assets->table[at] - 1) * width(assets)];
        if (other.len == tag.len && memcmp(other.data, tag.data, tag.len) == 0)
            break;
        at = (at + 1) & (assets->table_size - 1);
    }
    return at;
}

static void index_rows(struct loader *l, const int *lines)
{
    struct assets *assets = l->assets;
    assets->table_size = 16;
    while (assets->table_size < 2 * assets->count)
        assets->table_size *= 2;
    assets->table = mem_alloc(assets->table_size * sizeof(assets->table[0]));
    for (size_t i = 0; i < assets->count; i++) {
        struct span tag = assets->cells[i * width(assets)];
        size_t at = slot_of(assets, tag);
        if (assets->table[at] != 0)
            say(l, lines[i], "tag '%.*s' stands twice, first in line %d", (int)(tag.len < 64 ? tag.len : 64), tag.data,
                lines[assets->table[at] - 1]);
        else
            assets->table[at] = (uint32_t)(i + 1);
    }
}

/* ---- CSV */

static void read_header(struct loader *l, struct csv_line *line)
{
    cleanup_buf struct buf field = {0}, reason = {0};
    bool quoted;
    int next;
    for (size_t i = 0; (next = csv_next(line, &field, &quoted, &reason)) > 0; i++)
        if (i > 0)
            add_column(l, 1, buf_span(&field));
    if (next < 0)
        say(l, 1, "%s", reason.data);
    else if (l->assets->column_count == 0 && l->said == 0)
        say(l, 1, "the first line names the columns: the tag's, then one for each target, such as tag,mw");
}

static void read_row(struct loader *l, int number, struct csv_line *line)
{
    cleanup_buf struct buf field = {0}, reason = {0};
    struct assets *assets = l->assets;
    struct span *row = add_row(assets);
    bool quoted;
    size_t count = 0;
    int next;
    for (; (next = csv_next(line, &field, &quoted, &reason)) > 0; count++)
        if (count < width(assets))
            row[count] = keep(assets, buf_span(&field));
    if (next < 0)
        say(l, number, "%s", reason.data);
    else if (count != width(assets))
        say(l, number, "it has %zu fields where the first line has %zu", count, width(assets));
    else if (row[0].len == 0)
        say(l, number, "it has no tag");
}

static void read_csv(struct loader *l, struct span text)
{
    int *lines = NULL;
    size_t lines_cap = 0;
    char separator = ',';
    if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0) /* as Excel writes it */
        text = (struct span){text.data + 3, text.len - 3};
    for (int number = 1; text.len > 0; number++) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.data) : text.len;
        struct csv_line line = {{text.data, len > 0 && text.data[len - 1] == '\r' ? len - 1 : len}, separator};
        if (number == 1) {
            separator = memchr(line.left.data, ',', line.left.len) == NULL ? ';' : ',';
            line.separator = separator;
            read_header(l, &line);
            if (l->said > 0)
                break;
        } else if (line.left.len > 0) {
            lines = mem_grow(lines, &lines_cap, l->assets->count + 1, sizeof(lines[0]));
            lines[l->assets->count] = number;
            read_row(l, number, &line);
        }
        len += end != NULL;
        text = (struct span){text.data + len, text.len - len};
    }
    if (l->said == 0)
        index_rows(l, lines);
    free(lines);
}

/* ---- YAML */

static void read_yaml_columns(struct loader *l, const struct yaml_node *root)
{
    for (size_t i = 0; i < root->count; i++) {
        const struct yaml_node *value = root->items[i].value;
        if (value->kind != YAML_MAPPING) {
            say(l, value->mark.line, "a tag needs a mapping of identifiers, such as {mw: equipment-7}");
            continue;
        }
        for (size_t j = 0; j < value->count; j++) {
            struct span name = value->items[j].key->text;
            size_t k = 0;
            while (k < l->assets->column_count && !span_is(name, l->assets->columns[k]))
                k++;
            if (k == l->assets->column_count)
                add_column(l, value->items[j].key->mark.line, name);
        }
    }
}

static void read_yaml(struct loader *l, struct span text)
{
    struct assets *assets = l->assets;
    size_t errors = l->problems->errors;
    struct yaml_tree *tree = yaml_read_text(text, l->mark.file, l->problems);
    const struct yaml_node *root = tree != NULL ? yaml_root(tree) : NULL;
    if (root == NULL || root->kind != YAML_MAPPING || root->count == 0) {
        if (l->problems->errors == errors)
            say(l, 1, "the asset map must be a mapping: tag: {name: identifier}");
        l->said++;
        yaml_destroy(tree);
        return;
    }
    read_yaml_columns(l, root);
    int *lines = mem_alloc(root->count * sizeof(lines[0]));
    for (size_t i = 0; l->said == 0 && i < root->count; i++) {
        struct span *row = add_row(assets);
        lines[i] = root->items[i].key->mark.line;
        row[0] = keep(assets, root->items[i].key->text);
        for (size_t k = 0; k < assets->column_count; k++) {
            const struct yaml_node *cell = yaml_get(root->items[i].value, assets->columns[k]);
            if (cell != NULL && cell->kind != YAML_SCALAR)
                say(l, cell->mark.line, "an identifier is a single value");
            else if (cell != NULL && !yaml_is_null(cell))
                row[1 + k] = keep(assets, cell->text);
        }
    }
    if (l->said == 0)
        index_rows(l, lines);
    free(lines);
    yaml_destroy(tree);
}

/* ---- the face */

static bool read_file(struct loader *l, const char *path, struct buf *text)
{
    char piece[65536];
    size_t got;
    FILE *file = fopen(path, "r");
    while (file != NULL && (got = fread(piece, 1, sizeof(piece), file)) > 0 && (int64_t)text->len <= FILE_BYTES_MAX)
        buf_append(text, piece, got);
    bool good = file != NULL && ferror(file) == 0;
    if (!good)
        say(l, 1, "the asset map cannot be read: %s", strerror(errno));
    else if ((int64_t)text->len > FILE_BYTES_MAX)
        say(l, 1, "the asset map is larger than 256 MiB");
    else if (text->len == 0)
        say(l, 1, "the asset map is empty");
    else if (!span_is_utf8(buf_span(text)) || memchr(text->data, '\0', text->len) != NULL)
        say(l, 1, "the asset map is not UTF-8 text");
    if (file != NULL)
        fclose(file);
    return l->said == 0;
}

static bool is_yaml(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

struct assets *assets_load(const char *path, struct mark mark, struct problems *problems)
{
    cleanup_buf struct buf text = {0};
    struct loader l = {.assets = mem_alloc(sizeof(*l.assets)), .mark = mark, .problems = problems};
    l.assets->arena = arena_create();
    l.mark.file = path;
    if (read_file(&l, path, &text))
        (is_yaml(path) ? read_yaml : read_csv)(&l, buf_span(&text));
    if (l.said == 0)
        return l.assets;
    if (l.said > SAID_MAX)
        problems_add(problems, mark, "the asset map '%s' has %zu problems; here are the first %d", path, l.said,
                     SAID_MAX);
    assets_destroy(l.assets);
    return NULL;
}

void assets_destroy(struct assets *assets)
{
    if (assets == NULL)
        return;
    arena_destroy(assets->arena);
    free(assets->cells);
    free(assets->table);
    free(assets);
}

size_t assets_count(const struct assets *assets)
{
    return assets->count;
}

const char *const *assets_columns(const struct assets *assets)
{
    return assets->columns;
}

const struct span *assets_find(const struct assets *assets, struct span tag)
{
    size_t at = slot_of(assets, tag);
    return assets->table[at] != 0 ? &assets->cells[(assets->table[at] - 1) * width(assets) + 1] : NULL;
}
