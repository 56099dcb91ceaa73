/* SPDX-License-Identifier: Apache-2.0 */
#include "route_newest.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next; /* of its bucket */
    uint32_t route;
    int64_t at_ms, before_ms; /* before: at the last commit, while it is in the journal */
    bool in_journal;
    size_t len;
    char key[];
};

struct route_newest {
    struct entry **buckets;
    size_t bucket_count, count; /* a power of two */
    struct entry **journal;     /* changed since the last commit */
    size_t journal_count, journal_cap;
};

#define FIRST_BUCKETS 64

struct route_newest *route_newest_create(void)
{
    struct route_newest *newest = mem_alloc(sizeof(*newest));
    newest->bucket_count = FIRST_BUCKETS;
    newest->buckets = mem_alloc(FIRST_BUCKETS * sizeof(newest->buckets[0]));
    return newest;
}

void route_newest_destroy(struct route_newest *newest)
{
    if (newest == NULL)
        return;
    for (size_t i = 0; i < newest->bucket_count; i++)
        for (struct entry *entry = newest->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            free(entry);
        }
    free(newest->buckets);
    free(newest->journal);
    free(newest);
}

static struct entry **bucket_of(const struct route_newest *newest, uint32_t route, struct span key)
{
    return &newest->buckets[digest_fast(key, route) & (newest->bucket_count - 1)];
}

static void grow(struct route_newest *newest)
{
    struct entry **old = newest->buckets;
    size_t count = newest->bucket_count;
    newest->bucket_count *= 2;
    newest->buckets = mem_alloc(newest->bucket_count * sizeof(newest->buckets[0]));
    for (size_t i = 0; i < count; i++)
        for (struct entry *entry = old[i], *next; entry != NULL; entry = next) {
            struct entry **bucket = bucket_of(newest, entry->route, (struct span){entry->key, entry->len});
            next = entry->next;
            entry->next = *bucket;
            *bucket = entry;
        }
    free(old);
}

static struct entry *get(struct route_newest *newest, uint32_t route, struct span key)
{
    struct entry *entry = *bucket_of(newest, route, key);
    while (entry != NULL &&
           (entry->route != route || entry->len != key.len || memcmp(entry->key, key.data, key.len) != 0))
        entry = entry->next;
    if (entry != NULL)
        return entry;
    if (++newest->count > newest->bucket_count)
        grow(newest);
    struct entry **bucket = bucket_of(newest, route, key);
    entry = mem_alloc(sizeof(*entry) + key.len + 1);
    entry->route = route;
    entry->at_ms = INT64_MIN;
    entry->len = key.len;
    memcpy(entry->key, key.data, key.len);
    entry->next = *bucket;
    *bucket = entry;
    return entry;
}

int64_t route_newest_note(struct route_newest *newest, uint32_t route, struct span key, int64_t at_ms)
{
    struct entry *entry = get(newest, route, key);
    int64_t before_ms = entry->at_ms;
    if (at_ms <= before_ms)
        return before_ms;
    if (!entry->in_journal) {
        newest->journal =
            mem_grow(newest->journal, &newest->journal_cap, newest->journal_count + 1, sizeof(newest->journal[0]));
        newest->journal[newest->journal_count++] = entry;
        entry->in_journal = true;
        entry->before_ms = before_ms;
    }
    entry->at_ms = at_ms;
    return before_ms;
}

static void end_journal(struct route_newest *newest, bool undo)
{
    for (size_t i = 0; i < newest->journal_count; i++) {
        struct entry *entry = newest->journal[i];
        entry->in_journal = false;
        if (undo)
            entry->at_ms = entry->before_ms;
    }
    newest->journal_count = 0;
}

void route_newest_commit(struct route_newest *newest)
{
    end_journal(newest, false);
}

void route_newest_rollback(struct route_newest *newest)
{
    end_journal(newest, true);
}
