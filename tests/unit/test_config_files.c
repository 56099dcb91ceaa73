/* SPDX-License-Identifier: Apache-2.0 */
/* busbar.yaml and the files around it: secrets, fragments, what is printed, what we ship. */
#include "config_fixture.h"

#include "json.h"

#include <json-c/json.h>

/* ---- secrets ------------------------------------------------------------------------------*/

static void test_config_placeholders_are_resolved(void **state)
{
    (void)state;
    write_text("token", "t0ken\n");
    write_text("crlf", "two\nlines\r\n");
    cleanup_loaded struct loaded loaded =
        load("bus: {username: 'a-${env:BUSBAR_TEST_SET}-b', password: '$${env:X}'}\n"
             "http: {admin_token: '${file:token}'}\n"
             "targets: {mw: {plugin: p, mode: read, api_key: '${file:crlf}', network: '$${x}'}}\n");
    assert_string_equal(loaded.said, "");
    assert_string_equal(loaded.config->bus.username, "a-s3cret-env-b");
    assert_string_equal(loaded.config->bus.password, "${env:X}");
    assert_string_equal(loaded.config->http.admin_token, "t0ken");
    const struct config_target *mw = config_target(loaded.config, "mw");
    assert_string_equal(mw->options[0].text, "two\nlines");
    assert_true(mw->options[0].secret);
    assert_string_equal(mw->options[1].text, "${x}");
    assert_false(mw->options[1].secret);
}

static void test_config_placeholders_work_in_any_kind_of_setting(void **state)
{
    (void)state;
    setenv("BUSBAR_TEST_N", "3", 1);
    setenv("BUSBAR_TEST_MODE", "handoff", 1);
    cleanup_loaded struct loaded loaded =
        load("targets: {mw: {plugin: p, mode: '${env:BUSBAR_TEST_MODE}', concurrency: '${env:BUSBAR_TEST_N}', "
             "timeout: '${env:BUSBAR_TEST_N}s'}}\n");
    assert_string_equal(loaded.said, "");
    assert_int_equal(config_target(loaded.config, "mw")->concurrency, 3);
    assert_int_equal(config_target(loaded.config, "mw")->timeout_ms, 3000);
    assert_int_equal(config_mode_of(config_target(loaded.config, "mw"), "x"), MODE_HANDOFF);
}

static void test_config_placeholders_stay_in_routes(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded = load(ROUTE "  key: ${env:NO}\n  body: {a: '${file:no}'}\n");
    assert_string_equal(loaded.said, "");
    assert_string_equal(config_route(loaded.config, "r")->key, "${env:NO}");
}

static void test_config_secret_problems(void **state)
{
    (void)state;
    write_text("empty", "");
    write_text("newline", "\n");
    write_bytes("nul", "a\0b", 3, 0600);
    write_bytes("open", "x", 1, 0644);
    cleanup_loaded struct loaded loaded =
        load("bus:\n  username: ${file:missing}\n  password: ${file:empty}\n"
             "  share: ${env:BUSBAR_TEST_UNSET}\n  client_id: ${env:BUSBAR_TEST_EMPTY}\n"
             "  prefix: ${file:open}\nstore:\n  path: ${file:newline}\nhttp:\n"
             "  admin_token: ${file:nul}\n  webhooks: ${file:.}\n  admin: ${file:x\n");
    assert_string_equal(loaded.said, "f:2:13: error: secret file 'missing' cannot be read: No such file or directory\n"
                                     "f:3:13: error: secret file 'empty' is empty\n"
                                     "f:4:10: error: environment variable 'BUSBAR_TEST_UNSET' is not set\n"
                                     "f:5:14: error: environment variable 'BUSBAR_TEST_EMPTY' is empty\n"
                                     "f:6:11: warning: secret file 'open' can be read by everyone; chmod 600 it\n"
                                     "f:8:9: error: secret file 'newline' is empty\n"
                                     "f:10:16: error: secret file 'nul' has a NUL byte in it\n"
                                     "f:11:13: error: secret file '.' cannot be read: Is a directory\n"
                                     "f:12:10: error: '${' without its '}'; $${ is a literal ${\n");
}

static void test_config_problems_never_show_a_secret(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded = load(
        "instance: '${env:BUSBAR_TEST_SET}/'\nbus: {version: '${env:BUSBAR_TEST_SET}', url: '${env:BUSBAR_TEST_SET}', "
        "prefix: '#${env:BUSBAR_TEST_SET}', share: '#${env:BUSBAR_TEST_SET}', keep_alive: '${env:BUSBAR_TEST_SET}', "
        "tls: {ca: '${env:BUSBAR_TEST_SET}'}}\nhttp: {admin: '${env:BUSBAR_TEST_SET}', webhooks: "
        "'${env:BUSBAR_TEST_SET}'}\ntargets: {mw: {plugin: p, mode: '${env:BUSBAR_TEST_SET}', rate: "
        "'${env:BUSBAR_TEST_SET}', allow_unsigned: '${env:BUSBAR_TEST_SET}'}}\n");
    assert_int_equal(loaded.problems.errors, 13);
    assert_null(strstr(loaded.said, "s3cret"));
}

/* ---- included files -----------------------------------------------------------------------*/

static void test_config_includes_fragments(void **state)
{
    (void)state;
    cleanup_text char *inner = path_of("inner");
    assert_int_equal(mkdir(inner, 0700), 0);
    write_text("inner/key", "k\n");
    write_text("inner/t.yaml", "targets: {b: {plugin: p, mode: read, api_key: '${file:key}'}}\n");
    write_text("r.yaml", "routes:\n- {name: r2, from: a, to: b.x}\n");
    cleanup_loaded struct loaded loaded =
        load("include: [inner/t.yaml, r.yaml]\n" BASE "routes:\n- {name: r1, from: a, to: b.x}\n");
    assert_string_equal(loaded.said, "");
    assert_int_equal(loaded.config->target_count, 2);
    assert_string_equal(config_target(loaded.config, "b")->options[0].text, "k"); /* beside the fragment */
    assert_string_equal(loaded.config->routes[0].name, "r1");
    assert_string_equal(loaded.config->routes[1].name, "r2");
}

static void test_config_include_problems(void **state)
{
    (void)state;
    write_text("a.yaml", "targets:\n  mw: {plugin: p, mode: read}\nroutes:\n- {name: r, from: a, to: mw.x}\n");
    write_text("b.yaml", "bus: {}\ninclude: [a.yaml]\n");
    write_text("c.yaml", "{\n");
    write_text("d.yaml", "");
    cleanup_loaded struct loaded loaded = load(ROUTE "include: [a.yaml, b.yaml, c.yaml, d.yaml, none.yaml]\n");
    assert_string_equal(loaded.said,
                        "a.yaml:2:3: error: target 'mw' is already defined at f:1:11\n"
                        "a.yaml:4:3: error: route 'r' is already defined at f:3:3\n"
                        "b.yaml:1:1: error: 'bus' cannot stand in an included file: only targets and routes can\n"
                        "b.yaml:2:1: error: 'include' cannot stand in an included file: only targets and routes can\n"
                        "c.yaml:2:1: error: not YAML: did not find expected node content while parsing a flow node\n"
                        "f:6:43: error: included file 'none.yaml' cannot be read: No such file or directory\n");
    assert_said("include: a.yaml\n", "f:1:10: error: 'include' must be a list of files, such as [targets.yaml]\n");
}

static void test_config_unreadable_file_is_null(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded = load_file("none");
    assert_null(loaded.config);
    assert_string_equal(loaded.said, "none: error: cannot be read: No such file or directory\n");
}

/* ---- printing ------------------------------------------------------------------------------*/

static const char full[] =
    "instance: e1\n"
    "bus: {url: [mqtts://a:8883, mqtt://b:1883], username: '${env:BUSBAR_TEST_SET}', password: pl4in, version: 3.1.1}\n"
    "store: {path: /x.db, max_size: 100MB}\n"
    "http: {webhooks: 0.0.0.0:8080, admin: null, admin_token: t0k, viewers: {v: {token: t0k3n, targets: [z]}}}\n"
    "targets:\n"
    "  mw: {plugin: mobility_work, api_key: pl4in, name: \"yes\", n: 5, tags: [1, a], proxy: 'http://u:pl4in@h', rate: "
    "250/1m,\n"
    "       mode: {default: read, task.schedule: handoff}, webhook_secret: {E: [pl4in, pl4in2], F: pl4in},\n"
    "       auth: {header: {name: X-Key, value: pl4in}}, webhook_signature: {profile: hmac, header: X-Sig}}\n"
    "  y: {plugin: p, mode: draft, auth: {bearer: pl4in}}\n"
    "  x: {plugin: p, mode: draft, auth: none}\n"
    "  w: {plugin: p, mode: draft, auth: {oauth2: {token_url: 'https://a', client_id: b, client_secret: pl4in}}}\n"
    "  z: {plugin: p, mode: draft, auth: {basic: {user: u, password: pl4in}}, webhook_secret: [pl4in, pl4in2], text: "
    "'$${a}',\n"
    "      map: {event: {X: sync.failed}, status: {A b: closed, 'null': unknown}}}\n"
    "routes:\n"
    "- {name: r, from: 'a/{b}', to: mw.task.schedule, trigger: {outside: [1, 9.50], key: '${b}', cooldown: 90s},\n"
    "   body: {a: '${value}', n: 0.10}, on_uncertain: park}\n"
    "- {name: s, from: a, to: z.x, trigger: {when: '.a > 5'}, body_jq: '{a: 1}'}\n";

static void test_config_print_has_defaults_and_no_secret(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded = load(full);
    cleanup_buf struct buf out = {0};
    assert_string_equal(loaded.said, "");
    config_print(loaded.config, &out);
    assert_null(strstr(out.data, "pl4in"));
    assert_null(strstr(out.data, "t0k"));
    assert_null(strstr(out.data, "s3cret"));
    const char *lines[] = {"  username: \"***\"\n",
                           "  session_expiry: 1d\n",
                           "  prefix: \"busbar\"\n",
                           "  max_size: 100000000\n",
                           "    concurrency: 8\n",
                           "    rate: 250/1m\n",
                           "      max_age: 7d\n",
                           "    name: \"yes\"\n",
                           "    auth:\n      header:\n        name: \"X-Key\"\n        value: \"***\"\n",
                           "    webhook_signature:\n      profile: hmac\n      header: \"X-Sig\"\n",
                           "    auth:\n      bearer: \"***\"\n",
                           "    auth: none\n",
                           "      oauth2:\n        token_url: \"https://a\"\n        client_id: \"b\"\n",
                           "        client_secret: \"***\"\n",
                           "    n: 5\n",
                           "      cooldown: 90s\n",
                           "    text: \"$${a}\"\n",
                           "    map: {status: {\"A b\": closed, \"null\": unknown}, event: {\"X\": sync.failed}}\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (strstr(out.data, lines[i]) == NULL)
            fail_msg("<%s> is missing in\n%s", lines[i], out.data);
}

static void test_config_print_can_be_read_again(void **state)
{
    (void)state;
    cleanup_loaded struct loaded first = load(full);
    cleanup_buf struct buf once = {0}, twice = {0};
    config_print(first.config, &once);
    cleanup_loaded struct loaded second = load(once.data);
    assert_string_equal(second.said, "");
    config_print(second.config, &twice);
    assert_string_equal(twice.data, once.data);
}

/* ---- finding, damage -------------------------------------------------------------------------*/

static void test_config_find_order(void **state)
{
    (void)state;
    setenv("BUSBAR_CONFIG", "/x/y.yaml", 1);
    cleanup_text char *given = config_find("a.yaml"), *variable = config_find(NULL);
    assert_string_equal(given, "a.yaml");
    assert_string_equal(variable, "/x/y.yaml");
    unsetenv("BUSBAR_CONFIG");
    cleanup_text char *here = getcwd(NULL, 0);
    assert_int_equal(chdir(folder), 0);
    write_text("busbar.yaml", "");
    cleanup_text char *found = config_find(NULL);
    assert_string_equal(found, "./busbar.yaml");
    assert_int_equal(chdir(here), 0);
}

/* Every prefix of a full file, and each of its bytes replaced: problems or none, never more. */
static void test_config_survives_damage(void **state)
{
    (void)state;
    char copy[sizeof(full)];
    for (size_t i = 0; i < sizeof(full) - 1; i++) {
        memcpy(copy, full, sizeof(full));
        copy[i] = "{}[]:,-'\n#&*"[i % 12];
        cleanup_loaded struct loaded changed = load(copy);
        copy[i] = '\0';
        cleanup_loaded struct loaded cut = load(copy);
        assert_non_null(cut.said);
        cleanup_buf struct buf out = {0};
        if (changed.config != NULL)
            config_print(changed.config, &out);
    }
}

/* ---- the schema and the reference know what the tables know -----------------------------------*/

static const struct {
    const char *section, *pointer;
} schema_places[] = {
    {"busbar", "/properties"},
    {"bus", "/properties/bus/properties"},
    {"store", "/properties/store/properties"},
    {"http", "/properties/http/properties"},
    {"target", "/$defs/target/properties"},
    {"retry", "/$defs/target/properties/retry/properties"},
    {"tls", "/$defs/client_tls/properties"},
    {"auth", "/$defs/target/properties/auth/anyOf/1/properties"},
    {"webhook_signature", "/$defs/target/properties/webhook_signature/properties"},
    {"route", "/$defs/route/properties"},
    {"trigger", "/$defs/route/properties/trigger/properties"},
    {"format", "/$defs/format/anyOf/1/properties"},
    {"unit", "/$defs/route/properties/trigger/properties/unit/properties"},
    {"assets", "/properties/assets/properties"},
};

static char *read_source(const char *name)
{
    const char *root = getenv("TEST_SOURCE_DIR");
    cleanup_text char *path = mem_printf("%s/%s", root != NULL ? root : ".", name);
    struct buf text = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int c = fgetc(file); c != EOF; c = fgetc(file))
        buf_putc(&text, (char)c);
    fclose(file);
    return buf_steal(&text);
}

static void test_config_schema_has_the_tables_keys(void **state)
{
    (void)state;
    cleanup_text char *text = read_source("config/busbar.schema.json");
    cleanup_json struct json_object *schema = json_parse(span_of(text), NULL, NULL);
    assert_non_null(schema);
    for (size_t i = 0; i < sizeof(schema_places) / sizeof(schema_places[0]); i++) {
        struct json_object *properties = json_pointer(schema, schema_places[i].pointer, NULL);
        size_t count;
        const char **keys = config_keys(schema_places[i].section, &count);
        assert_non_null(keys);
        assert_non_null(properties);
        for (size_t k = 0; k < count; k++)
            if (json_get(properties, keys[k]) == NULL)
                fail_msg("the schema lacks '%s' in %s", keys[k], schema_places[i].section);
        assert_int_equal(json_object_object_length(properties), count);
        free(keys);
    }
    size_t none;
    assert_null(config_keys("nothing", &none));
}

static void test_config_reference_shows_every_key(void **state)
{
    (void)state;
    cleanup_text char *text = read_source("config/busbar.yaml");
    for (size_t i = 0; i < sizeof(schema_places) / sizeof(schema_places[0]); i++) {
        size_t count;
        const char **keys = config_keys(schema_places[i].section, &count);
        for (size_t k = 0; k < count; k++) {
            cleanup_text char *key = mem_printf("%s:", keys[k]);
            if (strstr(text, key) == NULL)
                fail_msg("config/busbar.yaml does not show '%s' of %s", keys[k], schema_places[i].section);
        }
        free(keys);
    }
}

/* The files that we ship name no plugin's mistake here: only their shape is checked. */
static void test_config_shipped_files_load(void **state)
{
    (void)state;
    static const char *const names[] = {"busbar.yaml",
                                        "examples/ai4i.yaml",
                                        "examples/thresholds.yaml",
                                        "examples/commands.yaml",
                                        "examples/atlas_cmms.yaml",
                                        "examples/erpnext.yaml"};
    const char *root = getenv("TEST_SOURCE_DIR");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cleanup_text char *path = mem_printf("%s/config/%s", root != NULL ? root : ".", names[i]);
        struct problems problems = {0};
        cleanup_buf struct buf said = {0};
        struct config *config = config_load(path, &problems);
        problems_print(&problems, &said);
        if (problems.errors > 0)
            fail_msg("%s", said.data);
        assert_true(config->route_count > 0);
        config_destroy(config);
        problems_finish(&problems);
    }
}

static struct config *peek(const char *text, struct problems *problems)
{
    static char path[128];
    write_text("f", text);
    snprintf(path, sizeof(path), "%s/f", folder);
    return config_peek(path, problems);
}

/* Who asks a daemon does not depend on what else is in its file. */
static void test_config_peek_judges_only_the_way_to_the_daemon(void **state)
{
    (void)state;
    struct problems problems = {0};
    struct config *config = peek("colour: blue\n"
                                 "instance: 'no name'\n"
                                 "bus: {url: 'http://x', password: '${file:gone}'}\n"
                                 "store: {path: a.db, max_size: much}\n"
                                 "http: {admin: '127.0.0.1:9', adnim: 5, tls: {key: gone}, max_body: -1}\n"
                                 "targets: {mw: {api_key: '${env:BUSBAR_NO_SUCH}'}}\n"
                                 "include: [gone.yaml]\n",
                                 &problems);
    assert_int_equal(problems.count, 0);
    assert_string_equal(config->http.admin, "127.0.0.1:9");
    assert_non_null(strstr(config->store.path, "/a.db"));
    assert_int_equal(config->named_files.len, 0); /* nothing else was opened */
    config_destroy(config);
    config = peek("# nothing\n", &problems);
    assert_string_equal(config->http.admin, "127.0.0.1:9080");
    assert_string_equal(config->store.path, "/var/lib/busbar/busbar.db");
    assert_int_equal(problems.count, 0);
    config_destroy(config);
    config = peek("http: {admin_token: '${file:gone}', admin: nowhere, tls: {cert: gone}}\nstore: []\n", &problems);
    assert_int_equal(problems.errors, 4);
    config_destroy(config);
    problems_finish(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_placeholders_are_resolved),
        cmocka_unit_test(test_config_placeholders_work_in_any_kind_of_setting),
        cmocka_unit_test(test_config_placeholders_stay_in_routes),
        cmocka_unit_test(test_config_secret_problems),
        cmocka_unit_test(test_config_problems_never_show_a_secret),
        cmocka_unit_test(test_config_includes_fragments),
        cmocka_unit_test(test_config_include_problems),
        cmocka_unit_test(test_config_unreadable_file_is_null),
        cmocka_unit_test(test_config_print_has_defaults_and_no_secret),
        cmocka_unit_test(test_config_print_can_be_read_again),
        cmocka_unit_test(test_config_find_order),
        cmocka_unit_test(test_config_survives_damage),
        cmocka_unit_test(test_config_schema_has_the_tables_keys),
        cmocka_unit_test(test_config_reference_shows_every_key),
        cmocka_unit_test(test_config_shipped_files_load),
        cmocka_unit_test(test_config_peek_judges_only_the_way_to_the_daemon),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
