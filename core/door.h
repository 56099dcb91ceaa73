/* The door for webhooks: POST /hooks/<target>, nothing else.
 *
 * Before the 200 the core checks path, size, signature, JSON, and that it was not there before; then
 * the raw bytes are stored, then 200 (settled 5, 21). Decoding comes later, as a delivery of its own.
 * Requests of one turn share the turn's commit. Reactor thread only. */
#ifndef BUSBAR_DOOR_H
#define BUSBAR_DOOR_H

#include "config.h"
#include "store.h"

struct dispatch;
struct door;
struct target;
struct web_request;

struct door_options { /* borrowed */
    const struct config *config;
    struct target *const *targets;
    size_t target_count;
    struct store *store;
    struct store_session *session;
    struct dispatch *dispatch;
};

struct door *door_create(const struct door_options *options);
void door_destroy(struct door *door);
void door_handle(void *door, struct web_request *request); /* a web_handler */
void door_refused(void *door, int status);                 /* counts what the server answered itself */
bool door_has_work(const struct door *door);
int door_store(struct door *door, int64_t now_ms, int64_t wall_ms); /* inside the turn's transaction */
void door_go(struct door *door, bool stored);                       /* answers; 503 when it was not stored */

#endif
