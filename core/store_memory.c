/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives a restart beside deliveries: trigger states, seen webhooks, holds, notes, subscriptions. */
#include "store_private.h"

int store_put_trigger(struct store_session *session, const char *route, struct span key, struct span state)
{
    struct sql sql;
    if (sql_start(&sql, session, state.len > 0 ? SQL_PUT_TRIGGER : SQL_DELETE_TRIGGER) != 0)
        return -1;
    sql_put_text(&sql, route);
    sql_put_bytes(&sql, key);
    if (state.len > 0)
        sql_put_bytes(&sql, state);
    return sql_run(&sql);
}

int store_load_triggers(struct store_session *session,
                        void (*each)(void *context, const char *route, struct span key, struct span state),
                        void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_LOAD_TRIGGERS) != 0)
        return -1;
    int row;
    while ((row = sql_row(&sql)) > 0) {
        const char *route = sql_take_text(&sql);
        struct span key = sql_take_bytes(&sql);
        each(context, route, key, sql_take_bytes(&sql));
    }
    return row;
}

int store_remember(struct store_session *session, const char *space, struct span key, int64_t now_ms, bool *seen)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_REMEMBER) != 0)
        return -1;
    sql_put_text(&sql, space);
    sql_put_bytes(&sql, key);
    sql_put_int(&sql, now_ms);
    if (sql_run(&sql) != 0)
        return -1;
    *seen = sql_changed(&sql) == 0;
    return 0;
}

int store_is_remembered(struct store_session *session, const char *space, struct span key, bool *seen)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_IS_REMEMBERED) != 0)
        return -1;
    sql_put_text(&sql, space);
    sql_put_bytes(&sql, key);
    int row = sql_row(&sql);
    if (row < 0)
        return -1;
    *seen = row > 0;
    sql_end(&sql);
    return 0;
}

int store_put_hold(struct store_session *session, const char *target, const char *operation, const char *reason,
                   int64_t since_ms)
{
    struct sql sql;
    if (sql_start(&sql, session, reason ? SQL_PUT_HOLD : SQL_DELETE_HOLD) != 0)
        return -1;
    sql_put_text(&sql, target);
    sql_put_text(&sql, operation);
    if (reason) {
        sql_put_text(&sql, reason);
        sql_put_int(&sql, since_ms);
    }
    return sql_run(&sql);
}

int store_load_holds(struct store_session *session,
                     void (*each)(void *context, const char *target, const char *operation, const char *reason,
                                  int64_t since_ms),
                     void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_LOAD_HOLDS) != 0)
        return -1;
    int row;
    while ((row = sql_row(&sql)) > 0) {
        const char *target = sql_take_text(&sql);
        const char *operation = sql_take_text(&sql);
        const char *reason = sql_take_text(&sql);
        each(context, target, operation, reason, sql_take_int(&sql));
    }
    return row;
}

char *store_note_get(struct store_session *session, const char *target, const char *key)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_GET_NOTE) != 0)
        return NULL;
    sql_put_text(&sql, target);
    sql_put_text(&sql, key);
    if (sql_row(&sql) <= 0)
        return NULL;
    char *value = mem_strdup(sql_take_text(&sql));
    sql_end(&sql);
    return value;
}

int store_note_put(struct store_session *session, const char *target, const char *key, const char *value)
{
    struct sql sql;
    if (sql_start(&sql, session, value ? SQL_PUT_NOTE : SQL_DELETE_NOTE) != 0)
        return -1;
    sql_put_text(&sql, target);
    sql_put_text(&sql, key);
    if (value)
        sql_put_text(&sql, value);
    return sql_run(&sql);
}

int store_load_notes(struct store_session *session, const char *target,
                     void (*each)(void *context, const char *key, struct span value), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_LOAD_NOTES) != 0)
        return -1;
    sql_put_text(&sql, target);
    int row;
    while ((row = sql_row(&sql)) > 0) {
        const char *key = sql_take_text(&sql);
        each(context, key, span_of(sql_take_text(&sql)));
    }
    return row;
}

int store_put_subscriptions(struct store_session *session, const char *client_id, const char *const *filters,
                            size_t count)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_DELETE_SUBSCRIPTIONS) != 0)
        return -1;
    sql_put_text(&sql, client_id);
    if (sql_run(&sql) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (sql_start(&sql, session, SQL_ADD_SUBSCRIPTION) != 0)
            return -1;
        sql_put_text(&sql, client_id);
        sql_put_text(&sql, filters[i]);
        if (sql_run(&sql) != 0)
            return -1;
    }
    return 0;
}

int store_load_subscriptions(struct store_session *session, const char *client_id,
                             void (*each)(void *context, const char *filter), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_LOAD_SUBSCRIPTIONS) != 0)
        return -1;
    sql_put_text(&sql, client_id);
    int row;
    while ((row = sql_row(&sql)) > 0)
        each(context, sql_take_text(&sql));
    return row;
}
