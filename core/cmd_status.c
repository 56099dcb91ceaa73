/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "listing.h"

#include <json-c/json.h>
#include <stdio.h>

static const struct listing_column target_columns[] = {
    {"TARGET", "/name"}, {"STATE", "/state"}, {"MODE", "/mode"}, {"IN FLIGHT", "/running"}, {"REASON", "/reason"},
};
static const struct listing_column route_columns[] = {
    {"ROUTE", "/name"},
    {"TO", "/to"},
    {"RECEIVED", "/messages/received"},
    {"IGNORED", "/messages/ignored"},
    {"SUPPRESSED", "/messages/suppressed"},
    {"INVALID", "/messages/invalid"},
    {"ACCEPTED", "/messages/accepted"},
};

static const struct listing_column batch_columns[] = {
    {"TARGET", "/target"}, {"BATCH OF", "/operation"}, {"GATHERED", "/gathering"},
    {"AT MOST", "/max"},   {"WAIT MS", "/wait_ms"},
};

/* What waits for more of its kind. */
static void print_batches(struct json_object *targets)
{
    cleanup_json struct json_object *rows = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(targets); i++) {
        struct json_object *target = json_object_array_get_idx(targets, i), *batches = json_get(target, "batches");
        for (size_t n = 0; n < json_object_array_length(batches); n++) {
            struct json_object *batch = json_object_array_get_idx(batches, n);
            if (json_object_get_int64(json_get(batch, "gathering")) == 0)
                continue;
            json_put_text(batch, "target", json_get_text(target, "name"));
            json_object_array_add(rows, json_object_get(batch));
        }
    }
    if (json_object_array_length(rows) == 0)
        return;
    putchar('\n');
    listing_print(rows, batch_columns, sizeof(batch_columns) / sizeof(batch_columns[0]), "");
}

static void print_queue(struct json_object *queue)
{
    printf("queue  ");
    bool any = false;
    if (queue == NULL) {
        puts(" unknown: the store cannot be read");
        return;
    }
    json_object_object_foreach(queue, state, count)
    {
        printf(" %s %s", state, json_object_get_string(count));
        any = true;
    }
    puts(any ? "" : " empty");
}

static void print_strays(struct json_object *strays)
{
    for (size_t i = 0; strays != NULL && i < json_object_array_length(strays); i++) {
        struct json_object *stray = json_object_array_get_idx(strays, i);
        const int64_t waiting = json_object_get_int64(json_get(stray, "waiting"));
        printf("        %lld %s for `%s`, which is not configured\n", (long long)waiting,
               waiting == 1 ? "delivery waits" : "deliveries wait", json_get_text(stray, "target"));
    }
}

static void print_status(const struct client_reply *reply)
{
    struct json_object *status = reply->json, *bus = json_get(status, "bus");
    const char *reason = json_get_text(status, "reason"), *state = json_get_text(bus, "state"),
               *bus_reason = json_get_text(bus, "reason"), *url = json_get_text(bus, "url");
    printf("busbar %s  instance %s  %s%s%s\n", json_get_text(status, "version"), json_get_text(status, "instance"),
           reason == NULL ? "ready" : "NOT READY: ", reason != NULL ? reason : "",
           reply->offline ? " (read from the store)" : "");
    printf("bus     %s %s\n", url != NULL ? url : "-", state != NULL ? state : "-");
    if (bus_reason != NULL)
        printf("        %s\n", bus_reason);
    struct json_object *trouble = json_get(status, "store_trouble");
    if (trouble != NULL)
        printf("store   %s since %s: %s\n", json_get_text(trouble, "name"), json_get_text(trouble, "since"),
               json_get_text(trouble, "text"));
    print_queue(json_get(status, "queue"));
    print_strays(json_get(status, "not_configured"));
    if (reply->offline)
        return;
    putchar('\n');
    listing_print(json_get(status, "targets"), target_columns, sizeof(target_columns) / sizeof(target_columns[0]),
                  "no targets");
    print_batches(json_get(status, "targets"));
    putchar('\n');
    listing_print(json_get(status, "routes"), route_columns, sizeof(route_columns) / sizeof(route_columns[0]),
                  "no routes");
}

static int run(int argc, char **argv)
{
    const char *config = NULL;
    bool json = false, ready = false;
    struct client_reply reply;
    const struct cmd_option options[] = {
        {"-c", "--config", &config, NULL}, {NULL, "--json", NULL, &json}, {NULL, "--ready", NULL, &ready}, {0}};
    int rc = cmd_options(&cmd_status, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc > 1)
        return cmd_usage(&cmd_status, "no argument is expected");
    if (client_call(config, "GET", "/api/v1/status", (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    bool is_ready = reply.status == 200 && json_object_get_boolean(json_get(reply.json, "ready"));
    if (reply.status != 200)
        client_complain(&reply);
    else if (json)
        listing_print_json(&reply.text);
    else if (ready)
        puts(is_ready ? "ready" : json_get_text(reply.json, "reason"));
    else
        print_status(&reply);
    rc = reply.status == 200 && !reply.hangs && (!ready || is_ready) ? CMD_DONE : CMD_NO;
    client_reply_finish(&reply);
    return rc;
}

const struct command cmd_status = {
    .name = "status",
    .usage = "busbar status [-c FILE] [--ready] [--json]",
    .help = "Shows one screen: bus, targets, routes, queue.\n"
            "\n"
            "  -c, --config FILE  the daemon's configuration: where its admin port is\n"
            "      --ready        only whether it is ready; exit 0 or 1 (a health check)\n"
            "      --json         as the API gives it\n"
            "\n"
            "Exit status: 1 when busbar runs but does not answer, too.\n",
    .run = run,
};
