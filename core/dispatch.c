/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs next.
 *
 * Each target has a slot with two lines: what is owed to it (out) and its webhooks to decode (in). A
 * line is a window on the store's open deliveries (queue.h), refilled when it has room. A slot's gates
 * for the out line stand in one function, may_send: held, breaker, pause, rate, concurrency. Webhooks
 * pass no gate: they need no network.
 *
 * A turn: pick moves due heads into `starting` and takes what ended in `finished`; store writes the
 * verdicts of the one and the counts of the other; go runs the plugins of what was counted. Were the
 * commit to fail, nothing has happened: finished ones keep their fate for the next turn, starting ones go back. */
#include "backoff.h"
#include "clock.h"
#include "digest.h"
#include "dispatch_private.h"
#include "loader.h"
#include "log.h"
#include "strays.h"

#include <stdlib.h>
#include <string.h>

#define DECODES_A_TURN 64
#define DECODES_IN_CELL 64 /* under way at once */
#define BREAKER_AFTER 5    /* failures in a row */
#define BREAKER_FIRST_MS 1000
#define BREAKER_MAX_MS 60000
#define LOOKUPS_MAX 1024

/* ---- slots and holds */

struct slot *dispatch_slot(const struct dispatch *d, const char *name)
{
    for (size_t i = 0; name != NULL && i < d->slot_count; i++) /* NULL: its row is damaged */
        if (strcmp(d->slots[i].name, name) == 0)
            return &d->slots[i];
    return NULL;
}

const struct op_hold *slot_hold(const struct slot *slot, const char *operation)
{
    for (size_t i = 0; i < slot->hold_count; i++)
        if (slot->holds[i].operation[0] == '\0' ||
            (operation != NULL && strcmp(slot->holds[i].operation, operation) == 0))
            return &slot->holds[i];
    return NULL;
}

void slot_set_hold(struct slot *slot, const char *operation, const char *reason, int64_t since_ms)
{
    size_t at = 0;
    while (at < slot->hold_count && strcmp(slot->holds[at].operation, operation) != 0)
        at++;
    if (at < slot->hold_count) {
        free(slot->holds[at].operation);
        free(slot->holds[at].reason);
        slot->holds[at] = slot->holds[--slot->hold_count];
    }
    if (reason != NULL) {
        slot->holds = mem_grow(slot->holds, &slot->hold_cap, slot->hold_count + 1, sizeof(slot->holds[0]));
        slot->holds[slot->hold_count++] = (struct op_hold){mem_strdup(operation), mem_strdup(reason), since_ms};
    } else {
        queue_unpark(slot->out.queue);
    }
    metric_set(slot->held_gauge, slot->hold_count > 0 ? 1 : 0);
}

bool dispatch_is_held(const struct dispatch *d, const char *target)
{
    const struct slot *slot = dispatch_slot(d, target);
    return slot != NULL && slot->hold_count > 0;
}

static void load_hold(void *context, const char *target, const char *operation, const char *reason, int64_t since_ms)
{
    struct slot *slot = dispatch_slot(context, target);
    if (slot != NULL)
        slot_set_hold(slot, operation, reason, since_ms);
}

/* The breaker: opens after failures in a row, then one probe at a time, each further apart. */
void slot_note_answer(struct dispatch *d, struct slot *slot, struct attempt *attempt, bool healthy)
{
    if (healthy) {
        if (slot->breaker_open)
            log_info("target answers again", "target", slot->name, NULL);
        slot->failures = slot->breaker_trips = 0;
        slot->breaker_open = slot->probing = false;
        metric_set(slot->breaker_gauge, 0);
        return;
    }
    slot->failures++;
    if (attempt->probe)
        slot->probing = false;
    if (slot->failures < BREAKER_AFTER || (slot->breaker_open && !attempt->probe))
        return;
    if (!slot->breaker_open)
        log_warn("target does not answer: circuit breaker open", "target", slot->name, NULL);
    slot->breaker_open = true;
    metric_set(slot->breaker_gauge, 1);
    int64_t max_ms = slot->target->config->retry.max_ms; /* probes are no further apart than retries */
    if (max_ms > BREAKER_MAX_MS)
        max_ms = BREAKER_MAX_MS;
    int64_t pause = backoff_delay_ms(BREAKER_FIRST_MS, max_ms, ++slot->breaker_trips, random_unit());
    if (slot->pause_until_ms < d->now_ms + pause)
        slot->pause_until_ms = d->now_ms + pause;
}

const char mend_certificate[] =
    "the target's certificate is not one that is trusted here: mend it (its name, its dates, its issuer), or name who "
    "issued it in the target's `tls.ca`; what waits goes by itself then";

void slot_distrust(struct dispatch *d, struct slot *slot)
{
    slot->failures = BREAKER_AFTER;
    if (slot->untrusted)
        return;
    slot->untrusted = true;
    log_error("target not trusted", "target", slot->name, "reason", slot->last_failure, "action", mend_certificate,
              NULL);
    dispatch_alert(d, "target_untrusted", slot->name, NULL,
                   "its certificate is not trusted, so nothing is sent until it is; `busbar targets list` says why");
}

/* ---- creation */

static void init_slot(const struct dispatch *d, struct slot *slot, const char *name, struct target *target)
{
    slot->name = name;
    slot->target = target;
    slot->out = (struct line){
        .queue = queue_create(QUEUE_WINDOW), .kind = target != NULL ? DELIVERY_OUT : DELIVERY_BUS, .rescan = true};
    slot->in = (struct line){.queue = queue_create(QUEUE_WINDOW), .kind = DELIVERY_IN, .rescan = target != NULL};
    slot->held_gauge =
        metric_get(metric_family(METRIC_GAUGE, "busbar_target_held",
                                 "1: the target or one of its operations is held until someone resumes it.", "target"),
                   name);
    metric_set(slot->held_gauge, 0);
    slot->seconds = metric_get(
        metric_family(METRIC_HISTOGRAM, "busbar_delivery_seconds", "From acceptance to verdict.", "target"), name);
    if (target == NULL)
        return;
    slot->breaker_gauge = metric_get(metric_family(METRIC_GAUGE, "busbar_target_breaker_open",
                                                   "1: the target does not answer; one probe at a time.", "target"),
                                     name);
    slot->plugin_seconds = metric_get(
        metric_family(METRIC_HISTOGRAM, "busbar_plugin_call_seconds", "Time inside one plugin call.", "plugin"),
        target->plugin->name);
    slot->tokens = target->config->rate_per_s;
    slot->lookups = lookup_create(LOOKUPS_MAX);
    slot->writes = writes_create(target->config);
    writes_load(slot->writes, d->options.session, name, clock_wall_ms());
    slot->writes_count = metric_get(
        metric_family(METRIC_COUNTER, "busbar_target_writes_total",
                      "Deliveries that a request began to write, retries too: what max_writes limits.", "target"),
        name);
    errand_init(slot);
    batch_init(d, slot);
}

/* ---- plugins in processes of their own */

static void on_cell(void *context, unsigned events)
{
    (void)events;
    cell_ready(context);
}

static void watch_cells(struct dispatch *d)
{
    for (size_t i = 0; i + 1 < d->slot_count; i++) {
        struct cell *cell = d->slots[i].target->cell;
        if (cell != NULL)
            http_watch(d->options.http, cell_fd(cell), on_cell, cell);
    }
}

static void each_cell(const struct dispatch *d, void (*act)(struct cell *))
{
    for (size_t i = 0; i + 1 < d->slot_count; i++)
        if (d->slots[i].target->cell != NULL)
            act(d->slots[i].target->cell);
}

static int64_t cells_next_due(const struct dispatch *d)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i + 1 < d->slot_count; i++) {
        const struct cell *cell = d->slots[i].target->cell;
        int64_t due = cell != NULL ? cell_next_due(cell) : INT64_MAX;
        next = due < next ? due : next;
    }
    return next;
}

static int load_batches(struct dispatch *d)
{
    for (size_t i = 0; i + 1 < d->slot_count; i++)
        if (batch_load(d, &d->slots[i], clock_steady_ms()) != 0)
            return -1;
    return 0;
}

static void note_count(void *context, const struct delivery_count *count)
{
    struct dispatch *d = context;
    count_at_start(NULL, count);
    if (delivery_state_is_open(count->state) && dispatch_slot(d, count->target) == NULL)
        strays_add(d->strays, count->target, count->count);
}

static void tell_strays(const struct dispatch *d)
{
    for (size_t i = 0; strays_target(d->strays, i) != NULL; i++) {
        cleanup_text char *count = mem_printf("%lld", (long long)strays_count(d->strays, i));
        log_warn("deliveries wait for a target that is not configured", "target", strays_target(d->strays, i),
                 "deliveries", count, "action",
                 "configure it again and they go; or give them up with `busbar queue discard`", NULL);
    }
}

const struct strays *dispatch_strays(const struct dispatch *d)
{
    return d->strays;
}

struct dispatch *dispatch_create(const struct dispatch_options *options, char **error)
{
    struct dispatch *d = mem_alloc(sizeof(*d));
    d->options = *options;
    d->slot_count = options->target_count + 1;
    d->slots = mem_alloc(d->slot_count * sizeof(d->slots[0]));
    for (size_t i = 0; i < options->target_count; i++)
        init_slot(d, &d->slots[i], options->targets[i]->name, options->targets[i]);
    d->bus = &d->slots[options->target_count];
    d->strays = strays_create();
    init_slot(d, d->bus, "bus", NULL);
    if (recover_deliveries(d) != 0 || load_batches(d) != 0 || store_load_holds(options->session, load_hold, d) != 0 ||
        store_count_deliveries(options->session, note_count, d) != 0) {
        *error = mem_printf("the store could not be read: %s", store_error(options->session));
        dispatch_destroy(d);
        return NULL;
    }
    tell_strays(d);
    watch_cells(d);
    return d;
}

static void destroy_list(struct attempt_list *list)
{
    while (list->first != NULL) {
        struct attempt *a = list->first;
        attempt_list_remove(list, a);
        attempt_destroy(a);
    }
}

void dispatch_destroy(struct dispatch *d)
{
    if (d == NULL)
        return;
    each_cell(d, cell_stop);
    destroy_list(&d->starting);
    destroy_list(&d->running);
    destroy_list(&d->finished);
    for (size_t i = 0; i < d->slot_count; i++) {
        struct slot *slot = &d->slots[i];
        queue_destroy(slot->out.queue);
        queue_destroy(slot->in.queue);
        lookup_destroy(slot->lookups);
        free(slot->writes);
        if (slot->asking != NULL)
            arena_destroy(slot->asking);
        free(slot->rules);
        for (size_t k = 0; k < slot->hold_count; k++) {
            free(slot->holds[k].operation);
            free(slot->holds[k].reason);
        }
        free(slot->holds);
    }
    free(d->slots);
    strays_destroy(d->strays);
    free(d->publishing);
    free(d->acked);
    free(d->confirmed);
    free(d->alerts);
    free(d->forgot_up_to);
    free(d);
}

void dispatch_set_bus(struct dispatch *d, struct mqtt *mqtt)
{
    d->mqtt = mqtt;
}

void dispatch_notice(struct dispatch *d)
{
    atomic_store(&d->noticed, true);
}

/* ---- the gates */

static bool take_token(struct slot *slot, int64_t now_ms)
{
    double rate = slot->target->config->rate_per_s;
    if (rate <= 0)
        return true;
    double most = rate > 1 ? rate : 1;
    slot->tokens += (double)(now_ms - slot->tokens_at_ms) / 1000.0 * rate;
    slot->tokens_at_ms = now_ms;
    if (slot->tokens > most)
        slot->tokens = most;
    if (slot->tokens < 1)
        return false;
    slot->tokens -= 1;
    return true;
}

bool slot_may_send(const struct dispatch *d, const struct slot *slot)
{
    if (d->draining || slot_hold(slot, NULL) != NULL || slot->pause_until_ms > d->now_ms)
        return false;
    if (slot->breaker_open && slot->probing)
        return false;
    return slot->running < (size_t)slot->target->config->concurrency;
}

static bool operation_not_held(void *context, const struct queue_entry *entry)
{
    return slot_hold(context, entry->operation) == NULL;
}

/* As if it had not been taken. */
static void give_back(struct queue *queue, struct queue_entry *entry, int64_t due_ms)
{
    if (entry->batch != NULL && !entry->batch->frozen)
        queue_disband(queue, entry->batch);
    else
        queue_return(queue, entry, due_ms);
}

static bool start_one(struct dispatch *d, struct slot *slot, struct line *line, struct queue_entry *entry)
{
    struct attempt *a = attempt_create(d, slot, line, entry);
    if (a == NULL) {
        give_back(line->queue, entry, d->now_ms + STORE_PAUSE_MS);
        d->store_pause_until_ms = d->now_ms + STORE_PAUSE_MS;
        return false;
    }
    attempt_examine(d, a);
    slot->probing |= a->probe;
    attempt_list_append(&d->starting, a);
    return true;
}

/* Here, what is decoded is over before the next. */
static bool may_decode(const struct dispatch *d, const struct slot *slot)
{
    return !d->draining && (slot->target->cell == NULL || slot->decoding < DECODES_IN_CELL);
}

static void pick_slot(struct dispatch *d, struct slot *slot)
{
    struct queue_entry *entry;
    for (int i = 0; i < DECODES_A_TURN && may_decode(d, slot); i++) {
        if ((entry = queue_take(slot->in.queue, d->now_ms, NULL, NULL)) == NULL)
            break;
        start_one(d, slot, &slot->in, entry);
    }
    errand_pick(d, slot);
    while (slot_may_send(d, slot) && queue_next_due(slot->out.queue) <= d->now_ms && take_token(slot, d->now_ms)) {
        entry = queue_take(slot->out.queue, d->now_ms, operation_not_held, slot);
        if (entry == NULL || !start_one(d, slot, &slot->out, entry)) {
            slot->tokens += 1;
            break;
        }
    }
}

bool dispatch_pick(struct dispatch *d, int64_t now_ms, int64_t wall_ms)
{
    d->now_ms = now_ms;
    d->wall_ms = wall_ms;
    d->stamp_ms = wall_ms > d->stamp_ms ? wall_ms : d->stamp_ms + 1;
    each_cell(d, cell_tick);
    if (now_ms < d->store_pause_until_ms)
        return false;
    store_begin_read(d->options.session);
    refill_lines(d);
    for (size_t i = 0; i + 1 < d->slot_count; i++)
        pick_slot(d, &d->slots[(d->next_slot + i) % (d->slot_count - 1)]);
    if (d->slot_count > 1)
        d->next_slot = (d->next_slot + 1) % (d->slot_count - 1);
    bool acks = publish_pick(d);
    store_end_read(d->options.session);
    return acks || orders_time_is_up(d) || d->alert_count > 0 || d->starting.first != NULL || d->finished.first != NULL;
}

/* ---- storing and going on */

int dispatch_store(struct dispatch *d)
{
    d->added = 0;
    for (size_t i = 0; i < d->alert_count; i++)
        if (announce_alert(d, &d->alerts[i]) != 0)
            return -1;
    for (struct attempt *a = d->finished.first; a != NULL; a = a->next)
        if (settle_attempt(d, a) != 0)
            return -1;
    for (size_t i = 0; i < d->acked_count; i++)
        if (settle_published(d, &d->publishing[d->acked[i]]) != 0)
            return -1;
    for (struct attempt *a = d->starting.first; a != NULL; a = a->next)
        if (batch_start(d, a) != 0)
            return -1;
    for (size_t i = 0; i + 1 < d->slot_count; i++)
        if (writes_store(d->slots[i].writes, d->options.session, d->slots[i].name) != 0)
            return -1;
    return orders_let_time_pass(d);
}

/* Answers whether it goes again. */
static bool release_item(struct dispatch *d, const struct attempt *a, const struct item *item)
{
    struct slot *slot = a->slot;
    const char *route = item->entry->route;
    switch (item->fate) {
    case FATE_HELD:
        return true;
    case FATE_RETRY:
        item->entry->attempts++;
        count_moved(route, slot->name, item->was, DELIVERY_RETRYING);
        return true;
    case FATE_NONE:
    case FATE_DELIVERED:
    case FATE_REJECTED:
    case FATE_EXPIRED:
        metric_observe(slot->seconds, (double)(d->wall_ms - item->message->received_ms) / 1000.0);
        count_moved(route, slot->name, item->was,
                    item->fate == FATE_DELIVERED ? DELIVERY_DELIVERED
                    : item->fate == FATE_EXPIRED ? DELIVERY_EXPIRED
                                                 : DELIVERY_REJECTED);
        queue_remove(a->line->queue, item->entry);
        break;
    }
    return false;
}

/* The queue's and the gauges' part of a verdict, once it is stored. */
static void release(struct dispatch *d, struct attempt *a)
{
    struct slot *slot = a->slot;
    if (a->probe)
        slot->probing = false;
    bool overloaded = a->http_status == 429 || a->http_status == 503; /* it speaks for the whole target */
    if (overloaded && slot->pause_until_ms < d->now_ms + a->out.retry_after_ms)
        slot->pause_until_ms = d->now_ms + a->out.retry_after_ms;
    if (a->holds)
        slot_set_hold(slot, attempt_held_operation(a), a->out.error.message != NULL ? a->out.error.message : "held",
                      d->wall_ms);
    if (a->errand != NULL) {
        errand_release(d, a);
        return;
    }
    struct queue_entry *again = NULL;
    for (size_t i = 0; i < a->count; i++)
        if (release_item(d, a, &a->items[i]))
            again = a->items[i].entry;
    if (again != NULL && a->scatters)
        queue_scatter(a->line->queue, a->batch, d->now_ms + a->delay_ms);
    else if (again != NULL)
        queue_return(a->line->queue, again, d->now_ms + a->delay_ms);
}

static void release_confirmed(struct dispatch *d, bool stored)
{
    for (size_t i = 0; i < d->confirmed_count; i++) {
        struct confirmed *c = &d->confirmed[i];
        struct queue_entry *waiting = stored ? queue_find(c->slot->out.queue, c->seq) : NULL;
        if (waiting != NULL)
            queue_drop(c->slot->out.queue, waiting);
        if (stored)
            count_moved(c->route, c->slot->name, c->was, DELIVERY_DELIVERED);
        free(c->route);
    }
    d->confirmed_count = 0;
}

void dispatch_go(struct dispatch *d, bool stored)
{
    release_confirmed(d, stored);
    if (!stored) {
        log_error("the store refused a commit: waiting", "reason", store_error(d->options.session), NULL);
        d->store_pause_until_ms = d->now_ms + STORE_PAUSE_MS;
        d->stale_at_ms = d->show_at_ms = 0;
        while (d->starting.first != NULL) {
            struct attempt *a = d->starting.first;
            attempt_list_remove(&d->starting, a);
            if (a->errand != NULL)
                errand_take_back(d, a);
            else
                give_back(a->line->queue, a->items[0].entry, d->now_ms);
            if (a->probe)
                a->slot->probing = false;
            attempt_destroy(a);
        }
        publish_go(d, false);
        return;
    }
    d->alert_count = 0;
    for (size_t i = 0; i + 1 < d->slot_count; i++)
        writes_stored(d->slots[i].writes);
    while (d->finished.first != NULL) {
        struct attempt *a = d->finished.first;
        attempt_list_remove(&d->finished, a);
        release(d, a);
        attempt_destroy(a);
    }
    announce_release(d);
    publish_go(d, true);
    while (d->starting.first != NULL) {
        struct attempt *a = d->starting.first;
        attempt_list_remove(&d->starting, a);
        batch_started(a);
        attempt_run(d, a);
    }
    each_cell(d, cell_flush);
}

int64_t dispatch_next_due(const struct dispatch *d)
{
    int64_t next = orders_next_due(d), cells = cells_next_due(d);
    next = cells < next ? cells : next;
    if (d->finished.first != NULL || d->alert_count > 0 || atomic_load(&d->noticed))
        return d->store_pause_until_ms > d->now_ms ? d->store_pause_until_ms : INT64_MIN;
    for (size_t i = 0; i + 1 < d->slot_count; i++) {
        const struct slot *slot = &d->slots[i];
        int64_t in = may_decode(d, slot) ? queue_next_due(slot->in.queue) : INT64_MAX;
        if (!d->draining && (refill_is_wanted(&slot->in) || refill_is_wanted(&slot->out)))
            in = INT64_MIN;
        next = in < next ? in : next;
        if (d->draining || slot_hold(slot, NULL) != NULL || (slot->breaker_open && slot->probing) ||
            slot->running >= (size_t)slot->target->config->concurrency)
            continue;
        int64_t out = queue_next_due(slot->out.queue), errand = errand_next_due(slot);
        out = errand < out ? errand : out;
        if (out == INT64_MAX)
            continue;
        if (out < slot->pause_until_ms)
            out = slot->pause_until_ms;
        double rate = slot->target->config->rate_per_s;
        if (rate > 0 && slot->tokens < 1 && out < d->now_ms + (int64_t)((1 - slot->tokens) / rate * 1000) + 1)
            out = d->now_ms + (int64_t)((1 - slot->tokens) / rate * 1000) + 1;
        next = out < next ? out : next;
    }
    int64_t bus = refill_is_wanted(&d->bus->out) ? INT64_MIN : publish_next_due(d);
    next = bus < next ? bus : next;
    return next < d->store_pause_until_ms ? d->store_pause_until_ms : next;
}

void dispatch_alert(struct dispatch *d, const char *kind, const char *target, const char *route, const char *reason)
{
    d->alerts = mem_grow(d->alerts, &d->alert_cap, d->alert_count + 1, sizeof(d->alerts[0]));
    d->alerts[d->alert_count++] = (struct alert){.kind = kind, .target = target, .route = route, .reason = reason};
}

void dispatch_drain(struct dispatch *d)
{
    d->draining = true;
}

size_t dispatch_in_flight(const struct dispatch *d)
{
    size_t count = d->publishing_open + (d->finished.first != NULL ? 1 : 0);
    for (size_t i = 0; i < d->slot_count; i++)
        count += d->slots[i].running + d->slots[i].decoding;
    return count;
}
