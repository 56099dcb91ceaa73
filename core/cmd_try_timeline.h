/* What a replay decided, as a picture: SVG, a row for each route, time to the right. */
#ifndef BUSBAR_CMD_TRY_TIMELINE_H
#define BUSBAR_CMD_TRY_TIMELINE_H

#include "message.h"

struct timeline;

struct timeline *timeline_create(void);
void timeline_destroy(struct timeline *timeline); /* NULL is legal */
void timeline_add(struct timeline *timeline, size_t route, enum outcome outcome, int64_t at_ms);
/* Appends the picture. names: of the routes, count of them */
void timeline_print(const struct timeline *timeline, const char *const *names, size_t count, struct buf *out);

#endif
