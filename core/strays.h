/* Deliveries that are owed to a target which the configuration does not have (any more): they wait until it has it
 * again, or until someone discards them. */
#ifndef BUSBAR_STRAYS_H
#define BUSBAR_STRAYS_H

#include "buf.h"

struct strays;
struct json_object;

struct strays *strays_create(void);
void strays_destroy(struct strays *strays); /* NULL is legal */
/* Open ones more, or fewer. */
void strays_add(struct strays *strays, const char *target, int64_t count);
const char *strays_target(const struct strays *strays, size_t i); /* NULL: no more */
int64_t strays_count(const struct strays *strays, size_t i);
struct json_object *strays_describe(const struct strays *strays); /* gives; those for which something waits */

#endif
