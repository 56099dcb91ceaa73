/* SPDX-License-Identifier: Apache-2.0 */
/* One decision of the rules: counted, stored as a delivery or a dead letter, told in the audit; and what the rules ask
 * of the store. Under the rules' mutex, in the open group. */
#include "intake_private.h"

#include "digest.h"
#include "log.h"
#include "metrics.h"
#include "route.h"
#include "watchdog.h"

#include <string.h>

#define KEPT_WHOLE 10 /* dead letters of one reason and minute */

/* ---- storing */

bool intake_begin_group(struct intake *intake)
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

void intake_note_added(struct intake *intake, size_t route, enum delivery_state state)
{
    intake->added = mem_grow(intake->added, &intake->added_cap, intake->added_count + 1, sizeof(intake->added[0]));
    intake->added[intake->added_count++] = (struct added){.route = route, .state = state};
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
        intake_note_added(intake, decision->route, 0); /* 0: merged */
    return counted ? 1 : 0;
}

struct delivery intake_delivery(const struct intake *intake, const struct route_decision *decision,
                                const struct message *message, const char *lane, const char *topic)
{
    const struct config_route *route = &intake->options.config->routes[decision->route];
    const struct route_counts *counts = &intake->routes[decision->route];
    const struct config_target *target = config_target(intake->options.config, route->target);
    const char *other = decision->operation; /* on an order that is there */
    bool draft = other != NULL && target != NULL && config_mode_of(target, other) == MODE_DRAFT;
    return (struct delivery){.id = decision->id,
                             .kind = DELIVERY_OUT,
                             .state = other == NULL ? counts->first_state
                                      : draft       ? DELIVERY_DRAFT
                                                    : DELIVERY_PENDING,
                             .route = route->name,
                             .target = route->target,
                             .operation = other != NULL ? other : route->operation,
                             .lane = lane,
                             .order_id = counts->makes_order && other == NULL ? decision->id : NULL,
                             .accepted_ms = message->received_ms,
                             .body = decision->body,
                             .topic = topic,
                             .payload = decision->payload,
                             .one_reading = decision->one_reading};
}

const char *intake_mode(const struct intake *intake, const struct delivery *delivery)
{
    const struct config_target *target = config_target(intake->options.config, delivery->target);
    return target != NULL ? config_mode_name(config_mode_of(target, delivery->operation)) : NULL;
}

/* A draft is a decision of busbar's that a person will answer for, and a message that could not be mapped is a write
 * that was refused: both are in the audit, with the delivery or not at all (FV-09b). What goes on its way has its rows
 * when it ends. */
static int audit_acceptance(struct intake *intake, const struct delivery *delivery)
{
    bool draft = delivery->state == DELIVERY_DRAFT;
    if (!draft && delivery->state != DELIVERY_REJECTED)
        return 0;
    const struct audit audit = {.at_ms = delivery->accepted_ms,
                                .who = "busbar",
                                .what = draft ? "draft" : "map",
                                .delivery_id = delivery->id,
                                .route = delivery->route,
                                .target = delivery->target,
                                .operation = delivery->operation,
                                .mode = intake_mode(intake, delivery),
                                .outcome = delivery_state_name(delivery->state),
                                .detail = delivery->error.message,
                                .error_class = delivery->error.error_class,
                                .code = delivery->error.code,
                                .owner_action = delivery->error.owner_action};
    return store_add_audit(intake->options.session, &audit);
}

static int store_decision(struct intake *intake, const struct route_decision *decision)
{
    const struct message *message = decision->message;
    bool invalid = decision->outcome == OUTCOME_INVALID;
    cleanup_text char *lane = span_dup(decision->lane), *topic = span_dup(message->topic);
    cleanup_text char *user = intake_user_properties(message);
    struct delivery delivery = intake_delivery(intake, decision, message, lane, topic);
    delivery.due_ms = intake->steady_ms;
    delivery.user = user;
    delivery.packet_id = message->packet_id;
    delivery.packet_hash = decision->timed ? 0 : (int64_t)intake->hash;
    if (invalid) {
        delivery.state = DELIVERY_REJECTED;
        delivery.ended_ms = message->received_ms;
        delivery.error = (struct delivery_error){
            .error_class = "validation",
            .code = "mapping_failed",
            .message = decision->reason,
            .owner_action = "mend the message's source or the route, then `busbar queue edit` or `discard`"};
        if (decision->identity)
            delivery.error = (struct delivery_error){
                .error_class = "identity",
                .code = "unknown_asset",
                .message = decision->reason,
                .owner_action = "add the asset to the asset map, reload, then `busbar queue edit`"};
    }
    int merged = invalid ? count_on_another(intake, decision) : 0;
    if (merged != 0)
        return merged > 0 ? 0 : -1;
    if (store_add_delivery(intake->options.session, &delivery) != 0)
        return -1;
    if (audit_acceptance(intake, &delivery) != 0)
        return -1;
    intake_note_added(intake, decision->route, delivery.state);
    if (decision->identity && intake_announce_exception(intake, &delivery) != 0)
        return -1;
    if (invalid) {
        struct complaint *complaint = find_complaint(intake, decision);
        complaint->kept++;
        complaint->seq = delivery.seq;
    }
    return 0;
}

int intake_add_command(struct intake *intake, struct delivery *delivery)
{
    bool invalid = delivery->state == DELIVERY_REJECTED;
    const struct route_decision decision = {.route = intake->options.config->route_count,
                                            .reason = delivery->error.message};
    int merged = invalid ? count_on_another(intake, &decision) : 0;
    if (merged != 0)
        return merged > 0 ? 0 : -1;
    if (store_add_delivery(intake->options.session, delivery) != 0 || audit_acceptance(intake, delivery) != 0)
        return -1;
    intake_note_added(intake, decision.route, delivery->state);
    intake->added[intake->added_count - 1].target = delivery->target;
    if (invalid) {
        struct complaint *complaint = find_complaint(intake, &decision);
        complaint->kept++;
        complaint->seq = delivery->seq;
    }
    return 0;
}

/* ---- counting and telling */

static struct route_counts *touch_counts(struct intake *intake, size_t route)
{
    struct route_counts *counts = &intake->routes[route];
    if (!counts->touched) {
        counts->touched = true;
        intake->counted =
            mem_grow(intake->counted, &intake->counted_cap, intake->counted_count + 1, sizeof(intake->counted[0]));
        intake->counted[intake->counted_count++] = route;
    }
    return counts;
}

void intake_count_outcome(struct intake *intake, size_t route, enum outcome outcome)
{
    struct route_counts *counts = touch_counts(intake, route);
    counts->pending_received++;
    counts->pending[outcome]++;
}

struct reason_count *intake_reason(struct intake *intake, size_t route, const char *reason)
{
    static const char help[] = "Decisions of the rules, by route and reason: why they fired, and why not.";
    struct route_counts *counts = &intake->routes[route];
    for (size_t i = 0; i < counts->reason_count; i++) /* a handful a route */
        if (counts->reasons[i].reason == reason || strcmp(counts->reasons[i].reason, reason) == 0)
            return &counts->reasons[i];
    struct metric_family *family = metric_family(METRIC_COUNTER, "busbar_decisions_total", help, "route,reason");
    counts->reasons =
        mem_grow(counts->reasons, &counts->reason_cap, counts->reason_count + 1, sizeof(counts->reasons[0]));
    struct reason_count *count = &counts->reasons[counts->reason_count++];
    *count = (struct reason_count){reason, metric_get(family, intake->options.config->routes[route].name, reason), 0};
    return count;
}

/* What time alone decided is no message: it has a count of its own. */
static void count_decision(struct intake *intake, const struct route_decision *decision)
{
    bool invalid = decision->outcome == OUTCOME_INVALID;
    touch_counts(intake, decision->route);
    intake_reason(intake, decision->route, invalid ? "mapping_failed" : decision->reason)->pending++;
    if (!decision->timed)
        intake_count_outcome(intake, decision->route, decision->outcome);
    else if (decision->outcome != OUTCOME_IGNORED)
        touch_counts(intake, decision->route)->pending_timed[decision->outcome]++;
}

/* A gate closed before a crossing, or it fired: one row of the audit each. What is only tripped is counted. */
static bool is_worth_a_row(const struct route_decision *decision)
{
    bool fired = (decision->key.len > 0 || decision->timed) &&
                 (decision->outcome == OUTCOME_ACCEPTED || decision->outcome == OUTCOME_INVALID);
    return fired || (decision->key.len > 0 && (decision->outcome == OUTCOME_SUPPRESSED && decision->state_changed &&
                                               strcmp(decision->reason, "tripped") != 0));
}

/* Why: value, key, topic, and what was suppressed since the last firing (MW-P28). */
static int audit_decision(struct intake *intake, const struct route_decision *decision)
{
    const struct config_route *route = &intake->options.config->routes[decision->route];
    cleanup_buf struct buf detail = {0};
    if (!is_worth_a_row(decision))
        return 0;
    if (decision->key.len > 0)
        buf_printf(&detail, "key %.*s", (int)decision->key.len, decision->key.data);
    else
        buf_puts(&detail, "a storm");
    if (decision->value.len > 0 && decision->value.len <= 64)
        buf_printf(&detail, ", value %.*s", (int)decision->value.len, decision->value.data);
    buf_printf(&detail, ", topic %.*s", (int)decision->message->topic.len, decision->message->topic.data);
    if (decision->timed)
        buf_puts(&detail, ", by time");
    if (decision->suppressed > 0)
        buf_printf(&detail, ", %lld suppressed before", (long long)decision->suppressed);
    const struct audit audit = {.at_ms = decision->timed ? intake->wall_ms : decision->message->received_ms,
                                .who = "rules",
                                .what = decision->outcome == OUTCOME_SUPPRESSED ? "suppress" : "fire",
                                .delivery_id = decision->outcome == OUTCOME_SUPPRESSED ? NULL : decision->id,
                                .route = route->name,
                                .target = route->target,
                                .operation = route->operation,
                                .outcome = decision->outcome == OUTCOME_INVALID ? "mapping_failed" : decision->reason,
                                .detail = detail.data};
    return store_add_audit(intake->options.session, &audit);
}

void intake_decide(void *context, const struct route_decision *decision)
{
    struct intake *intake = context;
    bool delivers = decision->outcome == OUTCOME_ACCEPTED || decision->outcome == OUTCOME_INVALID;
    count_decision(intake, decision);
    if (decision->alarm) {
        intake->over_budget = intake->routes[decision->route].over_budget = true;
        log_warn("over budget: what the rule fires is suppressed", "route",
                 intake->options.config->routes[decision->route].name, "reason", decision->reason, NULL);
    }
    if (intake->failed || (!delivers && !is_worth_a_row(decision)))
        return;
    watchdog_leave(WATCHDOG_RULES); /* a slow disk is not the message's fault */
    if (!intake_begin_group(intake) || (delivers && store_decision(intake, decision) != 0) ||
        audit_decision(intake, decision) != 0)
        intake->failed = true;
    watchdog_enter(WATCHDOG_RULES);
}

/* ---- until: closed */

struct latch {
    bool delivered; /* there is a delivery of that id */
    bool known, open;
};

static void look_at_order(void *context, const struct work_order *order)
{
    static const char *const over[] = {"completed", "closed", "canceled"};
    struct latch *latch = context;
    latch->known = latch->open = order->common_status != NULL;
    for (size_t i = 0; i < sizeof(over) / sizeof(over[0]) && latch->open; i++)
        latch->open = strcmp(order->common_status, over[i]) != 0;
}

static void look_at_delivery(void *context, const struct delivery *delivery)
{
    struct latch *latch = context;
    bool lost = delivery->state == DELIVERY_REJECTED || delivery->state == DELIVERY_EXPIRED ||
                delivery->state == DELIVERY_DISCARDED;
    latch->delivered = true;
    latch->known = lost; /* no order came of it */
    latch->open = !lost;
}

/* What the delivery became: refused for good, else its order's record, else it is still on its way. Neither is there of
 * a dead letter that was only counted. */
bool intake_order_is_open(void *context, const char *id)
{
    struct intake *intake = context;
    struct latch latch = {.open = true};
    watchdog_leave(WATCHDOG_RULES);
    if (store_find_delivery(intake->options.session, id, look_at_delivery, &latch) != 0 ||
        (!latch.known && store_find_order(intake->options.session, id, look_at_order, &latch) != 0))
        intake->failed = true; /* not known: nothing of this group happens */
    watchdog_enter(WATCHDOG_RULES);
    return latch.open && (latch.delivered || latch.known);
}
