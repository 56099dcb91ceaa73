/* SPDX-License-Identifier: Apache-2.0 */
#include "reload.h"

#include "buf.h"
#include "http.h"
#include "log.h"
#include "number.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMPLAINTS_MAX ((size_t)64 << 10) /* of a check: more is a broken program */
#define VARIABLE "BUSBAR_LISTENERS"       /* "<fd> <address>", parted by blanks */

extern char **environ;

struct reload {
    struct http *http;
    const char *path;
    void (*done)(void *context, bool good);
    void *context;
    pid_t child; /* 0: none */
    int pipe;
    bool again;
    struct buf said;
};

/* The file that was run, also when a package has put a new one in its place. gives, NULL */
static char *own_path(void)
{
    static const char gone[] = " (deleted)";
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0)
        return NULL;
    path[len] = '\0';
    size_t tail = sizeof(gone) - 1;
    if ((size_t)len > tail && strcmp(path + len - tail, gone) == 0)
        path[(size_t)len - tail] = '\0';
    return mem_strdup(path);
}

struct reload *reload_create(struct http *http, const char *path, void (*done)(void *context, bool good), void *context)
{
    struct reload *reload = mem_alloc(sizeof(*reload));
    *reload = (struct reload){.http = http, .path = path, .done = done, .context = context, .pipe = -1};
    return reload;
}

static void close_pipe(struct reload *reload)
{
    if (reload->pipe < 0)
        return;
    http_watch(reload->http, reload->pipe, NULL, NULL);
    close(reload->pipe);
    reload->pipe = -1;
}

void reload_destroy(struct reload *reload)
{
    if (reload == NULL)
        return;
    close_pipe(reload);
    if (reload->child > 0) {
        kill(reload->child, SIGKILL);
        waitpid(reload->child, NULL, 0);
    }
    buf_finish(&reload->said);
    free(reload);
}

/* ---- the check */

static void log_complaints(struct reload *reload, bool good)
{
    struct span text = buf_span(&reload->said);
    for (size_t at = 0; at < text.len;) {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        size_t len = end != NULL ? (size_t)(end - text.data) - at : text.len - at;
        cleanup_text char *line = span_dup((struct span){text.data + at, len});
        if (good)
            log_warn("new configuration", "problem", line, NULL);
        else
            log_error("the new configuration is wrong", "problem", line, NULL);
        at += len + 1;
    }
}

static void finish_check(struct reload *reload)
{
    int status = 0;
    close_pipe(reload);
    while (waitpid(reload->child, &status, 0) < 0 && errno == EINTR)
        ;
    reload->child = 0;
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good && reload->said.len == 0)
        buf_puts(&reload->said, "`busbar check` ended without a word");
    log_complaints(reload, good);
    buf_clear(&reload->said);
    if (reload->again) {
        reload->again = false;
        reload_check(reload);
    } else {
        reload->done(reload->context, good);
    }
}

static void on_complaint(void *context, unsigned events)
{
    struct reload *reload = context;
    char text[4096];
    (void)events;
    for (;;) {
        ssize_t got = read(reload->pipe, text, sizeof(text));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            break;
        if (reload->said.len < COMPLAINTS_MAX)
            buf_append(&reload->said, text, (size_t)got);
    }
    finish_check(reload);
}

static int spawn_check(struct reload *reload, int to_us)
{
    cleanup_text char *self = own_path();
    char *argv[] = {self, "check", "-c", (char *)(uintptr_t)reload->path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, ours;
    sigemptyset(&none);
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, to_us, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ours);
    int rc = self != NULL ? posix_spawn(&reload->child, self, &actions, &attributes, argv, environ) : ENOENT;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

void reload_check(struct reload *reload)
{
    int ends[2];
    if (reload->child > 0) {
        reload->again = true;
        return;
    }
    int rc = pipe2(ends, O_CLOEXEC) != 0 ? errno : 0;
    if (rc == 0) {
        rc = spawn_check(reload, ends[1]);
        close(ends[1]);
        if (rc != 0)
            close(ends[0]);
    }
    if (rc != 0) {
        reload->child = 0;
        log_error("the new configuration cannot be checked", "reason", strerror(rc), NULL);
        reload->done(reload->context, false);
        return;
    }
    reload->pipe = ends[0];
    fcntl(reload->pipe, F_SETFL, O_NONBLOCK);
    http_watch(reload->http, reload->pipe, on_complaint, reload);
}

/* ---- becoming the program anew */

int reload_keep(int fd)
{
    return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
}

/* Also what libraries opened without being asked to close it. */
static void close_on_exec(void)
{
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        int64_t fd;
        if (number_parse_int(span_of(entry->d_name), 3, INT32_MAX, &fd))
            fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    }
    if (folder != NULL)
        closedir(folder);
}

void reload_exec(const char *path, const struct reload_socket *sockets, size_t count)
{
    cleanup_text char *self = own_path();
    cleanup_buf struct buf kept = {0};
    char *argv[] = {self, "run", "-c", (char *)(uintptr_t)path, NULL};
    close_on_exec();
    for (size_t i = 0; i < count; i++) {
        if (sockets[i].fd < 0)
            continue;
        buf_printf(&kept, "%s%d %s", kept.len > 0 ? " " : "", sockets[i].fd, sockets[i].address);
        fcntl(sockets[i].fd, F_SETFD, 0);
    }
    setenv(VARIABLE, buf_span(&kept).data, 1);
    log_close(LOG_LAST_TRY_MS);
    if (self != NULL)
        execv(self, argv);
    log_error("cannot start anew", "reason", strerror(errno), NULL);
}

/* Walks "<fd> <address> ..."; takes the pair of this address out, or closes them all (NULL). */
static int take_inherited(const char *address)
{
    const char *variable = getenv(VARIABLE);
    cleanup_text char *text = mem_strdup(variable != NULL ? variable : "");
    cleanup_buf struct buf rest = {0};
    int found = -1;
    char *next = text;
    for (char *number; (number = strsep(&next, " ")) != NULL;) {
        const char *of = strsep(&next, " ");
        int64_t fd;
        if (of == NULL || !number_parse_int(span_of(number), 3, INT32_MAX, &fd))
            break;
        if (address == NULL)
            close((int)fd);
        else if (found < 0 && strcmp(of, address) == 0)
            found = (int)fd;
        else
            buf_printf(&rest, "%s%s %s", rest.len > 0 ? " " : "", number, of);
    }
    if (address == NULL)
        unsetenv(VARIABLE);
    else if (variable != NULL)
        setenv(VARIABLE, buf_span(&rest).data, 1);
    return found;
}

int reload_inherited(const char *address)
{
    return take_inherited(address);
}

void reload_drop_inherited(void)
{
    take_inherited(NULL);
}
