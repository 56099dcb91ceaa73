/* SPDX-License-Identifier: Apache-2.0 */
#include "handoff_private.h"

#include "hook.h"
#include "loader.h"
#include "number.h"
#include "rehearse.h"

#include <json-c/json.h>
#include <string.h>

/* ---- connectors -------------------------------------------------------------------*/

/* The first request of a route's example, as the operation's method and path. */
static void put_request(struct json_object *item, const struct target *target, struct json_object *request)
{
    const char *url = json_get_text(request, "url");
    json_put_text(item, "method", json_get_text(request, "method"));
    json_put_text(item, "path", url != NULL ? url + strlen(target->url) : NULL);
}

/* What a route uses of the target, or its start; NULL when neither. */
static struct json_object *use_of(const struct app *app, const struct target *target,
                                  const struct bb_operation *operation, struct json_object *payloads)
{
    struct json_object *routes = json_object_new_array(), *request = NULL;
    for (size_t i = 0; i < app->config->route_count; i++) {
        const struct config_route *route = &app->config->routes[i];
        if (strcmp(route->target, target->name) != 0 || strcmp(route->operation, operation->name) != 0)
            continue;
        put_list(routes, route->name);
        if (request == NULL)
            request = json_object_get(json_pointer(json_object_array_get_idx(payloads, i), "/example/request", NULL));
    }
    bool at_start = (operation->flags & BB_AT_START) != 0;
    if (at_start && request == NULL)
        request = handoff_start_request(target, operation->name, 0);
    if (!at_start && json_object_array_length(routes) == 0) {
        json_object_put(routes);
        return NULL;
    }
    struct json_object *use = json_object_new_object();
    json_put_text(use, "operation", operation->name);
    json_put_text(use, "help", operation->help);
    json_object_object_add(use, "routes", routes);
    put_bool(use, "at_start", at_start);
    put_bool(use, "unverified", (operation->flags & BB_UNVERIFIED) != 0);
    put_request(use, target, request);
    json_object_put(request);
    return use;
}

struct json_object *handoff_connectors(const struct app *app, struct json_object *payloads)
{
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->target_count; i++) {
        const struct target *target = app->targets[i];
        struct json_object *item = json_object_new_object(), *uses = json_object_new_array();
        struct bb_operation operation;
        json_put_text(item, "target", target->name);
        json_put_text(item, "plugin", target->plugin->name);
        json_put_text(item, "plugin_version", target->plugin->version);
        json_put_text(item, "system", target->plugin->title);
        json_put_text(item, "url", target->url);
        json_put_text(item, "user_agent", target->http.user_agent);
        for (size_t k = 0; plugin_operation(target->plugin, k, &operation) != NULL; k++) {
            struct json_object *use = use_of(app, target, &operation, payloads);
            if (use != NULL)
                json_object_array_add(uses, use);
        }
        json_object_object_add(item, "operations", uses);
        json_object_array_add(items, item);
    }
    return items;
}

/* ---- credentials: names and sources, never values --------------------------------------*/

static void add_source(struct json_object *sources, struct span text)
{
    for (size_t i = 0; i < json_object_array_length(sources); i++)
        if (span_is(text, json_object_get_string(json_object_array_get_idx(sources, i))))
            return;
    json_object_array_add(sources, json_text(text));
}

/* The ${file:...} and ${env:...} of a setting as they stand in the file; what is written out there is not repeated. */
static void list_sources(const struct yaml_node *node, struct json_object *sources)
{
    if (node == NULL)
        return;
    const char *text = node->kind == YAML_SCALAR ? node->text.data : "";
    bool any = node->kind != YAML_SCALAR;
    for (const char *at = text; (at = strstr(at, "${")) != NULL; at += 2) {
        bool placeholder = (strncmp(at, "${file:", 7) == 0 || strncmp(at, "${env:", 6) == 0) && strchr(at, '}') != NULL;
        if (!placeholder || (at > text && at[-1] == '$')) /* $${ is a literal */
            continue;
        add_source(sources, (struct span){at, strcspn(at, "}") + 1});
        any = true;
    }
    if (!any)
        add_source(sources, SPAN("written in the configuration itself"));
    for (size_t i = 0; i < node->count; i++)
        list_sources(node->items[i].value, sources);
}

/* A setting as the files have it: section, then key, then, unless NULL, name within it. */
static const struct yaml_node *setting(const struct config *config, const char *section, const char *key,
                                       const char *name)
{
    for (size_t i = 0; i < config->tree_count; i++) {
        const struct yaml_node *node = yaml_get(yaml_root(config->trees[i]), section);
        node = node != NULL ? yaml_get(node, key) : NULL;
        if (node != NULL && name != NULL)
            node = yaml_get(node, name);
        if (node != NULL && !yaml_is_null(node))
            return node;
    }
    return NULL;
}

static void add_credential(struct json_object *items, const char *whose, const char *name, const char *use,
                           const struct yaml_node *node)
{
    if (node == NULL)
        return;
    struct json_object *item = json_object_new_object(), *sources = json_object_new_array();
    json_put_text(item, "of", whose);
    json_put_text(item, "setting", name);
    json_put_text(item, "use", use);
    list_sources(node, sources);
    json_object_object_add(item, "sources", sources);
    json_object_array_add(items, item);
}

static void add_own_auth(struct json_object *items, const struct config *config, const struct target *target)
{
    const struct config_auth *own = &target->config->auth;
    const struct yaml_node *node = setting(config, "targets", target->name, "auth");
    static const char *const schemes[] = {[AUTH_BEARER] = "Bearer",
                                          [AUTH_BASIC] = "Basic",
                                          [AUTH_OAUTH2] =
                                              "Bearer: a token that busbar gets itself (OAuth2 client credentials)"};
    cleanup_text char *use = own->kind == AUTH_NONE     ? mem_strdup("none")
                             : own->kind == AUTH_HEADER ? mem_printf("header %s", target->auth_header)
                                                        : mem_printf("header Authorization, %s", schemes[own->kind]);
    add_credential(items, target->name, "auth", use, node);
}

static void add_plugins_auth(struct json_object *items, const struct config *config, const struct target *target)
{
    const struct bb_auth *auth = &target->plugin->auth;
    cleanup_text char *header = NULL;
    switch (auth->scheme) {
    case BB_AUTH_NONE:
        break;
    case BB_AUTH_HEADER:
        header = mem_printf("header %s", auth->header);
        break;
    case BB_AUTH_BASIC:
        header = mem_strdup("header Authorization, Basic: password");
        add_credential(items, target->name, auth->user_option, "header Authorization, Basic: user",
                       setting(config, "targets", target->name, auth->user_option));
        break;
    case BB_AUTH_BEARER:
        header = mem_strdup("header Authorization, Bearer");
        break;
    }
    if (header != NULL)
        add_credential(items, target->name, auth->secret_option, header,
                       setting(config, "targets", target->name, auth->secret_option));
}

static void add_target_credentials(struct json_object *items, const struct app *app, const struct target *target)
{
    const struct config *config = app->config;
    const struct hook_profile profile = hook_profile_of(&target->config->signature, &target->plugin->hook.signature);
    (target->config->auth.kind != AUTH_PLUGIN ? add_own_auth : add_plugins_auth)(items, config, target);
    cleanup_text char *hook =
        mem_printf("verifies webhooks, header %s", profile.header != NULL ? profile.header : "none");
    add_credential(items, target->name, "webhook_secret", hook,
                   setting(config, "targets", target->name, "webhook_secret"));
    add_credential(items, target->name, "tls", "client certificate and who is trusted",
                   setting(config, "targets", target->name, "tls"));
    add_credential(items, target->name, "proxy", "the way to the target",
                   setting(config, "targets", target->name, "proxy"));
}

struct json_object *handoff_credentials(const struct app *app)
{
    static const struct {
        const char *section, *key, *use;
    } own[] = {{"bus", "username", "user at the broker"},
               {"bus", "password", "password at the broker"},
               {"bus", "tls", "client certificate and who is trusted"},
               {"http", "admin_token", "header Authorization, Bearer: the admin API"},
               {"http", "tls", "certificate of both listeners"}};
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->target_count; i++)
        add_target_credentials(items, app, app->targets[i]);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        add_credential(items, own[i].section, own[i].key, own[i].use,
                       setting(app->config, own[i].section, own[i].key, NULL));
    for (size_t i = 0; i < app->config->http.viewer_count; i++) {
        const char *name = app->config->http.viewers[i].name;
        cleanup_text char *use = mem_printf("header Authorization, Bearer: %s reads some targets' records", name);
        const struct yaml_node *viewer = setting(app->config, "http", "viewers", name);
        add_credential(items, "http", "viewers", use, viewer != NULL ? yaml_get(viewer, "token") : NULL);
    }
    return items;
}

/* ---- what may be done --------------------------------------------------------------------*/

struct json_object *handoff_scope(const struct app *app)
{
    struct json_object *items = json_object_new_array();
    for (size_t i = 0; i < app->target_count; i++) {
        const struct target *target = app->targets[i];
        struct bb_operation operation;
        for (size_t k = 0; plugin_operation(target->plugin, k, &operation) != NULL; k++) {
            struct json_object *item = json_object_new_object();
            const char *effect = rehearse_mode(target, operation.name);
            bool writes = (operation.flags & BB_WRITES) != 0;
            json_put_text(item, "target", target->name);
            json_put_text(item, "operation", operation.name);
            json_put_text(item, "access",
                          !writes                               ? "reads"
                          : (operation.flags & BB_CREATES) != 0 ? "creates"
                                                                : "changes");
            json_put_text(item, "mode", config_mode_name(config_mode_of(target->config, operation.name)));
            json_put_text(item, "effect", effect != NULL ? effect : "sent");
            json_object_array_add(items, item);
        }
    }
    return items;
}
