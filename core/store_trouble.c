/* SPDX-License-Identifier: Apache-2.0 */
/* Why the store takes nothing just now: what the last failure of SQLite means to who runs busbar.
 *
 * Set by any failure that is the disk's, not one message's. A commit that wrote something ends it, since it proves that
 * the disk takes something: one that changed nothing writes nothing and proves nothing. Damage has no such end: what
 * SQLite writes into damaged pages makes more of it, so from then on nothing is begun, until an operator has looked. */
#include "clock.h"
#include "store_private.h"

#include <errno.h>
#include <sys/statvfs.h>

#define ENOUGH_BYTES (4 << 20) /* what intake may commit at once: 256 messages */

static const struct store_trouble words[] = {
    [TROUBLE_NONE] = {NULL, NULL, 0},
    [TROUBLE_DISK_FULL] =
        {"disk_full", "the disk of the store is full (space, inodes or quota): free some, busbar goes on by itself", 0},
    [TROUBLE_READ_ONLY] =
        {"read_only",
         "the store cannot be written (read-only file system, or not ours any more): see the kernel's "
         "log and the mount, busbar goes on by itself",
         0},
    [TROUBLE_DISK_FAILS] =
        {"disk_fails",
         "the disk of the store fails (I/O error): see the kernel's log, take `busbar store backup`, "
         "move the store to another disk",
         0},
    [TROUBLE_DAMAGED] =
        {"damaged",
         "the store is damaged, nothing more is written into it: stop busbar, see `busbar store check`, "
         "then put a backup or what `busbar store recover` saves in its place",
         0},
    [TROUBLE_REMOVED] =
        {"removed", "files of the store were removed or replaced under the daemon: put them back, or restart busbar",
         0},
    [TROUBLE_LOCKED] = {"locked", "another program holds the store in a transaction: end it, busbar goes on by itself",
                        0},
    [TROUBLE_OPEN_FILES] = {"open_files",
                            "too many files are open, of this process (`ulimit -n`, systemd's LimitNOFILE) or of the "
                            "machine: raise the limit, restart busbar",
                            0},
};

static enum trouble of_system_error(int code)
{
    if (code == ENOSPC || code == EDQUOT)
        return TROUBLE_DISK_FULL;
    if (code == EMFILE || code == ENFILE)
        return TROUBLE_OPEN_FILES;
    return code == EROFS || code == EACCES || code == EPERM ? TROUBLE_READ_ONLY : TROUBLE_DISK_FAILS;
}

/* SQLite says "full" for its own cap (max_size, of which store_has_room tells) and for the disk. */
static enum trouble of_session(const struct store_session *session, int system_error)
{
    switch (sqlite3_errcode(session->db) & 0xff) {
    case SQLITE_FULL:
        return session->room_bytes > 0 ? TROUBLE_DISK_FULL : TROUBLE_NONE;
    case SQLITE_READONLY:
        return session->store->read_only ? TROUBLE_NONE : TROUBLE_READ_ONLY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return of_system_error(system_error);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return TROUBLE_DAMAGED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return TROUBLE_LOCKED;
    default: /* the message's own: too big, a second of its id */
        return TROUBLE_NONE;
    }
}

void store_set_trouble(struct store *store, enum trouble trouble)
{
    enum trouble before = atomic_load(&store->trouble);
    if (before == trouble || before == TROUBLE_DAMAGED)
        return;
    atomic_store(&store->trouble_since_ms, clock_wall_ms());
    atomic_store(&store->trouble, trouble);
}

void session_note_trouble(struct store_session *session, int system_error)
{
    enum trouble trouble = of_session(session, system_error);
    if (trouble != TROUBLE_NONE)
        store_set_trouble(session->store, trouble);
}

/* A disk that takes a small commit and no large one would be full and not full in turns. */
static bool has_some_room(const struct store *store)
{
    struct statvfs disk;
    return fstatvfs(store->file_fd, &disk) != 0 || (uint64_t)disk.f_bavail * disk.f_frsize >= ENOUGH_BYTES;
}

void store_end_trouble(struct store *store)
{
    enum trouble trouble = atomic_load_explicit(&store->trouble, memory_order_relaxed);
    if (trouble != TROUBLE_NONE && (trouble != TROUBLE_DISK_FULL || has_some_room(store)))
        store_set_trouble(store, TROUBLE_NONE);
}

bool store_trouble(const struct store *store, struct store_trouble *trouble)
{
    *trouble = words[atomic_load(&store->trouble)];
    trouble->since_ms = atomic_load(&store->trouble_since_ms);
    return trouble->name != NULL;
}

int store_probe(struct store_session *session)
{
    struct sql sql;
    if (store_begin(session) != 0)
        return -1;
    if (sql_start(&sql, session, SQL_PROBE) == 0) {
        sql_put_int(&sql, clock_wall_ms());
        sql_run(&sql); /* a failure fails the commit */
    }
    return store_commit(session);
}
