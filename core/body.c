/* SPDX-License-Identifier: Apache-2.0 */
#include "body.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

struct piece { /* ready text, then a hole */
    char *text;
    size_t len;
    struct template *hole; /* NULL: none (the last piece) */
};

struct body {
    struct piece *pieces;
    size_t count, cap;
};

struct compiler {
    struct body *body;
    struct buf text; /* of the piece being made */
    const struct template_names *names;
    unsigned uses;
    struct problems *problems;
    bool failed;
};

struct template *body_scalar(const struct yaml_node *node, const struct template_names *names,
                             struct problems *problems)
{
    size_t offset = 0;
    cleanup_text char *error = NULL;
    struct template *t = template_compile(node->text, names, &error, &offset);
    if (t != NULL)
        return t;
    struct mark mark = node->mark;
    /* The place in the text is one in the file only as long as nothing was unquoted or folded. */
    if (node->plain && memchr(node->text.data, '\n', node->text.len) == NULL)
        for (size_t i = 0; i < offset; i++)
            mark.column += ((unsigned char)node->text.data[i] & 0xc0) != 0x80; /* columns count characters */
    problems_add(problems, mark, "%s", error);
    return NULL;
}

static void end_piece(struct compiler *c, struct template *hole)
{
    struct body *body = c->body;
    body->pieces = mem_grow(body->pieces, &body->cap, body->count + 1, sizeof(*body->pieces));
    size_t len = c->text.len;
    body->pieces[body->count++] = (struct piece){.text = buf_steal(&c->text), .len = len, .hole = hole};
}

static void add_scalar(struct compiler *c, const struct yaml_node *node)
{
    if (node->text.len == 0 || strstr(node->text.data, "${") == NULL) {
        cleanup_json struct json_object *constant = yaml_to_json(node);
        json_print(constant, &c->text);
        return;
    }
    struct template *t = body_scalar(node, c->names, c->problems);
    if (t == NULL) {
        c->failed = true;
        return;
    }
    c->uses |= template_uses(t);
    if (!template_is_literal(t)) {
        end_piece(c, t);
        return;
    }
    cleanup_buf struct buf unused = {0};
    template_render_json(t, &(struct template_scope){0}, &c->text, &unused);
    template_destroy(t);
}

static void add_node(struct compiler *c, const struct yaml_node *node)
{
    if (node->kind == YAML_SCALAR) {
        add_scalar(c, node);
        return;
    }
    bool mapping = node->kind == YAML_MAPPING;
    buf_putc(&c->text, mapping ? '{' : '[');
    for (size_t i = 0; i < node->count; i++) {
        if (i > 0)
            buf_putc(&c->text, ',');
        if (mapping) {
            const struct yaml_node *key = node->items[i].key;
            if (key->text.len > 0 && strstr(key->text.data, "${") != NULL) {
                problems_add(c->problems, key->mark,
                             "placeholders stand in values, not in keys; body_jq can make keys from data");
                c->failed = true;
            }
            buf_put_json(&c->text, key->text);
            buf_putc(&c->text, ':');
        }
        add_node(c, node->items[i].value);
    }
    buf_putc(&c->text, mapping ? '}' : ']');
}

struct body *body_compile(const struct yaml_node *node, const struct template_names *names, unsigned *uses,
                          struct problems *problems)
{
    struct compiler c = {.body = mem_alloc(sizeof(struct body)), .names = names, .problems = problems};
    add_node(&c, node);
    end_piece(&c, NULL);
    *uses = c.uses;
    if (!c.failed)
        return c.body;
    body_destroy(c.body);
    return NULL;
}

void body_destroy(struct body *body)
{
    if (body == NULL)
        return;
    for (size_t i = 0; i < body->count; i++) {
        free(body->pieces[i].text);
        template_destroy(body->pieces[i].hole);
    }
    free(body->pieces);
    free(body);
}

int body_render(const struct body *body, const struct template_scope *scope, struct buf *out, struct buf *reason)
{
    for (size_t i = 0; i < body->count; i++) {
        const struct piece *piece = &body->pieces[i];
        buf_append(out, piece->text, piece->len);
        if (piece->hole != NULL && template_render_json(piece->hole, scope, out, reason) != 0)
            return -1;
    }
    return 0;
}

void body_outline(const struct body *body, struct buf *out)
{
    for (size_t i = 0; i < body->count; i++) {
        buf_append(out, body->pieces[i].text, body->pieces[i].len);
        if (body->pieces[i].hole != NULL)
            buf_puts(out, "null");
    }
}
