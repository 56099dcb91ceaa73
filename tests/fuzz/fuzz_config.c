/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file: whatever it holds, it is read or its problems are told; what was read without errors is printed
 * so that it can be read again. */
#include "fuzz.h"

#include "config.h"

static struct config *load(struct span text, struct problems *problems)
{
    char path[32];
    int fd = fuzz_file(text, path);
    char *name = mem_strdup(path); /* marks borrow it */
    struct config *config = config_load(name, problems);
    close(fd);
    cleanup_buf struct buf said = {0};
    problems_print(problems, &said);
    free(name);
    return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problems problems = {0}, again = {0};
    struct config *config = load((struct span){(const char *)data, size}, &problems);
    HOLDS(config != NULL || problems.errors > 0);
    if (config != NULL && problems.errors == 0) {
        cleanup_buf struct buf text = {0};
        config_print(config, &text);
        struct config *copy = load(buf_span(&text), &again);
        HOLDS(copy != NULL);
        config_destroy(copy);
    }
    config_destroy(config);
    problems_finish(&problems);
    problems_finish(&again);
    return 0;
}
