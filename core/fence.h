/* A plugin's writes, watched by what tries it out (`busbar plugins check` and `test`): past the end of what it was
 * given, or into what it may only read. Nothing is stopped; it is found when the call is over. A host function has no
 * context of its own, so the fence is the process's, as it is the plugin's that is tried. One thread. */
#ifndef BUSBAR_FENCE_H
#define BUSBAR_FENCE_H

#include "host.h"

enum fence_fault { FENCE_HOLDS, FENCE_OVERRUN, FENCE_WRITTEN };

/* The host's functions, of which alloc() puts a fence around what it gives. */
struct bb_host fence_host(void);
/* A job begins: what earlier ones were given is gone. */
void fence_begin(void);
/* From now on, until fence_check(), these bytes may not change. `name` lives as long. */
void fence_watch(const char *name, const void *at, size_t len);
/* The parts of a target's settings that the plugin may only read. */
void fence_watch_settings(const struct bb_plugin *plugin, const void *config);
/* All that comes in with a call. */
void fence_watch_inputs(const struct bb_host *host, const struct bb_in *in);
/* After a call: what was found first is said in *what, and what was watched is put right again. */
enum fence_fault fence_check(struct buf *what);

#endif
