/* The log, one line an event on stderr: text on a terminal, else JSON. Any thread. The caller that
 * decides logs once, with the ids. Secrets and payloads never at the default level (info).
 *
 *   log_info("target held", "target", name, "reason", why, NULL);
 *
 * Pairs of key and text, ended by NULL; a NULL value prints as null. */
#ifndef BUSBAR_LOG_H
#define BUSBAR_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG = 1, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };

void log_open(bool json, enum log_level least);
void log_write(enum log_level level, const char *message, ...) __attribute__((sentinel));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
