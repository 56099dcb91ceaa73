/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * Who does not read the log must not stop the daemon. O_NONBLOCK on the stderr that we were given would be set for all
 * who share it, so a pipe or a terminal is opened anew, for a description of our own. Where that may not be (another
 * user's pipe, a FIFO after a reload), poll() is asked first and PIPE_BUF written at most: a pipe that is writable
 * takes that much. What the reader does not take is kept, and past a limit lines are counted instead; when half of what
 * was kept is read, a line tells how many. */
#include "log.h"

#include "buf.h"
#include "clock.h"
#include "metrics.h"
#include "number.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_MAX ((size_t)256 << 10)
#define LOOK_AGAIN_MS 10
#define VARIABLE "BUSBAR_LOG_LOST" /* lines that a reload found unread */

static bool as_json = false;
static enum log_level least_level = LOG_INFO;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over what follows */
static bool waits = true;
static bool is_socket = false;
static int out = STDERR_FILENO;
static struct buf kept;
static size_t lost; /* lines since it was last told */
static struct metric *lost_count;

void log_open(bool json, enum log_level least)
{
    as_json = json;
    least_level = least;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARN:
        return "warn";
    case LOG_ERROR:
        return "error";
    case LOG_NONE:
        break;
    }
    return "?";
}

static void put_text_value(struct buf *line, const char *value)
{
    bool plain = value[0] != '\0' && strpbrk(value, " \"=\t\r\n\\") == NULL;
    for (const unsigned char *p = (const unsigned char *)value; plain && *p != '\0'; p++)
        plain = *p >= 0x20 && *p != 0x7f; /* control characters must not reach the terminal */
    if (plain)
        buf_puts(line, value);
    else
        buf_put_json(line, span_of(value));
}

static void put_pair(struct buf *line, const char *key, const char *value)
{
    if (as_json) {
        buf_putc(line, ',');
        buf_put_json(line, span_of(key));
        buf_putc(line, ':');
        if (value == NULL)
            buf_puts(line, "null");
        else
            buf_put_json(line, span_of(value));
    } else {
        buf_printf(line, " %s=", key);
        put_text_value(line, value == NULL ? "-" : value);
    }
}

/* ---- lines */

static void begin_line(struct buf *line, enum log_level level, const char *message)
{
    char time[CLOCK_TEXT_MAX];
    clock_format(clock_wall_ms(), time);
    if (as_json) {
        buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", time, level_name(level));
        buf_put_json(line, span_of(message));
    } else {
        buf_printf(line, "%s %-5s %s", time, level_name(level), message);
    }
}

static void end_line(struct buf *line)
{
    buf_puts(line, as_json ? "}\n" : "\n");
}

/* ---- writing without waiting */

static ssize_t put(const char *data, size_t len)
{
    struct pollfd ready = {.fd = out, .events = POLLOUT};
    size_t piece = len < PIPE_BUF ? len : PIPE_BUF;
    if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0)
        return -1;
    return is_socket ? send(out, data, piece, MSG_DONTWAIT | MSG_NOSIGNAL) : write(out, data, piece);
}

static void flush(void)
{
    ssize_t written;
    size_t done = 0;
    while (done < kept.len && (written = put(kept.data + done, kept.len - done)) > 0)
        done += (size_t)written;
    if (done == 0)
        return;
    memmove(kept.data, kept.data + done, kept.len - done);
    kept.len -= done;
}

static void lose(size_t lines)
{
    lost += lines;
    metric_add(lost_count, (int64_t)lines);
}

/* What is kept, as far as somebody reads; then how much was not. */
static void catch_up(void)
{
    flush();
    if (lost == 0 || kept.len > KEPT_MAX / 2)
        return;
    char count[32];
    snprintf(count, sizeof(count), "%zu", lost);
    begin_line(&kept, LOG_WARN, "lines of the log were lost, nobody read them");
    put_pair(&kept, "lines", count);
    end_line(&kept);
    lost = 0;
    flush();
}

static void wait_and_write(struct span text)
{
    for (size_t at = 0; at < text.len;) {
        ssize_t written = write(STDERR_FILENO, text.data + at, text.len - at);
        if (written < 0 && errno != EINTR)
            return;
        at += written > 0 ? (size_t)written : 0;
    }
}

static void say(struct span line)
{
    pthread_mutex_lock(&lock);
    if (waits) {
        wait_and_write(line);
    } else {
        catch_up();
        if (lost > 0 || kept.len + line.len > KEPT_MAX)
            lose(1);
        else
            buf_append(&kept, line.data, line.len);
        flush();
    }
    pthread_mutex_unlock(&lock);
}

/* ---- the interface */

void log_write(enum log_level level, const char *message, ...)
{
    if (level < least_level)
        return;
    cleanup_buf struct buf line = {0};
    begin_line(&line, level, message);
    va_list args;
    va_start(args, message);
    for (const char *key = va_arg(args, const char *); key != NULL; key = va_arg(args, const char *))
        put_pair(&line, key, va_arg(args, const char *));
    va_end(args);
    end_line(&line);
    say(buf_span(&line));
}

void log_plain(const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        len += text[len] == '\n';
        say((struct span){text, len});
        text += len;
    }
}

void log_last_word(const char *text)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
        ssize_t written = write(STDERR_FILENO, text, strlen(text));
        (void)written;
    }
}

void log_never_wait(void)
{
    struct stat file;
    const char *before = getenv(VARIABLE);
    int64_t lines = 0;
    pthread_mutex_lock(&lock);
    waits = false;
    lost_count = metric_get(metric_family(METRIC_COUNTER, "busbar_log_lost_total",
                                          "Lines of the log that were lost, because nobody read it.", ""));
    if (before != NULL && number_parse_int(span_of(before), 1, INT32_MAX, &lines))
        lose((size_t)lines);
    unsetenv(VARIABLE);
    if (fstat(STDERR_FILENO, &file) == 0) {
        is_socket = S_ISSOCK(file.st_mode);
        if (S_ISFIFO(file.st_mode) || isatty(STDERR_FILENO))
            out = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (out < 0)
            out = STDERR_FILENO;
    }
    pthread_mutex_unlock(&lock);
}

bool log_flush(void)
{
    pthread_mutex_lock(&lock);
    size_t before = kept.len;
    if (!waits)
        catch_up();
    bool goes_on = kept.len > 0 && kept.len < before;
    pthread_mutex_unlock(&lock);
    return goes_on;
}

void log_close(int64_t wait_ms)
{
    int64_t until_ms = clock_steady_ms() + wait_ms;
    size_t unread = 0;
    pthread_mutex_lock(&lock);
    struct pollfd gone = {.fd = out, .events = 0};
    catch_up();
    while (kept.len > 0 && clock_steady_ms() < until_ms && poll(&gone, 1, LOOK_AGAIN_MS) == 0)
        catch_up();
    for (size_t i = 0; i < kept.len; i++)
        unread += kept.data[i] == '\n';
    buf_finish(&kept);
    if (lost + unread > 0) {
        char count[32];
        snprintf(count, sizeof(count), "%zu", lost + unread);
        setenv(VARIABLE, count, 1);
    }
    if (out != STDERR_FILENO)
        close(out);
    out = STDERR_FILENO;
    pthread_mutex_unlock(&lock);
}
