/* Which copy of a message is the first.
 *
 * A session of the broker can have a subscription that neither the configuration nor the store knows: the store was put
 * back or made anew, the session was not. Then a message comes once for each of our filters that it fits, and once more
 * for that one. A publish has at most one copy of each identifier. So of the copies of one content, for one filter,
 * each stands for a message of its own only when no earlier one of another identifier is without its fellow: the first
 * of them is judged, whichever it is, and what only the stale subscription brought (it waited while we were away) is
 * judged too. Copies of a publish follow each other closely: what lies far back is forgotten. */
#ifndef BUSBAR_INTAKE_COPIES_H
#define BUSBAR_INTAKE_COPIES_H

#include "buf.h"

struct copies;

struct copies *copies_create(void);
void copies_destroy(struct copies *copies);
/* content: a hash. filter: which of ours; stale_id: the identifier nobody knows that the copy came for, 0: our own. */
bool copies_is_first(struct copies *copies, uint64_t content, int filter, uint32_t stale_id);
void copies_commit(struct copies *copies);   /* since the last commit: it stays */
void copies_rollback(struct copies *copies); /* ... it did not happen */
void copies_forget(struct copies *copies);   /* another session, without stale subscriptions */

#endif
