/* SPDX-License-Identifier: Apache-2.0 */
#include "mobility_work.h"

#include <string.h>

#define HOUR_MS INT64_C(3600000)
#define BATCH_MAX 10000 /* MW-C10 */

static const struct bb_option options[] = {
    {"api_key", BB_SECRET, 0, NULL, BB_REQUIRED, "The network's API key, sent as Api-Key; one key is one network"},
    {"network_name", BB_STRING, offsetof(struct mw_config, network_name), NULL, BB_REQUIRED,
     "Name of the network; Mobility Work wants it in the User-Agent"},
    {"equipment_type", BB_STRING, offsetof(struct mw_config, equipment_type), "external", 0,
     "Type of identifier that an equipment given as a bare string has"},
    {"assignee_type", BB_STRING, offsetof(struct mw_config, assignee_type), "email", 0,
     "Type of identifier that an assignee given as a bare string has"},
    {"tag_type", BB_STRING, offsetof(struct mw_config, tag_type), "code", 0,
     "Type of identifier that a tag given as a bare string has"},
    {"spare_part_type", BB_STRING, offsetof(struct mw_config, spare_part_type), "externalReference", 0,
     "Type of identifier that a spare part given as a bare string has"},
    {"defaults", BB_JSON, offsetof(struct mw_config, defaults), "{}", 0,
     "Members of every task, in Mobility Work's words, such as assignees; a message's own win"},
    {"task_duration", BB_DURATION, offsetof(struct mw_config, task_duration_ms), "1h", 0,
     "How long the task of a work order lasts that says no end"},
    {"plan_path", BB_STRING, offsetof(struct mw_config, plan_path), "/partners/v1/maintenance-plans/{planId}/trigger",
     0, "Path that triggers a maintenance plan; the default is unverified"},
    {"plan_method", BB_STRING, offsetof(struct mw_config, plan_method), "POST", 0,
     "Method that triggers a maintenance plan: POST, PUT, PATCH or GET"},
    {"plan_body", BB_JSON, offsetof(struct mw_config, plan_body), "{}", 0,
     "Body that triggers a maintenance plan; strings may hold {planId} {id} {orderId} {topic} {time}"},
    {"plan_success", BB_JSON, offsetof(struct mw_config, plan_success), "[200, 201, 202, 204]", 0,
     "HTTP statuses by which a maintenance plan was triggered; unverified like its request"},
    {"currency", BB_STRING, offsetof(struct mw_config, currency), NULL, 0,
     "Currency (ISO 4217) of a price whose message names none; when left out, the network's own"},
    {"part_price_member", BB_STRING, offsetof(struct mw_config, part_price_member), "unitPrice", 0,
     "Name under which a new spare part's price is sent; the default is unverified"},
    {"part_price_body", BB_JSON, offsetof(struct mw_config, part_price_body),
     "{\"amount\": \"{amount}\", \"currency\": \"{currency}\"}", 0,
     "Object that a new spare part's price is sent as; the strings {amount} and {currency} are replaced"},
    {"part_stock_member", BB_STRING, offsetof(struct mw_config, part_stock_member), "stock", 0,
     "Name under which a new spare part's stock is sent; the default is unverified"},
    {"part_stock_body", BB_JSON, offsetof(struct mw_config, part_stock_body), "{\"quantity\": \"{quantity}\"}", 0,
     "Object that a new spare part's stock is sent as; the string {quantity} is replaced; unverified"},
};

static const struct bb_operation operations[] = {
    {.name = "work_order.create",
     .help = "Schedules a task from the words that all targets understand: asset_ref, title ...",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_REPEAT_5XX,
     .max_batch = 1},
    {.name = "task.schedule",
     .help = "Schedules a task on an equipment (POST /partners/v1/tasks)",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_REPEAT_5XX,
     .max_batch = 1},
    {.name = "maintenance_plan.trigger",
     .help = "Makes one task of a predefined maintenance plan; body {\"planId\": \"...\"}",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_UNVERIFIED | BB_PARK | BB_REPEAT_5XX,
     .max_batch = 1,
     .default_cooldown_ms = HOUR_MS,
     .default_budget = "24/1d",
     .budget_pointer = "/planId"},
    /* No mark travels with master data, so a create whose answer was lost is parked. */
    {.name = "spare_part.create",
     .help = "Creates a spare part (POST /partners/v1/spare-parts)",
     .flags = BB_WRITES | BB_CREATES | BB_UNVERIFIED | BB_PARK | BB_REPEAT_5XX,
     .max_batch = BATCH_MAX},
    {.name = "spare_part.set_stock",
     .help = "Sets a spare part's stock; body {\"id\": ..., \"quantity\": ...} (PUT /partners/v1/spare-parts/stock)",
     .flags = BB_WRITES | BB_IDEMPOTENT,
     .max_batch = BATCH_MAX,
     .coalesce = "/id"},
    {.name = "spare_part.update",
     .help = "Changes what it names of a spare part, null unsets (POST /partners/v1/spare-parts/attributes)",
     .flags = BB_WRITES | BB_IDEMPOTENT,
     .max_batch = BATCH_MAX},
    {.name = "spare_part.relocate",
     .help = "Moves a spare part's whole stock to a location (POST /partners/v1/spare-parts/relocate/bulk)",
     .flags = BB_WRITES | BB_IDEMPOTENT,
     .max_batch = BATCH_MAX},
    {.name = "equipment.create",
     .help = "Creates an equipment (POST /partners/v1/equipments)",
     .flags = BB_WRITES | BB_CREATES | BB_PARK | BB_REPEAT_5XX,
     .max_batch = BATCH_MAX},
    {.name = "equipment.update",
     .help = "Changes what it names of an equipment, null unsets (POST /partners/v1/equipment/attributes)",
     .flags = BB_WRITES | BB_IDEMPOTENT,
     .max_batch = BATCH_MAX},
    {.name = "location.create",
     .help = "Creates a storage location (POST /partners/v1/locations/create/bulk)",
     .flags = BB_WRITES | BB_CREATES | BB_PARK | BB_REPEAT_5XX,
     .max_batch = BATCH_MAX},
    {.name = "network.settings",
     .help = "Reads the network's settings, which proves the key (GET /partners/v1/network/settings)",
     .flags = BB_IDEMPOTENT | BB_AT_START,
     .max_batch = 1},
};

static const struct {
    const char *name;
    enum bb_next (*step)(const struct mw_call *call);
    const char *(*check)(const struct mw_call *call, struct bb_str body);
    const struct mw_bulk *bulk; /* instead of the two */
} handlers[] = {
    {"work_order.create", mw_order_create, mw_order_check, NULL},
    {"task.schedule", mw_task_schedule, mw_task_check, NULL},
    {"maintenance_plan.trigger", mw_plan_trigger, mw_plan_check, NULL},
    {"network.settings", mw_network_settings, NULL, NULL},
    {.name = "spare_part.create", .bulk = &mw_spare_part_create},
    {.name = "spare_part.set_stock", .bulk = &mw_spare_part_set_stock},
    {.name = "spare_part.update", .bulk = &mw_spare_part_update},
    {.name = "spare_part.relocate", .bulk = &mw_spare_part_relocate},
    {.name = "equipment.create", .bulk = &mw_equipment_create},
    {.name = "equipment.update", .bulk = &mw_equipment_update},
    {.name = "location.create", .bulk = &mw_location_create},
};

static size_t find_handler(const char *operation)
{
    size_t i = 0;
    while (i < PL_COUNT(handlers) && strcmp(handlers[i].name, operation) != 0)
        i++;
    return i;
}

static int open_target(const struct bb_host *host, struct bb_job *job, const void *config, void **self,
                       const char **error)
{
    struct mw_call call = {.host = host, .job = job, .config = config};
    *error = mw_plan_options(&call);
    if (!*error)
        *error = mw_item_options(&call);
    if (!*error)
        *error = mw_task_options(&call);
    *self = (void *)(uintptr_t)config; /* read only: all that a target has is its settings */
    return *error ? -1 : 0;
}

static const char *check(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                         struct bb_str body)
{
    struct mw_call call = {.host = host, .job = job, .config = self};
    size_t i = find_handler(operation);
    if (i == PL_COUNT(handlers) || body.len == 0)
        return NULL;
    if (handlers[i].bulk)
        return mw_bulk_check(&call, handlers[i].bulk, body);
    return handlers[i].check ? handlers[i].check(&call, body) : NULL;
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    struct mw_call call = {.host = host, .job = in->job, .config = self, .in = in, .out = out};
    size_t i = find_handler(in->operation);
    if (i < PL_COUNT(handlers))
        return handlers[i].bulk ? mw_bulk_step(&call, handlers[i].bulk) : handlers[i].step(&call);
    out->error = (struct bb_error){
        .error_class = BB_VALIDATION, .code = "unknown_operation", .message = "the plugin has no such operation"};
    return BB_REJECT;
}

static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    struct mw_call call = {.host = host, .job = in->job, .config = self, .in = in, .out = out};
    return mw_decode(&call);
}

/* FV-04. Mobility Work tells events and no status: the last event is the word. */
static const struct bb_mapping statuses[] = {
    {"TaskWasScheduled", "assigned"},  {"TaskWasStarted", "in_progress"}, {"ActivityWasAddedOnTask", "in_progress"},
    {"TaskWasCompleted", "completed"}, {"TaskWasCanceled", "canceled"},
};

/* The samples share one idempotency key over all events, so the key alone is not enough (U5). */
static const char *const dedup_pointers[] = {"/networkId", "/_event", "/_idempotencyKey", NULL};

extern BB_EXPORT const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "mobility_work",
    .title = "Mobility Work",
    .version = "0.1.0",
    .help =
        "Schedules tasks and triggers maintenance plans in Mobility Work, keeps its spare parts, stocks, locations and "
        "equipments, and brings back what happens to tasks and spare parts by its webhooks.",
    .default_url = "https://api.mobility-work.com",
    .config_size = sizeof(struct mw_config),
    .options = options,
    .option_size = sizeof options[0],
    .option_count = PL_COUNT(options),
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = PL_COUNT(operations),
    .auth = {.scheme = BB_AUTH_HEADER, .header = "Api-Key", .secret_option = "api_key"},
    .hook = {.event_pointer = "/_event",
             .dedup_pointers = dedup_pointers,
             .dedup_required = "/_idempotencyKey",
             .signature = {.header = "X-MW-Signature", /* MW-S01: never Api-Key */
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
    .user_agent_option = "network_name",
    .statuses = statuses,
    .status_count = PL_COUNT(statuses),
    .hook_events = mw_event_names,
};
