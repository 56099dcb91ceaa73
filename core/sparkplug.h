/* Sparkplug B (Sparkplug 3.0): messages of edge nodes become readings, one for each metric.
 *
 * Births say what a node's metrics are called, which number stands for each and what type it has; data says
 * the number alone. So births are remembered, over restarts too: the caller stores what sparkplug_changes hands
 * it. What was forgotten or missed (an unknown node, a gap in seq, a restart of ours) is asked for again with
 * sparkplug_rebirths. It knows no bus and no store. One thread at a time. */
#ifndef BUSBAR_SPARKPLUG_H
#define BUSBAR_SPARKPLUG_H

#include "buf.h"

struct json_object;
struct sparkplug;

#define SPARKPLUG_BYTES_MAX (4 << 20) /* of a payload */
#define SPARKPLUG_REBIRTH_EVERY_MS 60000

struct sparkplug *sparkplug_create(void);
void sparkplug_destroy(struct sparkplug *sparkplug); /* NULL is legal */

/* The readings of a message, an array of
 *
 *   {group, node, device, type, metric, value, datatype, timestamp, quality, alive, historical}
 *
 * device: null for the node's own; type: NBIRTH ...; timestamp: ms since 1970, null when not said; quality: good,
 * bad, stale. A death gives each metric that was born with value null, quality stale, alive false. What is no
 * message of an edge node (STATE, commands) gives an empty array. NULL: why not is appended to reason. gives */
struct json_object *sparkplug_read(struct sparkplug *sparkplug, struct span topic, struct span payload,
                                   struct buf *reason);

/* What changed since it was last said to be stored: key and text for sparkplug_restore. */
typedef void sparkplug_each_change(void *context, const char *key, struct span text);
bool sparkplug_has_changes(const struct sparkplug *sparkplug);
void sparkplug_changes(const struct sparkplug *sparkplug, sparkplug_each_change *each, void *context);
void sparkplug_stored(struct sparkplug *sparkplug);
void sparkplug_restore(struct sparkplug *sparkplug, const char *key, struct span text);

/* Nodes that must be asked for their births now, each at most once in SPARKPLUG_REBIRTH_EVERY_MS: a command to
 * publish. */
typedef void sparkplug_each_command(void *context, const char *topic, struct span payload);
bool sparkplug_wants_rebirths(const struct sparkplug *sparkplug);
void sparkplug_rebirths(struct sparkplug *sparkplug, int64_t steady_ms, int64_t wall_ms, sparkplug_each_command *each,
                        void *context);

#endif
