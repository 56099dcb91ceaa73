/* The parts of `busbar plugins` that have a file of their own. */
#ifndef BUSBAR_CMD_PLUGINS_H
#define BUSBAR_CMD_PLUGINS_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the folder of a new plugin: source, page, case, Makefile. Answers a cmd_status. */
int plugins_new(const char *name);
/* What a plugin is found to do against the ABI's rules. `pairs` are NAME=VALUE, and are cut at the =. */
int plugins_check(const char *name, char **pairs, size_t count, bool json);

#endif
