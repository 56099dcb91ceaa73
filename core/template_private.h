/* A template is a list of parts. A part is literal text or one placeholder whose word was looked up while
 * compiling: a capture is a number, a path a list of steps, a default a ready JSON value. (Inside the template room.)
 */
#ifndef BUSBAR_TEMPLATE_PRIVATE_H
#define BUSBAR_TEMPLATE_PRIVATE_H

#include "template.h"

enum part_kind {
    PART_TEXT,
    PART_CAPTURE,
    PART_PATH,
    PART_ROOT,
    PART_VALUE,
    PART_KEY,
    PART_TOPIC,
    PART_ID,
    PART_NOW,
    PART_RECEIVED,
    PART_TIME,
    PART_ASSET,
    PART_USER
};

struct step {
    char *key; /* NULL: an index */
    size_t index;
};

struct part {
    enum part_kind kind;
    char *text; /* literal text; name of the user property */
    size_t len;
    struct step *steps;
    size_t step_count, step_cap;
    size_t capture, column;
    int64_t offset_ms;
    bool optional;
    struct json_object *fallback; /* with optional; NULL: null */
    struct span source;           /* in the template's own text, for reasons: the path without `?` */
};

struct template
{
    char *text;
    struct part *parts;
    size_t count, cap;
    unsigned uses;
};

#endif
