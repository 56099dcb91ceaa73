/* SPDX-License-Identifier: Apache-2.0 */
#include "factverse.h"

#include <string.h>

#define AT(member) offsetof(struct fv_config, member)

static const struct bb_option options[] = {
    {"token", BB_SECRET, 0, NULL, BB_REQUIRED, "Bearer token of the service identity"},
    {"provider_id", BB_STRING, AT(provider_id), NULL, BB_REQUIRED,
     "This system's name in FactVerse: as the target's name, unless the deployment has another"},
    {"tenant", BB_STRING, AT(tenant), NULL, 0, "Sent as X-Tenant; a {tenant} in paths and headers"},
    {"paths", BB_JSON, AT(paths), "{}", 0,
     "Method and path of an operation, over the defaults: {work_order.close: {method: PUT, path: /...}}"},
    {"headers", BB_JSON, AT(headers), "{}", 0, "More headers of every request, no secrets: {X-Site: plant-1}"},
    {"answers", BB_JSON, AT(answers), "{}", 0,
     "JSON Pointers of what an answer tells: id, revision, updated; of a list: items, next"},
    {"poll_changes", BB_BOOL, AT(poll_changes), "false", 0,
     "Ask what changed, every poll, where no webhooks come; with both, each change is told twice"},
    {"poll_overlap", BB_DURATION, AT(poll_overlap_ms), "5m", 0, "How far before the last change seen a poll begins"},
};

#define CHANGES (BB_WRITES | BB_WORK_ORDER | BB_UNVERIFIED)
#define ON_ORDER .max_batch = 1, .order_pointer = "/work_order"

/* Setting twice what is set already changes nothing; a second comment would be one more, were the key not heeded. */
static const struct bb_operation operations[] = {
    {.name = "work_order.create",
     .help = "Creates a work order (POST /work-orders)",
     .flags = CHANGES | BB_CREATES | BB_IDEMPOTENT | BB_CAN_LOOKUP,
     .max_batch = 1},
    {.name = "work_order.read",
     .help = "Reads a work order and publishes it; body {\"work_order\": id}",
     .flags = BB_UNVERIFIED | BB_IDEMPOTENT,
     .max_batch = 1},
    {.name = "work_order.search",
     .help = "Reads the work orders that fit and publishes each (GET /work-orders)",
     .flags = BB_UNVERIFIED | BB_IDEMPOTENT,
     .max_batch = 1},
    {.name = "work_order.update",
     .help = "Changes what it names of a work order (PATCH)",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "/common_status"},
    {.name = "work_order.assign",
     .help = "Assigns a work order; body {\"work_order\": id, \"assignee\": name}",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "assigned"},
    {.name = "work_order.comment",
     .help = "Comments a work order; body {\"work_order\": id, \"text\": ...}",
     .flags = CHANGES,
     ON_ORDER},
    {.name = "work_order.attach",
     .help = "Links a document of the ECM; body {\"work_order\": id, \"document_ref\": ...}",
     .flags = CHANGES,
     ON_ORDER},
    {.name = "work_order.complete",
     .help = "Says that the work is done; body {\"work_order\": id}",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "completed"},
    {.name = "work_order.close",
     .help = "Closes a completed work order; body {\"work_order\": id}",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "closed"},
    {.name = "work_order.reopen",
     .help = "Opens again what was over; body {\"work_order\": id}",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "reopened"},
    {.name = "work_order.cancel",
     .help = "Gives up a work order; body {\"work_order\": id}",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "canceled"},
    {.name = "attachment.add",
     .help = "The same as work_order.attach, by the name that other targets have for it",
     .flags = CHANGES,
     ON_ORDER},
    {.name = "task.list",
     .help = "Reads field tasks and publishes each (GET /tasks)",
     .flags = BB_UNVERIFIED | BB_IDEMPOTENT,
     .max_batch = 1},
    {.name = "task.progress",
     .help = "Reports progress; body {\"work_order\": id, \"percent\": 0..100, \"common_status\": ...}",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "/common_status"},
    {.name = "task.issue",
     .help = "Reports an issue found at work; body {\"work_order\": id, \"title\": ...}",
     .flags = CHANGES,
     ON_ORDER},
    {.name = "task.evidence",
     .help = "Links evidence of the work; body {\"work_order\": id, \"document_ref\": ...}",
     .flags = CHANGES,
     ON_ORDER},
    {.name = "task.closeout",
     .help = "Hands the work in; body {\"work_order\": id, \"resolution_note\": ...}",
     .flags = CHANGES | BB_IDEMPOTENT,
     ON_ORDER,
     .moves_to = "completed"},
};

/* FV-04. The first word of each is sent. What is public of FactVerse's words names those of the first four. */
static const struct bb_mapping statuses[] = {
    {"Requested", "requested"},     {"New", "requested"},       {"Submitted", "requested"},
    {"Created", "requested"},       {"Open", "requested"},      {"requested", "requested"},
    {"Triaged", "triaged"},         {"Reviewed", "triaged"},    {"Accepted", "triaged"},
    {"Validated", "triaged"},       {"triaged", "triaged"},     {"Approved", "approved"},
    {"Authorized", "approved"},     {"Released", "approved"},   {"approved", "approved"},
    {"Assigned", "assigned"},       {"assigned", "assigned"},   {"In Progress", "in_progress"},
    {"in_progress", "in_progress"}, {"Blocked", "blocked"},     {"blocked", "blocked"},
    {"Completed", "completed"},     {"completed", "completed"}, {"Closed", "closed"},
    {"closed", "closed"},           {"Canceled", "canceled"},   {"Cancelled", "canceled"},
    {"canceled", "canceled"},       {"Reopened", "reopened"},   {"reopened", "reopened"},
};

static const struct bb_mapping priorities[] = {
    {"Critical", "critical"}, {"critical", "critical"}, {"High", "high"}, {"high", "high"},
    {"Medium", "medium"},     {"medium", "medium"},     {"Low", "low"},   {"low", "low"},
};

static int open_target(const struct bb_host *host, struct bb_job *job, const void *config, void **self,
                       const char **error)
{
    const struct fv_call call = {.host = host, .job = job, .config = config};
    *error = fv_options_problem(&call);
    *self = (void *)(uintptr_t)config; /* read only: all that a target has is its settings */
    return *error ? -1 : 0;
}

static const char *check(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                         struct bb_str body)
{
    const struct fv_call call = {.host = host, .job = job, .config = self};
    const struct fv_shape *shape = fv_find_shape(operation);
    struct fv_message message;
    if (!shape || body.len == 0)
        return NULL;
    fv_message_read(&message, &call, shape, body);
    fv_message_finish(&message);
    return message.faults.text;
}

static struct fv_state *state_of(const struct bb_host *host, const struct bb_in *in)
{
    if (!*in->state)
        *in->state = host->alloc(in->job, sizeof(struct fv_state));
    return *in->state;
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct fv_call call = {host, in->job, self, in, out, state_of(host, in)};
    const struct fv_shape *shape = fv_find_shape(in->operation);
    if (!shape)
        return pl_fail(out, BB_REJECT, BB_VALIDATION, "unknown_operation", "the plugin has no such operation");
    return shape->flags & FV_READS ? fv_read(&call, shape) : fv_write(&call, shape);
}

static enum bb_next poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct fv_call call = {host, in->job, self, in, out, state_of(host, in)};
    return call.config->poll_changes ? fv_poll(&call) : BB_DONE;
}

static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct fv_call call = {host, in->job, self, in, out, NULL};
    return fv_decode(&call);
}

static const char *const dedup_pointers[] = {"/event_id", NULL};

extern BB_EXPORT const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "factverse",
    .title = "DataMesh FactVerse",
    .version = "0.1.0",
    .help =
        "Creates and moves work orders in FactVerse, reports the work on them, links documents, and brings back what "
        "happens there by its webhooks. FactVerse publishes no endpoints: paths, headers and answers are settings.",
    .config_size = sizeof(struct fv_config),
    .options = BB_ITEMS(options),
    .operations = BB_ITEMS(operations),
    .auth = {.scheme = BB_AUTH_BEARER, .secret_option = "token"},
    .hook = {.event_pointer = "/event",
             .dedup_pointers = dedup_pointers,
             .dedup_required = "/event_id",
             .signature = {.header = "X-FactVerse-Signature", /* F-U6: as Mobility Work signs */
                           .pairs = true,
                           .time_key = "t",
                           .nonce_key = "nonce",
                           .sign_key = "signature",
                           .signed_string = "{time}.{nonce}.{body}",
                           .tolerance_ms = 300000}},
    .open = open_target,
    .check = check,
    .step = step,
    .decode = decode,
    .poll = poll,
    .poll_ms = 60000,
    .statuses = statuses,
    .status_count = PL_COUNT(statuses),
    .priorities = priorities,
    .priority_count = PL_COUNT(priorities),
};
