/* Is a plugin's descriptor sound? Checked once, right after loading, so that every other room may
 * rely on it. Also the strided access to its arrays. Pure. */
#ifndef BUSBAR_DESCRIPTOR_H
#define BUSBAR_DESCRIPTOR_H

#include "buf.h"

#include <busbar/plugin.h>

/* Copies the part of a descriptor that both sides know; the rest of *copy is zero. False, and the
 * reason appended to why, when it is none of ours (magic, ABI, size). */
bool descriptor_read(const struct bb_plugin *theirs, struct bb_plugin *copy, struct buf *why);
/* Appends all that is wrong, parted by "; ". Answers whether nothing was. */
bool descriptor_check(const struct bb_plugin *plugin, struct buf *why);

#endif
