/* SPDX-License-Identifier: Apache-2.0 */
/* busbar try: the real rules and the real plugins, without network and without store. A message is
 * judged by the routes as the daemon would; what fires is handed to its plugin and the first request
 * is printed instead of sent. */
#include "cmd_try.h"
#include "app.h"
#include "clock.h"
#include "cmd.h"
#include "cmd_try_timeline.h"
#include "config.h"
#include "digest.h"
#include "json.h"
#include "message.h"
#include "rehearse.h"
#include "route.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_SHOWN_MAX 65536
#define HEARD_MS 60000 /* before the recording begins */
#define OUTCOMES 7     /* enum outcome, from 1 */

struct trial {
    struct app app;
    bool as_json, all; /* all: ignored ones too */
    bool alone;        /* one message, as if it were the first */
    const struct message *message;
    int64_t now_ms;
    bool begun; /* the recording */
    struct route_trial {
        int64_t counts[OUTCOMES], timed; /* timed: of them, what time alone decided */
        struct json_object *reasons;     /* by reason, how often */
    } * routes;
    struct timeline *timeline; /* NULL: no picture is asked for */
    struct json_object *decisions;
    size_t matched;
};

/* ---- what would be sent */

static const char *operation_of(const struct route_decision *decision, const struct config_route *route)
{
    return decision->operation != NULL ? decision->operation : route->operation;
}

/* The request of the operation's first step, or why there is none. Both appended. */
static void preview(struct trial *trial, const struct route_decision *decision, struct buf *request,
                    struct buf *verdict)
{
    const struct config_route *route = &trial->app.config->routes[decision->route];
    const struct target *target = app_target(&trial->app, route->target);
    cleanup_text char *topic = span_dup(trial->message->topic);
    const struct bb_message message = {.id = decision->id,
                                       .order_id = decision->id,
                                       .body = {decision->body.data, decision->body.len},
                                       .topic = {topic, strlen(topic)},
                                       .received_ms = trial->message->received_ms};
    struct rehearsal rehearsal;
    rehearse(&rehearsal, target, operation_of(decision, route), &message, trial->now_ms);
    if (rehearsal_sends(&rehearsal))
        target_request_print(&rehearsal.http, target, request, REQUEST_SHOWN_MAX);
    rehearsal_explain(&rehearsal, verdict);
    rehearsal_finish(&rehearsal);
}

/* ---- printing */

static void print_indented(struct span text)
{
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.data) : text.len;
        printf("      %.*s\n", (int)len, text.data);
        len += end != NULL;
        text.data += len;
        text.len -= len;
    }
}

static void print_text(const struct trial *trial, const struct route_decision *decision, const struct buf *request,
                       const struct buf *verdict, const char *mode)
{
    const struct config_route *route = &trial->app.config->routes[decision->route];
    char time[CLOCK_TEXT_MAX];
    printf("%s %.*s\n", clock_format(trial->message->received_ms, time), (int)trial->message->topic.len,
           trial->message->topic.data);
    printf("  route %s: %s (%s)", route->name, outcome_name(decision->outcome), decision->reason);
    if (decision->key.len > 0)
        printf("  key %.*s", (int)decision->key.len, decision->key.data);
    putchar('\n');
    if (decision->outcome != OUTCOME_ACCEPTED)
        return;
    printf("    to %s.%s  lane %.*s%s%s\n", route->target, operation_of(decision, route), (int)decision->lane.len,
           decision->lane.data, mode != NULL ? "  " : "", mode != NULL ? mode : "");
    if (verdict->len > 0)
        printf("      %s\n", verdict->data);
    print_indented(buf_span(request));
    if (trial->alone && route->trigger.given)
        printf("    a running busbar may know more of this key: busbar routes keys %s\n", route->name);
}

static void add_json(struct trial *trial, const struct route_decision *decision, const struct buf *request,
                     const struct buf *verdict, const char *mode)
{
    const struct config_route *route = &trial->app.config->routes[decision->route];
    struct json_object *item = json_object_new_object();
    cleanup_text char *to = mem_printf("%s.%s", route->target, route->operation);
    json_put_time(item, "time", trial->message->received_ms);
    json_object_object_add(item, "topic", json_text(trial->message->topic));
    json_put_text(item, "route", route->name);
    json_put_text(item, "outcome", outcome_name(decision->outcome));
    json_put_text(item, "reason", decision->reason);
    json_object_object_add(item, "key", decision->key.len > 0 ? json_text(decision->key) : NULL);
    json_object_object_add(item, "lane", json_text(decision->lane));
    json_put_text(item, "to", to);
    json_object_object_add(item, "body", json_parse(decision->body, NULL, NULL));
    json_put_text(item, "mode", mode);
    json_put_text(item, "verdict", verdict->len > 0 ? verdict->data : NULL);
    json_put_text(item, "request", request->len > 0 ? request->data : NULL);
    json_object_array_add(trial->decisions, item);
}

static void count_decision(struct trial *trial, const struct route_decision *decision)
{
    struct route_trial *route = &trial->routes[decision->route];
    const char *reason = decision->outcome == OUTCOME_INVALID ? "mapping_failed" : decision->reason;
    json_put_int(route->reasons, reason, 1 + json_object_get_int64(json_get(route->reasons, reason)));
    route->counts[decision->outcome]++;
    route->timed += decision->timed;
    if (trial->timeline != NULL)
        timeline_add(trial->timeline, decision->route, decision->outcome, trial->message->received_ms);
}

static void decide(void *context, const struct route_decision *decision)
{
    struct trial *trial = context;
    trial->message = decision->message;
    cleanup_buf struct buf request = {0}, verdict = {0};
    const char *mode = NULL;
    count_decision(trial, decision);
    trial->matched++;
    if (decision->outcome == OUTCOME_IGNORED && !trial->all)
        return;
    if (decision->outcome == OUTCOME_ACCEPTED) {
        preview(trial, decision, &request, &verdict);
        const struct config_route *route = &trial->app.config->routes[decision->route];
        mode = rehearse_mode(app_target(&trial->app, route->target), route->operation);
    }
    if (trial->as_json)
        add_json(trial, decision, &request, &verdict, mode);
    else
        print_text(trial, decision, &request, &verdict, mode);
}

static void print_route(const struct config_route *config, const struct route_trial *route)
{
    int64_t received = -route->timed;
    for (int outcome = 1; outcome < OUTCOMES; outcome++)
        received += route->counts[outcome];
    printf("%-24s %9lld %9lld %10lld %9lld %9lld %9lld %9lld\n", config->name, (long long)received,
           (long long)route->counts[OUTCOME_IGNORED], (long long)route->counts[OUTCOME_SUPPRESSED],
           (long long)route->counts[OUTCOME_WAITING], (long long)route->counts[OUTCOME_INVALID],
           (long long)route->counts[OUTCOME_ACCEPTED], (long long)route->timed);
    fputs("    why:", stdout);
    json_object_object_foreach(route->reasons, reason, count)
    {
        printf(" %s %lld", reason, (long long)json_object_get_int64(count));
    }
    putchar('\n');
}

static void print_summary(const struct trial *trial)
{
    printf("\n%-24s %9s %9s %10s %9s %9s %9s %9s\n", "ROUTE", "RECEIVED", "IGNORED", "SUPPRESSED", "WAITING", "INVALID",
           "ACCEPTED", "BY TIME");
    for (size_t i = 0; i < trial->app.config->route_count; i++)
        print_route(&trial->app.config->routes[i], &trial->routes[i]);
}

static void print_json(struct trial *trial)
{
    cleanup_buf struct buf text = {0};
    struct json_object *root = json_object_new_object(), *routes = json_object_new_array();
    for (size_t i = 0; i < trial->app.config->route_count; i++) {
        struct json_object *route = json_object_new_object();
        json_put_text(route, "name", trial->app.config->routes[i].name);
        for (int outcome = 1; outcome < OUTCOMES; outcome++)
            json_put_int(route, outcome_name((enum outcome)outcome), trial->routes[i].counts[outcome]);
        json_put_int(route, "by_time", trial->routes[i].timed);
        json_object_object_add(route, "reasons", json_object_get(trial->routes[i].reasons));
        json_object_array_add(routes, route);
    }
    json_object_object_add(root, "decisions", trial->decisions);
    json_object_object_add(root, "routes", routes);
    json_print(root, &text);
    puts(text.data);
    json_object_put(root);
}

static int write_picture(const struct trial *trial, const char *path)
{
    cleanup_buf struct buf picture = {0};
    const struct config *config = trial->app.config;
    const char **names = mem_alloc((config->route_count + 1) * sizeof(*names));
    for (size_t i = 0; i < config->route_count; i++)
        names[i] = config->routes[i].name;
    timeline_print(trial->timeline, names, config->route_count, &picture);
    free(names);
    FILE *file = fopen(path, "w");
    bool written = file != NULL && fwrite(picture.data, 1, picture.len, file) == picture.len;
    if (file != NULL && fclose(file) != 0)
        written = false;
    if (!written)
        fprintf(stderr, "busbar: cannot write %s\n", path);
    return written ? CMD_DONE : CMD_NO;
}

/* ---- messages */

/* What time alone decides up to now, each at its time. */
static void pass_time(struct trial *trial, int64_t now_ms)
{
    if (!trial->begun)
        route_set_listen(trial->app.routes, true, now_ms - HEARD_MS);
    trial->begun = true;
    while (route_set_due(trial->app.routes) <= now_ms) {
        trial->now_ms = route_set_due(trial->app.routes);
        route_set_tick(trial->app.routes, trial->now_ms, decide, trial);
        route_set_commit(trial->app.routes);
    }
}

static void judge(struct trial *trial, struct message *message, int64_t now_ms)
{
    message->received_ms = now_ms;
    message->qos = 1;
    pass_time(trial, now_ms);
    trial->now_ms = now_ms;
    route_set_evaluate(trial->app.routes, message, now_ms, decide, trial);
    route_set_commit(trial->app.routes);
}

/* Answers what is wrong, or NULL. */
static const char *read_payload(struct json_object *record, struct buf *payload)
{
    struct json_object *base64 = NULL, *value = NULL;
    bool is_base64 = json_object_object_get_ex(record, "payload_base64", &base64);
    bool is_json = json_object_object_get_ex(record, "payload", &value);
    if (is_base64 == is_json)
        return "\"payload\" or \"payload_base64\" is wanted, one of them";
    if (is_base64)
        return json_object_is_type(base64, json_type_string) &&
                       digest_base64_decode(span_of(json_object_get_string(base64)), payload)
                   ? NULL
                   : "\"payload_base64\" is no base64";
    if (json_object_is_type(value, json_type_string))
        json_to_text(value, payload);
    else
        json_print(value, payload);
    return NULL;
}

/* One line of recorded traffic. Answers what is wrong with it, or NULL. */
static const char *replay_line(struct trial *trial, struct span line)
{
    const char *error = NULL;
    struct message_property user[MESSAGE_USER_MAX];
    cleanup_json struct json_object *record = json_parse(line, NULL, &error);
    if (record == NULL)
        return error != NULL ? error : "it is null";
    cleanup_buf struct buf payload = {0};
    const char *time = json_get_text(record, "time"), *topic = json_get_text(record, "topic");
    int64_t now_ms;
    if (time == NULL || !clock_parse(span_of(time), &now_ms))
        return "\"time\" must be an RFC 3339 time with offset";
    if (topic == NULL || topic[0] == '\0')
        return "\"topic\" is missing";
    error = read_payload(record, &payload);
    if (error != NULL)
        return error;
    struct message message = {.topic = span_of(topic),
                              .payload = buf_span(&payload),
                              .retained = json_object_get_boolean(json_get(record, "retain")),
                              .user = user,
                              .user_count = message_read_user(json_get(record, "user"), user)};
    judge(trial, &message, now_ms);
    return NULL;
}

static int replay(struct trial *trial, const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *line = NULL;
    size_t cap = 0, number = 0, bad = 0;
    ssize_t len;
    if (file == NULL) {
        fprintf(stderr, "busbar: cannot read %s\n", path);
        return CMD_NO;
    }
    while ((len = getline(&line, &cap, file)) >= 0) {
        number++;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        const char *wrong = len > 0 ? replay_line(trial, (struct span){line, (size_t)len}) : NULL;
        if (wrong != NULL && ++bad <= 10)
            fprintf(stderr, "%s:%zu: %s\n", path, number, wrong);
    }
    free(line);
    if (file != stdin)
        fclose(file);
    if (bad > 0)
        fprintf(stderr, "busbar: %zu of %zu lines could not be read\n", bad, number);
    return bad == 0 ? CMD_DONE : CMD_NO;
}

static int try_one(struct trial *trial, const char *topic, const char *payload, bool retained)
{
    struct message message = {.topic = span_of(topic), .payload = span_of(payload), .retained = retained};
    judge(trial, &message, clock_wall_ms());
    if (trial->matched > 0)
        return CMD_DONE;
    fprintf(stderr, "busbar: no route takes %s\n", topic);
    return CMD_NO;
}

/* 0, or what it is to leave with after saying why. */
static int begin(struct trial *trial, const char *path)
{
    if (app_load(&trial->app, path) != 0) {
        app_report(&trial->app);
        app_finish(&trial->app);
        return CMD_NO;
    }
    trial->routes = mem_alloc((trial->app.config->route_count + 1) * sizeof(trial->routes[0]));
    for (size_t i = 0; i < trial->app.config->route_count; i++)
        trial->routes[i].reasons = json_object_new_object();
    trial->decisions = trial->as_json ? json_object_new_array() : NULL;
    return 0;
}

static void end(struct trial *trial)
{
    if (trial->as_json)
        print_json(trial);
    for (size_t i = 0; i < trial->app.config->route_count; i++)
        json_object_put(trial->routes[i].reasons);
    free(trial->routes);
    timeline_destroy(trial->timeline);
    app_finish(&trial->app);
}

int try_route(const char *config, const char *name, const struct message *given, bool as_json)
{
    struct message message = *given;
    struct trial trial = {.as_json = as_json, .all = true};
    if (begin(&trial, config) != 0)
        return CMD_NO;
    message.qos = 1;
    message.received_ms = clock_wall_ms();
    const struct config_route *route = config_route(trial.app.config, name);
    size_t i = route != NULL ? (size_t)(route - trial.app.config->routes) : 0;
    bool fits = route != NULL && route_set_fits(trial.app.routes, i, &message.topic);
    if (route == NULL)
        fprintf(stderr, "busbar: no such route: %s\n", name);
    else if (!fits)
        fprintf(stderr, "busbar: the topic does not fit the route's filter: %s\n", route->from);
    trial.message = &message;
    trial.now_ms = message.received_ms;
    if (fits)
        route_set_map(trial.app.routes, i, &message, decide, &trial);
    bool accepted = fits && trial.routes[i].counts[OUTCOME_ACCEPTED] > 0;
    end(&trial);
    return accepted ? CMD_DONE : CMD_NO;
}

static int run(int argc, char **argv)
{
    const char *path = NULL, *topic = NULL, *payload = NULL, *file = NULL, *picture = NULL;
    bool retained = false;
    struct trial trial = {0};
    const struct cmd_option options[] = {
        {"-c", "--config", &path, NULL},   {"-t", "--topic", &topic, NULL},        {"-p", "--payload", &payload, NULL},
        {NULL, "--replay", &file, NULL},   {NULL, "--svg", &picture, NULL},        {NULL, "--retain", NULL, &retained},
        {NULL, "--all", NULL, &trial.all}, {NULL, "--json", NULL, &trial.as_json}, {0}};
    int rc = cmd_options(&cmd_try, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc > 1 || (file == NULL) == (topic == NULL) || (topic != NULL && payload == NULL))
        return cmd_usage(&cmd_try, "give --topic and --payload, or --replay FILE");
    if (picture != NULL && file == NULL)
        return cmd_usage(&cmd_try, "--svg goes with --replay");
    if (begin(&trial, path) != 0)
        return CMD_NO;
    trial.timeline = picture != NULL ? timeline_create() : NULL;
    trial.alone = file == NULL;
    trial.all |= trial.alone;
    rc = file != NULL ? replay(&trial, file) : try_one(&trial, topic, payload, retained);
    if (!trial.as_json && file != NULL)
        print_summary(&trial);
    if (picture != NULL && write_picture(&trial, picture) != CMD_DONE)
        rc = CMD_NO;
    end(&trial);
    return rc;
}

const struct command cmd_try = {
    .name = "try",
    .usage = "busbar try --topic TOPIC --payload TEXT | --replay FILE.ndjson  [-c FILE] [options]",
    .help = "Dry run: which routes a message takes, what the rules decide, the exact HTTP request.\n"
            "No network, no store: one message is judged as the first of its key, nothing tripped or shelved.\n"
            "\n"
            "  -t, --topic TOPIC      one message,\n"
            "  -p, --payload TEXT     with this payload\n"
            "      --retain           as a retained message\n"
            "      --replay FILE      recorded traffic, in its own time (- for standard input). A line is\n"
            "                         {\"time\": RFC 3339, \"topic\": ..., \"payload\": JSON or text,\n"
            "                         \"payload_base64\": ..., \"retain\": false, \"user\": {...}},\n"
            "                         as `busbar record` writes it. What time alone decides (for, absent) is decided\n"
            "                         in the recording's time\n"
            "      --svg FILE         with --replay: writes a picture, a row for each route, time to the right\n"
            "      --all              with --replay: shows ignored messages too\n"
            "      --json             for programs\n"
            "  -c, --config FILE      the configuration\n"
            "\n"
            "Exit status: 0 a route took it, 1 none did or a line could not be read.\n",
    .run = run,
};
