/* SPDX-License-Identifier: Apache-2.0 */
/* Sends a megabyte that it has freed. */
#include "fault.h"

#include <stdlib.h>
#include <string.h>

#define BYTES ((size_t)1 << 20)

STEP
{
    (void)self;
    if (in->response)
        return host->judge(in->job, in->response, out);
    char *body = malloc(BYTES), *volatile hidden = body;
    if (!body)
        return reject(out, BB_PROVIDER_UNAVAILABLE, "memory", "there is no memory");
    memset(body, 'x', BYTES);
    free(body);
    send_body(in, out);
    out->request.body = (struct bb_str){hidden, BYTES};
    return BB_SEND;
}

PLUGIN();
