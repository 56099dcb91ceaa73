/* SPDX-License-Identifier: Apache-2.0 */
/* Storms, shelves and shared budgets, in simulated time and over restarts. MW-P22. */
#include "route_time_fixture.h"

#include "json.h"
#include "log.h"

#include <json-c/json.h>

#define STORM                                                                                                     \
    "  - name: r\n    from: plant/{asset}/x\n    to: mw.task.schedule\n    body: {a: '${asset}'}\n    trigger:\n" \
    "      above: 5\n      key: ${asset}\n      storm: {keys: 3, within: 10s, body: {n: '${.count}', all: "       \
    "'${.list}', "                                                                                                \
    "first: '${.keys[0]}', since: '${.since}'}}\n"

/* Key n fires at. Answers the reason. */
static const char *alarm_of(struct bench *b, int n, int64_t at_ms)
{
    static char reason[32];
    char topic[64];
    snprintf(topic, sizeof(topic), "plant/p%03d/x", n);
    send(b, topic, "6", at_ms);
    sscanf(buf_span(&b->log).data, "0 %*s %31s", reason);
    return reason;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        count++;
    return count;
}

static void test_route_storm_makes_one_order_that_lists_all(void **state)
{
    (void)state;
    struct bench *b = set_up(STORM);
    listen(b);
    for (int n = 0; n < 3; n++)
        assert_string_equal(alarm_of(b, n, T0 + n), "fired");
    for (int n = 3; n < 500; n++)
        assert_string_equal(alarm_of(b, n, T0 + n), "storm");
    assert_string_equal(tick(b, T0 + 3 + 10 * S - 1), "");
    const char *said_by = tick(b, T0 + 3 + 10 * S);
    assert_int_equal(count_of(said_by, "accepted storm_order"), 1);
    assert_non_null(strstr(said_by, " lane=r {\"n\":500,\"all\":\"p000,p001,"));
    assert_int_equal(count_of(said_by, ",p"), 2 * 499); /* in the body, and in the list that is kept */
    assert_non_null(strstr(said_by, "\"first\":\"p000\",\"since\":\"2023-11-14T22:13:20.003Z\"}"));
    assert_string_equal(tick(b, T0 + H), ""); /* it ebbs: nothing is left to list */
    assert_string_equal(alarm_of(b, 500, T0 + H), "fired");
    tear_down(b);
}

/* More than one order's text has room for: as many orders as it takes. */
static void test_route_storm_lists_all_in_several_orders_when_it_must(void **state)
{
    (void)state;
    struct bench *b = set_up(STORM);
    char topic[64];
    listen(b);
    for (int n = 0; n < 300; n++) {
        snprintf(topic, sizeof(topic), "plant/a-machine-of-long-name-%03d/x", n);
        send(b, topic, "6", T0);
    }
    const char *said_by = tick(b, T0 + 10 * S);
    assert_int_equal(count_of(said_by, "accepted storm_order"), 4);
    for (int n = 0; n < 300; n++) {
        snprintf(topic, sizeof(topic), "\"a-machine-of-long-name-%03d\"", n);
        assert_int_equal(count_of(said_by, topic) >= 1, 1);
    }
    assert_int_equal(count_of(said_by, "\"total\":300"), 4);
    assert_string_equal(tick(b, T0 + H), "");
    tear_down(b);
}

/* What fires after the order and before the ebb is listed by another. */
static void test_route_storm_lists_the_stragglers_when_it_ebbs(void **state)
{
    (void)state;
    struct bench *b = set_up(STORM);
    listen(b);
    for (int n = 0; n < 10; n++)
        alarm_of(b, n, T0);
    assert_non_null(strstr(tick(b, T0 + 10 * S), "{\"n\":10,"));
    for (int n = 10; n < 14; n++)
        assert_string_equal(alarm_of(b, n, T0 + 15 * S), "storm");
    assert_string_equal(tick(b, T0 + 20 * S), ""); /* four in this round: it goes on */
    assert_string_equal(alarm_of(b, 14, T0 + 25 * S), "storm");
    assert_non_null(strstr(tick(b, T0 + 30 * S), "{\"n\":5,\"all\":\"p010,p011,p012,p013,p014\""));
    assert_string_equal(alarm_of(b, 15, T0 + 31 * S), "fired");
    assert_string_equal(tick(b, T0 + H), "");
    tear_down(b);
}

/* Only keys that fire within the time count, each once. */
static void test_route_storm_needs_many_keys_at_once(void **state)
{
    (void)state;
    struct bench *b = set_up(STORM);
    listen(b);
    for (int n = 0; n < 50; n++) {
        tick(b, T0 + n * 4 * S);
        assert_string_equal(alarm_of(b, n, T0 + n * 4 * S), "fired");
    }
    tick(b, T0 + H);
    for (int i = 0; i < 20; i++) { /* one that flaps */
        assert_string_equal(alarm_of(b, 1000 + i % 3, T0 + H + i), "fired");
        char topic[64];
        snprintf(topic, sizeof(topic), "plant/p%03d/x", 1000 + i % 3);
        send(b, topic, "0", T0 + H + i);
    }
    assert_string_equal(alarm_of(b, 2000, T0 + H + 30), "storm");
    tear_down(b);
}

static void test_route_storm_survives_a_restart(void **state)
{
    (void)state;
    struct bench *b = set_up(STORM);
    struct store store = {0};
    listen(b);
    for (int n = 0; n < 8; n++) {
        alarm_of(b, n, T0);
        commit(b, &store);
        restart(b, &store);
        listen(b);
    }
    assert_non_null(strstr(tick(b, T0 + 10 * S), "{\"n\":8,\"all\":\"p000,p001,p002,p003,p004,p005,p006,p007\""));
    route_set_rollback(b->set); /* the store refused it: it is made again */
    assert_non_null(strstr(tick(b, T0 + 11 * S), "{\"n\":8,"));
    commit(b, &store);
    restart(b, &store);
    listen(b);
    assert_string_equal(tick(b, T0 + M), "");
    assert_string_equal(alarm_of(b, 9, T0 + M), "fired");
    forget(&store);
    tear_down(b);
}

/* A body that cannot be made is a dead letter with all its keys, not silence. */
static void test_route_storm_that_cannot_be_mapped_is_a_dead_letter(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: r, from: 'p/{a}', to: mw.task.schedule, body: {}, trigger: {above: 5, "
                             "storm: {keys: 1, within: 1s, body: {x: '${.nothing}'}}}}\n");
    listen(b);
    send(b, "p/1", "6", T0);
    send(b, "p/2", "6", T0);
    said(b, "suppressed storm");
    assert_non_null(strstr(tick(b, T0 + S), "0 invalid no .nothing in the payload kept={\"route\":\"r\",\"count\":2"));
    tear_down(b);
}

/* ---- shelves */

#define SHELF \
    "  - {name: r, from: 'p/{a}', to: mw.task.schedule, body: {a: '${a}'}, trigger: {above: 5, key: '${a}'}}\n"

static void test_route_shelf_suppresses_for_a_time(void **state)
{
    (void)state;
    struct bench *b = set_up(SHELF);
    struct store store = {0};
    struct span key = SPAN("1");
    listen(b);
    route_set_shelve(b->set, 0, &key, T0 + H, T0, "bearing is being changed");
    assert_int_equal(commit(b, &store), 1);
    restart(b, &store);
    listen(b);
    send(b, "p/1", "6", T0 + M);
    said(b, "suppressed shelved");
    send(b, "p/2", "6", T0 + M);
    said(b, "accepted fired"); /* another key */
    cleanup_json struct json_object *shelves = route_set_shelves(b->set);
    assert_int_equal(json_object_array_length(shelves), 1);
    struct json_object *shelf = json_object_array_get_idx(shelves, 0);
    assert_string_equal(json_get_text(shelf, "reason"), "bearing is being changed");
    assert_string_equal(json_get_text(shelf, "key"), "1");
    assert_string_equal(json_get_text(shelf, "route"), "r");
    send(b, "p/1", "5", T0 + H - 1);
    assert_string_equal(tick(b, T0 + H), ""); /* it ends by itself */
    cleanup_json struct json_object *none = route_set_shelves(b->set);
    assert_int_equal(json_object_array_length(none), 0);
    send(b, "p/1", "6", T0 + H);
    said(b, "accepted fired");
    forget(&store);
    tear_down(b);
}

static void test_route_shelf_of_a_whole_route_and_its_end(void **state)
{
    (void)state;
    struct bench *b = set_up(SHELF);
    route_set_shelve(b->set, 0, NULL, T0 + H, T0, "strike");
    send(b, "p/1", "6", T0 + M);
    said(b, "suppressed shelved");
    send(b, "p/2", "6", T0 + M);
    said(b, "suppressed shelved");
    route_set_shelve(b->set, 0, NULL, 0, T0 + 2 * M, "");
    route_set_commit(b->set);
    send(b, "p/1", "5", T0 + 3 * M);
    send(b, "p/1", "6", T0 + 3 * M);
    said(b, "accepted fired");
    route_set_shelve(b->set, 0, NULL, T0 + H, T0 + 4 * M, "again");
    send(b, "p/3", "6", T0 + H); /* over, also when nothing ticked */
    said(b, "accepted fired");
    tear_down(b);
}

/* Laid while the machine's clock ran ten years ahead. */
static void test_route_shelf_keeps_its_length_when_the_clock_is_set_back(void **state)
{
    (void)state;
    struct bench *b = set_up(SHELF);
    struct store store = {0};
    const int64_t ahead = T0 + (int64_t)3650 * 24 * H;
    struct span key = SPAN("1");
    route_set_shelve(b->set, 0, NULL, ahead + H, ahead, "wrong clock");
    route_set_shelve(b->set, 0, &key, T0 + 2 * H, T0 - H, "laid before, by the right one");
    commit(b, &store);
    restart(b, &store);
    route_set_clock_back(b->set, T0);
    assert_int_equal(commit(b, &store), 1); /* one is another now, and stored so: the next start does not begin anew */
    restart(b, &store);
    route_set_clock_back(b->set, T0 + M);
    assert_int_equal(commit(b, &store), 0);
    listen(b);
    send(b, "p/2", "6", T0 + M);
    said(b, "suppressed shelved");
    send(b, "p/2", "5", T0 + H);
    send(b, "p/2", "6", T0 + H);
    said(b, "accepted fired");
    send(b, "p/1", "6", T0 + H);
    said(b, "suppressed shelved");
    forget(&store);
    tear_down(b);
}

/* ---- two rules, one plan, one budget */

#define PLANS                                                                                                      \
    "  - {name: r, from: 'a/{p}', to: mw.maintenance_plan.trigger, body: {planId: '${p}'}, trigger: {above: 5}}\n" \
    "  - {name: s, from: 'b/{p}', to: mw.maintenance_plan.trigger, body: {planId: '${p}'}, "                       \
    "trigger: {above: 5, cooldown: 1d}}\n"

static void share(struct bench *b)
{
    for (size_t i = 0; i < 2; i++)
        route_set_share_budget(b->set, i, "mw.maintenance_plan.trigger", "/planId", 2, 24 * H);
}

static void test_route_budget_is_shared_by_the_rules_of_a_plan(void **state)
{
    (void)state;
    struct bench *b = set_up(PLANS);
    struct store store = {0};
    share(b);
    listen(b);
    send(b, "a/7", "6", T0);
    said(b, "accepted fired");
    commit(b, &store);
    route_set_destroy(b->set);
    b->set = route_set_create(b->config, &b->problems);
    share(b);
    for (size_t i = 0; i < store.count; i++)
        route_set_restore(b->set, store.rows[i].route, span_of(store.rows[i].key), span_of(store.rows[i].state));
    listen(b);
    send(b, "b/7", "6", T0 + M);
    assert_non_null(strstr(b->log.data, "1 accepted fired"));
    send(b, "a/7", "0", T0 + M);
    send(b, "a/7", "6", T0 + M);
    said(b, "suppressed destination_budget");
    send(b, "a/8", "6", T0 + M); /* another plan */
    said(b, "accepted fired");
    tick(b, T0 + 24 * H);
    send(b, "a/7", "0", T0 + 24 * H);
    send(b, "a/7", "6", T0 + 24 * H);
    said(b, "accepted fired");
    tick(b, T0 + 100 * H);
    assert_int_equal(route_set_keys(b->set), 3); /* the tripped keys; the plans' budgets are whole and forgotten */
    forget(&store);
    tear_down(b);
}

static void wrong(const char *storm, const char *said_by)
{
    cleanup_text char *routes = mem_printf(
        "  - name: r\n    from: t/{a}\n    to: mw.task.schedule\n    body: {}\n    trigger:\n      above: 5\n"
        "      storm: %s\n",
        storm);
    cleanup_text char *got = problems_of(routes);
    if (strstr(got, said_by) == NULL)
        fail_msg("%s\nsays %s\nnot  %s", storm, got, said_by);
}

static void test_route_storm_problems(void **state)
{
    (void)state;
    wrong("{keys: 0, within: 10s, body: {}}", "this needs keys, within and body, such as");
    wrong("{keys: 5, within: 10s}", "this needs keys, within and body, such as");
    wrong("{keys: 5, within: 10, body: {}}", "this needs a duration of a second or more");
    wrong("{keys: 5, within: 10s, bodi: {}}", "unknown key 'bodi', did you mean 'body'?");
    wrong("{keys: 5, within: 10s, body: {a: '${a}'}}",
          "unknown placeholder \"a\""); /* it is about many, not about one */
}

int main(void)
{
    log_open(false, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_storm_makes_one_order_that_lists_all),
        cmocka_unit_test(test_route_storm_lists_all_in_several_orders_when_it_must),
        cmocka_unit_test(test_route_storm_lists_the_stragglers_when_it_ebbs),
        cmocka_unit_test(test_route_storm_needs_many_keys_at_once),
        cmocka_unit_test(test_route_storm_survives_a_restart),
        cmocka_unit_test(test_route_storm_that_cannot_be_mapped_is_a_dead_letter),
        cmocka_unit_test(test_route_shelf_suppresses_for_a_time),
        cmocka_unit_test(test_route_shelf_of_a_whole_route_and_its_end),
        cmocka_unit_test(test_route_shelf_keeps_its_length_when_the_clock_is_set_back),
        cmocka_unit_test(test_route_budget_is_shared_by_the_rules_of_a_plan),
        cmocka_unit_test(test_route_storm_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
