/* SPDX-License-Identifier: Apache-2.0 */
/* Routes from configuration to decision. MW-P20, MW-P21, MW-P24, MW-P25 on the level of messages. */
#include "route_fixture.h"

#include "log.h"

#define HOT                                                                                                  \
    "  - name: hot\n"                                                                                        \
    "    from: plant/{line}/{asset}/temperature\n"                                                           \
    "    trigger: {value: \"${.celsius}\", above: 85, clear: 80, cooldown: 1h, key: \"${line}/${asset}\"}\n" \
    "    to: mw.task.schedule\n"                                                                             \
    "    body:\n"                                                                                            \
    "      equipment: {type: external, value: \"${asset}\"}\n"                                               \
    "      description: at ${value} on ${asset}\n"                                                           \
    "      startDateTime: ${now}\n"                                                                          \
    "      celsius: ${.celsius}\n"                                                                           \
    "      allDay: false\n"                                                                                  \
    "      assignees: [a@example.com, 7, null]\n"

static void test_route_fires_and_maps(void **state)
{
    (void)state;
    struct bench *b = set_up(HOT);
    assert_string_equal(send(b, "plant/l1/p7/temperature", "{\"celsius\":87.50}", T0),
                        "0 accepted fired key=l1/p7 lane=l1/p7 "
                        "{\"equipment\":{\"type\":\"external\",\"value\":\"p7\"},\"description\":\"at 87.50 on p7\","
                        "\"startDateTime\":\"2023-11-14T22:13:20+00:00\",\"celsius\":87.50,\"allDay\":false,"
                        "\"assignees\":[\"a@example.com\",7,null]} state\n");
    assert_int_equal(strlen(b->id), 36);
    assert_int_equal(b->id[14], '7');
    assert_string_equal(send(b, "plant/l1/p7/pressure", "{\"celsius\":87.50}", T0), "");
    tear_down(b);
}

/* MW-P20, MW-P21 with MW-P25's key: one asset says nothing about another */
static void test_route_trigger_runs_per_key(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: r, from: 't/{a}', trigger: {above: 5, cooldown: 1h}, to: mw.task.schedule, "
                             "body: {a: '${a}'}}\n");
    assert_string_equal(send(b, "t/1", "6", T0), "0 accepted fired key=t/1 lane=t/1 {\"a\":\"1\"} state\n");
    assert_string_equal(send(b, "t/1", "7", T0), "0 suppressed tripped key=t/1\n");
    assert_string_equal(send(b, "t/2", "7", T0), "0 accepted fired key=t/2 lane=t/2 {\"a\":\"2\"} state\n");
    assert_string_equal(send(b, "t/1", "5", T0), "0 ignored rearmed key=t/1 state\n");
    assert_string_equal(send(b, "t/1", "5", T0), "0 ignored below_threshold key=t/1\n");
    assert_string_equal(send(b, "t/1", "6", T0 + 3599999), "0 suppressed cooldown key=t/1 state\n");
    assert_string_equal(send(b, "t/1", "5", T0 + 3600000), "0 ignored rearmed key=t/1 state\n");
    assert_int_equal(route_set_keys(b->set), 1);
    tear_down(b);
}

static void test_route_without_trigger_takes_each_message(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: 'erp/{part}', to: mw.spare_part.set_stock, key: '${part}', "
                             "body: {id: '${part}', n: '${.n}', k: '${key}'}}\n"
                             "  - {name: b, from: erp/+, to: mw.spare_part.set_stock}\n");
    assert_string_equal(send(b, "erp/x", "{\"n\": 1.0}", T0),
                        "0 accepted command lane=x {\"id\":\"x\",\"n\":1.0,\"k\":\"x\"}\n"
                        "1 accepted command lane=erp/x {\"n\":1.0}\n");
    tear_down(b);
}

/* MW-P24 */
static void test_route_ignores_retained_messages(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: t, trigger: {above: 5}, to: mw.task.schedule}\n"
                             "  - {name: b, from: t, trigger: {above: 5}, to: mw.task.schedule, retained: true}\n"
                             "  - {name: c, from: t, to: mw.task.schedule}\n");
    struct message message = {.topic = SPAN("t"), .payload = SPAN("6"), .retained = true};
    assert_string_equal(send_message(b, message, T0),
                        "0 ignored retained\n1 accepted fired key=t lane=t 6 state\n2 ignored retained\n");
    tear_down(b);
}

static void test_route_reading_without_a_value_is_ignored(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: t, trigger: {above: 5, value: '${.x}'}, to: mw.task.schedule}\n"
                             "  - {name: b, from: u, trigger: {above: 5}, to: mw.task.schedule}\n");
    static const char *const bad[] = {"{}", "{\"x\":null}", "{\"x\":\"hot\"}", "{\"x\":[9]}", "hot", "", "\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_string_equal(send(b, "t", bad[i], T0), "0 ignored no_value\n");
        assert_string_equal(send(b, "u", bad[i], T0), "1 ignored no_value\n");
    }
    assert_string_equal(send(b, "t", "{\"x\":\"9\"}", T0), "0 accepted fired key=t lane=t {\"x\":\"9\"} state\n");
    assert_string_equal(send(b, "u", " 9.50\n", T0), "1 accepted fired key=u lane=u 9.50 state\n");
    tear_down(b);
}

static void test_route_key_that_is_missing_is_ignored(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: a, from: t, trigger: {above: 5, value: '${.x}', key: 'k-${.k}'}, to: mw.task.schedule}\n");
    assert_string_equal(send(b, "t", "{\"x\":9}", T0), "0 ignored no_key\n");
    assert_string_equal(send(b, "t", "{\"x\":9,\"k\":1}", T0),
                        "0 accepted fired key=k-1 lane=k-1 {\"x\":9,\"k\":1} state\n");
    tear_down(b);
}

static void test_route_mapping_error_is_a_dead_letter_of_what_fired(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: t, trigger: {above: 5, value: '${.x}'}, to: mw.task.schedule, "
                             "body: {y: '${.y}'}}\n"
                             "  - {name: b, from: c, to: mw.task.schedule, body: {y: '${.y}'}}\n"
                             "  - {name: c, from: d, to: mw.task.schedule, key: '${.k}', body: {y: 1}}\n"
                             "  - {name: d, from: e, to: mw.task.schedule}\n");
    assert_string_equal(send(b, "t", "{\"x\":1}", T0), "0 ignored below_threshold key=t\n");
    assert_string_equal(send(b, "t", "{\"x\":9}", T0), "0 invalid no .y in the payload key=t state\n");
    assert_string_equal(send(b, "t", "{\"x\":9,\"y\":1}", T0), "0 suppressed tripped key=t\n");
    assert_string_equal(send(b, "c", "{}", T0), "1 invalid no .y in the payload\n");
    assert_non_null(strstr(send(b, "c", "{\"y\":", T0), "1 invalid the payload is no JSON: "));
    assert_string_equal(send(b, "d", "{}", T0), "2 invalid no .k in the payload\n");
    assert_non_null(strstr(send(b, "e", "text", T0), "3 invalid the payload is no JSON: "));
    assert_string_equal(send(b, "e", "null", T0), "3 accepted command lane=e null\n");
    tear_down(b);
}

static void test_route_text_payload_needs_no_json(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: a, from: 'door/{d}', to: mw.task.schedule, body: {d: '${d}', was: '${value}'}}\n"
               "  - {name: b, from: 'door/{d}', trigger: {when: '. == \"OPEN\"'}, to: mw.task.schedule, "
               "body_jq: '{text: .}'}\n");
    assert_string_equal(send(b, "door/1", "OPEN", T0),
                        "0 accepted command lane=door/1 {\"d\":\"1\",\"was\":\"OPEN\"}\n"
                        "1 accepted fired key=door/1 lane=door/1 {\"text\":\"OPEN\"} state\n");
    tear_down(b);
}

static void test_route_when_and_clear_are_jq(void **state)
{
    (void)state;
    struct bench *b = set_up("  - name: a\n"
                             "    from: m/{line}\n"
                             "    trigger:\n"
                             "      value: ${.v}\n"
                             "      when: $value > 5 and $captures.line == \"l1\" and $key == $topic\n"
                             "      clear: $value < 2\n"
                             "    to: mw.task.schedule\n"
                             "    body_jq: '{v: $value, k: $key, id: ($id | length), at: $now}'\n");
    assert_string_equal(send(b, "m/l2", "{\"v\":9}", T0), "0 ignored condition_false key=m/l2\n");
    assert_string_equal(send(b, "m/l1", "{\"v\":9}", T0),
                        "0 accepted fired key=m/l1 lane=m/l1 "
                        "{\"v\":9,\"k\":\"m/l1\",\"id\":36,\"at\":\"2023-11-14T22:13:20.000Z\"} state\n");
    assert_string_equal(send(b, "m/l1", "{\"v\":3}", T0), "0 ignored condition_false key=m/l1\n");
    assert_string_equal(send(b, "m/l1", "{\"v\":9}", T0), "0 suppressed tripped key=m/l1\n");
    assert_string_equal(send(b, "m/l1", "{\"v\":1}", T0), "0 ignored rearmed key=m/l1 state\n");
    assert_string_equal(send(b, "m/l1", "{\"w\":1}", T0), "0 ignored no_value\n");
    tear_down(b);
}

static void test_route_value_may_be_null_for_jq(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: t, trigger: {value: '${.v?}', when: '$value == null'}, "
                             "to: mw.task.schedule, body: {v: '${value}'}}\n");
    assert_string_equal(send(b, "t", "{\"v\":1}", T0), "0 ignored condition_false key=t\n");
    assert_string_equal(send(b, "t", "{\"w\":1}", T0), "0 accepted fired key=t lane=t {\"v\":null} state\n");
    tear_down(b);
}

static void test_route_condition_that_fails_is_ignored(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: t, trigger: {when: '.a.b > 1'}, to: mw.task.schedule}\n");
    assert_string_equal(send(b, "t", "{\"a\":3}", T0), "0 ignored condition_error key=t\n");
    assert_string_equal(send(b, "t", "{\"a\":{\"b\":3}}", T0),
                        "0 accepted fired key=t lane=t {\"a\":{\"b\":3}} state\n");
    tear_down(b);
}

static void test_route_outside_has_an_inner_band(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: a, from: t, trigger: {outside: [2, 8], clear: [3, 7]}, to: mw.task.schedule, body: {}}\n");
    assert_string_equal(send(b, "t", "1", T0), "0 accepted fired key=t lane=t {} state\n");
    assert_string_equal(send(b, "t", "2.5", T0), "0 ignored in_band key=t\n");
    assert_string_equal(send(b, "t", "9", T0), "0 suppressed tripped key=t\n");
    assert_string_equal(send(b, "t", "3", T0), "0 ignored rearmed key=t state\n");
    tear_down(b);
}

static void test_route_rollback_forgets_and_commit_keeps(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: 't/+', trigger: {above: 5, cooldown: 1h}, to: mw.task.schedule}\n");
    const char *fired = "0 accepted fired key=t/1 lane=t/1 6 state\n";
    assert_string_equal(send(b, "t/1", "6", T0), fired);
    send(b, "t/1", "1", T0 + 1);
    send(b, "t/1", "6", T0 + 2);
    assert_int_equal(route_set_keys(b->set), 1);
    route_set_rollback(b->set);
    assert_int_equal(route_set_keys(b->set), 0);
    assert_string_equal(send(b, "t/1", "6", T0), fired);
    route_set_commit(b->set);
    send(b, "t/1", "1", T0 + 3600000); /* nothing left to remember */
    assert_int_equal(route_set_keys(b->set), 0);
    route_set_rollback(b->set);
    assert_string_equal(send(b, "t/1", "6", T0 + 3600000), "0 suppressed tripped key=t/1\n");
    tear_down(b);
}

/* MW-P25 */
static void test_route_restores_states(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: 't/+', to: mw.task.schedule}\n"
                             "  - {name: b, from: 't/+', trigger: {above: 5}, to: mw.task.schedule}\n");
    route_set_restore(b->set, "b", SPAN("t/1"), SPAN("{\"phase\":\"tripped\",\"fired\":5}"));
    route_set_restore(b->set, "a", SPAN("t/2"), SPAN("{\"phase\":\"tripped\"}")); /* has no trigger now */
    route_set_restore(b->set, "gone", SPAN("t/1"), SPAN("{\"phase\":\"tripped\"}"));
    route_set_restore(b->set, "b", SPAN("t/3"), SPAN("rubbish"));
    assert_int_equal(route_set_keys(b->set), 1);
    assert_non_null(strstr(send(b, "t/1", "6", T0), "1 suppressed tripped"));
    assert_non_null(strstr(send(b, "t/3", "6", T0), "1 accepted fired"));
    tear_down(b);
}

static void test_route_maps_by_hand_without_the_trigger(void **state)
{
    (void)state;
    struct bench *b = set_up(HOT);
    struct message message = {
        .topic = SPAN("plant/l1/p7/temperature"), .payload = SPAN("{\"celsius\":20}"), .received_ms = T0};
    for (int i = 0; i < 2; i++) {
        buf_clear(&b->log);
        route_set_map(b->set, 0, &message, note, b);
        assert_non_null(strstr(b->log.data, "0 accepted manual key=l1/p7 lane=l1/p7 {\"equipment\""));
        assert_non_null(strstr(b->log.data, "\"at 20 on p7\""));
    }
    assert_int_equal(route_set_keys(b->set), 0);
    buf_clear(&b->log);
    message.topic = SPAN("elsewhere");
    route_set_map(b->set, 0, &message, note, b);
    assert_non_null(strstr(b->log.data, "0 invalid the topic does not fit the route's filter plant/+/+/temperature"));
    tear_down(b);
}

static const char OVERLAP[] = "  - {name: a, from: 'p/{x}/t', to: mw.task.schedule, body: {r: a}}\n"
                              "  - {name: b, from: 'p/#', to: mw.task.schedule, body: {r: b}}\n"
                              "  - {name: c, from: 'p/{y}/t', to: mw.task.schedule, body: {r: '${y}'}}\n"
                              "  - {name: d, from: '{z...}', to: mw.task.schedule, body: {r: d}}\n";

static void test_route_copies_of_mqtt_5_run_their_filters_routes(void **state)
{
    (void)state;
    struct bench *b = set_up(OVERLAP);
    const char *const *filters;
    assert_int_equal(route_set_filters(b->set, &filters), 3);
    assert_string_equal(filters[0], "p/+/t");
    assert_string_equal(filters[1], "p/#");
    assert_string_equal(filters[2], "#");
    struct message copy = {.topic = SPAN("p/1/t"), .payload = SPAN("1"), .subscription_id = 1};
    assert_string_equal(send_message(b, copy, T0), "0 accepted command lane=p/1/t {\"r\":\"a\"}\n"
                                                   "2 accepted command lane=p/1/t {\"r\":\"1\"}\n");
    copy.subscription_id = 2;
    assert_string_equal(send_message(b, copy, T0), "1 accepted command lane=p/1/t {\"r\":\"b\"}\n");
    /* identifiers of an older configuration: one that does not fit, one that is too large */
    copy = (struct message){.topic = SPAN("p/1"), .payload = SPAN("1"), .subscription_id = 1};
    const char *all = "1 accepted command lane=p/1 {\"r\":\"b\"}\n3 accepted command lane=p/1 {\"r\":\"d\"}\n";
    assert_string_equal(send_message(b, copy, T0), all);
    copy.subscription_id = 9;
    assert_string_equal(send_message(b, copy, T0), all);
    tear_down(b);
}

static void test_route_covered_filters_collapse_in_mqtt_3(void **state)
{
    (void)state;
    struct bench *b = set_up_with("instance: t\nbus: {url: 'mqtt://localhost', version: '3.1.1', share: g}\n"
                                  "store: {path: /tmp/unused.db}\ntargets: {mw: {plugin: mobility_work}}\n",
                                  OVERLAP);
    const char *const *filters;
    assert_int_equal(route_set_filters(b->set, &filters), 1);
    assert_string_equal(filters[0], "$share/g/#");
    send(b, "p/1/t", "1", T0);
    assert_non_null(strstr(b->log.data, "0 accepted"));
    assert_non_null(strstr(b->log.data, "\n3 accepted"));
    tear_down(b);
}

static void test_route_our_own_topics_are_not_routed(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: '#', to: mw.task.schedule, body: {}}\n");
    assert_string_equal(send(b, "busbar/events/mw/x", "1", T0), "");
    assert_string_equal(send(b, "busbars", "1", T0), "0 accepted command lane=busbars {}\n");
    tear_down(b);
    cleanup_text char *text = problems_of("  - {name: a, from: busbar/events/#, to: mw.task.schedule}\n");
    assert_non_null(strstr(text, "busbar's own"));
}

static void test_route_outline_has_null_for_what_a_message_fills_in(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: a, from: '{x}', to: mw.task.schedule, body: {a: '${x}', b: [1, 'n ${now}'], "
                             "c: '$${x}', d: 0.10, 'q\"': true}}\n"
                             "  - {name: b, from: '{x}', to: mw.task.schedule}\n");
    cleanup_text char *text = route_set_outline(b->set, 0);
    assert_string_equal(text, "{\"a\":null,\"b\":[1,null],\"c\":\"${x}\",\"d\":0.10,\"q\\\"\":true}");
    assert_null(route_set_outline(b->set, 1));
    tear_down(b);
}

static void test_route_names_every_problem_and_its_place(void **state)
{
    (void)state;
    cleanup_text char *text = problems_of("  - name: a\n"                       /* 2 */
                                          "    from: plant/{line}/x{y}\n"       /* 3 */
                                          "    to: mw.task.schedule\n"          /* 4 */
                                          "  - name: b\n"                       /* 5 */
                                          "    from: plant/{line}\n"            /* 6 */
                                          "    trigger:\n"                      /* 7 */
                                          "      value: ${value}\n"             /* 8 */
                                          "      when: .a >\n"                  /* 9 */
                                          "      key: ${lin}\n"                 /* 10 */
                                          "    to: mw.task.schedule\n"          /* 11 */
                                          "    body:\n"                         /* 12 */
                                          "      text: h\xc3\xa9 on ${asset}\n" /* 13 */
                                          "      \"${line}\": 1\n"              /* 14 */
                                          "  - name: c\n"                       /* 15 */
                                          "    from: plant/{line}\n"            /* 16 */
                                          "    to: mw.task.schedule\n"          /* 17 */
                                          "    key: ${key}\n"                   /* 18 */
                                          "    body_jq: '{a: foo}'\n");         /* 19 */
    static const char *const wanted[] = {
        "3:11 \"x{y}\": a {capture} must fill a whole level of the topic\n",
        "8:14 ${value} is not known yet where this is evaluated\n",
        "9:13 jq: syntax error, unexpected end of the expression\n",
        "10:12 unknown placeholder \"lin\"; did you mean ${line}?\n",
        "13:19 unknown placeholder \"asset\"; there are line, value",
        "14:7 placeholders stand in values, not in keys",
        "18:10 ${key} is not known yet where this is evaluated\n",
        "19:14 jq: foo/0 is not defined\n",
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strstr(text, wanted[i]) == NULL)
            fail_msg("%s is not among\n%s", wanted[i], text);
}

/* ---- rollback and replay ---------------------------------------------------------*/

static uint32_t random_state;
static uint32_t draw(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

struct event {
    char topic[8], payload[8];
    int64_t at_ms;
};

static void send_events(struct bench *b, const struct event *events, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        buf_puts(out, send(b, events[i].topic, events[i].payload, events[i].at_ms));
}

/* What a failed commit undoes and the broker sends again is decided as if nothing had happened. */
static void test_route_rollback_then_replay_decides_the_same(void **state)
{
    (void)state;
    static const char routes[] =
        "  - {name: a, from: '+', trigger: {above: 5, clear: 3, cooldown: 50ms}, to: mw.task.schedule, body: {}}\n"
        "  - {name: b, from: '+', trigger: {outside: [2, 8]}, to: mw.task.schedule, body: {}}\n";
    struct bench *straight = set_up(routes), *shaky = set_up(routes);
    cleanup_buf struct buf once = {0}, again = {0}, unused = {0};
    random_state = 42;
    int64_t now_ms = T0;
    for (int round = 0; round < 500; round++) {
        struct event events[16];
        size_t count = 1 + draw(16);
        for (size_t i = 0; i < count; i++) {
            snprintf(events[i].topic, sizeof(events[i].topic), "k%u", draw(40));
            snprintf(events[i].payload, sizeof(events[i].payload), "%u", draw(11));
            events[i].at_ms = now_ms += draw(9);
        }
        send_events(straight, events, count, &once);
        route_set_commit(straight->set);
        for (uint32_t failures = draw(3); failures > 0; failures--) {
            send_events(shaky, events, draw((uint32_t)count + 1), &unused);
            route_set_rollback(shaky->set);
        }
        send_events(shaky, events, count, &again);
        route_set_commit(shaky->set);
        assert_int_equal(route_set_keys(straight->set), route_set_keys(shaky->set));
    }
    assert_true(once.len > 10000);
    assert_string_equal(once.data, again.data);
    tear_down(straight);
    tear_down(shaky);
}

int main(void)
{
    log_open(false, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_fires_and_maps),
        cmocka_unit_test(test_route_trigger_runs_per_key),
        cmocka_unit_test(test_route_without_trigger_takes_each_message),
        cmocka_unit_test(test_route_ignores_retained_messages),
        cmocka_unit_test(test_route_reading_without_a_value_is_ignored),
        cmocka_unit_test(test_route_key_that_is_missing_is_ignored),
        cmocka_unit_test(test_route_mapping_error_is_a_dead_letter_of_what_fired),
        cmocka_unit_test(test_route_text_payload_needs_no_json),
        cmocka_unit_test(test_route_when_and_clear_are_jq),
        cmocka_unit_test(test_route_value_may_be_null_for_jq),
        cmocka_unit_test(test_route_condition_that_fails_is_ignored),
        cmocka_unit_test(test_route_outside_has_an_inner_band),
        cmocka_unit_test(test_route_rollback_forgets_and_commit_keeps),
        cmocka_unit_test(test_route_restores_states),
        cmocka_unit_test(test_route_maps_by_hand_without_the_trigger),
        cmocka_unit_test(test_route_copies_of_mqtt_5_run_their_filters_routes),
        cmocka_unit_test(test_route_covered_filters_collapse_in_mqtt_3),
        cmocka_unit_test(test_route_our_own_topics_are_not_routed),
        cmocka_unit_test(test_route_outline_has_null_for_what_a_message_fills_in),
        cmocka_unit_test(test_route_names_every_problem_and_its_place),
        cmocka_unit_test(test_route_rollback_then_replay_decides_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
