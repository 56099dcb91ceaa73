/* SPDX-License-Identifier: Apache-2.0 */
#include "intake_copies.h"

#include <stdlib.h>
#include <string.h>

#define REMEMBERED 1024

struct judged { /* one message, for one filter */
    uint64_t content;
    uint64_t seen; /* a bit for each identifier of which a copy came; 0: nothing is here */
    int filter;
};

struct change {
    size_t at;
    struct judged before;
};

struct copies {
    struct judged ring[REMEMBERED];
    size_t next;
    bool stale; /* one came: until then nobody looks for a fellow */
    struct change *changes;
    size_t change_count, change_cap, committed_next;
};

struct copies *copies_create(void)
{
    return mem_alloc(sizeof(struct copies));
}

void copies_destroy(struct copies *copies)
{
    if (copies == NULL)
        return;
    free(copies->changes);
    free(copies);
}

static uint64_t bit_of(uint32_t stale_id)
{
    return stale_id == 0 ? 1 : UINT64_C(2) << stale_id % 63;
}

static void put(struct copies *copies, size_t at, struct judged judged)
{
    copies->changes =
        mem_grow(copies->changes, &copies->change_cap, copies->change_count + 1, sizeof(copies->changes[0]));
    copies->changes[copies->change_count++] = (struct change){at, copies->ring[at]};
    copies->ring[at] = judged;
}

/* The oldest that waits for a copy of this identifier. */
static bool find(const struct copies *copies, uint64_t content, int filter, uint64_t bit, size_t *at)
{
    for (size_t i = 0; i < REMEMBERED; i++) {
        *at = (copies->next + i) % REMEMBERED;
        const struct judged *judged = &copies->ring[*at];
        if (judged->content == content && judged->filter == filter && judged->seen != 0 && (judged->seen & bit) == 0)
            return true;
    }
    return false;
}

bool copies_is_first(struct copies *copies, uint64_t content, int filter, uint32_t stale_id)
{
    uint64_t bit = bit_of(stale_id);
    size_t at = 0;
    copies->stale |= stale_id != 0;
    bool known = copies->stale && find(copies, content, filter, bit, &at);
    if (known) {
        put(copies, at, (struct judged){content, copies->ring[at].seen | bit, filter});
    } else {
        put(copies, copies->next, (struct judged){content, bit, filter});
        copies->next = (copies->next + 1) % REMEMBERED;
    }
    return !known;
}

void copies_commit(struct copies *copies)
{
    copies->change_count = 0;
    copies->committed_next = copies->next;
}

void copies_rollback(struct copies *copies)
{
    while (copies->change_count > 0) {
        const struct change *change = &copies->changes[--copies->change_count];
        copies->ring[change->at] = change->before;
    }
    copies->next = copies->committed_next;
}

void copies_forget(struct copies *copies)
{
    memset(copies->ring, 0, sizeof(copies->ring));
    copies->stale = false;
    copies_commit(copies);
}
