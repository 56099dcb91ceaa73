/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"
#include "confine.h"
#include "problems.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command *const commands[] = {&cmd_run,     &cmd_check, &cmd_try,    &cmd_status, &cmd_targets,
                                                 &cmd_routes,  &cmd_queue, &cmd_orders, &cmd_audit,  &cmd_record,
                                                 &cmd_handoff, &cmd_store, &cmd_plugins};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_overview(FILE *to)
{
    fputs("busbar " BUSBAR_VERSION
          ": carries maintenance between an MQTT bus and the systems that plan it\n\nusage: busbar <command> ...\n\n",
          to);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %.*s\n", commands[i]->name, (int)strcspn(commands[i]->help, "\n"), commands[i]->help);
    fputs("\n`busbar <command> --help` explains one. The configuration is -c FILE, else $BUSBAR_CONFIG, else\n"
          "./busbar.yaml, else /etc/busbar/busbar.yaml.\n",
          to);
}

/* Else the first socket or file would be opened as one of them, and what is printed would go there. */
static void open_missing(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* What was not written has not been said, whatever the command thinks. A reader that left has seen what it wanted. */
static int leave(int rc)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return rc;
    const char *reason = errno != 0 ? strerror(errno) : NULL; /* of an earlier write it is gone */
    struct pollfd reader = {.fd = STDOUT_FILENO};
    if (poll(&reader, 1, 0) == 1 && (reader.revents & (POLLERR | POLLHUP)) != 0)
        return rc;
    fprintf(stderr, "busbar: cannot write standard output%s%s\n", reason != NULL ? ": " : "",
            reason != NULL ? reason : "");
    return rc == CMD_DONE ? CMD_NO : rc;
}

static int run(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
        print_overview(stdout);
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        puts("busbar " BUSBAR_VERSION);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < COMMANDS; i++)
        if (strcmp(commands[i]->name, argv[1]) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    if (argc >= 2) {
        const char *names[COMMANDS], *nearest;
        for (size_t i = 0; i < COMMANDS; i++)
            names[i] = commands[i]->name;
        nearest = problems_nearest(span_of(argv[1]), names, COMMANDS);
        fprintf(stderr, "busbar: no command '%s'%s%s%s\n\n", argv[1], nearest != NULL ? ", did you mean '" : "",
                nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
    }
    print_overview(stderr);
    return 2;
}

int main(int argc, char **argv)
{
    bool cell = argc >= 2 && strcmp(cmd_cell.name, argv[1]) == 0; /* in no list: busbar's own, with a socket only */
    if (!cell)
        open_missing();
    confine_memory();
    return cell ? cmd_cell.run(argc - 1, argv + 1) : leave(run(argc, argv));
}
