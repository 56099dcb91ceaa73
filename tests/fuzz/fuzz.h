/* What the fuzzers share: cutting their input into parts, and files in memory. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a program must not get wrong, whatever it is fed. */
#define HOLDS(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* The text up to the next NUL; *rest goes behind it. Empty at the end. */
static inline struct span fuzz_part(struct span *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->data, '\0', rest->len) : NULL;
    struct span part = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->len};
    size_t used = part.len + (end != NULL ? 1 : 0);
    *rest = (struct span){rest->data + used, rest->len - used};
    return part;
}

static inline uint8_t fuzz_byte(struct span *rest)
{
    if (rest->len == 0)
        return 0;
    uint8_t byte = (uint8_t)rest->data[0];
    *rest = (struct span){rest->data + 1, rest->len - 1};
    return byte;
}

/* A file with this text; path has room for 32. Close the descriptor. */
static inline int fuzz_file(struct span text, char path[32])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
        abort();
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
