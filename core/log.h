/* The log, one line an event on stderr: text on a terminal, else JSON. Any thread. The caller that
 * decides logs once, with the ids. Secrets and payloads never at the default level (info).
 *
 *   log_info("target held", "target", name, "reason", why, NULL);
 *
 * Pairs of key and text, ended by NULL; a NULL value prints as null. */
#ifndef BUSBAR_LOG_H
#define BUSBAR_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG = 1, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };

void log_open(bool json, enum log_level least);
void log_write(enum log_level level, const char *message, ...) __attribute__((sentinel));
void log_plain(const char *text);     /* lines that stand as they are */
void log_last_word(const char *text); /* before abort(), also in a signal's handler: said if that needs no waiting */

/* From here on no line waits for who reads the log. What is not read is kept up to a limit, beyond that it is lost and
 * counted: busbar_log_lost_total. */
void log_never_wait(void);
bool log_flush(void); /* what was kept and can be read by now; true: somebody reads, and there is more */
#define LOG_LAST_TRY_MS 1000
void log_close(int64_t wait_ms); /* the last try; what is still unread then is told by what exec() makes of us */

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
