/* SPDX-License-Identifier: Apache-2.0 */
/* Shows a function of its own to everyone. */
#include "fault.h"

BB_EXPORT enum bb_next parse_answer(const struct bb_host *host, const struct bb_in *in, struct bb_out *out);
enum bb_next parse_answer(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    return host->judge(in->job, in->response, out);
}

STEP
{
    (void)self;
    return in->response ? parse_answer(host, in, out) : send_body(in, out);
}

PLUGIN();
