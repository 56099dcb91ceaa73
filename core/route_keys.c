/* SPDX-License-Identifier: Apache-2.0 */

/* A hash table with linear probing of pointers to entries, each one piece of memory with its key behind
 * it: about 80 bytes a state. Entries do not move while the journal may point at them: what became
 * initial leaves the table at commit or rollback only. */

#include "route_keys.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    int64_t since_ms, last_fired_ms;
    uint32_t route, key_len, suppressed;
    uint8_t phase;
    bool journaled;
    char key[];
};

struct undo {
    struct entry *entry;
    struct trigger_state before;
};

struct route_keys {
    struct entry **slots; /* a power of two, at most three quarters full */
    size_t slot_count, used;
    size_t live; /* not initial */
    uint64_t seed;
    struct undo *journal;
    size_t journal_count, journal_cap;
};

struct route_keys *route_keys_create(void)
{
    struct route_keys *keys = mem_alloc(sizeof(*keys));
    keys->slot_count = 64;
    keys->slots = mem_alloc(keys->slot_count * sizeof(*keys->slots));
    keys->seed = random_u64();
    return keys;
}

void route_keys_destroy(struct route_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->slot_count; i++)
        free(keys->slots[i]);
    free(keys->slots);
    free(keys->journal);
    free(keys);
}

static size_t home_of(const struct route_keys *keys, uint32_t route, struct span key)
{
    return digest_fast(key, keys->seed + route) & (keys->slot_count - 1);
}

/* The slot of this key, or the free one where it would stand. */
static size_t find_slot(const struct route_keys *keys, uint32_t route, struct span key)
{
    size_t i = home_of(keys, route, key);
    for (;; i = (i + 1) & (keys->slot_count - 1)) {
        const struct entry *entry = keys->slots[i];
        if (entry == NULL || (entry->route == route && entry->key_len == key.len &&
                              (key.len == 0 || memcmp(entry->key, key.data, key.len) == 0)))
            return i;
    }
}

static struct span key_of(const struct entry *entry)
{
    return (struct span){entry->key, entry->key_len};
}

static struct trigger_state load(const struct entry *entry)
{
    return (struct trigger_state){.phase = (enum trigger_phase)entry->phase,
                                  .since_ms = entry->since_ms,
                                  .last_fired_ms = entry->last_fired_ms,
                                  .suppressed = entry->suppressed};
}

static bool is_initial(const struct entry *entry)
{
    struct trigger_state state = load(entry);
    return trigger_state_is_initial(&state);
}

static void save(struct route_keys *keys, struct entry *entry, const struct trigger_state *state)
{
    keys->live -= is_initial(entry) ? 0 : 1;
    entry->phase = (uint8_t)state->phase;
    entry->since_ms = state->since_ms;
    entry->last_fired_ms = state->last_fired_ms;
    entry->suppressed = state->suppressed > UINT32_MAX ? UINT32_MAX : (uint32_t)state->suppressed;
    keys->live += is_initial(entry) ? 0 : 1;
}

struct trigger_state route_keys_get(const struct route_keys *keys, uint32_t route, struct span key)
{
    const struct entry *entry = keys->slots[find_slot(keys, route, key)];
    return entry != NULL ? load(entry) : (struct trigger_state){0};
}

static void grow(struct route_keys *keys)
{
    struct entry **old = keys->slots;
    size_t count = keys->slot_count;
    keys->slot_count = count * 2;
    keys->slots = mem_alloc(keys->slot_count * sizeof(*keys->slots));
    for (size_t i = 0; i < count; i++) {
        if (old[i] == NULL)
            continue;
        size_t slot = home_of(keys, old[i]->route, key_of(old[i]));
        while (keys->slots[slot] != NULL)
            slot = (slot + 1) & (keys->slot_count - 1);
        keys->slots[slot] = old[i];
    }
    free(old);
}

static struct entry *add(struct route_keys *keys, size_t slot, uint32_t route, struct span key)
{
    struct entry *entry = mem_alloc(sizeof(*entry) + key.len);
    entry->route = route;
    entry->key_len = (uint32_t)key.len;
    if (key.len > 0)
        memcpy(entry->key, key.data, key.len);
    keys->slots[slot] = entry;
    if (++keys->used * 4 > keys->slot_count * 3)
        grow(keys);
    return entry;
}

/* Frees an entry and moves up those behind it that the gap would hide. */
static void drop(struct route_keys *keys, struct entry *gone)
{
    size_t mask = keys->slot_count - 1, gap = find_slot(keys, gone->route, key_of(gone));
    free(gone);
    keys->slots[gap] = NULL;
    keys->used--;
    for (size_t i = (gap + 1) & mask; keys->slots[i] != NULL; i = (i + 1) & mask) {
        size_t home = home_of(keys, keys->slots[i]->route, key_of(keys->slots[i]));
        if (((i - home) & mask) < ((i - gap) & mask))
            continue; /* its home lies behind the gap */
        keys->slots[gap] = keys->slots[i];
        keys->slots[i] = NULL;
        gap = i;
    }
}

void route_keys_put(struct route_keys *keys, uint32_t route, struct span key, const struct trigger_state *state)
{
    size_t slot = find_slot(keys, route, key);
    struct entry *entry = keys->slots[slot] != NULL ? keys->slots[slot] : add(keys, slot, route, key);
    if (!entry->journaled) {
        entry->journaled = true;
        keys->journal = mem_grow(keys->journal, &keys->journal_cap, keys->journal_count + 1, sizeof(*keys->journal));
        keys->journal[keys->journal_count++] = (struct undo){entry, load(entry)};
    }
    save(keys, entry, state);
}

static void close_journal(struct route_keys *keys, bool undo)
{
    for (size_t i = 0; i < keys->journal_count; i++) {
        struct entry *entry = keys->journal[i].entry;
        if (undo)
            save(keys, entry, &keys->journal[i].before);
        entry->journaled = false;
        if (is_initial(entry))
            drop(keys, entry);
    }
    keys->journal_count = 0;
}

void route_keys_commit(struct route_keys *keys)
{
    close_journal(keys, false);
}

void route_keys_rollback(struct route_keys *keys)
{
    close_journal(keys, true);
}

size_t route_keys_count(const struct route_keys *keys)
{
    return keys->live;
}
