/* The parts of `busbar plugins` that have a file of their own. */
#ifndef BUSBAR_CMD_PLUGINS_H
#define BUSBAR_CMD_PLUGINS_H

/* Writes the folder of a new plugin: source, page, case, Makefile. Answers a cmd_status. */
int plugins_new(const char *name);

#endif
