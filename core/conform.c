/* SPDX-License-Identifier: Apache-2.0 */
/* The child (aside.h) says what it is about to do in shared memory, so that after a crash the parent knows where it
 * was; what it found wrong comes through its pipe, a line each: the rule's number, ' ' or for a warning '?', and the
 * text. Time is CPU time: a busy machine does not make a plugin slow.
 *
 * The steps go from the file to its behaviour, and end where the next would only echo the last: what cannot be loaded
 * is not called, and what answers with memory that is gone is not asked for more. */
#include "conform_private.h"

#include "aside.h"
#include "log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_S 10    /* of a call that waits where no system call shows; one that computes is ended by its time */
#define PROGRESS_S 5 /* a plugin that takes longer is told of, while it does */
#define MEMORY ((rlim_t)2 << 30)

/* ---- telling the parent ------------------------------------------------------------------- */

static void send_line(struct conform *c, struct buf *line)
{
    for (size_t i = 0; i < line->len; i++)
        if (line->data[i] == '\n')
            line->data[i] = ' ';
    buf_putc(line, '\n');
    aside_tell(c->pipe, line->data, line->len);
}

/* The same fault is said once, where it was seen first. */
static void complain(struct conform *c, enum rule rule, const char *where, const char *fault)
{
    struct buf key cleanup_buf = {0}, line cleanup_buf = {0};
    if (c->silent)
        return;
    c->faults++;
    c->told[rule] = true;
    buf_printf(&key, "\n%d %s\n", (int)rule, fault);
    if (c->said.data && strstr(c->said.data, key.data))
        return;
    buf_append(&c->said, key.data, key.len);
    buf_printf(&line, "%d %s%s%s", (int)rule, where, *where ? ": " : "", fault);
    send_line(c, &line);
}

void conform_complain(struct conform *c, enum rule rule, const char *format, ...)
{
    struct buf fault cleanup_buf = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&fault, format, args);
    va_end(args);
    complain(c, rule, "", fault.data);
}

void conform_complain_of_call(struct conform *c, enum rule rule, const char *format, ...)
{
    struct buf fault cleanup_buf = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&fault, format, args);
    va_end(args);
    complain(c, rule, c->shared->doing, fault.data);
}

void conform_warn(struct conform *c, enum rule rule, const char *format, ...)
{
    struct buf line cleanup_buf = {0};
    va_list args;
    buf_printf(&line, "%d?", (int)rule);
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    send_line(c, &line);
}

/* ---- settings ------------------------------------------------------------------------------- */

struct settings {
    struct conform *c;
    const struct conform_option *options;
    size_t count;
};

/* Two instances are told apart by the second word. */
static const char *stand_in(enum bb_option_type type, bool other)
{
    switch (type) {
    case BB_STRING:
    case BB_JSON:
        return other ? "another" : "text";
    case BB_BOOL:
        return other ? "false" : "true";
    case BB_INT:
    case BB_NUMBER:
        return other ? "2" : "1";
    case BB_DURATION:
        return other ? "2m" : "1m";
    case BB_SECRET:
        return other ? "secret-2" : "secret";
    }
    return "";
}

static bool is_given(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->count; i++)
        if (strcmp(settings->options[i].name, name) == 0)
            return true;
    return false;
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

/* Given options, stand-ins for required ones, defaults for the rest. Of `other`, every number, switch and duration that
 * was not given differs, too. */
static const struct config_target *make_config(const struct settings *settings, bool other, struct problems *problems)
{
    const struct bb_plugin *plugin = &settings->c->plugin->descriptor;
    struct config_option *given = mem_alloc((settings->count + plugin->option_count + 1) * sizeof *given);
    struct config_target *config = mem_alloc(sizeof *config); /* both live as long as the process */
    size_t total = 0;
    for (size_t i = 0; i < settings->count; i++)
        given[total++] = read_option(&settings->options[i], problems);
    struct bb_option option;
    for (size_t i = 0; plugin_option(plugin, i, &option); i++) {
        const bool of_words = option.type == BB_STRING || option.type == BB_JSON || option.type == BB_SECRET;
        const bool wanted = (option.flags & BB_REQUIRED) || (other && !of_words);
        if (wanted && !is_given(settings, option.name))
            given[total++] = (struct config_option){.name = mem_strdup(option.name),
                                                    .text = mem_strdup(stand_in(option.type, other))};
    }
    *config = (struct config_target){.name = mem_strdup("check"),
                                     .url = plugin->default_url ? NULL : mem_strdup("https://target.example"),
                                     .mode_given = true,
                                     .allow_unsigned = plugin->hook.event_pointer != NULL,
                                     .options = given,
                                     .option_count = total};
    return config;
}

static struct target *open_target(struct conform *c, const struct config_target *config)
{
    struct problems problems = {0};
    snprintf(c->shared->doing, sizeof c->shared->doing, "open");
    struct target *target = target_create(config, c->plugin, &problems);
    for (size_t i = 0; i < problems.count; i++)
        if (!problems.items[i].warning && !c->told[RULE_LIFETIME])
            conform_complain(c, RULE_OPEN, "%s", problems.items[i].text);
    problems_finish(&problems);
    return target;
}

struct configs {
    struct conform *c;
    const struct config_target *one, *other;
};

static struct target *open_one(void *context)
{
    struct configs *configs = context;
    return open_target(configs->c, configs->one);
}

/* Other settings that it does not like are none of its faults: then both have the same. */
static struct target *open_either(void *context, bool other)
{
    struct configs *configs = context;
    struct conform *c = configs->c;
    if (!other)
        return open_target(c, configs->one);
    const bool was = c->silent;
    c->silent = true;
    struct target *target = open_target(c, configs->other);
    c->silent = was;
    return target ? target : open_target(c, configs->one);
}

/* ---- the child ---------------------------------------------------------------------------- */

/* False: it cannot be loaded here. */
static bool check_file(struct conform *c, const char *path)
{
    char *why cleanup_text = NULL;
    struct buf libraries cleanup_buf = {0}, versions cleanup_buf = {0};
    struct object *object = object_read(path, &why);
    if (!object) {
        conform_complain(c, RULE_FILE, "%s: %s", path, why);
        return false;
    }
    loader_find_lacks(object, path, &libraries, &versions);
    if (libraries.len)
        conform_complain(c, RULE_LIBRARY, "%s", libraries.data);
    if (versions.len)
        conform_complain(c, RULE_VERSION, "%s", versions.data);
    bool is_plugin = false;
    for (size_t i = 0; i < object->exports.count; i++)
        is_plugin = is_plugin || strcmp(object->exports.items[i], "busbar_plugin") == 0;
    for (size_t i = 0; is_plugin && i < object->exports.count; i++)
        if (strcmp(object->exports.items[i], "busbar_plugin") != 0)
            conform_complain(c, RULE_EXPORT, "it exports %s", object->exports.items[i]);
    for (size_t i = 0; is_plugin && i < object->variable_count; i++)
        conform_complain(c, RULE_GLOBALS, "%s is a variable that all instances share (%llu bytes, not const)",
                         object->variables[i].name, (unsigned long long)object->variables[i].size);
    imports_check(c, object);
    object_destroy(object);
    return !libraries.len && !versions.len;
}

static void check_behaviour(struct conform *c, struct configs *configs)
{
    const size_t before = c->faults;
    memory_check_answers(c);
    if (c->faults == before)
        sweep_all(c);
    if (trial_too_slow(c)) {
        conform_complain_of_call(c, RULE_TIME, "a call took %lld ms of CPU time",
                                 (long long)c->shared->slowest_us / 1000);
        return;
    }
    if (c->faults > before)
        return;
    if (!c->told[RULE_GLOBALS]) /* which would be its doing */
        twins_check(c, open_either, configs);
    if (c->faults > before) /* an instance may now hold what was another's */
        return;
    memory_check_leaks(c, open_one, configs);
}

/* Memory without end is refused, as it is by a machine. (A sanitizer takes as much for itself.) */
static void limit_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    const struct rlimit memory = {MEMORY, MEMORY};
    setrlimit(RLIMIT_AS, &memory);
#endif
}

static void check_name(struct conform *c, const char *path)
{
    const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *name = c->plugin->descriptor.name;
    const size_t len = strlen(name);
    if (strncmp(file, name, len) != 0 || strcmp(file + len, ".so") != 0)
        conform_warn(c, RULE_DESCRIPTOR, "it calls itself %s: as %s it is found by its path only, not by its name",
                     name, file);
}

static void run_child(struct conform *c, const char *name, const struct conform_option *options, size_t count)
{
    limit_memory();
    log_open(false, LOG_NONE); /* it is asked nonsense thousands of times */
    char *error cleanup_text = NULL;
    snprintf(c->shared->doing, sizeof c->shared->doing, "loading");
    char *path cleanup_text = loader_find(name, &error);
    if (!path)
        conform_complain(c, RULE_FILE, "%s", error);
    if (!path || !check_file(c, path) || !inputs_init(&c->inputs))
        return;
    trial_begin_call();
    c->plugin = loader_load(name, &error);
    if (!c->plugin) { /* what the dynamic loader says is of functions that no library has */
        conform_complain(c, strstr(error, " cannot be loaded: ") ? RULE_LIBRARY : RULE_DESCRIPTOR, "%s", error);
        return;
    }
    check_name(c, path);
    struct problems problems = {0};
    const struct settings settings = {c, options, count};
    struct configs configs = {c, make_config(&settings, false, &problems), make_config(&settings, true, &problems)};
    problems_finish(&problems);
    trial_watch_plugin(c);
    guard_begin(c);
    c->target = open_target(c, configs.one);
    if (!c->target)
        return;
    c->shared->selfless = !c->target->self && c->plugin->descriptor.config_size > 0;
    check_behaviour(c, &configs);
    snprintf(c->shared->doing, sizeof c->shared->doing, "close");
    target_destroy(c->target);
}

/* ---- the parent ----------------------------------------------------------------------------- */

struct run {
    const char *plugin;
    const struct conform_option *options;
    size_t count;
    struct shared *shared;
    char doing[256]; /* and how much of it was done, a second ago */
    size_t calls;
    int still; /* seconds that it has been so */
};

static void run_aside(int out, void *context)
{
    struct run *run = context;
    struct conform c = {.shared = run->shared, .pipe = out};
    run_child(&c, run->plugin, run->options, run->count);
    run->shared->finished = true;
    _exit(0); /* what else there is to do at an end makes system calls */
}

static bool tick(int seconds, void *context)
{
    struct run *run = context;
    const bool moved = run->calls != run->shared->calls || strcmp(run->doing, run->shared->doing) != 0;
    run->still = moved ? 0 : run->still + 1;
    run->calls = run->shared->calls;
    snprintf(run->doing, sizeof run->doing, "%s", run->shared->doing);
    if (seconds % PROGRESS_S == 0)
        fprintf(stderr, "busbar plugins check: %zu calls in %d s, now %s\n", run->calls, seconds, run->doing);
    return run->still < HANG_S;
}

static void add_complaint(struct conform_complaints *to, enum rule rule, char *seen /* takes */)
{
    to->items = mem_grow(to->items, &to->cap, to->count + 1, sizeof *to->items);
    to->items[to->count++] = (struct conform_complaint){&conform_rules()[rule], seen};
}

static void read_complaints(char *text, struct conform_result *result)
{
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const unsigned long rule = strtoul(line, &line, 10);
        if (rule < RULES && (*line == ' ' || *line == '?'))
            add_complaint(*line == '?' ? &result->warnings : &result->faults, (enum rule)rule, mem_strdup(line + 1));
    }
}

static void say_caught(const struct shared *shared, struct buf *seen)
{
    const char *name = guard_call_name(shared->system_call);
    if (shared->caught_rule == RULE_IO && name)
        buf_printf(seen, "made the system call %s", name);
    else if (shared->caught_rule == RULE_IO)
        buf_printf(seen, "made the system call %ld", shared->system_call);
    else if (shared->caught_rule == RULE_BOUNDS)
        buf_puts(seen, "read past the end of what came in");
    else if (shared->caught_rule == RULE_BORROWED)
        buf_puts(seen, "read what came in with an earlier call");
    else if (shared->caught_rule == RULE_CRASH)
        buf_puts(seen, "crashed (a sanitizer's report)");
    else
        buf_puts(seen, "answered what points to memory that is not there");
}

/* The words are those of libc or a runtime when it died of them; else its own. */
static void judge_end(struct conform_result *result, const struct shared *shared, const struct aside *aside)
{
    struct buf seen cleanup_buf = {0};
    const int number = WIFSIGNALED(aside->status) ? WTERMSIG(aside->status) : 0;
    enum rule rule = RULE_CRASH;
    buf_printf(&seen, "%s: it ", shared->doing);
    if (shared->finished && aside_ended_well(aside)) {
        if (!aside->words.len)
            return;
        rule = RULE_IO;
        buf_clear(&seen);
        buf_printf(&seen, "it wrote to stdout or stderr: %.*s", (int)strcspn(aside->words.data, "\n"),
                   aside->words.data);
    } else if (shared->apart && (shared->caught || number)) {
        rule = RULE_STRIDE;
        buf_puts(&seen, "reads what is no message");
    } else if (shared->caught) {
        rule = shared->caught_rule;
        say_caught(shared, &seen);
    } else if (aside->stuck || number == SIGPROF) {
        rule = RULE_TIME;
        buf_puts(&seen, "does not come back");
    } else if (number == SIGSYS) {
        rule = RULE_IO;
        buf_puts(&seen, "made a system call while signals were blocked, as pthread_create() and system() do");
    } else {
        aside_say_end(aside, &seen);
        if (shared->selfless)
            buf_puts(&seen, " (open returned 0 and left *self NULL)");
    }
    add_complaint(&result->faults, rule, buf_steal(&seen));
}

void conform_run(const char *plugin, const struct conform_option *options, size_t count, struct conform_result *result)
{
    *result = (struct conform_result){0};
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        add_complaint(&result->faults, RULE_FILE, mem_strdup("there is no memory for a child process"));
        return;
    }
    struct run run = {.plugin = plugin, .options = options, .count = count, .shared = shared};
    struct aside aside;
    aside_run(&aside, run_aside, tick, &run);
    if (aside.out.len)
        read_complaints(aside.out.data, result);
    if (aside.failed)
        add_complaint(&result->faults, RULE_FILE, mem_strdup("no child process could be started"));
    else
        judge_end(result, shared, &aside);
    aside_finish(&aside);
    result->calls = shared->calls;
    result->slowest_us = shared->slowest_us;
    result->unwatched = shared->unwatched;
    munmap(shared, sizeof *shared);
}

static void finish_complaints(struct conform_complaints *complaints)
{
    for (size_t i = 0; i < complaints->count; i++)
        free(complaints->items[i].seen);
    free(complaints->items);
}

void conform_result_finish(struct conform_result *result)
{
    finish_complaints(&result->faults);
    finish_complaints(&result->warnings);
}
