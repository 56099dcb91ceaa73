/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt of a delivery, or of a batch of them: from the store through the plugin and the network to a fate.
 *
 *   create -> starting -> (count committed) -> run -> plugin step -> SEND -> response -> step ... -> conclude ->
 * finished
 *
 * Whoever completes an attempt calls attempt_conclude exactly once; from then on only settle.c and
 * attempt_destroy touch it. A plugin is called with the breadcrumb set, so that a crash inside it is
 * known to be its delivery's at the next start. */
#include "clock.h"
#include "digest.h"
#include "dispatch_private.h"
#include "loader.h"
#include "log.h"
#include "number.h"
#include "watchdog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_PLUGIN_US 10000
#define SLOW_PLUGIN_ITEM_US 5               /* more for each of a batch: mobility_work takes 3 */
#define CALLS_MAX 64                        /* requests in one attempt: a plugin that never ends */
#define LOOKUP_BODY_MAX ((size_t)256 << 10) /* a longer answer is not remembered */

void attempt_list_append(struct attempt_list *list, struct attempt *attempt)
{
    attempt->next = NULL;
    attempt->prev = list->last;
    if (list->last != NULL)
        list->last->next = attempt;
    else
        list->first = attempt;
    list->last = attempt;
}

void attempt_list_remove(struct attempt_list *list, struct attempt *attempt)
{
    if (attempt->prev != NULL)
        attempt->prev->next = attempt->next;
    else
        list->first = attempt->next;
    if (attempt->next != NULL)
        attempt->next->prev = attempt->prev;
    else
        list->last = attempt->prev;
    attempt->prev = attempt->next = NULL;
}

/* ---- creation */

struct note_context {
    struct store_session *session;
    const char *target;
};

static char *read_note(void *context, const char *key)
{
    const struct note_context *note = context;
    return store_note_get(note->session, note->target, key);
}

static bool decodes(const struct attempt *a)
{
    return a->line != NULL && a->line->kind == DELIVERY_IN;
}

static struct attempt *attempt_new(struct dispatch *d, struct slot *slot, struct line *line, size_t count)
{
    struct attempt *a = mem_alloc(sizeof(*a));
    a->slot = slot;
    a->line = line;
    target_init_job(slot->target, &a->job, count, d->wall_ms);
    struct note_context *note = arena_alloc(a->job.arena, sizeof(*note));
    *note = (struct note_context){d->options.session, slot->name};
    a->job.read_note = read_note;
    a->job.context = note;
    a->in = (struct bb_in){.size = sizeof(a->in),
                           .job = &a->job,
                           .message_size = sizeof(a->message),
                           .state = &a->job.state,
                           .now_ms = d->wall_ms};
    a->probe = slot->breaker_open && !decodes(a);
    ++*(decodes(a) ? &slot->decoding : &slot->running);
    return a;
}

static struct bb_str dup_str(struct arena *arena, struct span text)
{
    return (struct bb_str){arena_dup(arena, text.data, text.len), text.len};
}

struct loading {
    struct arena *arena;
    struct item *item;
};

/* Copies what the attempt needs out of the store's row. */
static void take_delivery(void *context, const struct delivery *delivery)
{
    const struct loading *loading = context;
    struct arena *arena = loading->arena;
    struct item *item = loading->item;
    struct bb_message *message = item->message;
    struct span id = span_of(delivery->id), order = span_of(delivery->order_id), topic = span_of(delivery->topic);
    message->id = arena_dup(arena, id.data, id.len);
    message->order_id = order.data != NULL ? arena_dup(arena, order.data, order.len) : message->id;
    message->body = dup_str(arena, delivery->body);
    if (delivery->kind == DELIVERY_IN)
        message->event = dup_str(arena, topic);
    else
        message->topic = dup_str(arena, topic);
    message->received_ms = delivery->accepted_ms;
    item->was = delivery->state;
    item->uncertain = delivery->uncertain;
    item->crashed_before = delivery->error.code != NULL && strcmp(delivery->error.code, TARGET_PLUGIN_CRASHED) == 0;
}

static int load_item(struct dispatch *d, struct attempt *a, struct item *item)
{
    struct loading loading = {a->job.arena, item};
    item->attempt = item->entry->attempts + 1;
    if (store_get_work(d->options.session, item->entry->seq, take_delivery, &loading) != 0)
        return -1;
    a->in.attempt = item->attempt > a->in.attempt ? item->attempt : a->in.attempt;
    a->in.uncertain |= item->uncertain;
    return item->message->id != NULL ? 0 : -1;
}

/* Those of a batch that are sent. */
static size_t count_items(const struct queue_batch *batch)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++)
        count += batch->entries[i] != NULL && batch->entries[i]->merged_into == NULL ? 1 : 0;
    return count;
}

static int load_items(struct dispatch *d, struct attempt *a, struct queue_entry *entry)
{
    struct queue_entry *const *entries = entry->batch != NULL ? entry->batch->entries : &entry;
    size_t count = entry->batch != NULL ? entry->batch->count : 1, loaded = 0;
    struct bb_message *messages = &a->message;
    a->items = &a->item;
    if (a->count > 1) {
        a->items = arena_alloc(a->job.arena, a->count * sizeof(*a->items));
        messages = arena_alloc(a->job.arena, a->count * sizeof(*messages));
    }
    for (size_t i = 0; i < count; i++) {
        if (entries[i] == NULL || entries[i]->merged_into != NULL)
            continue;
        struct item *item = &a->items[loaded];
        *item = (struct item){.entry = entries[i], .message = &messages[loaded]};
        entries[i]->item = item;
        if (load_item(d, a, item) != 0)
            return -1;
        loaded++;
    }
    a->in.messages = messages;
    a->in.message_count = a->count;
    a->message.id = a->who_is = messages[0].id;
    return 0;
}

struct attempt *attempt_create(struct dispatch *d, struct slot *slot, struct line *line, struct queue_entry *entry)
{
    struct queue_batch *batch = entry->batch;
    size_t count = batch != NULL ? count_items(batch) : 1;
    struct attempt *a = attempt_new(d, slot, line, count);
    a->count = count;
    a->batch = batch;
    if (load_items(d, a, entry) != 0) {
        attempt_destroy(a); /* the caller puts the entry back */
        return NULL;
    }
    if (batch != NULL && !batch->frozen && count > 1)
        uuid_v7(d->wall_ms, batch->id);
    else if (batch != NULL && !batch->frozen) /* alone, also when it is tried again */
        snprintf(batch->id, sizeof(batch->id), "%s", a->message.id);
    if (line->kind == DELIVERY_OUT && plugin_find_operation(slot->target->plugin, entry->operation, &a->operation))
        a->in.operation = a->operation.name;
    return a;
}

struct attempt *attempt_create_errand(struct dispatch *d, struct slot *slot, struct errand *errand)
{
    char id[UUID_TEXT_MAX];
    struct attempt *a = attempt_new(d, slot, NULL, 0);
    uuid_v7(d->wall_ms, id);
    a->errand = errand;
    a->message.id = arena_dup(a->job.arena, id, strlen(id)); /* names the events that have no name of their own */
    a->message.received_ms = d->wall_ms;
    if (errand->operation != NULL)
        plugin_find_operation(slot->target->plugin, errand->operation, &a->operation);
    a->in.operation = a->operation.name;
    a->in.attempt = errand->tries + 1;
    a->who_is = errand->operation != NULL ? errand->operation : "poll";
    return a;
}

static void give_place_back(struct attempt *a)
{
    if (!a->place_given_back)
        --*(decodes(a) ? &a->slot->decoding : &a->slot->running);
    a->place_given_back = true;
}

void attempt_destroy(struct attempt *a)
{
    if (a == NULL)
        return;
    give_place_back(a);
    if (a->ask.number != 0)
        cell_forget(a->slot->target->cell, &a->ask);
    job_finish(&a->job);
    free(a);
}

/* ---- conclusion */

static void set_error(struct attempt *a, enum bb_class error_class, const char *code, const char *message)
{
    a->out.error = (struct bb_error){.error_class = error_class, .code = code, .message = message};
}

static enum config_on_uncertain uncertain_policy(const struct dispatch *d, const struct attempt *a,
                                                 const struct item *item)
{
    const char *name = item->entry->route;
    const struct config_route *route = name != NULL ? config_route(d->options.config, name) : NULL;
    if (route != NULL && route->on_uncertain != UNCERTAIN_DEFAULT)
        return route->on_uncertain;
    if (a->slot->target->config->on_uncertain != UNCERTAIN_DEFAULT)
        return a->slot->target->config->on_uncertain;
    return (a->operation.flags & BB_PARK) != 0 ? UNCERTAIN_PARK : UNCERTAIN_RETRY;
}

/* A write whose answer was lost and that may neither be looked up nor repeated. */
static bool must_park(const struct dispatch *d, const struct attempt *a, const struct item *item)
{
    unsigned harmless = BB_IDEMPOTENT | BB_CAN_LOOKUP;
    return (a->operation.flags & BB_WRITES) != 0 && (a->operation.flags & harmless) == 0 &&
           uncertain_policy(d, a, item) == UNCERTAIN_PARK;
}

static const struct bb_error uncertain_outcome = {
    BB_PROVIDER_UNAVAILABLE, "uncertain_outcome",
    "the request was sent and its answer was lost, or is none of the target's; the target may have done it", NULL,
    "look in the target whether it was done; then `busbar queue discard` or `busbar queue retry`"};

/* The last safety: what would be too much holds the target, and nothing is lost. */
static void spend_writes(struct dispatch *d, struct attempt *a)
{
    const struct config_target *config = a->slot->target->config;
    size_t count = a->count > 0 ? a->count : 1;
    char window[24], text[160];
    if (writes_spend(a->slot->writes, count, d->wall_ms)) {
        metric_add(a->slot->writes_count, (int64_t)count);
        return;
    }
    number_format_duration(config->max_writes_window_ms, window);
    int len =
        snprintf(text, sizeof(text), "more than max_writes: %lld/%s; `busbar targets resume` lets as many more go",
                 (long long)config->max_writes, window);
    a->out.error = (struct bb_error){
        .error_class = BB_AUTHORIZATION,
        .code = "max_writes",
        .message = arena_dup(a->job.arena, text, (size_t)len),
        .owner_action =
            "see `busbar routes list` for what writes so much; then resume the target, or raise max_writes"};
    a->refused = a->over_max = true;
}

/* Refuses without asking the plugin: modes, lost operations, parked uncertainty, too much. */
void attempt_examine(struct dispatch *d, struct attempt *a)
{
    const struct config_target *config = a->slot->target->config;
    if (decodes(a))
        return;
    if (a->in.operation == NULL) {
        a->out.error = (struct bb_error){BB_VALIDATION, "unknown_operation",
                                         "the target's plugin has no such operation (any more)", NULL, NULL};
        a->refused = true;
        return;
    }
    enum config_mode mode = config_mode_of(config, a->in.operation);
    bool writes = (a->operation.flags & BB_WRITES) != 0, creates = (a->operation.flags & BB_CREATES) != 0;
    if (writes && (mode == MODE_READ || (mode == MODE_HANDOFF && !creates))) {
        a->out.error = (struct bb_error){
            BB_AUTHORIZATION, "mode_refuses",
            mode == MODE_READ ? "the target's mode is read: nothing is written to it"
                              : "the target's mode is handoff: it may only create",
            NULL, "set `mode: write_back` (or handoff, draft) for this operation, then `busbar queue retry`"};
        a->refused = true;
        return;
    }
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].uncertain && must_park(d, a, &a->items[i])) {
            a->items[i].parked = a->refused = true;
            a->out.error = uncertain_outcome;
        }
    orders_examine(d, a);
    if (writes && !a->refused)
        spend_writes(d, a);
}

static enum fate fate_of_retry(struct dispatch *d, const struct attempt *a, struct item *item)
{
    const struct config_retry *retry = &a->slot->target->config->retry;
    if (a->sent_uncertain && !item->own && must_park(d, a, item)) {
        item->parked = true;
        item->error = uncertain_outcome;
        return FATE_REJECTED;
    }
    if (a->probe && (a->transport_failed || a->http_status >= 500)) /* outages use up no attempts */
        return FATE_HELD;
    if (item->attempt > 1 && d->now_ms - item->message->received_ms > retry->max_age_ms) /* each gets one try */
        return FATE_EXPIRED;
    if (item->attempt >= retry->attempts) {
        item->error.owner_action = "attempts are used up: mend the cause, then `busbar queue retry`";
        return FATE_REJECTED;
    }
    return FATE_RETRY;
}

/* Its plugin died of it, in a cell. Twice in a row is no accident, as recover.c has it of the whole process; a batch is
 * taken apart then, whatever its attempts. */
static enum fate fate_of_crash(struct dispatch *d, const struct attempt *a, struct item *item)
{
    enum fate fate = fate_of_retry(d, a, item);
    if (a->scatters && !item->parked) {
        item->error = a->out.error;
        return FATE_RETRY;
    }
    if (fate != FATE_RETRY || !item->crashed_before)
        return fate;
    item->error.owner_action = "report it to the plugin's author; `busbar queue retry` tries again";
    return FATE_REJECTED;
}

const char *attempt_owner_action(const struct bb_error *error)
{
    return error->owner_action != NULL ? error->owner_action : host_owner_action(error->error_class);
}

const char *attempt_held_operation(const struct attempt *a)
{
    return a->out.hold_operation && a->operation.name != NULL ? a->operation.name : "";
}

static enum fate fate_of(enum bb_next verdict)
{
    switch (verdict) {
    case BB_DONE:
        return FATE_DELIVERED;
    case BB_RETRY:
        return FATE_RETRY;
    case BB_HOLD:
        return FATE_HELD;
    case BB_REJECT:
    case BB_SEND:
        break;
    }
    return FATE_REJECTED;
}

/* What is not settled by itself shares the verdict. */
static void conclude_item(struct dispatch *d, struct attempt *a, size_t i)
{
    struct item *item = &a->items[i];
    const struct job_item *said = &a->job.items[i];
    item->own = said->verdict != 0;
    item->error = item->own ? said->error : a->out.error;
    item->fate = item->own ? fate_of(said->verdict) : a->fate;
    if (item->fate == FATE_RETRY)
        item->fate = a->crashed ? fate_of_crash(d, a, item) : fate_of_retry(d, a, item);
}

void attempt_conclude(struct dispatch *d, struct attempt *a, enum bb_next verdict)
{
    a->holds = verdict == BB_HOLD;
    a->fate = fate_of(verdict);
    for (size_t i = 0; i < a->count; i++)
        conclude_item(d, a, i);
    /* So that the next one starts in the transaction that settles this one. After any other fate a gate may close
     * (held, breaker, pause), and that is known once it is stored. */
    if (a->fate == FATE_DELIVERED)
        give_place_back(a);
    attempt_list_remove(&d->running, a);
    attempt_list_append(&d->finished, a);
}

/* ---- the conversation with the plugin */

static void on_answer(void *context, const struct http_result *result);

struct call_context { /* in the job's arena */
    struct dispatch *d;
    struct attempt *a;
};

void attempt_send(struct dispatch *d, struct attempt *a)
{
    struct http_request request;
    const char *error = NULL;
    if (!token_is_ready(d, a)) {
        token_wait(d, a);
        return;
    }
    if (target_request(a->slot->target, &a->job, &a->out.request, &request, &error) != 0) {
        set_error(a, BB_VALIDATION, "plugin_misuse", error);
        attempt_conclude(d, a, BB_REJECT);
        return;
    }
    struct buf text = {0};
    target_request_print(&request, a->slot->target, &text, TEXT_KEPT_MAX);
    a->request_text = arena_dup(a->job.arena, text.data, text.len);
    buf_finish(&text);
    struct call_context *context = arena_alloc(a->job.arena, sizeof(*context));
    *context = (struct call_context){d, a};
    a->harmless = strcmp(request.method, "GET") == 0;
    a->wrote |= !a->harmless;
    a->cache_ms = a->harmless ? a->out.request.cache_ms : 0;
    a->lookup_path = arena_dup(a->job.arena, a->out.request.path, strlen(a->out.request.path));
    a->response_text = a->request_id = NULL; /* those of the request before */
    a->http_status = 0;
    a->token_number = a->slot->target->token != NULL ? target_token_number(a->slot->target) : 0;
    assert(!store_in_transaction());
    a->call = http_send(d->options.http, &request, on_answer, context);
}

static enum bb_next call_here(struct dispatch *d, struct attempt *a, int64_t *took_us)
{
    const struct target *target = a->slot->target;
    const struct bb_plugin *plugin = target->plugin;
    uint64_t crumb =
        a->count > 0 ? recover_crumb(a->items[0].entry->seq, a->calls > 0) : recover_crumb_errand(a->slot->name);
    memset(&a->out, 0, sizeof(a->out));
    a->out.size = sizeof(a->out);

    assert(!store_in_transaction());
    store_crumb_set(d->options.store, CRUMB_PLUGIN, crumb);
    watchdog_enter(WATCHDOG_PLUGIN);
    int64_t began_us = clock_monotonic_us();
    bool polls = a->errand != NULL && a->errand->operation == NULL;
    enum bb_next next = (decodes(a) ? plugin->decode
                         : polls    ? plugin->poll
                                    : plugin->step)(host_table(), target->self, &a->in, &a->out);
    *took_us = clock_monotonic_us() - began_us;
    next = attempt_take_answer(a, next); /* it reads what the plugin points to: a crash there is the plugin's too */
    watchdog_leave(WATCHDOG_PLUGIN);
    store_crumb_clear(d->options.store, CRUMB_PLUGIN);
    return next;
}

/* The verdict as it counts. */
static enum bb_next review(struct dispatch *d, struct attempt *a, enum bb_next next, int64_t took_us)
{
    if (a->job.flaw != NULL) {
        log_warn("what a plugin said was mended", "target", a->slot->name, "delivery", a->who_is, "reason", a->job.flaw,
                 NULL);
        a->job.flaw = NULL; /* told */
    }
    if (next != BB_SEND)
        attempt_scrub_errors(a);
    target_heed_retry_after(next, a->in.response, d->wall_ms, &a->out);
    if (a->out.retry_after_ms > RETRY_AFTER_MAX_MS)
        a->out.retry_after_ms = RETRY_AFTER_MAX_MS;
    metric_observe(a->slot->plugin_seconds, (double)took_us / 1e6);
    if (took_us > SLOW_PLUGIN_US + SLOW_PLUGIN_ITEM_US * (int64_t)a->count)
        log_warn("plugin was slow", "target", a->slot->name, "delivery", a->who_is, NULL);
    return next;
}

/* A lookup whose answer is still good needs no network. */
static bool answer_from_memory(struct dispatch *d, struct attempt *a)
{
    const struct bb_request *request = &a->out.request;
    struct lookup_answer known;
    if (request->cache_ms <= 0 || strcmp(request->method, "GET") != 0 ||
        !lookup_find(a->slot->lookups, request->path, d->now_ms, &known))
        return false;
    struct bb_response *response = arena_alloc(a->job.arena, sizeof(*response));
    *response = (struct bb_response){
        .size = sizeof(*response), .status = known.status, .body = dup_str(a->job.arena, known.body), .cached = true};
    a->in.response = response;
    return true;
}

/* A gateway's word that it had no answer (502, 504) is none of the target's, nor is a page, or what its plugin makes
 * nothing of, under a 2xx: the target may have done what was asked. */
static bool is_anothers(const struct attempt *a, enum bb_next verdict)
{
    const unsigned flags = a->operation.flags;
    if (verdict != BB_RETRY || a->harmless || (flags & BB_WRITES) == 0 || (flags & BB_IDEMPOTENT) != 0)
        return false;
    if (a->http_status >= 200 && a->http_status <= 299)
        return a->out.error.code != NULL && strcmp(a->out.error.code, HOST_ODD_ANSWER) == 0;
    return (a->http_status == 502 || a->http_status == 504) && (flags & BB_REPEAT_5XX) == 0;
}

static void step(struct dispatch *d, struct attempt *a)
{
    int64_t took_us = 0;
    if (a->slot->target->cell != NULL)
        attempt_ask_cell(d, a);
    else
        attempt_go_on(d, a, call_here(d, a, &took_us), took_us);
}

void attempt_go_on(struct dispatch *d, struct attempt *a, enum bb_next next, int64_t took_us)
{
    next = review(d, a, next, took_us);
    if (next == BB_SEND && (decodes(a) || ++a->calls > CALLS_MAX)) {
        set_error(a, BB_VALIDATION, "plugin_misuse",
                  decodes(a) ? "decode asked for a request" : "the plugin sends without end");
        next = BB_REJECT;
    }
    if (next == BB_SEND && answer_from_memory(d, a)) {
        step(d, a); /* no deeper than CALLS_MAX */
    } else if (next == BB_SEND) {
        attempt_send(d, a);
    } else {
        a->sent_uncertain = is_anothers(a, next);
        attempt_conclude(d, a, next);
    }
}

void attempt_run(struct dispatch *d, struct attempt *a)
{
    attempt_list_append(&d->running, a);
    if (a->refused)
        attempt_conclude(d, a, a->over_max ? BB_HOLD : a->postponed ? BB_RETRY : BB_REJECT);
    else
        step(d, a);
}

/* ---- what the network said */

static void conclude_transport(struct dispatch *d, struct attempt *a, const struct http_result *result)
{
    bool sent = result->failure == HTTP_UNCERTAIN || result->failure == HTTP_TOO_LARGE;
    struct span why = span_of(result->error);
    memset(&a->out, 0, sizeof(a->out));
    a->transport_failed = true;
    a->sent_uncertain = sent && !a->harmless && (a->operation.flags & BB_WRITES) != 0;
    set_error(a, BB_PROVIDER_UNAVAILABLE,
              sent                              ? "answer_lost"
              : result->failure == HTTP_BAD_TLS ? "tls_refused"
                                                : "not_reached",
              arena_dup(a->job.arena, why.data, why.len));
    if (result->failure == HTTP_BAD_TLS)
        a->out.error.owner_action = mend_certificate;
    attempt_conclude(d, a, BB_RETRY);
}

static void note_health(struct dispatch *d, struct attempt *a, const struct http_result *result)
{
    struct slot *slot = a->slot;
    bool answered = result->failure == HTTP_OK, healthy = answered && result->status < 500;
    slot->last_failure[0] = '\0';
    if (answered && !healthy)
        snprintf(slot->last_failure, sizeof(slot->last_failure), "HTTP %d", result->status);
    else if (!answered)
        snprintf(slot->last_failure, sizeof(slot->last_failure), "%s", result->error);
    if (answered)
        slot->untrusted = false;
    if (result->failure == HTTP_BAD_TLS)
        slot_distrust(d, slot);
    slot_note_answer(d, slot, a, healthy);
}

static void on_answer(void *context, const struct http_result *result)
{
    struct call_context *call = context;
    struct dispatch *d = call->d;
    struct attempt *a = call->a;
    char code[16] = "failed";
    a->call = NULL;
    if (result->failure == HTTP_OK)
        snprintf(code, sizeof(code), "%d", result->status);
    metric_add(
        metric_get(metric_family(METRIC_COUNTER, "busbar_http_requests_total",
                                 "HTTP requests sent to targets, by status; failed: no whole answer.", "target,code"),
                   a->slot->name, code),
        1);
    note_health(d, a, result);
    if (result->failure != HTTP_OK) {
        conclude_transport(d, a, result);
        return;
    }
    if (token_renews(d, a, result->status))
        return;
    attempt_keep_response(a, result);
    attempt_hand_response(a, result);
    if (a->harmless && result->status >= 200 && result->status <= 299 && result->body.len <= LOOKUP_BODY_MAX)
        lookup_put(a->slot->lookups, a->lookup_path, result->status,
                   (struct span){a->in.response->body.data, a->in.response->body.len}, d->now_ms, a->cache_ms);
    step(d, a);
}
