/* SPDX-License-Identifier: Apache-2.0 */
/* Walks messages as if they were as long as in its own header. */
#include "fault.h"

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    size_t bytes = 0;
    for (size_t i = 0; i < in->message_count; i++)
        bytes += in->messages[i].body.len;
    out->request.method = "POST";
    out->request.path = host->format(in->job, "/things?bytes=%zu", bytes);
    return BB_SEND;
}

PLUGIN();
