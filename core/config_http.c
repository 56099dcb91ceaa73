/* SPDX-License-Identifier: Apache-2.0 */

/* `http:` of busbar.yaml: the door, the admin side, and who may see what of it. */
#include "config_table.h"
#include "json.h"
#include "number.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MIB ((int64_t)1048576)

#define VIEWERS_MAX 100 /* each request's token is compared with all of them */

#define AT(member) offsetof(struct config_tls, member)
static const struct setting server_tls_rows[] = {
    {.key = "cert", .kind = SETTING_FILE, .offset = AT(cert)},
    {.key = "key", .kind = SETTING_FILE, .offset = AT(key)},
};
static const struct section server_tls_section = SECTION("tls", server_tls_rows, NULL);
#undef AT

/* ---- viewers: tokens that read, and only of some targets ------------------------------*/

static void add_viewer_target(struct config_reader *reader, struct config_viewer *viewer, const struct yaml_node *node)
{
    if (node->kind != YAML_SCALAR) {
        problems_add(reader->problems, node->mark, "'targets' of a viewer is a list of target names");
        return;
    }
    size_t cap = viewer->target_count;
    viewer->targets = mem_grow(viewer->targets, &cap, viewer->target_count + 1, sizeof(viewer->targets[0]));
    viewer->targets[viewer->target_count++] = (struct config_viewed){span_dup(node->text), node->mark};
}

static void read_viewed(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_viewer *viewer = base;
    if (node->kind == YAML_SCALAR)
        add_viewer_target(reader, viewer, node);
    for (size_t i = 0; i < node->count && node->kind == YAML_SEQUENCE; i++)
        add_viewer_target(reader, viewer, node->items[i].value);
    if (node->kind == YAML_MAPPING || (node->kind == YAML_SEQUENCE && node->count == 0))
        problems_add(reader->problems, node->mark, "'targets' of a viewer is a list of target names");
}

static void print_viewed(const struct config *config, const void *base, int indent, struct buf *out)
{
    const struct config_viewer *viewer = base;
    table_indent(out, indent);
    buf_puts(out, "targets: [");
    for (size_t i = 0; i < viewer->target_count; i++) {
        buf_puts(out, i > 0 ? ", " : "");
        table_print_text(config, viewer->targets[i].name, out);
    }
    buf_puts(out, "]\n");
}

#define AT(member) offsetof(struct config_viewer, member)
static const struct setting viewer_rows[] = {
    {.key = "token", .kind = SETTING_SECRET, .offset = AT(token), .flags = SETTING_REQUIRED},
    {.key = "targets", .kind = SETTING_CUSTOM, .flags = SETTING_REQUIRED, .read = read_viewed, .print = print_viewed},
};
#undef AT
const struct section config_viewer_section = SECTION("viewer", viewer_rows, NULL);

static void read_viewers(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_http *http = base;
    char shown[TABLE_SHOWN_MAX];
    if (node->kind != YAML_MAPPING) {
        problems_add(reader->problems, node->mark,
                     "'viewers' must be a mapping of names, such as {plant-a: {token: ..., targets: [mw]}}");
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_pair *pair = &node->items[i];
        if (http->viewer_count >= VIEWERS_MAX) {
            problems_add(reader->problems, pair->key->mark, "more than %d viewers", VIEWERS_MAX);
            return;
        }
        if (!config_name_is_valid(pair->key->text, false))
            problems_add(reader->problems, pair->key->mark,
                         "'%s' cannot name a viewer: small letters, digits, '_' and '-' only, at most 64",
                         table_shown(pair->key->text, shown));
        struct config_viewer viewer = {.mark = pair->key->mark, .name = span_dup(pair->key->text)};
        table_read(reader, &config_viewer_section, pair->value, pair->key->mark, &viewer);
        size_t cap = http->viewer_count;
        http->viewers = mem_grow(http->viewers, &cap, http->viewer_count + 1, sizeof(http->viewers[0]));
        http->viewers[http->viewer_count++] = viewer;
    }
}

static void print_viewers(const struct config *config, const void *base, int indent, struct buf *out)
{
    const struct config_http *http = base;
    table_indent(out, indent);
    buf_puts(out, http->viewer_count > 0 ? "viewers:\n" : "viewers: {}\n");
    for (size_t i = 0; i < http->viewer_count; i++) {
        table_indent(out, indent + 2);
        buf_put_json(out, span_of(http->viewers[i].name)); /* quoted: 5 or null is a name too */
        buf_puts(out, ":\n");
        table_print(config, &config_viewer_section, &http->viewers[i], indent + 4, out);
    }
}

/* Who may see it is a list for the store's queries, too. */
static void settle_viewer(struct config *config, struct config_viewer *viewer, struct problems *problems)
{
    cleanup_json struct json_object *names = json_object_new_array();
    const char **known = mem_alloc((config->target_count + 1) * sizeof(known[0]));
    for (size_t i = 0; i < config->target_count; i++)
        known[i] = config->targets[i].name;
    for (size_t i = 0; i < viewer->target_count; i++) {
        const struct config_viewed *viewed = &viewer->targets[i];
        if (config_target(config, viewed->name) == NULL)
            table_report_unknown(problems, viewed->mark, "target", span_of(viewed->name), known, config->target_count);
        json_object_array_add(names, json_object_new_string(viewed->name));
    }
    free(known);
    viewer->scope = mem_strdup(json_object_to_json_string_ext(names, JSON_C_TO_STRING_PLAIN));
}

static void settle_viewers(struct config *config, struct problems *problems)
{
    struct config_http *http = &config->http;
    for (size_t i = 0; i < http->viewer_count; i++)
        settle_viewer(config, &http->viewers[i], problems);
    if (http->viewer_count > 0 && http->admin_token == NULL)
        problems_add(problems, http->viewers[0].mark,
                     "'viewers' need an 'admin_token' beside them: without one, whoever sends no token may do all");
}

void config_finish_http(struct config_http *http)
{
    for (size_t i = 0; i < http->viewer_count; i++) {
        struct config_viewer *viewer = &http->viewers[i];
        table_finish(&config_viewer_section, viewer);
        for (size_t j = 0; j < viewer->target_count; j++)
            free(viewer->targets[j].name);
        free(viewer->targets);
        free(viewer->scope);
        free(viewer->name);
    }
    free(http->viewers);
}

/* ---- the section --------------------------------------------------------------------*/

#define AT(member) offsetof(struct config_http, member)
static const struct setting http_rows[] = {
    {.key = "webhooks", .kind = SETTING_TEXT, .offset = AT(webhooks), .flags = SETTING_NULLABLE},
    {.key = "admin",
     .kind = SETTING_TEXT,
     .offset = AT(admin),
     .fallback = "127.0.0.1:9080",
     .flags = SETTING_NULLABLE},
    {.key = "admin_token", .kind = SETTING_SECRET, .offset = AT(admin_token)},
    {.key = "viewers", .kind = SETTING_CUSTOM, .read = read_viewers, .print = print_viewers},
    {.key = "tls", .kind = SETTING_SECTION, .offset = AT(tls), .section = &server_tls_section},
    {.key = "max_body",
     .kind = SETTING_SIZE,
     .offset = AT(max_body_bytes),
     .fallback = "1MiB",
     .min = 1024,
     .max = 256 * MIB},
    {.key = "max_connections",
     .kind = SETTING_WHOLE,
     .offset = AT(max_connections),
     .fallback = "512",
     .min = 1,
     .max = 65535},
    {.key = "max_connections_per_ip",
     .kind = SETTING_WHOLE,
     .offset = AT(max_connections_per_ip),
     .fallback = "0",
     .min = 0,
     .max = 65535},
};
#undef AT
const struct section config_http_section = SECTION("http", http_rows, NULL);

/* ---- what whoever asks needs of it */

static void pass_over(struct config_reader *reader, const struct yaml_pair *pair, void *base)
{
    (void)reader, (void)pair, (void)base;
}

#define AT(member) offsetof(struct config_tls, member)
static const struct setting peek_tls_rows[] = {{.key = "cert", .kind = SETTING_FILE, .offset = AT(cert)}};
static const struct section peek_tls_section = SECTION("tls", peek_tls_rows, pass_over);
#undef AT

#define AT(member) offsetof(struct config_http, member)
static const struct setting peek_http_rows[] = {
    {.key = "admin",
     .kind = SETTING_TEXT,
     .offset = AT(admin),
     .fallback = "127.0.0.1:9080",
     .flags = SETTING_NULLABLE},
    {.key = "admin_token", .kind = SETTING_SECRET, .offset = AT(admin_token)},
    {.key = "tls", .kind = SETTING_SECTION, .offset = AT(tls), .section = &peek_tls_section},
};
#undef AT
const struct section config_http_peek_section = SECTION("http", peek_http_rows, pass_over);

/* ---- what needs the whole */

static bool is_loopback(const char *address)
{
    size_t len = config_host_length(address, true);
    cleanup_text char *host = span_dup((struct span){address, len});
    struct in_addr v4;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127);
}

void config_check_http(struct config *config, const struct yaml_node *root, struct problems *problems)
{
    struct config_http *http = &config->http;
    http->admin_mark = config_mark_in(root, "http", "admin");
    bool admin_good = http->admin == NULL || config_host_length(http->admin, true) > 0;
    if (http->webhooks != NULL && config_host_length(http->webhooks, true) == 0)
        problems_add(problems, config_mark_in(root, "http", "webhooks"),
                     "'webhooks' must look like 0.0.0.0:8080 or [::1]:8080");
    if (!admin_good)
        problems_add(problems, http->admin_mark, "'admin' must look like 127.0.0.1:9080 or [::1]:9080");
    else if (http->admin != NULL && http->admin_token == NULL && !is_loopback(http->admin))
        problems_add(problems, http->admin_mark,
                     "'admin' is not on loopback (127.0.0.1), so it needs an 'admin_token'");
    if (http->webhooks != NULL && http->admin != NULL && strcmp(http->webhooks, http->admin) == 0)
        problems_add(problems, http->admin_mark, "'admin' and 'webhooks' cannot share one address");
    http->tls_mark = config_mark_in(root, "http", "tls");
    config_check_tls(&http->tls, http->tls_mark, problems);
    for (size_t i = 0; i < config->target_count && http->webhooks == NULL; i++)
        if (config->targets[i].webhook_secret_count > 0 || config->targets[i].allow_unsigned)
            problems_warn(problems, config->targets[i].mark,
                          "target '%s' awaits webhooks, but 'http' names no 'webhooks' address",
                          config->targets[i].name);
    settle_viewers(config, problems);
}
