/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "cmd.h"
#include "cmd_try.h"
#include "json.h"
#include "listing.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const struct listing_column columns[] = {
    {"ROUTE", "/name"},
    {"FROM", "/from"},
    {"TO", "/to"},
    {"MODE", "/mode"},
    {"STATE", "/state"},
    {"RECEIVED", "/messages/received"},
    {"IGNORED", "/messages/ignored"},
    {"SUPPRESSED", "/messages/suppressed"},
    {"INVALID", "/messages/invalid"},
    {"DUPLICATE", "/messages/duplicate"},
    {"WAITING", "/messages/waiting"},
    {"ACCEPTED", "/messages/accepted"},
};

struct words {
    const char *config, *topic, *payload, *file, *user;
    bool json, dry_run;
};

static int list(const struct words *words)
{
    struct client_reply reply;
    if (client_call(words->config, "GET", "/api/v1/routes", (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    int rc = CMD_DONE;
    if (reply.status != 200)
        rc = client_complain(&reply);
    else if (words->json)
        listing_print_json(&reply.text);
    else
        listing_print(json_get(reply.json, "items"), columns, sizeof(columns) / sizeof(columns[0]), "no routes");
    client_reply_finish(&reply);
    return rc;
}

/* The payload's bytes, of the option or the file. */
static int read_payload(const struct words *words, struct buf *payload)
{
    char bytes[65536];
    size_t len;
    if (words->file == NULL) {
        buf_puts(payload, words->payload != NULL ? words->payload : "");
        return 0;
    }
    FILE *file = strcmp(words->file, "-") == 0 ? stdin : fopen(words->file, "rb");
    while (file != NULL && (len = fread(bytes, 1, sizeof(bytes), file)) > 0)
        buf_append(payload, bytes, len);
    bool read = file != NULL && !ferror(file);
    if (file != NULL && file != stdin)
        fclose(file);
    if (!read)
        fprintf(stderr, "busbar: cannot read %s\n", words->file);
    return read ? 0 : -1;
}

static int ask_to_fire(const struct words *words, const char *route, struct span payload)
{
    struct client_reply reply;
    cleanup_buf struct buf path = {0};
    buf_printf(&path, "/api/v1/routes/%s/fire", route);
    client_query(&path, "topic", words->topic);
    client_query(&path, "user", words->user);
    if (client_call(words->config, "POST", path.data, payload, &reply) != 0)
        return CMD_NO;
    int rc = CMD_DONE;
    if (reply.status != 200)
        rc = client_complain(&reply);
    else if (words->json)
        listing_print_json(&reply.text);
    else
        printf("%s fired: %s\n", route, json_get_text(reply.json, "id"));
    client_reply_finish(&reply);
    return rc;
}

static int fire(const struct words *words, const char *route)
{
    cleanup_json struct json_object *properties =
        words->user != NULL ? json_parse(span_of(words->user), NULL, NULL) : NULL;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    cleanup_buf struct buf payload = {0};
    if (strspn(route, letters) != strlen(route)) { /* nor would it fit into a path */
        fprintf(stderr, "busbar: no such route: %s\n", route);
        return CMD_NO;
    }
    if (words->user != NULL && !json_object_is_type(properties, json_type_object))
        return cmd_usage(&cmd_routes, "--user is a JSON object of texts");
    if (read_payload(words, &payload) != 0)
        return CMD_NO;
    if (!words->dry_run)
        return ask_to_fire(words, route, buf_span(&payload));
    struct message_property user[MESSAGE_USER_MAX];
    const struct message message = {.topic = span_of(words->topic),
                                    .payload = buf_span(&payload),
                                    .user = user,
                                    .user_count = message_read_user(properties, user)};
    return try_route(words->config, route, &message, words->json);
}

static int run(int argc, char **argv)
{
    struct words words = {0};
    const struct cmd_option options[] = {
        {"-c", "--config", &words.config, NULL},   {"-t", "--topic", &words.topic, NULL},
        {"-p", "--payload", &words.payload, NULL}, {NULL, "--payload-file", &words.file, NULL},
        {NULL, "--user", &words.user, NULL},       {NULL, "--dry-run", NULL, &words.dry_run},
        {NULL, "--json", NULL, &words.json},       {0}};
    int rc = cmd_options(&cmd_routes, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list(&words);
    if (argc != 3 || strcmp(argv[1], "fire") != 0)
        return cmd_usage(&cmd_routes, "say list or fire ROUTE");
    if (words.payload != NULL && words.file != NULL)
        return cmd_usage(&cmd_routes, "give --payload or --payload-file, not both");
    return fire(&words, argv[2]);
}

const struct command cmd_routes = {
    .name = "routes",
    .usage = "busbar routes list | fire ROUTE [--topic T] [--payload TEXT | --payload-file FILE] [--user JSON] "
             "[--dry-run]  [-c FILE] "
             "[--json]",
    .help = "Lists routes with their counts; fires one by hand.\n"
            "\n"
            "  list          each route, the mode and state of its target, and what became of its messages\n"
            "  fire ROUTE    accepts a message on the route as if its trigger had fired: one delivery, counted as\n"
            "                received and accepted, with a line in the audit. The target's mode holds as for any\n"
            "                other. The trigger's own state and cooldown stay as they are: a value is read for\n"
            "                ${value}, not judged\n"
            "\n"
            "  -t, --topic T            the message's topic; not needed where the route's filter names one alone\n"
            "  -p, --payload TEXT       its payload; default: empty\n"
            "      --payload-file FILE  the same from a file (- for standard input)\n"
            "      --user JSON          its MQTT 5 user properties, an object of texts\n"
            "      --dry-run            shows the request as `busbar try` does; no daemon, nothing is sent\n"
            "  -c, --config FILE        the daemon's configuration\n"
            "      --json               as the API gives it\n"
            "\n"
            "Exit status: 0 done, 1 there is no such route, the message does not fit it or cannot be mapped.\n",
    .run = run,
};
