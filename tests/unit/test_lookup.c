/* SPDX-License-Identifier: Apache-2.0 */
#include "lookup.h"
#include "unit.h"

#include <stdio.h>

static void test_lookup_finds_what_is_fresh(void **state)
{
    (void)state;
    struct lookup_cache *cache = lookup_create(4);
    struct lookup_answer answer;
    lookup_put(cache, "/a", 200, SPAN("one"), 1000, 500);
    assert_true(lookup_find(cache, "/a", 1499, &answer));
    assert_true(span_is(answer.body, "one"));
    assert_int_equal(answer.status, 200);
    assert_false(lookup_find(cache, "/a", 1500, &answer));
    assert_false(lookup_find(cache, "/b", 1000, &answer));
    lookup_put(cache, "/a", 200, SPAN("two"), 2000, 500);
    assert_true(lookup_find(cache, "/a", 2100, &answer));
    assert_true(span_is(answer.body, "two"));
    lookup_destroy(cache);
}

/* Who asks anew (keep_ms 0) must not leave the old answer to the others. */
static void test_lookup_is_renewed_by_who_does_not_keep(void **state)
{
    (void)state;
    struct lookup_cache *cache = lookup_create(4);
    struct lookup_answer answer;
    lookup_put(cache, "/a", 200, SPAN("one"), 1000, 0);
    assert_false(lookup_find(cache, "/a", 1000, &answer));
    lookup_put(cache, "/a", 200, SPAN("one"), 1000, 500);
    lookup_put(cache, "/a", 200, SPAN("two"), 1400, 0);
    assert_true(lookup_find(cache, "/a", 1499, &answer));
    assert_true(span_is(answer.body, "two"));
    assert_false(lookup_find(cache, "/a", 1500, &answer));
    lookup_put(cache, "/a", 200, SPAN("three"), 1500, 0);
    assert_false(lookup_find(cache, "/a", 1500, &answer));
    lookup_destroy(cache);
}

static void test_lookup_forgets_the_oldest_first(void **state)
{
    (void)state;
    struct lookup_cache *cache = lookup_create(4);
    struct lookup_answer answer;
    for (int i = 0; i < 1000; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        lookup_put(cache, path, 200, SPAN("x"), 0, 10);
    }
    assert_false(lookup_find(cache, "/995", 5, &answer));
    for (int i = 996; i < 1000; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        assert_true(lookup_find(cache, path, 5, &answer));
    }
    lookup_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup_finds_what_is_fresh),
        cmocka_unit_test(test_lookup_is_renewed_by_who_does_not_keep),
        cmocka_unit_test(test_lookup_forgets_the_oldest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
