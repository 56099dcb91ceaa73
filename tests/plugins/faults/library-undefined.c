/* SPDX-License-Identifier: Apache-2.0 */
/* Calls a function that neither it nor a library of its has: a source file was left out of the link. */
#include "fault.h"

extern enum bb_next judge_answer(const struct bb_host *host, const struct bb_in *in, struct bb_out *out);

STEP
{
    (void)self;
    return in->response ? judge_answer(host, in, out) : send_body(in, out);
}

PLUGIN();
