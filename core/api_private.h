/* Shared by the files of the API: one request on its way through a handler. */
#ifndef BUSBAR_API_PRIVATE_H
#define BUSBAR_API_PRIVATE_H

#include "api.h"

struct json_object;

struct api_call {
    const struct api *api;
    const struct api_request *request;
    struct api_reply *reply;
    const char *argument; /* the path's {id}, or NULL */
};

void api_reply_json(struct api_call *call, struct json_object *value); /* takes */
void api_reply_list(struct api_call *call, struct json_object *items); /* takes; all there is, in one page */
/* {} for 0, else the problem: 404 when it begins with "no such". error: by address, so that it is read after the call
 * that sets it, which may stand beside it in the arguments. */
void api_reply_done(struct api_call *call, int rc, const char *const *error);
void api_reply_store_failed(struct api_call *call);
const char *api_query(const struct api_call *call, const char *name); /* NULL when absent */

/* FV-09a: what is not the viewer's does not exist for them. */
bool api_may_see(const struct api_call *call, const char *target);
const char *api_scope(const struct api_call *call);   /* for the store's filters; NULL: all */
const char *api_why_not_ready(const struct api *api); /* NULL: it is */
bool api_need_daemon(struct api_call *call);          /* false: it is down, and the reply says so */
/* false: the reply says what is wrong. */
bool api_read_limit(struct api_call *call, size_t *limit);
bool api_read_cursor(struct api_call *call, int64_t *cursor); /* 0: none */

/* api_status.c */
void api_get_status(struct api_call *call);
bool api_is_configured(const struct api *api, const char *target); /* or it is the bus */

/* api_metrics.c */
void api_get_metrics(struct api_call *call);

/* api_routes.c */
void api_get_routes(struct api_call *call);
void api_post_fire(struct api_call *call);
void api_get_keys(struct api_call *call);
void api_get_shelves(struct api_call *call);
void api_post_shelve(struct api_call *call);

/* api_orders.c */
void api_get_orders(struct api_call *call);
void api_get_order(struct api_call *call);

/* api_audit.c */
void api_get_audit(struct api_call *call);
void api_get_order_history(struct api_call *call);
struct json_object *api_history(struct api_call *call, const char *delivery_id); /* gives an array, newest first */

#endif
