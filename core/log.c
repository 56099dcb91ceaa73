/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "buf.h"
#include "clock.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static bool as_json = false;
static enum log_level least_level = LOG_INFO;

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

void log_write(enum log_level level, const char *message, ...)
{
    if (level < least_level)
        return;
    char time[CLOCK_TEXT_MAX];
    struct buf line = {0};
    clock_format(clock_wall_ms(), time);
    if (as_json) {
        buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", time, level_name(level));
        buf_put_json(&line, span_of(message));
    } else {
        buf_printf(&line, "%s %-5s %s", time, level_name(level), message);
    }
    va_list args;
    va_start(args, message);
    for (const char *key = va_arg(args, const char *); key != NULL; key = va_arg(args, const char *))
        put_pair(&line, key, va_arg(args, const char *));
    va_end(args);
    buf_puts(&line, as_json ? "}\n" : "\n");
    /* One write, so that lines of several threads do not mix; a full pipe must not stop the house. */
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written;
    buf_finish(&line);
}
