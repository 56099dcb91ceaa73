/* Listening TCP sockets, non-blocking and close-on-exec. Any thread. */
#ifndef BUSBAR_LISTEN_H
#define BUSBAR_LISTEN_H

#include "buf.h"

/* host:port, [v6]:port or :port (every address); port 0: any. The socket, or -1 and gives a reason. */
int listen_open(const char *address, char **error);
/* A socket that another program opened: answers fd when it listens, else -1 and gives a reason. */
int listen_inherit(int fd, const char *address, char **error);
int listen_port(int fd);
/* How many of `wanted` connections this process may hold beside its own files, after it raised its limit as far as it
 * is allowed to. */
unsigned listen_fit(unsigned wanted);

#endif
