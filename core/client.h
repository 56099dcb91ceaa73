/* The command line's way to the daemon: the admin API over HTTP, or, when the daemon is down, the same
 * handlers on the store opened read-only. */
#ifndef BUSBAR_CLIENT_H
#define BUSBAR_CLIENT_H

#include "buf.h"

struct json_object;

struct client_reply {
    int status;
    bool offline; /* read from the store: the daemon is down, */
    bool hangs;   /* or runs and does not answer: said on stderr */
    struct json_object *json;
    struct buf text; /* the raw reply */
};

/* config NULL: found by the usual rules. path with its query, percent-encoded. Answers 0 when a reply
 * came (whatever its status); -1 after saying on stderr what is wrong and what to do. */
int client_call(const char *config, const char *method, const char *path, struct span body, struct client_reply *reply);
void client_reply_finish(struct client_reply *reply);
/* Prints the problem's detail to stderr; answers CMD_NO. */
int client_complain(const struct client_reply *reply);
void client_query(struct buf *path, const char *name, const char *value); /* appends ?name=value; NULL value: nothing */

#endif
