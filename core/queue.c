/* SPDX-License-Identifier: Apache-2.0 */
/* A lane is in exactly one place: ready (a FIFO, so that lanes take turns), waiting (a binary heap by
 * the head's due time), parked (its head's operation is held), or busy (its head was taken). An empty
 * lane is freed. Every step is O(1) or O(log lanes). */
#include "queue.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

enum place { PLACE_READY = 1, PLACE_WAITING, PLACE_PARKED, PLACE_BUSY };

struct queue_lane {
    struct queue_lane *hash_next;
    struct queue_lane *list_prev, *list_next; /* ready and parked */
    size_t heap_at;                           /* waiting */
    enum place place;
    struct queue_entry *first, *last;
    uint64_t hash;
    char name[];
};

struct lane_list {
    struct queue_lane *first, *last;
};

struct queue {
    size_t window, length;
    int64_t last_seq;
    struct queue_lane **buckets;
    size_t bucket_count, lane_count;
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
    free(queue->heap);
    free(queue);
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

void queue_add(struct queue *queue, int64_t seq, const char *lane_name, const char *operation, const char *route,
               int64_t due_ms, int64_t accepted_ms, int attempts, bool uncertain)
{
    bool fresh;
    struct queue_lane *lane = lane_get(queue, lane_name, &fresh);
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
    queue->length++;
    if (seq > queue->last_seq)
        queue->last_seq = seq;
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
            lane_enter(queue, lane, PLACE_PARKED);
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
    lane_enter(queue, entry->lane, PLACE_WAITING);
}

void queue_remove(struct queue *queue, struct queue_entry *entry)
{
    struct queue_lane *lane = entry->lane;
    lane->first = entry->next;
    if (lane->first == NULL)
        lane_free(queue, lane);
    else
        lane_enter(queue, lane, PLACE_WAITING);
    entry_free(entry);
    queue->length--;
}

struct queue_entry *queue_find(struct queue *queue, int64_t seq)
{
    for (size_t i = 0; i < queue->bucket_count; i++)
        for (struct queue_lane *lane = queue->buckets[i]; lane != NULL; lane = lane->hash_next)
            for (struct queue_entry *entry = lane->first; entry != NULL; entry = entry->next)
                if (entry->seq == seq)
                    return lane->place == PLACE_BUSY && entry == lane->first ? NULL : entry;
    return NULL;
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
    entry_free(entry);
    queue->length--;
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
        lane_enter(queue, lane, PLACE_READY);
    }
}

int64_t queue_next_due(const struct queue *queue)
{
    if (queue->ready.first != NULL)
        return INT64_MIN;
    return queue->heap_count > 0 ? lane_due(queue->heap[0]) : INT64_MAX;
}
