/* SPDX-License-Identifier: Apache-2.0 */

/* Equal templates of a configuration are one. Ten thousand routes mostly say ${.celsius} and ${asset}: shared, they
 * are in the cache when a reading needs them, and cost no memory each. */

#include "route_rule.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

struct pooled {
    char *said; /* the text, and the names that its placeholders may mean */
    struct template *template;
};

struct template_pool {
    struct pooled *slots; /* a power of two, at most half full */
    size_t count, used;
};

struct template_pool *template_pool_create(void)
{
    struct template_pool *pool = mem_alloc(sizeof(*pool));
    pool->count = 64;
    pool->slots = mem_alloc(pool->count * sizeof(*pool->slots));
    return pool;
}

void template_pool_destroy(struct template_pool *pool)
{
    if (pool == NULL)
        return;
    for (size_t i = 0; i < pool->count; i++) {
        template_destroy(pool->slots[i].template);
        free(pool->slots[i].said);
    }
    free(pool->slots);
    free(pool);
}

static struct pooled *find(const struct template_pool *pool, const char *said)
{
    size_t mask = pool->count - 1;
    for (size_t i = digest_fast(span_of(said), 0) & mask;; i = (i + 1) & mask)
        if (pool->slots[i].said == NULL || strcmp(pool->slots[i].said, said) == 0)
            return &pool->slots[i];
}

static void grow(struct template_pool *pool)
{
    struct template_pool old = *pool;
    pool->count *= 2;
    pool->slots = mem_alloc(pool->count * sizeof(*pool->slots));
    for (size_t i = 0; i < old.count; i++)
        if (old.slots[i].said != NULL)
            *find(pool, old.slots[i].said) = old.slots[i];
    free(old.slots);
}

struct template *template_pool_get(struct template_pool *pool, const struct yaml_node *node,
                                   const struct template_names *names, struct problems *problems)
{
    cleanup_buf struct buf said = {0}; /* no text of a configuration holds a NUL, and no capture a line feed */
    for (size_t i = 0; names->captures[i] != NULL; i++)
        buf_printf(&said, "%s\n", names->captures[i]);
    buf_printf(&said, "%s\n%s", names->assets != NULL ? "assets" : "", node->text.data);
    struct pooled *slot = find(pool, said.data);
    if (slot->said != NULL)
        return slot->template;
    struct template *template = body_scalar(node, names, problems);
    if (template == NULL)
        return NULL; /* each place is told */
    *slot = (struct pooled){buf_steal(&said), template};
    if (++pool->used * 2 > pool->count)
        grow(pool);
    return template;
}
