/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "listing.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const struct listing_column columns[] = {
    {"ID", "/id"},
    {"STATE", "/state"},
    {"TARGET", "/target"},
    {"OPERATION", "/operation"},
    {"ROUTE", "/route"},
    {"ATTEMPTS", "/attempts"},
    {"ACCEPTED", "/accepted"},
    {"TOPIC", "/topic"},
    {"ERROR", "/error/code"},
};
static const struct listing_column history_columns[] = {
    {"AT", "/at"}, {"WHO", "/who"}, {"WHAT", "/what"}, {"OUTCOME", "/outcome"}, {"DETAIL", "/detail"},
};

struct words {
    const char *config, *target, *route, *state, *lane, *code, *limit, *cursor, *body, *to_route;
    bool json, all;
};

static void filters(struct buf *path, const struct words *words, const char *state)
{
    client_query(path, "target", words->target);
    client_query(path, "route", words->route);
    client_query(path, "state", words->state != NULL ? words->state : state);
    client_query(path, "lane", words->lane);
    client_query(path, "code", words->code);
    client_query(path, "limit", words->limit);
    client_query(path, "cursor", words->cursor);
}

static int list(const struct words *words)
{
    struct client_reply reply;
    cleanup_buf struct buf path = {0};
    buf_puts(&path, "/api/v1/deliveries");
    filters(&path, words, NULL);
    if (client_call(words->config, "GET", path.data, (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    int rc = CMD_DONE;
    if (reply.status != 200) {
        rc = client_complain(&reply);
    } else if (words->json) {
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

static void print_field(struct json_object *delivery, const char *title, const char *pointer)
{
    struct json_object *value = json_pointer(delivery, pointer, NULL);
    cleanup_buf struct buf text = {0};
    if (value == NULL || (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0))
        return;
    if (!json_to_text(value, &text))
        json_print(value, &text);
    printf("%-10s %s\n", title, text.data);
}

static void print_delivery(struct json_object *delivery)
{
    static const char *const fields[][2] = {{"id", "/id"},
                                            {"state", "/state"},
                                            {"held", "/held_reason"},
                                            {"route", "/route"},
                                            {"target", "/target"},
                                            {"operation", "/operation"},
                                            {"lane", "/lane"},
                                            {"order", "/order"},
                                            {"attempts", "/attempts"},
                                            {"accepted", "/accepted"},
                                            {"due", "/due"},
                                            {"ended", "/ended"},
                                            {"batch", "/batch"},
                                            {"merged", "/merged_into"},
                                            {"topic", "/message/topic"},
                                            {"payload", "/message/payload"},
                                            {"body", "/body"},
                                            {"class", "/error/class"},
                                            {"code", "/error/code"},
                                            {"error", "/error/message"},
                                            {"repeats", "/repeats"},
                                            {"fields", "/error/rejected_fields"},
                                            {"request id", "/error/provider_request_id"},
                                            {"do next", "/error/owner_action"}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        print_field(delivery, fields[i][0], fields[i][1]);
    const char *request = json_get_text(delivery, "request"), *response = json_get_text(delivery, "response");
    if (request != NULL)
        printf("\n--- request\n%s\n", request);
    if (response != NULL)
        printf("\n--- response\n%s\n", response);
    puts("\n--- history");
    listing_print(json_get(delivery, "history"), history_columns, sizeof(history_columns) / sizeof(history_columns[0]),
                  "none yet");
}

static int show(const struct words *words, const char *id)
{
    struct client_reply reply;
    cleanup_text char *path = mem_printf("/api/v1/deliveries/%s", id);
    if (client_call(words->config, "GET", path, (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    int rc = CMD_DONE;
    if (reply.status != 200)
        rc = client_complain(&reply);
    else if (words->json)
        listing_print_json(&reply.text);
    else
        print_delivery(reply.json);
    client_reply_finish(&reply);
    return rc;
}

/* seen: the state in which a list showed it, so that what another made of it since is not undone; NULL: any. */
static int act(const struct words *words, const char *verb, const char *id, const char *seen)
{
    struct client_reply reply;
    cleanup_buf struct buf path = {0};
    buf_printf(&path, "/api/v1/deliveries/%s/%s", id, verb);
    client_query(&path, "route", strcmp(verb, "edit") == 0 ? words->to_route : NULL);
    client_query(&path, "state", seen);
    if (client_call(words->config, "POST", path.data, span_of(words->body), &reply) != 0)
        return CMD_NO;
    int rc = reply.status == 200 ? CMD_DONE : client_complain(&reply);
    client_reply_finish(&reply);
    return rc;
}

/* Acts on page after page of what fits the filters; each one that is done leaves the list. One that
 * is refused stays, so the cursor moves on behind it. */
static int act_on_all(const struct words *words, const char *verb, const char *state)
{
    struct words page = *words;
    size_t done = 0, refused = 0;
    char cursor[32];
    page.limit = "200";
    for (;;) {
        struct client_reply reply;
        cleanup_buf struct buf path = {0};
        buf_puts(&path, "/api/v1/deliveries");
        filters(&path, &page, state);
        if (client_call(words->config, "GET", path.data, (struct span){NULL, 0}, &reply) != 0)
            return CMD_NO;
        if (reply.status != 200 || reply.offline) { /* the store could be read, but nobody is there to act */
            if (reply.offline)
                fputs(reply.hangs ? "busbar: nothing was done\n" : "busbar: the daemon is down: start `busbar run`\n",
                      stderr);
            else
                client_complain(&reply);
            client_reply_finish(&reply);
            return CMD_NO;
        }
        struct json_object *items = json_get(reply.json, "items");
        size_t count = items != NULL ? json_object_array_length(items) : 0;
        for (size_t i = 0; i < count; i++) {
            struct json_object *item = json_object_array_get_idx(items, i);
            if (act(words, verb, json_get_text(item, "id"), json_get_text(item, "state")) == CMD_DONE)
                done++;
            else
                refused++;
        }
        const char *next = json_get_text(reply.json, "next");
        snprintf(cursor, sizeof(cursor), "%s", next != NULL ? next : "");
        client_reply_finish(&reply);
        if (cursor[0] == '\0')
            break;
        page.cursor = cursor;
    }
    printf("%s: %zu done, %zu refused\n", verb, done, refused);
    return refused == 0 ? CMD_DONE : CMD_NO;
}

static int run(int argc, char **argv)
{
    struct words words = {0};
    const struct cmd_option options[] = {{"-c", "--config", &words.config, NULL},
                                         {NULL, "--target", &words.target, NULL},
                                         {NULL, "--route", &words.route, NULL},
                                         {NULL, "--state", &words.state, NULL},
                                         {NULL, "--lane", &words.lane, NULL},
                                         {NULL, "--code", &words.code, NULL},
                                         {NULL, "--limit", &words.limit, NULL},
                                         {NULL, "--cursor", &words.cursor, NULL},
                                         {NULL, "--body", &words.body, NULL},
                                         {NULL, "--through", &words.to_route, NULL},
                                         {NULL, "--json", NULL, &words.json},
                                         {NULL, "--all", NULL, &words.all},
                                         {0}};
    static const char *const verbs[][3] = {{"retry", "rejected", "goes again"},
                                           {"discard", "rejected", "discarded"},
                                           {"approve", "draft", "approved"},
                                           {"edit", "rejected", "changed, goes again"}};
    int rc = cmd_options(&cmd_queue, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(&words);
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return show(&words, argv[2]);
    for (size_t i = 0; argc >= 2 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(argv[1], verbs[i][0]) != 0)
            continue;
        if (argc == 3 && !words.all) {
            rc = act(&words, verbs[i][0], argv[2], NULL);
            if (rc == CMD_DONE)
                printf("%s %s\n", argv[2], verbs[i][2]);
            return rc;
        }
        if (argc == 2 && words.all)
            return act_on_all(&words, verbs[i][0], verbs[i][1]);
        return cmd_usage(&cmd_queue, "give an ID, or --all with filters");
    }
    return cmd_usage(&cmd_queue, "say list, show ID, retry, discard, approve or edit");
}

const struct command cmd_queue = {
    .name = "queue",
    .usage = "busbar queue list | show ID | retry ID | discard ID | approve ID | edit ID [--body JSON]  [options]",
    .help = "Lists deliveries, tells one's whole story, and acts on dead letters and drafts.\n"
            "\n"
            "  list          newest first; --target bus for what goes to the bus\n"
            "  show ID       message, request, response, error, what to do next, history\n"
            "  retry ID      again and now; what was discarded before anyone approved it is a draft again\n"
            "  discard ID    gives it up\n"
            "  approve ID    sends a draft\n"
            "  edit ID       a dead letter with another --body; without one, its message mapped again\n"
            "                through the current route (or --through ROUTE); then retried\n"
            "\n"
            "      --target T, --route R, --state S, --lane L, --code C   filters of list and --all;\n"
            "                    the lane is the trigger's key, else the route's key, else the topic\n"
            "      --all         instead of an ID: all dead letters (approve: all drafts) that fit; what changed\n"
            "                    since it was listed (someone else discarded it) is refused\n"
            "      --limit N, --cursor C   pages of list\n"
            "  -c, --config FILE   the daemon's configuration\n"
            "      --json        as the API gives it\n",
    .run = run,
};
