/* SPDX-License-Identifier: Apache-2.0 */
#include "rehearse.h"

#include "json.h"
#include "loader.h"

void rehearse_name_order(struct bb_job *job, const struct target *target, const char *name, struct bb_message *message)
{
    struct bb_operation operation;
    if (!plugin_find_operation(target->plugin, name, &operation) || operation.order_pointer == NULL)
        return;
    cleanup_json struct json_object *body =
        json_parse((struct span){message->body.data, message->body.len}, NULL, NULL);
    cleanup_buf struct buf text = {0};
    struct json_object *order = json_pointer(body, operation.order_pointer, NULL);
    if (order != NULL && json_to_text(order, &text) && text.len > 0)
        message->order_id = message->source_work_order_id = arena_dup(job->arena, text.data, text.len);
}

void rehearse(struct rehearsal *rehearsal, const struct target *target, const char *operation,
              const struct bb_message *message, int64_t now_ms)
{
    *rehearsal = (struct rehearsal){.out = {.size = sizeof(struct bb_out)}};
    struct bb_job *job = &rehearsal->job;
    target_init_job(target, job, 1, now_ms);
    struct bb_message named = message != NULL ? *message : (struct bb_message){0};
    if (message != NULL)
        rehearse_name_order(job, target, operation, &named);
    struct bb_in in = {.size = sizeof(in),
                       .job = job,
                       .operation = operation,
                       .messages = message != NULL ? &named : NULL,
                       .message_size = sizeof(named),
                       .message_count = message != NULL ? 1 : 0,
                       .state = &job->state,
                       .attempt = 1,
                       .now_ms = now_ms};
    struct cell_call call = {.door = CELL_STEP, .in = &in, .out = &rehearsal->out};
    rehearsal->next = target_ask(target, &call);
    target_forget(target, &call);
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
