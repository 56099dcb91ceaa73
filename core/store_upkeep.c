/* SPDX-License-Identifier: Apache-2.0 */
/* Upkeep: retention, checkpoints, backup.
 *
 * A passive checkpoint never waits, but it can finish the WAL only when nobody appends meanwhile, and only a
 * finished WAL is begun anew: under steady writing it would grow for ever. So once it is long, the short
 * rest is checkpointed while we hold the writer's place. */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS INT64_C(86400000)
#define MEMORY_MS (7 * DAY_MS)        /* FactVerse F-U9: duplicates are known for 7 days */
#define AUDIT_LEAST_MS (90 * DAY_MS)  /* F-U12 */
#define CHECKPOINT_STEP_PAGES 1000    /* 4 MB: one fsync of the file pays for it */
#define CHECKPOINT_FINISH_PAGES 10000 /* 40 MB */

/* Removes what is older, at most *left rows, and counts *left down. Answers rows, or -1. */
static int64_t remove_older(struct store_session *session, enum sql_id id, int64_t cutoff_ms, int64_t left)
{
    struct sql sql;
    if (left <= 0)
        return 0;
    if (sql_start(&sql, session, id) != 0)
        return -1;
    sql_put_int(&sql, cutoff_ms);
    sql_put_int(&sql, left);
    return sql_run(&sql) != 0 ? -1 : sql_changed(&sql);
}

struct cutoffs {
    int64_t over_ms, audit_ms, memories_ms; /* wall: what is older goes */
};

static int64_t remove_rows(struct store_session *session, struct cutoffs cutoffs, size_t limit)
{
    if (store_begin(session) != 0)
        return -1;
    const struct {
        enum sql_id id;
        int64_t cutoff_ms;
        bool counts; /* the first two go with their delivery */
    } steps[] = {
        {SQL_RETAIN_CONTENTS, cutoffs.over_ms, false},    {SQL_RETAIN_EXCHANGES, cutoffs.over_ms, false},
        {SQL_RETAIN_DELIVERIES, cutoffs.over_ms, true},   {SQL_RETAIN_AUDIT, cutoffs.audit_ms, true},
        {SQL_RETAIN_MEMORIES, cutoffs.memories_ms, true},
    };
    int64_t removed = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int64_t rows = remove_older(session, steps[i].id, steps[i].cutoff_ms, (int64_t)limit - removed);
        if (rows < 0) {
            store_rollback(session);
            return -1;
        }
        removed += steps[i].counts ? rows : 0;
    }
    if (removed > 0 && session_measure_room(session) != 0) {
        store_rollback(session);
        return -1;
    }
    return store_commit(session) != 0 ? -1 : removed;
}

int64_t store_retain(struct store_session *session, int64_t now_ms, int64_t retention_ms, size_t limit)
{
    int64_t audit_ms = retention_ms > AUDIT_LEAST_MS ? retention_ms : AUDIT_LEAST_MS;
    return remove_rows(session, (struct cutoffs){now_ms - retention_ms, now_ms - audit_ms, now_ms - MEMORY_MS}, limit);
}

int64_t store_make_room(struct store_session *session, int64_t now_ms, size_t limit)
{
    return remove_rows(session, (struct cutoffs){now_ms, now_ms, now_ms - MEMORY_MS}, limit);
}

static int checkpoint_passively(struct store_session *session, int *left)
{
    int pages = 0, done = 0;
    int code = sqlite3_wal_checkpoint_v2(session->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &done);
    if (code == SQLITE_BUSY) /* somebody else does it */
        code = SQLITE_OK;
    if (code != SQLITE_OK)
        return session_fail_sqlite(session, "checkpoint");
    atomic_store_explicit(&session->store->checkpointed_pages, done, memory_order_relaxed);
    *left = pages - done;
    return 0;
}

int store_checkpoint(struct store_session *session)
{
    struct store *store = session->store;
    if (session->writing)
        return session_fail(session, "store_checkpoint inside a transaction");
    int64_t pages = atomic_load_explicit(&store->wal_pages, memory_order_relaxed);
    int64_t done = atomic_load_explicit(&store->checkpointed_pages, memory_order_relaxed);
    if (pages < done) /* begun anew since */
        done = 0;
    if (pages - done < CHECKPOINT_STEP_PAGES)
        return 0;
    int left = 0;
    int answer = checkpoint_passively(session, &left);
    if (answer == 0 && left > 0 && pages >= CHECKPOINT_FINISH_PAGES) {
        turnstile_enter(&store->writer);
        answer = checkpoint_passively(session, &left);
        turnstile_leave(&store->writer);
    }
    return answer;
}

static int copy_into(struct store_session *session, const char *path)
{
    sqlite3 *copy = NULL;
    int code = sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_backup *backup = code == SQLITE_OK ? sqlite3_backup_init(copy, "main", session->db, "main") : NULL;
    if (backup) {
        sqlite3_backup_step(backup, -1); /* in one go: one snapshot, however busy the store is */
        code = sqlite3_backup_finish(backup);
        /* One file that stands alone, without a -wal beside it. */
        if (code == SQLITE_OK)
            code = sqlite3_exec(copy, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    } else {
        code = sqlite3_errcode(copy);
    }
    int answer = 0;
    if (code != SQLITE_OK)
        answer = session_fail(session, "cannot write the backup %s: %s", path, sqlite3_errmsg(copy));
    sqlite3_close(copy);
    return answer;
}

int store_backup(struct store_session *session, const char *path)
{
    if (session->writing)
        return session_fail(session, "store_backup inside a transaction");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return session_fail(session, "cannot create the backup %s: %s", path, strerror(errno));
    close(fd);
    int answer = copy_into(session, path);
    if (answer != 0)
        unlink(path);
    return answer;
}
