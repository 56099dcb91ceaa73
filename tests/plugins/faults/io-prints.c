/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what it does to stderr, beside logging it. */
#include "fault.h"

#include <stdio.h>

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    host->log(in->job, BB_LOG_ERROR, "sending");
    fprintf(stderr, "sending %zu bytes\n", in->messages[0].body.len);
    return send_body(in, out);
}

PLUGIN();
