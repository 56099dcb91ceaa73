/* SPDX-License-Identifier: Apache-2.0 */
/* Paho without its own bookkeeping, where it can be spared.
 *
 * As distributions build it, Paho keeps a tree of every piece of memory that it has, a stack of every function that it
 * is in, and the last 400 lines of a trace, behind mutexes that its threads share, for its authors to look at. Of each
 * message's instructions that was a fifth. Its build option PAHO_HIGH_PERFORMANCE leaves all of it out; the linker does
 * the same with the stack for a library that is built already (-Wl,--wrap, see CMakeLists.txt).
 *
 * The tree stays: when the link goes while a PUBLISH is sent, Paho 1.3.12 frees its payload twice, with the command and
 * with the session. The second time the tree does not know it any more and leaves it alone; free() would end us.
 * Prototypes of Paho 1.3.9 to 1.3.13. */
#include "mqtt_inside.h"

#include <MQTTAsync.h>

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that the linker gives what it wraps */
void __wrap_StackTrace_entry(const char *function, int line, int level);
void __wrap_StackTrace_exit(const char *function, int line, const void *rc, int level);
/* NOLINTEND(bugprone-reserved-identifier) */

void __wrap_StackTrace_entry(const char *function, int line, int level)
{
    (void)function, (void)line, (void)level;
}

void __wrap_StackTrace_exit(const char *function, int line, const void *rc, int level)
{
    (void)function, (void)line, (void)rc, (void)level;
}

void mqtt_bare(void)
{
    MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR); /* Paho would print each packet into its trace */
}
