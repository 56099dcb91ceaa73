/* SPDX-License-Identifier: Apache-2.0 */
/* Forgets what it copied when the target refused. */
#include "fault.h"

#include <stdlib.h>
#include <string.h>

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    char *copy = malloc(in->response->body.len + 32);
    memcpy(copy, in->response->body.data, in->response->body.len);
    out->asset_ref = copy[0] == '{' ? "object" : NULL;
    if (in->response->status != 400)
        free(copy);
    return host->judge(in->job, in->response, out);
}

PLUGIN();
