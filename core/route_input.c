/* SPDX-License-Identifier: Apache-2.0 */

/* What a route says about its payloads, compiled, and asked of a reading: when it was measured, whose it is, what
 * unit it comes in, and whether an edge node vouches for it. */

#include "route_private.h"

#include "clock.h"
#include "json.h"
#include "number.h"
#include "route_newest.h"
#include "sparkplug.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- building */

void rule_build_input(struct rule_builder *b)
{
    const struct config_input *from = &b->route->input;
    struct rule_input *input = &b->rule->input;
    const unsigned early = TEMPLATE_USES_VALUE | TEMPLATE_USES_KEY | TEMPLATE_USES_ID;
    static const struct format sparkplug = {.kind = FORMAT_SPARKPLUG}; /* one for all: a message is read once */
    enum format_kind kind = from->format.kind;
    b->rule->format = kind == FORMAT_SPARKPLUG ? &sparkplug : kind != 0 ? &from->format : NULL;
    input->given = from;
    input->late_ms = from->late_ms;
    input->converts = from->unit_node != NULL;
    input->each = rule_build_template(b, from->each, early);
    input->time = rule_build_template(b, from->time, early);
    input->asset = rule_build_template(b, from->asset, TEMPLATE_USES_ID);
    if (from->asset == NULL)
        b->names.assets = NULL; /* ${asset...} would have no tag */
}

bool rule_has_parts(const struct rule *rule)
{
    return rule->input.each != NULL || (rule->format != NULL && rule->format->kind == FORMAT_SPARKPLUG);
}

/* ---- time */

/* Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size: each is good for the
 * years 1973 to 5138. */
static bool parse_epoch(double value, int64_t *wall_ms)
{
    if (!isfinite(value) || value < 0 || value >= 1e20)
        return false;
    double ms = value < 1e11 ? value * 1e3 : value < 1e14 ? value : value < 1e17 ? value / 1e3 : value / 1e6;
    *wall_ms = (int64_t)floor(ms);
    return true;
}

static bool parse_time(struct json_object *value, int64_t *wall_ms)
{
    double number;
    if (json_object_is_type(value, json_type_string) &&
        clock_parse((struct span){json_object_get_string(value), (size_t)json_object_get_string_len(value)}, wall_ms))
        return true;
    return json_to_double(value, &number) && parse_epoch(number, wall_ms);
}

/* Where none is given it is when the message arrived; a clock ahead of ours is taken as ours. */
bool reading_find_time(struct reading *r, const struct rule *rule)
{
    cleanup_json struct json_object *value = NULL;
    r->scope.time_ms = r->message->received_ms;
    if (rule->input.time == NULL)
        return true;
    reading_parse(r);
    int64_t wall_ms;
    if (template_render(rule->input.time, &r->scope, &value, r->reason) != 0 || value == NULL) {
        buf_clear(r->reason);
        return true;
    }
    if (!parse_time(value, &wall_ms)) {
        buf_puts(r->reason, "`time` is neither RFC 3339 with its offset nor a number since 1970");
        return false;
    }
    if (wall_ms < r->scope.time_ms)
        r->scope.time_ms = wall_ms;
    return true;
}

bool reading_is_late(struct reading *r, const struct rule *rule, uint32_t number, int64_t *steady_ms)
{
    if (rule->input.time == NULL)
        return false;
    int64_t at_ms = r->scope.time_ms, late_ms = rule->input.late_ms;
    int64_t newest_ms = route_newest_note(r->set->newest, number, r->decision.key, at_ms);
    if (late_ms >= 0 && newest_ms != INT64_MIN && at_ms < newest_ms - late_ms)
        return true;
    if (at_ms < newest_ms)
        at_ms = newest_ms; /* a trigger's clock does not run backwards */
    *steady_ms -= r->message->received_ms - at_ms;
    return false;
}

/* ---- whose */

void reading_find_asset(struct reading *r, const struct rule *rule)
{
    struct buf *tag = &r->set->asset;
    r->asset = (struct template_asset){.tag = SPAN("")};
    r->scope.asset = &r->asset;
    buf_clear(tag);
    if (rule->input.asset == NULL || r->set->assets == NULL)
        return;
    reading_parse(r);
    if (template_render_text(rule->input.asset, &r->scope, tag, r->reason) != 0) {
        buf_clear(r->reason); /* it has no tag then, which is said where a cell is wanted */
        buf_clear(tag);
    }
    r->asset.tag = buf_span(tag);
    r->asset.cells = assets_find(r->set->assets, r->asset.tag);
}

struct json_object *reading_asset_object(const struct reading *r)
{
    struct json_object *object = json_object_new_object();
    const char *const *columns = r->set->assets != NULL ? assets_columns(r->set->assets) : NULL;
    for (size_t i = 0; columns != NULL && columns[i] != NULL; i++) {
        bool there = r->asset.cells != NULL && r->asset.cells[i].len > 0;
        json_object_object_add(object, columns[i], there ? json_text(r->asset.cells[i]) : NULL);
    }
    return object;
}

/* ---- how much */

/* As text with the digits that bring it back. */
static void set_number(struct reading *r, double number)
{
    char text[32];
    for (int digits = 12; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    reading_set_value(r, json_object_new_double_s(number, text));
}

bool reading_convert(struct reading *r, const struct rule *rule, struct trigger_input *input)
{
    double number = input->number;
    if (!rule->input.converts || (!input->numeric && !json_to_double(r->value, &number)))
        return true;
    if (!measure_convert(&rule->input.given->unit, &number)) {
        buf_clear(r->reason);
        buf_printf(r->reason, "%.12g in the unit asked for is more than a number can be", number);
        return false;
    }
    if (input->numeric)
        input->number = number;
    set_number(r, number);
    return true;
}

/* ---- Sparkplug */

/* * stands for anything, also nothing. */
static bool fits(const char *pattern, const char *name)
{
    const char *star = NULL, *back = NULL;
    while (*name != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            back = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool reading_is_wanted(const struct rule *rule, struct json_object *part)
{
    const struct config_input *input = rule->input.given;
    const char *name = input->metric_count > 0 ? json_get_text(part, "metric") : NULL;
    if (input->metric_count == 0)
        return true;
    for (size_t i = 0; i < input->metric_count && name != NULL; i++)
        if (fits(input->metrics[i], name))
            return true;
    return false;
}

/* What is history says nothing about now, as a retained message does not. */
bool reading_is_history(const struct reading *r, const struct rule *rule)
{
    return rule->format != NULL && rule->format->kind == FORMAT_SPARKPLUG && !rule->retained &&
           json_object_get_boolean(json_get(r->payload, "historical"));
}

bool reading_is_doubtful(const struct reading *r, const struct rule *rule)
{
    bool sparkplug = rule->format != NULL && rule->format->kind == FORMAT_SPARKPLUG;
    const char *quality = sparkplug ? json_get_text(r->payload, "quality") : NULL;
    return quality != NULL && strcmp(quality, "good") != 0;
}
