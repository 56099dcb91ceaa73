/* What is wrong with a file, all of it: collected while reading, printed at once, in file order. */
#ifndef BUSBAR_PROBLEMS_H
#define BUSBAR_PROBLEMS_H

#include "buf.h"

struct mark { /* borrowed file name; line and column from 1, 0: unknown */
    const char *file;
    int line, column;
};

struct problem {
    struct mark mark;
    bool warning;
    char *text;
};

struct problems {
    struct problem *items;
    size_t count, cap, errors;
};

/* Says what is wrong and what would be right. */
void problems_add(struct problems *problems, struct mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void problems_warn(struct problems *problems, struct mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "file:line:column: error: text" lines. */
void problems_print(const struct problems *problems, struct buf *out);
void problems_finish(struct problems *problems);

/* The word of the list nearest to `word` (edit distance at most a third), or NULL. */
const char *problems_nearest(struct span word, const char *const *words, size_t count);

#endif
