/* SPDX-License-Identifier: Apache-2.0 */
/* Takes every answer for an object with an id. */
#include "fault.h"

#include <stddef.h>
#include <string.h>

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    const char *text = host->format(in->job, "%.*s", (int)in->response->body.len, in->response->body.data);
    const char *id = strstr(text, "\"id\":");
    out->source_work_order_id = host->format(in->job, "%c", id[5]);
    return host->judge(in->job, in->response, out);
}

PLUGIN();
