/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs as plants have them: formats, several readings in one message, times, units, assets. */
#include "route_fixture.h"
#include "sparkplug_encoder.h"

static void test_route_inputs_csv_is_an_object_of_its_columns(void **state)
{
    (void)state;
    struct bench *b = set_up(
        "  - {name: r, from: 't/{a}', format: {type: csv, columns: [ts, ~, c], separator: ';', decimal: ','},"
        " trigger: {value: '${.c}', above: 5}, to: mw.task.schedule, body: {c: '${.c}', all: '${.}'}}\n"
        "  - {name: j, from: 't/{a}', format: csv, trigger: {when: '.[2] == \"6,50\"'}, to: mw.task.schedule}\n");
    assert_string_equal(send(b, "t/1", "12;x;6,50", T0),
                        "0 accepted fired key=t/1 lane=t/1 {\"c\":6.50,\"all\":{\"ts\":12,\"c\":6.50}} state\n"
                        "1 ignored condition_false key=t/1\n");
    assert_string_equal(send(b, "t/2", "12;x", T0), "0 ignored no_value\n1 ignored condition_false key=t/2\n");
    assert_string_equal(send(b, "t/3", "1,\"", T0), "0 ignored no_value\n1 ignored no_value\n");
    tear_down(b);
}

static void test_route_inputs_a_command_of_another_format_is_a_dead_letter(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: n, from: n, format: number, to: mw.task.schedule, body: {n: '${.}'}}\n"
                             "  - {name: t, from: n, format: text, to: mw.task.schedule, body: {t: '${.}'}}\n"
                             "  - {name: j, from: n, format: json, to: mw.task.schedule, body: {j: '${.}'}}\n"
                             "  - {name: d, from: n, to: mw.task.schedule, body: {v: '${value}'}}\n");
    assert_string_equal(send(b, "n", " 1.50", T0), "0 accepted command lane=n {\"n\":1.50}\n"
                                                   "1 accepted command lane=n {\"t\":\" 1.50\"}\n"
                                                   "2 accepted command lane=n {\"j\":1.50}\n"
                                                   "3 accepted command lane=n {\"v\":1.50}\n");
    assert_string_equal(send(b, "n", "hot", T0),
                        "0 invalid the payload is no number: it is no decimal number\n"
                        "1 accepted command lane=n {\"t\":\"hot\"}\n"
                        "2 invalid the payload is no JSON: it has something else where a value should be\n"
                        "3 accepted command lane=n {\"v\":\"hot\"}\n");
    tear_down(b);
}

/* What says nothing of its payloads takes JSON; the dead letter names the way for text. */
static void test_route_inputs_plain_text_is_told_of_its_format(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: n, from: n, to: mw.task.schedule}\n"
                             "  - {name: t, from: n, format: text, to: mw.task.schedule}\n");
    assert_string_equal(send(b, "n", "hot stuff", T0),
                        "0 invalid the payload is no JSON: it has something else where a value should be (where it is "
                        "text: `format: text` of the route makes it the body)\n"
                        "1 accepted command lane=n \"hot stuff\"\n");
    assert_null(strstr(send(b, "n", "{\"a\":", T0), "(where"));
    tear_down(b);
}

/* Every reading for itself, in their order, with ids of their own; the topic's captures stay. */
static void test_route_inputs_each_reading_on_its_own(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: r, from: 't/{a}', each: '${.readings}', trigger: {value: '${.c}', above: 5, "
               "key: '${a}/${.s}'}, to: mw.task.schedule, "
               "body: {s: '${.s}', a: '${a}', unit: '${root.unit}', all: '${.}', root: 'in ${root.unit}', "
               "no: '${root.none?}'}}\n");
    assert_string_equal(
        send(b, "t/1",
             "{\"unit\":\"C\",\"readings\":[{\"s\":\"x\",\"c\":6.50},{\"s\":\"x\",\"c\":7},{\"s\":\"y\"},"
             "{\"s\":\"x\",\"c\":1},{\"s\":\"x\",\"c\":8},null]}",
             T0),
        "0 accepted fired key=1/x lane=1/x {\"s\":\"x\",\"a\":\"1\",\"unit\":\"C\",\"all\":{\"s\":\"x\",\"c\":6.50},"
        "\"root\":\"in C\",\"no\":null} kept={\"s\":\"x\",\"c\":6.50} state\n"
        "0 suppressed tripped key=1/x\n"
        "0 ignored no_value\n"
        "0 ignored rearmed key=1/x state\n"
        "0 accepted fired key=1/x lane=1/x {\"s\":\"x\",\"a\":\"1\",\"unit\":\"C\",\"all\":{\"s\":\"x\",\"c\":8},"
        "\"root\":\"in C\",\"no\":null} kept={\"s\":\"x\",\"c\":8} state\n"
        "0 ignored no_value\n");
    assert_int_equal(b->id_count, 2);
    assert_string_not_equal(b->id, b->first_id);
    tear_down(b);
}

static void test_route_inputs_each_is_an_array(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: r, from: t, each: '${.}', trigger: {above: 5, key: k}, to: mw.task.schedule, "
                             "body: {v: '${value}'}}\n"
                             "  - {name: c, from: t, each: '${.}', to: mw.task.schedule, body_jq: '[., $root[0]]'}\n"
                             "  - {name: whole, from: t, to: mw.task.schedule, body: {a: '${root}', b: '${.}'}}\n");
    assert_string_equal(send(b, "t", "[6,\"x\",4]", T0),
                        "0 accepted fired key=k lane=k {\"v\":6} kept=6 state\n0 ignored no_value\n"
                        "0 ignored rearmed key=k state\n"
                        "1 accepted command lane=t [6,6] kept=6\n1 accepted command lane=t [\"x\",6] kept=\"x\"\n"
                        "1 accepted command lane=t [4,6] kept=4\n"
                        "2 accepted command lane=t {\"a\":[6,\"x\",4],\"b\":[6,\"x\",4]}\n");
    assert_string_equal(send(b, "t", "[]", T0), "0 ignored no_reading\n1 ignored no_reading\n"
                                                "2 accepted command lane=t {\"a\":[],\"b\":[]}\n");
    assert_string_equal(send(b, "t", "5", T0), "0 ignored no_value\n1 invalid what `each` names is no array but int\n"
                                               "2 accepted command lane=t {\"a\":5,\"b\":5}\n");
    assert_string_equal(
        send(b, "t", "x", T0),
        "0 ignored no_value\n1 invalid the payload is no JSON: it has something else where a value should be\n"
        "2 invalid the payload is no JSON: it has something else where a value should be\n");
    cleanup_buf struct buf many = {0};
    buf_puts(&many, "[0");
    for (int i = 0; i < 10000; i++)
        buf_puts(&many, ",0");
    buf_putc(&many, ']');
    assert_non_null(strstr(send(b, "t", many.data, T0),
                           "0 ignored no_value\n1 invalid 10001 readings in one message, at most 10000 are taken\n"));
    tear_down(b);
}

/* A dead letter of one reading is mapped again from what was kept of it. */
static void test_route_inputs_one_reading_is_mapped_again(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: c, from: t, format: csv, each: '${.}', to: mw.task.schedule, body: {v: '${.x}'}}\n"
               "  - {name: d, from: t, each: '${.}', to: mw.task.schedule, body: {v: '${root.x}'}}\n");
    struct message message = {.topic = SPAN("t"), .payload = SPAN("{\"x\":1}"), .one_reading = true, .received_ms = T0};
    route_set_map(b->set, 0, &message, note, b);
    route_set_map(b->set, 1, &message, note, b);
    message.one_reading = false;
    route_set_map(b->set, 1, &message, note, b);
    assert_string_equal(buf_span(&b->log).data,
                        "0 accepted manual lane=t {\"v\":1} kept={\"x\":1}\n"
                        "1 invalid of a message with several readings only this one is kept: ${root} is not known any "
                        "more kept={\"x\":1}\n"
                        "1 invalid a message of several readings cannot be mapped as one: give a body\n");
    tear_down(b);
}

/* ---- time */

#define TIMED                                                                                                      \
    "  - {name: r, from: 't/{a}', time: '${.ts}', late: 10s, trigger: {value: '${.c}', above: 5, cooldown: 60s}, " \
    "to: mw.task.schedule, body: {t: '${time}', r: '${received}'}}\n"
#define BODY(time) "{\"t\":\"2023-11-14T22:" time "+00:00\",\"r\":\"2023-11-14T22:13:20+00:00\"}"

static const char *send_at(struct bench *b, const char *topic, const char *ts, const char *value)
{
    cleanup_text char *payload = mem_printf("{\"ts\":%s,\"c\":%s}", ts, value);
    return send(b, topic, payload, T0);
}

/* T0 is 2023-11-14T22:13:20Z: RFC 3339 with any offset, and s, ms, us, ns since 1970 by their size. */
static void test_route_inputs_time_of_the_payload(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"2023-11-14T22:13:10Z\"", "13:10"},
        {"\"2023-11-14T23:13:10.5+01:00\"", "13:10"},
        {"1699999990", "13:10"},
        {"1699999990.5", "13:10"},
        {"\"1699999990\"", "13:10"},
        {"1699999990000", "13:10"},
        {"1699999990000000", "13:10"},
        {"1699999990000000000", "13:10"},
        {"null", "13:20"},
        {"\"2030-01-01T00:00:00Z\"", "13:20"}, /* a clock ahead of ours */
        {"1700000001", "13:20"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *b = set_up(TIMED);
        cleanup_text char *expected = mem_printf(
            "0 accepted fired key=t/1 lane=t/1 {\"t\":\"2023-11-14T22:%s+00:00\",\"r\":\"2023-11-14T22:13:20+00:00\"} "
            "state\n",
            cases[i][1]);
        assert_string_equal(send_at(b, "t/1", cases[i][0], "6"), expected);
        tear_down(b);
    }
    struct bench *b = set_up(TIMED "  - {name: c, from: 't/{a}', time: '${.ts}', to: mw.task.schedule, body: {}}\n");
    assert_string_equal(send_at(b, "t/1", "\"yesterday\"", "6"),
                        "0 ignored no_value\n1 invalid `time` is neither RFC 3339 with its offset nor a number since "
                        "1970\n");
    assert_string_equal(send_at(b, "t/1", "\"2023-11-14T22:13:10\"", "6"), /* whose zone? */
                        "0 ignored no_value\n1 invalid `time` is neither RFC 3339 with its offset nor a number since "
                        "1970\n");
    tear_down(b);
}

/* Older than the newest of its key by more than `late`. Other keys have their own newest. */
static void test_route_inputs_late_readings_are_ignored(void **state)
{
    (void)state;
    struct bench *b = set_up(TIMED);
    assert_string_equal(send_at(b, "t/1", "1699999950", "1"), "0 ignored below_threshold key=t/1\n");
    assert_string_equal(send_at(b, "t/1", "1699999940", "1"), "0 ignored below_threshold key=t/1\n");
    assert_string_equal(send_at(b, "t/1", "1699999939", "6"), "0 ignored late key=t/1\n");
    assert_string_equal(send_at(b, "t/2", "1699999939", "1"), "0 ignored below_threshold key=t/2\n");
    /* what was not committed did not happen */
    route_set_commit(b->set);
    assert_string_equal(send_at(b, "t/1", "1699999990", "1"), "0 ignored below_threshold key=t/1\n");
    assert_string_equal(send_at(b, "t/1", "1699999945", "6"), "0 ignored late key=t/1\n");
    route_set_rollback(b->set);
    assert_string_equal(send_at(b, "t/1", "1699999945", "1"), "0 ignored below_threshold key=t/1\n");
    tear_down(b);
}

/* The cooldown of 60 s runs on the time of the readings, and not backwards with one that is out of order. */
static void test_route_inputs_triggers_run_on_the_time_given(void **state)
{
    (void)state;
    struct bench *b = set_up(TIMED);
    send_at(b, "t/1", "1699999900", "6");
    send_at(b, "t/1", "1699999901", "1");
    assert_string_equal(send_at(b, "t/1", "1699999959", "6"), "0 suppressed cooldown key=t/1 state\n");
    send_at(b, "t/1", "1699999962", "1");
    assert_string_equal(send_at(b, "t/1", "1699999955", "6"), /* measured before the cooldown's end, seen after it */
                        "0 accepted fired key=t/1 lane=t/1 " BODY("12:35") " state\n");
    tear_down(b);
}

/* A sensor whose clock, or whose buffer, is an hour behind is not silent. */
static void test_route_inputs_silence_ends_when_a_message_comes(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: r, from: 't/{a}', time: '${.ts}', late: 10s, trigger: {absent: 10m}, "
                             "to: mw.task.schedule, body: {a: '${a}'}}\n");
    route_set_listen(b->set, true, T0 - 7200000);
    assert_string_equal(send_at(b, "t/1", "1699996400", "1"), "0 ignored present key=t/1 state\n");
    assert_string_equal(send_at(b, "t/1", "1699996000", "1"), "0 ignored present key=t/1 state\n");
    buf_clear(&b->log);
    route_set_tick(b->set, T0 + 599999, note, b);
    assert_int_equal(b->log.len, 0);
    route_set_tick(b->set, T0 + 600000, note, b);
    assert_string_equal(buf_span(&b->log).data, "0 accepted fired key=t/1 lane=t/1 {\"a\":\"1\"} state\n");
    tear_down(b);
}

/* json-c reads them: neither is a number that could re-arm, fire, or stand in a meter for ever. */
static void test_route_inputs_what_is_not_finite_is_no_value(void **state)
{
    (void)state;
    struct bench *b = set_up("  - {name: r, from: 't/{a}', trigger: {value: '${.c}', above: 5}, "
                             "to: mw.task.schedule, body: {a: '${a}'}}\n");
    static const char *const values[] = {"1e999", "-1e999", "NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_string_equal(send_at(b, "t/1", "0", values[i]), "0 ignored no_value\n");
    tear_down(b);
}

/* ---- units */

static void test_route_inputs_unit_is_converted_before_it_is_compared(void **state)
{
    (void)state;
    struct bench *b = set_up(
        "  - {name: r, from: t, trigger: {value: '${.f}', above: 100, clear: 90, key: r, unit: {from: '[degF]', to: "
        "Cel}},"
        " to: mw.task.schedule, body: {v: '${value}', text: '${value} C', raw: '${.f}'}}\n"
        "  - {name: w, from: t, trigger: {value: '${.f}', when: '$value > 100', key: w, unit: {from: '[degF]', to: "
        "Cel}},"
        " to: mw.task.schedule, body: {v: '${value}'}}\n"
        "  - {name: p, from: p, trigger: {above: 2, key: p, unit: {from: '[psi]', to: bar}}, to: mw.task.schedule,"
        " body: {v: '${value}'}}\n");
    assert_string_equal(send(b, "t", "{\"f\":212}", T0),
                        "0 ignored below_threshold key=r\n1 ignored condition_false key=w\n");
    assert_string_equal(send(b, "t", "{\"f\":213.8}", T0),
                        "0 accepted fired key=r lane=r {\"v\":101,\"text\":\"101 C\",\"raw\":213.8} state\n"
                        "1 accepted fired key=w lane=w {\"v\":101} state\n");
    assert_string_equal(send(b, "t", "{\"f\":195}", T0),
                        "0 ignored below_threshold key=r\n1 ignored rearmed key=w state\n");
    assert_string_equal(send(b, "t", "{\"f\":193}", T0),
                        "0 ignored rearmed key=r state\n1 ignored condition_false key=w\n");
    assert_string_equal(send(b, "p", "30", T0), "2 accepted fired key=p lane=p {\"v\":2.06842718795} state\n");
    tear_down(b);
}

static void test_route_inputs_a_unit_that_no_number_holds(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: r, from: t, trigger: {value: '${.f}', above: 100, key: r, unit: {from: km, to: mm}},"
               " to: mw.task.schedule, body: {v: '${value}'}}\n");
    assert_string_equal(send(b, "t", "{\"f\":1e306}", T0), "0 ignored out_of_range\n");
    assert_string_equal(send(b, "t", "{\"f\":-1e306}", T0), "0 ignored out_of_range\n");
    assert_string_equal(send(b, "t", "{\"f\":1e300}", T0), "0 accepted fired key=r lane=r {\"v\":1e+306} state\n");
    tear_down(b);
}

/* ---- assets */

#define ASSETS HEAD "assets: {file: /tmp/busbar-test-assets.csv}\n"

static void write_assets(const char *text)
{
    FILE *file = fopen("/tmp/busbar-test-assets.csv", "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* FV-06, FV-07: an asset that is not known is an identity error, no guess. */
static void test_route_inputs_asset_map(void **state)
{
    (void)state;
    write_assets("tag,mw,sap\nl1-p7,eq-7,007\nl1-p8,eq-8,\n");
    struct bench *b = set_up_with(
        ASSETS,
        "  - {name: r, from: '{line}/{a}', asset: '${line}-${a}', key: '${asset.mw}', to: mw.task.schedule, "
        "body: {mw: '${asset.mw}', sap: '${asset.sap}'}}\n"
        "  - {name: j, from: '{line}/{a}', asset: '${line}-${a}', to: mw.task.schedule, body_jq: '$asset'}\n"
        "  - {name: n, from: '{line}/{a}', asset: '${.tag}', to: mw.task.schedule, body: {mw: '${asset.mw?}'}}\n");
    assert_string_equal(send(b, "l1/p7", "{\"tag\":\"l1-p8\"}", T0),
                        "0 accepted command lane=eq-7 {\"mw\":\"eq-7\",\"sap\":\"007\"}\n"
                        "1 accepted command lane=l1/p7 {\"mw\":\"eq-7\",\"sap\":\"007\"}\n"
                        "2 accepted command lane=l1/p7 {\"mw\":\"eq-8\"}\n");
    assert_string_equal(send(b, "l1/p8", "{}", T0), "0 invalid asset 'l1-p8' has no sap in the asset map identity\n"
                                                    "1 accepted command lane=l1/p8 {\"mw\":\"eq-8\",\"sap\":null}\n"
                                                    "2 accepted command lane=l1/p8 {\"mw\":null}\n");
    assert_string_equal(send(b, "l1/p9", "x", T0), "0 invalid asset 'l1-p9' is not in the asset map identity\n"
                                                   "1 invalid asset 'l1-p9' is not in the asset map identity\n"
                                                   "2 accepted command lane=l1/p9 {\"mw\":null}\n");
    tear_down(b);
    b = mem_alloc(sizeof(*b));
    load(
        b, ASSETS,
        "  - {name: r, from: 't', asset: a, to: mw.task.schedule, body: '${asset.mv}'}\n"
        "  - {name: s, from: 't', to: mw.task.schedule, body: '${asset.mw}'}\n"
        "  - {name: u, from: 't', asset: a, trigger: {above: 1, key: '${asset.mw}'}, to: mw.task.schedule, body: x}\n");
    assert_null(b->set);
    assert_int_equal(b->problems.errors, 3);
    const char *said[3] = {0};
    for (size_t i = 0, n = 0; i < b->problems.count; i++)
        if (!b->problems.items[i].warning)
            said[n++] = b->problems.items[i].text;
    assert_string_equal(said[0], "the asset map has no column 'mv'; did you mean ${asset.mw}?");
    assert_non_null(strstr(said[1], "needs an asset map"));
    assert_non_null(strstr(said[2], "use the tag itself here"));
    tear_down(b);
    unlink("/tmp/busbar-test-assets.csv");
}

/* ---- Sparkplug */

static const char *send_points(struct bench *b, const char *topic, int seq, const struct point *points, size_t count)
{
    cleanup_buf struct buf payload = {0};
    for (size_t i = 0; i < count; i++)
        put_point(&payload, &points[i]);
    if (seq >= 0)
        put_whole(&payload, 3, (uint64_t)seq);
    return send_message(b, (struct message){.topic = span_of(topic), .payload = buf_span(&payload)}, T0);
}

#define FROM "from: 'spBv1.0/{group}/{type}/{node}/{device...}', format: sparkplug, "

static void test_route_inputs_sparkplug_metrics_are_readings(void **state)
{
    (void)state;
    struct bench *b =
        set_up("  - {name: hot, " FROM "metric: 'Motor/*', trigger: {value: '${.value}', above: 85, key: "
               "'${group}/${node}/${device}/${.metric}'}, to: mw.task.schedule, body: {m: '${.metric}', d: "
               "'${device}', v: '${value}', t: '${.datatype}'}}\n"
               "  - {name: dead, " FROM "trigger: {when: '.alive == false', key: '${node}'}, "
               "to: mw.task.schedule, body: {n: '${.node}', q: '${.quality}'}}\n"
               "  - {name: stale, " FROM "metric: [X, Motor/T], trigger: {value: '${.quality}', equals: stale, "
               "key: '${.metric}'}, to: mw.task.schedule, body: {m: '${.metric}'}}\n");
    const struct point birth[] = {
        {.name = "Motor/T", .alias = 1, .type = 3, .field = 10, .whole = 4294967284u},
        {.name = "Speed", .alias = 2, .type = 7, .field = 10, .whole = 1500},
    };
    assert_string_equal(send_points(b, "spBv1.0/g/NBIRTH/n", 0, birth, 2),
                        "0 ignored below_threshold key=g/n//Motor/T\n"
                        "1 ignored condition_false key=n\n1 ignored condition_false key=n\n"
                        "2 ignored not_equal key=Motor/T\n");
    assert_string_equal(send_points(b, "spBv1.0/g/DBIRTH/n/d", 1, birth, 1),
                        "0 ignored below_threshold key=g/n/d/Motor/T\n1 ignored condition_false key=n\n"
                        "2 ignored not_equal key=Motor/T\n");
    const struct point hot = {.alias = 1, .field = 10, .whole = 90};
    assert_string_equal(
        send_points(b, "spBv1.0/g/DDATA/n/d", 2, &hot, 1),
        "0 accepted fired key=g/n/d/Motor/T lane=g/n/d/Motor/T "
        "{\"m\":\"Motor/T\",\"d\":\"d\",\"v\":90,\"t\":\"Int32\"} kept={\"group\":\"g\",\"node\":\"n\","
        "\"device\":\"d\",\"type\":\"DDATA\",\"metric\":\"Motor/T\",\"datatype\":\"Int32\",\"value\":90,"
        "\"timestamp\":null,\"quality\":\"good\",\"alive\":true,\"historical\":false} state\n"
        "1 ignored condition_false key=n\n2 ignored not_equal key=Motor/T\n");
    /* another metric, history, a value that its node does not vouch for */
    const struct point speed = {.alias = 2, .field = 10, .whole = 1};
    const struct point history = {.alias = 1, .field = 10, .whole = 99, .historical = true};
    const struct point bad = {.alias = 1, .field = 10, .whole = 99, .quality = 500};
    assert_string_equal(send_points(b, "spBv1.0/g/NDATA/n", 3, &speed, 1),
                        "0 ignored no_reading\n1 ignored condition_false key=n\n2 ignored no_reading\n");
    assert_string_equal(send_points(b, "spBv1.0/g/NDATA/n", 4, &history, 1),
                        "0 ignored historical\n1 ignored historical\n2 ignored historical\n");
    assert_string_equal(
        send_points(b, "spBv1.0/g/NDATA/n", 5, &bad, 1),
        "0 ignored bad_quality\n1 ignored condition_false key=n\n"
        "2 accepted fired key=Motor/T lane=Motor/T {\"m\":\"Motor/T\"} kept={\"group\":\"g\",\"node\":\"n\","
        "\"device\":null,\"type\":\"NDATA\",\"metric\":\"Motor/T\",\"datatype\":\"Int32\",\"value\":99,"
        "\"timestamp\":null,\"quality\":\"stale\",\"alive\":true,\"historical\":false} state\n");
    /* a death is one firing of its node, whatever the metrics */
    const char *death = send_points(b, "spBv1.0/g/NDEATH/n", -1, birth, 0);
    assert_non_null(strstr(death, "0 ignored no_value\n0 ignored no_value\n1 accepted fired key=n lane=n "
                                  "{\"n\":\"n\",\"q\":\"stale\"}"));
    assert_non_null(strstr(death, "1 suppressed tripped key=n\n1 suppressed tripped key=n\n2 "));
    assert_string_equal(
        send_message(b, (struct message){.topic = SPAN("spBv1.0/g/NDATA/n"), .payload = SPAN("\xff")}, T0),
        "0 ignored no_value\n1 ignored no_value\n2 ignored no_value\n");
    tear_down(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_inputs_csv_is_an_object_of_its_columns),
        cmocka_unit_test(test_route_inputs_a_command_of_another_format_is_a_dead_letter),
        cmocka_unit_test(test_route_inputs_plain_text_is_told_of_its_format),
        cmocka_unit_test(test_route_inputs_each_reading_on_its_own),
        cmocka_unit_test(test_route_inputs_each_is_an_array),
        cmocka_unit_test(test_route_inputs_one_reading_is_mapped_again),
        cmocka_unit_test(test_route_inputs_time_of_the_payload),
        cmocka_unit_test(test_route_inputs_late_readings_are_ignored),
        cmocka_unit_test(test_route_inputs_triggers_run_on_the_time_given),
        cmocka_unit_test(test_route_inputs_silence_ends_when_a_message_comes),
        cmocka_unit_test(test_route_inputs_a_unit_that_no_number_holds),
        cmocka_unit_test(test_route_inputs_what_is_not_finite_is_no_value),
        cmocka_unit_test(test_route_inputs_unit_is_converted_before_it_is_compared),
        cmocka_unit_test(test_route_inputs_asset_map),
        cmocka_unit_test(test_route_inputs_sparkplug_metrics_are_readings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
