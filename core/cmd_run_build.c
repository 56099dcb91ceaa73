/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_run.h"

#include "admin.h"
#include "clock.h"
#include "config.h"
#include "dispatch.h"
#include "door.h"
#include "http.h"
#include "intake.h"
#include "listen.h"
#include "log.h"
#include "metrics.h"
#include "number.h"
#include "route.h"
#include "store.h"
#include "web.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- what other rooms call back */

static void on_message(void *context, const struct message *message)
{
    intake_message(((struct daemon *)context)->intake, message);
}

struct metric *daemon_store_failures(void)
{
    return metric_get(metric_family(METRIC_COUNTER, "busbar_store_failures_total",
                                    "Commits that the store refused; what they held was not acknowledged.", ""));
}

static int on_flush(void *context)
{
    struct daemon *daemon = context;
    int rc = intake_flush(daemon->intake);
    if (rc != 0)
        metric_add(daemon_store_failures(), 1);
    atomic_store(&daemon->intake_refused, rc != 0);
    struct store_trouble trouble;
    if (rc != 0 && (store_is_tight(daemon->store) || store_trouble(daemon->store, &trouble)))
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
    if (present && !daemon->had_session)
        log_warn(
            "the broker kept a session of ours that the store does not know: subscriptions of an older configuration "
            "may be in it",
            "effect",
            daemon->app.config->bus.version == 5
                ? "their copies are recognised by their identifiers, where the broker sends any"
                : "with MQTT 3.1.1 a copy does not say what it is for: a broker that sends one for each "
                  "subscription doubles messages",
            "action", "to be rid of it: another bus.client_id, once what the broker has queued is in", NULL);
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

const char *daemon_not_ready(void *context)
{
    const struct daemon *daemon = context;
    if (daemon->going == STOPPING)
        return "draining";
    struct store_trouble trouble;
    if (store_trouble(daemon->store, &trouble))
        return trouble.text;
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

static const char *bus_reason(void *context)
{
    const char *reason = mqtt_last_error(((const struct daemon *)context)->mqtt);
    return reason[0] != '\0' ? reason : NULL;
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
    if (store_unread_commits(daemon->store) > 1) {
        cleanup_text char *count = mem_printf("%lld", (long long)store_unread_commits(daemon->store));
        log_error(
            "the store's log (-wal) is wrong in the middle: what stands behind that is not read", "path", config->path,
            "commits", count, "action",
            "expected after a full or failing disk, and with durability crash after a power cut; else the log was "
            "damaged: compare with the target and the broker what came last",
            NULL);
    }
    daemon->reactor_session = store_session_open(daemon->store, &error);
    if (daemon->reactor_session != NULL)
        daemon->intake_session = store_session_open(daemon->store, &error);
    if (daemon->intake_session == NULL || (daemon->checkpoints = checkpoints_start(daemon->store, &error)) == NULL)
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

int daemon_remember_filters(struct daemon *daemon, bool all)
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
        daemon_remember_filters(daemon, true) != 0)
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

/* A flood at the doors must not take the files that the store, the broker and the targets need. */
static unsigned places_for_each(const struct config_http *config)
{
    unsigned doors = config->webhooks != NULL && config->admin != NULL ? 2 : 1,
             wanted = (unsigned)config->max_connections;
    unsigned fit = listen_fit(doors * wanted) / doors;
    cleanup_text char *number = mem_printf("%u", fit);
    if (fit < wanted)
        log_warn("fewer connections than http.max_connections: more files may not be opened", "connections", number,
                 "setting", "LimitNOFILE, ulimit -n", NULL);
    return fit;
}

static struct web *listen_on(struct daemon *daemon, const char *address, int inherited, web_handler *handler,
                             void *context, void (*refused)(void *context, int status))
{
    const struct config_http *config = &daemon->app.config->http;
    char *error = NULL;
    const struct web_options options = {.address = address,
                                        .listen_fd = inherited,
                                        .tls_cert = config->tls.cert,
                                        .tls_key = config->tls.key,
                                        .max_body_bytes = config->max_body_bytes,
                                        .max_connections = places_for_each(config),
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
    int hooks = config->webhooks != NULL ? reload_inherited(config->webhooks) : -1;
    int admin = config->admin != NULL ? reload_inherited(config->admin) : -1;
    reload_drop_inherited(); /* before the new are opened: the port may be the same, 127.0.0.1:80 become 0.0.0.0:80 */
    if (config->webhooks != NULL &&
        (daemon->hooks = listen_on(daemon, config->webhooks, hooks, door_handle, daemon->door, door_refused)) == NULL)
        return -1;
    if (config->admin != NULL &&
        (daemon->admin = listen_on(daemon, config->admin, admin, admin_handle, &daemon->api, NULL)) == NULL)
        return -1;
    return 0;
}

sigset_t daemon_block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signals;
}

int daemon_build(struct daemon *daemon)
{
    sigset_t signals = daemon_block_signals();
    signal(SIGPIPE, SIG_IGN);
    sessions_lost(); /* exported from the start, as 0 */
    daemon_store_failures();
    daemon->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    daemon->http = http_create();
    http_watch(daemon->http, daemon->signal_fd, daemon_on_signal, daemon);
    daemon->reload = reload_create(daemon->http, daemon->app.path, daemon_on_checked, daemon);
    daemon->api.started_ms = clock_wall_ms();
    if (open_store(daemon) != 0 || build_rooms(daemon) != 0 || build_bus(daemon) != 0)
        return -1;
    daemon->api = (struct api){.config = daemon->app.config,
                               .store = daemon->store,
                               .session = daemon->reactor_session,
                               .dispatch = daemon->dispatch,
                               .intake = daemon->intake,
                               .ready = daemon_not_ready,
                               .bus_state = bus_state,
                               .bus_reason = bus_reason,
                               .context = daemon,
                               .started_ms = daemon->api.started_ms};
    return build_listeners(daemon);
}

/* ---- making way */

static void give_socket(struct daemon *daemon, const char *address, int fd)
{
    daemon->sockets[daemon->socket_count++] = (struct reload_socket){mem_strdup(address), fd};
}

void daemon_drop_sockets(struct daemon *daemon)
{
    while (daemon->socket_count > 0) {
        struct reload_socket *socket = &daemon->sockets[--daemon->socket_count];
        if (socket->fd >= 0)
            close(socket->fd);
        free(socket->address);
    }
}

/* A port that we hold under another address is free only when we are gone. */
static bool is_our_port(const struct daemon *daemon, const char *address)
{
    const struct web *ours[] = {daemon->hooks, daemon->admin};
    const char *colon = strrchr(address, ':');
    int64_t port = 0;
    number_parse_int(span_of(colon != NULL ? colon + 1 : ""), 0, 65535, &port);
    for (size_t i = 0; i < 2; i++)
        if (ours[i] != NULL && listen_port(web_listen_fd(ours[i])) == port)
            return true;
    return false;
}

static bool prepare_address(struct daemon *daemon, const char *address)
{
    const struct config_http *now = &daemon->app.config->http;
    char *error = NULL;
    bool have = address == NULL || (now->webhooks != NULL && strcmp(address, now->webhooks) == 0) ||
                (now->admin != NULL && strcmp(address, now->admin) == 0);
    if (have || is_our_port(daemon, address))
        return true;
    int fd = listen_open(address, &error);
    if (fd < 0) {
        fail("the new configuration is wrong", error);
        return false;
    }
    give_socket(daemon, address, fd);
    return true;
}

static bool prepare_store(const struct daemon *daemon, const struct config_store *next)
{
    char *error = NULL;
    if (strcmp(next->path, daemon->app.config->store.path) == 0)
        return true;
    const struct store_options options = {.path = next->path, .max_bytes = next->max_bytes};
    struct store *store = store_open(&options, &error);
    if (store == NULL) {
        fail("the new configuration is wrong", error);
        return false;
    }
    store_close(store);
    return true;
}

/* Whether it will say elsewhere that it is online, so that here nobody would say it is not. */
static bool moves(const struct daemon *daemon, const struct config *next)
{
    const struct config_bus *bus = &daemon->app.config->bus;
    cleanup_text char *topic = mem_printf("%s/status/%s", next->bus.prefix, next->instance);
    bool same = strcmp(topic, daemon->will_topic) == 0 && bus->url_count == next->bus.url_count;
    for (size_t i = 0; same && i < bus->url_count; i++)
        same = strcmp(bus->urls[i], next->bus.urls[i]) == 0;
    return !same;
}

bool daemon_prepare_next(struct daemon *daemon)
{
    struct problems problems = {0};
    struct config *next = config_load(daemon->app.path, &problems);
    bool good = next != NULL && prepare_store(daemon, &next->store) && prepare_address(daemon, next->http.webhooks) &&
                prepare_address(daemon, next->http.admin);
    if (good) {
        daemon->moves = moves(daemon, next);
    } else {
        daemon_drop_sockets(daemon);
    }
    config_destroy(next);
    problems_finish(&problems);
    return good;
}

void daemon_keep_sockets(struct daemon *daemon)
{
    const struct config_http *config = &daemon->app.config->http;
    if (daemon->hooks != NULL)
        give_socket(daemon, config->webhooks, reload_keep(web_listen_fd(daemon->hooks)));
    if (daemon->admin != NULL)
        give_socket(daemon, config->admin, reload_keep(web_listen_fd(daemon->admin)));
}

void daemon_tear_down(struct daemon *daemon)
{
    bool silent = daemon->going == RELOADING && !daemon->moves;
    struct span farewell = silent ? (struct span){0} : span_of(daemon->will);
    if (daemon->dispatch != NULL)
        dispatch_set_bus(daemon->dispatch, NULL);
    if (daemon->mqtt != NULL)
        mqtt_destroy(daemon->mqtt, farewell, 2000);
    door_destroy(daemon->door);
    web_destroy(daemon->hooks);
    web_destroy(daemon->admin);
    reload_destroy(daemon->reload);
    http_watch(daemon->http, daemon->signal_fd, NULL, NULL);
    http_destroy(daemon->http);
    intake_destroy(daemon->intake);
    dispatch_destroy(daemon->dispatch);
    checkpoints_stop(daemon->checkpoints);
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
