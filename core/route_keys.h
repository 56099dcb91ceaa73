/* The trigger states of all keys of all routes (a part of the route room).
 *
 * Only states worth keeping have an entry. Changes are undone by rollback until commit; each key is
 * remembered once in between, as it was at the last commit. One thread at a time. */
#ifndef BUSBAR_ROUTE_KEYS_H
#define BUSBAR_ROUTE_KEYS_H

#include "trigger.h"

struct route_keys;

struct route_keys *route_keys_create(void);
void route_keys_destroy(struct route_keys *keys);                                                    /* NULL is legal */
struct trigger_state route_keys_get(const struct route_keys *keys, uint32_t route, struct span key); /* else initial */
void route_keys_put(struct route_keys *keys, uint32_t route, struct span key, const struct trigger_state *state);
void route_keys_commit(struct route_keys *keys);
void route_keys_rollback(struct route_keys *keys);
size_t route_keys_count(const struct route_keys *keys); /* states that are not initial */

#endif
