/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog.h"

#include "log.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/time.h>

/* Counted in ticks of the timer, so that enter needs no clock: 0 is "nobody inside". */
static _Atomic unsigned ticks_inside[2];
static _Atomic bool inside[2];
static unsigned limit_ticks;

static void on_tick(int signal_number)
{
    (void)signal_number;
    for (int i = 0; i < 2; i++) {
        if (!atomic_load(&inside[i])) {
            atomic_store(&ticks_inside[i], 0);
            continue;
        }
        if (atomic_fetch_add(&ticks_inside[i], 1) + 1 <= limit_ticks)
            continue;
        static const char *const texts[] = {"busbar: a rule hangs; ending, to start over without its message\n",
                                            "busbar: a plugin hangs; ending, to start over without its message\n"};
        log_last_word(texts[i]);
        abort();
    }
}

void watchdog_start(int64_t limit_ms)
{
    struct itimerval every = {0};
    struct sigaction action = {0};
    limit_ticks = (unsigned)(limit_ms / 1000);
    if (limit_ticks > 0) {
        action.sa_handler = on_tick;
        action.sa_flags = SA_RESTART;
        sigaction(SIGALRM, &action, NULL);
        every.it_interval.tv_sec = every.it_value.tv_sec = 1;
    }
    setitimer(ITIMER_REAL, &every, NULL);
}

void watchdog_enter(enum watchdog_place place)
{
    atomic_store_explicit(&ticks_inside[place], 0, memory_order_relaxed);
    atomic_store_explicit(&inside[place], true, memory_order_relaxed);
}

void watchdog_leave(enum watchdog_place place)
{
    atomic_store_explicit(&inside[place], false, memory_order_relaxed);
}
