/* Shared by the files of the intake: its state, and how a decision becomes a delivery. */
#ifndef BUSBAR_INTAKE_PRIVATE_H
#define BUSBAR_INTAKE_PRIVATE_H

#include "intake.h"

#include <pthread.h>

struct copies;
struct metric;
struct route_decision;

#define INTAKE_OUTCOMES 7   /* enum outcome, from 1 */
#define INTAKE_COMPLAINTS 8 /* reasons of a route that are told apart */

struct complaint {
    uint64_t reason;
    int64_t minute, seq; /* seq: of the last whole dead letter */
    int kept;
};

struct reason_count {
    const char *reason; /* static */
    struct metric *metric;
    int64_t pending; /* of the open group */
};

struct route_counts {
    struct reason_count *reasons;
    size_t reason_count, reason_cap;
    struct complaint complaints[INTAKE_COMPLAINTS];
    size_t next_complaint;
    struct metric *metrics[INTAKE_OUTCOMES];
    struct metric *timed[INTAKE_OUTCOMES];                            /* NULL: time decides no such */
    int64_t pending[INTAKE_OUTCOMES], pending_timed[INTAKE_OUTCOMES]; /* of the open group */
    struct metric *received;
    int64_t pending_received;
    bool touched;                    /* in the open group */
    bool over_budget;                /* someone is to be told */
    enum delivery_state first_state; /* draft where the mode says so */
    bool makes_order;
};

/* What the last message with a packet id was. */
struct packet {
    uint64_t hash; /* 0: nothing */
    uint64_t number;
};

struct intake {
    struct intake_options options;
    pthread_mutex_t rules; /* guards everything below */
    struct route_counts *routes;
    struct packet *packets; /* PACKET_IDS */
    uint64_t packet_number, remembered;
    uint16_t *recent;  /* the packet with number n is at n % remembered, when it still has that number */
    uint16_t *touched; /* packet ids of the open group */
    size_t touched_count, touched_cap;
    bool in_group, failed, stored;
    uint64_t poison;               /* hash of a message that killed the process */
    struct added {                 /* deliveries of the open group, for the gauges after the commit */
        size_t route;              /* NO_ROUTE: to the bus */
        enum delivery_state state; /* 0: counted on another one */
        const char *target;        /* of a command, else NULL; static or the configuration's */
    } * added;
    size_t added_count, added_cap;
    size_t *counted; /* routes with pending counts */
    size_t counted_count, counted_cap;
    uint64_t hash; /* of the message being judged */
    int64_t steady_ms, wall_ms;
    int64_t told_due_ms; /* when the reactor will tick */
    bool over_budget;    /* a route is: so that nobody looks in vain */
    struct copies *copies;
    bool stale_seen, stale_untold; /* a copy of a subscription that nobody knows */
    struct metric *duplicates, *unrouted, *stale_copies;
};

#define NO_ROUTE SIZE_MAX

bool intake_begin_group(struct intake *intake);
void intake_note_added(struct intake *intake, size_t route, enum delivery_state state);
/* The route's count of a reason (static text). borrowed until the next call */
struct reason_count *intake_reason(struct intake *intake, size_t route, const char *reason);
void intake_count_outcome(struct intake *intake, size_t route, enum outcome outcome);
void intake_decide(void *context, const struct route_decision *decision); /* route_decide */
bool intake_order_is_open(void *context, const char *delivery);           /* until: closed */
/* Ends the group, under the mutex. *wake: the reactor has something to do, now or sooner than it knows. */
int intake_flush_held(struct intake *intake, bool *wake);
bool intake_is_busy(const struct intake *intake);            /* the other thread's group is open */
char *intake_user_properties(const struct message *message); /* as a JSON object; gives, NULL: none */
/* What a route makes of a message that it accepted. borrows all */
struct delivery intake_delivery(const struct intake *intake, const struct route_decision *decision,
                                const struct message *message, const char *lane, const char *topic);
const char *intake_mode(const struct intake *intake, const struct delivery *delivery); /* for the audit */

#define COMMANDS \
    "$commands" /* the route of commands, which has the number behind the last; a route cannot be called so */

const struct bb_plugin *intake_plugin(const struct intake *intake, const char *target); /* NULL: unknown */
void intake_command(struct intake *intake, const struct message *message);
/* Stores a command; after some dead letters of one reason and minute the rest is counted on the last. */
int intake_add_command(struct intake *intake, struct delivery *delivery);

/* ---- intake_bus.c: what goes back to the bus, in the open group. 0, or -1: the store failed */

/* reply: as struct delivery has it, or NULL */
int intake_add_to_bus(struct intake *intake, const char *id, const char *topic, const char *lane, struct span payload,
                      const char *reply);
int intake_load_births(struct intake *intake);  /* at start */
int intake_store_births(struct intake *intake); /* before the commit: what edge nodes told, and asking those unknown */
void intake_births_stored(struct intake *intake);
/* A dead letter for want of an asset: mapping.exception */
int intake_announce_exception(struct intake *intake, const struct delivery *delivery);

#endif
