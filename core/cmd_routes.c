/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "cmd.h"
#include "cmd_try.h"
#include "json.h"
#include "listing.h"
#include "number.h"

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

static const struct listing_column key_columns[] = {
    {"KEY", "/key"},
    {"PHASE", "/phase"},
    {"SINCE", "/since"},
    {"LAST FIRED", "/last_fired"},
    {"SUPPRESSED", "/suppressed"},
    {"DUE", "/due"},
    {"ORDER", "/order"},
};

static const struct listing_column shelf_columns[] = {
    {"ROUTE", "/route"}, {"KEY", "/key"}, {"SINCE", "/since"}, {"UNTIL", "/until"}, {"REASON", "/reason"},
};

struct words {
    const char *config, *topic, *payload, *file, *user, *key, *length, *reason, *limit;
    bool json, dry_run;
};

static int list(const struct words *words, const char *path, const struct listing_column *shown, size_t count,
                const char *empty)
{
    struct client_reply reply;
    if (client_call(words->config, "GET", path, (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    int rc = CMD_DONE;
    if (reply.status != 200)
        rc = client_complain(&reply);
    else if (words->json)
        listing_print_json(&reply.text);
    else
        listing_print(json_get(reply.json, "items"), shown, count, empty);
    client_reply_finish(&reply);
    return rc;
}
#define LIST(words, path, shown, empty) list(words, path, shown, sizeof(shown) / sizeof((shown)[0]), empty)

/* Anything else would not fit into a path. */
static bool is_name(const char *route)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    if (route[0] != '\0' && strspn(route, letters) == strlen(route))
        return true;
    fprintf(stderr, "busbar: no such route: %s\n", route);
    return false;
}

static int keys(const struct words *words, const char *route)
{
    cleanup_buf struct buf path = {0};
    buf_printf(&path, "/api/v1/routes/%s/keys", route);
    client_query(&path, "limit", words->limit);
    return LIST(words, path.data, key_columns, "no key has a state");
}

/* length "0": off the shelf. */
static int shelve(const struct words *words, const char *route, const char *length)
{
    struct client_reply reply;
    cleanup_buf struct buf path = {0};
    buf_printf(&path, "/api/v1/routes/%s/shelve", route);
    client_query(&path, "for", length);
    client_query(&path, "key", words->key);
    client_query(&path, "reason", words->reason);
    if (client_call(words->config, "POST", path.data, (struct span){NULL, 0}, &reply) != 0)
        return CMD_NO;
    int rc = CMD_DONE;
    if (reply.status != 200)
        rc = client_complain(&reply);
    else if (words->json)
        listing_print_json(&reply.text);
    else
        printf("%s%s%s: %s\n", route, words->key != NULL ? " " : "", words->key != NULL ? words->key : "",
               strcmp(length, "0") != 0 ? "shelved" : "off the shelf");
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
    bool from_stdin = strcmp(words->file, "-") == 0;
    FILE *file = from_stdin ? stdin : fopen(words->file, "rb");
    while (file != NULL && (len = fread(bytes, 1, sizeof(bytes), file)) > 0)
        buf_append(payload, bytes, len);
    bool read = file != NULL && !ferror(file);
    if (file != NULL && !from_stdin)
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
    cleanup_buf struct buf payload = {0};
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

#define USAGE "say list, shelves, or fire, keys, shelve, unshelve and a ROUTE"

static int of_route(const struct words *words, const char *verb, const char *route)
{
    bool fires = strcmp(verb, "fire") == 0, shelves = strcmp(verb, "shelve") == 0;
    bool known = fires || shelves || strcmp(verb, "unshelve") == 0 || strcmp(verb, "keys") == 0;
    if (!known)
        return cmd_usage(&cmd_routes, USAGE);
    if (fires && words->payload != NULL && words->file != NULL)
        return cmd_usage(&cmd_routes, "give --payload or --payload-file, not both");
    if (shelves && (words->length == NULL || words->reason == NULL))
        return cmd_usage(&cmd_routes, "to shelve, give --for TIME and --reason TEXT");
    int64_t length_ms;
    if (shelves && number_parse_duration(span_of(words->length), &length_ms) && length_ms == 0) /* the API's unshelve */
        return cmd_usage(&cmd_routes, "--for 0 shelves nothing; unshelve ends it");
    if (!is_name(route))
        return CMD_NO;
    if (fires)
        return fire(words, route);
    return strcmp(verb, "keys") == 0 ? keys(words, route) : shelve(words, route, shelves ? words->length : "0");
}

static int run(int argc, char **argv)
{
    struct words words = {0};
    const struct cmd_option options[] = {
        {"-c", "--config", &words.config, NULL},   {"-t", "--topic", &words.topic, NULL},
        {"-p", "--payload", &words.payload, NULL}, {NULL, "--payload-file", &words.file, NULL},
        {NULL, "--user", &words.user, NULL},       {NULL, "--dry-run", NULL, &words.dry_run},
        {NULL, "--key", &words.key, NULL},         {NULL, "--for", &words.length, NULL},
        {NULL, "--reason", &words.reason, NULL},   {NULL, "--limit", &words.limit, NULL},
        {NULL, "--json", NULL, &words.json},       {0}};
    int rc = cmd_options(&cmd_routes, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return LIST(&words, "/api/v1/routes", columns, "no routes");
    if (argc == 2 && strcmp(argv[1], "shelves") == 0)
        return LIST(&words, "/api/v1/shelves", shelf_columns, "nothing is shelved");
    return argc == 3 ? of_route(&words, argv[1], argv[2]) : cmd_usage(&cmd_routes, USAGE);
}

const struct command cmd_routes = {
    .name = "routes",
    .usage = "busbar routes list | fire ROUTE [--topic T] [--payload TEXT | --payload-file FILE] [--user JSON] "
             "[--dry-run]\n"
             "busbar routes keys ROUTE | shelves | shelve ROUTE [--key K] --for TIME --reason TEXT | unshelve ROUTE "
             "[--key K]  [-c FILE] [--json]",
    .help =
        "Lists routes with their counts; fires one by hand; shows what its trigger remembers; lays it on a shelf.\n"
        "\n"
        "  list          each route, the mode and state of its target, and what became of its messages\n"
        "  fire ROUTE    accepts a message on the route as if its trigger had fired: one delivery, counted as\n"
        "                received and accepted, with a line in the audit. The target's mode holds as for any\n"
        "                other. The trigger's own state and cooldown stay as they are: a value is read for\n"
        "                ${value}, not judged\n"
        "\n"
        "  keys ROUTE    each key with a state: its phase and since when, when it fired last, what was suppressed\n"
        "                since, what time will do and when, the order that holds it\n"
        "  shelve ROUTE  the route, or with --key one key of it, fires nothing for a time (2h); what it would have\n"
        "                fired is counted. Ends by itself, survives a restart\n"
        "  unshelve      ends it now\n"
        "  shelves       what is shelved, until when and why\n"
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
