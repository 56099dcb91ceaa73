/* SPDX-License-Identifier: Apache-2.0 */
/* account: GET /api/v2/auth (AS-E04). Run when the target opens: it proves user and token before an order needs
 * them. The vendor says that the answer contains the user's resource id, not where: auth_pointer does. */
#include "assetic.h"

#include <json-c/json.h>

const char *as_own_resource(const struct as_call *call, struct json_object *answer)
{
    struct json_object *id = pl_at(answer, call->config->auth_pointer);
    return as_is_guid(id) && !as_is_zero_guid(id) ? as_text_of(call, id) : NULL;
}

enum bb_next as_account(const struct as_call *call)
{
    if (!call->in->response) {
        call->out->request = (struct bb_request){.method = "GET", .path = "/api/v2/auth"};
        return BB_SEND;
    }
    enum bb_next next = as_judge(call);
    if (next == BB_DONE) {
        PL_SCOPED struct json_object *answer = pl_parse(call->in->response->body);
        if (!as_own_resource(call, answer))
            call->host->log(call->job, BB_LOG_WARN,
                            "GET /api/v2/auth names no resource id where auth_pointer says: orders need CreatorId and "
                            "RequestorId in the target's defaults");
    }
    return next;
}
