/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"
#include "config.h"
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct opened {
    struct store *store;
    struct store_session *session;
};

/* Answers false, and says why. */
static bool open_store(struct opened *opened, const struct store_options *options)
{
    cleanup_text char *error = NULL;
    *opened = (struct opened){0};
    opened->store = store_open(options, &error);
    if (opened->store != NULL)
        opened->session = store_session_open(opened->store, &error);
    if (opened->session == NULL)
        fprintf(stderr, "busbar: %s\n", error);
    return opened->session != NULL;
}

static void close_store(struct opened *opened)
{
    store_session_close(opened->session);
    store_close(opened->store);
}

static int backup(struct store_session *session, const char *path, const char *file)
{
    if (store_backup(session, file) != 0) {
        fprintf(stderr, "busbar: %s\n", store_error(session));
        return CMD_NO;
    }
    printf("%s: a whole copy of %s, to be used as store.path\n", file, path);
    return CMD_DONE;
}

static void print_finding(void *context, const char *finding)
{
    (void)context;
    printf("  %s\n", finding);
}

static int check(const struct store *store, struct store_session *session, const char *path)
{
    printf("%s: reading all of it\n", path);
    if (store_unread_commits(store) > 1)
        printf("  its log (-wal) is wrong in the middle: %" PRId64 " commits behind that cannot be read\n",
               store_unread_commits(store));
    if (store_check(session, print_finding, NULL) == 0) {
        printf("%s: whole\n", path);
        return CMD_DONE;
    }
    printf("%s: damaged. Stop busbar and keep a copy of the files. Then put the last backup in its place, or save what "
           "can "
           "be read with `busbar store recover FILE`.\n",
           path);
    return CMD_NO;
}

static void ignore_finding(void *context, const char *finding)
{
    (void)context;
    (void)finding;
}

static void print_saved(void *context, const char *what, int64_t rows, bool lost, const char *missing)
{
    (void)context;
    printf("  %" PRId64 " %s%s\n", rows, what, lost ? " (not all could be read)" : "");
    if (missing[0] != '\0')
        printf("    not read: %s\n", missing);
}

static int save(struct store_session *session, const char *path, const char *file)
{
    struct opened copy;
    if (access(file, F_OK) == 0) {
        fprintf(stderr, "busbar: %s exists\n", file);
        return CMD_NO;
    }
    const struct store_options options = {.path = file, .power_loss = true};
    int rc = CMD_NO;
    bool whole = store_check(session, ignore_finding, NULL) == 0; /* rows may be missing where no page is bad */
    if (open_store(&copy, &options)) {
        if (store_save(session, copy.session, print_saved, NULL) == 0)
            rc = CMD_DONE;
        else
            fprintf(stderr, "busbar: %s\n", store_error(copy.session));
    }
    close_store(&copy);
    for (size_t i = 0; copy.store != NULL && i < 2; i++) { /* the daemon's: it makes its own */
        cleanup_text char *beside = mem_printf("%s%s", file, i == 0 ? ".lock" : ".crumb");
        unlink(beside);
    }
    if (rc == CMD_DONE)
        printf("%s: %s of %s. To use it: stop busbar, keep the old files, put it in their place without -wal and -shm, "
               "start. What was delivered since its last readable word goes out again.\n",
               file, whole ? "all" : "what could be read", path);
    return rc;
}

static int run_verb(const struct config *config, const char *verb, const char *file)
{
    int rc = CMD_NO;
    struct opened opened;
    const char *path = config->store.path;
    const struct store_options options = {.path = path, .read_only = true};
    if (open_store(&opened, &options))
        rc = strcmp(verb, "check") == 0    ? check(opened.store, opened.session, path)
             : strcmp(verb, "backup") == 0 ? backup(opened.session, path, file)
                                           : save(opened.session, path, file);
    close_store(&opened);
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
    bool checks = argc == 2 && strcmp(argv[1], "check") == 0;
    bool writes = argc == 3 && (strcmp(argv[1], "backup") == 0 || strcmp(argv[1], "recover") == 0);
    if (!checks && !writes)
        return cmd_usage(&cmd_store, "say backup FILE, check, or recover FILE");
    cleanup_text char *found = config_find(path);
    struct config *config = found != NULL ? config_peek(found, &problems) : NULL;
    if (config == NULL || problems.errors > 0) {
        fputs("busbar: no usable configuration: `busbar check` says what is wrong\n", stderr);
        rc = CMD_NO;
    } else {
        rc = run_verb(config, argv[1], writes ? argv[2] : "");
    }
    config_destroy(config);
    problems_finish(&problems);
    return rc;
}

const struct command cmd_store = {
    .name = "store",
    .usage = "busbar store backup FILE | check | recover FILE [-c FILE]",
    .help =
        "Copies the store into one file, while the daemon runs or when it is down; looks whether it is whole; saves "
        "what\n"
        "can be read of a damaged one.\n"
        "\n"
        "  backup FILE        FILE must not exist yet\n"
        "  check              reads all of it; exit status 1 when it is damaged\n"
        "  recover FILE       a new store of what can be read; deliveries that lost their content are dead letters. "
        "Names\n"
        "                     the numbers that could not be read, and the times between which they came\n"
        "  -c, --config FILE  the configuration that names the store\n"
        "\n"
        "To restore: stop the daemon, put the copy in the store's place without its -wal and -shm, start.\n",
    .run = run,
};
