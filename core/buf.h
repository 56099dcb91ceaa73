/* Growable bytes and scope-bound memory.
 *
 * Out of memory ends the process: everything that matters is durable, and a supervisor restarts us.
 * A struct buf starts zeroed, its data is always NUL-terminated once anything was appended.
 * Any thread; one owner at a time. */
#ifndef BUSBAR_BUF_H
#define BUSBAR_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t len, cap;
};

/* Borrowed text or bytes. */
struct span {
    const char *data;
    size_t len;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

struct span span_of(const char *text); /* NULL gives the empty span */
bool span_is(struct span span, const char *text);
char *span_dup(struct span span);    /* gives NUL-terminated */
bool span_is_utf8(struct span text); /* well-formed */

void buf_append(struct buf *buf, const void *bytes, size_t len);
void buf_puts(struct buf *buf, const char *text);
void buf_putc(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void buf_put_text(struct buf *buf, struct span text); /* bad UTF-8 becomes U+FFFD */
void buf_put_json(struct buf *buf, struct span text); /* the same as a quoted JSON string */
void buf_reserve(struct buf *buf, size_t more);
void buf_clear(struct buf *buf);  /* len 0, keeps the memory */
void buf_finish(struct buf *buf); /* frees, zeroes */
char *buf_steal(struct buf *buf); /* gives the text ("" when empty), buf is zeroed */
struct span buf_span(const struct buf *buf);

/* What is done instead of a word on stderr and abort(). It does not return. */
void mem_on_failure(void (*fail)(void));
void *mem_alloc(size_t bytes);                                                   /* gives zeroed memory */
void *mem_grow(void *array, size_t *cap, size_t need, size_t item_bytes);        /* realloc, doubles, new part zeroed */
char *mem_strdup(const char *text);                                              /* NULL stays NULL */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2))); /* gives */

void mem_free_char(char **text);
#define cleanup_text __attribute__((cleanup(mem_free_char)))
#define cleanup_buf __attribute__((cleanup(buf_finish)))

/* Memory that is given back all at once. */
struct arena;
struct arena *arena_create(void);
void arena_destroy(struct arena *arena);                             /* NULL is legal */
void *arena_alloc(struct arena *arena, size_t bytes);                /* zeroed, aligned for any type */
char *arena_dup(struct arena *arena, const void *bytes, size_t len); /* NUL-terminated */
char *arena_vprintf(struct arena *arena, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

#endif
