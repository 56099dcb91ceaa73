/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions whose results stand in tables of physics and in standards, not in our code. */
#include "unit.h"

#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    double value;
    const char *from, *to;
    double expected;
} cases[] = {
    {212, "[degF]", "Cel", 100},
    {32, "[degF]", "Cel", 0},
    {-40, "[degF]", "Cel", -40},
    {0, "K", "Cel", -273.15},
    {100, "Cel", "[degF]", 212},
    {100, "Cel", "K", 373.15},
    {491.67, "[degR]", "Cel", 0},
    {1, "bar", "kPa", 100},
    {1, "MPa", "bar", 10},
    {1013.25, "mbar", "atm", 1},
    {14.5037737730, "[psi]", "bar", 1},
    {1, "[psi]", "kPa", 6.89475729317},
    {760, "mm[Hg]", "atm", 1.00000000000},
    {1, "m[H2O]", "mbar", 98.0665},
    {1, "[in_i]/s", "mm/s", 25.4},
    {3.6, "km/h", "m/s", 1},
    {60, "m/min", "m/s", 1},
    {196.850393701, "[ft_i]/min", "m/s", 1},
    {1, "[g]", "m/s2", 9.80665},
    {9.80665, "m/s2", "[g]", 1},
    {1000, "um", "mm", 1},
    {1, "[mil_i]", "um", 25.4},
    {2500, "mA", "A", 2.5},
    {0.4, "kV", "V", 400},
    {1, "[HP]", "W", 745.699871582},
    {1, "kW.h", "MJ", 3.6},
    {1, "kWh", "kW.h", 1},
    {3000, "rpm", "Hz", 50},
    {50, "Hz", "{rev}/min", 3000},
    {1, "%", "[ppm]", 10000},
    {60, "L/min", "m3/h", 3.6},
    {1, "[gal_us]/min", "L/min", 3.785411784},
    {35.3146667215, "[cft_i]/min", "m3/min", 1},
    {1, "t/h", "kg/min", 16.6666666667},
    {1, "[lbf_av]", "N", 4.44822161526},
    {1, "[ft_i].[lbf_av]", "N.m", 1.35581794833},
    {1.5, "h", "min", 90},
    {2, "d", "h", 48},
    {180, "deg", "rad", 3.14159265359},
    {1, "mS/cm", "uS/cm", 1000},
    {5, "bar", "bar", 5},
};

static void test_measure_known_conversions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct measure_conversion conversion;
        cleanup_text char *error = NULL;
        if (measure_find(span_of(cases[i].from), span_of(cases[i].to), &conversion, &error) != 0)
            fail_msg("%s", error);
        double got = cases[i].value;
        assert_true(measure_convert(&conversion, &got));
        double off = fabs(got - cases[i].expected), scale = fabs(cases[i].expected) + 1e-3;
        /* a mm of mercury is 133.322 Pa to UCUM, and 760 of them an atm to six digits only */
        if (off / scale > (strcmp(cases[i].from, "mm[Hg]") == 0 ? 1e-5 : 1e-11))
            fail_msg("%g %s are %.15g %s, not %.15g", cases[i].value, cases[i].from, got, cases[i].to,
                     cases[i].expected);
    }
}

/* A threshold at a round number must not be crossed by the last bit of a conversion. */
static void test_measure_round_numbers_stay_round(void **state)
{
    (void)state;
    struct measure_conversion conversion;
    char *error;
    assert_int_equal(measure_find(SPAN("[degF]"), SPAN("Cel"), &conversion, &error), 0);
    for (int celsius = -200; celsius <= 2000; celsius++) {
        double value = celsius * 9 / 5.0 + 32;
        assert_true(measure_convert(&conversion, &value) && value == (double)celsius);
    }
}

static void test_measure_refuses_what_no_number_holds(void **state)
{
    (void)state;
    struct measure_conversion conversion;
    char *error;
    double value = 1e306, small = 1e-306;
    assert_int_equal(measure_find(SPAN("km"), SPAN("mm"), &conversion, &error), 0);
    assert_false(measure_convert(&conversion, &value));
    assert_true(value == 1e306);
    value = -1e306;
    assert_false(measure_convert(&conversion, &value));
    value = 1e300;
    assert_true(measure_convert(&conversion, &value) && value == 1e306);
    assert_int_equal(measure_find(SPAN("mm"), SPAN("km"), &conversion, &error), 0);
    assert_true(measure_convert(&conversion, &small) && small >= 0 && small < 1e-300);
}

static void assert_error(const char *from, const char *to, const char *expected)
{
    struct measure_conversion conversion;
    cleanup_text char *error = NULL;
    assert_int_equal(measure_find(span_of(from), span_of(to), &conversion, &error), -1);
    assert_string_equal(error, expected);
}

static void test_measure_errors_name_the_nearest(void **state)
{
    (void)state;
    assert_error("C", "K", "unknown unit 'C', did you mean 'Cel'?");
    assert_error("°F", "Cel", "unknown unit '°F', did you mean '[degF]'?");
    assert_error("bar", "psi", "unknown unit 'psi', did you mean '[psi]'?");
    assert_error("[degf]", "Cel", "unknown unit '[degf]', did you mean '[degF]'?");
    assert_error("Kelvin", "K", "unknown unit 'Kelvin': a UCUM code such as Cel, bar, mm/s, rpm");
    assert_error("", "K", "unknown unit '': a UCUM code such as Cel, bar, mm/s, rpm");
    assert_error("bar", "Cel", "'bar' measures pressure, 'Cel' temperature");
    assert_error("g", "m/s2", "'g' measures mass, 'm/s2' acceleration");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measure_known_conversions),
        cmocka_unit_test(test_measure_refuses_what_no_number_holds),
        cmocka_unit_test(test_measure_round_numbers_stay_round),
        cmocka_unit_test(test_measure_errors_name_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
