/* One running case: shared by cases_file.c (reading), cases.c (setting up, driving)
 * and cases_expect.c (what must hold). */
#ifndef BUSBAR_CASES_RUN_H
#define BUSBAR_CASES_RUN_H

#include "host.h"
#include "loader.h"
#include "target.h"

#define CASE_MESSAGES 32
#define CASE_OPTIONS 64
#define CASE_HEADERS 32
#define CASE_NOTES 64

enum case_kind { CASE_STEP = 1, CASE_DECODE, CASE_POLL };

struct case_run {
    /* of the file */
    const struct loaded_plugin *plugin;
    const char *file;
    struct buf *report;
    /* of the case, all texts in its arena */
    struct arena *arena;
    const char *title;
    int line;     /* being run */
    bool failed;  /* the rest of the case is skipped */
    bool checked; /* something was expected */
    /* what was set up */
    struct config_target config;
    struct config_option options[CASE_OPTIONS];
    struct yaml_tree *trees[CASE_OPTIONS];
    struct problems problems;
    struct bb_message messages[CASE_MESSAGES];
    size_t message_count;
    const char *operation, *topic;
    int attempt;
    bool uncertain;
    int64_t now_ms;
    struct job_note notes[CASE_NOTES]; /* what the store would hold; NULL value: deleted */
    size_t note_count;
    /* what runs */
    enum case_kind kind;
    struct target *target;
    struct bb_job job;
    struct bb_host host; /* the core's, with a fence around what it gives */
    bool started;        /* the job is open and was stepped */
    enum bb_next next;   /* the last answer; 0: none yet */
    struct bb_in in;
    struct bb_out out;
    struct http_request request; /* of BB_SEND */
    struct bb_response response;
    struct bb_header headers[CASE_HEADERS];
    bool answered; /* respond stands, and no step saw it yet */
    size_t events_seen;
    const char *dedup_key;
    bool check_ran;
    const char *complaint; /* of plugin->check */
};

/* Notes the first thing that is wrong and ends the case. */
void case_fail(struct case_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *case_keep(struct case_run *run, struct span text);
/* Makes the target, if there is none yet; false: it failed. */
bool case_open_target(struct case_run *run);
/* Lets the plugin run until it answers anew: the first call, or the one with the response. */
bool case_advance(struct case_run *run);
/* Ends the attempt: its notes are kept, what it left unchecked is a failure. */
void case_end_attempt(struct case_run *run);
const char *case_next_name(enum bb_next next);

/* One kind of line: `words` as they stand at its start, and what is done with the rest. */
struct case_word {
    const char *words;
    void (*run)(struct case_run *run, struct span rest);
    bool json; /* the rest may go on over several lines until its brackets are closed */
};
extern const struct case_word case_set_words[], case_expect_words[]; /* ended by NULL words */

struct case_line {
    int number;
    const struct case_word *word; /* NULL: it is `case` */
    struct span rest;
};

/* The lines of a file, which point into *text. NULL: the report says what is wrong. gives, free() */
struct case_line *case_read_file(const char *file, struct buf *text, struct buf *report, size_t *count);
struct span case_trim(struct span text);
/* First word of *rest, cut off from it; empty when there is none. */
struct span case_word(struct span *rest);
/* Takes the word from the front of rest when it stands there. */
bool case_take(struct span *rest, const char *word);

/* What stands behind `text`: as it is, or a string of JSON. Behind `bytes`: a string whose characters are bytes. The
 * body is the case's; false after case_fail. */
bool case_read_text(struct case_run *run, struct span rest, struct span *body);
bool case_read_bytes(struct case_run *run, struct span rest, struct span *body);
/* Any body: as it is, JSON or not, or behind `text` or `bytes`. */
bool case_read_body(struct case_run *run, struct span rest, struct span *body);
/* Appends `text ...` or `bytes ...`, which are read as this again. */
void case_put_text(struct span body, struct buf *out);
/* Whether it is one line of UTF-8 that no blank begins or ends. */
bool case_is_line(struct span text);

/* As `expect event` compares it. gives */
struct json_object *case_event_json(const struct bb_event *event);

/* True when they are the same by value: members in any order, 1.0 as 1.00 but not as 1. subset:
 * objects of `actual` may have more members. Else *where says the first difference. */
bool case_json_matches(struct json_object *expected, struct json_object *actual, bool subset, struct buf *where);

#endif
