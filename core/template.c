/* SPDX-License-Identifier: Apache-2.0 */

#include "template_private.h"

#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void finish_part(struct part *part)
{
    free(part->text);
    for (size_t i = 0; i < part->step_count; i++)
        free(part->steps[i].key);
    free(part->steps);
    json_object_put(part->fallback);
}

void template_destroy(struct template *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++)
        finish_part(&t->parts[i]);
    free(t->parts);
    free(t->text);
    free(t);
}

bool template_is_literal(const struct template *t)
{
    return t->count == 1 && t->parts[0].kind == PART_TEXT;
}

unsigned template_uses(const struct template *t)
{
    return t->uses;
}

/* ---- rendering -----------------------------------------------------------*/

/* A placeholder's value: text, or JSON (held: a reference of the caller's). */
struct found {
    bool is_text;
    struct span text;
    struct json_object *json; /* borrowed from scope or template */
    char time[40];
};

static int no_json(const struct template_scope *scope, struct buf *reason)
{
    buf_printf(reason, "the payload is no JSON%s%s", scope->payload_error != NULL ? ": " : "",
               scope->payload_error != NULL ? scope->payload_error : "");
    return -1;
}

static int find_path(const struct part *part, const struct template_scope *scope, struct found *found,
                     struct buf *reason)
{
    bool of_whole = part->kind == PART_ROOT && scope->root != NULL;
    struct json_object *at = of_whole ? scope->root : scope->payload;
    if (part->kind == PART_ROOT && scope->root_lost) {
        buf_puts(reason, "of a message with several readings only this one is kept: ${root} is not known any more");
        return -1;
    }
    if (at == NULL && !scope->payload_null)
        return no_json(scope, reason);
    for (size_t i = 0; i < part->step_count; i++) {
        const struct step *step = &part->steps[i];
        struct json_object *next = NULL;
        bool there = false;
        if (step->key != NULL)
            there = json_object_is_type(at, json_type_object) && json_object_object_get_ex(at, step->key, &next);
        else if (json_object_is_type(at, json_type_array) && step->index < json_object_array_length(at)) {
            next = json_object_array_get_idx(at, step->index);
            there = true;
        }
        if (!there && part->optional) {
            at = part->fallback;
            break;
        }
        if (!there) {
            buf_printf(reason, "no %.*s in the payload", (int)part->source.len, part->source.data);
            return -1;
        }
        at = next;
    }
    found->json = at == NULL && part->optional ? part->fallback : at;
    return 0;
}

/* Without a trigger, the value is the payload: its JSON, else its text. */
static int find_value(const struct part *part, const struct template_scope *scope, struct found *found,
                      struct buf *reason)
{
    bool has_value = scope->value != NULL || scope->value_null;
    if (has_value || scope->payload != NULL || scope->payload_null) {
        found->json = has_value ? scope->value : scope->payload;
        if (found->json == NULL && part->optional)
            found->json = part->fallback;
        return 0;
    }
    if (!span_is_utf8(scope->payload_text)) {
        buf_puts(reason, "the payload is no UTF-8 text");
        return -1;
    }
    found->is_text = true;
    found->text = scope->payload_text;
    return 0;
}

static int find_user(const struct part *part, const struct template_scope *scope, struct found *found,
                     struct buf *reason)
{
    for (size_t i = 0; i < scope->user_count; i++) {
        struct span name = scope->user[i].name;
        if (name.len == part->len && memcmp(name.data, part->text, part->len) == 0) {
            found->is_text = true;
            found->text = scope->user[i].value;
            return 0;
        }
    }
    found->json = part->fallback;
    if (part->optional)
        return 0;
    buf_printf(reason, "no user property %s in the message", part->text);
    return -1;
}

static int find_asset(const struct part *part, const struct template_scope *scope, struct found *found,
                      struct buf *reason)
{
    struct template_asset *asset = scope->asset;
    if (asset != NULL && asset->cells != NULL && asset->cells[part->column].len > 0) {
        found->is_text = true;
        found->text = asset->cells[part->column];
        return 0;
    }
    found->json = part->fallback;
    if (part->optional)
        return 0;
    if (asset == NULL) {
        buf_puts(reason, "the route names no asset");
        return -1;
    }
    asset->missed = true;
    struct span column = {part->source.data + strlen("asset."), part->source.len - strlen("asset.")};
    if (asset->cells == NULL)
        buf_printf(reason, "asset '%.*s' is not in the asset map", (int)asset->tag.len, asset->tag.data);
    else
        buf_printf(reason, "asset '%.*s' has no %.*s in the asset map", (int)asset->tag.len, asset->tag.data,
                   (int)column.len, column.data);
    return -1;
}

static struct span format_time(int64_t wall_ms, char text[40])
{
    time_t seconds = (time_t)(wall_ms >= 0 ? wall_ms / 1000 : (wall_ms - 999) / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    return (struct span){text, strftime(text, 40, "%Y-%m-%dT%H:%M:%S+00:00", &utc)};
}

static int find(const struct part *part, const struct template_scope *scope, struct found *found, struct buf *reason)
{
    *found = (struct found){.is_text = true};
    switch (part->kind) {
    case PART_TEXT:
        found->text = (struct span){part->text, part->len};
        return 0;
    case PART_CAPTURE:
        if (scope->captures == NULL || part->capture >= scope->captures->count) {
            buf_puts(reason, "the topic does not fit the route's filter");
            return -1;
        }
        found->text = scope->captures->values[part->capture];
        return 0;
    case PART_KEY:
        found->text = scope->key;
        return 0;
    case PART_TOPIC:
        found->text = scope->topic;
        return 0;
    case PART_ID:
        found->text = span_of(scope->id);
        return 0;
    case PART_NOW:
        found->text = format_time(scope->now_ms + part->offset_ms, found->time);
        return 0;
    case PART_RECEIVED:
        found->text = format_time(scope->received_ms + part->offset_ms, found->time);
        return 0;
    case PART_TIME:
        found->text = format_time(scope->time_ms + part->offset_ms, found->time);
        return 0;
    case PART_ASSET:
        found->is_text = false;
        return find_asset(part, scope, found, reason);
    case PART_PATH:
    case PART_ROOT:
        found->is_text = false;
        return find_path(part, scope, found, reason);
    case PART_VALUE:
        found->is_text = false;
        return find_value(part, scope, found, reason);
    case PART_USER:
        found->is_text = false;
        return find_user(part, scope, found, reason);
    }
    return -1;
}

static int append_found(const struct part *part, const struct found *found, struct buf *out, struct buf *reason)
{
    if (found->is_text) {
        buf_append(out, found->text.data, found->text.len);
        return 0;
    }
    if (found->json != NULL && json_to_text(found->json, out))
        return 0;
    struct span source = part->source.len > 0 ? part->source : part->kind == PART_VALUE ? SPAN("value") : SPAN("user");
    buf_printf(reason, "%.*s is %s, which cannot stand inside text", (int)source.len, source.data,
               found->json == NULL                                 ? "null"
               : json_object_is_type(found->json, json_type_array) ? "an array"
                                                                   : "an object");
    return -1;
}

int template_render_text(const struct template *t, const struct template_scope *scope, struct buf *out,
                         struct buf *reason)
{
    for (size_t i = 0; i < t->count; i++) {
        struct found found;
        if (find(&t->parts[i], scope, &found, reason) != 0 || append_found(&t->parts[i], &found, out, reason) != 0)
            return -1;
    }
    return 0;
}

int template_render(const struct template *t, const struct template_scope *scope, struct json_object **out,
                    struct buf *reason)
{
    *out = NULL;
    if (t->count == 1) {
        struct found found;
        if (find(&t->parts[0], scope, &found, reason) != 0)
            return -1;
        *out = found.is_text ? json_text(found.text) : json_object_get(found.json);
        return 0;
    }
    cleanup_buf struct buf text = {0};
    if (template_render_text(t, scope, &text, reason) != 0)
        return -1;
    *out = json_text(buf_span(&text));
    return 0;
}

int template_render_json(const struct template *t, const struct template_scope *scope, struct buf *out,
                         struct buf *reason)
{
    if (t->count == 1) {
        struct found found;
        if (find(&t->parts[0], scope, &found, reason) != 0)
            return -1;
        if (found.is_text)
            buf_put_json(out, found.text);
        else
            json_print(found.json, out);
        return 0;
    }
    cleanup_buf struct buf text = {0};
    if (template_render_text(t, scope, &text, reason) != 0)
        return -1;
    buf_put_json(out, buf_span(&text));
    return 0;
}
