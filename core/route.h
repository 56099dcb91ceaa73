/* Routes: which messages matter, what they become and where they go.
 *
 * The set owns the topic trie, the compiled templates and jq programs and the state of all keys. It
 * belongs to one thread at a time (the caller's mutex). It knows no store: it answers decisions, and
 * the caller stores them and the states that changed, and then says commit or rollback, so that memory and disk
 * agree. */
#ifndef BUSBAR_ROUTE_H
#define BUSBAR_ROUTE_H

#include "digest.h"
#include "message.h"
#include "problems.h"

struct config;
struct config_route;
struct json_object;
struct sparkplug;
struct route_set;

struct route_decision {            /* borrowed for the call of decide */
    size_t route;                  /* index in the configuration */
    const struct message *message; /* that was judged; timed: the one that was kept */
    bool timed;                    /* time alone decided: no message is to be counted */
    enum outcome outcome;
    bool identity;         /* INVALID: for want of an asset in the map */
    const char *reason;    /* for ACCEPTED "fired" or "command"; for INVALID a sentence; else a word */
    struct span key, lane; /* key empty when the route has no trigger */
    bool state_changed;
    bool alarm;          /* over budget, for the first time */
    int64_t suppressed;  /* of this key since its last firing */
    struct span value;   /* of the trigger, as JSON; may be empty */
    struct span body;    /* ACCEPTED: minified JSON */
    struct span payload; /* ACCEPTED, INVALID: what to keep: the message's payload, or its one reading as JSON */
    bool one_reading;
    const char *id;        /* ACCEPTED, INVALID: the delivery's id (UUID v7) */
    const char *operation; /* ACCEPTED: of the target, where it is not the route's own; else NULL */
};
typedef void route_decide(void *context, const struct route_decision *decision);

/* Compiles all routes; problems get marks. NULL when there are errors. borrows config */
struct route_set *route_set_create(const struct config *config, struct problems *problems);
void route_set_destroy(struct route_set *set);

/* Distinct MQTT filters to subscribe, in MQTT 5 one per distinct filter, in 3.1.1 without the covered
 * ones; `share` puts $share/<share>/ before each. borrowed */
size_t route_set_filters(const struct route_set *set, const char *const **filters);

/* The next of them after that one (from 1, as subscription_id; 0: the first) that brings messages of a topic; 0: none.
 */
int route_set_next_filter(const struct route_set *set, struct span topic, int after);

/* Of <prefix>/commands/..., where bus.commands is on; not a further copy that a route's own filter brought. */
bool route_set_is_command(const struct route_set *set, const struct message *message);
/* Which routes a message is for, ascending; borrowed until the next call. */
size_t route_set_match(struct route_set *set, const struct message *message, const uint32_t **routes);
/* Evaluates one message against its routes in the order of the file. steady_ms drives triggers. Answers the number
 * of decisions made. What is due by then must have been: route_set_tick first. */
size_t route_set_evaluate(struct route_set *set, const struct message *message, int64_t steady_ms, route_decide *decide,
                          void *context);
/* Maps a message through one route without its trigger (fire by hand, edit of a dead letter). */
void route_set_map(struct route_set *set, size_t route, const struct message *message, route_decide *decide,
                   void *context);

/* ---- time. What it fires waits while nothing can be heard: silence says nothing then, and what would have
 * ended an on-delay may be on its way. */
void route_set_listen(struct route_set *set, bool listening, int64_t steady_ms); /* at first: deaf */
int64_t route_set_due(const struct route_set *set);                              /* INT64_MAX: nothing */
void route_set_tick(struct route_set *set, int64_t steady_ms, route_decide *decide, void *context);

/* A route, or with a key that key alone, fires nothing until then; until_ms not after now_ms: take it off the shelf. */
void route_set_shelve(struct route_set *set, size_t route, const struct span *key, int64_t until_ms, int64_t now_ms,
                      const char *reason);
struct json_object *route_set_shelves(struct route_set *set); /* gives a JSON array */
/* Routes of the same name have one budget for each plan, which stands at the pointer in the body. */
void route_set_share_budget(struct route_set *set, size_t route, const char *name, const char *pointer, int64_t count,
                            int64_t window_ms);

/* until: closed asks this whether the delivery's order is open. Without it, it is. */
void route_set_ask_orders(struct route_set *set, bool (*is_open)(void *context, const char *delivery), void *context);

/* ---- memory */

/* What was put since the last commit: to be stored for (route, key); state empty: forget it. Answers how many. */
typedef void route_state_each(void *context, const char *route, struct span key, struct span state);
size_t route_set_changes(struct route_set *set, route_state_each *each, void *context);
void route_set_commit(struct route_set *set);   /* what was decided since the last commit is stored */
void route_set_rollback(struct route_set *set); /* ... was not: forget it */
/* At start: puts a stored state back. Unknown routes are ignored. */
void route_set_restore(struct route_set *set, const char *route, struct span key, struct span state);
/* After all of them: a shelf that was laid in the future, by a clock that was set back since, lasts as long as it was
 * meant to, from now on. A change, to be stored with the next. */
void route_set_clock_back(struct route_set *set, int64_t now_ms);
/* What edge nodes told, for the caller to keep and to ask for; NULL: no route reads Sparkplug. borrowed */
struct sparkplug *route_set_sparkplug(const struct route_set *set);
size_t route_set_keys(const struct route_set *set); /* keys that have a state */
/* Whether a message on a topic can be the route's. An empty topic becomes the filter, where that leaves no choice. */
bool route_set_fits(const struct route_set *set, size_t route, struct span *topic);
/* For people: gives a JSON array of the states of a route's keys, at most limit of them. */
struct json_object *route_set_describe(struct route_set *set, size_t route, size_t limit);
/* The constant parts of a route's body for plugin->check: placeholders and jq become null. gives text; NULL: unknown */
char *route_set_outline(const struct route_set *set, size_t route);

#endif
