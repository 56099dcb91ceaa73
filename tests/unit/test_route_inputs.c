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
                        "0 accepted fired key=t/1 lane=t/1 {\"c\":6.50,\"all\":{\"ts\":12,\"c\":6.50}} state=yes\n"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_inputs_csv_is_an_object_of_its_columns),
        cmocka_unit_test(test_route_inputs_a_command_of_another_format_is_a_dead_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
