/* SPDX-License-Identifier: Apache-2.0 */
/* Between two flushes is one group: one transaction at most, begun by the first message that has
 * something to store. Whatever memory a group touches can be taken back until its commit: the rules
 * keep an undo journal, the duplicate ring a list of touched ids, the ledger counts aside. So a commit
 * that fails leaves the house as if the messages had not come, and the broker brings them again. */
#include "intake_private.h"

#include "clock.h"
#include "digest.h"
#include "dispatch.h"
#include "intake_copies.h"
#include "json.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "route.h"
#include "target.h"
#include "topic.h"
#include "watchdog.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_IDS 65536
#define PACKET_RECORD (sizeof(uint16_t) + sizeof(uint64_t)) /* id and hash, as stored */
#define POISON_DEATHS 2

/* ---- creation */

const struct bb_plugin *intake_plugin(const struct intake *intake, const char *target)
{
    const struct intake_options *options = &intake->options;
    for (size_t i = 0; i < options->target_count; i++)
        if (strcmp(options->targets[i]->name, target) == 0)
            return options->targets[i]->plugin;
    return NULL;
}

static void init_route(struct intake *intake, size_t i)
{
    static const char help[] = "Messages of the bus, by route and what became of them; received is their sum.";
    const struct config_route *route = &intake->options.config->routes[i];
    struct route_counts *counts = &intake->routes[i];
    struct metric_family *family = metric_family(METRIC_COUNTER, "busbar_messages_total", help, "route,outcome");
    for (int outcome = OUTCOME_IGNORED; outcome <= OUTCOME_ACCEPTED; outcome++)
        counts->metrics[outcome] = metric_get(family, route->name, outcome_name((enum outcome)outcome));
    family = metric_family(METRIC_COUNTER, "busbar_timed_total",
                           "What time alone decided (for, absent), by route and outcome: no message of the bus.",
                           "route,outcome");
    for (int outcome = OUTCOME_SUPPRESSED; outcome <= OUTCOME_ACCEPTED; outcome++)
        if (outcome != OUTCOME_DUPLICATE && outcome != OUTCOME_WAITING)
            counts->timed[outcome] = metric_get(family, route->name, outcome_name((enum outcome)outcome));
    intake_reason(intake, i, route->trigger.given ? "fired" : "command"); /* exported from the start, as 0 */
    counts->received = metric_get(metric_family(METRIC_COUNTER, "busbar_messages_received_total",
                                                "Messages of the bus that a route matched.", "route"),
                                  route->name);
    const struct config_target *target = config_target(intake->options.config, route->target);
    const struct bb_plugin *plugin = intake_plugin(intake, route->target);
    struct bb_operation operation;
    bool writes = false;
    if (plugin != NULL && plugin_find_operation(plugin, route->operation, &operation)) {
        writes = (operation.flags & BB_WRITES) != 0;
        const unsigned order = BB_CREATES | BB_WORK_ORDER;
        counts->makes_order = (operation.flags & order) == order;
    }
    bool draft = writes && target != NULL && config_mode_of(target, route->operation) == MODE_DRAFT;
    counts->first_state = draft ? DELIVERY_DRAFT : DELIVERY_PENDING;
}

static void init_commands(struct intake *intake)
{
    struct route_counts *counts = &intake->routes[intake->options.config->route_count];
    struct metric_family *family = metric_family(METRIC_COUNTER, "busbar_messages_total", "", "route,outcome");
    for (int outcome = OUTCOME_IGNORED; outcome <= OUTCOME_ACCEPTED; outcome++)
        counts->metrics[outcome] = metric_get(family, COMMANDS, outcome_name((enum outcome)outcome));
    counts->received =
        metric_get(metric_family(METRIC_COUNTER, "busbar_messages_received_total", "", "route"), COMMANDS);
}

static void restore_trigger(void *context, const char *route, struct span key, struct span state)
{
    route_set_restore(context, route, key, state);
}

static void note_packet(struct intake *intake, int packet_id, uint64_t hash)
{
    intake->packets[packet_id] = (struct packet){hash, ++intake->packet_number};
    intake->recent[intake->packet_number % intake->remembered] = (uint16_t)packet_id;
}

static void restore_packet(void *context, int packet_id, int64_t hash)
{
    struct intake *intake = context;
    if (packet_id > 0 && packet_id < PACKET_IDS)
        note_packet(intake, packet_id, (uint64_t)hash);
}

static void restore_record(void *context, struct span record)
{
    for (size_t at = 0; at + PACKET_RECORD <= record.len; at += PACKET_RECORD) {
        uint16_t id;
        int64_t hash;
        memcpy(&id, record.data + at, sizeof(id));
        memcpy(&hash, record.data + at + sizeof(id), sizeof(hash));
        restore_packet(context, id, hash);
    }
}

struct intake *intake_create(const struct intake_options *options, char **error)
{
    struct intake *intake = mem_alloc(sizeof(*intake));
    int deaths = 0;
    intake->options = *options;
    pthread_mutex_init(&intake->rules, NULL);
    intake->routes = mem_alloc((options->config->route_count + 1) * sizeof(intake->routes[0]));
    for (size_t i = 0; i < options->config->route_count; i++)
        init_route(intake, i);
    if (options->config->bus.commands)
        init_commands(intake);
    intake->packets = mem_alloc(PACKET_IDS * sizeof(intake->packets[0]));
    intake->remembered = 4 * (uint64_t)options->config->bus.receive_maximum;
    intake->recent = mem_alloc(intake->remembered * sizeof(intake->recent[0]));
    intake->duplicates = metric_get(metric_family(METRIC_COUNTER, "busbar_bus_duplicates_total",
                                                  "Messages that the broker sent again and that were known.", ""));
    intake->stale_copies = metric_get(
        metric_family(METRIC_COUNTER, "busbar_bus_stale_copies_total",
                      "Copies for a subscription of the session that neither configuration nor store knows.", ""));
    intake->copies = copies_create();
    intake->unrouted =
        metric_get(metric_family(METRIC_COUNTER, "busbar_bus_unrouted_total", "Messages that no route matched.", ""));
    if (store_load_triggers(options->session, restore_trigger, options->routes) != 0 ||
        store_recent_packets(options->session, (size_t)intake->remembered, restore_packet, intake) != 0 ||
        store_get_packets(options->session, restore_record, intake) != 0 || intake_load_births(intake) != 0) {
        *error = mem_printf("the store could not be read: %s", store_error(options->session));
        intake_destroy(intake);
        return NULL;
    }
    route_set_commit(options->routes);
    route_set_clock_back(options->routes, clock_steady_ms());
    route_set_ask_orders(options->routes, intake_order_is_open, intake);
    intake->poison = store_crumb_found(options->store, CRUMB_INTAKE, &deaths);
    if (deaths < POISON_DEATHS)
        intake->poison = 0;
    return intake;
}

void intake_destroy(struct intake *intake)
{
    if (intake == NULL)
        return;
    if (intake->in_group)
        store_rollback(intake->options.session);
    pthread_mutex_destroy(&intake->rules);
    for (size_t i = 0; intake->routes != NULL && i < intake->options.config->route_count; i++)
        free(intake->routes[i].reasons);
    free(intake->routes);
    copies_destroy(intake->copies);
    free(intake->packets);
    free(intake->recent);
    free(intake->touched);
    free(intake->added);
    free(intake->counted);
    free(intake);
}

/* ---- duplicates of transport: the same packet id and content, sent again with DUP.
 * What was only counted must be known too: a reading that was ignored while its rule was tripped would
 * fire when it comes again after the one that re-armed it. So each group that stores anything stores
 * which packets were judged last; while nothing is stored, judging again does no harm. */

static uint64_t message_hash(const struct message *message)
{
    uint64_t hash = digest_fast(message->payload, digest_fast(message->topic, (uint64_t)message->packet_id));
    return hash != 0 ? hash : 1;
}

/* A copy that was evaluated before. Only what was committed, or stands in this group, is in the ring. */
static bool is_duplicate(const struct intake *intake, const struct message *message, uint64_t hash)
{
    if (!message->duplicate || message->packet_id <= 0 || message->packet_id >= PACKET_IDS)
        return false;
    const struct packet *packet = &intake->packets[message->packet_id];
    return packet->hash == hash && intake->packet_number - packet->number < intake->remembered;
}

static void remember_packet(struct intake *intake, const struct message *message, uint64_t hash)
{
    if (message->packet_id <= 0 || message->packet_id >= PACKET_IDS)
        return;
    note_packet(intake, message->packet_id, hash);
    intake->touched =
        mem_grow(intake->touched, &intake->touched_cap, intake->touched_count + 1, sizeof(intake->touched[0]));
    intake->touched[intake->touched_count++] = (uint16_t)message->packet_id;
}

/* As many as the broker may have in flight to us. */
static int store_packets(struct intake *intake)
{
    cleanup_buf struct buf record = {0};
    uint64_t most = (uint64_t)intake->options.config->bus.receive_maximum;
    uint64_t first = intake->packet_number > most ? intake->packet_number - most + 1 : 1;
    for (uint64_t number = first; number <= intake->packet_number; number++) {
        uint16_t id = intake->recent[number % intake->remembered];
        const struct packet *packet = &intake->packets[id];
        if (packet->number != number)
            continue;
        buf_append(&record, &id, sizeof(id));
        buf_append(&record, &packet->hash, sizeof(packet->hash));
    }
    return store_put_packets(intake->options.session, buf_span(&record));
}

static void count_known(struct intake *intake, const struct message *message)
{
    const uint32_t *routes;
    size_t count = route_set_match(intake->options.routes, message, &routes);
    for (size_t i = 0; i < count; i++)
        intake_count_outcome(intake, routes[i], OUTCOME_DUPLICATE);
    if (route_set_is_command(intake->options.routes, message))
        intake_count_outcome(intake, intake->options.config->route_count, OUTCOME_DUPLICATE);
}

static void count_duplicate(struct intake *intake, const struct message *message)
{
    metric_add(intake->duplicates, 1);
    note_packet(intake, message->packet_id, intake->hash); /* in flight still: among the newest again */
    count_known(intake, message);
}

/* Nothing of it was evaluated: it killed the process twice, is larger than the cap, or on a topic that is none. */
static void bury(struct intake *intake, const struct message *message, const char *reason)
{
    const uint32_t *routes;
    cleanup_buf struct buf quoted = {0};
    struct message readable = *message;
    if (!span_is_utf8(message->topic) || memchr(message->topic.data, '\0', message->topic.len) != NULL) {
        buf_put_json(&quoted, message->topic);
        readable.topic = (struct span){quoted.data + 1, quoted.len - 2};
    }
    size_t count = route_set_match(intake->options.routes, message, &routes);
    for (size_t i = 0; i < count; i++) {
        char id[UUID_TEXT_MAX];
        uuid_v7(message->received_ms, id);
        const struct route_decision decision = {.route = routes[i],
                                                .message = &readable,
                                                .outcome = OUTCOME_INVALID,
                                                .reason = reason,
                                                .lane = readable.topic,
                                                .payload = message->payload,
                                                .id = id};
        intake_decide(intake, &decision);
    }
    log_error("a message became a dead letter unevaluated", "reason", reason, NULL);
}

/* ---- the face */

/* What time decided until now comes before the message that is judged now. */
static void tick(struct intake *intake)
{
    if (route_set_due(intake->options.routes) > intake->steady_ms)
        return;
    watchdog_enter(WATCHDOG_RULES);
    route_set_tick(intake->options.routes, intake->steady_ms, intake_decide, intake);
    watchdog_leave(WATCHDOG_RULES);
}

static void judge(struct intake *intake, const struct message *message)
{
    if (intake->poison == intake->hash)
        bury(intake, message, "the process died twice while it judged this message");
    else if (message->payload.len > (size_t)intake->options.config->bus.max_payload_bytes)
        bury(intake, message, "the payload is larger than bus.max_payload");
    else if (!topic_is_valid(message->topic))
        bury(intake, message, "the broker sent a topic that nobody may publish on: a wildcard, a NUL or no UTF-8");
    else if (route_set_is_command(intake->options.routes, message))
        intake_command(intake, message);
    else if (route_set_evaluate(intake->options.routes, message, intake->steady_ms, intake_decide, intake) == 0)
        metric_add(intake->unrouted, 1);
}

static void judge_for(struct intake *intake, const struct message *message, uint64_t content, int filter)
{
    struct message copy = *message;
    copy.subscription_id = filter;
    if (copies_is_first(intake->copies, content, filter, message->stale_id))
        judge(intake, &copy);
    else
        count_known(intake, &copy);
}

static void note_stale(struct intake *intake, const struct message *message)
{
    metric_add(intake->stale_copies, 1);
    if (intake->stale_seen)
        return;
    intake->stale_seen = intake->stale_untold = true;
    cleanup_buf struct buf topic = {0};
    buf_put_json(&topic, message->topic);
    log_warn(
        "the broker's session has a subscription that the store does not know: was the store put back or made anew?",
        "topic", topic.data, "effect",
        intake->options.config->bus.share != NULL
            ? "with bus.share its copies cannot be told from others: messages are judged twice"
            : "its copies are taken and counted as duplicates, nothing is judged twice",
        "action", "to be rid of it: another bus.client_id, once what the broker has queued is in", NULL);
}

/* What came for a subscription that nobody knows is judged as if it came for each filter of ours that brings it, unless
 * a copy for that filter came too. With a shared one, that copy may have gone to another of the group. */
static void judge_copies(struct intake *intake, const struct message *message)
{
    uint64_t content = digest_fast(message->payload, digest_fast(message->topic, message->retained ? 1 : 0));
    int filter = message->subscription_id;
    if (message->stale_id != 0)
        note_stale(intake, message);
    if (intake->options.config->bus.share != NULL || (filter == 0 && message->stale_id == 0)) {
        judge(intake, message);
    } else if (filter != 0) {
        judge_for(intake, message, content, filter);
    } else if ((filter = route_set_next_filter(intake->options.routes, message->topic, 0)) == 0) {
        metric_add(intake->unrouted, 1);
    } else {
        for (; filter != 0; filter = route_set_next_filter(intake->options.routes, message->topic, filter))
            judge_for(intake, message, content, filter);
    }
}

void intake_message(struct intake *intake, const struct message *message)
{
    pthread_mutex_lock(&intake->rules);
    intake->hash = message_hash(message);
    intake->steady_ms = clock_steady_ms();
    intake->wall_ms = message->received_ms;
    tick(intake);
    if (is_duplicate(intake, message, intake->hash)) {
        count_duplicate(intake, message);
    } else {
        remember_packet(intake, message, intake->hash);
        store_crumb_set(intake->options.store, CRUMB_INTAKE, intake->hash);
        watchdog_enter(WATCHDOG_RULES);
        judge_copies(intake, message);
        watchdog_leave(WATCHDOG_RULES);
        store_crumb_clear(intake->options.store, CRUMB_INTAKE);
    }
    pthread_mutex_unlock(&intake->rules);
}

static void take_back(struct intake *intake)
{
    store_rollback(intake->options.session);
    route_set_rollback(intake->options.routes);
    copies_rollback(intake->copies);
    for (size_t i = 0; i < intake->touched_count; i++)
        intake->packets[intake->touched[i]] = (struct packet){0};
    for (size_t i = 0; i < intake->counted_count; i++) {
        struct route_counts *counts = &intake->routes[intake->counted[i]];
        memset(counts->pending, 0, sizeof(counts->pending));
        memset(counts->pending_timed, 0, sizeof(counts->pending_timed));
        for (size_t r = 0; r < counts->reason_count; r++)
            counts->reasons[r].pending = 0;
        counts->touched = false;
        memset(counts->complaints, 0, sizeof(counts->complaints)); /* their rows are gone */
        counts->pending_received = 0;
    }
}

static void move_count(struct metric *metric, int64_t *pending)
{
    if (*pending != 0)
        metric_add(metric, *pending);
    *pending = 0;
}

static void count_group(struct intake *intake)
{
    for (size_t i = 0; i < intake->counted_count; i++) {
        struct route_counts *counts = &intake->routes[intake->counted[i]];
        metric_add(counts->received, counts->pending_received);
        counts->pending_received = 0;
        counts->touched = false;
        for (int outcome = OUTCOME_IGNORED; outcome <= OUTCOME_ACCEPTED; outcome++) {
            move_count(counts->metrics[outcome], &counts->pending[outcome]);
            move_count(counts->timed[outcome], &counts->pending_timed[outcome]);
        }
        for (size_t r = 0; r < counts->reason_count; r++)
            move_count(counts->reasons[r].metric, &counts->reasons[r].pending);
    }
    for (size_t i = 0; i < intake->added_count; i++) {
        const struct added *added = &intake->added[i];
        const struct config *config = intake->options.config;
        bool routed = added->route < config->route_count;
        const char *route = routed ? config->routes[added->route].name : COMMANDS;
        const char *target = routed ? config->routes[added->route].target : COMMANDS;
        if (added->route == NO_ROUTE)
            dispatch_count_added(NULL, "bus", added->state);
        else if (added->state == 0)
            dispatch_count_merged(route, target);
        else
            dispatch_count_added(route, added->target != NULL ? added->target : target, added->state);
    }
}

static void store_state(void *context, const char *route, struct span key, struct span state)
{
    struct intake *intake = context;
    if (!intake->failed && store_put_trigger(intake->options.session, route, key, state) != 0)
        intake->failed = true;
}

/* One row for each key that changed, however often it did. */
static void store_states(struct intake *intake)
{
    if (intake->failed || route_set_changes(intake->options.routes, NULL, NULL) == 0)
        return;
    if (intake_begin_group(intake))
        route_set_changes(intake->options.routes, store_state, intake);
    else
        intake->failed = true;
}

bool intake_is_busy(const struct intake *intake)
{
    return intake->in_group || intake->counted_count > 0 || intake->touched_count > 0;
}

int intake_flush_held(struct intake *intake, bool *wake)
{
    store_states(intake);
    int rc = intake->failed ? -1 : 0;
    if (rc == 0)
        rc = intake_store_births(intake);
    if (rc == 0 && intake->in_group && (rc = store_packets(intake)) == 0)
        rc = store_commit(intake->options.session);
    *wake = rc == 0 && (intake->added_count > 0 || route_set_due(intake->options.routes) < intake->told_due_ms);
    if (rc == 0) {
        route_set_commit(intake->options.routes);
        copies_commit(intake->copies);
        intake_births_stored(intake);
        count_group(intake);
    } else {
        log_error("the store refused messages: the broker keeps them", "reason", store_error(intake->options.session),
                  NULL);
        take_back(intake);
    }
    intake->touched_count = intake->added_count = intake->counted_count = 0;
    intake->in_group = intake->failed = false;
    return rc;
}

static void wake_reactor(const struct intake *intake)
{
    if (intake->options.accepted != NULL)
        intake->options.accepted(intake->options.context);
}

int intake_flush(struct intake *intake)
{
    bool wake;
    pthread_mutex_lock(&intake->rules);
    int rc = intake_flush_held(intake, &wake);
    pthread_mutex_unlock(&intake->rules);
    if (wake)
        wake_reactor(intake);
    return rc;
}

/* A group that is open is the other thread's: it ticks with its next message, and ends within milliseconds. */
int64_t intake_tick(struct intake *intake, int64_t steady_ms, int64_t wall_ms, bool listening)
{
    bool wake = false;
    pthread_mutex_lock(&intake->rules);
    route_set_listen(intake->options.routes, listening, steady_ms);
    bool busy = intake_is_busy(intake);
    if (!busy && route_set_due(intake->options.routes) <= steady_ms) {
        intake->steady_ms = steady_ms;
        intake->wall_ms = wall_ms;
        tick(intake);
        intake_flush_held(intake, &wake);
    }
    int64_t due = route_set_due(intake->options.routes);
    if (due <= steady_ms) /* busy, or the store refused: soon again */
        due = steady_ms + (busy ? 5 : 1000);
    intake->told_due_ms = due;
    pthread_mutex_unlock(&intake->rules);
    if (wake)
        wake_reactor(intake);
    return due;
}

void intake_session(struct intake *intake, bool present)
{
    if (present)
        return;
    pthread_mutex_lock(&intake->rules);
    memset(intake->packets, 0, PACKET_IDS * sizeof(intake->packets[0]));
    copies_forget(intake->copies);
    if (intake_begin_group(intake) && store_forget_packets(intake->options.session) != 0)
        intake->failed = true;
    pthread_mutex_unlock(&intake->rules);
    intake_flush(intake);
}

bool intake_take_stale(struct intake *intake)
{
    pthread_mutex_lock(&intake->rules);
    bool stale = intake->stale_untold;
    intake->stale_untold = false;
    pthread_mutex_unlock(&intake->rules);
    return stale;
}

const char *intake_take_alarm(struct intake *intake)
{
    const struct config *config = intake->options.config;
    const char *over = NULL;
    pthread_mutex_lock(&intake->rules);
    for (size_t i = 0; intake->over_budget && over == NULL && i < config->route_count; i++)
        if (intake->routes[i].over_budget) {
            intake->routes[i].over_budget = false;
            over = config->routes[i].name;
        }
    intake->over_budget = over != NULL;
    pthread_mutex_unlock(&intake->rules);
    return over;
}
