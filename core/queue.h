/* The due index of one target: which delivery goes next.
 *
 * Deliveries stand in lanes; within a lane order is kept, and only its head may run. Lanes whose head
 * is due take turns. It holds a window of what is open in the store, in order of acceptance, so its
 * memory does not grow with the backlog: the owner refills it from the store when there is room.
 *
 * No lane fills the window for the others: a long one, and more so one that cannot go on, is not taken in
 * whole. What was left out is asked for again (queue_rewind) when its lane has use for it.
 * Pure, one thread. */
#ifndef BUSBAR_QUEUE_H
#define BUSBAR_QUEUE_H

#include "buf.h"

struct queue;
struct queue_lane;

struct queue_entry { /* the owner reads; the queue keeps and frees it */
    struct queue_entry *next, *hash_next;
    struct queue_lane *lane;
    int64_t seq, due_ms, accepted_ms;
    int attempts;
    char *route, *operation; /* route NULL: none */
    bool uncertain;
};

struct queue *queue_create(size_t window);
void queue_destroy(struct queue *queue);

/* How many more it would take, and after which seq to go on. */
size_t queue_room(const struct queue *queue);
int64_t queue_last_seq(const struct queue *queue);
size_t queue_length(const struct queue *queue); /* without parked lanes */
/* Whether something that was left out is wanted now. */
bool queue_wants_rewind(const struct queue *queue);
/* When so: goes back to it. What is offered again although it is here is passed over. */
bool queue_rewind(struct queue *queue);
/* Appends to the lane, or leaves it out when the lane has enough. An operator's retry may come with a seq that
 * was passed long ago. */
void queue_add(struct queue *queue, int64_t seq, const char *lane, const char *operation, const char *route,
               int64_t due_ms, int64_t accepted_ms, int attempts, bool uncertain);

/* The next head that is due, taken out of turn until it is returned or removed; NULL when none.
 * may_run NULL, or false for an entry whose operation is held: its lane is parked until queue_unpark. */
struct queue_entry *queue_take(struct queue *queue, int64_t now_ms,
                               bool (*may_run)(void *context, const struct queue_entry *entry), void *context);
/* It stays the head of its lane and is due at due_ms. */
void queue_return(struct queue *queue, struct queue_entry *entry, int64_t due_ms);
/* It is over: the lane goes on. Frees the entry. */
void queue_remove(struct queue *queue, struct queue_entry *entry);
/* Finds one that waits (not taken). An operator's retry or discard. NULL when taken or not in the window. */
struct queue_entry *queue_find(struct queue *queue, int64_t seq);
bool queue_has_taken(const struct queue *queue, int64_t seq);
/* Takes a waiting one out, wherever in its lane. */
void queue_drop(struct queue *queue, struct queue_entry *entry);
void queue_hasten(struct queue *queue, struct queue_entry *entry, int64_t due_ms);
void queue_unpark(struct queue *queue);
/* When the next head falls due: INT64_MAX when never, past when one is due now. */
int64_t queue_next_due(const struct queue *queue);

#endif
