/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator does with a store that may be damaged: look at it, and save what can be read.
 *
 * Saving goes table by table, from both ends towards the damage; where rows have numbers, those in between are asked
 * for one by one, as most of them lie on good pages. What was owed and lost its content becomes a dead letter: it can
 * be seen, and is not sent as something else. Whose number was asked for in vain is named, with the times of its
 * neighbours: that is what its source can be asked for. */
#include "clock.h"
#include "store_private.h"

#include <stdlib.h>
#include <string.h>

#define FINDINGS "PRAGMA integrity_check(20)"
#define MOST_ASKED INT64_C(2000000) /* rows one by one, at most */
#define MOST_NAMED 20               /* runs of them that could not be read */

int store_check(struct store_session *session, void (*each)(void *context, const char *finding), void *context)
{
    sqlite3_stmt *statement = NULL;
    int findings = 0, code = sqlite3_prepare_v2(session->db, FINDINGS, -1, &statement, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        code = SQLITE_OK;
        if (text && strcmp(text, "ok") == 0)
            continue;
        findings++;
        each(context, text ? text : "?");
    }
    sqlite3_finalize(statement);
    if (code != SQLITE_DONE) {
        findings++;
        each(context, sqlite3_errmsg(session->db));
    }
    return findings;
}

/* ---- saving */

struct table {
    const char *name, *key; /* key: what it is in the order of; a whole number where `numbered` */
    bool numbered;
    const char *time; /* a column; NULL: it has none */
};

static const struct table tables[] = {
    {"deliveries", "seq", true, "accepted_ms"},
    {"contents", "seq", true, NULL},
    {"exchanges", "seq", true, NULL},
    {"audit", "seq", true, "at_ms"},
    {"memories", "seq", true, "at_ms"},
    {"orders", "id", false, NULL},
    {"triggers", "route", false, NULL},
    {"holds", "target", false, NULL},
    {"notes", "target", false, NULL},
    {"marks", "name", false, NULL},
    {"subscriptions", "client_id", false, NULL},
};

struct saving {
    sqlite3 *from, *to;
    const struct table *table;
    sqlite3_stmt *put;
    int64_t rows, unreadable;
    int64_t first, last; /* the run that cannot be read; 0: none */
    size_t runs;
    struct buf missing; /* the runs so far, for people */
};

static sqlite3_stmt *prepare(sqlite3 *db, char *text)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_prepare_v2(db, text, -1, &statement, NULL);
    free(text);
    return statement;
}

/* By the names of its columns: what a damaged row has too much or too little of is not for us to guess. */
static sqlite3_stmt *prepare_put(struct saving *saving, sqlite3_stmt *row)
{
    cleanup_buf struct buf names = {0}, marks = {0};
    for (int i = 0; i < sqlite3_column_count(row); i++) {
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", sqlite3_column_name(row, i));
        buf_puts(&marks, i > 0 ? ", ?" : "?");
    }
    return prepare(saving->to, mem_printf("INSERT OR IGNORE INTO %s (%s) VALUES (%s)", saving->table->name,
                                          buf_span(&names).data, buf_span(&marks).data));
}

static void save_row(struct saving *saving, sqlite3_stmt *row)
{
    if (!saving->put && !(saving->put = prepare_put(saving, row)))
        return;
    for (int i = 0; i < sqlite3_column_count(row); i++)
        sqlite3_bind_value(saving->put, i + 1, sqlite3_column_value(row, i));
    if (sqlite3_step(saving->put) == SQLITE_DONE)
        saving->rows += sqlite3_changes64(saving->to);
    sqlite3_reset(saving->put);
}

/* From one end to the other, or to the damage: then true. *met: the last whole number on the way. */
static bool save_from(struct saving *saving, const char *direction, int64_t *met)
{
    const struct table *table = saving->table;
    sqlite3_stmt *row =
        prepare(saving->from, mem_printf("SELECT * FROM %s ORDER BY %s %s", table->name, table->key, direction));
    int code = row ? SQLITE_ROW : SQLITE_ERROR;
    while (code == SQLITE_ROW && (code = sqlite3_step(row)) == SQLITE_ROW) {
        if (table->numbered)
            *met = sqlite3_column_int64(row, 0);
        save_row(saving, row);
    }
    sqlite3_finalize(row);
    return code != SQLITE_DONE;
}

/* ---- what is missing */

/* The time of the row that was saved next to a number. 0: there is none */
static int64_t time_beside(const struct saving *saving, bool before, int64_t number)
{
    sqlite3_stmt *row =
        prepare(saving->to, mem_printf("SELECT %s FROM %s WHERE seq %s ? ORDER BY seq %s LIMIT 1", saving->table->time,
                                       saving->table->name, before ? "<" : ">", before ? "DESC" : "ASC"));
    int64_t time = 0;
    if (row != NULL) {
        sqlite3_bind_int64(row, 1, number);
        time = sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : 0;
    }
    sqlite3_finalize(row);
    return time;
}

static void print_times(struct saving *saving)
{
    const int64_t after = time_beside(saving, true, saving->first), until = time_beside(saving, false, saving->last);
    char text[CLOCK_TEXT_MAX];
    if (after > 0)
        buf_printf(&saving->missing, " after %s", clock_format(after, text));
    if (until > 0)
        buf_printf(&saving->missing, " until %s", clock_format(until, text));
}

/* Both neighbours are saved. */
static void end_run(struct saving *saving)
{
    if (saving->first == 0)
        return;
    if (saving->runs++ < MOST_NAMED) {
        buf_printf(&saving->missing, "%s%lld", saving->runs > 1 ? "; " : "", (long long)saving->first);
        if (saving->last > saving->first)
            buf_printf(&saving->missing, " to %lld", (long long)saving->last);
        if (saving->table->time != NULL)
            print_times(saving);
    }
    saving->first = 0;
}

static void miss(struct saving *saving, int64_t number)
{
    saving->unreadable++;
    saving->first = saving->first == 0 ? number : saving->first;
    saving->last = number;
}

static void save_between(struct saving *saving, int64_t after, int64_t before)
{
    const struct table *table = saving->table;
    sqlite3_stmt *row = prepare(saving->from, mem_printf("SELECT * FROM %s WHERE %s = ?", table->name, table->key));
    if (before > after && before - after > MOST_ASKED) /* a key that is itself rubbish */
        before = after + MOST_ASKED;
    for (int64_t key = after + 1; row && key < before; key++) {
        sqlite3_bind_int64(row, 1, key);
        int code = sqlite3_step(row);
        if (code == SQLITE_ROW)
            save_row(saving, row);
        if (code == SQLITE_ROW || code == SQLITE_DONE)
            end_run(saving);
        else
            miss(saving, key);
        sqlite3_reset(row);
    }
    sqlite3_finalize(row);
    end_run(saving);
    if (saving->runs > MOST_NAMED)
        buf_printf(&saving->missing, "; and %zu more such", saving->runs - MOST_NAMED);
}

/* Behind the highest number that was ever given. */
static int64_t end_of_numbers(sqlite3 *db)
{
    sqlite3_stmt *row = prepare(db, mem_strdup("SELECT max(seq) + 1 FROM sqlite_sequence"));
    int64_t end = row && sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : 0;
    sqlite3_finalize(row);
    return end > 0 ? end : INT64_MAX;
}

static void save_table(struct saving *saving)
{
    int64_t front = 0, back = end_of_numbers(saving->from);
    if (save_from(saving, "ASC", &front)) {
        saving->unreadable++;
        save_from(saving, "DESC", &back);
        if (saving->table->numbered)
            save_between(saving, front, back);
    }
    sqlite3_finalize(saving->put);
    saving->put = NULL;
}

/* What makes no sense alone, or at all. */
static const struct {
    const char *what, *sql;
} repairs[] = {
    {"deliveries that make no sense, left out",
     "DELETE FROM deliveries WHERE state NOT BETWEEN 1 AND 7 OR kind NOT BETWEEN 1 AND 3 OR typeof(id) <> 'text'"},
    {"deliveries whose id was damaged: they have another, and are dead letters unless they were over",
     "UPDATE deliveries SET id = printf('00000000-0000-7000-8000-%012d', seq), state = iif(state <= 3, 5, state),"
     " in_flight = 0, error_class = 'validation', error_code = 'id_lost',"
     " error_message = 'its id could not be read from the damaged store: an earlier attempt may bear the right one'"
     " WHERE length(id) <> 36 OR id GLOB '*[^0-9a-f-]*'"},
    {"contents without their delivery, left out", "DELETE FROM contents WHERE seq NOT IN (SELECT seq FROM deliveries)"},
    {"requests and answers without their delivery, left out",
     "DELETE FROM exchanges WHERE seq NOT IN (SELECT seq FROM deliveries)"},
    {"deliveries that were owed and lost their content, now dead letters (`busbar queue list --code content_lost`)",
     "UPDATE deliveries SET state = 5, in_flight = 0, error_class = 'validation', error_code = 'content_lost',"
     " error_message = 'its content could not be read from the damaged store',"
     " owner_action = 'Ask its source to send it again, or give it a body with `busbar queue edit`.'"
     " WHERE state <= 3 AND seq NOT IN (SELECT seq FROM contents)"},
};

static int run_repair(struct store_session *session, const char *sql)
{
    return sqlite3_exec(session->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : session_fail_sqlite(session, "repair");
}

int store_save(struct store_session *from, struct store_session *to, store_saved *each, void *context)
{
    if (store_begin(to) != 0)
        return -1;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        struct saving saving = {.from = from->db, .to = to->db, .table = &tables[i]};
        save_table(&saving);
        each(context, tables[i].name, saving.rows, saving.unreadable > 0, buf_span(&saving.missing).data);
        buf_finish(&saving.missing);
    }
    for (size_t i = 0; i < sizeof repairs / sizeof repairs[0]; i++) {
        if (run_repair(to, repairs[i].sql) != 0) {
            store_rollback(to);
            return -1;
        }
        int64_t changed = sqlite3_changes64(to->db);
        if (changed > 0)
            each(context, repairs[i].what, changed, true, "");
    }
    return store_commit(to);
}
