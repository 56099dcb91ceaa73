/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts whose target's credential is fetched (OAuth2): the first that needs one asks for it, the others wait with
 * it. Nothing of theirs was sent yet, so whatever comes of it is certain: they go on, are tried again later, or hold
 * the target. */
#include "dispatch_private.h"

#include <stdio.h>
#include <string.h>

struct asking { /* in slot->asking */
    struct dispatch *d;
    struct slot *slot;
};

bool token_is_ready(const struct dispatch *d, const struct attempt *a)
{
    return a->slot->target->token == NULL || target_has_token(a->slot->target, d->now_ms);
}

static void give_up(struct dispatch *d, struct attempt *a, const char *why, bool refused)
{
    struct bb_error *error = &a->out.error;
    a->out = (struct bb_out){.size = sizeof(a->out)};
    a->transport_failed = !refused;
    error->error_class = refused ? BB_AUTHENTICATION : BB_PROVIDER_UNAVAILABLE;
    error->code = refused ? "token_refused" : "token_unavailable";
    error->message = arena_dup(a->job.arena, why, strlen(why));
    attempt_conclude(d, a, refused ? BB_HOLD : BB_RETRY);
}

/* An answer of the token's server that waiting will not change. */
static bool is_refusal(const struct http_result *result)
{
    return result->failure == HTTP_OK && result->status < 500 && result->status != 408 && result->status != 429;
}

static void on_token(void *context, const struct http_result *result)
{
    const struct asking *asking = context;
    struct dispatch *d = asking->d;
    struct slot *slot = asking->slot;
    const char *why = result->error;
    bool taken =
        result->failure == HTTP_OK && target_take_token(slot->target, result->status, result->body, d->now_ms, &why);
    bool refused = !taken && is_refusal(result), noted = taken || refused;
    arena_destroy(slot->asking);
    slot->asking = NULL;
    if (!taken)
        snprintf(slot->last_failure, sizeof(slot->last_failure), "token: %s", why);
    if (result->failure == HTTP_BAD_TLS)
        slot_distrust(d, slot);
    for (struct attempt *a = d->running.first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->slot != slot || !a->waits_for_token)
            continue;
        a->waits_for_token = false;
        if (!noted) /* one failure, however many wait */
            slot_note_answer(d, slot, a, false);
        noted = true;
        if (taken)
            attempt_send(d, a);
        else
            give_up(d, a, why, refused);
    }
}

void token_wait(struct dispatch *d, struct attempt *a)
{
    struct slot *slot = a->slot;
    struct http_request request;
    a->waits_for_token = true;
    if (slot->asking != NULL)
        return;
    slot->asking = arena_create();
    struct asking *asking = arena_alloc(slot->asking, sizeof(*asking));
    *asking = (struct asking){d, slot};
    target_ask_token(slot->target, slot->asking, &request);
    http_send(d->options.http, &request, on_token, asking);
}

/* The token may have been taken back before its time: once, the same request goes again with a new one. It was not
 * done, for it was refused. */
bool token_renews(struct dispatch *d, struct attempt *a, int status)
{
    if (a->slot->target->token == NULL || status != 401 || a->token_renewed)
        return false;
    a->token_renewed = true;
    target_refuse_token(a->slot->target, a->token_number);
    attempt_send(d, a);
    return true;
}
