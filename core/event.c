/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider says is law for its own work orders: an import that makes a step which the lifecycle does not
 * know is accepted and marked, with one exception. Webhooks come late and out of order, so from completed, closed
 * and canceled only an explicit reopen leads on (or completed -> closed); anything else leaves the status alone.
 * The provider's word and ours travel in pairs (status, priority): both change or neither does. */
#include "event.h"

#include "clock.h"
#include "json.h"
#include "lifecycle.h"

#include <json-c/json.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the record ------------------------------------------------------------*/

static const char *keep(struct order_record *record, const char *text)
{
    return text ? arena_dup(record->arena, text, strlen(text)) : NULL;
}

static void copy_known(struct order_record *record, const struct work_order *known)
{
    struct work_order *order = &record->order;
    *order = *known;
    const char **texts[] = {
        &order->common_work_order_id,
        &order->provider_id,
        &order->source_work_order_id,
        &order->asset_ref,
        &order->source_status,
        &order->common_status,
        &order->priority,
        &order->source_priority,
        &order->sync_state,
        &order->delivery_id,
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        *texts[i] = keep(record, *texts[i]);
}

void event_copy_order(struct order_record *record, const struct work_order *order)
{
    *record = (struct order_record){.arena = arena_create()};
    copy_known(record, order);
}

static void merge_status(struct order_record *record, const struct bb_work_order *said)
{
    struct work_order *order = &record->order;
    if (!said->common_status && !said->source_status)
        return;
    const char *from = order->common_status, *to = lifecycle_word(WORDS_STATUS, said->common_status);
    if (!to)
        to = "unknown"; /* a word without a mapping: never a guess */
    bool allowed = lifecycle_allows(from, to), from_known = from && strcmp(from, "unknown") != 0;
    if (lifecycle_is_over(from) && !allowed)
        return;
    record->illegal = !allowed && from_known;
    record->status_changed = !from || strcmp(from, to) != 0;
    order->common_status = to;
    order->source_status = keep(record, said->source_status);
}

static void merge_priority(struct order_record *record, const struct bb_work_order *said)
{
    if (!said->priority && !said->source_priority)
        return;
    record->order.priority = lifecycle_word(WORDS_PRIORITY, said->priority);
    record->order.source_priority = keep(record, said->source_priority);
}

bool event_enter_sync(struct work_order *order, const char *state, int64_t now_ms)
{
    bool says_so_again = order->sync_state && strcmp(order->sync_state, state) == 0;
    bool confirms = strcmp(state, "imported") == 0 || strcmp(state, "synchronized") == 0;
    if (says_so_again ? !confirms : !sync_state_allows(order->sync_state, state))
        return says_so_again;
    order->sync_state = state;
    order->fresh_until_ms = 0; /* whoever stores it says anew */
    if (confirms)
        order->last_synced_ms = now_ms;
    return true;
}

void event_merge_order(struct order_record *record, const struct work_order *known, const struct bb_work_order *said,
                       const char *provider_id, const char *new_id, int64_t now_ms)
{
    *record = (struct order_record){.arena = arena_create(), .fresh = known == NULL};
    struct work_order *order = &record->order;
    if (known) {
        copy_known(record, known);
    } else {
        order->common_work_order_id = keep(record, new_id);
        order->provider_id = keep(record, provider_id);
    }
    merge_status(record, said);
    merge_priority(record, said);
    if (!order->common_status)
        order->common_status = "unknown";
    /* An id stays what it was when it was first learned: it is how the record is found again. */
    if (!order->source_work_order_id)
        order->source_work_order_id = keep(record, said->source_work_order_id);
    if (!order->delivery_id)
        order->delivery_id = keep(record, said->delivery_id);
    if (said->asset_ref)
        order->asset_ref = keep(record, said->asset_ref);
    if (said->sla_due_at)
        clock_parse(span_of(said->sla_due_at), &order->sla_due_ms); /* unreadable: left as it was */
    /* The target spoke of it: news for a new record, and the confirmation of a known one. */
    (void)event_enter_sync(order, record->fresh ? "imported" : "synchronized", now_ms);
    order->updated_ms = now_ms;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool event_same_order(const struct work_order *a, const struct work_order *b)
{
    return same_text(a->source_work_order_id, b->source_work_order_id) && same_text(a->asset_ref, b->asset_ref) &&
           same_text(a->source_status, b->source_status) && same_text(a->common_status, b->common_status) &&
           same_text(a->priority, b->priority) && same_text(a->source_priority, b->source_priority) &&
           a->sla_due_ms == b->sla_due_ms;
}

void order_record_finish(struct order_record *record)
{
    arena_destroy(record->arena);
    *record = (struct order_record){0};
}

/* ---- the CloudEvent ----------------------------------------------------------*/

static void put_member(struct buf *out, const char *key, const char *value)
{
    buf_puts(out, ",\"");
    buf_puts(out, key);
    buf_puts(out, "\":");
    if (value)
        buf_put_json(out, span_of(value));
    else
        buf_puts(out, "null");
}

static void put_time(struct buf *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT_MAX];
    put_member(out, key, wall_ms == 0 ? NULL : clock_format(wall_ms, text));
}

void event_print_order(const struct work_order *order, struct buf *out)
{
    buf_puts(out, "{\"common_work_order_id\":");
    buf_put_json(out, span_of(order->common_work_order_id));
    put_member(out, "provider_id", order->provider_id);
    put_member(out, "source_work_order_id", order->source_work_order_id);
    put_member(out, "asset_ref", order->asset_ref);
    put_member(out, "source_status", order->source_status);
    put_member(out, "common_status", order->common_status);
    put_member(out, "priority", order->priority);
    put_member(out, "source_priority", order->source_priority);
    put_time(out, "sla_due_at", order->sla_due_ms);
    put_member(out, "sync_state", order->sync_state);
    put_time(out, "last_synced_at", order->last_synced_ms);
    buf_putc(out, '}');
}

/* `source` is a URI reference: whatever a host name brings along is percent-encoded. */
static void put_uri_part(struct buf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

/* The provider's object goes on byte by byte, so that numbers keep their text. What is no JSON after all
 * must not spoil the envelope: it goes on as a string. */
static void put_raw(struct buf *out, struct span raw)
{
    bool is_null = false;
    cleanup_json struct json_object *json = json_parse(raw, &is_null, NULL);
    if (json || is_null)
        buf_append(out, raw.data, raw.len);
    else
        buf_put_json(out, raw);
}

static void put_provider(struct buf *out, const struct event_facts *facts)
{
    char time[CLOCK_TEXT_MAX];
    buf_puts(out, "{\"event\":");
    buf_put_json(out, span_of(facts->provider_event));
    put_member(out, "received_at", clock_format(facts->received_ms, time));
    buf_puts(out, ",\"raw\":");
    if (facts->raw.len > 0)
        put_raw(out, facts->raw);
    else
        buf_puts(out, "null");
    buf_putc(out, '}');
}

void event_print(const struct event_facts *facts, struct buf *out)
{
    char time[CLOCK_TEXT_MAX];
    cleanup_buf struct buf source = {0};
    buf_puts(&source, "/busbar/");
    put_uri_part(&source, facts->instance);
    buf_putc(&source, '/');
    put_uri_part(&source, facts->target);

    buf_puts(out, "{\"specversion\":\"1.0\"");
    put_member(out, "id", facts->id);
    put_member(out, "source", source.data);
    put_member(out, "type", facts->type);
    if (facts->order)
        put_member(out, "subject", facts->order->common_work_order_id);
    put_member(out, "time", clock_format(facts->time_ms ? facts->time_ms : facts->received_ms, time));
    put_member(out, "datacontenttype", "application/json");
    buf_puts(out, ",\"data\":{\"work_order\":");
    if (facts->order)
        event_print_order(facts->order, out);
    else
        buf_puts(out, "null");
    buf_puts(out, ",\"provider\":");
    if (facts->provider_event)
        put_provider(out, facts);
    else
        buf_puts(out, "null");
    if (facts->extra.len > 0) {
        buf_putc(out, ',');
        buf_append(out, facts->extra.data, facts->extra.len);
    }
    buf_puts(out, "}}");
}

#define TYPE_LEVELS_MAX 16 /* of a topic: brokers throw out who publishes on too many */
#define LEVEL_BYTES_MAX 1024

/* The bytes of the character that stands there, and which it is; what is no UTF-8 is one byte of a control character.
 */
static size_t character(const char *text, uint32_t *code)
{
    unsigned char c = (unsigned char)*text;
    size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
    *code = len > 1 ? c & (0x7fU >> len) : len == 1 ? c : 0;
    for (size_t i = 1; i < len; i++) {
        c = (unsigned char)text[i];
        if ((c & 0xc0) != 0x80) {
            *code = 0;
            return 1;
        }
        *code = *code << 6 | (c & 0x3fU);
    }
    return len > 0 ? len : 1;
}

/* The controls and the non-characters of Unicode: a broker may end the link for them (MQTT 5, 1.5.4). */
static bool is_barred(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xfdd0 && code <= 0xfdef) ||
           (code & 0xfffe) == 0xfffe;
}

/* Names come from outside: none may add a level, a wildcard or what is no character to a topic. */
static void put_level(struct buf *out, const char *text, bool dots_part)
{
    const char *end = text + LEVEL_BYTES_MAX;
    int levels = 1;
    uint32_t code;
    for (size_t len; *text && text < end; text += len) {
        len = character(text, &code);
        if (code == '.' && dots_part && levels < TYPE_LEVELS_MAX) {
            levels++;
            buf_putc(out, '/');
        } else if (is_barred(code) || code == '/' || code == '+' || code == '#') {
            buf_putc(out, '_');
        } else {
            buf_append(out, text, len);
        }
    }
}

char *event_topic(const char *prefix, const char *target, const char *type)
{
    struct buf topic = {0};
    buf_printf(&topic, "%s/events/", prefix);
    put_level(&topic, target, false);
    buf_putc(&topic, '/');
    put_level(&topic, type, true);
    return buf_steal(&topic);
}

char *event_order_topic(const char *prefix, const char *target, const char *common_id)
{
    struct buf topic = {0};
    buf_printf(&topic, "%s/orders/", prefix);
    put_level(&topic, target, false);
    buf_putc(&topic, '/');
    put_level(&topic, common_id, false);
    return buf_steal(&topic);
}
