/* SPDX-License-Identifier: Apache-2.0 */
/* A lane is in exactly one place: ready (a FIFO, so that lanes take turns), waiting (a binary heap by
 * the head's due time), parked (its head's operation is held), or busy (its head was taken). An empty
 * lane is freed. Every step is O(1) or O(log lanes).
 *
 * A lane holds its fair share of half the window, one whose head has to wait only a few, a parked one its head
 * alone, which does not count. What lanes leave out is remembered as the least seq of all, and as a mark
 * of the lane: from then on it takes nothing, so that nothing overtakes. When a lane with that mark runs low,
 * the queue goes back to that seq, and all marks are void (an epoch ends). What it then meets again is known by
 * its seq. What parked lanes left out waits apart, until they are unparked. */
#include "queue.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

#define LANE_LEAST 32 /* what a lane may always hold */
#define LANE_STUCK 16 /* what it keeps while its head waits */
#define LANE_LOW 8    /* with less it wants what it left out */

enum place { PLACE_READY = 1, PLACE_WAITING, PLACE_PARKED, PLACE_BUSY };

struct queue_lane {
    struct queue_lane *hash_next;
    struct queue_lane *list_prev, *list_next; /* ready and parked */
    size_t heap_at;                           /* waiting */
    enum place place;
    struct queue_entry *first, *last;
    size_t length;
    uint64_t more_epoch; /* the queue's when something of this lane was left out */
    uint64_t hash;
    char name[];
};

struct lane_list {
    struct queue_lane *first, *last;
};

struct queue {
    size_t window, length;                          /* length: of lanes that are not parked */
    int64_t last_seq, left_out_seq, parked_out_seq; /* the latter: INT64_MAX for none */
    uint64_t epoch;
    bool rewind;
    struct queue_entry **by_seq;
    size_t by_seq_size, entry_count; /* size: a power of two, not below the count */
    struct queue_lane **buckets;
    size_t bucket_count, lane_count, parked_count;
    struct lane_list ready, parked;
    struct queue_lane **heap;
    size_t heap_count, heap_cap;
    uint64_t seed;
};

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

static void entry_free(struct queue_entry *entry)
{
    free(entry->operation);
    free(entry->route);
    free(entry);
}

void queue_destroy(struct queue *queue)
{
    if (queue == NULL)
        return;
    for (size_t i = 0; i < queue->bucket_count; i++)
        while (queue->buckets[i] != NULL) {
            struct queue_lane *lane = queue->buckets[i];
            queue->buckets[i] = lane->hash_next;
            while (lane->first != NULL) {
                struct queue_entry *next = lane->first->next;
                entry_free(lane->first);
                lane->first = next;
            }
            free(lane);
        }
    free(queue->buckets);
    free(queue->by_seq);
    free(queue->heap);
    free(queue);
}

/* ---- entries by seq */

static struct queue_entry **place_of(const struct queue *queue, int64_t seq)
{
    return &queue->by_seq[(uint64_t)seq & (queue->by_seq_size - 1)]; /* they follow each other: spread well */
}

static struct queue_entry *entry_get(const struct queue *queue, int64_t seq)
{
    struct queue_entry *entry = *place_of(queue, seq);
    while (entry != NULL && entry->seq != seq)
        entry = entry->hash_next;
    return entry;
}

static void index_entry(struct queue *queue, struct queue_entry *entry)
{
    struct queue_entry **place = place_of(queue, entry->seq);
    entry->hash_next = *place;
    *place = entry;
}

static void entry_enter(struct queue *queue, struct queue_entry *entry)
{
    if (++queue->entry_count > queue->by_seq_size) {
        struct queue_entry **old = queue->by_seq;
        size_t old_size = queue->by_seq_size;
        queue->by_seq_size *= 2;
        queue->by_seq = mem_alloc(queue->by_seq_size * sizeof(struct queue_entry *));
        for (size_t i = 0; i < old_size; i++)
            for (struct queue_entry *next, *each = old[i]; each != NULL; each = next) {
                next = each->hash_next;
                index_entry(queue, each);
            }
        free(old);
    }
    index_entry(queue, entry);
}

static void entry_leave(struct queue *queue, struct queue_entry *entry)
{
    struct queue_entry **at = place_of(queue, entry->seq);
    while (*at != entry)
        at = &(*at)->hash_next;
    *at = entry->hash_next;
    queue->entry_count--;
    entry_free(entry);
}

/* ---- the heap of waiting lanes */

static int64_t lane_due(const struct queue_lane *lane)
{
    return lane->first->due_ms;
}

/* What fell due at the same time goes by age. */
static bool lane_before(const struct queue_lane *a, const struct queue_lane *b)
{
    return lane_due(a) != lane_due(b) ? lane_due(a) < lane_due(b) : a->first->seq < b->first->seq;
}

static void heap_set(struct queue *queue, size_t at, struct queue_lane *lane)
{
    queue->heap[at] = lane;
    lane->heap_at = at;
}

static void heap_up(struct queue *queue, size_t at)
{
    struct queue_lane *lane = queue->heap[at];
    while (at > 0 && lane_before(lane, queue->heap[(at - 1) / 2])) {
        heap_set(queue, at, queue->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(queue, at, lane);
}

static void heap_down(struct queue *queue, size_t at)
{
    struct queue_lane *lane = queue->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < queue->heap_count && lane_before(queue->heap[child + 1], queue->heap[child]))
            child++;
        if (child >= queue->heap_count || !lane_before(queue->heap[child], lane))
            break;
        heap_set(queue, at, queue->heap[child]);
        at = child;
    }
    heap_set(queue, at, lane);
}

static void heap_push(struct queue *queue, struct queue_lane *lane)
{
    queue->heap = mem_grow(queue->heap, &queue->heap_cap, queue->heap_count + 1, sizeof(queue->heap[0]));
    heap_set(queue, queue->heap_count++, lane);
    heap_up(queue, lane->heap_at);
}

static void heap_pull(struct queue *queue, struct queue_lane *lane)
{
    size_t at = lane->heap_at;
    struct queue_lane *moved = queue->heap[--queue->heap_count];
    if (moved == lane)
        return;
    heap_set(queue, at, moved);
    heap_up(queue, at);
    heap_down(queue, moved->heap_at);
}

/* ---- lists */

static void list_append(struct lane_list *list, struct queue_lane *lane)
{
    lane->list_next = NULL;
    lane->list_prev = list->last;
    if (list->last != NULL)
        list->last->list_next = lane;
    else
        list->first = lane;
    list->last = lane;
}

static void list_pull(struct lane_list *list, struct queue_lane *lane)
{
    if (lane->list_prev != NULL)
        lane->list_prev->list_next = lane->list_next;
    else
        list->first = lane->list_next;
    if (lane->list_next != NULL)
        lane->list_next->list_prev = lane->list_prev;
    else
        list->last = lane->list_prev;
}

static void lane_leave(struct queue *queue, struct queue_lane *lane)
{
    switch (lane->place) {
    case PLACE_READY:
        list_pull(&queue->ready, lane);
        break;
    case PLACE_PARKED:
        list_pull(&queue->parked, lane);
        break;
    case PLACE_WAITING:
        heap_pull(queue, lane);
        break;
    case PLACE_BUSY:
        break;
    }
}

static void lane_enter(struct queue *queue, struct queue_lane *lane, enum place place)
{
    lane->place = place;
    switch (place) {
    case PLACE_READY:
        list_append(&queue->ready, lane);
        break;
    case PLACE_PARKED:
        list_append(&queue->parked, lane);
        break;
    case PLACE_WAITING:
        heap_push(queue, lane);
        break;
    case PLACE_BUSY:
        break;
    }
}

/* ---- lanes by name */

static void grow_buckets(struct queue *queue)
{
    size_t count = queue->bucket_count * 2;
    struct queue_lane **buckets = mem_alloc(count * sizeof(struct queue_lane *));
    for (size_t i = 0; i < queue->bucket_count; i++)
        while (queue->buckets[i] != NULL) {
            struct queue_lane *lane = queue->buckets[i];
            queue->buckets[i] = lane->hash_next;
            lane->hash_next = buckets[lane->hash % count];
            buckets[lane->hash % count] = lane;
        }
    free(queue->buckets);
    queue->buckets = buckets;
    queue->bucket_count = count;
}

static struct queue_lane *lane_get(struct queue *queue, const char *name, bool *fresh)
{
    struct span text = span_of(name);
    uint64_t hash = digest_fast(text, queue->seed);
    struct queue_lane *lane = queue->buckets[hash % queue->bucket_count];
    while (lane != NULL && (lane->hash != hash || strcmp(lane->name, name) != 0))
        lane = lane->hash_next;
    *fresh = lane == NULL;
    if (lane != NULL)
        return lane;
    if (queue->lane_count >= queue->bucket_count)
        grow_buckets(queue);
    lane = mem_alloc(sizeof(*lane) + text.len + 1);
    memcpy(lane->name, name, text.len);
    lane->hash = hash;
    lane->hash_next = queue->buckets[hash % queue->bucket_count];
    queue->buckets[hash % queue->bucket_count] = lane;
    queue->lane_count++;
    return lane;
}

static void lane_free(struct queue *queue, struct queue_lane *lane)
{
    struct queue_lane **at = &queue->buckets[lane->hash % queue->bucket_count];
    while (*at != lane)
        at = &(*at)->hash_next;
    *at = lane->hash_next;
    queue->lane_count--;
    free(lane);
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

bool queue_wants_rewind(const struct queue *queue)
{
    return queue->rewind;
}

bool queue_rewind(struct queue *queue)
{
    if (!queue->rewind)
        return false;
    queue->rewind = false;
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

/* The first `keep` stay. */
static void trim(struct queue *queue, struct queue_lane *lane, size_t keep)
{
    struct queue_entry *last = lane->first;
    if (lane->length <= keep)
        return;
    for (size_t i = 1; i < keep; i++)
        last = last->next;
    while (last->next != NULL) {
        struct queue_entry *out = last->next;
        last->next = out->next;
        leave_out(queue, lane, out->seq);
        entry_leave(queue, out);
        lane->length--;
        queue->length--;
    }
    lane->last = last;
}

static void park(struct queue *queue, struct queue_lane *lane)
{
    lane_enter(queue, lane, PLACE_PARKED);
    trim(queue, lane, 1);
    queue->length--;
    queue->parked_count++;
}

/* Its place is the caller's to change. */
static void leave_parked(struct queue *queue)
{
    queue->length++;
    queue->parked_count--;
    if (queue->parked_out_seq == INT64_MAX)
        return;
    if (queue->parked_out_seq < queue->left_out_seq)
        queue->left_out_seq = queue->parked_out_seq;
    queue->parked_out_seq = INT64_MAX;
    queue->rewind = true;
}

static void forget_entry(struct queue *queue, struct queue_lane *lane, struct queue_entry *entry)
{
    if (lane->place == PLACE_PARKED)
        leave_parked(queue);
    queue->length--;
    lane->length--;
    if (lane->length < LANE_LOW)
        queue->rewind |= has_more(queue, lane);
    entry_leave(queue, entry);
}

void queue_add(struct queue *queue, int64_t seq, const char *lane_name, const char *operation, const char *route,
               int64_t due_ms, int64_t accepted_ms, int attempts, bool uncertain)
{
    bool fresh;
    if (seq > queue->last_seq)
        queue->last_seq = seq;
    if (entry_get(queue, seq) != NULL)
        return;
    struct queue_lane *lane = lane_get(queue, lane_name, &fresh);
    if (!fresh && (has_more(queue, lane) || lane->place == PLACE_PARKED || lane->length >= fair_share(queue))) {
        leave_out(queue, lane, seq);
        return;
    }
    struct queue_entry *entry = mem_alloc(sizeof(*entry));
    *entry = (struct queue_entry){.lane = lane,
                                  .seq = seq,
                                  .due_ms = due_ms,
                                  .accepted_ms = accepted_ms,
                                  .attempts = attempts,
                                  .route = mem_strdup(route),
                                  .operation = mem_strdup(operation),
                                  .uncertain = uncertain};
    if (lane->last != NULL)
        lane->last->next = entry;
    else
        lane->first = entry;
    lane->last = entry;
    lane->length++;
    queue->length++;
    entry_enter(queue, entry);
    if (fresh)
        lane_enter(queue, lane, PLACE_WAITING);
}

/* Moves what has fallen due to the ready line, so that lanes take turns whatever their due times. */
static void ripen(struct queue *queue, int64_t now_ms)
{
    while (queue->heap_count > 0 && lane_due(queue->heap[0]) <= now_ms) {
        struct queue_lane *lane = queue->heap[0];
        lane_leave(queue, lane);
        lane_enter(queue, lane, PLACE_READY);
    }
}

struct queue_entry *queue_take(struct queue *queue, int64_t now_ms,
                               bool (*may_run)(void *context, const struct queue_entry *entry), void *context)
{
    ripen(queue, now_ms);
    while (queue->ready.first != NULL) {
        struct queue_lane *lane = queue->ready.first;
        lane_leave(queue, lane);
        if (may_run != NULL && !may_run(context, lane->first)) {
            park(queue, lane);
            continue;
        }
        lane_enter(queue, lane, PLACE_BUSY);
        return lane->first;
    }
    return NULL;
}

void queue_return(struct queue *queue, struct queue_entry *entry, int64_t due_ms)
{
    entry->due_ms = due_ms;
    trim(queue, entry->lane, LANE_STUCK);
    lane_enter(queue, entry->lane, PLACE_WAITING);
}

void queue_remove(struct queue *queue, struct queue_entry *entry)
{
    struct queue_lane *lane = entry->lane;
    lane->first = entry->next;
    forget_entry(queue, lane, entry);
    if (lane->first == NULL)
        lane_free(queue, lane);
    else
        lane_enter(queue, lane, PLACE_WAITING);
}

static bool is_taken(const struct queue_entry *entry)
{
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

void queue_drop(struct queue *queue, struct queue_entry *entry)
{
    struct queue_lane *lane = entry->lane;
    if (lane->first == entry) {
        lane_leave(queue, lane);
        queue_remove(queue, entry);
        return;
    }
    struct queue_entry *before = lane->first;
    while (before->next != entry)
        before = before->next;
    before->next = entry->next;
    if (lane->last == entry)
        lane->last = before;
    forget_entry(queue, lane, entry);
}

void queue_hasten(struct queue *queue, struct queue_entry *entry, int64_t due_ms)
{
    struct queue_lane *lane = entry->lane;
    if (lane->first != entry || lane->place != PLACE_WAITING) {
        entry->due_ms = due_ms;
        return;
    }
    lane_leave(queue, lane);
    entry->due_ms = due_ms;
    lane_enter(queue, lane, PLACE_WAITING);
}

void queue_unpark(struct queue *queue)
{
    while (queue->parked.first != NULL) {
        struct queue_lane *lane = queue->parked.first;
        lane_leave(queue, lane);
        leave_parked(queue);
        lane_enter(queue, lane, PLACE_READY);
    }
}

int64_t queue_next_due(const struct queue *queue)
{
    if (queue->ready.first != NULL)
        return INT64_MIN;
    return queue->heap_count > 0 ? lane_due(queue->heap[0]) : INT64_MAX;
}
