/* SPDX-License-Identifier: Apache-2.0 */
/* `busbar plugins check`: each rule of the ABI is broken by a plugin of tests/plugins/faults, and found under its own
 * name and no other. */
#include "unit.h"

#include "conform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct conform_result result;

static void check_file(const char *path)
{
    conform_run(path, NULL, 0, &result);
}

static void check(const char *name)
{
    char *path cleanup_text = mem_printf("%s/tests/plugins/%s.so", getenv("TEST_BUILD_DIR"), name);
    check_file(path);
}

static int teardown(void **state)
{
    (void)state;
    conform_result_finish(&result);
    result = (struct conform_result){0};
    return 0;
}

/* One complaint, of this rule, that says this. */
static void complains(const char *rule, const char *what)
{
    if (result.faults.count == 0)
        fail_msg("it keeps the rules");
    for (size_t i = 0; i < result.faults.count; i++)
        if (strcmp(result.faults.items[i].rule->name, rule) != 0 || !strstr(result.faults.items[i].seen, what))
            fail_msg("\"%s: %s\" is not \"%s\" or does not say \"%s\"", result.faults.items[i].rule->name,
                     result.faults.items[i].seen, rule, what);
    assert_int_equal(result.faults.count, 1);
}

static void conforms(void)
{
    if (result.faults.count)
        fail_msg("%s: %s", result.faults.items[0].rule->name, result.faults.items[0].seen);
    assert_int_equal(result.warnings.count, 0);
    assert_true(result.calls > 1000);
    assert_false(result.unwatched);
}

/* ---- good ones ------------------------------------------------------------------------------ */

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

/* Its time is what it takes for a batch as it comes, not for megabytes of nonsense. */
static void test_conform_passes_one_that_parses_a_batch(void **state)
{
    (void)state;
    check("parser");
    conforms();
}

/* ---- a plugin for each rule ------------------------------------------------------------------- */

static const struct fault {
    const char *file, *rule, *seen;
} faults[] = {
    {"library", "library", "it needs the library libgone.so.7, which cannot be loaded here"},
    {"library-undefined", "library", "undefined symbol: judge_answer"},
    {"version", "version", "it needs GLIBC_2.99 of libc.so.6 for future, and this machine has glibc 2."},
    {"export", "export", "it exports parse_answer"},
    {"descriptor", "descriptor", "option floor lies outside config_size 8"},
    {"open", "open", "the site is closed"},
    {"crash", "crash", "thing.create with 1 message {} and the answer 200 {}: it crashed"},
#ifndef __SANITIZE_ADDRESS__ /* which has words of its own for these */
    {"crash-frees", "crash", "(): invalid pointer"},
    {"crash-selfless", "crash", "(Segmentation fault) (open returned 0 and left *self NULL)"},
#endif
    {"bounds", "bounds", "with 1 message {} and the answer 200 {}: it read past the end of what came in"},
    {"bounds-writes", "bounds",
     "thing.create with 1 message {}: it wrote past the end of what host->alloc() gave it for 8 bytes"},
    {"borrowed-writes", "borrowed", "thing.create with 1 message {}: it wrote into a message's body"},
    {"borrowed-settings", "borrowed", "it wrote into the settings"},
    {"borrowed-host", "borrowed", "it wrote into host"},
    {"borrowed", "borrowed", "and the answer 200 {}: it read what came in with an earlier call"},
    {"lifetime", "lifetime", "out->request.path points to a variable of a call that has returned"},
    /* "was freed"; under ASan, "is not there" */
    {"lifetime-freed", "lifetime", "points to memory that"},
    {"lifetime-large", "lifetime", "points to memory that"},
    {"lifetime-endless", "lifetime", "out->request.body points to 18446744073709551615 bytes"},
    {"lifetime-open", "lifetime", "open: *error points to a variable of a call that has returned"},
    {"io-prints", "io", "it wrote to stdout or stderr: sending 2 bytes"},
    {"io-signal", "io", "it made the system call rt_sigaction"},
    {"io", "io", "thing.create with 1 message {}: it made the system call openat"},
    {"io-sleeps", "io", "it made the system call clock_nanosleep"},
    {"time", "time", "ms of CPU time"},
    {"time-opens", "time", "open: it does not come back"},
    {"time-hangs", "time", "and the answer 503 {}: it does not come back"},
    {"verdict", "verdict", "the answer 302 {}: it answered 0, which is no verdict"},
    {"verdict-batch", "verdict", "with 3 messages {} and the answer 200 <html>: it answered 0, which is no verdict"},
    {"refused", "refused", "and the answer 302 {}: it says that it is done"},
    {"error", "error", "the verdict has no error class"},
    {"request", "request", "a header of the plugin's has a line break"},
    {"request-path", "request", "path does not start with /"},
    {"endless", "endless", "it sends without end"},
    {"settle", "settle", "there is no message 1 in a batch of 1"},
    {"settle-twice", "settle", "message 0 is settled a second time"},
    {"stride", "stride",
     "with 3 messages {} of 120 bytes each and the answer 200 <html>: it answers otherwise than when they are 80 bytes "
     "each"},
    {"stride-crash", "stride", "of 120 bytes each: it reads what is no message"},
    {"event", "event", "an event needs a type or a name"},
    {"note", "note", "note_put: a key has 1 to 200 bytes"},
    {"text", "text", "error.message is not UTF-8"},
    {"globals", "globals", "the_config is a variable that all instances share (8 bytes, not const)"},
    {"globals-stripped", "globals",
     "alone it answers \"POST /floors/0\", beside an instance with other settings \"POST /floors/2\""},
    {"leak", "leak", "and the answer 400 {}: 1000 jobs left"},
    {"leak-instance", "leak", "open and close: 50 instances left"},
};

static void test_conform_finds_a_fault(void **state)
{
    const struct fault *fault = *state;
    char *name cleanup_text = mem_printf("faults/%s", fault->file);
    check(name);
    complains(fault->rule, fault->seen);
}

/* What a library that is linked into it may take and never call proves nothing. */
static void test_conform_warns_of_what_it_takes(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* it takes signal() in libc's place */
#endif
    check("faults/io-signal");
    assert_int_equal(result.warnings.count, 2);
    assert_string_equal(result.warnings.items[0].rule->name, "io");
    assert_non_null(strstr(result.warnings.items[0].seen, "it calls signal(): "));
    assert_string_equal(result.warnings.items[1].rule->name, "descriptor");
    assert_non_null(strstr(result.warnings.items[1].seen, "it calls itself fault: as io-signal.so it is found by"));
}

static void test_conform_names_what_is_no_plugin(void **state)
{
    (void)state;
    char name[] = "/tmp/busbar-test-XXXXXX";
    int fd = mkstemp(name);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    check_file(name);
    unlink(name);
    complains("file", "it is no ELF file");
}

static void test_conform_has_a_fault_for_each_rule(void **state)
{
    (void)state;
    for (const struct conform_rule *rule = conform_rules(); rule->name; rule++) {
        bool found = strcmp(rule->name, "file") == 0; /* above */
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
            found = found || strcmp(faults[i].rule, rule->name) == 0;
        if (!found)
            fail_msg("nothing breaks the rule %s", rule->name);
    }
}

/* ---- the rest ------------------------------------------------------------------------------------ */

static void test_conform_names_broken_rules_once(void **state)
{
    (void)state;
    check("sloppy"); /* in each of thousands of calls */
    complains("settle", "thing.create with 1 message {}: settle: there is no message 7");
}

static void test_conform_refuses_what_does_not_load(void **state)
{
    (void)state;
    check("newer_abi");
    complains("descriptor", "needs ABI 2");
}

static void test_conform_takes_options(void **state)
{
    (void)state;
    char *path cleanup_text = mem_printf("%s/tests/plugins/good.so", getenv("TEST_BUILD_DIR"));
    const struct conform_option options[] = {{"site", "nowhere"}};
    conform_run(path, options, 1, &result);
    complains("open", "there is no site nowhere");
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test_teardown(test_conform_passes_the_good, teardown),
        cmocka_unit_test_teardown(test_conform_passes_an_older_one, teardown),
        cmocka_unit_test_teardown(test_conform_passes_one_that_parses_a_batch, teardown),
        cmocka_unit_test_teardown(test_conform_warns_of_what_it_takes, teardown),
        cmocka_unit_test_teardown(test_conform_names_what_is_no_plugin, teardown),
        cmocka_unit_test(test_conform_has_a_fault_for_each_rule),
        cmocka_unit_test_teardown(test_conform_names_broken_rules_once, teardown),
        cmocka_unit_test_teardown(test_conform_refuses_what_does_not_load, teardown),
        cmocka_unit_test_teardown(test_conform_takes_options, teardown),
    };
    struct CMUnitTest tests[COUNT(faults) + COUNT(others)];
    char names[COUNT(faults)][64];
    for (size_t i = 0; i < COUNT(faults); i++) {
        snprintf(names[i], sizeof names[i], "test_conform_finds_a_fault: %s", faults[i].file);
        tests[i] = (struct CMUnitTest){names[i], test_conform_finds_a_fault, NULL, teardown, (void *)&faults[i]};
    }
    memcpy(tests + COUNT(faults), others, sizeof others);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
