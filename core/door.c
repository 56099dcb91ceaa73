/* SPDX-License-Identifier: Apache-2.0 */
#include "door.h"

#include "clock.h"
#include "digest.h"
#include "dispatch.h"
#include "hook.h"
#include "json.h"
#include "log.h"
#include "metrics.h"
#include "target.h"
#include "web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct knock { /* one genuine webhook that waits for the turn's commit */
    struct web_request *request;
    const struct target *target;
    char *event, *dedup_key;
    bool duplicate;
};

struct door_target {
    const struct target *target;
    struct hook_secret *secrets;
    struct hook_rules rules;
};

struct door {
    struct door_options options;
    struct door_target *targets;
    struct knock *waiting;
    size_t waiting_count, waiting_cap;
};

static void count(const char *target, const char *outcome)
{
    metric_add(metric_get(metric_family(METRIC_COUNTER, "busbar_webhooks_total",
                                        "Webhook requests, by target and what became of them.", "target,outcome"),
                          target, outcome),
               1);
}

struct door *door_create(const struct door_options *options)
{
    struct door *door = mem_alloc(sizeof(*door));
    door->options = *options;
    door->targets = mem_alloc(options->target_count * sizeof(door->targets[0]));
    for (size_t i = 0; i < options->target_count; i++) {
        const struct target *target = options->targets[i];
        const struct config_target *config = target->config;
        struct door_target *t = &door->targets[i];
        t->target = target;
        t->secrets = mem_alloc(config->webhook_secret_count * sizeof(t->secrets[0]));
        for (size_t k = 0; k < config->webhook_secret_count; k++)
            t->secrets[k] = (struct hook_secret){config->webhook_secrets[k].event, config->webhook_secrets[k].secret};
        const struct hook_profile profile = hook_profile_of(&config->signature, &target->plugin->hook.signature);
        t->rules = (struct hook_rules){.hook = &target->plugin->hook,
                                       .profile = profile,
                                       .event_in_header = config->webhook_event_header != NULL,
                                       .secrets = t->secrets,
                                       .secret_count = config->webhook_secret_count,
                                       .allow_unsigned = config->allow_unsigned,
                                       .tolerance_ms = config->webhook_tolerance_ms >= 0 ? config->webhook_tolerance_ms
                                                                                         : profile.tolerance_ms};
    }
    return door;
}

void door_destroy(struct door *door)
{
    if (door == NULL)
        return;
    door_go(door, false);
    for (size_t i = 0; i < door->options.target_count; i++)
        free(door->targets[i].secrets);
    free(door->targets);
    free(door->waiting);
    free(door);
}

static void answer(struct web_request *request, int status, const char *reason)
{
    cleanup_buf struct buf body = {0};
    /* what is refused may have been cut wrongly out of its connection: nothing that follows it there is believed */
    static const struct web_header refused[] = {{"Connection", "close"}, {NULL, NULL}};
    static const struct web_header allow[] = {{"Connection", "close"}, {"Allow", "POST"}, {NULL, NULL}};
    static const struct web_header later[] = {{"Connection", "close"}, {"Retry-After", "10"}, {NULL, NULL}};
    if (status == 200)
        buf_puts(&body, "{}");
    else {
        buf_puts(&body, "{\"error\":");
        buf_put_json(&body, span_of(reason));
        buf_putc(&body, '}');
    }
    const struct web_reply reply = {.status = status,
                                    .body = buf_span(&body),
                                    .headers = status == 405   ? allow
                                               : status == 503 ? later
                                               : status == 200 ? NULL
                                                               : refused};
    web_reply(request, &reply);
}

static struct door_target *find_target(struct door *door, const char *path)
{
    static const char folder[] = "/hooks/";
    if (strncmp(path, folder, sizeof(folder) - 1) != 0)
        return NULL;
    for (size_t i = 0; i < door->options.target_count; i++)
        if (strcmp(door->targets[i].target->name, path + sizeof(folder) - 1) == 0)
            return door->targets[i].target->plugin->hook.event_pointer != NULL ? &door->targets[i] : NULL;
    return NULL;
}

static struct hook_header find_header(const struct web_request *request, const char *name)
{
    if (name == NULL)
        return (struct hook_header){0};
    return (struct hook_header){web_header_value(request, name), web_header_count(request, name)};
}

void door_handle(void *context, struct web_request *request)
{
    struct door *door = context;
    struct door_target *t = find_target(door, web_path(request));
    if (t == NULL) {
        count("", "404");
        answer(request, 404, "no such webhook: POST /hooks/<target>");
        return;
    }
    if (strcmp(web_method(request), "POST") != 0) {
        count(t->target->name, "405");
        answer(request, 405, "POST only");
        return;
    }
    const struct hook_profile *profile = &t->rules.profile;
    const struct hook_request asked = {.body = web_body(request),
                                       .signature = find_header(request, profile->header),
                                       .time = find_header(request, profile->time_header),
                                       .id = find_header(request, profile->id_header),
                                       .event = find_header(request, t->target->config->webhook_event_header),
                                       .now_ms = clock_wall_ms()};
    struct hook_result result = {0};
    hook_verify(&t->rules, &asked, &result);
    if (result.status != 200) {
        count(t->target->name, result.outcome);
        cleanup_text char *why =
            result.detail != NULL ? mem_printf("%s: %s", result.reason, result.detail) : mem_strdup(result.reason);
        answer(request, result.status, why);
    } else if (!store_has_room(door->options.store)) {
        count(t->target->name, "store_full");
        answer(request, 503, "the store is full");
    } else {
        door->waiting = mem_grow(door->waiting, &door->waiting_cap, door->waiting_count + 1, sizeof(door->waiting[0]));
        door->waiting[door->waiting_count++] =
            (struct knock){request, t->target, result.event, result.dedup_key, false};
        result.event = result.dedup_key = NULL;
    }
    hook_result_finish(&result);
}

void door_refused(void *context, int status)
{
    char text[16];
    (void)context;
    snprintf(text, sizeof(text), "%d", status);
    count("", text);
}

bool door_has_work(const struct door *door)
{
    return door->waiting_count > 0;
}

static int store_knock(struct door *door, struct knock *knock, int64_t now_ms, int64_t wall_ms)
{
    char id[UUID_TEXT_MAX];
    cleanup_text char *space = mem_printf("hook:%s", knock->target->name);
    bool seen = false;
    if (store_remember(door->options.session, space, span_of(knock->dedup_key), wall_ms, &seen) != 0)
        return -1;
    knock->duplicate = seen;
    if (seen)
        return 0;
    uuid_v7(wall_ms, id);
    struct delivery delivery = {.id = id,
                                .kind = DELIVERY_IN,
                                .state = DELIVERY_PENDING,
                                .target = knock->target->name,
                                .operation = "webhook",
                                .lane = id, /* decoding is at once and in turn: no lane could wait for another */
                                .accepted_ms = wall_ms,
                                .due_ms = now_ms,
                                .body = web_body(knock->request),
                                .topic = knock->event};
    return store_add_delivery(door->options.session, &delivery);
}

int door_store(struct door *door, int64_t now_ms, int64_t wall_ms)
{
    for (size_t i = 0; i < door->waiting_count; i++)
        if (store_knock(door, &door->waiting[i], now_ms, wall_ms) != 0)
            return -1;
    return 0;
}

void door_go(struct door *door, bool stored)
{
    for (size_t i = 0; i < door->waiting_count; i++) {
        struct knock *knock = &door->waiting[i];
        const char *name = knock->target->name;
        if (stored) {
            count(name, knock->duplicate ? "duplicate" : "accepted");
            if (!knock->duplicate)
                dispatch_count_added(NULL, name, DELIVERY_PENDING);
        } else {
            count(name, "not_stored");
        }
        answer(knock->request, stored ? 200 : 503, "it could not be stored; send it again");
        free(knock->event);
        free(knock->dedup_key);
    }
    if (stored && door->waiting_count > 0)
        dispatch_notice(door->options.dispatch);
    door->waiting_count = 0;
}
