/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of answers and a hash over it: the next slot's old answer is dropped when it is written. */
#include "lookup.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

struct answer {
    struct answer *chain;
    uint64_t hash;
    char *path; /* NULL: free */
    int status;
    char *body;
    size_t len;
    int64_t until_ms;
};

struct lookup_cache {
    struct answer *ring;
    size_t max, next;
    struct answer **buckets; /* max of them */
    uint64_t seed;
};

struct lookup_cache *lookup_create(size_t max_answers)
{
    struct lookup_cache *cache = mem_alloc(sizeof(*cache));
    cache->max = max_answers;
    cache->ring = mem_alloc(max_answers * sizeof(cache->ring[0]));
    cache->buckets = mem_alloc(max_answers * sizeof(struct answer *));
    cache->seed = random_u64();
    return cache;
}

static void forget(struct lookup_cache *cache, struct answer *answer)
{
    if (answer->path == NULL)
        return;
    struct answer **at = &cache->buckets[answer->hash % cache->max];
    while (*at != answer)
        at = &(*at)->chain;
    *at = answer->chain;
    free(answer->path);
    free(answer->body);
    *answer = (struct answer){0};
}

void lookup_destroy(struct lookup_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < cache->max; i++)
        forget(cache, &cache->ring[i]);
    free(cache->ring);
    free(cache->buckets);
    free(cache);
}

static struct answer *find(const struct lookup_cache *cache, const char *path)
{
    uint64_t hash = digest_fast(span_of(path), cache->seed);
    struct answer *answer = cache->buckets[hash % cache->max];
    while (answer != NULL && (answer->hash != hash || strcmp(answer->path, path) != 0))
        answer = answer->chain;
    return answer;
}

void lookup_put(struct lookup_cache *cache, const char *path, int status, struct span body, int64_t now_ms,
                int64_t keep_ms)
{
    struct answer *answer = find(cache, path);
    const int64_t until_ms = keep_ms > 0 ? now_ms + keep_ms : answer != NULL ? answer->until_ms : now_ms;
    if (now_ms >= until_ms)
        return;
    if (answer == NULL) {
        answer = &cache->ring[cache->next];
        cache->next = (cache->next + 1) % cache->max;
    }
    forget(cache, answer);
    *answer = (struct answer){.hash = digest_fast(span_of(path), cache->seed),
                              .path = mem_strdup(path),
                              .status = status,
                              .body = span_dup(body),
                              .len = body.len,
                              .until_ms = until_ms};
    answer->chain = cache->buckets[answer->hash % cache->max];
    cache->buckets[answer->hash % cache->max] = answer;
}

bool lookup_find(const struct lookup_cache *cache, const char *path, int64_t now_ms, struct lookup_answer *answer)
{
    const struct answer *known = find(cache, path);
    if (known == NULL || now_ms >= known->until_ms)
        return false;
    *answer = (struct lookup_answer){known->status, {known->body, known->len}};
    return true;
}
