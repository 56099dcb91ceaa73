/* What the files of the queue share: its lanes and where they stand (queue_lanes.c), groups and batches
 * (queue_batch.c), the window and turns (queue.c). */
#ifndef BUSBAR_QUEUE_PRIVATE_H
#define BUSBAR_QUEUE_PRIVATE_H

#include "queue.h"

#define LANE_STUCK 16 /* what a lane keeps while its head waits */

/* A lane is in exactly one place: ready (a FIFO, so that lanes take turns), gathering (in its group's list, until the
 * batch goes), waiting (a binary heap by the head's due time), parked (its head's operation is held), or busy (its
 * front is taken, or waits with a batch that another lane stands for). An empty lane is freed. Every step is O(1) or
 * O(log lanes), but that gathering looks at each entry once. */
enum place { PLACE_NONE = 0, PLACE_READY, PLACE_GATHERING, PLACE_WAITING, PLACE_PARKED, PLACE_BUSY };

struct queue_lane {
    struct queue_lane *hash_next;
    struct queue_lane *list_prev, *list_next; /* ready, gathering and parked */
    size_t heap_at;                           /* waiting */
    enum place place;
    struct queue_entry *first, *last;
    size_t length;
    size_t bound;        /* so many at the front are taken, or of a batch that was */
    size_t run;          /* gathering: so many at the front are of the group */
    uint64_t more_epoch; /* the queue's when something of this lane was left out */
    uint64_t hash;
    char name[];
};

struct lane_list {
    struct queue_lane *first, *last;
};

struct queue_key { /* what is written at an operation's coalesce pointer, of the entries of one group */
    struct queue_key *hash_next;
    struct queue_group *group;
    uint64_t hash;
    size_t refs;                /* entries */
    size_t ready;               /* of them in the runs of gathering lanes */
    struct queue_entry *newest; /* while a batch is gathered */
    size_t len;
    char text[];
};

struct queue_group {
    struct queue_group *next;
    char *operation;
    size_t max;
    int64_t wait_ms;
    int kind;
    struct lane_list lanes; /* gathering */
    size_t ready;           /* entries in their runs, */
    size_t items;           /* and what they come to when equal keys are one */
    int64_t since_ms;       /* the oldest of the heads */
};

struct queue {
    size_t window, length;                          /* length: of lanes that are not parked, without */
    size_t ahead;                                   /* so many that are beside the window */
    int64_t last_seq, left_out_seq, parked_out_seq; /* the latter: INT64_MAX for none */
    uint64_t epoch;
    bool rewind, more;
    bool groups_turn; /* a ready lane went last */
    struct queue_entry **by_seq;
    size_t by_seq_size, entry_count; /* size: a power of two, not below the count */
    struct queue_lane **buckets;
    size_t bucket_count, lane_count, parked_count;
    struct queue_key **keys;
    size_t key_size, key_count; /* as by_seq */
    struct queue_group *groups;
    struct lane_list ready, parked;
    struct queue_lane **heap;
    size_t heap_count, heap_cap;
    uint64_t seed;
};

/* queue_lanes.c */
struct queue_entry *entry_get(const struct queue *queue, int64_t seq);
struct queue_entry *entry_append(struct queue *queue, struct queue_lane *lane, const struct queue_delivery *delivery);
void entry_unlink(struct queue *queue, struct queue_entry *entry); /* from its lane; frees it */
void entry_free(struct queue_entry *entry);
void entry_count_in(struct queue *queue, struct queue_entry *entry);       /* what was ahead is of the window now */
struct queue_lane *lane_find(const struct queue *queue, const char *name); /* NULL: none */
struct queue_lane *lane_get(struct queue *queue, const char *name, bool *fresh);
void lane_free(struct queue *queue, struct queue_lane *lane);
void lane_enter(struct queue *queue, struct queue_lane *lane, enum place place);
void lane_leave(struct queue *queue, struct queue_lane *lane);
void lane_move(struct queue *queue, struct queue_lane *lane, enum place place);

/* queue_batch.c */
void key_hold(struct queue *queue, struct queue_entry *entry, struct span text);
void key_release(struct queue *queue, struct queue_key *key);
void group_count(struct queue_group *group, const struct queue_entry *entry, bool in);
int64_t group_due(const struct queue *queue, const struct queue_group *group);
struct queue_group *group_next(struct queue *queue, int64_t now_ms); /* the one whose batch goes next; NULL: none */
struct queue_entry *group_gather(struct queue *queue, struct queue_group *group, int64_t now_ms);
void batch_return(struct queue *queue, struct queue_batch *batch, int64_t due_ms);
void batch_forget(struct queue_entry *entry); /* it is over: its batch goes on without it */
void group_free_all(struct queue *queue);

/* queue.c */
void lane_trim(struct queue *queue, struct queue_lane *lane, size_t keep);

#endif
