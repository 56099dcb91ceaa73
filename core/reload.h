/* SIGHUP: a new configuration without a gap. A child checks the file (`busbar check`); what it complains about is
 * logged and the old configuration stays. When it is good, the daemon drains, closes everything but the sockets that
 * listen, and becomes the program anew: restart is the reload, so there is no second way of starting.
 * Reactor thread only. */
#ifndef BUSBAR_RELOAD_H
#define BUSBAR_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

struct http;
struct reload;

/* path: the configuration. done is called once for each check, from the reactor. borrows all */
struct reload *reload_create(struct http *http, const char *path, void (*done)(void *context, bool good),
                             void *context);
void reload_destroy(struct reload *reload); /* NULL is legal; a check under way is given up */
/* While one is under way, another one is made after it: the file may have changed in between. */
void reload_check(struct reload *reload);

struct reload_socket {
    char *address; /* as the configuration names it */
    int fd;        /* -1: none */
};
/* Duplicates a socket that is about to be closed, for reload_exec. -1: none */
int reload_keep(int fd);
/* Becomes `busbar run -c path`; returns only when that failed. */
void reload_exec(const char *path, const struct reload_socket *sockets, size_t count);
/* In the new process: the socket that listens on this address, or -1. Each is given out once. */
int reload_inherited(const char *address);
void reload_drop_inherited(void); /* closes what nobody took */

#endif
