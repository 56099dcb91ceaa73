/* SPDX-License-Identifier: Apache-2.0 */

/* The file as a whole: its top level, bus and store, included fragments, and what can be checked
 * only when all of it is known. Targets, routes and http have their own files; how a row is read, printed
 * and freed is config_table.c. */
#include "config.h"

#include "config_table.h"
#include "digest.h"
#include "number.h"
#include "secret.h"
#include "topic.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_MS ((int64_t)86400000)
#define MIB ((int64_t)1048576)
#define GIB (1024 * MIB)

/* ---- bus -----------------------------------------------------------------------*/

size_t config_host_length(const char *address, bool port_required)
{
    const char *colon = strrchr(address, ':');
    if (colon != NULL && colon[1] != '\0' && strchr(colon, ']') != NULL)
        colon = NULL; /* the last colon is inside [v6] */
    size_t len = colon != NULL ? (size_t)(colon - address) : strlen(address);
    int64_t port, least = port_required ? 0 : 1; /* to listen on, 0 is any; to go to, it is none */
    if ((colon == NULL && port_required) ||
        (colon != NULL && !number_parse_int(span_of(colon + 1), least, 65535, &port)))
        return 0;
    bool bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)address[i] <= ' ' || strchr("/@?#", address[i]) != NULL || (address[i] == ':' && !bracketed))
            return 0;
    return len;
}

static void add_url(struct config_reader *reader, const struct yaml_node *node)
{
    struct config_bus *bus = &reader->config->bus;
    bool secret;
    char said[TABLE_SHOWN_MAX + 8];
    cleanup_text char *url = table_text(reader, node, "url", &secret);
    if (url == NULL)
        return;
    size_t scheme = strncmp(url, "mqtt://", 7) == 0 ? 7 : strncmp(url, "mqtts://", 8) == 0 ? 8 : 0;
    if (strchr(url, '@') != NULL) {
        problems_add(reader->problems, node->mark, "'url' cannot hold a user; use 'username' and 'password'");
        return;
    }
    if (scheme == 0 || config_host_length(url + scheme, false) == 0) {
        problems_add(reader->problems, node->mark, "'url' must look like mqtt://host:1883 or mqtts://host:8883%s",
                     table_not(span_of(url), secret, said));
        return;
    }
    size_t cap = bus->url_count;
    bus->urls = mem_grow(bus->urls, &cap, bus->url_count + 1, sizeof(bus->urls[0]));
    bus->urls[bus->url_count++] = mem_strdup(url);
}

static void read_urls(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    (void)base;
    if (node->kind != YAML_SEQUENCE) {
        add_url(reader, node);
        return;
    }
    if (node->count == 0)
        problems_add(reader->problems, node->mark, "'url' is an empty list");
    for (size_t i = 0; i < node->count; i++)
        add_url(reader, node->items[i].value);
}

static void print_urls(const struct config *config, const void *base, int indent, struct buf *out)
{
    const struct config_bus *bus = base;
    table_indent(out, indent);
    buf_puts(out, "url: [");
    for (size_t i = 0; i < bus->url_count; i++) {
        buf_puts(out, i > 0 ? ", " : "");
        table_print_text(config, bus->urls[i], out);
    }
    buf_puts(out, "]\n");
}

#define AT(member) offsetof(struct config_tls, member)
static const struct setting client_tls_rows[] = {
    {.key = "ca", .kind = SETTING_FILE, .offset = AT(ca)},
    {.key = "cert", .kind = SETTING_FILE, .offset = AT(cert)},
    {.key = "key", .kind = SETTING_FILE, .offset = AT(key)},
};
const struct section config_client_tls_section = SECTION("tls", client_tls_rows, NULL);

#undef AT

static const struct choice versions[] = {{"5", 5}, {"3.1.1", 3}, {NULL, 0}};

#define AT(member) offsetof(struct config_bus, member)
static const struct setting bus_rows[] = {
    {.key = "url", .kind = SETTING_CUSTOM, .read = read_urls, .print = print_urls},
    {.key = "version", .kind = SETTING_CHOICE, .offset = AT(version), .fallback = "5", .choices = versions},
    {.key = "client_id", .kind = SETTING_TEXT, .offset = AT(client_id)},
    {.key = "username", .kind = SETTING_TEXT, .offset = AT(username)},
    {.key = "password", .kind = SETTING_SECRET, .offset = AT(password)},
    {.key = "tls", .kind = SETTING_SECTION, .offset = AT(tls), .section = &config_client_tls_section},
    {.key = "session_expiry",
     .kind = SETTING_DURATION,
     .offset = AT(session_expiry_ms),
     .fallback = "1d",
     .min = 1000,
     .max = 36500 * DAY_MS},
    {.key = "keep_alive",
     .kind = SETTING_DURATION,
     .offset = AT(keep_alive_ms),
     .fallback = "30s",
     .min = 1000,
     .max = 65535000},
    {.key = "share", .kind = SETTING_TEXT, .offset = AT(share)},
    {.key = "prefix", .kind = SETTING_TEXT, .offset = AT(prefix), .fallback = "busbar"},
    {.key = "commands", .kind = SETTING_BOOL, .offset = AT(commands), .fallback = "false"},
    {.key = "receive_maximum",
     .kind = SETTING_WHOLE,
     .offset = AT(receive_maximum),
     .fallback = "1024",
     .min = 1,
     .max = 65535},
    {.key = "max_payload",
     .kind = SETTING_SIZE,
     .offset = AT(max_payload_bytes),
     .fallback = "1MiB",
     .min = 1024,
     .max = 256 * MIB - 1},
};
#undef AT
static const struct section bus_section = SECTION("bus", bus_rows, NULL);

/* ---- store ------------------------------------------------------------------*/

static const struct choice durabilities[] = {
    {"power_loss", DURABILITY_POWER_LOSS}, {"crash", DURABILITY_CRASH}, {NULL, 0}};

#define AT(member) offsetof(struct config_store, member)
static const struct setting store_rows[] = {
    {.key = "path", .kind = SETTING_PATH, .offset = AT(path), .fallback = "/var/lib/busbar/busbar.db"},
    {.key = "durability",
     .kind = SETTING_CHOICE,
     .offset = AT(durability),
     .fallback = "power_loss",
     .choices = durabilities},
    {.key = "max_size",
     .kind = SETTING_SIZE,
     .offset = AT(max_bytes),
     .fallback = "1GiB",
     .min = MIB,
     .max = 1024 * GIB},
    {.key = "retention",
     .kind = SETTING_DURATION,
     .offset = AT(retention_ms),
     .fallback = "30d",
     .min = 60000,
     .max = 36500 * DAY_MS},
};
#undef AT
static const struct section store_section = SECTION("store", store_rows, NULL);

/* What whoever asks needs of it. */
static void pass_over(struct config_reader *reader, const struct yaml_pair *pair, void *base)
{
    (void)reader, (void)pair, (void)base;
}
static const struct section store_peek_section = {"store", store_rows, 1, pass_over}; /* its path */

#define AT(member) offsetof(struct config_assets, member)
static const struct setting assets_rows[] = {
    {.key = "file", .kind = SETTING_FILE, .offset = AT(file)},
};
#undef AT
static const struct section assets_section = SECTION("assets", assets_rows, NULL);

/* ---- the top level ------------------------------------------------------------------*/

static void read_include(struct config_reader *reader, const struct yaml_node *node, void *base);

#define AT(member) offsetof(struct config, member)
static const struct setting root_rows[] = {
    {.key = "instance", .kind = SETTING_TEXT, .offset = AT(instance)},
    {.key = "user", .kind = SETTING_TEXT, .offset = AT(user)},
    {.key = "bus", .kind = SETTING_SECTION, .offset = AT(bus), .section = &bus_section},
    {.key = "store", .kind = SETTING_SECTION, .offset = AT(store), .section = &store_section},
    {.key = "http", .kind = SETTING_SECTION, .offset = AT(http), .section = &config_http_section},
    {.key = "assets", .kind = SETTING_SECTION, .offset = AT(assets), .section = &assets_section},
    {.key = "targets", .kind = SETTING_CUSTOM, .read = config_read_targets, .print = config_print_targets},
    {.key = "routes", .kind = SETTING_CUSTOM, .read = config_read_routes, .print = config_print_routes},
    /* last: fragments come after what the file itself says */
    {.key = "include", .kind = SETTING_CUSTOM, .read = read_include},
};
#undef AT
static const struct section root_section = SECTION("busbar", root_rows, NULL);

static const struct setting fragment_rows[] = {
    {.key = "targets", .kind = SETTING_CUSTOM, .read = config_read_targets},
    {.key = "routes", .kind = SETTING_CUSTOM, .read = config_read_routes},
};

static void other_in_fragment(struct config_reader *reader, const struct yaml_pair *pair, void *base)
{
    (void)base;
    char shown[TABLE_SHOWN_MAX];
    problems_add(reader->problems, pair->key->mark,
                 "'%s' cannot stand in an included file: only targets and routes can",
                 table_shown(pair->key->text, shown));
}
static const struct section fragment_section = SECTION("an included file", fragment_rows, other_in_fragment);

/* Reads a file and keeps its tree. borrowed; NULL when it cannot be used. Takes path. */
static const struct yaml_tree *read_tree(struct config_reader *reader, char *path)
{
    struct config *config = reader->config;
    size_t cap = reader->tree_cap;
    config->trees = mem_grow(config->trees, &reader->tree_cap, config->tree_count + 1, sizeof(config->trees[0]));
    config->files = mem_grow(config->files, &cap, config->tree_count + 1, sizeof(config->files[0]));
    struct yaml_tree *tree = yaml_read_file(path, reader->problems);
    config->trees[config->tree_count] = tree; /* NULL too: the path must outlive the problem's mark */
    config->files[config->tree_count++] = path;
    return tree;
}

static void include_file(struct config_reader *reader, const struct yaml_node *node)
{
    bool secret;
    cleanup_text char *name = table_text(reader, node, "include", &secret);
    if (name == NULL)
        return;
    char *path = path_beside(node->mark.file, name);
    if (access(path, R_OK) != 0) { /* said where it is named, not at a place in a file that is not there */
        problems_add(reader->problems, node->mark, "included file '%s' cannot be read: %s", path, strerror(errno));
        free(path);
        return;
    }
    const struct yaml_tree *tree = read_tree(reader, path);
    if (tree != NULL)
        table_read(reader, &fragment_section, yaml_root(tree), (struct mark){path, 1, 1}, reader->config);
}

static void read_include(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    (void)base;
    if (node->kind != YAML_SEQUENCE) {
        problems_add(reader->problems, node->mark, "'include' must be a list of files, such as [targets.yaml]");
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        include_file(reader, node->items[i].value);
}

/* ---- what needs the whole -------------------------------------------------------------*/

struct mark config_mark_in(const struct yaml_node *root, const char *section, const char *key)
{
    const struct yaml_node *node = yaml_get(section != NULL ? yaml_get(root, section) : root, key);
    return node != NULL ? node->mark : root->mark;
}

bool config_name_is_valid(struct span text, bool of_route)
{
    if (text.len == 0 || text.len > 64)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (of_route && c >= 'A' && c <= 'Z');
        bool joint = i > 0 && (c == '_' || c == '-' || (of_route && c == '.'));
        if (!letter && !joint)
            return false;
    }
    return true;
}

/* One topic level, part of a client id and a metric's label. */
static bool is_instance_name(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

static void settle_instance(struct config *config, const struct yaml_node *root, struct problems *problems)
{
    char host[HOST_NAME_MAX + 1] = "";
    bool given = config->instance != NULL;
    if (!given) {
        gethostname(host, sizeof(host) - 1);
        config->instance = mem_strdup(host);
    }
    if (!is_instance_name(config->instance))
        problems_add(
            problems, config_mark_in(root, NULL, "instance"), "%s: letters, digits, '_', '.' and '-' only, at most 64",
            given ? "'instance' is no usable name" : "the host name cannot be the instance's name; set 'instance'");
    if (config->bus.client_id == NULL)
        config->bus.client_id = mem_printf("busbar-%s", config->instance);
}

void config_check_tls(const struct config_tls *tls, struct mark mark, struct problems *problems)
{
    if ((tls->cert == NULL) != (tls->key == NULL))
        problems_add(problems, mark, "'tls': 'cert' and 'key' go together");
}

static void check_bus(struct config *config, const struct yaml_node *root, struct problems *problems)
{
    struct config_bus *bus = &config->bus;
    if (bus->url_count == 0 && yaml_get(yaml_get(root, "bus"), "url") == NULL) {
        bus->urls = mem_alloc(sizeof(bus->urls[0]));
        bus->urls[bus->url_count++] = mem_strdup("mqtt://localhost:1883");
    }
    if (!topic_is_valid(span_of(bus->prefix)) || bus->prefix[0] == '$' || bus->prefix[0] == '/' ||
        bus->prefix[strlen(bus->prefix) - 1] == '/')
        problems_add(problems, config_mark_in(root, "bus", "prefix"),
                     "'prefix' must be a topic such as busbar or plant/busbar: no '+', no '#', no '/' at its ends, no "
                     "'$' first");
    if (bus->share != NULL && strpbrk(bus->share, "/+#") != NULL)
        problems_add(problems, config_mark_in(root, "bus", "share"),
                     "'share' must be one word without '/', '+' and '#'");
    if (bus->password != NULL && bus->username == NULL && bus->version == 3)
        problems_add(problems, config_mark_in(root, "bus", "password"),
                     "MQTT 3.1.1 takes no 'password' without a 'username'");
    config_check_tls(&bus->tls, config_mark_in(root, "bus", "tls"), problems);
    bool with_tls = false;
    for (size_t i = 0; i < bus->url_count; i++)
        with_tls = with_tls || strncmp(bus->urls[i], "mqtts://", 8) == 0;
    if (!with_tls && (bus->tls.ca != NULL || bus->tls.cert != NULL))
        problems_warn(problems, config_mark_in(root, "bus", "tls"), "'tls' has no effect: no url starts with mqtts://");
}

/* ---- the face --------------------------------------------------------------------------*/

/* A configuration with its own file read and nothing of it understood yet. NULL when it cannot be read. */
static struct config *open_config(const char *path, struct config_reader *reader, const struct yaml_node **root)
{
    struct yaml_tree *tree = yaml_read_file(path, reader->problems);
    if (tree == NULL)
        return NULL;
    struct config *config = reader->config = mem_alloc(sizeof(*config));
    config->file = mem_strdup(path);
    config->trees = mem_grow(NULL, &reader->tree_cap, 1, sizeof(config->trees[0]));
    config->files = mem_alloc(reader->tree_cap * sizeof(config->files[0]));
    config->trees[0] = tree;
    config->files[0] = mem_strdup(path);
    config->tree_count = 1;
    *root = yaml_root(tree);
    return config;
}

struct config *config_load(const char *path, struct problems *problems)
{
    struct config_reader reader = {.problems = problems};
    struct mark top = {path, 1, 1};
    const struct yaml_node nothing = {.kind = YAML_MAPPING, .mark = top}, *root = NULL;
    struct config *config = open_config(path, &reader, &root);
    if (config == NULL)
        return NULL;
    if (yaml_is_null(root)) {
        problems_add(problems, top, "the file is empty");
        root = &nothing;
    }
    table_read(&reader, &root_section, root, top, config);
    settle_instance(config, root, problems);
    config->assets.mark = config_mark_in(root, "assets", "file");
    config->store.mark = config_mark_in(root, "store", "path");
    check_bus(config, root, problems);
    config_check_http(config, root, problems);
    config_check_routes(&reader);
    return config;
}

struct config *config_peek(const char *path, struct problems *problems)
{
    struct config_reader reader = {.problems = problems};
    struct mark top = {path, 1, 1};
    const struct yaml_node nothing = {.kind = YAML_MAPPING, .mark = top}, *root = NULL;
    struct config *config = open_config(path, &reader, &root);
    if (config == NULL)
        return NULL;
    root = yaml_is_null(root) ? &nothing : root;
    table_read(&reader, &config_http_peek_section, yaml_get(root, "http"), top, &config->http);
    table_read(&reader, &store_peek_section, yaml_get(root, "store"), top, &config->store);
    if (config->http.admin != NULL && config_host_length(config->http.admin, true) == 0)
        problems_add(problems, config_mark_in(root, "http", "admin"),
                     "'admin' must look like 127.0.0.1:9080 or [::1]:9080");
    return config;
}

void config_destroy(struct config *config)
{
    if (config == NULL)
        return;
    table_finish(&root_section, config);
    for (size_t i = 0; i < config->bus.url_count; i++)
        free(config->bus.urls[i]);
    free(config->bus.urls);
    config_finish_http(&config->http);
    config_finish_targets(config);
    config_finish_routes(config);
    for (size_t i = 0; i < config->tree_count; i++) {
        yaml_destroy(config->trees[i]);
        free(config->files[i]);
    }
    free(config->trees);
    free(config->files);
    free(config->hidden);
    buf_finish(&config->named_files);
    free(config->file);
    free(config);
}

uint64_t config_files_stamp(const struct config *config)
{
    const struct buf *files = &config->named_files;
    cleanup_buf struct buf seen = {0};
    for (size_t at = 0; at < files->len; at += strlen(files->data + at) + 1) {
        struct stat info = {0};
        if (stat(files->data + at, &info) != 0)
            info.st_ino = 0;
        const int64_t facts[] = {(int64_t)info.st_dev, (int64_t)info.st_ino, (int64_t)info.st_size,
                                 (int64_t)info.st_mtim.tv_sec, (int64_t)info.st_mtim.tv_nsec};
        buf_append(&seen, facts, sizeof(facts));
    }
    return digest_fast(buf_span(&seen), 0);
}

char *config_find(const char *given)
{
    if (given != NULL)
        return mem_strdup(given);
    const char *variable = getenv("BUSBAR_CONFIG");
    if (variable != NULL && variable[0] != '\0')
        return mem_strdup(variable);
    static const char *const places[] = {"./busbar.yaml", "/etc/busbar/busbar.yaml"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], F_OK) == 0)
            return mem_strdup(places[i]);
    return NULL;
}

void config_print(const struct config *config, struct buf *out)
{
    table_print(config, &root_section, config, 0, out);
}

const char **config_keys(const char *section, size_t *count)
{
    static const struct section *const sections[] = {&root_section,
                                                     &bus_section,
                                                     &store_section,
                                                     &config_http_section,
                                                     &config_target_section,
                                                     &config_retry_section,
                                                     &config_route_section,
                                                     &config_trigger_section,
                                                     &config_batch_section,
                                                     &config_format_section,
                                                     &config_unit_section,
                                                     &assets_section,
                                                     &config_client_tls_section,
                                                     &config_viewer_section,
                                                     &config_auth_section,
                                                     &config_signature_section};
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
        if (strcmp(sections[i]->name, section) == 0)
            return table_keys(sections[i], count);
    *count = 0;
    return NULL;
}
