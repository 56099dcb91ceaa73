/* A compiled route (inside the route room): what route_build.c makes and route.c runs. */
#ifndef BUSBAR_ROUTE_RULE_H
#define BUSBAR_ROUTE_RULE_H

#include "body.h"
#include "config.h"
#include "expr.h"
#include "topic.h"
#include "trigger.h"

struct rule {
    const char *name; /* borrowed from the configuration */
    struct topic_filter filter;
    bool retained, has_trigger;
    const struct format *format; /* NULL: as it comes */
    struct template *each;       /* where in the payload its readings stand; NULL: it is one */
    struct trigger_rule trigger;
    struct template *value; /* NULL: the payload as a number */
    struct template *key;   /* of the trigger; NULL: the topic */
    struct template *lane;  /* the route's own key; NULL */
    int when, clear;        /* jq of TRIGGER_WHEN; -1: none */
    struct body *body;      /* or body_jq >= 0, or neither: the payload itself */
    unsigned body_uses;
    int body_jq;
    bool warned; /* that it cannot be evaluated: said once */
};

/* Fills a zeroed rule; problems say what is wrong with it. */
void rule_build(struct rule *rule, const struct config *config, const struct config_route *route,
                struct expr_set *exprs, struct problems *problems);
void rule_finish(struct rule *rule);

#endif
