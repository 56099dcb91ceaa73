/* SPDX-License-Identifier: Apache-2.0 */
/* Settles messages that the batch does not have. */
#include "fault.h"

STEP
{
    (void)self;
    if (!in->response)
        return send_body(in, out);
    for (size_t i = 0; i <= in->message_count; i++)
        host->settle(in->job, i, BB_RETRY,
                     &(struct bb_error){.error_class = BB_PROVIDER_UNAVAILABLE, .code = "late", .message = "later"});
    return host->judge(in->job, in->response, out);
}

PLUGIN();
