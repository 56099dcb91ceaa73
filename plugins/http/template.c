/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: text in which {name} and {/pointer} stand for something, and JSON of such text.
 *
 *   {order_id}  {source_work_order_id}  {id}  {topic}  {now}     of every message
 *   {since}  {page}  {offset}  {cursor}                          of a poll
 *   {/title}  {/title?}  {/title?none}                           of the message's body: needed, or not, or else this
 *   {find.asset}                                                 what was looked up before
 *   {/priority|priority|number}                                  through filters
 *
 * {{ and }} are braces. */
#include "http.h"

#include <json-c/json.h>
#include <json-c/json_pointer.h>
#include <string.h>

enum name { POINTER, FOUND, ORDER_ID, SOURCE_ID, ID, TOPIC, NOW, SINCE, PAGE, OFFSET, CURSOR, NAMES };

static const char *const names[NAMES] = {
    [POINTER] = "",     [ORDER_ID] = "order_id", [SOURCE_ID] = "source_work_order_id",
    [ID] = "id",        [TOPIC] = "topic",       [NOW] = "now",
    [SINCE] = "since",  [PAGE] = "page",         [OFFSET] = "offset",
    [CURSOR] = "cursor"};

static const char *const filters[] = {"status",   "priority", "text",    "number", "date",
                                      "datetime", "iso",      "seconds", "ms"};

#define FIND "find."

struct piece {
    struct bb_str literal; /* len 0: a placeholder */
    enum name name;
    const char *pointer; /* of POINTER; of FOUND the name of what was looked up */
    bool optional;
    const char *fallback; /* NULL: none */
    const char *filters;  /* parted by |; "": none */
};

/* ---- reading -----------------------------------------------------------------------------*/

static const char *keep(const struct ht_call *call, const char *text, size_t len)
{
    return pl_text(call->host, call->job, (struct bb_str){text, len});
}

static enum name find_name(const char *text, size_t len)
{
    if (len > 0 && text[0] == '/')
        return POINTER;
    if (len > strlen(FIND) && memcmp(text, FIND, strlen(FIND)) == 0)
        return FOUND;
    int i = ORDER_ID;
    while (i < NAMES && (strlen(names[i]) != len || memcmp(names[i], text, len) != 0))
        i++;
    return (enum name)i;
}

/* The placeholder whose text (without braces) is given. */
static struct piece read_placeholder(const struct ht_call *call, const char *text, size_t len)
{
    struct piece piece = {.filters = ""};
    const char *bar = memchr(text, '|', len);
    if (bar)
        piece.filters = keep(call, bar + 1, len - (size_t)(bar + 1 - text));
    len = bar ? (size_t)(bar - text) : len;
    const char *question = memchr(text, '?', len);
    piece.optional = question != NULL;
    if (question && question + 1 < text + len)
        piece.fallback = keep(call, question + 1, len - (size_t)(question + 1 - text));
    len = question ? (size_t)(question - text) : len;
    piece.name = find_name(text, len);
    const size_t skip = piece.name == FOUND ? strlen(FIND) : 0;
    piece.pointer = keep(call, text + skip, len - skip);
    return piece;
}

/* The next piece; false: there is none. An open brace that is never closed is a literal: checked when it was read. */
static bool next_piece(const struct ht_call *call, const char **at, struct piece *piece)
{
    const char *text = *at;
    if (*text == '\0')
        return false;
    const char *end = *text == '{' && text[1] != '{' ? strchr(text, '}') : NULL;
    if (end) {
        *piece = read_placeholder(call, text + 1, (size_t)(end - text - 1));
        *at = end + 1;
        return true;
    }
    const bool twice = (*text == '{' || *text == '}') && text[1] == *text;
    const size_t len = twice ? 1 : 1 + strcspn(text + 1, "{}");
    *piece = (struct piece){.literal = {text, len}};
    *at = text + (twice ? 2 : len);
    return true;
}

/* ---- what they stand for ---------------------------------------------------------------------*/

static struct json_object *text_value(const char *text)
{
    return text && *text ? json_object_new_string(text) : NULL;
}

static struct json_object *message_value(const struct ht_scope *scope, enum name name)
{
    const struct ht_call *call = scope->call;
    const struct bb_message *message = call->in && call->in->message_count ? &call->in->messages[0] : NULL;
    if (!message)
        return NULL;
    if (name == ORDER_ID)
        return text_value(message->order_id);
    if (name == SOURCE_ID)
        return text_value(message->source_work_order_id);
    return name == ID ? text_value(message->id) : text_value(keep(call, message->topic.data, message->topic.len));
}

/* gives; NULL: there is nothing */
static struct json_object *raw_value(const struct ht_scope *scope, const struct piece *piece)
{
    const struct ht_call *call = scope->call;
    struct json_object *value;
    switch (piece->name) {
    case POINTER:
        value = json_object_get(pl_at(scope->body, piece->pointer));
        if (json_object_is_type(value, json_type_string) && json_object_get_string_len(value) == 0) {
            json_object_put(value);
            value = NULL;
        }
        return value;
    case FOUND:
        return json_object_get(pl_member(scope->found, piece->pointer));
    case ORDER_ID:
    case SOURCE_ID:
    case ID:
    case TOPIC:
        return message_value(scope, piece->name);
    case NOW:
        return ht_print_time(call, call->host->now_ms(call->job), "", 0);
    case SINCE:
        return scope->since_ms ? ht_print_time(call, scope->since_ms, "", 0) : NULL;
    case PAGE:
        return json_object_new_int(scope->first_page + (call->state ? call->state->page : 0));
    case OFFSET:
        return json_object_new_int(call->state ? call->state->page * scope->size : 0);
    case CURSOR:
        return text_value(call->state ? call->state->cursor : NULL);
    case NAMES:
        break;
    }
    return NULL;
}

static void complain(struct ht_scope *scope, const struct piece *piece, const char *key, const char *sentence)
{
    if (piece->name == SOURCE_ID)
        pl_fault_identity(&scope->faults, "/work_order", "unknown_order",
                          "names an order of which the target has told no id");
    else
        pl_fault(&scope->faults, piece->name == POINTER ? piece->pointer : "", key, NULL, sentence);
}

/* A common word becomes the target's. takes and gives */
static struct json_object *filter_word(struct ht_scope *scope, const struct piece *piece, enum bb_table table,
                                       struct json_object *value)
{
    const struct ht_call *call = scope->call;
    const char *common = pl_text_of(call->host, call->job, value);
    const char *theirs = common ? call->host->source_word(call->job, table, common) : NULL;
    json_object_put(value);
    if (theirs)
        return json_object_new_string(theirs);
    complain(scope, piece, "unmapped",
             call->host->format(call->job, "is no word that the target's map of %s has a line for",
                                table == BB_STATUSES ? "status" : "priority"));
    return NULL;
}

/* takes and gives */
static struct json_object *filter_time(struct ht_scope *scope, const struct piece *piece, const char *format,
                                       struct json_object *value)
{
    int64_t ms;
    bool local;
    const bool good = ht_read_time(scope->call, value, &ms, &local);
    json_object_put(value);
    if (good)
        return ht_print_time(scope->call, ms, format, strlen(format));
    complain(scope, piece, "time", "must be a time, such as 2026-01-31T12:00:00Z");
    return NULL;
}

/* takes and gives */
static struct json_object *filter_number(struct ht_scope *scope, const struct piece *piece, struct json_object *value)
{
    struct json_object *number = pl_parse_text(json_object_get_string(value));
    json_object_put(value);
    if (json_object_is_type(number, json_type_int) || json_object_is_type(number, json_type_double))
        return number;
    json_object_put(number);
    complain(scope, piece, "number", "must be a number");
    return NULL;
}

/* takes and gives */
static struct json_object *filter(struct ht_scope *scope, const struct piece *piece, const char *name,
                                  struct json_object *value)
{
    if (strcmp(name, "status") == 0)
        return filter_word(scope, piece, BB_STATUSES, value);
    if (strcmp(name, "priority") == 0)
        return filter_word(scope, piece, BB_PRIORITIES, value);
    if (strcmp(name, "number") == 0)
        return filter_number(scope, piece, value);
    if (strcmp(name, "text") != 0)
        return filter_time(scope, piece, name, value);
    struct json_object *text = json_object_new_string(json_object_get_string(value));
    json_object_put(value);
    return text;
}

/* The next of several, in job memory; NULL: there is none. */
static const char *next_filter(const struct ht_call *call, const char **at)
{
    const size_t len = strcspn(*at, "|");
    const char *name = len > 0 ? keep(call, *at, len) : NULL;
    *at += len + ((*at)[len] == '|');
    return name;
}

static bool has_nul(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) &&
           strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value);
}

/* gives; NULL: left out, or a fault was told */
static struct json_object *value_of(struct ht_scope *scope, const struct piece *piece)
{
    struct json_object *value = raw_value(scope, piece);
    if (has_nul(value)) {
        json_object_put(value);
        complain(scope, piece, "text", "must hold no NUL");
        return NULL;
    }
    if (!value && piece->fallback)
        value = json_object_new_string(piece->fallback);
    const char *at = piece->filters, *name;
    if (value) {
        while (value && (name = next_filter(scope->call, &at)))
            value = filter(scope, piece, name, value);
        return value;
    }
    if (!piece->optional)
        complain(scope, piece, "required", "is needed");
    return NULL;
}

/* ---- filling ---------------------------------------------------------------------------------*/

/* The one placeholder that a text is; false: it is more, or none. */
static bool is_one(const struct ht_call *call, const char *template, struct piece *piece)
{
    const char *at = template;
    return next_piece(call, &at, piece) && piece->literal.len == 0 && *at == '\0';
}

static const char *in_markup(const struct ht_call *call, struct bb_str text)
{
    static const struct {
        char letter;
        const char *written;
    } special[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}};
    char *out = call->host->alloc(call->job, text.len * strlen("&quot;") + 1), *end = out;
    for (size_t i = 0; i < text.len; i++) {
        const char letter = text.data[i];
        size_t s = 0;
        while (s < PL_COUNT(special) && special[s].letter != letter)
            s++;
        if (s < PL_COUNT(special))
            end = stpcpy(end, special[s].written);
        else /* XML has no other control characters */
            *end++ = (char)((unsigned char)letter < ' ' && !strchr("\t\n\r", letter) ? ' ' : letter);
    }
    return out;
}

static const char *as_text(const struct ht_call *call, struct json_object *value, enum ht_encoding encoding)
{
    const bool is_text = json_object_is_type(value, json_type_string);
    const struct bb_str text =
        is_text ? (struct bb_str){json_object_get_string(value), (size_t)json_object_get_string_len(value)}
                : pl_print(call->host, call->job, value);
    switch (encoding) {
    case HT_URL:
        return call->host->path_segment(call->job, text);
    case HT_XML:
        return in_markup(call, text);
    case HT_PLAIN:
        break;
    }
    return pl_text(call->host, call->job, text);
}

const char *ht_fill_text(struct ht_scope *scope, const char *template, enum ht_encoding encoding)
{
    const struct ht_call *call = scope->call;
    const char *done = "";
    struct piece piece;
    const bool one = is_one(call, template, &piece);
    while (next_piece(call, &template, &piece)) {
        if (piece.literal.len > 0) {
            done = call->host->format(call->job, "%s%.*s", done, (int)piece.literal.len, piece.literal.data);
            continue;
        }
        PL_SCOPED struct json_object *value = value_of(scope, &piece);
        if (!value && one)
            return NULL;
        done = call->host->format(call->job, "%s%s", done, value ? as_text(call, value, encoding) : "");
    }
    return done;
}

static struct json_object *fill_object(struct ht_scope *scope, struct json_object *template)
{
    struct json_object *filled = json_object_new_object();
    json_object_object_foreach(template, name, member)
    {
        struct json_object *value = ht_fill(scope, member);
        if (value || !member) /* null is said by null */
            json_object_object_add(filled, name, value);
    }
    return filled;
}

static struct json_object *fill_array(struct ht_scope *scope, struct json_object *template)
{
    struct json_object *filled = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(template); i++) {
        struct json_object *member = json_object_array_get_idx(template, i), *value = ht_fill(scope, member);
        if (value || !member)
            json_object_array_add(filled, value);
    }
    return filled;
}

struct json_object *ht_fill(struct ht_scope *scope, struct json_object *template)
{
    struct piece piece;
    if (json_object_is_type(template, json_type_object)) {
        struct json_object *filled = fill_object(scope, template);
        if (json_object_object_length(filled) > 0 || json_object_object_length(template) == 0)
            return filled;
        json_object_put(filled);
        return NULL;
    }
    if (json_object_is_type(template, json_type_array)) {
        struct json_object *filled = fill_array(scope, template);
        if (json_object_array_length(filled) > 0 || json_object_array_length(template) == 0)
            return filled;
        json_object_put(filled);
        return NULL;
    }
    if (!json_object_is_type(template, json_type_string))
        return json_object_get(template);
    const char *text = json_object_get_string(template);
    if (is_one(scope->call, text, &piece))
        return value_of(scope, &piece);
    return json_object_new_string(ht_fill_text(scope, text, HT_PLAIN));
}

/* ---- checking ----------------------------------------------------------------------------------*/

static bool is_filter(const char *name)
{
    for (size_t i = 0; i < PL_COUNT(filters); i++)
        if (strcmp(filters[i], name) == 0)
            return true;
    return false;
}

static const char *piece_fault(const struct ht_scope *scope, const struct piece *piece)
{
    const struct ht_call *call = scope->call;
    const char *at = piece->filters, *name;
    while ((name = next_filter(call, &at)))
        if (!is_filter(name))
            return call->host->format(call->job,
                                      "knows no filter %s: status, priority, text, number, date, datetime, iso, "
                                      "seconds, ms",
                                      name);
    if (piece->name == FOUND && !pl_member(scope->found, piece->pointer))
        return call->host->format(call->job, "holds {find.%s}, and find has no %s", piece->pointer, piece->pointer);
    if (piece->name == NAMES)
        return call->host->format(call->job,
                                  "knows no {%s}: {/pointer} of the body, {order_id}, {source_work_order_id}, {id}, "
                                  "{topic}, {now}; in poll_orders {since}, {page}, {offset}, {cursor}",
                                  piece->pointer);
    const bool of_poll = piece->name >= SINCE;
    const bool of_message = piece->name != NOW && piece->name != FOUND && !of_poll;
    if ((of_poll && !scope->polls) || (of_message && !scope->messages))
        return call->host->format(call->job, "cannot hold {%s} here", piece->pointer);
    return NULL;
}

const char *ht_template_fault(const struct ht_scope *scope, const char *template)
{
    const char *fault = NULL, *at = template;
    struct piece piece;
    while (!fault) {
        if (*at == '{' && at[1] != '{' && !strchr(at, '}'))
            return "has a { that is never closed; a brace itself is written {{";
        if (!next_piece(scope->call, &at, &piece))
            return NULL;
        if (piece.literal.len == 0)
            fault = piece_fault(scope, &piece);
    }
    return fault;
}

void ht_each_pointer(const struct ht_call *call, struct json_object *template, ht_use *use, void *context)
{
    struct piece piece;
    if (json_object_is_type(template, json_type_object)) {
        json_object_object_foreach(template, name, member)
        {
            (void)name;
            ht_each_pointer(call, member, use, context);
        }
    } else if (json_object_is_type(template, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(template); i++)
            ht_each_pointer(call, json_object_array_get_idx(template, i), use, context);
    } else if (json_object_is_type(template, json_type_string)) {
        const char *at = json_object_get_string(template);
        while (next_piece(call, &at, &piece))
            if (piece.literal.len == 0 && piece.name == POINTER)
                use(context, piece.pointer, !piece.optional);
    }
}
