/* The child of a cell as a process: started, its processor time, how it ended (private to the cell room). */
#ifndef BUSBAR_CELL_CHILD_H
#define BUSBAR_CELL_CHILD_H

#include "buf.h"

#include <sys/types.h>

struct child {
    int socket; /* ours; -1: there is no child */
    pid_t pid;
    clockid_t cpu_clock;
    bool behind; /* has the processor only when nobody else wants it */
};

enum child_end {
    CHILD_CRASH = 0,
    CHILD_TIMEOUT,
    CHILD_MEMORY,
    CHILD_FORBIDDEN,
    CHILD_EXIT,
    CHILD_PROTOCOL,
    CHILD_ENDS
};
/* The exit status of a child that was refused memory where it asked for it: host->alloc(), and all that the core does.
 */
#define CHILD_NO_MEMORY 112

const char *child_end_name(enum child_end end); /* "crash" ... */

struct child_limits {
    int64_t memory_bytes, call_ms;
};

int child_start(struct child *child, const char *target); /* 0, or an errno */
int64_t child_cpu_us(const struct child *child);
void child_put_behind(struct child *child); /* for as long as it lives */
/* Ends it, if it has not ended. why: TIMEOUT or PROTOCOL, when that is why; else the kernel knows. Answers what it was,
 * and appends a sentence. where: what it was doing. */
enum child_end child_finish(struct child *child, enum child_end why, const struct child_limits *limits,
                            const char *where, struct buf *text);

#endif
