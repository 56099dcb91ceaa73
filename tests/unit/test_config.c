/* SPDX-License-Identifier: Apache-2.0 */
/* busbar.yaml: what it says, and what is wrong with it. */
#include "config_fixture.h"

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

static void test_config_auth_and_signature(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded =
        load("targets:\n  a: {plugin: p, mode: read, auth: {header: {name: X-Key, value: k}}, webhook_signature: "
             "{profile: hmac, header: X-Sig, encoding: base64, prefix: v0=, signed: 'v0:{time}:{body}', time_header: "
             "X-Time}}\n  b: {plugin: p, mode: read, auth: none}\n  c: {plugin: p, mode: read, auth: {basic: {user: u, "
             "password: w}}}\n  d: {plugin: p, mode: read}\n");
    assert_string_equal(loaded.said, "");
    const struct config_target *a = config_target(loaded.config, "a"), *c = config_target(loaded.config, "c");
    assert_int_equal(a->auth.kind, AUTH_HEADER);
    assert_string_equal(a->auth.header.name, "X-Key");
    assert_string_equal(a->auth.header.value, "k");
    assert_int_equal(a->signature.profile, SIGNATURE_HMAC);
    assert_int_equal(a->signature.encoding, SIGNATURE_BASE64);
    assert_string_equal(a->signature.signed_string, "v0:{time}:{body}");
    assert_int_equal(config_target(loaded.config, "b")->auth.kind, AUTH_NONE);
    assert_int_equal(c->auth.kind, AUTH_BASIC);
    assert_string_equal(c->auth.basic.password, "w");
    assert_int_equal(config_target(loaded.config, "d")->auth.kind, AUTH_PLUGIN);
    assert_int_equal(config_target(loaded.config, "d")->signature.profile, 0);
}

static void test_config_signature_of_pairs(void **state)
{
    (void)state;
    cleanup_loaded struct loaded loaded =
        load("targets:\n  a: {plugin: p, mode: read, webhook_signature: {profile: hmac, header: X-Sig, sign_key: v1, "
             "time_key: t, nonce_key: n, signed: '{time}.{nonce}.{body}'}}\n");
    assert_string_equal(loaded.said, "");
    const struct config_signature *own = &config_target(loaded.config, "a")->signature;
    assert_string_equal(own->sign_key, "v1");
    assert_string_equal(own->time_key, "t");
    assert_string_equal(own->nonce_key, "n");
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
        {"http: {zzz: a}\n",
         "1:8: error: unknown key 'zzz'; known here: webhooks, admin, admin_token, viewers, tls, max_body, "
         "max_connections, max_connections_per_ip"},
        {TRIGGER "    abvoe: 85\n", "7:5: error: unknown key 'abvoe', did you mean 'above'?"},
        {ROUTE "  cooldown: 1h\n", "6:3: error: 'cooldown' belongs under 'trigger'"},
        {"password: x\n", "1:1: error: 'password' belongs under 'bus'"},
        {"targets: {mw: {plugin: p, mode: read, retry: {frist: 1s}}}\n",
         "1:47: error: unknown key 'frist', did you mean 'first'?"},
        {"\"a\\eb\": 1\n",
         "1:1: error: unknown key 'a?b'; known here: instance, user, bus, store, http, assets, targets, routes, "
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
        {"bus: {url: \"mqtt://x:0\"}\n",
         "1:12: error: 'url' must look like mqtt://host:1883 or mqtts://host:8883, not 'mqtt://x:0'"},
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
        {MW "auth: bearer}}\n", "1:45: error: 'auth' must be none, or one of bearer, basic, header and oauth2"},
        {MW "auth: {}}}\n", "1:45: error: 'auth' must be none, or one of bearer, basic, header and oauth2"},
        {MW "auth: {bearer: a, basic: {user: b, password: c}}}}\n",
         "1:45: error: 'auth' must be none, or one of bearer, basic, header and oauth2"},
        {MW "auth: {baerer: a}}}\n", "1:46: error: unknown key 'baerer', did you mean 'bearer'?"},
        {MW "auth: {basic: {user: b}}}}\n", "1:45: error: 'basic': 'password' is missing"},
        {MW "auth: {basic: {user: 'b:c', password: d}}}}\n",
         "1:45: error: 'basic': 'user' holds a colon, which no user name may"},
        {MW "auth: {bearer: \"a\\nb\"}}}\n",
         "1:45: error: 'auth': 'bearer' has a line break or control character, which no header may hold"},
        {MW "auth: {header: {name: X Y, value: a}}}}\n", "1:45: error: 'header': 'name' is no header's name"},
        {MW "auth: {header: {name: host, value: a}}}}\n", "1:45: error: 'header': 'host' is a header of busbar's own"},
        {MW "auth: {oauth2: {token_url: 'https://a', client_id: b}}}}\n",
         "1:45: error: 'oauth2': 'client_secret' is missing"},
        {MW "auth: {oauth2: {client_auth: body}}}}\n", "1:68: error: 'client_auth' must be basic or post, not 'body'"},
        {MW "webhook_event_header: 'X Y'}}\n", "1:11: error: 'webhook_event_header': 'X Y' is no header's name"},
        {MW "map: [a]}}\n", "1:44: error: 'map' must be a map such as {status: {WAPPR: triaged}}"},
        {MW "map: {statsu: {A: closed}}}}\n", "1:45: error: unknown list of 'map' 'statsu', did you mean 'status'?"},
        {MW "map: {status: closed}}}\n",
         "1:53: error: 'status' of 'map' must be a map from the target's word to a common one"},
        {MW "map: {status: {WAPPR: triagd}}}}\n",
         "1:61: error: unknown common status 'triagd', did you mean 'triaged'?"},
        {MW "map: {priority: {1: 1}}}}\n",
         "1:59: error: unknown common priority '1'; known here: critical, high, medium, low"},
        {MW "map: {event: {X: work_order.create}}}}\n",
         "1:56: error: unknown common event 'work_order.create', did you mean 'work_order.created'?"},
        {MW "map: {status: {X: [closed]}}}}\n", "1:57: error: 'map': 'X' must be one word: what it means"},
        {MW "map: {status: {X: }}}}\n", "1:57: error: 'map': 'X' must be one word: what it means"},
        {MW "map: {status: {'': closed}}}}\n", "1:54: error: 'map': a word of the target's cannot be empty"},
        {MW "api_key: }}\n", "1:48: error: 'api_key' has no value; write one, or remove the line"},
        {MW "api_key: '${key}'}}\n", "1:48: error: '${key}' does not work here: a setting knows ${file:path} and "
                                     "${env:NAME}, and $${ for a literal ${"},
    };
    ASSERT_SAYINGS(sayings);
}

static void test_config_signature_problems(void **state)
{
    (void)state;
    static const struct saying sayings[] = {
        {MW "webhook_signature: {header: a}}}\n", "1:58: error: 'webhook_signature': 'profile' is missing: "
                                                  "standard_webhooks, github, hmac or bearer"},
        {MW "webhook_signature: {profile: github, prefix: a}}}\n",
         "1:58: error: 'webhook_signature': only hmac and bearer have settings of their own"},
        {MW "webhook_signature: {profile: hmac}}}\n",
         "1:58: error: 'webhook_signature': 'header' is missing: the one with the signature"},
        {MW "webhook_signature: {profile: hmac, header: A, signed: body}}}\n",
         "1:58: error: 'webhook_signature': 'signed' must hold {body}, such as {time}.{body}"},
        {MW "webhook_signature: {profile: hmac, header: A, time_header: B}}}\n",
         "1:58: error: 'webhook_signature': 'time_header' (or 'time_key') and a {time} in 'signed' go together: a time "
         "that is not "
         "signed proves nothing"},
        {MW "webhook_signature: {profile: hmac, header: A, signed: '{id}{body}'}}}\n",
         "1:58: error: 'webhook_signature': 'id_header' and a {id} in 'signed' go together"},
        {MW "webhook_signature: {profile: hmac, header: A, signed: '{nonce}{body}'}}}\n",
         "1:58: error: 'webhook_signature': 'nonce_key' and a {nonce} in 'signed' go together"},
        {MW "webhook_signature: {profile: hmac, header: A, time_key: t, signed: '{time}{body}'}}}\n",
         "1:58: error: 'webhook_signature': 'time_key' and 'nonce_key' need 'sign_key': the one with the signature"},
        {MW "webhook_signature: {profile: hmac, header: A, sign_key: v1, prefix: a}}}\n",
         "1:58: error: 'webhook_signature': 'prefix' and 'sign_key' are two kinds of header: say one"},
        {MW "webhook_signature: {profile: hmac, header: A, sign_key: v1, time_key: t, time_header: B, signed: "
            "'{time}{body}'}}}\n",
         "1:58: error: 'webhook_signature': the time stands in 'time_key' or in 'time_header', not in both"},
        {MW "webhook_signature: {profile: hmac, header: A, sign_key: 'a=b'}}}\n",
         "1:58: error: 'webhook_signature': 'a=b' is no key of a pair such as v1=..."},
        {MW "webhook_signature: {profile: hmac, header: A, sign_key: t, time_key: t, signed: '{time}{body}'}}}\n",
         "1:58: error: 'webhook_signature': 't' is the key of two things"},
        {MW "webhook_signature: {profile: github, sign_key: a}}}\n",
         "1:58: error: 'webhook_signature': only hmac and bearer have settings of their own"},
        {MW "webhook_signature: {profile: bearer, encoding: hex}}}\n",
         "1:58: error: 'webhook_signature': bearer knows 'header' and 'prefix'"},
        {MW "webhook_signature: {profile: hmac, header: 'A B'}}}\n",
         "1:58: error: 'webhook_signature': 'A B' is no header's name"},
    };
    ASSERT_SAYINGS(sayings);
}

#define BIRTHS                                                                                                        \
    "a Sparkplug route needs births and deaths too: spBv1.0/{group}/{type}/{node}/{device...}, where group and node " \
    "may be names"
static void test_config_route_problems(void **state)
{
    (void)state;
#define R BASE "routes:\n- "
    static const struct saying sayings[] = {
        {"routes: {a: 1}\n", "1:9: error: 'routes' must be a list: each route starts with '- name: ...'"},
        {R "\n", "3:2: error: this route is empty"},
        {R "{from: a, to: mw.x}\n", "3:3: error: route: 'name' is missing"},
        {R "{name: A b, from: a, to: mw.x}\n", "3:10: error: 'A b' cannot name a route: letters, digits, '_', '-' and "
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
        {ROUTE "  batch: {max: 0}\n", "6:16: error: 'max' must be from 1 to 1000000, not '0'"},
        {ROUTE "  batch: {wait: 2d}\n", "6:17: error: 'wait' must be from 0 to 1d, not '2d'"},
        {ROUTE "  batch: {most: 3}\n", "6:11: error: unknown key 'most'; known here: max, wait"},
        {R "{name: r, from: 'spBv1.0/g/DDATA/n/#', format: sparkplug, to: mw.x}\n", "3:19: error: " BIRTHS},
        {R "{name: r, from: 'spBv1.0/g/+/n/+', format: sparkplug, to: mw.x}\n", "3:19: error: " BIRTHS},
        {R "{name: r, from: 'x/g/+/n/#', format: sparkplug, to: mw.x}\n", "3:19: error: " BIRTHS},
        {R "{name: r, from: 'spBv1.0/#', format: sparkplug, each: '${.}', to: mw.x}\n",
         "3:57: error: with 'format: sparkplug' each metric is a reading already"},
        {R "{name: r, from: 'spBv1.0/{g}/{t}/{n}/{d...}', format: sparkplug, metric: [], to: mw.x}\n",
         "3:76: error: 'metric' is an empty list"},
        {ROUTE "  metric: M\n", "6:11: error: 'metric' goes with 'format: sparkplug' only"},
        {ROUTE "  late: 5m\n", "3:3: error: 'late' needs 'time' and a trigger"},
        {TRIGGER "    above: 1\n    unit: {from: psi, to: bar}\n",
         "8:11: error: unknown unit 'psi', did you mean '[psi]'?"},
        {TRIGGER "    above: 1\n    unit: {from: bar, to: Cel}\n",
         "8:11: error: 'bar' measures pressure, 'Cel' temperature"},
        {TRIGGER "    above: 1\n    unit: {from: bar}\n", "8:11: error: unit: 'to' is missing"},
        {ROUTE "  format: xml\n", "6:11: error: 'format' must be json, number, text, csv or sparkplug, not 'xml'"},
        {ROUTE "  format: {columns: [a]}\n", "6:11: error: format: 'type' is missing"},
        {ROUTE "  format: {type: text, columns: [a]}\n", "6:33: error: 'columns' goes with 'type: csv' only"},
        {ROUTE "  format: {type: csv, columns: [a, ~, a]}\n", "6:39: error: column 'a' stands twice"},
        {ROUTE "  format: {type: csv, columns: a}\n",
         "6:32: error: 'columns' must be a list of names, such as [time, ~, celsius]; ~ leaves a field out"},
        {ROUTE "  format: {type: csv, separator: ab}\n",
         "6:34: error: 'separator' must be one character, such as ';' or \"\\t\""},
        {ROUTE "  format: {type: csv, separator: ',', decimal: ','}\n",
         "6:34: error: 'separator' cannot be told from a number's own characters"},
        {ROUTE "  format: {type: text, decimal: ','}\n",
         "6:33: error: 'decimal' goes with 'type: csv' and 'type: number' only"},
        {ROUTE "  format: {type: csv, decimal: ','}\n",
         "6:32: error: with a decimal ',' the 'separator' must be another"},
        {ROUTE "  unit: K\n", "6:3: error: 'unit' belongs under 'trigger'"},
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
         "7:5: error: a trigger has one condition, such as 'above', 'when' or 'absent'; here are 0"},
        {TRIGGER "    cooldown: 1h\n    clear: 4\n",
         "7:5: error: a trigger has one condition, such as 'above', 'when' or 'absent'; here are 0"},
        {TRIGGER "    above: 5\n    when: .x\n",
         "7:5: error: a trigger has one condition, such as 'above', 'when' or 'absent'; here are 2"},
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
        {TRIGGER "    above: 5\n    for: soon\n",
         "8:10: error: 'for' must look like 250ms, 30s, 15m, 1h or 7d, not 'soon'"},
        {TRIGGER "    absent: 10ms\n", "7:13: error: 'absent' must be from 1s to 3650d, not '10ms'"},
        {TRIGGER "    above: 5\n    until: open\n", "8:12: error: 'until' must be closed, not 'open'"},
        {TRIGGER "    above: 5\n    repeat: 0\n", "8:13: error: 'repeat' must be from 1 to 10000, not '0'"},
        {TRIGGER "    absent: 1h\n    every: 5\n",
         "7:5: error: a trigger has one condition, such as 'above', 'when' or 'absent'; here are 2"},
        {ROUTE "  budget: 24/1d\n", "6:3: error: 'budget' belongs under 'trigger'"},
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

static void test_config_caps_targets_and_options(void **state)
{
    (void)state;
    struct buf targets = {0}, options = {0};
    buf_puts(&targets, "targets:\n");
    buf_puts(&options, "targets:\n  mw:\n    plugin: p\n    mode: read\n");
    for (int i = 0; i <= 1000; i++) {
        buf_printf(&targets, "  t%d: {plugin: p, mode: read}\n", i);
        buf_printf(&options, "    o%d: 1\n", i);
    }
    assert_said(targets.data, "f:1002:3: error: more than 1000 targets\n");
    assert_said(options.data, "f:1005:5: error: more than 1000 options\n");
    buf_finish(&targets);
    buf_finish(&options);
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

static void test_config_viewers_name_targets_and_stand_beside_an_admin(void **state) /* FV-09a */
{
    (void)state;
#define TARGETS "targets: {mw: {plugin: p, mode: read}, as: {plugin: p, mode: read}}\n"
    assert_said(TARGETS
                "http: {admin_token: t, viewers: {a: {token: u, targets: mw}, b: {token: v, targets: [mw, as]}}}\n",
                "");
    assert_said(TARGETS "http: {admin_token: t, viewers: {a: {token: u, targets: mw}, b: {token: v, targets: [mv]}}}\n",
                "f:2:86: error: unknown target 'mv', did you mean 'mw'?\n");
    assert_said(
        TARGETS "http: {viewers: {a: {token: t, targets: mw}}}\n",
        "f:2:18: error: 'viewers' need an 'admin_token' beside them: without one, whoever sends no token may do "
        "all\n");
    assert_said(TARGETS "http: {admin_token: t, viewers: {A: {token: u, targets: []}, b: {target: mw}}}\n",
                "f:2:34: error: 'A' cannot name a viewer: small letters, digits, '_' and '-' only, at most 64\n"
                "f:2:57: error: 'targets' of a viewer is a list of target names\n"
                "f:2:62: error: viewer: 'token' is missing\n"
                "f:2:62: error: viewer: 'targets' is missing\n"
                "f:2:66: error: unknown key 'target', did you mean 'targets'?\n");
#undef TARGETS
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_defaults),
        cmocka_unit_test(test_config_instance_defaults_to_the_host),
        cmocka_unit_test(test_config_reads_what_is_said),
        cmocka_unit_test(test_config_webhook_secrets_by_event),
        cmocka_unit_test(test_config_auth_and_signature),
        cmocka_unit_test(test_config_signature_of_pairs),
        cmocka_unit_test(test_config_trigger_values),
        cmocka_unit_test(test_config_unknown_keys_name_the_nearest),
        cmocka_unit_test(test_config_wrong_values_say_what_is_right),
        cmocka_unit_test(test_config_target_problems),
        cmocka_unit_test(test_config_signature_problems),
        cmocka_unit_test(test_config_route_problems),
        cmocka_unit_test(test_config_trigger_problems),
        cmocka_unit_test(test_config_trigger_limits_may_touch),
        cmocka_unit_test(test_config_caps_targets_and_options),
        cmocka_unit_test(test_config_reports_every_problem),
        cmocka_unit_test(test_config_viewers_name_targets_and_stand_beside_an_admin),
        cmocka_unit_test(test_config_admin_beyond_loopback_needs_a_token),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
