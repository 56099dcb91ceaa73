/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

#include "json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 12
#define CELL_MAX 60

/* What stands in a cell: control characters never reach the terminal. */
static void cell_text(struct json_object *item, const char *pointer, struct buf *out)
{
    struct json_object *value = json_pointer(item, pointer, NULL);
    if (value == NULL)
        buf_puts(out, "-");
    else if (!json_to_text(value, out))
        json_print(value, out);
    if (out->len > CELL_MAX) {
        out->len = CELL_MAX - 3;
        while (out->len > 0 && ((unsigned char)out->data[out->len] & 0xc0) == 0x80)
            out->len--;
        out->data[out->len] = '\0';
        buf_puts(out, "...");
    }
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->data[i] < 0x20 || out->data[i] == 0x7f)
            out->data[i] = ' ';
}

static size_t width_of(const struct buf *text)
{
    size_t width = 0;
    for (size_t i = 0; i < text->len; i++)
        width += ((unsigned char)text->data[i] & 0xc0) != 0x80;
    return width;
}

static void pad(size_t width, size_t to)
{
    for (; width < to; width++)
        putchar(' ');
}

void listing_print(struct json_object *items, const struct listing_column *columns, size_t count, const char *empty)
{
    size_t widths[COLUMNS_MAX] = {0};
    size_t rows = json_object_is_type(items, json_type_array) ? json_object_array_length(items) : 0;
    if (rows == 0) {
        puts(empty);
        return;
    }
    struct buf *cells = mem_alloc(rows * count * sizeof(*cells));
    for (size_t c = 0; c < count; c++) {
        widths[c] = strlen(columns[c].title);
        for (size_t r = 0; r < rows; r++) {
            struct buf *cell = &cells[r * count + c];
            cell_text(json_object_array_get_idx(items, r), columns[c].pointer, cell);
            size_t width = width_of(cell);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t c = 0; c < count; c++) {
        fputs(columns[c].title, stdout);
        pad(strlen(columns[c].title), c + 1 < count ? widths[c] + 2 : 0);
    }
    putchar('\n');
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < count; c++) {
            struct buf *cell = &cells[r * count + c];
            fputs(cell->data, stdout);
            pad(width_of(cell), c + 1 < count ? widths[c] + 2 : 0);
            buf_finish(cell);
        }
        putchar('\n');
    }
    free(cells);
}

void listing_print_json(const struct buf *text)
{
    fwrite(buf_span(text).data, 1, text->len, stdout);
    putchar('\n');
}
