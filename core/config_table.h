/* The option tables of busbar.yaml (private to the config room). A section is a table of rows: key,
 * kind, offset, default. Reading, defaults, printing, freeing, nearest words and the test of the JSON
 * Schema all walk the same rows, so a new setting is one new row. */
#ifndef BUSBAR_CONFIG_TABLE_H
#define BUSBAR_CONFIG_TABLE_H

#include "config.h"

struct section;

struct config_reader {
    struct config *config;
    struct problems *problems;
    size_t target_cap, route_cap, tree_cap, hidden_cap;
};

enum setting_kind {
    SETTING_TEXT = 1, /* char *: placeholders resolved */
    SETTING_SECRET,   /* char *: the same, never printed */
    SETTING_PATH,     /* char *: relative to the file that names it */
    SETTING_FILE,     /* char *: a path that must be readable now */
    SETTING_RAW,      /* char *: as it stands (templates belong to the rules) */
    SETTING_NODE,     /* const struct yaml_node *: any value, borrowed */
    SETTING_WHOLE,    /* int64_t */
    SETTING_DURATION, /* int64_t, ms */
    SETTING_SIZE,     /* int64_t, bytes */
    SETTING_RATE,     /* double, per second */
    SETTING_BOOL,     /* bool */
    SETTING_CHOICE,   /* int: one of the row's words */
    SETTING_SECTION,  /* a struct with a table of its own */
    SETTING_CUSTOM,   /* the row's own functions */
    SETTING_LATER     /* designed, but not in this version: refused by name */
};

struct choice {
    const char *word; /* NULL ends the list */
    int value;
};

#define SETTING_REQUIRED 1u
#define SETTING_NULLABLE 2u /* an explicit null turns it off */

struct setting {
    const char *key;
    enum setting_kind kind;
    size_t offset;
    const char *fallback; /* as one would write it; NULL: none, and an int64_t is then -1 */
    int64_t min, max;     /* of SETTING_WHOLE, SETTING_DURATION, SETTING_SIZE */
    unsigned flags;
    const struct choice *choices;
    const struct section *section;
    void (*read)(struct config_reader *reader, const struct yaml_node *node, void *base);
    void (*print)(const struct config *config, const void *base, int indent, struct buf *out);
};

struct section {
    const char *name;
    const struct setting *settings;
    size_t count;
    /* Takes a key that no row knows; NULL: such a key is a problem. */
    void (*other)(struct config_reader *reader, const struct yaml_pair *pair, void *base);
};

#define SECTION(name, rows, other)                                \
    {                                                             \
        (name), (rows), sizeof(rows) / sizeof((rows)[0]), (other) \
    }

extern const struct section config_target_section, config_route_section, config_trigger_section, config_batch_section,
    config_retry_section, config_client_tls_section, config_http_section, config_http_peek_section,
    config_viewer_section, config_format_section, config_auth_section, config_signature_section, config_unit_section;
extern const struct choice config_mode_words[], config_uncertain_words[];

/* Fills the struct at base: defaults first, then what the mapping says. mapping NULL or null: defaults only. */
void table_read(struct config_reader *reader, const struct section *section, const struct yaml_node *mapping,
                struct mark where, void *base);
/* One row from one node, as table_read does. */
void table_read_setting(struct config_reader *reader, const struct setting *setting, const struct yaml_node *node,
                        void *base);
void table_print(const struct config *config, const struct section *section, const void *base, int indent,
                 struct buf *out);
void table_finish(const struct section *section, void *base);
/* Keys of the section that this version takes. gives the array, borrows the words */
const char **table_keys(const struct section *section, size_t *count);

/* A scalar setting's text, placeholders resolved; not empty. NULL when a problem was added. gives */
char *table_text(struct config_reader *reader, const struct yaml_node *node, const char *key, bool *secret);
/* Adds "unknown <what> 'word', did you mean 'near'?", or the known words when none is near. */
void table_report_unknown(struct problems *problems, struct mark mark, const char *what, struct span word,
                          const char *const *known, size_t count);
/* What may be shown of text from a file: short, one line. */
#define TABLE_SHOWN_MAX 68
const char *table_shown(struct span text, char shown[TABLE_SHOWN_MAX]);
/* ", not '<text>'" for the end of a problem; nothing when the text is a secret. */
const char *table_not(struct span text, bool secret, char said[TABLE_SHOWN_MAX + 8]);
void table_indent(struct buf *out, int indent);
void table_print_node(const struct yaml_node *node, struct buf *out); /* as it stands in the file, in one line */
/* A value as YAML text; "***" when it is hidden. */
void table_print_text(const struct config *config, const char *text, struct buf *out);

/* host:port, [v6]:port. Answers the length of the host, 0 when it is none. */
size_t config_host_length(const char *address, bool port_required);
struct mark config_mark_in(const struct yaml_node *root, const char *section, const char *key);
void config_check_tls(const struct config_tls *tls, struct mark mark, struct problems *problems);

/* The customs of other files. */
void config_check_http(struct config *config, const struct yaml_node *root, struct problems *problems);
void config_finish_http(struct config_http *http);
void config_read_map_row(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_print_map_row(const struct config *config, const void *base, int indent, struct buf *out);
void config_read_auth(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_print_auth(const struct config *config, const void *base, int indent, struct buf *out);
void config_check_event_header(struct config_reader *reader, const char *name, struct mark mark);
void config_check_signature(struct config_reader *reader, const struct config_signature *own, struct mark mark);
void config_read_targets(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_print_targets(const struct config *config, const void *base, int indent, struct buf *out);
void config_finish_targets(struct config *config);
void config_read_routes(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_print_routes(const struct config *config, const void *base, int indent, struct buf *out);
void config_read_format(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_print_format(const struct config *config, const void *base, int indent, struct buf *out);
void config_read_metric(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_print_metric(const struct config *config, const void *base, int indent, struct buf *out);
void config_read_unit(struct config_reader *reader, const struct yaml_node *node, void *base); /* of a trigger */
void config_print_unit(const struct config *config, const void *base, int indent, struct buf *out);
void config_check_input(struct config_reader *reader, const struct config_route *route);
void config_finish_input(struct config_input *input);
/* The trigger of a struct config_route. */
void config_read_trigger(struct config_reader *reader, const struct yaml_node *node, void *base);
void config_print_trigger(const struct config *config, const void *base, int indent, struct buf *out);
void config_check_jq(struct config_reader *reader, const struct yaml_node *node, const char *key);
/* After all files: names that stand twice, destinations, what needs the whole. */
void config_check_routes(struct config_reader *reader);
void config_finish_routes(struct config *config);
bool config_name_is_valid(struct span text, bool of_route);

#endif
