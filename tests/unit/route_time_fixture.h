/* Routes in simulated time, with a store that outlives a restart. */
#ifndef BUSBAR_ROUTE_TIME_FIXTURE_H
#define BUSBAR_ROUTE_TIME_FIXTURE_H

#include "route_fixture.h"

#define S INT64_C(1000)
#define M (60 * S)
#define H (60 * M)

static inline const char *tick(struct bench *b, int64_t at_ms)
{
    buf_clear(&b->log);
    while (route_set_due(b->set) <= at_ms)
        route_set_tick(b->set, route_set_due(b->set), note, b);
    return buf_span(&b->log).data;
}

static inline void listen(struct bench *b)
{
    route_set_listen(b->set, true, T0 - M);
}

/* "outcome reason" of the one decision. */
static inline void said(struct bench *b, const char *wanted)
{
    char line[128];
    snprintf(line, sizeof(line), "0 %s", wanted);
    if (strncmp(buf_span(&b->log).data, line, strlen(line)) != 0)
        fail_msg("wanted %s, got %s", line, buf_span(&b->log).data);
}

/* ---- a stored state, as the daemon keeps it */

struct store {
    struct {
        char route[64], key[64], *state;
    } rows[32];
    size_t count;
};

static inline void put(void *context, const char *route, struct span key, struct span state)
{
    struct store *store = context;
    size_t i = 0;
    while (i < store->count && (strcmp(store->rows[i].route, route) != 0 || !span_is(key, store->rows[i].key)))
        i++;
    if (i == store->count)
        store->count++;
    snprintf(store->rows[i].route, sizeof(store->rows[i].route), "%s", route);
    snprintf(store->rows[i].key, sizeof(store->rows[i].key), "%.*s", (int)key.len, key.data);
    free(store->rows[i].state);
    store->rows[i].state = span_dup(state);
}

static inline size_t commit(struct bench *b, struct store *store)
{
    size_t count = route_set_changes(b->set, put, store);
    route_set_commit(b->set);
    return count;
}

static inline void restart(struct bench *b, struct store *store)
{
    route_set_destroy(b->set);
    b->set = route_set_create(b->config, &b->problems);
    for (size_t i = 0; i < store->count; i++)
        if (store->rows[i].state[0] != '\0')
            route_set_restore(b->set, store->rows[i].route, span_of(store->rows[i].key), span_of(store->rows[i].state));
    route_set_commit(b->set);
}

static inline void forget(struct store *store)
{
    for (size_t i = 0; i < store->count; i++)
        free(store->rows[i].state);
}

#endif
