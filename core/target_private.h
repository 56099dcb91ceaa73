/* Shared by target.c (a target and its settings), target_auth.c (its credential) and target_request.c (what is sent).
 */
#ifndef BUSBAR_TARGET_PRIVATE_H
#define BUSBAR_TARGET_PRIVATE_H

#include "target.h"

/* What creating a target needs at hand. */
struct builder {
    struct target *target;
    const struct config_target *config;
    const struct bb_plugin *plugin;
    struct problems *problems;
};

/* In the target's arena. */
char *target_keep(const struct builder *b, struct span text);
__attribute__((format(printf, 2, 3))) char *target_keep_format(const struct builder *b, const char *format, ...);
/* As it was given; NULL: it was not. */
const struct config_option *target_option(const struct config_target *config, const char *name);
/* The text of an option that goes into a header. "" when it is not there. The value is never printed. */
const char *target_header_text(const struct builder *b, const char *name);
void target_bind_auth(const struct builder *b);
/* What is never shown: a secret, and what else it can be read from. Keeps the text where it is. */
void target_hide(struct target *target, const char *secret);
/* NULL, or what is wrong with a URL that a credential goes to. */
const char *target_url_fault(const char *url);
/* target_request.c: whether a path that begins with / has a segment "." or "..", also percent-encoded: curl or the
 * server would resolve it, to another path than the one that was written. */
bool target_path_walks(struct span path);
/* target_plugin.c: starts it, here or in a cell, and takes what it says of this target */
void target_open_plugin(const struct builder *b, const struct loaded_plugin *loaded);
void target_close_plugin(struct target *target);
/* target_token.c */
void target_bind_token(const struct builder *b);
void target_free_token(struct target *target);

#endif
