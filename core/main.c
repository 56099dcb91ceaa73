/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"
#include "confine.h"
#include "problems.h"

#include <stdio.h>
#include <string.h>

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

int main(int argc, char **argv)
{
    confine_memory();
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
    if (argc >= 2 && strcmp(cmd_cell.name, argv[1]) == 0) /* in no list: busbar's own */
        return cmd_cell.run(argc - 1, argv + 1);
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
