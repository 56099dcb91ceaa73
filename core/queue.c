/* SPDX-License-Identifier: Apache-2.0 */
/* The window, and turns.
 *
 * A lane holds its fair share of half the window, one whose head has to wait only a few, a parked one its head
 * alone, which does not count. What lanes leave out is remembered as the least seq of all, and as a mark
 * of the lane: from then on it takes nothing, so that nothing overtakes. When a lane with that mark runs low,
 * the queue goes back to that seq, and all marks are void (an epoch ends). What it then meets again is known by
 * its seq. What parked lanes left out waits apart, until they are unparked. */
#include "queue_private.h"

#include <stdlib.h>
#include <string.h>

#define LANE_LEAST 32 /* what a lane may always hold */
#define LANE_LOW 8    /* with less it wants what it left out */

struct queue *queue_create(size_t window)
{
    struct queue *queue = mem_alloc(sizeof(*queue));
    queue->window = window;
    queue->bucket_count = 64;
    queue->buckets = mem_alloc(queue->bucket_count * sizeof(struct queue_lane *));
    queue->seed = random_u64();
    queue->epoch = 1;
    queue->left_out_seq = queue->parked_out_seq = INT64_MAX;
    queue->by_seq_size = 64;
    queue->by_seq = mem_alloc(queue->by_seq_size * sizeof(struct queue_entry *));
    return queue;
}

static void free_lane(struct queue *queue, struct queue_lane *lane)
{
    while (lane->first != NULL) {
        batch_forget(lane->first);
        entry_unlink(queue, lane->first);
    }
    free(lane);
}

void queue_destroy(struct queue *queue)
{
    if (queue == NULL)
        return;
    for (size_t i = 0; i < queue->bucket_count; i++)
        while (queue->buckets[i] != NULL) {
            struct queue_lane *lane = queue->buckets[i];
            queue->buckets[i] = lane->hash_next;
            free_lane(queue, lane);
        }
    group_free_all(queue);
    free(queue->buckets);
    free(queue->by_seq);
    free(queue->keys);
    free(queue->heap);
    free(queue);
}

void queue_widen(struct queue *queue, size_t window)
{
    if (queue->window < window)
        queue->window = window;
}

size_t queue_window(const struct queue *queue)
{
    return queue->window;
}

/* ---- the face */

size_t queue_room(const struct queue *queue)
{
    return queue->length < queue->window ? queue->window - queue->length : 0;
}

int64_t queue_last_seq(const struct queue *queue)
{
    return queue->last_seq;
}

size_t queue_length(const struct queue *queue)
{
    return queue->length;
}

bool queue_is_tight(const struct queue *queue)
{
    return queue_room(queue) < queue->window / 4;
}

void queue_expect(struct queue *queue, bool more)
{
    queue->more = more;
}

bool queue_wants_rewind(const struct queue *queue)
{
    return queue->rewind;
}

bool queue_rewind(struct queue *queue)
{
    if (!queue->rewind)
        return false;
    queue->rewind = false;
    if (queue->left_out_seq - 1 < queue->last_seq) /* what was ahead is still to be reached */
        queue->last_seq = queue->left_out_seq - 1;
    queue->left_out_seq = INT64_MAX;
    queue->epoch++;
    return true;
}

/* ---- what a lane leaves out */

static bool has_more(const struct queue *queue, const struct queue_lane *lane)
{
    return lane->more_epoch == queue->epoch;
}

static void leave_out(struct queue *queue, struct queue_lane *lane, int64_t seq)
{
    int64_t *least = lane->place == PLACE_PARKED ? &queue->parked_out_seq : &queue->left_out_seq;
    if (lane->place != PLACE_PARKED)
        lane->more_epoch = queue->epoch;
    if (seq < *least)
        *least = seq;
}

static size_t fair_share(const struct queue *queue)
{
    size_t share = queue->window / 2 / (queue->lane_count - queue->parked_count + 1);
    return share > LANE_LEAST ? share : LANE_LEAST;
}

/* The first `keep` stay, and what is taken or of a batch. */
void lane_trim(struct queue *queue, struct queue_lane *lane, size_t keep)
{
    while (lane->length > keep && lane->length > lane->bound) {
        leave_out(queue, lane, lane->last->seq);
        entry_unlink(queue, lane->last);
    }
}

/* Its place is the caller's to change. */
static void leave_parked(struct queue *queue, struct queue_lane *lane)
{
    lane_leave(queue, lane);
    queue->length++;
    queue->parked_count--;
    if (queue->parked_out_seq == INT64_MAX)
        return;
    if (queue->parked_out_seq < queue->left_out_seq)
        queue->left_out_seq = queue->parked_out_seq;
    queue->parked_out_seq = INT64_MAX;
    queue->rewind = true;
}

static bool has_enough(const struct queue *queue, const struct queue_lane *lane)
{
    return has_more(queue, lane) || lane->place == PLACE_PARKED || lane->length >= fair_share(queue);
}

bool queue_would_add(const struct queue *queue, int64_t seq, const char *lane_name)
{
    const struct queue_lane *lane = lane_find(queue, lane_name);
    return entry_get(queue, seq) == NULL && (lane == NULL || !has_enough(queue, lane));
}

bool queue_may_go_ahead(const struct queue *queue, const char *lane_name, int64_t before_seq)
{
    const struct queue_lane *lane = lane_find(queue, lane_name);
    return lane == NULL ? before_seq == 0 : lane->last->seq == before_seq && !has_enough(queue, lane);
}

size_t queue_ahead(const struct queue *queue)
{
    return queue->ahead;
}

void queue_add(struct queue *queue, const struct queue_delivery *delivery)
{
    bool fresh;
    if (delivery->seq > queue->last_seq && !delivery->ahead)
        queue->last_seq = delivery->seq;
    struct queue_entry *known = entry_get(queue, delivery->seq);
    if (known != NULL) {
        if (!delivery->ahead && known->lane->place != PLACE_PARKED)
            entry_count_in(queue, known);
        return;
    }
    struct queue_lane *lane = lane_get(queue, delivery->lane, &fresh);
    if (!fresh && has_enough(queue, lane)) {
        leave_out(queue, lane, delivery->seq);
        return;
    }
    struct queue_entry *entry = entry_append(queue, lane, delivery);
    if (fresh)
        lane_enter(queue, lane, PLACE_WAITING);
    else if (lane->place == PLACE_GATHERING && lane->run == lane->length - 1 && entry->group == lane->first->group) {
        group_count(entry->group, entry, true);
        lane->run++;
    }
}

/* ---- turns */

/* Moves what has fallen due to the ready line, so that lanes take turns whatever their due times, or to its group. */
static void ripen(struct queue *queue, int64_t now_ms)
{
    while (queue->heap_count > 0 && queue->heap[0]->first->due_ms <= now_ms) {
        struct queue_lane *lane = queue->heap[0];
        const struct queue_entry *head = lane->first;
        struct queue_group *group = head->batch == NULL ? head->group : NULL;
        if (group == NULL) {
            lane_move(queue, lane, PLACE_READY);
            continue;
        }
        int64_t since_ms = head->accepted_ms < now_ms ? head->accepted_ms : now_ms; /* clocks are set back, too */
        if (group->lanes.first == NULL || since_ms < group->since_ms)
            group->since_ms = since_ms;
        lane_move(queue, lane, PLACE_GATHERING);
    }
}

static void park(struct queue *queue, struct queue_lane *lane)
{
    lane_move(queue, lane, PLACE_PARKED);
    lane_trim(queue, lane, 1);
    entry_count_in(queue, lane->first);
    queue->length--;
    queue->parked_count++;
}

static struct queue_entry *take_lane(struct queue *queue, struct queue_lane *lane)
{
    struct queue_entry *head = lane->first;
    lane_move(queue, lane, PLACE_BUSY);
    if (head->batch != NULL)
        head->batch->taken = true;
    else
        lane->bound = 1;
    return head;
}

struct queue_entry *queue_take(struct queue *queue, int64_t now_ms,
                               bool (*may_run)(void *context, const struct queue_entry *entry), void *context)
{
    ripen(queue, now_ms);
    for (;;) {
        bool groups_first = queue->groups_turn || queue->ready.first == NULL;
        struct queue_group *group = groups_first ? group_next(queue, now_ms) : NULL;
        struct queue_lane *lane = group != NULL ? group->lanes.first : queue->ready.first;
        queue->groups_turn = group == NULL;
        if (lane == NULL)
            return NULL;
        if (may_run == NULL || may_run(context, lane->first))
            return group != NULL ? group_gather(queue, group, now_ms) : take_lane(queue, lane);
        do
            park(queue, lane);
        while (group != NULL && (lane = group->lanes.first) != NULL);
    }
}

void queue_return(struct queue *queue, struct queue_entry *entry, int64_t due_ms)
{
    if (entry->batch != NULL) {
        batch_return(queue, entry->batch, due_ms);
        return;
    }
    entry->due_ms = due_ms;
    entry->lane->bound = 0;
    lane_trim(queue, entry->lane, LANE_STUCK);
    lane_enter(queue, entry->lane, PLACE_WAITING);
}

static void forget_entry(struct queue *queue, struct queue_entry *entry)
{
    struct queue_lane *lane = entry->lane;
    batch_forget(entry);
    entry_unlink(queue, entry);
    if (lane->length < LANE_LOW)
        queue->rewind |= has_more(queue, lane);
}

void queue_remove(struct queue *queue, struct queue_entry *entry)
{
    struct queue_lane *lane = entry->lane;
    lane->bound--;
    forget_entry(queue, entry);
    if (lane->first == NULL)
        lane_free(queue, lane);
    else if (lane->bound == 0)
        lane_enter(queue, lane, PLACE_WAITING);
}

static bool is_taken(const struct queue_entry *entry)
{
    if (entry->batch != NULL)
        return entry->batch->taken;
    return entry->lane->place == PLACE_BUSY && entry->lane->first == entry;
}

struct queue_entry *queue_find(struct queue *queue, int64_t seq)
{
    struct queue_entry *entry = entry_get(queue, seq);
    return entry != NULL && !is_taken(entry) ? entry : NULL;
}

bool queue_has_taken(const struct queue *queue, int64_t seq)
{
    const struct queue_entry *entry = entry_get(queue, seq);
    return entry != NULL && is_taken(entry);
}

static void leave_place(struct queue *queue, struct queue_lane *lane)
{
    if (lane->place == PLACE_PARKED)
        leave_parked(queue, lane);
    else
        lane_leave(queue, lane);
}

/* The lane that stands for a batch that waits. */
static struct queue_lane *lane_of(const struct queue_batch *batch)
{
    return batch->entries[0]->lane;
}

static void drop_from_batch(struct queue *queue, struct queue_batch *batch, struct queue_entry *entry)
{
    struct queue_lane *lane = lane_of(batch);
    int64_t due_ms = lane->first->due_ms;
    bool last = batch->left == 1;
    leave_place(queue, lane);
    lane_enter(queue, lane, PLACE_BUSY);
    queue_remove(queue, entry);
    if (!last)
        batch_return(queue, batch, due_ms);
}

void queue_drop(struct queue *queue, struct queue_entry *entry)
{
    struct queue_lane *lane = entry->lane;
    if (entry->batch != NULL) {
        drop_from_batch(queue, entry->batch, entry);
        return;
    }
    if (lane->place == PLACE_BUSY || (lane->first != entry && lane->place != PLACE_GATHERING)) {
        forget_entry(queue, entry);
        return;
    }
    leave_place(queue, lane);
    forget_entry(queue, entry);
    if (lane->first == NULL)
        lane_free(queue, lane);
    else
        lane_enter(queue, lane, PLACE_WAITING);
}

void queue_hasten(struct queue *queue, struct queue_entry *entry, int64_t due_ms)
{
    struct queue_lane *lane = entry->batch != NULL ? lane_of(entry->batch) : entry->lane;
    bool heads = entry->batch != NULL || lane->first == entry;
    if (!heads || lane->place != PLACE_WAITING) {
        entry->due_ms = due_ms;
        return;
    }
    lane_leave(queue, lane);
    lane->first->due_ms = entry->due_ms = due_ms;
    lane_enter(queue, lane, PLACE_WAITING);
}

void queue_unpark(struct queue *queue)
{
    while (queue->parked.first != NULL) {
        struct queue_lane *lane = queue->parked.first;
        leave_parked(queue, lane);
        lane_enter(queue, lane, PLACE_WAITING);
    }
}

int64_t queue_next_due(const struct queue *queue)
{
    int64_t next_ms = queue->heap_count > 0 ? queue->heap[0]->first->due_ms : INT64_MAX;
    if (queue->ready.first != NULL)
        return INT64_MIN;
    for (const struct queue_group *group = queue->groups; group != NULL; group = group->next) {
        int64_t due_ms = group_due(queue, group);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    return next_ms;
}
