/* SPDX-License-Identifier: Apache-2.0 */
#include "assetic.h"

#include <string.h>

#define AT(member) offsetof(struct as_config, member)

static const struct bb_option options[] = {
    {"user", BB_STRING, AT(user), NULL, BB_REQUIRED, "Name of the API user; it needs the role Mnt Admin"},
    {"token", BB_SECRET, 0, NULL, BB_REQUIRED, "The user's API password token"},
    {"time_zone", BB_STRING, AT(time_zone), NULL, BB_REQUIRED,
     "The site's zone as a POSIX TZ text, such as AEST-10AEDT,M10.1.0,M4.1.0/3"},
    {"status", BB_STRING, AT(status), "PREP", 0, "Status of an order whose message does not say"},
    {"late_statuses", BB_BOOL, AT(late_statuses), "false", 0, "Orders may be created at APPR and later"},
    {"defaults", BB_JSON, AT(defaults), "{}", 0, "Members of every order whose message does not say otherwise"},
    {"remedy", BB_STRING, AT(remedy), "always", 0, "When RemedyCodeId is required: always or by_worktype"},
    {"fcr_definition", BB_STRING, AT(fcr_definition), NULL, 0,
     "The failure/cause/remedy definition whose codes are meant"},
    {"cut_description", BB_BOOL, AT(cut_description), "false", 0,
     "Cut a brief description at 250 characters rather than refuse it"},
    {"duration_factor", BB_NUMBER, AT(duration_factor), "1", 0,
     "What EstimatedDuration, in hours, is multiplied by; 60 for a site that counts minutes"},
    {"auth_pointer", BB_STRING, AT(auth_pointer), "/ResourceId", 0,
     "Where GET /api/v2/auth tells the user's resource id; the default is unverified"},
    {"max_attachment", BB_INT, AT(max_attachment), "10485760", 0, "Bytes that an attachment may have"},
    {"poll_overlap", BB_DURATION, AT(poll_overlap_ms), "5m", 0, "How far before the last change seen a poll begins"},
};

static const struct bb_operation operations[] = {
    {.name = "work_order.create",
     .help = "Creates a work order (POST /api/v2/workorder)",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_CAN_LOOKUP,
     .max_batch = 1},
    {.name = "attachment.add",
     .help = "Attaches a file or link to a work order (POST /api/v2/document)",
     .flags = BB_WRITES | BB_UNVERIFIED,
     .max_batch = 1},
    {.name = "account.check",
     .help = "Asks who the API user is, which proves user and token (GET /api/v2/auth)",
     .flags = BB_IDEMPOTENT | BB_AT_START,
     .max_batch = 1},
    {.name = "contract.check",
     .help = "Compares the site's own description of its API with what this plugin sends (GET /apidocs)",
     .flags = BB_IDEMPOTENT | BB_UNVERIFIED,
     .max_batch = 1},
};

/* FV-04. What the codes mean is not spelt out by the vendor; a site's map changes and adds. A priority is a number
 * whose meaning each site chose, so there is no table of ours. */
static const struct bb_mapping statuses[] = {
    {"PREP", "requested"},    {"WAPPR", "triaged"},   {"APPR", "approved"},  {"WMATL", "blocked"}, {"RFE", "assigned"},
    {"INPRG", "in_progress"}, {"TCOMP", "completed"}, {"COMP", "completed"}, {"ASSESS", "closed"}, {"CAN", "canceled"},
};

static const struct {
    const char *name;
    enum bb_next (*step)(const struct as_call *call);
    const char *(*check)(const struct as_call *call, struct bb_str body);
} handlers[] = {
    {"work_order.create", as_order_create, as_order_check},
    {"attachment.add", as_attachment_add, as_attachment_check},
    {"account.check", as_account, NULL},
    {"contract.check", as_contract, as_contract_check},
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
    struct as_call call = {.host = host, .job = job, .config = config};
    *error = as_order_options(&call);
    if (!*error && (call.config->max_attachment < 1 || call.config->poll_overlap_ms < 0))
        *error = "max_attachment must be 1 or more, poll_overlap 0 or more";
    *self = (void *)(uintptr_t)config; /* read only: all that a target has is its settings */
    return *error ? -1 : 0;
}

static const char *check(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                         struct bb_str body)
{
    struct as_call call = {.host = host, .job = job, .config = self};
    size_t i = find_handler(operation);
    return i < PL_COUNT(handlers) && handlers[i].check && body.len > 0 ? handlers[i].check(&call, body) : NULL;
}

static struct as_state *state_of(const struct bb_host *host, const struct bb_in *in)
{
    if (!*in->state)
        *in->state = host->alloc(in->job, sizeof(struct as_state));
    return *in->state;
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    struct as_want want = {0};
    struct as_call call = {host, in->job, self, in, out, state_of(host, in), &want};
    size_t i = find_handler(in->operation);
    if (i < PL_COUNT(handlers))
        return handlers[i].step(&call);
    return pl_fail(call.out, BB_REJECT, BB_VALIDATION, "unknown_operation", "the plugin has no such operation");
}

static enum bb_next poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    struct as_call call = {host, in->job, self, in, out, state_of(host, in), NULL};
    return as_poll(&call);
}

extern BB_EXPORT const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "assetic",
    .title = "Brightly Assetic",
    .version = "0.1.0",
    .help = "Creates work orders in Brightly Assetic, attaches files to them, and brings back what becomes of them by "
            "asking for what changed.",
    .config_size = sizeof(struct as_config),
    .options = options,
    .option_size = sizeof options[0],
    .option_count = PL_COUNT(options),
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = PL_COUNT(operations),
    .auth = {.scheme = BB_AUTH_BASIC, .secret_option = "token", .user_option = "user"}, /* AS-C03 */
    .open = open_target,
    .check = check,
    .step = step,
    .poll = poll,
    .poll_ms = 60000,
    .statuses = statuses,
    .status_count = PL_COUNT(statuses),
};
