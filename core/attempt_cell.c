/* SPDX-License-Identifier: Apache-2.0 */
/* An attempt whose plugin runs in a cell: the same conversation, but that answers come later, or the end of the child
 * instead. That end is an attempt in vain, which counts; what was sent in it may have been done. */
#include "dispatch_private.h"

#include <assert.h>

struct asked { /* in the job's arena */
    struct dispatch *d;
    struct attempt *a;
};

static enum cell_door door_of(const struct attempt *a)
{
    if (a->line != NULL && a->line->kind == DELIVERY_IN)
        return CELL_DECODE;
    return a->errand != NULL && a->errand->operation == NULL ? CELL_POLL : CELL_STEP;
}

static void conclude_crash(struct dispatch *d, struct attempt *a, const char *failure)
{
    target_blame_plugin(failure, &a->out);
    a->crashed = true;
    a->sent_uncertain = a->wrote && (a->operation.flags & BB_WRITES) != 0;
    for (size_t i = 0; i < a->count; i++)
        a->scatters |= a->count > 1 && a->items[i].crashed_before;
    attempt_conclude(d, a, BB_RETRY);
}

static void on_answer(void *context, enum bb_next next, int64_t took_us, const char *failure)
{
    const struct asked *asked = context;
    if (failure != NULL)
        conclude_crash(asked->d, asked->a, failure);
    else
        attempt_go_on(asked->d, asked->a, attempt_take_answer(asked->a, next), took_us);
}

void attempt_ask_cell(struct dispatch *d, struct attempt *a)
{
    if (a->ask.context == NULL) {
        struct asked *asked = arena_alloc(a->job.arena, sizeof(*asked));
        *asked = (struct asked){d, a};
        a->ask =
            (struct cell_call){.door = door_of(a), .in = &a->in, .out = &a->out, .done = on_answer, .context = asked};
    }
    assert(!store_in_transaction());
    cell_call(a->slot->target->cell, &a->ask);
}
