/* Conversations with a plugin, tested without a network: runs the .case files that plugins/CASES.md
 * describes. The plugin sees the same host, jobs and targets as in the daemon. One thread. */
#ifndef BUSBAR_CASES_H
#define BUSBAR_CASES_H

#include "buf.h"

struct loaded_plugin;

struct cases_result {
    size_t cases, failed;
};

/* Runs all cases of a file. Appends "file:line: title: expected ..., got ..." lines for what fails, and
 * a line for each case that passes when verbose. Adds to *result. -1: the file cannot be read, or is no
 * case file (the report says why). */
int cases_run(const struct loaded_plugin *plugin, const char *file, bool verbose, struct buf *report,
              struct cases_result *result);

#endif
