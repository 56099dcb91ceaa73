/* SPDX-License-Identifier: Apache-2.0 */
/* Assetic sends no webhooks, so it is asked what changed (A-U21): orders by LastModified, newest first, from a
 * little before the newest that was seen. What is told twice has the same dedup_id and is published once.
 *
 * Newest first, because an order that changes while we turn pages moves to the front: it shows again in the next
 * poll, and what it pushes back is seen twice, never missed. Where the pages are too many for one poll, only the
 * older half of the span is asked for, and the cursor goes no further than that. */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

#define ORDERS "/api/v2/workorder"
#define SORT "LastModified-desc"
#define NOTE "last_modified"
#define PAGE_SIZE 100 /* orders are large, and a call should take under 10 ms */
#define PAGES_MAX 40  /* an attempt may make 64 requests */

/* ---- one order -------------------------------------------------------------------*/

/* The core says updated when it knew the order before. */
static const char *event_type(const struct as_call *call, const char *status)
{
    const char *common = call->host->common_word(call->job, BB_STATUSES, status);
    if (common && strcmp(common, "completed") == 0)
        return "work_order.completed";
    return common && strcmp(common, "closed") == 0 ? "work_order.closed" : "work_order.created";
}

static const char *due_at(const struct as_call *call, struct json_object *order)
{
    int64_t wall;
    const char *due = as_text_at(call, order, "/Scheduling/DueDate");
    if (!due)
        due = as_text_at(call, order, "/Scheduling/TargetFinish");
    if (!due || !as_read_wall(call->config->time_zone, due, &wall))
        return NULL;
    return call->host->format(call->job, "%sZ", as_print_wall(call, as_utc_of(call->config->time_zone, wall)));
}

static void tell(const struct as_call *call, struct json_object *item)
{
    const char *id = as_text_at(call, item, "/Id"), *status = as_text_at(call, item, "/Status");
    const char *modified = as_text_at(call, item, "/LastModified"), *mark = as_text_at(call, item, "/ExternalId");
    int64_t wall;
    if (!id || !status || !modified || !as_read_wall(call->config->time_zone, modified, &wall)) {
        call->host->count(call->job, "undocumented_order", 1);
        call->host->log(call->job, BB_LOG_WARN, "a work order without Id, Status or LastModified was passed over");
        return;
    }
    struct json_object *priority = pl_member(item, "PriorityId");
    const struct bb_work_order order = {
        .delivery_id = mark,
        .source_work_order_id = id,
        .asset_ref = mark ? NULL : as_text_at(call, item, "/AssetId"), /* ours keep the tag that they were made with */
        .source_status = status,
        .source_priority = priority ? call->host->format(call->job, "%s", json_object_get_string(priority)) : NULL,
        .sla_due_at = due_at(call, item),
    };
    const struct bb_event event = {.size = sizeof event,
                                   .type = event_type(call, status),
                                   .name = status,
                                   .dedup_id = call->host->format(call->job, "%s/%s/%s", id, modified, status),
                                   .occurred_ms = as_utc_of(call->config->time_zone, wall),
                                   .work_order = &order,
                                   .raw = as_print(call, item)};
    call->host->emit(call->job, &event);
}

/* ---- the conversation ----------------------------------------------------------------*/

static enum bb_next ask(const struct as_call *call)
{
    const struct as_state *state = call->state;
    const char *filter = call->host->format(call->job, "LastModified~gte~'%s'", as_print_wall(call, state->from_ms));
    if (state->until_ms > 0)
        filter =
            call->host->format(call->job, "%s~and~LastModified~lt~'%s'", filter, as_print_wall(call, state->until_ms));
    call->out->request =
        (struct bb_request){.method = "GET", .path = as_list_path(call, ORDERS, filter, SORT, state->page, PAGE_SIZE)};
    return BB_SEND;
}

/* The first time, from now on: what was there before is not news. */
static enum bb_next begin(const struct as_call *call)
{
    const char *note = call->host->note_get(call->job, NOTE);
    int64_t last = as_wall_of(call->config->time_zone, call->in->now_ms);
    if (note)
        as_read_wall(call->config->time_zone, note, &last);
    call->state->newest = as_print_wall(call, last);
    call->state->from_ms = last - call->config->poll_overlap_ms;
    call->state->page = 1;
    return ask(call);
}

static bool halve(const struct as_call *call)
{
    struct as_state *state = call->state;
    int64_t until = state->until_ms > 0 ? state->until_ms : as_wall_of(call->config->time_zone, call->in->now_ms);
    int64_t cursor = state->from_ms + call->config->poll_overlap_ms; /* half of what is new: each poll gets on */
    int64_t half = cursor + (until - cursor) / 2;
    if (half / 1000 <= cursor / 1000)
        return false; /* so many in one second: as far as we get */
    state->until_ms = half;
    return true;
}

static void remember(const struct as_call *call, const char *modified)
{
    struct as_state *state = call->state;
    int64_t newest, wall;
    if (modified && as_read_wall(call->config->time_zone, modified, &wall) &&
        as_read_wall(call->config->time_zone, state->newest, &newest) && wall > newest)
        state->newest = as_print_wall(call, wall);
}

enum bb_next as_poll(const struct as_call *call)
{
    struct as_state *state = call->state;
    if (!call->in->response)
        return begin(call);
    enum bb_next next = as_judge(call);
    if (next != BB_DONE)
        return next;
    PL_SCOPED struct json_object *answer = pl_parse(call->in->response->body);
    struct json_object *items = as_items(answer);
    if (!items)
        return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer",
                       "Assetic answered the question for work orders without a list");
    int pages = json_object_get_int(pl_member(answer, "TotalPages"));
    if (state->page == 1 && pages > PAGES_MAX && halve(call))
        return ask(call);
    for (size_t i = json_object_array_length(items); i > 0; i--) { /* oldest first, within a page */
        struct json_object *item = json_object_array_get_idx(items, i - 1);
        tell(call, item);
        remember(call, as_text_at(call, item, "/LastModified"));
    }
    if (state->page++ < pages && state->page <= PAGES_MAX)
        return ask(call);
    if (state->until_ms > 0) /* nothing is newer than what was asked for, and nothing older is left */
        state->newest = as_print_wall(call, state->until_ms);
    call->host->note_put(call->job, NOTE, state->newest);
    return BB_DONE;
}
