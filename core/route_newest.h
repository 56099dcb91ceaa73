/* When the newest reading of each key of a route was measured (a part of the route room), for what comes late.
 *
 * In memory only: after a restart, a key's next reading is its newest. Undone by rollback until commit. */
#ifndef BUSBAR_ROUTE_NEWEST_H
#define BUSBAR_ROUTE_NEWEST_H

#include "buf.h"

struct route_newest;

struct route_newest *route_newest_create(void);
void route_newest_destroy(struct route_newest *newest); /* NULL is legal */
/* The newest so far, INT64_MIN when there was none; at_ms becomes it when it is newer. */
int64_t route_newest_note(struct route_newest *newest, uint32_t route, struct span key, int64_t at_ms);
void route_newest_commit(struct route_newest *newest);
void route_newest_rollback(struct route_newest *newest);

#endif
