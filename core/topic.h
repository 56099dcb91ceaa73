/* Topic filters with named captures, and the trie that finds the routes of a topic. Pure.
 *
 * In a filter, {name} is a named +, {name...} a named # (last level only); + and # work too. Matching
 * costs the topic's depth, not the number of filters. Topics that start with $ match no filter that
 * starts with a wildcard. */
#ifndef BUSBAR_TOPIC_H
#define BUSBAR_TOPIC_H

#include "buf.h"

#define TOPIC_CAPTURES_MAX 16

struct topic_filter {
    char *mqtt;           /* the filter with + and # that the broker is given */
    size_t capture_count; /* before them: with 10,000 filters each line of memory is a wait */
    struct topic_level {
        char *name; /* of a capture, or NULL */
        int level;  /* 0.. : which level of the topic */
        bool rest;  /* {name...}: from this level to the end */
    } captures[TOPIC_CAPTURES_MAX];
};

struct topic_captures {
    const char *names[TOPIC_CAPTURES_MAX];  /* borrowed from the filter */
    struct span values[TOPIC_CAPTURES_MAX]; /* borrowed from the topic */
    size_t count;
};

/* 0, or -1 and *error (gives) naming what is wrong and what would be right. */
int topic_filter_parse(struct span text, struct topic_filter *filter, char **error);
void topic_filter_finish(struct topic_filter *filter);
bool topic_filter_matches(const char *mqtt_filter, struct span topic);
bool topic_filter_covers(const char *wide, const char *narrow); /* every topic of narrow is one of wide */
void topic_filter_capture(const struct topic_filter *filter, struct span topic, struct topic_captures *out);
bool topic_is_valid(struct span topic); /* to publish on: no wildcard, no NUL, UTF-8, 1..65535 bytes */

struct topic_trie;
struct topic_trie *topic_trie_create(void);
void topic_trie_destroy(struct topic_trie *trie);
void topic_trie_add(struct topic_trie *trie, const char *mqtt_filter, uint32_t value); /* several values a filter */
/* Values of all matching filters, ascending, into *values (grown with mem_grow). Answers how many. */
size_t topic_trie_match(const struct topic_trie *trie, struct span topic, uint32_t **values, size_t *cap);

#endif
