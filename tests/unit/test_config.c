/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "config.h"
#include "json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE "targets: {mw: {plugin: p, mode: write_back}}\n"
#define ROUTE BASE "routes:\n- name: r\n  from: a/b\n  to: mw.task.schedule\n"
#define TRIGGER ROUTE "  trigger:\n"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test-config-XXXXXX");
    assert_non_null(mkdtemp(folder));
    unsetenv("BUSBAR_TEST_UNSET");
    setenv("BUSBAR_TEST_SET", "s3cret-env", 1);
    setenv("BUSBAR_TEST_EMPTY", "", 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cleanup_text char *command = mem_printf("rm -r %s", folder);
    return system(command);
}

static char *path_of(const char *name)
{
    return mem_printf("%s/%s", folder, name);
}

static void write_bytes(const char *name, const void *bytes, size_t len, mode_t mode)
{
    cleanup_text char *path = path_of(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text), 0600);
}

/* What a load said, without the folder's name. */
struct loaded {
    struct config *config;
    struct problems problems;
    char *said;
};

static void loaded_finish(struct loaded *loaded)
{
    config_destroy(loaded->config);
    problems_finish(&loaded->problems);
    free(loaded->said);
}
#define cleanup_loaded __attribute__((cleanup(loaded_finish)))

static struct loaded load_file(const char *name)
{
    struct loaded loaded = {0};
    struct buf out = {0}, said = {0};
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    loaded.config = config_load(path, &loaded.problems);
    problems_print(&loaded.problems, &out);
    for (const char *at = out.len > 0 ? out.data : ""; *at != '\0';) {
        if (strncmp(at, folder, strlen(folder)) == 0 && at[strlen(folder)] == '/')
            at += strlen(folder) + 1;
        else
            buf_putc(&said, *at++);
    }
    buf_finish(&out);
    loaded.said = buf_steal(&said);
    return loaded;
}

static struct loaded load(const char *text)
{
    write_text("f", text);
    return load_file("f");
}

static void assert_said(const char *text, const char *expected)
{
    cleanup_loaded struct loaded loaded = load(text);
    if (strcmp(loaded.said, expected) != 0)
        fail_msg("for\n%s\nexpected\n%s\ngot\n%s", text, expected, loaded.said);
}

struct saying {
    const char *text, *problem; /* the whole line, without "f:" and the newline */
};

static void assert_sayings(const struct saying *sayings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cleanup_text char *expected = mem_printf("f:%s\n", sayings[i].problem);
        assert_said(sayings[i].text, expected);
    }
}
#define ASSERT_SAYINGS(sayings) assert_sayings(sayings, sizeof(sayings) / sizeof((sayings)[0]))

/* ---- defaults and values --------------------------------------------------------------*/

static void test_config_defaults(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded = load("instance: edge-01\ntargets: {mw: {plugin: p, mode: read}}\n");
    const struct config *c = loaded.config;
    assert_string_equal(loaded.said, "");
    assert_int_equal(c->bus.url_count, 1);
    assert_string_equal(c->bus.urls[0], "mqtt://localhost:1883");
    assert_int_equal(c->bus.version, 5);
    assert_string_equal(c->bus.client_id, "busbar-edge-01");
    assert_string_equal(c->bus.prefix, "busbar");
    assert_null(c->bus.share);
    assert_int_equal(c->bus.session_expiry_ms, 86400000);
    assert_int_equal(c->bus.receive_maximum, 1024);
    assert_int_equal(c->bus.max_payload_bytes, 1048576);
    assert_int_equal(c->store.durability, DURABILITY_POWER_LOSS);
    assert_int_equal(c->store.max_bytes, 1073741824);
    assert_int_equal(c->store.retention_ms, 30 * 86400000LL);
    assert_null(c->http.webhooks);
    assert_string_equal(c->http.admin, "127.0.0.1:9080");
    assert_int_equal(c->http.max_body_bytes, 1048576);
    const struct config_target *mw = config_target(c, "mw");
    assert_int_equal(mw->concurrency, 8);
    assert_int_equal(mw->connect_timeout_ms, 5000);
    assert_int_equal(mw->timeout_ms, 30000);
    assert_true(mw->rate_per_s == 0);
    assert_int_equal(mw->poll_ms, -1);
    assert_int_equal(mw->webhook_tolerance_ms, -1);
    assert_int_equal(mw->retry.first_ms, 60000);
    assert_int_equal(mw->retry.max_ms, 900000);
    assert_int_equal(mw->retry.attempts, 8);
    assert_int_equal(mw->retry.max_age_ms, 7 * 86400000LL);
    assert_int_equal(mw->on_uncertain, UNCERTAIN_DEFAULT);
}

static void test_config_instance_defaults_to_the_host(void **state)
{
    (void)state;
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    cleanup_loaded struct loaded loaded = load("bus:\n# all defaults\nstore:\n");
    assert_string_equal(loaded.said, "");
    assert_string_equal(loaded.config->instance, host);
}

static void test_config_reads_what_is_said(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded = load(
        "bus: {url: [mqtts://a:8883, 'mqtt://[::1]'], version: 3.1.1, keep_alive: 20s, prefix: plant/bb}\n"
        "store: {path: data/x.db, durability: crash, max_size: 64MiB, retention: 7d}\n"
        "http: {webhooks: 0.0.0.0:8080, admin: null}\n"
        "targets:\n  mw:\n    plugin: ./mine.so\n    url: https://x.example\n    rate: 250/1m\n    concurrency: 2\n"
        "    mode: {default: draft, \"task.schedule\": handoff}\n    retry: {first: 1s, max: 2s}\n"
        "    webhook_secret: [one, two]\n    on_uncertain: park\n    network_name: Factory Inc.\n    spare: {a: 1}\n"
        "routes:\n- {name: r.1, from: 'a/{b}', to: mw.task.schedule, retained: true, body: {x: '${b}'}}\n");
    const struct config *c = loaded.config;
    assert_string_equal(loaded.said, "");
    assert_string_equal(c->bus.urls[1], "mqtt://[::1]");
    assert_int_equal(c->bus.version, 3);
    assert_int_equal(c->bus.keep_alive_ms, 20000);
    cleanup_text char *store = path_of("data/x.db"), *plugin = path_of("./mine.so");
    assert_string_equal(c->store.path, store); /* beside the file that names it */
    assert_null(c->http.admin);
    const struct config_target *mw = config_target(c, "mw");
    assert_string_equal(mw->plugin, plugin);
    assert_true(mw->rate_per_s > 4.166 && mw->rate_per_s < 4.167);
    assert_int_equal(mw->retry.attempts, 8); /* the rest of a section keeps its defaults */
    assert_int_equal(mw->retry.max_ms, 2000);
    assert_int_equal(config_mode_of(mw, "task.schedule"), MODE_HANDOFF);
    assert_int_equal(config_mode_of(mw, "task.else"), MODE_DRAFT);
    assert_int_equal(mw->webhook_secret_count, 2);
    assert_null(mw->webhook_secrets[1].event);
    assert_string_equal(mw->webhook_secrets[1].secret, "two");
    assert_int_equal(mw->on_uncertain, UNCERTAIN_PARK);
    assert_int_equal(mw->option_count, 2);
    assert_string_equal(mw->options[0].name, "network_name");
    assert_string_equal(mw->options[0].text, "Factory Inc.");
    assert_int_equal(mw->options[0].mark.line, 14);
    assert_int_equal(mw->options[0].mark.column, 19);
    assert_null(mw->options[1].text);
    assert_int_equal(mw->options[1].node->kind, YAML_MAPPING);
    const struct config_route *r = config_route(c, "r.1");
    assert_string_equal(r->from, "a/{b}");
    assert_string_equal(r->target, "mw");
    assert_string_equal(r->operation, "task.schedule");
    assert_true(r->retained);
    assert_false(r->trigger.given);
    assert_int_equal(r->trigger.cooldown_ms, -1);
    assert_null(config_target(c, "r"));
    assert_null(config_route(c, "mw"));
}

static void test_config_webhook_secrets_by_event(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded =
        load("http: {webhooks: '[::]:8080'}\ntargets: {mw: {plugin: p, mode: read, webhook_secret: {TaskWasStarted: a, "
             "TaskWasCompleted: [b, c]}}}\n");
    const struct config_target *mw = config_target(loaded.config, "mw");
    assert_string_equal(loaded.said, "");
    assert_int_equal(mw->webhook_secret_count, 3);
    assert_string_equal(mw->webhook_secrets[0].event, "TaskWasStarted");
    assert_string_equal(mw->webhook_secrets[2].event, "TaskWasCompleted");
    assert_string_equal(mw->webhook_secrets[2].secret, "c");
}

static void test_config_trigger_values(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded = load(
        TRIGGER "    value: ${.celsius}\n    above: 85\n    clear: 80\n    cooldown: 1h\n    key: ${line}/${asset}\n");
    const struct config_route *r = config_route(loaded.config, "r");
    assert_string_equal(loaded.said, "");
    assert_true(r->trigger.given);
    assert_true(span_is(r->trigger.value->text, "${.celsius}"));
    assert_true(span_is(r->trigger.above->text, "85"));
    assert_true(span_is(r->trigger.key->text, "${line}/${asset}"));
    assert_null(r->trigger.below);
    assert_int_equal(r->trigger.cooldown_ms, 3600000);
    assert_int_equal(r->trigger.mark.line, 7);
}

/* ---- problems --------------------------------------------------------------------------*/

static void test_config_unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    static const struct saying sayings[] = {
        {"busx: {}\n", "1:1: error: unknown key 'busx', did you mean 'bus'?"},
        {"bus: {prefx: a}\n", "1:7: error: unknown key 'prefx', did you mean 'prefix'?"},
        {"http: {zzz: a}\n", "1:8: error: unknown key 'zzz'; known here: webhooks, admin, admin_token, tls, max_body, "
                             "max_connections, max_connections_per_ip"},
        {TRIGGER "    abvoe: 85\n", "7:5: error: unknown key 'abvoe', did you mean 'above'?"},
        {ROUTE "  cooldown: 1h\n", "6:3: error: 'cooldown' belongs under 'trigger'"},
        {"password: x\n", "1:1: error: 'password' belongs under 'bus'"},
        {"targets: {mw: {plugin: p, mode: read, retry: {frist: 1s}}}\n",
         "1:47: error: unknown key 'frist', did you mean 'first'?"},
        {"\"a\\eb\": 1\n", "1:1: error: unknown key 'a?b'; known here: instance, bus, store, http, targets, routes, "
                           "include"},
    };
    ASSERT_SAYINGS(sayings);
}

static void test_config_wrong_values_say_what_is_right(void **state)
{
    (void)state;
    static const struct saying sayings[] = {
        {"instance: a/b\n",
         "1:11: error: 'instance' is no usable name: letters, digits, '_', '.' and '-' only, at most 64"},
        {"instance: [a]\n", "1:11: error: 'instance' must be a single value"},
        {"bus: {version: 4}\n", "1:16: error: 'version' must be 5 or 3.1.1, not '4'"},
        {"bus: {url: http://x}\n",
         "1:12: error: 'url' must look like mqtt://host:1883 or mqtts://host:8883, not 'http://x'"},
        {"bus: {url: \"mqtt://x:99999\"}\n",
         "1:12: error: 'url' must look like mqtt://host:1883 or mqtts://host:8883, not 'mqtt://x:99999'"},
        {"bus: {url: \"mqtt://u:pw@x\"}\n", "1:12: error: 'url' cannot hold a user; use 'username' and 'password'"},
        {"bus: {url: []}\n", "1:12: error: 'url' is an empty list"},
        {"bus: {prefix: a/#}\n",
         "1:15: error: 'prefix' must be a topic such as busbar or plant/busbar: no '+', no '#', "
         "no '/' at its ends, no '$' first"},
        {"bus: {share: a/b}\n", "1:14: error: 'share' must be one word without '/', '+' and '#'"},
        {"bus: {username: }\n", "1:17: error: 'username' has no value; write one, or remove the line"},
        {"bus: {username: ''}\n", "1:17: error: 'username' is empty"},
        {"bus: 5\n", "1:6: error: 'bus' must be a mapping of 'key: value' lines"},
        {"bus: {keep_alive: 10}\n", "1:19: error: 'keep_alive' must look like 250ms, 30s, 15m, 1h or 7d, not '10'"},
        {"bus: {keep_alive: 1d}\n", "1:19: error: 'keep_alive' must be from 1s to 65535s, not '1d'"},
        {"bus: {receive_maximum: 70000}\n", "1:24: error: 'receive_maximum' must be from 1 to 65535, not '70000'"},
        {"bus: {receive_maximum: 1.5}\n", "1:24: error: 'receive_maximum' must be a whole number, not '1.5'"},
        {"bus: {url: \"mqtts://x\", tls: {ca: /nonexistent}}\n",
         "1:35: error: 'ca': the file cannot be read: No such file or directory"},
        {"bus: {url: \"mqtts://x\", tls: {cert: /dev/null}}\n", "1:30: error: 'tls': 'cert' and 'key' go together"},
        {"store: {durability: crsh}\n",
         "1:21: error: 'durability' must be power_loss or crash, not 'crsh'; did you mean 'crash'?"},
        {"store: {max_size: 1TB}\n", "1:19: error: 'max_size' must look like 64KiB, 10MB or 1GiB, not '1TB'"},
        {"http: {webhooks: 8080}\n", "1:18: error: 'webhooks' must look like 0.0.0.0:8080 or [::1]:8080"},
        {"http: {admin: \"::1:9080\"}\n", "1:15: error: 'admin' must look like 127.0.0.1:9080 or [::1]:9080"},
        {"http: {webhooks: \"127.0.0.1:9080\"}\n", "1:1: error: 'admin' and 'webhooks' cannot share one address"},
        {"- a\n", "1:1: error: 'busbar' must be a mapping of 'key: value' lines"},
        {"", "1:1: error: the file is empty"},
        {"a: [\n", "2:1: error: not YAML: did not find expected node content while parsing a flow node"},
        {"instance: a\ninstance: b\n", "2:1: error: key 'instance' stands twice, first at line 1, column 1"},
    };
    ASSERT_SAYINGS(sayings);
}

static void test_config_target_problems(void **state)
{
    (void)state;
#define MW "targets: {mw: {plugin: p, mode: read, "
    static const struct saying sayings[] = {
        {"targets: [a]\n", "1:10: error: 'targets' must be a mapping of target names"},
        {"targets: {mw: {mode: read}}\n", "1:11: error: target: 'plugin' is missing"},
        {"targets: {bus: {plugin: p, mode: read}}\n", "1:11: error: 'bus' is the built-in target; choose another name"},
        {"targets: {a.b: {plugin: p, mode: read}}\n",
         "1:11: error: 'a.b' cannot name a target: small letters, digits, '_' and '-' only, at most 64"},
        {"targets: {mw: {plugin: p}}\n",
         "1:11: warning: target 'mw' has no 'mode', so it only reads and every write is "
         "refused; say mode: write_back, handoff, draft or read"},
        {"targets: {mw: {plugin: p, mode: wirte_back}}\n", "1:33: error: 'mode' must be read, draft, handoff or "
                                                           "write_back, not 'wirte_back'; did you mean 'write_back'?"},
        {"targets: {mw: {plugin: p, mode: {x.y: rad}}}\n",
         "1:39: error: 'mode' must be read, draft, handoff or write_back, not 'rad'; did you mean 'read'?"},
        {"targets: {mw: {plugin: p, mode: [read]}}\n",
         "1:33: error: 'mode' must be a word, or a map such as {default: read, \"work_order.create\": handoff}"},
        {MW "rate: 10}}\n", "1:45: error: 'rate' must look like 10/s or 250/1m, not '10'"},
        {MW "concurrency: 0}}\n", "1:52: error: 'concurrency' must be from 1 to 256, not '0'"},
        {MW "retry: {first: 1h}}}\n", "1:46: error: 'retry': 'first' cannot be longer than 'max'"},
        {MW "allow_unsigned: yes}}\n", "1:55: error: 'allow_unsigned' must be true or false, not 'yes'"},
        {MW "webhook_secret: [[a]]}}\n", "1:56: error: 'webhook_secret' is a list in a list"},
        {MW "webhook_secret: a}}\n",
         "1:11: warning: target 'mw' awaits webhooks, but 'http' names no 'webhooks' address"},
        {"http: {webhooks: \"*:80\"}\n" MW "webhook_secret: a, allow_unsigned: true}}\n",
         "2:74: error: 'allow_unsigned' and 'webhook_secret' exclude each other: with a secret every webhook is "
         "checked"},
        {MW "api_key: }}\n", "1:48: error: 'api_key' has no value; write one, or remove the line"},
        {MW "api_key: '${key}'}}\n", "1:48: error: '${key}' does not work here: a setting knows ${file:path} and "
                                     "${env:NAME}, and $${ for a literal ${"},
    };
    ASSERT_SAYINGS(sayings);
}

static void test_config_route_problems(void **state)
{
    (void)state;
#define R BASE "routes:\n- "
    static const struct saying sayings[] = {
        {"routes: {a: 1}\n", "1:9: error: 'routes' must be a list: each route starts with '- name: ...'"},
        {R "\n", "3:2: error: this route is empty"},
        {R "{from: a, to: mw.x}\n", "3:3: error: route: 'name' is missing"},
        {R "{name: A b, from: a, to: mw.x}\n",
         "3:10: error: 'A b' cannot name a route: small letters, digits, '_', '-' and "
         "'.' only, at most 64"},
        {R "{name: r, from: a, to: mw}\n",
         "3:26: error: 'to' must look like <target>.<operation>, such as mw.task.schedule"},
        {R "{name: r, from: a, to: mv.task.schedule}\n", "3:26: error: unknown target 'mv', did you mean 'mw'?"},
        {R "{name: r, from: a, to: other.x}\n", "3:26: error: unknown target 'other'; known here: mw"},
        {R "{name: r, from: a, to: bus.x}\n", "3:26: error: 'to: bus...' is not supported by this version"},
        {R "{name: r, from: {line}, to: mw.x}\n",
         "3:19: error: 'from' must be text; text that starts with '{' must be quoted"},
        {R "{name: r, from: a, to: mw.x, body: 1, body_jq: '.'}\n",
         "3:50: error: 'body' and 'body_jq' exclude each other"},
        {R "{name: r, from: a, to: mw.x, body: }\n", "3:38: error: 'body' has no value; write one, or remove the line"},
        {R "{name: r, from: a, to: mw.x, body_jq: [1]}\n",
         "3:41: error: 'body_jq' must be a jq expression, quoted when it has ': ' or starts with '{' or '['"},
        {ROUTE "  batch: {max: 10}\n", "6:10: error: 'batch' is not supported by this version"},
        {ROUTE "  unit: K\n", "6:9: error: 'unit' is not supported by this version"},
        {ROUTE "  body: {id: ${part}}\n",
         "6:15: error: not YAML: did not find expected ',' or '}' while parsing a flow "
         "mapping; a placeholder inside {...} or [...] must be quoted, as in {id: "
         "\"${part}\"}"},
        {ROUTE "- name: r\n  from: x\n  to: mw.x\n", "6:3: error: route 'r' is already defined at f:3:3"},
        {ROUTE "  key: a\n  trigger: {above: 1, key: b}\n",
         "6:8: warning: 'key' has no effect beside the trigger's own 'key'"},
    };
    ASSERT_SAYINGS(sayings);
}

static void test_config_trigger_problems(void **state)
{
    (void)state;
    static const struct saying sayings[] = {
        {ROUTE "  trigger: 5\n", "6:12: error: 'trigger' must be a mapping of 'key: value' lines"},
        {TRIGGER "    value: x\n",
         "7:5: error: a trigger has one condition: 'above', 'below', 'outside' or 'when'; here are 0"},
        {TRIGGER "    cooldown: 1h\n    clear: 4\n",
         "7:5: error: a trigger has one condition: 'above', 'below', 'outside' or 'when'; here are 0"},
        {TRIGGER "    above: 5\n    when: .x\n",
         "7:5: error: a trigger has one condition: 'above', 'below', 'outside' or 'when'; here are 2"},
        {TRIGGER "    above: hot\n", "7:12: error: 'above' must be a number, such as 85 or -2.5, not 'hot'"},
        {TRIGGER "    above: '85'\n", "7:12: error: 'above' must be a number, such as 85 or -2.5, not '85'"},
        {TRIGGER "    below: [1]\n", "7:12: error: 'below' must be a number, such as 85 or -2.5"},
        {TRIGGER "    above: 85\n    clear: 86\n", "8:12: error: 'clear' must not be above 'above' (85)"},
        {TRIGGER "    below: 2\n    clear: 1\n", "8:12: error: 'clear' must not be below 'below' (2)"},
        {TRIGGER "    outside: [2, 1]\n",
         "7:14: error: 'outside' must be two numbers, the smaller first, such as [10, 20]"},
        {TRIGGER "    outside: 3\n", "7:14: error: 'outside' must be two numbers, the smaller first, such as [10, 20]"},
        {TRIGGER "    outside: [1, 9]\n    clear: [0, 5]\n", "8:12: error: 'clear' must lie inside 'outside'"},
        {TRIGGER "    outside: [1, 9]\n    clear: 5\n",
         "8:12: error: 'clear' must be two numbers, the smaller first, such as [10, 20]"},
        {TRIGGER "    when: [.x]\n",
         "7:11: error: 'when' must be a jq expression, quoted when it has ': ' or starts with '{' or '['"},
        {TRIGGER "    above: 5\n    cooldown: soon\n",
         "8:15: error: 'cooldown' must look like 250ms, 30s, 15m, 1h or 7d, not 'soon'"},
        {TRIGGER "    above: 5\n    key: [a]\n", "8:10: error: 'key' must be text, such as \"${.celsius}\""},
        {TRIGGER "    above: 5\n    for: 30s\n", "8:10: error: 'for' is not supported by this version"},
        {TRIGGER "    equals: 1\n", "7:13: error: 'equals' is not supported by this version"},
        {TRIGGER "    absent: 1h\n    value: x\n", "7:13: error: 'absent' is not supported by this version"},
        {ROUTE "  budget: 24/1d\n", "6:3: error: 'budget' is not supported by this version"},
    };
    ASSERT_SAYINGS(sayings);
}

static void test_config_trigger_limits_may_touch(void **state)
{
    (void)state;
    assert_said(TRIGGER "    above: 85\n    clear: 85\n", "");
    assert_said(TRIGGER "    below: -0.5\n    clear: -5e-1\n", "");
    assert_said(TRIGGER "    outside: [1, 9]\n    clear: [1, 9]\n", "");
    assert_said(TRIGGER "    when: .x > 3\n    clear: .x < 2\n", "");
}

static void test_config_reports_every_problem(void **state)
{
    (void)state;
    assert_said("bus: {versoin: 5, url: x}\nhttp: {admin: \"0.0.0.0:80\"}\n"
                "targets: {mw: {plugin: p, mode: raed, rate: x}}\nroutes:\n- {name: r, from: a, to: nw.x}\n",
                "f:1:7: error: unknown key 'versoin', did you mean 'version'?\n"
                "f:1:24: error: 'url' must look like mqtt://host:1883 or mqtts://host:8883, not 'x'\n"
                "f:2:15: error: 'admin' is not on loopback (127.0.0.1), so it needs an 'admin_token'\n"
                "f:3:33: error: 'mode' must be read, draft, handoff or write_back, not 'raed'; did you mean 'read'?\n"
                "f:3:45: error: 'rate' must look like 10/s or 250/1m, not 'x'\n"
                "f:5:26: error: unknown target 'nw', did you mean 'mw'?\n");
}

static void test_config_admin_beyond_loopback_needs_a_token(void **state)
{
    (void)state;
    assert_said("http: {admin: \"127.0.0.2:1\"}\n", "");
    assert_said("http: {admin: \"localhost:1\"}\n", "");
    assert_said("http: {admin: \"[::1]:1\"}\n", "");
    assert_said("http: {admin: \"0.0.0.0:1\", admin_token: t}\n", "");
    const char *wrong = "f:1:15: error: 'admin' is not on loopback (127.0.0.1), so it needs an 'admin_token'\n";
    assert_said("http: {admin: \"0.0.0.0:1\"}\n", wrong);
    assert_said("http: {admin: \"127.0.0.1.example:1\"}\n", wrong);
    assert_said("http: {admin: \"[::]:1\"}\n", wrong);
}

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
    "http: {webhooks: 0.0.0.0:8080, admin: null, admin_token: t0k}\n"
    "targets:\n"
    "  mw: {plugin: mobility_work, api_key: pl4in, name: \"yes\", n: 5, tags: [1, a], proxy: 'http://u:pl4in@h', rate: "
    "250/1m,\n"
    "       mode: {default: read, task.schedule: handoff}, webhook_secret: {E: [pl4in, pl4in2], F: pl4in}}\n"
    "  z: {plugin: p, mode: draft, webhook_secret: [pl4in, pl4in2], text: '$${a}'}\n"
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
    const char *lines[] = {"  username: \"***\"\n",   "  session_expiry: 1d\n", "  prefix: \"busbar\"\n",
                           "  max_size: 100000000\n", "    concurrency: 8\n",   "    rate: 250/1m\n",
                           "      max_age: 7d\n",     "    name: \"yes\"\n",    "    n: 5\n",
                           "      cooldown: 90s\n",   "    text: \"$${a}\"\n"};
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
    {"route", "/$defs/route/properties"},
    {"trigger", "/$defs/route/properties/trigger/properties"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_defaults),
        cmocka_unit_test(test_config_instance_defaults_to_the_host),
        cmocka_unit_test(test_config_reads_what_is_said),
        cmocka_unit_test(test_config_webhook_secrets_by_event),
        cmocka_unit_test(test_config_trigger_values),
        cmocka_unit_test(test_config_unknown_keys_name_the_nearest),
        cmocka_unit_test(test_config_wrong_values_say_what_is_right),
        cmocka_unit_test(test_config_target_problems),
        cmocka_unit_test(test_config_route_problems),
        cmocka_unit_test(test_config_trigger_problems),
        cmocka_unit_test(test_config_trigger_limits_may_touch),
        cmocka_unit_test(test_config_reports_every_problem),
        cmocka_unit_test(test_config_admin_beyond_loopback_needs_a_token),
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
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
