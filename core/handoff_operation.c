/* SPDX-License-Identifier: Apache-2.0 */
#include "handoff_private.h"

#include "hook.h"
#include "lifecycle.h"
#include "loader.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

/* ---- status, priority and SLA mapping ------------------------------------------------*/

static bool is_the_sites(const struct config_target *target, enum word_list list, const char *source)
{
    for (size_t i = 0; i < target->maps[list].count; i++)
        if (strcmp(target->maps[list].lines[i].source, source) == 0)
            return true;
    return false;
}

static struct json_object *describe_table(const struct target *target, enum word_list list)
{
    const struct mapping_table *table = &target->tables[list];
    struct json_object *lines = json_object_new_array();
    for (size_t i = 0; i < table->count; i++) {
        struct json_object *line = json_object_new_object();
        json_put_text(line, "source", table->lines[i].source);
        json_put_text(line, "common", table->lines[i].common);
        json_put_text(line, "from", is_the_sites(target->config, list, table->lines[i].source) ? "map:" : "plugin");
        json_object_array_add(lines, line);
    }
    return lines;
}

struct json_object *handoff_mapping(const struct app *app)
{
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->target_count; i++) {
        struct json_object *item = json_object_new_object();
        json_put_text(item, "target", app->targets[i]->name);
        for (enum word_list list = 0; list < WORD_LISTS; list++)
            json_object_object_add(item, lifecycle_list_name(list), describe_table(app->targets[i], list));
        json_object_array_add(items, item);
    }
    return items;
}

struct json_object *handoff_transitions(void)
{
    struct json_object *items = json_object_new_array();
    size_t count = 0;
    const char *const *words = lifecycle_words(WORDS_STATUS, &count);
    for (size_t i = 0; i < count; i++) {
        struct json_object *item = json_object_new_object();
        cleanup_buf struct buf next = {0};
        lifecycle_print_next(words[i], &next);
        json_put_text(item, "status", words[i]);
        json_put_text(item, "next", next.data);
        json_object_array_add(items, item);
    }
    return items;
}

/* ---- webhooks and synchronisation --------------------------------------------------------*/

static struct json_object *describe_signature(const struct target *target)
{
    const struct config_target *config = target->config;
    const struct hook_profile profile = hook_profile_of(&config->signature, &target->plugin->hook.signature);
    if (profile.proof == HOOK_UNSIGNED)
        return NULL;
    struct json_object *item = json_object_new_object();
    cleanup_buf struct buf value = {0};
    const char *algorithm;
    hook_profile_describe(&profile, &value, &algorithm);
    json_put_text(item, "header", profile.header);
    json_put_text(item, "value", value.data);
    json_put_text(item, "algorithm", algorithm);
    json_put_text(item, "signed", profile.signed_string != NULL ? profile.signed_string : "nothing");
    put_duration(item, "tolerance",
                 config->webhook_tolerance_ms >= 0 ? config->webhook_tolerance_ms : profile.tolerance_ms);
    return item;
}

static const char *accepts(const struct config_target *config)
{
    return config->webhook_secret_count > 0 ? "signed ones"
           : config->allow_unsigned         ? "unsigned ones too (allow_unsigned)"
                                            : "none: the target has no webhook_secret";
}

static struct json_object *describe_webhook(const struct app *app, const struct target *target)
{
    const struct bb_hook *hook = &target->plugin->hook;
    const struct config_http *http = &app->config->http;
    if (hook->event_pointer == NULL)
        return NULL;
    struct json_object *item = json_object_new_object(), *dedup = json_object_new_array();
    cleanup_text char *path = mem_printf("/hooks/%s", target->name);
    json_put_text(item, "path", path);
    json_put_text(item, "listener", http->webhooks);
    json_put_text(item, "scheme", http->tls.cert != NULL ? "https" : "http");
    json_put_text(item, "accepts", http->webhooks != NULL ? accepts(target->config) : "none: http.webhooks is not set");
    json_put_text(item, "event", hook->event_pointer);
    for (size_t i = 0; hook->dedup_pointers != NULL && hook->dedup_pointers[i] != NULL; i++)
        put_list(dedup, hook->dedup_pointers[i]);
    json_object_object_add(item, "dedup", dedup);
    json_object_object_add(item, "signature", describe_signature(target));
    return item;
}

struct json_object *handoff_inbound(const struct app *app)
{
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->target_count; i++) {
        const struct target *target = app->targets[i];
        const struct config_target *config = target->config;
        struct json_object *item = json_object_new_object();
        json_put_text(item, "target", target->name);
        json_object_object_add(item, "webhook", describe_webhook(app, target));
        if (target->plugin->poll != NULL)
            put_duration(item, "poll", config->poll_ms >= 0 ? config->poll_ms : target->plugin->poll_ms);
        else
            json_object_object_add(item, "poll", NULL);
        put_duration(item, "freshness", config->freshness_ms);
        cleanup_text char *events = mem_printf("%s/events/%s/#", app->config->bus.prefix, target->name);
        cleanup_text char *orders = mem_printf("%s/orders/%s/+", app->config->bus.prefix, target->name);
        json_put_text(item, "events", events);
        json_put_text(item, "orders", orders);
        json_object_array_add(items, item);
    }
    return items;
}

/* ---- errors: the classifier itself is asked, so that this cannot differ from what happens ------------*/

static const char *action_of(enum bb_next next, const struct bb_out *out)
{
    switch (next) {
    case BB_RETRY:
        return "again after the backoff or Retry-After; after failures in a row one probe at a time";
    case BB_REJECT:
        return "a dead letter with its reason, and the event sync.failed; the next in its lane goes on";
    case BB_HOLD:
        return out->hold_operation
                   ? "this operation is held with all its data, and an alert; until `busbar targets resume`"
                   : "the target is held with all its data, and an alert; until `busbar targets resume`";
    case BB_SEND:
    case BB_DONE:
        break;
    }
    return "done";
}

static void add_class(struct json_object *items, enum bb_next next, const struct bb_out *out, const char *status)
{
    const char *name = host_class_name(out->error.error_class), *action = action_of(next, out);
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *item = json_object_array_get_idx(items, i);
        if (strcmp(json_get_text(item, "class"), name) != 0 || strcmp(json_get_text(item, "busbar"), action) != 0)
            continue;
        put_list(json_get(item, "answers"), status);
        return;
    }
    struct json_object *item = json_object_new_object(), *answers = json_object_new_array();
    json_put_text(item, "class", name);
    put_list(answers, status);
    json_object_object_add(item, "answers", answers);
    json_put_text(item, "busbar", action);
    json_put_text(item, "owner_action", host_owner_action(out->error.error_class));
    json_object_array_add(items, item);
}

static struct json_object *describe_classes(void)
{
    static const int statuses[] = {401, 403, 301, 400, 411, 413, 415, 422, 404, 410, 409,
                                   412, 428, 408, 425, 429, 500, 502, 503, 504, 0};
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        const struct bb_response response = {.size = sizeof(response), .status = statuses[i]};
        struct bb_out out = {.size = sizeof(out)};
        struct bb_job job;
        char text[16] = "no answer";
        if (statuses[i] > 0)
            snprintf(text, sizeof(text), "%d", statuses[i]);
        job_init(&job, "", "", 0, 0);
        enum bb_next next = host_judge(&job, statuses[i] > 0 ? &response : NULL, &out);
        add_class(items, next, &out, text);
        job_finish(&job);
    }
    return items;
}

static struct json_object *describe_retries(const struct app *app)
{
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->config->target_count; i++) {
        const struct config_target *target = &app->config->targets[i];
        struct json_object *item = json_object_new_object();
        json_put_text(item, "target", target->name);
        put_duration(item, "first", target->retry.first_ms);
        put_duration(item, "max", target->retry.max_ms);
        json_put_int(item, "attempts", target->retry.attempts);
        put_duration(item, "max_age", target->retry.max_age_ms);
        put_duration(item, "connect_timeout", target->connect_timeout_ms);
        put_duration(item, "timeout", target->timeout_ms);
        json_put_int(item, "concurrency", target->concurrency);
        cleanup_text char *rate = target->rate_per_s > 0 ? mem_printf("%g/s", target->rate_per_s) : NULL;
        json_put_text(item, "rate", rate);
        json_object_array_add(items, item);
    }
    return items;
}

/* What follows when a request was sent and its answer was lost. */
static const char *lost_answer(const struct config_route *route, const struct config_target *target, unsigned flags)
{
    enum config_on_uncertain said =
        route->on_uncertain != UNCERTAIN_DEFAULT ? route->on_uncertain : target->on_uncertain;
    if ((flags & BB_WRITES) == 0 || (flags & BB_IDEMPOTENT) != 0)
        return "sent again: twice is as good as once";
    if ((flags & BB_CAN_LOOKUP) != 0)
        return "looked up by its marker before it is sent again";
    if (said == UNCERTAIN_PARK || (said == UNCERTAIN_DEFAULT && (flags & BB_PARK) != 0))
        return "parked as a dead letter (uncertain_outcome): a person decides";
    return "sent again: it may then be there twice, with the same mark";
}

static struct json_object *describe_uncertain(const struct app *app)
{
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->config->route_count; i++) {
        const struct config_route *route = &app->config->routes[i];
        const struct target *target = app_target(app, route->target);
        struct json_object *item = json_object_new_object();
        struct bb_operation operation = {0};
        plugin_find_operation(target->plugin, route->operation, &operation);
        json_put_text(item, "route", route->name);
        json_put_text(item, "lost_answer", lost_answer(route, target->config, operation.flags));
        put_bool(item, "unverified", (operation.flags & BB_UNVERIFIED) != 0);
        json_object_array_add(items, item);
    }
    return items;
}

struct json_object *handoff_errors(const struct app *app)
{
    struct json_object *errors = json_object_new_object();
    json_object_object_add(errors, "classes", describe_classes());
    json_object_object_add(errors, "retry", describe_retries(app));
    json_object_object_add(errors, "routes", describe_uncertain(app));
    return errors;
}
