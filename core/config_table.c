/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include "json.h"
#include "number.h"
#include "secret.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- words for people ----------------------------------------------------------*/

const char *table_shown(struct span text, char shown[TABLE_SHOWN_MAX])
{
    size_t len = 0;
    bool cut = false;
    for (size_t i = 0; i < text.len && !cut; i++) {
        unsigned char c = (unsigned char)text.data[i];
        cut = len >= TABLE_SHOWN_MAX - 8 && (c & 0xC0) != 0x80; /* room for the rest of a character and "..." */
        if (!cut)
            shown[len++] = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    memcpy(shown + len, cut ? "..." : "", cut ? 4 : 1);
    return shown;
}

const char *table_not(struct span text, bool secret, char said[TABLE_SHOWN_MAX + 8])
{
    char shown[TABLE_SHOWN_MAX];
    if (secret)
        said[0] = '\0';
    else
        snprintf(said, TABLE_SHOWN_MAX + 8, ", not '%s'", table_shown(text, shown));
    return said;
}

void table_report_unknown(struct problems *problems, struct mark mark, const char *what, struct span word,
                          const char *const *known, size_t count)
{
    char shown[TABLE_SHOWN_MAX];
    const char *near = problems_nearest(word, known, count);
    if (near != NULL) {
        problems_add(problems, mark, "unknown %s '%s', did you mean '%s'?", what, table_shown(word, shown), near);
        return;
    }
    cleanup_buf struct buf list = {0};
    for (size_t i = 0; i < count && i < 32; i++)
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", known[i]);
    problems_add(problems, mark, "unknown %s '%s'; known here: %s", what, table_shown(word, shown),
                 count > 0 ? list.data : "none");
}

const char **table_keys(const struct section *section, size_t *count)
{
    const char **keys = mem_alloc((section->count + 1) * sizeof(*keys));
    *count = 0;
    for (size_t i = 0; i < section->count; i++)
        if (section->settings[i].kind != SETTING_LATER)
            keys[(*count)++] = section->settings[i].key;
    return keys;
}

static const struct setting *find_setting(const struct section *section, struct span key)
{
    for (size_t i = 0; i < section->count; i++)
        if (span_is(key, section->settings[i].key))
            return &section->settings[i];
    return NULL;
}

static void report_unknown_key(struct config_reader *reader, const struct section *section, const struct yaml_node *key)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct section *inner = section->settings[i].section;
        const struct setting *setting = inner != NULL ? find_setting(inner, key->text) : NULL;
        if (setting == NULL)
            continue;
        if (setting->kind == SETTING_LATER)
            problems_add(reader->problems, key->mark, "'%s' is not supported by this version", setting->key);
        else
            problems_add(reader->problems, key->mark, "'%s' belongs under '%s'", setting->key, inner->name);
        return;
    }
    size_t count;
    const char **known = table_keys(section, &count);
    table_report_unknown(reader->problems, key->mark, "key", key->text, known, count);
    free(known);
}

/* ---- reading one value -----------------------------------------------------------*/

static void hide(struct config_reader *reader, const char *text)
{
    struct config *config = reader->config;
    config->hidden = mem_grow(config->hidden, &reader->hidden_cap, config->hidden_count + 1, sizeof(config->hidden[0]));
    config->hidden[config->hidden_count++] = text;
}

char *table_text(struct config_reader *reader, const struct yaml_node *node, const char *key, bool *secret)
{
    char *text = NULL;
    *secret = false;
    if (node->kind != YAML_SCALAR)
        problems_add(reader->problems, node->mark, "'%s' must be a single value", key);
    else if (yaml_is_null(node))
        problems_add(reader->problems, node->mark, "'%s' has no value; write one, or remove the line", key);
    else
        text = secret_resolve(node->text, node->mark, secret, &reader->config->named_files, reader->problems);
    if (text != NULL && text[0] == '\0') {
        problems_add(reader->problems, node->mark, "'%s' is empty", key);
        mem_free_char(&text);
    }
    return text;
}

/* The largest unit that divides. */
static void format_size(int64_t bytes, char text[32])
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    size_t i = 0;
    while (i < 3 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    snprintf(text, 32, "%" PRId64 "%s", bytes, units[i]);
}

static void format_amount(enum setting_kind kind, int64_t value, char text[32])
{
    if (kind == SETTING_DURATION)
        number_format_duration(value, text);
    else if (kind == SETTING_SIZE)
        format_size(value, text);
    else
        snprintf(text, 32, "%" PRId64, value);
}

/* Answers NULL, or what the text must look like. */
static const char *parse_amount(enum setting_kind kind, struct span text, int64_t *value)
{
    if (kind == SETTING_DURATION)
        return number_parse_duration(text, value) ? NULL : "must look like 250ms, 30s, 15m, 1h or 7d";
    if (kind == SETTING_SIZE)
        return number_parse_size(text, value) ? NULL : "must look like 64KiB, 10MB or 1GiB";
    return number_parse_int(text, INT64_MIN, INT64_MAX, value) ? NULL : "must be a whole number";
}

static void read_amount(struct config_reader *reader, const struct setting *setting, struct span text, bool secret,
                        struct mark mark, void *field)
{
    int64_t value;
    char said[TABLE_SHOWN_MAX + 8];
    const char *wrong = parse_amount(setting->kind, text, &value);
    if (wrong != NULL) {
        problems_add(reader->problems, mark, "'%s' %s%s", setting->key, wrong, table_not(text, secret, said));
    } else if (value < setting->min || value > setting->max) {
        char min[32], max[32];
        format_amount(setting->kind, setting->min, min);
        format_amount(setting->kind, setting->max, max);
        problems_add(reader->problems, mark, "'%s' must be from %s to %s%s", setting->key, min, max,
                     table_not(text, secret, said));
    } else {
        memcpy(field, &value, sizeof(value));
    }
}

static void read_choice(struct config_reader *reader, const struct setting *setting, struct span text, bool secret,
                        struct mark mark, void *field)
{
    const char *words[8];
    char said[TABLE_SHOWN_MAX + 8];
    size_t count = 0;
    cleanup_buf struct buf list = {0};
    for (const struct choice *c = setting->choices; c->word != NULL; c++) {
        if (span_is(text, c->word)) {
            memcpy(field, &c->value, sizeof(c->value));
            return;
        }
        buf_printf(&list, "%s%s", count == 0 ? "" : c[1].word != NULL ? ", " : " or ", c->word);
        words[count++] = c->word;
    }
    const char *near = secret ? NULL : problems_nearest(text, words, count);
    problems_add(reader->problems, mark, "'%s' must be %s%s%s%s%s", setting->key, list.data,
                 table_not(text, secret, said), near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                 near != NULL ? "'?" : "");
}

/* Takes text. */
static void check_file(struct config_reader *reader, const struct setting *setting, const char *path, struct mark mark)
{
    struct stat info;
    buf_append(&reader->config->named_files, path, strlen(path) + 1);
    if (access(path, R_OK) != 0 || stat(path, &info) != 0)
        problems_add(reader->problems, mark, "'%s': the file cannot be read: %s", setting->key, strerror(errno));
    else if (strcmp(setting->key, "key") == 0) /* of a certificate */
        secret_file_is_safe(path, &info, mark, reader->problems);
}

static void keep_text(struct config_reader *reader, const struct setting *setting, char *text, bool secret,
                      struct mark mark, char **field)
{
    if (setting->kind == SETTING_PATH || setting->kind == SETTING_FILE) {
        char *path = path_beside(mark.file, text);
        free(text);
        text = path;
    }
    if (setting->kind == SETTING_FILE)
        check_file(reader, setting, text, mark);
    free(*field);
    *field = text;
    if (secret)
        hide(reader, text);
}

/* From text whose placeholders are resolved; takes it. */
static void read_text(struct config_reader *reader, const struct setting *setting, char *text, bool secret,
                      struct mark mark, void *field)
{
    struct span span = span_of(text);
    char said[TABLE_SHOWN_MAX + 8];
    switch (setting->kind) {
    case SETTING_TEXT:
    case SETTING_SECRET:
    case SETTING_PATH:
    case SETTING_FILE:
        keep_text(reader, setting, text, secret, mark, field);
        return;
    case SETTING_WHOLE:
    case SETTING_DURATION:
    case SETTING_SIZE:
        read_amount(reader, setting, span, secret, mark, field);
        break;
    case SETTING_RATE:
        if (!number_parse_rate(span, field))
            problems_add(reader->problems, mark, "'%s' must look like 10/s or 250/1m%s", setting->key,
                         table_not(span, secret, said));
        break;
    case SETTING_BOOL:
        if (!span_is(span, "true") && !span_is(span, "false"))
            problems_add(reader->problems, mark, "'%s' must be true or false%s", setting->key,
                         table_not(span, secret, said));
        else
            *(bool *)field = span_is(span, "true");
        break;
    case SETTING_CHOICE:
        read_choice(reader, setting, span, secret, mark, field);
        break;
    case SETTING_RAW:
    case SETTING_NODE:
    case SETTING_SECTION:
    case SETTING_CUSTOM:
    case SETTING_LATER:
        break;
    }
    free(text);
}

/* Text that belongs to the rules: placeholders stay, but it must be a single value. */
static void read_raw(struct config_reader *reader, const struct setting *setting, const struct yaml_node *node,
                     char **field)
{
    if (node->kind != YAML_SCALAR || yaml_is_null(node) || node->text.len == 0) {
        problems_add(reader->problems, node->mark, "'%s' must be text; text that starts with '{' must be quoted",
                     setting->key);
        return;
    }
    free(*field);
    *field = span_dup(node->text);
}

void table_read_setting(struct config_reader *reader, const struct setting *setting, const struct yaml_node *node,
                        void *base)
{
    void *field = (char *)base + setting->offset;
    bool secret;
    char *text;
    switch (setting->kind) {
    case SETTING_SECTION:
        table_read(reader, setting->section, node, node->mark, field);
        return;
    case SETTING_CUSTOM:
        setting->read(reader, node, base);
        return;
    case SETTING_LATER:
        problems_add(reader->problems, node->mark, "'%s' is not supported by this version", setting->key);
        return;
    case SETTING_RAW:
        read_raw(reader, setting, node, field);
        return;
    case SETTING_NODE:
        if (yaml_is_null(node))
            problems_add(reader->problems, node->mark, "'%s' has no value; write one, or remove the line",
                         setting->key);
        else
            memcpy(field, &node, sizeof(node));
        return;
    case SETTING_TEXT:
    case SETTING_SECRET:
    case SETTING_PATH:
    case SETTING_FILE:
        if ((setting->flags & SETTING_NULLABLE) != 0 && yaml_is_null(node)) {
            mem_free_char(field);
            return;
        }
        break;
    case SETTING_BOOL:
        if (yaml_to_bool(node, field))
            return;
        break;
    case SETTING_WHOLE:
    case SETTING_DURATION:
    case SETTING_SIZE:
    case SETTING_RATE:
    case SETTING_CHOICE:
        break;
    }
    text = table_text(reader, node, setting->key, &secret);
    if (text != NULL)
        read_text(reader, setting, text, secret, node->mark, field);
}

/* ---- reading a section --------------------------------------------------------------*/

static void fill_default(struct config_reader *reader, const struct setting *setting, void *base)
{
    void *field = (char *)base + setting->offset;
    if (setting->kind == SETTING_SECTION)
        table_read(reader, setting->section, NULL, (struct mark){0}, field);
    else if (setting->fallback != NULL)
        read_text(reader, setting, mem_strdup(setting->fallback), false, (struct mark){0}, field);
    else if (setting->kind == SETTING_WHOLE || setting->kind == SETTING_DURATION || setting->kind == SETTING_SIZE)
        memcpy(field, &(int64_t){-1}, sizeof(int64_t));
}

void table_read(struct config_reader *reader, const struct section *section, const struct yaml_node *mapping,
                struct mark where, void *base)
{
    bool is_mapping = mapping != NULL && mapping->kind == YAML_MAPPING;
    for (size_t i = 0; i < section->count; i++) {
        const struct setting *setting = &section->settings[i];
        const struct yaml_node *node = is_mapping ? yaml_get(mapping, setting->key) : NULL;
        if (node == NULL || setting->kind != SETTING_SECTION) /* a section's own reading fills its defaults */
            fill_default(reader, setting, base);
        if (node != NULL)
            table_read_setting(reader, setting, node, base);
        else if ((setting->flags & SETTING_REQUIRED) != 0)
            problems_add(reader->problems, where, "%s: '%s' is missing", section->name, setting->key);
    }
    if (!is_mapping && !yaml_is_null(mapping))
        problems_add(reader->problems, mapping->mark, "'%s' must be a mapping of 'key: value' lines", section->name);
    for (size_t i = 0; is_mapping && i < mapping->count; i++) {
        const struct yaml_pair *pair = &mapping->items[i];
        if (find_setting(section, pair->key->text) != NULL)
            continue;
        if (section->other != NULL)
            section->other(reader, pair, base);
        else
            report_unknown_key(reader, section, pair->key);
    }
}

void table_finish(const struct section *section, void *base)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct setting *setting = &section->settings[i];
        void *field = (char *)base + setting->offset;
        if (setting->kind == SETTING_TEXT || setting->kind == SETTING_SECRET || setting->kind == SETTING_PATH ||
            setting->kind == SETTING_FILE || setting->kind == SETTING_RAW)
            mem_free_char(field);
        else if (setting->kind == SETTING_SECTION)
            table_finish(setting->section, field);
    }
}

/* ---- printing --------------------------------------------------------------------------*/

void table_indent(struct buf *out, int indent)
{
    for (int i = 0; i < indent; i++)
        buf_putc(out, ' ');
}

static bool is_hidden(const struct config *config, const char *text)
{
    for (size_t i = 0; i < config->hidden_count; i++)
        if (config->hidden[i] == text)
            return true;
    /* a user and a password in a URL */
    const char *scheme = strstr(text, "://");
    return scheme != NULL && strchr(scheme, '@') != NULL;
}

void table_print_text(const struct config *config, const char *text, struct buf *out)
{
    if (is_hidden(config, text)) {
        buf_puts(out, "\"***\"");
        return;
    }
    cleanup_buf struct buf escaped = {0};
    for (const char *c = text; *c != '\0'; c++) {
        if (c[0] == '$' && c[1] == '{')
            buf_putc(&escaped, '$');
        buf_putc(&escaped, *c);
    }
    buf_put_json(out, buf_span(&escaped));
}

/* In the smallest window that makes it a whole number. */
static void print_rate(double per_second, struct buf *out)
{
    static const struct {
        const char *name;
        double seconds;
    } windows[] = {{"s", 1}, {"1m", 60}, {"1h", 3600}, {"1d", 86400}};
    for (size_t i = 0; i < 4; i++) {
        double count = per_second * windows[i].seconds;
        if (i == 3 || fabs(count - round(count)) < 1e-6) {
            buf_printf(out, "%.0f/%s", count, windows[i].name);
            return;
        }
    }
}

static const char *choice_word(const struct choice *choices, const void *field)
{
    int value;
    memcpy(&value, field, sizeof(value));
    for (; choices->word != NULL; choices++)
        if (choices->value == value)
            return choices->word;
    return NULL;
}

/* A value that was not given and has no default is not printed. */
static bool has_value(const struct setting *setting, const void *field)
{
    int64_t amount;
    double rate;
    const void *pointer;
    switch (setting->kind) {
    case SETTING_TEXT:
    case SETTING_SECRET:
    case SETTING_PATH:
    case SETTING_FILE:
    case SETTING_RAW:
    case SETTING_NODE:
        memcpy(&pointer, field, sizeof(pointer));
        return pointer != NULL || (setting->flags & SETTING_NULLABLE) != 0;
    case SETTING_WHOLE:
    case SETTING_DURATION:
    case SETTING_SIZE:
        memcpy(&amount, field, sizeof(amount));
        return amount != -1;
    case SETTING_RATE:
        memcpy(&rate, field, sizeof(rate));
        return rate > 0;
    case SETTING_CHOICE:
        return choice_word(setting->choices, field) != NULL;
    case SETTING_BOOL:
    case SETTING_SECTION:
        return true;
    case SETTING_CUSTOM:
    case SETTING_LATER:
        return false;
    }
    return false;
}

void table_print_node(const struct yaml_node *node, struct buf *out)
{
    cleanup_json struct json_object *value = yaml_to_json(node);
    json_print(value, out);
}

static void print_value(const struct config *config, const struct setting *setting, const void *field, struct buf *out)
{
    char *const *text = field;
    char amount[32];
    if (setting->kind == SETTING_NODE)
        table_print_node(*(const struct yaml_node *const *)field, out);
    else if (setting->kind == SETTING_BOOL)
        buf_puts(out, *(const bool *)field ? "true" : "false");
    else if (setting->kind == SETTING_CHOICE)
        buf_puts(out, choice_word(setting->choices, field));
    else if (setting->kind == SETTING_RATE)
        print_rate(*(const double *)field, out);
    else if (setting->kind == SETTING_WHOLE || setting->kind == SETTING_DURATION || setting->kind == SETTING_SIZE)
        format_amount(setting->kind, *(const int64_t *)field, amount), buf_puts(out, amount);
    else if (*text == NULL)
        buf_puts(out, "null");
    else if (setting->kind == SETTING_SECRET)
        buf_puts(out, "\"***\"");
    else if (setting->kind == SETTING_RAW)
        buf_put_json(out, span_of(*text));
    else
        table_print_text(config, *text, out);
}

static bool prints_anything(const struct section *section, const void *base)
{
    for (size_t i = 0; i < section->count; i++)
        if (section->settings[i].kind == SETTING_CUSTOM ||
            has_value(&section->settings[i], (const char *)base + section->settings[i].offset))
            return true;
    return false;
}

void table_print(const struct config *config, const struct section *section, const void *base, int indent,
                 struct buf *out)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct setting *setting = &section->settings[i];
        const void *field = (const char *)base + setting->offset;
        if (setting->kind == SETTING_CUSTOM && setting->print != NULL)
            setting->print(config, base, indent, out);
        if (!has_value(setting, field) ||
            (setting->kind == SETTING_SECTION && !prints_anything(setting->section, field)))
            continue;
        table_indent(out, indent);
        buf_printf(out, "%s:", setting->key);
        if (setting->kind == SETTING_SECTION) {
            buf_putc(out, '\n');
            table_print(config, setting->section, field, indent + 2, out);
        } else {
            buf_putc(out, ' ');
            print_value(config, setting, field, out);
            buf_putc(out, '\n');
        }
    }
}
