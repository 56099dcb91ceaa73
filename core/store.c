/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * One file in WAL mode: readers never wait, a commit is one append (and one fsync when it has to survive a power
 * cut). SQLite would checkpoint inside of a commit; ours is off, the reactor does it in steps (store_upkeep.c).
 *
 * Who may open. The daemon holds the locks of store_file.c for its life. Readers take no lock of ours. Never open and
 * close <path> beside SQLite: closing any descriptor of a file drops the process's POSIX locks on it, SQLite's too.
 * stat is harmless.
 *
 * Who may write. One session at a time, by the turnstile, so that SQLite never answers BUSY between our threads.
 * Once a statement failed, the transaction can only be rolled back: SQLite may have done so already, and
 * what came next would commit on its own.
 *
 * How much. Accepting (store_add_delivery of OUT and IN) stops at max_bytes, everything else at 10 % more, by
 * PRAGMA max_page_count: a full store can still settle what it holds. Free pages inside the file are
 * room. Each transaction starts with the room measured, and estimates from there. */
#include "store_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 5000 /* for foreign hands only: an operator with sqlite3 in a transaction */
#define LEAST_PAGES 64
#define WAL_KEPT_BYTES 67108864

static _Thread_local bool in_transaction;

/* ---- the turnstile -------------------------------------------------------*/

static void turnstile_init(struct turnstile *turnstile)
{
    pthread_mutex_init(&turnstile->mutex, NULL);
    pthread_cond_init(&turnstile->moved, NULL);
}

static void turnstile_finish(struct turnstile *turnstile)
{
    pthread_cond_destroy(&turnstile->moved);
    pthread_mutex_destroy(&turnstile->mutex);
}

void turnstile_enter(struct turnstile *turnstile)
{
    pthread_mutex_lock(&turnstile->mutex);
    uint64_t ticket = turnstile->drawn++;
    while (turnstile->served != ticket)
        pthread_cond_wait(&turnstile->moved, &turnstile->mutex);
    pthread_mutex_unlock(&turnstile->mutex);
}

void turnstile_leave(struct turnstile *turnstile)
{
    pthread_mutex_lock(&turnstile->mutex);
    turnstile->served++;
    pthread_cond_broadcast(&turnstile->moved);
    pthread_mutex_unlock(&turnstile->mutex);
}

/* ---- sessions ------------------------------------------------------------*/

static int run_text(struct store_session *session, const char *text)
{
    if (sqlite3_exec(session->db, text, NULL, NULL, NULL) != SQLITE_OK)
        return session_fail_sqlite(session, "store");
    return 0;
}

static int run_pragma(struct store_session *session, const char *name, int64_t value)
{
    cleanup_text char *text = mem_printf("PRAGMA %s = %" PRId64, name, value);
    return run_text(session, text);
}

/* Answers -1 and the session's error. */
static int ask_int(struct store_session *session, const char *text, int64_t *value)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(session->db, text, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *value = sqlite3_column_int64(statement, 0);
    else
        session_fail_sqlite(session, "store");
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? 0 : -1;
}

/* SQLite calls this after each commit; that it is set turns the automatic checkpoints off. */
static int note_wal_pages(void *context, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct store *store = context;
    atomic_store_explicit(&store->wal_pages, pages, memory_order_relaxed);
    return SQLITE_OK;
}

static struct store_session *open_file(struct store *store)
{
    struct store_session *session = mem_alloc(sizeof *session);
    session->store = store;
    int flags = store->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (sqlite3_open_v2(store->path, &session->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        session_fail_sqlite(session, "open");
    sqlite3_busy_timeout(session->db, BUSY_MS);
    return session;
}

static int configure(struct store_session *session)
{
    struct store *store = session->store;
    if (run_text(session, "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON") != 0)
        return -1;
    if (store->read_only)
        return run_text(session, "PRAGMA query_only = ON");

    sqlite3_wal_hook(session->db, note_wal_pages, store);
    int64_t pages = INT32_MAX;
    if (store->max_bytes < INT32_MAX * store->page_bytes)
        pages = (store->max_bytes + store->max_bytes / 10) / store->page_bytes;
    /* Debian's SQLite wipes what is deleted; FAST does so only where it costs no extra write. */
    if (run_text(session, "PRAGMA journal_mode = WAL; PRAGMA secure_delete = FAST") != 0 ||
        run_text(session, store->power_loss ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL") != 0 ||
        run_pragma(session, "journal_size_limit", WAL_KEPT_BYTES) != 0 ||
        run_pragma(session, "max_page_count", pages < LEAST_PAGES ? LEAST_PAGES : pages) != 0)
        return -1;
    return 0;
}

struct store_session *store_session_open(struct store *store, char **error)
{
    struct store_session *session = open_file(store);
    if (!session->error && configure(session) == 0)
        return session;
    *error = mem_printf("the store %s cannot be used: %s", store->path, store_error(session));
    store_session_close(session);
    return NULL;
}

void store_session_close(struct store_session *session)
{
    if (!session)
        return;
    store_rollback(session);
    for (size_t i = 0; i < SQL_STATEMENTS; i++)
        sqlite3_finalize(session->statements[i]);
    sqlite3_close(session->db);
    mem_free_char(&session->error);
    free(session);
}

const char *store_error(const struct store_session *session)
{
    return session->error ? session->error : "";
}

/* ---- the file ------------------------------------------------------------*/

static int migrate(struct store_session *session, int64_t version)
{
    for (; version < sql_schema_version; version++) {
        cleanup_text char *text =
            mem_printf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %" PRId64 "; COMMIT",
                       sql_migrations[version], SQL_APPLICATION_ID, version + 1);
        if (run_text(session, text) != 0)
            return -1;
    }
    return 0;
}

/* What a killed process wrote last may be in the WAL and nowhere but in memory: it died before its fsync, or that
 * failed, after which Linux takes the pages for written. We are about to answer for it (a message that comes again is
 * known), so it goes into the file now, which is written and synced anew. */
static int settle_wal(struct store_session *session)
{
    if (session->store->read_only)
        return 0;
    int code = sqlite3_wal_checkpoint_v2(session->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return code == SQLITE_OK ? 0 : session_fail_sqlite(session, "checkpoint");
}

/* Brings the schema up to ours, or says in *error why this file is not for us. */
static int adopt(struct store *store, char **error)
{
    struct store_session *root = store->root;
    int64_t version, application, tables;
    bool legible = !root->error && ask_int(root, "PRAGMA user_version", &version) == 0 &&
                   ask_int(root, "PRAGMA page_size", &store->page_bytes) == 0 &&
                   ask_int(root, "PRAGMA application_id", &application) == 0 &&
                   ask_int(root, "SELECT count(*) FROM sqlite_schema", &tables) == 0;
    if (!legible)
        *error = mem_printf("the store %s cannot be read: %s", store->path, store_error(root));
    else if (application != SQL_APPLICATION_ID && (tables > 0 || store->read_only))
        *error = mem_printf("%s is not a busbar store", store->path);
    else if (version > sql_schema_version)
        *error = mem_printf("the store %s has schema %" PRId64 ", this busbar knows up to %d: it was written by a "
                            "newer busbar; run that one, or restore a backup from before",
                            store->path, version, sql_schema_version);
    else if (version < sql_schema_version && store->read_only)
        *error = mem_printf("the store %s has schema %" PRId64 ", this busbar reads %d: start its daemon once",
                            store->path, version, sql_schema_version);
    else if (configure(root) != 0 || migrate(root, version) != 0 || settle_wal(root) != 0 ||
             session_measure_room(root) != 0)
        *error = mem_printf("the store %s cannot be prepared: %s", store->path, store_error(root));
    struct store_trouble trouble;
    if (*error && store_trouble(store, &trouble)) {
        cleanup_text char *bare = *error;
        bool hopeless = !legible && atomic_load(&store->trouble) == TROUBLE_DAMAGED; /* recover would begin there */
        *error = mem_printf("%s; %s", bare,
                            hopeless ? "the store is damaged where it begins, nothing can be saved of it: stop busbar, "
                                       "put a backup in its place"
                                     : trouble.text);
    }
    return *error ? -1 : 0;
}

/* Without its memory statistics, and so without the global lock that counts for them. Before its first use only. */
static void set_up_sqlite(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

struct store *store_open(const struct store_options *options, char **error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up_sqlite);
    struct store *store = mem_alloc(sizeof *store);
    *error = NULL;
    store->path = mem_strdup(options->path);
    store->power_loss = options->power_loss;
    store->read_only = options->read_only;
    store->max_bytes = options->max_bytes > 0 ? options->max_bytes : INT64_MAX;
    store->lock_fd = store->file_fd = -1;
    turnstile_init(&store->writer);

    if (store->read_only) {
        if (store_look_before_reading(store, error) != 0)
            goto fail;
    } else {
        if (store_take_files(store, error) != 0)
            goto fail;
        store->crumbs = crumbs_open(store->path, error);
        if (!store->crumbs)
            goto fail;
    }
    store->unread_commits = store_count_unread(store->path);
    store->root = open_file(store);
    if (adopt(store, error) != 0)
        goto fail;
    store_remember_files(store);
    return store;
fail:
    store_close(store);
    return NULL;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_session_close(store->root);
    crumbs_close(store->crumbs);
    store_give_files(store);
    turnstile_finish(&store->writer);
    mem_free_char(&store->path);
    free(store);
}

int64_t store_bytes(const struct store *store)
{
    cleanup_text char *wal = mem_printf("%s-wal", store->path);
    struct stat file;
    int64_t bytes = stat(store->path, &file) == 0 ? file.st_size : 0;
    return bytes + (stat(wal, &file) == 0 ? file.st_size : 0);
}

int64_t store_unread_commits(const struct store *store)
{
    return store->unread_commits;
}

bool store_has_room(const struct store *store)
{
    return atomic_load_explicit(&store->room_bytes, memory_order_relaxed) > 0;
}

bool store_is_tight(const struct store *store)
{
    return atomic_load_explicit(&store->room_bytes, memory_order_relaxed) < store->max_bytes / 10;
}

/* ---- transactions --------------------------------------------------------*/

static int ask_pages(struct store_session *session, enum sql_id id, int64_t *pages)
{
    struct sql sql;
    if (sql_start(&sql, session, id) != 0 || sql_row(&sql) != 1)
        return -1;
    *pages = sql_take_int(&sql);
    sql_end(&sql);
    return 0;
}

int session_measure_room(struct store_session *session)
{
    int64_t pages, free_pages;
    if (ask_pages(session, SQL_PAGES, &pages) != 0 || ask_pages(session, SQL_FREE_PAGES, &free_pages) != 0)
        return -1;
    struct store *store = session->store;
    session->room_bytes = store->max_bytes - (pages - free_pages) * store->page_bytes;
    atomic_store_explicit(&store->room_bytes, session->room_bytes, memory_order_relaxed);
    return 0;
}

/* Whatever SQLite made of the transaction by itself, afterwards there is none. */
static void leave_transaction(struct store_session *session)
{
    session->writing = session->failed = in_transaction = false;
    turnstile_leave(&session->store->writer);
}

static void roll_back(struct store_session *session)
{
    struct sql sql;
    if (!sqlite3_get_autocommit(session->db) && sql_start(&sql, session, SQL_ROLLBACK) == 0)
        sql_run(&sql);
    session_measure_room(session);
    leave_transaction(session);
}

/* What is written into a removed file is gone with the process: nothing may be acknowledged for it. */
static int check_files(struct store_session *session)
{
    struct store *store = session->store;
    if (atomic_load_explicit(&store->trouble, memory_order_relaxed) == TROUBLE_DAMAGED)
        return session_fail(session, "%s is damaged", store->path);
    if (store_has_files(store))
        return 0;
    store_set_trouble(store, TROUBLE_REMOVED);
    return session_fail(session, "%s was removed or replaced under the daemon: put it back, or restart busbar",
                        store->path);
}

int store_begin(struct store_session *session)
{
    if (session->store->read_only)
        return session_fail(session, "the store is open for reading only");
    if (in_transaction)
        return session_fail(session, "store_begin inside a transaction");
    if (check_files(session) != 0)
        return -1;
    turnstile_enter(&session->store->writer);
    in_transaction = session->writing = true;
    session->changes = sqlite3_total_changes(session->db);
    struct sql sql;
    if (sql_start(&sql, session, SQL_BEGIN) != 0 || sql_run(&sql) != 0 || session_measure_room(session) != 0) {
        roll_back(session);
        return -1;
    }
    return 0;
}

int store_commit(struct store_session *session)
{
    if (!session->writing)
        return session_fail(session, "store_commit without store_begin");
    struct sql sql;
    if (session->failed || sql_start(&sql, session, SQL_COMMIT) != 0 || sql_run(&sql) != 0) {
        roll_back(session);
        return -1;
    }
    if (sqlite3_total_changes(session->db) != session->changes)
        store_end_trouble(session->store);
    atomic_store_explicit(&session->store->room_bytes, session->room_bytes, memory_order_relaxed);
    leave_transaction(session);
    return 0;
}

void store_rollback(struct store_session *session)
{
    if (session->writing)
        roll_back(session);
}

int store_begin_read(struct store_session *session)
{
    struct sql sql;
    return sql_start(&sql, session, SQL_BEGIN_READ) == 0 ? sql_run(&sql) : -1;
}

void store_end_read(struct store_session *session)
{
    struct sql sql;
    if (!session->writing && !sqlite3_get_autocommit(session->db) && sql_start(&sql, session, SQL_COMMIT) == 0)
        sql_run(&sql);
}

bool store_in_transaction(void)
{
    return in_transaction;
}
