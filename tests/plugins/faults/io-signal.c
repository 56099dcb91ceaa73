/* SPDX-License-Identifier: Apache-2.0 */
/* Wants no SIGTERM. */
#include "fault.h"

#include <signal.h>

STEP
{
    (void)self;
    signal(SIGTERM, SIG_IGN);
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN();
