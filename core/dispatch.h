/* The dispatcher drives each delivery to a verdict: lanes, rates, retries, holds, the circuit breaker,
 * dead letters, events. It owns every plugin call and every outgoing request. Reactor thread only.
 *
 * One turn has three parts, called by the reactor in this order, so that all writes of a turn are one
 * commit:  dispatch_pick -> [begin] dispatch_store [commit] -> dispatch_go. */
#ifndef BUSBAR_DISPATCH_H
#define BUSBAR_DISPATCH_H

#include "config.h"
#include "store.h"

struct dispatch;
struct http;
struct json_object;
struct mqtt;
struct strays;
struct target;

struct dispatch_options { /* borrowed */
    const struct config *config;
    struct target *const *targets;
    size_t target_count;
    struct store *store;
    struct store_session *session; /* the reactor's */
    struct http *http;
};

/* Reads what the last process left: holds, open deliveries, the breadcrumb. NULL and *error (gives). */
struct dispatch *dispatch_create(const struct dispatch_options *options, char **error);
void dispatch_destroy(struct dispatch *dispatch);
void dispatch_set_bus(struct dispatch *dispatch, struct mqtt *mqtt); /* NULL: away */

/* now: steady ms, for durations; wall: for what people read. */
/* Answers whether the turn has something to store. */
bool dispatch_pick(struct dispatch *dispatch, int64_t now_ms, int64_t wall_ms);
int dispatch_store(struct dispatch *dispatch);              /* inside the transaction; -1: roll back */
void dispatch_go(struct dispatch *dispatch, bool stored);   /* stored false: the turn is taken back and tried again */
int64_t dispatch_next_due(const struct dispatch *dispatch); /* steady ms; INT64_MIN: now; INT64_MAX: only when woken */

void dispatch_notice(struct dispatch *dispatch); /* any thread: something was accepted */
void dispatch_drain(struct dispatch *dispatch);  /* starts nothing new */
size_t dispatch_in_flight(const struct dispatch *dispatch);

/* Operator's verbs, each its own transaction. operation NULL: the whole target. Answer 0, or -1 and *error (static). */
int dispatch_hold(struct dispatch *dispatch, const char *target, const char *operation, const char *reason,
                  const char **error);
/* The same without a dispatcher, in the store of a daemon that is down: it holds from its start. */
int dispatch_hold_stopped(const struct config *config, struct store_session *session, const char *target,
                          const char *operation, const char *reason, const char **error);
int dispatch_resume(struct dispatch *dispatch, const char *target, const char *operation, const char **error);
int dispatch_retry(struct dispatch *dispatch, const char *id, const char **error);
int dispatch_discard(struct dispatch *dispatch, const char *id, const char **error);
int dispatch_approve(struct dispatch *dispatch, const char *id, const char **error);
/* A dead letter with another body; then retried. */
int dispatch_edit(struct dispatch *dispatch, const char *id, struct span body, const char **error);

/* Tells people on <prefix>/alerts, with the next turn. Texts are static, or the configuration's. target, route: what it
 * is about, or NULL. */
void dispatch_alert(struct dispatch *dispatch, const char *kind, const char *target, const char *route,
                    const char *reason);
/* For status, API and command line: gives a JSON array of targets. */
struct json_object *dispatch_describe(const struct dispatch *dispatch);
/* What is owed to targets that are not configured. */
const struct strays *dispatch_strays(const struct dispatch *dispatch);
bool dispatch_is_held(const struct dispatch *dispatch, const char *target);

/* Counts a dead letter that was only counted on another one. Any thread. */
void dispatch_count_merged(const char *route, const char *target);
/* Counts a delivery that someone else added (intake, door): gauges and the ledger's left side. Any thread. */
int64_t dispatch_total(enum delivery_state state); /* open ones and dead letters; any thread */
void dispatch_count_added(const char *route, const char *target, enum delivery_state state);

#endif
