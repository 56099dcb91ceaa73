/* A message on its way through the rules (inside the route room). */
#ifndef BUSBAR_ROUTE_PRIVATE_H
#define BUSBAR_ROUTE_PRIVATE_H

#include "route_keys.h"
#include "route_newest.h"
#include "route_reading.h"

struct filter { /* a distinct one */
    const char *mqtt;
    uint32_t *rules;
    size_t count, cap;
};

/* The table of keys holds what else of the rules outlives a restart, under numbers of their own: a space and an index
 * in it. Stored as "shelf/<route>" and so on, which no route can be named. */
enum {
    SPACE_KEYS = 0, /* index: the rule; key: the trigger's */
    SPACE_SHELF,    /* the rule; "" for all its keys, else "=" and the key */
    SPACE_STORM,    /* the rule; "" for the storm, else "=" and a key that fired */
    SPACE_BUDGET    /* the shared budget; the plan */
};
static inline uint32_t route_number(uint32_t space, size_t index)
{
    return space << 30 | (uint32_t)index;
}
static inline uint32_t route_space(uint32_t number)
{
    return number >> 30;
}
static inline size_t route_index(uint32_t number)
{
    return number & ((1u << 30) - 1);
}

struct shared_budget {        /* of several rules, at their destination */
    char *name, *pointer;     /* of the plan in the body */
    struct trigger_rule rule; /* its budget */
};

struct route_set {
    struct rule *rules;
    size_t count;
    char *prefix; /* "<prefix>/", our own topics; NULL */
    size_t prefix_len;
    struct filter *filters;
    size_t filter_count, filter_cap;
    const char **subscriptions;              /* what the broker is asked for */
    size_t subscription_count, routed_count; /* routed: of the filters; with commands there is one more */
    char *commands;                          /* the filter of commands; NULL: off */
    struct topic_trie *trie;
    struct expr_set *exprs;
    struct template_pool *templates;
    struct route_keys *keys;
    struct route_newest *newest;
    struct assets *assets;       /* NULL: no map */
    struct sparkplug *sparkplug; /* NULL: no route reads it */
    size_t last_restored;
    bool listening;
    int64_t listening_since_ms;
    struct shared_budget *budgets;
    size_t budget_count, budget_cap;
    bool (*order_is_open)(void *context, const char *delivery);
    void *order_context;
    /* scratch, kept between messages */
    uint32_t *matches;
    size_t match_cap;
    size_t word_cap;
    double *words, *other_words; /* as many as the greediest rule needs; of what is no rule's key */
    struct buf key, lane, body, reason, state, text, kept, value, part, asset;
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
/* The same with a body of its own; the lane is there. */
bool reading_map_with(struct reading *r, const struct body *body, unsigned uses);
/* What while_open adds to this order. */
bool reading_map_note(struct reading *r, const struct rule *rule, const char *order);
void reading_refuse(struct reading *r); /* a dead letter; the reason was said */
void reading_decide(struct reading *r, enum outcome outcome, const char *reason);

/* ---- route_input.c */

bool rule_has_parts(const struct rule *rule);
/* scope.time_ms; false: what stands there is no time, the reason says so */
bool reading_find_time(struct reading *r, const struct rule *rule);
/* After the key. false: *steady_ms becomes the time that the trigger sees */
bool reading_is_late(struct reading *r, const struct rule *rule, uint32_t number, int64_t *steady_ms);
void reading_find_asset(struct reading *r, const struct rule *rule);
struct json_object *reading_asset_object(const struct reading *r); /* gives */
/* By `unit`. false: no number holds what comes of it, the reason says so */
bool reading_convert(struct reading *r, const struct rule *rule, struct trigger_input *input);
bool reading_is_wanted(const struct rule *rule, struct json_object *part); /* by `metric` */
bool reading_is_history(const struct reading *r, const struct rule *rule);
bool reading_is_doubtful(const struct reading *r, const struct rule *rule); /* its edge node does not vouch for it */

/* ---- route_trigger.c */

/* The reading cannot be evaluated: ignored, and said once. reason: static */
void reading_ignore(struct reading *r, struct rule *rule, const char *reason);
/* One message against a rule with a trigger. copy_of: the filter that the copy came for; NULL: any that matches */
void reading_step(struct reading *r, struct rule *rule, uint32_t number, const char *copy_of, int64_t steady_ms);

/* ---- route_shelf.c: shelves, and budgets that rules share */

/* What an entry's numbers are, for its stored form. */
void route_set_need_words(struct route_set *set, size_t count); /* scratch for so many */
const struct trigger_rule *route_shape(const struct route_set *set, uint32_t number);
bool shelf_holds(struct route_set *set, size_t rule, struct span key, int64_t now_ms);
void shelf_expire(struct route_set *set, uint32_t number, struct span key);
int64_t shelf_due(const struct trigger_state *state);
/* The body's plan has room, and one is spent of it. false: none, *alarm: for the first time */
int64_t budget_due(const struct route_set *set, size_t budget, const struct trigger_state *state);
bool budget_spends(struct route_set *set, const struct rule *rule, struct span body, int64_t now_ms, bool *alarm);

/* ---- route_storm.c */

bool storm_takes(struct route_set *set, size_t rule, struct span key, int64_t now_ms); /* the gate */
void storm_expire(struct route_set *set, uint32_t number, struct span key, int64_t now_ms, route_decide *decide,
                  void *context);
int64_t storm_due(const struct route_set *set, size_t rule, struct span key, const struct trigger_state *state);

#endif
