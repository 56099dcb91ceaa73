/* The intake room: every message of the bus is judged by the rules, stored and only then acknowledged.
 *
 * intake_message and intake_flush run on Paho's receive thread, under Paho's lock: they never wait for
 * the reactor and never call Paho. Lock order: Paho's lock, the rules' mutex, the store's writer. */
#ifndef BUSBAR_INTAKE_H
#define BUSBAR_INTAKE_H

#include "config.h"
#include "digest.h"
#include "message.h"
#include "store.h"

struct intake;
struct json_object;
struct route_set;
struct target;

struct intake_options { /* borrowed */
    const struct config *config;
    struct target *const *targets;
    size_t target_count;
    struct route_set *routes;
    struct store *store;
    struct store_session *session;   /* the intake's own */
    void (*accepted)(void *context); /* after a commit with deliveries, on Paho's thread */
    void *context;
};

/* Puts the stored state of all keys back. NULL and *error (gives). */
struct intake *intake_create(const struct intake_options *options, char **error);
void intake_destroy(struct intake *intake);
void intake_message(struct intake *intake, const struct message *message);
int intake_flush(struct intake *intake); /* 0: all before it is durable; -1: nothing of it happened */
/* What time alone decides, stored at once. Answers when it wants to be asked again (INT64_MAX: only after a message).
 * listening: the bus is subscribed. The reactor's thread. */
int64_t intake_tick(struct intake *intake, int64_t steady_ms, int64_t wall_ms, bool listening);
/* A route that overran its budget since it was last named here; NULL: none. The configuration's text. */
const char *intake_take_alarm(struct intake *intake);
/* Once: the session has a subscription that neither the configuration nor the store knows. */
bool intake_take_stale(struct intake *intake);
void intake_session(struct intake *intake, bool present); /* false: packet ids start anew */
/* Maps a message again through a route, as it stands now, without its trigger: for a dead letter. 0 and
 * *body, or -1 and *reason (both appended). Any thread. */
int intake_map(struct intake *intake, const char *route, const struct message *message, struct buf *body,
               struct buf *reason);
/* Accepts a message on a route by hand, as if its trigger had fired; the trigger's own state stays. Counted as received
 * and accepted, with an audit row; a transaction of its own on the caller's session. 0 and the delivery's id, or -1 and
 * *reason (appended), and nothing happened. Any thread. */
int intake_fire(struct intake *intake, struct store_session *session, const char *route, const struct message *given,
                char id[UUID_TEXT_MAX], struct buf *reason);
/* A route (key NULL: all its keys) fires nothing for so long, 0: takes it off the shelf. Durable when it answers, with
 * an audit row. 0, or -1 and *reason (appended). The reactor's thread. */
int intake_shelve(struct intake *intake, const char *route, const char *key, int64_t for_ms, const char *why,
                  struct buf *reason);
struct json_object *intake_shelves(struct intake *intake); /* gives a JSON array */
/* The states of a route's keys, at most limit: gives a JSON array; NULL: no such route. */
struct json_object *intake_keys(struct intake *intake, const char *route, size_t limit);
/* For status and API: gives a JSON array of routes with their counts. Any thread. */
struct json_object *intake_describe(struct intake *intake);

#endif
