/* ${...} placeholders in text: compiled once, rendered for each message. Pure.
 *
 *   ${capture} ${.json.path[0]} ${.path?} ${.path?default} ${value} ${key} ${topic} ${id}
 *   ${now} ${now+2h} ${now-15m} ${received} ${user.<v5 user property>}     $${ is a literal ${
 *   ${time} ${time+2h}: when it was measured; ${asset.column}: the asset map's cell for the route's asset
 *   ${root.path}: of the whole payload, where the payload is one reading of several (`each:`)
 *
 * A text that is one placeholder keeps the value's JSON type, numbers keep their text. A default stands
 * for what is absent or null; it is JSON (0, true, "text") or else text as it stands. Without a trigger,
 * ${value} is the payload: its JSON, else its text. */
#ifndef BUSBAR_TEMPLATE_H
#define BUSBAR_TEMPLATE_H

#include "message.h"
#include "topic.h"

struct json_object;
struct template;

struct template_names {          /* what ${...} may name beside the fixed words; NULL-terminated, or NULL */
    const char *const *captures; /* in the order of the scope's */
    const char *const *assets;   /* columns, in the order of the scope's cells */
};

struct template_asset { /* the route's asset */
    struct span tag;
    const struct span *cells; /* NULL: the map has no such tag */
    bool missed;              /* set when a cell was asked for that is not there */
};

struct template_scope {          /* all borrowed */
    struct json_object *payload; /* NULL: no JSON; payload_null: it is JSON null */
    bool payload_null;
    struct json_object *root;  /* the whole payload when `payload` is one reading of it; NULL: payload is the whole */
    bool root_lost;            /* it is one reading, and the whole is not known any more */
    struct span payload_text;  /* the raw bytes */
    const char *payload_error; /* why it is no JSON, or NULL */
    const struct topic_captures *captures;
    struct json_object *value; /* the trigger's value, NULL: none; value_null: it is JSON null */
    bool value_null;
    struct span topic, key;
    const char *id;
    struct template_asset *asset;         /* NULL: none */
    int64_t now_ms, received_ms, time_ms; /* wall; ${now} prints RFC 3339 with +00:00, whole seconds */
    const struct message_property *user;
    size_t user_count;
};

#define TEMPLATE_USES_VALUE 1u
#define TEMPLATE_USES_KEY 2u
#define TEMPLATE_USES_PAYLOAD 4u
#define TEMPLATE_USES_ID 8u
#define TEMPLATE_USES_ASSET 16u

/* NULL and *error (gives; names the nearest known word, *offset is its place in text) when it
 * does not parse. */
struct template *template_compile(struct span text, const struct template_names *names, char **error, size_t *offset);
void template_destroy(struct template *t); /* NULL is legal */
bool template_is_literal(const struct template *t);
unsigned template_uses(const struct template *t);
/* 0 and *out (gives; NULL is JSON null), or -1 and a reason such as "no .celsius in the payload". */
int template_render(const struct template *t, const struct template_scope *scope, struct json_object **out,
                    struct buf *reason);
/* The same as text, appended. A JSON null, object or array inside text is an error. */
int template_render_text(const struct template *t, const struct template_scope *scope, struct buf *out,
                         struct buf *reason);
/* The same as minified JSON, appended: what template_render gives, printed. */
int template_render_json(const struct template *t, const struct template_scope *scope, struct buf *out,
                         struct buf *reason);

#endif
