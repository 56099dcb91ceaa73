/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * Calls stand in a line, in the order in which they were asked; the child answers in that order. So the first of the
 * line is what the child is working on, or will be next, and when the child dies that one is to blame.
 *
 * A child is known by its number. A call remembers which child holds its job's state; another one is told the whole
 * job: its messages and every response so far. Notes are remembered as they were first read, so that the repetition
 * goes the same way.
 *
 * The limit of a call is counted in the child's own processor time, so that a busy machine ends nobody; ten times that
 * by the clock, for one that waits for what never comes. Time runs while the line is not empty, anew with each answer.
 *
 * The descriptor that the owner watches is an epoll that holds the socket: it stays the same from child to child. */
#include "cell_child.h"
#include "cell_wire.h"

#include "clock.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)
#define CLOCK_TIMES 10 /* the limit by the clock, in limits */
#define OPEN_TIMES 10  /* the limit of opening: libraries are loaded */
#define LOOKS 16       /* at most at a child in a limit: one that gets no processor may stand before its end for long */
#define LONG_MS 50     /* of processor time in one call: no plugin that keeps the rules needs it */
#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS 10000
#define WAITED_FAILURES 5 /* children, for one who waits */
#define NOTES_MAX 1000    /* that one attempt may read */

struct cell {
    struct cell_options options;
    int epoll;
    struct child process;
    int64_t child;    /* number of the newest */
    bool opening;     /* it has not said yet that the plugin is open */
    bool wants_write; /* the socket took no more */
    struct buf received, to_send;
    size_t sent; /* of to_send */
    struct cell_call *first, *last;
    int64_t calls;        /* numbers given */
    int64_t since_ms;     /* the first of the line is worked on, */
    int64_t since_cpu_us; /* and the child's processor time then */
    int failures;         /* children that died, since one last answered */
    int64_t restart_ms;
    int64_t restarts, ended_ms;
    char ended[160];
    struct metric *metrics[CHILD_ENDS];
    /* of the first opening, for who waits for it */
    struct arena *open_arena;
    struct bb_description *description;
    const char *open_fault;
};

/* ---- the line */

static bool is_working(const struct cell *cell)
{
    return cell->process.socket >= 0 && (cell->opening || cell->first != NULL);
}

static void start_clock(struct cell *cell)
{
    if (!is_working(cell))
        return;
    cell->since_ms = clock_steady_ms();
    cell->since_cpu_us = child_cpu_us(&cell->process);
}

static void append(struct cell *cell, struct cell_call *call)
{
    call->next = NULL;
    if (cell->last != NULL)
        cell->last->next = call;
    else
        cell->first = call;
    cell->last = call;
}

static struct cell_call *take_first(struct cell *cell)
{
    struct cell_call *call = cell->first;
    cell->first = call->next;
    if (cell->first == NULL)
        cell->last = NULL;
    call->next = NULL;
    return call;
}

/* ---- what is sent */

static void put_call(struct cell *cell, struct cell_call *call)
{
    bool fresh = call->child != cell->child;
    size_t first = fresh ? 0 : call->response_count - 1, at = wire_begin(&cell->to_send, WIRE_CALL);
    wire_put_number(&cell->to_send, call->number);
    wire_put_number(&cell->to_send, call->door);
    wire_put_number(&cell->to_send, fresh);
    if (fresh)
        wire_put_in(&cell->to_send, call->in, call->in->job->now_ms);
    wire_put_number(&cell->to_send, (int64_t)(call->response_count - first));
    for (size_t i = first; i < call->response_count; i++)
        wire_put_response(&cell->to_send, call->responses[i]);
    wire_end(&cell->to_send, at);
    call->child = cell->child;
}

static void watch(struct cell *cell, bool wants_write)
{
    struct epoll_event event = {.events = EPOLLIN | (wants_write ? (unsigned)EPOLLOUT : 0)};
    if (wants_write != cell->wants_write)
        epoll_ctl(cell->epoll, EPOLL_CTL_MOD, cell->process.socket, &event);
    cell->wants_write = wants_write;
}

void cell_flush(struct cell *cell)
{
    if (cell->process.socket < 0)
        return;
    while (cell->sent < cell->to_send.len) {
        ssize_t sent = send(cell->process.socket, cell->to_send.data + cell->sent, cell->to_send.len - cell->sent,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            watch(cell, errno == EAGAIN); /* else it is gone, as reading will tell */
            return;
        }
        cell->sent += (size_t)sent;
    }
    buf_clear(&cell->to_send);
    cell->sent = 0;
    watch(cell, false);
}

/* ---- a child begins */

static void put_open(struct cell *cell)
{
    const struct wire_opening opening = {.path = cell->options.plugin->path,
                                         .target = cell->options.target,
                                         .memory_bytes = cell->options.memory_bytes,
                                         .plugin = &cell->options.plugin->descriptor,
                                         .config = cell->options.config,
                                         .tables = cell->options.tables};
    wire_put_open(&cell->to_send, &opening);
}

static void put_off(struct cell *cell)
{
    cell->failures++;
    int64_t pause = 0;
    if (cell->failures > 1) {
        pause = (int64_t)RESTART_FIRST_MS << (cell->failures < 10 ? cell->failures - 2 : 8);
        pause = pause < RESTART_MAX_MS ? pause : RESTART_MAX_MS;
    }
    cell->restart_ms = clock_steady_ms() + pause;
}

static void start(struct cell *cell)
{
    int rc = child_start(&cell->process, cell->options.target);
    if (rc != 0) {
        log_error("a plugin's process cannot be started", "target", cell->options.target, "reason", strerror(rc), NULL);
        snprintf(cell->ended, sizeof(cell->ended), "it cannot be started: %s", strerror(rc));
        put_off(cell);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN};
    cell->wants_write = false;
    epoll_ctl(cell->epoll, EPOLL_CTL_ADD, cell->process.socket, &event);
    cell->child++;
    cell->opening = true;
    put_open(cell);
    for (struct cell_call *call = cell->first; call != NULL; call = call->next)
        put_call(cell, call);
    start_clock(cell);
    cell_flush(cell);
}

/* ---- a child ends */

static const char *const door_words[] = {
    [0] = "open", [CELL_STEP] = "step", [CELL_DECODE] = "decode", [CELL_POLL] = "poll", [CELL_CHECK] = "check"};

static const char *place(const struct cell *cell)
{
    return door_words[cell->opening || cell->first == NULL ? 0 : cell->first->door];
}

/* What an attempt had gathered dies with the child. */
static void forget_effects(struct bb_job *job)
{
    job->event_count = job->note_count = 0;
    memset(job->items, 0, job->item_count * sizeof(job->items[0]));
    job->misuse = NULL;
}

static void fail_first(struct cell *cell, const struct buf *text)
{
    struct cell_call *call = take_first(cell);
    struct bb_job *job = call->in->job;
    forget_effects(job);
    memset(call->out, 0, sizeof(*call->out));
    call->out->size = sizeof(*call->out);
    call->child = 0;
    call->done(call->context, BB_RETRY, 0, arena_dup(job->arena, text->data, text->len));
}

static void drop_buffers(struct cell *cell)
{
    buf_clear(&cell->received);
    buf_clear(&cell->to_send);
    cell->sent = 0;
}

static void end_child(struct cell *cell, enum child_end why)
{
    cleanup_buf struct buf text = {0};
    const struct child_limits limits = {cell->options.memory_bytes, cell->options.limit_ms};
    epoll_ctl(cell->epoll, EPOLL_CTL_DEL, cell->process.socket, NULL);
    why = child_finish(&cell->process, why, &limits, place(cell), &text);
    drop_buffers(cell);
    snprintf(cell->ended, sizeof(cell->ended), "%s", text.data);
    cell->ended_ms = clock_wall_ms();
    cell->restarts++;
    metric_add(cell->metrics[why], 1);
    log_warn("a plugin's process ended", "target", cell->options.target, "plugin",
             cell->options.plugin->descriptor.name, "reason", text.data, NULL);
    put_off(cell);
    if (cell->opening && cell->open_arena != NULL)
        cell->open_fault = arena_dup(cell->open_arena, text.data, text.len);
    else if (!cell->opening && cell->first != NULL)
        fail_first(cell, &text);
    cell->opening = false;
}

/* ---- what is received */

/* Where nobody waits for it, the first child has said all of this. One that cannot open ends by itself. */
static bool on_opened(struct cell *cell, struct wire *wire)
{
    struct arena *own = cell->open_arena == NULL ? arena_create() : NULL;
    struct arena *arena = own != NULL ? own : cell->open_arena;
    struct bb_description description;
    const char *fault = NULL;
    bool good = cell->opening && wire_take_opened(wire, arena, &fault, &description);
    if (good && fault != NULL)
        log_error("an isolated plugin does not open", "target", cell->options.target, "reason", fault, NULL);
    if (good && cell->open_arena != NULL) {
        *cell->description = description;
        cell->open_fault = fault;
    }
    if (good && fault == NULL)
        cell->opening = false;
    arena_destroy(own);
    start_clock(cell);
    return good;
}

static bool on_answer(struct cell *cell, struct wire *wire)
{
    struct cell_call *call = cell->opening ? NULL : cell->first;
    struct wire_answer answer;
    if (call == NULL || wire_take_number(wire) != call->number ||
        !wire_take_answer(wire, call->in->job, &answer, call->out))
        return false;
    take_first(cell);
    cell->failures = 0;
    if (answer.next != BB_SEND)
        call->child = 0; /* it keeps nothing of it */
    start_clock(cell);
    call->done(call->context, answer.next, answer.took_us, NULL);
    return true;
}

/* As it was read first in this attempt. NULL and *many when there are too many of them. */
static const char *read_note(struct cell_call *call, const char *key, bool *many)
{
    struct bb_job *job = call->in->job;
    for (size_t i = 0; i < call->note_count; i++)
        if (strcmp(call->notes[i].key, key) == 0)
            return call->notes[i].value;
    *many = call->note_count == NOTES_MAX;
    if (*many)
        return NULL;
    if (call->note_count == call->note_cap) {
        size_t cap = call->note_cap > 0 ? call->note_cap * 2 : 4;
        struct job_note *notes = arena_alloc(job->arena, cap * sizeof(*notes));
        if (call->note_count > 0)
            memcpy(notes, call->notes, call->note_count * sizeof(*notes));
        call->notes = notes;
        call->note_cap = cap;
    }
    const char *value = host_table()->note_get(job, key);
    call->notes[call->note_count++] = (struct job_note){key, value};
    return value;
}

static bool on_note_wanted(struct cell *cell, struct wire *wire)
{
    struct cell_call *call = cell->opening ? NULL : cell->first;
    if (call == NULL || wire_number(wire) != call->number)
        return false;
    bool many = false;
    const char *key = wire_text(wire, call->in->job->arena), *value = NULL;
    if (!wire_is_done(wire) || key == NULL)
        return false;
    value = read_note(call, key, &many);
    if (many)
        return false;
    size_t at = wire_begin(&cell->to_send, WIRE_NOTE);
    wire_put_number(&cell->to_send, value != NULL);
    wire_put_bytes(&cell->to_send, span_of(value));
    wire_end(&cell->to_send, at);
    return true;
}

static bool on_frame(struct cell *cell, uint8_t kind, struct span members)
{
    struct wire wire = {.left = members};
    switch (kind) {
    case WIRE_OPENED:
        return on_opened(cell, &wire);
    case WIRE_ANSWER:
        return on_answer(cell, &wire);
    case WIRE_NOTE_WANTED:
        return on_note_wanted(cell, &wire);
    default:
        return false;
    }
}

/* False: it makes no sense. */
static bool take_frames(struct cell *cell)
{
    size_t at = 0;
    int rc = 0;
    bool good = true;
    while (good) {
        uint8_t kind = 0;
        size_t used = 0;
        struct span members, rest = {cell->received.data + at, cell->received.len - at};
        if ((rc = wire_next(rest, WIRE_ANSWER_MAX, &kind, &members, &used)) <= 0)
            break;
        at += used;
        good = on_frame(cell, kind, members);
    }
    if (at > 0) {
        cell->received.len -= at;
        memmove(cell->received.data, cell->received.data + at, cell->received.len);
    }
    return good && rc == 0;
}

void cell_ready(struct cell *cell)
{
    while (cell->process.socket >= 0) {
        buf_reserve(&cell->received, READ_BYTES);
        ssize_t got = recv(cell->process.socket, cell->received.data + cell->received.len, READ_BYTES, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0) {
            end_child(cell, CHILD_CRASH);
            return;
        }
        cell->received.len += (size_t)got;
        if (!take_frames(cell)) {
            end_child(cell, CHILD_PROTOCOL);
            return;
        }
        if ((size_t)got < READ_BYTES)
            break;
    }
    cell_flush(cell);
}

/* ---- time */

/* When to look whether the call has had so much processor time; now_ms: it has. least_ms: between two looks. */
static int64_t had_at(const struct cell *cell, int64_t now_ms, int64_t much_ms, int64_t least_ms)
{
    if (now_ms < cell->since_ms + much_ms)
        return cell->since_ms + much_ms;
    int64_t left_ms = much_ms - (child_cpu_us(&cell->process) - cell->since_cpu_us) / 1000;
    if (left_ms <= 0)
        return now_ms;
    return now_ms + (left_ms > least_ms ? left_ms : least_ms);
}

static int64_t used_up_at(const struct cell *cell, int64_t now_ms)
{
    int64_t limit_ms = cell->options.limit_ms * (cell->opening ? OPEN_TIMES : 1);
    int64_t next = had_at(cell, now_ms, limit_ms, limit_ms / LOOKS), latest = cell->since_ms + CLOCK_TIMES * limit_ms;
    return next < latest ? next : latest;
}

static int64_t long_at(const struct cell *cell, int64_t now_ms)
{
    return cell->process.behind ? INT64_MAX : had_at(cell, now_ms, LONG_MS, LONG_MS);
}

int64_t cell_next_due(const struct cell *cell)
{
    int64_t now_ms = clock_steady_ms();
    if (cell->process.socket < 0)
        return cell->restart_ms;
    if (!is_working(cell))
        return INT64_MAX;
    int64_t used_up = used_up_at(cell, now_ms), is_long = long_at(cell, now_ms);
    return used_up < is_long ? used_up : is_long;
}

void cell_tick(struct cell *cell)
{
    int64_t now_ms = clock_steady_ms();
    if (cell->process.socket < 0 && now_ms >= cell->restart_ms)
        start(cell);
    if (is_working(cell) && long_at(cell, now_ms) <= now_ms)
        child_put_behind(&cell->process);
    if (is_working(cell) && used_up_at(cell, now_ms) <= now_ms) {
        cell_ready(cell); /* it may have answered while nobody looked */
        if (is_working(cell) && used_up_at(cell, now_ms) <= now_ms)
            end_child(cell, CHILD_TIMEOUT);
    }
    cell_flush(cell);
}

/* ---- calls */

void cell_call(struct cell *cell, struct cell_call *call)
{
    bool idle = cell->first == NULL;
    const struct bb_response *response = call->in->response;
    if (call->number == 0)
        call->number = ++cell->calls;
    if (response != NULL) {
        if (call->response_count == call->response_cap) {
            size_t cap = call->response_cap > 0 ? call->response_cap * 2 : 4;
            const struct bb_response **grown = arena_alloc(call->in->job->arena, cap * sizeof(*grown));
            if (call->response_count > 0)
                memcpy(grown, call->responses, call->response_count * sizeof(*grown));
            call->responses = grown;
            call->response_cap = cap;
        }
        call->responses[call->response_count++] = response;
    }
    append(cell, call);
    if (cell->process.socket < 0)
        return; /* the next child is told */
    put_call(cell, call);
    if (idle && !cell->opening)
        start_clock(cell);
}

void cell_forget(struct cell *cell, struct cell_call *call)
{
    if (call->child == 0 || call->child != cell->child || cell->process.socket < 0)
        return;
    size_t at = wire_begin(&cell->to_send, WIRE_FORGET);
    wire_put_number(&cell->to_send, call->number);
    wire_end(&cell->to_send, at);
    call->child = 0;
}

/* ---- waiting for one */

static void wait_a_turn(struct cell *cell)
{
    cell_tick(cell);
    int64_t left_ms = cell_next_due(cell) - clock_steady_ms();
    struct pollfd ready = {.fd = cell->epoll, .events = POLLIN};
    if (poll(&ready, 1, left_ms <= 0 ? 0 : left_ms < 1000 ? (int)left_ms : 1000) > 0)
        cell_ready(cell);
}

struct waiting {
    bool over;
    enum bb_next next;
    const char *failure;
};

static void on_waited(void *context, enum bb_next next, int64_t took_us, const char *failure)
{
    (void)took_us;
    *(struct waiting *)context = (struct waiting){true, next, failure};
}

enum bb_next cell_wait(struct cell *cell, struct cell_call *call, const char **failure)
{
    struct waiting waiting = {0};
    call->done = on_waited;
    call->context = &waiting;
    cell_call(cell, call);
    while (!waiting.over && cell->failures < WAITED_FAILURES)
        wait_a_turn(cell);
    if (!waiting.over) { /* it does not even open any more */
        take_first(cell);
        waiting.failure = arena_dup(call->in->job->arena, cell->ended, strlen(cell->ended));
    }
    *failure = waiting.failure;
    return waiting.next;
}

const char *cell_open(struct cell *cell, struct arena *arena, struct bb_description *description)
{
    *description = (struct bb_description){0};
    cell->description = description;
    cell->open_arena = arena;
    cell->open_fault = NULL;
    start(cell);
    if (cell->process.socket < 0)
        cell->open_fault = arena_dup(arena, cell->ended, strlen(cell->ended));
    while (cell->opening && cell->open_fault == NULL)
        wait_a_turn(cell);
    cell->open_arena = NULL;
    return cell->open_fault;
}

/* ---- life */

struct cell *cell_create(const struct cell_options *options)
{
    struct cell *cell = mem_alloc(sizeof(*cell));
    struct metric_family *family = metric_family(
        METRIC_COUNTER, "busbar_plugin_restarts_total",
        "Processes of isolated plugins that ended and were started anew, by what ended them.", "target,reason");
    cell->options = *options;
    cell->process.socket = -1;
    cell->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert(cell->epoll >= 0);
    for (size_t i = 0; i < CHILD_ENDS; i++)
        cell->metrics[i] = metric_get(family, options->target, child_end_name((enum child_end)i));
    return cell;
}

void cell_stop(struct cell *cell)
{
    cleanup_buf struct buf text = {0};
    const struct child_limits limits = {0};
    cell->first = cell->last = NULL;
    cell->opening = false;
    if (cell->process.socket >= 0)
        child_finish(&cell->process, CHILD_EXIT, &limits, "", &text);
    drop_buffers(cell);
}

void cell_destroy(struct cell *cell)
{
    if (cell == NULL)
        return;
    cell_stop(cell);
    close(cell->epoll);
    buf_finish(&cell->received);
    buf_finish(&cell->to_send);
    free(cell);
}

int cell_fd(const struct cell *cell)
{
    return cell->epoll;
}

struct cell_health cell_health(const struct cell *cell)
{
    return (struct cell_health){cell->process.socket >= 0 && !cell->opening, cell->restarts, cell->ended,
                                cell->ended_ms};
}
