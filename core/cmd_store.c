/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"
#include "config.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int backup(const struct config *config, const char *file)
{
    char *error = NULL;
    const struct store_options options = {.path = config->store.path, .read_only = true};
    struct store *store = store_open(&options, &error);
    struct store_session *session = store != NULL ? store_session_open(store, &error) : NULL;
    int rc = CMD_NO;
    if (session == NULL)
        fprintf(stderr, "busbar: %s\n", error);
    else if (store_backup(session, file) != 0)
        fprintf(stderr, "busbar: %s\n", store_error(session));
    else
        rc = CMD_DONE;
    if (rc == CMD_DONE)
        printf("%s: a whole copy of %s, to be used as store.path\n", file, config->store.path);
    store_session_close(session);
    if (store != NULL)
        store_close(store);
    free(error);
    return rc;
}

static int run(int argc, char **argv)
{
    const char *path = NULL;
    struct problems problems = {0};
    const struct cmd_option options[] = {{"-c", "--config", &path, NULL}, {0}};
    int rc = cmd_options(&cmd_store, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc != 3 || strcmp(argv[1], "backup") != 0)
        return cmd_usage(&cmd_store, "say backup FILE");
    cleanup_text char *found = config_find(path);
    struct config *config = found != NULL ? config_load(found, &problems) : NULL;
    if (config == NULL || problems.errors > 0) {
        fputs("busbar: no usable configuration: `busbar check` says what is wrong\n", stderr);
        rc = CMD_NO;
    } else {
        rc = backup(config, argv[2]);
    }
    config_destroy(config);
    problems_finish(&problems);
    return rc;
}

const struct command cmd_store = {
    .name = "store",
    .usage = "busbar store backup FILE [-c FILE]",
    .help = "Copies the store into one file, while the daemon runs or when it is down.\n"
            "\n"
            "  backup FILE        FILE must not exist yet\n"
            "  -c, --config FILE  the configuration that names the store\n"
            "\n"
            "To restore: stop the daemon, put the copy in the store's place without its -wal and -shm, start.\n",
    .run = run,
};
