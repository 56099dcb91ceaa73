/* SPDX-License-Identifier: Apache-2.0 */
/* What the child may still do once the plugin is loaded: compute, take and give back memory up to its limit, talk to
 * the one descriptor that it has, end. Everything else ends it, by the kernel: SIGSYS.
 *
 * The list is short and checked in order by a program of the classic packet filter, which cannot be taken back. Where a
 * call is needed in one shape only, its argument is checked too: no executable memory, no memory that is shared (the
 * limit does not count it), no signal to another process. */
#include "cell_jail.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LAST_KEPT 0 /* the socket is standard input */

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* reserves terabytes for its own bookkeeping */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- limits */

static bool set_limit(__rlimit_resource_t which, rlim_t most)
{
    const struct rlimit limit = {most, most};
    return setrlimit(which, &limit) == 0;
}

const char *jail_begin(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return strerror(errno);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        signal(faults[i], SIG_DFL); /* what a sanitizer has hung on them: the kernel says what it died of */
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || !set_limit(RLIMIT_CORE, 0))
        return strerror(errno);
    tzset(); /* reads a file the first time */
    return NULL;
}

/* ---- system calls */

#ifdef OWN_ARCH

#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + (n) * sizeof(__u64)) /* its lower half, little-endian */

static const int allowed[] = {
    __NR_read,         __NR_write,          __NR_recvfrom,        __NR_sendto,      __NR_futex,
    __NR_brk,          __NR_munmap,         __NR_mremap,          __NR_madvise,     __NR_clock_gettime,
    __NR_clock_getres, __NR_gettimeofday,   __NR_getrandom,       __NR_exit,        __NR_exit_group,
    __NR_rt_sigreturn, __NR_rt_sigprocmask, __NR_rt_sigaction,    __NR_sigaltstack, __NR_sched_yield,
    __NR_getpid,       __NR_gettid,         __NR_restart_syscall, __NR_writev, /* what libc says when it aborts */
};

/* Allowed when the argument is this one, or has none of these bits. */
static const struct shape {
    int call, argument;
    bool equals_pid; /* else: must have none of bits */
    __u32 bits;
} shapes[] = {
    {__NR_mmap, 2, false, PROT_EXEC},     /* and flags, below */
    {__NR_mprotect, 2, false, PROT_EXEC}, /* malloc's arenas grow by it */
    {__NR_tgkill, 0, true, 0},            /* abort() */
};

struct program {
    struct sock_filter code[128];
    unsigned short len;
};

static void emit(struct program *program, struct sock_filter step)
{
    program->code[program->len++] = step;
}

static void load(struct program *program, size_t offset)
{
    emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)offset));
}

static void end_unless(struct program *program, unsigned short jump, __u32 value, bool wanted)
{
    emit(program,
         (struct sock_filter)BPF_JUMP((unsigned short)(BPF_JMP | jump | BPF_K), value, wanted ? 1 : 0, wanted ? 0 : 1));
    emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
}

static void allow(struct program *program)
{
    emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

static void put_shape(struct program *program, const struct shape *shape)
{
    bool maps = shape->call == __NR_mmap;
    load(program, ARGUMENT((size_t)shape->argument));
    if (shape->equals_pid)
        end_unless(program, BPF_JEQ, (__u32)getpid(), true);
    else
        end_unless(program, BPF_JSET, shape->bits, false);
    if (maps) {
        load(program, ARGUMENT(3));
        end_unless(program, BPF_JSET, MAP_SHARED, false);
    }
    allow(program);
}

static void write_program(struct program *program)
{
    load(program, offsetof(struct seccomp_data, arch));
    end_unless(program, BPF_JEQ, OWN_ARCH, true);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        unsigned char steps = (unsigned char)(shapes[i].call == __NR_mmap ? 7 : 4);
        load(program, offsetof(struct seccomp_data, nr));
        emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (__u32)shapes[i].call, 0, steps));
        put_shape(program, &shapes[i]);
    }
    load(program, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (__u32)allowed[i], 0, 1));
        allow(program);
    }
    emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
}

static const char *filter_calls(void)
{
    struct program program = {.len = 0};
    write_program(&program);
    const struct sock_fprog filter = {program.len, program.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0 ? NULL : strerror(errno);
}

#else

static const char *filter_calls(void)
{
    return "busbar knows no filter of system calls for this processor";
}

#endif

const char *jail_close(int64_t memory_bytes)
{
#ifdef SANITIZED
    (void)memory_bytes;
#else
    if (!set_limit(RLIMIT_DATA, (rlim_t)memory_bytes))
        return strerror(errno);
#endif
    /* What the filter forbids anyway, said twice: files, processes. */
    if (close_range(LAST_KEPT + 1, ~0U, 0) != 0 || !set_limit(RLIMIT_NOFILE, 0) || !set_limit(RLIMIT_FSIZE, 0) ||
        !set_limit(RLIMIT_NPROC, 0))
        return strerror(errno);
    return filter_calls();
}
