/* A compiled route (inside the route room): what route_build.c makes and route.c runs. */
#ifndef BUSBAR_ROUTE_RULE_H
#define BUSBAR_ROUTE_RULE_H

#include "assets.h"
#include "body.h"
#include "config.h"
#include "expr.h"
#include "topic.h"
#include "trigger.h"

struct condition { /* what a value is asked */
    struct trigger_rule rule;
    struct trigger_equal *equals;
    struct template *value; /* NULL: the payload */
    int when, clear;        /* jq of TRIGGER_WHEN; -1: none */
};

struct member { /* of all, any */
    struct topic_filter filter;
    uint8_t order[TOPIC_CAPTURES_MAX]; /* where the route's captures stand among this filter's */
    struct condition condition;
};

struct rule_input { /* templates: NULL: none */
    const struct config_input *given;
    int64_t late_ms; /* of it, with the next: what each reading asks stands here */
    bool converts;
    struct template *each;  /* where in the payload its readings stand; NULL: it is one */
    struct template *time;  /* when it was measured */
    struct template *asset; /* its tag in the asset map */
};

struct rule {         /* what each reading needs comes first: with 10,000 rules none of it is in the cache */
    const char *name; /* borrowed from the configuration */
    bool retained, has_trigger;
    const struct format *format; /* NULL: as it comes */
    struct rule_input input;
    struct condition trigger;
    struct member *members; /* trigger.rule.member_count */
    struct template *key;   /* of the trigger; NULL: the topic */
    struct topic_filter filter;
    struct template *lane; /* the route's own key; NULL */
    struct body *body;     /* or body_jq >= 0, or neither: the payload itself */
    unsigned body_uses;
    int body_jq;
    struct {                     /* more than `keys` keys that fire within `within_ms` make one order */
        int64_t keys, within_ms; /* 0: no such */
        struct body *body;       /* of {route, count, keys, list, since, until} */
        unsigned uses;
    } storm;
    struct { /* what a crossing adds to the open order; body NULL: it is only counted */
        char *operation;
        struct body *body;
        unsigned uses;
    } while_open;
    int budget;         /* that it shares with others, in the set's; -1: none */
    bool keeps_payload; /* what time fires needs the payload to be mapped */
    bool warned;        /* that it cannot be evaluated: said once */
};

/* The templates of all rules: equal ones are one. */
struct template_pool;
struct template_pool *template_pool_create(void);
void template_pool_destroy(struct template_pool *pool); /* NULL is legal; after the rules */
/* borrowed; NULL when it does not compile, and a problem says why. The assets' columns are one configuration's. */
struct template *template_pool_get(struct template_pool *pool, const struct yaml_node *node,
                                   const struct template_names *names, struct problems *problems);

/* Fills a zeroed rule; problems say what is wrong with it. */
void rule_build(struct rule *rule, const struct config *config, const struct config_route *route,
                const struct assets *assets, struct expr_set *exprs, struct template_pool *pool,
                struct problems *problems);
void rule_finish(struct rule *rule);

/* ---- inside of building */

struct rule_builder {
    struct rule *rule;
    const struct config_route *route;
    struct expr_set *exprs;
    struct problems *problems;
    struct template_pool *pool;
    const char *captures[TOPIC_CAPTURES_MAX + 1];
    struct template_names names;
};

void rule_wrong(struct rule_builder *b, struct mark mark, const char *wanted); /* once a place */
/* A template that may use all words but those of `without`. */
struct template *rule_build_template(struct rule_builder *b, const struct yaml_node *node, unsigned without);
int rule_build_jq(struct rule_builder *b, const struct yaml_node *node);
void rule_build_trigger(struct rule_builder *b);
void rule_build_input(struct rule_builder *b);
void rule_finish_trigger(struct rule *rule);

#endif
