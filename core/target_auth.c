/* SPDX-License-Identifier: Apache-2.0 */
/* The credential of a target: by its plugin's scheme, or by the target's own `auth`. */
#include "target_private.h"

#include "digest.h"
#include "loader.h"

#include <stdlib.h>
#include <string.h>

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

const char *target_header_text(const struct builder *b, const char *name)
{
    const struct config_option *given = target_option(b->config, name);
    const char *text = given ? given->text : NULL;
    struct bb_option option;
    for (size_t i = 0; !text && name && plugin_option(b->plugin, i, &option); i++)
        if (strcmp(option.name, name) == 0)
            text = option.default_value;
    if (!text)
        return "";
    if (has_control(text)) {
        problems_add(b->problems, given ? given->mark : b->config->mark,
                     "option %s of target %s has a line break or control character, which no header may hold", name,
                     b->config->name);
        return "";
    }
    return text;
}

void target_hide(struct target *target, const char *secret)
{
    size_t i = 0;
    while (target->secrets[i])
        i++;
    target->secrets[i] = secret;
}

static void bind_header(const struct builder *b, const char *name, const char *value)
{
    b->target->auth_header = target_keep(b, span_of(name));
    b->target->auth_value = target_keep(b, span_of(value));
    target_hide(b->target, target_keep(b, span_of(value)));
    const char *scheme = strrchr(value, ' '); /* "token <key>": the key alone is as good */
    if (scheme)
        target_hide(b->target, target_keep(b, span_of(scheme + 1)));
}

static void bind_bearer(const struct builder *b, const char *token)
{
    b->target->auth_header = "Authorization";
    b->target->auth_value = target_keep_format(b, "Bearer %s", token);
    target_hide(b->target, target_keep(b, span_of(token)));
}

static void bind_basic(const struct builder *b, const char *user, const char *password)
{
    char *pair cleanup_text = mem_printf("%s:%s", user, password);
    char *encoded cleanup_text = digest_base64(span_of(pair));
    b->target->auth_header = "Authorization";
    b->target->auth_value = target_keep_format(b, "Basic %s", encoded);
    target_hide(b->target, target_keep(b, span_of(password)));
    target_hide(b->target, target_keep(b, (struct span){encoded, strcspn(encoded, "=")})); /* some leave those out */
}

/* By the plugin's options. One that is neither required nor given: the target is asked without one. */
static void bind_plugins(const struct builder *b)
{
    const struct bb_auth *auth = &b->plugin->auth;
    if (auth->scheme == BB_AUTH_NONE)
        return;
    const char *secret = target_header_text(b, auth->secret_option);
    const struct config_option *given = target_option(b->config, auth->secret_option);
    if (given && given->text && !*given->text)
        problems_add(b->problems, given->mark, "option %s of target %s is empty", given->name, b->config->name);
    if (!*secret)
        return;
    switch (auth->scheme) {
    case BB_AUTH_NONE:
        break;
    case BB_AUTH_HEADER:
        bind_header(b, auth->header, secret);
        break;
    case BB_AUTH_BEARER:
        bind_bearer(b, secret);
        break;
    case BB_AUTH_BASIC: {
        const char *user = target_header_text(b, auth->user_option);
        if (strchr(user, ':'))
            problems_add(b->problems, b->config->mark, "option %s of target %s holds a colon, which no user name may",
                         auth->user_option, b->config->name);
        bind_basic(b, user, secret);
        break;
    }
    }
}

static void refuse_both(const struct builder *b)
{
    struct bb_option option;
    for (size_t i = 0; plugin_option(b->plugin, i, &option); i++)
        if (option.type == BB_SECRET && target_option(b->config, option.name))
            problems_add(b->problems, b->config->auth.mark,
                         "target %s has auth and the option %s: one of them is the credential", b->config->name,
                         option.name);
}

void target_bind_auth(const struct builder *b)
{
    const struct config_auth *own = &b->config->auth;
    if (own->kind != AUTH_PLUGIN)
        refuse_both(b);
    switch (own->kind) {
    case AUTH_PLUGIN:
        bind_plugins(b);
        break;
    case AUTH_NONE:
        break;
    case AUTH_BEARER:
        bind_bearer(b, own->bearer);
        break;
    case AUTH_BASIC:
        bind_basic(b, own->basic.user, own->basic.password);
        break;
    case AUTH_OAUTH2:
        target_bind_token(b);
        break;
    case AUTH_HEADER:
        bind_header(b, own->header.name, own->header.value);
        break;
    }
}
