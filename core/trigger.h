/* The rule with memory, per key: whether a reading, or time alone, fires. Pure: the caller reads the values,
 * keeps the state and says the time.
 *
 *     value -> derive (rate, window) -> condition -> phase -> gates
 *
 * A level condition (above, below, outside, equals, when, all, any) walks through the phases armed, waiting
 * (`for`, `repeat`), tripped, clearing (`clear_for`). An event (changes, every) fires and stays armed. absent
 * fires by time and re-arms with a message.
 *
 * Gates stand in this order and the first that fails is the reason counted: condition, repeat and for, tripped,
 * latch, shelved, cooldown, budget, storm, and (the caller's, after mapping) the destination's budget. */
#ifndef BUSBAR_TRIGGER_H
#define BUSBAR_TRIGGER_H

#include "digest.h"
#include "message.h"

enum trigger_kind {
    TRIGGER_NONE = 0,
    TRIGGER_ABOVE,
    TRIGGER_BELOW,
    TRIGGER_OUTSIDE,
    TRIGGER_EQUALS,
    TRIGGER_WHEN,
    TRIGGER_CHANGES,
    TRIGGER_EVERY,
    TRIGGER_ABSENT,
    TRIGGER_ALL,
    TRIGGER_ANY
};
/* What above, below and outside are asked about. */
enum trigger_derive { TRIGGER_AS_IT_IS = 0, TRIGGER_RATE, TRIGGER_AVG, TRIGGER_MIN, TRIGGER_MAX, TRIGGER_COUNT };

#define TRIGGER_BUCKETS 20 /* of a window: it slides in steps of a twentieth */

struct trigger_equal {
    struct span text;
    bool numeric; /* then compared as a number with what is one */
    double number;
};

struct trigger_rule {
    enum trigger_kind kind;
    enum trigger_derive derive;
    double low, high; /* above: high; below: low; outside: both */
    bool has_clear;
    double clear_low, clear_high;       /* above: value < clear_high; below: value > clear_low; outside: inside both */
    const struct trigger_equal *equals; /* borrowed */
    size_t equal_count;
    double step;                                       /* changes: the dead-band, 0: any change; every: the distance */
    size_t member_count;                               /* all, any */
    int64_t max_age_ms;                                /* of a member's reading; 0: for ever */
    int64_t period_ms;                                 /* rate: per; window: its length; absent: how long */
    int64_t for_ms, clear_for_ms, cooldown_ms, repeat; /* 0: none */
    int64_t budget, budget_ms;                         /* at most so many in so long; 0: no limit */
    bool latch;                                        /* until: closed */
    int64_t latch_ms;                                  /* until_max_age */
    bool storm;                                        /* the caller's gate is asked */
};

/* What one message says. number: where one is needed. */
struct trigger_input {
    double number;
    struct span text; /* equals, changes: true: the value as text */
    bool numeric;     /* number is one */
    size_t member;    /* all, any: whose reading, and what its own condition says */
    bool holds, clear;
};

struct trigger_reading {
    bool holds;         /* the condition */
    bool clear;         /* far enough off to re-arm */
    bool changed;       /* its memory is not what it was */
    const char *reason; /* why it does not hold; static */
    double value;       /* derived */
};

enum trigger_phase { TRIGGER_ARMED = 0, TRIGGER_WAITING, TRIGGER_TRIPPED, TRIGGER_CLEARING };

/* Steady time, stored as wall. All zero: never seen. */
struct trigger_state {
    enum trigger_phase phase;
    bool alarmed;              /* over budget, and said so */
    int64_t since_ms;          /* of the phase; absent: the last message */
    int64_t last_fired_ms;     /* 0: never */
    int64_t suppressed;        /* since the last firing */
    int64_t repeats;           /* readings in a row that held, while waiting */
    double *words;             /* what the condition and the budget remember: trigger_words(rule), the caller's */
    size_t word_count;         /* how many there are */
    char order[UUID_TEXT_MAX]; /* latch: the delivery that holds the key; "": none */
    struct span kept;          /* JSON, the caller's: what it needs of the message when time fires */
};

struct trigger_result {
    enum outcome outcome;
    const char *reason; /* static: "below_threshold", "tripped", "cooldown", "fired", ... */
    bool changed;       /* the state is to be stored before the acknowledgement */
    bool alarm;         /* over budget, for the first time */
};

/* What only the caller knows. NULL members: no such gate. */
struct trigger_gates {
    void *context;
    bool (*order_is_open)(void *context, const char *order); /* the delivery's work order, or it on its way there */
    bool (*is_shelved)(void *context);
    bool (*storms)(void *context); /* the firing is one of a storm, and was added to it */
};

size_t trigger_words(const struct trigger_rule *rule);
bool trigger_is_event(enum trigger_kind kind);
bool trigger_is_timed(const struct trigger_rule *rule); /* time alone may fire or re-arm it */

/* The condition alone, without memory: above, below, outside, equals. */
struct trigger_reading trigger_compare(const struct trigger_rule *rule, const struct trigger_input *input);
/* With what it remembers in state->words. */
struct trigger_reading trigger_read(const struct trigger_rule *rule, struct trigger_state *state,
                                    const struct trigger_input *input, int64_t now_ms);
struct trigger_result trigger_step(const struct trigger_rule *rule, struct trigger_state *state,
                                   struct trigger_reading reading, const struct trigger_gates *gates, int64_t now_ms);
/* When time alone does something; INT64_MAX: never. */
int64_t trigger_due(const struct trigger_rule *rule, const struct trigger_state *state);
/* What it then does, at now >= due. Before a reading is stepped, what is due by then must have been. */
struct trigger_result trigger_expire(const struct trigger_rule *rule, struct trigger_state *state,
                                     const struct trigger_gates *gates, int64_t now_ms);
/* It fired, and the destination's budget refused: as if the last gate had. before: the state before the firing */
struct trigger_result trigger_refuse(const struct trigger_rule *rule, struct trigger_state *state,
                                     const struct trigger_state *before, bool alarm);

/* A ring of times, for budgets. true: there is room for one at now, and it was put in. */
bool trigger_spend(double *times, size_t count, int64_t window_ms, int64_t now_ms);
void trigger_unspend(double *times, size_t count); /* the newest */

const char *trigger_phase_name(enum trigger_phase phase);
/* Stored form: short JSON, unknown members ignored. */
void trigger_state_print(const struct trigger_rule *rule, const struct trigger_state *state, struct buf *out);
/* words must be there, as many as the rule has; what another rule remembered is forgotten. kept: the memory of
 * state->kept */
bool trigger_state_parse(const struct trigger_rule *rule, struct span text, struct trigger_state *state,
                         struct buf *kept);
bool trigger_state_is_initial(const struct trigger_state *state); /* nothing worth storing */

#endif
