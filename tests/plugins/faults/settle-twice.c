/* SPDX-License-Identifier: Apache-2.0 */
/* Settles all, then one of them again. */
#include "fault.h"

STEP
{
    (void)self;
    static const struct bb_error late = {.error_class = BB_PROVIDER_UNAVAILABLE, .code = "late", .message = "later"};
    if (!in->response)
        return send_body(in, out);
    for (size_t i = 0; i < in->message_count; i++)
        host->settle(in->job, i, BB_RETRY, &late);
    host->settle(in->job, 0, BB_REJECT, &late);
    return host->judge(in->job, in->response, out);
}

PLUGIN();
