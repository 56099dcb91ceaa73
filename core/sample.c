/* SPDX-License-Identifier: Apache-2.0 */
/* First the paths: what templates and jq of the route mention. Then their values: each kind is tried for each path and
 * the one kept of which the plugin complains least. A payload that is itself the body grows by the members that the
 * plugin misses. */
#include "sample.h"

#include "app.h"
#include "clock.h"
#include "config.h"
#include "json.h"
#include "rehearse.h"
#include "route.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATHS_MAX 32
#define PATH_MAX_BYTES 128
#define ROUNDS 3
#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)

enum kind {
    KIND_TEXT,
    KIND_NUMBER,
    KIND_TIME,
    KIND_GUID,
    KIND_BYTES,
    KIND_LEVEL,
    KIND_TRUE,
    KIND_LIST,
    KIND_OBJECT, /* empty: the plugin says what it misses in it */
    KINDS
};

struct maker {
    struct sample *sample;
    const struct app *app;
    const struct config_route *route;
    size_t index;
    int64_t now_ms;
    double number; /* one that fires, where the trigger compares */
    struct {
        char pointer[PATH_MAX_BYTES]; /* "": the payload itself; without a slash: a user property */
        enum kind kind;
    } paths[PATHS_MAX];
    size_t count;
};

/* ---- which members a route reads ------------------------------------------------*/

static void add_path(struct maker *maker, const char *pointer, enum kind kind)
{
    for (size_t i = 0; i < maker->count; i++)
        if (strcmp(maker->paths[i].pointer, pointer) == 0)
            return;
    if (maker->count == PATHS_MAX || strlen(pointer) >= PATH_MAX_BYTES)
        return;
    strcpy(maker->paths[maker->count].pointer, pointer);
    maker->paths[maker->count++].kind = kind;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* A path such as .a.b[0] at `at`, as a JSON Pointer. Answers where it ends; at when it is none. dashes: in names. */
static const char *take_path(const char *at, bool dashes, char pointer[PATH_MAX_BYTES])
{
    cleanup_buf struct buf text = {0};
    const char *start = at;
    pointer[0] = '\0';
    while ((at[0] == '.' && is_word(at[1]) && !isdigit((unsigned char)at[1])) ||
           (at > start && at[0] == '[' && (isdigit((unsigned char)at[1]) || at[1] == ']'))) {
        bool index = *at++ == '[';
        const char *end = at;
        while (index ? isdigit((unsigned char)*end) : is_word(*end) || (dashes && *end == '-'))
            end++;
        buf_putc(&text, '/');
        buf_append(&text, end > at ? at : "0", end > at ? (size_t)(end - at) : 1);
        at = end + index;
    }
    if (text.len < PATH_MAX_BYTES)
        strcpy(pointer, text.len > 0 ? text.data : "");
    return at;
}

/* ${.path} ${user.name} ${value} of a text. */
static void read_template(struct maker *maker, const char *text, enum kind kind)
{
    char pointer[PATH_MAX_BYTES];
    while ((text = strstr(text, "${")) != NULL) {
        text += 2;
        if (*text == '.') {
            take_path(text, true, pointer);
            add_path(maker, pointer, kind);
        } else if (strncmp(text, "user.", 5) == 0) {
            snprintf(pointer, sizeof(pointer), "%.*s", (int)strcspn(text + 5, "}?"), text + 5);
            add_path(maker, pointer, kind);
        }
    }
}

/* What begins with a dot that belongs to no name or value before it. */
static void read_jq(struct maker *maker, const char *text, enum kind kind)
{
    char pointer[PATH_MAX_BYTES];
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '.' || (at > text && (is_word(at[-1]) || strchr(".])\"", at[-1]) != NULL)))
            continue;
        const char *end = take_path(at, false, pointer);
        if (end > at)
            add_path(maker, pointer, kind);
        at = end > at ? end - 1 : at;
    }
}

static void read_node(struct maker *maker, const struct yaml_node *node)
{
    if (node == NULL)
        return;
    if (node->kind == YAML_SCALAR && node->text.data != NULL)
        read_template(maker, node->text.data, KIND_TEXT);
    for (size_t i = 0; i < node->count; i++)
        read_node(maker, node->items[i].value);
}

static const char *scalar(const struct yaml_node *node)
{
    return node != NULL && node->kind == YAML_SCALAR && node->text.data != NULL ? node->text.data : "";
}

/* A reading that fires, whose value is one more than what is compared with (or less). */
static void read_trigger(struct maker *maker)
{
    const struct config_route *route = maker->route;
    const struct yaml_node *outside = route->trigger.outside;
    maker->number = 1;
    if (!route->trigger.given)
        return;
    if (route->trigger.above != NULL)
        maker->number = strtod(scalar(route->trigger.above), NULL) + 1;
    else if (route->trigger.below != NULL)
        maker->number = strtod(scalar(route->trigger.below), NULL) - 1;
    else if (outside != NULL && outside->kind == YAML_SEQUENCE && outside->count == 2)
        maker->number = strtod(scalar(outside->items[1].value), NULL) + 1;
    read_template(maker, scalar(route->trigger.value), KIND_NUMBER);
    read_jq(maker, scalar(route->trigger.when), KIND_NUMBER);
    read_jq(maker, scalar(route->trigger.clear), KIND_NUMBER);
    if (route->trigger.value == NULL && route->trigger.when == NULL)
        add_path(maker, "", KIND_NUMBER);
    read_template(maker, scalar(route->trigger.key), KIND_TEXT);
}

/* The filter with each capture's own name in its place. */
static char *make_topic(const char *from)
{
    struct buf topic = {0};
    for (const char *at = from; *at != '\0';) {
        size_t len = strcspn(at, "/");
        bool capture = len > 2 && at[0] == '{' && at[len - 1] == '}', any = len == 1 && strchr("+#", *at) != NULL;
        if (any)
            buf_puts(&topic, "any");
        else if (capture)
            buf_append(&topic, at + 1, strcspn(at + 1, ".}"));
        else
            buf_append(&topic, at, len);
        at += len;
        if (*at == '/')
            buf_putc(&topic, *at++);
    }
    return buf_steal(&topic);
}

/* ---- values -------------------------------------------------------------------------*/

static struct json_object *make_number(double number)
{
    char text[32];
    snprintf(text, sizeof(text), "%.15g", number);
    return json_object_new_double_s(number, text);
}

static struct json_object *make_value(const struct maker *maker, size_t i)
{
    const char *slash = strrchr(maker->paths[i].pointer, '/'), *name = slash != NULL ? slash + 1 : "payload";
    struct json_object *list;
    char time[CLOCK_TEXT_MAX];
    switch (maker->paths[i].kind) {
    case KIND_NUMBER:
        return make_number(maker->number);
    case KIND_TIME:
        return json_object_new_string(clock_format(maker->now_ms + DAY_MS + (int64_t)i * HOUR_MS, time));
    case KIND_GUID:
        return json_object_new_string("00000000-0000-4000-8000-000000000001");
    case KIND_BYTES:
        return json_object_new_string("aGVsbG8=");
    case KIND_LEVEL:
        return json_object_new_string("high");
    case KIND_TRUE:
        return json_object_new_boolean(true);
    case KIND_LIST:
        list = json_object_new_array();
        json_object_array_add(list, json_object_new_string("someone@example.com"));
        return list;
    case KIND_OBJECT:
        return json_object_new_object();
    case KIND_TEXT:
    case KINDS:
        break;
    }
    return json_object_new_string(name);
}

/* Puts a value at a pointer, making what is missing on the way. takes value; answers the new root. */
static struct json_object *put(struct json_object *node, const char *pointer, struct json_object *value)
{
    char name[PATH_MAX_BYTES];
    if (*pointer == '\0') { /* what a longer path made stays */
        bool holds = json_object_is_type(node, json_type_object) || json_object_is_type(node, json_type_array);
        json_object_put(holds ? value : node);
        return holds ? node : value;
    }
    size_t len = strcspn(pointer + 1, "/");
    snprintf(name, sizeof(name), "%.*s", (int)len, pointer + 1);
    bool index = name[0] != '\0' && strspn(name, "0123456789") == strlen(name);
    if (!json_object_is_type(node, index ? json_type_array : json_type_object)) {
        json_object_put(node);
        node = index ? json_object_new_array() : json_object_new_object();
    }
    size_t at = index ? strtoul(name, NULL, 10) % PATHS_MAX : 0;
    struct json_object *child = index ? json_object_array_get_idx(node, at) : json_get(node, name);
    child = put(json_object_get(child), pointer + 1 + len, value);
    if (index)
        json_object_array_put_idx(node, at, child);
    else
        json_object_object_add(node, name, child);
    return node;
}

/* A value in a line or alone: text as it is, a number with the format's decimal point. */
static void print_field(const struct format *format, struct json_object *value, struct buf *out)
{
    size_t start = out->len;
    if (value == NULL)
        return;
    json_to_text(value, out);
    bool number = json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int);
    char *point = number && format->decimal != 0 ? memchr(out->data + start, '.', out->len - start) : NULL;
    if (point != NULL)
        *point = format->decimal;
}

/* The payload as the route's format has it; what the route does not read stays empty. */
static void print_payload(struct maker *maker)
{
    struct sample *sample = maker->sample;
    const struct format *format = &maker->route->input.format;
    struct buf *out = &sample->payload_text;
    bool whole = format->kind == FORMAT_NUMBER || format->kind == FORMAT_TEXT;
    if (sample->payload == NULL)
        sample->payload = format->kind == FORMAT_NUMBER ? make_number(maker->number)
                          : format->kind == FORMAT_TEXT ? json_object_new_string("text")
                                                        : json_object_new_object();
    buf_clear(out);
    sample->is_json = !whole && format->kind != FORMAT_CSV;
    if (sample->is_json)
        json_print(sample->payload, out);
    else if (whole)
        print_field(format, sample->payload, out);
    for (size_t i = 0; format->kind == FORMAT_CSV && i < format->column_count; i++) {
        if (i > 0)
            buf_putc(out, format->separator != 0 ? format->separator : ',');
        if (format->columns[i] != NULL)
            print_field(format, json_get(sample->payload, format->columns[i]), out);
    }
}

static bool is_user(const char *pointer)
{
    return pointer[0] != '\0' && pointer[0] != '/';
}

static void fill(struct maker *maker)
{
    struct sample *sample = maker->sample;
    json_object_put(sample->payload);
    json_object_put(sample->user);
    sample->payload = NULL;
    sample->user = json_object_new_object();
    for (size_t i = 0; i < maker->count; i++) {
        struct json_object *value = make_value(maker, i);
        if (is_user(maker->paths[i].pointer))
            json_object_object_add(sample->user, maker->paths[i].pointer, value);
        else
            sample->payload = put(sample->payload, maker->paths[i].pointer, value);
    }
    print_payload(maker);
}

/* ---- how good it is ---------------------------------------------------------------------*/

static void take_decision(void *context, const struct route_decision *decision)
{
    struct sample *sample = context;
    snprintf(sample->id, sizeof(sample->id), "%s", decision->id);
    if (decision->outcome == OUTCOME_ACCEPTED)
        buf_append(&sample->body, decision->body.data, decision->body.len);
    else
        buf_puts(&sample->reason, decision->reason);
}

static void map(struct maker *maker)
{
    struct sample *sample = maker->sample;
    struct message_property user[PATHS_MAX];
    size_t count = 0;
    fill(maker);
    buf_clear(&sample->body);
    buf_clear(&sample->reason);
    json_object_object_foreach(sample->user, name, value) user[count++] =
        (struct message_property){span_of(name), span_of(json_object_get_string(value))};
    const struct message message = {.topic = span_of(sample->topic),
                                    .payload = buf_span(&sample->payload_text),
                                    .qos = 1,
                                    .user = user,
                                    .user_count = count,
                                    .received_ms = maker->now_ms};
    route_set_map(maker->app->routes, maker->index, &message, take_decision, sample);
}

/* Members that the plugin misses, when the payload is the body. */
static void grow(struct maker *maker, struct json_object *rejected)
{
    size_t count = json_object_is_type(rejected, json_type_array) ? json_object_array_length(rejected) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *pointer = json_get_text(json_object_array_get_idx(rejected, i), "pointer");
        bool there = true;
        if (pointer != NULL && pointer[0] == '/')
            json_pointer(maker->sample->payload, pointer, &there);
        if (!there)
            add_path(maker, pointer, KIND_TEXT);
    }
}

/* 0: the plugin makes a request of it. Else the more complaints, the worse. */
static size_t judge(struct maker *maker)
{
    const struct sample *sample = maker->sample;
    map(maker);
    if (sample->body.len == 0)
        return SIZE_MAX - 1;
    const struct bb_message message = {.id = sample->id,
                                       .order_id = sample->id,
                                       .body = {sample->body.data, sample->body.len},
                                       .topic = {sample->topic, strlen(sample->topic)},
                                       .received_ms = maker->now_ms};
    struct rehearsal rehearsal;
    rehearse(&rehearsal, app_target(maker->app, maker->route->target), maker->route->operation, &message,
             maker->now_ms);
    size_t complaints = rehearsal_sends(&rehearsal) || rehearsal.next == BB_DONE ? 0 : 1;
    if (complaints > 0 && rehearsal.out.error.rejected_fields != NULL) {
        cleanup_json struct json_object *rejected =
            json_parse(span_of(rehearsal.out.error.rejected_fields), NULL, NULL);
        if (json_object_is_type(rejected, json_type_array))
            complaints += json_object_array_length(rejected);
        if (maker->route->body == NULL && maker->route->body_jq == NULL)
            grow(maker, rejected);
    }
    rehearsal_finish(&rehearsal);
    return complaints;
}

/* The best kind for one path, the others as they are. What a worse one would need is forgotten; an object is kept when
 * the plugin complains no more than before and asks for members of it. Answers what is still complained of. */
static size_t improve(struct maker *maker, size_t i, size_t best)
{
    enum kind kept = maker->paths[i].kind;
    size_t count = maker->count;
    for (int kind = 0; kind < KINDS && best > 0; kind++) {
        maker->paths[i].kind = (enum kind)kind;
        size_t complaints = judge(maker);
        bool opened = kind == KIND_OBJECT && complaints <= best && maker->count > count;
        if (complaints < best || opened) {
            best = complaints;
            kept = maker->paths[i].kind;
            count = maker->count;
        }
        maker->count = count;
    }
    maker->paths[i].kind = kept;
    return best;
}

static bool holds_another(const struct maker *maker, size_t i)
{
    const char *pointer = maker->paths[i].pointer;
    size_t len = strlen(pointer);
    for (size_t k = 0; k < maker->count; k++)
        if (strncmp(maker->paths[k].pointer, pointer, len) == 0 && maker->paths[k].pointer[len] == '/')
            return true;
    return false;
}

static void list_fields(struct maker *maker)
{
    struct sample *sample = maker->sample;
    sample->fields = json_object_new_array();
    for (size_t i = 0; i < maker->count; i++) {
        if (is_user(maker->paths[i].pointer) || holds_another(maker, i))
            continue;
        struct json_object *field = json_object_new_object();
        json_put_text(field, "pointer", maker->paths[i].pointer);
        json_object_object_add(field, "example", make_value(maker, i));
        json_object_array_add(sample->fields, field);
    }
}

void sample_make(struct sample *sample, const struct app *app, size_t route, int64_t now_ms)
{
    struct maker maker = {
        .sample = sample, .app = app, .route = &app->config->routes[route], .index = route, .now_ms = now_ms};
    *sample = (struct sample){.topic = make_topic(maker.route->from)};
    read_trigger(&maker);
    read_template(&maker, maker.route->key != NULL ? maker.route->key : "", KIND_TEXT);
    read_node(&maker, maker.route->body);
    read_jq(&maker, scalar(maker.route->body_jq), KIND_TEXT);
    for (int round = 0; round < ROUNDS; round++) {
        size_t best, before;
        do {
            before = maker.count;
            best = judge(&maker);
        } while (maker.count > before);
        for (size_t i = 0; i < maker.count && best > 0; i++)
            best = improve(&maker, i, best);
    }
    map(&maker);
    list_fields(&maker);
}

void sample_finish(struct sample *sample)
{
    free(sample->topic);
    json_object_put(sample->payload);
    json_object_put(sample->user);
    json_object_put(sample->fields);
    buf_finish(&sample->payload_text);
    buf_finish(&sample->body);
    buf_finish(&sample->reason);
    *sample = (struct sample){0};
}
