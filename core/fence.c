/* SPDX-License-Identifier: Apache-2.0 */
#include "fence.h"

#include "loader.h"

#include <stdlib.h>
#include <string.h>

#define BEFORE 16u /* keeps the alignment */
#define BEHIND 256u
#define MARK 0xF5

struct given {
    unsigned char *at;
    size_t bytes;
};

struct watched {
    const char *name;
    void *at;
    size_t offset, len; /* of the copy */
};

static struct {
    struct given *given;
    size_t given_count, given_cap;
    struct watched *watched;
    size_t watched_count, watched_cap;
    struct buf copies;
} fence;

/* ---- memory that was given */

static void *fenced_alloc(struct bb_job *job, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) /* host.c has the words for it */
        return host_table()->alloc(job, bytes);
    unsigned char *const at = (unsigned char *)host_table()->alloc(job, BEFORE + bytes + BEHIND) + BEFORE;
    memset(at - BEFORE, MARK, BEFORE);
    memset(at + bytes, MARK, BEHIND);
    fence.given = mem_grow(fence.given, &fence.given_cap, fence.given_count + 1, sizeof *fence.given);
    fence.given[fence.given_count++] = (struct given){at, bytes};
    return at;
}

struct bb_host fence_host(void)
{
    struct bb_host host = *host_table();
    host.alloc = fenced_alloc;
    return host;
}

void fence_begin(void)
{
    fence.given_count = 0;
}

static bool is_marked(const unsigned char *at, size_t len)
{
    size_t i = 0;
    while (i < len && at[i] == MARK)
        i++;
    return i == len;
}

/* ---- what may only be read */

void fence_watch(const char *name, const void *at, size_t len)
{
    if (len == 0)
        return;
    fence.watched = mem_grow(fence.watched, &fence.watched_cap, fence.watched_count + 1, sizeof *fence.watched);
    fence.watched[fence.watched_count++] = (struct watched){name, (void *)(uintptr_t)at, fence.copies.len, len};
    buf_append(&fence.copies, at, len);
}

/* Members that are no option's are the plugin's own, where its settings are all that it has of itself. */
void fence_watch_settings(const struct bb_plugin *plugin, const void *config)
{
    struct bb_option option;
    for (size_t i = 0; config && plugin_option(plugin, i, &option); i++)
        if (option.type != BB_SECRET)
            fence_watch("the settings", (const char *)config + option.offset,
                        option.type == BB_BOOL ? sizeof(bool) : sizeof(int64_t));
}

static void watch_text(const char *name, const char *text)
{
    if (text)
        fence_watch(name, text, strlen(text) + 1);
}

void fence_watch_inputs(const struct bb_host *host, const struct bb_in *in)
{
    fence_watch("host", host, sizeof *host);
    fence_watch("in", in, sizeof *in);
    fence_watch("in->messages", in->messages, in->message_count * in->message_size);
    const char *last = NULL; /* a check's messages share one */
    for (size_t i = 0; i < in->message_count; i++) {
        const struct bb_message *message = (const void *)((const char *)in->messages + i * in->message_size);
        watch_text("a message's id", message->id);
        if (message->body.data != last)
            fence_watch("a message's body", message->body.data, message->body.len);
        last = message->body.data;
    }
    if (!in->response)
        return;
    fence_watch("in->response", in->response, sizeof *in->response);
    fence_watch("the response's body", in->response->body.data, in->response->body.len);
    fence_watch("the response's headers", in->response->headers,
                in->response->header_count * sizeof *in->response->headers);
}

/* ---- the call is over */

enum fence_fault fence_check(struct buf *what)
{
    enum fence_fault fault = FENCE_HOLDS;
    for (size_t i = 0; i < fence.given_count && fault == FENCE_HOLDS; i++) {
        const struct given *given = &fence.given[i];
        const bool before = !is_marked(given->at - BEFORE, BEFORE);
        if (!before && is_marked(given->at + given->bytes, BEHIND))
            continue;
        fault = FENCE_OVERRUN;
        buf_printf(what, "it wrote %s host->alloc() gave it for %zu bytes",
                   before ? "before the start of what" : "past the end of what", given->bytes);
    }
    for (size_t i = 0; i < fence.watched_count; i++) {
        const struct watched *watched = &fence.watched[i];
        if (memcmp(watched->at, fence.copies.data + watched->offset, watched->len) == 0)
            continue;
        memcpy(watched->at, fence.copies.data + watched->offset, watched->len);
        if (fault == FENCE_HOLDS)
            buf_printf(what, "it wrote into %s", watched->name);
        fault = fault == FENCE_HOLDS ? FENCE_WRITTEN : fault;
    }
    fence.watched_count = 0;
    buf_clear(&fence.copies);
    return fault;
}
