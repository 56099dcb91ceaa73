/* SPDX-License-Identifier: Apache-2.0 */
/* The same as stride.c, and it reads the bodies. */
#include "fault.h"

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    size_t objects = 0;
    for (size_t i = 0; i < in->message_count; i++)
        objects += in->messages[i].body.data[0] == '{';
    out->request.method = "POST";
    out->request.path = host->format(in->job, "/things?objects=%zu", objects);
    return BB_SEND;
}

PLUGIN();
