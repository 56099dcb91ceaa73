/* The parts of `busbar plugins` that have a file of their own. */
#ifndef BUSBAR_CMD_PLUGINS_H
#define BUSBAR_CMD_PLUGINS_H

#include <stdbool.h>
#include <stddef.h>

/* What a new plugin is written from: plugins/examples/acme, put into the program by the build. path is relative to the
 * plugin's folder; a zeroed one ends the list. */
struct plugin_template_file {
    const char *path, *text;
};
extern const struct plugin_template_file plugin_template[];

struct command;
extern const struct command cmd_plugins_list, cmd_plugins_show, cmd_plugins_check, cmd_plugins_test, cmd_plugins_new,
    cmd_plugins_record;

/* Writes the folder of a new plugin in a language (NULL: C). Answers a cmd_status. */
int plugins_new(const char *name, const char *language);
/* What a plugin is found to do against the ABI's rules. `pairs` are NAME=VALUE, and are cut at the =. */
int plugins_check(const char *name, char **pairs, size_t count, bool json);

#endif
