/* SPDX-License-Identifier: Apache-2.0 */

/* `targets:` of busbar.yaml. What no row knows is an option of the target's plugin: it is kept with its
 * place and its resolved text, and target.c binds it. */
#include "config_table.h"

#include "json.h"
#include "number.h"
#include "secret.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define DAY_MS (86400 * SECOND_MS)

#define ENTRIES_MAX 1000 /* of each list; a file that has more is no configuration, and lists are searched in order */

static bool has_room(struct config_reader *reader, size_t count, struct mark mark, const char *what)
{
    if (count >= ENTRIES_MAX)
        problems_add(reader->problems, mark, "more than %d %s", ENTRIES_MAX, what);
    return count < ENTRIES_MAX;
}

/* ---- mode: one word, or a map of operations --------------------------------------*/

const struct choice config_mode_words[] = {
    {"read", MODE_READ}, {"draft", MODE_DRAFT}, {"handoff", MODE_HANDOFF}, {"write_back", MODE_WRITE_BACK}, {NULL, 0}};

static void add_mode(struct config_reader *reader, struct config_target *target, const struct yaml_node *key,
                     const struct yaml_node *node)
{
    bool is_default = key == NULL || span_is(key->text, "default");
    struct mark mark = key != NULL ? key->mark : node->mark;
    if (!has_room(reader, target->mode_count, mark, "operations in 'mode'"))
        return;
    static const struct setting row = {.key = "mode",
                                       .kind = SETTING_CHOICE,
                                       .offset = offsetof(struct config_mode_entry, mode),
                                       .choices = config_mode_words};
    size_t cap = target->mode_count;
    target->modes = mem_grow(target->modes, &cap, target->mode_count + 1, sizeof(target->modes[0]));
    struct config_mode_entry *entry = &target->modes[target->mode_count++];
    *entry = (struct config_mode_entry){is_default ? NULL : span_dup(key->text), MODE_READ, mark};
    table_read_setting(reader, &row, node, entry);
}

static void read_mode(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_target *target = base;
    target->mode_given = true;
    if (node->kind == YAML_SEQUENCE) {
        problems_add(reader->problems, node->mark,
                     "'mode' must be a word, or a map such as {default: read, \"work_order.create\": handoff}");
        return;
    }
    if (node->kind == YAML_SCALAR)
        add_mode(reader, target, NULL, node);
    for (size_t i = 0; i < node->count; i++)
        add_mode(reader, target, node->items[i].key, node->items[i].value);
}

const char *config_mode_name(enum config_mode mode)
{
    for (const struct choice *c = config_mode_words; c->word != NULL; c++)
        if (c->value == (int)mode)
            return c->word;
    return "?";
}

enum config_mode config_mode_of(const struct config_target *target, const char *operation)
{
    enum config_mode mode = MODE_READ;
    for (size_t i = 0; i < target->mode_count; i++) {
        const struct config_mode_entry *entry = &target->modes[i];
        if (entry->operation == NULL)
            mode = entry->mode;
        else if (strcmp(entry->operation, operation) == 0)
            return entry->mode;
    }
    return mode;
}

/* Plain where YAML allows it for certain. */
static void print_key(const char *key, struct buf *out)
{
    if (strspn(key, "abcdefghijklmnopqrstuvwxyz_") == strlen(key) && key[0] != '\0')
        buf_puts(out, key);
    else
        buf_put_json(out, span_of(key));
}

static void print_mode(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    const struct config_target *target = base;
    table_indent(out, indent);
    if (target->mode_count == 0 || (target->mode_count == 1 && target->modes[0].operation == NULL)) {
        buf_printf(out, "mode: %s\n", config_mode_name(config_mode_of(target, "")));
        return;
    }
    buf_puts(out, "mode: {");
    for (size_t i = 0; i < target->mode_count; i++) {
        const struct config_mode_entry *entry = &target->modes[i];
        buf_puts(out, i > 0 ? ", " : "");
        print_key(entry->operation != NULL ? entry->operation : "default", out);
        buf_printf(out, ": %s", config_mode_name(entry->mode));
    }
    buf_puts(out, "}\n");
}

/* ---- webhook_secret: one, a list, or a map of events ---------------------------------*/

#define EVENT_MAX 128

static void add_secrets(struct config_reader *reader, struct config_target *target, const char *event,
                        const struct yaml_node *node)
{
    if (node->kind == YAML_SEQUENCE) {
        if (node->count == 0)
            problems_add(reader->problems, node->mark, "'webhook_secret' is an empty list");
        for (size_t i = 0; i < node->count; i++)
            if (node->items[i].value->kind == YAML_SEQUENCE)
                problems_add(reader->problems, node->items[i].value->mark, "'webhook_secret' is a list in a list");
            else
                add_secrets(reader, target, event, node->items[i].value);
        return;
    }
    bool secret;
    char *text = has_room(reader, target->webhook_secret_count, node->mark, "secrets in 'webhook_secret'")
                     ? table_text(reader, node, "webhook_secret", &secret)
                     : NULL;
    if (text == NULL)
        return;
    size_t cap = target->webhook_secret_count;
    target->webhook_secrets =
        mem_grow(target->webhook_secrets, &cap, target->webhook_secret_count + 1, sizeof(target->webhook_secrets[0]));
    target->webhook_secrets[target->webhook_secret_count++] = (struct config_secret){mem_strdup(event), text};
}

/* As the door takes it. */
static bool is_event(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7f)
            return false;
    return name.len > 0 && name.len <= EVENT_MAX;
}

static void read_webhook_secret(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    if (node->kind != YAML_MAPPING) {
        add_secrets(reader, base, NULL, node);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *event = node->items[i].key;
        if (!is_event(event->text))
            problems_add(reader->problems, event->mark,
                         "'webhook_secret': the name of an event has 1 to 128 letters, and no control character");
        add_secrets(reader, base, event->text.data, node->items[i].value);
    }
}

/* The secrets of one event stand together. */
static void print_webhook_secret(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    const struct config_target *target = base;
    if (target->webhook_secret_count == 0)
        return;
    bool by_event = target->webhook_secrets[0].event != NULL;
    const char *event = NULL;
    table_indent(out, indent);
    buf_puts(out, by_event ? "webhook_secret: {" : "webhook_secret: [");
    for (size_t i = 0; i < target->webhook_secret_count; i++) {
        const struct config_secret *secret = &target->webhook_secrets[i];
        bool next_event = by_event && (event == NULL || strcmp(event, secret->event) != 0);
        buf_puts(out, next_event && i > 0 ? "], " : i > 0 ? ", " : "");
        if (next_event) {
            buf_put_json(out, span_of(secret->event));
            buf_puts(out, ": [");
        }
        buf_puts(out, "\"***\"");
        event = secret->event;
    }
    buf_puts(out, by_event ? "]}\n" : "]\n");
}

/* ---- max_writes: a budget such as 1000/1h ----------------------------------------------*/

static void read_max_writes(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_target *target = base;
    bool secret;
    char said[TABLE_SHOWN_MAX + 8];
    cleanup_text char *text = table_text(reader, node, "max_writes", &secret);
    if (text == NULL || (number_parse_budget(span_of(text), &target->max_writes, &target->max_writes_window_ms) &&
                         target->max_writes_window_ms >= MINUTE_MS && target->max_writes_window_ms <= 366 * DAY_MS))
        return;
    target->max_writes = 0;
    problems_add(reader->problems, node->mark, "'max_writes' must look like 1000/1h, over a minute at least%s",
                 table_not(span_of(text), secret, said));
}

static void print_max_writes(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)config;
    const struct config_target *target = base;
    char window[24];
    if (target->max_writes == 0)
        return;
    number_format_duration(target->max_writes_window_ms, window);
    table_indent(out, indent);
    buf_printf(out, "max_writes: %lld/%s\n", (long long)target->max_writes, window);
}

/* ---- the plugin's own options ----------------------------------------------------------*/

static void add_option(struct config_reader *reader, const struct yaml_pair *pair, void *base)
{
    struct config_target *target = base;
    struct config_option option = {.mark = pair->value->mark, .node = pair->value};
    if (!has_room(reader, target->option_count, pair->key->mark, "options"))
        return;
    if (yaml_is_null(pair->value)) {
        problems_add(reader->problems, pair->value->mark, "'%.64s' has no value; write one, or remove the line",
                     pair->key->text.data);
        return;
    }
    if (pair->value->kind == YAML_SCALAR) {
        option.text = secret_resolve(pair->value->text, pair->value->mark, &option.secret, &reader->config->named_files,
                                     reader->problems);
        if (option.text == NULL)
            option.text = mem_strdup(""); /* a problem was added: nothing will run, but more can be checked */
    }
    option.name = span_dup(pair->key->text);
    size_t cap = target->option_count;
    target->options = mem_grow(target->options, &cap, target->option_count + 1, sizeof(target->options[0]));
    target->options[target->option_count++] = option;
}

/* Which option is secret, only the plugin knows; what is called like one is not printed either. */
static bool is_secret_option(const struct config_option *option)
{
    static const char *const words[] = {"key", "secret", "token", "pass", "credential", "auth"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasestr(option->name, words[i]) != NULL)
            return true;
    return option->secret;
}

static void print_option(const struct config *config, const struct config_option *option, int indent, struct buf *out)
{
    table_indent(out, indent);
    print_key(option->name, out);
    buf_puts(out, ": ");
    if (is_secret_option(option)) {
        buf_puts(out, "\"***\"");
    } else if (option->text != NULL && !option->node->plain) {
        table_print_text(config, option->text, out);
    } else {
        cleanup_json struct json_object *value = yaml_to_json(option->node);
        json_print(value, out);
    }
    buf_putc(out, '\n');
}

/* ---- the tables ---------------------------------------------------------------------------*/

#define AT(member) offsetof(struct config_retry, member)
static const struct setting retry_rows[] = {
    {.key = "first", .kind = SETTING_DURATION, .offset = AT(first_ms), .fallback = "60s", .min = 1, .max = DAY_MS},
    {.key = "max", .kind = SETTING_DURATION, .offset = AT(max_ms), .fallback = "15m", .min = 1, .max = 7 * DAY_MS},
    {.key = "attempts", .kind = SETTING_WHOLE, .offset = AT(attempts), .fallback = "8", .min = 1, .max = 1000000},
    {.key = "max_age",
     .kind = SETTING_DURATION,
     .offset = AT(max_age_ms),
     .fallback = "7d",
     .min = 1,
     .max = 3650 * DAY_MS},
};
#undef AT
const struct section config_retry_section = SECTION("retry", retry_rows, NULL);

const struct choice config_uncertain_words[] = {{"retry", UNCERTAIN_RETRY}, {"park", UNCERTAIN_PARK}, {NULL, 0}};

#define AT(member) offsetof(struct config_target, member)
static const struct setting target_rows[] = {
    {.key = "plugin", .kind = SETTING_TEXT, .offset = AT(plugin), .flags = SETTING_REQUIRED},
    {.key = "url", .kind = SETTING_TEXT, .offset = AT(url)},
    {.key = "mode", .kind = SETTING_CUSTOM, .read = read_mode, .print = print_mode},
    {.key = "rate", .kind = SETTING_RATE, .offset = AT(rate_per_s)},
    {.key = "max_writes", .kind = SETTING_CUSTOM, .read = read_max_writes, .print = print_max_writes},
    {.key = "concurrency", .kind = SETTING_WHOLE, .offset = AT(concurrency), .fallback = "8", .min = 1, .max = 256},
    {.key = "connect_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(connect_timeout_ms),
     .fallback = "5s",
     .min = 1,
     .max = 600 * SECOND_MS},
    {.key = "timeout",
     .kind = SETTING_DURATION,
     .offset = AT(timeout_ms),
     .fallback = "30s",
     .min = 1,
     .max = 3600 * SECOND_MS},
    {.key = "retry", .kind = SETTING_SECTION, .offset = AT(retry), .section = &config_retry_section},
    {.key = "on_uncertain", .kind = SETTING_CHOICE, .offset = AT(on_uncertain), .choices = config_uncertain_words},
    {.key = "poll", .kind = SETTING_DURATION, .offset = AT(poll_ms), .min = SECOND_MS, .max = DAY_MS},
    {.key = "webhook_secret", .kind = SETTING_CUSTOM, .read = read_webhook_secret, .print = print_webhook_secret},
    {.key = "webhook_signature",
     .kind = SETTING_SECTION,
     .offset = AT(signature),
     .section = &config_signature_section},
    {.key = "webhook_event_header", .kind = SETTING_TEXT, .offset = AT(webhook_event_header)},
    {.key = "webhook_tolerance", .kind = SETTING_DURATION, .offset = AT(webhook_tolerance_ms), .min = 0, .max = DAY_MS},
    {.key = "allow_unsigned", .kind = SETTING_BOOL, .offset = AT(allow_unsigned), .fallback = "false"},
    {.key = "auth", .kind = SETTING_CUSTOM, .read = config_read_auth, .print = config_print_auth},
    {.key = "freshness",
     .kind = SETTING_DURATION,
     .offset = AT(freshness_ms),
     .fallback = "24h",
     .min = 0,
     .max = 3650 * DAY_MS},
    {.key = "isolate", .kind = SETTING_BOOL, .offset = AT(isolate), .fallback = "false"},
    {.key = "isolate_memory",
     .kind = SETTING_SIZE,
     .offset = AT(isolate_memory_bytes),
     .fallback = "256MiB",
     .min = 16 << 20,
     .max = (int64_t)64 << 30},
    {.key = "isolate_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(isolate_timeout_ms),
     .fallback = "1s",
     .min = 10,
     .max = 60 * SECOND_MS},
    {.key = "map", .kind = SETTING_CUSTOM, .read = config_read_map_row, .print = config_print_map_row},
    {.key = "tls", .kind = SETTING_SECTION, .offset = AT(tls), .section = &config_client_tls_section},
    {.key = "proxy", .kind = SETTING_TEXT, .offset = AT(proxy)},
};
#undef AT
const struct section config_target_section = SECTION("target", target_rows, add_option);

/* ---- targets --------------------------------------------------------------------------------*/

static void check_target(struct config_reader *reader, struct config_target *target, const struct yaml_node *node)
{
    struct problems *problems = reader->problems;
    const struct yaml_node *retry = yaml_get(node, "retry"), *tls = yaml_get(node, "tls");
    const struct yaml_node *signature = yaml_get(node, "webhook_signature");
    if (target->plugin != NULL && strchr(target->plugin, '/') != NULL) {
        char *path = path_beside(target->mark.file, target->plugin);
        free(target->plugin);
        target->plugin = path;
    }
    if (!target->mode_given)
        problems_warn(problems, target->mark,
                      "target '%s' has no 'mode', so it only reads and every write is refused; say mode: write_back, "
                      "handoff, draft or read",
                      target->name);
    if (retry != NULL && target->retry.first_ms > target->retry.max_ms)
        problems_add(problems, retry->mark, "'retry': 'first' cannot be longer than 'max'");
    if (tls != NULL && (target->tls.cert == NULL) != (target->tls.key == NULL))
        problems_add(problems, tls->mark, "'tls': 'cert' and 'key' go together");
    if (signature != NULL)
        config_check_signature(reader, &target->signature, signature->mark);
    if (target->webhook_event_header != NULL)
        config_check_event_header(reader, target->webhook_event_header, target->mark);
    if (target->allow_unsigned && target->webhook_secret_count > 0)
        problems_add(
            problems, yaml_get(node, "allow_unsigned")->mark,
            "'allow_unsigned' and 'webhook_secret' exclude each other: with a secret every webhook is checked");
}

static void check_name(struct config_reader *reader, const struct yaml_node *key)
{
    char shown[TABLE_SHOWN_MAX];
    if (!config_name_is_valid(key->text, false)) {
        problems_add(reader->problems, key->mark,
                     "'%s' cannot name a target: small letters, digits, '_' and '-' only, at most 64",
                     table_shown(key->text, shown));
        return;
    }
    if (span_is(key->text, "bus"))
        problems_add(reader->problems, key->mark, "'bus' is the built-in target; choose another name");
    const struct config_target *before = config_target(reader->config, key->text.data);
    if (before != NULL &&
        before->mark.file != key->mark.file) /* within a file it is a key that stands twice: said by yaml.c */
        problems_add(reader->problems, key->mark, "target '%s' is already defined at %s:%d:%d", before->name,
                     before->mark.file, before->mark.line, before->mark.column);
}

void config_read_targets(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config *config = base;
    if (node->kind != YAML_MAPPING) {
        if (!yaml_is_null(node))
            problems_add(reader->problems, node->mark, "'targets' must be a mapping of target names");
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_pair *pair = &node->items[i];
        if (!has_room(reader, config->target_count, pair->key->mark, "targets"))
            return;
        check_name(reader, pair->key); /* kept all the same, so that routes that name it raise no second problem */
        struct config_target target = {.mark = pair->key->mark, .name = span_dup(pair->key->text)};
        const struct yaml_node *plugin = yaml_get(pair->value, "plugin"), *url = yaml_get(pair->value, "url");
        target.plugin_mark = plugin != NULL ? plugin->mark : pair->key->mark;
        target.url_mark = url != NULL ? url->mark : pair->key->mark;
        table_read(reader, &config_target_section, pair->value, pair->key->mark, &target);
        check_target(reader, &target, pair->value);
        config->targets =
            mem_grow(config->targets, &reader->target_cap, config->target_count + 1, sizeof(config->targets[0]));
        config->targets[config->target_count++] = target;
    }
}

const struct config_target *config_target(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->target_count; i++)
        if (strcmp(config->targets[i].name, name) == 0)
            return &config->targets[i];
    return NULL;
}

void config_print_targets(const struct config *config, const void *base, int indent, struct buf *out)
{
    (void)base;
    table_indent(out, indent);
    buf_puts(out, config->target_count > 0 ? "targets:\n" : "targets: {}\n");
    for (size_t i = 0; i < config->target_count; i++) {
        const struct config_target *target = &config->targets[i];
        table_indent(out, indent + 2);
        buf_put_json(out, span_of(target->name)); /* quoted: 5 or null is a name too */
        buf_puts(out, ":\n");
        table_print(config, &config_target_section, target, indent + 4, out);
        for (size_t j = 0; j < target->option_count; j++)
            print_option(config, &target->options[j], indent + 4, out);
    }
}

void config_finish_targets(struct config *config)
{
    for (size_t i = 0; i < config->target_count; i++) {
        struct config_target *target = &config->targets[i];
        table_finish(&config_target_section, target);
        table_finish(&config_auth_section, &target->auth);
        for (size_t j = 0; j < target->mode_count; j++)
            free(target->modes[j].operation);
        for (size_t j = 0; j < target->webhook_secret_count; j++) {
            free(target->webhook_secrets[j].event);
            free(target->webhook_secrets[j].secret);
        }
        for (size_t j = 0; j < target->option_count; j++) {
            free(target->options[j].name);
            free(target->options[j].text);
        }
        config_finish_map(target);
        free(target->modes);
        free(target->webhook_secrets);
        free(target->options);
        free(target->name);
    }
    free(config->targets);
}
