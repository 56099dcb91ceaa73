/* SPDX-License-Identifier: Apache-2.0 */
/* One instance answers some nonsense alone. A second one does the same while another, with other settings, takes its
 * turn before each conversation: what it answers must be the same, word for word. */
#include "conform_private.h"

#include <stdlib.h>
#include <string.h>

struct twins {
    struct target *one, *other; /* other NULL: one is alone */
    char **alone;               /* what it answered, by trial */
    size_t count, cap, at;
};

static void play_as(struct conform *c, struct target *target, const struct trial *trial, struct buf *transcript)
{
    c->target = target;
    c->transcript = transcript;
    trial_play(c, trial);
    c->transcript = NULL;
}

/* The first line in which they differ. */
static void say_difference(struct conform *c, const char *alone, const char *beside)
{
    while (*alone && *beside) {
        const size_t a = strcspn(alone, "\n"), b = strcspn(beside, "\n");
        if (a != b || memcmp(alone, beside, a) != 0)
            break;
        alone += a + (alone[a] == '\n');
        beside += b + (beside[b] == '\n');
    }
    const size_t a = strcspn(alone, "\n"), b = strcspn(beside, "\n");
    conform_complain_of_call(c, RULE_GLOBALS,
                             "alone it answers \"%.*s\", beside an instance with other settings \"%.*s\"",
                             (int)(a < 80 ? a : 80), alone, (int)(b < 80 ? b : 80), beside);
}

static bool play_twins(struct conform *c, const struct trial *trial, void *context)
{
    struct twins *twins = context;
    struct buf said cleanup_buf = {0}, nothing cleanup_buf = {0};
    struct bb_operation operation;
    if (!twins->other) {
        play_as(c, twins->one, trial, &said);
        twins->alone = mem_grow(twins->alone, &twins->cap, twins->count + 1, sizeof *twins->alone);
        twins->alone[twins->count++] = buf_steal(&said);
        return true;
    }
    if (trial->door != DOOR_STEP || plugin_find_operation(twins->other->plugin, trial->operation, &operation))
        play_as(c, twins->other, trial, &nothing);
    play_as(c, twins->one, trial, &said);
    const char *alone = twins->at < twins->count ? twins->alone[twins->at++] : "";
    if (span_is(buf_span(&said), alone))
        return true;
    say_difference(c, alone, said.data ? said.data : "");
    return false;
}

void twins_check(struct conform *c, struct target *(*open)(void *context, bool other), void *context)
{
    struct target *const was = c->target;
    struct twins twins = {.one = open(context, false)};
    c->silent = true;
    c->target = twins.one;
    if (twins.one)
        sweep_some(c, play_twins, &twins);
    target_destroy(twins.one);
    twins.one = open(context, false);
    twins.other = open(context, true);
    c->target = twins.one;
    c->silent = false;
    if (twins.one && twins.other)
        sweep_some(c, play_twins, &twins);
    target_destroy(twins.one);
    target_destroy(twins.other);
    for (size_t i = 0; i < twins.count; i++)
        free(twins.alone[i]);
    free(twins.alone);
    c->target = was;
}
