/* What a cell and the daemon say to each other, as bytes (private to the cell room).
 *
 * A frame is its length (four bytes), its kind (one byte) and its members in order, numbers as this machine has them:
 * both ends are the same program. What comes from the child is read as if an enemy had written it: a struct wire never
 * reads past its end, refuses a text that holds a NUL, and `bad` stays set once something was not as it must be. */
#ifndef BUSBAR_CELL_WIRE_H
#define BUSBAR_CELL_WIRE_H

#include "cell.h"
#include "host.h"

#define WIRE_ANSWER_MAX ((size_t)32 << 20) /* of a frame from the child */
#define WIRE_HEAD 5                        /* length and kind */

enum wire_kind {
    WIRE_OPEN = 1,    /* to the child, first: which plugin, its settings and limits */
    WIRE_CALL,        /* to the child: one call of a job, or a job from its beginning */
    WIRE_FORGET,      /* to the child: the job is over, whatever it said last */
    WIRE_NOTE,        /* to the child: the note that it wanted */
    WIRE_OPENED,      /* from the child: open's result, and what the plugin says of this target */
    WIRE_ANSWER,      /* from the child: what a call came to */
    WIRE_NOTE_WANTED, /* from the child: a note of the target's, before it goes on */
};

/* ---- frames */

size_t wire_begin(struct buf *to, enum wire_kind kind); /* answers where, for wire_end */
void wire_end(struct buf *to, size_t at);
/* The first whole frame of what was received: 1, and its kind and members; 0: it is not all here; -1: no such frame can
 * come, it is over max. *used: its bytes. */
int wire_next(struct span received, size_t max, uint8_t *kind, struct span *members, size_t *used);

/* ---- members */

void wire_put_number(struct buf *to, int64_t value);
void wire_put_bytes(struct buf *to, struct span bytes);
void wire_put_text(struct buf *to, const char *text); /* or NULL */

struct wire { /* borrows the frame */
    struct span left;
    bool bad;
};

int64_t wire_number(struct wire *wire);
int64_t wire_number_in(struct wire *wire, int64_t min, int64_t max); /* else bad, and min */
bool wire_bool(struct wire *wire);
struct span wire_bytes(struct wire *wire);                      /* borrowed from the frame */
struct bb_str wire_str(struct wire *wire, struct arena *arena); /* a copy */
const char *wire_text(struct wire *wire, struct arena *arena);  /* a copy without NUL in it, or NULL */
bool wire_is_done(const struct wire *wire);                     /* read to its end, and nothing was bad */

/* ---- calls, to the child */

struct wire_opening {
    const char *path, *target;
    int64_t memory_bytes;
    const struct bb_plugin *plugin; /* writing: what its options are */
    const void *config;             /* writing: their values */
    const struct mapping_table *tables;
};
void wire_put_open(struct buf *to, const struct wire_opening *opening);
/* Fills config_size zeroed bytes by the options of the plugin that the child has loaded. */
void wire_take_settings(struct wire *wire, struct arena *arena, const struct bb_plugin *plugin, void *config);
void wire_take_tables(struct wire *wire, struct arena *arena, struct mapping_table tables[WORD_LISTS]);

void wire_put_in(struct buf *to, const struct bb_in *in, int64_t job_now_ms); /* without the response */
struct bb_message *wire_take_in(struct wire *wire, struct arena *arena, struct bb_in *in, int64_t *job_now_ms);
void wire_put_response(struct buf *to, const struct bb_response *response);
const struct bb_response *wire_take_response(struct wire *wire, struct arena *arena);

/* ---- answers, from the child */

/* What a plugin did to its job, in order. */
enum wire_effect { EFFECT_EMIT = 1, EFFECT_SETTLE, EFFECT_NOTE, EFFECT_LOG, EFFECT_COUNT };
void wire_put_emit(struct buf *to, const struct bb_event *event);
void wire_put_settle(struct buf *to, size_t i, enum bb_next verdict, const struct bb_error *error);
void wire_put_note(struct buf *to, const char *key, const char *value);
void wire_put_log(struct buf *to, enum bb_log_level level, const char *message);
void wire_put_count(struct buf *to, const char *name, uint64_t n);

struct wire_answer {
    int64_t number, took_us;
    enum bb_next next;
    const char *misuse, *flaw; /* the job's, or NULL */
};
void wire_put_answer(struct buf *to, const struct wire_answer *answer, const struct bb_out *out, struct span effects);
int64_t wire_take_number(struct wire *wire); /* of the job that an answer is about: the first member */
/* Replays the effects on the job by the host's own functions, which judge them as they do a plugin's. False: no such
 * answer can come. */
bool wire_take_answer(struct wire *wire, struct bb_job *job, struct wire_answer *answer, struct bb_out *out);

void wire_put_opened(struct buf *to, const char *error, const struct bb_description *description);
/* *error: what open said was wrong, or NULL. */
bool wire_take_opened(struct wire *wire, struct arena *arena, const char **error, struct bb_description *description);

#endif
