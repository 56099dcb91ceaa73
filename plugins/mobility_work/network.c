/* SPDX-License-Identifier: Apache-2.0 */
/* network.settings: GET /partners/v1/network/settings (MW-E09). Run when the target opens: it proves the key and
 * tells which network the key belongs to, against which webhooks are checked. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

#define PATH "/partners/v1/network/settings"

static void note(const struct mw_call *call, struct json_object *settings, const char *pointer, const char *key)
{
    const char *value = mw_text_at(call, settings, pointer);
    if (value)
        call->host->note_put(call->job, key, value);
}

static void remember(const struct mw_call *call, struct json_object *settings)
{
    const char *before = call->host->note_get(call->job, MW_NOTE_NETWORK);
    const char *now = mw_text_at(call, settings, "/networkId");
    if (!now)
        call->host->log(call->job, BB_LOG_WARN, "the network's settings name no networkId: webhooks are not compared");
    else if (before && strcasecmp(before, now) != 0)
        call->host->log(call->job, BB_LOG_WARN, "api_key belongs to another network than before");
    note(call, settings, "/networkId", MW_NOTE_NETWORK);
    note(call, settings, "/currency", MW_NOTE_CURRENCY);
    note(call, settings, "/timezone", MW_NOTE_TIMEZONE);
}

enum bb_next mw_network_settings(const struct mw_call *call)
{
    if (!call->in->response) {
        call->out->request = (struct bb_request){.method = "GET", .path = PATH};
        return BB_SEND;
    }
    enum bb_next next = mw_judge(call);
    if (next == BB_DONE) {
        PL_SCOPED struct json_object *settings = pl_parse(call->in->response->body);
        remember(call, settings);
    }
    return next;
}
