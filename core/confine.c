/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * Landlock says where files may be written and programs started, not where they may be read: a reload must be able to
 * read what a new configuration names, and the user's rights say what that can be. The store's folder is the one that
 * may be written; programs may be started from where our own and its loader are, so that a reload may start a newly
 * installed one. Nothing can be started from where something can be written.
 *
 * seccomp refuses with EPERM what no part of busbar calls: tracing other processes, keys, mounts, namespaces, modules,
 * the clock; and memory that can be both written and executed. A list of what is refused, not of what is allowed: the
 * libraries' next version may call something new.
 *
 * All of it outlives exec, which a reload is. A variable of the environment says so to the process that starts anew:
 * Landlock's layers are limited to 16, and a second one could not give another folder anyway. `busbar check` reads the
 * same variable, so that a reload which would move the store is refused before it begins.
 *
 * BUSBAR_UNCONFINED=1 in the environment leaves all of it out, for a debugger or valgrind; so do builds with sanitizers
 * and coverage, which look into the process and write beside themselves. */
#include "confine.h"

#include "buf.h"
#include "log.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VARIABLE "BUSBAR_CONFINED" /* the folder that may be written; "": all of them */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_wanted(void)
{
#ifdef BUSBAR_UNCONFINED
    return false;
#else
    const char *variable = getenv("BUSBAR_UNCONFINED");
    return variable == NULL || variable[0] == '\0' || strcmp(variable, "0") == 0;
#endif
}

void confine_memory(void)
{
    const struct rlimit none = {0, 0};
    if (!is_wanted())
        return;
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* ---- the user */

int confine_user(const char *user, char **error)
{
    if (user == NULL || geteuid() != 0)
        return 0;
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        *error =
            mem_printf("there is no user '%s'%s%s", user, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
        return -1;
    }
    if (initgroups(user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0) {
        *error = mem_printf("cannot become the user '%s': %s", user, strerror(errno));
        return -1;
    }
    confine_memory(); /* another user is another /proc: the kernel forgot it */
    return 0;
}

/* ---- Landlock */

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#define FILES_CHANGE                                                                                 \
    (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |      \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |    \
     LANDLOCK_ACCESS_FS_REFER)
#define FILE_WRITES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

/* What this kernel's version of it knows of them. */
static uint64_t known_rights(long version)
{
    uint64_t rights = FILES_CHANGE | FILE_WRITES | LANDLOCK_ACCESS_FS_EXECUTE;
    if (version < 2)
        rights &= ~LANDLOCK_ACCESS_FS_REFER;
    if (version < 3)
        rights &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
    return rights;
}

static bool allow(int ruleset, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    const struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    bool good = fd >= 0 && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static bool allow_folder_of(int ruleset, const char *file)
{
    char path[PATH_MAX];
    if (realpath(file, path) == NULL)
        return false;
    *strrchr(path, '/') = '\0';
    return allow(ruleset, path[0] != '\0' ? path : "/", LANDLOCK_ACCESS_FS_EXECUTE);
}

/* The program that loads ours: PT_INTERP. */
static int find_loader(struct dl_phdr_info *info, size_t size, void *path)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_INTERP)
            *(const char **)path = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return 1; /* ours is the first */
}

/* What was left undone, or NULL. static */
static const char *restrict_files(const char *folder)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return "this kernel has no Landlock";
    uint64_t rights = known_rights(version);
    const struct landlock_ruleset_attr attributes = {.handled_access_fs = rights};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    const char *loader = NULL;
    dl_iterate_phdr(find_loader, &loader);
    bool good = ruleset >= 0 && allow(ruleset, folder, rights & (FILES_CHANGE | FILE_WRITES)) &&
                allow(ruleset, "/dev/null", rights & FILE_WRITES) && allow_folder_of(ruleset, "/proc/self/exe") &&
                (loader == NULL || allow_folder_of(ruleset, loader)) &&
                syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    if (ruleset >= 0)
        close(ruleset);
    return good ? NULL : "Landlock could not be used";
}

/* ---- seccomp */

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE
static const unsigned refused_calls[] = {
    SYS_acct,
    SYS_add_key,
    SYS_adjtimex,
    SYS_bpf,
    SYS_chroot,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_delete_module,
    SYS_fanotify_init,
    SYS_finit_module,
    SYS_fsmount,
    SYS_fsopen,
    SYS_fspick,
    SYS_init_module,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_uring_setup,
    SYS_kcmp,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_mount,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_open_tree,
    SYS_perf_event_open,
    SYS_personality,
    SYS_pidfd_getfd,
    SYS_pivot_root,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_quotactl,
    SYS_reboot,
    SYS_request_key,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_setns,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_umount2,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vhangup,
#if defined(__x86_64__)
    SYS_ioperm,
    SYS_iopl,
    SYS_kexec_file_load,
    SYS_modify_ldt,
    SYS_uselib,
#endif
};

#define LOAD(member) (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define ANSWER(value) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (value))
#define REFUSE (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))
/* `count` further instructions are for this one value of what was loaded. */
#define WHEN(value, count) (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (count))

#define MOST_LINES (24 + 2 * COUNT(refused_calls))

static const char *refuse_calls(void)
{
    struct sock_filter lines[MOST_LINES];
    unsigned short count = 0;
    lines[count++] = LOAD(arch);
    lines[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    lines[count++] = ANSWER(REFUSE); /* another machine's calls, by other numbers */
    lines[count++] = LOAD(nr);
#if defined(__x86_64__)
    lines[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1); /* x32 */
    lines[count++] = ANSWER(REFUSE);
#endif
    for (size_t i = 0; i < COUNT(refused_calls); i++) {
        lines[count++] = WHEN(refused_calls[i], 1);
        lines[count++] = ANSWER(REFUSE);
    }
    /* memory that is both, and memory that becomes code */
    lines[count++] = WHEN(SYS_mmap, 4);
    lines[count++] = LOAD(args[2]);
    lines[count++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC);
    lines[count++] = WHEN(PROT_WRITE | PROT_EXEC, 1);
    lines[count++] = ANSWER(REFUSE);
    lines[count++] = LOAD(nr);
    lines[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0);
    lines[count++] = WHEN(SYS_pkey_mprotect, 3);
    lines[count++] = LOAD(args[2]);
    lines[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
    lines[count++] = ANSWER(REFUSE);
    lines[count++] = ANSWER(SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {count, lines};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 ? NULL : "this kernel has no seccomp filter";
}
#else
static const char *refuse_calls(void)
{
    return "no list of this machine's system calls";
}
#endif

/* ---- the daemon */

/* Of a file that need not be there yet. gives */
static char *folder_of(const char *file)
{
    char path[PATH_MAX];
    const char *slash = strrchr(file, '/');
    cleanup_text char *folder = slash != NULL ? mem_printf("%.*s/", (int)(slash - file), file) : mem_strdup(".");
    return mem_strdup(realpath(folder, path) != NULL ? path : folder);
}

bool confine_allows(const char *file)
{
    const char *confined = getenv(VARIABLE);
    cleanup_text char *real = folder_of(file);
    return confined == NULL || confined[0] == '\0' || strcmp(confined, real) == 0;
}

void confine_daemon(const char *file)
{
    if (!is_wanted()) {
        log_warn("not confined", "reason", "BUSBAR_UNCONFINED, or a build for tests", NULL);
        return;
    }
    if (geteuid() == 0)
        log_warn("runs as root", "action", "start it as another user, or name one: `user:`", NULL);
    if (getenv(VARIABLE) != NULL)
        return;
    cleanup_text char *real = folder_of(file);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const char *files = restrict_files(real);
    const char *calls = refuse_calls();
    setenv(VARIABLE, files == NULL ? real : "", 1);
    log_info("confined", "writes", files != NULL ? files : real, "system_calls", calls != NULL ? calls : "limited",
             NULL);
}
