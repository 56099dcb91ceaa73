/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * A delivery is three rows, because its parts change at different times and a row is rewritten whole:
 *   deliveries  what scheduling reads and every attempt rewrites: small, so many fit a page
 *   contents    body and payload: written once, read when an attempt begins
 *   exchanges   last request and response: written by a verdict
 * All three share seq, which AUTOINCREMENT keeps from ever being used twice: a reader that goes on
 * after the last seq it saw must not miss a new row because retention removed that one.
 *
 * Each index is paid for at intake, so each has to earn its place:
 *   id (unique)         one delivery by its name; refuses a second acceptance under one id
 *   deliveries_open     (target, kind, seq) of what is due to be sent: dispatch's scan
 *   deliveries_lanes    (target, lane, seq) of the same: whether a new one would overtake, in a long backlog
 *   deliveries_waiting  (state, seq) of all that is not over, dead letters included: lists for people
 *   deliveries_ended    what retention removes: written when a delivery ends, not at intake
 *   audit_delivery      one delivery's whole story
 *   audit_order         one work order's: only what is about one has an entry
 *   orders_fresh        whose time is up next: written when an order is
 * Their WHERE terms stand in the queries word for word: only so does SQLite know that they serve. They are
 * comparisons because an IN of more than two is a temporary table, which each insert and update would fill:
 * a third of a delivery's CPU time.
 *
 * The states' numbers are those of enum delivery_state (store.h), which never change:
 * 1 draft, 2 pending, 3 retrying, 4 delivered, 5 rejected, 6 expired, 7 discarded. Kind 1 is out.
 *
 * Audit and memories are appended in the order of time. Retention therefore looks at their oldest rows only
 * and needs no index over time. */
#include "store_sql.h"

#define OPEN "state IN (2, 3)"
#define WAITING "(state <= 3 OR state = 5)"
#define OVER "(state = 4 OR state >= 6)"

const char *const sql_migrations[] = {
    /* 0 -> 1 */
    "CREATE TABLE deliveries ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id TEXT NOT NULL UNIQUE,"
    " kind INTEGER NOT NULL, state INTEGER NOT NULL,"
    " accepted_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, attempted_ms INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, repeats INTEGER NOT NULL DEFAULT 0,"
    " in_flight INTEGER NOT NULL, uncertain INTEGER NOT NULL, unconfirmed INTEGER NOT NULL, retained INTEGER NOT NULL,"
    " packet_id INTEGER NOT NULL, packet_hash INTEGER NOT NULL,"
    " target TEXT NOT NULL, route TEXT, operation TEXT, lane TEXT, order_id TEXT, topic TEXT,"
    " error_class TEXT, error_code TEXT, error_message TEXT, http_status INTEGER NOT NULL, request_id TEXT,"
    " rejected_fields TEXT, owner_action TEXT, merged_into TEXT, batch TEXT, exchange_of INTEGER);"
    "CREATE INDEX deliveries_open ON deliveries(target, kind) WHERE " OPEN ";"
    "CREATE INDEX deliveries_waiting ON deliveries(state) WHERE " WAITING ";"
    "CREATE INDEX deliveries_ended ON deliveries(ended_ms) WHERE " OVER ";"
    "CREATE TABLE contents (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, payload BLOB, user TEXT,"
    " one_reading INTEGER NOT NULL, reply TEXT);"
    "CREATE TABLE exchanges (seq INTEGER PRIMARY KEY, request TEXT, response TEXT);"

    "CREATE TABLE audit ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,"
    " delivery_id TEXT, route TEXT, target TEXT, operation TEXT, mode TEXT, outcome TEXT, detail TEXT,"
    " order_id TEXT, sync_state TEXT, error_class TEXT, error_code TEXT, owner_action TEXT, attempt INTEGER,"
    " next_ms INTEGER);"
    "CREATE INDEX audit_delivery ON audit(delivery_id) WHERE delivery_id IS NOT NULL;"
    "CREATE INDEX audit_order ON audit(order_id) WHERE order_id IS NOT NULL;"

    "CREATE TABLE orders ("
    " id TEXT PRIMARY KEY, provider_id TEXT, source_id TEXT, asset_ref TEXT, source_status TEXT, status TEXT,"
    " priority TEXT, source_priority TEXT, sla_due_ms INTEGER NOT NULL, sync_state TEXT,"
    " last_synced_ms INTEGER NOT NULL, delivery_id TEXT, updated_ms INTEGER NOT NULL, fresh_until_ms INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX orders_source ON orders(provider_id, source_id) WHERE source_id IS NOT NULL;"

    "CREATE INDEX orders_fresh ON orders(fresh_until_ms) WHERE fresh_until_ms > 0;"

    "CREATE TABLE triggers (route TEXT NOT NULL, key BLOB NOT NULL, state BLOB NOT NULL,"
    " PRIMARY KEY (route, key)) WITHOUT ROWID;"
    "CREATE TABLE memories (seq INTEGER PRIMARY KEY, space TEXT NOT NULL, key BLOB NOT NULL, at_ms INTEGER NOT NULL,"
    " UNIQUE (space, key));"
    "CREATE TABLE holds (target TEXT NOT NULL, operation TEXT NOT NULL, reason TEXT NOT NULL, since_ms INTEGER NOT "
    "NULL,"
    " PRIMARY KEY (target, operation)) WITHOUT ROWID;"
    "CREATE TABLE notes (target TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (target, key)) WITHOUT ROWID;"
    "CREATE TABLE subscriptions (client_id TEXT NOT NULL, filter TEXT NOT NULL,"
    " PRIMARY KEY (client_id, filter)) WITHOUT ROWID;"
    "CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;",
    /* 1 -> 2 */
    "CREATE INDEX deliveries_lanes ON deliveries(target, lane) WHERE " OPEN " AND kind = 1;",
};

const int sql_schema_version = sizeof sql_migrations / sizeof sql_migrations[0];

/* The columns of a whole delivery, in the order that read_delivery expects: the row, then the rest. */
#define DELIVERY                                                                                                   \
    "d.seq, d.id, d.kind, d.state, d.accepted_ms, d.due_ms, d.ended_ms, d.attempted_ms, d.attempts, d.repeats, "   \
    "d.in_flight,"                                                                                                 \
    " d.uncertain, d.unconfirmed, d.retained, d.packet_id, d.packet_hash, d.target, d.route, d.operation, d.lane," \
    " d.order_id, d.topic, d.error_class, d.error_code, d.error_message, d.http_status, d.request_id,"             \
    " d.rejected_fields, d.owner_action, d.merged_into, d.batch"
#define WHOLE_DELIVERY                                                                                                \
    "SELECT " DELIVERY ", c.body, c.payload, c.user, c.one_reading, c.reply, e.request, e.response FROM deliveries d" \
    " LEFT JOIN contents c ON c.seq = d.seq LEFT JOIN exchanges e ON e.seq = coalesce(d.exchange_of, d.seq)"
#define LISTED_DELIVERY "SELECT " DELIVERY ", NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM deliveries d"
/* A viewer's targets are a JSON array; NULL: all. */
#define IN_SCOPE(column, parameter) \
    "(" parameter " IS NULL OR " #column " IN (SELECT value FROM json_each(" parameter ")))"
#define LIST_FILTER                                                                                                  \
    " AND CASE WHEN ?2 IS NULL THEN kind <> 3 OR state = 5 ELSE target = ?2 END AND (?3 IS NULL OR route = ?3) AND " \
    "(?4 IS NULL OR "                                                                                                \
    "error_code = ?4)"                                                                                               \
    " AND (?5 IS NULL OR lane = ?5) AND seq < ?6 AND " IN_SCOPE(target, "?8") " ORDER BY seq DESC LIMIT ?7"

#define HEAD                                                                                                \
    "SELECT seq, due_ms, accepted_ms, operation, lane, route, attempts, kind, state, in_flight, uncertain," \
    " batch FROM deliveries INDEXED BY deliveries_open"

/* Of what was in flight when the process ended: it may have been sent. */
#define MAYBE_SENT "(kind = 1 AND attempted_ms <> coalesce((SELECT attempted_ms FROM deliveries WHERE seq = ?1), -1))"

/* What nobody asked to be sent: neither by `approve`, nor while the mode was draft by `retry` or `edit`. */
#define UNAPPROVED                                                                                           \
    "deliveries d INDEXED BY deliveries_open WHERE " OPEN " AND target = ?1 AND kind = 1 AND operation = ?2" \
    " AND NOT EXISTS (SELECT 1 FROM audit a INDEXED BY audit_delivery WHERE a.delivery_id = d.id"            \
    " AND a.who = 'operator' AND (a.what = 'approve' OR (a.what IN ('retry', 'edit') AND a.mode = 'draft'"   \
    " AND a.outcome = 'pending')))"

#define ORDER                                                                                                     \
    "SELECT id, provider_id, source_id, asset_ref, source_status, status, priority, source_priority, sla_due_ms," \
    " sync_state, last_synced_ms, delivery_id, updated_ms, fresh_until_ms FROM orders"

#define AUDIT                                                                                               \
    "SELECT seq, at_ms, who, what, delivery_id, route, target, operation, mode, outcome, detail, order_id," \
    " sync_state, error_class, error_code, owner_action, attempt, next_ms FROM audit"
#define AUDIT_FILTER                                                                       \
    " AND seq < ?1 AND (?3 IS NULL OR delivery_id = ?3) AND (?4 IS NULL OR order_id = ?4)" \
    " AND (?5 IS NULL OR target = ?5) AND (?6 IS NULL OR error_class = ?6)"                \
    " AND (?7 = 0 OR (?7 > 0) = (error_class IS NULL)) AND " IN_SCOPE(target, "?8") " ORDER BY seq DESC LIMIT ?2"

/* What one step of retention removes. The same rows for all three tables, deliveries itself last. */
#define OVER_LONG_AGO                                                       \
    " WHERE seq IN (SELECT seq FROM deliveries INDEXED BY deliveries_ended" \
    " WHERE " OVER " AND ended_ms < ? ORDER BY ended_ms, seq LIMIT ?)"

const char *const sql_texts[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_PAGES] = "PRAGMA page_count",
    [SQL_FREE_PAGES] = "PRAGMA freelist_count",
    [SQL_PROBE] = "INSERT OR REPLACE INTO marks (name, value) VALUES ('probe', ?)",

    [SQL_ADD_DELIVERY] =
        "INSERT INTO deliveries (id, kind, state, accepted_ms, due_ms, ended_ms, attempted_ms, attempts,"
        " in_flight, uncertain, unconfirmed, retained, packet_id, packet_hash, target, route, operation, lane,"
        " order_id, topic, error_class, error_code, error_message, http_status, request_id, rejected_fields,"
        " owner_action)"
        " VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_CONTENT] = "INSERT INTO contents (seq, body, payload, user, one_reading, reply) VALUES (?, ?, ?, ?, ?, ?)",
    [SQL_SCAN_OPEN] = HEAD " WHERE " OPEN " AND target = ? AND kind = ? AND seq > ? ORDER BY seq LIMIT ?",
    /* At start only: they are few, and an index would be written with each attempt. */
    [SQL_BEFORE_IN_LANE] = "SELECT seq FROM deliveries INDEXED BY deliveries_lanes WHERE " OPEN
                           " AND kind = 1 AND target = ? AND lane = ? AND seq < ? ORDER BY seq DESC LIMIT 1",
    [SQL_LAST_DELIVERY] = "SELECT coalesce(max(seq), 0) FROM deliveries",
    [SQL_SCAN_BATCHES] = HEAD " WHERE " OPEN " AND target = ? AND kind = 1 AND batch IS NOT NULL AND batch <> id"
                              " ORDER BY batch, seq",
    [SQL_DISSOLVE_BATCH] = "UPDATE deliveries INDEXED BY deliveries_waiting SET batch = id WHERE " WAITING " AND " OPEN
                           " AND batch = (SELECT batch FROM deliveries WHERE seq = ? AND batch <> id)",
    [SQL_GET_DELIVERY] = WHOLE_DELIVERY " WHERE d.seq = ?",
    [SQL_GET_WORK] =
        "SELECT d.seq, d.id, d.kind, d.state, d.accepted_ms, d.uncertain, d.retained, d.order_id, d.topic,"
        " d.error_code, c.body, c.reply FROM deliveries d LEFT JOIN contents c ON c.seq = d.seq WHERE d.seq = ?",
    [SQL_FIND_DELIVERY] = WHOLE_DELIVERY " WHERE d.id = ?",
    [SQL_LIST_DELIVERIES] = LISTED_DELIVERY " WHERE (?1 = 0 OR state = ?1)" LIST_FILTER,
    [SQL_LIST_DELIVERIES_BY_STATE] =
        LISTED_DELIVERY " INDEXED BY deliveries_waiting WHERE " WAITING " AND state = ?1" LIST_FILTER,
    [SQL_COUNT_DELIVERIES] =
        "SELECT route, target, state, count(*), min(accepted_ms) FROM deliveries GROUP BY route, target, state",
    [SQL_RECENT_PACKETS] =
        "SELECT packet_id, packet_hash FROM (SELECT seq, packet_id, packet_hash FROM deliveries"
        " WHERE packet_hash <> 0 AND seq > coalesce((SELECT value FROM marks WHERE name = 'packets_forgotten'), 0)"
        " ORDER BY seq DESC LIMIT ?) ORDER BY seq",
    /* A mark, not an update: that would rewrite every delivery. */
    [SQL_FORGET_PACKETS] = "INSERT OR REPLACE INTO marks (name, value)"
                           " SELECT 'packets_forgotten', coalesce(max(seq), 0) FROM deliveries",
    [SQL_PUT_PACKETS] = "INSERT OR REPLACE INTO marks (name, value) VALUES ('packets', ?)",
    [SQL_GET_PACKETS] = "SELECT value FROM marks WHERE name = 'packets'",
    [SQL_REPEAT] = "UPDATE deliveries SET repeats = repeats + 1 WHERE seq = ? AND state = 5",
    [SQL_START_ATTEMPT] = "UPDATE deliveries SET attempts = attempts + 1, in_flight = 1, attempted_ms = ?2,"
                          " batch = coalesce(?3, batch) WHERE seq = ?1 AND " OPEN,
    /* What was over and is open again starts anew: an operator's retry is worth all its attempts. */
    [SQL_SETTLE] = "UPDATE deliveries SET state = ?2, in_flight = 0,"
                   " attempts = CASE WHEN state > 3 AND ?2 <= 3 THEN 0 ELSE max(attempts - (in_flight AND ?3), 0) END,"
                   " due_ms = coalesce(?4, due_ms), ended_ms = ?5, uncertain = ?6, unconfirmed = ?7,"
                   " error_class = ?8, error_code = ?9, error_message = ?10, http_status = ?11, request_id = ?12,"
                   " rejected_fields = ?13, owner_action = ?14, merged_into = ?15, order_id = coalesce(?16, order_id),"
                   " exchange_of = iif(?17 IS NULL, exchange_of, nullif(?17, seq)),"
                   " batch = iif(state > 3 AND ?2 <= 3, NULL, batch)"
                   " WHERE seq = ?1",
    [SQL_PUT_EXCHANGE] = "INSERT OR REPLACE INTO exchanges (seq, request, response) VALUES (?, ?, ?)",
    [SQL_EDIT_DELIVERY] = "UPDATE deliveries SET state = 2, operation = coalesce(?2, operation), due_ms = ?3,"
                          " ended_ms = 0, attempts = 0, error_class = NULL, error_code = NULL,"
                          " error_message = NULL, http_status = 0, request_id = NULL, rejected_fields = NULL,"
                          " owner_action = NULL, merged_into = NULL, batch = NULL"
                          " WHERE seq = ?1 AND state = 5",
    [SQL_EDIT_CONTENT] = "UPDATE contents SET body = ?2 WHERE seq = ?1",
    [SQL_AUDIT_RECOVERED] =
        "INSERT INTO audit (at_ms, who, what, delivery_id, route, target, operation, outcome, detail)"
        " SELECT ?2, 'busbar', 'recover', id, route, target, operation, iif(" MAYBE_SENT ", 'uncertain', 'pending'),"
        " 'the process ended during attempt ' || attempts"
        " FROM deliveries INDEXED BY deliveries_waiting WHERE " WAITING " AND " OPEN " AND in_flight"
        " ORDER BY seq",
    [SQL_POSTPONE_UNCERTAIN] =
        "UPDATE deliveries INDEXED BY deliveries_waiting SET due_ms = max(due_ms, ?4)"
        " WHERE " WAITING " AND " OPEN " AND in_flight AND target = ?2 AND operation = ?3 AND " MAYBE_SENT,
    [SQL_RECOVER] =
        "UPDATE deliveries INDEXED BY deliveries_waiting SET in_flight = 0, uncertain = uncertain OR " MAYBE_SENT
        " WHERE " WAITING " AND " OPEN " AND in_flight",

    [SQL_BELIEVE_DUE] = "UPDATE deliveries INDEXED BY deliveries_waiting SET due_ms = ?2"
                        " WHERE " WAITING " AND " OPEN " AND due_ms > ?1",
    [SQL_AUDIT_UNAPPROVED] =
        "INSERT INTO audit (at_ms, who, what, delivery_id, route, target, operation, mode, outcome, detail, order_id)"
        " SELECT ?3, 'busbar', 'draft', id, route, target, operation, 'draft', 'draft',"
        " 'the mode is draft by now, and nobody approved it', order_id FROM " UNAPPROVED " ORDER BY seq",
    [SQL_DRAFT_UNAPPROVED] = "UPDATE deliveries SET state = 1, batch = iif(batch IS NULL, NULL, id)"
                             " WHERE seq IN (SELECT seq FROM " UNAPPROVED ")",

    [SQL_PUT_TRIGGER] = "INSERT OR REPLACE INTO triggers (route, key, state) VALUES (?, ?, ?)",
    [SQL_DELETE_TRIGGER] = "DELETE FROM triggers WHERE route = ? AND key = ?",
    [SQL_LOAD_TRIGGERS] = "SELECT route, key, state FROM triggers",
    [SQL_REMEMBER] = "INSERT OR IGNORE INTO memories (space, key, at_ms) VALUES (?, ?, ?)",
    [SQL_IS_REMEMBERED] = "SELECT 1 FROM memories WHERE space = ? AND key = ?",
    [SQL_PUT_HOLD] = "INSERT OR REPLACE INTO holds (target, operation, reason, since_ms) VALUES (?, ?, ?, ?)",
    [SQL_DELETE_HOLD] = "DELETE FROM holds WHERE target = ? AND operation = ?",
    [SQL_LOAD_HOLDS] = "SELECT target, operation, reason, since_ms FROM holds",
    [SQL_GET_NOTE] = "SELECT value FROM notes WHERE target = ? AND key = ?",
    [SQL_LOAD_NOTES] = "SELECT key, value FROM notes WHERE target = ?",
    [SQL_PUT_NOTE] = "INSERT OR REPLACE INTO notes (target, key, value) VALUES (?, ?, ?)",
    [SQL_DELETE_NOTE] = "DELETE FROM notes WHERE target = ? AND key = ?",
    [SQL_DELETE_SUBSCRIPTIONS] = "DELETE FROM subscriptions WHERE client_id = ?",
    [SQL_ADD_SUBSCRIPTION] = "INSERT OR IGNORE INTO subscriptions (client_id, filter) VALUES (?, ?)",
    [SQL_LOAD_SUBSCRIPTIONS] = "SELECT filter FROM subscriptions WHERE client_id = ?",

    [SQL_PUT_ORDER] = "INSERT OR REPLACE INTO orders (id, provider_id, source_id, asset_ref, source_status, status,"
                      " priority, source_priority, sla_due_ms, sync_state, last_synced_ms, delivery_id, updated_ms,"
                      " fresh_until_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_FIND_ORDER] = ORDER " WHERE id = ?",
    [SQL_FIND_ORDER_BY_SOURCE] = ORDER " WHERE source_id IS NOT NULL AND provider_id = ? AND source_id = ?"
                                       " ORDER BY updated_ms DESC LIMIT 1",
    [SQL_LIST_ORDERS] = ORDER
    " WHERE (?1 IS NULL OR provider_id = ?1) AND id > ?2 AND " IN_SCOPE(provider_id, "?4") " ORDER BY id LIMIT ?3",

    [SQL_REMOVE_ORDER] = "DELETE FROM orders WHERE id = ?1",
    [SQL_SCAN_STALE] = ORDER " WHERE fresh_until_ms > 0 AND fresh_until_ms <= ?1 ORDER BY fresh_until_ms LIMIT ?2",
    [SQL_NEXT_STALE] = "SELECT fresh_until_ms FROM orders WHERE fresh_until_ms > 0 ORDER BY fresh_until_ms LIMIT 1",

    [SQL_ADD_AUDIT] =
        "INSERT INTO audit (at_ms, who, what, delivery_id, route, target, operation, mode, outcome, detail, order_id,"
        " sync_state, error_class, error_code, owner_action, attempt, next_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    /* FAIL: this of all inserts takes a SELECT's rows, so for ABORT, which takes back half a statement, SQLite would
     * keep a copy of each page that it changes: half of its cost. Here what failed is rolled back whole. */
    [SQL_AUDIT_DELIVERY] =
        "INSERT OR FAIL INTO audit (at_ms, who, what, delivery_id, route, target, operation, mode, outcome, detail, "
        "order_id,"
        " sync_state, error_class, error_code, owner_action, attempt, next_ms)"
        " SELECT ?2, ?3, ?4, id, route, target, operation, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14"
        " FROM deliveries WHERE seq = ?1",
    [SQL_LIST_AUDIT] = AUDIT " WHERE true" AUDIT_FILTER,
    [SQL_LIST_AUDIT_OF_DELIVERY] = AUDIT " INDEXED BY audit_delivery WHERE delivery_id = ?3" AUDIT_FILTER,
    [SQL_LIST_AUDIT_OF_ORDER] = AUDIT " INDEXED BY audit_order WHERE order_id = ?4" AUDIT_FILTER,

    [SQL_RETAIN_CONTENTS] = "DELETE FROM contents" OVER_LONG_AGO,
    [SQL_RETAIN_EXCHANGES] = "DELETE FROM exchanges" OVER_LONG_AGO,
    [SQL_RETAIN_DELIVERIES] = "DELETE FROM deliveries" OVER_LONG_AGO,
    [SQL_RETAIN_AUDIT] = "DELETE FROM audit WHERE seq IN (SELECT seq FROM"
                         " (SELECT seq, at_ms FROM audit ORDER BY seq LIMIT ?2) WHERE at_ms < ?1)",
    [SQL_RETAIN_MEMORIES] = "DELETE FROM memories WHERE seq IN (SELECT seq FROM"
                            " (SELECT seq, at_ms FROM memories ORDER BY seq LIMIT ?2) WHERE at_ms < ?1)",
};
