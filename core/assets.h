/* The asset map: from a tag to each target's identifiers, read from a file at start. Never changed then; any thread.
 *
 * CSV: a line of names, the tag's first, then a line for each tag. YAML: tag: {name: identifier, ...}.
 * Identifiers are text as they stand: 007 stays 007. */
#ifndef BUSBAR_ASSETS_H
#define BUSBAR_ASSETS_H

#include "problems.h"

struct assets;

/* NULL when there is a problem. path is borrowed by the problems' marks. gives */
struct assets *assets_load(const char *path, struct mark mark, struct problems *problems);
void assets_destroy(struct assets *assets); /* NULL is legal */
size_t assets_count(const struct assets *assets);
const char *const *assets_columns(const struct assets *assets); /* NULL-terminated; without the tag's */
/* The tag's cells in the order of the columns, an empty one is empty. NULL: no such tag. */
const struct span *assets_find(const struct assets *assets, struct span tag);

#endif
