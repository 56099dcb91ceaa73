/* SPDX-License-Identifier: Apache-2.0 */
#include "handoff_private.h"

#include "clock.h"
#include "number.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SECRET 4 /* shorter texts would be found everywhere */

void put_bool(struct json_object *object, const char *key, bool value)
{
    json_object_object_add(object, key, json_object_new_boolean(value));
}

void put_duration(struct json_object *object, const char *key, int64_t ms)
{
    char text[24];
    number_format_duration(ms, text);
    json_put_text(object, key, text);
}

void put_list(struct json_object *array, const char *text)
{
    if (text != NULL)
        json_object_array_add(array, json_object_new_string(text));
}

/* ---- nothing secret leaves, by whatever way it came in ----------------------------------------*/

struct secrets {
    const char **texts; /* borrowed */
    size_t count, cap;
};

static void add_secret(struct secrets *secrets, const char *text)
{
    if (text == NULL || strlen(text) < LEAST_SECRET)
        return;
    secrets->texts = mem_grow(secrets->texts, &secrets->cap, secrets->count + 1, sizeof(secrets->texts[0]));
    secrets->texts[secrets->count++] = text;
}

static void collect_secrets(struct secrets *secrets, const struct app *app)
{
    const struct config *config = app->config;
    for (size_t i = 0; i < config->hidden_count; i++)
        add_secret(secrets, config->hidden[i]);
    add_secret(secrets, config->bus.password);
    add_secret(secrets, config->http.admin_token);
    for (size_t i = 0; i < config->http.viewer_count; i++)
        add_secret(secrets, config->http.viewers[i].token);
    for (size_t i = 0; i < config->target_count; i++) {
        const struct config_target *target = &config->targets[i];
        for (size_t k = 0; k < target->webhook_secret_count; k++)
            add_secret(secrets, target->webhook_secrets[k].secret);
        add_secret(secrets, target->auth.bearer);
        add_secret(secrets, target->auth.basic.password);
        add_secret(secrets, target->auth.header.value);
        add_secret(secrets, target->auth.oauth2.client_secret);
        for (size_t k = 0; k < target->option_count; k++)
            if (target->options[k].secret)
                add_secret(secrets, target->options[k].text);
    }
    for (size_t i = 0; i < app->target_count; i++)
        for (size_t k = 0; k < TARGET_SECRETS; k++)
            add_secret(secrets, app->targets[i]->secrets[k]);
}

/* The text with each secret as ***; NULL when it held none. gives */
static char *scrub_text(const struct secrets *secrets, const char *text)
{
    struct buf out = {0};
    bool found = false;
    while (*text != '\0') {
        size_t i = 0;
        while (i < secrets->count && strncmp(text, secrets->texts[i], strlen(secrets->texts[i])) != 0)
            i++;
        if (i < secrets->count) {
            buf_puts(&out, "***");
            text += strlen(secrets->texts[i]);
            found = true;
        } else {
            buf_putc(&out, *text++);
        }
    }
    if (found)
        return buf_steal(&out);
    buf_finish(&out);
    return NULL;
}

static void scrub(const struct secrets *secrets, struct json_object *value)
{
    if (json_object_is_type(value, json_type_string)) {
        cleanup_text char *clean = scrub_text(secrets, json_object_get_string(value));
        if (clean != NULL)
            json_object_set_string(value, clean);
    } else if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++)
            scrub(secrets, json_object_array_get_idx(value, i));
    } else if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, key, member)
        {
            (void)key;
            scrub(secrets, member);
        }
    }
}

/* ---- the document ----------------------------------------------------------------------------------*/

static struct json_object *describe_deployment(const struct app *app)
{
    const struct config *config = app->config;
    struct json_object *item = json_object_new_object();
    json_put_text(item, "configuration", app->path);
    json_put_text(item, "instance", config->instance);
    json_put_text(item, "version", BUSBAR_VERSION);
    json_put_text(item, "bus", config->bus.urls[0]);
    json_put_text(item, "store", config->store.path);
    json_put_text(item, "durability", config->store.durability == DURABILITY_POWER_LOSS ? "power_loss" : "crash");
    put_duration(item, "retention", config->store.retention_ms);
    json_put_text(item, "webhooks", config->http.webhooks);
    json_put_text(item, "admin", config->http.admin);
    return item;
}

struct json_object *handoff_document(const struct app *app, int64_t now_ms)
{
    struct json_object *document = json_object_new_object(), *payloads = handoff_payloads(app, now_ms);
    json_put_time(document, "made", now_ms);
    json_object_object_add(document, "deployment", describe_deployment(app));
    json_object_object_add(document, "connectors", handoff_connectors(app, payloads));
    json_object_object_add(document, "credentials", handoff_credentials(app));
    json_object_object_add(document, "scope", handoff_scope(app));
    json_object_object_add(document, "payloads", payloads);
    json_object_object_add(document, "mapping", handoff_mapping(app));
    json_object_object_add(document, "transitions", handoff_transitions());
    json_object_object_add(document, "inbound", handoff_inbound(app));
    json_object_object_add(document, "errors", handoff_errors(app));
    json_object_object_add(document, "acceptance", handoff_acceptance(app, payloads));
    struct secrets secrets = {0};
    collect_secrets(&secrets, app);
    scrub(&secrets, document);
    free(secrets.texts);
    return document;
}
