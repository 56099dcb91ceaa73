/* jq expressions (libjq's home). Compiling a jq program costs 20 ms whatever its size, so all the
 * expressions of a configuration become one program (one for each 256) that is given the number of the one to
 * run; they are compiled singly only to find the one that does not parse. One expr_set belongs to one thread at
 * a time. No module path, no environment ($ENV is empty), no input/debug. */
#ifndef BUSBAR_EXPR_H
#define BUSBAR_EXPR_H

#include "problems.h"

struct json_object;
struct expr_set;

struct expr_scope {                                                /* borrowed */
    struct json_object *payload, *value, *captures, *root, *asset; /* NULL: null */
    struct span key, topic;
    const char *id; /* NULL: null */
    int64_t now_ms; /* $now: RFC 3339 text */
};

#define EXPR_USES_VALUE 1u
#define EXPR_USES_KEY 2u
#define EXPR_USES_TOPIC 4u
#define EXPR_USES_CAPTURES 8u
#define EXPR_USES_ID 16u
#define EXPR_USES_NOW 32u
#define EXPR_USES_ROOT 64u
#define EXPR_USES_ASSET 128u

struct expr_set *expr_create(void);
void expr_destroy(struct expr_set *set);
/* Answers the expression's number, the same for equal text. */
int expr_add(struct expr_set *set, struct span text, struct mark mark);
/* Which variables its text mentions: the others need not be in the scope. */
unsigned expr_uses(const struct expr_set *set, int n);
/* Compiles all, once, before other threads run (HOME is hidden meanwhile); problems name the places. Answers 0 or -1.
 */
int expr_compile(struct expr_set *set, struct problems *problems);
/* First result of expression n. 0 and *out (gives, NULL: null), or -1 and a reason (jq's error text, or "no result").
 */
int expr_eval(struct expr_set *set, int n, const struct expr_scope *scope, struct json_object **out,
              struct buf *reason);
/* jq truth of the first result: false and null are false. 1, 0, or -1 and a reason. */
int expr_test(struct expr_set *set, int n, const struct expr_scope *scope, struct buf *reason);

#endif
