/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a store: whose they are, and that they are no other daemon's.
 *
 * The store holds messages and answers in clear text. So its files are ours alone when we make them, and we take none
 * that everybody may read, that belongs to another user, or that is a symbolic link: who can plant one decides where we
 * write, or what SQLite replays (-wal). The group may have its share: Kubernetes gives a volume to one (fsGroup).
 *
 * Two locks. <path>.lock names who has it; the lock on the database itself holds also when somebody tidied that file
 * away, or has a second name for the store. The kernel drops both however the process ends. Closing any descriptor of
 * the database drops SQLite's own locks on it, so ours is open as long as SQLite's are. */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIVATE 0600

static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".crumb"};

/* ---- whose they are */

static int check_folder(const char *store_path, char **error)
{
    struct stat folder;
    cleanup_text char *copy = mem_strdup(store_path);
    const char *path = dirname(copy);
    if (stat(path, &folder) != 0)
        *error = mem_printf("cannot use %s: %s; the directory must exist and belong to busbar's user (store.path)",
                            path, strerror(errno));
    else if (folder.st_uid != geteuid() && folder.st_uid != 0)
        *error = mem_printf("the directory %s belongs to user %ld, busbar runs as %ld: who owns it can replace the "
                            "store; chown it (store.path)",
                            path, (long)folder.st_uid, (long)geteuid());
    else if ((folder.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH)
        *error = mem_printf("everybody may write in the directory %s, and so replace the store: chmod o-w %s, or give "
                            "it one of its own (store.path)",
                            path, path);
    return *error ? -1 : 0;
}

static int check_file(const char *path, char **error)
{
    struct stat file;
    if (lstat(path, &file) != 0) {
        if (errno != ENOENT)
            *error = mem_printf("cannot use %s: %s", path, strerror(errno));
    } else if (!S_ISREG(file.st_mode))
        *error =
            mem_printf("%s is no regular file (a link?): busbar does not follow it; put the store itself there, or "
                       "name where it is (store.path)",
                       path);
    else if (file.st_uid != geteuid())
        *error = mem_printf("%s belongs to user %ld, busbar runs as %ld: chown it", path, (long)file.st_uid,
                            (long)geteuid());
    else if ((file.st_mode & S_IRWXO) != 0)
        *error = mem_printf("%s is open to everybody (mode %03o): chmod o-rwx %s", path, file.st_mode & 0777, path);
    return *error ? -1 : 0;
}

/* ---- that they are no other daemon's */

static int open_own(const char *path, char **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, PRIVATE);
    if (fd < 0)
        *error = mem_printf("cannot create %s: %s; the directory must belong to busbar's user (store.path)", path,
                            strerror(errno));
    return fd;
}

static int lock_named(struct store *store, char **error)
{
    cleanup_text char *path = mem_printf("%s.lock", store->path);
    store->lock_fd = open_own(path, error);
    if (store->lock_fd < 0)
        return -1;
    char holder[24] = "";
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t got = pread(store->lock_fd, holder, sizeof holder - 1, 0);
        holder[got > 0 ? strspn(holder, "0123456789") : 0] = '\0';
        *error = mem_printf("the store %s is in use by another busbar (process %s); give each its own store.path",
                            store->path, *holder ? holder : "unknown");
        return -1;
    }
    int len = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, holder, (size_t)len, 0) != len) {
        *error = mem_printf("cannot write %s: %s", path, strerror(errno));
        return -1;
    }
    return 0;
}

static int lock_database(struct store *store, char **error)
{
    store->file_fd = open_own(store->path, error); /* SQLite's other files get this one's mode */
    if (store->file_fd >= 0 && flock(store->file_fd, LOCK_EX | LOCK_NB) != 0)
        *error = mem_printf("the store %s is in use by another busbar, by another name or without its .lock file; give "
                            "each its own store.path",
                            store->path);
    return *error ? -1 : 0;
}

int store_take_files(struct store *store, char **error)
{
    if (check_folder(store->path, error) != 0)
        return -1;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        cleanup_text char *path = mem_printf("%s%s", store->path, suffixes[i]);
        if (check_file(path, error) != 0)
            return -1;
    }
    return lock_named(store, error) != 0 ? -1 : lock_database(store, error);
}

/* Whoever only reads takes no lock, and follows a link. A pipe would be waited for without end. */
int store_look_before_reading(const struct store *store, char **error)
{
    struct stat file;
    if (access(store->path, R_OK) != 0 || stat(store->path, &file) != 0)
        *error = mem_printf("cannot read the store %s: %s", store->path, strerror(errno));
    else if (!S_ISREG(file.st_mode))
        *error = mem_printf("%s is no regular file: name where the store is (store.path)", store->path);
    else if (file.st_size == 0)
        *error = mem_printf("%s is empty: there is no store in it yet", store->path);
    return *error ? -1 : 0;
}

/* A lock must not be tried to be known: a daemon that starts meanwhile would find it taken. The number in the file
 * outlives its writer, so the kernel's list must name it for this file, too. */
long store_holder(const char *path)
{
    cleanup_text char *named = mem_printf("%s.lock", path);
    char text[24] = "", line[256];
    struct stat file;
    int fd = open(named, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool known = fd >= 0 && fstat(fd, &file) == 0 && read(fd, text, sizeof text - 1) > 0;
    if (fd >= 0)
        close(fd);
    long wanted = known ? strtol(text, NULL, 10) : 0, holder = 0;
    FILE *locks = wanted > 0 ? fopen("/proc/locks", "re") : NULL;
    cleanup_text char *pid = mem_printf(" %ld ", wanted),
                      *inode = mem_printf(":%lu ", known ? (unsigned long)file.st_ino : 0);
    while (locks != NULL && holder == 0 && fgets(line, sizeof line, locks) != NULL)
        if (strstr(line, " FLOCK ") != NULL && strstr(line, pid) != NULL && strstr(line, inode) != NULL)
            holder = wanted;
    if (locks != NULL)
        fclose(locks);
    return holder;
}

void store_give_files(struct store *store)
{
    if (store->file_fd >= 0)
        close(store->file_fd);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
}

/* ---- that they are still there */

static struct store_file look_at(const struct store *store, const char *suffix)
{
    struct stat file;
    cleanup_text char *path = mem_printf("%s%s", store->path, suffix);
    return stat(path, &file) == 0 ? (struct store_file){file.st_dev, file.st_ino} : (struct store_file){0};
}

static bool is_same(struct store_file a, struct store_file b)
{
    return a.device == b.device && a.inode == b.inode;
}

/* SQLite made the WAL when it first read; it stays as long as a session is open. */
void store_remember_files(struct store *store)
{
    store->database = look_at(store, "");
    store->wal = look_at(store, "-wal");
}

bool store_has_files(const struct store *store)
{
    return is_same(look_at(store, ""), store->database) && is_same(look_at(store, "-wal"), store->wal);
}
