/* The command line: one verb, one file cmd_<verb>.c with one const descriptor; main.c has the table.
 * Exit status: 0 done, 1 the answer is no, 2 usage. */
#ifndef BUSBAR_CMD_H
#define BUSBAR_CMD_H

#include <stdbool.h>

enum cmd_status { CMD_DONE = 0, CMD_NO = 1, CMD_USAGE = 2 };

struct command {
    const char *name;                  /* the verb */
    const char *usage;                 /* "busbar run [-c FILE]", lines parted by \n */
    const char *help;                  /* what it does and each option, as printed by --help */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; answers a cmd_status */
};

struct cmd_option {
    const char *brief, *full; /* "-c", "--config"; brief may be NULL; a zeroed one ends the list */
    const char **value;       /* takes a value; */
    bool *flag;               /* or is a switch */
};

/* Reads options wherever they stand and leaves the verb and the other words in argv[0 .. *argc). --help prints
 * usage and help. Answers -1 to go on, else the exit status to leave with. */
int cmd_options(const struct command *command, int *argc, char **argv, const struct cmd_option *options);
int cmd_usage(const struct command *command, const char *wrong); /* prints both to stderr, answers 2 */

extern const struct command cmd_audit, cmd_cell, cmd_check, cmd_handoff, cmd_orders, cmd_plugins, cmd_queue, cmd_record,
    cmd_routes, cmd_run, cmd_status, cmd_store, cmd_targets, cmd_try;

#endif
