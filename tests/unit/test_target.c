/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: what their settings make of them, and what is wrong with settings. */
#include "target_fixture.h"

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

static void test_target_passes_on_what_open_says(void **state)
{
    (void)state;
    f.options[1].text = TEXT("nowhere");
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
    f.config.url = TEXT(url);
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
    url_is("https://api.example.com/v1.0/.../.x/x..", true);
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
    url_is("https://api.example.com/a/../b", false); /* curl would ask for /b */
    url_is("https://api.example.com/..", false);
    url_is("https://api.example.com/./", false);
    url_is("https://api.example.com/a/%2e%2E/b", false);
    url_is("https://api.example.com/a/.%2e", false);
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
    f.modes[1] = (struct config_mode_entry){TEXT("thing.creat"), MODE_WRITE_BACK, {"busbar.yaml", 9, 5}};
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
    struct config_secret secrets[] = {{TEXT("ThingWasMade"), TEXT("a")}, {TEXT("ThingWasBrokn"), TEXT("b")}};
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

/* FV-15: the site's lines win, and a word that it took from a common one is no longer sent for it. */
static void test_target_tables_are_the_site_s_then_the_plugin_s(void **state)
{
    (void)state;
    struct config_map_line statuses[] = {{TEXT("waiting"), "blocked"}, {TEXT("done"), "closed"}},
                           priorities[] = {{TEXT("1"), "high"}, {TEXT("2"), "high"}};
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
        TEST(test_target_passes_on_what_open_says),
        TEST(test_target_takes_the_default_url),
        TEST(test_target_accepts_urls),
        TEST(test_target_refuses_urls),
        TEST(test_target_checks_modes),
        TEST(test_target_warns_of_events_that_the_plugin_does_not_know),
        TEST(test_target_accepts_unsigned_on_request),
        TEST(test_target_refuses_secrets_without_webhooks),
        TEST(test_target_refuses_a_secret_for_the_unsigned),
        TEST(test_target_checks_secrets_of_the_profile),
        TEST(test_target_has_the_operations_that_its_settings_make),
        TEST(test_target_refuses_modes_of_what_its_settings_do_not_make),
        TEST(test_target_refuses_what_is_described_wrong),
        TEST(test_target_tables_are_the_site_s_then_the_plugin_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
