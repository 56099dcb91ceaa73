/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include "json.h"
#include "log.h"
#include "metrics.h"

#include <string.h>
#include <strings.h>

#define MOST_NOTES 1000

void job_init(struct bb_job *job, const char *target, const char *plugin, size_t item_count, int64_t now_ms)
{
    *job = (struct bb_job){.arena = arena_create(), .target = target, .plugin = plugin, .now_ms = now_ms};
    job->items = arena_alloc(job->arena, (item_count + 1) * sizeof *job->items);
    job->item_count = item_count;
}

void job_finish(struct bb_job *job)
{
    arena_destroy(job->arena);
    *job = (struct bb_job){0};
}

/* Room for one more in an array of the arena. The old one stays behind until the job ends. */
static void *more(struct bb_job *job, void *items, size_t count, size_t *cap, size_t item_bytes)
{
    if (count < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 4;
    void *grown = arena_alloc(job->arena, *cap * item_bytes);
    if (count)
        memcpy(grown, items, count * item_bytes);
    return grown;
}

static const char *keep(struct bb_job *job, const char *text)
{
    return text ? arena_dup(job->arena, text, strlen(text)) : NULL;
}

/* ---- memory and text ------------------------------------------------------------ */

static void *host_alloc(struct bb_job *job, size_t bytes)
{
    return arena_alloc(job->arena, bytes ? bytes : 1);
}

__attribute__((format(printf, 2, 3))) static const char *host_format(struct bb_job *job, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(job->arena, format, args);
    va_end(args);
    return text;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '~' || c == '.';
}

static const char *host_path_segment(struct bb_job *job, struct bb_str text)
{
    static const char hex[] = "0123456789ABCDEF";
    /* "." and ".." would walk the path: encoded, so that target_request sees and refuses them. */
    bool dots = (text.len == 1 && text.data[0] == '.') || (text.len == 2 && memcmp(text.data, "..", 2) == 0);
    char *segment = arena_alloc(job->arena, 3 * text.len + 1), *at = segment;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_unreserved(text.data[i]) && !dots) {
            *at++ = text.data[i];
            continue;
        }
        *at++ = '%';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 15];
    }
    return segment;
}

/* ---- mapping tables ------------------------------------------------------------------ */

const char *mapping_common_word(const struct mapping_table *table, const char *source)
{
    for (size_t i = 0; source && i < table->count; i++)
        if (strcmp(table->lines[i].source, source) == 0)
            return table->lines[i].common;
    return NULL;
}

const char *mapping_source_word(const struct mapping_table *table, const char *common)
{
    for (size_t i = 0; common && i < table->count; i++)
        if (strcmp(table->lines[i].common, common) == 0)
            return table->lines[i].source;
    return NULL;
}

/* ---- events ------------------------------------------------------------------------ */

static const struct mapping_table *table_of(const struct bb_job *job, enum word_list list)
{
    static const struct mapping_table none;
    return job->tables ? &job->tables[list] : &none;
}

/* The one place where a target's words become ours (FV-04, FV-15). What the plugin said itself counts where no line
 * could tell. */
static const char *to_common(const struct bb_job *job, struct job_event *kept, enum word_list list, const char *source,
                             const char *said)
{
    const char *common = mapping_common_word(table_of(job, list), source);
    if (common)
        return common;
    common = lifecycle_word(list, said);
    if (!common || strcmp(common, "unknown") == 0)
        kept->unmapped[list] = source;
    return common;
}

static void map_event(const struct bb_job *job, struct job_event *kept)
{
    struct bb_work_order *order = &kept->work_order;
    const char *type = mapping_common_word(table_of(job, WORDS_EVENT), kept->event.name);
    bool fits = type && (kept->event.work_order || strncmp(type, "work_order.", 11) != 0);
    if (fits) /* an event about no work order is none of a work order's, whatever the site calls it */
        kept->event.type = type;
    if (!kept->event.work_order)
        return;
    bool has_status = order->source_status || order->common_status;
    order->common_status = to_common(job, kept, WORDS_STATUS, order->source_status, order->common_status);
    if (has_status && !order->common_status)
        order->common_status = "unknown"; /* never a guess */
    order->priority = to_common(job, kept, WORDS_PRIORITY, order->source_priority, order->priority);
}

static void host_emit(struct bb_job *job, const struct bb_event *theirs)
{
    struct job_event taken;
    if (!job_take_event(job, theirs, &taken))
        return;
    const struct job_event *before = job->events;
    job->events = more(job, job->events, job->event_count, &job->event_cap, sizeof *job->events);
    for (size_t i = 0; job->events != before && i < job->event_count; i++) /* moved: point at the moved orders */
        if (job->events[i].event.work_order)
            job->events[i].event.work_order = &job->events[i].work_order;
    struct job_event *kept = &job->events[job->event_count++];
    *kept = taken;
    if (kept->event.work_order)
        kept->event.work_order = &kept->work_order;
    map_event(job, kept);
}

/* ---- verdicts of a batch's items --------------------------------------------------- */

static bool class_known(enum bb_class error_class)
{
    return host_class_name(error_class) != NULL;
}

static void host_settle(struct bb_job *job, size_t i, enum bb_next verdict, const struct bb_error *error)
{
    if (i >= job->item_count) {
        job_misuse(job, "settle: there is no message %zu in a batch of %zu", i, job->item_count);
        return;
    }
    if (verdict != BB_DONE && verdict != BB_RETRY && verdict != BB_REJECT) {
        job_misuse(job, "settle: %d is no verdict for one message", (int)verdict);
        return;
    }
    if (verdict == BB_DONE)
        error = NULL;
    else if (!error || !class_known(error->error_class) || !error->code || !error->message) {
        job_misuse(job, "settle: message %zu needs an error with class, code and message", i);
        return;
    }
    job->items[i] = (struct job_item){.verdict = verdict};
    if (error)
        job->items[i].error = job_keep_error(job, error);
}

/* ---- the classifier ------------------------------------------------------------------ */

static const struct class_text {
    enum bb_class error_class;
    const char *name, *owner_action;
} class_texts[] = {
    {BB_AUTHENTICATION, "authentication",
     "Check the credential, its environment and whether the target still accepts it, then resume the target."},
    {BB_AUTHORIZATION, "authorization",
     "Check the scope, role and plan of the credential and the mode of this operation, then resume it."},
    {BB_VALIDATION, "validation",
     "Correct the rejected fields: required ones, allowed values, timestamps, the payload's schema."},
    {BB_IDENTITY, "identity",
     "Check the asset reference, the mapping of names and whether the target has retired the object."},
    {BB_CONFLICT, "conflict",
     "Read the target's present state again: revision, allowed transition, duplicate, ownership. Then decide."},
    {BB_PROVIDER_UNAVAILABLE, "provider_unavailable",
     "Wait for the retry; when the target stays away, check the network and call its operator."},
};

static const struct class_text *class_text(enum bb_class error_class)
{
    for (size_t i = 0; i < sizeof class_texts / sizeof *class_texts; i++)
        if (class_texts[i].error_class == error_class)
            return &class_texts[i];
    return NULL;
}

const char *host_class_name(enum bb_class error_class)
{
    const struct class_text *text = class_text(error_class);
    return text ? text->name : NULL;
}

const char *host_owner_action(enum bb_class error_class)
{
    const struct class_text *text = class_text(error_class);
    return text ? text->owner_action : NULL;
}

struct ruling {
    int from, to; /* status, both included */
    enum bb_next verdict;
    enum bb_class error_class;
    bool hold_operation;
    const char *message;
};

/* The first that fits decides. */
static const struct ruling rulings[] = {
    {200, 299, BB_DONE, BB_CLASS_NONE, false, NULL},
    {300, 399, BB_HOLD, BB_VALIDATION, false, "the target redirects, which is not followed: wrong base URL"},
    {401, 401, BB_HOLD, BB_AUTHENTICATION, false, "the target refused the credential"},
    {403, 403, BB_HOLD, BB_AUTHORIZATION, true, "the target does not allow this operation"},
    {404, 404, BB_REJECT, BB_IDENTITY, false, "the target does not know what the request names"},
    {410, 410, BB_REJECT, BB_IDENTITY, false, "what the request names is gone from the target"},
    {409, 409, BB_REJECT, BB_CONFLICT, false, "it conflicts with the target's present state"},
    {412, 412, BB_REJECT, BB_CONFLICT, false, "the target's state changed meanwhile"},
    {428, 428, BB_REJECT, BB_CONFLICT, false, "the target wants a revision with the request"},
    {408, 408, BB_RETRY, BB_PROVIDER_UNAVAILABLE, false, "the target gave up waiting for the request"},
    {425, 425, BB_RETRY, BB_PROVIDER_UNAVAILABLE, false, "the target is not ready for the request"},
    {429, 429, BB_RETRY, BB_PROVIDER_UNAVAILABLE, false, "the target wants fewer requests"},
    {400, 499, BB_REJECT, BB_VALIDATION, false, "the target refused the request as invalid"},
    {500, 599, BB_RETRY, BB_PROVIDER_UNAVAILABLE, false, "the target failed"},
};

static bool begins(struct span text, const char *word)
{
    const size_t len = strlen(word);
    return text.len >= len && strncasecmp(text.data, word, len) == 0;
}

static bool is_called_html(const struct bb_response *response)
{
    for (size_t i = 0; i < response->header_count; i++) {
        const struct bb_header *header = &response->headers[i];
        const struct span value = {header->value.data, header->value.len};
        if (strcasecmp(header->name, "content-type") == 0)
            return begins(value, "text/html") || begins(value, "application/xhtml+xml");
    }
    return false;
}

/* A page for a person: a login, a captive portal, a proxy's "be right back". By what it is called unless it is JSON all
 * the same, or by how it begins. An empty body is none. */
static bool is_page(const struct bb_response *response)
{
    struct span body = {response->body.data, response->body.len};
    while (body.len > 0 && strchr(" \t\r\n\xef\xbb\xbf", *body.data) && *body.data != '\0')
        body = (struct span){body.data + 1, body.len - 1};
    if (body.len == 0)
        return false;
    return begins(body, "<!doctype html") || begins(body, "<html") ||
           (is_called_html(response) && json_fault(body) != NULL);
}

/* Neither done nor refused: whoever answered so may stand before the target, or behind it. */
static enum bb_next judge_page(const struct bb_response *response, struct bb_job *job, struct bb_out *out)
{
    out->error.error_class = BB_PROVIDER_UNAVAILABLE;
    out->error.code = HOST_ODD_ANSWER;
    out->error.message = host_format(job, "a page of HTML came in place of an answer (%d)", response->status);
    out->error.owner_action =
        "Look at the page in the delivery's response: a login, a captive portal or a proxy before "
        "the target? Check the url, the proxy and the credential.";
    return BB_RETRY;
}

enum bb_next host_judge(struct bb_job *job, const struct bb_response *response, struct bb_out *out)
{
    out->error = (struct bb_error){0};
    out->retry_after_ms = 0;
    out->hold_operation = out->unconfirmed = false;
    out->source_work_order_id = NULL;
    const int status = response ? response->status : 0;
    for (size_t i = 0; i < sizeof rulings / sizeof *rulings; i++) {
        const struct ruling *ruling = &rulings[i];
        if (status < ruling->from || status > ruling->to)
            continue;
        if (ruling->verdict == BB_DONE && is_page(response))
            return judge_page(response, job, out);
        out->unconfirmed = status == 202;
        out->hold_operation = ruling->hold_operation;
        if (ruling->verdict == BB_DONE)
            return BB_DONE;
        out->error.error_class = ruling->error_class;
        out->error.code = host_format(job, "http_%d", status);
        out->error.message = host_format(job, "%s (%d)", ruling->message, status);
        return ruling->verdict;
    }
    out->error.error_class = BB_PROVIDER_UNAVAILABLE;
    out->error.code = status ? host_format(job, "http_%d", status) : "no_answer";
    out->error.message = status ? "the target answered with a status that is none" : "no answer came from the target";
    return BB_RETRY;
}

/* ---- notes, log, counters --------------------------------------------------------------- */

static const char *host_note_get(struct bb_job *job, const char *key)
{
    if (!key)
        return NULL;
    for (size_t i = job->note_count; i-- > 0;) /* the newest wins */
        if (strcmp(job->notes[i].key, key) == 0)
            return job->notes[i].value;
    char *stored cleanup_text = job->read_note ? job->read_note(job->context, key) : NULL;
    return keep(job, stored);
}

static void host_note_put(struct bb_job *job, const char *key, const char *value)
{
    struct job_note taken;
    if (!job_take_note(job, key, value, &taken))
        return;
    for (size_t i = 0; i < job->note_count; i++)
        if (strcmp(job->notes[i].key, taken.key) == 0) {
            job->notes[i].value = taken.value;
            return;
        }
    if (job->note_count == MOST_NOTES) {
        job_misuse(job, "note_put: more than %d notes in one job", MOST_NOTES);
        return;
    }
    job->notes = more(job, job->notes, job->note_count, &job->note_cap, sizeof *job->notes);
    job->notes[job->note_count++] = taken;
}

static int64_t host_now_ms(struct bb_job *job)
{
    return job->now_ms;
}

static void host_log(struct bb_job *job, enum bb_log_level level, const char *message)
{
    enum log_level ours = LOG_INFO;
    switch (level) {
    case BB_LOG_DEBUG:
        ours = LOG_DEBUG;
        break;
    case BB_LOG_INFO:
        ours = LOG_INFO;
        break;
    case BB_LOG_WARN:
        ours = LOG_WARN;
        break;
    case BB_LOG_ERROR:
        ours = LOG_ERROR;
        break;
    }
    const char *text = job_keep_sentence(job, "log: a message", message, JOB_LOG_MAX);
    log_write(ours, text ? text : "", "target", job->target, "plugin", job->plugin, NULL);
}

static void host_count(struct bb_job *job, const char *name, uint64_t n)
{
    if (!name || !*name || strnlen(name, 65) > 64 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name)) {
        job_misuse(job, "count: a name is made of lower-case letters, digits and _");
        return;
    }
    struct metric_family *family =
        metric_family(METRIC_COUNTER, "busbar_plugin_events_total", "What plugins counted themselves.", "target,name");
    metric_add(metric_get(family, job->target, name), n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

_Static_assert(BB_STATUSES - 1 == WORDS_STATUS && BB_PRIORITIES - 1 == WORDS_PRIORITY, "one numbering");

static bool is_table(enum bb_table table)
{
    return table == BB_STATUSES || table == BB_PRIORITIES;
}

static const char *host_source_word(struct bb_job *job, enum bb_table table, const char *common)
{
    return is_table(table) ? mapping_source_word(table_of(job, table - 1), common) : NULL;
}

static const char *host_common_word(struct bb_job *job, enum bb_table table, const char *source)
{
    return is_table(table) ? mapping_common_word(table_of(job, table - 1), source) : NULL;
}

const struct bb_host *host_table(void)
{
    static const struct bb_host table = {.size = sizeof table,
                                         .alloc = host_alloc,
                                         .format = host_format,
                                         .path_segment = host_path_segment,
                                         .emit = host_emit,
                                         .settle = host_settle,
                                         .judge = host_judge,
                                         .note_get = host_note_get,
                                         .note_put = host_note_put,
                                         .now_ms = host_now_ms,
                                         .log = host_log,
                                         .count = host_count,
                                         .source_word = host_source_word,
                                         .common_word = host_common_word};
    return &table;
}
