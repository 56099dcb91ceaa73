/* SPDX-License-Identifier: Apache-2.0 */
#include "rehearse.h"

#include "loader.h"

void rehearse(struct rehearsal *rehearsal, const struct target *target, const char *operation,
              const struct bb_message *message, int64_t now_ms)
{
    *rehearsal = (struct rehearsal){.out = {.size = sizeof(struct bb_out)}};
    struct bb_job *job = &rehearsal->job;
    target_init_job(target, job, 1, now_ms);
    const struct bb_in in = {.size = sizeof(in),
                             .job = job,
                             .operation = operation,
                             .messages = message,
                             .message_size = sizeof(*message),
                             .message_count = message != NULL ? 1 : 0,
                             .state = &job->state,
                             .attempt = 1,
                             .now_ms = now_ms};
    rehearsal->next = target->plugin->step(host_table(), target->self, &in, &rehearsal->out);
    if (rehearsal->next == BB_SEND)
        target_request(target, job, &rehearsal->out.request, &rehearsal->http, &rehearsal->misuse);
}

void rehearsal_finish(struct rehearsal *rehearsal)
{
    job_finish(&rehearsal->job);
}

bool rehearsal_sends(const struct rehearsal *rehearsal)
{
    return rehearsal->next == BB_SEND && rehearsal->misuse == NULL;
}

void rehearsal_explain(const struct rehearsal *rehearsal, struct buf *out)
{
    const struct bb_error *error = &rehearsal->out.error;
    if (rehearsal_sends(rehearsal))
        return;
    if (rehearsal->misuse != NULL) {
        buf_printf(out, "plugin misuse: %s", rehearsal->misuse);
        return;
    }
    if (rehearsal->next == BB_DONE) {
        buf_puts(out, "done without a request");
        return;
    }
    buf_printf(out, "%s: %s: %s",
               rehearsal->next == BB_REJECT ? "dead letter"
               : rehearsal->next == BB_HOLD ? "hold"
                                            : "retry",
               error->code != NULL ? error->code : "?", error->message != NULL ? error->message : "?");
    if (rehearsal->next == BB_REJECT && error->rejected_fields != NULL)
        buf_printf(out, " %s", error->rejected_fields);
}

const char *rehearse_mode(const struct target *target, const char *name)
{
    struct bb_operation operation;
    if (!plugin_find_operation(target->plugin, name, &operation) || (operation.flags & BB_WRITES) == 0)
        return NULL;
    switch (config_mode_of(target->config, name)) {
    case MODE_READ:
        return "mode read: refused and recorded, not sent";
    case MODE_DRAFT:
        return "mode draft: waits for `busbar queue approve`";
    case MODE_HANDOFF:
        return (operation.flags & BB_CREATES) != 0 ? NULL : "mode handoff: refused and recorded, not sent";
    case MODE_WRITE_BACK:
        break;
    }
    return NULL;
}
