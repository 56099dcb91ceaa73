/* SPDX-License-Identifier: Apache-2.0 */
#include "aside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_WORDS ((size_t)256 << 10)
#define TICK_MS 1000
#define NAP_MS 5 /* of a child that has closed its pipe and lives on */

/* ---- the child ---- */

static void limit_words(void)
{
    const struct rlimit no_core = {0, 0}, words = {MOST_WORDS, MOST_WORDS};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGXFSZ, SIG_IGN); /* more than that is not kept, and no reason to die */
    setrlimit(RLIMIT_FSIZE, &words);
}

static _Noreturn void be_child(int out, int words, void (*run)(int out, void *context), void *context)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGPROF, SIGTERM};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL); /* the parent reads the signal from the status */
    if (words >= 0) {
        dup2(words, STDOUT_FILENO);
        dup2(words, STDERR_FILENO);
    }
    setvbuf(stdout, NULL, _IONBF, 0); /* what is printed is there, whatever becomes of the process */
    limit_words();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    run(out, context);
    exit(0);
}

void aside_tell(int out, const void *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        const ssize_t n = write(out, (const char *)bytes + sent, len - sent);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

/* ---- the parent ---- */

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What is there, without waiting for more than `wait_ms`. False: nobody has the other end any more. */
static bool take(int fd, struct buf *out, int wait_ms)
{
    char part[4096];
    struct pollfd there = {.fd = fd, .events = POLLIN};
    while (poll(&there, 1, wait_ms) > 0) {
        const ssize_t n = read(fd, part, sizeof part);
        if (n <= 0)
            return n < 0 && errno == EINTR;
        buf_append(out, part, (size_t)n);
        wait_ms = 0;
    }
    return true;
}

/* Not to the end of the pipe: what the child started itself may hold it for as long as it likes. */
static void wait_for(struct aside *aside, pid_t child, int fd, bool (*tick)(int seconds, void *context), void *context)
{
    const int64_t start = monotonic_ms();
    int64_t seconds = 0;
    bool open = true;
    for (pid_t dead = 0; dead == 0;) {
        if (open)
            open = take(fd, &aside->out, (int)(TICK_MS - (monotonic_ms() - start) % TICK_MS));
        else
            (void)poll(NULL, 0, NAP_MS);
        dead = waitpid(child, &aside->status, WNOHANG);
        if (dead < 0)
            aside->failed = true;
        const int64_t now = (monotonic_ms() - start) / TICK_MS;
        if (dead != 0 || now == seconds)
            continue;
        seconds = now;
        if (!tick((int)seconds, context)) {
            aside->stuck = true;
            kill(child, SIGKILL);
            waitpid(child, &aside->status, 0);
            dead = child;
        }
    }
    if (open)
        (void)take(fd, &aside->out, 0);
}

static void read_words(int fd, struct buf *words)
{
    char part[4096];
    off_t at = 0;
    for (ssize_t n; fd >= 0 && (n = pread(fd, part, sizeof part, at)) > 0; at += n)
        buf_append(words, part, (size_t)n);
}

void aside_run(struct aside *aside, void (*run)(int out, void *context), bool (*tick)(int seconds, void *context),
               void *context)
{
    int ends[2];
    *aside = (struct aside){0};
    if (pipe(ends) != 0) {
        aside->failed = true;
        return;
    }
    const int words = memfd_create("words", MFD_CLOEXEC);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_child(ends[1], words, run, context);
    }
    close(ends[1]);
    aside->failed = child < 0;
    if (child > 0)
        wait_for(aside, child, ends[0], tick, context);
    close(ends[0]);
    read_words(words, &aside->words);
    if (words >= 0)
        close(words);
}

void aside_finish(struct aside *aside)
{
    buf_finish(&aside->out);
    buf_finish(&aside->words);
}

bool aside_ten_seconds(int seconds, void *context)
{
    (void)context;
    return seconds < 10;
}

bool aside_ended_well(const struct aside *aside)
{
    return !aside->failed && !aside->stuck && WIFEXITED(aside->status) && WEXITSTATUS(aside->status) == 0;
}

/* What went out of hand says why in its last line: libc, the C++ runtime, Rust's, a sanitizer. */
static void say_last_line(const struct buf *words, struct buf *text)
{
    size_t end = words->len;
    while (end > 0 && (words->data[end - 1] == '\n' || words->data[end - 1] == ' '))
        end--;
    size_t start = end;
    while (start > 0 && words->data[start - 1] != '\n')
        start--;
    while (start < end && words->data[start] == ' ')
        start++;
    if (end > start)
        buf_printf(text, ": %.*s", (int)(end - start < 300 ? end - start : 300), words->data + start);
}

void aside_say_end(const struct aside *aside, struct buf *text)
{
    if (aside->failed)
        buf_puts(text, "got no process of its own");
    else if (aside->stuck)
        buf_puts(text, "does not come back");
    else if (!WIFSIGNALED(aside->status))
        buf_printf(text, "ended the process (exit status %d)", WEXITSTATUS(aside->status));
    else if (WTERMSIG(aside->status) == SIGABRT)
        buf_puts(text, "aborted, or an exception left it");
    else
        buf_printf(text, "crashed (%s)", strsignal(WTERMSIG(aside->status)));
    if (!aside->stuck)
        say_last_line(&aside->words, text);
}
