/* SPDX-License-Identifier: Apache-2.0 */

/* One message's way: its routes by the trie, then for each rule
 *
 *     value -> key -> condition -> trigger_step -> (it fired) id -> lane -> body -> decision
 *
 * and nothing that a rule does not need: the payload is parsed when the first rule asks for it, once for
 * all of them; a reading that does not fire allocates nothing but that. A rule without a trigger starts at
 * the id. What keeps a rule from being evaluated (no value, no key, a failing condition) is an ignored
 * reading; what keeps a fired one from being mapped is a dead letter. */

#include "route.h"

#include "json.h"
#include "log.h"
#include "route_keys.h"
#include "route_reading.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

struct filter { /* a distinct one */
    const char *mqtt;
    uint32_t *rules;
    size_t count, cap;
};

struct route_set {
    struct rule *rules;
    size_t count;
    char *prefix; /* "<prefix>/", our own topics; NULL */
    struct filter *filters;
    size_t filter_count, filter_cap;
    const char **subscriptions; /* what the broker is asked for */
    size_t subscription_count;
    struct topic_trie *trie;
    struct expr_set *exprs;
    struct route_keys *keys;
    size_t last_restored;
    /* scratch, kept between messages */
    uint32_t *matches;
    size_t match_cap;
    struct buf key, lane, body, reason, state, part;
};

/* ---- the set --------------------------------------------------------------*/

static struct filter *filter_of(struct route_set *set, const char *mqtt)
{
    for (size_t i = 0; i < set->filter_count; i++)
        if (strcmp(set->filters[i].mqtt, mqtt) == 0)
            return &set->filters[i];
    set->filters = mem_grow(set->filters, &set->filter_cap, set->filter_count + 1, sizeof(*set->filters));
    struct filter *filter = &set->filters[set->filter_count++];
    filter->mqtt = mqtt;
    return filter;
}

/* Another filter brings the same messages; of two that bring the same, the first stays. */
static bool is_covered(const struct route_set *set, size_t i)
{
    for (size_t j = 0; j < set->filter_count; j++) {
        const char *a = set->filters[i].mqtt, *b = set->filters[j].mqtt;
        if (i != j && topic_filter_covers(b, a) && (j < i || !topic_filter_covers(a, b)))
            return true;
    }
    return false;
}

static void index_filters(struct route_set *set, const struct config_bus *bus)
{
    set->trie = topic_trie_create();
    for (size_t i = 0; i < set->count; i++) {
        const char *mqtt = set->rules[i].filter.mqtt;
        if (mqtt == NULL)
            continue;
        struct filter *filter = filter_of(set, mqtt);
        filter->rules = mem_grow(filter->rules, &filter->cap, filter->count + 1, sizeof(*filter->rules));
        filter->rules[filter->count++] = (uint32_t)i;
        topic_trie_add(set->trie, mqtt, (uint32_t)i);
    }
    set->subscriptions = mem_alloc(set->filter_count * sizeof(*set->subscriptions));
    for (size_t i = 0; i < set->filter_count; i++) {
        const char *mqtt = set->filters[i].mqtt;
        if (bus->version == 3 && is_covered(set, i))
            continue;
        set->subscriptions[set->subscription_count++] =
            bus->share != NULL ? mem_printf("$share/%s/%s", bus->share, mqtt) : mem_strdup(mqtt);
    }
}

struct route_set *route_set_create(const struct config *config, struct problems *problems)
{
    struct route_set *set = mem_alloc(sizeof(*set));
    size_t before = problems->errors;
    set->count = config->route_count;
    set->rules = mem_alloc(set->count * sizeof(*set->rules));
    set->exprs = expr_create();
    set->keys = route_keys_create();
    set->prefix = config->bus.prefix != NULL ? mem_printf("%s/", config->bus.prefix) : NULL;
    for (size_t i = 0; i < set->count; i++)
        rule_build(&set->rules[i], config, &config->routes[i], set->exprs, problems);
    expr_compile(set->exprs, problems);
    index_filters(set, &config->bus);
    if (problems->errors == before)
        return set;
    route_set_destroy(set);
    return NULL;
}

void route_set_destroy(struct route_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->subscription_count; i++)
        free((char *)(uintptr_t)set->subscriptions[i]);
    free(set->subscriptions);
    for (size_t i = 0; i < set->filter_count; i++)
        free(set->filters[i].rules);
    free(set->filters);
    for (size_t i = 0; i < set->count; i++)
        rule_finish(&set->rules[i]);
    free(set->rules);
    free(set->prefix);
    topic_trie_destroy(set->trie);
    expr_destroy(set->exprs);
    route_keys_destroy(set->keys);
    free(set->matches);
    struct buf *scratch[] = {&set->key, &set->lane, &set->body, &set->reason, &set->state, &set->part};
    for (size_t i = 0; i < sizeof(scratch) / sizeof(scratch[0]); i++)
        buf_finish(scratch[i]);
    free(set);
}

size_t route_set_filters(const struct route_set *set, const char *const **filters)
{
    *filters = set->subscriptions;
    return set->subscription_count;
}

void route_set_commit(struct route_set *set)
{
    route_keys_commit(set->keys);
}

void route_set_rollback(struct route_set *set)
{
    route_keys_rollback(set->keys);
}

size_t route_set_keys(const struct route_set *set)
{
    return route_keys_count(set->keys);
}

void route_set_restore(struct route_set *set, const char *route, struct span key, struct span state)
{
    struct trigger_state parsed;
    /* They come sorted by route: begin with the one of the last call. */
    for (size_t i = 0; i < set->count; i++) {
        size_t at = (set->last_restored + i) % set->count;
        if (strcmp(set->rules[at].name, route) != 0)
            continue;
        set->last_restored = at;
        if (set->rules[at].has_trigger && trigger_state_parse(state, &parsed)) {
            route_keys_put(set->keys, (uint32_t)at, key, &parsed);
            route_keys_commit(set->keys);
        }
        return;
    }
}

bool route_set_fits(const struct route_set *set, size_t route, struct span *topic)
{
    const char *filter = set->rules[route].filter.mqtt;
    if (topic->len == 0 && strpbrk(filter, "+#") == NULL)
        *topic = span_of(filter);
    return topic_is_valid(*topic) && topic_filter_matches(filter, *topic);
}

char *route_set_outline(const struct route_set *set, size_t route)
{
    if (route >= set->count || set->rules[route].body == NULL)
        return NULL;
    struct buf out = {0};
    body_outline(set->rules[route].body, &out);
    return buf_steal(&out);
}

/* ---- what a rule asks of the message ---------------------------------------------*/

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

/* The trigger's value. Without a template the payload's own text is read: no JSON is parsed. */
static bool find_value(struct reading *r, const struct rule *rule, double *number)
{
    bool numeric = rule->trigger.kind != TRIGGER_WHEN;
    if (rule->value == NULL)
        return !numeric || reading_number(r, number);
    prepare(r, template_uses(rule->value));
    if (template_render(rule->value, &r->scope, &r->value, r->reason) != 0)
        return false;
    r->scope.value = r->value;
    r->scope.value_null = r->value == NULL;
    return !numeric || json_to_double(r->value, number);
}

/* The trigger's key, "" without a trigger. */
static bool find_key(struct reading *r, const struct rule *rule)
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

/* What jq sees. captures are given. */
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
    return scope;
}

static int ask_jq(struct reading *r, int n)
{
    struct expr_scope scope = expr_scope(r, n);
    int answer = expr_test(r->set->exprs, n, &scope, r->reason);
    json_object_put(scope.captures);
    return answer;
}

/* `when`, and `clear` where it matters; false when one of them fails. */
static bool ask_condition(struct reading *r, const struct rule *rule, const struct trigger_state *state,
                          struct trigger_reading *out)
{
    int holds = ask_jq(r, rule->when), clear = holds == 0;
    if (holds == 0 && rule->clear >= 0 && state->phase == TRIGGER_TRIPPED)
        clear = ask_jq(r, rule->clear);
    *out = (struct trigger_reading){.holds = holds == 1, .clear = clear == 1};
    return holds >= 0 && clear >= 0;
}

/* ---- deciding -------------------------------------------------------------*/

static void decide(struct reading *r, enum outcome outcome, const char *reason)
{
    bool kept = outcome == OUTCOME_ACCEPTED || outcome == OUTCOME_INVALID;
    r->decision.outcome = outcome;
    r->decision.reason = reason;
    r->decision.payload = r->message->payload;
    r->decision.one_reading = r->in_part || r->message->one_reading;
    if (kept && r->in_part) {
        buf_clear(&r->set->part);
        json_print(r->payload, &r->set->part);
        r->decision.payload = buf_span(&r->set->part);
    }
    r->decide(r->context, &r->decision);
}

/* The reading cannot be evaluated. The first time it is worth a line: a typo would stay unseen else. */
static void ignore(struct reading *r, struct rule *rule, const char *reason)
{
    if (!rule->warned) {
        rule->warned = true;
        log_warn("a reading cannot be evaluated; more of this route are only counted", "route", rule->name, "reason",
                 reason, "detail", buf_span(r->reason).data, NULL);
    }
    decide(r, OUTCOME_IGNORED, reason);
}

static int make_body(struct reading *r, const struct rule *rule)
{
    struct buf *body = &r->set->body, *reason = r->reason;
    buf_clear(body);
    if (rule->body != NULL) {
        prepare(r, rule->body_uses);
        return body_render(rule->body, &r->scope, body, reason);
    }
    if (rule->body_jq >= 0) {
        struct expr_scope scope = expr_scope(r, rule->body_jq);
        cleanup_json struct json_object *result = NULL;
        int status = expr_eval(r->set->exprs, rule->body_jq, &scope, &result, reason);
        json_object_put(scope.captures);
        if (status == 0)
            json_print(result, body);
        return status;
    }
    reading_parse(r);
    if (r->payload == NULL && !r->scope.payload_null) {
        buf_printf(reason, "the payload is no JSON: %s", r->scope.payload_error);
        return -1;
    }
    json_print(r->payload, body);
    return 0;
}

/* A dead letter; the reason was said. */
static void refuse(struct reading *r)
{
    uuid_v7(r->message->received_ms, r->id);
    r->decision.id = r->id;
    decide(r, OUTCOME_INVALID, r->reason->data);
}

/* It fired, or is a command: a delivery or a dead letter. */
static void map(struct reading *r, const struct rule *rule, const char *reason)
{
    uuid_v7(r->message->received_ms, r->id);
    r->scope.id = r->decision.id = r->id;
    buf_clear(r->reason);
    if (!find_lane(r, rule) || make_body(r, rule) != 0) {
        decide(r, OUTCOME_INVALID, buf_span(r->reason).data);
        return;
    }
    r->decision.body = buf_span(&r->set->body);
    decide(r, OUTCOME_ACCEPTED, reason);
}

static void step_trigger(struct reading *r, struct rule *rule, uint32_t number, int64_t steady_ms)
{
    struct route_set *set = r->set;
    struct trigger_reading reading;
    double value = 0;
    buf_clear(&set->reason);
    if (!find_value(r, rule, &value)) {
        decide(r, OUTCOME_IGNORED, "no_value");
        return;
    }
    if (!find_key(r, rule)) {
        ignore(r, rule, "no_key");
        return;
    }
    struct trigger_state state = route_keys_get(set->keys, number, r->decision.key);
    if (rule->trigger.kind != TRIGGER_WHEN) {
        reading = trigger_read(&rule->trigger, value);
    } else if (!ask_condition(r, rule, &state, &reading)) {
        ignore(r, rule, "condition_error");
        return;
    }
    struct trigger_result result = trigger_step(&rule->trigger, &state, reading, steady_ms);
    if (result.changed) {
        route_keys_put(set->keys, number, r->decision.key, &state);
        buf_clear(&set->state);
        if (!trigger_state_is_initial(&state))
            trigger_state_print(&state, &set->state);
        r->decision.state_changed = true;
        r->decision.state = buf_span(&set->state);
    }
    if (result.outcome == OUTCOME_ACCEPTED)
        map(r, rule, result.reason);
    else
        decide(r, result.outcome, result.reason);
}

/* What cannot be read is, for a trigger, a reading without a value; for a command it is a dead letter. */
static void fail(struct reading *r, struct rule *rule)
{
    if (rule->has_trigger)
        ignore(r, rule, "no_value");
    else
        refuse(r);
}

static void judge(struct reading *r, struct rule *rule, uint32_t number, int64_t steady_ms)
{
    if (rule->has_trigger)
        step_trigger(r, rule, number, steady_ms);
    else
        map(r, rule, "command");
}

/* ---- a message's way -------------------------------------------------------*/

static void begin(struct reading *r, struct route_set *set, const struct message *message, route_decide *each,
                  void *context)
{
    *r = (struct reading){.set = set, .reason = &set->reason, .decide = each, .context = context};
    reading_begin(r, message);
}

static void begin_reading(struct reading *r, uint32_t number)
{
    r->decision = (struct route_decision){.route = number, .key = SPAN(""), .lane = r->message->topic};
    r->decision.state = r->decision.body = SPAN("");
    r->scope.id = NULL;
    r->scope.key = SPAN("");
}

static void begin_rule(struct reading *r, const struct rule *rule, uint32_t number)
{
    begin_reading(r, number);
    topic_filter_capture(&rule->filter, r->message->topic, &r->captures);
    reading_use_format(r, rule->format);
}

static void end_reading(struct reading *r)
{
    json_object_put(r->value);
    r->value = r->scope.value = NULL;
    r->scope.value_null = false;
}

/* Each reading of the message on its own, in their order; a message without any is one that is ignored. */
static void judge_parts(struct reading *r, struct rule *rule, uint32_t number, int64_t steady_ms)
{
    cleanup_json struct json_object *parts = reading_parts(r, rule->each);
    size_t count = parts != NULL ? json_object_array_length(parts) : 0;
    if (parts == NULL)
        fail(r, rule);
    else if (count == 0)
        decide(r, OUTCOME_IGNORED, "no_reading");
    for (size_t i = 0; i < count; i++) {
        begin_reading(r, number);
        reading_see_part(r, json_object_array_get_idx(parts, i));
        judge(r, rule, number, steady_ms);
        end_reading(r);
    }
    reading_see_whole(r);
}

static void judge_message(struct reading *r, struct rule *rule, uint32_t number, int64_t steady_ms)
{
    buf_clear(r->reason);
    if (r->message->retained && !rule->retained)
        decide(r, OUTCOME_IGNORED, "retained");
    else if (!reading_fits_format(r))
        fail(r, rule);
    else if (rule->each != NULL)
        judge_parts(r, rule, number, steady_ms);
    else
        judge(r, rule, number, steady_ms);
    end_reading(r);
}

/* The rules of a copy that came for one subscription, else all that match. An identifier that does not
 * fit the topic is one of an older configuration's subscriptions: the broker still had the message. */
static size_t find_rules(struct route_set *set, const struct message *message, const uint32_t **rules)
{
    size_t id = message->subscription_id > 0 ? (size_t)message->subscription_id : 0;
    if (id > 0 && id <= set->filter_count && set->subscription_count == set->filter_count &&
        topic_filter_matches(set->filters[id - 1].mqtt, message->topic)) {
        *rules = set->filters[id - 1].rules;
        return set->filters[id - 1].count;
    }
    size_t count = topic_trie_match(set->trie, message->topic, &set->matches, &set->match_cap);
    *rules = set->matches;
    return count;
}

static bool is_own(const struct route_set *set, struct span topic)
{
    size_t len = set->prefix != NULL ? strlen(set->prefix) : 0;
    return len > 0 && topic.len >= len && memcmp(topic.data, set->prefix, len) == 0;
}

size_t route_set_match(struct route_set *set, const struct message *message, const uint32_t **routes)
{
    return is_own(set, message->topic) ? 0 : find_rules(set, message, routes);
}

size_t route_set_evaluate(struct route_set *set, const struct message *message, int64_t steady_ms, route_decide *each,
                          void *context)
{
    const uint32_t *rules;
    size_t count = route_set_match(set, message, &rules);
    if (count == 0)
        return 0;
    struct reading r;
    begin(&r, set, message, each, context);
    for (size_t i = 0; i < count; i++) {
        struct rule *rule = &set->rules[rules[i]];
        begin_rule(&r, rule, rules[i]);
        judge_message(&r, rule, rules[i], steady_ms);
    }
    reading_end(&r);
    return count;
}

void route_set_map(struct route_set *set, size_t route, const struct message *message, route_decide *each,
                   void *context)
{
    const struct rule *rule = &set->rules[route];
    struct reading r;
    double unused;
    begin(&r, set, message, each, context);
    begin_rule(&r, rule, (uint32_t)route);
    if (message->one_reading)
        reading_use_format(&r, NULL);
    r.scope.root_lost = message->one_reading;
    buf_clear(&set->reason);
    if (rule->filter.capture_count > 0 && !topic_filter_matches(rule->filter.mqtt, message->topic)) {
        buf_printf(&set->reason, "the topic does not fit the route's filter %s", rule->filter.mqtt);
        r.captures.count = 0;
    } else if (rule->each != NULL && !message->one_reading) {
        buf_puts(&set->reason, "a message of several readings cannot be mapped as one: give a body");
    } else if (reading_fits_format(&r)) {
        if (rule->has_trigger)
            find_value(&r, rule, &unused); /* if it is missed, ${value} will say so */
        buf_clear(&set->reason);
        if (find_key(&r, rule))
            buf_clear(&set->reason);
    }
    if (set->reason.len == 0) {
        map(&r, rule, "manual");
    } else {
        refuse(&r);
    }
    end_reading(&r);
    reading_end(&r);
}
