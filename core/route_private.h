/* A message on its way through the rules (inside the route room). */
#ifndef BUSBAR_ROUTE_PRIVATE_H
#define BUSBAR_ROUTE_PRIVATE_H

#include "route_keys.h"
#include "route_reading.h"

struct filter { /* a distinct one */
    const char *mqtt;
    uint32_t *rules;
    size_t count, cap;
};

struct route_set {
    struct rule *rules;
    size_t count;
    char *prefix; /* "<prefix>/", our own topics; NULL */
    struct filter *filters;
    size_t filter_count, filter_cap;
    const char **subscriptions; /* what the broker is asked for */
    size_t subscription_count;
    struct topic_trie *trie;
    struct expr_set *exprs;
    struct route_keys *keys;
    size_t last_restored;
    bool listening;
    int64_t listening_since_ms;
    bool (*order_is_open)(void *context, const char *delivery);
    void *order_context;
    /* scratch, kept between messages */
    uint32_t *matches;
    size_t match_cap;
    double *words; /* as many as the greediest rule needs */
    struct buf key, lane, body, reason, state, text, kept, value, part;
};

/* ---- route_read.c: what a rule asks of the message */

void reading_open(struct reading *r, struct route_set *set, const struct message *message, route_decide *decide,
                  void *context);
void reading_begin_rule(struct reading *r, const struct rule *rule, uint32_t number);
void reading_begin_part(struct reading *r, uint32_t number); /* one reading of the message, or all of it */
void reading_close(struct reading *r);
struct span reading_to_keep(struct reading *r); /* the payload, or the one reading of it; in the set's scratch */
/* Which member's filter brought the message, from `first` on; member_count: none. copy_of: as below */
size_t reading_find_member(const struct reading *r, const struct rule *rule, size_t first, const char *copy_of);
void reading_set_value(struct reading *r, struct json_object *value); /* takes */
/* The condition's value into *input; false: the message has none. Text stands in the set's scratch. */
bool reading_find_value(struct reading *r, const struct condition *condition, struct trigger_input *input);
/* `when`, and `clear` where it matters, into *input; false when one of them fails. */
bool reading_ask_jq(struct reading *r, const struct condition *condition, bool armed, struct trigger_input *input);
bool reading_find_key(struct reading *r, const struct rule *rule); /* "" without a trigger */
/* It fired, or is a command: lane, id and body of the decision. false: it cannot be mapped, the reason says why */
bool reading_map(struct reading *r, const struct rule *rule);
void reading_refuse(struct reading *r); /* a dead letter; the reason was said */
void reading_decide(struct reading *r, enum outcome outcome, const char *reason);

/* ---- route_trigger.c */

/* One message against a rule with a trigger. copy_of: the filter that the copy came for; NULL: any that matches */
/* The reading cannot be evaluated: ignored, and said once. reason: static */
void reading_ignore(struct reading *r, struct rule *rule, const char *reason);
void reading_step(struct reading *r, struct rule *rule, uint32_t number, const char *copy_of, int64_t steady_ms);

#endif
