/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "listing.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const struct listing_column columns[] = {
    {"TARGET", "/name"},
    {"PLUGIN", "/plugin"},
    {"STATE", "/state"},
    {"MODE", "/shown_mode"},
    {"IN FLIGHT", "/running"},
    {"FAILURES IN A ROW", "/failures_in_a_row"},
    {"RESTARTS", "/process/restarts"},
    {"HELD SINCE", "/holds/0/since"},
    {"OPERATION", "/holds/0/operation"},
    {"REASON", "/reason"},
};

struct words {
    const char *config, *operation, *reason;
    bool json;
};

/* The target's mode, then the operations that have another. */
static void show_modes(struct json_object *targets)
{
    for (size_t i = 0; i < json_object_array_length(targets); i++) {
        struct json_object *target = json_object_array_get_idx(targets, i),
                           *operations = json_get(target, "operations");
        const char *mode = json_get_text(target, "mode");
        cleanup_buf struct buf text = {0};
        buf_puts(&text, mode);
        for (size_t n = 0; n < json_object_array_length(operations); n++) {
            struct json_object *operation = json_object_array_get_idx(operations, n);
            const char *own = json_get_text(operation, "mode");
            if (own != NULL && strcmp(own, mode) != 0)
                buf_printf(&text, ", %s: %s", json_get_text(operation, "name"), own);
        }
        json_put_text(target, "shown_mode", text.data);
    }
}

static int list(const struct words *words)
{
    struct client_reply reply;
    if (client_call(words->config, "GET", "/api/v1/targets", (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    int rc = CMD_DONE;
    if (reply.status != 200)
        rc = client_complain(&reply);
    else if (words->json)
        listing_print_json(&reply.text);
    else {
        show_modes(json_get(reply.json, "items"));
        listing_print(json_get(reply.json, "items"), columns, sizeof(columns) / sizeof(columns[0]), "no targets");
    }
    client_reply_finish(&reply);
    return rc;
}

static int act(const struct words *words, const char *verb, const char *target)
{
    struct client_reply reply;
    cleanup_buf struct buf path = {0};
    buf_printf(&path, "/api/v1/targets/%s/%s", target, verb);
    client_query(&path, "operation", words->operation);
    client_query(&path, "reason", words->reason);
    if (client_call(words->config, "POST", path.data, (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    int rc = reply.status == 200 ? CMD_DONE : client_complain(&reply);
    if (rc == CMD_DONE)
        printf("%s %s%s\n", target, strcmp(verb, "hold") == 0 ? "held" : "resumed",
               reply.offline ? ", in the store: the daemon is down, and sends nothing there when it starts" : "");
    client_reply_finish(&reply);
    return rc;
}

static int run(int argc, char **argv)
{
    struct words words = {0};
    const struct cmd_option options[] = {{"-c", "--config", &words.config, NULL},
                                         {NULL, "--operation", &words.operation, NULL},
                                         {NULL, "--reason", &words.reason, NULL},
                                         {NULL, "--json", NULL, &words.json},
                                         {0}};
    int rc = cmd_options(&cmd_targets, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(&words);
    if (argc == 3 && (strcmp(argv[1], "hold") == 0 || strcmp(argv[1], "resume") == 0))
        return act(&words, argv[1], argv[2]);
    return cmd_usage(&cmd_targets, "say list, hold TARGET or resume TARGET");
}

const struct command cmd_targets = {
    .name = "targets",
    .usage = "busbar targets list | hold TARGET | resume TARGET  [--operation OP] [--reason TEXT] [-c FILE] [--json]",
    .help = "Lists targets; holds one (its data is kept; also while the daemon is down), or lets it go on.\n"
            "\n"
            "      --operation OP  this operation only\n"
            "      --reason TEXT   why it is held\n"
            "  -c, --config FILE   the daemon's configuration\n"
            "      --json          list as the API gives it\n",
    .run = run,
};
