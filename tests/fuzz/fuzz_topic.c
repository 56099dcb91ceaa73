/* SPDX-License-Identifier: Apache-2.0 */
/* Three filters and a topic: the trie finds what the plain comparison finds, and a filter covers no less than it says.
 */
#include "fuzz.h"

#include "topic.h"

#define FILTERS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = {(const char *)data, size};
    struct topic_filter filters[FILTERS] = {0};
    bool good[FILTERS] = {0};
    struct topic_trie *trie = topic_trie_create();
    for (uint32_t i = 0; i < FILTERS; i++) {
        cleanup_text char *error = NULL;
        good[i] = topic_filter_parse(fuzz_part(&rest), &filters[i], &error) == 0;
        HOLDS(good[i] || error != NULL);
        if (good[i])
            topic_trie_add(trie, filters[i].mqtt, i);
    }
    struct span topic = rest;
    if (topic_is_valid(topic)) {
        uint32_t *found = NULL;
        size_t cap = 0, count = topic_trie_match(trie, topic, &found, &cap), expected = 0;
        for (uint32_t i = 0; i < FILTERS; i++) {
            bool matches = good[i] && topic_filter_matches(filters[i].mqtt, topic), in_trie = false;
            for (size_t j = 0; j < count; j++)
                in_trie = in_trie || found[j] == i;
            HOLDS(matches == in_trie);
            expected += matches;
            if (matches) {
                struct topic_captures captures = {0};
                topic_filter_capture(&filters[i], topic, &captures);
                HOLDS(captures.count == filters[i].capture_count);
            }
            for (uint32_t j = 0; j < FILTERS && matches; j++)
                HOLDS(!good[j] || !topic_filter_covers(filters[j].mqtt, filters[i].mqtt) ||
                      topic_filter_matches(filters[j].mqtt, topic));
        }
        HOLDS(count == expected);
        free(found);
    }
    topic_trie_destroy(trie);
    for (size_t i = 0; i < FILTERS; i++)
        topic_filter_finish(&filters[i]);
    return 0;
}
