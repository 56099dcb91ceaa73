/* A process of its own for what loads a plugin to look at it: the plugin may end it, crash it or hang it, and whoever
 * asked goes on. One at a time. */
#ifndef BUSBAR_ASIDE_H
#define BUSBAR_ASIDE_H

#include "buf.h"

struct aside {
    struct buf out;   /* what run() wrote to its descriptor */
    struct buf words; /* what anything wrote to stdout or stderr there, as far as it was kept */
    int status;       /* as waitpid() has it */
    bool failed;      /* there is no process to be had */
    bool stuck;       /* it was ended because tick() said so */
};

/* run() in a child: it writes what it finds to `out`, and ends by returning, which ends the child as any program.
 * tick() is called about once a second here, with the seconds so far; false ends the child. */
void aside_run(struct aside *aside, void (*run)(int out, void *context), bool (*tick)(int seconds, void *context),
               void *context);
void aside_finish(struct aside *aside);
/* A tick() that gives ten seconds. */
bool aside_ten_seconds(int seconds, void *context);
/* Whether it came to its end by itself. */
bool aside_ended_well(const struct aside *aside);
/* How it ended otherwise, as words after "it": "crashed (Segmentation fault)". Its last line is among them. */
void aside_say_end(const struct aside *aside, struct buf *text);
/* Writes all of it, in the child. */
void aside_tell(int out, const void *bytes, size_t len);

#endif
