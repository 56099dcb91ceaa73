/* Does a plugin keep the rules of the ABI, whatever it is handed? Its file is read, then it is loaded in a child
 * process and called with nonsense, so that one that crashes or hangs costs a sentence, not the caller. */
#ifndef BUSBAR_CONFORM_H
#define BUSBAR_CONFORM_H

#include "buf.h"

/* A rule of the ABI. include/busbar/ABI.md has a heading for each, by its name. */
struct conform_rule {
    const char *name, *right; /* what would be right, one sentence */
};

struct conform_complaint {
    const struct conform_rule *rule;
    char *seen;
};

struct conform_option { /* for options that nonsense would not satisfy */
    const char *name, *value;
};

struct conform_complaints {
    struct conform_complaint *items;
    size_t count, cap;
};

struct conform_result {
    struct conform_complaints faults, warnings; /* no faults: it conforms. A warning proves nothing */
    size_t calls;
    int64_t slowest_us; /* CPU time */
    bool unwatched;     /* this kernel does not let us watch system calls: rule io is not proven */
};

void conform_run(const char *plugin, const struct conform_option *options, size_t count, struct conform_result *result);
void conform_result_finish(struct conform_result *result);
/* All rules, the last with name NULL. */
const struct conform_rule *conform_rules(void);

#endif
