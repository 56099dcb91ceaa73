/* SPDX-License-Identifier: Apache-2.0 */
/* Computes for 30 ms. */
#include "fault.h"

#include <time.h>

STEP
{
    (void)self;
    for (clock_t end = clock() + CLOCKS_PER_SEC * 3 / 100; clock() < end;)
        ;
    return in->response ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN();
