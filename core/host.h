/* What the core offers to a plugin, and one job's memory: arena, emitted events, verdicts of a batch's
 * items, notes to write. Knows no store and no network: the dispatcher reads what a job gathered and
 * commits it with the verdict. Tests drive plugins with the same jobs. Reactor thread only. */
#ifndef BUSBAR_HOST_H
#define BUSBAR_HOST_H

#include "buf.h"
#include "lifecycle.h"

#include <busbar/plugin.h>

/* The code of a retry after a 2xx that is no answer of the target's. Of a write that leaves its outcome open, as a lost
 * answer does. */
#define HOST_ODD_ANSWER "odd_answer"

/* Copies in the job's arena, in common words: what the tables say has been put in, and wins over what the plugin
 * said. */
struct job_event {
    struct bb_event event;
    struct bb_work_order work_order; /* when event.work_order is not NULL */
    /* By WORDS_STATUS and WORDS_PRIORITY: the target's word that no line maps, or NULL. */
    const char *unmapped[2];
};

struct job_item { /* a batch item's own verdict; verdict 0: none given */
    enum bb_next verdict;
    struct bb_error error;
};

struct job_note {
    const char *key, *value;
};

struct mapping_table { /* the first line that fits counts */
    const struct bb_mapping *lines;
    size_t count;
};

/* Bytes of what a person reads: the rest is cut off. */
#define JOB_SENTENCE_MAX ((size_t)8 << 10)
#define JOB_LOG_MAX ((size_t)4 << 10)

struct bb_job {
    struct arena *arena;
    const char *target, *plugin; /* borrowed: for logs and metrics */
    int64_t now_ms;
    struct job_event *events;
    size_t event_count, event_cap;
    struct job_item *items; /* message_count of them */
    size_t item_count;
    struct job_note *notes;
    size_t note_count, note_cap;
    void *state; /* the plugin's, for in->state */
    /* Reads a note of the target; gives or NULL. May be NULL: no notes. */
    char *(*read_note)(void *context, const char *key);
    void *context;
    const struct mapping_table *tables; /* by enum word_list (enum bb_table less one); NULL: none */
    const char *misuse;                 /* the plugin broke a rule of the ABI: the attempt is rejected with this */
    const char *flaw;                   /* what was mended in what it said, the first of it */
    size_t raw_bytes;                   /* of its events */
};

void job_init(struct bb_job *job, const char *target, const char *plugin, size_t item_count, int64_t now_ms);
void job_finish(struct bb_job *job);
const struct bb_host *host_table(void);

/* Whether what a plugin answered keeps to the ABI: NULL, or what is wrong (job->misuse, or about next and *out); in the
 * job's arena or static. *out then is a copy in the job's arena, or empty. Call it right after each step, decode and
 * poll, while what it may die of still counts as the plugin's. */
const char *job_review(struct bb_job *job, enum bb_next next, struct bb_out *out);

/* The same for what a plugin says to the host's functions. false: job->misuse says what is wrong, nothing is taken.
 * Copies in the job's arena. */
bool job_take_event(struct bb_job *job, const struct bb_event *theirs, struct job_event *taken);
bool job_take_note(struct bb_job *job, const char *key, const char *value, struct job_note *taken);
struct bb_error job_keep_error(struct bb_job *job, const struct bb_error *error);
const char *job_keep_key(struct bb_job *job, const char *what, const char *text); /* NULL stays NULL */
const char *job_keep_sentence(struct bb_job *job, const char *what, const char *text, size_t most); /* cut, mended */
/* Notes what the plugin gets wrong, the first thing only: it goes on with a call that had no effect, and the core files
 * the attempt with the note. */
void job_misuse(struct bb_job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines with this source word, or this common one; NULL when none has it. */
const char *mapping_common_word(const struct mapping_table *table, const char *source);
const char *mapping_source_word(const struct mapping_table *table, const char *common);

const char *host_class_name(enum bb_class error_class);   /* "authentication" ..., NULL for none */
const char *host_owner_action(enum bb_class error_class); /* the class's own text */
/* The shared classifier behind host->judge; response NULL: a transport failure. Leaves out->request
 * alone; Retry-After is target_heed_retry_after's. */
enum bb_next host_judge(struct bb_job *job, const struct bb_response *response, struct bb_out *out);

#endif
