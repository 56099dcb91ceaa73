/* SPDX-License-Identifier: Apache-2.0 */
/* Is done once it has sent, whatever came back. */
#include "fault.h"

STEP
{
    (void)host, (void)self;
    return in->response ? BB_DONE : send_body(in, out);
}

PLUGIN();
