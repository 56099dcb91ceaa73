/* SPDX-License-Identifier: Apache-2.0 */
/* Takes a body for a text that ends with NUL. */
#include "fault.h"

#include <string.h>

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    out->asset_ref = strlen(in->response->body.data) > 2 ? "long" : "short";
    return host->judge(in->job, in->response, out);
}

PLUGIN();
