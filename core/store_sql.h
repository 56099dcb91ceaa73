/* Every SQL text of the store: its statements by name, and its schema as numbered migrations.
 *
 * Private to store_*.c. Parameters are bound and columns are read in the order of the text. */
#ifndef BUSBAR_STORE_SQL_H
#define BUSBAR_STORE_SQL_H

enum sql_id {
    SQL_BEGIN,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_PAGES,
    SQL_FREE_PAGES,
    SQL_PROBE,
    /* deliveries */
    SQL_ADD_DELIVERY,
    SQL_ADD_CONTENT,
    SQL_SCAN_OPEN,
    SQL_BEFORE_IN_LANE,
    SQL_LAST_DELIVERY,
    SQL_SCAN_BATCHES,
    SQL_DISSOLVE_BATCH,
    SQL_GET_DELIVERY,
    SQL_GET_WORK,
    SQL_FIND_DELIVERY,
    SQL_LIST_DELIVERIES,
    SQL_LIST_DELIVERIES_BY_STATE,
    SQL_COUNT_DELIVERIES,
    SQL_RECENT_PACKETS,
    SQL_FORGET_PACKETS,
    SQL_PUT_PACKETS,
    SQL_GET_PACKETS,
    SQL_REPEAT,
    SQL_START_ATTEMPT,
    SQL_SETTLE,
    SQL_PUT_EXCHANGE,
    SQL_EDIT_DELIVERY,
    SQL_EDIT_CONTENT,
    SQL_POSTPONE_UNCERTAIN,
    SQL_RECOVER,
    SQL_BELIEVE_DUE,
    SQL_AUDIT_UNAPPROVED,
    SQL_DRAFT_UNAPPROVED,
    SQL_AUDIT_RECOVERED,
    /* memory */
    SQL_PUT_TRIGGER,
    SQL_DELETE_TRIGGER,
    SQL_LOAD_TRIGGERS,
    SQL_REMEMBER,
    SQL_IS_REMEMBERED,
    SQL_PUT_HOLD,
    SQL_DELETE_HOLD,
    SQL_LOAD_HOLDS,
    SQL_GET_NOTE,
    SQL_LOAD_NOTES,
    SQL_PUT_NOTE,
    SQL_DELETE_NOTE,
    SQL_DELETE_SUBSCRIPTIONS,
    SQL_ADD_SUBSCRIPTION,
    SQL_LOAD_SUBSCRIPTIONS,
    /* work orders */
    SQL_PUT_ORDER,
    SQL_FIND_ORDER,
    SQL_FIND_ORDER_BY_SOURCE,
    SQL_LIST_ORDERS,
    SQL_REMOVE_ORDER,
    SQL_SCAN_STALE,
    SQL_NEXT_STALE,
    /* audit */
    SQL_ADD_AUDIT,
    SQL_AUDIT_DELIVERY,
    SQL_LIST_AUDIT,
    SQL_LIST_AUDIT_OF_DELIVERY,
    SQL_LIST_AUDIT_OF_ORDER,
    /* upkeep */
    SQL_RETAIN_CONTENTS,
    SQL_RETAIN_EXCHANGES,
    SQL_RETAIN_DELIVERIES,
    SQL_RETAIN_AUDIT,
    SQL_RETAIN_MEMORIES,
    SQL_STATEMENTS /* how many */
};

extern const char *const sql_texts[SQL_STATEMENTS];

/* PRAGMA application_id of our files, and the schema's version: migration n brings n to n + 1. */
#define SQL_APPLICATION_ID 0x62757362
extern const char *const sql_migrations[];
extern const int sql_schema_version;

#endif
