/* What a payload becomes before rules see it: `format:` of a route. Each gives one JSON value, numbers keep
 * their text. Pure; any thread. */
#ifndef BUSBAR_FORMAT_H
#define BUSBAR_FORMAT_H

#include "buf.h"

struct json_object;

#define FORMAT_FIELDS_MAX 1024 /* of a CSV line */

enum format_kind { FORMAT_JSON = 1, FORMAT_NUMBER, FORMAT_TEXT, FORMAT_CSV, FORMAT_SPARKPLUG };

struct format {
    enum format_kind kind;
    char **columns; /* CSV: a NULL is a field that nobody wants; none: the line becomes an array */
    size_t column_count;
    char separator, decimal; /* 0: ',' and '.' */
};

/* NULL with *is_null: JSON null. NULL without: why not is appended to reason, as a clause ("it has 2 fields ...").
 * Sparkplug has a memory and is not read here (sparkplug.h). gives */
struct json_object *format_parse(const struct format *format, struct span payload, bool *is_null, struct buf *reason);
const char *format_name(enum format_kind kind); /* for sentences: "CSV" */

/* ---- of the formats' own files */
struct json_object *format_parse_csv(const struct format *format, struct span payload, struct buf *reason);
/* The fields of one line, without its end. 1: a field, its text in *field (cleared before); 0: no more; -1: reason */
struct csv_line {
    struct span left; /* data NULL: all was taken */
    char separator;
};
int csv_next(struct csv_line *line, struct buf *field, bool *quoted, struct buf *reason);
/* A number as JSON, its text kept where JSON has that text; NULL when it is none. gives */
struct json_object *format_number(struct span text, char decimal);

#endif
