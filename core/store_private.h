/* What the files of the store share: the store, its sessions, and one way to run a statement.
 *
 * Included by store_*.c only; the one header of ours that knows SQLite. */
#ifndef BUSBAR_STORE_PRIVATE_H
#define BUSBAR_STORE_PRIVATE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "store.h"
#include "store_sql.h"

struct crumbs;

/* A fair mutex: tickets are served in the order in which they were drawn. pthread's own lets a thread that
 * gives it back and takes it again starve the other. */
struct turnstile {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    uint64_t drawn, served;
};

struct store_file {
    dev_t device;
    ino_t inode;
};

enum trouble {
    TROUBLE_NONE = 0,
    TROUBLE_DISK_FULL,
    TROUBLE_READ_ONLY,
    TROUBLE_DISK_FAILS,
    TROUBLE_DAMAGED,
    TROUBLE_REMOVED,
    TROUBLE_LOCKED,
    TROUBLE_OPEN_FILES
};

struct store {
    char *path;
    bool power_loss, read_only;
    int64_t max_bytes; /* INT64_MAX: none */
    int64_t page_bytes;
    int lock_fd, file_fd;       /* both locked; -1: read only */
    struct store_file database; /* those that we opened, */
    struct store_file wal;      /* so that we see when others lie in their place */
    int64_t unread_commits;     /* found at the start */
    struct store_session *root; /* migrates; closed last, so that its close checkpoints */
    struct turnstile writer;
    struct crumbs *crumbs; /* NULL: read only */
    /* Any thread: */
    _Atomic int64_t room_bytes;
    _Atomic int64_t wal_pages;          /* in the WAL since it was last begun anew */
    _Atomic int64_t checkpointed_pages; /* of them already in the file */
    _Atomic enum trouble trouble;
    _Atomic int64_t trouble_since_ms;
};

struct store_session {
    struct store *store;
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_STATEMENTS]; /* prepared when first used */
    char *error;                              /* NULL: none */
    bool writing;                             /* between begin and commit or rollback */
    bool failed;                              /* in this transaction: only a rollback is left */
    int changes;                              /* SQLite's count when the transaction began */
    int64_t room_bytes;                       /* what this transaction may still accept */
};

/* Sets store_error; in a transaction nothing but rollback is left. Answers -1. */
int session_fail(struct store_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
int session_fail_sqlite(struct store_session *session, const char *doing);
/* Asks the file how much room is left and says so to everybody. */
int session_measure_room(struct store_session *session);

void turnstile_enter(struct turnstile *turnstile);
void turnstile_leave(struct turnstile *turnstile);

/* ---- one run of a statement: start, put each parameter, then row ... row or run ------------------
 *
 * Parameters are put and columns taken in the order of the statement's text. What is put is borrowed until the
 * run ends, what is taken until the next row. A run ends by itself at its last row and on failure. */
struct sql {
    struct store_session *session;
    sqlite3_stmt *statement;
    int parameter, column;
    bool refused; /* a parameter was beyond SQLite's limits */
};

int sql_start(struct sql *sql, struct store_session *session, enum sql_id id); /* a write needs store_begin */
void sql_put_int(struct sql *sql, int64_t value);
void sql_put_null(struct sql *sql);
void sql_put_text(struct sql *sql, const char *text);   /* NULL is null */
void sql_put_bytes(struct sql *sql, struct span bytes); /* never null */
int sql_row(struct sql *sql);                           /* 1: a row, 0: no more, -1 */
int sql_run(struct sql *sql);                           /* a write: to the end; answers 0 or -1 */
int64_t sql_changed(const struct sql *sql);             /* rows, after sql_run */
void sql_end(struct sql *sql);                          /* ends early */
int64_t sql_take_int(struct sql *sql);
const char *sql_take_text(struct sql *sql); /* NULL: null */
struct span sql_take_bytes(struct sql *sql);

/* ---- store_crumb.c */
struct crumbs *crumbs_open(const char *store_path, char **error); /* NULL and *error */
void crumbs_close(struct crumbs *crumbs);                         /* NULL is legal */

/* ---- store_file.c: in this order */
int store_take_files(struct store *store, char **error); /* checks, makes and locks them; -1 and *error */
int store_look_before_reading(const struct store *store, char **error); /* ... for who only reads: is it a store's? */
void store_remember_files(struct store *store);
bool store_has_files(const struct store *store);
void store_give_files(struct store *store);

/* ---- store_wal.c: commits behind the place where SQLite will stop reading; before it opens the store */
int64_t store_count_unread(const char *store_path);

/* ---- store_trouble.c */
void session_note_trouble(struct store_session *session, int system_error); /* after a failure of SQLite; errno then */
void store_set_trouble(struct store *store, enum trouble trouble);
void store_end_trouble(struct store *store); /* a commit was written */

#endif
