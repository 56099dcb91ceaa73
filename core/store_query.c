/* SPDX-License-Identifier: Apache-2.0 */
/* Running the statements of store_sql.c. */
#include "store_private.h"

#include <errno.h>
#include <string.h>

int session_fail(struct store_session *session, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    mem_free_char(&session->error);
    session->error = buf_steal(&text);
    session->failed = session->writing;
    return -1;
}

int session_fail_sqlite(struct store_session *session, const char *doing)
{
    int system_error = errno; /* SQLite's own record of it leaves out commits */
    const char *why = sqlite3_errmsg(session->db);
    session_note_trouble(session, system_error);
    if (sqlite3_errcode(session->db) == SQLITE_FULL)
        return session_fail(session, "%s: no room: the disk is full, or the store reached its max_size", doing);
    int code = sqlite3_errcode(session->db) & 0xff;
    if (code == SQLITE_IOERR || (code == SQLITE_CANTOPEN && system_error != 0))
        return session_fail(session, "%s: %s (%d, %s)", doing, why, sqlite3_extended_errcode(session->db),
                            strerror(system_error));
    return session_fail(session, "%s: %s", doing, why);
}

int sql_start(struct sql *sql, struct store_session *session, enum sql_id id)
{
    sqlite3_stmt *statement = session->statements[id];
    if (!statement) {
        if (sqlite3_prepare_v3(session->db, sql_texts[id], -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
            SQLITE_OK)
            return session_fail_sqlite(session, sql_texts[id]);
        session->statements[id] = statement;
    }
    if (!sqlite3_stmt_readonly(statement)) {
        /* After a failure SQLite may have rolled back by itself: what came next would commit on its own. */
        if (session->failed)
            return -1;
        if (!session->writing)
            return session_fail(session, "a write outside of store_begin");
    }
    if (sqlite3_stmt_busy(statement))
        return session_fail(session, "a read inside of its own callback");
    *sql = (struct sql){.session = session, .statement = statement};
    return 0;
}

void sql_put_int(struct sql *sql, int64_t value)
{
    sql->refused |= sqlite3_bind_int64(sql->statement, ++sql->parameter, value) != SQLITE_OK;
}

void sql_put_null(struct sql *sql)
{
    sql->refused |= sqlite3_bind_null(sql->statement, ++sql->parameter) != SQLITE_OK;
}

void sql_put_text(struct sql *sql, const char *text)
{
    sql->refused |= sqlite3_bind_text(sql->statement, ++sql->parameter, text, -1, SQLITE_STATIC) != SQLITE_OK;
}

void sql_put_bytes(struct sql *sql, struct span bytes)
{
    const char *data = bytes.data ? bytes.data : "";
    sql->refused |= sqlite3_bind_blob64(sql->statement, ++sql->parameter, data, bytes.len, SQLITE_STATIC) != SQLITE_OK;
}

int sql_row(struct sql *sql)
{
    sql->column = 0;
    if (sql->refused) {
        sql_end(sql);
        return session_fail(sql->session, "a value is too big for the store");
    }
    errno = 0;
    int code = sqlite3_step(sql->statement);
    if (code == SQLITE_ROW)
        return 1;
    int answer = 0;
    if (code != SQLITE_DONE)
        answer = session_fail_sqlite(sql->session, "store");
    sql_end(sql);
    return answer;
}

int sql_run(struct sql *sql)
{
    int row;
    while ((row = sql_row(sql)) > 0)
        ;
    return row;
}

int64_t sql_changed(const struct sql *sql)
{
    return sqlite3_changes64(sql->session->db);
}

void sql_end(struct sql *sql)
{
    sqlite3_reset(sql->statement);
    sqlite3_clear_bindings(sql->statement);
}

int64_t sql_take_int(struct sql *sql)
{
    return sqlite3_column_int64(sql->statement, sql->column++);
}

const char *sql_take_text(struct sql *sql)
{
    return (const char *)sqlite3_column_text(sql->statement, sql->column++);
}

struct span sql_take_bytes(struct sql *sql)
{
    int column = sql->column++;
    const char *data = sqlite3_column_blob(sql->statement, column);
    return (struct span){data ? data : "", (size_t)sqlite3_column_bytes(sql->statement, column)};
}
