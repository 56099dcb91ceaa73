/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, members, and what is said to the child. What it answers is in cell_answer.c. */
#include "cell_wire.h"

#include "loader.h"

#include <string.h>

/* ---- frames */

size_t wire_begin(struct buf *to, enum wire_kind kind)
{
    static const char head[WIRE_HEAD];
    size_t at = to->len;
    buf_append(to, head, sizeof(head));
    to->data[at + WIRE_HEAD - 1] = (char)kind;
    return at;
}

void wire_end(struct buf *to, size_t at)
{
    uint32_t len = (uint32_t)(to->len - at - WIRE_HEAD);
    memcpy(to->data + at, &len, sizeof(len));
}

int wire_next(struct span received, size_t max, uint8_t *kind, struct span *members, size_t *used)
{
    uint32_t len;
    if (received.len < WIRE_HEAD)
        return 0;
    memcpy(&len, received.data, sizeof(len));
    if (len > max)
        return -1;
    if (received.len - WIRE_HEAD < len)
        return 0;
    *kind = (uint8_t)received.data[WIRE_HEAD - 1];
    *members = (struct span){received.data + WIRE_HEAD, len};
    *used = WIRE_HEAD + len;
    return 1;
}

/* ---- members */

void wire_put_number(struct buf *to, int64_t value)
{
    buf_append(to, &value, sizeof(value));
}

void wire_put_bytes(struct buf *to, struct span bytes)
{
    wire_put_number(to, (int64_t)bytes.len);
    buf_append(to, bytes.data, bytes.len);
}

/* NULL is the length -1. */
void wire_put_text(struct buf *to, const char *text)
{
    if (text == NULL)
        wire_put_number(to, -1);
    else
        wire_put_bytes(to, span_of(text));
}

static struct span take(struct wire *wire, size_t len)
{
    if (wire->bad || wire->left.len < len) {
        wire->bad = true;
        return (struct span){NULL, 0};
    }
    struct span taken = {wire->left.data, len};
    wire->left = (struct span){wire->left.data + len, wire->left.len - len};
    return taken;
}

int64_t wire_number(struct wire *wire)
{
    int64_t value = 0;
    struct span bytes = take(wire, sizeof(value));
    if (bytes.len == sizeof(value))
        memcpy(&value, bytes.data, sizeof(value));
    return value;
}

int64_t wire_number_in(struct wire *wire, int64_t min, int64_t max)
{
    int64_t value = wire_number(wire);
    if (value >= min && value <= max)
        return value;
    wire->bad = true;
    return min;
}

bool wire_bool(struct wire *wire)
{
    return wire_number_in(wire, 0, 1) == 1;
}

struct span wire_bytes(struct wire *wire)
{
    return take(wire, (size_t)wire_number_in(wire, 0, INT32_MAX));
}

struct bb_str wire_str(struct wire *wire, struct arena *arena)
{
    struct span bytes = wire_bytes(wire);
    return (struct bb_str){bytes.len > 0 ? arena_dup(arena, bytes.data, bytes.len) : NULL, bytes.len};
}

const char *wire_text(struct wire *wire, struct arena *arena)
{
    int64_t len = wire_number_in(wire, -1, INT32_MAX);
    if (len < 0)
        return NULL;
    struct span text = take(wire, (size_t)len);
    wire->bad |= text.len > 0 && memchr(text.data, '\0', text.len) != NULL;
    return wire->bad ? NULL : arena_dup(arena, text.data, text.len);
}

bool wire_is_done(const struct wire *wire)
{
    return !wire->bad && wire->left.len == 0;
}

/* A list can have no more items than it has bytes. */
static size_t take_count(struct wire *wire)
{
    return (size_t)wire_number_in(wire, 0, (int64_t)wire->left.len);
}

static struct span of_str(struct bb_str text)
{
    return (struct span){text.data, text.len};
}

/* ---- which plugin, and its settings */

static size_t width_of(enum bb_option_type type)
{
    switch (type) {
    case BB_BOOL:
        return sizeof(bool);
    case BB_INT:
    case BB_DURATION:
        return sizeof(int64_t);
    case BB_NUMBER:
        return sizeof(double);
    case BB_STRING:
    case BB_JSON:
        return sizeof(const char *);
    case BB_SECRET:
        break;
    }
    return 0;
}

static bool is_text(enum bb_option_type type)
{
    return type == BB_STRING || type == BB_JSON;
}

/* By name and type: the child may load another build of the plugin than is loaded here. */
static void put_settings(struct buf *to, const struct bb_plugin *plugin, const void *config)
{
    struct bb_option option;
    wire_put_number(to, (int64_t)plugin->option_count);
    for (size_t i = 0; plugin_option(plugin, i, &option) != NULL; i++) {
        const char *member = (const char *)config + option.offset, *text = NULL;
        wire_put_text(to, option.name);
        wire_put_number(to, option.type);
        if (is_text(option.type)) {
            memcpy(&text, member, sizeof(text));
            wire_put_text(to, text);
        } else {
            wire_put_bytes(to, (struct span){member, width_of(option.type)});
        }
    }
}

static bool find_option(const struct bb_plugin *plugin, const char *name, enum bb_option_type type,
                        struct bb_option *option)
{
    for (size_t i = 0; name != NULL && plugin_option(plugin, i, option) != NULL; i++)
        if (strcmp(option->name, name) == 0)
            return option->type == type;
    return false;
}

void wire_take_settings(struct wire *wire, struct arena *arena, const struct bb_plugin *plugin, void *config)
{
    for (size_t count = take_count(wire); count > 0 && !wire->bad; count--) {
        const char *name = wire_text(wire, arena);
        enum bb_option_type type = (enum bb_option_type)wire_number_in(wire, BB_STRING, BB_SECRET);
        const char *text = is_text(type) ? wire_text(wire, arena) : NULL;
        struct span bytes = is_text(type) ? (struct span){(const char *)&text, sizeof(text)} : wire_bytes(wire);
        struct bb_option option;
        if (!wire->bad && bytes.len == width_of(type) && find_option(plugin, name, type, &option))
            memcpy((char *)config + option.offset, bytes.data, bytes.len);
    }
}

static void put_tables(struct buf *to, const struct mapping_table *tables)
{
    for (size_t list = 0; list < WORD_LISTS; list++) {
        size_t count = tables != NULL ? tables[list].count : 0;
        wire_put_number(to, (int64_t)count);
        for (size_t i = 0; i < count; i++) {
            wire_put_text(to, tables[list].lines[i].source);
            wire_put_text(to, tables[list].lines[i].common);
        }
    }
}

void wire_take_tables(struct wire *wire, struct arena *arena, struct mapping_table tables[WORD_LISTS])
{
    for (size_t list = 0; list < WORD_LISTS; list++) {
        size_t count = take_count(wire);
        struct bb_mapping *lines = arena_alloc(arena, (count + 1) * sizeof(*lines));
        for (size_t i = 0; i < count; i++) {
            lines[i].source = wire_text(wire, arena);
            lines[i].common = wire_text(wire, arena);
        }
        tables[list] = (struct mapping_table){lines, count};
    }
}

void wire_put_open(struct buf *to, const struct wire_opening *opening)
{
    size_t at = wire_begin(to, WIRE_OPEN);
    wire_put_text(to, opening->path);
    wire_put_text(to, opening->target);
    wire_put_number(to, opening->memory_bytes);
    put_settings(to, opening->plugin, opening->config);
    put_tables(to, opening->tables);
    wire_end(to, at);
}

/* ---- a call */

static void put_message(struct buf *to, const struct bb_message *message)
{
    wire_put_text(to, message->id);
    wire_put_text(to, message->order_id);
    wire_put_bytes(to, of_str(message->body));
    wire_put_bytes(to, of_str(message->topic));
    wire_put_bytes(to, of_str(message->event));
    wire_put_number(to, message->received_ms);
    wire_put_text(to, message->source_work_order_id);
}

static void take_message(struct wire *wire, struct arena *arena, struct bb_message *message)
{
    message->id = wire_text(wire, arena);
    message->order_id = wire_text(wire, arena);
    message->body = wire_str(wire, arena);
    message->topic = wire_str(wire, arena);
    message->event = wire_str(wire, arena);
    message->received_ms = wire_number(wire);
    message->source_work_order_id = wire_text(wire, arena);
}

void wire_put_in(struct buf *to, const struct bb_in *in, int64_t job_now_ms)
{
    wire_put_number(to, job_now_ms);
    wire_put_text(to, in->operation);
    wire_put_number(to, in->attempt);
    wire_put_number(to, in->uncertain);
    wire_put_number(to, in->now_ms);
    wire_put_number(to, (int64_t)in->message_count);
    for (size_t i = 0; i < in->message_count; i++)
        put_message(to, (const struct bb_message *)(const void *)((const char *)in->messages + i * in->message_size));
}

struct bb_message *wire_take_in(struct wire *wire, struct arena *arena, struct bb_in *in, int64_t *job_now_ms)
{
    *in = (struct bb_in){.size = sizeof(*in), .message_size = sizeof(struct bb_message)};
    *job_now_ms = wire_number(wire);
    in->operation = wire_text(wire, arena);
    in->attempt = (int)wire_number_in(wire, 0, INT32_MAX);
    in->uncertain = wire_bool(wire);
    in->now_ms = wire_number(wire);
    in->message_count = take_count(wire);
    struct bb_message *messages = arena_alloc(arena, (in->message_count + 1) * sizeof(*messages));
    for (size_t i = 0; i < in->message_count; i++)
        take_message(wire, arena, &messages[i]);
    in->messages = in->message_count > 0 ? messages : NULL;
    return messages;
}

void wire_put_response(struct buf *to, const struct bb_response *response)
{
    wire_put_number(to, response->status);
    wire_put_bytes(to, of_str(response->body));
    wire_put_number(to, response->cached);
    wire_put_number(to, (int64_t)response->header_count);
    for (size_t i = 0; i < response->header_count; i++) {
        wire_put_text(to, response->headers[i].name);
        wire_put_bytes(to, of_str(response->headers[i].value));
    }
}

const struct bb_response *wire_take_response(struct wire *wire, struct arena *arena)
{
    struct bb_response *response = arena_alloc(arena, sizeof(*response));
    response->size = sizeof(*response);
    response->status = (int)wire_number_in(wire, 0, 999);
    response->body = wire_str(wire, arena);
    response->cached = wire_bool(wire);
    response->header_count = take_count(wire);
    struct bb_header *headers = arena_alloc(arena, (response->header_count + 1) * sizeof(*headers));
    for (size_t i = 0; i < response->header_count; i++) {
        headers[i].name = wire_text(wire, arena);
        headers[i].value = wire_str(wire, arena);
    }
    response->headers = headers;
    return response;
}
