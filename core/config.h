/* busbar.yaml as structs. Read once at start, never changed (a restart is the reload).
 *
 * config_load reports every problem, not the first alone, each with file, line, column and the
 * nearest known word. Placeholders ${file:...} and ${env:...} in settings are resolved here; a value
 * that held one is a secret and is never printed. What belongs to a plugin (a target's own options)
 * stays as nodes for target.c; what belongs to rules (body, jq) for route.c. */
#ifndef BUSBAR_CONFIG_H
#define BUSBAR_CONFIG_H

#include "format.h"
#include "lifecycle.h"
#include "measure.h"
#include "yaml.h"

enum config_durability { DURABILITY_POWER_LOSS = 1, DURABILITY_CRASH };
enum config_mode { MODE_READ = 1, MODE_DRAFT, MODE_HANDOFF, MODE_WRITE_BACK };
enum config_until { UNTIL_CLOSED = 1 };
enum config_on_uncertain { UNCERTAIN_DEFAULT = 0, UNCERTAIN_RETRY, UNCERTAIN_PARK };

struct config_tls {
    char *ca, *cert, *key; /* NULL: not given */
};

struct config_bus {
    char **urls;
    size_t url_count;
    int version; /* 5 or 3 */
    char *client_id, *username, *password, *share, *prefix;
    struct config_tls tls;
    int64_t session_expiry_ms, keep_alive_ms;
    int64_t receive_maximum, max_payload_bytes;
    bool commands; /* <prefix>/commands/<target>/<operation> are taken */
};

struct config_store {
    char *path;
    struct mark mark; /* of path */
    enum config_durability durability;
    int64_t max_bytes, retention_ms;
};

struct config_viewed {
    char *name;
    struct mark mark;
};

struct config_viewer { /* a token that reads, and only what is of these targets */
    char *name, *token;
    struct mark mark;
    struct config_viewed *targets;
    size_t target_count;
    char *scope; /* their names as a JSON array */
};

struct config_http {
    char *webhooks, *admin; /* NULL: no such listener */
    char *admin_token;      /* NULL: none */
    struct config_viewer *viewers;
    size_t viewer_count;
    struct config_tls tls;
    int64_t max_body_bytes, max_connections, max_connections_per_ip;
    struct mark admin_mark, tls_mark;
};

struct config_retry {
    int64_t first_ms, max_ms, max_age_ms, attempts;
};

struct config_secret { /* of a webhook */
    char *event;       /* NULL: any */
    char *secret;
};

enum config_auth_kind { AUTH_PLUGIN = 0, AUTH_NONE, AUTH_BEARER, AUTH_BASIC, AUTH_HEADER, AUTH_OAUTH2 };

struct config_basic {
    char *user, *password;
};

struct config_auth_header {
    char *name, *value;
};

struct config_oauth2 { /* client credentials */
    char *token_url, *client_id, *client_secret, *scope, *audience;
    int client_auth; /* OAUTH2_BASIC or _POST */
};
enum config_client_auth { OAUTH2_BASIC = 1, OAUTH2_POST };

struct config_auth {            /* what a target says over its plugin's scheme */
    enum config_auth_kind kind; /* AUTH_PLUGIN: nothing */
    struct mark mark;
    char *bearer;
    struct config_basic basic;
    struct config_auth_header header;
    struct config_oauth2 oauth2;
};

enum config_signature_profile { SIGNATURE_STANDARD_WEBHOOKS = 1, SIGNATURE_GITHUB, SIGNATURE_HMAC, SIGNATURE_BEARER };
enum config_signature_encoding { SIGNATURE_HEX = 1, SIGNATURE_BASE64 };

struct config_signature { /* of a target's webhooks, over its plugin's */
    int profile;          /* 0: as the plugin has it */
    int encoding;         /* 0: not given */
    char *header, *prefix, *signed_string, *time_header, *id_header;
    char *sign_key, *time_key, *nonce_key; /* the header is k=v,k=v,...; NULL: it is not */
};

struct config_mode_entry {
    char *operation; /* NULL: the default */
    enum config_mode mode;
    struct mark mark;
};

/* A plugin's own option, placeholders resolved. */
struct config_option {
    char *name;
    struct mark mark;
    const struct yaml_node *node; /* borrowed from the tree */
    char *text;                   /* scalar with ${file:}/${env:} resolved; NULL for a mapping or sequence */
    bool secret;                  /* it held a placeholder */
};

struct config_map_line {
    char *source;       /* the target's word */
    const char *common; /* static */
};

struct config_map { /* in the file's order */
    struct config_map_line *lines;
    size_t count;
};

struct config_target {
    char *name;
    struct mark mark, plugin_mark, url_mark;
    char *plugin; /* name, or path of a .so */
    char *url;    /* NULL: the plugin's default */
    struct config_mode_entry *modes;
    size_t mode_count;
    bool mode_given;
    double rate_per_s;                        /* 0: no limit */
    int64_t max_writes, max_writes_window_ms; /* 0: no limit */
    int64_t concurrency, connect_timeout_ms, timeout_ms, poll_ms /* -1: the plugin's */, webhook_tolerance_ms /* -1 */;
    struct config_retry retry;
    enum config_on_uncertain on_uncertain;
    struct config_tls tls;
    char *proxy;
    struct config_secret *webhook_secrets;
    size_t webhook_secret_count;
    bool allow_unsigned;
    struct config_signature signature;
    char *webhook_event_header; /* NULL: the body names the event */
    struct config_auth auth;
    int64_t freshness_ms; /* 0: nothing turns stale */
    bool isolate;         /* the plugin runs in a process of its own, with these limits: */
    int64_t isolate_memory_bytes, isolate_timeout_ms;
    struct config_map maps[WORD_LISTS];
    struct config_option *options;
    size_t option_count;
};

struct config_input {                    /* what a route says about its payloads */
    struct format format;                /* kind 0: as it comes: JSON, a bare number, text */
    const struct yaml_node *format_node; /* NULL: not given */
    const struct yaml_node *each;        /* NULL: a payload is one reading */
    const struct yaml_node *time;        /* NULL: when it arrives */
    int64_t late_ms;                     /* -1: nothing is late */
    const struct yaml_node *asset;       /* the tag; NULL: none */
    const struct yaml_node *metric_node; /* NULL: all */
    const char **metrics;                /* names and patterns; borrowed */
    size_t metric_count;
    const struct yaml_node *unit_node; /* of the trigger's value; NULL: as it comes */
    struct measure_conversion unit;
    char *separator;
    int format_kind, decimal;
};

struct config_route {
    char *name;
    struct mark mark, from_mark, to_mark;
    char *from;
    bool retained;
    struct config_input input;
    struct {
        bool given;
        struct mark mark;
        /* Nodes: NULL when absent. Durations and repeat: -1. */
        const struct yaml_node *value, *above, *below, *outside, *equals, *changes, *when, *rate, *every, *window, *all,
            *any, *clear, *budget, *storm, *while_open, *key;
        int64_t absent_ms, max_age_ms, for_ms, clear_for_ms, repeat, cooldown_ms, until_max_age_ms;
        int until; /* UNTIL_CLOSED, or 0 */
    } trigger;
    char *key; /* lane, when there is no trigger key; NULL */
    struct mark key_mark;
    char *target, *operation;               /* of `to` */
    const struct yaml_node *body, *body_jq; /* one of them, or neither: the payload itself */
    enum config_on_uncertain on_uncertain;
    struct {
        struct mark mark;     /* of `batch`; line 0: not given */
        struct mark max_mark; /* of its max */
        int64_t max, wait_ms; /* -1: not given */
    } batch;
};

struct config_assets {
    char *file; /* NULL: no map */
    struct mark mark;
};

struct config {
    char *file;
    char *user; /* whom root becomes; NULL: nobody */
    struct config_assets assets;
    char *instance;
    struct config_bus bus;
    struct config_store store;
    struct config_http http;
    struct config_target *targets;
    size_t target_count;
    struct config_route *routes;
    size_t route_count;
    struct yaml_tree **trees; /* what the nodes are borrowed from */
    char **files;             /* of the trees, in the same order: what marks are borrowed from */
    size_t tree_count;
    const char **hidden; /* texts that held a placeholder: printed as "***" */
    size_t hidden_count;
    struct buf named_files; /* that settings were read from or name: secrets, certificates; each path with its NUL */
};

/* Marks borrow `path` and the configuration: print problems before destroying it.
 * NULL only when nothing could be read; else what was understood, problems->errors says whether it
 * may be used. gives */
struct config *config_load(const char *path, struct problems *problems);
/* Of the same file only what leads to its daemon and its store: store.path, http.admin, http.admin_token,
 * http.tls.cert. Nothing else is judged, no other secret is opened: a daemon that runs can be asked, whatever its
 * file's mistakes. gives */
struct config *config_peek(const char *path, struct problems *problems);
void config_destroy(struct config *config);
/* -c, else $BUSBAR_CONFIG, else ./busbar.yaml, else /etc/busbar/busbar.yaml. gives; NULL when there is none */
char *config_find(const char *given);
/* The configuration with its defaults filled in, secrets as "***". */
void config_print(const struct config *config, struct buf *out);
/* Another number when one of those files is another one, or has changed. */
uint64_t config_files_stamp(const struct config *config);
const struct config_target *config_target(const struct config *config, const char *name);
const struct config_route *config_route(const struct config *config, const char *name);
/* The mode of a target's operation: its own entry, else the default, else read. */
enum config_mode config_mode_of(const struct config_target *target, const char *operation);
const char *config_mode_name(enum config_mode mode);
/* The `map:` of a target, from wherever it stands. Adds to target->maps; finish frees them. */
void config_read_map(struct problems *problems, const struct yaml_node *node, struct config_target *target);
void config_finish_map(struct config_target *target);
/* Keys that a section ("busbar", "bus", "target", "route", "trigger", ...) takes, for nearest words; NULL:
 * no such section. gives the array, borrows the words */
const char **config_keys(const char *section, size_t *count);

#endif
