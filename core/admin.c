/* SPDX-License-Identifier: Apache-2.0 */
#include "admin.h"

#include "api.h"
#include "digest.h"
#include "web.h"

#include <string.h>

static bool is_loopback_host(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; host != NULL && i < 3; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(host, names[i], len) == 0 && (host[len] == '\0' || host[len] == ':'))
            return true;
    }
    return false;
}

/* A browser on the same machine must not be made to speak for a stranger's page: not by a name of the stranger's that
 * leads here (Host), and not from a page of another origin, be it another port of this machine. */
static bool origin_is_ours(const struct web_request *request)
{
    const char *origin = web_header_value(request, "Origin"), *host = web_header_value(request, "Host");
    const char *name = origin != NULL ? strstr(origin, "://") : NULL;
    return is_loopback_host(host) && (origin == NULL || (name != NULL && strcmp(name + 3, host) == 0));
}

static bool token_is(const char *wanted, const unsigned char given[DIGEST_BYTES])
{
    unsigned char want[DIGEST_BYTES];
    digest_sha256(span_of(wanted), want);
    return digest_equal(want, given, sizeof(want)); /* of hashes: the length does not show either */
}

/* Whose token it is: answers false for nobody's, *viewer NULL for the admin's. All are compared, so that the time
 * does not tell which one was near. */
static bool identify(const struct config_http *config, const struct web_request *request,
                     const struct config_viewer **viewer)
{
    const char *given = web_header_value(request, "Authorization");
    unsigned char have[DIGEST_BYTES];
    if (given == NULL || strncmp(given, "Bearer ", 7) != 0)
        return false;
    digest_sha256(span_of(given + 7), have);
    for (size_t i = 0; i < config->viewer_count; i++)
        if (token_is(config->viewers[i].token, have))
            *viewer = &config->viewers[i];
    return token_is(config->admin_token, have) || *viewer != NULL;
}

static int refuse_status(const struct config_http *config, const struct web_request *request,
                         const struct config_viewer **viewer)
{
    if (api_is_open(web_path(request)))
        return 0;
    if (config->admin_token != NULL)
        return identify(config, request, viewer) ? 0 : 401;
    return origin_is_ours(request) ? 0 : 403;
}

static const char *query_of(void *context, const char *name)
{
    return web_query(context, name);
}

static void each_name(void *context, void (*each)(void *found, const char *name), void *found)
{
    web_each_query(context, each, found);
}

void admin_handle(void *context, struct web_request *request)
{
    const struct api *api = context;
    struct api_reply reply = {0};
    const struct config_viewer *viewer = NULL;
    int refused = refuse_status(&api->config->http, request, &viewer);
    if (refused != 0) {
        api_problem(&reply, refused,
                    refused == 401 ? "send Authorization: Bearer <http.admin_token>"
                                   : "without a token, only this machine may speak to the admin port");
    } else if (strcmp(web_method(request), "POST") == 0 && web_asker_left(request)) {
        api_problem(&reply, 408, "you closed the connection before this was begun: nothing was done");
    } else {
        const struct api_request asked = {
            web_method(request), web_path(request), query_of, each_name, request, web_body(request), viewer};
        api_handle(api, &asked, &reply);
    }
    const struct web_reply answer = {
        .status = reply.status, .content_type = reply.content_type, .body = buf_span(&reply.body)};
    web_reply(request, &answer);
    buf_finish(&reply.body);
}
