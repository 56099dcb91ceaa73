/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptor.h"

#include "json.h"
#include "lifecycle.h"
#include "number.h"

#include <string.h>

/* A descriptor made against an older header ends earlier. These ends have been there from the start. */
#define LEAST_PLUGIN offsetof(struct bb_plugin, decode)
#define MOST_PLUGIN ((size_t)1 << 16) /* no version will ever be as large */
#define LEAST_OPTION offsetof(struct bb_option, default_value)
#define LEAST_OPERATION offsetof(struct bb_operation, max_batch)

#define MOST_CONFIG_BYTES ((size_t)1 << 20)
#define MOST_ITEMS 1000
#define MOST_NAME 64

/* Keys that a target's configuration has already. */
static const char *const reserved_options[] = {"plugin",
                                               "url",
                                               "mode",
                                               "rate",
                                               "concurrency",
                                               "connect_timeout",
                                               "timeout",
                                               "poll",
                                               "retry",
                                               "on_uncertain",
                                               "tls",
                                               "proxy",
                                               "auth",
                                               "webhook_secret",
                                               "webhook_signature",
                                               "webhook_event_header",
                                               "webhook_tolerance",
                                               "allow_unsigned",
                                               "map",
                                               "freshness",
                                               "isolate",
                                               "isolate_memory",
                                               "isolate_timeout"};

__attribute__((format(printf, 2, 3))) static void complain(struct buf *why, const char *format, ...)
{
    if (why->len > 0)
        buf_puts(why, "; ");
    va_list args;
    va_start(args, format);
    buf_vprintf(why, format, args);
    va_end(args);
}

/* ---- shapes of text ------------------------------------------------------ */

/* [a-z][a-z0-9_]*, up to `end`. */
static bool is_word(const char *text, const char *end)
{
    if (text == end || end - text > MOST_NAME || *text < 'a' || *text > 'z')
        return false;
    for (; text < end; text++)
        if (!((*text >= 'a' && *text <= 'z') || (*text >= '0' && *text <= '9') || *text == '_'))
            return false;
    return true;
}

static bool is_name(const char *text)
{
    return text && is_word(text, text + strlen(text));
}

/* Words parted by dots, two at least. */
static bool is_operation_name(const char *text)
{
    if (!text || !strchr(text, '.'))
        return false;
    for (;;) {
        const char *end = strchrnul(text, '.');
        if (!is_word(text, end))
            return false;
        if (!*end)
            return true;
        text = end + 1;
    }
}

static bool is_pointer(const char *text)
{
    if (!text || (*text && *text != '/'))
        return false;
    for (; *text; text++)
        if (*text == '~' && text[1] != '0' && text[1] != '1')
            return false;
    return true;
}

static bool is_token(const char *text) /* RFC 9110: a header's name */
{
    return text && *text &&
           strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
               strlen(text);
}

/* ---- strided access -------------------------------------------------------- */

static void copy_smaller(void *to, size_t to_size, const void *from, size_t from_size)
{
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
}

const struct bb_option *plugin_option(const struct bb_plugin *plugin, size_t i, struct bb_option *copy)
{
    if (i >= plugin->option_count)
        return NULL;
    copy_smaller(copy, sizeof *copy, (const char *)plugin->options + i * plugin->option_size, plugin->option_size);
    return copy;
}

const struct bb_operation *plugin_operation(const struct bb_plugin *plugin, size_t i, struct bb_operation *copy)
{
    if (i >= plugin->operation_count)
        return NULL;
    copy_smaller(copy, sizeof *copy, (const char *)plugin->operations + i * plugin->operation_size,
                 plugin->operation_size);
    if (copy->max_batch == 0)
        copy->max_batch = 1;
    return copy;
}

static bool find_option(const struct bb_plugin *plugin, const char *name, struct bb_option *copy)
{
    for (size_t i = 0; name && plugin_option(plugin, i, copy); i++)
        if (copy->name && strcmp(copy->name, name) == 0)
            return true;
    return false;
}

bool plugin_find_operation(const struct bb_plugin *plugin, const char *name, struct bb_operation *copy)
{
    for (size_t i = 0; name && plugin_operation(plugin, i, copy); i++)
        if (copy->name && strcmp(copy->name, name) == 0)
            return true;
    return false;
}

/* ---- options --------------------------------------------------------------- */

struct member {
    const char *type;
    size_t size; /* also its alignment; 0: has no member */
};

static bool option_member(enum bb_option_type type, struct member *member)
{
    switch (type) {
    case BB_STRING:
        *member = (struct member){"string", sizeof(const char *)};
        return true;
    case BB_BOOL:
        *member = (struct member){"bool", sizeof(bool)};
        return true;
    case BB_INT:
        *member = (struct member){"int", sizeof(int64_t)};
        return true;
    case BB_NUMBER:
        *member = (struct member){"number", sizeof(double)};
        return true;
    case BB_DURATION:
        *member = (struct member){"duration", sizeof(int64_t)};
        return true;
    case BB_JSON:
        *member = (struct member){"JSON", sizeof(const char *)};
        return true;
    case BB_SECRET:
        *member = (struct member){"secret", 0};
        return true;
    }
    return false;
}

static bool default_is_good(const struct bb_option *option)
{
    struct span text = span_of(option->default_value);
    int64_t whole;
    double number;
    switch (option->type) {
    case BB_STRING:
        return true;
    case BB_BOOL:
        return span_is(text, "true") || span_is(text, "false");
    case BB_INT:
        return number_parse_int(text, INT64_MIN, INT64_MAX, &whole);
    case BB_NUMBER:
        return number_parse_double(text, &number);
    case BB_DURATION:
        return number_parse_duration(text, &whole);
    case BB_JSON: {
        bool is_null = false;
        const char *error = NULL;
        struct json_object *value cleanup_json = json_parse(text, &is_null, &error);
        return value || is_null;
    }
    case BB_SECRET:
        return false; /* a secret that everyone knows */
    }
    return false;
}

static bool secret_is_used(const struct bb_plugin *plugin, const char *name)
{
    const struct bb_auth *auth = &plugin->auth;
    return (auth->secret_option && strcmp(auth->secret_option, name) == 0) ||
           (auth->user_option && strcmp(auth->user_option, name) == 0);
}

static void check_option(const struct bb_plugin *plugin, size_t i, const struct bb_option *option, struct buf *why)
{
    if (!is_name(option->name)) {
        complain(why, "option %zu has no name of lower-case letters, digits and _", i);
        return;
    }
    const char *name = option->name;
    for (size_t r = 0; r < sizeof reserved_options / sizeof *reserved_options; r++)
        if (strcmp(name, reserved_options[r]) == 0)
            complain(why, "option %s is a target's own key", name);
    struct member member;
    if (!option_member(option->type, &member)) {
        complain(why, "option %s has type %d, which is none", name, (int)option->type);
        return;
    }
    if (option->default_value && !default_is_good(option))
        complain(why, "default of option %s is no %s", name, member.type);
    if (option->default_value && (option->flags & BB_REQUIRED))
        complain(why, "option %s is required and has a default", name);
    if (option->type == BB_SECRET && !secret_is_used(plugin, name))
        complain(why, "secret option %s is not used by auth", name);
    if (member.size == 0)
        goto unique;
    if (option->offset > plugin->config_size || plugin->config_size - option->offset < member.size)
        complain(why, "option %s lies outside config_size %zu", name, plugin->config_size);
    else if (option->offset % member.size != 0)
        complain(why, "option %s is not aligned: a %s cannot lie at %zu", name, member.type, option->offset);
unique:
    for (size_t earlier = 0; earlier < i; earlier++) {
        struct bb_option other;
        struct member place;
        plugin_option(plugin, earlier, &other);
        if (!other.name || !option_member(other.type, &place))
            continue;
        if (strcmp(other.name, name) == 0)
            complain(why, "option %s is there twice", name);
        else if (place.size && member.size && option->offset < other.offset + place.size &&
                 other.offset < option->offset + member.size)
            complain(why, "options %s and %s share a member", other.name, name);
    }
}

static void check_options(const struct bb_plugin *plugin, struct buf *why)
{
    struct bb_option option;
    for (size_t i = 0; plugin_option(plugin, i, &option); i++)
        check_option(plugin, i, &option, why);
}

/* ---- operations ------------------------------------------------------------ */

static void check_operation(const struct bb_plugin *plugin, size_t i, const struct bb_operation *op, struct buf *why)
{
    if (!is_operation_name(op->name)) {
        complain(why, "operation %zu (%s) is not named resource.verb in lower case", i,
                 op->name ? op->name : "no name");
        return;
    }
    const char *name = op->name;
    int64_t count, window;
    if ((op->flags & BB_CREATES) && !(op->flags & BB_WRITES))
        complain(why, "operation %s creates, so it writes: BB_WRITES is missing", name);
    if ((op->flags & BB_AT_START) && (op->flags & BB_WRITES))
        complain(why, "operation %s would write at each start", name);
    if (op->max_batch > 1000000)
        complain(why, "operation %s has max_batch %u", name, op->max_batch);
    if (op->order_pointer && !is_pointer(op->order_pointer))
        complain(why, "order_pointer of operation %s is no JSON Pointer", name);
    if ((op->order_pointer || op->moves_to) && !(op->flags & BB_WORK_ORDER))
        complain(why, "operation %s has an order_pointer or moves_to: BB_WORK_ORDER is missing", name);
    if (op->order_pointer && op->max_batch > 1)
        complain(why, "operation %s is about one work order each: max_batch must be 1", name);
    if (op->moves_to && *op->moves_to != '/' && !lifecycle_word(WORDS_STATUS, op->moves_to))
        complain(why, "operation %s moves to %s, which is no common status", name, op->moves_to);
    if (op->coalesce && !is_pointer(op->coalesce))
        complain(why, "coalesce of operation %s is no JSON Pointer", name);
    if (op->budget_pointer && !is_pointer(op->budget_pointer))
        complain(why, "budget_pointer of operation %s is no JSON Pointer", name);
    if (op->default_budget && !number_parse_budget(span_of(op->default_budget), &count, &window))
        complain(why, "default_budget of operation %s is not written like 24/1d", name);
    if (op->default_cooldown_ms < 0)
        complain(why, "default_cooldown_ms of operation %s is negative", name);
    for (size_t earlier = 0; earlier < i; earlier++) {
        struct bb_operation other;
        plugin_operation(plugin, earlier, &other);
        if (other.name && strcmp(other.name, name) == 0)
            complain(why, "operation %s is there twice", name);
    }
}

static void check_operations(const struct bb_plugin *plugin, struct buf *why)
{
    struct bb_operation operation;
    for (size_t i = 0; plugin_operation(plugin, i, &operation); i++)
        check_operation(plugin, i, &operation, why);
    if (plugin->operation_count && !plugin->step)
        complain(why, "it has operations but no step");
    if (!plugin->operation_count && !plugin->decode && !plugin->poll)
        complain(why, "it has no operation, no decode and no poll");
}

/* ---- mapping tables -------------------------------------------------------- */

static void check_table(enum word_list list, const struct bb_mapping *lines, size_t count, struct buf *why)
{
    const char *name = lifecycle_list_name(list);
    for (size_t i = 0; i < count; i++) {
        const char *source = lines[i].source;
        if (!source || !*source) {
            complain(why, "line %zu of the %s table has no word of the target's", i, name);
            continue;
        }
        if (!lifecycle_word(list, lines[i].common))
            complain(why, "%s %s is mapped to %s, which is no common one", name, source,
                     lines[i].common ? lines[i].common : "nothing");
        for (size_t earlier = 0; earlier < i; earlier++)
            if (lines[earlier].source && strcmp(lines[earlier].source, source) == 0)
                complain(why, "%s %s is mapped twice", name, source);
    }
}

/* ---- the rest -------------------------------------------------------------- */

static void check_auth(const struct bb_plugin *plugin, struct buf *why)
{
    const struct bb_auth *auth = &plugin->auth;
    struct bb_option option;
    switch (auth->scheme) {
    case BB_AUTH_NONE:
        if (auth->secret_option)
            complain(why, "auth names a secret_option but no scheme");
        return;
    case BB_AUTH_HEADER:
        if (!is_token(auth->header))
            complain(why, "auth.header is no header's name");
        break;
    case BB_AUTH_BASIC:
        if (!find_option(plugin, auth->user_option, &option) || (option.type != BB_STRING && option.type != BB_SECRET))
            complain(why, "auth.user_option %s is no string or secret among the options",
                     auth->user_option ? auth->user_option : "(none)");
        break;
    case BB_AUTH_BEARER:
        break;
    default:
        complain(why, "auth.scheme %d is none", (int)auth->scheme);
        return;
    }
    if (!find_option(plugin, auth->secret_option, &option) || option.type != BB_SECRET)
        complain(why, "auth.secret_option %s is no BB_SECRET among the options",
                 auth->secret_option ? auth->secret_option : "(none)");
}

static void check_signature(const struct bb_signature *signature, struct buf *why)
{
    if (!signature->header)
        return;
    if (!is_token(signature->header))
        complain(why, "hook.signature.header is no header's name");
    if (!signature->signed_string || !strstr(signature->signed_string, "{body}")) {
        complain(why, "hook.signature.signed_string does not hold {body}");
        return;
    }
    bool has_time = strstr(signature->signed_string, "{time}"), has_nonce = strstr(signature->signed_string, "{nonce}");
    if (signature->pairs && !signature->sign_key)
        complain(why, "hook.signature has pairs but no sign_key");
    if (!signature->pairs && (signature->time_key || signature->nonce_key))
        complain(why, "hook.signature has time_key or nonce_key but no pairs");
    if (has_time != !!signature->time_key)
        complain(why, "hook.signature: time_key and {time} in signed_string go together");
    if (has_nonce != !!signature->nonce_key)
        complain(why, "hook.signature: nonce_key and {nonce} in signed_string go together");
    if (signature->tolerance_ms < 0 || (signature->tolerance_ms > 0 && !signature->time_key))
        complain(why, "hook.signature.tolerance_ms needs a time_key and is not negative");
}

static void check_hook(const struct bb_plugin *plugin, struct buf *why)
{
    const struct bb_hook *hook = &plugin->hook;
    if (!hook->event_pointer) {
        if (plugin->decode && !plugin->describe)
            complain(why, "it has decode but no hook.event_pointer, so decode would never be called");
        return;
    }
    if (!plugin->decode)
        complain(why, "it has a hook but no decode");
    if (!is_pointer(hook->event_pointer))
        complain(why, "hook.event_pointer is no JSON Pointer");
    bool listed = !hook->dedup_required;
    for (const char *const *pointer = hook->dedup_pointers; pointer && *pointer; pointer++) {
        if (!is_pointer(*pointer))
            complain(why, "hook.dedup_pointers: %s is no JSON Pointer", *pointer);
        listed = listed || strcmp(*pointer, hook->dedup_required) == 0;
    }
    if (!listed)
        complain(why, "hook.dedup_required is not among dedup_pointers");
    check_signature(&hook->signature, why);
}

static void check_identity(const struct bb_plugin *plugin, struct buf *why)
{
    if (!is_name(plugin->name))
        complain(why, "its name is not made of lower-case letters, digits and _");
    else if (strcmp(plugin->name, "bus") == 0)
        complain(why, "the name bus is the core's own");
    if (!plugin->title || !plugin->version || !plugin->help)
        complain(why, "title, version or help is missing");
    if (plugin->config_size > MOST_CONFIG_BYTES)
        complain(why, "config_size %zu is over 1 MiB", plugin->config_size);
    if (plugin->default_url && strncmp(plugin->default_url, "https://", 8) != 0)
        complain(why, "default_url does not start with https://");
    if (plugin->poll_ms < 0 || (plugin->poll_ms > 0 ? !plugin->poll : plugin->poll && !plugin->describe))
        complain(why, "poll and poll_ms go together");
    struct bb_option option;
    if (plugin->user_agent_option &&
        (!find_option(plugin, plugin->user_agent_option, &option) || option.type != BB_STRING))
        complain(why, "user_agent_option %s is no string among the options", plugin->user_agent_option);
}

/* Before anything walks them. */
static bool check_array(const char *what, const void *items, size_t size, size_t count, size_t least, size_t align,
                        struct buf *why)
{
    if (count == 0)
        return true;
    if (!items || size < least || size % align != 0 || count > MOST_ITEMS) {
        complain(why, "its %s are nonsense: %zu of %zu bytes%s", what, count, size, items ? "" : " at no address");
        return false;
    }
    return true;
}

bool descriptor_read(const struct bb_plugin *theirs, struct bb_plugin *copy, struct buf *why)
{
    /* magic, abi and size come first in every version; nothing else is read before they are known. */
    if (theirs->magic != BB_MAGIC) {
        complain(why, "busbar_plugin is no descriptor of busbar's: its magic is 0x%08x, not 0x%08x",
                 (unsigned)theirs->magic, BB_MAGIC);
        return false;
    }
    if (theirs->abi != BB_ABI) {
        complain(why, "needs ABI %u, this busbar speaks %u", (unsigned)theirs->abi, BB_ABI);
        return false;
    }
    if (theirs->size < LEAST_PLUGIN || theirs->size > MOST_PLUGIN) {
        complain(why, "its descriptor's size is %zu, %s %zu was expected", theirs->size,
                 theirs->size < LEAST_PLUGIN ? "at least" : "at most",
                 theirs->size < LEAST_PLUGIN ? LEAST_PLUGIN : MOST_PLUGIN);
        return false;
    }
    copy_smaller(copy, sizeof *copy, theirs, theirs->size);
    return true;
}

bool descriptor_check(const struct bb_plugin *plugin, struct buf *why)
{
    size_t before = why->len;
    bool options = check_array("options", plugin->options, plugin->option_size, plugin->option_count, LEAST_OPTION,
                               _Alignof(struct bb_option), why);
    bool operations = check_array("operations", plugin->operations, plugin->operation_size, plugin->operation_count,
                                  LEAST_OPERATION, _Alignof(struct bb_operation), why);
    bool statuses = check_array("statuses", plugin->statuses, sizeof(struct bb_mapping), plugin->status_count,
                                sizeof(struct bb_mapping), _Alignof(struct bb_mapping), why);
    bool priorities = check_array("priorities", plugin->priorities, sizeof(struct bb_mapping), plugin->priority_count,
                                  sizeof(struct bb_mapping), _Alignof(struct bb_mapping), why);
    if (!options || !operations || !statuses || !priorities)
        return false;
    check_identity(plugin, why);
    check_options(plugin, why);
    check_operations(plugin, why);
    check_auth(plugin, why);
    check_hook(plugin, why);
    check_table(WORDS_STATUS, plugin->statuses, plugin->status_count, why);
    check_table(WORDS_PRIORITY, plugin->priorities, plugin->priority_count, why);
    return why->len == before;
}

bool plugin_take_description(const struct bb_plugin *plugin, const struct bb_description *said, struct bb_plugin *own,
                             struct buf *why)
{
    *own = *plugin;
    own->describe = NULL;
    own->operations = said->operations;
    own->operation_size = said->operation_size;
    own->operation_count = said->operation_count;
    own->hook = said->hook;
    own->poll_ms = said->poll_ms;
    if (!own->hook.event_pointer)
        own->decode = NULL;
    if (own->poll_ms == 0)
        own->poll = NULL;
    return descriptor_check(own, why);
}

bool plugin_describe(const struct bb_plugin *plugin, void *self, struct bb_plugin *own, struct buf *why)
{
    struct bb_description said = {.size = sizeof said,
                                  .operations = plugin->operations,
                                  .operation_size = plugin->operation_size,
                                  .operation_count = plugin->operation_count,
                                  .hook = plugin->hook,
                                  .poll_ms = plugin->poll_ms};
    *own = *plugin;
    if (!plugin->describe)
        return true;
    plugin->describe(self, &said);
    return plugin_take_description(plugin, &said, own, why);
}
