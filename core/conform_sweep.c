/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of body with some answers, each status class with some bodies: all with all would be ten times as many and
 * would find no more. */
#include "conform_private.h"

#include "fence.h"

#include <stdio.h>
#include <string.h>

#define DEEP 60
#define COUNT(array) (sizeof(array) / sizeof *(array))

static char deep_array[2 * DEEP + 1], deep_object[6 * DEEP + 2], long_text[70000];

static const char *const bodies[] = {"{}",        "{\"id\":null,\"name\":0,\"type\":[],\"value\":{}}",
                                     "[]",        "null",
                                     "\"\"",      "0",
                                     "true",      "-1e308",
                                     "{\"\":{}}", "[null,{},[]]",
                                     deep_array,  deep_object,
                                     long_text};
static const char *const answers[] = {
    "{}",       "",          "<html>",
    "null",     "[]",        "{\"a\":",
    "\xff\xfe", "0",         "{\"id\":\"\xff\",\"message\":\"\xff\",\"error\":\"\xff\",\"code\":\"\xff\"}",
    deep_array, deep_object, long_text};
static const int classes[] = {200, 400, 503};
static const int statuses[] = {100, 103, 201, 202, 204, 206, 300, 301, 302, 304, 307, 308, 401, 403, 404, 405,
                               408, 409, 410, 412, 413, 422, 425, 428, 429, 451, 500, 501, 502, 504, 599};

static void make_nonsense(void)
{
    memset(deep_array, '[', DEEP);
    memset(deep_array + DEEP, ']', DEEP);
    char *at = deep_object;
    for (int i = 0; i < DEEP - 1; i++, at += 5)
        memcpy(at, "{\"a\":", 5);
    memcpy(at, "1", 1);
    memset(at + 1, '}', DEEP - 1);
    memset(long_text, 'x', sizeof long_text - 1);
    memcpy(long_text, "{\"id\":\"", 7);
    memcpy(long_text + sizeof long_text - 3, "\"}", 2);
}

/* ---- everything at one door ---------------------------------------------------------------- */

static void try_one(struct conform *c, struct trial trial, size_t most, bool batches)
{
    if (trial_too_slow(c))
        return;
    trial_play(c, &trial);
    if (trial.door != DOOR_STEP || most == 0) /* only what delivers may have been sent before */
        return;
    trial.uncertain = true;
    trial_play(c, &trial);
    const size_t fit = BATCH_BYTES / (strlen(trial.body) + 1);
    trial.messages = most < fit ? most : fit;
    if (trial.messages > MOST_BATCH)
        trial.messages = MOST_BATCH;
    if (trial.messages > 1 && batches)
        trial_play(c, &trial);
}

static void try_door(struct conform *c, enum door door, const char *operation, size_t most)
{
    struct trial trial = {.door = door, .operation = operation, .messages = most ? 1 : 0, .answer = ""};
    for (size_t b = 0; b < (most ? COUNT(bodies) : 1); b++) {
        trial.body = bodies[b];
        if (door == DOOR_DECODE) { /* the door lets only objects through, and nothing is sent */
            if (*trial.body == '{')
                try_one(c, trial, most, false);
            continue;
        }
        for (size_t a = 0; a < COUNT(answers); a++)
            for (size_t s = 0; s < COUNT(classes); s++) {
                trial.answer = answers[a];
                trial.status = classes[s];
                try_one(c, trial, most, a < 2);
            }
        for (size_t s = 0; b < 3 && s < COUNT(statuses); s++)
            for (size_t a = 0; a < 3; a++) {
                trial.answer = answers[a];
                trial.status = statuses[s];
                try_one(c, trial, most, a < 2);
            }
    }
}

static void try_check(struct conform *c, const char *operation)
{
    const struct bb_plugin *plugin = c->target->plugin;
    for (size_t i = 0; plugin->check && i < COUNT(bodies); i++) {
        struct bb_job job;
        target_init_job(c->target, &job, 0, CHECK_NOW_MS);
        snprintf(c->shared->doing, sizeof c->shared->doing, "check of %s with %.40s", operation, bodies[i]);
        inputs_begin(&c->inputs);
        const struct bb_str body = inputs_text(&c->inputs, bodies[i]);
        fence_begin();
        fence_watch("the body", body.data, body.len);
        fence_watch_settings(plugin, c->target->plugin_config);
        const int64_t before = trial_begin_call();
        const char *said = plugin->check(&c->host, &job, c->target->self, operation, body);
        trial_end_call(c, before);
        (void)trial_check_fence(c);
        c->shared->reading = true;
        if (!span_is_utf8(span_of(said)))
            conform_complain_of_call(c, RULE_TEXT, "what check says is not UTF-8");
        c->shared->reading = false;
        job_finish(&job);
    }
}

void sweep_all(struct conform *c)
{
    make_nonsense();
    const struct bb_plugin *plugin = c->target->plugin;
    struct bb_operation operation;
    for (size_t i = 0; plugin_operation(plugin, i, &operation); i++) {
        try_door(c, DOOR_STEP, operation.name, operation.flags & BB_AT_START ? 0 : operation.max_batch);
        try_check(c, operation.name);
    }
    if (plugin->decode)
        try_door(c, DOOR_DECODE, NULL, 1);
    if (plugin->poll)
        try_door(c, DOOR_POLL, NULL, 0);
}

/* ---- some of it ------------------------------------------------------------------------------- */

static bool some_of_door(struct conform *c, struct trial trial, size_t most,
                         bool (*each)(struct conform *c, const struct trial *trial, void *context), void *context)
{
    static const char *const some_answers[] = {"{}", "<html>", deep_object};
    static const int some_statuses[] = {200, 302, 400, 503};
    static const size_t some_bodies[] = {0, 1, 2, 12};
    for (size_t b = 0; b < (most ? COUNT(some_bodies) : 1); b++)
        for (size_t s = 0; s < (trial.door == DOOR_DECODE ? 1 : COUNT(some_statuses)); s++)
            for (size_t a = 0; a < (trial.door == DOOR_DECODE ? 1 : COUNT(some_answers)); a++) {
                trial.body = bodies[some_bodies[b]];
                trial.status = some_statuses[s];
                trial.answer = some_answers[a];
                trial.messages = most > 3 && a == 1 ? 3 : most > 0;
                if (trial.door == DOOR_DECODE && *trial.body != '{')
                    continue;
                if (trial_too_slow(c) || !each(c, &trial, context))
                    return false;
            }
    return true;
}

void sweep_some(struct conform *c, bool (*each)(struct conform *c, const struct trial *trial, void *context),
                void *context)
{
    make_nonsense();
    const struct bb_plugin *plugin = c->target->plugin;
    struct bb_operation operation;
    for (size_t i = 0; plugin_operation(plugin, i, &operation); i++) {
        const struct trial trial = {.door = DOOR_STEP, .operation = operation.name};
        if (!some_of_door(c, trial, operation.flags & BB_AT_START ? 0 : operation.max_batch, each, context))
            return;
    }
    if (plugin->decode && !some_of_door(c, (struct trial){.door = DOOR_DECODE}, 1, each, context))
        return;
    if (plugin->poll)
        (void)some_of_door(c, (struct trial){.door = DOOR_POLL}, 0, each, context);
}
