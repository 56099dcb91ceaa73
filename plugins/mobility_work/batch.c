/* SPDX-License-Identifier: Apache-2.0 */
/* A bulk call: the messages of an attempt as one JSON array, and a verdict for each (MW-C10, U12).
 *
 * Whether one bad item spoils the whole call is not documented; taken that it does, a refusal is worked off by a stack
 * of ranges of messages that are still to be sent:
 *
 *   - The answer names items by index (/17/name): these are rejected with what it says of them, and the rest goes
 *     out once more as a whole.
 *   - It names none, or refuses the rest too: the range is halved. A single item that is refused is the bad one.
 *
 * Each refusal so rejects an item or shrinks a range. After SENDS_MAX requests the attempt ends; what was accepted or
 * rejected by then has its verdict, and the next attempt goes on with the others. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>

#define SENDS_MAX 32
#define STACK_MAX 64 /* halving needs one more than the logarithm of the count */

enum fate { OPEN, ACCEPTED, SETTLED };

struct range {
    size_t from, to; /* messages; the latter excluded */
};

struct batch {
    struct bb_str *texts; /* of each message: its item */
    unsigned char *fates; /* of each message: enum fate */
    size_t count;
    size_t *sent; /* the messages of the last request, in its order */
    size_t sent_count;
    struct range ranges[STACK_MAX];
    size_t depth;
    int sends;
    bool resent;        /* a rest went out once more */
    bool unconfirmed;   /* something was accepted by a 202 */
    enum bb_next alone; /* verdict of the only message, 0: none yet */
};

static void settle(const struct mw_call *call, struct batch *batch, size_t i, enum bb_next verdict,
                   const struct bb_error *error)
{
    batch->fates[i] = SETTLED;
    if (batch->count > 1) {
        call->host->settle(call->job, i, verdict, error);
        return;
    }
    batch->alone = verdict;
    call->out->error = *error;
}

/* The verdict is that of the messages which have none of their own. */
static enum bb_next finish(const struct mw_call *call, struct batch *batch, enum bb_next next)
{
    for (size_t i = 0; i < batch->count && next != BB_DONE; i++)
        if (batch->fates[i] == ACCEPTED)
            call->host->settle(call->job, i, BB_DONE, NULL);
    if (batch->alone)
        return batch->alone;
    call->out->unconfirmed = batch->unconfirmed; /* of all that was accepted, whatever became of the rest */
    if (next == BB_DONE)
        call->out->error = (struct bb_error){0};
    return next;
}

static enum bb_next give_up(const struct mw_call *call, struct batch *batch)
{
    call->out->error = (struct bb_error){
        .error_class = BB_VALIDATION,
        .code = "batch_refused",
        .message = "Mobility Work refuses some items of the batch without saying which; they are searched for again"};
    return finish(call, batch, BB_RETRY);
}

static struct bb_str join(const struct mw_call *call, const struct batch *batch)
{
    size_t size = 2, len = 0;
    for (size_t i = 0; i < batch->sent_count; i++)
        size += batch->texts[batch->sent[i]].len + 1;
    char *text = call->host->alloc(call->job, size);
    for (size_t i = 0; i < batch->sent_count; i++) {
        const struct bb_str item = batch->texts[batch->sent[i]];
        text[len++] = i ? ',' : '[';
        memcpy(text + len, item.data, item.len);
        len += item.len;
    }
    text[len++] = ']';
    return (struct bb_str){text, len};
}

static void push(struct batch *batch, size_t from, size_t to)
{
    batch->ranges[batch->depth++] = (struct range){from, to};
}

/* The open messages among the last sent ones, moved to the front. */
static size_t keep_open(struct batch *batch)
{
    size_t open = 0;
    for (size_t i = 0; i < batch->sent_count; i++)
        if (batch->fates[batch->sent[i]] == OPEN)
            batch->sent[open++] = batch->sent[i];
    batch->sent_count = open;
    return open;
}

static enum bb_next send_next(const struct mw_call *call, const struct mw_bulk *bulk, struct batch *batch)
{
    batch->sent_count = 0;
    while (batch->depth > 0 && batch->sent_count == 0) {
        const struct range range = batch->ranges[--batch->depth];
        for (size_t i = range.from; i < range.to; i++)
            if (batch->fates[i] == OPEN)
                batch->sent[batch->sent_count++] = i;
    }
    if (batch->sent_count == 0)
        return finish(call, batch, BB_DONE);
    if (batch->sends++ == SENDS_MAX)
        return give_up(call, batch);
    call->out->request = (struct bb_request){.method = bulk->method, .path = bulk->path, .body = join(call, batch)};
    return BB_SEND;
}

static size_t reject_named(const struct mw_call *call, struct batch *batch)
{
    struct bb_error *errors = call->host->alloc(call->job, batch->sent_count * sizeof *errors);
    const size_t named = mw_refused_items(call, errors, batch->sent_count);
    for (size_t i = 0; i < batch->sent_count && named > 0; i++)
        if (errors[i].code)
            settle(call, batch, batch->sent[i], BB_REJECT, &errors[i]);
    return named;
}

static enum bb_next refused(const struct mw_call *call, const struct mw_bulk *bulk, struct batch *batch)
{
    const size_t named = reject_named(call, batch), rest = keep_open(batch);
    const size_t *open = batch->sent;
    if (rest == 1 && named == 0) {
        mw_judge(call);
        const struct bb_error error = call->out->error;
        settle(call, batch, open[0], BB_REJECT, &error);
    } else if (rest == 1 || (rest > 1 && named > 0 && !batch->resent)) {
        batch->resent = batch->resent || rest > 1;
        push(batch, open[0], open[rest - 1] + 1);
    } else if (rest > 1) {
        push(batch, open[rest / 2], open[rest - 1] + 1);
        push(batch, open[0], open[rest / 2]); /* on top: order is kept */
    }
    return send_next(call, bulk, batch);
}

/* 413 too: half of it may be small enough. */
static bool is_about_items(int status)
{
    return status == 400 || status == 413 || status == 422;
}

static enum bb_next answered(const struct mw_call *call, const struct mw_bulk *bulk, struct batch *batch)
{
    if (is_about_items(call->in->response->status))
        return refused(call, bulk, batch);
    const enum bb_next next = mw_judge_write(call);
    if (next != BB_DONE)
        return finish(call, batch, next);
    for (size_t i = 0; i < batch->sent_count; i++)
        batch->fates[batch->sent[i]] = ACCEPTED;
    batch->unconfirmed = batch->unconfirmed || call->out->unconfirmed; /* MW-C06 */
    call->out->unconfirmed = false;
    return send_next(call, bulk, batch);
}

static void read_message(const struct mw_call *call, const struct mw_bulk *bulk, struct batch *batch,
                         const struct mw_items *items, size_t i)
{
    const struct bb_message *message = (const void *)((const char *)call->in->messages + i * call->in->message_size);
    struct mw_item item;
    mw_item_start(&item, items, message->body);
    mw_item_read(&item, bulk);
    if (item.faults.said.count > 0) {
        pl_reject_faults(&item.faults.said, call->out, bulk->fault_code, bulk->fault_subject);
        const struct bb_error error = call->out->error;
        settle(call, batch, i, BB_REJECT, &error);
    } else if (item.no_currency) {
        const struct bb_error error = {
            .error_class = BB_PROVIDER_UNAVAILABLE,
            .code = "currency_unknown",
            .message = "the price names no currency and the network's is not known yet: its settings were not read"};
        settle(call, batch, i, BB_RETRY, &error);
    } else {
        batch->texts[i] = mw_print(call, item.request);
    }
    mw_item_finish(&item);
}

static enum bb_next begin(const struct mw_call *call, const struct mw_bulk *bulk)
{
    struct batch *batch = *call->in->state = call->host->alloc(call->job, sizeof *batch);
    batch->count = call->in->message_count;
    batch->texts = call->host->alloc(call->job, batch->count * sizeof *batch->texts);
    batch->fates = call->host->alloc(call->job, batch->count * sizeof *batch->fates);
    batch->sent = call->host->alloc(call->job, batch->count * sizeof *batch->sent);
    struct mw_items items;
    mw_items_start(&items, call);
    for (size_t i = 0; i < batch->count; i++)
        read_message(call, bulk, batch, &items, i);
    mw_items_finish(&items);
    if (batch->count > 1)
        call->out->error = (struct bb_error){0}; /* each has its own */
    push(batch, 0, batch->count);
    return send_next(call, bulk, batch);
}

enum bb_next mw_bulk_step(const struct mw_call *call, const struct mw_bulk *bulk)
{
    return call->in->response ? answered(call, bulk, *call->in->state) : begin(call, bulk);
}
