/* SPDX-License-Identifier: Apache-2.0 */
/* Groups and batches.
 *
 * A lane whose head is due and belongs to a group stands in the group's list: the run of entries at its front that are
 * of the group too is what it would give to a batch. The group counts them, each key once, as they come and go; so
 * whether a batch is full is known at any time, and gathering it looks at each of its entries once.
 *
 * A batch that goes again is represented by one lane, which waits, parks and takes turns like any other; the other
 * lanes of the batch stay busy. */
#include "queue_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- keys */

static struct queue_key **key_place(const struct queue *queue, uint64_t hash)
{
    return &queue->keys[hash & (queue->key_size - 1)];
}

static void grow_keys(struct queue *queue)
{
    struct queue_key **old = queue->keys;
    size_t old_size = queue->key_size;
    queue->key_size = old_size > 0 ? old_size * 2 : 64;
    queue->keys = mem_alloc(queue->key_size * sizeof(struct queue_key *));
    for (size_t i = 0; i < old_size; i++)
        for (struct queue_key *next, *key = old[i]; key != NULL; key = next) {
            struct queue_key **place = key_place(queue, key->hash);
            next = key->hash_next;
            key->hash_next = *place;
            *place = key;
        }
    free(old);
}

void key_hold(struct queue *queue, struct queue_entry *entry, struct span text)
{
    uint64_t hash = digest_fast(text, queue->seed);
    if (queue->key_count >= queue->key_size)
        grow_keys(queue);
    struct queue_key *key = *key_place(queue, hash);
    while (key != NULL && (key->hash != hash || key->group != entry->group || key->len != text.len ||
                           memcmp(key->text, text.data, text.len) != 0))
        key = key->hash_next;
    if (key == NULL) {
        key = mem_alloc(sizeof(*key) + text.len);
        key->group = entry->group;
        key->hash = hash;
        key->len = text.len;
        memcpy(key->text, text.data, text.len);
        key->hash_next = *key_place(queue, hash);
        *key_place(queue, hash) = key;
        queue->key_count++;
    }
    key->refs++;
    entry->key = key;
}

void key_release(struct queue *queue, struct queue_key *key)
{
    if (--key->refs > 0)
        return;
    struct queue_key **at = key_place(queue, key->hash);
    while (*at != key)
        at = &(*at)->hash_next;
    *at = key->hash_next;
    queue->key_count--;
    free(key);
}

/* ---- groups */

struct queue_group *queue_group(struct queue *queue, const char *operation, size_t max, int64_t wait_ms, int kind)
{
    struct queue_group **at = &queue->groups;
    while (*at != NULL && ((*at)->max != max || (*at)->wait_ms != wait_ms || (*at)->kind != kind ||
                           strcmp((*at)->operation, operation) != 0))
        at = &(*at)->next;
    if (*at == NULL) {
        *at = mem_alloc(sizeof(**at));
        (*at)->operation = mem_strdup(operation);
        (*at)->max = max;
        (*at)->wait_ms = wait_ms;
        (*at)->kind = kind;
    }
    return *at;
}

void queue_each_group(const struct queue *queue, void (*each)(void *context, const struct queue_group_state *group),
                      void *context)
{
    for (const struct queue_group *group = queue->groups; group != NULL; group = group->next) {
        const struct queue_group_state state = {group->operation, group->max, group->items, group->wait_ms};
        each(context, &state);
    }
}

void group_free_all(struct queue *queue)
{
    while (queue->groups != NULL) {
        struct queue_group *group = queue->groups;
        queue->groups = group->next;
        free(group->operation);
        free(group);
    }
}

void group_count(struct queue_group *group, const struct queue_entry *entry, bool in)
{
    struct queue_key *key = entry->key;
    bool last = key == NULL || (in ? key->ready++ : --key->ready) == 0; /* of its key */
    group->ready = in ? group->ready + 1 : group->ready - 1;
    if (last)
        group->items = in ? group->items + 1 : group->items - 1;
}

/* A window that is full cannot bring more, so nothing is gained by waiting. */
int64_t group_due(const struct queue *queue, const struct queue_group *group)
{
    if (group->lanes.first == NULL)
        return INT64_MAX;
    if (group->items >= group->max || queue_is_tight(queue))
        return INT64_MIN;
    return queue->more ? INT64_MAX : group->since_ms + group->wait_ms;
}

struct queue_group *group_next(struct queue *queue, int64_t now_ms)
{
    struct queue_group **chosen = NULL;
    int64_t least_ms = now_ms;
    for (struct queue_group **at = &queue->groups; *at != NULL; at = &(*at)->next) {
        int64_t due_ms = group_due(queue, *at);
        if (due_ms <= least_ms && (chosen == NULL || due_ms < least_ms)) {
            chosen = at;
            least_ms = due_ms;
        }
    }
    if (chosen == NULL)
        return NULL;
    struct queue_group *group = *chosen; /* to the end: the next time it is another's turn */
    *chosen = group->next;
    group->next = NULL;
    struct queue_group **end = &queue->groups;
    while (*end != NULL)
        end = &(*end)->next;
    *end = group;
    return group;
}

/* ---- gathering */

struct gathering {
    struct queue_batch *batch;
    size_t items, max;
};

static void add_to(struct queue_batch *batch, struct queue_entry *entry)
{
    batch->entries = mem_grow(batch->entries, &batch->cap, batch->count + 1, sizeof(batch->entries[0]));
    entry->batch = batch;
    entry->batch_at = batch->count;
    entry->lane->bound++;
    batch->entries[batch->count++] = entry;
    batch->left++;
}

/* Answers false when the batch has no place for it. */
static bool put(struct gathering *gathering, struct queue_entry *entry)
{
    struct queue_batch *batch = gathering->batch;
    struct queue_key *key = entry->key;
    bool fresh = key == NULL || key->newest == NULL;
    if (fresh && gathering->items == gathering->max)
        return false;
    gathering->items += fresh ? 1 : 0;
    if (key != NULL && (fresh || key->newest->seq < entry->seq))
        key->newest = entry;
    add_to(batch, entry);
    return true;
}

static int by_age(const void *left, const void *right)
{
    const struct queue_entry *const *a = left, *const *b = right;
    return (*a)->seq < (*b)->seq ? -1 : (*a)->seq > (*b)->seq;
}

static void close_batch(struct queue_batch *batch)
{
    qsort(batch->entries, batch->count, sizeof(batch->entries[0]), by_age);
    batch->taken = true;
    for (size_t i = 0; i < batch->count; i++) {
        struct queue_entry *entry = batch->entries[i];
        entry->batch_at = i;
        if (entry->key != NULL && entry->key->newest != entry)
            entry->merged_into = entry->key->newest;
    }
    for (size_t i = 0; i < batch->count; i++)
        if (batch->entries[i]->key != NULL)
            batch->entries[i]->key->newest = NULL;
}

struct queue_entry *group_gather(struct queue *queue, struct queue_group *group, int64_t now_ms)
{
    struct gathering gathering = {.batch = queue_batch_create(""), .max = group->max};
    while (group->lanes.first != NULL && gathering.items < group->max) {
        struct queue_lane *lane = group->lanes.first;
        size_t run = lane->run;
        lane_move(queue, lane, PLACE_BUSY);
        for (struct queue_entry *entry = lane->first; run > 0 && put(&gathering, entry); entry = entry->next)
            run--;
    }
    group->since_ms = now_ms;
    for (struct queue_lane *lane = group->lanes.first; lane != NULL; lane = lane->list_next)
        if (lane->first->accepted_ms < group->since_ms)
            group->since_ms = lane->first->accepted_ms;
    close_batch(gathering.batch);
    return gathering.batch->entries[0];
}

/* ---- batches */

struct queue_batch *queue_batch_create(const char *id)
{
    struct queue_batch *batch = mem_alloc(sizeof(*batch));
    for (size_t i = 0; i + 1 < sizeof(batch->id) && id[i] != '\0'; i++)
        batch->id[i] = id[i];
    return batch;
}

static void batch_free(struct queue_batch *batch)
{
    free(batch->entries);
    free(batch);
}

bool queue_batch_add(struct queue *queue, struct queue_batch *batch, const struct queue_delivery *delivery)
{
    bool fresh;
    struct queue_lane *lane = lane_get(queue, delivery->lane, &fresh);
    if (lane->bound < lane->length) /* something stands before it: of what was here, this was never a batch */
        return false;
    if (fresh)
        lane_enter(queue, lane, PLACE_BUSY);
    add_to(batch, entry_append(queue, lane, delivery));
    batch->taken = true;
    return true;
}

void batch_forget(struct queue_entry *entry)
{
    struct queue_batch *batch = entry->batch;
    if (batch == NULL)
        return;
    batch->entries[entry->batch_at] = NULL;
    if (--batch->left == 0)
        batch_free(batch);
}

void batch_return(struct queue *queue, struct queue_batch *batch, int64_t due_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct queue_entry *entry = batch->entries[i];
        if (entry == NULL)
            continue;
        entry->due_ms = due_ms;
        entry->batch_at = count;
        batch->entries[count++] = entry;
        lane_trim(queue, entry->lane, LANE_STUCK);
    }
    batch->count = count;
    batch->taken = false;
    lane_enter(queue, batch->entries[0]->lane, PLACE_WAITING);
}

void queue_disband(struct queue *queue, struct queue_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct queue_entry *entry = batch->entries[i];
        if (entry == NULL)
            continue;
        entry->batch = NULL;
        entry->merged_into = NULL;
        if (--entry->lane->bound == 0)
            lane_enter(queue, entry->lane, PLACE_WAITING);
    }
    batch_free(batch);
}

void queue_scatter(struct queue *queue, struct queue_batch *batch, int64_t due_ms)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct queue_entry *entry = batch->entries[i];
        if (entry == NULL)
            continue;
        entry->due_ms = due_ms;
        entry->group = NULL; /* its lane is busy: nothing counts it */
        if (entry->key != NULL)
            key_release(queue, entry->key);
        entry->key = NULL;
    }
    queue_disband(queue, batch);
}
