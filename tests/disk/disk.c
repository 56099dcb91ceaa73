/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that can be looked into and that can fail: preloaded into the real daemon (LD_PRELOAD), for tests.
 *
 * It stands before what is done to the files of one folder:
 *   $DISK_FOLDER   the folder; no other file is looked at
 *   $DISK_TRACE    everything that was written there is appended, so that disk.py can tell what a power cut leaves
 *   $DISK_CONTROL  a struct control in a file that the test changes while the daemon runs: which faults it meets
 *   $DISK_BOOT_ID  stands for the kernel's boot id: after a power cut the machine has another
 *
 * A write is noted and done under one mutex: what stands in the trace before the beginning of an fsync was written
 * before it. Its end is noted when it is over: who was killed in between has acknowledged nothing. What is written
 * through a mapping is not seen here; disk.py makes of those files what it likes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 65536
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/* disk.py has the same. All of it may change at any time. */
struct control {
    _Atomic uint32_t write_errno; /* what makes a file larger or changes it fails so; 0: it does not */
    _Atomic uint32_t sync_errno;
    _Atomic uint32_t sync_delay_ms;
    _Atomic uint32_t lies;   /* an fsync is said to be done and is not */
    _Atomic uint32_t one_in; /* a failure hits one call in so many; 0 and 1: each */
    _Atomic uint32_t hits;   /* counted here */
};

/* disk.py has the same. Then `len` bytes: data, or a path. */
struct record {
    uint32_t kind, len;
    uint64_t inode, at; /* offset, size, or the number of an fsync */
};

enum kind { CREATED = 1, WRITTEN, CUT, SYNC_BEGUN, SYNCED, SYNC_FAILED, REMOVED, RENAMED };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct control *control;
static char folder[4096];
static size_t folder_len;
static int trace = -1;
static _Atomic uint64_t inodes[FDS]; /* of the descriptors that lie in the folder; 0: does not */
static _Atomic uint64_t syncs;

/* POSIX lets the bytes of a pointer to data be those of one to a function; C wants them copied. */
#define REAL(name)                                  \
    do {                                            \
        void *found = dlsym(RTLD_NEXT, #name);      \
        memcpy(&real_##name, &found, sizeof found); \
    } while (0)

static int (*real_open64)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off_t);
static int (*real_ftruncate64)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void set_up(void)
{
    REAL(open64);
    REAL(close);
    REAL(write);
    REAL(pwrite64);
    REAL(ftruncate64);
    REAL(fsync);
    REAL(fdatasync);
    REAL(unlink);
    REAL(rename);
    const char *name = getenv("DISK_FOLDER");
    if (name == NULL || realpath(name, folder) == NULL)
        return;
    folder_len = strlen(folder);
    if ((name = getenv("DISK_TRACE")) != NULL)
        trace = real_open64(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    name = getenv("DISK_CONTROL");
    int fd = name != NULL ? real_open64(name, O_RDWR | O_CLOEXEC) : -1;
    void *memory = fd >= 0 ? mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (memory != MAP_FAILED)
        control = memory;
    if (fd >= 0)
        real_close(fd);
}

/* ---- the trace: under the mutex */

static void note(enum kind kind, uint64_t inode, uint64_t at, const void *data, size_t len)
{
    struct record record = {(uint32_t)kind, (uint32_t)len, inode, at};
    union { /* iovec promises nothing about what it points to */
        const void *given;
        void *plain;
    } bytes = {data};
    struct iovec parts[] = {{&record, sizeof record}, {bytes.plain, len}};
    if (trace >= 0 && writev(trace, parts, 2) < 0)
        abort(); /* a trace with holes proves nothing */
}

static void note_sync(enum kind kind, uint64_t inode, uint64_t number)
{
    pthread_mutex_lock(&mutex);
    note(kind, inode, number, NULL, 0);
    pthread_mutex_unlock(&mutex);
}

static uint64_t inode_of(int fd)
{
    return fd >= 0 && fd < FDS ? atomic_load_explicit(&inodes[fd], memory_order_relaxed) : 0;
}

/* ---- faults */

/* 0: none; else errno is set. */
static int strike(_Atomic uint32_t *with)
{
    uint32_t code = control != NULL ? atomic_load(with) : 0, one_in = code != 0 ? atomic_load(&control->one_in) : 0;
    if (code == 0)
        return 0;
    if (one_in > 1) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((uint32_t)now.tv_nsec / 64 % one_in != 0)
            return 0;
    }
    atomic_fetch_add(&control->hits, 1);
    errno = (int)code;
    return -1;
}

#define STRIKE(member) (control != NULL ? strike(&control->member) : 0)

static int sync_file(int fd, int (*real)(int))
{
    uint64_t inode = inode_of(fd);
    if (inode == 0)
        return real(fd);
    uint32_t delay_ms = control != NULL ? atomic_load(&control->sync_delay_ms) : 0;
    if (delay_ms > 0) {
        atomic_fetch_add(&control->hits, 1);
        nanosleep(&(struct timespec){delay_ms / 1000, delay_ms % 1000 * 1000000L}, NULL);
    }
    if (control != NULL && atomic_load(&control->lies))
        return 0;
    uint64_t number = atomic_fetch_add(&syncs, 1);
    note_sync(SYNC_BEGUN, inode, number);
    int rc = STRIKE(sync_errno);
    if (rc == 0)
        rc = real(fd);
    int code = errno;
    note_sync(rc == 0 ? SYNCED : SYNC_FAILED, inode, number);
    errno = code;
    return rc;
}

int fsync(int fd)
{
    return sync_file(fd, real_fsync);
}

int fdatasync(int fd)
{
    return sync_file(fd, real_fdatasync);
}

/* ---- files */

static const char *inside(int fd, char path[4096])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, 4095);
    if (len < 0)
        return NULL;
    path[len] = '\0';
    bool within = strncmp(path, folder, folder_len) == 0 && (path[folder_len] == '/' || path[folder_len] == '\0');
    return within ? path + folder_len + (path[folder_len] == '/') : NULL;
}

static int open_file(const char *path, int flags, mode_t mode)
{
    const char *boot_id = getenv("DISK_BOOT_ID");
    if (boot_id != NULL && strcmp(path, BOOT_ID) == 0)
        path = boot_id;
    if (folder_len == 0)
        return real_open64(path, flags, mode);
    pthread_mutex_lock(&mutex);
    struct stat file;
    bool creates = (flags & O_CREAT) != 0 && stat(path, &file) != 0;
    int fd = real_open64(path, flags, mode);
    int code = errno;
    char found[4096];
    const char *name = fd >= 0 && fd < FDS ? inside(fd, found) : NULL;
    if (name != NULL && fstat(fd, &file) == 0) {
        atomic_store(&inodes[fd], file.st_ino);
        if (creates && STRIKE(write_errno) != 0) {
            code = errno;
            real_unlink(path);
            real_close(fd);
            atomic_store(&inodes[fd], 0);
            fd = -1;
        } else if (creates) {
            note(CREATED, file.st_ino, 0, name, strlen(name));
        }
    }
    pthread_mutex_unlock(&mutex);
    errno = code;
    return fd;
}

static mode_t mode_of(int flags, va_list more)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return open_file(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return open_file(path, flags, mode);
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS)
        atomic_store(&inodes[fd], 0);
    return real_close(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    uint64_t inode = inode_of(fd);
    if (inode == 0)
        return real_pwrite64(fd, data, len, at);
    if (STRIKE(write_errno) != 0)
        return -1;
    pthread_mutex_lock(&mutex);
    note(WRITTEN, inode, (uint64_t)at, data, len);
    ssize_t rc = real_pwrite64(fd, data, len, at);
    pthread_mutex_unlock(&mutex);
    return rc;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return pwrite64(fd, data, len, at);
}

ssize_t write(int fd, const void *data, size_t len)
{
    off_t at = inode_of(fd) != 0 ? lseek(fd, 0, SEEK_CUR) : -1;
    if (at < 0)
        return real_write(fd, data, len);
    ssize_t rc = pwrite64(fd, data, len, at);
    if (rc > 0)
        lseek(fd, rc, SEEK_CUR);
    return rc;
}

int ftruncate64(int fd, off_t size)
{
    uint64_t inode = inode_of(fd);
    struct stat file;
    if (inode == 0)
        return real_ftruncate64(fd, size);
    if (fstat(fd, &file) == 0 && size > file.st_size && STRIKE(write_errno) != 0)
        return -1;
    pthread_mutex_lock(&mutex);
    note(CUT, inode, (uint64_t)size, NULL, 0);
    int rc = real_ftruncate64(fd, size);
    pthread_mutex_unlock(&mutex);
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

/* The name inside of the folder, or NULL. */
static const char *named(const char *path, char full[8192])
{
    char here[4096];
    if (path[0] == '/')
        here[0] = '\0';
    else if (getcwd(here, sizeof here) == NULL)
        return NULL;
    snprintf(full, 8192, "%s%s%s", here, path[0] == '/' ? "" : "/", path);
    return folder_len > 0 && strncmp(full, folder, folder_len) == 0 && full[folder_len] == '/' ? full + folder_len + 1
                                                                                               : NULL;
}

int unlink(const char *path)
{
    char full[8192];
    const char *name = named(path, full);
    if (name == NULL)
        return real_unlink(path);
    pthread_mutex_lock(&mutex);
    note(REMOVED, 0, 0, name, strlen(name));
    int rc = real_unlink(path);
    pthread_mutex_unlock(&mutex);
    return rc;
}

int rename(const char *from, const char *to)
{
    char full_from[8192], full_to[8192], names[16384];
    const char *a = named(from, full_from), *b = named(to, full_to);
    if (a == NULL || b == NULL)
        return real_rename(from, to);
    int len = snprintf(names, sizeof names, "%s/%s", a, b);
    pthread_mutex_lock(&mutex);
    note(RENAMED, 0, 0, names, (size_t)len);
    int rc = real_rename(from, to);
    pthread_mutex_unlock(&mutex);
    return rc;
}
