/* SPDX-License-Identifier: Apache-2.0 */
/* Does what its message says ({"do": "crash"}), and what no plugin may. What asks is a good one: it sends a request,
 * keeps a state until the answer, and uses all that the host offers. */
#include <busbar/plugin.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct settings {
    const char *at_open;
};

static void crash(void)
{
    raise(SIGSEGV);
}

static void loop(void)
{
    for (volatile unsigned n = 0;; n++)
        ;
}

static void leak(void)
{
    const size_t piece = (size_t)1 << 20;
    for (int i = 0; i < 1024; i++)
        memset(malloc(piece), i, piece); /* as those do who look at no NULL */
}

/* Past the end of what it was given, into what malloc keeps behind it, and on. */
static void overflow(void)
{
    volatile char *small = malloc(24);
    for (volatile size_t i = 0; i < (size_t)1 << 30; i++)
        small[i] = 'A';
    free((void *)(uintptr_t)small);
}

static void listen_somewhere(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void read_a_file(void)
{
    (void)!open("/etc/hostname", O_RDONLY);
}

static void have_a_child(void)
{
    if (fork() == 0)
        _exit(0);
}

static void write_code(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void share_memory(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void end_the_parent(void)
{
    kill(getppid(), SIGKILL);
}

static void leave(void)
{
    _exit(7);
}

/* On whatever descriptor reaches anyone. */
static void talk(void)
{
    static const char nonsense[64] = "\xff\xff\xff\xff nobody can read this";
    for (int fd = 0; fd < 3; fd++)
        (void)!write(fd, nonsense, sizeof nonsense);
}

static void sleep_forever(void)
{
    char byte;
    while (read(0, &byte, 1) >= 0)
        ;
}

static long used_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* Uses up all but the last of a second, and nothing more. */
static void stop_at_the_brink(void)
{
    const long end_us = used_us() + 996000;
    while (used_us() < end_us)
        ;
    sleep_forever();
}

static const struct deed {
    const char *name;
    void (*run)(void);
} deeds[] = {
    {"crash", crash},
    {"loop", loop},
    {"leak", leak},
    {"overflow", overflow},
    {"socket", listen_somewhere},
    {"open", read_a_file},
    {"fork", have_a_child},
    {"code", write_code},
    {"share", share_memory},
    {"kill", end_the_parent},
    {"exit", leave},
    {"talk", talk},
    {"sleep", sleep_forever},
    {"brink", stop_at_the_brink},
};

static void run(const char *name)
{
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        if (strcmp(deeds[i].name, name) == 0)
            deeds[i].run();
}

/* The word behind "do", in job memory. */
static const char *deed_of(const struct bb_host *host, struct bb_job *job, struct bb_str body)
{
    const char *text = host->format(job, "%.*s", (int)body.len, body.len ? body.data : "");
    const char *at = strstr(text, "\"do\"");
    at = at ? strchr(at + 4, '"') : NULL;
    return at ? host->format(job, "%.*s", (int)strcspn(at + 1, "\""), at + 1) : "";
}

static int open_settings(const struct bb_host *host, struct bb_job *job, const void *config, void **self,
                         const char **error)
{
    (void)host, (void)job;
    const struct settings *settings = config;
    *self = (void *)(uintptr_t)config;
    if (settings->at_open && strcmp(settings->at_open, "refuse") == 0) {
        *error = "the settings say so";
        return -1;
    }
    if (settings->at_open)
        run(settings->at_open);
    return 0;
}

static const char *check(const struct bb_host *host, struct bb_job *job, void *self, const char *operation,
                         struct bb_str body)
{
    (void)self, (void)operation;
    return strcmp(deed_of(host, job, body), "wrong") == 0 ? "there is nothing wrong to do" : NULL;
}

static enum bb_next ask(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    struct bb_job *job = in->job;
    if (in->response == NULL) {
        const char *before = host->note_get(job, "last");
        *in->state = (void *)(uintptr_t)host->format(job, "asked after %s", before ? before : "nobody");
        host->note_put(job, "last", in->messages[0].id);
        host->count(job, "asked", 1);
        out->request = (struct bb_request){.method = "POST", .path = "/orders", .body = in->messages[0].body};
        return BB_SEND;
    }
    enum bb_next next = host->judge(job, in->response, out);
    if (next != BB_DONE)
        return next;
    const char *last = host->note_get(job, "last"); /* its own */
    if (*in->state == NULL || last == NULL || strcmp(last, in->messages[0].id) != 0) {
        out->error = (struct bb_error){BB_CONFLICT, "state_lost", "the attempt's state is gone", NULL, NULL};
        return BB_REJECT;
    }
    struct bb_event event = {.size = sizeof event, .name = "asked", .dedup_id = in->messages[0].id};
    event.raw.data = host->format(job, "{\"state\":\"%s\"}", (const char *)*in->state);
    event.raw.len = strlen(event.raw.data);
    host->emit(job, &event);
    host->log(job, BB_LOG_INFO, "asked and answered");
    return next;
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    const char *deed = deed_of(host, in->job, in->messages[0].body);
    if (strcmp(deed, "ask") == 0)
        return ask(host, in, out);
    if (strcmp(deed, "headers") == 0) {
        out->request = (struct bb_request){.method = "POST", .path = "/orders", .header_count = 2000000000};
        return BB_SEND;
    }
    if (strcmp(deed, "alloc") == 0)
        memset(host->alloc(in->job, (size_t)1 << 30), 'x', (size_t)1 << 30);
    for (int i = 0; strcmp(deed, "events") == 0 && i < 3000000; i++)
        host->emit(in->job, &(struct bb_event){.size = sizeof(struct bb_event), .name = "again"});
    if (strcmp(deed, "judge") == 0 && in->response == NULL) { /* dies of the answer */
        out->request = (struct bb_request){.method = "POST", .path = "/orders", .body = in->messages[0].body};
        return BB_SEND;
    }
    run(strcmp(deed, "judge") == 0 ? "crash" : deed);
    return BB_DONE;
}

static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self, (void)out;
    run(deed_of(host, in->job, in->messages[0].body));
    struct bb_event event = {.size = sizeof event, .name = "heard", .raw = in->messages[0].body};
    host->emit(in->job, &event);
    return BB_DONE;
}

static enum bb_next poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self, (void)in, (void)out;
    if (host->note_get(in->job, "last"))
        run("crash");
    return BB_DONE;
}

static const struct bb_operation operations[] = {
    {.name = "thing.do", .help = "What the message says", .flags = BB_WRITES | BB_IDEMPOTENT, .max_batch = 1},
    {.name = "thing.park", .help = "The same, never twice", .flags = BB_WRITES | BB_PARK, .max_batch = 1}};

static const struct bb_option options[] = {
    {"at_open", BB_STRING, offsetof(struct settings, at_open), NULL, 0, "what to do when the target opens"}};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "rogue",
    .title = "Rogue",
    .version = "1",
    .help = "Does what its message says.",
    .config_size = sizeof(struct settings),
    .options = options,
    .option_size = sizeof options[0],
    .option_count = sizeof options / sizeof options[0],
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = sizeof operations / sizeof operations[0],
    .hook = {.event_pointer = "/event"},
    .open = open_settings,
    .check = check,
    .step = step,
    .decode = decode,
    .poll = poll,
    .poll_ms = 3600000,
};
