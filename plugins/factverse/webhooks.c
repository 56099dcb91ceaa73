/* SPDX-License-Identifier: Apache-2.0 */
/* One webhook becomes one event (FV-06, F-U6). FactVerse publishes no payload: the envelope is the contract's own. Its
 * names of events are ours too; any other goes on as it came, with its work order, and the target's map may say what
 * it is (F-U13). */
#include "factverse.h"

#include <json-c/json.h>
#include <string.h>

static const char *const types[] = {"work_order.created", "work_order.updated", "work_order.completed",
                                    "work_order.closed",  "attachment.added",   "mapping.exception"};

/* What busbar says of its own deliveries. FactVerse's is news of FactVerse's, and confirms no work order. */
#define SYNC_FAILED "sync.failed"

/* As a constant of ours; NULL: it is none. */
static const char *find_type(const char *name)
{
    for (size_t i = 0; i < PL_COUNT(types); i++)
        if (strcmp(types[i], name) == 0)
            return types[i];
    return NULL;
}

static int64_t occurred_ms(const struct fv_call *call, struct json_object *body)
{
    const char *text = fv_text_of(call, pl_member(body, "occurred_at"));
    int64_t ms;
    return text && pl_read_time(text, &ms) ? ms : 0;
}

enum bb_next fv_decode(const struct fv_call *call)
{
    const struct bb_message *message = &call->in->messages[0];
    PL_SCOPED struct json_object *body = pl_parse(message->body);
    const char *name = fv_text_of(call, pl_member(body, "event"));
    struct json_object *record = pl_member(body, "work_order");
    if (!name)
        return pl_fail(call->out, BB_REJECT, BB_VALIDATION, "invalid_webhook",
                       "the webhook is not a JSON object that names its event");
    if (fv_is_foreign(call, body) || fv_is_foreign(call, record)) /* FV-09a */
        return pl_fail(call->out, BB_REJECT, BB_IDENTITY, "foreign_provider",
                       "the webhook is about another provider_id than this target's");
    struct bb_work_order order;
    struct bb_event event = {.size = sizeof event,
                             .name = name,
                             .dedup_id = fv_text_of(call, pl_member(body, "event_id")),
                             .occurred_ms = occurred_ms(call, body),
                             .raw = message->body};
    if (strcmp(name, SYNC_FAILED) != 0 && fv_read_record(call, record, &order)) {
        event.type = find_type(name);
        event.work_order = &order;
        fv_note_told(call, record, &order);
    } else if (find_type(name)) { /* then it is news of FactVerse's, of no work order that could be found */
        call->host->log(call->job, BB_LOG_WARN, "a webhook names no work order that could be found");
        call->host->count(call->job, "undocumented_webhook", 1);
    }
    call->host->emit(call->job, &event);
    return BB_DONE;
}
