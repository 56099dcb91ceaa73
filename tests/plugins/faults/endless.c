/* SPDX-License-Identifier: Apache-2.0 */
/* Asks again until it is told something else. */
#include "fault.h"

STEP
{
    (void)host, (void)self;
    return send_body(in, out);
}

PLUGIN();
