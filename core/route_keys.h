/* The trigger states of all keys of all routes, and what else of the rules outlives a restart (a part of the
 * route room).
 *
 * Only states worth keeping have an entry: 56 bytes, the key, and a second piece of memory for what few rules
 * need (numbers, an order, a kept message). Changes are undone by rollback until commit; each key is remembered
 * once in between, as it was at the last commit. What time alone will change is in a heap by its time. One
 * thread at a time. */
#ifndef BUSBAR_ROUTE_KEYS_H
#define BUSBAR_ROUTE_KEYS_H

#include "trigger.h"

struct route_keys;

struct route_keys *route_keys_create(void);
void route_keys_destroy(struct route_keys *keys); /* NULL is legal */
/* Fills the state, all zero when there is none. words are the caller's, word_count of them; kept is borrowed
 * until the key is put or the journal closed. false: the key has no state. */
bool route_keys_get(const struct route_keys *keys, uint32_t route, struct span key, struct trigger_state *state);
/* due_ms: when time alone changes it; INT64_MAX: never. */
void route_keys_put(struct route_keys *keys, uint32_t route, struct span key, const struct trigger_state *state,
                    int64_t due_ms);
/* The key that is due first, at now_ms or before. borrowed until it is put. false: none */
bool route_keys_next_due(const struct route_keys *keys, int64_t now_ms, uint32_t *route, struct span *key);
int64_t route_keys_due(const struct route_keys *keys); /* of the first; INT64_MAX: none */
/* Keys that were put since the last commit or rollback; words as in get. */
size_t route_keys_changed(const struct route_keys *keys);
void route_keys_get_changed(const struct route_keys *keys, size_t i, uint32_t *route, struct span *key);
void route_keys_commit(struct route_keys *keys);
void route_keys_rollback(struct route_keys *keys);
size_t route_keys_count(const struct route_keys *keys); /* states that are not initial */
/* Each key with a state, in no order. */
void route_keys_each(const struct route_keys *keys, void (*each)(void *context, uint32_t route, struct span key),
                     void *context);

#endif
