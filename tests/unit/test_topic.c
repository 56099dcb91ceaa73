/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "topic.h"

#include <stdlib.h>
#include <string.h>

static void assert_refused(const char *text, const char *why)
{
    struct topic_filter filter;
    char *error = NULL;
    assert_int_equal(topic_filter_parse(span_of(text), &filter, &error), -1);
    if (strstr(error, why) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, error, why);
    free(error);
}

static struct topic_filter parse(const char *text)
{
    struct topic_filter filter;
    char *error = NULL;
    if (topic_filter_parse(span_of(text), &filter, &error) != 0)
        fail_msg("%s: %s", text, error);
    return filter;
}

static void test_topic_matches_by_the_rules_of_mqtt(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"a/b", "a/b", true},     {"a/b", "a/b/c", false},  {"a/b/c", "a/b", false},    {"a/+", "a/b", true},
        {"a/+", "a/", true},      {"a/+", "a", false},      {"a/+", "a/b/c", false},    {"+", "a", true},
        {"+", "/a", false},       {"+/+", "/a", true},      {"/+", "/a", true},         {"a//b", "a//b", true},
        {"a/+/b", "a//b", true},  {"a//b", "a/b", false},   {"a/#", "a", true},         {"a/#", "a/", true},
        {"a/#", "a/b/c/d", true}, {"a/#", "ab", false},     {"#", "a/b", true},         {"#", "/", true},
        {"+/#", "a", true},       {"a/+/#", "a", false},    {"a/+/#", "a/b", true},     {"#", "$SYS/x", false},
        {"+/x", "$SYS/x", false}, {"+/#", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/+", "$SYS/x", true},
        {"a/+", "a/$b", true},    {"A", "a", false},        {"a/b", "a/b/", false},     {"a/b/", "a/b", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (topic_filter_matches(cases[i].filter, span_of(cases[i].topic)) != cases[i].matches)
            fail_msg("%s with %s", cases[i].filter, cases[i].topic);
        struct topic_trie *trie = topic_trie_create(); /* the trie says the same */
        uint32_t *values = NULL;
        size_t cap = 0;
        topic_trie_add(trie, cases[i].filter, 7);
        if (topic_trie_match(trie, span_of(cases[i].topic), &values, &cap) != (cases[i].matches ? 1 : 0))
            fail_msg("trie: %s with %s", cases[i].filter, cases[i].topic);
        free(values);
        topic_trie_destroy(trie);
    }
}

static void test_topic_filter_becomes_wildcards(void **state)
{
    (void)state;
    struct topic_filter filter = parse("plant/{line}/+/{rest...}");
    assert_string_equal(filter.mqtt, "plant/+/+/#");
    assert_int_equal(filter.capture_count, 2);
    topic_filter_finish(&filter);
}

static void test_topic_captures_levels_and_rest(void **state)
{
    (void)state;
    struct topic_filter filter = parse("plant/{line}/+/{rest...}");
    struct topic_captures captures;
    topic_filter_capture(&filter, SPAN("plant/l1/x/a/b/c"), &captures);
    assert_int_equal(captures.count, 2);
    assert_string_equal(captures.names[0], "line");
    assert_true(span_is(captures.values[0], "l1"));
    assert_true(span_is(captures.values[1], "a/b/c"));
    topic_filter_capture(&filter, SPAN("plant//x"), &captures); /* # takes in its parent: nothing is left */
    assert_true(span_is(captures.values[0], ""));
    assert_true(span_is(captures.values[1], ""));
    topic_filter_finish(&filter);
    filter = parse("{all...}");
    topic_filter_capture(&filter, SPAN("/a/"), &captures);
    assert_true(span_is(captures.values[0], "/a/"));
    topic_filter_finish(&filter);
}

static void test_topic_refuses_what_mqtt_refuses(void **state)
{
    (void)state;
    assert_refused("", "1 to 65535");
    assert_refused("a/b#", "whole level");
    assert_refused("a/#/b", "last level");
    assert_refused("a+/b", "whole level");
    assert_refused("a/\xff", "UTF-8");
    assert_refused("$share/g/a", "share:");
    struct topic_filter filter;
    char *error = NULL;
    assert_int_equal(topic_filter_parse((struct span){"a\0b", 3}, &filter, &error), -1);
    free(error);
}

static void test_topic_refuses_wrong_captures(void **state)
{
    (void)state;
    assert_refused("a/x{b}", "whole level");
    assert_refused("a/{b}x", "whole level");
    assert_refused("a/{b", "whole level");
    assert_refused("a/{}", "name of a capture");
    assert_refused("a/{1b}", "name of a capture");
    assert_refused("a/{b...}/c", "last level");
    assert_refused("{a}/{a}", "taken twice");
    assert_refused("{now}/a", "meaning of its own");
    assert_refused("{value}/a", "meaning of its own");
    assert_refused("{user}/a", "meaning of its own");
    assert_refused("{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}", "more than 16");
}

static void test_topic_covers_other_filters(void **state)
{
    (void)state;
    static const struct {
        const char *wide, *narrow;
        bool covers;
    } cases[] = {
        {"a/#", "a/b", true},   {"a/#", "a/+/c", true},  {"a/#", "a", true},        {"a/#", "a/#", true},
        {"a/+", "a/b", true},   {"a/+", "a/+", true},    {"a/+", "a/#", false},     {"a/b", "a/+", false},
        {"#", "a/#", true},     {"#", "+/+", true},      {"#", "$SYS/a", false},    {"+/#", "#", true},
        {"+/a", "$b/a", false}, {"a/+/#", "a/#", false}, {"a/+/c", "a/b/+", false}, {"+", "#", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (topic_filter_covers(cases[i].wide, cases[i].narrow) != cases[i].covers)
            fail_msg("%s over %s", cases[i].wide, cases[i].narrow);
}

static void test_topic_trie_gives_values_ascending_and_once(void **state)
{
    (void)state;
    struct topic_trie *trie = topic_trie_create();
    topic_trie_add(trie, "a/#", 5);
    topic_trie_add(trie, "a/+", 3);
    topic_trie_add(trie, "a/b", 9);
    topic_trie_add(trie, "a/b", 1);
    topic_trie_add(trie, "#", 3);
    uint32_t *values = NULL;
    size_t cap = 0;
    assert_int_equal(topic_trie_match(trie, SPAN("a/b"), &values, &cap), 4);
    const uint32_t wanted[] = {1, 3, 5, 9};
    assert_memory_equal(values, wanted, sizeof(wanted));
    assert_int_equal(topic_trie_match(trie, SPAN("b"), &values, &cap), 1);
    assert_int_equal(topic_trie_match(trie, SPAN(""), &values, &cap), 0);
    free(values);
    topic_trie_destroy(trie);
}

static uint32_t random_state = 1;
static uint32_t draw(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static void random_levels(char *text, const char *const *levels, uint32_t count, bool filter)
{
    text[0] = '\0';
    uint32_t depth = 1 + draw(4);
    for (uint32_t i = 0; i < depth; i++) {
        if (i > 0)
            strcat(text, "/");
        if (filter && i + 1 == depth && draw(4) == 0)
            strcat(text, "#");
        else
            strcat(text, levels[draw(count)]);
    }
}

static void test_topic_trie_agrees_with_each_filter(void **state)
{
    (void)state;
    static const char *const levels[] = {"a", "b", "", "$x", "+"};
    enum { FILTERS = 200 };
    static char filters[FILTERS][32];
    struct topic_trie *trie = topic_trie_create();
    for (uint32_t i = 0; i < FILTERS; i++) {
        random_levels(filters[i], levels, 5, true);
        topic_trie_add(trie, filters[i], i);
    }
    uint32_t *values = NULL;
    size_t cap = 0;
    for (int round = 0; round < 1000; round++) {
        char topic[32];
        random_levels(topic, levels, 4, false);
        if (topic[0] == '\0')
            continue;
        size_t count = topic_trie_match(trie, span_of(topic), &values, &cap), at = 0;
        for (uint32_t i = 0; i < FILTERS; i++)
            if (topic_filter_matches(filters[i], span_of(topic)) != (at < count && values[at] == i))
                fail_msg("%s with %s", filters[i], topic);
            else if (at < count && values[at] == i)
                at++;
    }
    free(values);
    topic_trie_destroy(trie);
}

static void test_topic_is_valid_to_publish_on(void **state)
{
    (void)state;
    assert_true(topic_is_valid(SPAN("a/b")));
    assert_true(topic_is_valid(SPAN("/")));
    assert_false(topic_is_valid(SPAN("")));
    assert_false(topic_is_valid(SPAN("a/+")));
    assert_false(topic_is_valid(SPAN("a/b#")));
    assert_false(topic_is_valid(SPAN("a\0b")));
    assert_false(topic_is_valid(SPAN("\xc0\x80")));
    char *longest = mem_alloc(65536);
    memset(longest, 'a', 65536);
    assert_true(topic_is_valid((struct span){longest, 65535}));
    assert_false(topic_is_valid((struct span){longest, 65536}));
    free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_matches_by_the_rules_of_mqtt),
        cmocka_unit_test(test_topic_filter_becomes_wildcards),
        cmocka_unit_test(test_topic_captures_levels_and_rest),
        cmocka_unit_test(test_topic_refuses_what_mqtt_refuses),
        cmocka_unit_test(test_topic_refuses_wrong_captures),
        cmocka_unit_test(test_topic_covers_other_filters),
        cmocka_unit_test(test_topic_trie_gives_values_ascending_and_once),
        cmocka_unit_test(test_topic_trie_agrees_with_each_filter),
        cmocka_unit_test(test_topic_is_valid_to_publish_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
