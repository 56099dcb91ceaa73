/* SPDX-License-Identifier: Apache-2.0 */
/* Triggers from the configuration to the decision: conditions, time, latch, several topics, restarts.
 * MW-P20, MW-P22, MW-P23, MW-P25 on the level of messages. */
#include "route_time_fixture.h"

#include "log.h"

#define ROUTE(trigger)                                                                                \
    "  - name: r\n    from: plant/{line}/{asset}/x\n    to: mw.task.schedule\n    trigger: {" trigger \
    ", key: '${asset}'}\n    body: {a: '${asset}', v: '${value}'}\n"

/* ---- conditions */

static void test_route_trigger_conditions_from_the_configuration(void **state)
{
    (void)state;
    static const struct {
        const char *route;
        struct {
            const char *payload, *wanted;
        } turns[5];
    } cases[] = {
        {ROUTE("equals: [FAULT, 3]"),
         {{"RUN", "ignored not_equal"},
          {" FAULT\n", "accepted fired"},
          {"3.0", "suppressed tripped"},
          {"\"RUN\"", "ignored rearmed"},
          {"\"FAULT\"", "accepted fired"}}},
        {ROUTE("value: '${.on}', equals: true"),
         {{"{\"on\":false}", "ignored not_equal"}, {"{\"on\":true}", "accepted fired"}, {"{}", "ignored no_value"}}},
        {ROUTE("changes: 0.5"),
         {{"20", "ignored first_reading"},
          {"20.4", "ignored unchanged"},
          {"20.5", "accepted fired"},
          {"hot", "ignored no_value"}}},
        {ROUTE("changes: true"),
         {{"{\"s\":1}", "ignored first_reading"}, {"{\"s\":1}", "ignored unchanged"}, {"{\"s\":2}", "accepted fired"}}},
        {ROUTE("value: '${.h}', every: 250"),
         {{"{\"h\":249}", "ignored first_reading"},
          {"{\"h\":250}", "accepted fired"},
          {"{\"h\":251}", "ignored no_multiple"}}},
        {ROUTE("rate: {above: 100, per: 1m}, clear: 50"), /* a second between two */
         {{"0", "ignored first_reading"},
          {"1", "ignored below_threshold"},
          {"3", "accepted fired"},
          {"4", "ignored below_threshold"},
          {"4", "ignored rearmed"}}},
        {ROUTE("window: {avg: 10m}, above: 10"),
         {{"8", "ignored below_threshold"}, {"13", "accepted fired"}, {"0", "ignored rearmed"}}},
        {ROUTE("window: {count: 10m}, above: 2"),
         {{"x", "ignored below_threshold"}, {"y", "ignored below_threshold"}, {"z", "accepted fired"}}},
        {ROUTE("outside: [1, 9], repeat: 2"),
         {{"10", "waiting waiting"},
          {"0", "accepted fired"},
          {"5", "ignored rearmed"},
          {"0", "waiting waiting"},
          {"5", "ignored not_held"}}},
        {ROUTE("above: 5, budget: 1/1d"),
         {{"6", "accepted fired"}, {"5", "ignored rearmed"}, {"6", "suppressed budget"}, {"5", "ignored rearmed"}}},
        {ROUTE("absent: 1h"), {{"x", "ignored present"}, {"y", "ignored present"}}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *b = set_up(cases[i].route);
        for (size_t t = 0; t < 5 && cases[i].turns[t].payload != NULL; t++) {
            send(b, "plant/l/p/x", cases[i].turns[t].payload, T0 + (int64_t)t * S);
            said(b, cases[i].turns[t].wanted);
        }
        tear_down(b);
    }
}

/* What was derived is the value that people read. */
static void test_route_trigger_value_is_what_was_compared(void **state)
{
    (void)state;
    struct bench *b = set_up(ROUTE("window: {avg: 10m}, above: 10"));
    send(b, "plant/l/p/x", "8", T0);
    assert_non_null(strstr(send(b, "plant/l/p/x", "15", T0 + S), "{\"a\":\"p\",\"v\":11.5}"));
    tear_down(b);
    b = set_up(ROUTE("rate: {below: -1, per: 1h}"));
    send(b, "plant/l/p/x", "100", T0);
    assert_non_null(strstr(send(b, "plant/l/p/x", "99", T0 + 30 * M), "\"v\":-2}"));
    tear_down(b);
}

/* ---- time */

static void test_route_trigger_for_fires_by_time_with_the_last_reading(void **state)
{
    (void)state;
    struct bench *b = set_up(ROUTE("value: '${.c}', above: 85, for: 30s"));
    listen(b);
    send(b, "plant/l/p7/x", "{\"c\":86}", T0);
    said(b, "waiting waiting");
    send(b, "plant/l/p7/x", "{\"c\":87.50}", T0 + 20 * S);
    assert_string_equal(tick(b, T0 + 30 * S - 1), "");
    assert_int_equal(route_set_due(b->set), T0 + 30 * S);
    assert_string_equal(tick(b, T0 + 30 * S), "0 accepted fired key=p7 lane=p7 {\"a\":\"p7\",\"v\":87.50} state\n");
    assert_string_equal(tick(b, T0 + H), "");
    tear_down(b);
}

/* MW-P25: a pending on-delay is not forgotten, with all that its order will say. */
static void test_route_trigger_for_survives_a_restart(void **state)
{
    (void)state;
    static const char route[] =
        "  - {name: r, from: '{a}/x', trigger: {value: '${.c}', above: 85, for: 10m}, "
        "to: mw.task.schedule, body: {a: '${a}', u: '${.unit}', v: '${value}', at: '${received}'}}\n";
    struct bench *b = set_up(route);
    struct store store = {0};
    listen(b);
    send(b, "p/x", "{\"c\":86,\"unit\":\"C\"}", T0);
    assert_int_equal(commit(b, &store), 1);
    restart(b, &store);
    assert_string_equal(tick(b, T0 + 10 * M), ""); /* nothing can be heard yet */
    route_set_listen(b->set, true, T0 + 20 * M);
    assert_string_equal(tick(b, T0 + 20 * M), ""); /* what was sent meanwhile comes first */
    assert_string_equal(tick(b, T0 + 21 * M),
                        "0 accepted fired key=p/x lane=p/x {\"a\":\"p\",\"u\":\"C\",\"v\":86,\"at\":"
                        "\"2023-11-14T22:13:20+00:00\"} state\n");
    commit(b, &store);
    restart(b, &store);
    listen(b);
    assert_string_equal(tick(b, T0 + 2 * H), "");
    assert_string_equal(send(b, "p/x", "{\"c\":86}", T0 + 2 * H), "0 suppressed tripped key=p/x\n");
    forget(&store);
    tear_down(b);
}

/* A payload that is no text, and one reading of several, are kept as they were. */
static void test_route_trigger_keeps_any_payload(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: r, from: t, trigger: {when: '. != \"ok\"', for: 1s}, to: mw.task.schedule, "
                             "body: {v: '${.?none}'}}\n"
                             "  - {name: s, from: u, each: '${.r}', trigger: {value: '${.c}', above: 1, for: 1s, "
                             "key: '${.k}'}, to: mw.task.schedule}\n");
    listen(b);
    send(b, "t", "[1, \"\\u0000\"]", T0);
    assert_non_null(strstr(tick(b, T0 + S), "[1,\"\\u0000\"]"));
    send(b, "u", "{\"r\":[{\"k\":\"a\",\"c\":2},{\"k\":\"b\",\"c\":0}]}", T0 + M);
    assert_string_equal(tick(b, T0 + M + S),
                        "1 accepted fired key=a lane=a {\"k\":\"a\",\"c\":2} kept={\"k\":\"a\",\"c\":2} state\n");
    tear_down(b);
}

static void test_route_trigger_absent_needs_ears(void **state)
{
    (void)state;
    struct bench *b = set_up(ROUTE("absent: 10m"));
    listen(b);
    send(b, "plant/l/p/x", "1", T0);
    send(b, "plant/l/q/x", "1", T0 + 5 * M);
    assert_string_equal(tick(b, T0 + 10 * M), "0 accepted fired key=p lane=p {\"a\":\"p\",\"v\":1} state\n");
    route_set_listen(b->set, false, T0 + 11 * M); /* the broker is away: nobody is silent */
    assert_string_equal(tick(b, T0 + H), "");
    route_set_listen(b->set, true, T0 + H);
    assert_string_equal(tick(b, T0 + H + 10 * M - 1), "");
    assert_string_equal(tick(b, T0 + H + 10 * M), "0 accepted fired key=q lane=q {\"a\":\"q\",\"v\":1} state\n");
    send(b, "plant/l/q/x", "1", T0 + 2 * H);
    said(b, "ignored rearmed");
    assert_string_equal(tick(b, T0 + 2 * H + 10 * M - 1), "");
    tear_down(b);
}

/* Of thousands of keys the one that is due, in the order of time. */
static void test_route_trigger_due_keys_come_in_their_order(void **state)
{
    (void)state;
    struct bench *b = set_up(ROUTE("above: 5, for: 10s"));
    char topic[64];
    listen(b);
    for (int i = 0; i < 2000; i++) {
        snprintf(topic, sizeof(topic), "plant/l/p%d/x", i);
        send(b, topic, "6", T0 + (i * 7919) % 2000);
    }
    for (int i = 0; i < 2000; i += 2) { /* half of them is fine again */
        snprintf(topic, sizeof(topic), "plant/l/p%d/x", i);
        send(b, topic, "5", T0 + 3 * S);
    }
    tick(b, T0 + M);
    int64_t last = -1;
    int count = 0;
    for (char *line = strtok(b->log.data, "\n"); line != NULL; line = strtok(NULL, "\n"), count++) {
        int number = atoi(strstr(line, "key=p") + 5);
        int64_t at = (number * 7919) % 2000;
        assert_true(number % 2 == 1 && at >= last);
        last = at;
    }
    assert_int_equal(count, 1000);
    tear_down(b);
}

/* A group that is not stored did not happen, timers and all. */
static void test_route_trigger_rollback_takes_timers_back(void **state)
{
    (void)state;
    struct bench *b = set_up(ROUTE("above: 5, for: 10s"));
    listen(b);
    send(b, "plant/l/p/x", "6", T0);
    route_set_rollback(b->set);
    assert_int_equal(route_set_due(b->set), INT64_MAX);
    assert_int_equal(route_set_keys(b->set), 0);
    send(b, "plant/l/p/x", "6", T0 + S);
    route_set_commit(b->set);
    send(b, "plant/l/p/x", "5", T0 + 2 * S);
    route_set_rollback(b->set); /* it waits still */
    assert_string_equal(tick(b, T0 + 11 * S), "0 accepted fired key=p lane=p {\"a\":\"p\",\"v\":6} state\n");
    route_set_rollback(b->set);
    assert_int_equal(route_set_due(b->set), T0 + 11 * S);
    tear_down(b);
}

/* However often a key changes within a group, it is written once. */
static void test_route_trigger_writes_a_key_once_a_group(void **state)
{
    (void)state;
    struct bench *b = set_up(ROUTE("window: {max: 10m}, above: 5"));
    struct store store = {0};
    for (int i = 0; i < 100; i++)
        send(b, i % 2 == 0 ? "plant/l/p/x" : "plant/l/q/x", "1", T0 + i);
    assert_int_equal(commit(b, &store), 2);
    assert_int_equal(commit(b, &store), 0);
    forget(&store);
    tear_down(b);
}

/* ---- the latch */

struct orders {
    char open[UUID_TEXT_MAX]; /* "": none */
    int asked;
};

static bool is_open(void *context, const char *id)
{
    struct orders *orders = context;
    orders->asked++;
    return strcmp(orders->open, id) == 0;
}

/* MW-P23 */
static void test_route_trigger_until_closed_asks_for_its_own_order(void **state)
{
    (void)state;
    struct bench *b = set_up(ROUTE("above: 5, until: closed"));
    struct store store = {0};
    struct orders orders = {0};
    route_set_ask_orders(b->set, is_open, &orders);
    send(b, "plant/l/p/x", "6", T0);
    said(b, "accepted fired");
    snprintf(orders.open, sizeof(orders.open), "%s", b->id);
    send(b, "plant/l/p/x", "5", T0 + 1);
    commit(b, &store);
    restart(b, &store);
    route_set_ask_orders(b->set, is_open, &orders);
    assert_int_equal(orders.asked, 0); /* only when it would fire again */
    send(b, "plant/l/p/x", "6", T0 + 2);
    said(b, "suppressed open_order");
    assert_int_equal(orders.asked, 1);
    send(b, "plant/l/p/x", "5", T0 + 3);
    orders.open[0] = '\0';
    send(b, "plant/l/p/x", "6", T0 + 4);
    said(b, "accepted fired");
    forget(&store);
    tear_down(b);
}

/* ---- several topics of one key */

#define ALL                                                                                             \
    "  - name: r\n    from: plant/{line}/{asset}/temperature\n    to: mw.task.schedule\n    trigger:\n" \
    "      key: ${line}-${asset}\n      all:\n"                                                         \
    "        - {value: '${.celsius}', above: 85, clear: 80}\n"                                          \
    "        - {from: 'vib/{asset}/{line}', above: 7}\n    body: {a: '${asset}', l: '${line}', v: '${value}'}\n"

static void test_route_trigger_all_across_topics_of_one_key(void **state)
{
    (void)state;
    struct bench *b = set_up(ALL);
    const char *const *filters;
    assert_int_equal(route_set_filters(b->set, &filters), 2);
    assert_string_equal(filters[1], "vib/+/+");
    send(b, "plant/l1/p7/temperature", "{\"celsius\":90}", T0);
    said(b, "ignored not_all key=l1-p7");
    send(b, "vib/p8/l1", "9", T0); /* another machine */
    said(b, "ignored not_all key=l1-p8");
    assert_string_equal(send(b, "vib/p7/l1", "8", T0 + 1),
                        "0 accepted fired key=l1-p7 lane=l1-p7 {\"a\":\"p7\",\"l\":\"l1\",\"v\":8} state\n");
    send(b, "plant/l1/p7/temperature", "{\"celsius\":82}", T0 + 2); /* in its band */
    said(b, "ignored not_all");
    send(b, "plant/l1/p7/temperature", "{\"celsius\":90}", T0 + 3);
    said(b, "suppressed tripped");
    send(b, "vib/p7/l1", "6", T0 + 4);
    said(b, "ignored rearmed");
    send(b, "vib/p7/l1", "calm", T0 + 5);
    said(b, "ignored no_value");
    tear_down(b);
}

static void test_route_trigger_members_survive_a_restart(void **state)
{
    (void)state;
    struct bench *b = set_up(ALL);
    struct store store = {0};
    send(b, "plant/l1/p7/temperature", "{\"celsius\":90}", T0);
    commit(b, &store);
    restart(b, &store);
    send(b, "vib/p7/l1", "8", T0 + 1);
    said(b, "accepted fired");
    forget(&store);
    tear_down(b);
}

/* Two members of one topic are asked by one message, which is counted once. */
static void test_route_trigger_members_of_one_topic(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: r, from: 't/{a}', to: mw.task.schedule, body: {}, trigger: {all: ["
                             "{value: '${.c}', above: 85}, {value: '${.v}', above: 7}, {when: '.on'}]}}\n");
    assert_string_equal(send(b, "t/1", "{\"c\":90,\"v\":5,\"on\":true}", T0), "0 ignored not_all key=t/1 state\n");
    assert_string_equal(send(b, "t/1", "{\"c\":90,\"v\":8,\"on\":true}", T0),
                        "0 accepted fired key=t/1 lane=t/1 {} state\n");
    assert_string_equal(send(b, "t/1", "{\"v\":8}", T0), "0 ignored rearmed key=t/1 state\n"); /* .on is null: false */
    tear_down(b);
}

/* Overlapping filters of members: a copy each in MQTT 5, one message in 3.1.1; each member hears it once. */
static void test_route_trigger_members_with_overlapping_filters(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: r, from: 'a/{x}', to: mw.task.schedule, body: {}, trigger: {key: '${x}', any: ["
               "{above: 85}, {from: '{x}/b', below: 7}]}}\n");
    struct message message = {.topic = SPAN("a/b"), .payload = SPAN("90")};
    const uint32_t *routes;
    assert_int_equal(route_set_match(b->set, &message, &routes), 1);
    assert_non_null(strstr(send_message(b, message, T0), "0 accepted fired"));
    message.subscription_id = 2;
    message.payload = SPAN("50");
    assert_non_null(strstr(send_message(b, message, T0), "tripped")); /* the other member was not asked */
    tear_down(b);
}

/* ---- what is wrong */

static void wrong(const char *trigger, const char *said_by)
{
    cleanup_text char *routes = mem_printf(
        "  - name: r\n    from: t/{a}\n    to: mw.task.schedule\n    body: {}\n    trigger:\n      %s\n", trigger);
    cleanup_text char *got = problems_of(routes);
    if (strcmp(got, said_by) != 0)
        fail_msg("%s\nsays %s\nnot  %s", trigger, got, said_by);
}

static void test_route_trigger_problems_name_the_place(void **state)
{
    (void)state;
    wrong("equals: []", "7:15 this needs a value, or a list of values, such as [FAULT, ALARM]\n");
    wrong("equals: [[1]]", "7:16 this needs a single value\n");
    wrong("changes: 0", "7:16 this needs true, or a dead-band above 0\n");
    wrong("changes: false", "7:16 this needs true, or a dead-band above 0\n");
    wrong("every: -5", "7:14 this needs a number above 0\n");
    wrong("rate: {above: 5}", "7:13 this needs one of above, below, outside, and per, such as {above: 5, per: 1m}\n");
    wrong("rate: {abov: 5, per: 1m}",
          "7:14 unknown key 'abov', did you mean 'above'?\n"
          "7:13 this needs one of above, below, outside, and per, such as {above: 5, per: 1m}\n");
    wrong("rate: {above: 5, per: 1}", "7:29 this needs a duration of a second or more, such as 10m\n");
    wrong("{above: 5, window: {avg: 10m, max: 10m}}",
          "7:26 this needs one of avg, min, max, count, such as {avg: 10m}, beside above, below or outside\n");
    wrong("{equals: 5, window: {avg: 10m}}",
          "7:27 this needs one of avg, min, max, count, such as {avg: 10m}, beside above, below or outside\n");
    wrong("{above: 5, budget: 5000/1d}", "7:26 this needs a budget such as 24/1d, of at most 1000\n");
    wrong("{equals: 5, clear: 4}", "7:26 this needs above, below, outside or when\n");
    wrong("{changes: 5, clear: 4}", "7:27 this needs above, below, outside, rate or when\n");
    wrong("{every: 5, for: 10s}",
          "7:7 'for', 'clear_for' and 'repeat' belong to conditions that hold for a while, not to "
          "'changes', 'every' or 'absent'\n");
    wrong("{above: 5, max_age: 10s}", "7:7 'max_age' belongs to 'all' and 'any'\n");
    wrong("{above: 5, until_max_age: 1d}", "7:7 'until_max_age' belongs to 'until: closed'\n");
    wrong("all: [{above: 5}]", "7:12 this needs a list of 2 to 16 conditions\n");
    wrong("all: [{above: 5}, {below: 6, above: 7}]",
          "7:25 this needs one condition: above, below, outside, equals or when\n");
    wrong("any: [{above: 5}, {from: 'x/{b}', above: 7}]",
          "7:32 this must name the same captures as the route's 'from'\n");
    wrong("any: [{above: 5}, {from: 'x/{a}/#/y', above: 7}]",
          "7:32 # takes all that is left, so it must be the last level\n");
}

int main(void)
{
    log_open(false, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_trigger_conditions_from_the_configuration),
        cmocka_unit_test(test_route_trigger_value_is_what_was_compared),
        cmocka_unit_test(test_route_trigger_for_fires_by_time_with_the_last_reading),
        cmocka_unit_test(test_route_trigger_for_survives_a_restart),
        cmocka_unit_test(test_route_trigger_keeps_any_payload),
        cmocka_unit_test(test_route_trigger_absent_needs_ears),
        cmocka_unit_test(test_route_trigger_due_keys_come_in_their_order),
        cmocka_unit_test(test_route_trigger_rollback_takes_timers_back),
        cmocka_unit_test(test_route_trigger_writes_a_key_once_a_group),
        cmocka_unit_test(test_route_trigger_until_closed_asks_for_its_own_order),
        cmocka_unit_test(test_route_trigger_all_across_topics_of_one_key),
        cmocka_unit_test(test_route_trigger_members_survive_a_restart),
        cmocka_unit_test(test_route_trigger_members_of_one_topic),
        cmocka_unit_test(test_route_trigger_members_with_overlapping_filters),
        cmocka_unit_test(test_route_trigger_problems_name_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
