/* The child's side of conform: conform_guard.c (what a call reads, and what it must not touch), conform_trial.c (one
 * conversation and its review), conform_sweep.c (nonsense), conform_memory.c (answers that die, leaks), conform_twins.c
 * (two instances). */
#ifndef BUSBAR_CONFORM_PRIVATE_H
#define BUSBAR_CONFORM_PRIVATE_H

#include "conform.h"
#include "loader.h"
#include "object.h"
#include "target.h"

#define SLOW_US 10000
#define SLOW_CALLS 3 /* one alone may be the machine's */
#define MOST_BATCH 100u
#define BATCH_BYTES ((size_t)256 << 10) /* who parses each message of a batch takes no 10 ms for so much */
#define CHECK_NOW_MS INT64_C(1704164645000)

enum rule {
    RULE_FILE,
    RULE_LIBRARY,
    RULE_VERSION,
    RULE_EXPORT,
    RULE_DESCRIPTOR,
    RULE_OPEN,
    RULE_CRASH,
    RULE_BOUNDS,
    RULE_BORROWED,
    RULE_LIFETIME,
    RULE_IO,
    RULE_TIME,
    RULE_VERDICT,
    RULE_REFUSED,
    RULE_ERROR,
    RULE_REQUEST,
    RULE_ENDLESS,
    RULE_SETTLE,
    RULE_STRIDE,
    RULE_EVENT,
    RULE_NOTE,
    RULE_TEXT,
    RULE_GLOBALS,
    RULE_LEAK,
    RULES
};

struct shared { /* with the parent, which reads it when the child is dead */
    char doing[256];
    size_t calls;
    int64_t slowest_us;
    int slow_calls;
    bool finished, unwatched;
    bool selfless; /* open returned 0 and left *self NULL */
    bool caught;   /* by a signal that tells which rule */
    enum rule caught_rule;
    long system_call; /* RULE_IO */
    bool reading;     /* what the plugin answered */
    bool apart;       /* messages are further apart than a moment ago, when all went well */
};

/* What a call reads lies in an area that ends at a page which cannot be read, with no NUL behind a slice. Two areas
 * take turns: that of an earlier call cannot be read either, when asked for. */
struct inputs {
    char *areas[2];
    size_t page, front, back;
    int turn;
};

struct conform {
    struct shared *shared;
    int pipe;
    const struct loaded_plugin *plugin;
    struct target *target; /* that is being tried */
    struct bb_host host;   /* the core's, with some functions watched */
    struct loaded_plugin watched;
    int (*open)(const struct bb_host *host, struct bb_job *job, const void *config, void **self, const char **error);
    struct inputs inputs;
    uintptr_t stack;        /* where that of the plugin's calls began */
    struct buf said;        /* faults so far */
    struct buf *transcript; /* takes down what is answered, when not NULL */
    bool careful;           /* earlier inputs cannot be read, and what was answered is looked at twice */
    bool silent;            /* faults were told before */
    size_t faults;
    bool told[RULES];
};

enum door { DOOR_STEP, DOOR_DECODE, DOOR_POLL };

struct trial {
    enum door door;
    const char *operation; /* DOOR_STEP */
    size_t messages;
    const char *body;
    bool uncertain;
    int status;
    const char *answer;
    size_t apart; /* bytes between messages that this header does not know */
};

/* ---- conform.c */
/* Each says a fault once; those of a call say in which. */
void conform_complain(struct conform *c, enum rule rule, const char *format, ...) __attribute__((format(printf, 3, 4)));
void conform_complain_of_call(struct conform *c, enum rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What may be none of its doing. */
void conform_warn(struct conform *c, enum rule rule, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- conform_imports.c */
void imports_check(struct conform *c, const struct object *object);

/* ---- conform_guard.c */
bool inputs_init(struct inputs *inputs);
void inputs_begin(struct inputs *inputs);
void inputs_retire(struct inputs *inputs); /* from now on reading what came with the last call is a fault */
void *inputs_struct(struct inputs *inputs, size_t bytes);
struct bb_str inputs_text(struct inputs *inputs, const char *text); /* the first one ends at the forbidden page */
/* Signals that tell which rule was broken, and from now on no system call that a plugin has no use for. */
void guard_begin(struct conform *c);
const char *guard_call_name(long number); /* of a system call, or NULL */

/* ---- conform_trial.c */
/* From now on what the plugin says to the host is looked at, and so is its open: c->plugin is one that does that. */
void trial_watch_plugin(struct conform *c);
/* Plays one trial to its verdict. */
void trial_play(struct conform *c, const struct trial *trial);
/* Around each call of the plugin's: its time counts, and one that computes without end ends the process. */
int64_t trial_begin_call(void);
void trial_end_call(struct conform *c, int64_t before_us);
/* What it wrote where it may not is told; false when it did. */
bool trial_check_fence(struct conform *c);
bool trial_too_slow(const struct conform *c);

/* ---- conform_sweep.c */
void sweep_all(struct conform *c);
/* Calls `each` with some of the nonsense of each door: every kind of body, status class and answer. Until it answers
 * false. */
void sweep_some(struct conform *c, bool (*each)(struct conform *c, const struct trial *trial, void *context),
                void *context);

/* ---- conform_memory.c: answers and inputs after the call, strides, leaks */
/* Whether it lies where the calls that `frame` made had theirs. */
bool memory_is_dead_stack(uintptr_t frame, const void *at);
void memory_check_answers(struct conform *c);
void memory_check_leaks(struct conform *c, struct target *(*open)(void *context), void *context);
/* Whether something that was answered lies where it will not stay. Call twice: before and after. */
struct answered;
struct answered *answered_read(struct conform *c, enum bb_next next, const struct bb_out *out);
bool answered_stays(struct conform *c, struct answered *answered);

/* ---- conform_twins.c */
/* Two targets with different settings must answer as each does alone. */
void twins_check(struct conform *c, struct target *(*open)(void *context, bool other), void *context);

#endif
