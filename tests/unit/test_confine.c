/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "buf.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a process gives up cannot be had back: tests/system/test_confined.py looks at one that did. */

static void test_confine_allows_only_the_folder_it_was_confined_to(void **state)
{
    (void)state;
    char folder[] = "/tmp/busbar-confine-XXXXXX";
    assert_non_null(mkdtemp(folder));
    cleanup_text char *beside = mem_printf("%s/busbar.db", folder), *again = mem_printf("%s/./x/../new.db", folder),
                      *link = mem_printf("%s-link", folder), *through = mem_printf("%s-link/busbar.db", folder);
    assert_int_equal(symlink(folder, link), 0);
    unsetenv("BUSBAR_CONFINED");
    assert_true(confine_allows("/anywhere/busbar.db"));
    setenv("BUSBAR_CONFINED", folder, 1);
    assert_true(confine_allows(beside));
    assert_true(confine_allows(through)); /* the same folder by another name */
    assert_false(confine_allows(again));  /* x is not there: another name that cannot be resolved */
    assert_false(confine_allows("/tmp/busbar.db"));
    assert_false(confine_allows("busbar.db"));
    setenv("BUSBAR_CONFINED", "", 1); /* this kernel has no Landlock: nothing was given up */
    assert_true(confine_allows("/anywhere/busbar.db"));
    unsetenv("BUSBAR_CONFINED");
    unlink(link);
    rmdir(folder);
}

static void test_confine_user_needs_one_that_is_there(void **state)
{
    (void)state;
    char *error = NULL;
    assert_int_equal(confine_user(NULL, &error), 0);
    if (geteuid() != 0) { /* whoever is not root stays who he is */
        assert_int_equal(confine_user("nobody-of-that-name", &error), 0);
        return;
    }
    assert_int_equal(confine_user("nobody-of-that-name", &error), -1);
    assert_non_null(strstr(error, "'nobody-of-that-name'"));
    free(error);
    assert_int_equal(geteuid(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confine_allows_only_the_folder_it_was_confined_to),
        cmocka_unit_test(test_confine_user_needs_one_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
