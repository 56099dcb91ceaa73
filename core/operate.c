/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of the dispatcher: hold, resume, retry, discard, approve, edit, describe. Each verb
 * is a transaction of its own, so it answers when it is durable. */
#include "clock.h"
#include "dispatch_private.h"
#include "json.h"
#include "loader.h"
#include "log.h"
#include "strays.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static const char store_failed[] = "the store refused it; see the log", by_hand[] = "held by the operator";

/* ---- holds */

static int store_hold(struct store_session *session, const char *target, const char *op, const char *why, int64_t now)
{
    const struct audit audit = {.at_ms = now,
                                .who = "operator",
                                .what = "hold",
                                .target = target,
                                .operation = op,
                                .outcome = "held",
                                .detail = why};
    if (store_begin(session) == 0 && store_put_hold(session, target, op, why, now) == 0 &&
        store_add_audit(session, &audit) == 0 && store_commit(session) == 0)
        return 0;
    store_rollback(session);
    return -1;
}

int dispatch_hold_stopped(const struct config *config, struct store_session *session, const char *target,
                          const char *operation, const char *reason, const char **error)
{
    if (config_target(config, target) == NULL)
        *error = "no such target";
    else if (operation != NULL) /* its plugin is not loaded: nobody knows whether there is one of that name */
        *error = "the daemon is down: only the whole target can be held";
    else if (store_hold(session, target, "", reason != NULL ? reason : by_hand, clock_wall_ms()) != 0)
        *error = "the store refused it";
    else
        return 0;
    return -1;
}

int dispatch_hold(struct dispatch *d, const char *target, const char *operation, const char *reason, const char **error)
{
    struct store_session *session = d->options.session;
    struct slot *slot = dispatch_slot(d, target);
    const char *op = operation != NULL ? operation : "";
    const char *why = reason != NULL ? reason : by_hand;
    struct bb_operation known;
    if (slot == NULL || slot->target == NULL) {
        *error = "no such target";
        return -1;
    }
    if (op[0] != '\0' && !plugin_find_operation(slot->target->plugin, op, &known)) {
        *error = "the target has no such operation";
        return -1;
    }
    int64_t now = clock_wall_ms();
    if (store_hold(session, target, op, why, now) != 0) {
        *error = store_failed;
        return -1;
    }
    slot_set_hold(slot, op, why, now);
    log_warn("target held", "target", target, "operation", op, "reason", why, "who", "operator", NULL);
    return 0;
}

static bool is_held(const struct slot *slot, const char *operation)
{
    for (size_t i = 0; i < slot->hold_count; i++)
        if (operation == NULL || strcmp(slot->holds[i].operation, operation) == 0)
            return true;
    return false;
}

int dispatch_resume(struct dispatch *d, const char *target, const char *operation, const char **error)
{
    struct store_session *session = d->options.session;
    struct slot *slot = dispatch_slot(d, target);
    if (slot == NULL || slot->target == NULL) {
        *error = "no such target";
        return -1;
    }
    if (!is_held(slot, operation)) {
        *error = operation != NULL ? "that operation is not held by itself" : "the target is not held";
        return -1;
    }
    const struct audit audit = {.at_ms = clock_wall_ms(),
                                .who = "operator",
                                .what = "resume",
                                .target = target,
                                .operation = operation,
                                .outcome = "resumed"};
    int rc = store_begin(session);
    /* without an operation: everything of the target, its operations too */
    for (size_t i = 0; rc == 0 && i < slot->hold_count; i++)
        if (operation == NULL || strcmp(slot->holds[i].operation, operation) == 0)
            rc = store_put_hold(session, target, slot->holds[i].operation, NULL, 0);
    if (operation == NULL) /* who looked decides that as much again may go */
        writes_forget(slot->writes);
    if (rc != 0 || writes_store(slot->writes, session, target) != 0 || store_add_audit(session, &audit) != 0 ||
        store_commit(session) != 0) {
        store_rollback(session);
        *error = store_failed;
        return -1;
    }
    writes_stored(slot->writes);
    for (size_t i = slot->hold_count; i-- > 0;)
        if (operation == NULL || strcmp(slot->holds[i].operation, operation) == 0) {
            cleanup_text char *op = mem_strdup(slot->holds[i].operation);
            slot_set_hold(slot, op, NULL, 0);
        }
    slot->pause_until_ms = 0;
    log_info("target resumed", "target", target, NULL);
    return 0;
}

/* ---- one delivery */

struct found {
    bool any, in_flight, uncertain;
    bool unmapped; /* it has no body: the route could not make one */
    int64_t seq, accepted_ms;
    enum delivery_state state;
    enum delivery_kind kind;
    int attempts;
    char *route, *target, *operation, *lane, *order_id;
};

static void note_found(void *context, const struct delivery *delivery)
{
    *(struct found *)context = (struct found){.any = true,
                                              .in_flight = delivery->in_flight,
                                              .uncertain = delivery->uncertain,
                                              .unmapped = delivery->kind == DELIVERY_OUT && delivery->body.len == 0,
                                              .seq = delivery->seq,
                                              .accepted_ms = delivery->accepted_ms,
                                              .state = delivery->state,
                                              .kind = delivery->kind,
                                              .attempts = delivery->attempts,
                                              .route = mem_strdup(delivery->route),
                                              .target = mem_strdup(delivery->target),
                                              .operation = mem_strdup(delivery->operation),
                                              .lane = mem_strdup(delivery->lane),
                                              .order_id = mem_strdup(delivery->order_id)};
}

static void found_finish(struct found *found)
{
    free(found->route);
    free(found->target);
    free(found->operation);
    free(found->lane);
    free(found->order_id);
}
#define cleanup_found __attribute__((cleanup(found_finish)))

static struct line *line_of(const struct dispatch *d, const struct found *found)
{
    struct slot *slot = dispatch_slot(d, found->target);
    if (slot == NULL)
        return NULL;
    return found->kind == DELIVERY_IN ? &slot->in : &slot->out;
}

/* A publish is not marked in flight in the store. */
static bool is_taken(const struct dispatch *d, const struct found *found)
{
    const struct line *line = line_of(d, found);
    return found->in_flight || (line != NULL && queue_has_taken(line->queue, found->seq));
}

static bool find(struct dispatch *d, const char *id, struct found *found, const char **error)
{
    if (store_find_delivery(d->options.session, id, note_found, found) != 0)
        *error = store_failed;
    else if (!found->any)
        *error = "no such delivery";
    else if (is_taken(d, found))
        *error = "it is being sent right now; ask again in a moment";
    else
        return true;
    return false;
}

/* As find, of what is to be sent: to whom? */
static bool find_to_send(struct dispatch *d, const char *id, struct found *found, const char **error)
{
    if (!find(d, id, found, error))
        return false;
    if (dispatch_slot(d, found->target) == NULL)
        *error = "its target is not configured: nothing can be sent until it is";
    return dispatch_slot(d, found->target) != NULL;
}

/* Its place in line: due now. What lies ahead of the window comes with a scan, after what came before it. */
static void stand_in_line(struct dispatch *d, const struct found *found)
{
    struct line *line = line_of(d, found);
    if (line == NULL)
        return;
    const struct delivery_head head = {.seq = found->seq,
                                       .accepted_ms = found->accepted_ms,
                                       .operation = found->operation,
                                       .lane = found->lane,
                                       .route = found->route,
                                       .attempts = delivery_state_is_open(found->state) ? found->attempts : 0,
                                       .kind = found->kind,
                                       .state = DELIVERY_PENDING,
                                       .uncertain = found->uncertain};
    struct queue_entry *waiting = queue_find(line->queue, found->seq);
    if (waiting != NULL)
        queue_hasten(line->queue, waiting, d->now_ms);
    else if (found->seq <= queue_last_seq(line->queue))
        line_add(d, dispatch_slot(d, found->target), line, &head, d->now_ms, false);
    else
        line->rescan = true;
}

/* NULL: its target is gone. */
static const char *mode_of(const struct dispatch *d, const struct found *found)
{
    const struct slot *slot = dispatch_slot(d, found->target);
    bool writes = slot != NULL && slot->target != NULL && found->kind == DELIVERY_OUT && found->operation != NULL;
    return writes ? config_mode_name(config_mode_of(slot->target->config, found->operation)) : NULL;
}

static int change(struct dispatch *d, const struct found *found, enum delivery_state to, const char *what,
                  const struct span *body, const char **error)
{
    struct store_session *session = d->options.session;
    const struct settlement s = {.state = to,
                                 .due_ms = d->now_ms,
                                 .uncertain =
                                     found->uncertain, /* still to be looked up, whoever asks for the next attempt */
                                 .order_id = found->order_id,
                                 .mode = mode_of(d, found),
                                 .who = "operator",
                                 .what = what,
                                 .now_ms = clock_wall_ms()};
    int rc = store_begin(session);
    d->added = 0;
    if (rc == 0)
        rc = body != NULL ? store_edit_delivery(session, found->seq, *body, NULL, &s)
                          : store_settle(session, found->seq, &s);
    if (rc == 0 && to != DELIVERY_DRAFT)
        rc = orders_note_operator(d, found->order_id, to);
    if (rc == 0)
        rc = answer_command(d, found->route, found->seq);
    if (rc == 0)
        rc = store_commit(session);
    if (rc != 0) {
        store_rollback(session);
        *error = store_failed;
        return -1;
    }
    count_moved(found->route, found->target, found->state, to);
    if (dispatch_slot(d, found->target) == NULL && delivery_state_is_open(found->state) && !delivery_state_is_open(to))
        strays_add(d->strays, found->target, -1);
    announce_release(d);
    return 0;
}

/* What is over and was never tried was never approved either: asking for it again does not approve it (FV-08b). */
static bool is_draft_again(const struct dispatch *d, const struct found *found)
{
    const struct slot *slot = dispatch_slot(d, found->target);
    return !delivery_state_is_open(found->state) && found->attempts == 0 && mode_of(d, found) != NULL &&
           config_mode_of(slot->target->config, found->operation) == MODE_DRAFT;
}

int dispatch_retry(struct dispatch *d, const char *id, const char **error)
{
    cleanup_found struct found found = {0};
    if (!find_to_send(d, id, &found, error))
        return -1;
    if (found.state == DELIVERY_DELIVERED || found.state == DELIVERY_DRAFT) {
        *error = found.state == DELIVERY_DRAFT ? "it is a draft: `busbar queue approve` sends it"
                                               : "it is delivered: a retry would double it";
        return -1;
    }
    if (found.unmapped) {
        *error = "it was never mapped, so there is nothing to send: `busbar queue edit` maps its message again";
        return -1;
    }
    bool draft = is_draft_again(d, &found);
    if (change(d, &found, draft ? DELIVERY_DRAFT : DELIVERY_PENDING, "retry", NULL, error) != 0)
        return -1;
    if (!draft)
        stand_in_line(d, &found);
    return 0;
}

int dispatch_discard(struct dispatch *d, const char *id, const char **error)
{
    cleanup_found struct found found = {0};
    if (!find(d, id, &found, error))
        return -1;
    if (found.state == DELIVERY_DELIVERED || found.state == DELIVERY_DISCARDED) {
        *error = "it is over already";
        return -1;
    }
    struct line *line = line_of(d, &found);
    struct queue_entry *waiting = line != NULL ? queue_find(line->queue, found.seq) : NULL;
    if (change(d, &found, DELIVERY_DISCARDED, "discard", NULL, error) != 0)
        return -1;
    if (waiting != NULL)
        queue_drop(line->queue, waiting);
    return 0;
}

int dispatch_approve(struct dispatch *d, const char *id, const char **error)
{
    cleanup_found struct found found = {0};
    if (!find_to_send(d, id, &found, error))
        return -1;
    if (found.state != DELIVERY_DRAFT) {
        *error = "only a draft is approved";
        return -1;
    }
    if (change(d, &found, DELIVERY_PENDING, "approve", NULL, error) != 0)
        return -1;
    stand_in_line(d, &found);
    return 0;
}

int dispatch_edit(struct dispatch *d, const char *id, struct span body, const char **error)
{
    cleanup_found struct found found = {0};
    if (!find_to_send(d, id, &found, error))
        return -1;
    if (found.kind != DELIVERY_OUT || found.state != DELIVERY_REJECTED) {
        *error = "only a dead letter can be edited";
        return -1;
    }
    bool is_null;
    cleanup_json struct json_object *parsed = json_parse(body, &is_null, NULL);
    if (parsed == NULL && !is_null) {
        *error = "the new body is no JSON";
        return -1;
    }
    if (change(d, &found, DELIVERY_PENDING, "edit", &body, error) != 0)
        return -1;
    stand_in_line(d, &found);
    return 0;
}

/* ---- describing */

/* As in force: the site's lines, then the plugin's. */
static struct json_object *describe_tables(const struct target *target)
{
    struct json_object *map = json_object_new_object();
    for (enum word_list list = WORDS_STATUS; list < WORD_LISTS; list++) {
        struct json_object *lines = json_object_new_object();
        for (size_t i = 0; i < target->tables[list].count; i++)
            json_put_text(lines, target->tables[list].lines[i].source, target->tables[list].lines[i].common);
        json_object_object_add(map, lifecycle_list_name(list), lines);
    }
    return map;
}

/* FV-14: what the connector does beside deliveries. */
static void describe_connector(const struct slot *slot, struct json_object *target)
{
    static const char *const names[ERRANDS] = {[ERRAND_AT_START] = "at_start", [ERRAND_POLL] = "poll"};
    for (size_t i = 0; i < ERRANDS; i++) {
        const struct errand *errand = &slot->errands[i];
        struct json_object *shown = NULL;
        if (i == ERRAND_POLL ? errand->every_ms > 0 && slot->target->plugin->poll != NULL : errand->operation != NULL) {
            shown = json_object_new_object();
            if (errand->operation != NULL)
                json_put_text(shown, "operation", errand->operation);
            if (i == ERRAND_POLL)
                json_put_int(shown, "every_ms", errand->every_ms);
            json_put_time(shown, "last_done", errand->done_ms);
            json_put_int(shown, "failures_in_a_row", errand->tries);
            json_put_text(shown, "error", errand->error[0] != '\0' ? errand->error : NULL);
        }
        json_object_object_add(target, names[i], shown);
    }
    bool hooks = slot->target->plugin->hook.event_pointer != NULL;
    cleanup_text char *path = hooks ? mem_printf("/hooks/%s", slot->name) : NULL;
    json_put_text(target, "webhook", path);
}

/* Each operation, and under which mode it writes; null: it only reads. */
static struct json_object *describe_operations(const struct target *target)
{
    struct json_object *operations = json_object_new_array();
    struct bb_operation operation;
    for (size_t i = 0; plugin_operation(target->plugin, i, &operation) != NULL; i++) {
        struct json_object *shown = json_object_new_object();
        bool writes = (operation.flags & BB_WRITES) != 0;
        json_put_text(shown, "name", operation.name);
        json_put_text(shown, "mode", writes ? config_mode_name(config_mode_of(target->config, operation.name)) : NULL);
        json_object_array_add(operations, shown);
    }
    return operations;
}

static void describe_group(void *context, const struct queue_group_state *group)
{
    struct json_object *shown = json_object_new_object();
    json_put_text(shown, "operation", group->operation);
    json_put_int(shown, "max", (int64_t)group->max);
    json_put_int(shown, "wait_ms", group->wait_ms);
    json_put_int(shown, "gathering", (int64_t)group->gathering);
    json_object_array_add(context, shown);
}

static struct json_object *describe_batches(const struct slot *slot)
{
    struct json_object *batches = json_object_new_array();
    queue_each_group(slot->out.queue, describe_group, batches);
    return batches;
}

/* Of a plugin in a cell; else null. */
static struct json_object *describe_process(const struct slot *slot)
{
    if (slot->target->cell == NULL)
        return NULL;
    const struct cell_health health = cell_health(slot->target->cell);
    struct json_object *process = json_object_new_object();
    json_object_object_add(process, "up", json_object_new_boolean(health.up));
    json_put_int(process, "restarts", health.restarts);
    json_put_text(process, "ended", health.ended[0] != '\0' ? health.ended : NULL);
    json_put_time(process, "ended_at", health.ended_ms);
    return process;
}

static struct json_object *describe_slot(const struct dispatch *d, const struct slot *slot)
{
    struct json_object *target = json_object_new_object(), *holds = json_object_new_array();
    json_put_text(target, "name", slot->name);
    json_put_text(target, "plugin", slot->target->plugin->name);
    json_put_text(target, "url", slot->target->url);
    json_put_text(target, "mode", config_mode_name(config_mode_of(slot->target->config, "")));
    json_put_text(target, "state",
                  slot_hold(slot, NULL) != NULL ? "held"
                  : slot->hold_count > 0        ? "partly held"
                  : slot->breaker_open          ? "away"
                                                : "up");
    for (size_t i = 0; i < slot->hold_count; i++) {
        struct json_object *hold = json_object_new_object();
        json_put_text(hold, "operation", slot->holds[i].operation[0] != '\0' ? slot->holds[i].operation : NULL);
        json_put_text(hold, "reason", slot->holds[i].reason);
        json_put_time(hold, "since", slot->holds[i].since_ms);
        json_object_array_add(holds, hold);
    }
    json_object_object_add(target, "holds", holds);
    json_put_text(target, "reason",
                  slot->hold_count > 0            ? slot->holds[0].reason
                  : slot->last_failure[0] != '\0' ? slot->last_failure
                                                  : NULL);
    json_put_int(target, "running", (int64_t)slot->running);
    json_put_int(target, "failures_in_a_row", slot->failures);
    json_put_int(target, "paused_ms", slot->pause_until_ms > d->now_ms ? slot->pause_until_ms - d->now_ms : 0);
    if (slot->writes != NULL) {
        json_put_int(target, "writes", writes_spent(slot->writes, clock_wall_ms()));
        json_put_int(target, "max_writes", slot->target->config->max_writes);
        json_put_int(target, "max_writes_window_ms", slot->target->config->max_writes_window_ms);
    }
    describe_connector(slot, target);
    json_object_object_add(target, "operations", describe_operations(slot->target));
    json_object_object_add(target, "batches", describe_batches(slot));
    json_object_object_add(target, "process", describe_process(slot));
    json_object_object_add(target, "map", describe_tables(slot->target));
    return target;
}

struct json_object *dispatch_describe(const struct dispatch *d)
{
    struct json_object *targets = json_object_new_array();
    for (size_t i = 0; i + 1 < d->slot_count; i++)
        json_object_array_add(targets, describe_slot(d, &d->slots[i]));
    return targets;
}
