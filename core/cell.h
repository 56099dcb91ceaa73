/* A cell: the child process in which an isolated target's plugin runs.
 *
 * The child is this program started anew: it has no memory, variable or descriptor of ours but one end of a socket, and
 * once the plugin is loaded no system call but those that compute (cell_jail.c). Calls go to it in order, several under
 * way. It may say anything: what it answers is read with care and judged as if a plugin had said it here, and its
 * effects (events, verdicts of items, notes, counts, logs) are replayed on the job by the host's own functions.
 *
 * When it dies, the call that it was working on fails, with why; the others are asked of the next child, each from the
 * beginning of its attempt: a plugin is a pure translator, so the same questions bring it to the same point.
 *
 * The owner waits for cell_fd to be readable and then calls cell_ready; and cell_tick in each turn. Or it waits for
 * one answer (cell_open, cell_wait). Reactor thread only. */
#ifndef BUSBAR_CELL_H
#define BUSBAR_CELL_H

#include "host.h"

struct cell;
struct loaded_plugin;

enum cell_door { CELL_STEP = 1, CELL_DECODE, CELL_POLL, CELL_CHECK };

/* failure NULL: what the plugin answered, next and *out, not reviewed yet. Else why there is no answer, in the job's
 * arena; what the attempt had gathered is gone. */
typedef void cell_done(void *context, enum bb_next next, int64_t took_us, const char *failure);

/* What an attempt has to do with its cell, zeroed at first. It stays where it is until cell_forget, or cell_stop. */
struct cell_call {
    enum cell_door door;
    struct bb_in *in; /* with the job; response: what the last request brought */
    struct bb_out *out;
    cell_done *done;
    void *context;
    /* The cell's own: */
    struct cell_call *next; /* in the line of those that wait */
    int64_t number, child;  /* of the job; of the child that knows it */
    const struct bb_response **responses;
    size_t response_count, response_cap;
    struct job_note *notes; /* as they were first read in this attempt */
    size_t note_count, note_cap;
};

struct cell_options { /* borrowed for as long as the cell lives */
    const char *target;
    const struct loaded_plugin *plugin;
    const void *config;                 /* the plugin's struct, options bound */
    const struct mapping_table *tables; /* by enum word_list */
    int64_t memory_bytes, limit_ms;     /* of one call */
};

struct cell *cell_create(const struct cell_options *options);
void cell_destroy(struct cell *cell); /* NULL is legal */
/* Starts it and waits until the plugin is open. NULL, and what it says of this target (in the arena; size 0: nothing);
 * or what is wrong, in the arena. */
const char *cell_open(struct cell *cell, struct arena *arena, struct bb_description *description);
/* Asks and waits for the answer: *failure as above. */
enum bb_next cell_wait(struct cell *cell, struct cell_call *call, const char **failure);

void cell_call(struct cell *cell, struct cell_call *call); /* never calls done from inside */
void cell_forget(struct cell *cell, struct cell_call *call);
void cell_flush(struct cell *cell);             /* sends what was called since the last turn */
int cell_fd(const struct cell *cell);           /* the same for as long as the cell lives */
void cell_ready(struct cell *cell);             /* calls done for what was answered */
void cell_tick(struct cell *cell);              /* ends a child that takes too long, starts the next, sends */
int64_t cell_next_due(const struct cell *cell); /* when to call that again: steady ms, INT64_MAX: need not be */
void cell_stop(struct cell *cell);              /* ends the child; open calls are dropped without done */

struct cell_health { /* for people; texts borrowed until the next call */
    bool up;
    int64_t restarts;
    const char *ended; /* how the last child ended, "" for none yet */
    int64_t ended_ms;  /* wall */
};
struct cell_health cell_health(const struct cell *cell);

/* The child's side: serves the socket until it is closed. Answers the exit status. */
int cell_serve(int fd);

#endif
