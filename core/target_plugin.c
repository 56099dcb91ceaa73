/* SPDX-License-Identifier: Apache-2.0 */
/* A target's plugin, here or in a cell of its own (`isolate: true`): opened, described, asked where the caller waits
 * for the answer. The dispatcher, which does not wait, asks by itself. */
#include "target_private.h"

#include "cell.h"
#include "loader.h"

#define CRASH_AGAIN_MS 1000

/* ---- open */

static void open_here(const struct builder *b)
{
    struct target *target = b->target;
    target->self = target->plugin_config;
    if (!b->plugin->open)
        return;
    struct bb_job job;
    const char *error = NULL;
    target_init_job(target, &job, 0, 0);
    target->self = NULL;
    if (b->plugin->open(host_table(), &job, target->plugin_config, &target->self, &error) != 0)
        problems_add(b->problems, b->config->mark, "target %s: the plugin %s says: %s", b->config->name,
                     b->plugin->name, error ? error : "no reason");
    else
        target->opened = true;
    job_finish(&job);
}

static void own_descriptor(const struct builder *b, bool good, struct bb_plugin *own, const struct buf *why)
{
    if (!good)
        problems_add(b->problems, b->config->mark, "target %s: what the plugin %s makes of it is wrong: %s",
                     b->config->name, b->plugin->name, why->data);
    b->target->plugin = own;
}

static void open_in_cell(const struct builder *b, const struct loaded_plugin *loaded)
{
    struct target *target = b->target;
    const struct cell_options options = {.target = target->name,
                                         .plugin = loaded,
                                         .config = target->plugin_config,
                                         .tables = target->tables,
                                         .memory_bytes = b->config->isolate_memory_bytes,
                                         .limit_ms = b->config->isolate_timeout_ms};
    struct bb_description said;
    target->cell = cell_create(&options);
    const char *fault = cell_open(target->cell, target->arena, &said);
    if (fault)
        problems_add(b->problems, b->config->mark, "target %s: the plugin %s says: %s", b->config->name,
                     b->plugin->name, fault);
    if (fault || !b->plugin->describe)
        return;
    struct buf why cleanup_buf = {0};
    struct bb_plugin *own = arena_alloc(target->arena, sizeof *own);
    bool good = plugin_take_description(b->plugin, &said, own, &why);
    own_descriptor(b, good, own, &why);
}

void target_open_plugin(const struct builder *b, const struct loaded_plugin *loaded)
{
    const size_t errors = b->problems->errors;
    if (b->config->isolate) {
        open_in_cell(b, loaded);
        return;
    }
    open_here(b);
    if (b->problems->errors != errors || !b->plugin->describe)
        return;
    /* Where the settings decide what it can do, the target has a descriptor of its own. */
    struct buf why cleanup_buf = {0};
    struct bb_plugin *own = arena_alloc(b->target->arena, sizeof *own);
    bool good = plugin_describe(b->plugin, b->target->self, own, &why);
    own_descriptor(b, good, own, &why);
}

void target_close_plugin(struct target *target)
{
    if (target->opened && target->plugin->close)
        target->plugin->close(target->self);
    cell_destroy(target->cell);
}

int target_renew_plugin(struct target *target, char **error)
{
    if (!target->cell)
        return 0;
    struct bb_description said; /* what it said first holds */
    struct arena *arena = arena_create();
    cell_stop(target->cell);
    const char *fault = cell_open(target->cell, arena, &said);
    if (fault)
        *error = mem_strdup(fault);
    arena_destroy(arena);
    return fault ? -1 : 0;
}

/* ---- asked, and waited for */

const char *target_check(const struct target *target, struct bb_job *job, const char *operation, struct bb_str body)
{
    if (!target->plugin->check)
        return NULL;
    if (!target->cell)
        return job_keep_sentence(job, "what check says",
                                 target->plugin->check(host_table(), job, target->self, operation, body),
                                 JOB_SENTENCE_MAX);
    const struct bb_message message = {.body = body};
    struct bb_in in = {.size = sizeof in,
                       .job = job,
                       .operation = operation,
                       .messages = &message,
                       .message_size = sizeof message,
                       .message_count = 1};
    struct bb_out out;
    struct cell_call call = {.door = CELL_CHECK, .in = &in, .out = &out};
    const char *failure = NULL;
    (void)cell_wait(target->cell, &call, &failure);
    return failure ? failure : out.error.message;
}

enum bb_next target_ask(const struct target *target, struct cell_call *call)
{
    const struct bb_plugin *plugin = target->plugin;
    const char *failure = NULL;
    if (!target->cell)
        return (call->door == CELL_POLL ? plugin->poll : plugin->step)(host_table(), target->self, call->in, call->out);
    enum bb_next next = cell_wait(target->cell, call, &failure);
    if (!failure)
        return next;
    target_blame_plugin(failure, call->out);
    return BB_RETRY;
}

void target_forget(const struct target *target, struct cell_call *call)
{
    if (target->cell)
        cell_forget(target->cell, call);
}

/* It says nothing of the target, so nothing is gained by the target's backoff. */
void target_blame_plugin(const char *failure, struct bb_out *out)
{
    *out = (struct bb_out){.size = sizeof *out,
                           .retry_after_ms = CRASH_AGAIN_MS,
                           .error = {.error_class = BB_VALIDATION, .code = TARGET_PLUGIN_CRASHED, .message = failure}};
}
