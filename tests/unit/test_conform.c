/* SPDX-License-Identifier: Apache-2.0 */
/* `busbar plugins check`: what a plugin does to itself in the child must come back as a sentence. */
#include "unit.h"

#include "conform.h"

#include <stdlib.h>
#include <string.h>

static struct conform_result result;

static void check(const char *name)
{
    char *path cleanup_text = mem_printf("%s/tests/plugins/%s.so", getenv("TEST_BUILD_DIR"), name);
    conform_run(path, NULL, 0, &result);
}

static int teardown(void **state)
{
    (void)state;
    conform_result_finish(&result);
    return 0;
}

static void complains(const char *what)
{
    if (!result.complaints.data || !strstr(result.complaints.data, what))
        fail_msg("\"%s\" does not say \"%s\"", result.complaints.data, what);
}

static void conforms(void)
{
    if (result.complaints.len)
        fail_msg("%s", result.complaints.data);
    assert_true(result.calls > 1000);
}

static void test_conform_passes_the_good(void **state)
{
    (void)state;
    check("good");
    conforms();
}

static void test_conform_passes_an_older_one(void **state)
{
    (void)state;
    check("old_plugin");
    conforms();
}

static void test_conform_survives_a_crash(void **state)
{
    (void)state;
    check("crash");
    complains("in thing.create with 1 message {}"); /* "it crashed (...)", or under ASan "it ended the process" */
}

static void test_conform_names_the_slow(void **state)
{
    (void)state;
    check("slow");
    complains("of CPU time; the core warns past 10 ms");
}

static void test_conform_names_broken_rules_once(void **state)
{
    (void)state;
    check("sloppy");
    complains("thing.create with 1 message {}: settle: there is no message 7");
    const char *first = strstr(result.complaints.data, "settle");
    assert_null(strstr(first + 1, "settle"));
}

static void test_conform_refuses_what_does_not_load(void **state)
{
    (void)state;
    check("newer_abi");
    complains("needs ABI 2");
}

static void test_conform_takes_options(void **state)
{
    (void)state;
    char *path cleanup_text = mem_printf("%s/tests/plugins/good.so", getenv("TEST_BUILD_DIR"));
    const struct conform_option options[] = {{"site", "nowhere"}};
    conform_run(path, options, 1, &result);
    complains("there is no site nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_conform_passes_the_good, teardown),
        cmocka_unit_test_teardown(test_conform_passes_an_older_one, teardown),
        cmocka_unit_test_teardown(test_conform_survives_a_crash, teardown),
        cmocka_unit_test_teardown(test_conform_names_the_slow, teardown),
        cmocka_unit_test_teardown(test_conform_names_broken_rules_once, teardown),
        cmocka_unit_test_teardown(test_conform_refuses_what_does_not_load, teardown),
        cmocka_unit_test_teardown(test_conform_takes_options, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
