/* SPDX-License-Identifier: Apache-2.0 */
#include "cell_child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *child_end_name(enum child_end end)
{
    static const char *const names[CHILD_ENDS] = {"crash", "timeout", "memory", "forbidden", "exit", "protocol"};
    return names[end];
}

/* ---- it begins */

static int spawn(struct child *child, const char *target, int theirs)
{
    char *argv[] = {(char[]){"busbar"}, (char[]){"cell"}, (char *)(uintptr_t)target, NULL};
    const char *zone = getenv("TZ");
    cleanup_text char *variable = mem_printf("TZ=%s", zone != NULL ? zone : "");
    char *environment[] = {zone != NULL ? variable : NULL, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t blocked, ours;
    /* Its end is ours to decide: what is sent to the whole group (^C, systemd) is not meant for it. */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigaddset(&blocked, SIGQUIT);
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs, STDIN_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDIN_FILENO + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &blocked);
    posix_spawnattr_setsigdefault(&attributes, &ours);
    int rc = posix_spawn(&child->pid, "/proc/self/exe", &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int child_start(struct child *child, const char *target)
{
    int ends[2];
    *child = (struct child){.socket = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return errno;
    int rc = spawn(child, target, ends[1]);
    close(ends[1]);
    if (rc != 0) {
        close(ends[0]);
        return rc;
    }
    child->socket = ends[0];
    clock_getcpuclockid(child->pid, &child->cpu_clock); /* it is there: nobody but us takes it away */
    return 0;
}

int64_t child_cpu_us(const struct child *child)
{
    struct timespec time = {0};
    clock_gettime(child->cpu_clock, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* Where the system does not allow it, it keeps its share. */
void child_put_behind(struct child *child)
{
    sched_setscheduler(child->pid, SCHED_IDLE, &(struct sched_param){0});
    child->behind = true;
}

/* ---- it ends */

/* Memory that was had, not asked for: what a plugin asks malloc() for in vain at once looks like any crash. */
static bool was_full(const struct rusage *usage, const struct child_limits *limits)
{
    return (int64_t)usage->ru_maxrss * 1024 >= limits->memory_bytes / 10 * 9;
}

static enum child_end tell(enum child_end why, int status, const struct rusage *usage,
                           const struct child_limits *limits, const char *where, struct buf *text)
{
    const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const char *name = sigabbrev_np(number);
    if (why == CHILD_TIMEOUT) {
        buf_printf(text, "the plugin did not come back from %s within %lld ms", where, (long long)limits->call_ms);
    } else if (why == CHILD_PROTOCOL) {
        buf_printf(text, "the plugin's process answered nonsense in %s", where);
    } else if (number == SIGSYS) {
        why = CHILD_FORBIDDEN;
        buf_printf(text, "the plugin made a system call that it may not make (SIGSYS) in %s", where);
    } else if (number != 0 && was_full(usage, limits)) {
        why = CHILD_MEMORY;
        buf_printf(text, "the plugin had used up its memory (%lld MiB) and was ended by SIG%s in %s",
                   (long long)(limits->memory_bytes >> 20), name != NULL ? name : "?", where);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_NO_MEMORY) {
        why = CHILD_MEMORY;
        buf_printf(text, "the plugin asked for more memory than it may have (%lld MiB) in %s",
                   (long long)(limits->memory_bytes >> 20), where);
    } else if (number != 0) {
        why = CHILD_CRASH;
        buf_printf(text, "the plugin was ended by SIG%s in %s", name != NULL ? name : "?", where);
    } else {
        why = CHILD_EXIT;
        buf_printf(text, "the plugin ended its process (exit status %d) in %s", WEXITSTATUS(status), where);
    }
    return why;
}

enum child_end child_finish(struct child *child, enum child_end why, const struct child_limits *limits,
                            const char *where, struct buf *text)
{
    int status = 0;
    struct rusage usage = {0};
    kill(child->pid, SIGKILL);
    while (wait4(child->pid, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    close(child->socket);
    child->socket = -1;
    return tell(why, status, &usage, limits, where, text);
}
