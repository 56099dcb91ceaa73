/* SPDX-License-Identifier: Apache-2.0 */

/* A hash table with linear probing of pointers to entries, each one piece of memory with its key behind
 * it. Entries do not move while the journal may point at them: what became initial leaves the table at commit
 * or rollback only. What few states have (numbers, an order, a kept message) is a second piece, never changed in
 * place: a change makes a new one, and the journal holds the old. */

#include "route_keys.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

#define NOT_DUE UINT32_MAX

struct more {
    uint32_t word_count, kept_len;
    char order[UUID_TEXT_MAX];
    double words[];
    /* kept bytes behind */
};

struct part { /* what changes */
    int64_t since_ms, last_fired_ms;
    struct more *more; /* NULL: nothing */
    uint32_t suppressed;
    uint16_t repeats;
    uint8_t phase;
    bool alarmed;
};

struct entry {
    struct part now;
    uint32_t route, key_len;
    uint32_t heap_at; /* NOT_DUE: time alone does nothing */
    bool journaled;
    char key[];
};

struct due {
    int64_t at_ms;
    struct entry *entry;
};

struct undo {
    struct entry *entry;
    struct part before; /* owns its more */
    int64_t due_ms;
};

struct route_keys {
    struct entry **slots; /* a power of two, at most three quarters full */
    size_t slot_count, used;
    size_t live; /* not initial */
    uint64_t seed;
    struct undo *journal;
    size_t journal_count, journal_cap;
    struct due *heap;
    size_t heap_count, heap_cap;
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
    route_keys_commit(keys);
    for (size_t i = 0; i < keys->slot_count; i++) {
        if (keys->slots[i] != NULL)
            free(keys->slots[i]->now.more);
        free(keys->slots[i]);
    }
    free(keys->slots);
    free(keys->journal);
    free(keys->heap);
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

/* ---- the heap: whose time comes first -------------------------------------*/

static void place(struct route_keys *keys, size_t at, struct due due)
{
    keys->heap[at] = due;
    due.entry->heap_at = (uint32_t)at;
}

static void sift(struct route_keys *keys, size_t at, struct due due)
{
    while (at > 0 && keys->heap[(at - 1) / 2].at_ms > due.at_ms) {
        place(keys, at, keys->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < keys->heap_count && keys->heap[child + 1].at_ms < keys->heap[child].at_ms)
            child++;
        if (child >= keys->heap_count || keys->heap[child].at_ms >= due.at_ms)
            break;
        place(keys, at, keys->heap[child]);
        at = child;
    }
    place(keys, at, due);
}

static void set_due(struct route_keys *keys, struct entry *entry, int64_t due_ms)
{
    size_t at = entry->heap_at;
    if (due_ms != INT64_MAX && at == NOT_DUE) {
        keys->heap = mem_grow(keys->heap, &keys->heap_cap, keys->heap_count + 1, sizeof(*keys->heap));
        at = keys->heap_count++;
    }
    if (due_ms != INT64_MAX) {
        sift(keys, at, (struct due){due_ms, entry});
    } else if (at != NOT_DUE) {
        struct due last = keys->heap[--keys->heap_count];
        entry->heap_at = NOT_DUE;
        if (last.entry != entry)
            sift(keys, at, last);
    }
}

static int64_t due_of(const struct route_keys *keys, const struct entry *entry)
{
    return entry->heap_at == NOT_DUE ? INT64_MAX : keys->heap[entry->heap_at].at_ms;
}

int64_t route_keys_due(const struct route_keys *keys)
{
    return keys->heap_count > 0 ? keys->heap[0].at_ms : INT64_MAX;
}

bool route_keys_next_due(const struct route_keys *keys, int64_t now_ms, uint32_t *route, struct span *key)
{
    if (keys->heap_count == 0 || keys->heap[0].at_ms > now_ms)
        return false;
    *route = keys->heap[0].entry->route;
    *key = key_of(keys->heap[0].entry);
    return true;
}

/* ---- states ----------------------------------------------------------------*/

static void load(const struct part *now, struct trigger_state *state)
{
    const struct more *more = now->more;
    state->phase = (enum trigger_phase)now->phase;
    state->alarmed = now->alarmed;
    state->since_ms = now->since_ms;
    state->last_fired_ms = now->last_fired_ms;
    state->suppressed = now->suppressed;
    state->repeats = now->repeats;
    if (more == NULL)
        return;
    for (size_t i = 0; i < state->word_count && i < more->word_count; i++)
        state->words[i] = more->words[i];
    memcpy(state->order, more->order, sizeof(state->order));
    state->kept = (struct span){(const char *)(more->words + more->word_count), more->kept_len};
}

bool route_keys_get(const struct route_keys *keys, uint32_t route, struct span key, struct trigger_state *state)
{
    const struct entry *entry = keys->slots[find_slot(keys, route, key)];
    double *words = state->words;
    size_t count = state->word_count;
    *state = (struct trigger_state){.words = words, .word_count = count};
    for (size_t i = 0; i < count; i++)
        words[i] = 0;
    if (entry == NULL)
        return false;
    load(&entry->now, state);
    return true;
}

static bool is_initial(const struct entry *entry)
{
    const struct part *now = &entry->now;
    return now->phase == TRIGGER_ARMED && now->since_ms == 0 && now->last_fired_ms == 0 && now->more == NULL;
}

static void set_part(struct route_keys *keys, struct entry *entry, struct part part)
{
    keys->live -= is_initial(entry) ? 0 : 1;
    entry->now = part;
    keys->live += is_initial(entry) ? 0 : 1;
}

static struct more *make_more(const struct trigger_state *state)
{
    size_t words = state->word_count;
    while (words > 0 && state->words[words - 1] == 0)
        words--;
    if (words == 0 && state->kept.len == 0 && state->order[0] == '\0')
        return NULL;
    struct more *more = mem_alloc(sizeof(*more) + words * sizeof(double) + state->kept.len);
    more->word_count = (uint32_t)words;
    more->kept_len = (uint32_t)state->kept.len;
    memcpy(more->order, state->order, sizeof(more->order));
    if (words > 0)
        memcpy(more->words, state->words, words * sizeof(double));
    if (state->kept.len > 0)
        memcpy(more->words + words, state->kept.data, state->kept.len);
    return more;
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
    entry->heap_at = NOT_DUE;
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
    free(gone->now.more);
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

/* The state as it was at the last commit; what a second change within one group made is given up. */
static void remember(struct route_keys *keys, struct entry *entry)
{
    if (entry->journaled) {
        free(entry->now.more);
        return;
    }
    keys->journal = mem_grow(keys->journal, &keys->journal_cap, keys->journal_count + 1, sizeof(*keys->journal));
    struct undo *undo = &keys->journal[keys->journal_count++];
    *undo = (struct undo){entry, entry->now, due_of(keys, entry)};
    entry->journaled = true;
}

void route_keys_put(struct route_keys *keys, uint32_t route, struct span key, const struct trigger_state *state,
                    int64_t due_ms)
{
    size_t slot = find_slot(keys, route, key);
    struct entry *entry = keys->slots[slot] != NULL ? keys->slots[slot] : add(keys, slot, route, key);
    struct more *more = make_more(state); /* first: what is kept may be borrowed from the old one */
    remember(keys, entry);
    const struct part part = {
        .since_ms = state->since_ms,
        .last_fired_ms = state->last_fired_ms,
        .more = more,
        .suppressed = state->suppressed > UINT32_MAX ? UINT32_MAX : (uint32_t)state->suppressed,
        .repeats = state->repeats > UINT16_MAX ? UINT16_MAX : (uint16_t)state->repeats,
        .phase = (uint8_t)state->phase,
        .alarmed = state->alarmed,
    };
    set_part(keys, entry, part);
    set_due(keys, entry, due_ms);
}

static void take_back(struct route_keys *keys, const struct undo *undo)
{
    free(undo->entry->now.more);
    set_part(keys, undo->entry, undo->before);
    set_due(keys, undo->entry, undo->due_ms);
}

static void close_journal(struct route_keys *keys, bool undo)
{
    for (size_t i = 0; i < keys->journal_count; i++) {
        struct entry *entry = keys->journal[i].entry;
        if (undo)
            take_back(keys, &keys->journal[i]);
        else
            free(keys->journal[i].before.more);
        entry->journaled = false;
        if (is_initial(entry)) {
            set_due(keys, entry, INT64_MAX);
            drop(keys, entry);
        }
    }
    keys->journal_count = 0;
}

size_t route_keys_changed(const struct route_keys *keys)
{
    return keys->journal_count;
}

void route_keys_get_changed(const struct route_keys *keys, size_t i, uint32_t *route, struct span *key)
{
    *route = keys->journal[i].entry->route;
    *key = key_of(keys->journal[i].entry);
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

void route_keys_each(const struct route_keys *keys, void (*each)(void *context, uint32_t route, struct span key),
                     void *context)
{
    for (size_t i = 0; i < keys->slot_count; i++)
        if (keys->slots[i] != NULL && !is_initial(keys->slots[i]))
            each(context, keys->slots[i]->route, key_of(keys->slots[i]));
}
