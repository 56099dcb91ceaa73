/* Conversations with a plugin, tested without a network: runs the .case files that plugins/CASES.md
 * describes, and writes them. The plugin sees the same host, jobs and targets as in the daemon. One thread. */
#ifndef BUSBAR_CASES_H
#define BUSBAR_CASES_H

#include "buf.h"

struct bb_job;
struct bb_message;
struct bb_out;
struct bb_request;
struct bb_response;
struct loaded_plugin;
struct target;

struct cases_result {
    size_t cases, failed;
    char doing[256]; /* "file:line: title" of the case that runs: for who finds the process dead */
};

/* Runs all cases of a file. Appends "file:line: title: expected ..., got ..." lines for what fails, and
 * a line for each case that passes when verbose. Adds to *result. -1: the file cannot be read, or is no
 * case file (the report says why). */
int cases_run(const struct loaded_plugin *plugin, const char *file, bool verbose, struct buf *report,
              struct cases_result *result);

/* ---- writing a case of what really happened (`busbar plugins record`). Each appends lines; members of JSON that are
 * secret by their name are written as "***", all other secrets stand there as they are: the caller's to redact. */

/* The options and mapping tables of the target, its secrets too. */
void case_write_target(const struct target *target, struct buf *out);
void case_write_message(const struct bb_message *message, struct buf *out);
void case_write_request(const struct bb_request *request, struct buf *out);
void case_write_response(const struct bb_response *response, struct buf *out);
/* How the attempt ended; next is an enum bb_next. */
void case_write_verdict(const struct target *target, const struct bb_job *job, int next, const struct bb_out *said,
                        struct buf *out);

#endif
