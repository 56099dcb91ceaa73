/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that carries the store's log over into its file, once a second when there is enough of it.
 *
 * A thread of its own, because it waits for the disk and nobody waits for it: on the reactor it held up every webhook
 * and every answer, 130 to 290 ms in each second with 2,000 webhooks a second, and with a slow disk for seconds. It
 * has its own session; SQLite lets others read and append to the log meanwhile. */
#include "cmd_run.h"

#include "store.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define CHECKPOINT_EVERY_S 1

struct checkpoints {
    struct store_session *session;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t told;
    bool over; /* under the mutex */
};

/* Answers whether to go on. */
static bool wait_a_while(struct checkpoints *checkpoints)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CHECKPOINT_EVERY_S;
    pthread_mutex_lock(&checkpoints->mutex);
    while (!checkpoints->over && pthread_cond_timedwait(&checkpoints->told, &checkpoints->mutex, &until) == 0)
        ;
    bool over = checkpoints->over;
    pthread_mutex_unlock(&checkpoints->mutex);
    return !over;
}

static void *carry_over(void *context)
{
    struct checkpoints *checkpoints = context;
    while (wait_a_while(checkpoints))
        store_checkpoint(checkpoints->session); /* what fails is the store's trouble, and tried again */
    return NULL;
}

struct checkpoints *checkpoints_start(struct store *store, char **error)
{
    struct checkpoints *checkpoints = mem_alloc(sizeof(*checkpoints));
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&checkpoints->told, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&checkpoints->mutex, NULL);
    checkpoints->session = store_session_open(store, error);
    if (checkpoints->session != NULL && pthread_create(&checkpoints->thread, NULL, carry_over, checkpoints) == 0)
        return checkpoints;
    if (checkpoints->session != NULL)
        *error = mem_strdup("no thread could be started");
    store_session_close(checkpoints->session);
    free(checkpoints);
    return NULL;
}

void checkpoints_stop(struct checkpoints *checkpoints)
{
    if (checkpoints == NULL)
        return;
    pthread_mutex_lock(&checkpoints->mutex);
    checkpoints->over = true;
    pthread_cond_signal(&checkpoints->told);
    pthread_mutex_unlock(&checkpoints->mutex);
    pthread_join(checkpoints->thread, NULL);
    store_session_close(checkpoints->session);
    pthread_cond_destroy(&checkpoints->told);
    pthread_mutex_destroy(&checkpoints->mutex);
    free(checkpoints);
}
