/* Files in a folder of the test's own, loaded, and what the load said. */
#ifndef BUSBAR_CONFIG_FIXTURE_H
#define BUSBAR_CONFIG_FIXTURE_H

#include "unit.h"

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE "targets: {mw: {plugin: p, mode: write_back}}\n"
#define ROUTE BASE "routes:\n- name: r\n  from: a/b\n  to: mw.task.schedule\n"
#define TRIGGER ROUTE "  trigger:\n"

static char folder[64];

static inline int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test-config-XXXXXX");
    assert_non_null(mkdtemp(folder));
    unsetenv("BUSBAR_TEST_UNSET");
    setenv("BUSBAR_TEST_SET", "s3cret-env", 1);
    setenv("BUSBAR_TEST_EMPTY", "", 1);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    cleanup_text char *command = mem_printf("rm -r %s", folder);
    return system(command);
}

static inline char *path_of(const char *name)
{
    return mem_printf("%s/%s", folder, name);
}

static inline void write_bytes(const char *name, const void *bytes, size_t len, mode_t mode)
{
    cleanup_text char *path = path_of(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static inline void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text), 0600);
}

/* What a load said, without the folder's name. */
struct loaded {
    struct config *config;
    struct problems problems;
    char *said;
};

static inline void loaded_finish(struct loaded *loaded)
{
    config_destroy(loaded->config);
    problems_finish(&loaded->problems);
    free(loaded->said);
}
#define cleanup_loaded __attribute__((cleanup(loaded_finish)))

static inline struct loaded load_file(const char *name)
{
    struct loaded loaded = {0};
    struct buf out = {0}, said = {0};
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    loaded.config = config_load(path, &loaded.problems);
    problems_print(&loaded.problems, &out);
    for (const char *at = out.len > 0 ? out.data : ""; *at != '\0';) {
        if (strncmp(at, folder, strlen(folder)) == 0 && at[strlen(folder)] == '/')
            at += strlen(folder) + 1;
        else
            buf_putc(&said, *at++);
    }
    buf_finish(&out);
    loaded.said = buf_steal(&said);
    return loaded;
}

static inline struct loaded load(const char *text)
{
    write_text("f", text);
    return load_file("f");
}

static inline void assert_said(const char *text, const char *expected)
{
    cleanup_loaded struct loaded loaded = load(text);
    if (strcmp(loaded.said, expected) != 0)
        fail_msg("for\n%s\nexpected\n%s\ngot\n%s", text, expected, loaded.said);
}

#endif
