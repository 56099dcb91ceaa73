/* Tables for people: columns as wide as their widest cell, on a terminal and in a pipe alike. */
#ifndef BUSBAR_LISTING_H
#define BUSBAR_LISTING_H

#include "buf.h"

struct json_object;

struct listing_column {
    const char *title;
    const char *pointer; /* JSON Pointer into an item */
};

/* Prints the items (a JSON array) to stdout. empty: what to say when there are none. */
void listing_print(struct json_object *items, const struct listing_column *columns, size_t count, const char *empty);
/* Prints a reply as it is, for --json. */
void listing_print_json(const struct buf *text);

#endif
