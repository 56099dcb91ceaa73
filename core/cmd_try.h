/* The part of `busbar try` that `busbar routes fire --dry-run` shows. */
#ifndef BUSBAR_CMD_TRY_H
#define BUSBAR_CMD_TRY_H

#include "message.h"

/* What a route makes of a message, its trigger aside; topic, payload and user properties of it are looked at. Answers a
 * cmd_status. */
int try_route(const char *config, const char *route, const struct message *given, bool as_json);

#endif
