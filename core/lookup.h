/* Answers of a target to lookups, kept for as long as the plugin said (bb_request.cache_ms). One cache
 * a target; what was asked longest ago gives way. Pure. */
#ifndef BUSBAR_LOOKUP_H
#define BUSBAR_LOOKUP_H

#include "buf.h"

struct lookup_cache;

struct lookup_answer { /* borrowed until the next put */
    int status;
    struct span body;
};

struct lookup_cache *lookup_create(size_t max_answers);
void lookup_destroy(struct lookup_cache *cache); /* NULL is legal */
/* keep_ms 0: takes the place of an answer that is still good, for as long as that one would have been; else nothing. */
void lookup_put(struct lookup_cache *cache, const char *path, int status, struct span body, int64_t now_ms,
                int64_t keep_ms);
bool lookup_find(const struct lookup_cache *cache, const char *path, int64_t now_ms, struct lookup_answer *answer);

#endif
