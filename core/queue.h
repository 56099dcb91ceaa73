/* The due index of one target: which delivery goes next, and which go together.
 *
 * Deliveries stand in lanes; within a lane order is kept, and only its head may run. Lanes whose head
 * is due take turns. It holds a window of what is open in the store, in order of acceptance, so its
 * memory does not grow with the backlog: the owner refills it from the store when there is room.
 *
 * In a backlog that is longer than the window the newest would wait for all of it. So a few that just came may be
 * added ahead (queue_add with `ahead`), beside the window, where that overtakes nothing of their lanes.
 *
 * No lane fills the window for the others: a long one, and more so one that cannot go on, is not taken in
 * whole. What was left out is asked for again (queue_rewind) when its lane has use for it.
 *
 * Deliveries of one group may share a batch: it takes the run of them at the front of each lane. Entries of a
 * batch stay together, and their lanes busy, until each of them is over.
 * Pure, one thread. */
#ifndef BUSBAR_QUEUE_H
#define BUSBAR_QUEUE_H

#include "buf.h"
#include "digest.h"

struct queue;
struct queue_group;
struct queue_lane;
struct item;

struct queue_batch {
    struct queue_entry **entries; /* in order of acceptance; NULL where one is over */
    size_t count, left, cap;      /* of entries: all, and those that are not over */
    char id[UUID_TEXT_MAX];       /* the owner's */
    bool frozen;                  /* the owner's: it is stored, and goes again as it is */
    bool taken;
};

struct queue_entry { /* the owner reads; the queue keeps and frees it */
    struct queue_entry *prev, *next, *hash_next;
    struct queue_lane *lane;
    struct queue_group *group;       /* NULL: goes alone */
    struct queue_key *key;           /* NULL: nothing takes its place */
    struct queue_batch *batch;       /* NULL: none (yet) */
    size_t batch_at;                 /* in batch->entries */
    struct queue_entry *merged_into; /* in a batch: the newest of its key; NULL: itself */
    int64_t seq, due_ms, accepted_ms;
    int attempts;
    bool ahead;              /* not counted in the window */
    int losses, lone_losses; /* the owner's: of the link, with it on its way; and it alone */
    struct item *item;       /* the owner's, of what is taken */
    char *route, *operation; /* route NULL: none */
};

struct queue_delivery { /* what is added; borrowed */
    int64_t seq, due_ms, accepted_ms;
    const char *lane, *operation, *route;
    int attempts;
    struct queue_group *group;
    struct span key; /* with a group: of several with the same, only the newest goes; empty: none */
    bool ahead;      /* older ones may be in the store still, none of its lane: see queue_may_go_ahead */
};

struct queue *queue_create(size_t window);
void queue_destroy(struct queue *queue);
void queue_widen(struct queue *queue, size_t window); /* at least so wide */
size_t queue_window(const struct queue *queue);

/* How many more it would take, and after which seq to go on. */
size_t queue_room(const struct queue *queue);
int64_t queue_last_seq(const struct queue *queue);
size_t queue_length(const struct queue *queue); /* without parked lanes */
/* Whether something that was left out is wanted now. */
bool queue_wants_rewind(const struct queue *queue);
/* When so: goes back to it. What is offered again although it is here is passed over. */
bool queue_rewind(struct queue *queue);
bool queue_is_tight(const struct queue *queue); /* too little room to be refilled */
/* Appends to the lane, or leaves it out when the lane has enough. An operator's retry may come with a seq that
 * was passed long ago. */
void queue_add(struct queue *queue, const struct queue_delivery *delivery);
/* Whether it would be taken in: false when it is here, or left out. */
bool queue_would_add(const struct queue *queue, int64_t seq, const char *lane);

/* Whether a delivery may be added ahead, before_seq being the last open one of its lane in the store, 0: none. */
bool queue_may_go_ahead(const struct queue *queue, const char *lane, int64_t before_seq);
size_t queue_ahead(const struct queue *queue); /* how many are */

/* ---- batches */

/* At most max items of the operation, wait_ms after the oldest was accepted, or as soon as they are max. Equal ones are
 * one group; the queue keeps it. kind: what else of the owner's must be equal. */
struct queue_group *queue_group(struct queue *queue, const char *operation, size_t max, int64_t wait_ms, int kind);
/* What is gathered for batches now. */
struct queue_group_state {
    const char *operation; /* borrows */
    size_t max, gathering; /* items */
    int64_t wait_ms;
};
void queue_each_group(const struct queue *queue, void (*each)(void *context, const struct queue_group_state *group),
                      void *context);
/* more: the owner has more to add right now, and what does not fill a batch waits for it. */
void queue_expect(struct queue *queue, bool more);
/* A batch that the store remembers: create, add each in order, then return any of them. */
struct queue_batch *queue_batch_create(const char *id);
bool queue_batch_add(struct queue *queue, struct queue_batch *batch, const struct queue_delivery *delivery);
/* A batch that was taken is none: its entries stand at the front of their lanes again. */
void queue_disband(struct queue *queue, struct queue_batch *batch);

/* The same of one that goes no further as it is: each alone from now on, not before due_ms. */
void queue_scatter(struct queue *queue, struct queue_batch *batch, int64_t due_ms);

/* ---- turns */

/* The next head that is due, taken out of turn until it is returned or removed; NULL when none. With a batch, all its
 * entries are. may_run NULL, or false for an entry whose operation is held: its lane is parked until queue_unpark. */
struct queue_entry *queue_take(struct queue *queue, int64_t now_ms,
                               bool (*may_run)(void *context, const struct queue_entry *entry), void *context);
/* It stays the head of its lane and is due at due_ms. With a batch: all that is left of it. */
void queue_return(struct queue *queue, struct queue_entry *entry, int64_t due_ms);
/* It is over: the lane goes on when nothing else of it is taken. Frees the entry, and its batch with the last. */
void queue_remove(struct queue *queue, struct queue_entry *entry);
/* Finds one that waits (not taken). An operator's retry or discard. NULL when taken or not in the window. */
struct queue_entry *queue_find(struct queue *queue, int64_t seq);
bool queue_has_taken(const struct queue *queue, int64_t seq);
/* Takes a waiting one out, wherever in its lane. */
void queue_drop(struct queue *queue, struct queue_entry *entry);
void queue_hasten(struct queue *queue, struct queue_entry *entry, int64_t due_ms); /* and the batch it belongs to */
void queue_unpark(struct queue *queue);
/* When the next head falls due: INT64_MAX when never, past when one is due now. */
int64_t queue_next_due(const struct queue *queue);

#endif
