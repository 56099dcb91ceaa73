/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs as plants have them: formats, several readings in one message, times, units, assets. */
#include "route_fixture.h"

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
    assert_string_equal(send(b, "n", "hot", T0), "0 invalid the payload is no number: it is no decimal number\n"
                                                 "1 accepted command lane=n {\"t\":\"hot\"}\n"
                                                 "2 invalid the payload is no JSON: unexpected character\n"
                                                 "3 accepted command lane=n {\"v\":\"hot\"}\n");
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
    assert_string_equal(send(b, "t", "x", T0),
                        "0 ignored no_value\n1 invalid the payload is no JSON: unexpected character\n"
                        "2 invalid the payload is no JSON: unexpected character\n");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_inputs_csv_is_an_object_of_its_columns),
        cmocka_unit_test(test_route_inputs_a_command_of_another_format_is_a_dead_letter),
        cmocka_unit_test(test_route_inputs_each_reading_on_its_own),
        cmocka_unit_test(test_route_inputs_each_is_an_array),
        cmocka_unit_test(test_route_inputs_one_reading_is_mapped_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
