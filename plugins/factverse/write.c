/* SPDX-License-Identifier: Apache-2.0 */
/* One write: the request, what it may have done before, and what its answer says.
 *
 * Each write has an Idempotency-Key that is the same in every attempt: the new order's id, else the delivery's. A new
 * order is looked for before it is made again (F-U9). What changes an order says which revision it has seen; where
 * that is not the present one, FactVerse refuses, the order is read again, and a person decides (F-U8): the next
 * retry then goes against what is there now. */
#include "factverse.h"

#include <json-c/json.h>
#include <string.h>

static const char *known_as(const struct fv_ids *ids)
{
    return ids->source_id ? ids->source_id : ids->order_id;
}

/* ---- asking and sending ------------------------------------------------------------------*/

static enum bb_next ask_for_order(const struct fv_call *call, const struct fv_shape *shape, enum fv_stage stage)
{
    const struct fv_shape *read = fv_find_shape("work_order.read");
    const struct fv_ids ids = fv_ids_of(call, shape);
    call->state->stage = stage;
    call->out->request = (struct bb_request){.method = "GET", .path = fv_path(call, read, &ids)};
    fv_add_headers(call, NULL, NULL);
    return BB_SEND;
}

static enum bb_next send(const struct fv_call *call, const struct fv_shape *shape)
{
    const struct fv_ids ids = fv_ids_of(call, shape);
    struct fv_message message;
    enum bb_next next = BB_SEND;
    fv_message_read(&message, call, shape, call->in->messages[0].body);
    if (message.faults.count > 0) {
        next = pl_reject_faults(&message.faults, call->out, "invalid_request",
                                call->host->format(call->job, "%s would be refused", shape->operation));
    } else {
        const bool makes = shape->flags & FV_MAKES;
        call->state->stage = FV_SENT;
        call->out->request = (struct bb_request){.method = fv_method(call, shape),
                                                 .path = fv_path(call, shape, &ids),
                                                 .body = fv_print(call, message.request)};
        fv_add_headers(call, makes ? ids.order_id : call->in->messages[0].id,
                       makes ? NULL : fv_revision(call, known_as(&ids)));
    }
    fv_message_finish(&message);
    return next;
}

/* ---- the answer ------------------------------------------------------------------------------*/

/* What was attached, without the text of it. FV-06e */
static void tell_attachment(const struct fv_call *call, struct json_object *answer)
{
    const struct bb_message *message = &call->in->messages[0];
    PL_SCOPED struct json_object *given = pl_parse(message->body);
    PL_SCOPED struct json_object *raw = json_object_new_object();
    const char *const members[] = {"document_ref", "file_name", "document_type"};
    for (size_t i = 0; i < PL_COUNT(members); i++)
        if (pl_member(given, members[i]))
            json_object_object_add(raw, members[i], json_object_get(pl_member(given, members[i])));
    if (answer)
        json_object_object_add(raw, "answer", json_object_get(answer));
    const struct bb_work_order order = {.order_id = message->order_id,
                                        .source_work_order_id = message->source_work_order_id};
    const struct bb_event event = {.size = sizeof event,
                                   .type = "attachment.added",
                                   .name = call->in->operation,
                                   .dedup_id = call->host->format(call->job, "attached/%s", message->id),
                                   .work_order = &order,
                                   .raw = fv_print(call, raw)};
    call->host->emit(call->job, &event);
}

static const char *answered_id(const struct fv_call *call, struct json_object *answer)
{
    const char *id = fv_text_at(call, answer, fv_pointer(call, FV_ID));
    return id && strlen(id) <= FV_ID_MAX ? id : NULL;
}

static void made(const struct fv_call *call, struct json_object *answer)
{
    PL_SCOPED struct json_object *given = pl_parse(call->in->messages[0].body);
    call->out->source_work_order_id = answered_id(call, answer);
    call->out->asset_ref = fv_text_of(call, pl_member(given, "asset_ref"));
}

static bool ends(const struct fv_shape *shape)
{
    return shape->status && (strcmp(shape->status, "closed") == 0 || strcmp(shape->status, "canceled") == 0);
}

/* FactVerse took it, now or in an earlier attempt. What the body tells is good to know, and not needed; but a body that
 * is no JSON is another's. */
static enum bb_next taken(const struct fv_call *call, const struct fv_shape *shape)
{
    PL_SCOPED struct json_object *answer = pl_parse(call->in->response->body);
    struct fv_ids ids = fv_ids_of(call, shape);
    const struct bb_str text = call->in->response->body;
    const bool null = text.len == 4 && memcmp(text.data, "null", 4) == 0;
    if (!answer && !null && text.len > 0) {
        call->out->unconfirmed = false;
        return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer",
                       "what came in place of FactVerse's answer is no JSON");
    }
    if (shape->flags & FV_MAKES) {
        made(call, answer);
        ids.source_id = call->out->source_work_order_id;
    }
    if (shape->flags & FV_ATTACHES)
        tell_attachment(call, answer);
    fv_note_revision(call, known_as(&ids), ends(shape) ? NULL : fv_answered_revision(call, answer));
    return BB_DONE;
}

static enum bb_next looked(const struct fv_call *call, const struct fv_shape *shape)
{
    const enum bb_next next = fv_judge(call);
    if (call->in->response->status == 404) {
        call->out->error = (struct bb_error){0};
        return send(call, shape);
    }
    if (next != BB_DONE)
        return next;
    PL_SCOPED struct json_object *record = pl_parse(call->in->response->body);
    const char *id = fv_text_of(call, pl_member(record, "common_work_order_id"));
    if (json_object_is_type(record, json_type_object) && (!id || strcmp(id, call->in->messages[0].order_id) == 0))
        return taken(call, shape);
    return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer",
                   "FactVerse answered the question for a work order with something else");
}

static enum bb_next refused(const struct fv_call *call, const struct fv_shape *shape, enum bb_next next)
{
    if (next != BB_REJECT || call->out->error.error_class != BB_CONFLICT || shape->flags & FV_MAKES)
        return next;
    call->state->refusal = call->out->error;
    call->state->refusal_status = call->in->response->status;
    call->out->error = (struct bb_error){0};
    return ask_for_order(call, shape, FV_READING_AGAIN);
}

/* The refusal stands, whatever is there now; but whoever decides sees it, and a retry goes against it. */
static enum bb_next read_again(const struct fv_call *call, const struct fv_shape *shape)
{
    const struct fv_ids ids = fv_ids_of(call, shape);
    struct bb_error refusal = call->state->refusal;
    if (call->host->judge(call->job, call->in->response, call->out) == BB_DONE) {
        PL_SCOPED struct json_object *record = pl_parse(call->in->response->body);
        const char *status = fv_text_of(call, pl_member(record, "common_status"));
        const char *revision = fv_answered_revision(call, record);
        fv_note_revision(call, known_as(&ids), revision);
        refusal.message = call->host->format(
            call->job, "%s (%d); the work order is now %s, revision %s", refusal.message, call->state->refusal_status,
            status && fv_is_status(status) ? status : "unknown", revision ? revision : "unknown");
    }
    *call->out = (struct bb_out){.size = call->out->size, .error = refusal};
    return BB_REJECT;
}

enum bb_next fv_write(const struct fv_call *call, const struct fv_shape *shape)
{
    const bool again = call->in->uncertain || call->in->attempt > 1;
    enum bb_next next;
    switch (call->state->stage) {
    case FV_START:
        return again && shape->flags & FV_MAKES ? ask_for_order(call, shape, FV_LOOKING) : send(call, shape);
    case FV_LOOKING:
        return looked(call, shape);
    case FV_SENT:
        next = fv_judge(call);
        return next == BB_DONE ? taken(call, shape) : refused(call, shape, next);
    case FV_READING_AGAIN:
        return read_again(call, shape);
    }
    return BB_REJECT;
}
