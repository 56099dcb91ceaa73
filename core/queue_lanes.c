/* SPDX-License-Identifier: Apache-2.0 */
/* Entries by seq, lanes by name, and the places where lanes stand. */
#include "queue_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- entries by seq */

static struct queue_entry **place_of(const struct queue *queue, int64_t seq)
{
    return &queue->by_seq[(uint64_t)seq & (queue->by_seq_size - 1)]; /* they follow each other: spread well */
}

struct queue_entry *entry_get(const struct queue *queue, int64_t seq)
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

void entry_free(struct queue_entry *entry)
{
    free(entry->operation);
    free(entry->route);
    free(entry);
}

struct queue_entry *entry_append(struct queue *queue, struct queue_lane *lane, const struct queue_delivery *delivery)
{
    struct queue_entry *entry = mem_alloc(sizeof(*entry));
    *entry = (struct queue_entry){.prev = lane->last,
                                  .lane = lane,
                                  .group = delivery->group,
                                  .seq = delivery->seq,
                                  .due_ms = delivery->due_ms,
                                  .accepted_ms = delivery->accepted_ms,
                                  .attempts = delivery->attempts,
                                  .ahead = delivery->ahead,
                                  .route = mem_strdup(delivery->route),
                                  .operation = mem_strdup(delivery->operation)};
    if (entry->group != NULL && delivery->key.len > 0)
        key_hold(queue, entry, delivery->key);
    if (lane->last != NULL)
        lane->last->next = entry;
    else
        lane->first = entry;
    lane->last = entry;
    lane->length++;
    *(entry->ahead ? &queue->ahead : &queue->length) += 1;
    entry_enter(queue, entry);
    return entry;
}

void entry_count_in(struct queue *queue, struct queue_entry *entry)
{
    if (!entry->ahead)
        return;
    entry->ahead = false;
    queue->ahead--;
    queue->length++;
}

void entry_unlink(struct queue *queue, struct queue_entry *entry)
{
    struct queue_lane *lane = entry->lane;
    struct queue_entry **at = place_of(queue, entry->seq);
    while (*at != entry)
        at = &(*at)->hash_next;
    *at = entry->hash_next;
    queue->entry_count--;
    *(entry->prev != NULL ? &entry->prev->next : &lane->first) = entry->next;
    *(entry->next != NULL ? &entry->next->prev : &lane->last) = entry->prev;
    lane->length--;
    *(entry->ahead ? &queue->ahead : &queue->length) -= 1;
    if (entry->key != NULL)
        key_release(queue, entry->key);
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

/* ---- places */

static struct queue_group *group_of(const struct queue_lane *lane)
{
    return lane->first->group;
}

static void begin_run(struct queue_lane *lane)
{
    struct queue_group *group = group_of(lane);
    lane->run = 0;
    for (struct queue_entry *entry = lane->first; entry != NULL && entry->group == group; entry = entry->next) {
        group_count(group, entry, true);
        lane->run++;
    }
    list_append(&group->lanes, lane);
}

static void end_run(struct queue_lane *lane)
{
    struct queue_group *group = group_of(lane);
    list_pull(&group->lanes, lane);
    for (struct queue_entry *entry = lane->first; lane->run > 0; entry = entry->next, lane->run--)
        group_count(group, entry, false);
}

void lane_leave(struct queue *queue, struct queue_lane *lane)
{
    switch (lane->place) {
    case PLACE_READY:
        list_pull(&queue->ready, lane);
        break;
    case PLACE_GATHERING:
        end_run(lane);
        break;
    case PLACE_PARKED:
        list_pull(&queue->parked, lane);
        break;
    case PLACE_WAITING:
        heap_pull(queue, lane);
        break;
    case PLACE_NONE:
    case PLACE_BUSY:
        break;
    }
    lane->place = PLACE_NONE;
}

void lane_enter(struct queue *queue, struct queue_lane *lane, enum place place)
{
    lane->place = place;
    switch (place) {
    case PLACE_READY:
        list_append(&queue->ready, lane);
        break;
    case PLACE_GATHERING:
        begin_run(lane);
        break;
    case PLACE_PARKED:
        list_append(&queue->parked, lane);
        break;
    case PLACE_WAITING:
        heap_push(queue, lane);
        break;
    case PLACE_NONE:
    case PLACE_BUSY:
        break;
    }
}

void lane_move(struct queue *queue, struct queue_lane *lane, enum place place)
{
    lane_leave(queue, lane);
    lane_enter(queue, lane, place);
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

static struct queue_lane *find(const struct queue *queue, const char *name, uint64_t hash)
{
    struct queue_lane *lane = queue->buckets[hash % queue->bucket_count];
    while (lane != NULL && (lane->hash != hash || strcmp(lane->name, name) != 0))
        lane = lane->hash_next;
    return lane;
}

struct queue_lane *lane_find(const struct queue *queue, const char *name)
{
    return find(queue, name, digest_fast(span_of(name), queue->seed));
}

struct queue_lane *lane_get(struct queue *queue, const char *name, bool *fresh)
{
    struct span text = span_of(name);
    uint64_t hash = digest_fast(text, queue->seed);
    struct queue_lane *lane = find(queue, name, hash);
    *fresh = lane == NULL;
    if (lane != NULL)
        return lane;
    if (queue->lane_count >= queue->bucket_count)
        grow_buckets(queue);
    lane = mem_alloc(sizeof(*lane) + text.len + 1);
    memcpy(lane->name, text.data, text.len);
    lane->hash = hash;
    lane->hash_next = queue->buckets[hash % queue->bucket_count];
    queue->buckets[hash % queue->bucket_count] = lane;
    queue->lane_count++;
    return lane;
}

void lane_free(struct queue *queue, struct queue_lane *lane)
{
    struct queue_lane **at = &queue->buckets[lane->hash % queue->bucket_count];
    while (*at != lane)
        at = &(*at)->hash_next;
    *at = lane->hash_next;
    queue->lane_count--;
    free(lane);
}
