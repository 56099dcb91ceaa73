/* A target: a configured instance of a plugin. Binds the options of its configuration to the plugin's
 * struct, keeps the credential away from the plugin, turns a plugin's request into an HTTP request.
 * Reactor thread only. */
#ifndef BUSBAR_TARGET_H
#define BUSBAR_TARGET_H

#include "cell.h"
#include "config.h"
#include "host.h"
#include "http.h"

struct loaded_plugin;

#define TARGET_PLUGIN_CRASHED "plugin_crashed" /* code of an attempt, and of a dead letter, that the plugin died of */

#define TARGET_SECRETS 6 /* at most; the last is NULL */

struct target {
    const struct config_target *config; /* borrowed */
    const struct bb_plugin *plugin;     /* as it holds for this target; borrowed or in its arena */
    const char *name;
    const char *url;                         /* without trailing slash */
    void *self;                              /* NULL in a cell: it is the child's */
    struct cell *cell;                       /* NULL: the plugin runs in this process */
    struct http_options http;                /* points into this target */
    const char *auth_header;                 /* NULL: no credential */
    char *auth_value;                        /* secret */
    const char *secrets[TARGET_SECRETS];     /* each text that must never be shown; NULL past the last */
    struct mapping_table tables[WORD_LISTS]; /* as in force: the site's lines, then the plugin's */
    struct target_token *token;              /* NULL: its credential never changes */
    void *plugin_config;
    bool opened;
    struct arena *arena;
};

/* Checks options (unknown, missing, wrong type, nearest word), url (https, or http to loopback only), modes'
 * operations, webhook secrets; then plugin->open. NULL when there are errors. gives; borrows config and plugin */
struct target *target_create(const struct config_target *config, const struct loaded_plugin *plugin,
                             struct problems *problems);
void target_destroy(struct target *target);
/* A job of this target's: job_finish() it. */
void target_init_job(const struct target *target, struct bb_job *job, size_t item_count, int64_t now_ms);

/* Asks the plugin, wherever it runs, and waits: for what is no delivery. check: NULL, or what is wrong with the body.
 */
const char *target_check(const struct target *target, struct bb_job *job, const char *operation, struct bb_str body);
/* One call of a conversation, by step or poll; the same *call for all of it, then target_forget. */
enum bb_next target_ask(const struct target *target, struct cell_call *call);
void target_forget(const struct target *target, struct cell_call *call);
/* An isolated plugin's process anew, which has what this one has and may what it may. 0, or -1 and *error (gives). */
int target_renew_plugin(struct target *target, char **error);
/* Fills *out for an attempt that the plugin died of. borrows failure */
void target_blame_plugin(const char *failure, struct bb_out *out);

/* The whole HTTP request of a plugin's: URL, credential, User-Agent, content type. Answers -1 and *error (static) when
 * the plugin's request breaks a rule (path without '/', unknown method, header that smuggles).
 * Memory from the job's arena. */
int target_request(const struct target *target, struct bb_job *job, const struct bb_request *request,
                   struct http_request *out, const char **error);
/* ---- a credential that is fetched (OAuth2 client credentials); target->token is not NULL */

/* Whether a request can go out now: there is a token, and it is good for a while yet. */
bool target_has_token(const struct target *target, int64_t now_ms);
/* What asks for one. Memory from the arena. */
void target_ask_token(const struct target *target, struct arena *arena, struct http_request *out);
/* The answer to that. False, and why (static), when it holds none. */
bool target_take_token(struct target *target, int status, struct span body, int64_t now_ms, const char **why);
/* Which token a request made now would have; 0: none. */
int target_token_number(const struct target *target);
/* The target refused that one: it is asked for anew, unless it was already. */
void target_refuse_token(struct target *target, int number);

/* A request for people: method, URL, headers with the credential as "***", body; cut to max bytes. */
void target_request_print(const struct http_request *request, const struct target *target, struct buf *out, size_t max);
/* Appends text from or to the target for people: its secrets as "***", cut to max bytes at a character. */
void target_scrub(const struct target *target, struct span text, struct buf *out, size_t max);
/* BB_RETRY without a time of the plugin's own: takes the response's Retry-After, when there is one. */
void target_heed_retry_after(enum bb_next next, const struct bb_response *response, int64_t now_wall_ms,
                             struct bb_out *out);

#endif
