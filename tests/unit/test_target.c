/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: options, url, modes, credentials, and what a plugin may put into a request. */
#include "unit.h"

#include "loader.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The config struct of tests/plugins/good.c. */
struct good_config {
    const char *site;
    bool fast;
    int64_t floor;
    double factor;
    int64_t patience_ms;
    const char *codes;
};

static struct fixture {
    struct config_target config;
    struct config_option options[8];
    struct config_mode_entry modes[2];
    struct config_secret secret;
    const struct loaded_plugin *plugin;
    struct problems problems;
    struct target *target;
    struct bb_job job;
    struct http_request request;
    const char *error;
} f;

static void give(const char *name, const char *text)
{
    struct config_option *option = &f.options[f.config.option_count++];
    *option = (struct config_option){
        .name = (char *)(uintptr_t)name, .text = (char *)(uintptr_t)text, .mark = {"busbar.yaml", 7, 3}};
}

static int setup(void **state)
{
    (void)state;
    f = (struct fixture){0};
    char *path cleanup_text = mem_printf("%s/tests/plugins/good.so", getenv("TEST_BUILD_DIR"));
    char *error cleanup_text = NULL;
    f.plugin = loader_load(path, &error);
    assert_non_null(f.plugin);
    f.secret.secret = (char *)(uintptr_t) "hook-secret";
    f.config = (struct config_target){.name = (char *)(uintptr_t) "t",
                                      .mark = {"busbar.yaml", 5, 1},
                                      .options = f.options,
                                      .modes = f.modes,
                                      .webhook_secrets = &f.secret,
                                      .webhook_secret_count = 1};
    give("api_key", "s3cret-key");
    give("site", "Factory Inc.");
    job_init(&f.job, "t", "good", 1, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    target_destroy(f.target);
    problems_finish(&f.problems);
    job_finish(&f.job);
    return 0;
}

static void create(void)
{
    f.target = target_create(&f.config, f.plugin, &f.problems);
}

static void created(void)
{
    create();
    struct buf text cleanup_buf = {0};
    problems_print(&f.problems, &text);
    if (!f.target || f.problems.count)
        fail_msg("%s", text.data);
}

static void says(const char *what)
{
    struct buf text cleanup_buf = {0};
    problems_print(&f.problems, &text);
    if (!text.data || !strstr(text.data, what))
        fail_msg("\"%s\" does not say \"%s\"", text.data, what);
}

static void refused(const char *what)
{
    create();
    assert_null(f.target);
    says(what);
}

/* ---- options ------------------------------------------------------------------ */

static void test_target_fills_defaults(void **state)
{
    (void)state;
    created();
    const struct good_config *config = f.target->plugin_config;
    assert_string_equal(config->site, "Factory Inc.");
    assert_true(config->fast);
    assert_int_equal(config->floor, -3);
    assert_true(config->factor > 1.49 && config->factor < 1.51);
    assert_int_equal(config->patience_ms, 900000);
    assert_string_equal(config->codes, "{\"a\":1}");
}

static void test_target_binds_each_type(void **state)
{
    (void)state;
    give("fast", "false");
    give("floor", "12");
    give("factor", "0.25");
    give("patience", "250ms");
    give("codes", "x\"y");
    created();
    const struct good_config *config = f.target->plugin_config;
    assert_false(config->fast);
    assert_int_equal(config->floor, 12);
    assert_true(config->factor > 0.24 && config->factor < 0.26);
    assert_int_equal(config->patience_ms, 250);
    assert_string_equal(config->codes, "\"x\\\"y\"");
}

static void test_target_reads_json_from_yaml(void **state)
{
    (void)state;
    struct yaml_tree *tree = yaml_read_text(SPAN("codes: {a: [1, 2.50, yes], b: null}"), "x", &f.problems);
    give("codes", NULL);
    f.options[f.config.option_count - 1].node = yaml_get(yaml_root(tree), "codes");
    created();
    const struct good_config *config = f.target->plugin_config;
    assert_string_equal(config->codes, "{\"a\":[1,2.50,\"yes\"],\"b\":null}");
    yaml_destroy(tree);
}

static void test_target_names_the_place_of_a_wrong_type(void **state)
{
    (void)state;
    give("floor", "ground");
    refused("busbar.yaml:7:3: error: option floor of target t must be a whole number");
}

static void test_target_reports_all_wrong_options(void **state)
{
    (void)state;
    give("fast", "perhaps");
    give("patience", "long");
    refused("option fast of target t must be true or false");
    says("option patience of target t must be a duration");
}

static void test_target_refuses_a_list_for_text(void **state)
{
    (void)state;
    struct yaml_tree *tree = yaml_read_text(SPAN("[1, 2]"), "x", &f.problems);
    f.options[1].text = NULL;
    f.options[1].node = yaml_root(tree);
    refused("option site of target t must be one value");
    yaml_destroy(tree);
}

static void test_target_suggests_the_nearest_option(void **state)
{
    (void)state;
    give("flor", "1");
    refused("the plugin good has no option flor; did you mean floor?");
}

static void test_target_wants_required_options(void **state)
{
    (void)state;
    f.config.option_count = 1;
    refused("target t needs the option site: name of the site");
}

static void test_target_wants_the_secret(void **state)
{
    (void)state;
    f.options[0].text = (char *)(uintptr_t) "";
    refused("option api_key of target t is empty");
}

static void test_target_never_prints_a_secret(void **state)
{
    (void)state;
    f.options[0].text = (char *)(uintptr_t) "line\nbreak-secret";
    refused("which no header may hold");
    struct buf text cleanup_buf = {0};
    problems_print(&f.problems, &text);
    assert_null(strstr(text.data, "break-secret"));
}

static void test_target_keeps_the_secret_from_the_plugin(void **state) /* MW-C02 */
{
    (void)state;
    created();
    const char *bytes = f.target->plugin_config;
    for (size_t i = 0; i + sizeof(char *) <= sizeof(struct good_config); i += sizeof(char *)) {
        const char *pointer;
        memcpy(&pointer, bytes + i, sizeof pointer);
        assert_ptr_not_equal(pointer, f.target->auth_value);
        assert_ptr_not_equal(pointer, f.options[0].text);
    }
}

static void test_target_passes_on_what_open_says(void **state)
{
    (void)state;
    f.options[1].text = (char *)(uintptr_t) "nowhere";
    refused("target t: the plugin good says: there is no site nowhere");
}

/* ---- url ------------------------------------------------------------------------ */

static void test_target_takes_the_default_url(void **state)
{
    (void)state;
    created();
    assert_string_equal(f.target->url, "https://good.example/base");
}

static void url_is(const char *url, bool good)
{
    f.config.url = (char *)(uintptr_t)url;
    problems_finish(&f.problems);
    struct target *target = target_create(&f.config, f.plugin, &f.problems);
    if (!target == good)
        fail_msg("%s should be %s", url, good ? "accepted" : "refused");
    target_destroy(target);
}

static void test_target_accepts_urls(void **state) /* MW-C01 */
{
    (void)state;
    url_is("https://api.example.com", true);
    url_is("https://api.example.com:8443/v1/", true);
    url_is("https://[2001:db8::1]:443", true);
    url_is("http://127.0.0.1:8080", true);
    url_is("http://127.9.9.9", true);
    url_is("http://[::1]:8080", true);
    url_is("http://localhost:8080/x", true);
}

static void test_target_refuses_urls(void **state) /* MW-C01 */
{
    (void)state;
    url_is("", false);
    url_is("api.example.com", false);
    url_is("ftp://api.example.com", false);
    url_is("http://api.example.com", false);
    url_is("http://127.0.0.1.example.com", false);
    url_is("http://localhost.example.com", false);
    url_is("http://localhost@example.com", false);
    url_is("http://128.0.0.1", false);
    url_is("http://[2001:db8::1]", false);
    url_is("https://user:pass@api.example.com", false);
    url_is("https://api.example.com/?a=b", false);
    url_is("https://api.example.com/#a", false);
    url_is("https://api.example.com\\@evil.example", false);
    url_is("https://api.example.com:0", false);
    url_is("https://api.example.com:http", false);
    url_is("https://api.example.com:", false);
    url_is("https:///path", false);
    url_is("https://:443", false);
    url_is("https://[::1", false);
    url_is("https://a b", false);
    url_is("https://a\r\nHost: b", false);
}

/* ---- modes and webhooks ------------------------------------------------------------ */

static void test_target_checks_modes(void **state)
{
    (void)state;
    f.modes[0] = (struct config_mode_entry){NULL, MODE_READ, {0}};
    f.modes[1] = (struct config_mode_entry){(char *)(uintptr_t) "thing.creat", MODE_WRITE_BACK, {"busbar.yaml", 9, 5}};
    f.config.mode_count = 2;
    refused("busbar.yaml:9:5: error: mode of target t: the plugin good has no operation thing.creat; did you mean "
            "thing.create?");
}

static const char *const good_events[] = {"ThingWasMade", "ThingWasBroken", NULL};

/* New ones may come, so it is no error. */
static void test_target_warns_of_events_that_the_plugin_does_not_know(void **state)
{
    (void)state;
    struct loaded_plugin knowing = {.descriptor = f.plugin->descriptor, .path = f.plugin->path};
    struct config_secret secrets[] = {{(char *)(uintptr_t) "ThingWasMade", (char *)(uintptr_t) "a"},
                                      {(char *)(uintptr_t) "ThingWasBrokn", (char *)(uintptr_t) "b"}};
    knowing.descriptor.hook_events = good_events;
    f.config.webhook_secrets = secrets;
    f.config.webhook_secret_count = 2;
    f.plugin = &knowing;
    create();
    assert_non_null(f.target);
    says("warning: webhook_secret of target t: the plugin good knows no event ThingWasBrokn; did you mean "
         "ThingWasBroken?");
    target_destroy(f.target); /* while what it was made of is there */
    f.target = NULL;
}

static void test_target_accepts_unsigned_on_request(void **state)
{
    (void)state;
    f.config.webhook_secret_count = 0;
    f.config.allow_unsigned = true;
    created();
}

static struct loaded_plugin copy_of_good(void)
{
    return (struct loaded_plugin){.descriptor = f.plugin->descriptor, .path = f.plugin->path};
}

static void test_target_refuses_secrets_without_webhooks(void **state)
{
    (void)state;
    struct loaded_plugin copy = copy_of_good();
    copy.descriptor.hook = (struct bb_hook){0};
    f.plugin = &copy;
    refused("the plugin good takes no webhooks");
}

static void test_target_refuses_a_secret_for_the_unsigned(void **state)
{
    (void)state;
    struct loaded_plugin copy = copy_of_good();
    copy.descriptor.hook.signature = (struct bb_signature){0};
    f.plugin = &copy;
    refused("does not sign its webhooks");
}

/* ---- requests ------------------------------------------------------------------------- */

static int ask(struct bb_request request)
{
    return target_request(f.target, &f.job, &request, &f.request, &f.error);
}

static const struct http_header *sent_header(const char *name)
{
    for (size_t i = 0; i < f.request.header_count; i++)
        if (strcmp(f.request.headers[i].name, name) == 0)
            return &f.request.headers[i];
    return NULL;
}

static void test_target_makes_a_request(void **state) /* MW-C02, MW-C03, MW-C04 */
{
    (void)state;
    created();
    const struct bb_header extra = {"X-Extra", {"yes", 3}};
    assert_int_equal(
        ask((struct bb_request){
            .method = "POST", .path = "/things?a=b..c", .body = {"{}", 2}, .headers = &extra, .header_count = 1}),
        0);
    assert_string_equal(f.request.url, "https://good.example/base/things?a=b..c");
    assert_true(span_is(sent_header("Api-Key")->value, "s3cret-key"));
    assert_true(span_is(sent_header("Content-Type")->value, "application/json"));
    assert_true(span_is(sent_header("X-Extra")->value, "yes"));
    assert_true(span_is(f.request.body, "{}"));
    assert_string_equal(f.request.options->user_agent, "busbar/" BUSBAR_VERSION " Factory Inc.");
}

static void test_target_sends_no_content_type_without_body(void **state)
{
    (void)state;
    created();
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/things"}), 0);
    assert_null(sent_header("Content-Type"));
}

static void auth_is(struct bb_auth auth, const char *value)
{
    struct loaded_plugin copy = copy_of_good();
    copy.descriptor.auth = auth;
    const struct loaded_plugin *good = f.plugin;
    f.plugin = &copy;
    created();
    f.plugin = good;
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/"}), 0);
    assert_true(span_is(sent_header("Authorization")->value, value));
    target_destroy(f.target);
    f.target = NULL;
}

static void test_target_authenticates_with_bearer(void **state)
{
    (void)state;
    auth_is((struct bb_auth){BB_AUTH_BEARER, NULL, "api_key", NULL}, "Bearer s3cret-key");
}

static void test_target_authenticates_with_basic(void **state)
{
    (void)state;
    auth_is((struct bb_auth){BB_AUTH_BASIC, NULL, "api_key", "site"}, "Basic RmFjdG9yeSBJbmMuOnMzY3JldC1rZXk=");
}

static void request_refused(struct bb_request request, const char *reason)
{
    assert_int_equal(ask(request), -1);
    if (!strstr(f.error, reason))
        fail_msg("\"%s\" does not say \"%s\"", f.error, reason);
}

static void test_target_refuses_methods(void **state)
{
    (void)state;
    created();
    request_refused((struct bb_request){.method = "CONNECT", .path = "/"}, "method");
    request_refused((struct bb_request){.method = "get", .path = "/"}, "method");
    request_refused((struct bb_request){.method = NULL, .path = "/"}, "method");
    request_refused((struct bb_request){.method = "GET", .path = "/", .body = {"x", 1}}, "GET has a body");
    request_refused((struct bb_request){.method = "POST", .path = "/", .cache_ms = 1}, "cache_ms");
}

static void test_target_refuses_paths(void **state)
{
    (void)state;
    created();
    static const char *const paths[] = {"",
                                        "things",
                                        "https://evil.example/",
                                        "@evil.example/",
                                        "/a b",
                                        "/a\r\nX: y",
                                        "/a\nb",
                                        "/a#b",
                                        "/../up",
                                        "/a/./b",
                                        "/a/..",
                                        "/%2e%2E/up",
                                        "/.%2e",
                                        "/a\\b",
                                        "/\xc3\xa9",
                                        "/\x7f"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        request_refused((struct bb_request){.method = "GET", .path = paths[i]}, "path");
    request_refused((struct bb_request){.method = "GET", .path = NULL}, "path");
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/a..b/.../x?y=../.."}), 0);
}

static void header_refused(const char *name, struct bb_str value, const char *reason)
{
    const struct bb_header header = {name, value};
    request_refused((struct bb_request){.method = "GET", .path = "/", .headers = &header, .header_count = 1}, reason);
}

static void test_target_refuses_headers(void **state)
{
    (void)state;
    created();
    header_refused("authorization", (struct bb_str){"x", 1}, "the core's");
    header_refused("API-KEY", (struct bb_str){"x", 1}, "the core's");
    header_refused("Host", (struct bb_str){"x", 1}, "the core's");
    header_refused("Transfer-Encoding", (struct bb_str){"x", 1}, "the core's");
    header_refused("X-A", (struct bb_str){"a\r\nB: c", 7}, "line break");
    header_refused("X-A", (struct bb_str){"a\0b", 3}, "line break");
    header_refused("X A", (struct bb_str){"x", 1}, "proper name");
    header_refused("X-A: b\r\nY", (struct bb_str){"x", 1}, "proper name");
    header_refused(NULL, (struct bb_str){"x", 1}, "proper name");
    request_refused((struct bb_request){.method = "POST", .path = "/", .body = {"x", 1}, .content_type = "a\r\nb"},
                    "content_type");
}

/* ---- the target's own auth ------------------------------------------------------------------ */

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static void own_auth_is(struct config_auth auth, const char *name, const char *value)
{
    f.config.option_count = 0;
    give("site", "Factory Inc.");
    auth.mark = (struct mark){"busbar.yaml", 6, 3};
    f.config.auth = auth;
    created();
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/"}), 0);
    assert_null(sent_header("Api-Key"));
    if (name)
        assert_true(span_is(sent_header(name)->value, value));
    else
        assert_int_equal(f.request.header_count, 0);
}

/* It stands for the plugin's secret, which is then not asked for. */
static void test_target_own_bearer(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_BEARER, .bearer = TEXT("t0ken")}, "Authorization", "Bearer t0ken");
}

static void test_target_own_basic(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_BASIC, .basic = {TEXT("user"), TEXT("pass")}}, "Authorization",
                "Basic dXNlcjpwYXNz");
}

static void test_target_own_header(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_HEADER, .header = {TEXT("X-Api-Key"), TEXT("k3y-of-ours")}},
                "X-Api-Key", "k3y-of-ours");
    header_refused("x-api-key", (struct bb_str){"x", 1}, "the core's");
    const struct bb_str body = {"k3y-of-ours", 11};
    assert_int_equal(ask((struct bb_request){.method = "POST", .path = "/", .body = body}), 0);
    struct buf text cleanup_buf = {0};
    target_request_print(&f.request, f.target, &text, 8192);
    assert_null(strstr(text.data, "k3y"));
    assert_non_null(strstr(text.data, "X-Api-Key: ***"));
}

static void test_target_own_header_hides_what_is_behind_its_scheme(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_HEADER, .header = {TEXT("Authorization"), TEXT("token k3y:s3cret")}},
                "Authorization", "token k3y:s3cret");
    struct buf text cleanup_buf = {0};
    target_scrub(f.target, SPAN("you sent k3y:s3cret"), &text, 100);
    assert_string_equal(text.data, "you sent ***");
}

static void test_target_own_auth_may_be_none(void **state)
{
    (void)state;
    own_auth_is((struct config_auth){.kind = AUTH_NONE}, NULL, NULL);
}

static void test_target_refuses_auth_beside_the_plugin_s_secret(void **state)
{
    (void)state;
    f.config.auth = (struct config_auth){.kind = AUTH_BEARER, .bearer = TEXT("t0ken")};
    refused("target t has auth and the option api_key: one of them is the credential");
}

static void test_target_checks_secrets_of_the_profile(void **state)
{
    (void)state;
    f.config.signature.profile = SIGNATURE_STANDARD_WEBHOOKS;
    refused("webhook_secret of target t must be whsec_ and a key in base64");
    struct buf text cleanup_buf = {0};
    problems_print(&f.problems, &text);
    assert_null(strstr(text.data, "hook-secret"));
}

/* ---- what the settings make of a plugin -------------------------------------------------------- */

static struct bb_operation described = {
    .name = "thing.poke", .help = "Pokes.", .flags = BB_WRITES | BB_IDEMPOTENT, .max_batch = 1};

static void describe(void *self, struct bb_description *description)
{
    (void)self;
    assert_int_equal(description->size, sizeof *description);
    assert_string_equal(description->hook.event_pointer, "/event"); /* comes as the descriptor has it */
    description->operations = &described;
    description->operation_size = sizeof described;
    description->operation_count = 1;
    description->hook = (struct bb_hook){.event_pointer = "/what"};
}

static struct loaded_plugin describing(void)
{
    struct loaded_plugin copy = copy_of_good();
    copy.descriptor.describe = describe;
    return copy;
}

static void test_target_has_the_operations_that_its_settings_make(void **state)
{
    (void)state;
    struct loaded_plugin copy = describing();
    const struct loaded_plugin *good = f.plugin;
    f.plugin = &copy;
    f.config.signature.profile = SIGNATURE_GITHUB;
    f.modes[0] = (struct config_mode_entry){TEXT("thing.poke"), MODE_READ, {"busbar.yaml", 8, 1}};
    f.config.mode_count = 1;
    created();
    f.plugin = good;
    struct bb_operation operation;
    assert_true(plugin_find_operation(f.target->plugin, "thing.poke", &operation));
    assert_int_equal(operation.flags, BB_WRITES | BB_IDEMPOTENT);
    assert_false(plugin_find_operation(f.target->plugin, "thing.create", &operation));
    assert_string_equal(f.target->plugin->hook.event_pointer, "/what");
    assert_string_equal(copy.descriptor.hook.event_pointer, "/event");
    assert_null(f.target->plugin->poll);
}

static void test_target_refuses_modes_of_what_its_settings_do_not_make(void **state)
{
    (void)state;
    struct loaded_plugin copy = describing();
    f.plugin = &copy;
    f.config.signature.profile = SIGNATURE_GITHUB;
    f.modes[0] = (struct config_mode_entry){TEXT("thing.pook"), MODE_READ, {"busbar.yaml", 8, 1}};
    f.config.mode_count = 1;
    refused("the plugin good has no operation thing.pook; did you mean thing.poke?");
}

static void test_target_refuses_what_is_described_wrong(void **state)
{
    (void)state;
    struct loaded_plugin copy = describing();
    f.plugin = &copy;
    f.config.signature.profile = SIGNATURE_GITHUB;
    described.name = "poke";
    create();
    described.name = "thing.poke";
    assert_null(f.target);
    says("operation 0 (poke) is not named resource.verb");
}

/* ---- for people --------------------------------------------------------------------------- */

static void test_target_prints_requests_without_the_secret(void **state)
{
    (void)state;
    created();
    const char body[] = "{\"leak\":\"s3cret-key\"}";
    assert_int_equal(ask((struct bb_request){.method = "POST", .path = "/x", .body = {body, sizeof body - 1}}), 0);
    struct buf text cleanup_buf = {0};
    target_request_print(&f.request, f.target, &text, 8192);
    assert_string_equal(text.data, "POST https://good.example/base/x\nApi-Key: ***\nContent-Type: application/json\n"
                                   "User-Agent: busbar/" BUSBAR_VERSION " Factory Inc.\n\n{\"leak\":\"***\"}");
}

static void test_target_prints_no_short_secret(void **state)
{
    (void)state;
    f.options[0].text = (char *)(uintptr_t) "abc";
    created();
    assert_int_equal(ask((struct bb_request){.method = "GET", .path = "/abc"}), 0);
    struct buf text cleanup_buf = {0};
    target_request_print(&f.request, f.target, &text, 8192);
    assert_non_null(strstr(text.data, "Api-Key: ***\n"));
    assert_non_null(strstr(text.data, "/abc\n"));
}

static void test_target_hides_a_secret_however_json_escapes_it(void **state)
{
    (void)state;
    f.options[0].text = (char *)(uintptr_t) "ab/c\"d\\e";
    created();
    struct buf text cleanup_buf = {0};
    target_scrub(f.target, SPAN("as it is: ab/c\"d\\e."), &text, 8192);
    assert_string_equal(text.data, "as it is: ***.");
    buf_clear(&text);
    target_scrub(f.target, SPAN("{\"a\":\"ab\\/c\\\"d\\\\e\",\"b\":\"ab/c\\\"d\\\\e\"}"), &text, 8192);
    assert_string_equal(text.data, "{\"a\":\"***\",\"b\":\"***\"}");
    buf_clear(&text);
    target_scrub(f.target, SPAN("ab/c\"d\\ ab\\/c ab"), &text, 8192); /* begins like it */
    assert_string_equal(text.data, "ab/c\"d\\ ab\\/c ab");
}

static void test_target_cuts_at_a_character(void **state)
{
    (void)state;
    created();
    struct buf text cleanup_buf = {0};
    target_scrub(f.target, SPAN("ab\xe2\x82\xac\xe2\x82\xac"), &text, 6);
    assert_string_equal(text.data, "ab\xe2\x82\xac...");
    buf_clear(&text);
    target_scrub(f.target, SPAN("ab\xe2\x82\xac"), &text, 5);
    assert_string_equal(text.data, "ab\xe2\x82\xac");
}

static void test_target_heeds_retry_after(void **state)
{
    (void)state;
    const struct bb_header header = {"retry-after", {"60", 2}};
    const struct bb_response response = {.status = 503, .headers = &header, .header_count = 1};
    struct bb_out out = {0};
    target_heed_retry_after(BB_REJECT, &response, 0, &out);
    assert_int_equal(out.retry_after_ms, 0);
    target_heed_retry_after(BB_RETRY, &response, 0, &out);
    assert_int_equal(out.retry_after_ms, 60000);
    out.retry_after_ms = 5;
    target_heed_retry_after(BB_RETRY, &response, 0, &out);
    assert_int_equal(out.retry_after_ms, 5);
}

static void test_target_reads_retry_after_by_the_clock_of_the_target(void **state)
{
    (void)state;
    struct bb_header headers[] = {{"Retry-After", {"Sun, 06 Nov 1994 08:49:47 GMT", 29}},
                                  {"Date", {"Sun, 06 Nov 1994 08:49:37 GMT", 29}}};
    const struct bb_response response = {.status = 503, .headers = headers, .header_count = 2};
    for (int64_t hours = -1; hours <= 1; hours++) { /* whatever ours says */
        struct bb_out out = {0};
        target_heed_retry_after(BB_RETRY, &response, 784111777000 + hours * 3600000, &out);
        assert_int_equal(out.retry_after_ms, 10000);
    }
    headers[1].value = (struct bb_str){"yesterday", 9}; /* no date: ours then */
    struct bb_out out = {0};
    target_heed_retry_after(BB_RETRY, &response, 784111777000, &out);
    assert_int_equal(out.retry_after_ms, 10000);
}

/* FV-15: the site's lines win, and a word that it took from a common one is no longer sent for it. */
static void test_target_tables_are_the_site_s_then_the_plugin_s(void **state)
{
    (void)state;
    struct config_map_line statuses[] = {{(char *)(uintptr_t) "waiting", "blocked"},
                                         {(char *)(uintptr_t) "done", "closed"}},
                           priorities[] = {{(char *)(uintptr_t) "1", "high"}, {(char *)(uintptr_t) "2", "high"}};
    f.config.maps[WORDS_STATUS] = (struct config_map){statuses, 2};
    f.config.maps[WORDS_PRIORITY] = (struct config_map){priorities, 2};
    created();
    struct bb_job tried;
    target_init_job(f.target, &tried, 0, 0);
    const struct bb_host *host = host_table();
    assert_int_equal(f.target->tables[WORDS_STATUS].count, 4);
    assert_string_equal(host->common_word(&tried, BB_STATUSES, "open"), "requested");
    assert_string_equal(host->common_word(&tried, BB_STATUSES, "done"), "closed");
    assert_string_equal(host->common_word(&tried, BB_STATUSES, "waiting"), "blocked");
    assert_string_equal(host->source_word(&tried, BB_STATUSES, "completed"), "over");
    assert_string_equal(host->source_word(&tried, BB_STATUSES, "closed"), "done");
    assert_string_equal(host->source_word(&tried, BB_PRIORITIES, "high"), "1");
    job_finish(&tried);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_target_fills_defaults),
        TEST(test_target_binds_each_type),
        TEST(test_target_reads_json_from_yaml),
        TEST(test_target_names_the_place_of_a_wrong_type),
        TEST(test_target_reports_all_wrong_options),
        TEST(test_target_refuses_a_list_for_text),
        TEST(test_target_suggests_the_nearest_option),
        TEST(test_target_wants_required_options),
        TEST(test_target_wants_the_secret),
        TEST(test_target_never_prints_a_secret),
        TEST(test_target_keeps_the_secret_from_the_plugin),
        TEST(test_target_passes_on_what_open_says),
        TEST(test_target_takes_the_default_url),
        TEST(test_target_accepts_urls),
        TEST(test_target_refuses_urls),
        TEST(test_target_checks_modes),
        TEST(test_target_warns_of_events_that_the_plugin_does_not_know),
        TEST(test_target_accepts_unsigned_on_request),
        TEST(test_target_refuses_secrets_without_webhooks),
        TEST(test_target_refuses_a_secret_for_the_unsigned),
        TEST(test_target_makes_a_request),
        TEST(test_target_sends_no_content_type_without_body),
        TEST(test_target_authenticates_with_bearer),
        TEST(test_target_authenticates_with_basic),
        TEST(test_target_refuses_methods),
        TEST(test_target_refuses_paths),
        TEST(test_target_refuses_headers),
        TEST(test_target_own_bearer),
        TEST(test_target_own_basic),
        TEST(test_target_own_header),
        TEST(test_target_own_header_hides_what_is_behind_its_scheme),
        TEST(test_target_own_auth_may_be_none),
        TEST(test_target_refuses_auth_beside_the_plugin_s_secret),
        TEST(test_target_checks_secrets_of_the_profile),
        TEST(test_target_has_the_operations_that_its_settings_make),
        TEST(test_target_refuses_modes_of_what_its_settings_do_not_make),
        TEST(test_target_refuses_what_is_described_wrong),
        TEST(test_target_prints_requests_without_the_secret),
        TEST(test_target_prints_no_short_secret),
        TEST(test_target_hides_a_secret_however_json_escapes_it),
        TEST(test_target_cuts_at_a_character),
        TEST(test_target_heeds_retry_after),
        TEST(test_target_reads_retry_after_by_the_clock_of_the_target),
        TEST(test_target_tables_are_the_site_s_then_the_plugin_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
