/* A store in a directory of its own, for the tests of the store. */
#ifndef BUSBAR_STORE_FIXTURE_H
#define BUSBAR_STORE_FIXTURE_H

#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

#define NOW INT64_C(1700000000000)
#define DAY INT64_C(86400000)

struct fixture {
    char directory[64], path[128];
    struct store_options options;
    struct store *store;
    struct store_session *session;
};

static inline void fixture_open(struct fixture *fixture)
{
    char *error = NULL;
    fixture->options.path = fixture->path;
    fixture->store = store_open(&fixture->options, &error);
    if (!fixture->store)
        fail_msg("%s", error);
    fixture->session = store_session_open(fixture->store, &error);
    if (!fixture->session)
        fail_msg("%s", error);
}

static inline void fixture_close(struct fixture *fixture)
{
    store_session_close(fixture->session);
    store_close(fixture->store);
    fixture->session = NULL;
    fixture->store = NULL;
}

static inline void fixture_reopen(struct fixture *fixture)
{
    fixture_close(fixture);
    fixture_open(fixture);
}

static inline int fixture_setup_closed(void **state)
{
    struct fixture *fixture = mem_alloc(sizeof *fixture);
    umask(077); /* a store takes no file that is open to everybody */
    strcpy(fixture->directory, "/tmp/busbar-store-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof fixture->path, "%s/busbar.db", fixture->directory);
    fixture->options.path = fixture->path;
    *state = fixture;
    return 0;
}

static inline int fixture_setup(void **state)
{
    if (fixture_setup_closed(state) != 0)
        return -1;
    fixture_open(*state);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    DIR *directory = opendir(fixture->directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

/* Runs a write in a transaction of its own; the write says 0. */
#define WRITE(session, write)                      \
    do {                                           \
        assert_int_equal(store_begin(session), 0); \
        if ((write) != 0)                          \
            fail_msg("%s", store_error(session));  \
        if (store_commit(session) != 0)            \
            fail_msg("%s", store_error(session));  \
    } while (0)

static inline struct delivery make_delivery(const char *id, const char *target)
{
    return (struct delivery){.id = id,
                             .kind = DELIVERY_OUT,
                             .state = DELIVERY_PENDING,
                             .target = target,
                             .accepted_ms = NOW,
                             .due_ms = NOW,
                             .body = SPAN("{}")};
}

static inline int64_t put_delivery(struct store_session *session, const char *id, const char *target)
{
    struct delivery delivery = make_delivery(id, target);
    WRITE(session, store_add_delivery(session, &delivery));
    return delivery.seq;
}

static inline void settle_as(struct store_session *session, int64_t seq, enum delivery_state state, int64_t now_ms)
{
    struct settlement settlement = {
        .state = state, .due_ms = now_ms, .who = "busbar", .what = "attempt", .now_ms = now_ms};
    WRITE(session, store_settle(session, seq, &settlement));
}

/* A callback that counts. */
static inline void count_delivery(void *context, const struct delivery *delivery)
{
    (void)delivery;
    ++*(int *)context;
}

static inline bool has_delivery(struct store_session *session, const char *id)
{
    int count = 0;
    assert_int_equal(store_find_delivery(session, id, count_delivery, &count), 0);
    return count == 1;
}

#endif
