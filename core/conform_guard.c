/* SPDX-License-Identifier: Apache-2.0 */
/* The child meets its faults as signals: SIGSEGV in a page that was forbidden, SIGSYS for a system call. Their handlers
 * only note what it was in the memory shared with the parent, and end. */
#include "conform_private.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AREA_BYTES ((size_t)512 << 10)

/* A signal handler has no context argument. */
static struct conform *guarded;

/* ---- inputs -------------------------------------------------------------------------- */

bool inputs_init(struct inputs *inputs)
{
    inputs->page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < 2; i++) {
        char *area = mmap(NULL, AREA_BYTES + inputs->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED || mprotect(area + AREA_BYTES, inputs->page, PROT_NONE) != 0)
            return false;
        inputs->areas[i] = area;
    }
    return true;
}

void inputs_begin(struct inputs *inputs)
{
    inputs->front = 0;
    inputs->back = AREA_BYTES;
}

void inputs_retire(struct inputs *inputs)
{
    mprotect(inputs->areas[inputs->turn], AREA_BYTES, PROT_NONE);
    inputs->turn = !inputs->turn;
    mprotect(inputs->areas[inputs->turn], AREA_BYTES, PROT_READ | PROT_WRITE);
}

void *inputs_struct(struct inputs *inputs, size_t bytes)
{
    void *place = inputs->areas[inputs->turn] + inputs->front;
    inputs->front += (bytes + 15) & ~(size_t)15;
    return memset(place, 0, bytes);
}

struct bb_str inputs_text(struct inputs *inputs, const char *text)
{
    const size_t len = strlen(text);
    inputs->back -= len;
    return (struct bb_str){memcpy(inputs->areas[inputs->turn] + inputs->back, text, len), len};
}

static bool is_forbidden(const struct inputs *inputs, const char *at, enum rule *rule)
{
    for (int i = 0; i < 2; i++) {
        const char *area = inputs->areas[i], *end = area + AREA_BYTES;
        if (at >= end && at < end + inputs->page) {
            *rule = RULE_BOUNDS;
            return true;
        }
        if (at >= area && at < end) {
            *rule = RULE_BORROWED;
            return true;
        }
    }
    return false;
}

/* ---- signals ---------------------------------------------------------------------------- */

#ifdef __SANITIZE_ADDRESS__
int __asan_report_present(void); /* its header is not always installed */
#define REPORT_PRESENT() (__asan_report_present() != 0)
#else
#define REPORT_PRESENT() false
#endif

/* The first fault counts: what a sanitizer does on the way out is none. Not _exit(): before what does not return, ASan
 * looks for its stacks in /proc, from a signal's handler, under locks that we may hold. */
static void end_with(enum rule rule, long system_call)
{
    if (!guarded->shared->caught) {
        guarded->shared->caught_rule = rule;
        guarded->shared->system_call = system_call;
        guarded->shared->caught = true;
    }
    syscall(SYS_exit_group, 1);
}

static void on_bad_address(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    enum rule rule = RULE_LIFETIME;
    if (guarded->shared->reading || is_forbidden(&guarded->inputs, info->si_addr, &rule))
        end_with(rule, 0);
    /* It comes again and, as SA_RESETHAND has it, to nobody: the parent reads the signal from the status. */
}

static void on_system_call(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    if (REPORT_PRESENT()) /* which it was about to print */
        end_with(guarded->shared->reading ? RULE_LIFETIME : RULE_CRASH, 0);
    end_with(RULE_IO, info->si_syscall);
}

static void catch_signals(void)
{
    static char stack[65536]; /* an overflow of the stack must find one */
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&other, NULL);
    struct sigaction bad = {.sa_sigaction = on_bad_address, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
    struct sigaction call = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &bad, NULL);
    sigaction(SIGBUS, &bad, NULL);
    sigaction(SIGSYS, &call, NULL);
}

/* ---- system calls ------------------------------------------------------------------------- */

#define NAMED(call)       \
    {                     \
        SYS_##call, #call \
    }
static const struct {
    long number;
    const char *name;
} call_names[] = {
#ifdef SYS_open /* what newer machines do without */
    NAMED(open),          NAMED(stat),
    NAMED(access),        NAMED(poll),
    NAMED(select),        NAMED(pipe),
    NAMED(alarm),         NAMED(pause),
    NAMED(fork),          NAMED(vfork),
    NAMED(unlink),        NAMED(mkdir),
    NAMED(rename),        NAMED(readlink),
    NAMED(time),          NAMED(gettimeofday),
#endif
    NAMED(openat),        NAMED(read),
    NAMED(readv),         NAMED(pread64),
    NAMED(write),         NAMED(writev),
    NAMED(pwrite64),      NAMED(close),
    NAMED(lseek),         NAMED(ioctl),
    NAMED(fcntl),         NAMED(dup),
    NAMED(dup3),          NAMED(fstat),
    NAMED(newfstatat),    NAMED(statx),
    NAMED(faccessat),     NAMED(faccessat2),
    NAMED(getdents64),    NAMED(getcwd),
    NAMED(chdir),         NAMED(unlinkat),
    NAMED(mkdirat),       NAMED(renameat2),
    NAMED(ftruncate),     NAMED(fsync),
    NAMED(flock),         NAMED(pipe2),
    NAMED(socket),        NAMED(socketpair),
    NAMED(connect),       NAMED(bind),
    NAMED(listen),        NAMED(accept4),
    NAMED(sendto),        NAMED(sendmsg),
    NAMED(recvfrom),      NAMED(recvmsg),
    NAMED(setsockopt),    NAMED(getsockopt),
    NAMED(shutdown),      NAMED(ppoll),
    NAMED(pselect6),      NAMED(epoll_create1),
    NAMED(epoll_ctl),     NAMED(epoll_pwait),
    NAMED(eventfd2),      NAMED(timerfd_create),
    NAMED(nanosleep),     NAMED(clock_nanosleep),
    NAMED(clock_gettime), NAMED(timer_create),
    NAMED(clone),         NAMED(clone3),
    NAMED(execve),        NAMED(wait4),
    NAMED(waitid),        NAMED(kill),
    NAMED(tkill),         NAMED(rt_sigaction),
    NAMED(rt_sigsuspend), NAMED(rt_sigtimedwait),
    NAMED(umask),         NAMED(prlimit64),
    NAMED(setrlimit),     NAMED(getrlimit),
    NAMED(prctl),         NAMED(uname),
    NAMED(getuid),        NAMED(geteuid),
    NAMED(personality),   NAMED(sched_setaffinity),
    NAMED(setpriority),   NAMED(memfd_create),
    NAMED(shmget),
};

const char *guard_call_name(long number)
{
    for (size_t i = 0; i < sizeof call_names / sizeof *call_names; i++)
        if (call_names[i].number == number)
            return call_names[i].name;
    return NULL;
}

/* What memory, locks, chance and the end of a process need; besides, writing to the check's own pipe, and to stdout and
 * stderr, where libc and the runtimes say what they die of: what else is there is found at the end. */
static const unsigned allowed[] = {
    SYS_brk,     SYS_mmap,         SYS_munmap,         SYS_mremap,      SYS_mprotect,
    SYS_madvise, SYS_futex,        SYS_getrandom,      SYS_exit,        SYS_exit_group,
    SYS_tgkill,  SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_sigaltstack, SYS_clock_gettime,
    SYS_gettid,  SYS_getpid,       SYS_sched_yield,    SYS_sysinfo,     SYS_setitimer,
};

static bool watch_calls(int pipe)
{
    enum { COUNT = sizeof allowed / sizeof *allowed };
    struct sock_filter program[2 * COUNT + 16];
    size_t n = 0;
#define LOAD(member) \
    program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define ANSWER(what) program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what)
#define UNLESS(value, skip) \
    program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, skip)
    LOAD(nr);
    for (size_t i = 0; i < COUNT; i++) {
        UNLESS(allowed[i], 1);
        ANSWER(SECCOMP_RET_ALLOW);
    }
    program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 1, 0); /* as libc dies */
    UNLESS(SYS_write, 7);
    LOAD(args[0]);
    UNLESS(pipe, 1);
    ANSWER(SECCOMP_RET_ALLOW);
    UNLESS(STDOUT_FILENO, 1);
    ANSWER(SECCOMP_RET_ALLOW);
    UNLESS(STDERR_FILENO, 1);
    ANSWER(SECCOMP_RET_ALLOW);
    ANSWER(SECCOMP_RET_TRAP);
    const struct sock_fprog filter = {.len = (unsigned short)n, .filter = program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

void guard_begin(struct conform *c)
{
    guarded = c;
    tzset(); /* the C library reads the zone's file once, at the first gmtime_r() as well */
    catch_signals();
    c->shared->unwatched = !watch_calls(c->pipe);
}
