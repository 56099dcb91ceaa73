/* The admin API without its network: a request in, a reply out. The daemon hangs it on a listener, the
 * command line calls it on the store when the daemon is down: one answer for both. Then it only reads, but for the hold
 * of a target. */
#ifndef BUSBAR_API_H
#define BUSBAR_API_H

#include "config.h"
#include "store.h"

struct dispatch;
struct intake;

struct api { /* borrowed */
    const struct config *config;
    struct store *store;
    struct store_session *session;
    struct dispatch *dispatch; /* NULL: the daemon cannot be asked */
    const char *away;          /* why it cannot; NULL: it is down */
    struct intake *intake;     /* NULL likewise */
    /* What the daemon knows; NULL likewise. ready: NULL when ready, else why not. */
    const char *(*ready)(void *context);
    const char *(*bus_state)(void *context);
    const char *(*bus_reason)(void *context); /* why it is not ready, as it was last told; or NULL */
    void *context;
    int64_t started_ms;
};

struct api_request {
    const char *method, *path;
    const char *(*query)(void *context, const char *name); /* decoded; NULL when absent */
    /* Calls `each` with every name in the query. */
    void (*each_name)(void *context, void (*each)(void *found, const char *name), void *found);
    void *context;
    struct span body;
    const struct config_viewer *viewer; /* NULL: may see and do all */
};

struct api_reply {
    int status;
    const char *content_type; /* static */
    struct buf body;
};

void api_handle(const struct api *api, const struct api_request *request, struct api_reply *reply);
bool api_is_open(const char *path);                                        /* needs no token: /healthz, /readyz */
void api_problem(struct api_reply *reply, int status, const char *detail); /* RFC 9457 */

#endif
