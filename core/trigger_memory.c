/* SPDX-License-Identifier: Apache-2.0 */
/* A key's state as it is stored: {"phase":"tripped","since":..,"words":[..]}. The numbers belong to the rule that
 * wrote them: its shape stands beside them, and another shape's are forgotten. */

#include "trigger_words.h"

#include "json.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

static const char *const phase_names[] = {"armed", "waiting", "tripped", "clearing"};

const char *trigger_phase_name(enum trigger_phase phase)
{
    return phase_names[phase];
}

/* What the numbers mean. A threshold that moved does not change it; another window or distance does. */
static void print_shape(const struct trigger_rule *rule, struct buf *out)
{
    buf_printf(out, "%d.%d.%lld.%zu.%lld", (int)rule->kind, (int)rule->derive, (long long)rule->budget,
               rule->member_count, (long long)(rule->derive > TRIGGER_RATE ? rule->period_ms : 0));
}

static bool is_used(const double *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (words[i] != 0)
            return true;
    return false;
}

bool trigger_state_is_initial(const struct trigger_state *state)
{
    return state->phase == TRIGGER_ARMED && state->since_ms == 0 && state->last_fired_ms == 0 &&
           state->order[0] == '\0' && !is_used(state->words, state->word_count);
}

static void print_number(double value, struct buf *out)
{
    if (value == floor(value) && fabs(value) < 9e15)
        buf_printf(out, "%lld", (long long)value);
    else
        buf_printf(out, "%.17g", value);
}

static void print_words(const struct trigger_rule *rule, const struct trigger_state *state, struct buf *out)
{
    buf_puts(out, ",\"shape\":\"");
    print_shape(rule, out);
    buf_puts(out, "\",\"words\":[");
    for (size_t i = 0; i < state->word_count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        print_number(state->words[i], out);
    }
    buf_putc(out, ']');
}

void trigger_state_print(const struct trigger_rule *rule, const struct trigger_state *state, struct buf *out)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"since", state->since_ms},
                   {"fired", state->last_fired_ms},
                   {"suppressed", state->suppressed},
                   {"repeats", state->repeats}};
    buf_printf(out, "{\"phase\":\"%s\"", phase_names[state->phase]);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (numbers[i].value != 0)
            buf_printf(out, ",\"%s\":%lld", numbers[i].name, (long long)numbers[i].value);
    if (state->alarmed)
        buf_puts(out, ",\"alarmed\":true");
    if (state->order[0] != '\0')
        buf_printf(out, ",\"order\":\"%s\"", state->order);
    if (is_used(state->words, state->word_count))
        print_words(rule, state, out);
    if (state->kept.len > 0)
        buf_printf(out, ",\"kept\":%.*s", (int)state->kept.len, state->kept.data);
    buf_putc(out, '}');
}

static void parse_words(const struct trigger_rule *rule, struct json_object *object, struct trigger_state *state)
{
    cleanup_buf struct buf shape = {0};
    const char *said = json_get_text(object, "shape");
    struct json_object *words = json_get(object, "words");
    print_shape(rule, &shape);
    if (said == NULL || strcmp(said, shape.data) != 0 || !json_object_is_type(words, json_type_array))
        return;
    for (size_t i = 0; i < state->word_count && i < json_object_array_length(words); i++)
        state->words[i] = json_object_get_double(json_object_array_get_idx(words, i));
}

bool trigger_state_parse(const struct trigger_rule *rule, struct span text, struct trigger_state *state,
                         struct buf *kept)
{
    cleanup_json struct json_object *object = json_parse(text, NULL, NULL);
    const char *phase = json_get_text(object, "phase"), *order = json_get_text(object, "order");
    if (phase == NULL)
        return false;
    for (size_t i = 0; i < sizeof(phase_names) / sizeof(phase_names[0]); i++) {
        if (strcmp(phase, phase_names[i]) != 0)
            continue;
        state->phase = (enum trigger_phase)i;
        state->since_ms = json_object_get_int64(json_get(object, "since"));
        state->last_fired_ms = json_object_get_int64(json_get(object, "fired"));
        state->suppressed = json_object_get_int64(json_get(object, "suppressed"));
        state->repeats = json_object_get_int64(json_get(object, "repeats"));
        state->alarmed = json_object_get_boolean(json_get(object, "alarmed"));
        state->order[0] = '\0';
        if (order != NULL && strlen(order) < sizeof(state->order))
            strcpy(state->order, order);
        for (size_t w = 0; w < state->word_count; w++)
            state->words[w] = 0;
        parse_words(rule, object, state);
        buf_clear(kept);
        if (json_get(object, "kept") != NULL)
            json_print(json_get(object, "kept"), kept);
        state->kept = buf_span(kept);
        return true;
    }
    return false;
}
