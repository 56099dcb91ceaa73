/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "listing.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const struct listing_column columns[] = {
    {"ID", "/common_work_order_id"}, {"TARGET", "/provider_id"},   {"ITS ID", "/source_work_order_id"},
    {"ASSET", "/asset_ref"},         {"STATUS", "/common_status"}, {"SAID", "/source_status"},
    {"SYNC", "/sync_state"},         {"UPDATED", "/updated"},
};

static const struct listing_column history_columns[] = {
    {"AT", "/at"},           {"WHO", "/who"},         {"WHAT", "/what"},   {"OPERATION", "/operation"},
    {"OUTCOME", "/outcome"}, {"SYNC", "/sync_state"}, {"CLASS", "/class"}, {"ATTEMPT", "/attempt"},
    {"NEXT", "/next_at"},    {"DETAIL", "/detail"},
};

struct words {
    const char *config, *target, *limit, *cursor;
    bool json;
};

/* false: it was refused, and that was said. */
static bool ask(const struct words *words, const char *path, struct client_reply *reply)
{
    if (client_call(words->config, "GET", path, (struct span){NULL, 0}, reply) != 0)
        return false;
    if (reply->status == 200)
        return true;
    (void)client_complain(reply);
    client_reply_finish(reply);
    return false;
}

static int list(const struct words *words, const char *path)
{
    struct client_reply reply;
    if (!ask(words, path, &reply))
        return CMD_NO;
    if (words->json) {
        listing_print_json(&reply.text);
    } else {
        listing_print(json_get(reply.json, "items"), columns, sizeof(columns) / sizeof(columns[0]), "nothing here");
        const char *next = json_get_text(reply.json, "next");
        if (next != NULL)
            printf("more: --cursor %s\n", next);
    }
    client_reply_finish(&reply);
    return CMD_DONE;
}

static int print_history(const struct words *words, const char *path)
{
    struct client_reply reply;
    cleanup_text char *history = mem_printf("%s/history", path);
    if (!ask(words, history, &reply))
        return CMD_NO;
    puts("\n--- history");
    listing_print(json_get(reply.json, "items"), history_columns, sizeof(history_columns) / sizeof(history_columns[0]),
                  "none yet");
    client_reply_finish(&reply);
    return CMD_DONE;
}

static int show(const struct words *words, const char *path)
{
    struct client_reply reply;
    if (!ask(words, path, &reply))
        return CMD_NO;
    if (words->json) {
        listing_print_json(&reply.text);
    } else {
        json_object_object_foreach(reply.json, name, value)
        {
            printf("%-22s %s\n", name, value != NULL ? json_object_get_string(value) : "-");
        }
    }
    client_reply_finish(&reply);
    return words->json ? CMD_DONE : print_history(words, path);
}

static int run(int argc, char **argv)
{
    struct words words = {0};
    cleanup_buf struct buf path = {0};
    const struct cmd_option options[] = {
        {"-c", "--config", &words.config, NULL}, {NULL, "--target", &words.target, NULL},
        {NULL, "--limit", &words.limit, NULL},   {NULL, "--cursor", &words.cursor, NULL},
        {NULL, "--json", NULL, &words.json},     {0}};
    int rc = cmd_options(&cmd_orders, &argc, argv, options);
    if (rc >= 0)
        return rc;
    buf_puts(&path, "/api/v1/orders");
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        client_query(&path, "target", words.target);
        client_query(&path, "limit", words.limit);
        client_query(&path, "cursor", words.cursor);
        return list(&words, path.data);
    }
    if (argc == 3 && strcmp(argv[1], "show") == 0) {
        buf_printf(&path, "/%s", argv[2]);
        return show(&words, path.data);
    }
    return cmd_usage(&cmd_orders, "say list or show ID");
}

const struct command cmd_orders = {
    .name = "orders",
    .usage = "busbar orders list | show ID  [--target T] [--limit N] [--cursor C] [-c FILE] [--json]",
    .help =
        "Lists work orders as busbar knows them: ours, and what targets told of theirs; shows one with its history.\n"
        "\n"
        "      --target T          of one target\n"
        "      --limit N, --cursor C   pages of list\n"
        "  -c, --config FILE       the daemon's configuration\n"
        "      --json              as the API gives it\n",
    .run = run,
};
