/* A dry run of one operation: the real plugin and the real target, no network and no store. What `try` and
 * `handoff` show. */
#ifndef BUSBAR_REHEARSE_H
#define BUSBAR_REHEARSE_H

#include "target.h"

struct rehearsal {
    enum bb_next next;
    const char *misuse; /* the request breaks a rule of the ABI: NULL, or which */
    struct bb_out out;
    struct http_request http; /* when it sends */
    struct bb_job job;        /* whose memory all of it is */
};

/* The operation's first step; message NULL: as at a target's start. rehearsal_finish() it. */
void rehearse(struct rehearsal *rehearsal, const struct target *target, const char *operation,
              const struct bb_message *message, int64_t now_ms);
/* Fills in the order that an operation is about, by the name that the body gives it: there is no store to know another.
 * In the job's arena. */
void rehearse_name_order(struct bb_job *job, const struct target *target, const char *name, struct bb_message *message);
void rehearsal_finish(struct rehearsal *rehearsal);
bool rehearsal_sends(const struct rehearsal *rehearsal);
/* Why nothing would be sent, appended; nothing when something would. */
void rehearsal_explain(const struct rehearsal *rehearsal, struct buf *out);
/* What the target's mode makes of an operation. NULL: it is sent. static */
const char *rehearse_mode(const struct target *target, const char *operation);

#endif
