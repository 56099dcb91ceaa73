/* SPDX-License-Identifier: Apache-2.0 */
/* What is open in the store comes into the lines' queues, whose windows are all that memory holds of it. */
#include "dispatch_private.h"
#include "log.h"

struct filling {
    const struct dispatch *d;
    struct slot *slot;
    struct line *line;
    int64_t now_ms, longest_wait_ms;
    size_t rows;
    bool ahead;
};

/* The clock may have been set back since this was stored (a host without a battery): what was never
 * tried is due at once, what was tried after the longest wait that there is. */
static int64_t believable_due(const struct filling *filling, const struct delivery_head *head)
{
    int64_t latest_ms = filling->now_ms + (head->attempts > 0 ? filling->longest_wait_ms : 0);
    return head->due_ms < latest_ms ? head->due_ms : latest_ms;
}

void line_add(const struct dispatch *d, struct slot *slot, struct line *line, const struct delivery_head *head,
              int64_t due_ms, bool ahead)
{
    cleanup_buf struct buf key = {0};
    struct queue_delivery delivery = {.seq = head->seq,
                                      .due_ms = due_ms,
                                      .accepted_ms = head->accepted_ms,
                                      .lane = head->lane,
                                      .operation = head->operation,
                                      .route = head->route,
                                      .attempts = head->attempts,
                                      .ahead = ahead};
    if (line == &slot->out && slot->target != NULL)
        batch_admit(d, slot, head, &delivery, &key);
    if (!ahead || delivery.group == NULL) /* what is gathered for a batch waits for its elders anyway */
        queue_add(line->queue, &delivery);
}

static void add_head(void *context, const struct delivery_head *head)
{
    struct filling *filling = context;
    filling->rows++;
    line_add(filling->d, filling->slot, filling->line, head, believable_due(filling, head), filling->ahead);
}

bool refill_is_wanted(const struct line *line)
{
    return (line->rescan || queue_wants_rewind(line->queue)) && !queue_is_tight(line->queue);
}

/* As many rows as there is room for, in steps that hold nobody up; not all of them need be taken in. */
static void refill(struct dispatch *d, struct slot *slot, struct line *line)
{
    struct filling filling = {
        .d = d, .slot = slot, .line = line, .now_ms = d->now_ms, .longest_wait_ms = RETRY_AFTER_MAX_MS};
    size_t room = queue_room(line->queue);
    queue_expect(line->queue, false);
    if (!refill_is_wanted(line))
        return;
    if (room > QUEUE_WINDOW)
        room = QUEUE_WINDOW;
    if (slot->target != NULL && slot->target->config->retry.max_ms > RETRY_AFTER_MAX_MS)
        filling.longest_wait_ms = slot->target->config->retry.max_ms;
    queue_rewind(line->queue);
    line->rescan = true;
    if (store_scan_open(d->options.session, slot->name, line->kind, queue_last_seq(line->queue), room, add_head,
                        &filling) != 0) {
        log_error("the store could not be read", "reason", store_error(d->options.session), NULL);
        d->store_pause_until_ms = d->now_ms + STORE_PAUSE_MS;
        return;
    }
    line->rescan = filling.rows == room;
    queue_expect(line->queue, refill_is_wanted(line));
}

static void add_newest(void *context, const struct delivery_head *head)
{
    struct filling *filling = context;
    int64_t before = store_before_in_lane(filling->d->options.session, filling->slot->name, head->lane, head->seq);
    filling->line->newest_seq = head->seq;
    if (before >= 0 && queue_may_go_ahead(filling->line->queue, head->lane, before))
        add_head(filling, head);
    else
        filling->rows++;
}

/* A backlog longer than the window: what comes now does not wait for all of it. When there is no place for the newest
 * they stand in line like all others, so that those that come later are the newest then. */
static void refill_newest(struct dispatch *d, struct slot *slot, bool noticed)
{
    struct line *line = &slot->out;
    struct filling filling = {.d = d, .slot = slot, .line = line, .now_ms = d->now_ms, .ahead = true};
    size_t ahead = queue_ahead(line->queue), room = ahead < QUEUE_AHEAD ? QUEUE_AHEAD - ahead : 0;
    if (!line->rescan) {
        line->newest_seq = 0;
        return;
    }
    if (line->newest_seq == 0 || room == 0) {
        line->newest_seq = store_last_delivery(d->options.session);
        return;
    }
    if (!noticed && !line->newest_more)
        return;
    int rc = store_scan_open(d->options.session, slot->name, line->kind, line->newest_seq, room, add_newest, &filling);
    line->newest_more = rc == 0 && filling.rows == room;
}

void refill_lines(struct dispatch *d)
{
    bool noticed = atomic_exchange(&d->noticed, false);
    for (size_t i = 0; i < d->slot_count; i++) {
        struct slot *slot = &d->slots[i];
        slot->out.rescan |= noticed;
        slot->in.rescan |= noticed && slot->target != NULL;
        refill(d, slot, &slot->out);
        if (slot->target != NULL)
            refill_newest(d, slot, noticed);
        refill(d, slot, &slot->in);
    }
}
