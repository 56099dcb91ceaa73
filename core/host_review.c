/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where what a plugin points to is read: it is looked at and copied into the job, so that nothing behind
 * it touches the plugin's memory. It may be anything, also none at all: whoever calls this does it as part of the
 * plugin's call, for what it dies of is the plugin's.
 *
 * What others find things by (ids, keys, words, a path) is taken as it is or not at all. What a person reads is cut and
 * mended instead: a verdict is worth more than its sentence. */
#include "host.h"

#include <string.h>

#define MOST_EVENTS 10000
#define MOST_NOTE_KEY 200
#define MOST_NOTE_BYTES ((size_t)64 << 10)
#define MOST_KEY_BYTES ((size_t)1 << 10)
#define MOST_FIELDS_BYTES ((size_t)64 << 10)
#define MOST_PATH_BYTES ((size_t)64 << 10)
#define MOST_BODY_BYTES ((size_t)256 << 20)
#define MOST_HEADERS 64
#define MOST_HEADER_BYTES ((size_t)64 << 10)
#define MOST_RAW_BYTES ((size_t)16 << 20)
#define MOST_RAW_BYTES_IN_ALL ((size_t)64 << 20)

void job_misuse(struct bb_job *job, const char *format, ...)
{
    if (job->misuse)
        return;
    va_list args;
    va_start(args, format);
    job->misuse = arena_vprintf(job->arena, format, args);
    va_end(args);
}

__attribute__((format(printf, 2, 3))) static void note_flaw(struct bb_job *job, const char *format, ...)
{
    if (job->flaw)
        return;
    va_list args;
    va_start(args, format);
    job->flaw = arena_vprintf(job->arena, format, args);
    va_end(args);
}

/* ---- texts */

static const char *keep_text(struct bb_job *job, const char *what, const char *text, size_t most)
{
    if (!text)
        return NULL;
    const size_t len = strnlen(text, most + 1);
    if (len > most)
        job_misuse(job, "%s is over %zu bytes", what, most);
    else if (!span_is_utf8((struct span){text, len}))
        job_misuse(job, "%s is not UTF-8", what);
    else
        return arena_dup(job->arena, text, len);
    return NULL;
}

const char *job_keep_key(struct bb_job *job, const char *what, const char *text)
{
    return keep_text(job, what, text, MOST_KEY_BYTES);
}

const char *job_keep_sentence(struct bb_job *job, const char *what, const char *text, size_t most)
{
    if (!text)
        return NULL;
    size_t len = strnlen(text, most + 1);
    const bool cut = len > most;
    if (cut)
        for (len = most; len > most - 3 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
            ; /* not inside a character */
    struct span words = {text, len};
    const bool good = span_is_utf8(words);
    if (good && !cut)
        return arena_dup(job->arena, text, len);
    if (!good)
        note_flaw(job, "%s is not UTF-8", what);
    cleanup_buf struct buf mended = {0};
    buf_put_text(&mended, words);
    if (cut)
        buf_puts(&mended, "...");
    return arena_dup(job->arena, mended.data, mended.len);
}

/* JSON, for a person: cut it would be none. */
static const char *keep_fields(struct bb_job *job, const char *text)
{
    if (!text || strnlen(text, MOST_FIELDS_BYTES + 1) <= MOST_FIELDS_BYTES)
        return job_keep_sentence(job, "error.rejected_fields", text, MOST_FIELDS_BYTES);
    note_flaw(job, "error.rejected_fields is over %zu bytes", MOST_FIELDS_BYTES);
    return NULL;
}

struct bb_error job_keep_error(struct bb_job *job, const struct bb_error *error)
{
    return (struct bb_error){.error_class = error->error_class,
                             .code = job_keep_key(job, "error.code", error->code),
                             .message = job_keep_sentence(job, "error.message", error->message, JOB_SENTENCE_MAX),
                             .rejected_fields = keep_fields(job, error->rejected_fields),
                             .owner_action =
                                 job_keep_sentence(job, "error.owner_action", error->owner_action, JOB_SENTENCE_MAX)};
}

static struct bb_str keep_bytes(struct bb_job *job, const char *what, struct bb_str bytes, size_t most)
{
    if (bytes.len == 0)
        return (struct bb_str){0};
    if (bytes.len > most)
        job_misuse(job, "%s is over %zu bytes", what, most);
    else if (!bytes.data)
        job_misuse(job, "%s has a length, and no bytes", what);
    else
        return (struct bb_str){arena_dup(job->arena, bytes.data, bytes.len), bytes.len};
    return (struct bb_str){0};
}

/* ---- an event */

/* What a plugin may emit; sync.failed is the core's own. */
static bool event_type_known(const char *type)
{
    return lifecycle_word(WORDS_EVENT, type) && strcmp(type, "sync.failed") != 0;
}

static struct bb_work_order keep_work_order(struct bb_job *job, const struct bb_work_order *order)
{
    static const char what[] = "emit: a text of the work order";
    return (struct bb_work_order){.order_id = job_keep_key(job, what, order->order_id),
                                  .delivery_id = job_keep_key(job, what, order->delivery_id),
                                  .source_work_order_id = job_keep_key(job, what, order->source_work_order_id),
                                  .asset_ref = job_keep_key(job, what, order->asset_ref),
                                  .source_status = job_keep_key(job, what, order->source_status),
                                  .common_status = job_keep_key(job, what, order->common_status),
                                  .priority = job_keep_key(job, what, order->priority),
                                  .source_priority = job_keep_key(job, what, order->source_priority),
                                  .sla_due_at = job_keep_key(job, what, order->sla_due_at)};
}

bool job_take_event(struct bb_job *job, const struct bb_event *theirs, struct job_event *taken)
{
    struct bb_event event = {0};
    *taken = (struct job_event){0};
    if (!theirs || theirs->size < offsetof(struct bb_event, raw) + sizeof theirs->raw) {
        job_misuse(job, "emit: an event without its size");
        return false;
    }
    memcpy(&event, theirs, theirs->size < sizeof event ? theirs->size : sizeof event);
    event.type = job_keep_key(job, "emit: type", event.type);
    event.name = job_keep_key(job, "emit: name", event.name);
    event.dedup_id = job_keep_key(job, "emit: dedup_id", event.dedup_id);
    event.raw = keep_bytes(job, "emit: raw", event.raw, MOST_RAW_BYTES);
    job->raw_bytes += event.raw.len;
    if (event.type && !event_type_known(event.type))
        job_misuse(job, "emit: there is no event type %s", event.type);
    else if (!event.type && (!event.name || !*event.name))
        job_misuse(job, "emit: an event needs a type or a name");
    else if (job->event_count == MOST_EVENTS)
        job_misuse(job, "emit: more than %d events in one job", MOST_EVENTS);
    else if (job->raw_bytes > MOST_RAW_BYTES_IN_ALL)
        job_misuse(job, "emit: raw is over %zu bytes in one job", MOST_RAW_BYTES_IN_ALL);
    taken->event = event;
    if (event.work_order) {
        taken->work_order = keep_work_order(job, event.work_order);
        taken->event.work_order = &taken->work_order;
    }
    return !job->misuse;
}

/* ---- a note */

bool job_take_note(struct bb_job *job, const char *key, const char *value, struct job_note *taken)
{
    *taken = (struct job_note){0};
    if (!key || !*key || strnlen(key, MOST_NOTE_KEY + 1) > MOST_NOTE_KEY) {
        job_misuse(job, "note_put: a key has 1 to %d bytes", MOST_NOTE_KEY);
        return false;
    }
    taken->key = keep_text(job, "note_put: the key", key, MOST_NOTE_KEY);
    taken->value = keep_text(job, "note_put: the note", value, MOST_NOTE_BYTES);
    return !job->misuse;
}

/* ---- the answer */

static struct bb_request keep_request(struct bb_job *job, const struct bb_request *theirs)
{
    struct bb_request request = {.method = job_keep_key(job, "the method", theirs->method),
                                 .path = keep_text(job, "the path", theirs->path, MOST_PATH_BYTES),
                                 .body = keep_bytes(job, "the body", theirs->body, MOST_BODY_BYTES),
                                 .content_type = job_keep_key(job, "content_type", theirs->content_type),
                                 .cache_ms = theirs->cache_ms};
    if (theirs->header_count > MOST_HEADERS)
        job_misuse(job, "the plugin sets more than %d headers", MOST_HEADERS);
    else if (theirs->header_count > 0 && !theirs->headers)
        job_misuse(job, "the plugin sets %zu headers, and there are none", theirs->header_count);
    if (job->misuse || theirs->header_count == 0)
        return request;
    struct bb_header *headers = arena_alloc(job->arena, theirs->header_count * sizeof *headers);
    for (size_t i = 0; i < theirs->header_count; i++) {
        headers[i].name = job_keep_key(job, "a header's name", theirs->headers[i].name);
        headers[i].value = keep_bytes(job, "a header's value", theirs->headers[i].value, MOST_HEADER_BYTES);
        if (!span_is_utf8((struct span){headers[i].value.data, headers[i].value.len}))
            job_misuse(job, "a header's value is not UTF-8");
    }
    request.headers = headers;
    request.header_count = theirs->header_count;
    return request;
}

static const char *error_fault(const struct bb_error *error)
{
    if (!host_class_name(error->error_class))
        return "the verdict has no error class";
    if (!error->code || !*error->code || !error->message || !*error->message)
        return "the verdict's error has no code or no message";
    return NULL;
}

static const char *answer_fault(enum bb_next next, const struct bb_out *out)
{
    switch (next) {
    case BB_SEND:
        return out->request.method && out->request.path ? NULL : "BB_SEND without a method or path";
    case BB_DONE:
        return NULL;
    case BB_RETRY:
        return out->retry_after_ms < 0 ? "retry_after_ms is negative" : error_fault(&out->error);
    case BB_REJECT:
    case BB_HOLD:
        return error_fault(&out->error);
    }
    return "it answered no verdict";
}

const char *job_review(struct bb_job *job, enum bb_next next, struct bb_out *out)
{
    const struct bb_out said = *out;
    const char *fault = job->misuse ? job->misuse : answer_fault(next, &said);
    *out = (struct bb_out){.size = said.size};
    if (fault)
        return fault;
    if (next == BB_SEND) {
        out->request = keep_request(job, &said.request);
    } else {
        out->source_work_order_id = job_keep_key(job, "source_work_order_id", said.source_work_order_id);
        out->asset_ref = job_keep_key(job, "asset_ref", said.asset_ref);
    }
    if (next != BB_SEND && next != BB_DONE)
        out->error = job_keep_error(job, &said.error);
    out->retry_after_ms = said.retry_after_ms;
    out->hold_operation = said.hold_operation;
    out->unconfirmed = said.unconfirmed;
    if (job->misuse)
        *out = (struct bb_out){.size = said.size};
    return job->misuse;
}
