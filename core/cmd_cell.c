/* SPDX-License-Identifier: Apache-2.0 */
/* busbar cell: what an isolated target's plugin runs in. Started by the daemon, not by people, so no help lists it. */
#include "cmd.h"

#include "cell.h"

#include <sys/socket.h>
#include <unistd.h>

static int run(int argc, char **argv)
{
    int type;
    socklen_t size = sizeof(type);
    int rc = cmd_options(&cmd_cell, &argc, argv, (struct cmd_option[]){{0}});
    if (rc >= 0)
        return rc;
    if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return cmd_usage(&cmd_cell, "it is started by `busbar run`, for a target with `isolate: true`");
    _exit(cell_serve(STDIN_FILENO)); /* nothing of what exit() does is allowed any more, or needed */
}

const struct command cmd_cell = {
    .name = "cell",
    .usage = "busbar cell TARGET",
    .help = "The process in which an isolated target's plugin runs. busbar starts and ends it.\n",
    .run = run,
};
