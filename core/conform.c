/* SPDX-License-Identifier: Apache-2.0 */
/* The child says what it is about to do in shared memory, so that after a crash the parent knows where it was; what it
 * found wrong comes through a pipe, a line each. Time is CPU time: a busy machine does not make a plugin slow.
 *
 * The steps go from the file to its behaviour, and end where the next would only echo the last: what cannot be loaded
 * is not called, and what answers with memory that is gone is not asked for more. */
#include "conform_private.h"

#include "log.h"
#include "object.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_S 120 /* of a call that waits where no system call shows; one that computes is ended by its time */

/* ---- telling the parent ------------------------------------------------------------------- */

static void send_line(struct conform *c, struct buf *line)
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
        if (!problems.items[i].warning)
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

static void limit_child(void)
{
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGPROF};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL); /* the parent reads the signal from the status */
    alarm(HANG_S);
}

static void run_child(struct conform *c, const char *name, const struct conform_option *options, size_t count)
{
    limit_child();
    log_open(false, LOG_ERROR); /* it is asked nonsense thousands of times */
    char *error cleanup_text = NULL;
    snprintf(c->shared->doing, sizeof c->shared->doing, "loading");
    char *path cleanup_text = loader_find(name, &error);
    if (!path)
        conform_complain(c, RULE_FILE, "%s", error);
    if (!path || !check_file(c, path) || !inputs_init(&c->inputs))
        return;
    c->plugin = loader_load(name, &error);
    if (!c->plugin) { /* what the dynamic loader says is of functions that no library has */
        conform_complain(c, strstr(error, " cannot be loaded: ") ? RULE_LIBRARY : RULE_DESCRIPTOR, "%s", error);
        return;
    }
    struct problems problems = {0};
    const struct settings settings = {c, options, count};
    struct configs configs = {c, make_config(&settings, false, &problems), make_config(&settings, true, &problems)};
    problems_finish(&problems);
    trial_watch_host(c);
    guard_begin(c);
    c->target = open_target(c, configs.one);
    if (!c->target)
        return;
    check_behaviour(c, &configs);
    snprintf(c->shared->doing, sizeof c->shared->doing, "close");
    target_destroy(c->target);
}

/* ---- the parent ----------------------------------------------------------------------------- */

static void add_complaint(struct conform_result *result, enum rule rule, char *seen /* takes */)
{
    result->complaints = mem_grow(result->complaints, &result->cap, result->count + 1, sizeof *result->complaints);
    result->complaints[result->count++] = (struct conform_complaint){&conform_rules()[rule], seen};
}

static void read_complaints(int fd, struct conform_result *result)
{
    char part[4096];
    struct buf all cleanup_buf = {0};
    for (ssize_t n; (n = read(fd, part, sizeof part)) > 0;)
        buf_append(&all, part, (size_t)n);
    for (char *save = NULL, *line = all.len ? strtok_r(all.data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        const unsigned long rule = strtoul(line, &line, 10);
        if (rule < RULES && *line == ' ')
            add_complaint(result, (enum rule)rule, mem_strdup(line + 1));
    }
}

static void judge_end(struct conform_result *result, const struct shared *shared, int status)
{
    const char *doing = shared->doing, *name = guard_call_name(shared->system_call);
    if (shared->apart && (shared->caught || WIFSIGNALED(status)))
        add_complaint(result, RULE_STRIDE, mem_printf("%s: it reads what is no message", doing));
    else if (shared->caught && shared->caught_rule == RULE_IO)
        add_complaint(result, RULE_IO,
                      name ? mem_printf("%s: it made the system call %s", doing, name)
                           : mem_printf("%s: it made the system call %ld", doing, shared->system_call));
    else if (shared->caught && shared->caught_rule == RULE_BOUNDS)
        add_complaint(result, RULE_BOUNDS, mem_printf("%s: it read past the end of what came in", doing));
    else if (shared->caught && shared->caught_rule == RULE_BORROWED)
        add_complaint(result, RULE_BORROWED, mem_printf("%s: it read what came in with an earlier call", doing));
    else if (shared->caught && shared->caught_rule == RULE_CRASH)
        add_complaint(result, RULE_CRASH, mem_printf("%s: it crashed (a sanitizer's report)", doing));
    else if (shared->caught)
        add_complaint(result, RULE_LIFETIME,
                      mem_printf("%s: what it answered points to memory that is not there", doing));
    else if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGALRM || WTERMSIG(status) == SIGPROF))
        add_complaint(result, RULE_TIME, mem_printf("%s: it does not come back", doing));
    else if (WIFSIGNALED(status))
        add_complaint(result, RULE_CRASH, mem_printf("%s: it crashed (%s)", doing, strsignal(WTERMSIG(status))));
    else if (!shared->finished)
        add_complaint(result, RULE_CRASH, mem_printf("%s: it ended the process", doing));
}

void conform_run(const char *plugin, const struct conform_option *options, size_t count, struct conform_result *result)
{
    *result = (struct conform_result){0};
    int ends[2];
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || pipe(ends) != 0) {
        add_complaint(result, RULE_FILE, mem_strdup("no memory or no pipe for a child process"));
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
        read_complaints(ends[0], result);
    close(ends[0]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        add_complaint(result, RULE_FILE, mem_strdup("no child process could be started"));
    else
        judge_end(result, shared, status);
    result->calls = shared->calls;
    result->slowest_us = shared->slowest_us;
    result->unwatched = shared->unwatched;
    munmap(shared, sizeof *shared);
}

void conform_result_finish(struct conform_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        free(result->complaints[i].seen);
    free(result->complaints);
}
