/* SPDX-License-Identifier: Apache-2.0 */
/* Waits a moment for the target. */
#include "fault.h"

#include <time.h>

STEP
{
    (void)self;
    nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN();
