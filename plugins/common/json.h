/* JSON by json-c for the plugins of this tree: parsing, looking, printing into the memory of a job. Text that is
 * handed out lives as long as the job. An author elsewhere needs none of it: <busbar/plugin.h> is all. */
#ifndef PLUGINS_COMMON_JSON_H
#define PLUGINS_COMMON_JSON_H

#include <busbar/plugin.h>

struct json_object;
struct json_tokener;

#define PL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct json_object *pl_parse(struct bb_str text);    /* NULL when it is not one JSON text, or null. gives */
struct json_object *pl_parse_text(const char *text); /* the same; NULL: NULL. gives */
struct json_tokener *pl_parser(int depth);           /* for many texts; freed by json_tokener_free */
struct json_object *pl_parse_with(struct json_tokener *parser, struct bb_str text); /* gives */
void pl_put(struct json_object **value);                                            /* for cleanup */
#define PL_SCOPED __attribute__((cleanup(pl_put)))

struct json_object *pl_at(struct json_object *root, const char *pointer);    /* borrows; NULL: absent or null */
struct json_object *pl_member(struct json_object *object, const char *name); /* the same, by name */

/* Minified, NUL-terminated. */
struct bb_str pl_print(const struct bb_host *host, struct bb_job *job, struct json_object *value);
/* A NUL-terminated copy. */
const char *pl_text(const struct bb_host *host, struct bb_job *job, struct bb_str text);
/* A copy of a string that is not empty and holds no NUL; else NULL. */
const char *pl_text_of(const struct bb_host *host, struct bb_job *job, struct json_object *value);
const char *pl_text_at(const struct bb_host *host, struct bb_job *job, struct json_object *root, const char *pointer);

int pl_characters(struct json_object *text);                      /* code points */
bool pl_matches(const char *text, size_t max, const char *extra); /* 1..max of A-Z a-z 0-9 and extra */
/* The word nearest to what was written, or NULL. */
const char *pl_nearest(const char *word, const char *const *words, size_t count);
/* RFC 3339 with an offset. */
bool pl_read_time(const char *text, int64_t *ms);
const char *pl_print_time(const struct bb_host *host, struct bb_job *job, int64_t ms); /* in UTC */

#endif
