/* SPDX-License-Identifier: Apache-2.0 */
/* busbar run: the daemon.
 *
 * Two rooms, one door. Paho's thread is the intake: it judges, commits, acknowledges. This thread is
 * the reactor: HTTP both ways, plugins, timers. They share the store and a wake-up.
 *
 * A turn of the reactor: wait; let the rooms say what they have; write all of it in one transaction;
 * tell them how it went. */
#include "admin.h"
#include "api.h"
#include "app.h"
#include "clock.h"
#include "cmd.h"
#include "config.h"
#include "digest.h"
#include "dispatch.h"
#include "door.h"
#include "http.h"
#include "intake.h"
#include "log.h"
#include "metrics.h"
#include "mqtt.h"
#include "route.h"
#include "store.h"
#include "watchdog.h"
#include "web.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_MS 10000
#define WATCHDOG_MS 10000
#define CHECKPOINT_EVERY_MS 1000
#define RETAIN_EVERY_MS 60000
#define RETAIN_ROWS 2000
#define ROOM_LOOK_MS 1000
#define TURNS_IN_A_ROW 16 /* before the network is looked at again */

struct daemon {
    struct app app;
    struct store *store;
    struct store_session *reactor_session, *intake_session;
    struct http *http;
    struct dispatch *dispatch;
    struct intake *intake;
    struct door *door;
    struct mqtt *mqtt;
    struct mqtt_options bus_options; /* borrowed by mqtt */
    struct web *hooks, *admin;
    struct api api;
    char **drop_filters;
    size_t drop_count, drop_cap;
    const char *const *filters;
    size_t filter_count;
    char *will, *birth, *will_topic;
    int signal_fd;
    bool filters_settled; /* the store knows that the dropped ones are gone */
    bool had_session;     /* Paho's thread after the start */
    atomic_bool session_lost;
    atomic_bool intake_refused; /* by the store; the link is down because of it */
    atomic_bool refused_full;   /* for want of room, */
    bool waits_for_room;        /* so it stays down until there is some */
    bool draining, was_ready, was_tight, store_failed;
    int64_t drain_until_ms, checkpoint_at_ms, retain_at_ms, hurry_at_ms, wall_ms, steady_ms;
};

/* ---- what other rooms call back */

static void on_message(void *context, const struct message *message)
{
    intake_message(((struct daemon *)context)->intake, message);
}

static struct metric *store_failures(void)
{
    return metric_get(metric_family(METRIC_COUNTER, "busbar_store_failures_total",
                                    "Commits that the store refused; what they held was not acknowledged.", ""));
}

static int on_flush(void *context)
{
    struct daemon *daemon = context;
    int rc = intake_flush(daemon->intake);
    if (rc != 0)
        metric_add(store_failures(), 1);
    atomic_store(&daemon->intake_refused, rc != 0);
    if (rc != 0 && store_is_tight(daemon->store))
        atomic_store(&daemon->refused_full, true);
    return rc;
}

static struct metric *sessions_lost(void)
{
    return metric_get(metric_family(METRIC_COUNTER, "busbar_bus_session_lost_total",
                                    "Connects at which the broker had no session of ours.", ""));
}

/* The first connect of a client finds no session either: that is no loss. */
static void on_session(void *context, bool present)
{
    struct daemon *daemon = context;
    if (!present && daemon->had_session) {
        metric_add(sessions_lost(), 1);
        log_warn("the broker lost our session: what came while we were away is gone", NULL);
        atomic_store(&daemon->session_lost, true);
    }
    daemon->had_session = true;
    intake_session(daemon->intake, present);
}

static void on_wake(void *context)
{
    http_wake(((struct daemon *)context)->http);
}

static void on_accepted(void *context)
{
    struct daemon *daemon = context;
    dispatch_notice(daemon->dispatch);
    http_wake(daemon->http);
}

static const char *not_ready(void *context)
{
    const struct daemon *daemon = context;
    if (daemon->draining)
        return "draining";
    if (daemon->store_failed)
        return "the store cannot be written";
    if (!store_has_room(daemon->store) || daemon->waits_for_room)
        return "the store is full: discard dead letters, resume held targets, or raise store.max_size";
    if (mqtt_state(daemon->mqtt) != MQTT_READY)
        return atomic_load(&daemon->intake_refused) ? "the store refuses messages, the broker keeps them"
                                                    : "the bus is not connected and subscribed";
    return NULL;
}

static const char *bus_state(void *context)
{
    switch (mqtt_state(((const struct daemon *)context)->mqtt)) {
    case MQTT_DOWN:
        return "down";
    case MQTT_CONNECTING:
        return "connecting";
    case MQTT_SUBSCRIBING:
        return "subscribing";
    case MQTT_READY:
        return "ready";
    }
    return "?";
}

/* ---- building */

static int fail(const char *what, char *error)
{
    log_error(what, "reason", error, NULL);
    free(error);
    return -1;
}

static int open_store(struct daemon *daemon)
{
    const struct config_store *config = &daemon->app.config->store;
    char *error = NULL;
    const struct store_options options = {.path = config->path,
                                          .power_loss = config->durability == DURABILITY_POWER_LOSS,
                                          .max_bytes = config->max_bytes};
    daemon->store = store_open(&options, &error);
    if (daemon->store == NULL)
        return fail("the store cannot be opened", error);
    daemon->reactor_session = store_session_open(daemon->store, &error);
    if (daemon->reactor_session != NULL)
        daemon->intake_session = store_session_open(daemon->store, &error);
    if (daemon->intake_session == NULL)
        return fail("the store cannot be opened", error);
    return 0;
}

static int build_rooms(struct daemon *daemon)
{
    struct app *app = &daemon->app;
    char *error = NULL;
    const struct dispatch_options dispatch = {
        app->config, app->targets, app->target_count, daemon->store, daemon->reactor_session, daemon->http};
    const struct intake_options intake = {.config = app->config,
                                          .targets = app->targets,
                                          .target_count = app->target_count,
                                          .routes = app->routes,
                                          .store = daemon->store,
                                          .session = daemon->intake_session,
                                          .accepted = on_accepted,
                                          .context = daemon};
    daemon->dispatch = dispatch_create(&dispatch, &error);
    if (daemon->dispatch == NULL)
        return fail("the dispatcher cannot start", error);
    daemon->intake = intake_create(&intake, &error);
    if (daemon->intake == NULL)
        return fail("the intake cannot start", error);
    const struct door_options door = {
        app->config, app->targets, app->target_count, daemon->store, daemon->reactor_session, daemon->dispatch};
    daemon->door = door_create(&door);
    return 0;
}

static void note_dropped(void *context, const char *filter)
{
    struct daemon *daemon = context;
    daemon->had_session = true;
    for (size_t i = 0; i < daemon->filter_count; i++)
        if (strcmp(daemon->filters[i], filter) == 0)
            return;
    daemon->drop_filters = mem_grow(daemon->drop_filters, &daemon->drop_cap, daemon->drop_count + 1, sizeof(char *));
    daemon->drop_filters[daemon->drop_count++] = mem_strdup(filter);
}

/* Until the new subscriptions stand, the session may hold the old ones and the new ones. */
static int remember_filters(struct daemon *daemon, bool all)
{
    size_t count = daemon->filter_count + (all ? daemon->drop_count : 0);
    const char **filters = mem_alloc(count * sizeof(*filters) + 1);
    for (size_t i = 0; i < count; i++)
        filters[i] = i < daemon->filter_count ? daemon->filters[i] : daemon->drop_filters[i - daemon->filter_count];
    struct store_session *session = daemon->reactor_session;
    int rc = store_begin(session);
    if (rc == 0)
        rc = store_put_subscriptions(session, daemon->app.config->bus.client_id, filters, count);
    if (rc == 0)
        rc = store_commit(session);
    if (rc != 0)
        store_rollback(session);
    free(filters);
    return rc;
}

static char *status_payload(const struct daemon *daemon, const char *state)
{
    char time[CLOCK_TEXT_MAX];
    return mem_printf("{\"status\":\"%s\",\"version\":\"%s\",\"started\":\"%s\"}", state, BUSBAR_VERSION,
                      clock_format(daemon->api.started_ms, time));
}

static int build_bus(struct daemon *daemon)
{
    const struct config *config = daemon->app.config;
    const struct config_bus *bus = &config->bus;
    char *error = NULL;
    daemon->filter_count = route_set_filters(daemon->app.routes, &daemon->filters);
    if (store_load_subscriptions(daemon->reactor_session, bus->client_id, note_dropped, daemon) != 0 ||
        remember_filters(daemon, true) != 0)
        return fail("the store cannot be used", mem_strdup(store_error(daemon->reactor_session)));
    daemon->will_topic = mem_printf("%s/status/%s", bus->prefix, config->instance);
    daemon->will = status_payload(daemon, "offline");
    daemon->birth = status_payload(daemon, "online");
    const struct mqtt_handler handler = {daemon, on_message, on_flush, on_wake, on_session};
    daemon->bus_options = (struct mqtt_options){.urls = (const char *const *)bus->urls,
                                                .url_count = bus->url_count,
                                                .version = bus->version,
                                                .client_id = bus->client_id,
                                                .username = bus->username,
                                                .password = bus->password,
                                                .tls_ca = bus->tls.ca,
                                                .tls_cert = bus->tls.cert,
                                                .tls_key = bus->tls.key,
                                                .session_expiry_ms = bus->session_expiry_ms,
                                                .keep_alive_ms = bus->keep_alive_ms,
                                                .connect_timeout_ms = 5000,
                                                .receive_maximum = (int)bus->receive_maximum,
                                                .filters = daemon->filters,
                                                .filter_count = daemon->filter_count,
                                                .drop_filters = (const char *const *)daemon->drop_filters,
                                                .drop_count = daemon->drop_count,
                                                .will_topic = daemon->will_topic,
                                                .will_payload = span_of(daemon->will),
                                                .birth_payload = span_of(daemon->birth),
                                                .reconnect_first_ms = 500,
                                                .reconnect_max_ms = 30000};
    daemon->mqtt = mqtt_create(&daemon->bus_options, &handler, &error);
    if (daemon->mqtt == NULL)
        return fail("the bus client cannot start", error);
    dispatch_set_bus(daemon->dispatch, daemon->mqtt);
    return 0;
}

static struct web *listen_on(struct daemon *daemon, const char *address, web_handler *handler, void *context,
                             void (*refused)(void *context, int status))
{
    const struct config_http *config = &daemon->app.config->http;
    char *error = NULL;
    const struct web_options options = {.address = address,
                                        .listen_fd = -1,
                                        .tls_cert = config->tls.cert,
                                        .tls_key = config->tls.key,
                                        .max_body_bytes = config->max_body_bytes,
                                        .max_connections = (unsigned)config->max_connections,
                                        .max_connections_per_ip = (unsigned)config->max_connections_per_ip,
                                        .refused = refused};
    struct web *web = web_create(&options, daemon->http, handler, context, &error);
    if (web == NULL)
        fail("cannot listen", error);
    return web;
}

static int build_listeners(struct daemon *daemon)
{
    const struct config_http *config = &daemon->app.config->http;
    if (config->webhooks != NULL &&
        (daemon->hooks = listen_on(daemon, config->webhooks, door_handle, daemon->door, door_refused)) == NULL)
        return -1;
    if (config->admin != NULL &&
        (daemon->admin = listen_on(daemon, config->admin, admin_handle, &daemon->api, NULL)) == NULL)
        return -1;
    return 0;
}

static void on_signal(void *context, unsigned events);

static int build(struct daemon *daemon)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before any thread: they inherit it */
    signal(SIGPIPE, SIG_IGN);
    sessions_lost(); /* exported from the start, as 0 */
    store_failures();
    daemon->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    daemon->http = http_create();
    http_watch(daemon->http, daemon->signal_fd, on_signal, daemon);
    daemon->api.started_ms = clock_wall_ms();
    if (open_store(daemon) != 0 || build_rooms(daemon) != 0 || build_bus(daemon) != 0)
        return -1;
    daemon->api = (struct api){.config = daemon->app.config,
                               .store = daemon->store,
                               .session = daemon->reactor_session,
                               .dispatch = daemon->dispatch,
                               .intake = daemon->intake,
                               .ready = not_ready,
                               .bus_state = bus_state,
                               .context = daemon,
                               .started_ms = daemon->api.started_ms};
    return build_listeners(daemon);
}

static void tear_down(struct daemon *daemon)
{
    struct span farewell = span_of(daemon->will);
    if (daemon->dispatch != NULL)
        dispatch_set_bus(daemon->dispatch, NULL);
    if (daemon->mqtt != NULL)
        mqtt_destroy(daemon->mqtt, farewell, 2000);
    door_destroy(daemon->door);
    web_destroy(daemon->hooks);
    web_destroy(daemon->admin);
    http_watch(daemon->http, daemon->signal_fd, NULL, NULL);
    http_destroy(daemon->http);
    intake_destroy(daemon->intake);
    dispatch_destroy(daemon->dispatch);
    store_session_close(daemon->intake_session);
    store_session_close(daemon->reactor_session);
    if (daemon->store != NULL)
        store_close(daemon->store);
    for (size_t i = 0; i < daemon->drop_count; i++)
        free(daemon->drop_filters[i]);
    free(daemon->drop_filters);
    free(daemon->will);
    free(daemon->birth);
    free(daemon->will_topic);
    close(daemon->signal_fd);
}

/* ---- running */

static void begin_drain(struct daemon *daemon)
{
    if (daemon->draining)
        return;
    log_info("draining", NULL);
    daemon->draining = true;
    daemon->drain_until_ms = clock_steady_ms() + DRAIN_MS;
    dispatch_drain(daemon->dispatch);
    if (daemon->hooks != NULL)
        web_refuse_new(daemon->hooks);
}

static void on_signal(void *context, unsigned events)
{
    struct daemon *daemon = context;
    struct signalfd_siginfo info;
    (void)events;
    while (read(daemon->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            log_warn("SIGHUP: restart busbar to load a changed configuration", "file", daemon->app.path, NULL);
        else
            begin_drain(daemon);
    }
}

static void say_ready(struct daemon *daemon)
{
    bool ready = not_ready(daemon) == NULL;
    if (ready && !daemon->was_ready) {
        log_info("ready", "instance", daemon->app.config->instance, NULL);
        if (!daemon->filters_settled)
            daemon->filters_settled = remember_filters(daemon, false) == 0;
    }
    daemon->was_ready = ready;
}

/* One transaction of the reactor. Answers whether there was anything. */
static bool turn(struct daemon *daemon)
{
    struct store_session *session = daemon->reactor_session;
    daemon->wall_ms = clock_wall_ms();
    daemon->steady_ms = clock_steady_ms();
    if (atomic_exchange(&daemon->session_lost, false))
        dispatch_alert(daemon->dispatch, "bus_session_lost", NULL,
                       "the broker lost our session: messages sent while busbar was away are gone");
    bool work = dispatch_pick(daemon->dispatch, daemon->steady_ms, daemon->wall_ms);
    work |= door_has_work(daemon->door);
    if (!work)
        return false;
    bool stored = store_begin(session) == 0 && door_store(daemon->door, daemon->steady_ms, daemon->wall_ms) == 0 &&
                  dispatch_store(daemon->dispatch) == 0 && store_commit(session) == 0;
    if (!stored) {
        store_rollback(session);
        metric_add(store_failures(), 1);
    }
    daemon->store_failed = !stored;
    door_go(daemon->door, stored);
    dispatch_go(daemon->dispatch, stored);
    return stored;
}

/* A quiet daemon has nothing to store by which it could learn that the store works again. */
static void probe_store(struct daemon *daemon)
{
    struct store_session *session = daemon->reactor_session;
    daemon->store_failed = store_begin(session) != 0 || store_commit(session) != 0;
    if (daemon->store_failed)
        store_rollback(session);
}

static void upkeep(struct daemon *daemon)
{
    if (daemon->store_failed && daemon->steady_ms >= daemon->checkpoint_at_ms)
        probe_store(daemon);
    if (daemon->steady_ms >= daemon->checkpoint_at_ms) {
        store_checkpoint(daemon->reactor_session);
        daemon->checkpoint_at_ms = daemon->steady_ms + CHECKPOINT_EVERY_MS;
    }
    bool tight = store_is_tight(daemon->store);
    if (tight && !daemon->was_tight)
        log_warn("the store is nearly full: history is given up early", "path", daemon->app.config->store.path, NULL);
    if (daemon->steady_ms >= daemon->retain_at_ms || (tight && !daemon->was_tight)) {
        int64_t removed = tight ? store_make_room(daemon->reactor_session, daemon->wall_ms, RETAIN_ROWS)
                                : store_retain(daemon->reactor_session, daemon->wall_ms,
                                               daemon->app.config->store.retention_ms, RETAIN_ROWS);
        bool more = removed >= RETAIN_ROWS;
        daemon->retain_at_ms = daemon->steady_ms + (more ? 50 : tight ? 1000 : RETAIN_EVERY_MS);
    }
    daemon->was_tight = tight;
}

static int64_t least(int64_t a, int64_t b)
{
    return b >= 0 && b < a ? b : a;
}

/* After messages were refused for want of room, the bus waits until there is some: the broker keeps
 * what comes meanwhile, and reconnecting before would only have it sent in vain. */
static int64_t tick_bus(struct daemon *daemon)
{
    if (mqtt_state(daemon->mqtt) == MQTT_DOWN && atomic_load(&daemon->refused_full)) {
        daemon->waits_for_room = true;
        if (store_is_tight(daemon->store) || daemon->steady_ms < daemon->hurry_at_ms)
            return ROOM_LOOK_MS;
        atomic_store(&daemon->refused_full, false);
        daemon->hurry_at_ms = daemon->steady_ms + ROOM_LOOK_MS;
        mqtt_hurry(daemon->mqtt);
    }
    daemon->waits_for_room = false;
    return mqtt_tick(daemon->mqtt, daemon->steady_ms);
}

static void wait_for_work(struct daemon *daemon)
{
    int64_t timeout = CHECKPOINT_EVERY_MS;
    timeout = least(timeout, tick_bus(daemon));
    if (daemon->hooks != NULL)
        timeout = least(timeout, web_tick(daemon->hooks));
    if (daemon->admin != NULL)
        timeout = least(timeout, web_tick(daemon->admin));
    int64_t due = dispatch_next_due(daemon->dispatch);
    if (due != INT64_MAX)
        timeout = least(timeout, due > daemon->steady_ms ? due - daemon->steady_ms : 0);
    http_turn(daemon->http, timeout);
}

static void run(struct daemon *daemon)
{
    daemon->steady_ms = clock_steady_ms();
    daemon->wall_ms = clock_wall_ms();
    daemon->retain_at_ms = daemon->steady_ms + RETAIN_EVERY_MS;
    for (;;) {
        wait_for_work(daemon);
        for (int i = 0; i < TURNS_IN_A_ROW && turn(daemon); i++)
            ;
        daemon->steady_ms = clock_steady_ms();
        upkeep(daemon);
        say_ready(daemon);
        if (daemon->draining &&
            (dispatch_in_flight(daemon->dispatch) == 0 || daemon->steady_ms >= daemon->drain_until_ms))
            return;
    }
}

static int cmd_run_main(int argc, char **argv)
{
    struct daemon daemon = {.signal_fd = -1};
    const char *path = NULL;
    int rc = cmd_options(&cmd_run, &argc, argv, (struct cmd_option[]){{"-c", "--config", &path, NULL}, {0}});
    if (rc >= 0)
        return rc;
    if (argc > 1)
        return cmd_usage(&cmd_run, "no argument is expected: the file goes behind -c");
    log_open(!isatty(STDERR_FILENO), LOG_INFO);
    rc = app_load(&daemon.app, path);
    if (app_report(&daemon.app) != 0 || rc != 0) {
        app_finish(&daemon.app);
        return 1;
    }
    watchdog_start(WATCHDOG_MS);
    log_info("starting", "version", BUSBAR_VERSION, "config", daemon.app.path, NULL);
    rc = build(&daemon);
    if (rc == 0)
        run(&daemon);
    log_info("stopping", NULL);
    tear_down(&daemon);
    watchdog_start(0);
    app_finish(&daemon.app);
    return rc == 0 ? 0 : 1;
}

const struct command cmd_run = {
    .name = "run",
    .usage = "busbar run [-c FILE]",
    .help = "Runs the daemon until SIGTERM or SIGINT. Logs to stderr: text on a terminal, JSON otherwise.\n",
    .run = cmd_run_main,
};
