/* SPDX-License-Identifier: Apache-2.0 */
/* `max_writes`: so much is written to a target in a while, and no more until a person has looked. The last safety,
 * behind the triggers' budgets: whatever goes wrong with a rule, the target gets no flood.
 *
 * Counted is each delivery that a request begins to write, retries too: what may have been done counts as done. The
 * window moves in 60 steps. What was counted is a note beside the deliveries, in the same transaction, so that a
 * restart does not begin anew; a resume does. */
#include "dispatch_private.h"
#include "number.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 60
#define NOTES "$writes" /* in the place of a target's name, which cannot begin so */

struct writes {
    int64_t most, window_ms;
    int64_t newest;        /* its number since the epoch */
    int64_t counts[STEPS]; /* a step's is at its number % STEPS */
    bool changed;          /* since it was stored */
};

static int64_t step_ms(const struct writes *writes)
{
    return writes->window_ms / STEPS;
}

static int64_t total(const struct writes *writes)
{
    int64_t sum = 0;
    for (size_t i = 0; i < STEPS; i++)
        sum += writes->counts[i];
    return sum;
}

/* A clock that was set back: what is counted meanwhile is of the newest step. By more than the window (it was far in
 * the future): all that was counted is of now, or nothing of it were had back until that future comes. */
static void move_on(struct writes *writes, int64_t now_ms)
{
    int64_t now = now_ms / step_ms(writes);
    if (writes->newest - now >= STEPS) {
        int64_t sum = total(writes);
        memset(writes->counts, 0, sizeof(writes->counts));
        writes->counts[now % STEPS] = sum;
        writes->newest = now;
        writes->changed = true;
    } else if (now - writes->newest >= STEPS)
        memset(writes->counts, 0, sizeof(writes->counts));
    else
        for (int64_t step = writes->newest + 1; step <= now; step++)
            writes->counts[step % STEPS] = 0;
    if (now > writes->newest)
        writes->newest = now;
}

struct writes *writes_create(const struct config_target *config)
{
    struct writes *writes = config->max_writes > 0 ? mem_alloc(sizeof(*writes)) : NULL;
    if (writes != NULL)
        *writes = (struct writes){.most = config->max_writes, .window_ms = config->max_writes_window_ms};
    return writes;
}

bool writes_spend(struct writes *writes, size_t count, int64_t now_ms)
{
    if (writes == NULL)
        return true;
    move_on(writes, now_ms);
    int64_t spent = total(writes);
    if (spent > 0 && spent + (int64_t)count > writes->most) /* a batch larger than all of it goes alone */
        return false;
    writes->counts[writes->newest % STEPS] += (int64_t)count;
    writes->changed = true;
    return true;
}

int64_t writes_spent(struct writes *writes, int64_t now_ms)
{
    move_on(writes, now_ms);
    return total(writes);
}

/* ---- kept over a restart: "<begin of a step> <count>", parted by blanks */

void writes_load(struct writes *writes, struct store_session *session, const char *target, int64_t now_ms)
{
    cleanup_text char *note = writes != NULL ? store_note_get(session, NOTES, target) : NULL;
    int64_t begin_ms, count;
    char *next = note;
    if (note == NULL)
        return;
    move_on(writes, now_ms);
    for (const char *word; (word = strsep(&next, " ")) != NULL;) {
        const char *amount = strsep(&next, " ");
        if (amount == NULL || !number_parse_int(span_of(word), 0, INT64_MAX, &begin_ms) ||
            !number_parse_int(span_of(amount), 0, INT64_MAX / STEPS, &count))
            return;
        int64_t step = begin_ms / step_ms(writes); /* the window may have changed */
        if (step > writes->newest)
            step = writes->newest;
        if (writes->newest - step < STEPS)
            writes->counts[step % STEPS] += count;
    }
}

int writes_store(struct writes *writes, struct store_session *session, const char *target)
{
    cleanup_buf struct buf note = {0};
    if (writes == NULL || !writes->changed)
        return 0;
    for (int64_t step = writes->newest - STEPS + 1; step <= writes->newest; step++)
        if (writes->counts[step % STEPS] > 0)
            buf_printf(&note, "%s%" PRId64 " %" PRId64, note.len > 0 ? " " : "", step * step_ms(writes),
                       writes->counts[step % STEPS]);
    return store_note_put(session, NOTES, target, note.len > 0 ? note.data : NULL);
}

void writes_stored(struct writes *writes)
{
    if (writes != NULL)
        writes->changed = false;
}

void writes_forget(struct writes *writes)
{
    if (writes == NULL)
        return;
    memset(writes->counts, 0, sizeof(writes->counts));
    writes->changed = true;
}
