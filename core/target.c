/* SPDX-License-Identifier: Apache-2.0 */
#include "target_private.h"

#include "hook.h"
#include "json.h"
#include "loader.h"
#include "number.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

char *target_keep(const struct builder *b, struct span text)
{
    return arena_dup(b->target->arena, text.data, text.len);
}

char *target_keep_format(const struct builder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(b->target->arena, format, args);
    va_end(args);
    return text;
}

/* ---- url ---------------------------------------------------------------------- */

static bool is_loopback(struct span host)
{
    char text[16];
    struct in_addr address;
    if (span_is(host, "localhost") || span_is(host, "[::1]"))
        return true;
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

/* NULL, or what is wrong with a base URL. Plain http is for this machine only: it would carry the
 * credential in the clear. */
const char *target_url_fault(const char *url)
{
    bool plain = strncmp(url, "http://", 7) == 0;
    if (!plain && strncmp(url, "https://", 8) != 0)
        return "starts with https://";
    for (const char *at = url; *at; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
            return "has neither spaces nor letters beyond ASCII";
    if (strpbrk(url, "?#\\"))
        return "has no query and no fragment";
    const char *authority = url + (plain ? 7 : 8);
    size_t len = strcspn(authority, "/");
    if (memchr(authority, '@', len))
        return "holds no credential: the plugin's own options do";
    size_t host = len;
    const char *bracket = *authority == '[' ? memchr(authority, ']', len) : NULL;
    const char *from = bracket ? bracket : authority;
    const char *colon = memchr(from, ':', len - (size_t)(from - authority));
    if (colon) {
        int64_t port;
        host = (size_t)(colon - authority);
        if (!number_parse_int((struct span){colon + 1, len - host - 1}, 1, 65535, &port))
            return "has a port from 1 to 65535";
    }
    if (host == 0 || (*authority == '[') != (authority[host - 1] == ']'))
        return "names a host";
    if (target_path_walks(span_of(authority + len)))
        return "has no /./ and no /../ (nor %2e for a dot): write the path that it leads to";
    if (plain && !is_loopback((struct span){authority, host}))
        return "starts with https:// (http:// is for 127.0.0.0/8, [::1] and localhost only)";
    return NULL;
}

static void bind_url(const struct builder *b)
{
    const char *url = b->config->url ? b->config->url : b->plugin->default_url;
    if (!url) {
        problems_add(b->problems, b->config->mark, "target %s needs a url: the plugin %s has none of its own",
                     b->config->name, b->plugin->name);
        return;
    }
    const char *fault = target_url_fault(url);
    if (fault)
        problems_add(b->problems, b->config->url_mark, "url of target %s: a url %s", b->config->name, fault);
    size_t len = strlen(url);
    while (len && url[len - 1] == '/')
        len--;
    b->target->url = target_keep(b, (struct span){url, len});
}

/* ---- options --------------------------------------------------------------------- */

const struct config_option *target_option(const struct config_target *config, const char *name)
{
    for (size_t i = 0; name && i < config->option_count; i++)
        if (strcmp(config->options[i].name, name) == 0)
            return &config->options[i];
    return NULL;
}

static void report_unknown_options(const struct builder *b)
{
    const struct bb_plugin *plugin = b->plugin;
    size_t setting_count;
    const char **settings = config_keys("target", &setting_count); /* a misspelt setting arrives as an option */
    const char **names = mem_alloc((plugin->option_count + setting_count + 1) * sizeof *names);
    struct bb_option option;
    for (size_t i = 0; plugin_option(plugin, i, &option); i++)
        names[i] = option.name;
    memcpy(names + plugin->option_count, settings, setting_count * sizeof *names);
    for (size_t g = 0; g < b->config->option_count; g++) {
        const struct config_option *given = &b->config->options[g];
        size_t i = 0;
        while (i < plugin->option_count && strcmp(names[i], given->name) != 0)
            i++;
        if (i < plugin->option_count)
            continue;
        const char *nearest = problems_nearest(span_of(given->name), names, plugin->option_count + setting_count);
        problems_add(b->problems, given->mark, "the plugin %s has no option %s%s%s%s", plugin->name, given->name,
                     nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    }
    free(names);
    free(settings);
}

static bool parse_bool(struct span text, bool *out)
{
    *out = span_is(text, "true");
    return *out || span_is(text, "false");
}

/* Writes one value to its member; answers what the value should have been, or NULL. */
static const char *set_scalar(const struct builder *b, const struct bb_option *option, struct span text)
{
    char *member = (char *)b->target->plugin_config + option->offset;
    switch (option->type) {
    case BB_STRING: {
        const char *copy = target_keep(b, text);
        memcpy(member, &copy, sizeof copy);
        return strlen(copy) == text.len ? NULL : "text without NUL";
    }
    case BB_BOOL: {
        bool value;
        if (!parse_bool(text, &value))
            return "true or false";
        memcpy(member, &value, sizeof value);
        return NULL;
    }
    case BB_INT: {
        int64_t value;
        if (!number_parse_int(text, INT64_MIN, INT64_MAX, &value))
            return "a whole number";
        memcpy(member, &value, sizeof value);
        return NULL;
    }
    case BB_NUMBER: {
        double value;
        if (!number_parse_double(text, &value))
            return "a number";
        memcpy(member, &value, sizeof value);
        return NULL;
    }
    case BB_DURATION: {
        int64_t value;
        if (!number_parse_duration(text, &value))
            return "a duration such as 250ms, 30s, 15m, 1h, 7d";
        memcpy(member, &value, sizeof value);
        return NULL;
    }
    case BB_JSON: {
        const char *copy = target_keep(b, text);
        memcpy(member, &copy, sizeof copy);
        return NULL;
    }
    case BB_SECRET:
        return NULL; /* target_bind_auth takes it */
    }
    return NULL;
}

static const char *set_option(const struct builder *b, const struct bb_option *option,
                              const struct config_option *given)
{
    if (option->type == BB_JSON) {
        struct buf text cleanup_buf = {0};
        if (given->text && (given->secret || !given->node)) {
            buf_put_json(&text, span_of(given->text));
        } else {
            struct json_object *value cleanup_json = yaml_to_json(given->node);
            json_print(value, &text);
        }
        return set_scalar(b, option, buf_span(&text));
    }
    if (!given->text)
        return option->type == BB_SECRET ? "text" : "one value, no list and no mapping";
    return set_scalar(b, option, span_of(given->text));
}

static void bind_options(const struct builder *b)
{
    struct bb_option option;
    for (size_t i = 0; plugin_option(b->plugin, i, &option); i++) {
        const struct config_option *given = target_option(b->config, option.name);
        const char *wanted = NULL;
        if (given)
            wanted = set_option(b, &option, given);
        else if (option.type == BB_SECRET && b->config->auth.kind != AUTH_PLUGIN)
            continue; /* the target's own auth stands for it */
        else if (option.flags & BB_REQUIRED)
            problems_add(b->problems, b->config->mark, "target %s needs the option %s%s%s", b->config->name,
                         option.name, option.help ? ": " : "", option.help ? option.help : "");
        else if (option.default_value)
            (void)set_scalar(b, &option, span_of(option.default_value)); /* checked by the loader */
        if (wanted)
            problems_add(b->problems, given->mark, "option %s of target %s must be %s", option.name, b->config->name,
                         wanted);
    }
}

/* ---- http ------------------------------------------------------------------------------- */

static void bind_http(const struct builder *b)
{
    const struct config_target *config = b->config;
    const char *comment = target_header_text(b, b->plugin->user_agent_option);
    b->target->http = (struct http_options){
        .connect_timeout_ms = config->connect_timeout_ms,
        .timeout_ms = config->timeout_ms,
        .ca_file = config->tls.ca,
        .cert_file = config->tls.cert,
        .key_file = config->tls.key,
        .proxy = config->proxy,
        .user_agent = target_keep_format(b, "busbar/%s%s%s", BUSBAR_VERSION, *comment ? " " : "", comment),
    };
}

/* ---- modes and webhooks --------------------------------------------------------------- */

static void check_modes(const struct builder *b)
{
    const size_t count = b->target->plugin->operation_count;
    const char **names = mem_alloc((count + 1) * sizeof *names);
    struct bb_operation operation;
    for (size_t i = 0; plugin_operation(b->target->plugin, i, &operation); i++)
        names[i] = operation.name;
    for (size_t i = 0; i < b->config->mode_count; i++) {
        const struct config_mode_entry *mode = &b->config->modes[i];
        if (!mode->operation || plugin_find_operation(b->target->plugin, mode->operation, &operation))
            continue;
        const char *nearest = problems_nearest(span_of(mode->operation), names, count);
        problems_add(b->problems, mode->mark, "mode of target %s: the plugin %s has no operation %s%s%s%s",
                     b->config->name, b->plugin->name, mode->operation, nearest ? "; did you mean " : "",
                     nearest ? nearest : "", nearest ? "?" : "");
    }
    free(names);
}

static void check_secrets(const struct builder *b, const struct hook_profile *profile)
{
    for (size_t i = 0; i < b->config->webhook_secret_count; i++) {
        const char *fault = hook_secret_fault(profile, b->config->webhook_secrets[i].secret);
        if (fault)
            problems_add(b->problems, b->config->mark, "webhook_secret of target %s %s", b->config->name, fault);
    }
}

/* What the plugin does not know may be new: a warning. */
static void check_event(const struct builder *b, const char *setting, const char *name)
{
    const char *const *known = b->target->plugin->hook_events;
    size_t count = 0;
    bool found = false;
    for (; known[count]; count++)
        found = found || strcmp(known[count], name) == 0;
    const char *nearest = problems_nearest(span_of(name), known, count);
    if (!found)
        problems_warn(b->problems, b->config->mark, "%s of target %s: the plugin %s knows no event %s%s%s%s", setting,
                      b->config->name, b->plugin->name, name, nearest ? "; did you mean " : "", nearest ? nearest : "",
                      nearest ? "?" : "");
}

static void check_events(const struct builder *b)
{
    const struct config_map *map = &b->config->maps[WORDS_EVENT];
    if (!b->target->plugin->hook_events)
        return;
    for (size_t i = 0; i < b->config->webhook_secret_count; i++)
        if (b->config->webhook_secrets[i].event)
            check_event(b, "webhook_secret", b->config->webhook_secrets[i].event);
    for (size_t i = 0; i < map->count; i++)
        check_event(b, "map", map->lines[i].source);
}

static void check_webhooks(const struct builder *b)
{
    const struct config_target *config = b->config;
    const struct bb_hook *hook = &b->target->plugin->hook;
    const struct hook_profile profile = hook_profile_of(&config->signature, &hook->signature);
    if (!hook->event_pointer) {
        if (config->webhook_secret_count || config->allow_unsigned || config->signature.profile ||
            config->webhook_event_header)
            problems_add(b->problems, config->mark,
                         "target %s has settings of webhooks (webhook_secret, webhook_signature, webhook_event_header, "
                         "allow_unsigned), but the plugin %s takes no webhooks",
                         config->name, b->plugin->name);
        return;
    }
    if (profile.proof == HOOK_UNSIGNED && config->webhook_secret_count)
        problems_add(b->problems, config->mark,
                     "target %s has a webhook_secret, but what the plugin %s speaks to does not sign its webhooks; "
                     "where it does, say how: webhook_signature",
                     config->name, b->plugin->name);
    else
        check_secrets(b, &profile);
    check_events(b);
}

/* ---- create, destroy -------------------------------------------------------------------- */

void target_init_job(const struct target *target, struct bb_job *job, size_t item_count, int64_t now_ms)
{
    job_init(job, target->name, target->plugin->name, item_count, now_ms);
    job->tables = target->tables;
}

/* A word that the site maps has one line, so that what is sent for a common word is never one that the site took
 * away from it. */
static void bind_tables(const struct builder *b)
{
    const struct mapping_table plugins[WORD_LISTS] = {
        [WORDS_STATUS] = {b->plugin->statuses, b->plugin->status_count},
        [WORDS_PRIORITY] = {b->plugin->priorities, b->plugin->priority_count},
    };
    for (size_t list = 0; list < WORD_LISTS; list++) {
        const struct config_map *sites = &b->config->maps[list];
        struct bb_mapping *lines =
            arena_alloc(b->target->arena, (sites->count + plugins[list].count + 1) * sizeof *lines);
        struct mapping_table *table = &b->target->tables[list];
        *table = (struct mapping_table){lines, 0};
        for (size_t i = 0; i < sites->count; i++)
            lines[table->count++] = (struct bb_mapping){sites->lines[i].source, sites->lines[i].common};
        for (size_t i = 0; i < plugins[list].count; i++)
            if (!mapping_common_word(table, plugins[list].lines[i].source))
                lines[table->count++] = plugins[list].lines[i];
    }
}

struct target *target_create(const struct config_target *config, const struct loaded_plugin *plugin,
                             struct problems *problems)
{
    const size_t errors = problems->errors;
    struct target *target = mem_alloc(sizeof *target);
    *target =
        (struct target){.config = config, .plugin = &plugin->descriptor, .name = config->name, .arena = arena_create()};
    target->plugin_config = arena_alloc(target->arena, target->plugin->config_size + 1);
    const struct builder b = {target, config, target->plugin, problems};
    bind_url(&b);
    report_unknown_options(&b);
    bind_options(&b);
    target_bind_auth(&b);
    bind_http(&b);
    bind_tables(&b);
    if (problems->errors == errors)
        target_open_plugin(&b, plugin);
    if (problems->errors == errors || !b.plugin->describe) {
        check_modes(&b);
        check_webhooks(&b);
    }
    if (problems->errors == errors)
        return target;
    target_destroy(target);
    return NULL;
}

void target_destroy(struct target *target)
{
    if (!target)
        return;
    target_close_plugin(target);
    target_free_token(target);
    if (target->auth_value)
        explicit_bzero(target->auth_value, strlen(target->auth_value));
    arena_destroy(target->arena);
    free(target);
}
