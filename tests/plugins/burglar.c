/* SPDX-License-Identifier: Apache-2.0 */
/* Tries what whoever got into the process would try, and rejects the delivery with a list of what came of it. */
#include <busbar/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct config {
    const char *beside, *elsewhere, *there, *program;
};

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? errno : 0;
}

static int try_program(const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        execl(path, path, "-c", "exit 0", (char *)NULL);
        _exit(errno);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int try_map(int protection)
{
    void *page = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return errno;
    munmap(page, 4096);
    return 0;
}

static int try_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int rc = mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0 ? 0 : errno;
    munmap(page, 4096);
    return rc;
}

static int try_call(long rc)
{
    return rc == -1 ? errno : 0;
}

/* Names of errors, "done" where it could. */
static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    const struct config *config = self;
    const struct attempt {
        const char *what;
        int error;
    } attempts[] = {
        {"write beside the store", try_open(config->beside, O_WRONLY | O_CREAT)},
        {"write elsewhere", try_open(config->elsewhere, O_WRONLY | O_CREAT)},
        {"truncate elsewhere", try_open(config->there, O_WRONLY | O_TRUNC)},
        {"read elsewhere", try_open(config->there, O_RDONLY)},
        {"start a program", try_program(config->program)},
        {"memory to write and run", try_map(PROT_READ | PROT_WRITE | PROT_EXEC)},
        {"memory to run", try_code()},
        {"memory to write", try_map(PROT_READ | PROT_WRITE)},
        {"trace", try_call(ptrace(PTRACE_TRACEME, 0, NULL, NULL))},
        {"mount", try_call(syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL))},
        {"keys", try_call(syscall(SYS_keyctl, 0, 0, 0, 0, 0))},
        {"namespace", try_call(syscall(SYS_unshare, 0))},
        {"io_uring", try_call(syscall(SYS_io_uring_setup, 0, NULL))},
    };
    const char *said = "";
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
        said = host->format(in->job, "%s%s%s: %s", said, *said ? "; " : "", attempts[i].what,
                            attempts[i].error ? strerrorname_np(attempts[i].error) : "done");
    out->error = (struct bb_error){.error_class = BB_VALIDATION, .code = "burglar", .message = said};
    return BB_REJECT;
}

static const struct bb_option options[] = {
    {"beside", BB_STRING, offsetof(struct config, beside), NULL, BB_REQUIRED, "a new file beside the store"},
    {"elsewhere", BB_STRING, offsetof(struct config, elsewhere), NULL, BB_REQUIRED, "a new file elsewhere"},
    {"there", BB_STRING, offsetof(struct config, there), NULL, BB_REQUIRED, "one that is there"},
    {"program", BB_STRING, offsetof(struct config, program), NULL, BB_REQUIRED, "a shell"},
};

static const struct bb_operation operations[] = {{.name = "thing.create", .help = "Creates", .flags = BB_WRITES}};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "burglar",
    .title = "Test",
    .version = "1",
    .help = "For tests.",
    .default_url = "https://test.example",
    .options = options,
    .option_size = sizeof options[0],
    .option_count = sizeof options / sizeof options[0],
    .config_size = sizeof(struct config),
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = 1,
    .step = step,
};
