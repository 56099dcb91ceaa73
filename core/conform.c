/* SPDX-License-Identifier: Apache-2.0 */
/* The child says what it is about to do in shared memory, so that after a crash the parent knows where
 * it was; what it found wrong comes through a pipe, a line each. Time is CPU time: a busy machine does
 * not make a plugin slow. */
#include "conform.h"

#include "host.h"
#include "loader.h"
#include "log.h"
#include "target.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOW_US 10000
#define SLOW_CALLS 3 /* one alone may be the machine's */
#define HANG_S 20
#define MOST_SENDS 32
#define MOST_BATCH 100u
#define DEEP 60

struct shared {
    char doing[256];
    size_t calls;
    int64_t slowest_us;
    int slow_calls;
    bool finished;
};

struct conform {
    struct shared *shared;
    int pipe;
    const struct loaded_plugin *plugin;
    struct target *target;
    struct buf said; /* faults so far */
};

enum door { DOOR_STEP, DOOR_DECODE, DOOR_POLL };

struct trial {
    enum door door;
    const char *operation; /* DOOR_STEP */
    size_t messages;
    const char *body;
    bool uncertain;
    int status;
    const char *answer;
};

/* Tells the parent. */
static void say(struct conform *c, struct buf *line)
{
    for (size_t i = 0; i < line->len; i++)
        if (line->data[i] == '\n')
            line->data[i] = ' ';
    buf_putc(line, '\n');
    for (size_t sent = 0; sent < line->len;) {
        ssize_t n = write(c->pipe, line->data + sent, line->len - sent);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

__attribute__((format(printf, 2, 3))) static void complain(struct conform *c, const char *format, ...)
{
    struct buf line cleanup_buf = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    say(c, &line);
}

/* What is being done breaks a rule. The same fault is said once for each door. */
static void complain_of_fault(struct conform *c, const char *door, const char *fault)
{
    struct buf key cleanup_buf = {0};
    buf_printf(&key, "\n%s: %s\n", door, fault);
    if (c->said.data && strstr(c->said.data, key.data))
        return;
    buf_append(&c->said, key.data, key.len);
    complain(c, "%s: %s", c->shared->doing, fault);
}

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void note_time(struct conform *c, int64_t us)
{
    c->shared->calls++;
    c->shared->slow_calls += us > SLOW_US;
    if (us > c->shared->slowest_us)
        c->shared->slowest_us = us;
}

/* ---- one conversation -------------------------------------------------------------- */

static const char *door_name(const struct trial *trial)
{
    switch (trial->door) {
    case DOOR_STEP:
        return trial->operation;
    case DOOR_DECODE:
        return "decode";
    case DOOR_POLL:
        return "poll";
    }
    return "";
}

static void say_doing(struct conform *c, const struct trial *trial, const struct bb_response *response)
{
    char *doing = c->shared->doing;
    const size_t size = sizeof c->shared->doing;
    int n = snprintf(doing, size, "%s with %zu message%s %.40s", door_name(trial), trial->messages,
                     trial->messages == 1 ? "" : "s", trial->messages ? trial->body : "");
    if (n > 0 && (size_t)n < size && response)
        snprintf(doing + n, size - (size_t)n, " and the answer %d %.40s", response->status, trial->answer);
    else if (n > 0 && (size_t)n < size && trial->uncertain)
        snprintf(doing + n, size - (size_t)n, " after an uncertain attempt");
}

static enum bb_next call(struct conform *c, const struct trial *trial, struct bb_in *in, struct bb_out *out)
{
    const struct bb_plugin *plugin = c->target->plugin;
    enum bb_next (*const calls[])(const struct bb_host *, void *, const struct bb_in *, struct bb_out *) = {
        [DOOR_STEP] = plugin->step, [DOOR_DECODE] = plugin->decode, [DOOR_POLL] = plugin->poll};
    say_doing(c, trial, in->response);
    *out = (struct bb_out){.size = sizeof *out};
    const int64_t before = cpu_us();
    const enum bb_next next = calls[trial->door](host_table(), c->target->self, in, out);
    note_time(c, cpu_us() - before);
    return next;
}

/* Plays one trial to its verdict. */
static void converse(struct conform *c, const struct trial *trial)
{
    struct bb_job job;
    target_init_job(c->target, &job, trial->messages, 1704164645000);
    struct bb_message *messages = arena_alloc(job.arena, (trial->messages + 1) * sizeof *messages);
    for (size_t i = 0; i < trial->messages; i++)
        messages[i] = (struct bb_message){.id = "00000000-0000-7000-8000-000000000001",
                                          .order_id = "00000000-0000-7000-8000-000000000002",
                                          .body = {trial->body, strlen(trial->body)},
                                          .event = {"x", trial->door == DOOR_DECODE ? 1 : 0},
                                          .received_ms = job.now_ms};
    const struct bb_header header = {"content-type", {"text/plain", 10}};
    const struct bb_response response = {.size = sizeof response,
                                         .status = trial->status,
                                         .body = {trial->answer, strlen(trial->answer)},
                                         .headers = &header,
                                         .header_count = 1};
    struct bb_in in = {.size = sizeof in,
                       .job = &job,
                       .operation = trial->operation,
                       .messages = messages,
                       .message_size = sizeof *messages,
                       .message_count = trial->messages,
                       .state = &job.state,
                       .attempt = trial->uncertain ? 2 : 1,
                       .uncertain = trial->uncertain,
                       .now_ms = job.now_ms};
    struct bb_out out;
    for (int sends = 0;; sends++) {
        const enum bb_next next = call(c, trial, &in, &out);
        const char *fault = job_review(&job, next, &out);
        struct http_request request;
        if (!fault && next == BB_SEND)
            (void)target_request(c->target, &job, &out.request, &request, &fault);
        if (!fault && trial->door == DOOR_DECODE && next != BB_DONE && next != BB_REJECT)
            fault = "decode answers done or reject";
        if (!fault && sends == MOST_SENDS)
            fault = "it sends without end";
        if (fault)
            complain_of_fault(c, door_name(trial), fault);
        if (fault || next != BB_SEND)
            break;
        in.response = &response;
    }
    job_finish(&job);
}

/* ---- nonsense ------------------------------------------------------------------------- */

static char deep_array[2 * DEEP + 1], deep_object[6 * DEEP + 2], long_text[70000];

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

static void try_door(struct conform *c, enum door door, const char *operation, size_t most)
{
    const char *const bodies[] = {"{}",
                                  "[]",
                                  "null",
                                  "\"\"",
                                  "0",
                                  "true",
                                  "-1e308",
                                  "{\"\":{}}",
                                  "[null,{},[]]",
                                  deep_array,
                                  deep_object,
                                  long_text,
                                  "{\"id\":null,\"name\":0,\"type\":[],\"value\":{}}"};
    static const int statuses[] = {200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 422, 429, 500, 503};
    const char *const answers[] = {
        "", "null", "{}", "[]", "<html>", "{\"a\":", "\xff\xfe", "0", deep_array, deep_object, long_text};
    const size_t some = most > MOST_BATCH ? MOST_BATCH : most;
    for (size_t b = 0; b < (most ? sizeof bodies / sizeof *bodies : 1); b++)
        for (size_t s = 0; s < sizeof statuses / sizeof *statuses; s++)
            for (size_t a = 0; a < sizeof answers / sizeof *answers; a++) {
                if (c->shared->slow_calls >= SLOW_CALLS)
                    return;
                if (door == DOOR_DECODE && (s > 0 || a > 0 || bodies[b][0] != '{'))
                    continue; /* the door lets only objects through, and nothing is sent */
                struct trial trial = {door, operation, most ? 1 : 0, bodies[b], false, statuses[s], answers[a]};
                converse(c, &trial);
                trial.uncertain = true;
                converse(c, &trial);
                trial.messages = some;
                if (some > 1 && a == 0)
                    converse(c, &trial);
            }
}

static void try_check(struct conform *c, const char *operation)
{
    const struct bb_plugin *plugin = c->target->plugin;
    const char *const bodies[] = {"{}", "[]", "null", "\"\"", "0", deep_array, deep_object};
    for (size_t i = 0; plugin->check && i < sizeof bodies / sizeof *bodies; i++) {
        struct bb_job job;
        target_init_job(c->target, &job, 0, 1704164645000);
        snprintf(c->shared->doing, sizeof c->shared->doing, "check of %s with %.40s", operation, bodies[i]);
        const int64_t before = cpu_us();
        (void)plugin->check(host_table(), &job, c->target->self, operation,
                            (struct bb_str){bodies[i], strlen(bodies[i])});
        note_time(c, cpu_us() - before);
        job_finish(&job);
    }
}

/* ---- the child ---------------------------------------------------------------------------- */

static const char *stand_in(enum bb_option_type type)
{
    switch (type) {
    case BB_STRING:
        return "text";
    case BB_BOOL:
        return "true";
    case BB_INT:
    case BB_NUMBER:
        return "1";
    case BB_DURATION:
        return "1m";
    case BB_JSON:
        return "text";
    case BB_SECRET:
        return "secret";
    }
    return "";
}

/* As it would stand in busbar.yaml. Lives as long as the process. */
static struct config_option read_option(const struct conform_option *option, struct problems *problems)
{
    struct yaml_tree *tree = yaml_read_text(span_of(option->value), "the command line", problems);
    const struct yaml_node *node = tree ? yaml_root(tree) : NULL;
    const bool plain = !node || node->kind == YAML_SCALAR;
    return (struct config_option){
        .name = mem_strdup(option->name), .node = node, .text = plain ? mem_strdup(option->value) : NULL};
}

/* A target with the given options, stand-ins for required ones, defaults for the rest. */
static bool open_target(struct conform *c, const struct conform_option *options, size_t count)
{
    const struct bb_plugin *plugin = &c->plugin->descriptor;
    struct config_option *given = mem_alloc((count + plugin->option_count + 1) * sizeof *given);
    struct config_target *config = mem_alloc(sizeof *config); /* both live as long as the process */
    size_t total = 0;
    struct problems problems = {0};
    for (size_t i = 0; i < count; i++)
        given[total++] = read_option(&options[i], &problems);
    struct bb_option option;
    for (size_t i = 0; plugin_option(plugin, i, &option); i++) {
        bool there = !(option.flags & BB_REQUIRED);
        for (size_t g = 0; g < count; g++)
            there = there || strcmp(options[g].name, option.name) == 0;
        if (!there)
            given[total++] =
                (struct config_option){.name = mem_strdup(option.name), .text = mem_strdup(stand_in(option.type))};
    }
    *config = (struct config_target){.name = mem_strdup("check"),
                                     .url = plugin->default_url ? NULL : mem_strdup("https://target.example"),
                                     .mode_given = true,
                                     .allow_unsigned = plugin->hook.event_pointer != NULL,
                                     .options = given,
                                     .option_count = total};
    snprintf(c->shared->doing, sizeof c->shared->doing, "open");
    c->target = target_create(config, c->plugin, &problems);
    for (size_t i = 0; i < problems.count; i++)
        if (!problems.items[i].warning)
            complain(c, "%s (give its options as NAME=VALUE)", problems.items[i].text);
    problems_finish(&problems);
    return c->target != NULL;
}

static void run_child(struct conform *c, const char *name, const struct conform_option *options, size_t count)
{
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL); /* the parent reads the signal from the status */
    alarm(HANG_S);
    log_open(false, LOG_ERROR); /* it is asked nonsense thousands of times */
    char *error cleanup_text = NULL;
    snprintf(c->shared->doing, sizeof c->shared->doing, "loading");
    c->plugin = loader_load(name, &error);
    if (!c->plugin) {
        complain(c, "%s", error);
        return;
    }
    if (!open_target(c, options, count))
        return;
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
    if (c->shared->slow_calls >= SLOW_CALLS)
        complain(c, "a call took %lld ms of CPU time; the core warns past %d ms",
                 (long long)c->shared->slowest_us / 1000, SLOW_US / 1000);
    snprintf(c->shared->doing, sizeof c->shared->doing, "close");
    target_destroy(c->target);
}

/* ---- the parent ----------------------------------------------------------------------------- */

static void read_all(int fd, struct buf *out)
{
    char part[4096];
    for (ssize_t n; (n = read(fd, part, sizeof part)) > 0;)
        buf_append(out, part, (size_t)n);
}

void conform_run(const char *plugin, const struct conform_option *options, size_t count, struct conform_result *result)
{
    *result = (struct conform_result){0};
    int ends[2];
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || pipe(ends) != 0) {
        buf_puts(&result->complaints, "no memory or no pipe for a child process\n");
        return;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        struct conform c = {.shared = shared, .pipe = ends[1]};
        close(ends[0]);
        run_child(&c, plugin, options, count);
        shared->finished = true;
        _exit(0);
    }
    close(ends[1]);
    if (child > 0)
        read_all(ends[0], &result->complaints);
    close(ends[0]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        buf_puts(&result->complaints, "no child process could be started\n");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        buf_printf(&result->complaints, "it was still busy after %d s, in %s\n", HANG_S, shared->doing);
    else if (WIFSIGNALED(status))
        buf_printf(&result->complaints, "it crashed (%s) in %s\n", strsignal(WTERMSIG(status)), shared->doing);
    else if (!shared->finished)
        buf_printf(&result->complaints, "it ended the process in %s\n", shared->doing);
    result->calls = shared->calls;
    result->slowest_us = shared->slowest_us;
    munmap(shared, sizeof *shared);
}

void conform_result_finish(struct conform_result *result)
{
    buf_finish(&result->complaints);
}
