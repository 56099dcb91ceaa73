/* Plugins as shared objects: found, opened, checked, their descriptor made readable whatever its
 * size. The only user of dlopen. Reactor thread only. A loaded plugin stays loaded. */
#ifndef BUSBAR_LOADER_H
#define BUSBAR_LOADER_H

#include "buf.h"

#include <busbar/plugin.h>

struct object;

struct loaded_plugin {
    struct bb_plugin descriptor; /* ours: the smaller of both sizes copied, the rest zero */
    char *path;
};

/* name: "mobility_work", looked for as <name>.so in $BUSBAR_PLUGIN_PATH (folders parted by ':'), then beside the binary
 * (../lib/busbar/plugins and ./plugins), then the installed folder; or a path with a '/'. NULL and *error
 * (gives: every place looked at, or what is wrong with the descriptor). borrowed: the loader keeps it */
const struct loaded_plugin *loader_load(const char *name, char **error);
/* The file that such a name stands for, with nothing loaded. NULL and *error as above. gives */
char *loader_find(const char *name, char **error);
/* What the object in the file `path` needs and this machine does not have, as sentences: libraries, and versions of
 * their symbols. Nothing of the object itself is run. */
void loader_find_lacks(const struct object *object, const char *path, struct buf *libraries, struct buf *versions);
/* Names of all plugins on the path, sorted, NULL-terminated. gives: free each and the array */
char **loader_list(void);
/* Strided access. NULL past the end. */
const struct bb_option *plugin_option(const struct bb_plugin *plugin, size_t i, struct bb_option *copy);
const struct bb_operation *plugin_operation(const struct bb_plugin *plugin, size_t i, struct bb_operation *copy);
/* What the plugin says of one target, after open: *own is the descriptor as it holds for it. False, and the reason
 * appended to why, when that is wrong. */
bool plugin_describe(const struct bb_plugin *plugin, void *self, struct bb_plugin *own, struct buf *why);
/* The same of what another process was told. */
bool plugin_take_description(const struct bb_plugin *plugin, const struct bb_description *said, struct bb_plugin *own,
                             struct buf *why);
bool plugin_find_operation(const struct bb_plugin *plugin, const char *name, struct bb_operation *copy);

#endif
