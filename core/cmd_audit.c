/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "listing.h"

#include <stdio.h>

static const struct listing_column columns[] = {
    {"AT", "/at"},           {"WHO", "/who"},           {"WHAT", "/what"},
    {"OUTCOME", "/outcome"}, {"TARGET", "/target"},     {"OPERATION", "/operation"},
    {"ROUTE", "/route"},     {"DELIVERY", "/delivery"}, {"DETAIL", "/detail"},
};

static int run(int argc, char **argv)
{
    const char *config = NULL, *id = NULL, *since = NULL, *limit = NULL, *cursor = NULL;
    bool json = false;
    struct client_reply reply;
    cleanup_buf struct buf path = {0};
    const struct cmd_option options[] = {{"-c", "--config", &config, NULL},
                                         {NULL, "--id", &id, NULL},
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
    .usage = "busbar audit [--since 1h] [--id ID] [--limit N] [--cursor C] [-c FILE] [--json]",
    .help = "Tells who did what, when and with which outcome, newest first.\n"
            "\n"
            "      --since T           a duration such as 1h, or an RFC 3339 time\n"
            "      --id ID             one delivery's whole story\n"
            "      --limit N, --cursor C   pages\n"
            "  -c, --config FILE       the daemon's configuration\n"
            "      --json              as the API gives it\n",
    .run = run,
};
