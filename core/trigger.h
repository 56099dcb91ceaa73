/* The rule with memory, per key: armed or tripped; decides whether a reading fires. Pure: the caller
 * evaluates the condition, keeps the state and says the time.
 *
 * Gates stand in this order and the first that fails is the reason counted:
 * condition, (for), tripped, (latch), cooldown, (budget). The ones in brackets have their room here
 * and come later. */
#ifndef BUSBAR_TRIGGER_H
#define BUSBAR_TRIGGER_H

#include "message.h"

enum trigger_kind { TRIGGER_NONE = 0, TRIGGER_ABOVE, TRIGGER_BELOW, TRIGGER_OUTSIDE, TRIGGER_WHEN };

struct trigger_rule {
    enum trigger_kind kind;
    double low, high; /* above: high; below: low; outside: both */
    bool has_clear;
    double clear_low, clear_high; /* above: value < clear_high; below: value > clear_low; outside: inside both */
    int64_t cooldown_ms;          /* 0: none */
};

/* What a reading says. For `when`, the caller fills both from jq. */
struct trigger_reading {
    bool holds; /* the condition */
    bool clear; /* far enough off to re-arm */
};

enum trigger_phase { TRIGGER_ARMED = 0, TRIGGER_WAITING, TRIGGER_TRIPPED };

struct trigger_state {
    enum trigger_phase phase;
    int64_t since_ms;      /* of the phase; steady time, stored as wall */
    int64_t last_fired_ms; /* 0: never */
    int64_t suppressed;    /* since the last firing */
};

struct trigger_result {
    enum outcome outcome;
    const char *reason; /* static: "below_threshold", "tripped", "cooldown", "fired", ... */
    bool changed;       /* the state is to be stored before the acknowledgement */
};

struct trigger_reading trigger_read(const struct trigger_rule *rule, double value);
struct trigger_result trigger_step(const struct trigger_rule *rule, struct trigger_state *state,
                                   struct trigger_reading reading, int64_t now_ms);
/* Stored form: short JSON, unknown members ignored. */
void trigger_state_print(const struct trigger_state *state, struct buf *out);
bool trigger_state_parse(struct span text, struct trigger_state *state);
bool trigger_state_is_initial(const struct trigger_state *state); /* nothing worth storing */

#endif
