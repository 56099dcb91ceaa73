/* SPDX-License-Identifier: Apache-2.0 */
/* The child's side: loads the plugin, gives up what it does not need, opens the plugin, then answers call after call.
 *
 * Each answer is sent before the next call begins, so that the daemon knows by what is missing which call it died of.
 * The plugin is given the host's own functions; those with an effect outside the job are written down instead, for the
 * daemon to do. A job stands from its first call to a verdict, or until it is forgotten. */
#include "cell_child.h"
#include "cell_jail.h"
#include "cell_wire.h"

#include "clock.h"
#include "loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)
#define RECEIVED_MAX ((size_t)UINT32_MAX) /* the daemon is trusted */

struct inmate_job {
    struct bb_job job; /* first: what the plugin holds is this */
    struct inmate *inmate;
    struct inmate_job *next;
    int64_t number;
    struct bb_in in;
};

struct inmate {
    int fd;
    struct buf received, effects, said;
    size_t read; /* of received, what has been dealt with */
    const struct bb_plugin *plugin;
    void *self;
    struct bb_host host;
    struct mapping_table tables[WORD_LISTS];
    char *target;
    struct arena *arena; /* settings and tables */
    struct inmate_job *jobs;
};

/* ---- the socket */

/* Nobody is there to be told: an end of the socket is the end. */
static void say(struct inmate *inmate)
{
    for (size_t at = 0; at < inmate->said.len;) {
        ssize_t sent = write(inmate->fd, inmate->said.data + at, inmate->said.len - at);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            _exit(0);
        at += (size_t)sent;
    }
    buf_clear(&inmate->said);
}

static void hear(struct inmate *inmate)
{
    buf_reserve(&inmate->received, READ_BYTES);
    ssize_t got;
    do
        got = read(inmate->fd, inmate->received.data + inmate->received.len, READ_BYTES);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        _exit(0);
    inmate->received.len += (size_t)got;
}

static void drop_read(struct inmate *inmate)
{
    if (inmate->read == 0)
        return;
    inmate->received.len -= inmate->read;
    memmove(inmate->received.data, inmate->received.data + inmate->read, inmate->received.len);
    inmate->read = 0;
}

/* The next frame; valid until the next one is heard. */
static uint8_t next_frame(struct inmate *inmate, struct wire *wire)
{
    uint8_t kind = 0;
    size_t used = 0;
    for (;;) {
        struct span rest = {inmate->received.data + inmate->read, inmate->received.len - inmate->read};
        if (wire_next(rest, RECEIVED_MAX, &kind, &wire->left, &used) > 0)
            break;
        drop_read(inmate);
        hear(inmate);
    }
    inmate->read += used;
    wire->bad = false;
    return kind;
}

/* The note stands behind the calls that were sent before it was asked for: they stay where they are. */
static char *take_note(struct inmate *inmate)
{
    size_t at = 0;
    drop_read(inmate);
    for (;;) {
        uint8_t kind;
        size_t used;
        struct wire wire = {0};
        struct span rest = {inmate->received.data + at, inmate->received.len - at};
        if (wire_next(rest, RECEIVED_MAX, &kind, &wire.left, &used) <= 0) {
            hear(inmate);
        } else if (kind != WIRE_NOTE) {
            at += used;
        } else {
            bool known = wire_bool(&wire);
            struct span value = wire_bytes(&wire);
            char *note = known ? span_dup(value) : NULL;
            char *frame = inmate->received.data + at;
            inmate->received.len -= used;
            memmove(frame, frame + used, inmate->received.len - at);
            return note;
        }
    }
}

static char *ask_for_note(void *context, const char *key)
{
    struct inmate_job *job = context;
    struct inmate *inmate = job->inmate;
    size_t at = wire_begin(&inmate->said, WIRE_NOTE_WANTED);
    wire_put_number(&inmate->said, job->number);
    wire_put_text(&inmate->said, key);
    wire_end(&inmate->said, at);
    say(inmate);
    return take_note(inmate);
}

/* ---- what the plugin is offered */

static struct buf *effects_of(struct bb_job *job)
{
    return &((struct inmate_job *)(void *)job)->inmate->effects;
}

/* What the host would not take is not sent either: on_call tells why. */
static void note_emit(struct bb_job *job, const struct bb_event *event)
{
    struct job_event taken;
    if (!job_take_event(job, event, &taken))
        return;
    job->event_count++; /* they are kept by the daemon */
    wire_put_emit(effects_of(job), &taken.event);
}

static void note_settle(struct bb_job *job, size_t i, enum bb_next verdict, const struct bb_error *error)
{
    struct bb_error kept = {0};
    if (error != NULL)
        kept = job_keep_error(job, error);
    wire_put_settle(effects_of(job), i, verdict, error != NULL ? &kept : NULL);
}

static void note_note(struct bb_job *job, const char *key, const char *value)
{
    host_table()->note_put(job, key, value); /* note_get sees it */
    if (job->misuse == NULL)
        wire_put_note(effects_of(job), key, value);
}

static void note_log(struct bb_job *job, enum bb_log_level level, const char *message)
{
    wire_put_log(effects_of(job), level, job_keep_sentence(job, "log: a message", message, JOB_LOG_MAX));
}

static void note_count(struct bb_job *job, const char *name, uint64_t n)
{
    wire_put_count(effects_of(job), name, n);
}

static void furnish(struct bb_host *host)
{
    *host = *host_table();
    host->emit = note_emit;
    host->settle = note_settle;
    host->note_put = note_note;
    host->log = note_log;
    host->count = note_count;
}

/* ---- jobs */

static void begin_job(struct inmate *inmate, struct inmate_job *job, int64_t now_ms)
{
    job_init(&job->job, inmate->target, inmate->plugin->name, 0, now_ms);
    job->job.tables = inmate->tables;
    job->job.read_note = ask_for_note;
    job->job.context = job;
    job->inmate = inmate;
}

static struct inmate_job *job_take(struct inmate *inmate, struct wire *wire, int64_t number)
{
    struct inmate_job *job = mem_alloc(sizeof(*job));
    int64_t now_ms;
    begin_job(inmate, job, 0);
    wire_take_in(wire, job->job.arena, &job->in, &now_ms);
    job->job.now_ms = now_ms;
    job->number = number;
    job->in.job = &job->job;
    job->in.state = &job->job.state;
    job->next = inmate->jobs;
    inmate->jobs = job;
    return job;
}

static struct inmate_job **job_place(struct inmate *inmate, int64_t number)
{
    struct inmate_job **at = &inmate->jobs;
    while (*at != NULL && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

static void job_drop(struct inmate *inmate, int64_t number)
{
    struct inmate_job **at = job_place(inmate, number), *job = *at;
    if (job == NULL)
        return;
    *at = job->next;
    job_finish(&job->job);
    free(job);
}

/* ---- frames */

static void check_body(struct inmate *inmate, struct inmate_job *job, struct bb_out *out)
{
    const struct bb_str body = job->in.message_count > 0 ? job->in.messages[0].body : (struct bb_str){0};
    const char *said = NULL;
    if (inmate->plugin->check != NULL)
        said = inmate->plugin->check(&inmate->host, &job->job, inmate->self, job->in.operation, body);
    out->error.message = job_keep_sentence(&job->job, "what check says", said, JOB_SENTENCE_MAX);
}

static enum bb_next enter(struct inmate *inmate, struct inmate_job *job, enum cell_door door, struct bb_out *out)
{
    const struct bb_plugin *plugin = inmate->plugin;
    *out = (struct bb_out){.size = sizeof(*out)};
    buf_clear(&inmate->effects);
    switch (door) {
    case CELL_STEP:
        return plugin->step != NULL ? plugin->step(&inmate->host, inmate->self, &job->in, out) : 0;
    case CELL_DECODE:
        return plugin->decode != NULL ? plugin->decode(&inmate->host, inmate->self, &job->in, out) : 0;
    case CELL_POLL:
        return plugin->poll != NULL ? plugin->poll(&inmate->host, inmate->self, &job->in, out) : 0;
    case CELL_CHECK:
        check_body(inmate, job, out);
        return BB_DONE;
    }
    return 0;
}

static void put_answer(struct inmate *inmate, struct bb_job *job, struct wire_answer *answer, struct bb_out *out)
{
    answer->flaw = job->flaw;
    job->flaw = NULL; /* told */
    wire_put_answer(&inmate->said, answer, out, buf_span(&inmate->effects));
    if (inmate->said.len <= WIRE_HEAD + WIRE_ANSWER_MAX)
        return;
    buf_clear(&inmate->said);
    answer->misuse = "what it answers and says is over 32 MiB, which no process of its own may send";
    wire_put_answer(&inmate->said, answer, &(struct bb_out){.size = sizeof(*out)}, (struct span){NULL, 0});
}

/* A call, or all calls of a job so far: of those before the last the daemon has the answers. The frame is read to its
 * end first: a plugin that asks for a note has the next ones heard in its place. */
static void on_call(struct inmate *inmate, struct wire *wire)
{
    struct bb_out out = {0};
    struct wire_answer answer = {.number = wire_number(wire)};
    enum cell_door door = (enum cell_door)wire_number_in(wire, CELL_STEP, CELL_CHECK);
    bool fresh = wire_bool(wire);
    if (fresh)
        job_drop(inmate, answer.number);
    struct inmate_job *job = fresh ? job_take(inmate, wire, answer.number) : *job_place(inmate, answer.number);
    size_t count = (size_t)wire_number_in(wire, 0, INT32_MAX);
    if (job == NULL || wire->bad)
        _exit(1);
    const struct bb_response **responses = arena_alloc(job->job.arena, (count + 1) * sizeof(*responses));
    for (size_t i = 0; i < count; i++)
        responses[i] = wire_take_response(wire, job->job.arena);
    if (!wire_is_done(wire))
        _exit(1);
    int64_t began_us = clock_monotonic_us();
    if (fresh)
        answer.next = enter(inmate, job, door, &out);
    for (size_t i = 0; i < count; i++) {
        job->in.response = responses[i];
        began_us = clock_monotonic_us();
        answer.next = enter(inmate, job, door, &out);
    }
    answer.took_us = clock_monotonic_us() - began_us;
    if (door != CELL_CHECK) /* it reads what the plugin points to: what dies of that is this process */
        answer.misuse = job_review(&job->job, answer.next, &out);
    put_answer(inmate, &job->job, &answer, &out);
    say(inmate);
    if (answer.next != BB_SEND)
        job_drop(inmate, answer.number);
}

/* In the memory of the plugin's job. */
static const char *open_plugin(struct inmate *inmate, struct inmate_job *job, void *config)
{
    const char *error = NULL;
    inmate->self = config;
    if (inmate->plugin->open == NULL)
        return NULL;
    inmate->self = NULL;
    if (inmate->plugin->open(&inmate->host, &job->job, config, &inmate->self, &error) == 0)
        return NULL;
    return error != NULL ? error : "no reason";
}

static void describe(struct inmate *inmate, struct bb_description *description)
{
    const struct bb_plugin *plugin = inmate->plugin;
    *description = (struct bb_description){.size = sizeof(*description),
                                           .operations = plugin->operations,
                                           .operation_size = plugin->operation_size,
                                           .operation_count = plugin->operation_count,
                                           .hook = plugin->hook,
                                           .poll_ms = plugin->poll_ms};
    if (plugin->describe != NULL)
        plugin->describe(inmate->self, description);
}

static void on_open(struct inmate *inmate, struct wire *wire)
{
    struct bb_description description = {0};
    struct inmate_job job = {0};
    cleanup_text char *fault = NULL;
    const char *path = wire_text(wire, inmate->arena), *target = wire_text(wire, inmate->arena), *error = NULL;
    int64_t memory_bytes = wire_number(wire);
    const struct loaded_plugin *loaded = path != NULL ? loader_load(path, &fault) : NULL;
    if (loaded == NULL)
        error = fault != NULL ? fault : "no plugin";
    else
        error = jail_close(memory_bytes);
    inmate->target = mem_strdup(target);
    if (error == NULL) {
        inmate->plugin = &loaded->descriptor;
        void *config = arena_alloc(inmate->arena, inmate->plugin->config_size + 1);
        wire_take_settings(wire, inmate->arena, inmate->plugin, config);
        wire_take_tables(wire, inmate->arena, inmate->tables);
        begin_job(inmate, &job, 0);
        error = wire_is_done(wire) ? open_plugin(inmate, &job, config) : "its settings cannot be read";
        if (error == NULL)
            describe(inmate, &description);
    }
    wire_put_opened(&inmate->said, error, &description);
    say(inmate);
    job_finish(&job.job);
    if (error != NULL)
        _exit(1);
}

static void end_without_memory(void)
{
    _exit(CHILD_NO_MEMORY);
}

int cell_serve(int fd)
{
    mem_on_failure(end_without_memory);
    const char *wrong = jail_begin();
    struct inmate inmate = {.fd = fd, .arena = arena_create()};
    struct wire wire;
    furnish(&inmate.host);
    if (wrong != NULL || next_frame(&inmate, &wire) != WIRE_OPEN)
        return 1;
    on_open(&inmate, &wire);
    for (;;)
        switch (next_frame(&inmate, &wire)) {
        case WIRE_CALL:
            on_call(&inmate, &wire);
            break;
        case WIRE_FORGET:
            job_drop(&inmate, wire_number(&wire));
            break;
        default:
            return 1;
        }
}
