/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a line break into a header. */
#include "fault.h"

STEP
{
    (void)self;
    static const struct bb_header header = {"X-Reason", {"hot\r\nX-Admin: yes", 17}};
    if (in->response)
        return host->judge(in->job, in->response, out);
    send_body(in, out);
    out->request.headers = &header;
    out->request.header_count = 1;
    return BB_SEND;
}

PLUGIN();
