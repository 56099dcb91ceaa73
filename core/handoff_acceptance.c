/* SPDX-License-Identifier: Apache-2.0 */
#include "handoff_private.h"

#include "loader.h"

#include <json-c/json.h>
#include <string.h>

static struct json_object *add_item(struct json_object *items, const char *id, const char *criterion)
{
    struct json_object *item = json_object_new_object(), *commands = json_object_new_array();
    json_put_text(item, "id", id);
    json_put_text(item, "criterion", criterion);
    json_object_object_add(item, "commands", commands);
    json_object_array_add(items, item);
    return commands;
}

/* In single quotes for a shell. */
static void put_quoted(struct buf *out, const char *text)
{
    buf_putc(out, '\'');
    for (; *text != '\0'; text++)
        buf_puts(out, *text == '\'' ? "'\\''" : (const char[]){*text, '\0'});
    buf_putc(out, '\'');
}

static void add_routes(struct json_object *items, struct json_object *payloads)
{
    for (size_t i = 0; i < json_object_array_length(payloads); i++) {
        struct json_object *payload = json_object_array_get_idx(payloads, i), *example = json_get(payload, "example");
        cleanup_buf struct buf command = {0}, message = {0};
        cleanup_text char *criterion =
            mem_printf("Route %s: the request is the one of section 3", json_get_text(payload, "route"));
        buf_printf(&command, "busbar routes fire %s --dry-run --topic ", json_get_text(payload, "route"));
        put_quoted(&command, json_get_text(example, "topic"));
        buf_puts(&command, " --payload ");
        put_quoted(&command, json_get_text(example, "text"));
        if (json_object_object_length(json_get(example, "user")) > 0) {
            json_print(json_get(example, "user"), &message);
            buf_puts(&command, " --user ");
            put_quoted(&command, message.data);
        }
        put_list(add_item(items, "FV-02", criterion), command.data);
    }
}

static bool can_attach(const struct app *app)
{
    struct bb_operation operation;
    for (size_t i = 0; i < app->target_count; i++)
        if (plugin_find_operation(app->targets[i]->plugin, "attachment.add", &operation))
            return true;
    return false;
}

/* The checklist of FV-09, each item with the commands that show it on this installation. */
static void add_checklist(struct json_object *items, const struct app *app)
{
    struct json_object *commands = add_item(items, "FV-09a", "A read answers the records of its own target alone");
    for (size_t i = 0; i < app->target_count; i++) {
        cleanup_text char *command = mem_printf("busbar orders list --target %s", app->targets[i]->name);
        put_list(commands, command);
    }
    put_list(add_item(items, "FV-09b", "Each create or draft, done or refused, has one line in the audit"),
             "busbar audit --since 1d");
    put_list(add_item(items, "FV-09c", "A status that may not follow is refused as a conflict, and nothing is sent"),
             "busbar queue list --state rejected --json");
    if (can_attach(app))
        put_list(
            add_item(items, "FV-09d", "An attachment is linked to its order; a failed one waits or is a dead letter"),
            "busbar queue list --json");
    commands = add_item(items, "FV-09e", "Each failed write is seen with its class, attempts and next step");
    put_list(commands, "busbar queue list --state rejected");
    put_list(commands, "busbar status");
    commands = add_item(items, "FV-09f",
                        "In the test system: a wrong credential, a missing right, a payload without a "
                        "required member, an unknown asset, a second answer and an outage end as section "
                        "6 says");
    put_list(commands, "busbar targets list");
    put_list(commands, "busbar audit --since 1h");
}

struct json_object *handoff_acceptance(const struct app *app, struct json_object *payloads)
{
    struct json_object *items = json_object_new_array();
    put_list(
        add_item(items, "FV-03", "The configuration is complete: scope, credentials, data contract, modes, retries"),
        "busbar check");
    add_routes(items, payloads);
    add_checklist(items, app);
    put_list(add_item(items, "FV-16", "It runs, is subscribed and can store"), "busbar status --ready");
    return items;
}
