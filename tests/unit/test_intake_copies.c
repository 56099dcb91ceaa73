/* SPDX-License-Identifier: Apache-2.0 */
/* Of the copies that a stale subscription and our own bring of one message, one is judged. */
#include "unit.h"

#include "intake_copies.h"

enum { OWN = 0, STALE = 77, OTHER = 78 };

static bool first(struct copies *copies, uint64_t content, uint32_t id)
{
    bool is = copies_is_first(copies, content, 1, id);
    copies_commit(copies);
    return is;
}

static void test_intake_copies_one_of_each_message_in_any_order(void **state)
{
    (void)state;
    struct copies *copies = copies_create();
    assert_true(first(copies, 1, OWN));
    assert_false(first(copies, 1, STALE)); /* the first stale copy ever, behind ours */
    assert_true(first(copies, 2, STALE));
    assert_true(first(copies, 3, STALE));
    assert_false(first(copies, 2, OWN));
    assert_false(first(copies, 3, OWN));
    assert_false(first(copies, 3, OTHER));             /* two stale ones */
    assert_true(copies_is_first(copies, 3, 2, STALE)); /* for another filter of ours */
    copies_destroy(copies);
}

/* Equal contents are as many messages as one identifier has copies. */
static void test_intake_copies_equal_messages_are_not_one(void **state)
{
    (void)state;
    struct copies *copies = copies_create();
    int judged = 0;
    for (int i = 0; i < 5; i++) /* waited in the session: our own subscription did not exist */
        judged += first(copies, 1, STALE);
    assert_int_equal(judged, 5);
    for (int i = 0; i < 5000; i++) {
        judged += first(copies, 1, i % 2 == 0 ? OWN : STALE);
        judged += first(copies, 1, i % 2 == 0 ? STALE : OWN);
    }
    assert_int_equal(judged, 5005);
    for (int i = 0; i < 3; i++)
        judged += first(copies, 9, OWN);
    assert_int_equal(judged, 5008);
    copies_destroy(copies);
}

static void test_intake_copies_what_was_taken_back_comes_anew(void **state)
{
    (void)state;
    struct copies *copies = copies_create();
    assert_true(first(copies, 1, STALE));
    assert_false(copies_is_first(copies, 1, 1, OWN));
    assert_true(copies_is_first(copies, 2, 1, OWN));
    copies_rollback(copies);
    assert_false(first(copies, 1, OWN)); /* its fellow was kept */
    assert_true(first(copies, 2, OWN));
    copies_destroy(copies);
}

static void test_intake_copies_another_session_begins_without_them(void **state)
{
    (void)state;
    struct copies *copies = copies_create();
    assert_true(first(copies, 1, STALE));
    copies_forget(copies);
    assert_true(first(copies, 1, OWN));
    assert_true(first(copies, 1, OWN));
    copies_destroy(copies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intake_copies_one_of_each_message_in_any_order),
        cmocka_unit_test(test_intake_copies_equal_messages_are_not_one),
        cmocka_unit_test(test_intake_copies_what_was_taken_back_comes_anew),
        cmocka_unit_test(test_intake_copies_another_session_begins_without_them),
    };
    return cmocka_run_group_tests_name("intake_copies", tests, NULL, NULL);
}
