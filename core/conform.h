/* Does a plugin keep the rules whatever it is handed? Loads it in a child process and calls it with
 * nonsense, so that one that crashes or hangs costs a sentence, not the caller. */
#ifndef BUSBAR_CONFORM_H
#define BUSBAR_CONFORM_H

#include "buf.h"

struct conform_option { /* for options that nonsense would not satisfy */
    const char *name, *value;
};

struct conform_result {
    struct buf complaints; /* a line each; empty: it conforms */
    size_t calls;
    int64_t slowest_us; /* CPU time */
};

void conform_run(const char *plugin, const struct conform_option *options, size_t count, struct conform_result *result);
void conform_result_finish(struct conform_result *result);

#endif
