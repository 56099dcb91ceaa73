/* What the process gives up for good, so that whoever gets into it gets no further: rights it does not need, and its
 * memory's way out. Each is inherited by what it starts, through exec too, and can only be narrowed. What a kernel does
 * not know is left out and said. Before the first thread. */
#ifndef BUSBAR_CONFINE_H
#define BUSBAR_CONFINE_H

#include <stdbool.h>

/* No core dump, and nobody but root may look into the memory (PR_SET_DUMPABLE). Every command, before it reads a
 * secret. */
void confine_memory(void);

/* Root becomes this user, with its groups; anybody else stays. 0, or -1 and *error. gives *error */
int confine_user(const char *user, char **error);

/* From here on, only beside `file` (the store) may files be written, only where nothing can be written may programs be
 * started, and system calls that the daemon never makes are refused. Logged. What the process gave up before it started
 * anew stays given up. */
void confine_daemon(const char *file);

/* Whether this file is beside the one that a process, or the one that started it, was confined to. true: none was */
bool confine_allows(const char *file);

#endif
