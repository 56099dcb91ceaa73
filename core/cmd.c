/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include <stdio.h>
#include <string.h>

int cmd_usage(const struct command *command, const char *wrong)
{
    if (wrong != NULL)
        fprintf(stderr, "busbar %s: %s\n", command->name, wrong);
    fprintf(stderr, "usage: %s\n`busbar %s --help` says more\n", command->usage, command->name);
    return 2;
}

static const struct cmd_option *find_option(const struct cmd_option *options, const char *word, size_t len)
{
    for (; options->full != NULL; options++)
        if ((strlen(options->full) == len && strncmp(options->full, word, len) == 0) ||
            (options->brief != NULL && strlen(options->brief) == len && strncmp(options->brief, word, len) == 0))
            return options;
    return NULL;
}

int cmd_options(const struct command *command, int *argc, char **argv, const struct cmd_option *options)
{
    int kept = 1;
    char wrong[160];
    for (int i = 1; i < *argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            printf("usage: %s\n\n%s", command->usage, command->help);
            return 0;
        }
        if (word[0] != '-' || word[1] == '\0') {
            argv[kept++] = argv[i];
            continue;
        }
        size_t len = word[1] == '-' ? strcspn(word, "=") : strlen(word);
        const struct cmd_option *option = find_option(options, word, len);
        const char *joined = word[len] == '=' ? word + len + 1 : NULL;
        if (option == NULL || (option->flag != NULL && joined != NULL)) {
            snprintf(wrong, sizeof(wrong), "unknown option %.80s", word);
            return cmd_usage(command, wrong);
        }
        if (option->flag != NULL) {
            *option->flag = true;
        } else if (joined != NULL) {
            *option->value = joined;
        } else if (i + 1 < *argc) {
            *option->value = argv[++i];
        } else {
            snprintf(wrong, sizeof(wrong), "%.80s needs a value", word);
            return cmd_usage(command, wrong);
        }
    }
    *argc = kept;
    return -1;
}
