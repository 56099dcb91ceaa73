/* SPDX-License-Identifier: Apache-2.0 */
/* A work order as the target tells it, in answers, polls and webhooks: the settings say where each thing stands. */
#include "http.h"

#include <json-c/json.h>
#include <string.h>

const char *ht_word_at(const struct ht_call *call, struct json_object *root, const char *pointer)
{
    struct json_object *value = pl_at(root, pointer);
    if (json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_boolean))
        return call->host->format(call->job, "%s", json_object_get_string(value));
    return pl_text_of(call->host, call->job, value);
}

const char *ht_place(const struct ht_call *call, struct json_object *said, const char *name)
{
    const char *own = ht_setting(call, pl_member(said, "record"), name);
    return own ? own : ht_setting(call, call->self->record, name);
}

static const char *field(const struct ht_call *call, struct json_object *said, struct json_object *record,
                         const char *name)
{
    const char *place = ht_place(call, said, name);
    return place ? ht_word_at(call, record, place) : NULL;
}

static const char *time_field(const struct ht_call *call, struct json_object *said, struct json_object *record,
                              const char *name)
{
    const char *place = ht_place(call, said, name);
    int64_t ms;
    bool local;
    if (!place || !ht_read_time(call, pl_at(record, place), &ms, &local) || local)
        return NULL;
    return pl_print_time(call->host, call->job, ms);
}

#define UUID_LEN 36

static bool is_uuid(const char *text)
{
    for (int i = 0; i < UUID_LEN; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !text[i] || !strchr("0123456789abcdef", text[i]))
            return false;
    }
    return true;
}

/* Where a system has no place for it, our id stands somewhere in a text: it is the first UUID there. */
static const char *our_id(const struct ht_call *call, const char *text)
{
    for (; text && *text; text++)
        if (is_uuid(text))
            return pl_text(call->host, call->job, (struct bb_str){text, UUID_LEN});
    return NULL;
}

bool ht_read_record(const struct ht_call *call, struct json_object *said, struct json_object *record,
                    struct bb_work_order *order)
{
    const char *id = field(call, said, record, "id");
    if (!id || strlen(id) > HT_ID_MAX)
        return false;
    *order = (struct bb_work_order){.order_id = our_id(call, field(call, said, record, "order_id")),
                                    .delivery_id = our_id(call, field(call, said, record, "delivery_id")),
                                    .source_work_order_id = id,
                                    .asset_ref = field(call, said, record, "asset"),
                                    .source_status = field(call, said, record, "status"),
                                    .source_priority = field(call, said, record, "priority"),
                                    .sla_due_at = time_field(call, said, record, "due")};
    return true;
}

/* The core says updated of what it knew before. */
const char *ht_event_type(const struct ht_call *call, const struct bb_work_order *order)
{
    const char *status =
        order->source_status ? call->host->common_word(call->job, BB_STATUSES, order->source_status) : NULL;
    if (status && strcmp(status, "completed") == 0)
        return "work_order.completed";
    return status && strcmp(status, "closed") == 0 ? "work_order.closed" : "work_order.created";
}

/* Told twice it is the same: by its status and when it changed (clocks of whole seconds see two changes as one), else
 * by all that it says. */
static const char *dedup_id(const struct ht_call *call, struct json_object *said, struct json_object *record,
                            const struct bb_work_order *order)
{
    const char *id = order->source_work_order_id, *status = order->source_status;
    const char *updated = field(call, said, record, "updated");
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    if (updated)
        return call->host->format(call->job, "%s/%s/%s", id, status ? status : "", updated);
    for (const char *c = pl_print(call->host, call->job, record).data; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    return call->host->format(call->job, "%s/%016llx", id, (unsigned long long)hash);
}

bool ht_emit_record(const struct ht_call *call, struct json_object *said, struct json_object *record,
                    int64_t *updated_ms)
{
    struct bb_work_order order;
    const char *place = ht_place(call, said, "updated");
    bool local = true;
    *updated_ms = 0;
    if (!ht_read_record(call, said, record, &order)) {
        call->host->count(call->job, "passed_over", 1);
        call->host->log(call->job, BB_LOG_WARN, "a record without an id was passed over: see `record`");
        return false;
    }
    if (place && !ht_read_time(call, pl_at(record, place), updated_ms, &local))
        *updated_ms = 0;
    const struct bb_event event = {.size = sizeof event,
                                   .type = ht_event_type(call, &order),
                                   .name = "work_order",
                                   .dedup_id = dedup_id(call, said, record, &order),
                                   .occurred_ms = local ? 0 : *updated_ms,
                                   .work_order = &order,
                                   .raw = pl_print(call->host, call->job, record)};
    call->host->emit(call->job, &event);
    return true;
}
