/* SPDX-License-Identifier: Apache-2.0 */
/* busbar record: what is on the bus as NDJSON, for `busbar try --replay`. A client of its own with a session of its
 * own: the daemon's is left alone. A line is whole or not there. */
#include "app.h"
#include "clock.h"
#include "cmd.h"
#include "config.h"
#include "digest.h"
#include "json.h"
#include "log.h"
#include "mqtt.h"
#include "number.h"
#include "route.h"
#include "topic.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TURN_MS 50

static volatile sig_atomic_t stopped;

struct recording {
    atomic_long count;
    atomic_bool failed; /* standard output takes no more */
};

/* JSON stands as JSON where that is the same bytes again, all else as text. */
static void print_payload(struct span payload, struct buf *line)
{
    cleanup_buf struct buf again = {0};
    bool is_null = false;
    cleanup_json struct json_object *value = json_parse(payload, &is_null, NULL);
    if (value != NULL && !json_object_is_type(value, json_type_string))
        json_print(value, &again);
    if (again.len > 0 && again.len == payload.len && memcmp(again.data, payload.data, payload.len) == 0) {
        buf_puts(line, ",\"payload\":");
        buf_append(line, again.data, again.len);
    } else if (span_is_utf8(payload)) {
        buf_puts(line, ",\"payload\":");
        buf_put_json(line, payload);
    } else {
        cleanup_text char *base64 = digest_base64(payload);
        buf_printf(line, ",\"payload_base64\":\"%s\"", base64);
    }
}

static void on_message(void *context, const struct message *message)
{
    struct recording *recording = context;
    cleanup_buf struct buf line = {0};
    char time[CLOCK_TEXT_MAX];
    buf_printf(&line, "{\"time\":\"%s\",\"topic\":", clock_format(message->received_ms, time));
    buf_put_json(&line, message->topic);
    print_payload(message->payload, &line);
    if (message->retained)
        buf_puts(&line, ",\"retain\":true");
    for (size_t i = 0; i < message->user_count; i++) {
        buf_puts(&line, i == 0 ? ",\"user\":{" : ",");
        buf_put_json(&line, message->user[i].name);
        buf_putc(&line, ':');
        buf_put_json(&line, message->user[i].value);
    }
    buf_puts(&line, message->user_count > 0 ? "}}\n" : "}\n");
    if (fwrite(line.data, 1, line.len, stdout) == line.len)
        atomic_fetch_add(&recording->count, 1);
    else
        atomic_store(&recording->failed, true);
}

static int on_flush(void *context)
{
    struct recording *recording = context;
    if (fflush(stdout) != 0)
        atomic_store(&recording->failed, true);
    return atomic_load(&recording->failed) ? -1 : 0;
}

static void on_wake(void *context)
{
    (void)context;
}

static void on_session(void *context, bool present)
{
    (void)context;
    (void)present;
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static int listen_to(const struct mqtt_options *options, struct recording *recording, int64_t for_ms)
{
    char *error = NULL;
    const struct mqtt_handler handler = {recording, on_message, on_flush, on_wake, on_session};
    struct mqtt *mqtt = mqtt_create(options, &handler, &error);
    if (mqtt == NULL) {
        fprintf(stderr, "busbar: %s\n", error);
        free(error);
        return CMD_NO;
    }
    int64_t began_ms = 0;
    while (!stopped && !atomic_load(&recording->failed)) {
        int64_t now_ms = clock_steady_ms();
        mqtt_tick(mqtt, now_ms);
        if (began_ms == 0 && mqtt_state(mqtt) == MQTT_READY) {
            fprintf(stderr, "busbar: recording\n");
            began_ms = now_ms;
        }
        if (for_ms > 0 && began_ms > 0 && now_ms - began_ms >= for_ms)
            break;
        nanosleep(&(struct timespec){.tv_nsec = TURN_MS * 1000000L}, NULL);
    }
    mqtt_destroy(mqtt, (struct span){NULL, 0}, 2000);
    fprintf(stderr, "busbar: %ld messages recorded\n", atomic_load(&recording->count));
    return atomic_load(&recording->failed) ? CMD_NO : CMD_DONE;
}

/* One topic of the command line, or all that the routes listen to, without the share. gives the list's texts */
static size_t find_filters(const struct app *app, const char *topic, const char ***filters)
{
    const char *const *all = &topic;
    size_t count = topic != NULL ? 1 : route_set_filters(app->routes, &all);
    *filters = mem_alloc((count + 1) * sizeof(**filters));
    for (size_t i = 0; i < count; i++) {
        const char *filter = all[i];
        if (topic == NULL && strncmp(filter, "$share/", 7) == 0)
            filter = strchr(filter + 7, '/') + 1;
        (*filters)[i] = filter;
    }
    return count;
}

static int record(const struct app *app, const char *topic, int64_t for_ms)
{
    const struct config_bus *bus = &app->config->bus;
    struct recording recording = {0};
    const char **filters;
    size_t count = find_filters(app, topic, &filters);
    cleanup_text char *client_id = mem_printf("busbar-%s-record-%d", app->config->instance, (int)getpid());
    const struct mqtt_options options = {.urls = (const char *const *)bus->urls,
                                         .url_count = bus->url_count,
                                         .version = bus->version,
                                         .client_id = client_id,
                                         .username = bus->username,
                                         .password = bus->password,
                                         .tls_ca = bus->tls.ca,
                                         .tls_cert = bus->tls.cert,
                                         .tls_key = bus->tls.key,
                                         .session_expiry_ms = 0,
                                         .keep_alive_ms = bus->keep_alive_ms,
                                         .connect_timeout_ms = 5000,
                                         .receive_maximum = (int)bus->receive_maximum,
                                         .filters = filters,
                                         .filter_count = count,
                                         .reconnect_first_ms = 500,
                                         .reconnect_max_ms = 10000};
    int rc = listen_to(&options, &recording, for_ms);
    free(filters);
    return rc;
}

static int run(int argc, char **argv)
{
    const char *path = NULL, *topic = NULL, *length = NULL;
    int64_t for_ms = 0;
    struct app app;
    struct topic_filter filter = {0};
    const struct cmd_option options[] = {
        {"-c", "--config", &path, NULL}, {"-t", "--topic", &topic, NULL}, {NULL, "--for", &length, NULL}, {0}};
    int rc = cmd_options(&cmd_record, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc > 1 || (length != NULL && !number_parse_duration(span_of(length), &for_ms)))
        return cmd_usage(&cmd_record, argc > 1 ? "no argument is expected" : "--for is a duration such as 10m");
    cleanup_text char *wrong = NULL;
    if (topic != NULL && topic_filter_parse(span_of(topic), &filter, &wrong) != 0)
        return cmd_usage(&cmd_record, wrong);
    log_open(!isatty(STDERR_FILENO), LOG_WARN);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    rc = app_load(&app, path);
    if (rc == 0)
        rc = record(&app, filter.mqtt, for_ms);
    else
        rc = (app_report(&app), CMD_NO);
    app_finish(&app);
    topic_filter_finish(&filter);
    return rc;
}

const struct command cmd_record = {
    .name = "record",
    .usage = "busbar record [--topic FILTER] [--for TIME] [-c FILE] > FILE.ndjson",
    .help = "Writes what is on the bus to standard output, a line of JSON for each message.\n"
            "What `busbar try --replay` reads. It is a client of its own: a running daemon is not disturbed.\n"
            "\n"
            "  -t, --topic FILTER     what to listen to; default: all that the routes do\n"
            "      --for TIME         ends by itself, after 10m for example; default: at SIGINT (Ctrl-C)\n"
            "  -c, --config FILE      the configuration, for the broker\n"
            "\n"
            "Exit status: 0 done, 1 the configuration is wrong or standard output takes no more.\n",
    .run = run,
};
