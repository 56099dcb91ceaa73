/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_private.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void); /* gcc 12 comes without <sanitizer/allocator_interface.h> */
#endif

/* ---- what was answered, looked at twice ------------------------------------------------------ */

#define MOST_TEXTS 24
#define MOST_TEXT_BYTES 65536
#define STACK_BYTES ((uintptr_t)8 << 20)
#define CHUNKS 8 /* as many of a size as glibc keeps at hand, and one */
#define SIZES 64

struct answered {
    struct {
        const char *name, *at;
        char *copy;
        size_t len;
        bool freed; /* what was asked for to hold the copy lies there itself */
    } texts[MOST_TEXTS];
    size_t count;
    const char *endless; /* which of them has more bytes than there are */
    size_t endless_len;
};

static void add(struct answered *answered, const char *name, const void *at, size_t len)
{
    if (len > PTRDIFF_MAX) {
        answered->endless = name;
        answered->endless_len = len;
    }
    if (!at || len > PTRDIFF_MAX || answered->count == MOST_TEXTS)
        return;
    answered->texts[answered->count].name = name;
    answered->texts[answered->count].at = at;
    answered->texts[answered->count].len = len;
    answered->count++;
}

/* Below what called the plugin there were only calls that have returned. */
bool memory_is_dead_stack(uintptr_t frame, const void *at)
{
    const uintptr_t p = (uintptr_t)at;
    return p < frame && frame - p < STACK_BYTES;
}

static bool is_dead_stack(const struct conform *c, const void *at)
{
    return memory_is_dead_stack(c->stack, at);
}

static void add_text(const struct conform *c, struct answered *answered, const char *name, const char *text)
{
    add(answered, name, text, text && !is_dead_stack(c, text) ? strnlen(text, MOST_TEXT_BYTES) : 0);
}

static bool overlap(const char *a, const char *b, size_t len)
{
    const uintptr_t p = (uintptr_t)a, q = (uintptr_t)b;
    return p < q + len && q < p + len;
}

struct answered *answered_read(struct conform *c, enum bb_next next, const struct bb_out *out)
{
    struct answered *answered = mem_alloc(sizeof *answered);
    c->shared->reading = true;
    if (next == BB_SEND) {
        const struct bb_request *request = &out->request;
        add_text(c, answered, "request.method", request->method);
        add_text(c, answered, "request.path", request->path);
        add_text(c, answered, "request.content_type", request->content_type);
        add(answered, "request.body", request->body.data, request->body.len);
        if (request->header_count)
            add(answered, "request.headers", request->headers, request->header_count * sizeof *request->headers);
        for (size_t i = 0; i < request->header_count && !is_dead_stack(c, request->headers); i++) {
            add_text(c, answered, "a header's name", request->headers[i].name);
            add(answered, "a header's value", request->headers[i].value.data, request->headers[i].value.len);
        }
    } else if (next != BB_DONE) {
        add_text(c, answered, "error.code", out->error.code);
        add_text(c, answered, "error.message", out->error.message);
        add_text(c, answered, "error.rejected_fields", out->error.rejected_fields);
        add_text(c, answered, "error.owner_action", out->error.owner_action);
    }
    add_text(c, answered, "source_work_order_id", out->source_work_order_id);
    add_text(c, answered, "asset_ref", out->asset_ref);
    for (size_t i = 0; i < answered->count; i++)
        if (!is_dead_stack(c, answered->texts[i].at)) {
            answered->texts[i].copy = mem_alloc(answered->texts[i].len + 1);
            answered->texts[i].freed = overlap(answered->texts[i].copy, answered->texts[i].at, answered->texts[i].len);
            memmove(answered->texts[i].copy, answered->texts[i].at, answered->texts[i].len);
        }
    c->shared->reading = false;
    return answered;
}

static void write_over(void **chunk, size_t size)
{
    *chunk = malloc(size);
    if (*chunk)
        memset(*chunk, 0xDB, size);
}

/* Takes what was freed and writes over it. A large one is taken for a text as large. */
static void scribble(const struct answered *answered, void *chunks[CHUNKS * SIZES], void *large[MOST_TEXTS])
{
    for (size_t i = 0; i < answered->count; i++)
        write_over(&large[i], answered->texts[i].len);
    for (size_t i = 0; i < (size_t)CHUNKS * SIZES; i++) {
        write_over(&chunks[i], 24 + i / CHUNKS * 16);
    }
}

bool answered_stays(struct conform *c, struct answered *answered)
{
    void *chunks[CHUNKS * SIZES], *large[MOST_TEXTS] = {0};
    const char *dead = NULL, *changed = NULL;
    scribble(answered, chunks, large);
    c->shared->reading = true;
    for (size_t i = 0; i < answered->count && !dead && !changed; i++) {
        const char *at = answered->texts[i].at;
        if (!answered->texts[i].copy)
            dead = answered->texts[i].name;
        else if (answered->texts[i].freed || memcmp(at, answered->texts[i].copy, answered->texts[i].len) != 0)
            changed = answered->texts[i].name;
    }
    c->shared->reading = false;
    for (size_t i = 0; i < (size_t)CHUNKS * SIZES; i++)
        free(chunks[i]);
    for (size_t i = 0; i < answered->count; i++)
        free(large[i]);
    for (size_t i = 0; i < answered->count; i++)
        free(answered->texts[i].copy);
    if (answered->endless)
        conform_complain_of_call(c, RULE_LIFETIME, "out->%s points to %zu bytes", answered->endless,
                                 answered->endless_len);
    const bool ends = !answered->endless;
    free(answered);
    if (dead)
        conform_complain_of_call(c, RULE_LIFETIME, "out->%s points to a variable of a call that has returned", dead);
    if (changed)
        conform_complain_of_call(c, RULE_LIFETIME, "out->%s points to memory that was freed", changed);
    return ends && !dead && !changed;
}

/* ---- what came in, and how far its messages are apart ------------------------------------------ */

static bool play_carefully(struct conform *c, const struct trial *trial, void *context)
{
    (void)context;
    struct buf near cleanup_buf = {0}, far cleanup_buf = {0};
    c->transcript = &near;
    trial_play(c, trial);
    if (trial->messages > 1 && c->faults == 0 && !trial_too_slow(c)) {
        struct trial apart = *trial;
        apart.apart = 40;
        c->transcript = &far;
        c->silent = c->shared->apart = true; /* what a wrong stride makes of it is told once, as that */
        trial_play(c, &apart);
        c->silent = c->shared->apart = false;
        if (!trial_too_slow(c) && !span_is(buf_span(&near), far.data ? far.data : ""))
            conform_complain_of_call(c, RULE_STRIDE, "it answers otherwise than when they are %zu bytes each",
                                     sizeof(struct bb_message));
    }
    c->transcript = NULL;
    return !c->faults;
}

void memory_check_answers(struct conform *c)
{
    c->careful = true;
    sweep_some(c, play_carefully, NULL);
    c->careful = false;
}

/* ---- leaks ---------------------------------------------------------------------------------------- */

#define ROUNDS 6
#define JOBS 1000
#define LEAST_CHUNK ((size_t)16)

static size_t heap_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
    return __sanitizer_get_current_allocated_bytes();
#else
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

static bool play(struct conform *c, const struct trial *trial, void *context)
{
    (void)context;
    trial_play(c, trial);
    return true;
}

static size_t grown(size_t before)
{
    const size_t now = heap_bytes();
    return now > before ? now - before : 0;
}

static size_t growth_of(struct conform *c, const struct trial *trial, size_t jobs)
{
    trial_play(c, trial);
    const size_t before = heap_bytes();
    for (size_t i = 0; i < jobs; i++)
        trial_play(c, trial);
    return grown(before);
}

static bool find_leak(struct conform *c, const struct trial *trial, void *context)
{
    (void)context;
    if (growth_of(c, trial, JOBS / 20) < JOBS / 20 * LEAST_CHUNK)
        return true;
    const size_t bytes = growth_of(c, trial, JOBS);
    if (bytes < JOBS * LEAST_CHUNK)
        return true;
    conform_complain_of_call(c, RULE_LEAK, "%d jobs left %zu bytes behind", JOBS, bytes);
    return false;
}

static void check_instances(struct conform *c, struct target *(*open)(void *context), void *context)
{
    size_t before = 0;
    for (int i = 0; i < JOBS / 10; i++) {
        if (i == JOBS / 20)
            before = heap_bytes();
        target_destroy(open(context));
    }
    const size_t bytes = grown(before);
    if (bytes >= JOBS / 20 * LEAST_CHUNK)
        conform_complain(c, RULE_LEAK, "open and close: %d instances left %zu bytes behind", JOBS / 20, bytes);
}

void memory_check_leaks(struct conform *c, struct target *(*open)(void *context), void *context)
{
    bool grows = true;
    for (int i = 0; i < ROUNDS && grows; i++) {
        const size_t before = heap_bytes();
        sweep_some(c, play, NULL);
        grows = grown(before) > 0;
    }
    if (grows)
        sweep_some(c, find_leak, NULL);
    check_instances(c, open, context);
}
