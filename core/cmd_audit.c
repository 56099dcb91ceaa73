/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "listing.h"

#include <stdio.h>

static const struct listing_column columns[] = {
    {"AT", "/at"},           {"WHO", "/who"},           {"WHAT", "/what"},
    {"OUTCOME", "/outcome"}, {"CLASS", "/class"},       {"ATTEMPT", "/attempt"},
    {"NEXT", "/next_at"},    {"TARGET", "/target"},     {"OPERATION", "/operation"},
    {"ROUTE", "/route"},     {"DELIVERY", "/delivery"}, {"DETAIL", "/detail"},
};

static int run(int argc, char **argv)
{
    const char *config = NULL, *id = NULL, *order = NULL, *target = NULL, *outcome = NULL, *error_class = NULL,
               *since = NULL, *limit = NULL, *cursor = NULL;
    bool json = false;
    struct client_reply reply;
    cleanup_buf struct buf path = {0};
    const struct cmd_option options[] = {{"-c", "--config", &config, NULL},
                                         {NULL, "--id", &id, NULL},
                                         {NULL, "--order", &order, NULL},
                                         {NULL, "--target", &target, NULL},
                                         {NULL, "--outcome", &outcome, NULL},
                                         {NULL, "--class", &error_class, NULL},
                                         {NULL, "--since", &since, NULL},
                                         {NULL, "--limit", &limit, NULL},
                                         {NULL, "--cursor", &cursor, NULL},
                                         {NULL, "--json", NULL, &json},
                                         {0}};
    int rc = cmd_options(&cmd_audit, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc > 1)
        return cmd_usage(&cmd_audit, "no argument is expected");
    buf_puts(&path, "/api/v1/audit");
    client_query(&path, "id", id);
    client_query(&path, "order", order);
    client_query(&path, "target", target);
    client_query(&path, "outcome", outcome);
    client_query(&path, "class", error_class);
    client_query(&path, "since", since);
    client_query(&path, "limit", limit);
    client_query(&path, "cursor", cursor);
    if (client_call(config, "GET", path.data, (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    rc = CMD_DONE;
    if (reply.status != 200) {
        rc = client_complain(&reply);
    } else if (json) {
        listing_print_json(&reply.text);
    } else {
        listing_print(json_get(reply.json, "items"), columns, sizeof(columns) / sizeof(columns[0]), "nothing here");
        const char *next = json_get_text(reply.json, "next");
        if (next != NULL)
            printf("more: --cursor %s\n", next);
    }
    client_reply_finish(&reply);
    return rc;
}

const struct command cmd_audit = {
    .name = "audit",
    .usage = "busbar audit [--since 1h] [--id ID] [--order ID] [--target T] [--outcome ok|failed] [--class C]\n"
             "             [--limit N] [--cursor C] [-c FILE] [--json]",
    .help = "Tells who did what, when and with which outcome, newest first.\n"
            "\n"
            "      --since T           a duration such as 1h, or an RFC 3339 time\n"
            "      --id ID             one delivery's whole story\n"
            "      --order ID          one work order's, by its common id\n"
            "      --target T          of one target\n"
            "      --outcome O         ok, or failed: what ended or was put off with an error\n"
            "      --class C           authentication, authorization, validation, identity, conflict,\n"
            "                          provider_unavailable\n"
            "      --limit N, --cursor C   pages\n"
            "  -c, --config FILE       the daemon's configuration\n"
            "      --json              as the API gives it\n",
    .run = run,
};
