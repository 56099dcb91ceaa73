/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries: accepted, attempted, settled. */
#include "store_private.h"

#include <inttypes.h>
#include <string.h>

static const char *const state_names[] = {
    [DELIVERY_DRAFT] = "draft",         [DELIVERY_PENDING] = "pending",   [DELIVERY_RETRYING] = "retrying",
    [DELIVERY_DELIVERED] = "delivered", [DELIVERY_REJECTED] = "rejected", [DELIVERY_EXPIRED] = "expired",
    [DELIVERY_DISCARDED] = "discarded",
};

const char *delivery_state_name(enum delivery_state state)
{
    return state_names[state];
}

bool delivery_state_parse(const char *name, enum delivery_state *state)
{
    for (int i = DELIVERY_DRAFT; i <= DELIVERY_DISCARDED; i++)
        if (strcmp(name, state_names[i]) == 0) {
            *state = (enum delivery_state)i;
            return true;
        }
    return false;
}

bool delivery_state_is_open(enum delivery_state state)
{
    return state <= DELIVERY_RETRYING;
}

/* ---- accepting -------------------------------------------------------------*/

/* The rows and their index entries, with the slack of half-filled pages: rather too much. */
static int64_t estimate_bytes(const struct delivery *delivery)
{
    return 1024 + 2 * (int64_t)(delivery->body.len + delivery->payload.len);
}

static int refuse_when_full(struct store_session *session, const struct delivery *delivery)
{
    if (delivery->kind == DELIVERY_BUS) /* what follows from work already accepted */
        return 0;
    if (session->room_bytes <= 0 && session_measure_room(session) != 0)
        return -1;
    if (session->room_bytes <= 0)
        return session_fail(session, "the store is full (max_size %" PRId64 " bytes)", session->store->max_bytes);
    return 0;
}

static void put_error(struct sql *sql, const struct delivery_error *error)
{
    sql_put_text(sql, error->error_class);
    sql_put_text(sql, error->code);
    sql_put_text(sql, error->message);
    sql_put_int(sql, error->http_status);
    sql_put_text(sql, error->request_id);
    sql_put_text(sql, error->rejected_fields);
    sql_put_text(sql, error->owner_action);
}

static int add_row(struct store_session *session, const struct delivery *delivery)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_ADD_DELIVERY) != 0)
        return -1;
    sql_put_text(&sql, delivery->id);
    sql_put_int(&sql, delivery->kind);
    sql_put_int(&sql, delivery->state);
    sql_put_int(&sql, delivery->accepted_ms);
    sql_put_int(&sql, delivery->due_ms);
    sql_put_int(&sql, delivery_state_is_open(delivery->state) ? 0 : delivery->accepted_ms);
    sql_put_int(&sql, delivery->retained);
    sql_put_int(&sql, delivery->packet_id);
    sql_put_int(&sql, delivery->packet_hash);
    sql_put_text(&sql, delivery->target);
    sql_put_text(&sql, delivery->route);
    sql_put_text(&sql, delivery->operation);
    sql_put_text(&sql, delivery->lane);
    sql_put_text(&sql, delivery->order_id);
    sql_put_text(&sql, delivery->topic);
    put_error(&sql, &delivery->error);
    return sql_run(&sql);
}

static int add_content(struct store_session *session, const struct delivery *delivery)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_ADD_CONTENT) != 0)
        return -1;
    sql_put_int(&sql, delivery->seq);
    sql_put_bytes(&sql, delivery->body);
    if (delivery->payload.len > 0)
        sql_put_bytes(&sql, delivery->payload);
    else
        sql_put_null(&sql);
    sql_put_text(&sql, delivery->user);
    sql_put_int(&sql, delivery->one_reading);
    sql_put_text(&sql, delivery->reply);
    return sql_run(&sql);
}

int store_add_delivery(struct store_session *session, struct delivery *delivery)
{
    if (refuse_when_full(session, delivery) != 0 || add_row(session, delivery) != 0)
        return -1;
    delivery->seq = sqlite3_last_insert_rowid(session->db);
    session->room_bytes -= estimate_bytes(delivery);
    return add_content(session, delivery);
}

/* ---- reading -----------------------------------------------------------------*/

static int each_head(struct sql *sql, void (*each)(void *context, const struct delivery_head *head), void *context)
{
    int row;
    while ((row = sql_row(sql)) > 0) {
        struct delivery_head head = {.seq = sql_take_int(sql)};
        head.due_ms = sql_take_int(sql);
        head.accepted_ms = sql_take_int(sql);
        head.operation = sql_take_text(sql);
        head.lane = sql_take_text(sql);
        head.route = sql_take_text(sql);
        head.attempts = (int)sql_take_int(sql);
        head.kind = (enum delivery_kind)sql_take_int(sql);
        head.state = (enum delivery_state)sql_take_int(sql);
        head.in_flight = sql_take_int(sql) != 0;
        head.uncertain = sql_take_int(sql) != 0;
        head.batch = sql_take_text(sql);
        each(context, &head);
    }
    return row;
}

int store_scan_open(struct store_session *session, const char *target, enum delivery_kind kind, int64_t after_seq,
                    size_t limit, void (*each)(void *context, const struct delivery_head *head), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_SCAN_OPEN) != 0)
        return -1;
    sql_put_text(&sql, target);
    sql_put_int(&sql, kind);
    sql_put_int(&sql, after_seq);
    sql_put_int(&sql, (int64_t)limit);
    return each_head(&sql, each, context);
}

int store_scan_batches(struct store_session *session, const char *target,
                       void (*each)(void *context, const struct delivery_head *head), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_SCAN_BATCHES) != 0)
        return -1;
    sql_put_text(&sql, target);
    return each_head(&sql, each, context);
}

/* The one number of the one row; 0: no row. */
static int64_t take_number(struct sql *sql)
{
    int row = sql_row(sql);
    int64_t number = row > 0 ? sql_take_int(sql) : row;
    if (row > 0)
        sql_end(sql);
    return number;
}

int64_t store_before_in_lane(struct store_session *session, const char *target, const char *lane, int64_t seq)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_BEFORE_IN_LANE) != 0)
        return -1;
    sql_put_text(&sql, target);
    sql_put_text(&sql, lane);
    sql_put_int(&sql, seq);
    return take_number(&sql);
}

int64_t store_last_delivery(struct store_session *session)
{
    struct sql sql;
    return sql_start(&sql, session, SQL_LAST_DELIVERY) != 0 ? -1 : take_number(&sql);
}

int64_t store_dissolve_batch(struct store_session *session, int64_t seq)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_DISSOLVE_BATCH) != 0)
        return -1;
    sql_put_int(&sql, seq);
    return sql_run(&sql) != 0 ? -1 : sql_changed(&sql);
}

static void take_error(struct sql *sql, struct delivery_error *error)
{
    error->error_class = sql_take_text(sql);
    error->code = sql_take_text(sql);
    error->message = sql_take_text(sql);
    error->http_status = (int)sql_take_int(sql);
    error->request_id = sql_take_text(sql);
    error->rejected_fields = sql_take_text(sql);
    error->owner_action = sql_take_text(sql);
}

static struct delivery take_delivery(struct sql *sql)
{
    struct delivery delivery = {.seq = sql_take_int(sql)};
    delivery.id = sql_take_text(sql);
    delivery.kind = (enum delivery_kind)sql_take_int(sql);
    delivery.state = (enum delivery_state)sql_take_int(sql);
    delivery.accepted_ms = sql_take_int(sql);
    delivery.due_ms = sql_take_int(sql);
    delivery.ended_ms = sql_take_int(sql);
    delivery.attempted_ms = sql_take_int(sql);
    delivery.attempts = (int)sql_take_int(sql);
    delivery.repeats = sql_take_int(sql);
    delivery.in_flight = sql_take_int(sql) != 0;
    delivery.uncertain = sql_take_int(sql) != 0;
    delivery.unconfirmed = sql_take_int(sql) != 0;
    delivery.retained = sql_take_int(sql) != 0;
    delivery.packet_id = (int)sql_take_int(sql);
    delivery.packet_hash = sql_take_int(sql);
    delivery.target = sql_take_text(sql);
    delivery.route = sql_take_text(sql);
    delivery.operation = sql_take_text(sql);
    delivery.lane = sql_take_text(sql);
    delivery.order_id = sql_take_text(sql);
    delivery.topic = sql_take_text(sql);
    take_error(sql, &delivery.error);
    delivery.merged_into = sql_take_text(sql);
    delivery.batch = sql_take_text(sql);
    delivery.body = sql_take_bytes(sql);
    delivery.payload = sql_take_bytes(sql);
    delivery.user = sql_take_text(sql);
    delivery.one_reading = sql_take_int(sql) != 0;
    delivery.reply = sql_take_text(sql);
    delivery.request = sql_take_text(sql);
    delivery.response = sql_take_text(sql);
    return delivery;
}

static int each_delivery(struct sql *sql, store_delivery_each *each, void *context)
{
    int row;
    while ((row = sql_row(sql)) > 0) {
        struct delivery delivery = take_delivery(sql);
        each(context, &delivery);
    }
    return row;
}

int store_get_delivery(struct store_session *session, int64_t seq, store_delivery_each *each, void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_GET_DELIVERY) != 0)
        return -1;
    sql_put_int(&sql, seq);
    return each_delivery(&sql, each, context);
}

int store_get_work(struct store_session *session, int64_t seq, store_delivery_each *each, void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_GET_WORK) != 0)
        return -1;
    sql_put_int(&sql, seq);
    int row;
    while ((row = sql_row(&sql)) > 0) {
        struct delivery delivery = {.seq = sql_take_int(&sql)};
        delivery.id = sql_take_text(&sql);
        delivery.kind = (enum delivery_kind)sql_take_int(&sql);
        delivery.state = (enum delivery_state)sql_take_int(&sql);
        delivery.accepted_ms = sql_take_int(&sql);
        delivery.uncertain = sql_take_int(&sql) != 0;
        delivery.retained = sql_take_int(&sql) != 0;
        delivery.order_id = sql_take_text(&sql);
        delivery.topic = sql_take_text(&sql);
        delivery.error.code = sql_take_text(&sql);
        delivery.body = sql_take_bytes(&sql);
        delivery.reply = sql_take_text(&sql);
        each(context, &delivery);
    }
    return row;
}

int store_find_delivery(struct store_session *session, const char *id, store_delivery_each *each, void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_FIND_DELIVERY) != 0)
        return -1;
    sql_put_text(&sql, id);
    return each_delivery(&sql, each, context);
}

int store_list_deliveries(struct store_session *session, const struct delivery_filter *filter,
                          store_delivery_each *each, void *context)
{
    enum delivery_state state = 0;
    if (filter->state && !delivery_state_parse(filter->state, &state))
        return session_fail(session, "no state is called %s", filter->state);
    bool indexed = filter->state && (delivery_state_is_open(state) || state == DELIVERY_REJECTED);
    struct sql sql;
    if (sql_start(&sql, session, indexed ? SQL_LIST_DELIVERIES_BY_STATE : SQL_LIST_DELIVERIES) != 0)
        return -1;
    sql_put_int(&sql, state);
    sql_put_text(&sql, filter->target);
    sql_put_text(&sql, filter->route);
    sql_put_text(&sql, filter->code);
    sql_put_text(&sql, filter->lane);
    sql_put_int(&sql, filter->before_seq ? filter->before_seq : INT64_MAX);
    sql_put_int(&sql, filter->limit ? (int64_t)filter->limit : -1);
    sql_put_text(&sql, filter->scope);
    return each_delivery(&sql, each, context);
}

int store_count_deliveries(struct store_session *session,
                           void (*each)(void *context, const struct delivery_count *count), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_COUNT_DELIVERIES) != 0)
        return -1;
    int row;
    while ((row = sql_row(&sql)) > 0) {
        struct delivery_count count = {.route = sql_take_text(&sql)};
        count.target = sql_take_text(&sql);
        count.state = (enum delivery_state)sql_take_int(&sql);
        count.count = sql_take_int(&sql);
        count.oldest_ms = sql_take_int(&sql);
        each(context, &count);
    }
    return row;
}

int store_recent_packets(struct store_session *session, size_t limit,
                         void (*each)(void *context, int packet_id, int64_t packet_hash), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_RECENT_PACKETS) != 0)
        return -1;
    sql_put_int(&sql, (int64_t)limit);
    int row;
    while ((row = sql_row(&sql)) > 0) {
        int packet_id = (int)sql_take_int(&sql);
        each(context, packet_id, sql_take_int(&sql));
    }
    return row;
}

int store_forget_packets(struct store_session *session)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_FORGET_PACKETS) != 0)
        return -1;
    return sql_run(&sql);
}

int store_put_packets(struct store_session *session, struct span record)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_PUT_PACKETS) != 0)
        return -1;
    sql_put_bytes(&sql, record);
    return sql_run(&sql);
}

int store_get_packets(struct store_session *session, void (*each)(void *context, struct span record), void *context)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_GET_PACKETS) != 0)
        return -1;
    int row;
    while ((row = sql_row(&sql)) > 0)
        each(context, sql_take_bytes(&sql));
    return row;
}

/* ---- attempts and verdicts ---------------------------------------------------*/

/* Runs what must change one row. */
static int run_on_one(struct sql *sql, int64_t seq, const char *kind)
{
    if (sql_run(sql) != 0)
        return -1;
    if (sql_changed(sql) != 1)
        return session_fail(sql->session, "no %s has the number %" PRId64, kind, seq);
    return 0;
}

int store_repeat_delivery(struct store_session *session, int64_t seq, bool *counted)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_REPEAT) != 0)
        return -1;
    sql_put_int(&sql, seq);
    if (sql_run(&sql) != 0)
        return -1;
    *counted = sql_changed(&sql) == 1;
    return 0;
}

int store_start_attempt(struct store_session *session, int64_t seq, const char *batch, int64_t stamp_ms)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_START_ATTEMPT) != 0)
        return -1;
    sql_put_int(&sql, seq);
    sql_put_int(&sql, stamp_ms);
    sql_put_text(&sql, batch);
    return run_on_one(&sql, seq, "pending delivery");
}

/* What a person reads in the audit: "validation unknown_equipment: no such equipment (HTTP 404, request r-1)". */
static void print_detail(const struct settlement *settlement, struct buf *out)
{
    const struct delivery_error *error = &settlement->error;
    if (error->error_class)
        buf_puts(out, error->error_class);
    if (error->code)
        buf_printf(out, "%s%s", out->len > 0 ? " " : "", error->code);
    if (error->message)
        buf_printf(out, "%s%s", out->len > 0 ? ": " : "", error->message);
    if (settlement->merged_into)
        buf_printf(out, "%smerged into %s", out->len > 0 ? ", " : "", settlement->merged_into);
    if (error->http_status > 0)
        buf_printf(out, "%s(HTTP %d", out->len > 0 ? " " : "", error->http_status);
    if (error->request_id)
        buf_printf(out, "%srequest %s", error->http_status > 0 ? ", " : out->len > 0 ? " (" : "(", error->request_id);
    if (error->http_status > 0 || error->request_id)
        buf_putc(out, ')');
}

static int audit_delivery(struct store_session *session, int64_t seq, const struct settlement *settlement)
{
    cleanup_buf struct buf detail = {0};
    if (settlement->what == NULL)
        return 0; /* a publish: its delivery's row says it all */
    print_detail(settlement, &detail);
    struct sql sql;
    if (sql_start(&sql, session, SQL_AUDIT_DELIVERY) != 0)
        return -1;
    sql_put_int(&sql, seq);
    sql_put_int(&sql, settlement->now_ms);
    sql_put_text(&sql, settlement->who);
    sql_put_text(&sql, settlement->what);
    sql_put_text(&sql, settlement->mode);
    sql_put_text(&sql, delivery_state_name(settlement->state));
    sql_put_text(&sql, detail.data);
    sql_put_text(&sql, settlement->order_id);
    sql_put_text(&sql, settlement->sync_state);
    sql_put_text(&sql, settlement->error.error_class);
    sql_put_text(&sql, settlement->error.code);
    sql_put_text(&sql, settlement->error.owner_action);
    sql_put_int(&sql, settlement->attempt);
    sql_put_int(&sql, settlement->state == DELIVERY_RETRYING ? settlement->due_ms : 0);
    return run_on_one(&sql, seq, "delivery");
}

static int put_exchange(struct store_session *session, int64_t seq, const struct settlement *settlement)
{
    if (!settlement->request && !settlement->response)
        return 0; /* nothing was sent: what was sent before stays */
    struct sql sql;
    if (sql_start(&sql, session, SQL_PUT_EXCHANGE) != 0)
        return -1;
    sql_put_int(&sql, seq);
    sql_put_text(&sql, settlement->request);
    sql_put_text(&sql, settlement->response);
    return sql_run(&sql);
}

int store_settle(struct store_session *session, int64_t seq, const struct settlement *settlement)
{
    bool open = delivery_state_is_open(settlement->state);
    struct sql sql;
    if (sql_start(&sql, session, SQL_SETTLE) != 0)
        return -1;
    sql_put_int(&sql, seq);
    sql_put_int(&sql, settlement->state);
    sql_put_int(&sql, settlement->keep_attempts);
    if (open)
        sql_put_int(&sql, settlement->due_ms);
    else
        sql_put_null(&sql);
    sql_put_int(&sql, open ? 0 : settlement->now_ms);
    sql_put_int(&sql, settlement->uncertain);
    sql_put_int(&sql, settlement->unconfirmed);
    put_error(&sql, &settlement->error);
    sql_put_text(&sql, settlement->merged_into);
    sql_put_text(&sql, settlement->order_id);
    if (settlement->exchange_of != 0)
        sql_put_int(&sql, settlement->exchange_of);
    else if (settlement->request || settlement->response)
        sql_put_int(&sql, seq);
    else
        sql_put_null(&sql);
    if (run_on_one(&sql, seq, "delivery") != 0)
        return -1;
    return put_exchange(session, seq, settlement) != 0 ? -1 : audit_delivery(session, seq, settlement);
}

int store_edit_delivery(struct store_session *session, int64_t seq, struct span body, const char *operation,
                        const struct settlement *settlement)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_EDIT_DELIVERY) != 0)
        return -1;
    sql_put_int(&sql, seq);
    sql_put_text(&sql, operation);
    sql_put_int(&sql, settlement->due_ms);
    if (run_on_one(&sql, seq, "dead letter") != 0 || sql_start(&sql, session, SQL_EDIT_CONTENT) != 0)
        return -1;
    sql_put_int(&sql, seq);
    sql_put_bytes(&sql, body);
    if (run_on_one(&sql, seq, "dead letter") != 0)
        return -1;
    return audit_delivery(session, seq, settlement);
}

int store_postpone_uncertain(struct store_session *session, int64_t unsent_seq, const char *target,
                             const char *operation, int64_t due_ms)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_POSTPONE_UNCERTAIN) != 0)
        return -1;
    sql_put_int(&sql, unsent_seq);
    sql_put_text(&sql, target);
    sql_put_text(&sql, operation);
    sql_put_int(&sql, due_ms);
    return sql_run(&sql);
}

int64_t store_draft_unapproved(struct store_session *session, const char *target, const char *operation, int64_t now_ms)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_AUDIT_UNAPPROVED) != 0)
        return -1;
    sql_put_text(&sql, target);
    sql_put_text(&sql, operation);
    sql_put_int(&sql, now_ms);
    if (sql_run(&sql) != 0 || sql_start(&sql, session, SQL_DRAFT_UNAPPROVED) != 0)
        return -1;
    sql_put_text(&sql, target);
    sql_put_text(&sql, operation);
    return sql_run(&sql) != 0 ? -1 : sql_changed(&sql);
}

int64_t store_believe_due(struct store_session *session, int64_t latest_ms, int64_t due_ms)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_BELIEVE_DUE) != 0)
        return -1;
    sql_put_int(&sql, latest_ms);
    sql_put_int(&sql, due_ms);
    return sql_run(&sql) != 0 ? -1 : sql_changed(&sql);
}

int64_t store_recover(struct store_session *session, int64_t unsent_seq, int64_t now_ms)
{
    struct sql sql;
    if (sql_start(&sql, session, SQL_AUDIT_RECOVERED) != 0)
        return -1;
    sql_put_int(&sql, unsent_seq);
    sql_put_int(&sql, now_ms);
    if (sql_run(&sql) != 0 || sql_start(&sql, session, SQL_RECOVER) != 0)
        return -1;
    sql_put_int(&sql, unsent_seq);
    if (sql_run(&sql) != 0)
        return -1;
    return sql_changed(&sql);
}
