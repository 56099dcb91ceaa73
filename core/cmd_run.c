/* SPDX-License-Identifier: Apache-2.0 */
/* busbar run: the daemon.
 *
 * Two rooms, one door. Paho's thread is the intake: it judges, commits, acknowledges. This thread is
 * the reactor: HTTP both ways, plugins, timers. They share the store and a wake-up. A third only
 * carries the store's log over into its file.
 *
 * A turn of the reactor: wait; let the rooms say what they have; write all of it in one transaction;
 * tell them how it went. */
#include "cmd_run.h"

#include "clock.h"
#include "cmd.h"
#include "config.h"
#include "confine.h"
#include "dispatch.h"
#include "door.h"
#include "http.h"
#include "intake.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "store.h"
#include "watchdog.h"
#include "web.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_MS 10000
#define WATCHDOG_MS 10000
#define LOOK_EVERY_MS 1000
#define RETAIN_EVERY_MS 60000
#define RETAIN_ROWS 2000
#define ROOM_LOOK_MS 1000
#define FILES_LOOK_MS 2000
#define LOG_LOOK_MS 10    /* while somebody reads what was kept */
#define TURNS_IN_A_ROW 16 /* before the network is looked at again */

/* ---- running */

/* What is under way ends, nothing new begins. Stopping, the door closes first; reloading, what knocks meanwhile waits
 * for the new process. */
static void begin_drain(struct daemon *daemon, enum daemon_going why)
{
    if (daemon->going == STOPPING)
        return;
    log_info(why == RELOADING ? "reloading" : "draining", NULL);
    notify_send(why == RELOADING ? "RELOADING=1\nSTATUS=loading the new configuration" : "STOPPING=1");
    if (daemon->going == RUNNING) {
        daemon->drain_until_ms = clock_steady_ms() + DRAIN_MS;
        dispatch_drain(daemon->dispatch);
    }
    daemon->going = why;
    if (daemon->hooks != NULL && why == STOPPING)
        web_refuse_new(daemon->hooks);
}

void daemon_on_checked(void *context, bool good)
{
    struct daemon *daemon = context;
    if (good && daemon->going == RUNNING && daemon_prepare_next(daemon))
        begin_drain(daemon, RELOADING);
    else
        log_error("SIGHUP: the old configuration stays in force", "file", daemon->app.path, "action",
                  "mend the file, see `busbar check`, then send SIGHUP again", NULL);
}

void daemon_on_signal(void *context, unsigned events)
{
    struct daemon *daemon = context;
    struct signalfd_siginfo info;
    (void)events;
    while (read(daemon->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGHUP)
            begin_drain(daemon, STOPPING);
        else if (daemon->going == RUNNING)
            reload_check(daemon->reload);
    }
}

static void say_ready(struct daemon *daemon)
{
    const char *why_not = daemon_not_ready(daemon);
    bool ready = why_not == NULL;
    if (ready != daemon->was_ready && daemon->going == RUNNING) {
        cleanup_text char *status = mem_printf("STATUS=%s", ready ? "ready" : why_not);
        notify_send(status);
    }
    if (ready && !daemon->was_ready) {
        log_info("ready", "instance", daemon->app.config->instance, NULL);
        if (!daemon->filters_settled)
            daemon->filters_settled = daemon_remember_filters(daemon, false) == 0;
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
        dispatch_alert(daemon->dispatch, "bus_session_lost", NULL, NULL,
                       "the broker lost our session: messages sent while busbar was away are gone");
    if (intake_take_stale(daemon->intake))
        dispatch_alert(daemon->dispatch, "bus_stale_subscription", NULL, NULL,
                       "the broker's session has a subscription that the store does not know: see the log");
    for (const char *route; (route = intake_take_alarm(daemon->intake)) != NULL;)
        dispatch_alert(daemon->dispatch, "over_budget", NULL, route,
                       "the route is over its budget: what it fires is suppressed and counted, see the audit");
    bool work = dispatch_pick(daemon->dispatch, daemon->steady_ms, daemon->wall_ms);
    work |= door_has_work(daemon->door);
    if (!work)
        return false;
    bool stored = store_begin(session) == 0 && door_store(daemon->door, daemon->steady_ms, daemon->wall_ms) == 0 &&
                  dispatch_store(daemon->dispatch) == 0 && store_commit(session) == 0;
    if (!stored) {
        store_rollback(session);
        metric_add(daemon_store_failures(), 1);
    }
    daemon->store_failed = !stored;
    door_go(daemon->door, stored);
    dispatch_go(daemon->dispatch, stored);
    return stored;
}

/* Said once when it begins and once when it is over: what failed meanwhile is counted. */
static void say_store(struct daemon *daemon)
{
    struct store_trouble trouble;
    bool any = store_trouble(daemon->store, &trouble);
    if (any && daemon->trouble != trouble.name)
        log_error("the store takes nothing", "path", daemon->app.config->store.path, "trouble", trouble.name, "reason",
                  trouble.text, NULL);
    if (!any && daemon->trouble != NULL)
        log_info("the store takes everything again", "path", daemon->app.config->store.path, "trouble over",
                 daemon->trouble, NULL);
    daemon->trouble = any ? trouble.name : NULL;
}

/* A quiet daemon has nothing to store by which it could learn that the store works again. */
static void probe_store(struct daemon *daemon)
{
    struct store_trouble trouble;
    if (daemon->store_failed || store_trouble(daemon->store, &trouble))
        daemon->store_failed = store_probe(daemon->reactor_session) != 0;
}

/* A secret that was rotated, a certificate that was renewed: taken like a SIGHUP, once two looks saw the same. */
static void look_at_files(struct daemon *daemon)
{
    uint64_t stamp = config_files_stamp(daemon->app.config);
    daemon->files_at_ms = daemon->steady_ms + FILES_LOOK_MS;
    if (stamp != daemon->files_stamp && stamp == daemon->files_seen && daemon->going == RUNNING) {
        log_info("a secret, a certificate or another file that the configuration names has changed", NULL);
        daemon->files_stamp = stamp; /* when it is wrong: not again before it changes again */
        reload_check(daemon->reload);
    }
    daemon->files_seen = stamp;
}

static void upkeep(struct daemon *daemon)
{
    if (daemon->steady_ms >= daemon->files_at_ms)
        look_at_files(daemon);
    if (daemon->watchdog_every_ms > 0 && daemon->steady_ms >= daemon->watchdog_at_ms) {
        notify_send("WATCHDOG=1");
        daemon->watchdog_at_ms = daemon->steady_ms + daemon->watchdog_every_ms;
    }
    if (daemon->steady_ms >= daemon->probe_at_ms) {
        probe_store(daemon);
        daemon->probe_at_ms = daemon->steady_ms + LOOK_EVERY_MS;
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

/* After messages were refused for want of room, or because the disk took nothing, the bus waits until there is some:
 * the broker keeps what comes meanwhile, and reconnecting before would only have it sent in vain. */
static int64_t tick_bus(struct daemon *daemon)
{
    struct store_trouble trouble;
    if (mqtt_state(daemon->mqtt) == MQTT_DOWN && atomic_load(&daemon->refused_full)) {
        daemon->waits_for_room = true;
        if (store_is_tight(daemon->store) || store_trouble(daemon->store, &trouble) ||
            daemon->steady_ms < daemon->hurry_at_ms)
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
    int64_t timeout = LOOK_EVERY_MS;
    timeout = least(timeout, tick_bus(daemon));
    if (daemon->hooks != NULL)
        timeout = least(timeout, web_tick(daemon->hooks));
    if (daemon->admin != NULL)
        timeout = least(timeout, web_tick(daemon->admin));
    bool listening = mqtt_state(daemon->mqtt) == MQTT_READY;
    int64_t due = intake_tick(daemon->intake, daemon->steady_ms, daemon->wall_ms, listening);
    if (due != INT64_MAX)
        timeout = least(timeout, due - daemon->steady_ms);
    due = dispatch_next_due(daemon->dispatch);
    if (due != INT64_MAX)
        timeout = least(timeout, due > daemon->steady_ms ? due - daemon->steady_ms : 0);
    if (door_has_work(daemon->door)) /* it was heard in the tick, and no descriptor will tell of it again */
        timeout = 0;
    if (log_flush())
        timeout = least(timeout, LOG_LOOK_MS);
    http_turn(daemon->http, timeout);
}

static bool is_drained(const struct daemon *daemon)
{
    bool asked = daemon->hooks != NULL && web_open_requests(daemon->hooks) > 0;
    return dispatch_in_flight(daemon->dispatch) == 0 && !asked;
}

static void run(struct daemon *daemon)
{
    struct metric *turns = metric_get(metric_family(
        METRIC_COUNTER, "busbar_turns_total", "Turns of the main loop: many while little is carried are a bug.", ""));
    daemon->steady_ms = clock_steady_ms();
    daemon->wall_ms = clock_wall_ms();
    daemon->retain_at_ms = daemon->steady_ms + RETAIN_EVERY_MS;
    daemon->files_stamp = daemon->files_seen = config_files_stamp(daemon->app.config);
    daemon->watchdog_every_ms = notify_watchdog_ms();
    notify_send("READY=1"); /* it runs; whether the broker is there is what /readyz and STATUS say */
    for (;;) {
        wait_for_work(daemon);
        metric_add(turns, 1);
        for (int i = 0; i < TURNS_IN_A_ROW && turn(daemon); i++)
            ;
        daemon->steady_ms = clock_steady_ms();
        upkeep(daemon);
        say_store(daemon);
        say_ready(daemon);
        if (daemon->going != RUNNING && (is_drained(daemon) || daemon->steady_ms >= daemon->drain_until_ms))
            return;
    }
}

/* Rights that it no longer needs once the configuration is read. */
static int give_up_rights(const struct daemon *daemon)
{
    const struct config *config = daemon->app.config;
    cleanup_text char *error = NULL;
    if (confine_user(config->user, &error) != 0) {
        log_error("cannot give up root's rights", "reason", error, NULL);
        return -1;
    }
    confine_daemon(config->store.path);
    return app_renew_plugins(&daemon->app);
}

static int run_file(const char *path)
{
    struct daemon daemon = {.signal_fd = -1};
    int rc = app_load(&daemon.app, path);
    if (app_report(&daemon.app) != 0 || rc != 0) {
        app_finish(&daemon.app);
        return 1;
    }
    log_info("starting", "version", BUSBAR_VERSION, "config", daemon.app.path, NULL);
    if (give_up_rights(&daemon) != 0) {
        app_finish(&daemon.app);
        return 1;
    }
    watchdog_start(WATCHDOG_MS);
    rc = daemon_build(&daemon);
    if (rc == 0)
        run(&daemon);
    bool again = rc == 0 && daemon.going == RELOADING;
    if (again)
        daemon_keep_sockets(&daemon);
    else
        log_info("stopping", NULL);
    daemon_tear_down(&daemon);
    watchdog_start(0);
    if (again) {
        reload_exec(daemon.app.path, daemon.sockets, daemon.socket_count);
        rc = -1;
    }
    daemon_drop_sockets(&daemon);
    app_finish(&daemon.app);
    return rc == 0 ? 0 : 1;
}

static int cmd_run_main(int argc, char **argv)
{
    const char *path = NULL;
    daemon_block_signals(); /* first of all: what comes before anybody listens waits for who does */
    int rc = cmd_options(&cmd_run, &argc, argv, (struct cmd_option[]){{"-c", "--config", &path, NULL}, {0}});
    if (rc >= 0)
        return rc;
    if (argc > 1)
        return cmd_usage(&cmd_run, "no argument is expected: the file goes behind -c");
    log_open(!isatty(STDERR_FILENO), LOG_INFO);
    log_never_wait();
    rc = run_file(path);
    log_close(LOG_LAST_TRY_MS);
    return rc;
}

const struct command cmd_run = {
    .name = "run",
    .usage = "busbar run [-c FILE]",
    .help = "Runs the daemon until SIGTERM or SIGINT. Logs to stderr: text on a terminal, JSON otherwise.\n"
            "SIGHUP checks the file and, when it is good, goes on with it; else the old one stays in force.\n",
    .run = cmd_run_main,
};
