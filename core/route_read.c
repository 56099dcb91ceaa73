/* SPDX-License-Identifier: Apache-2.0 */

/* What a rule asks of a message, and what becomes of one that fired. The payload is parsed when the first
 * rule asks for it, once for all of them; a reading that does not fire allocates nothing but that. */

#include "route_private.h"

#include "json.h"
#include "number.h"

#include <json-c/json.h>
#include <string.h>

void reading_open(struct reading *r, struct route_set *set, const struct message *message, route_decide *each,
                  void *context)
{
    *r = (struct reading){.set = set, .reason = &set->reason, .decide = each, .context = context};
    reading_begin(r, message);
}

/* The member of the rule whose filter brought the message, from `first` on; count when there is none. */
size_t reading_find_member(const struct reading *r, const struct rule *rule, size_t first, const char *copy_of)
{
    size_t i = first;
    for (; i < rule->trigger.rule.member_count; i++) {
        const char *mqtt = rule->members[i].filter.mqtt;
        if (copy_of != NULL ? strcmp(mqtt, copy_of) == 0 : topic_filter_matches(mqtt, r->message->topic))
            break;
    }
    return i;
}

/* The captures in the order of the route's filter, which its templates were compiled for. */
static void capture(struct reading *r, const struct rule *rule)
{
    if (rule->members == NULL) {
        topic_filter_capture(&rule->filter, r->message->topic, &r->captures);
        return;
    }
    r->captures.count = 0;
    size_t at = reading_find_member(r, rule, 0, NULL);
    if (at == rule->trigger.rule.member_count)
        return;
    struct topic_captures own;
    const struct member *member = &rule->members[at];
    topic_filter_capture(&member->filter, r->message->topic, &own);
    r->captures.count = own.count;
    for (size_t i = 0; i < own.count; i++) {
        r->captures.names[i] = own.names[member->order[i]];
        r->captures.values[i] = own.values[member->order[i]];
    }
}

void reading_begin_part(struct reading *r, uint32_t number)
{
    reading_set_value(r, NULL);
    r->decision = (struct route_decision){.route = number, .key = SPAN(""), .lane = r->message->topic};
    r->decision.body = r->decision.value = SPAN("");
    r->decision.message = r->message;
    r->scope.id = NULL;
    r->scope.key = SPAN("");
}

void reading_begin_rule(struct reading *r, const struct rule *rule, uint32_t number)
{
    reading_begin_part(r, number);
    capture(r, rule);
    reading_use_format(r, r->message->one_reading ? NULL : rule->format);
    r->scope.root_lost = r->message->one_reading;
}

void reading_close(struct reading *r)
{
    reading_set_value(r, NULL);
    reading_end(r);
}

struct span reading_to_keep(struct reading *r)
{
    if (!r->in_part)
        return r->message->payload;
    buf_clear(&r->set->part);
    json_print(r->payload, &r->set->part);
    return buf_span(&r->set->part);
}

void reading_set_value(struct reading *r, struct json_object *value)
{
    json_object_put(r->value);
    r->value = r->scope.value = value;
    r->scope.value_null = false;
}

static void prepare(struct reading *r, unsigned uses)
{
    if ((uses & TEMPLATE_USES_PAYLOAD) || ((uses & TEMPLATE_USES_VALUE) && r->value == NULL && !r->scope.value_null))
        reading_parse(r);
}

static int render_text(struct reading *r, const struct template *t, struct buf *out)
{
    prepare(r, template_uses(t));
    return template_render_text(t, &r->scope, out, r->reason);
}

/* The value as text, for what is compared as text: a payload that is a JSON scalar is what it says. */
static bool find_text(struct reading *r, const struct condition *condition, struct trigger_input *input)
{
    struct buf *text = &r->set->text;
    struct json_object *value = r->value;
    if (condition->value == NULL) {
        reading_parse(r);
        value = r->payload;
    }
    bool is_json = condition->value != NULL || r->payload != NULL || r->scope.payload_null;
    buf_clear(text);
    if (!is_json)
        input->text = reading_raw(r);
    else if (json_to_text(value, text))
        input->text = buf_span(text);
    else if (condition->rule.kind == TRIGGER_CHANGES)
        json_print(value, text), input->text = buf_span(text);
    else
        return false;
    input->numeric = number_parse_double(input->text, &input->number);
    return true;
}

static bool needs_number(const struct trigger_rule *rule)
{
    switch (rule->kind) {
    case TRIGGER_ABOVE:
    case TRIGGER_BELOW:
    case TRIGGER_OUTSIDE:
        return rule->derive != TRIGGER_COUNT;
    case TRIGGER_EVERY:
        return true;
    case TRIGGER_CHANGES:
        return rule->step > 0;
    case TRIGGER_NONE:
    case TRIGGER_EQUALS:
    case TRIGGER_WHEN:
    case TRIGGER_ABSENT:
    case TRIGGER_ALL:
    case TRIGGER_ANY:
        break;
    }
    return false;
}

bool reading_find_value(struct reading *r, const struct condition *condition, struct trigger_input *input)
{
    const struct trigger_rule *rule = &condition->rule;
    bool number = needs_number(rule), text = rule->kind == TRIGGER_EQUALS || (rule->kind == TRIGGER_CHANGES && !number);
    if (condition->value == NULL) {
        input->numeric = number && reading_number(r, &input->number);
        return number ? input->numeric : !text || find_text(r, condition, input);
    }
    struct json_object *value = NULL;
    prepare(r, template_uses(condition->value));
    if (template_render(condition->value, &r->scope, &value, r->reason) != 0)
        return rule->kind == TRIGGER_ABSENT; /* a sign of life all the same */
    reading_set_value(r, value);
    r->scope.value_null = value == NULL;
    if (text)
        return find_text(r, condition, input);
    input->numeric = number && json_to_double(value, &input->number);
    return !number || input->numeric;
}

/* The trigger's key, "" without a trigger. */
bool reading_find_key(struct reading *r, const struct rule *rule)
{
    if (rule->key != NULL) {
        buf_clear(&r->set->key);
        if (render_text(r, rule->key, &r->set->key) != 0)
            return false;
        r->decision.key = buf_span(&r->set->key);
    } else if (rule->has_trigger) {
        r->decision.key = r->message->topic;
    }
    r->scope.key = r->decision.key;
    return true;
}

/* The lane: the trigger's key, else the route's key, else the topic. */
static bool find_lane(struct reading *r, const struct rule *rule)
{
    r->decision.lane = r->message->topic;
    if (rule->key != NULL) {
        r->decision.lane = r->decision.key;
    } else if (rule->lane != NULL) {
        buf_clear(&r->set->lane);
        if (render_text(r, rule->lane, &r->set->lane) != 0)
            return false;
        r->decision.lane = buf_span(&r->set->lane);
    }
    if (!rule->has_trigger)
        r->scope.key = r->decision.lane;
    return true;
}

static struct json_object *captures_object(const struct topic_captures *captures)
{
    struct json_object *object = json_object_new_object();
    for (size_t i = 0; i < captures->count; i++)
        json_object_object_add(object, captures->names[i], json_text(captures->values[i]));
    return object;
}

/* What jq sees. captures and asset are given. */
static struct expr_scope expr_scope(struct reading *r, int n)
{
    unsigned uses = expr_uses(r->set->exprs, n);
    struct expr_scope scope = {.payload = reading_jq_payload(r),
                               .value = r->value,
                               .key = r->scope.key,
                               .topic = r->message->topic,
                               .id = r->scope.id,
                               .now_ms = r->scope.now_ms};
    if (r->value == NULL && !r->scope.value_null)
        scope.value = scope.payload;
    if (uses & EXPR_USES_ROOT)
        scope.root = r->in_part ? r->whole : r->message->one_reading ? NULL : scope.payload;
    if (uses & EXPR_USES_CAPTURES)
        scope.captures = captures_object(&r->captures);
    if (uses & EXPR_USES_ASSET)
        scope.asset = reading_asset_object(r);
    return scope;
}

static void finish_scope(struct expr_scope *scope)
{
    json_object_put(scope->captures);
    json_object_put(scope->asset);
}

static int ask_jq(struct reading *r, int n)
{
    struct expr_scope scope = expr_scope(r, n);
    int answer = expr_test(r->set->exprs, n, &scope, r->reason);
    finish_scope(&scope);
    return answer;
}

bool reading_ask_jq(struct reading *r, const struct condition *condition, bool armed, struct trigger_input *input)
{
    int holds = ask_jq(r, condition->when), clear = holds == 0;
    if (holds == 0 && condition->clear >= 0 && !armed)
        clear = ask_jq(r, condition->clear);
    input->holds = holds == 1;
    input->clear = clear == 1;
    return holds >= 0 && clear >= 0;
}

static int make_body(struct reading *r, const struct rule *rule)
{
    struct buf *body = &r->set->body, *reason = r->reason;
    buf_clear(body);
    if (rule->body != NULL) {
        prepare(r, rule->body_uses);
        return body_render(rule->body, &r->scope, body, reason);
    }
    if (rule->body_jq >= 0 && (expr_uses(r->set->exprs, rule->body_jq) & EXPR_USES_ASSET) && r->asset.cells == NULL) {
        buf_printf(reason, "asset '%.*s' is not in the asset map", (int)r->asset.tag.len, r->asset.tag.data);
        r->asset.missed = true;
        return -1;
    }
    if (rule->body_jq >= 0) {
        struct expr_scope scope = expr_scope(r, rule->body_jq);
        cleanup_json struct json_object *result = NULL;
        int status = expr_eval(r->set->exprs, rule->body_jq, &scope, &result, reason);
        finish_scope(&scope);
        if (status == 0)
            json_print(result, body);
        return status;
    }
    reading_parse(r);
    if (r->payload == NULL && !r->scope.payload_null) {
        const bool text =
            r->format == NULL && r->message->payload.len > 0 && !strchr("{[", r->message->payload.data[0]);
        buf_printf(reason, "the payload is no JSON: %s%s", r->scope.payload_error,
                   text ? " (where it is text: `format: text` of the route makes it the body)" : "");
        return -1;
    }
    json_print(r->payload, body);
    return 0;
}

bool reading_map_with(struct reading *r, const struct body *body, unsigned uses)
{
    uuid_v7(r->message->received_ms, r->id);
    r->scope.id = r->decision.id = r->id;
    buf_clear(r->reason);
    buf_clear(&r->set->body);
    prepare(r, uses);
    if (body_render(body, &r->scope, &r->set->body, r->reason) != 0)
        return false;
    r->decision.body = buf_span(&r->set->body);
    return true;
}

bool reading_map(struct reading *r, const struct rule *rule)
{
    uuid_v7(r->message->received_ms, r->id);
    r->scope.id = r->decision.id = r->id;
    buf_clear(r->reason);
    reading_find_asset(r, rule);
    if (!find_lane(r, rule) || make_body(r, rule) != 0) {
        r->decision.identity = r->asset.missed;
        return false;
    }
    r->decision.body = buf_span(&r->set->body);
    return true;
}

bool reading_map_note(struct reading *r, const struct rule *rule, const char *order)
{
    reading_find_asset(r, rule);
    if (!find_lane(r, rule) || !reading_map_with(r, rule->while_open.body, rule->while_open.uses))
        return false;
    struct buf *body = &r->set->body; /* an object */
    cleanup_text char *rest = span_dup((struct span){body->data + 1, body->len - 1});
    buf_clear(body);
    buf_printf(body, "{\"work_order\":\"%s\"%s%s", order, rest[0] == '}' ? "" : ",", rest);
    r->decision.body = buf_span(body);
    return true;
}

void reading_refuse(struct reading *r)
{
    uuid_v7(r->message->received_ms, r->id);
    r->decision.id = r->id;
    reading_decide(r, OUTCOME_INVALID, buf_span(r->reason).data);
}

void reading_decide(struct reading *r, enum outcome outcome, const char *reason)
{
    bool kept = outcome == OUTCOME_ACCEPTED || outcome == OUTCOME_INVALID;
    r->decision.outcome = outcome;
    r->decision.reason = reason;
    r->decision.payload = kept ? reading_to_keep(r) : r->message->payload;
    r->decision.one_reading = r->in_part || r->message->one_reading;
    r->decide(r->context, &r->decision);
}
