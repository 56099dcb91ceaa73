/* One message while its routes evaluate it (inside the route room): its payload, parsed when the first rule
 * asks for it and once for all that read it alike, and what of it the rule at hand sees. */
#ifndef BUSBAR_ROUTE_READING_H
#define BUSBAR_ROUTE_READING_H

#include "digest.h"
#include "route.h"
#include "route_rule.h"

struct reading {
    struct route_set *set;
    struct buf *reason; /* the set's: why something cannot be had */
    const struct message *message;
    struct template_scope scope;
    struct topic_captures captures;
    const struct format *format; /* what the payload was read as; NULL: as it comes */
    bool parsed;
    struct buf format_error;
    struct json_object *payload; /* held: what the rule at hand sees */
    struct json_object *whole;   /* held: the payload, while one reading of it is seen */
    bool whole_null, in_part;
    struct json_object *jq_payload; /* held: the payload, or its text */
    struct json_object *value;      /* held: of the rule at hand */
    struct template_asset asset;
    struct route_decision decision;
    int64_t now_ms; /* for the gates */
    route_decide *decide;
    void *context;
    char id[UUID_TEXT_MAX];
};

void reading_begin(struct reading *r, const struct message *message);
void reading_end(struct reading *r);
/* The rule at hand reads payloads so (borrowed; NULL: as they come). */
void reading_use_format(struct reading *r, const struct format *format);
/* Fills scope.payload. */
void reading_parse(struct reading *r);
/* What jq sees: a payload that is no JSON is text. NULL is JSON null, or neither. borrowed */
struct json_object *reading_jq_payload(struct reading *r);
/* The readings in the payload, an array. NULL: why there are none. gives */
struct json_object *reading_parts(struct reading *r, const struct rule *rule);
void reading_see_part(struct reading *r, struct json_object *part); /* borrowed by then */
void reading_see_whole(struct reading *r);
struct span reading_raw(const struct reading *r); /* the payload's own text, trimmed */
/* The payload's own text as a number, or with a format its value. */
bool reading_number(struct reading *r, double *number);
/* It is what the rule's format says; else why not. True where none is said. */
bool reading_fits_format(struct reading *r);

#endif
