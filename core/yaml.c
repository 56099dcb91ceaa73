/* SPDX-License-Identifier: Apache-2.0 */

/* libyaml's events composed into a tree.
 *
 * What bounds a hostile file: bytes, depth, nodes and anchors are capped. An alias is a copy of what
 * its anchor names, so that the tree stays a tree and every copied node counts: a "billion laughs"
 * ends at the cap. An anchor counts from its node's end, so that no node can hold itself.
 *
 * After a syntax error nothing more can be said about a file. Everything else (a key that stands
 * twice, a tag) is reported and composing goes on. */
#include "yaml.h"

#include "json.h"
#include "number.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define FILE_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define NODES_MAX 400000u
#define ANCHORS_MAX 1000u
#define DEPTH_MAX JSON_DEPTH_MAX

struct yaml_tree {
    struct arena *arena;
    struct yaml_node *root;
};

struct anchor {
    const char *name;
    struct yaml_node *node;
};

struct composer {
    yaml_parser_t parser;
    struct arena *arena;
    struct span text;
    const char *name;
    struct problems *problems;
    struct anchor anchors[ANCHORS_MAX];
    size_t anchor_count, node_count;
};

static struct yaml_node *compose(struct composer *c, yaml_event_t *event, size_t depth);

static struct mark mark_of(const struct composer *c, yaml_mark_t at)
{
    return (struct mark){c->name, (int)at.line + 1, (int)at.column + 1};
}

/* ---- what is wrong with the syntax -----------------------------------------*/

/* libyaml counts characters; answers the byte. */
static size_t byte_of(struct span text, size_t characters)
{
    size_t i = 0;
    for (; i < text.len; i++)
        if (((unsigned char)text.data[i] & 0xC0) != 0x80 && characters-- == 0)
            break;
    return i;
}

static struct mark mark_of_byte(const struct composer *c, size_t byte)
{
    struct mark mark = {c->name, 1, 1};
    for (size_t i = 0; i < byte && i < c->text.len; i++) {
        if (c->text.data[i] == '\n') {
            mark.line++;
            mark.column = 1;
        } else if (((unsigned char)c->text.data[i] & 0xC0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

/* The mistakes that people make, said in words that help more than libyaml's. */
static const char *syntax_hint(struct span text, size_t at)
{
    char here = at < text.len ? text.data[at] : '\0';
    char before = at > 0 && at <= text.len ? text.data[at - 1] : '\0';
    if (before == '$' && here == '{')
        return "a placeholder inside {...} or [...] must be quoted, as in {id: \"${part}\"}";
    if (before == '}')
        return "text that starts with '{' must be quoted, as in \"{line}/temperature\"";
    if (here == '\t')
        return "a tab cannot indent, use spaces";
    if (here == '@' || here == '`' || here == '%')
        return "text that starts with this character must be quoted";
    if (here == ':')
        return "text with ': ' in it must be quoted";
    return NULL;
}

static void report_syntax(struct composer *c)
{
    const yaml_parser_t *p = &c->parser;
    if (p->error == YAML_READER_ERROR) {
        problems_add(c->problems, mark_of_byte(c, p->problem_offset), "not YAML: %s", p->problem);
        return;
    }
    cleanup_buf struct buf text = {0};
    buf_printf(&text, "not YAML: %s", p->problem != NULL ? p->problem : "it cannot be parsed");
    if (p->context != NULL)
        buf_printf(&text, " %s", p->context);
    if (p->context != NULL && p->context_mark.line != p->problem_mark.line)
        buf_printf(&text, " from line %zu on", p->context_mark.line + 1);
    const char *hint = syntax_hint(c->text, byte_of(c->text, p->problem_mark.index));
    if (hint != NULL)
        buf_printf(&text, "; %s", hint);
    problems_add(c->problems, mark_of(c, p->problem_mark), "%s", text.data);
}

static bool next_event(struct composer *c, yaml_event_t *event)
{
    if (yaml_parser_parse(&c->parser, event) != 0)
        return true;
    report_syntax(c);
    return false;
}

/* ---- nodes -------------------------------------------------------------------*/

/* NULL: a cap was reached, and a problem says so. */
static struct yaml_node *node_create(struct composer *c, enum yaml_kind kind, struct mark mark, size_t depth)
{
    if (depth > DEPTH_MAX) {
        problems_add(c->problems, mark, "nested deeper than %d levels", DEPTH_MAX);
        return NULL;
    }
    if (++c->node_count > NODES_MAX) {
        problems_add(c->problems, mark, "more than %u values, aliases expanded", NODES_MAX);
        return NULL;
    }
    struct yaml_node *node = arena_alloc(c->arena, sizeof(*node));
    node->kind = kind;
    node->mark = mark;
    return node;
}

/* Doubles within the arena: wastes at most as much again as it keeps. */
static void node_append(struct composer *c, struct yaml_node *parent, struct yaml_node *key, struct yaml_node *value)
{
    if (parent->count == parent->cap) {
        size_t cap = parent->cap == 0 ? 4 : parent->cap * 2;
        struct yaml_pair *items = arena_alloc(c->arena, cap * sizeof(items[0]));
        if (parent->count > 0)
            memcpy(items, parent->items, parent->count * sizeof(items[0]));
        parent->items = items;
        parent->cap = cap;
    }
    parent->items[parent->count++] = (struct yaml_pair){key, value};
}

static struct yaml_node *copy(struct composer *c, const struct yaml_node *from, size_t depth)
{
    struct yaml_node *node = node_create(c, from->kind, from->mark, depth);
    if (node == NULL)
        return NULL;
    node->text = from->text;
    node->plain = from->plain;
    for (size_t i = 0; i < from->count; i++) {
        struct yaml_node *value = copy(c, from->items[i].value, depth + 1);
        if (value == NULL)
            return NULL;
        node_append(c, node, from->items[i].key, value);
    }
    return node;
}

static struct yaml_node *expand_alias(struct composer *c, const yaml_event_t *event, size_t depth)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = c->anchor_count; i-- > 0;)
        if (strcmp(c->anchors[i].name, name) == 0)
            return copy(c, c->anchors[i].node, depth);
    problems_add(c->problems, mark_of(c, event->start_mark),
                 "alias '*%.64s': no value before it has the anchor '&%.64s'", name, name);
    return NULL;
}

static bool anchor_add(struct composer *c, struct yaml_node *node, const char *name)
{
    if (c->anchor_count == ANCHORS_MAX) {
        problems_add(c->problems, node->mark, "more than %u anchors", ANCHORS_MAX);
        return false;
    }
    c->anchors[c->anchor_count++] = (struct anchor){name, node};
    return true;
}

static struct yaml_node *compose_scalar(struct composer *c, const yaml_event_t *event, size_t depth)
{
    struct yaml_node *node = node_create(c, YAML_SCALAR, mark_of(c, event->start_mark), depth);
    if (node == NULL)
        return NULL;
    size_t len = event->data.scalar.length;
    node->text = (struct span){arena_dup(c->arena, event->data.scalar.value, len), len};
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(node->text.data, '\0', len) != NULL)
        problems_add(c->problems, node->mark, "text cannot hold a NUL character");
    return node;
}

/* ---- mappings and sequences --------------------------------------------------*/

static int by_key(const void *left, const void *right)
{
    const struct yaml_node *const *a = left, *const *b = right;
    int order = strcmp((*a)->text.data, (*b)->text.data);
    if (order != 0)
        return order;
    if ((*a)->mark.line != (*b)->mark.line)
        return (*a)->mark.line < (*b)->mark.line ? -1 : 1;
    return (*a)->mark.column < (*b)->mark.column ? -1 : 1;
}

static void report_duplicates(struct composer *c, const struct yaml_node *mapping)
{
    if (mapping->count < 2)
        return;
    const struct yaml_node **keys = mem_alloc(mapping->count * sizeof(*keys));
    for (size_t i = 0; i < mapping->count; i++)
        keys[i] = mapping->items[i].key;
    qsort(keys, mapping->count, sizeof(*keys), by_key);
    for (size_t i = 1, first = 0; i < mapping->count; i++) {
        if (strcmp(keys[i]->text.data, keys[first]->text.data) != 0)
            first = i;
        else
            problems_add(c->problems, keys[i]->mark, "key '%.64s' stands twice, first at line %d, column %d",
                         keys[i]->text.data, keys[first]->mark.line, keys[first]->mark.column);
    }
    free(keys);
}

static struct yaml_node *compose_key(struct composer *c, yaml_event_t *event, size_t depth)
{
    struct mark mark = mark_of(c, event->start_mark);
    struct yaml_node *key = compose(c, event, depth);
    if (key == NULL)
        return NULL;
    if (key->kind != YAML_SCALAR) {
        problems_add(c->problems, mark,
                     "a key must be text; a placeholder inside {...} must be quoted, as in {id: \"${part}\"}");
        return NULL;
    }
    if (key->plain && span_is(key->text, "<<"))
        problems_add(c->problems, mark, "merge keys are not supported; write the settings out");
    return key;
}

/* Both kinds: a sequence is a mapping without keys. */
static struct yaml_node *compose_items(struct composer *c, struct yaml_node *node, size_t depth)
{
    yaml_event_type_t end = node->kind == YAML_MAPPING ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    for (;;) {
        yaml_event_t event;
        if (!next_event(c, &event))
            return NULL;
        if (event.type == end) {
            yaml_event_delete(&event);
            break;
        }
        struct yaml_node *key = NULL;
        if (node->kind == YAML_MAPPING) {
            key = compose_key(c, &event, depth + 1);
            if (key == NULL || !next_event(c, &event))
                return NULL;
        }
        struct yaml_node *value = compose(c, &event, depth + 1);
        if (value == NULL)
            return NULL;
        node_append(c, node, key, value);
    }
    if (node->kind == YAML_MAPPING)
        report_duplicates(c, node);
    return node;
}

struct decorations {
    const char *anchor, *tag;
};

static struct decorations decorations_of(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    return (struct decorations){(const char *)anchor, (const char *)tag};
}

/* One value with all that it holds; takes the event. NULL: give up, a problem was added. */
static struct yaml_node *compose(struct composer *c, yaml_event_t *event, size_t depth)
{
    struct mark mark = mark_of(c, event->start_mark);
    struct decorations with = decorations_of(event);
    const char *anchor = with.anchor != NULL ? arena_dup(c->arena, with.anchor, strlen(with.anchor)) : NULL;
    if (with.tag != NULL)
        problems_add(c->problems, mark, "tags are not supported: remove '%.64s'", with.tag);
    yaml_event_type_t type = event->type;
    struct yaml_node *node;
    if (type == YAML_ALIAS_EVENT)
        node = expand_alias(c, event, depth);
    else if (type == YAML_SCALAR_EVENT)
        node = compose_scalar(c, event, depth);
    else
        node = node_create(c, type == YAML_MAPPING_START_EVENT ? YAML_MAPPING : YAML_SEQUENCE, mark, depth);
    yaml_event_delete(event);
    if (node != NULL && (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT))
        node = compose_items(c, node, depth);
    if (node != NULL && anchor != NULL && !anchor_add(c, node, anchor))
        return NULL;
    return node;
}

/* ---- reading -------------------------------------------------------------------*/

/* Answers false when the file is not to be used. */
static bool compose_stream(struct composer *c, struct yaml_node **root)
{
    for (bool had_document = false;;) {
        yaml_event_t event;
        if (!next_event(c, &event))
            return false;
        yaml_event_type_t type = event.type;
        struct mark mark = mark_of(c, event.start_mark);
        if (type == YAML_STREAM_START_EVENT || type == YAML_STREAM_END_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_DOCUMENT_END_EVENT) {
            yaml_event_delete(&event);
        } else {
            *root = compose(c, &event, 0);
            if (*root == NULL)
                return false;
        }
        if (type == YAML_STREAM_END_EVENT)
            return true;
        if (type == YAML_DOCUMENT_START_EVENT && had_document) {
            problems_add(c->problems, mark, "one document a file: remove this '---' and join what follows");
            return true;
        }
        had_document = had_document || type == YAML_DOCUMENT_START_EVENT;
    }
}

/* What libyaml would take but we would not. Answers false after a problem. */
static bool check_bytes(struct composer *c)
{
    if (c->text.len > FILE_BYTES_MAX) {
        problems_add(c->problems, (struct mark){c->name, 0, 0}, "larger than %zu MiB", FILE_BYTES_MAX >> 20);
        return false;
    }
    const char *nul = c->text.len > 0 ? memchr(c->text.data, '\0', c->text.len) : NULL;
    if (nul != NULL) {
        problems_add(c->problems, mark_of_byte(c, (size_t)(nul - c->text.data)), "not YAML: it has a NUL byte");
        return false;
    }
    return true;
}

struct yaml_tree *yaml_read_text(struct span text, const char *name, struct problems *problems)
{
    if (text.len >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) /* the byte order mark of some editors */
        text = (struct span){text.data + 3, text.len - 3};
    struct composer *c = mem_alloc(sizeof(*c));
    c->arena = arena_create();
    c->text = text;
    c->name = name;
    c->problems = problems;
    struct yaml_tree *tree = NULL;
    struct yaml_node *root = NULL;
    if (check_bytes(c) && yaml_parser_initialize(&c->parser) != 0) {
        yaml_parser_set_encoding(&c->parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&c->parser, (const unsigned char *)(text.len > 0 ? text.data : ""), text.len);
        if (compose_stream(c, &root)) {
            tree = mem_alloc(sizeof(*tree));
            tree->arena = c->arena;
            tree->root = root;
        }
        yaml_parser_delete(&c->parser);
    }
    if (tree == NULL)
        arena_destroy(c->arena);
    free(c);
    return tree;
}

struct yaml_tree *yaml_read_file(const char *path, struct problems *problems)
{
    struct mark mark = {path, 0, 0};
    cleanup_buf struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && text.len <= FILE_BYTES_MAX) {
        buf_reserve(&text, 65536);
        got = read(fd, text.data + text.len, 65536);
        if (got > 0)
            text.len += (size_t)got;
    }
    if (got < 0)
        problems_add(problems, mark, "cannot be read: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return got < 0 ? NULL : yaml_read_text((struct span){text.data, text.len}, path, problems);
}

const struct yaml_node *yaml_root(const struct yaml_tree *tree)
{
    return tree->root;
}

void yaml_destroy(struct yaml_tree *tree)
{
    if (tree == NULL)
        return;
    arena_destroy(tree->arena);
    free(tree);
}

/* ---- values ----------------------------------------------------------------------*/

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < mapping->count; i++)
        if (span_is(mapping->items[i].key->text, key))
            return mapping->items[i].value;
    return NULL;
}

static bool is_plain_word(const struct yaml_node *node, const char *const words[3])
{
    if (node->kind != YAML_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (span_is(node->text, words[i]))
            return true;
    return false;
}

bool yaml_is_null(const struct yaml_node *node)
{
    static const char *const words[3] = {"null", "Null", "NULL"};
    return node == NULL || is_plain_word(node, words) ||
           (node->kind == YAML_SCALAR && node->plain && (node->text.len == 0 || span_is(node->text, "~")));
}

bool yaml_to_bool(const struct yaml_node *node, bool *out)
{
    static const char *const yes[3] = {"true", "True", "TRUE"}, *const no[3] = {"false", "False", "FALSE"};
    if (node == NULL || (!is_plain_word(node, yes) && !is_plain_word(node, no)))
        return false;
    *out = is_plain_word(node, yes);
    return true;
}

static size_t digits_at(const char *text)
{
    return strspn(text, "0123456789");
}

/* [-+]? ( . digits | digits ( . digits? )? ) ( [eE] [-+]? digits )? as JSON would write it: no plus, no
 * leading zeros, digits on both sides of the point. Answers false when the text is no such number. */
static bool to_json_number(const char *text, struct buf *out, bool *whole)
{
    if (*text == '-')
        buf_putc(out, '-');
    if (*text == '-' || *text == '+')
        text++;
    size_t before = digits_at(text), after = 0;
    const char *fraction = NULL, *rest = text + before;
    if (*rest == '.') {
        fraction = rest + 1;
        after = digits_at(fraction);
        rest = fraction + after;
    }
    if (before + after == 0)
        return false;
    *whole = fraction == NULL && *rest == '\0';
    while (before > 1 && *text == '0')
        text++, before--;
    buf_append(out, before > 0 ? text : "0", before > 0 ? before : 1);
    if (after > 0) {
        buf_putc(out, '.');
        buf_append(out, fraction, after);
    }
    if (*rest == 'e' || *rest == 'E') {
        size_t sign = rest[1] == '-' || rest[1] == '+' ? 1 : 0;
        size_t exponent = digits_at(rest + 1 + sign);
        if (exponent == 0)
            return false;
        buf_append(out, rest, 1 + sign + exponent);
        rest += 1 + sign + exponent;
    } else if (fraction != NULL && after == 0) {
        buf_puts(out, ".0"); /* "5." is a float */
    }
    return *rest == '\0';
}

static struct json_object *based_number(const char *digits, int base, const char *allowed)
{
    if (*digits == '\0' || strspn(digits, allowed) != strlen(digits))
        return NULL;
    errno = 0;
    unsigned long long value = strtoull(digits, NULL, base);
    if (errno != 0)
        return NULL;
    return value <= INT64_MAX ? json_object_new_int64((int64_t)value) : json_object_new_uint64(value);
}

static struct json_object *to_number(struct span text)
{
    if (text.len > 2 && text.data[0] == '0' && text.data[1] == 'o')
        return based_number(text.data + 2, 8, "01234567");
    if (text.len > 2 && text.data[0] == '0' && text.data[1] == 'x')
        return based_number(text.data + 2, 16, "0123456789abcdefABCDEF");
    cleanup_buf struct buf number = {0};
    bool whole = false;
    if (!to_json_number(text.data, &number, &whole))
        return NULL;
    int64_t value;
    if (whole && number_parse_int(buf_span(&number), INT64_MIN, INT64_MAX, &value) && !span_is(buf_span(&number), "-0"))
        return json_object_new_int64(value);
    double approximate = strtod(number.data, NULL);
    return isfinite(approximate) ? json_object_new_double_s(approximate, number.data) : NULL;
}

static struct json_object *scalar_to_json(const struct yaml_node *node)
{
    bool truth;
    if (yaml_is_null(node))
        return NULL;
    if (yaml_to_bool(node, &truth))
        return json_object_new_boolean(truth);
    struct json_object *number = node->plain ? to_number(node->text) : NULL;
    return number != NULL ? number : json_text(node->text);
}

struct json_object *yaml_to_json(const struct yaml_node *node)
{
    if (node == NULL || node->kind == YAML_SCALAR)
        return node == NULL ? NULL : scalar_to_json(node);
    struct json_object *value = node->kind == YAML_MAPPING ? json_object_new_object() : json_object_new_array();
    for (size_t i = 0; i < node->count; i++) {
        struct json_object *item = yaml_to_json(node->items[i].value);
        if (node->kind == YAML_MAPPING)
            json_object_object_add(value, node->items[i].key->text.data, item);
        else
            json_object_array_add(value, item);
    }
    return value;
}
