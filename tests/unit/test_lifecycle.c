/* SPDX-License-Identifier: Apache-2.0 */
/* The common words and what may follow what, held against the contract's own tables. */
#include "unit.h"

#include "lifecycle.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct pair {
    const char *from, *to;
};

static const char *const statuses[] = {"requested", "triaged", "approved", "assigned", "in_progress", "blocked",
                                       "completed", "closed",  "canceled", "reopened", "unknown"};

static const struct pair steps[] = {
    {"requested", "triaged"},     {"requested", "approved"},   {"requested", "assigned"},   {"requested", "canceled"},
    {"triaged", "approved"},      {"triaged", "assigned"},     {"triaged", "canceled"},     {"approved", "assigned"},
    {"approved", "blocked"},      {"approved", "in_progress"}, {"approved", "canceled"},    {"assigned", "in_progress"},
    {"assigned", "blocked"},      {"assigned", "completed"},   {"assigned", "canceled"},    {"in_progress", "blocked"},
    {"in_progress", "completed"}, {"in_progress", "canceled"}, {"blocked", "approved"},     {"blocked", "assigned"},
    {"blocked", "in_progress"},   {"blocked", "canceled"},     {"completed", "closed"},     {"completed", "reopened"},
    {"closed", "reopened"},       {"reopened", "assigned"},    {"reopened", "in_progress"}, {"reopened", "completed"},
    {"reopened", "canceled"},     {"canceled", "reopened"},
};

static bool in_table(const struct pair *table, size_t count, const char *from, const char *to)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].from, from) == 0 && strcmp(table[i].to, to) == 0)
            return true;
    return false;
}

static void test_lifecycle_allows_the_contract_s_steps_and_no_other(void **state) /* FV-04, FV-09c */
{
    (void)state;
    for (size_t i = 0; i < COUNT(statuses); i++)
        for (size_t j = 0; j < COUNT(statuses); j++)
            assert_int_equal(lifecycle_allows(statuses[i], statuses[j]),
                             i == j || in_table(steps, COUNT(steps), statuses[i], statuses[j]));
    assert_false(lifecycle_allows("nonsense", "nonsense"));
    assert_false(lifecycle_allows(NULL, "closed"));
}

static void test_lifecycle_has_closed_lists_of_words(void **state) /* FV-04, FV-06a..g */
{
    (void)state;
    static const struct {
        enum word_list list;
        const char *name, *words[12];
    } wanted[] = {
        {WORDS_STATUS,
         "status",
         {"requested", "triaged", "approved", "assigned", "in_progress", "blocked", "completed", "closed", "canceled",
          "reopened", "unknown"}},
        {WORDS_PRIORITY, "priority", {"critical", "high", "medium", "low"}},
        {WORDS_EVENT,
         "event",
         {"work_order.created", "work_order.updated", "work_order.completed", "work_order.closed", "attachment.added",
          "sync.failed", "mapping.exception"}},
    };
    for (size_t i = 0; i < COUNT(wanted); i++) {
        size_t count, known = 0;
        (void)lifecycle_words(wanted[i].list, &count);
        for (; wanted[i].words[known]; known++)
            assert_string_equal(lifecycle_word(wanted[i].list, wanted[i].words[known]), wanted[i].words[known]);
        assert_int_equal(count, known);
        assert_string_equal(lifecycle_list_name(wanted[i].list), wanted[i].name);
        assert_null(lifecycle_word(wanted[i].list, "Completed"));
        assert_null(lifecycle_word(wanted[i].list, ""));
        assert_null(lifecycle_word(wanted[i].list, NULL));
    }
}

static void test_lifecycle_says_what_may_follow(void **state)
{
    (void)state;
    static const struct pair said[] = {{"completed", "closed or reopened"},
                                       {"closed", "reopened"},
                                       {"triaged", "approved, assigned or canceled"},
                                       {"unknown", "nothing"},
                                       {"nonsense", "nothing"}};
    for (size_t i = 0; i < COUNT(said); i++) {
        cleanup_buf struct buf out = {0};
        lifecycle_print_next(said[i].from, &out);
        assert_string_equal(out.data, said[i].to);
    }
}

static void test_lifecycle_is_over_at_three_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(statuses); i++)
        assert_int_equal(lifecycle_is_over(statuses[i]), i >= 6 && i <= 8);
    assert_false(lifecycle_is_over(NULL));
}

/* FV-05a..f: the contract's table, and the two entries that lifecycle.c gives reasons for. "" is no record. */
static void test_lifecycle_enters_sync_states_by_the_contract_s_table_only(void **state)
{
    (void)state;
    static const char *const states[] = {"", "imported", "pending", "synchronized", "retrying", "rejected", "stale"};
    static const struct pair entries[] = {
        {"", "imported"},
        {"", "pending"},
        {"imported", "pending"},
        {"synchronized", "pending"},
        {"stale", "pending"},
        {"rejected", "pending"},
        {"pending", "synchronized"},
        {"retrying", "synchronized"},
        {"imported", "synchronized"},
        {"pending", "retrying"},
        {"pending", "rejected"},
        {"retrying", "rejected"},
        {"pending", "stale"},
        {"synchronized", "stale"},
        {"imported", "stale"},
        {"retrying", "pending"},
        {"stale", "synchronized"},
    };
    for (size_t i = 0; i < COUNT(states); i++)
        for (size_t j = 0; j < COUNT(states); j++)
            assert_int_equal(sync_state_allows(i == 0 ? NULL : states[i], states[j]),
                             in_table(entries, COUNT(entries), states[i], states[j]));
    assert_false(sync_state_allows("pending", "Synchronized"));
    assert_false(sync_state_allows("nonsense", "pending"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lifecycle_allows_the_contract_s_steps_and_no_other),
        cmocka_unit_test(test_lifecycle_has_closed_lists_of_words),
        cmocka_unit_test(test_lifecycle_says_what_may_follow),
        cmocka_unit_test(test_lifecycle_is_over_at_three_ends),
        cmocka_unit_test(test_lifecycle_enters_sync_states_by_the_contract_s_table_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
