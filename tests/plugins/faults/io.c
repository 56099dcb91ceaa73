/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a file. */
#include "fault.h"

#include <fcntl.h>
#include <unistd.h>

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    const int fd = open("/etc/hostname", O_RDONLY);
    if (fd >= 0)
        close(fd);
    return send_body(in, out);
}

PLUGIN();
