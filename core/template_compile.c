/* SPDX-License-Identifier: Apache-2.0 */

/* From the text of a template to its parts. */

#include "template_private.h"

#include "json.h"
#include "number.h"
#include "problems.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* Words of their own; the order is that of the kinds. */
static const struct {
    const char *name;
    enum part_kind kind;
    unsigned uses;
    bool optional, offset;
} words[] = {
    {"value", PART_VALUE, TEMPLATE_USES_VALUE, true, false},
    {"key", PART_KEY, TEMPLATE_USES_KEY, false, false},
    {"topic", PART_TOPIC, 0, false, false},
    {"id", PART_ID, TEMPLATE_USES_ID, false, false},
    {"now", PART_NOW, 0, false, true},
    {"received", PART_RECEIVED, 0, false, true},
    {"time", PART_TIME, 0, false, true},
    {"root", PART_ROOT, TEMPLATE_USES_PAYLOAD, true, false},
};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

struct compiler {
    struct template *t;
    const struct template_names *names;
    const char *at, *end; /* of what is left of the placeholder or text */
    const char *error_at; /* where the error is, NULL: where the placeholder starts */
    char *error;
};

static struct part *add_part(struct template *t, enum part_kind kind)
{
    t->parts = mem_grow(t->parts, &t->cap, t->count + 1, sizeof(*t->parts));
    struct part *part = &t->parts[t->count++];
    part->kind = kind;
    return part;
}

static void add_text(struct template *t, struct span text)
{
    if (text.len == 0)
        return;
    struct part *last = t->count > 0 ? &t->parts[t->count - 1] : NULL;
    if (last != NULL && last->kind == PART_TEXT) { /* around a $${ */
        struct buf joined = {0};
        buf_append(&joined, last->text, last->len);
        buf_append(&joined, text.data, text.len);
        free(last->text);
        last->len = joined.len;
        last->text = buf_steal(&joined);
        return;
    }
    struct part *part = add_part(t, PART_TEXT);
    part->text = span_dup(text);
    part->len = text.len;
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           (unsigned char)c >= 0x80;
}

/* One past the closing quote of the JSON string that starts at `at`, NULL when it is not closed. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '"')
            return at + 1;
    }
    return NULL;
}

static bool fail(struct compiler *c, char *error)
{
    c->error = error;
    return false;
}

static struct step *add_step(struct part *part)
{
    part->steps = mem_grow(part->steps, &part->step_cap, part->step_count + 1, sizeof(*part->steps));
    return &part->steps[part->step_count++];
}

static bool parse_quoted_key(struct compiler *c, struct part *part)
{
    const char *after = skip_string(c->at, c->end);
    cleanup_json struct json_object *key =
        after == NULL ? NULL : json_parse((struct span){c->at, (size_t)(after - c->at)}, NULL, NULL);
    if (key == NULL)
        return fail(c, mem_printf("the quoted key in the path is no JSON string"));
    if (strlen(json_object_get_string(key)) != (size_t)json_object_get_string_len(key))
        return fail(c, mem_printf("a key with a NUL in it is never found"));
    add_step(part)->key = mem_strdup(json_object_get_string(key));
    c->at = after;
    return true;
}

static bool parse_index(struct compiler *c, struct part *part)
{
    const char *close = memchr(c->at, ']', (size_t)(c->end - c->at));
    int64_t index = 0;
    if (close == NULL || !number_parse_int((struct span){c->at + 1, (size_t)(close - c->at - 1)}, 0, INT32_MAX, &index))
        return fail(c, mem_printf("in [ ] of a path stands a number from 0"));
    add_step(part)->index = (size_t)index;
    c->at = close + 1;
    return true;
}

/* .a.b[0]."quoted key", or . alone: the whole payload. */
static bool parse_path(struct compiler *c, struct part *part)
{
    const char *start = c->at;
    bool first = true;
    while (c->at < c->end && *c->at != '?') {
        bool dot = *c->at == '.';
        if (dot)
            c->at++;
        bool ends = c->at == c->end || *c->at == '?';
        if (dot && first && (ends || *c->at == '[')) {
            first = false;
            continue;
        }
        first = false;
        if (dot && !ends && *c->at == '"') {
            if (!parse_quoted_key(c, part))
                return false;
        } else if (dot && !ends && is_bare(*c->at)) {
            const char *key = c->at;
            while (c->at < c->end && is_bare(*c->at))
                c->at++;
            add_step(part)->key = span_dup((struct span){key, (size_t)(c->at - key)});
        } else if (!dot && *c->at == '[') {
            if (!parse_index(c, part))
                return false;
        } else {
            return fail(c, mem_printf("this is no path; one looks like .a.b[0].\"quoted key\""));
        }
    }
    part->source = (struct span){start, (size_t)(c->at - start)};
    c->t->uses |= TEMPLATE_USES_PAYLOAD;
    return true;
}

static bool parse_offset(struct compiler *c, struct part *part)
{
    int64_t ms = 0;
    if (!number_parse_duration((struct span){c->at + 1, (size_t)(c->end - c->at - 1)}, &ms))
        return fail(c, mem_printf("\"%.*s\" is no duration such as +2h, -15m", (int)(c->end - c->at), c->at));
    part->offset_ms = *c->at == '-' ? -ms : ms;
    c->at = c->end;
    return true;
}

/* What stands behind `?`: a JSON number, text in quotes, true, false; else it is text as it stands. */
static void parse_default(struct compiler *c, struct part *part)
{
    struct span text = {c->at + 1, (size_t)(c->end - c->at - 1)};
    part->optional = true;
    c->at = c->end;
    if (text.len == 0)
        return;
    bool is_null;
    part->fallback = json_parse(text, &is_null, NULL);
    if (part->fallback == NULL && !is_null)
        part->fallback = json_text(text);
}

static bool unknown_word(struct compiler *c, struct span word)
{
    if (c->at < c->end && *c->at == ':' && (span_is(word, "file") || span_is(word, "env")))
        return fail(c, mem_printf("${file:...} and ${env:...} are for settings, not for messages"));
    if (word.len == 0)
        word = (struct span){c->at, (size_t)(c->end - c->at)};
    const char *known[TOPIC_CAPTURES_MAX + WORD_COUNT + 1];
    size_t count = 0;
    cleanup_buf struct buf list = {0};
    const char *const *captures = c->names->captures;
    for (size_t i = 0; captures != NULL && captures[i] != NULL && i < TOPIC_CAPTURES_MAX; i++)
        known[count++] = captures[i];
    for (size_t i = 0; i < WORD_COUNT; i++)
        known[count++] = words[i].name;
    for (size_t i = 0; i < count; i++)
        buf_printf(&list, "%s, ", known[i]);
    const char *near = problems_nearest(word, known, count);
    if (near != NULL)
        return fail(c, mem_printf("unknown placeholder \"%.*s\"; did you mean ${%s}?", (int)word.len, word.data, near));
    return fail(c, mem_printf("unknown placeholder \"%.*s\"; there are %s.path, user.<property>", (int)word.len,
                              word.data, buf_span(&list).data));
}

static bool parse_word(struct compiler *c, struct part *part)
{
    const char *start = c->at;
    while (c->at < c->end && is_bare(*c->at))
        c->at++;
    struct span word = {start, (size_t)(c->at - start)};
    const char *const *captures = c->names->captures;
    for (size_t i = 0; captures != NULL && captures[i] != NULL; i++) {
        if (span_is(word, captures[i])) {
            part->kind = PART_CAPTURE;
            part->capture = i;
            return true;
        }
    }
    /* A - may be part of a capture's name; behind `now` it starts the offset. */
    const char *minus = word.len > 0 ? memchr(start, '-', word.len) : NULL;
    struct span head = minus == NULL ? word : (struct span){start, (size_t)(minus - start)};
    for (size_t i = 0; i < WORD_COUNT; i++) {
        struct span name = words[i].offset ? head : word;
        if (!span_is(name, words[i].name))
            continue;
        part->kind = words[i].kind;
        c->t->uses |= words[i].uses;
        c->at = start + name.len;
        if (words[i].offset && c->at < c->end && (*c->at == '+' || *c->at == '-'))
            return parse_offset(c, part);
        if (part->kind == PART_ROOT) {
            if (!parse_path(c, part))
                return false;
            part->source = (struct span){start, (size_t)(c->at - start)};
            return true;
        }
        if (c->at < c->end && *c->at == '?' && !words[i].optional)
            return fail(c, mem_printf("${%s} is always there: leave the ? out", words[i].name));
        return true;
    }
    return unknown_word(c, word);
}

static bool parse_user(struct compiler *c, struct part *part)
{
    const char *name = c->at + strlen("user.");
    const char *mark = memchr(name, '?', (size_t)(c->end - name));
    c->at = mark != NULL ? mark : c->end;
    part->len = (size_t)(c->at - name);
    if (part->len == 0)
        return fail(c, mem_printf("${user.<name>} needs the name of an MQTT 5 user property"));
    part->kind = PART_USER;
    part->text = span_dup((struct span){name, part->len});
    return true;
}

static bool parse_asset(struct compiler *c, struct part *part)
{
    const char *name = c->at + strlen("asset.");
    const char *mark = memchr(name, '?', (size_t)(c->end - name));
    const char *const *columns = c->names->assets;
    size_t count = 0;
    c->at = mark != NULL ? mark : c->end;
    struct span column = {name, (size_t)(c->at - name)};
    part->kind = PART_ASSET;
    part->source = (struct span){name - strlen("asset."), column.len + strlen("asset.")};
    c->t->uses |= TEMPLATE_USES_ASSET;
    for (; columns != NULL && columns[count] != NULL; count++)
        if (span_is(column, columns[count])) {
            part->column = count;
            return true;
        }
    if (columns == NULL)
        return fail(c, mem_printf("${asset...} needs an asset map: `assets:` with a file, and `asset:` in the route"));
    const char *near = problems_nearest(column, columns, count);
    return fail(c, near != NULL ? mem_printf("the asset map has no column '%.*s'; did you mean ${asset.%s}?",
                                             (int)column.len, column.data, near)
                                : mem_printf("the asset map has no column '%.*s'", (int)column.len, column.data));
}

/* What stands between ${ and }. */
static bool parse_placeholder(struct compiler *c)
{
    struct part *part = add_part(c->t, PART_PATH);
    size_t left = (size_t)(c->end - c->at);
    bool ok;
    if (left == 0)
        return fail(c, mem_printf("an empty placeholder; a literal ${ is written $${"));
    if (*c->at == '.')
        ok = parse_path(c, part);
    else if (left >= 5 && memcmp(c->at, "user.", 5) == 0)
        ok = parse_user(c, part);
    else if (left >= 6 && memcmp(c->at, "asset.", 6) == 0)
        ok = parse_asset(c, part);
    else
        ok = parse_word(c, part);
    if (!ok)
        return false;
    if (c->at < c->end && *c->at == '?' && part->kind != PART_CAPTURE)
        parse_default(c, part);
    if (c->at < c->end)
        return fail(c, mem_printf("\"%.*s\" is too much in the placeholder", (int)(c->end - c->at), c->at));
    return true;
}

/* The } that closes a placeholder whose inside starts at `at`; a quoted key or default may hold one. */
static const char *find_close(const char *at, const char *end)
{
    while (at < end && *at != '}') {
        const char *after = *at == '"' && (at[-1] == '.' || at[-1] == '?') ? skip_string(at, end) : at + 1;
        at = after != NULL ? after : at + 1;
    }
    return at < end ? at : NULL;
}

static bool parse_text(struct compiler *c, size_t len)
{
    const char *at = c->t->text, *end = at + len, *from = at;
    while (at < end) {
        const char *dollar = memchr(at, '$', (size_t)(end - at));
        if (dollar == NULL)
            break;
        size_t left = (size_t)(end - dollar);
        if (left >= 3 && memcmp(dollar, "$${", 3) == 0) {
            add_text(c->t, (struct span){from, (size_t)(dollar - from)});
            from = dollar + 1;
            at = dollar + 3;
        } else if (left >= 2 && dollar[1] == '{') {
            add_text(c->t, (struct span){from, (size_t)(dollar - from)});
            c->error_at = dollar;
            const char *close = find_close(dollar + 2, end);
            if (close == NULL)
                return fail(c, mem_printf("the placeholder %.*s is not closed: } is missing", (int)left, dollar));
            c->at = dollar + 2;
            c->end = close;
            if (!parse_placeholder(c))
                return false;
            from = at = close + 1;
        } else {
            at = dollar + 1;
        }
    }
    add_text(c->t, (struct span){from, (size_t)(end - from)});
    return true;
}

struct template *template_compile(struct span text, const struct template_names *names, char **error, size_t *offset)
{
    struct template *t = mem_alloc(sizeof(*t));
    t->text = span_dup(text);
    struct compiler c = {.t = t, .names = names};
    *error = NULL;
    if (parse_text(&c, text.len)) {
        if (t->count == 0)
            add_part(t, PART_TEXT)->text = mem_strdup("");
        return t;
    }
    *error = c.error;
    if (offset != NULL)
        *offset = (size_t)(c.error_at - t->text);
    template_destroy(t);
    return NULL;
}
