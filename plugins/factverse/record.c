/* SPDX-License-Identifier: Apache-2.0 */
/* A work order as FactVerse tells it (FV-01), in answers, polls and webhooks alike. What is not as the contract has
 * it is left out and logged: the rest is still true. */
#include "factverse.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REVISION_MAX 200
#define UUID_LENGTH 36
#define NOTED_MAX 450 /* orders in an attempt: two notes each, and the core keeps 1000 */

/* ---- its fields --------------------------------------------------------------------------*/

enum shape { TEXT, ID, TIME, STATUS, PRIORITY, SYNC_STATE, PROVIDER };

static const struct field {
    const char *name;
    enum shape shape;
    bool required; /* F-U2; asset_ref may be missing in what others made */
} fields[] = {{"common_work_order_id", ID, true}, {"provider_id", PROVIDER, true},  {"source_work_order_id", ID, false},
              {"asset_ref", TEXT, false},         {"source_status", TEXT, false},   {"common_status", STATUS, true},
              {"priority", PRIORITY, false},      {"source_priority", TEXT, false}, {"sla_due_at", TIME, false},
              {"sync_state", SYNC_STATE, true},   {"last_synced_at", TIME, false}};

static bool fits(const char *text, enum shape shape)
{
    int64_t ms;
    switch (shape) {
    case TEXT:
        return true;
    case ID:
        return strlen(text) <= FV_ID_MAX;
    case TIME:
        return pl_read_time(text, &ms);
    case STATUS:
        return fv_is_status(text);
    case PRIORITY:
        return fv_is_priority(text);
    case SYNC_STATE:
        return fv_is_sync_state(text);
    case PROVIDER:
        return fv_is_provider(text);
    }
    return false;
}

/* NULL: missing, null or not as it should be. */
static const char *field(const struct fv_call *call, struct json_object *record, const char *name)
{
    size_t i = 0;
    while (i < PL_COUNT(fields) - 1 && strcmp(fields[i].name, name) != 0)
        i++;
    const char *text = fv_text_of(call, pl_member(record, name));
    return text && fits(text, fields[i].shape) ? text : NULL;
}

static void tell_differences(const struct fv_call *call, struct json_object *record)
{
    const char *said = NULL;
    for (size_t i = 0; i < PL_COUNT(fields); i++) {
        const bool there = pl_member(record, fields[i].name) != NULL;
        if (there ? field(call, record, fields[i].name) != NULL : !fields[i].required)
            continue;
        said = call->host->format(call->job, "%s%s %s",
                                  said ? said : "a work order is not as the contract has it:", said ? "," : "",
                                  fields[i].name);
    }
    if (!said)
        return;
    call->host->log(call->job, BB_LOG_WARN, said);
    call->host->count(call->job, "undocumented_record", 1);
}

/* Where FactVerse has no id of its own system's, its reference is the one; but ours comes back as it was sent. */
static bool is_ours(const char *id)
{
    return strlen(id) == UUID_LENGTH && strspn(id, "0123456789abcdef-") == UUID_LENGTH;
}

static bool read_fields(const struct fv_call *call, struct json_object *record, struct bb_work_order *order)
{
    const char *common_id = field(call, record, "common_work_order_id");
    const char *source_id = field(call, record, "source_work_order_id");
    if (!source_id && common_id && !is_ours(common_id))
        source_id = common_id;
    if (!source_id && !common_id)
        return false;
    tell_differences(call, record);
    const char *source_status = field(call, record, "source_status"), *status = field(call, record, "common_status");
    const char *source_priority = field(call, record, "source_priority"), *priority = field(call, record, "priority");
    if (!source_status && !status) /* a word that is none of ours is one of theirs, which the core maps */
        source_status = fv_text_of(call, pl_member(record, "common_status"));
    if (!source_priority && !priority)
        source_priority = fv_text_of(call, pl_member(record, "priority"));
    *order = (struct bb_work_order){.order_id = common_id,
                                    .source_work_order_id = source_id,
                                    .asset_ref = field(call, record, "asset_ref"),
                                    .source_status = source_status,
                                    .common_status = status,
                                    .priority = priority,
                                    .source_priority = source_priority,
                                    .sla_due_at = field(call, record, "sla_due_at")};
    return true;
}

bool fv_is_foreign(const struct fv_call *call, struct json_object *record)
{
    const char *theirs = fv_text_of(call, pl_member(record, "provider_id"));
    return theirs && strcmp(theirs, call->config->provider_id) != 0;
}

/* ---- its ids -----------------------------------------------------------------------------------*/

static const char *known_as(const struct bb_work_order *order)
{
    return order->source_work_order_id ? order->source_work_order_id : order->order_id;
}

static const char *reference_of(const struct fv_call *call, const char *source_id)
{
    return call->host->format(call->job, "reference/%s", source_id);
}

/* busbar has an id of its own for what others made, unless theirs is a UUID: FactVerse knows it by theirs. */
static void note_reference(const struct fv_call *call, const struct bb_work_order *order)
{
    if (!order->order_id || !order->source_work_order_id || is_ours(order->order_id))
        return;
    const char *note = reference_of(call, order->source_work_order_id), *known = call->host->note_get(call->job, note);
    if (!known || strcmp(known, order->order_id) != 0)
        call->host->note_put(call->job, note, order->order_id);
}

struct fv_ids fv_ids_of(const struct fv_call *call, const struct fv_shape *shape)
{
    const struct bb_message *message = &call->in->messages[0];
    const char *source_id = shape->flags & FV_MAKES ? NULL : message->source_work_order_id;
    const char *reference = source_id ? call->host->note_get(call->job, reference_of(call, source_id)) : NULL;
    return (struct fv_ids){reference ? reference : message->order_id, source_id};
}

/* ---- its revision (F-U8) ---------------------------------------------------------------------*/

static const char *note_of(const struct fv_call *call, const char *id)
{
    return call->host->format(call->job, "revision/%s", id);
}

const char *fv_revision(const struct fv_call *call, const char *id)
{
    return call->host->note_get(call->job, note_of(call, id));
}

void fv_note_revision(const struct fv_call *call, const char *id, const char *revision)
{
    const char *known = fv_revision(call, id);
    if (revision ? !known || strcmp(known, revision) != 0 : known != NULL)
        call->host->note_put(call->job, note_of(call, id), revision);
}

/* As an entity tag: "7" of 7. NULL: it tells none that can be sent. */
static const char *told_revision(const struct fv_call *call, struct json_object *body)
{
    struct json_object *value = pl_at(body, fv_pointer(call, FV_REVISION));
    const char *text = json_object_is_type(value, json_type_int)
                           ? call->host->format(call->job, "%s", json_object_get_string(value))
                           : fv_text_of(call, value);
    return text && pl_matches(text, REVISION_MAX, "_.:+/=-") ? call->host->format(call->job, "\"%s\"", text) : NULL;
}

const char *fv_answered_revision(const struct fv_call *call, struct json_object *body)
{
    const struct bb_response *response = call->in->response;
    for (size_t i = 0; i < response->header_count; i++) {
        const struct bb_str tag = response->headers[i].value;
        if (strcasecmp(response->headers[i].name, "etag") == 0 && tag.len > 0 && tag.len <= REVISION_MAX)
            return pl_text(call->host, call->job, tag);
    }
    return told_revision(call, body);
}

static long long number_of(const char *tag)
{
    return strspn(tag, "\"0123456789") == strlen(tag) ? strtoll(tag + 1, NULL, 10) : -1;
}

/* Nobody writes to what is over; it is read anew when it is reopened. */
static bool is_over(const char *status)
{
    return status && (strcmp(status, "closed") == 0 || strcmp(status, "canceled") == 0);
}

void fv_note_told(const struct fv_call *call, struct json_object *record, const struct bb_work_order *order)
{
    const char *id = known_as(order), *told = told_revision(call, record), *known = fv_revision(call, id);
    if (call->state && call->state->noted++ >= NOTED_MAX)
        return; /* an old one is refused, and then read again */
    if (is_over(order->common_status))
        fv_note_revision(call, id, NULL);
    else if (told && (!known || number_of(told) > number_of(known))) /* news comes late and out of order */
        fv_note_revision(call, id, told);
    note_reference(call, order);
}

/* Of an older revision than was seen: true when it was told, and no more. */
static bool is_old(const struct fv_call *call, struct json_object *record, const struct bb_work_order *order)
{
    const char *told = told_revision(call, record), *known = fv_revision(call, known_as(order));
    return told && known && number_of(told) >= 0 && number_of(told) < number_of(known);
}

bool fv_read_record(const struct fv_call *call, struct json_object *record, struct bb_work_order *order)
{
    if (!read_fields(call, record, order))
        return false;
    if (is_old(call, record, order)) /* it happened; but the record has gone on */
        *order =
            (struct bb_work_order){.order_id = order->order_id, .source_work_order_id = order->source_work_order_id};
    return true;
}

/* ---- as an event -----------------------------------------------------------------------------*/

/* The core says updated of what it knew before. */
static const char *event_type(const char *common)
{
    if (common && strcmp(common, "completed") == 0)
        return "work_order.completed";
    return common && strcmp(common, "closed") == 0 ? "work_order.closed" : "work_order.created";
}

/* When and at which revision: told twice it is the same. */
static const char *dedup_id(const struct fv_call *call, struct json_object *record, const struct bb_work_order *order)
{
    const char *updated = fv_text_at(call, record, fv_pointer(call, FV_UPDATED));
    const char *revision = told_revision(call, record);
    if (!updated && !revision)
        return NULL;
    return call->host->format(call->job, "%s/%s/%s", known_as(order), revision ? revision : "", updated ? updated : "");
}

void fv_emit_record(const struct fv_call *call, struct json_object *record)
{
    struct bb_work_order order;
    const char *updated = fv_text_at(call, record, fv_pointer(call, FV_UPDATED));
    if (fv_is_foreign(call, record) || !fv_read_record(call, record, &order)) {
        call->host->count(call->job, "passed_over", 1);
        call->host->log(call->job, BB_LOG_WARN, "a work order of another provider, or without an id, was passed over");
        return;
    }
    struct bb_event event = {.size = sizeof event,
                             .type = event_type(order.common_status),
                             .name = "work_order",
                             .dedup_id = dedup_id(call, record, &order),
                             .work_order = &order,
                             .raw = fv_print(call, record)};
    if (!updated || !pl_read_time(updated, &event.occurred_ms))
        event.occurred_ms = 0;
    fv_note_told(call, record, &order);
    call->host->emit(call->job, &event);
}
