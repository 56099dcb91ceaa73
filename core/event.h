/* Events and the work-order record, without store or bus: what a plugin said about a work order is
 * merged into the record we hold, and becomes CloudEvents. Pure. */
#ifndef BUSBAR_EVENT_H
#define BUSBAR_EVENT_H

#include "buf.h"
#include "store.h"

#include <busbar/plugin.h>

/* A record that owns its text. */
struct order_record {
    struct arena *arena;
    struct work_order order;
    bool fresh;   /* was not known before */
    bool illegal; /* an import made a step that the lifecycle does not know: accepted, audited */
    bool status_changed;
};
/* known: NULL when we hold none. The rules of settled 22: from completed, closed, canceled only "reopened" (or a
 * lifecycle step completed -> closed) moves the status; an import sets sync_state imported (new) or synchronized,
 * but for what was rejected: that waits for a person. */
void event_merge_order(struct order_record *record, const struct work_order *known, const struct bb_work_order *said,
                       const char *provider_id, const char *new_id, int64_t now_ms);
/* All that a target tells of it is the same. */
bool event_same_order(const struct work_order *a, const struct work_order *b);
void order_record_finish(struct order_record *record);
/* The one way into a sync state (FV-05): false, and nothing is changed, where no way leads. last_synced_at moves on
 * entry to imported and synchronized alone; a target that says so again synchronizes again. */
bool event_enter_sync(struct work_order *order, const char *state, int64_t now_ms);
/* A copy that owns its text. */
void event_copy_order(struct order_record *record, const struct work_order *order);
/* The eleven contract fields as a JSON object. */
void event_print_order(const struct work_order *order, struct buf *out);

struct event_facts {
    const char *instance, *target, *plugin;
    const char *id;   /* CloudEvents id, stable */
    const char *type; /* "work_order.updated" or "provider.<plugin>.<event>" */
    int64_t time_ms;
    const struct work_order *order; /* NULL: not about one */
    const char *provider_event;     /* NULL: an event of busbar's own */
    int64_t received_ms;
    struct span raw;   /* JSON; empty: null */
    struct span extra; /* further members of data, as `"error":{...}`; empty: none */
};
void event_print(const struct event_facts *facts, struct buf *out);
/* "<prefix>/events/<target>/<type with / for .>"; "<prefix>/orders/<target>/<id>". gives */
char *event_topic(const char *prefix, const char *target, const char *type);
char *event_order_topic(const char *prefix, const char *target, const char *common_id);

#endif
