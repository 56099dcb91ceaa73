/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin's process says, when somebody else has got into it: frames, answers with their effects, the description
 * of a target. It is refused, or it is what a plugin could have said here. */
#include "fuzz.h"

#include "cell_wire.h"
#include "descriptor.h"
#include "loader.h"
#include "log.h"

#define ITEMS 3

static void take_answer(struct span members)
{
    struct bb_job job;
    struct bb_out out;
    struct wire_answer answer;
    struct wire wire = {.left = members};
    job_init(&job, "mw", "fuzz", ITEMS, 1700000000000);
    (void)wire_take_number(&wire);
    bool good = wire_take_answer(&wire, &job, &answer, &out);
    HOLDS(good == wire_is_done(&wire));
    const char *misuse = job_review(&job, answer.next, &out);
    if (good && misuse == NULL && answer.next == BB_SEND) {
        HOLDS(out.request.method != NULL && out.request.path != NULL);
        for (size_t i = 0; i < out.request.header_count; i++)
            HOLDS(out.request.headers[i].name != NULL);
    }
    if (good && misuse == NULL && answer.next != BB_SEND && answer.next != BB_DONE)
        HOLDS(host_class_name(out.error.error_class) != NULL && out.error.code != NULL && out.error.message != NULL);
    for (size_t i = 0; i < job.event_count; i++)
        HOLDS(job.events[i].event.type != NULL || job.events[i].event.name != NULL);
    for (size_t i = 0; i < ITEMS; i++)
        HOLDS(job.items[i].verdict == 0 || job.items[i].verdict == BB_DONE || job.items[i].error.code != NULL);
    job_finish(&job);
}

static const struct bb_plugin plugin = {.magic = BB_MAGIC,
                                        .abi = BB_ABI,
                                        .size = sizeof(struct bb_plugin),
                                        .name = "fuzz",
                                        .title = "Fuzz",
                                        .version = "1",
                                        .help = "For fuzzing."};

static void take_opened(struct span members)
{
    const char *error = NULL;
    struct bb_description said;
    struct bb_plugin own;
    struct buf why = {0};
    struct wire wire = {.left = members};
    struct arena *arena = arena_create();
    if (wire_take_opened(&wire, arena, &error, &said))
        HOLDS(plugin_take_description(&plugin, &said, &own, &why) == (why.len == 0));
    buf_finish(&why);
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = {(const char *)data, size}, members;
    uint8_t kind;
    size_t used;
    log_open(true, LOG_ERROR + 1);
    while (wire_next(rest, WIRE_ANSWER_MAX, &kind, &members, &used) > 0) {
        HOLDS(used > 0 && used <= rest.len && members.len + WIRE_HEAD == used);
        if (kind == WIRE_ANSWER)
            take_answer(members);
        else if (kind == WIRE_OPENED)
            take_opened(members);
        rest = (struct span){rest.data + used, rest.len - used};
    }
    return 0;
}
