/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "../abi/members.h"
#include "descriptor.h"
#include "loader.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *test_plugin(const char *name)
{
    return mem_printf("%s/tests/plugins/%s.so", getenv("TEST_BUILD_DIR"), name);
}

static const struct loaded_plugin *load(const char *name)
{
    char *path cleanup_text = test_plugin(name), *error cleanup_text = NULL;
    const struct loaded_plugin *plugin = loader_load(path, &error);
    if (!plugin)
        fail_msg("%s", error);
    assert_null(error);
    return plugin;
}

/* Loading must fail and say this. */
static void refused(const char *path, const char *reason)
{
    char *error cleanup_text = NULL;
    assert_null(loader_load(path, &error));
    assert_non_null(error);
    if (!strstr(error, reason))
        fail_msg("\"%s\" does not say \"%s\"", error, reason);
}

static void refused_plugin(const char *name, const char *reason)
{
    char *path cleanup_text = test_plugin(name);
    refused(path, reason);
}

static void on_path(const char *folder)
{
    setenv("BUSBAR_PLUGIN_PATH", folder, 1);
}

static void test_loader_loads_by_path(void **state)
{
    (void)state;
    const struct loaded_plugin *plugin = load("good");
    assert_string_equal(plugin->descriptor.name, "good");
    assert_non_null(plugin->descriptor.step);
}

static void test_loader_loads_by_name_from_the_path(void **state)
{
    (void)state;
    char *path cleanup_text = mem_printf("/nonexistent:%s/tests/plugins", getenv("TEST_BUILD_DIR"));
    on_path(path);
    char *error cleanup_text = NULL;
    const struct loaded_plugin *plugin = loader_load("good", &error);
    assert_non_null(plugin);
    assert_ptr_equal(plugin, load("good")); /* one file, one plugin */
}

static void test_loader_names_every_place(void **state)
{
    (void)state;
    on_path("/first:/second");
    refused("gone", "/first/gone.so, /second/gone.so, ");
    refused("gone", "/../lib/busbar/plugins/gone.so, ");
}

static void test_loader_suggests_the_nearest(void **state)
{
    (void)state;
    char *path cleanup_text = mem_printf("%s/tests/plugins", getenv("TEST_BUILD_DIR"));
    on_path(path);
    refused("old_plugins", "did you mean old_plugin?");
}

static void test_loader_refuses_what_is_no_plugin(void **state)
{
    (void)state;
    refused("/nonexistent/x.so", "no such file: /nonexistent/x.so");
    refused_plugin("no_symbol", "exports no busbar_plugin");
    refused_plugin("wrong_magic", "its magic is 0x12345678");
    refused_plugin("newer_abi", "needs ABI 2, this busbar speaks 1");
    refused_plugin("short_size", "its descriptor's size is 24");
}

static void test_loader_refuses_a_text_file(void **state)
{
    (void)state;
    char name[] = "/tmp/busbar-test-XXXXXX";
    int fd = mkstemp(name);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    refused(name, "cannot be loaded");
    unlink(name);
}

static void test_loader_refuses_a_wrong_name(void **state)
{
    (void)state;
    char *path cleanup_text = mem_printf("%s/tests/plugins", getenv("TEST_BUILD_DIR"));
    on_path(path);
    refused("other_name", "it calls itself good, not other_name");
}

static void test_loader_lists_sorted_once(void **state)
{
    (void)state;
    char *path cleanup_text =
        mem_printf("%s/tests/plugins:%s/tests/plugins", getenv("TEST_BUILD_DIR"), getenv("TEST_BUILD_DIR"));
    on_path(path);
    char **names = loader_list();
    int good = 0;
    for (size_t i = 0; names[i]; i++) {
        good += strcmp(names[i], "good") == 0;
        if (i)
            assert_true(strcmp(names[i - 1], names[i]) < 0);
    }
    assert_int_equal(good, 1);
    for (size_t i = 0; names[i]; i++)
        free(names[i]);
    free(names);
}

static void test_loader_reads_an_older_descriptor(void **state)
{
    (void)state;
    const struct bb_plugin *old = &load("old_plugin")->descriptor;
    assert_null(old->decode); /* what lies behind the end is not read */
    assert_null(old->poll);
    assert_null(old->user_agent_option);
    struct bb_option option;
    assert_non_null(plugin_option(old, 1, &option));
    assert_string_equal(option.name, "token");
    assert_null(option.default_value);
    assert_int_equal(option.flags, 0);
    assert_null(plugin_option(old, 2, &option));
    struct bb_operation operation;
    assert_true(plugin_find_operation(old, "word.ask", &operation));
    assert_int_equal(operation.max_batch, 1);
    assert_null(operation.coalesce);
    assert_false(plugin_find_operation(old, "word.sing", &operation));
}

static void test_loader_speaks_the_frozen_abi(void **state)
{
    (void)state;
    static const struct abi_member ours[] = {
#include "../abi/members.def"
        {NULL, 0, 0, 0}};
    char *path cleanup_text = test_plugin("members");
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    const struct abi_member *theirs = dlsym(handle, "abi_1_members");
    assert_non_null(theirs);
    for (size_t i = 0; ours[i].name; i++)
        if (ours[i].offset != theirs[i].offset || ours[i].size != theirs[i].size || ours[i].value != theirs[i].value)
            fail_msg("%s is not what it was", ours[i].name);
}

/* ---- nonsense in descriptors, without a file for each ---------------------------- */

static struct bb_option options[2];
static struct bb_operation operations[2];

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)self, (void)in, (void)out;
    return BB_DONE;
}

static struct bb_plugin sound(void)
{
    options[0] = (struct bb_option){"key", BB_SECRET, 0, NULL, BB_REQUIRED, NULL};
    options[1] = (struct bb_option){"site", BB_STRING, 8, NULL, 0, NULL};
    operations[0] = (struct bb_operation){.name = "thing.create", .flags = BB_WRITES, .max_batch = 1};
    operations[1] = (struct bb_operation){.name = "thing.read", .max_batch = 1};
    return (struct bb_plugin){.magic = BB_MAGIC,
                              .abi = BB_ABI,
                              .size = sizeof(struct bb_plugin),
                              .name = "sound",
                              .title = "Sound",
                              .version = "1",
                              .help = "",
                              .config_size = 16,
                              .options = options,
                              .option_size = sizeof options[0],
                              .option_count = 2,
                              .operations = operations,
                              .operation_size = sizeof operations[0],
                              .operation_count = 2,
                              .auth = {BB_AUTH_BEARER, NULL, "key", NULL},
                              .step = step};
}

static void complains(const struct bb_plugin *plugin, const char *reason)
{
    struct buf why cleanup_buf = {0};
    bool good = descriptor_check(plugin, &why);
    if (good || !strstr(why.data, reason))
        fail_msg("\"%s\" does not say \"%s\"", good ? "" : why.data, reason);
}

static void test_loader_accepts_a_sound_descriptor(void **state)
{
    (void)state;
    struct bb_plugin plugin = sound();
    struct buf why cleanup_buf = {0};
    if (!descriptor_check(&plugin, &why))
        fail_msg("%s", why.data);
}

#define NONSENSE(test, change, reason)                   \
    static void test_loader_refuses_##test(void **state) \
    {                                                    \
        (void)state;                                     \
        struct bb_plugin plugin = sound();               \
        change;                                          \
        complains(&plugin, reason);                      \
    }

NONSENSE(no_step, plugin.step = NULL, "has operations but no step")
NONSENSE(nothing_to_do, (plugin.operation_count = 0, plugin.step = NULL), "no operation, no decode and no poll")
NONSENSE(no_name, plugin.name = NULL, "its name")
NONSENSE(bad_name, plugin.name = "Mobility-Work", "its name")
NONSENSE(name_bus, plugin.name = "bus", "the core's own")
NONSENSE(plain_http, plugin.default_url = "http://x", "default_url")
NONSENSE(option_without_name, options[1].name = NULL, "option 1 has no name")
NONSENSE(option_twice, options[1].name = "key", "option key is there twice")
NONSENSE(reserved_option, options[1].name = "retry", "a target's own key")
NONSENSE(bad_type, options[1].type = (enum bb_option_type)99, "has type 99")
NONSENSE(offset_outside, options[1].offset = 16, "outside config_size 16")
NONSENSE(offset_that_wraps, options[1].offset = SIZE_MAX - 3, "outside config_size")
NONSENSE(misaligned_offset, options[1].offset = 4, "not aligned")
NONSENSE(shared_member, options[0] = ((struct bb_option){"a", BB_INT, 8, NULL, 0, NULL}), "share a member")
NONSENSE(bad_default, (options[1].type = BB_INT, options[1].default_value = "many"), "no int")
NONSENSE(default_secret, (options[0].flags = 0, options[0].default_value = "x"), "default of option key")
NONSENSE(required_default, (options[1].flags = BB_REQUIRED, options[1].default_value = "x"),
         "required and has a default")
NONSENSE(unused_secret, plugin.auth = (struct bb_auth){0}, "not used by auth")
NONSENSE(small_stride, plugin.option_size = 8, "its options are nonsense")
NONSENSE(operations_nowhere, plugin.operations = NULL, "at no address")
NONSENSE(operation_without_dot, operations[1].name = "create", "resource.verb")
NONSENSE(operation_with_capitals, operations[1].name = "Thing.read", "resource.verb")
NONSENSE(operation_twice, operations[1].name = "thing.create", "operation thing.create is there twice")
NONSENSE(creates_without_writes, operations[1].flags = BB_CREATES, "BB_WRITES is missing")
NONSENSE(writes_at_start, operations[0].flags |= BB_AT_START, "at each start")
NONSENSE(bad_budget, operations[0].default_budget = "lots", "not written like 24/1d")
NONSENSE(bad_coalesce, operations[0].coalesce = "id", "no JSON Pointer")
NONSENSE(a_step_to_no_status, (operations[0].flags |= BB_WORK_ORDER, operations[0].moves_to = "done"),
         "operation thing.create moves to done, which is no common status")
NONSENSE(a_table_of_nothing, plugin.status_count = 1, "its statuses are nonsense")
NONSENSE(a_table_without_word, (plugin.statuses = &(struct bb_mapping){"", "closed"}, plugin.status_count = 1),
         "line 0 of the status table has no word")
NONSENSE(a_status_that_is_none, (plugin.statuses = &(struct bb_mapping){"DONE", "done"}, plugin.status_count = 1),
         "status DONE is mapped to done, which is no common one")
NONSENSE(a_priority_that_is_none, (plugin.priorities = &(struct bb_mapping){"1", NULL}, plugin.priority_count = 1),
         "priority 1 is mapped to nothing")
NONSENSE(a_word_mapped_twice,
         (plugin.priorities = (struct bb_mapping[]){{"1", "high"}, {"1", "low"}}, plugin.priority_count = 2),
         "priority 1 is mapped twice")
NONSENSE(missing_secret_option, plugin.auth.secret_option = "token", "auth.secret_option token")
NONSENSE(string_as_secret, plugin.auth.secret_option = "site", "auth.secret_option site")
NONSENSE(basic_without_user, plugin.auth.scheme = BB_AUTH_BASIC, "auth.user_option (none)")
NONSENSE(header_without_name, plugin.auth.scheme = BB_AUTH_HEADER, "auth.header")
NONSENSE(bad_scheme, plugin.auth.scheme = (enum bb_auth_scheme)9, "auth.scheme 9")
NONSENSE(decode_without_hook, plugin.decode = step, "would never be called")
NONSENSE(hook_without_decode, plugin.hook.event_pointer = "/e", "a hook but no decode")
NONSENSE(unsigned_body,
         (plugin.decode = step, plugin.hook.event_pointer = "/e",
          plugin.hook.signature = (struct bb_signature){.header = "S", .signed_string = "{time}"}),
         "does not hold {body}")
NONSENSE(time_without_key,
         (plugin.decode = step, plugin.hook.event_pointer = "/e",
          plugin.hook.signature = (struct bb_signature){.header = "S", .signed_string = "{time}{body}"}),
         "time_key and {time}")
NONSENSE(dedup_required_unlisted,
         (plugin.decode = step, plugin.hook.event_pointer = "/e", plugin.hook.dedup_required = "/x"), "dedup_required")
NONSENSE(poll_without_interval, plugin.poll = step, "poll and poll_ms")
NONSENSE(user_agent_of_nothing, plugin.user_agent_option = "name", "user_agent_option name")

static void test_loader_reports_all_that_is_wrong(void **state)
{
    (void)state;
    struct bb_plugin plugin = sound();
    plugin.step = NULL;
    plugin.name = "X";
    complains(&plugin, "its name");
    complains(&plugin, "no step");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loader_loads_by_path),
        cmocka_unit_test(test_loader_loads_by_name_from_the_path),
        cmocka_unit_test(test_loader_names_every_place),
        cmocka_unit_test(test_loader_suggests_the_nearest),
        cmocka_unit_test(test_loader_refuses_what_is_no_plugin),
        cmocka_unit_test(test_loader_refuses_a_text_file),
        cmocka_unit_test(test_loader_refuses_a_wrong_name),
        cmocka_unit_test(test_loader_lists_sorted_once),
        cmocka_unit_test(test_loader_reads_an_older_descriptor),
        cmocka_unit_test(test_loader_speaks_the_frozen_abi),
        cmocka_unit_test(test_loader_accepts_a_sound_descriptor),
        cmocka_unit_test(test_loader_refuses_no_step),
        cmocka_unit_test(test_loader_refuses_nothing_to_do),
        cmocka_unit_test(test_loader_refuses_no_name),
        cmocka_unit_test(test_loader_refuses_bad_name),
        cmocka_unit_test(test_loader_refuses_name_bus),
        cmocka_unit_test(test_loader_refuses_plain_http),
        cmocka_unit_test(test_loader_refuses_option_without_name),
        cmocka_unit_test(test_loader_refuses_option_twice),
        cmocka_unit_test(test_loader_refuses_reserved_option),
        cmocka_unit_test(test_loader_refuses_bad_type),
        cmocka_unit_test(test_loader_refuses_offset_outside),
        cmocka_unit_test(test_loader_refuses_offset_that_wraps),
        cmocka_unit_test(test_loader_refuses_misaligned_offset),
        cmocka_unit_test(test_loader_refuses_shared_member),
        cmocka_unit_test(test_loader_refuses_bad_default),
        cmocka_unit_test(test_loader_refuses_default_secret),
        cmocka_unit_test(test_loader_refuses_required_default),
        cmocka_unit_test(test_loader_refuses_unused_secret),
        cmocka_unit_test(test_loader_refuses_small_stride),
        cmocka_unit_test(test_loader_refuses_operations_nowhere),
        cmocka_unit_test(test_loader_refuses_operation_without_dot),
        cmocka_unit_test(test_loader_refuses_operation_with_capitals),
        cmocka_unit_test(test_loader_refuses_operation_twice),
        cmocka_unit_test(test_loader_refuses_creates_without_writes),
        cmocka_unit_test(test_loader_refuses_writes_at_start),
        cmocka_unit_test(test_loader_refuses_bad_budget),
        cmocka_unit_test(test_loader_refuses_bad_coalesce),
        cmocka_unit_test(test_loader_refuses_a_step_to_no_status),
        cmocka_unit_test(test_loader_refuses_a_table_of_nothing),
        cmocka_unit_test(test_loader_refuses_a_table_without_word),
        cmocka_unit_test(test_loader_refuses_a_status_that_is_none),
        cmocka_unit_test(test_loader_refuses_a_priority_that_is_none),
        cmocka_unit_test(test_loader_refuses_a_word_mapped_twice),
        cmocka_unit_test(test_loader_refuses_missing_secret_option),
        cmocka_unit_test(test_loader_refuses_string_as_secret),
        cmocka_unit_test(test_loader_refuses_basic_without_user),
        cmocka_unit_test(test_loader_refuses_header_without_name),
        cmocka_unit_test(test_loader_refuses_bad_scheme),
        cmocka_unit_test(test_loader_refuses_decode_without_hook),
        cmocka_unit_test(test_loader_refuses_hook_without_decode),
        cmocka_unit_test(test_loader_refuses_unsigned_body),
        cmocka_unit_test(test_loader_refuses_time_without_key),
        cmocka_unit_test(test_loader_refuses_dedup_required_unlisted),
        cmocka_unit_test(test_loader_refuses_poll_without_interval),
        cmocka_unit_test(test_loader_refuses_user_agent_of_nothing),
        cmocka_unit_test(test_loader_reports_all_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
