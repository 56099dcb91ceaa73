/* SPDX-License-Identifier: Apache-2.0 */
#include "app.h"

#include "config.h"
#include "confine.h"
#include "loader.h"
#include "log.h"
#include "number.h"
#include "route.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct target *app_target(const struct app *app, const char *name)
{
    for (size_t i = 0; i < app->target_count; i++)
        if (strcmp(app->targets[i]->name, name) == 0)
            return app->targets[i];
    return NULL;
}

static void open_targets(struct app *app)
{
    app->targets = mem_alloc(app->config->target_count * sizeof(app->targets[0]) + 1);
    for (size_t i = 0; i < app->config->target_count; i++) {
        const struct config_target *config = &app->config->targets[i];
        cleanup_text char *error = NULL;
        if (config->plugin == NULL)
            continue;
        const struct loaded_plugin *plugin = loader_load(config->plugin, &error);
        if (plugin == NULL) {
            problems_add(&app->problems, config->plugin_mark, "%s", error);
            continue;
        }
        struct target *target = target_create(config, plugin, &app->problems);
        if (target != NULL)
            app->targets[app->target_count++] = target;
    }
}

static void check_operation(struct app *app, const struct config_route *route, const struct target *target,
                            struct bb_operation *operation)
{
    const char *names[64];
    size_t count = 0;
    struct bb_operation each;
    if (plugin_find_operation(target->plugin, route->operation, operation))
        return;
    for (size_t i = 0; count < 64 && plugin_operation(target->plugin, i, &each) != NULL; i++)
        names[count++] = each.name;
    const char *nearest = problems_nearest(span_of(route->operation), names, count);
    if (nearest != NULL)
        problems_add(&app->problems, route->to_mark, "target '%s' has no operation '%s', did you mean '%s'?",
                     target->name, route->operation, nearest);
    else
        problems_add(&app->problems, route->to_mark, "target '%s' has no operation '%s': see `busbar plugins show %s`",
                     target->name, route->operation, target->plugin->name);
    operation->name = NULL;
}

/* What the plugin thinks prudent where the route says nothing: a plan that is triggered without end. */
static void default_cooldowns(struct app *app)
{
    for (size_t i = 0; i < app->config->route_count; i++) {
        struct config_route *route = &app->config->routes[i];
        const struct target *target = route->target != NULL ? app_target(app, route->target) : NULL;
        struct bb_operation operation;
        if (target != NULL && route->operation != NULL && route->trigger.given && route->trigger.cooldown_ms < 0 &&
            plugin_find_operation(target->plugin, route->operation, &operation))
            route->trigger.cooldown_ms = operation.default_cooldown_ms;
    }
}

/* Two rules, one plan, one budget (MW-P22): what the plugin thinks prudent for one plan. */
static void share_budgets(struct app *app)
{
    for (size_t i = 0; i < app->config->route_count && app->routes != NULL; i++) {
        const struct config_route *route = &app->config->routes[i];
        const struct target *target = route->target != NULL ? app_target(app, route->target) : NULL;
        struct bb_operation operation;
        int64_t count, window_ms;
        if (target == NULL || route->operation == NULL || !route->trigger.given ||
            !plugin_find_operation(target->plugin, route->operation, &operation) || operation.budget_pointer == NULL ||
            operation.default_budget == NULL ||
            !number_parse_budget(span_of(operation.default_budget), &count, &window_ms))
            continue;
        cleanup_text char *name = mem_printf("%s.%s", route->target, route->operation);
        route_set_share_budget(app->routes, i, name, operation.budget_pointer, count, window_ms);
    }
}

/* Lets the plugin look at the constant parts of a route's body. */
static void check_body(struct app *app, size_t i, const struct target *target)
{
    const struct config_route *route = &app->config->routes[i];
    if (target->plugin->check == NULL || app->routes == NULL)
        return;
    cleanup_text char *outline = route_set_outline(app->routes, i);
    if (outline == NULL)
        return;
    struct bb_job job;
    target_init_job(target, &job, 0, 0);
    const char *wrong = target_check(target, &job, route->operation, (struct bb_str){outline, strlen(outline)});
    if (wrong != NULL)
        problems_add(&app->problems, route->body != NULL ? route->body->mark : route->mark, "%s", wrong);
    job_finish(&job);
}

static void check_batch(struct app *app, const struct config_route *route, const struct bb_operation *operation)
{
    if (route->batch.mark.line == 0)
        return;
    if (operation->max_batch <= 1)
        problems_add(&app->problems, route->batch.mark, "%s takes no batches: one message is one request",
                     operation->name);
    else if (route->batch.max > (int64_t)operation->max_batch)
        problems_add(&app->problems, route->batch.max_mark, "%s takes %u in one request at most, not %lld",
                     operation->name, operation->max_batch, (long long)route->batch.max);
}

/* What is added to an open order is asked of the same target. */
static void check_while_open(struct app *app, const struct config_route *route, const struct target *target)
{
    const struct yaml_node *to = yaml_get(route->trigger.while_open, "to");
    struct bb_operation operation;
    if (to == NULL || to->kind != YAML_SCALAR)
        return;
    cleanup_text char *name = span_dup(to->text);
    if (!plugin_find_operation(target->plugin, name, &operation) || operation.order_pointer == NULL ||
        strcmp(operation.order_pointer, "/work_order") != 0)
        problems_add(&app->problems, to->mark,
                     "target '%s' has no operation '%s' on an existing work order: see `busbar plugins show %s`",
                     target->name, name, target->plugin->name);
}

static void check_routes(struct app *app)
{
    for (size_t i = 0; i < app->config->route_count; i++) {
        const struct config_route *route = &app->config->routes[i];
        const struct target *target = route->target != NULL ? app_target(app, route->target) : NULL;
        struct bb_operation operation;
        if (target == NULL || route->operation == NULL)
            continue; /* said already */
        check_operation(app, route, target, &operation);
        if (operation.name == NULL)
            continue;
        check_body(app, i, target);
        check_while_open(app, route, target);
        check_batch(app, route, &operation);
        enum config_mode mode = config_mode_of(target->config, operation.name);
        if (target->config->mode_given && (operation.flags & BB_WRITES) != 0 && mode == MODE_READ)
            problems_warn(&app->problems, route->to_mark,
                          "target '%s' is in mode read: %s will be refused and recorded, not sent", target->name,
                          operation.name);
        if ((operation.flags & BB_UNVERIFIED) != 0)
            problems_warn(&app->problems, route->to_mark,
                          "%s is unverified: the vendor does not document its request; prove it in a sandbox first",
                          operation.name);
    }
}

/* Where webhooks may come at all. */
static void check_doors(struct app *app)
{
    for (size_t i = 0; i < app->target_count && app->config->http.webhooks != NULL; i++) {
        const struct config_target *config = app->targets[i]->config;
        if (app->targets[i]->plugin->hook.event_pointer != NULL && config->webhook_secret_count == 0 &&
            !config->allow_unsigned)
            problems_warn(&app->problems, config->mark, "target %s has no webhook_secret: its webhooks are refused",
                          config->name);
    }
}

/* A trigger remembers an asset, whose readings several busbars share: each would fire by itself. */
static void check_sharing(struct app *app)
{
    for (size_t i = 0; i < app->config->route_count && app->config->bus.share != NULL; i++)
        if (app->config->routes[i].trigger.given)
            problems_warn(&app->problems, app->config->routes[i].mark,
                          "route '%s' has a trigger, and with bus.share each busbar sees only some of its messages: "
                          "give it to a busbar that shares nothing",
                          app->config->routes[i].name);
}

/* A running daemon gave up the right to write elsewhere: a reload would not start. */
static void check_store(struct app *app)
{
    const struct config_store *store = &app->config->store;
    if (!confine_allows(store->path))
        problems_add(
            &app->problems, store->mark,
            "a reload cannot move the store to another folder: the running busbar may only write where its store "
            "was; restart it instead");
}

int app_load(struct app *app, const char *path)
{
    *app = (struct app){0};
    app->path = config_find(path);
    if (app->path == NULL) {
        problems_add(&app->problems, (struct mark){NULL, 0, 0},
                     "no configuration: give -c FILE, set BUSBAR_CONFIG, or put busbar.yaml here or in /etc/busbar");
        return -1;
    }
    app->config = config_load(app->path, &app->problems);
    if (app->config == NULL)
        return -1;
    check_store(app);
    open_targets(app);
    default_cooldowns(app);
    app->routes = route_set_create(app->config, &app->problems);
    share_budgets(app);
    check_routes(app);
    check_doors(app);
    check_sharing(app);
    return app->problems.errors == 0 ? 0 : -1;
}

int app_renew_plugins(const struct app *app)
{
    int rc = 0;
    for (size_t i = 0; i < app->target_count; i++) {
        cleanup_text char *error = NULL;
        if (target_renew_plugin(app->targets[i], &error) == 0)
            continue;
        log_error("an isolated plugin does not start", "target", app->targets[i]->name, "reason", error, NULL);
        rc = -1;
    }
    return rc;
}

void app_finish(struct app *app)
{
    route_set_destroy(app->routes);
    for (size_t i = 0; i < app->target_count; i++)
        target_destroy(app->targets[i]);
    free(app->targets);
    config_destroy(app->config);
    problems_finish(&app->problems);
    free(app->path);
    *app = (struct app){0};
}

int app_report(const struct app *app)
{
    cleanup_buf struct buf text = {0};
    problems_print(&app->problems, &text);
    log_plain(buf_span(&text).data);
    return app->problems.errors == 0 ? 0 : -1;
}
