/* Turns a hang inside foreign code (a jq program, a plugin) into a crash that the breadcrumb explains.
 * A timer signal looks every second; enter and leave cost one store each. */
#ifndef BUSBAR_WATCHDOG_H
#define BUSBAR_WATCHDOG_H

#include <stdint.h>

enum watchdog_place { WATCHDOG_RULES = 0, WATCHDOG_PLUGIN = 1 };

void watchdog_start(int64_t limit_ms); /* 0: off */
void watchdog_enter(enum watchdog_place place);
void watchdog_leave(enum watchdog_place place);

#endif
