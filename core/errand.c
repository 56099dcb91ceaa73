/* SPDX-License-Identifier: Apache-2.0 */
/* Errands: jobs that a target has of its own. They pass the same gates as deliveries, end in the same
 * verdicts, and their events and notes are stored in the same transaction; but nothing is owed, so an
 * errand that failed is simply due again. */
#include "backoff.h"
#include "digest.h"
#include "dispatch_private.h"
#include "loader.h"
#include "log.h"

#include <stdio.h>

#define AGAIN_FIRST_MS 1000
#define AGAIN_MAX_MS 60000

void errand_init(struct slot *slot)
{
    const struct bb_plugin *plugin = slot->target->plugin;
    struct errand *at_start = &slot->errands[ERRAND_AT_START], *poll = &slot->errands[ERRAND_POLL];
    struct bb_operation operation;
    at_start->due_ms = poll->due_ms = INT64_MAX;
    for (size_t i = 0; plugin_operation(plugin, i, &operation) != NULL; i++)
        if ((operation.flags & BB_AT_START) != 0) {
            at_start->operation = operation.name;
            at_start->due_ms = 0;
        }
    int64_t configured = slot->target->config->poll_ms;
    poll->every_ms = configured >= 0 ? configured : plugin->poll_ms;
    if (plugin->poll != NULL && poll->every_ms > 0)
        poll->due_ms = 0;
}

static bool is_held(const struct slot *slot, const struct errand *errand)
{
    return slot_hold(slot, errand->operation) != NULL;
}

void errand_pick(struct dispatch *d, struct slot *slot)
{
    for (size_t i = 0; i < ERRANDS; i++) {
        struct errand *errand = &slot->errands[i];
        if (errand->due_ms > d->now_ms || is_held(slot, errand) || !slot_may_send(d, slot))
            continue;
        errand->due_ms = INT64_MAX; /* until it ends */
        struct attempt *a = attempt_create_errand(d, slot, errand);
        slot->probing |= a->probe;
        attempt_list_append(&d->starting, a);
    }
}

/* For whoever looks after the connector. */
static void note_outcome(const struct dispatch *d, struct errand *errand, const struct attempt *a)
{
    bool good = a->fate == FATE_DELIVERED;
    const char *code = good ? "" : a->out.error.code != NULL ? a->out.error.code : "failed";
    if (good)
        errand->done_ms = d->wall_ms;
    snprintf(errand->error, sizeof(errand->error), "%s", code);
}

void errand_release(struct dispatch *d, struct attempt *a)
{
    struct errand *errand = a->errand;
    note_outcome(d, errand, a);
    switch (a->fate) {
    case FATE_HELD:
        errand->due_ms = d->now_ms; /* as soon as it is resumed */
        return;
    case FATE_RETRY:
        errand->tries++;
        errand->due_ms = d->now_ms + (a->out.retry_after_ms > 0 ? a->out.retry_after_ms
                                                                : backoff_delay_ms(AGAIN_FIRST_MS, AGAIN_MAX_MS,
                                                                                   errand->tries, random_unit()));
        return;
    case FATE_NONE:
    case FATE_EXPIRED:
    case FATE_REJECTED:
        log_warn("a target's errand failed", "target", a->slot->name, "errand", a->who_is, "code", a->out.error.code,
                 "reason", a->out.error.message, "request", a->request_id, NULL);
        break;
    case FATE_DELIVERED: /* it leaves no delivery that would tell; a poll's news do */
        if (errand->operation != NULL)
            log_info("target asked at start", "target", a->slot->name, "errand", a->who_is, "request", a->request_id,
                     NULL);
        break;
    }
    errand->tries = 0;
    errand->due_ms = errand->every_ms > 0 ? d->now_ms + errand->every_ms : INT64_MAX;
}

void errand_take_back(struct dispatch *d, struct attempt *a)
{
    a->errand->due_ms = d->now_ms;
}

int64_t errand_next_due(const struct slot *slot)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < ERRANDS; i++)
        if (slot->errands[i].due_ms < next && !is_held(slot, &slot->errands[i]))
            next = slot->errands[i].due_ms;
    return next;
}
