/* Small conveniences over json-c, whose type travels by name through our headers (the one exception
 * to "a third-party type stays in its file": JSON is what every room speaks). */
#ifndef BUSBAR_JSON_H
#define BUSBAR_JSON_H

#include "buf.h"

struct json_object;

#define JSON_DEPTH_MAX 64

/* NULL, or why this is no JSON text (RFC 8259, nothing more) or one that could not be kept as it is: nested deeper than
 * JSON_DEPTH_MAX, a whole number beyond 64 bits, half of a surrogate pair, a NUL in a name. static */
const char *json_fault(struct span text);
/* NULL when json_fault has something against it (error: static or NULL pointer passed). Numbers keep their text. JSON
 * null gives NULL with *is_null true. gives */
struct json_object *json_parse(struct span text, bool *is_null, const char **error);
/* Appends minified text. NULL is null. */
void json_print(const struct json_object *value, struct buf *out);
/* RFC 6901. borrows. found tells null from absent; may be NULL. */
struct json_object *json_pointer(struct json_object *root, const char *pointer, bool *found);
struct json_object *json_get(struct json_object *object, const char *key); /* NULL when absent, null or no object */
const char *json_get_text(struct json_object *object, const char *key);    /* strings only; NULL */
/* A number, or text that is wholly a number. */
bool json_to_double(struct json_object *value, double *out);
/* A scalar as text: strings as they are, numbers by their text, true, false, null. false: object or array. */
bool json_to_text(struct json_object *value, struct buf *out);
struct json_object *json_text(struct span text); /* gives a string; bad UTF-8 becomes U+FFFD */
void json_put_text(struct json_object *object, const char *key, const char *value); /* the same; NULL value: null */
void json_put_time(struct json_object *object, const char *key, int64_t wall_ms);   /* 0: null */
void json_put_int(struct json_object *object, const char *key, int64_t value);
void json_free(struct json_object **value); /* puts; for cleanup */
#define cleanup_json __attribute__((cleanup(json_free)))

#endif
