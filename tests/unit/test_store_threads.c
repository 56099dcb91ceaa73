/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads, each with its session, writing at once. */
#include "store_fixture.h"
#include "store_private.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define TRANSACTIONS 400
#define GROUP 8

struct writer {
    struct store *store;
    const char *name;
    pthread_t thread;
    _Atomic int *running; /* how many have begun: they write at once */
    const char *failure;
};

static void write_group(struct writer *writer, struct store_session *session, int number)
{
    if (store_begin(session) != 0) {
        writer->failure = "begin";
        return;
    }
    for (int i = 0; i < GROUP; i++) {
        char id[64];
        snprintf(id, sizeof id, "%s-%d-%d", writer->name, number, i);
        struct delivery delivery = make_delivery(id, "mw");
        if (store_add_delivery(session, &delivery) != 0)
            writer->failure = "add";
    }
    if (store_commit(session) != 0)
        writer->failure = "commit";
}

static void *write_all(void *context)
{
    struct writer *writer = context;
    char *error = NULL;
    struct store_session *session = store_session_open(writer->store, &error);
    atomic_fetch_add(writer->running, 1);
    if (!session) {
        free(error);
        writer->failure = "session";
        return NULL;
    }
    while (atomic_load(writer->running) < 2)
        sched_yield();
    for (int i = 0; i < TRANSACTIONS && !writer->failure; i++) {
        write_group(writer, session, i);
        if (store_checkpoint(session) != 0)
            writer->failure = "checkpoint";
        (void)store_has_room(writer->store);
    }
    store_session_close(session);
    return NULL;
}

static void see_count(void *context, const struct delivery_count *count)
{
    *(int64_t *)context += count->count;
}

static void test_store_threads_two_writers_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    _Atomic int running = 0;
    struct writer pair[2] = {{.name = "intake"}, {.name = "reactor"}};
    for (int i = 0; i < 2; i++) {
        pair[i].store = fixture->store;
        pair[i].running = &running;
        assert_int_equal(pthread_create(&pair[i].thread, NULL, write_all, &pair[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(pair[i].thread, NULL);
    for (int i = 0; i < 2; i++)
        if (pair[i].failure)
            fail_msg("%s failed: %s", pair[i].name, pair[i].failure);
    int64_t count = 0;
    assert_int_equal(store_count_deliveries(fixture->session, see_count, &count), 0);
    assert_int_equal(count, 2 * TRANSACTIONS * GROUP);
}

/* ---- fairness: who waits is served next --------------------------------------------------*/

struct waiter {
    struct store *store;
    pthread_t thread;
    _Atomic int *served; /* by all waiters so far */
    int place;           /* of this one among them; 0: failed */
};

static void *wait_for_a_turn(void *context)
{
    struct waiter *waiter = context;
    char *error = NULL;
    struct store_session *session = store_session_open(waiter->store, &error);
    if (session && store_begin(session) == 0) {
        waiter->place = atomic_fetch_add(waiter->served, 1) + 1;
        store_rollback(session);
    }
    store_session_close(session);
    free(error);
    return NULL;
}

static void await_tickets(struct turnstile *turnstile, uint64_t tickets)
{
    uint64_t drawn;
    do {
        sched_yield();
        pthread_mutex_lock(&turnstile->mutex);
        drawn = turnstile->drawn;
        pthread_mutex_unlock(&turnstile->mutex);
    } while (drawn < tickets);
}

/* A thread that begins again the moment it has committed comes after all who waited meanwhile, in their order. */
static void test_store_threads_neither_writer_starves(void **state)
{
    struct fixture *fixture = *state;
    _Atomic int served = 0;
    struct waiter waiters[3];
    assert_int_equal(store_begin(fixture->session), 0);
    uint64_t tickets = fixture->store->writer.drawn;
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){.store = fixture->store, .served = &served};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_a_turn, &waiters[i]), 0);
        await_tickets(&fixture->store->writer, tickets + (uint64_t)i + 1);
    }
    assert_int_equal(atomic_load(&served), 0);
    assert_int_equal(store_commit(fixture->session), 0);
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(atomic_load(&served), 3);
    store_rollback(fixture->session);
    for (int i = 0; i < 3; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].place, i + 1);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_store_threads_two_writers_lose_nothing),
        TEST(test_store_threads_neither_writer_starves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
