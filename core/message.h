/* A message as it arrived on the bus. All borrowed. */
#ifndef BUSBAR_MESSAGE_H
#define BUSBAR_MESSAGE_H

#include "buf.h"

struct json_object;

struct message_property { /* MQTT 5 user property */
    struct span name, value;
};

struct message {
    struct span topic, payload;
    bool retained, duplicate;
    bool one_reading; /* the payload is one reading of a message, as JSON: it was taken apart before */
    int qos, packet_id;
    int subscription_id; /* MQTT 5: index+1 of the filter that this copy is for; 0: unknown, match them all */
    uint32_t stale_id;   /* MQTT 5: of a subscription of the session that nobody here knows; 0: none */
    const struct message_property *user;
    size_t user_count;
    struct span content_type, response_topic, correlation;
    int64_t received_ms; /* wall */
};

#define MESSAGE_USER_MAX 32
/* User properties as a JSON object of texts has them; other members are left out. Borrows it. Answers how many. */
size_t message_read_user(struct json_object *object, struct message_property user[MESSAGE_USER_MAX]);

/* How the intake ledger counts a message, per route: received is the sum of the others. */
enum outcome {
    OUTCOME_IGNORED = 1, /* the condition does not hold, retained, no value */
    OUTCOME_SUPPRESSED,  /* it held, and a gate closed: the reason says which */
    OUTCOME_INVALID,     /* could not be mapped: a dead letter */
    OUTCOME_DUPLICATE,   /* the broker sent it again */
    OUTCOME_WAITING,     /* an on-delay began */
    OUTCOME_ACCEPTED     /* a delivery */
};
const char *outcome_name(enum outcome outcome);

#endif
