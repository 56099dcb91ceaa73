/* SPDX-License-Identifier: Apache-2.0 */
/* What the last process was doing when it died.
 *
 * The breadcrumb names the delivery that a plugin was called for (the first of a batch), and whether its attempt had
 * sent something before. Where it had not, it was called in the turn that counted the attempt, and nothing that began
 * in that turn was sent yet: the network is looked at between turns. So none of it is uncertain.
 *
 * Where a target was polled, or asked at start, it names the target.
 *
 * Two deaths in a row with the same breadcrumb are no accident: a delivery becomes a dead letter; a batch goes on in
 * pieces, each delivery alone, and the guilty one, alone, is found by two more; a target is held. */
#include "clock.h"
#include "digest.h"
#include "dispatch_private.h"
#include "loader.h"
#include "log.h"

#define POISON_DEATHS 2

uint64_t recover_crumb(int64_t seq, bool sent)
{
    return (uint64_t)seq * 2 + (sent ? 1 : 0);
}

static const char died_unasked[] =
    "the process died twice inside the plugin, in a poll or what it asks at start; report it "
    "to the plugin's author";

static void note_open(void *context, const struct delivery *delivery)
{
    *(bool *)context = delivery_state_is_open(delivery->state);
}

/* A poll, or what is asked at start: no delivery is to blame, and the target's seq is not in use. */
#define CRUMB_ERRAND (UINT64_C(1) << 63)

uint64_t recover_crumb_errand(const char *target)
{
    return CRUMB_ERRAND | digest_fast(span_of(target), 0);
}

/* Nothing is owed that could become a dead letter: the target waits for a person. */
static int hold_target(struct dispatch *d, uint64_t crumb)
{
    for (size_t i = 0; i + 1 < d->slot_count; i++) {
        const char *name = d->slots[i].target->name;
        if (recover_crumb_errand(name) != crumb)
            continue;
        log_error("target held", "target", name, "reason", died_unasked, NULL);
        return store_put_hold(d->options.session, name, "", died_unasked, clock_wall_ms());
    }
    return 0;
}

/* The breadcrumb lies beside the store: it may speak of what is over, or of another store's delivery. */
static int bury(struct dispatch *d, int64_t seq)
{
    bool open = false;
    if (store_get_work(d->options.session, seq, note_open, &open) != 0)
        return -1;
    if (!open)
        return 0;

    const struct settlement settlement = {
        .state = DELIVERY_REJECTED,
        .error = {.error_class = "validation",
                  .code = TARGET_PLUGIN_CRASHED,
                  .message = "the process died twice inside the plugin with this delivery",
                  .owner_action = "report it to the plugin's author; `busbar queue retry` tries again"},
        .who = "busbar",
        .what = "crash",
        .now_ms = clock_wall_ms()};
    return store_settle(d->options.session, seq, &settlement);
}

static int isolate(struct dispatch *d, int64_t seq)
{
    int64_t pieces = store_dissolve_batch(d->options.session, seq);
    if (pieces < 0)
        return -1;
    if (pieces > 0)
        log_warn("the process died twice inside a plugin with a batch: its deliveries go on alone", NULL);
    return pieces > 0 ? 0 : bury(d, seq);
}

/* The target may still be at work on what was sent: whoever looks for it at once finds nothing, and makes it again. So
 * the next attempt, which looks, comes no sooner than it would have after an answer that was lost. */
static int postpone_lookups(struct dispatch *d, int64_t unsent_seq)
{
    for (size_t i = 0; i + 1 < d->slot_count; i++) { /* the last is the bus */
        const struct target *target = d->slots[i].target;
        const int64_t due_ms = clock_steady_ms() + target->config->retry.first_ms;
        struct bb_operation operation;
        for (size_t n = 0; plugin_operation(target->plugin, n, &operation) != NULL; n++) {
            if ((operation.flags & BB_CAN_LOOKUP) != 0 &&
                store_postpone_uncertain(d->options.session, unsent_seq, target->name, operation.name, due_ms) != 0)
                return -1;
        }
    }
    return 0;
}

/* A clock that was wrong by years and was set back: what it made due then goes with its next turn (refill.c says so of
 * the queues; this of the store, which people read). */
static int believe_due(struct dispatch *d)
{
    const int64_t now_ms = clock_steady_ms();
    int64_t longest_ms = RETRY_AFTER_MAX_MS;
    for (size_t i = 0; i + 1 < d->slot_count; i++)
        if (d->slots[i].target->config->retry.max_ms > longest_ms)
            longest_ms = d->slots[i].target->config->retry.max_ms;
    int64_t moved = store_believe_due(d->options.session, now_ms + longest_ms, now_ms);
    cleanup_text char *count = mem_printf("%lld", (long long)moved);
    if (moved > 0)
        log_warn("deliveries were due in a future that no wait reaches: the clock was set back; they are due now",
                 "deliveries", count, NULL);
    return moved < 0 ? -1 : 0;
}

/* FV-08b: where a person approves each, that is true too of what began before the mode was that. */
static int draft_unapproved(struct dispatch *d)
{
    for (size_t i = 0; i + 1 < d->slot_count; i++) {
        const struct target *target = d->slots[i].target;
        struct bb_operation operation;
        int64_t drafts = 0, more = 0;
        for (size_t n = 0; more >= 0 && plugin_operation(target->plugin, n, &operation) != NULL; n++) {
            if ((operation.flags & BB_WRITES) == 0 || config_mode_of(target->config, operation.name) != MODE_DRAFT)
                continue;
            more = store_draft_unapproved(d->options.session, target->name, operation.name, clock_wall_ms());
            drafts += more;
        }
        if (more < 0)
            return -1;
        cleanup_text char *count = mem_printf("%lld", (long long)drafts);
        if (drafts > 0)
            log_warn("deliveries that nobody approved are drafts: the mode is draft", "target", target->name,
                     "deliveries", count, "action", "`busbar queue approve` sends them", NULL);
    }
    return 0;
}

int recover_deliveries(struct dispatch *d)
{
    struct store_session *session = d->options.session;
    int deaths = 0;
    uint64_t crumb = store_crumb_found(d->options.store, CRUMB_PLUGIN, &deaths);
    bool errand = (crumb & CRUMB_ERRAND) != 0, poison = crumb > 0 && deaths >= POISON_DEATHS;
    int64_t seq = errand ? 0 : (int64_t)(crumb / 2), unsent_seq = crumb % 2 == 0 ? seq : 0;
    if (store_begin(session) != 0)
        return -1;
    if (postpone_lookups(d, unsent_seq) != 0 || store_recover(session, unsent_seq, clock_wall_ms()) < 0 ||
        (poison && (errand ? hold_target(d, crumb) : isolate(d, seq)) != 0) || believe_due(d) != 0 ||
        draft_unapproved(d) != 0) {
        store_rollback(session);
        return -1;
    }
    if (store_commit(session) != 0)
        return -1;
    if (seq > 0)
        log_warn("the last process died inside a plugin", "delivery", poison ? "taken aside" : "tried again", NULL);
    else if (errand && !poison)
        log_warn("the last process died inside a plugin, unasked by any delivery", NULL);
    if (poison) { /* dealt with: forget it */
        store_crumb_set(d->options.store, CRUMB_PLUGIN, crumb);
        store_crumb_clear(d->options.store, CRUMB_PLUGIN);
    }
    return 0;
}
