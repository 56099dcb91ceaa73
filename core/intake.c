/* SPDX-License-Identifier: Apache-2.0 */
/* Between two flushes is one group: one transaction at most, begun by the first message that has
 * something to store. Whatever memory a group touches can be taken back until its commit: the rules
 * keep an undo journal, the duplicate ring a list of touched ids, the ledger counts aside. So a commit
 * that fails leaves the house as if the messages had not come, and the broker brings them again. */
#include "intake_private.h"

#include "clock.h"
#include "digest.h"
#include "dispatch.h"
#include "json.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "route.h"
#include "target.h"
#include "watchdog.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_IDS 65536
#define PACKET_RECORD (sizeof(uint16_t) + sizeof(uint64_t)) /* id and hash, as stored */
#define POISON_DEATHS 2

#define KEPT_WHOLE 10 /* dead letters of one reason and minute */

/* ---- creation */

static const struct bb_plugin *plugin_of(const struct intake_options *options, const char *target)
{
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
    counts->received = metric_get(metric_family(METRIC_COUNTER, "busbar_messages_received_total",
                                                "Messages of the bus that a route matched.", "route"),
                                  route->name);
    const struct config_target *target = config_target(intake->options.config, route->target);
    const struct bb_plugin *plugin = plugin_of(&intake->options, route->target);
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
    intake->routes = mem_alloc(options->config->route_count * sizeof(intake->routes[0]));
    for (size_t i = 0; i < options->config->route_count; i++)
        init_route(intake, i);
    intake->packets = mem_alloc(PACKET_IDS * sizeof(intake->packets[0]));
    intake->remembered = 4 * (uint64_t)options->config->bus.receive_maximum;
    intake->recent = mem_alloc(intake->remembered * sizeof(intake->recent[0]));
    intake->duplicates = metric_get(metric_family(METRIC_COUNTER, "busbar_bus_duplicates_total",
                                                  "Messages that the broker sent again and that were known.", ""));
    intake->unrouted =
        metric_get(metric_family(METRIC_COUNTER, "busbar_bus_unrouted_total", "Messages that no route matched.", ""));
    if (store_load_triggers(options->session, restore_trigger, options->routes) != 0 ||
        store_recent_packets(options->session, (size_t)intake->remembered, restore_packet, intake) != 0 ||
        store_get_packets(options->session, restore_record, intake) != 0) {
        *error = mem_printf("the store could not be read: %s", store_error(options->session));
        intake_destroy(intake);
        return NULL;
    }
    route_set_commit(options->routes);
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
    free(intake->routes);
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

/* ---- storing one decision */

static bool begin_group(struct intake *intake)
{
    if (!intake->in_group && store_begin(intake->options.session) == 0)
        intake->in_group = true;
    return intake->in_group;
}

char *intake_user_properties(const struct message *message)
{
    if (message->user_count == 0)
        return NULL;
    struct buf text = {0};
    for (size_t i = 0; i < message->user_count; i++) {
        buf_putc(&text, i == 0 ? '{' : ',');
        buf_put_json(&text, message->user[i].name);
        buf_putc(&text, ':');
        buf_put_json(&text, message->user[i].value);
    }
    buf_putc(&text, '}');
    return buf_steal(&text);
}

static void note_added(struct intake *intake, size_t route, enum delivery_state state)
{
    intake->added = mem_grow(intake->added, &intake->added_cap, intake->added_count + 1, sizeof(intake->added[0]));
    intake->added[intake->added_count++] = (struct added){route, state};
}

/* What a route could not map for one reason within one minute. */
static struct complaint *find_complaint(struct intake *intake, const struct route_decision *decision)
{
    struct route_counts *counts = &intake->routes[decision->route];
    uint64_t reason = digest_fast(span_of(decision->reason), 0);
    int64_t minute = intake->steady_ms / 60000;
    for (size_t i = 0; i < INTAKE_COMPLAINTS; i++)
        if (counts->complaints[i].reason == reason && counts->complaints[i].minute == minute)
            return &counts->complaints[i];
    struct complaint *oldest = &counts->complaints[counts->next_complaint++ % INTAKE_COMPLAINTS];
    *oldest = (struct complaint){.reason = reason, .minute = minute};
    return oldest;
}

/* A broken sensor must not fill the store: after some whole dead letters, the rest of the minute is
 * counted on the last of them. Answers 1: counted; 0: to be kept whole; -1: the store failed. */
static int count_on_another(struct intake *intake, const struct route_decision *decision)
{
    struct complaint *complaint = find_complaint(intake, decision);
    bool counted = false;
    if (complaint->kept < KEPT_WHOLE)
        return 0;
    if (store_repeat_delivery(intake->options.session, complaint->seq, &counted) != 0)
        return -1;
    if (counted)
        note_added(intake, decision->route, 0); /* 0: merged */
    return counted ? 1 : 0;
}

struct delivery intake_delivery(const struct intake *intake, const struct route_decision *decision,
                                const struct message *message, const char *lane, const char *topic)
{
    const struct config_route *route = &intake->options.config->routes[decision->route];
    const struct route_counts *counts = &intake->routes[decision->route];
    return (struct delivery){.id = decision->id,
                             .kind = DELIVERY_OUT,
                             .state = counts->first_state,
                             .route = route->name,
                             .target = route->target,
                             .operation = route->operation,
                             .lane = lane,
                             .order_id = counts->makes_order ? decision->id : NULL,
                             .accepted_ms = message->received_ms,
                             .body = decision->body,
                             .topic = topic,
                             .payload = decision->payload,
                             .one_reading = decision->one_reading};
}

static int store_decision(struct intake *intake, const struct route_decision *decision)
{
    const struct message *message = intake->message;
    bool invalid = decision->outcome == OUTCOME_INVALID;
    cleanup_text char *lane = span_dup(decision->lane), *topic = span_dup(message->topic);
    cleanup_text char *user = intake_user_properties(message);
    struct delivery delivery = intake_delivery(intake, decision, message, lane, topic);
    delivery.due_ms = intake->steady_ms;
    delivery.user = user;
    delivery.packet_id = message->packet_id;
    delivery.packet_hash = (int64_t)intake->hash;
    if (invalid) {
        delivery.state = DELIVERY_REJECTED;
        delivery.ended_ms = message->received_ms;
        delivery.error = (struct delivery_error){
            .error_class = "validation",
            .code = "mapping_failed",
            .message = decision->reason,
            .owner_action = "mend the message's source or the route, then `busbar queue edit` or `discard`"};
    }
    int merged = invalid ? count_on_another(intake, decision) : 0;
    if (merged != 0)
        return merged > 0 ? 0 : -1;
    if (store_add_delivery(intake->options.session, &delivery) != 0)
        return -1;
    note_added(intake, decision->route, delivery.state);
    if (invalid) {
        struct complaint *complaint = find_complaint(intake, decision);
        complaint->kept++;
        complaint->seq = delivery.seq;
    }
    return 0;
}

static void count_outcome(struct intake *intake, size_t route, enum outcome outcome)
{
    struct route_counts *counts = &intake->routes[route];
    if (counts->pending_received++ == 0) {
        intake->counted =
            mem_grow(intake->counted, &intake->counted_cap, intake->counted_count + 1, sizeof(intake->counted[0]));
        intake->counted[intake->counted_count++] = route;
    }
    counts->pending[outcome]++;
}

static void decide(void *context, const struct route_decision *decision)
{
    struct intake *intake = context;
    bool delivers = decision->outcome == OUTCOME_ACCEPTED || decision->outcome == OUTCOME_INVALID;
    count_outcome(intake, decision->route, decision->outcome);
    if (intake->failed || (!delivers && !decision->state_changed))
        return;
    const char *route = intake->options.config->routes[decision->route].name;
    watchdog_leave(WATCHDOG_RULES); /* a slow disk is not the message's fault */
    if (!begin_group(intake) ||
        (decision->state_changed &&
         store_put_trigger(intake->options.session, route, decision->key, decision->state) != 0) ||
        (delivers && store_decision(intake, decision) != 0))
        intake->failed = true;
    watchdog_enter(WATCHDOG_RULES);
}

static void count_duplicate(struct intake *intake, const struct message *message)
{
    const uint32_t *routes;
    size_t count = route_set_match(intake->options.routes, message, &routes);
    metric_add(intake->duplicates, 1);
    note_packet(intake, message->packet_id, intake->hash); /* in flight still: among the newest again */
    for (size_t i = 0; i < count; i++)
        count_outcome(intake, routes[i], OUTCOME_DUPLICATE);
}

/* Nothing of it was evaluated: it killed the process twice, or it is larger than the cap. */
static void bury(struct intake *intake, const struct message *message, const char *reason)
{
    const uint32_t *routes;
    size_t count = route_set_match(intake->options.routes, message, &routes);
    for (size_t i = 0; i < count; i++) {
        char id[UUID_TEXT_MAX];
        uuid_v7(message->received_ms, id);
        const struct route_decision decision = {.route = routes[i],
                                                .outcome = OUTCOME_INVALID,
                                                .reason = reason,
                                                .lane = message->topic,
                                                .payload = message->payload,
                                                .id = id};
        decide(intake, &decision);
    }
    log_error("a message became a dead letter unevaluated", "reason", reason, NULL);
}

/* ---- the face */

void intake_message(struct intake *intake, const struct message *message)
{
    pthread_mutex_lock(&intake->rules);
    intake->message = message;
    intake->hash = message_hash(message);
    intake->steady_ms = clock_steady_ms();
    if (is_duplicate(intake, message, intake->hash)) {
        count_duplicate(intake, message);
    } else {
        remember_packet(intake, message, intake->hash);
        store_crumb_set(intake->options.store, CRUMB_INTAKE, intake->hash);
        watchdog_enter(WATCHDOG_RULES);
        if (intake->poison == intake->hash)
            bury(intake, message, "the process died twice while it judged this message");
        else if (message->payload.len > (size_t)intake->options.config->bus.max_payload_bytes)
            bury(intake, message, "the payload is larger than bus.max_payload");
        else if (route_set_evaluate(intake->options.routes, message, intake->steady_ms, decide, intake) == 0)
            metric_add(intake->unrouted, 1);
        watchdog_leave(WATCHDOG_RULES);
        store_crumb_clear(intake->options.store, CRUMB_INTAKE);
    }
    intake->message = NULL;
    pthread_mutex_unlock(&intake->rules);
}

static void take_back(struct intake *intake)
{
    store_rollback(intake->options.session);
    route_set_rollback(intake->options.routes);
    for (size_t i = 0; i < intake->touched_count; i++)
        intake->packets[intake->touched[i]] = (struct packet){0};
    for (size_t i = 0; i < intake->counted_count; i++) {
        struct route_counts *counts = &intake->routes[intake->counted[i]];
        memset(counts->pending, 0, sizeof(counts->pending));
        memset(counts->complaints, 0, sizeof(counts->complaints)); /* their rows are gone */
        counts->pending_received = 0;
    }
}

static void count_group(struct intake *intake)
{
    for (size_t i = 0; i < intake->counted_count; i++) {
        struct route_counts *counts = &intake->routes[intake->counted[i]];
        metric_add(counts->received, counts->pending_received);
        counts->pending_received = 0;
        for (int outcome = OUTCOME_IGNORED; outcome <= OUTCOME_ACCEPTED; outcome++)
            if (counts->pending[outcome] != 0) {
                metric_add(counts->metrics[outcome], counts->pending[outcome]);
                counts->pending[outcome] = 0;
            }
    }
    for (size_t i = 0; i < intake->added_count; i++) {
        const struct config_route *route = &intake->options.config->routes[intake->added[i].route];
        if (intake->added[i].state == 0)
            dispatch_count_merged(route->name, route->target);
        else
            dispatch_count_added(route->name, route->target, intake->added[i].state);
    }
}

int intake_flush(struct intake *intake)
{
    pthread_mutex_lock(&intake->rules);
    int rc = intake->failed ? -1 : 0;
    if (rc == 0 && intake->in_group && (rc = store_packets(intake)) == 0)
        rc = store_commit(intake->options.session);
    bool accepted = rc == 0 && intake->added_count > 0;
    if (rc == 0) {
        route_set_commit(intake->options.routes);
        count_group(intake);
    } else {
        log_error("the store refused messages: the broker keeps them", "reason", store_error(intake->options.session),
                  NULL);
        take_back(intake);
    }
    intake->touched_count = intake->added_count = intake->counted_count = 0;
    intake->in_group = intake->failed = false;
    pthread_mutex_unlock(&intake->rules);
    if (accepted && intake->options.accepted != NULL)
        intake->options.accepted(intake->options.context);
    return rc;
}

void intake_session(struct intake *intake, bool present)
{
    if (present)
        return;
    pthread_mutex_lock(&intake->rules);
    memset(intake->packets, 0, PACKET_IDS * sizeof(intake->packets[0]));
    if (begin_group(intake) && store_forget_packets(intake->options.session) != 0)
        intake->failed = true;
    pthread_mutex_unlock(&intake->rules);
    intake_flush(intake);
}
