/* SPDX-License-Identifier: Apache-2.0 */
/* What the child answers. Each take_ function reads what may be forged: counts are bounded before memory is taken for
 * them, words are checked by whoever uses them (job_review, descriptor_check, the host's own functions). */
#include "cell_wire.h"

#include <string.h>

#define EFFECTS_MAX \
    50000               /* 10,000 events, 1,000 notes, a verdict for each of a batch, and what is logged and counted */
#define TALK_MAX 1000   /* of them, what is logged and counted */
#define REASON_MAX 1024 /* of what is wrong */
#define HEADERS_MAX 1000
#define OPERATIONS_MAX 1000
#define POINTERS_MAX 64

static void put_span(struct buf *to, struct bb_str text)
{
    wire_put_bytes(to, (struct span){text.data, text.len});
}

/* ---- an error */

static void put_error(struct buf *to, const struct bb_error *error)
{
    wire_put_number(to, error->error_class);
    wire_put_text(to, error->code);
    wire_put_text(to, error->message);
    wire_put_text(to, error->rejected_fields);
    wire_put_text(to, error->owner_action);
}

static struct bb_error take_error(struct wire *wire, struct arena *arena)
{
    struct bb_error error = {.error_class = (enum bb_class)wire_number_in(wire, INT32_MIN, INT32_MAX)};
    error.code = wire_text(wire, arena);
    error.message = wire_text(wire, arena);
    error.rejected_fields = wire_text(wire, arena);
    error.owner_action = wire_text(wire, arena);
    return error;
}

/* ---- effects */

/* Texts of a work order, in one order for both ends. */
#define ORDER_TEXTS 9
static void order_texts(struct bb_work_order *order, const char **texts[ORDER_TEXTS])
{
    const char **all[ORDER_TEXTS] = {&order->order_id,  &order->delivery_id,     &order->source_work_order_id,
                                     &order->asset_ref, &order->source_status,   &order->common_status,
                                     &order->priority,  &order->source_priority, &order->sla_due_at};
    memcpy(texts, all, sizeof(all));
}

void wire_put_emit(struct buf *to, const struct bb_event *given)
{
    struct bb_event event = {0};
    bool sized = given != NULL && given->size >= offsetof(struct bb_event, raw) + sizeof(given->raw);
    if (sized) /* what an older plugin does not have is zero */
        memcpy(&event, given, given->size < sizeof(event) ? given->size : sizeof(event));
    wire_put_number(to, EFFECT_EMIT);
    wire_put_number(to, sized);
    wire_put_text(to, event.type);
    wire_put_text(to, event.name);
    wire_put_text(to, event.dedup_id);
    wire_put_number(to, event.occurred_ms);
    put_span(to, event.raw);
    wire_put_number(to, event.work_order != NULL);
    if (event.work_order == NULL)
        return;
    struct bb_work_order order = *event.work_order;
    const char **texts[ORDER_TEXTS];
    order_texts(&order, texts);
    for (size_t i = 0; i < ORDER_TEXTS; i++)
        wire_put_text(to, *texts[i]);
}

void wire_put_settle(struct buf *to, size_t i, enum bb_next verdict, const struct bb_error *error)
{
    wire_put_number(to, EFFECT_SETTLE);
    wire_put_number(to, i > INT32_MAX ? INT32_MAX : (int64_t)i);
    wire_put_number(to, verdict);
    wire_put_number(to, error != NULL);
    if (error != NULL)
        put_error(to, error);
}

void wire_put_note(struct buf *to, const char *key, const char *value)
{
    wire_put_number(to, EFFECT_NOTE);
    wire_put_text(to, key);
    wire_put_text(to, value);
}

void wire_put_log(struct buf *to, enum bb_log_level level, const char *message)
{
    wire_put_number(to, EFFECT_LOG);
    wire_put_number(to, level);
    wire_put_text(to, message);
}

void wire_put_count(struct buf *to, const char *name, uint64_t n)
{
    wire_put_number(to, EFFECT_COUNT);
    wire_put_text(to, name);
    wire_put_number(to, n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

static void take_emit(struct wire *wire, struct bb_job *job)
{
    struct bb_work_order order = {0};
    bool given = wire_bool(wire);
    struct bb_event event = {.size = sizeof(event)};
    event.type = wire_text(wire, job->arena);
    event.name = wire_text(wire, job->arena);
    event.dedup_id = wire_text(wire, job->arena);
    event.occurred_ms = wire_number(wire);
    struct span raw = wire_bytes(wire);
    event.raw = (struct bb_str){raw.data, raw.len};
    if (wire_bool(wire)) {
        const char **texts[ORDER_TEXTS];
        order_texts(&order, texts);
        for (size_t i = 0; i < ORDER_TEXTS; i++)
            *texts[i] = wire_text(wire, job->arena);
        event.work_order = &order;
    }
    if (!wire->bad)
        host_table()->emit(job, given ? &event : NULL);
}

static void take_settle(struct wire *wire, struct bb_job *job)
{
    size_t i = (size_t)wire_number_in(wire, 0, INT32_MAX);
    enum bb_next verdict = (enum bb_next)wire_number_in(wire, INT32_MIN, INT32_MAX);
    bool has_error = wire_bool(wire);
    struct bb_error error = {0};
    if (has_error)
        error = take_error(wire, job->arena);
    if (!wire->bad)
        host_table()->settle(job, i, verdict, has_error ? &error : NULL);
}

static void take_note(struct wire *wire, struct bb_job *job)
{
    const char *key = wire_text(wire, job->arena), *value = wire_text(wire, job->arena);
    if (!wire->bad)
        host_table()->note_put(job, key, value);
}

static void take_log(struct wire *wire, struct bb_job *job)
{
    enum bb_log_level level = (enum bb_log_level)wire_number_in(wire, INT32_MIN, INT32_MAX);
    const char *message = wire_text(wire, job->arena);
    if (!wire->bad)
        host_table()->log(job, level, message);
}

static void take_count(struct wire *wire, struct bb_job *job)
{
    const char *name = wire_text(wire, job->arena);
    int64_t n = wire_number_in(wire, 0, INT64_MAX);
    if (!wire->bad)
        host_table()->count(job, name, (uint64_t)n);
}

static void take_effects(struct wire *wire, struct bb_job *job)
{
    struct wire effects = {.left = wire_bytes(wire)};
    size_t talk = 0;
    for (size_t count = 0; effects.left.len > 0 && !effects.bad; count++) {
        enum wire_effect effect = (enum wire_effect)wire_number_in(&effects, EFFECT_EMIT, EFFECT_COUNT);
        talk += effect == EFFECT_LOG || effect == EFFECT_COUNT ? 1 : 0;
        effects.bad |= count >= EFFECTS_MAX || talk > TALK_MAX;
        if (effects.bad)
            break;
        switch (effect) {
        case EFFECT_EMIT:
            take_emit(&effects, job);
            break;
        case EFFECT_SETTLE:
            take_settle(&effects, job);
            break;
        case EFFECT_NOTE:
            take_note(&effects, job);
            break;
        case EFFECT_LOG:
            take_log(&effects, job);
            break;
        case EFFECT_COUNT:
            take_count(&effects, job);
            break;
        }
    }
    wire->bad |= effects.bad;
}

/* ---- the answer to a call */

static void put_request(struct buf *to, const struct bb_request *request)
{
    wire_put_text(to, request->method);
    wire_put_text(to, request->path);
    put_span(to, request->body);
    wire_put_text(to, request->content_type);
    wire_put_number(to, request->cache_ms);
    wire_put_number(to, (int64_t)request->header_count);
    for (size_t i = 0; i < request->header_count; i++) {
        wire_put_text(to, request->headers[i].name);
        put_span(to, request->headers[i].value);
    }
}

static struct bb_request take_request(struct wire *wire, struct arena *arena)
{
    struct bb_request request = {.method = wire_text(wire, arena)};
    request.path = wire_text(wire, arena);
    request.body = wire_str(wire, arena);
    request.content_type = wire_text(wire, arena);
    request.cache_ms = wire_number(wire);
    request.header_count = (size_t)wire_number_in(wire, 0, HEADERS_MAX);
    struct bb_header *headers = arena_alloc(arena, (request.header_count + 1) * sizeof(*headers));
    for (size_t i = 0; i < request.header_count; i++) {
        headers[i].name = wire_text(wire, arena);
        headers[i].value = wire_str(wire, arena);
        wire->bad |= headers[i].name == NULL;
    }
    request.headers = headers;
    return request;
}

void wire_put_answer(struct buf *to, const struct wire_answer *answer, const struct bb_out *out, struct span effects)
{
    size_t at = wire_begin(to, WIRE_ANSWER);
    wire_put_number(to, answer->number);
    wire_put_number(to, answer->took_us);
    wire_put_number(to, answer->next);
    wire_put_text(to, answer->misuse);
    wire_put_text(to, answer->flaw);
    if (answer->next == BB_SEND)
        put_request(to, &out->request);
    put_error(to, &out->error);
    wire_put_number(to, out->retry_after_ms);
    wire_put_number(to, out->hold_operation);
    wire_put_number(to, out->unconfirmed);
    wire_put_text(to, out->source_work_order_id);
    wire_put_text(to, out->asset_ref);
    wire_put_bytes(to, effects);
    wire_end(to, at);
}

int64_t wire_take_number(struct wire *wire)
{
    return wire_number(wire);
}

bool wire_take_answer(struct wire *wire, struct bb_job *job, struct wire_answer *answer, struct bb_out *out)
{
    *out = (struct bb_out){.size = sizeof(*out)};
    answer->took_us = wire_number_in(wire, 0, INT64_MAX);
    answer->next = (enum bb_next)wire_number_in(wire, INT32_MIN, INT32_MAX);
    answer->misuse = job_keep_sentence(job, "misuse", wire_text(wire, job->arena), REASON_MAX);
    answer->flaw = job_keep_sentence(job, "flaw", wire_text(wire, job->arena), REASON_MAX);
    if (answer->next == BB_SEND)
        out->request = take_request(wire, job->arena);
    out->error = take_error(wire, job->arena);
    out->retry_after_ms = wire_number(wire);
    out->hold_operation = wire_bool(wire);
    out->unconfirmed = wire_bool(wire);
    out->source_work_order_id = wire_text(wire, job->arena);
    out->asset_ref = wire_text(wire, job->arena);
    if (!wire->bad)
        take_effects(wire, job);
    if (answer->misuse != NULL)
        job_misuse(job, "%s", answer->misuse);
    if (job->flaw == NULL)
        job->flaw = answer->flaw;
    return wire_is_done(wire);
}

/* ---- what open said */

static void put_operation(struct buf *to, const struct bb_operation *operation)
{
    wire_put_text(to, operation->name);
    wire_put_text(to, operation->help);
    wire_put_number(to, operation->flags);
    wire_put_number(to, operation->max_batch);
    wire_put_text(to, operation->coalesce);
    wire_put_number(to, operation->default_cooldown_ms);
    wire_put_text(to, operation->default_budget);
    wire_put_text(to, operation->budget_pointer);
    wire_put_text(to, operation->order_pointer);
    wire_put_text(to, operation->moves_to);
}

static struct bb_operation take_operation(struct wire *wire, struct arena *arena)
{
    struct bb_operation operation = {.name = wire_text(wire, arena)};
    operation.help = wire_text(wire, arena);
    operation.flags = (unsigned)wire_number_in(wire, 0, UINT32_MAX);
    operation.max_batch = (unsigned)wire_number_in(wire, 0, UINT32_MAX);
    operation.coalesce = wire_text(wire, arena);
    operation.default_cooldown_ms = wire_number(wire);
    operation.default_budget = wire_text(wire, arena);
    operation.budget_pointer = wire_text(wire, arena);
    operation.order_pointer = wire_text(wire, arena);
    operation.moves_to = wire_text(wire, arena);
    return operation;
}

static void put_hook(struct buf *to, const struct bb_hook *hook)
{
    const struct bb_signature *signature = &hook->signature;
    size_t count = 0;
    while (hook->dedup_pointers != NULL && hook->dedup_pointers[count] != NULL)
        count++;
    wire_put_text(to, hook->event_pointer);
    wire_put_number(to, hook->dedup_pointers != NULL);
    wire_put_number(to, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        wire_put_text(to, hook->dedup_pointers[i]);
    wire_put_text(to, hook->dedup_required);
    wire_put_text(to, signature->header);
    wire_put_number(to, signature->pairs);
    wire_put_text(to, signature->time_key);
    wire_put_text(to, signature->nonce_key);
    wire_put_text(to, signature->sign_key);
    wire_put_text(to, signature->signed_string);
    wire_put_number(to, signature->tolerance_ms);
}

static struct bb_hook take_hook(struct wire *wire, struct arena *arena)
{
    struct bb_hook hook = {.event_pointer = wire_text(wire, arena)};
    bool has_pointers = wire_bool(wire);
    size_t count = (size_t)wire_number_in(wire, 0, POINTERS_MAX);
    const char **pointers = arena_alloc(arena, (count + 1) * sizeof(*pointers));
    for (size_t i = 0; i < count; i++) {
        pointers[i] = wire_text(wire, arena);
        wire->bad |= pointers[i] == NULL;
    }
    hook.dedup_pointers = has_pointers ? pointers : NULL;
    hook.dedup_required = wire_text(wire, arena);
    hook.signature.header = wire_text(wire, arena);
    hook.signature.pairs = wire_bool(wire);
    hook.signature.time_key = wire_text(wire, arena);
    hook.signature.nonce_key = wire_text(wire, arena);
    hook.signature.sign_key = wire_text(wire, arena);
    hook.signature.signed_string = wire_text(wire, arena);
    hook.signature.tolerance_ms = wire_number(wire);
    return hook;
}

void wire_put_opened(struct buf *to, const char *error, const struct bb_description *description)
{
    size_t at = wire_begin(to, WIRE_OPENED), stride = description->operation_size;
    wire_put_text(to, error);
    wire_put_number(to, (int64_t)description->operation_count);
    for (size_t i = 0; i < description->operation_count; i++) {
        struct bb_operation operation = {0};
        memcpy(&operation, (const char *)description->operations + i * stride,
               stride < sizeof(operation) ? stride : sizeof(operation));
        put_operation(to, &operation);
    }
    put_hook(to, &description->hook);
    wire_put_number(to, description->poll_ms);
    wire_end(to, at);
}

bool wire_take_opened(struct wire *wire, struct arena *arena, const char **error, struct bb_description *description)
{
    *error = wire_text(wire, arena);
    size_t count = (size_t)wire_number_in(wire, 0, OPERATIONS_MAX);
    struct bb_operation *operations = arena_alloc(arena, (count + 1) * sizeof(*operations));
    for (size_t i = 0; i < count; i++)
        operations[i] = take_operation(wire, arena);
    *description = (struct bb_description){.size = sizeof(*description),
                                           .operations = operations,
                                           .operation_size = sizeof(*operations),
                                           .operation_count = count,
                                           .hook = take_hook(wire, arena)};
    description->poll_ms = wire_number(wire);
    return wire_is_done(wire);
}
