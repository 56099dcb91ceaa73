/* SPDX-License-Identifier: Apache-2.0 */

/* One program for many expressions
 *
 *     <prelude> .[0] as $__n | if $__n < 2 then if $__n < 1 then (E0) else (E1) end else ... end
 *
 * (PROGRAM_EXPRS to a program: in a larger one, compiling leaves the processor's cache and is no longer
 * linear) is run on [n, payload, value, key, topic, captures, id, now, root, asset]: a balanced tree of comparisons
 * leads to expression n, which binds the variables that its text mentions (the others are not even converted) and goes
 * on with the payload as its input.
 *
 * Expressions are parted by parentheses, so one whose own brackets do not balance could join hands with
 * its neighbour; a scan refuses it before. Any other error makes the whole program fail: halves of it
 * are compiled until the guilty are alone. Alone, an expression stands without parentheses on its own
 * lines, so that jq's words about it fit what the user wrote.
 *
 * jq loads ~/.jq unasked, hence HOME is out of sight while compiling; $ENV is bound to {}.
 *
 * A payload is converted once for all the expressions that look at the same message: the set keeps a
 * reference to the last one, so that its address cannot be another's. */

#include "expr.h"

#include "log.h"

#include "clock.h"
#include "json.h"

#include <jq.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned use;
} variables[] = {
    {"value", EXPR_USES_VALUE}, {"key", EXPR_USES_KEY}, {"topic", EXPR_USES_TOPIC}, {"captures", EXPR_USES_CAPTURES},
    {"id", EXPR_USES_ID},       {"now", EXPR_USES_NOW}, {"root", EXPR_USES_ROOT},   {"asset", EXPR_USES_ASSET},
};
#define VARIABLE_COUNT (sizeof(variables) / sizeof(variables[0]))
#define FIRST_VARIABLE 2 /* its place in the input */
#define PROGRAM_EXPRS 256

/* What must not reach the outside or does not mean anything here. */
static const char prelude[] = "def input: error(\"input: there is one message\"); def inputs: empty; "
                              "def debug: .; def stderr: .; def env: {}; def input_filename: null; "
                              "def halt: error(\"halt\"); def halt_error: error; def halt_error($code): error; "
                              "def modulemeta: error(\"modules are not available\"); {} as $ENV | ";

struct expr {
    char *text;
    struct mark mark;
    unsigned uses;
};

struct expr_set {
    struct expr *items;
    size_t count, cap;
    jq_state **programs; /* expression n is in programs[n / PROGRAM_EXPRS] */
    size_t program_count;
    struct json_object *last_payload; /* held */
    jv last_jv;
};

/* ---- jq's life -----------------------------------------------------------*/

static void note_error(void *context, jv message)
{
    struct buf *errors = context;
    message = jq_format_error(message);
    if (jv_get_kind(message) == JV_KIND_STRING) {
        buf_puts(errors, jv_string_value(message));
        buf_putc(errors, '\n');
    }
    jv_free(message);
}

static jq_state *start_jq(struct buf *errors)
{
    jq_state *jq = jq_init();
    if (jq == NULL) {
        log_last_word("busbar: out of memory\n");
        abort();
    }
    jq_set_error_cb(jq, note_error, errors);
    jq_set_attr(jq, jv_string("JQ_LIBRARY_PATH"), jv_array());
    jq_set_attr(jq, jv_string("JQ_ORIGIN"), jv_string("/nonexistent"));
    return jq;
}

/* Compiles; NULL and text in errors when it fails. */
static jq_state *compile(const char *program, struct buf *errors)
{
    cleanup_text char *home = mem_strdup(getenv("HOME"));
    unsetenv("HOME");
    jq_state *jq = start_jq(errors);
    if (!jq_compile(jq, program))
        jq_teardown(&jq);
    else
        jq_set_error_cb(jq, NULL, NULL);
    if (home != NULL)
        setenv("HOME", home, 1);
    return jq;
}

struct expr_set *expr_create(void)
{
    struct expr_set *set = mem_alloc(sizeof(*set));
    set->last_jv = jv_null();
    return set;
}

static void forget_payload(struct expr_set *set)
{
    jv_free(set->last_jv);
    json_object_put(set->last_payload);
    set->last_jv = jv_null();
    set->last_payload = NULL;
}

static void drop_programs(struct expr_set *set)
{
    for (size_t i = 0; i < set->program_count; i++)
        jq_teardown(&set->programs[i]);
    free(set->programs);
    set->programs = NULL;
    set->program_count = 0;
}

void expr_destroy(struct expr_set *set)
{
    if (set == NULL)
        return;
    forget_payload(set);
    drop_programs(set);
    for (size_t i = 0; i < set->count; i++)
        free(set->items[i].text);
    free(set->items);
    free(set);
}

/* ---- compiling -------------------------------------------------------------*/

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool mentions(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = text; (at = strchr(at, '$')) != NULL;) {
        at++;
        if (strncmp(at, name, len) == 0 && !is_word_char(at[len]))
            return true;
    }
    return false;
}

int expr_add(struct expr_set *set, struct span text, struct mark mark)
{
    for (size_t i = 0; i < set->count; i++)
        if (span_is(text, set->items[i].text))
            return (int)i;
    set->items = mem_grow(set->items, &set->cap, set->count + 1, sizeof(*set->items));
    struct expr *expr = &set->items[set->count];
    *expr = (struct expr){.text = span_dup(text), .mark = mark};
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        if (mentions(expr->text, variables[i].name))
            expr->uses |= variables[i].use;
    return (int)set->count++;
}

unsigned expr_uses(const struct expr_set *set, int n)
{
    return set->items[n].uses;
}

/* Where the string that starts at `at` ends (behind its quote), or NULL. Its \( ... ) hold code again. */
static const char *skip_string(const char *at);

/* Where the code ends: at the first bracket that it did not open, or the end of the text. NULL: unbalanced. */
static const char *skip_code(const char *at)
{
    char open[256];
    size_t depth = 0;
    while (*at != '\0') {
        switch (*at) {
        case '#':
            at += strcspn(at, "\n");
            continue;
        case '"':
            at = skip_string(at);
            if (at == NULL)
                return NULL;
            continue;
        case '(':
        case '[':
        case '{':
            if (depth == sizeof(open))
                return NULL;
            open[depth++] = *at == '(' ? ')' : *at == '[' ? ']' : '}';
            break;
        case ')':
        case ']':
        case '}':
            if (depth == 0)
                return at;
            if (open[--depth] != *at)
                return NULL;
            break;
        default:
            break;
        }
        at++;
    }
    return depth == 0 ? at : NULL;
}

static const char *skip_string(const char *at)
{
    for (at++; *at != '\0'; at++) {
        if (*at == '"')
            return at + 1;
        if (*at != '\\')
            continue;
        at++;
        if (*at == '\0')
            return NULL;
        if (*at != '(')
            continue;
        at = skip_code(at + 1);
        if (at == NULL || *at != ')')
            return NULL;
    }
    return NULL;
}

static bool is_balanced(const char *text)
{
    const char *end = skip_code(text);
    return end != NULL && *end == '\0';
}

static void bind_variables(struct buf *program, const struct expr *expr)
{
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        if (expr->uses & variables[i].use)
            buf_printf(program, ".[%zu] as $%s|", FIRST_VARIABLE + i, variables[i].name);
}

/* The tree that leads to the expressions order[from..to). */
static void put_tree(struct buf *program, const struct expr_set *set, const size_t *order, size_t from, size_t to)
{
    if (to - from == 1) {
        const struct expr *expr = &set->items[order[from]];
        bind_variables(program, expr);
        buf_printf(program, ".[1]|(%s\n)", expr->text);
        return;
    }
    size_t middle = from + (to - from) / 2;
    buf_printf(program, "if $__n<%zu then ", order[middle]);
    put_tree(program, set, order, from, middle);
    buf_puts(program, " else ");
    put_tree(program, set, order, middle, to);
    buf_puts(program, " end");
}

static jq_state *compile_some(const struct expr_set *set, const size_t *order, size_t from, size_t to,
                              struct buf *errors)
{
    cleanup_buf struct buf program = {0};
    buf_puts(&program, prelude);
    buf_puts(&program, ".[0] as $__n|");
    put_tree(&program, set, order, from, to);
    return compile(program.data, errors);
}

static void replace(struct buf *text, const char *from, const char *to)
{
    char *at = strstr(text->data, from);
    if (at == NULL)
        return;
    cleanup_text char *rest = mem_strdup(at + strlen(from));
    text->len = (size_t)(at - text->data);
    buf_puts(text, to);
    buf_puts(text, rest);
}

/* jq's first complaint, without what is about its command line; the line counted from the expression's first. */
static void tidy(struct buf *errors)
{
    int line = 0;
    errors->len = strcspn(buf_span(errors).data, "\n");
    buf_puts(errors, "");
    char *place = strstr(errors->data, " at <top-level>, line ");
    if (place != NULL) {
        line = (int)strtol(place + strlen(" at <top-level>, line "), NULL, 10) - 1;
        errors->len = (size_t)(place - errors->data);
        buf_puts(errors, "");
    }
    replace(errors, "jq: error: ", "");
    replace(errors, " (Unix shell quoting issues?)", "");
    replace(errors, "unexpected $end", "unexpected end of the expression");
    replace(errors, ", expecting $end", "");
    replace(errors, "INVALID_CHARACTER", "character");
    if (errors->data[0] == '$')
        buf_puts(errors, "; there are $value $key $topic $captures $id $now");
    if (line > 1)
        buf_printf(errors, " (line %d of the expression)", line);
}

/* The problem of one expression. Answers whether there is one. */
static bool blame(const struct expr *expr, struct problems *problems)
{
    cleanup_buf struct buf program = {0}, errors = {0};
    buf_puts(&program, prelude);
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        buf_printf(&program, "null as $%s|", variables[i].name);
    buf_printf(&program, "\n%s\n", expr->text);
    jq_state *jq = compile(program.data, &errors);
    if (jq != NULL) {
        jq_teardown(&jq);
        return false;
    }
    tidy(&errors);
    problems_add(problems, expr->mark, "jq: %s", errors.data);
    return true;
}

/* Something in order[from..to) does not compile. Answers whether the guilty were found. */
static bool search(const struct expr_set *set, const size_t *order, size_t from, size_t to, struct problems *problems)
{
    if (to - from == 1)
        return blame(&set->items[order[from]], problems);
    size_t middle = from + (to - from) / 2, ends[] = {from, middle, to};
    bool found = false;
    for (int half = 0; half < 2; half++) {
        cleanup_buf struct buf unused = {0};
        jq_state *jq = compile_some(set, order, ends[half], ends[half + 1], &unused);
        if (jq != NULL)
            jq_teardown(&jq);
        else
            found |= search(set, order, ends[half], ends[half + 1], problems);
    }
    return found;
}

/* The expressions that may share a program, in order; the others become problems. Answers how many. */
static size_t sort_out(const struct expr_set *set, size_t *order, struct problems *problems)
{
    size_t sound = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct expr *expr = &set->items[i];
        if (strlen(expr->text) == strspn(expr->text, " \t\r\n"))
            problems_add(problems, expr->mark, "an empty jq expression");
        else if (is_balanced(expr->text))
            order[sound++] = i;
        else
            problems_add(problems, expr->mark, "jq: brackets or quotes do not match");
    }
    return sound;
}

int expr_compile(struct expr_set *set, struct problems *problems)
{
    size_t before = problems->errors;
    size_t *order = mem_alloc(set->count * sizeof(*order));
    size_t sound = sort_out(set, order, problems);
    set->programs = mem_alloc((sound / PROGRAM_EXPRS + 1) * sizeof(jq_state *));
    for (size_t from = 0; from < sound; from += PROGRAM_EXPRS) {
        size_t to = sound - from > PROGRAM_EXPRS ? from + PROGRAM_EXPRS : sound;
        cleanup_buf struct buf errors = {0};
        jq_state *jq = compile_some(set, order, from, to, &errors);
        if (jq != NULL)
            set->programs[set->program_count++] = jq;
        else if (!search(set, order, from, to, problems))
            problems_add(problems, set->items[order[from]].mark, "jq refuses the expressions together: %s",
                         buf_span(&errors).data);
    }
    free(order);
    if (problems->errors == before)
        return 0;
    drop_programs(set);
    return -1;
}

/* ---- values ----------------------------------------------------------------*/

static jv to_jv(struct json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_null:
        return jv_null();
    case json_type_boolean:
        return jv_bool(json_object_get_boolean(value));
    case json_type_int:
    case json_type_double:
        return jv_number(json_object_get_double(value));
    case json_type_string:
        return jv_string_sized(json_object_get_string(value), json_object_get_string_len(value));
    case json_type_array: {
        size_t count = json_object_array_length(value);
        jv array = jv_array_sized((int)count);
        for (size_t i = 0; i < count; i++)
            array = jv_array_append(array, to_jv(json_object_array_get_idx(value, i)));
        return array;
    }
    case json_type_object: {
        jv object = jv_object();
        json_object_object_foreach(value, name, member) object = jv_object_set(object, jv_string(name), to_jv(member));
        return object;
    }
    }
    return jv_null();
}

/* Whole numbers without a fraction, others with as few digits as bring back the same double. */
static struct json_object *from_number(double number)
{
    if (isnan(number))
        return NULL; /* as jq prints it */
    if (fabs(number) < 1e17 && number == floor(number))
        return json_object_new_int64((int64_t)number);
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    return json_object_new_double_s(number, text);
}

static bool from_jv(jv value, int depth, struct json_object **out);

static bool from_array(jv value, int depth, struct json_object **out)
{
    int count = jv_array_length(jv_copy(value));
    *out = json_object_new_array_ext(count);
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        struct json_object *item;
        ok = from_jv(jv_array_get(jv_copy(value), i), depth + 1, &item);
        if (ok)
            json_object_array_add(*out, item);
    }
    jv_free(value);
    return ok;
}

static bool from_object(jv value, int depth, struct json_object **out)
{
    *out = json_object_new_object();
    bool ok = true;
    for (int at = jv_object_iter(value); ok && jv_object_iter_valid(value, at); at = jv_object_iter_next(value, at)) {
        struct json_object *member;
        jv name = jv_object_iter_key(value, at);
        ok = from_jv(jv_object_iter_value(value, at), depth + 1, &member);
        if (ok)
            json_object_object_add(*out, jv_string_value(name), member);
        jv_free(name);
    }
    jv_free(value);
    return ok;
}

/* Consumes value. *out is given; false: nested deeper than any JSON that we take. */
static bool from_jv(jv value, int depth, struct json_object **out)
{
    bool ok = depth < JSON_DEPTH_MAX;
    *out = NULL;
    jv_kind kind = jv_get_kind(value);
    if (kind == JV_KIND_ARRAY || kind == JV_KIND_OBJECT) {
        if (ok)
            ok = kind == JV_KIND_ARRAY ? from_array(value, depth, out) : from_object(value, depth, out);
        else
            jv_free(value);
        if (!ok)
            json_free(out);
        return ok;
    }
    if (kind == JV_KIND_STRING)
        *out = json_object_new_string_len(jv_string_value(value), jv_string_length_bytes(jv_copy(value)));
    else if (kind == JV_KIND_NUMBER)
        *out = from_number(jv_number_value(value));
    else if (kind == JV_KIND_TRUE || kind == JV_KIND_FALSE)
        *out = json_object_new_boolean(kind == JV_KIND_TRUE);
    jv_free(value);
    return true;
}

/* ---- running -----------------------------------------------------------------*/

static jv payload_of(struct expr_set *set, struct json_object *payload)
{
    if (payload == NULL || payload != set->last_payload) {
        forget_payload(set);
        set->last_payload = json_object_get(payload);
        set->last_jv = to_jv(payload);
    }
    return jv_copy(set->last_jv);
}

static jv text_of(struct span text)
{
    return jv_string_sized(text.data != NULL ? text.data : "", (int)text.len);
}

static jv variable_of(unsigned use, const struct expr_scope *scope)
{
    char time[CLOCK_TEXT_MAX];
    switch (use) {
    case EXPR_USES_VALUE:
        return to_jv(scope->value);
    case EXPR_USES_KEY:
        return text_of(scope->key);
    case EXPR_USES_TOPIC:
        return text_of(scope->topic);
    case EXPR_USES_CAPTURES:
        return to_jv(scope->captures);
    case EXPR_USES_ASSET:
        return to_jv(scope->asset);
    case EXPR_USES_ROOT:
        return to_jv(scope->root);
    case EXPR_USES_ID:
        return scope->id != NULL ? jv_string(scope->id) : jv_null();
    default:
        return jv_string(clock_format(scope->now_ms, time));
    }
}

static void explain(jv result, struct buf *reason)
{
    jv message = jv_invalid_get_msg(result);
    if (jv_get_kind(message) == JV_KIND_NULL) {
        buf_puts(reason, "no result");
    } else {
        if (jv_get_kind(message) != JV_KIND_STRING)
            message = jv_dump_string(message, 0);
        buf_append(reason, jv_string_value(message), (size_t)jv_string_length_bytes(jv_copy(message)));
    }
    jv_free(message);
}

/* The first result, or invalid with the reason said. */
static jv run(struct expr_set *set, int n, const struct expr_scope *scope, struct buf *reason)
{
    jv input = jv_array_set(jv_array_sized(FIRST_VARIABLE + VARIABLE_COUNT), 0, jv_number(n));
    input = jv_array_set(input, 1, payload_of(set, scope->payload));
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        if (set->items[n].uses & variables[i].use)
            input = jv_array_set(input, (int)(FIRST_VARIABLE + i), variable_of(variables[i].use, scope));
    jq_state *jq = set->programs[n / PROGRAM_EXPRS];
    jq_start(jq, input, 0);
    jv result = jq_next(jq);
    if (!jv_is_valid(result)) {
        explain(result, reason);
        return jv_invalid();
    }
    return result;
}

int expr_eval(struct expr_set *set, int n, const struct expr_scope *scope, struct json_object **out, struct buf *reason)
{
    *out = NULL;
    jv result = run(set, n, scope, reason);
    if (!jv_is_valid(result))
        return -1;
    if (from_jv(result, 0, out))
        return 0;
    buf_printf(reason, "the result is nested deeper than %d", JSON_DEPTH_MAX);
    return -1;
}

int expr_test(struct expr_set *set, int n, const struct expr_scope *scope, struct buf *reason)
{
    jv result = run(set, n, scope, reason);
    if (!jv_is_valid(result))
        return -1;
    jv_kind kind = jv_get_kind(result);
    jv_free(result);
    return kind != JV_KIND_FALSE && kind != JV_KIND_NULL;
}
