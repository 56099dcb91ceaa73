/* SPDX-License-Identifier: Apache-2.0 */
#include "problems.h"

#include <stdlib.h>
#include <string.h>

static void add(struct problems *problems, struct mark mark, bool warning, const char *format, va_list args)
{
    problems->items = mem_grow(problems->items, &problems->cap, problems->count + 1, sizeof(problems->items[0]));
    struct buf text = {0};
    buf_vprintf(&text, format, args);
    problems->items[problems->count++] = (struct problem){mark, warning, buf_steal(&text)};
    if (!warning)
        problems->errors++;
}

void problems_add(struct problems *problems, struct mark mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(problems, mark, false, format, args);
    va_end(args);
}

void problems_warn(struct problems *problems, struct mark mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(problems, mark, true, format, args);
    va_end(args);
}

static int by_place(const void *left, const void *right)
{
    const struct problem *const *a = left, *const *b = right;
    int files = strcmp((*a)->mark.file != NULL ? (*a)->mark.file : "", (*b)->mark.file != NULL ? (*b)->mark.file : "");
    if (files != 0)
        return files;
    if ((*a)->mark.line != (*b)->mark.line)
        return (*a)->mark.line < (*b)->mark.line ? -1 : 1;
    if ((*a)->mark.column != (*b)->mark.column)
        return (*a)->mark.column < (*b)->mark.column ? -1 : 1;
    return *a < *b ? -1 : 1;
}

void problems_print(const struct problems *problems, struct buf *out)
{
    const struct problem **order = mem_alloc(problems->count * sizeof(*order) + 1);
    for (size_t i = 0; i < problems->count; i++)
        order[i] = &problems->items[i];
    qsort(order, problems->count, sizeof(*order), by_place);
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *p = order[i];
        if (p->mark.file != NULL)
            buf_printf(out, "%s:", p->mark.file);
        if (p->mark.line > 0)
            buf_printf(out, "%d:%d:", p->mark.line, p->mark.column);
        buf_printf(out, "%s%s: %s\n", p->mark.file != NULL ? " " : "", p->warning ? "warning" : "error", p->text);
    }
    free(order);
}

void problems_finish(struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        free(problems->items[i].text);
    free(problems->items);
    *problems = (struct problems){0};
}

#define WORD_MAX 64

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein (adjacent swap counts one), three rows. */
static size_t distance(struct span a, struct span b)
{
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *upup = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t cost = a.data[i - 1] == b.data[j - 1] ? 0 : 1;
            row[j] = least(least(up[j] + 1, row[j - 1] + 1), up[j - 1] + cost);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1])
                row[j] = least(row[j], upup[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

const char *problems_nearest(struct span word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    if (word.len == 0 || word.len > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct span known = span_of(words[i]);
        if (known.len == 0 || known.len > WORD_MAX)
            continue;
        size_t d = distance(word, known);
        size_t longer = word.len > known.len ? word.len : known.len;
        if (d < best_distance && d * 3 <= longer + 1) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
