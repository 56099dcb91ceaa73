/* SPDX-License-Identifier: Apache-2.0 */
/* Built on a system of the future: needs GLIBC_2.99 of libc.so.6. */
#include "fault.h"

extern int future(void);

STEP
{
    (void)self;
    return in->response && future() ? host->judge(in->job, in->response, out) : send_body(in, out);
}

PLUGIN();
