/* Tells systemd how it stands (sd_notify's datagram). Without NOTIFY_SOCKET all of it does nothing. */
#ifndef BUSBAR_NOTIFY_H
#define BUSBAR_NOTIFY_H

#include <stdint.h>

void notify_send(const char *state); /* "READY=1", "STATUS=...", lines parted by \n */
/* How often WATCHDOG=1 is due, half of what systemd waits; 0: never. */
int64_t notify_watchdog_ms(void);

#endif
