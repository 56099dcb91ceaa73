/* SPDX-License-Identifier: Apache-2.0 */
/* Work orders: the read model. And the audit: what was done, by whom, how it ended. */
#include "store_private.h"

int store_put_order(struct store_session *session, const struct work_order *order)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_PUT_ORDER) != 0)
        return -1;
    sql_put_text(&sql, order->common_work_order_id);
    sql_put_text(&sql, order->provider_id);
    sql_put_text(&sql, order->source_work_order_id);
    sql_put_text(&sql, order->asset_ref);
    sql_put_text(&sql, order->source_status);
    sql_put_text(&sql, order->common_status);
    sql_put_text(&sql, order->priority);
    sql_put_text(&sql, order->source_priority);
    sql_put_int(&sql, order->sla_due_ms);
    sql_put_text(&sql, order->sync_state);
    sql_put_int(&sql, order->last_synced_ms);
    sql_put_text(&sql, order->delivery_id);
    sql_put_int(&sql, order->updated_ms);
    sql_put_int(&sql, order->fresh_until_ms);
    return sql_run(&sql);
}

static int each_order(struct sql *sql, store_order_each *each, void *context)
{
    int row;
    while ((row = sql_row(sql)) > 0) {
        struct work_order order = {.common_work_order_id = sql_take_text(sql)};
        order.provider_id = sql_take_text(sql);
        order.source_work_order_id = sql_take_text(sql);
        order.asset_ref = sql_take_text(sql);
        order.source_status = sql_take_text(sql);
        order.common_status = sql_take_text(sql);
        order.priority = sql_take_text(sql);
        order.source_priority = sql_take_text(sql);
        order.sla_due_ms = sql_take_int(sql);
        order.sync_state = sql_take_text(sql);
        order.last_synced_ms = sql_take_int(sql);
        order.delivery_id = sql_take_text(sql);
        order.updated_ms = sql_take_int(sql);
        order.fresh_until_ms = sql_take_int(sql);
        each(context, &order);
    }
    return row;
}

int store_remove_order(struct store_session *session, const char *common_id)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_REMOVE_ORDER) != 0)
        return -1;
    sql_put_text(&sql, common_id);
    return sql_run(&sql);
}

int store_find_order(struct store_session *session, const char *common_id, store_order_each *each, void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_FIND_ORDER) != 0)
        return -1;
    sql_put_text(&sql, common_id);
    return each_order(&sql, each, context);
}

int store_find_order_by_source(struct store_session *session, const char *provider_id, const char *source_id,
                               store_order_each *each, void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_FIND_ORDER_BY_SOURCE) != 0)
        return -1;
    sql_put_text(&sql, provider_id);
    sql_put_text(&sql, source_id);
    return each_order(&sql, each, context);
}

int store_list_orders(struct store_session *session, const struct order_filter *filter, store_order_each *each,
                      void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_LIST_ORDERS) != 0)
        return -1;
    sql_put_text(&sql, filter->provider_id);
    sql_put_text(&sql, filter->after_id ? filter->after_id : "");
    sql_put_int(&sql, filter->limit ? (int64_t)filter->limit : -1);
    sql_put_text(&sql, filter->scope);
    return each_order(&sql, each, context);
}

int store_scan_stale(struct store_session *session, int64_t now_ms, size_t limit, store_order_each *each, void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_SCAN_STALE) != 0)
        return -1;
    sql_put_int(&sql, now_ms);
    sql_put_int(&sql, (int64_t)limit);
    return each_order(&sql, each, context);
}

int store_next_stale(struct store_session *session, int64_t *at_ms)
{
    struct sql sql;
    *at_ms = INT64_MAX;
    if (sql_start(&sql, session, SQL_NEXT_STALE) != 0)
        return -1;
    int row;
    while ((row = sql_row(&sql)) > 0)
        *at_ms = sql_take_int(&sql);
    return row;
}

/* ---- audit ---------------------------------------------------------------*/

int store_add_audit(struct store_session *session, const struct audit *audit)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_ADD_AUDIT) != 0)
        return -1;
    sql_put_int(&sql, audit->at_ms);
    sql_put_text(&sql, audit->who);
    sql_put_text(&sql, audit->what);
    sql_put_text(&sql, audit->delivery_id);
    sql_put_text(&sql, audit->route);
    sql_put_text(&sql, audit->target);
    sql_put_text(&sql, audit->operation);
    sql_put_text(&sql, audit->mode);
    sql_put_text(&sql, audit->outcome);
    sql_put_text(&sql, audit->detail);
    sql_put_text(&sql, audit->order_id);
    sql_put_text(&sql, audit->sync_state);
    sql_put_text(&sql, audit->error_class);
    sql_put_text(&sql, audit->code);
    sql_put_text(&sql, audit->owner_action);
    sql_put_int(&sql, audit->attempt);
    sql_put_int(&sql, audit->next_ms);
    return sql_run(&sql);
}

static struct audit take_audit(struct sql *sql)
{
    struct audit audit = {.seq = sql_take_int(sql)};
    audit.at_ms = sql_take_int(sql);
    audit.who = sql_take_text(sql);
    audit.what = sql_take_text(sql);
    audit.delivery_id = sql_take_text(sql);
    audit.route = sql_take_text(sql);
    audit.target = sql_take_text(sql);
    audit.operation = sql_take_text(sql);
    audit.mode = sql_take_text(sql);
    audit.outcome = sql_take_text(sql);
    audit.detail = sql_take_text(sql);
    audit.order_id = sql_take_text(sql);
    audit.sync_state = sql_take_text(sql);
    audit.error_class = sql_take_text(sql);
    audit.code = sql_take_text(sql);
    audit.owner_action = sql_take_text(sql);
    audit.attempt = (int)sql_take_int(sql);
    audit.next_ms = sql_take_int(sql);
    return audit;
}

int store_list_audit(struct store_session *session, const struct audit_filter *filter,
                     void (*each)(void *context, const struct audit *audit), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session,
                  filter->delivery_id ? SQL_LIST_AUDIT_OF_DELIVERY
                  : filter->order_id  ? SQL_LIST_AUDIT_OF_ORDER
                                      : SQL_LIST_AUDIT) != 0)
        return -1;
    sql_put_int(&sql, filter->before_seq ? filter->before_seq : INT64_MAX);
    sql_put_int(&sql, filter->limit ? (int64_t)filter->limit : -1);
    sql_put_text(&sql, filter->delivery_id);
    sql_put_text(&sql, filter->order_id);
    sql_put_text(&sql, filter->target);
    sql_put_text(&sql, filter->error_class);
    sql_put_int(&sql, filter->outcome);
    sql_put_text(&sql, filter->scope);
    int row;
    while ((row = sql_row(&sql)) > 0) {
        const struct audit audit = take_audit(&sql);
        if (audit.at_ms < filter->since_ms) { /* newest first: what follows is older still */
            sql_end(&sql);
            return 0;
        }
        each(context, &audit);
    }
    return row;
}
