/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*on_failure)(void);

void mem_on_failure(void (*fail)(void))
{
    on_failure = fail;
}

static void die_of_memory(void)
{
    if (on_failure != NULL)
        on_failure();
    log_last_word("busbar: out of memory\n");
    abort();
}

void *mem_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes > 0 ? bytes : 1);
    if (memory == NULL)
        die_of_memory();
    return memory;
}

void *mem_grow(void *array, size_t *cap, size_t need, size_t item_bytes)
{
    if (need <= *cap)
        return array;
    size_t bigger = *cap < 8 ? 8 : *cap;
    while (bigger < need)
        bigger *= 2;
    if (bigger > SIZE_MAX / item_bytes)
        die_of_memory();
    char *memory = realloc(array, bigger * item_bytes);
    if (memory == NULL)
        die_of_memory();
    memset(memory + *cap * item_bytes, 0, (bigger - *cap) * item_bytes);
    *cap = bigger;
    return memory;
}

char *mem_strdup(const char *text)
{
    return text == NULL ? NULL : span_dup(span_of(text));
}

char *mem_printf(const char *format, ...)
{
    struct buf buf = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&buf, format, args);
    va_end(args);
    return buf_steal(&buf);
}

void mem_free_char(char **text)
{
    free(*text);
    *text = NULL;
}

struct span span_of(const char *text)
{
    return (struct span){text, text == NULL ? 0 : strlen(text)};
}

bool span_is(struct span span, const char *text)
{
    size_t len = strlen(text);
    return span.len == len && (len == 0 || memcmp(span.data, text, len) == 0);
}

char *span_dup(struct span span)
{
    char *text = mem_alloc(span.len + 1);
    if (span.len > 0)
        memcpy(text, span.data, span.len);
    return text;
}

void buf_reserve(struct buf *buf, size_t more)
{
    if (more > SIZE_MAX / 2 - buf->len)
        die_of_memory();
    if (buf->len + more + 1 <= buf->cap)
        return;
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < buf->len + more + 1)
        cap *= 2;
    char *data = realloc(buf->data, cap);
    if (data == NULL)
        die_of_memory();
    buf->data = data;
    buf->cap = cap;
    buf->data[buf->len] = '\0';
}

void buf_append(struct buf *buf, const void *bytes, size_t len)
{
    buf_reserve(buf, len);
    if (len > 0)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_puts(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_putc(struct buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    buf_reserve(buf, 64);
    int len = vsnprintf(buf->data + buf->len, buf->cap - buf->len, format, args);
    if (len < 0)
        len = 0;
    if ((size_t)len >= buf->cap - buf->len) {
        buf_reserve(buf, (size_t)len);
        vsnprintf(buf->data + buf->len, buf->cap - buf->len, format, again);
    }
    buf->len += (size_t)len;
    buf->data[buf->len] = '\0';
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

/* Length of the well-formed UTF-8 sequence at p, or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char from, to, low, high;
        size_t len;
    } shapes[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (p[0] < shapes[i].from || p[0] > shapes[i].to)
            continue;
        if (shapes[i].len > left)
            return 0;
        if (shapes[i].len > 1 && (p[1] < shapes[i].low || p[1] > shapes[i].high))
            return 0;
        for (size_t k = 2; k < shapes[i].len; k++)
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        return shapes[i].len;
    }
    return 0;
}

bool span_is_utf8(struct span text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.len;) {
        size_t step = p[i] < 0x80 ? 1 : utf8_sequence(p + i, text.len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD stands for what is no UTF-8 */

void buf_put_text(struct buf *buf, struct span text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    size_t from = 0;
    buf_reserve(buf, text.len);
    for (size_t i = 0; i < text.len;) {
        size_t step = p[i] < 0x80 ? 1 : utf8_sequence(p + i, text.len - i);
        if (step > 0) {
            i += step;
            continue;
        }
        buf_append(buf, text.data + from, i - from);
        buf_puts(buf, replacement);
        from = ++i;
    }
    buf_append(buf, text.len > 0 ? text.data + from : "", text.len - from);
}

static void put_json_escape(struct buf *buf, unsigned char c)
{
    switch (c) {
    case '"':
        buf_puts(buf, "\\\"");
        return;
    case '\\':
        buf_puts(buf, "\\\\");
        return;
    case '\n':
        buf_puts(buf, "\\n");
        return;
    case '\r':
        buf_puts(buf, "\\r");
        return;
    case '\t':
        buf_puts(buf, "\\t");
        return;
    default:
        buf_printf(buf, "\\u%04x", c);
    }
}

void buf_put_json(struct buf *buf, struct span text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    size_t from = 0;
    buf_putc(buf, '"');
    for (size_t i = 0; i < text.len;) {
        bool plain = p[i] >= 0x20 && p[i] != '"' && p[i] != '\\';
        size_t step = plain ? (p[i] < 0x80 ? 1 : utf8_sequence(p + i, text.len - i)) : 0;
        if (step > 0) {
            i += step;
            continue;
        }
        buf_append(buf, text.data + from, i - from);
        if (plain)
            buf_puts(buf, replacement);
        else
            put_json_escape(buf, p[i]);
        from = ++i;
    }
    buf_append(buf, text.len > 0 ? text.data + from : "", text.len - from);
    buf_putc(buf, '"');
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

void buf_finish(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

char *buf_steal(struct buf *buf)
{
    buf_reserve(buf, 0);
    char *text = buf->data;
    *buf = (struct buf){0};
    return text;
}

struct span buf_span(const struct buf *buf)
{
    return (struct span){buf->data == NULL ? "" : buf->data, buf->len};
}

/* ---- arena: a list of blocks, each at least as large as what was asked */

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(max_align_t) char data[];
};

struct arena {
    struct arena_block *blocks;
};

#define ARENA_BLOCK_BYTES 4032

struct arena *arena_create(void)
{
    return mem_alloc(sizeof(struct arena));
}

void arena_destroy(struct arena *arena)
{
    if (arena == NULL)
        return;
    while (arena->blocks != NULL) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    free(arena);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    const size_t align = _Alignof(max_align_t);
    if (bytes > SIZE_MAX / 2)
        die_of_memory();
    bytes = (bytes + align - 1) / align * align;
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->cap - block->used < bytes) {
        size_t cap = bytes > ARENA_BLOCK_BYTES ? bytes : ARENA_BLOCK_BYTES;
        block = mem_alloc(sizeof(*block) + cap);
        block->cap = cap;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *memory = block->data + block->used;
    block->used += bytes;
    return memory;
}

char *arena_dup(struct arena *arena, const void *bytes, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
    char brief[256];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(brief, sizeof(brief), format, args);
    size_t size = len > 0 ? (size_t)len + 1 : 1;
    char *text = arena_alloc(arena, size);
    if (size > sizeof(brief))
        vsnprintf(text, size, format, again);
    else
        memcpy(text, brief, size);
    va_end(again);
    return text;
}
