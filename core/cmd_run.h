/* The running daemon: what it is made of. cmd_run_build.c puts it together and takes it apart, cmd_run.c runs it.
 * Reactor thread only, but for the atomics. */
#ifndef BUSBAR_CMD_RUN_H
#define BUSBAR_CMD_RUN_H

#include "api.h"
#include "app.h"
#include "mqtt.h"
#include "reload.h"

#include <signal.h>
#include <stdatomic.h>

struct checkpoints;

enum daemon_going { RUNNING = 0, STOPPING, RELOADING };

struct daemon {
    struct app app;
    struct store *store;
    struct store_session *reactor_session, *intake_session;
    struct checkpoints *checkpoints;
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
    atomic_bool refused_full;   /* for want of room, or because the disk takes nothing */
    bool waits_for_room;        /* so it stays down until there is some */
    const char *trouble;        /* of the store, as it was said last; NULL: none */
    enum daemon_going going;
    struct reload *reload;
    struct reload_socket sockets[4]; /* for the new process: what it listens on besides, and what we listened on */
    size_t socket_count;
    bool moves; /* it says elsewhere that it is there */
    bool was_ready, was_tight, store_failed;
    uint64_t files_stamp, files_seen; /* of the configuration's files: as they were read, as they were last seen */
    int64_t watchdog_every_ms, watchdog_at_ms; /* systemd's */
    int64_t drain_until_ms, probe_at_ms, retain_at_ms, files_at_ms, hurry_at_ms, wall_ms, steady_ms;
};

/* Before any thread, which inherits it, and before the configuration is read: what comes meanwhile waits. */
sigset_t daemon_block_signals(void);
int daemon_build(struct daemon *daemon); /* 0, or -1 with the reason logged: tear it down all the same */
void daemon_tear_down(struct daemon *daemon);
/* Finds out, while the old configuration still runs, what the new one needs of the machine: addresses to listen on,
 * which it opens, and a store that can be opened. false: with the reason logged, and nothing changed */
bool daemon_prepare_next(struct daemon *daemon);
/* Once nobody needs them any more: keeps the sockets that listen for the new process. */
void daemon_keep_sockets(struct daemon *daemon);
void daemon_drop_sockets(struct daemon *daemon);
const char *daemon_not_ready(void *daemon); /* NULL: ready; else why not */
/* Until the new subscriptions stand, the session may hold the old ones and the new ones. */
int daemon_remember_filters(struct daemon *daemon, bool all);
struct metric *daemon_store_failures(void);

/* cmd_run_checkpoint.c: the thread that carries the store's log over into its file. NULL and *error (gives). */
struct checkpoints *checkpoints_start(struct store *store, char **error);
void checkpoints_stop(struct checkpoints *checkpoints); /* NULL is legal; waits for the one under way */

/* cmd_run.c */
void daemon_on_signal(void *daemon, unsigned events);
void daemon_on_checked(void *daemon, bool good); /* the file, after SIGHUP */

#endif
