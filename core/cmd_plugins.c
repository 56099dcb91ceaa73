/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "aside.h"
#include "cases.h"
#include "cmd_plugins.h"
#include "host.h"
#include "json.h"
#include "loader.h"
#include "number.h"
#include "problems.h"

#include <glob.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLURB 26 /* width of a name's column */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void print_json(struct json_object *value)
{
    struct buf text cleanup_buf = {0};
    json_print(value, &text);
    puts(text.data);
}

/* ---- list --------------------------------------------------------------------------- */

static struct json_object *list_item(const char *name, const struct loaded_plugin *plugin, const char *error)
{
    struct json_object *item = json_object_new_object();
    json_put_text(item, "name", name);
    json_put_text(item, "title", plugin ? plugin->descriptor.title : NULL);
    json_put_text(item, "version", plugin ? plugin->descriptor.version : NULL);
    json_put_text(item, "file", plugin ? plugin->path : NULL);
    json_put_text(item, "error", error);
    return item;
}

/* What it says of itself, asked in a process of its own. */
static void tell_item(int out, void *context)
{
    const char *name = context;
    char *error cleanup_text = NULL;
    struct buf text cleanup_buf = {0};
    const struct loaded_plugin *plugin = loader_load(name, &error);
    struct json_object *item cleanup_json = list_item(name, plugin, error);
    json_print(item, &text);
    aside_tell(out, text.data, text.len);
}

static struct json_object *ask_item(char *name)
{
    struct aside aside;
    const char *fault = NULL;
    bool is_null = false;
    aside_run(&aside, tell_item, aside_ten_seconds, name);
    struct json_object *item = aside_ended_well(&aside) ? json_parse(buf_span(&aside.out), &is_null, &fault) : NULL;
    if (!item) {
        struct buf error cleanup_buf = {0};
        buf_puts(&error, "when it is loaded, it ");
        aside_say_end(&aside, &error);
        item = list_item(name, NULL, error.data);
    }
    aside_finish(&aside);
    return item;
}

static const char *word_of(struct json_object *item, const char *key)
{
    return or_empty(json_object_get_string(json_object_object_get(item, key)));
}

static int run_list(bool json)
{
    struct json_object *items = json_object_new_array();
    char **names = loader_list();
    if (!json)
        printf("%-*s %-10s %s\n", BLURB, "NAME", "VERSION", "TITLE");
    for (size_t i = 0; names[i]; i++) {
        struct json_object *item = ask_item(names[i]);
        const bool good = !*word_of(item, "error");
        if (!json)
            printf("%-*s %-10s %s\n", BLURB, names[i], good ? word_of(item, "version") : "-",
                   word_of(item, good ? "title" : "error"));
        json_object_array_add(items, item);
        free(names[i]);
    }
    free(names);
    struct json_object *all cleanup_json = json_object_new_object();
    json_object_object_add(all, "items", items);
    json_object_object_add(all, "next", NULL);
    if (json)
        print_json(all);
    return CMD_DONE;
}

/* ---- show ----------------------------------------------------------------------------- */

static const char *type_name(enum bb_option_type type)
{
    switch (type) {
    case BB_STRING:
        return "string";
    case BB_BOOL:
        return "bool";
    case BB_INT:
        return "int";
    case BB_NUMBER:
        return "number";
    case BB_DURATION:
        return "duration";
    case BB_JSON:
        return "json";
    case BB_SECRET:
        return "secret";
    }
    return "";
}

static const struct flag {
    unsigned bit;
    const char *name;
} operation_flags[] = {
    {BB_WRITES, "writes"},
    {BB_CREATES, "creates"},
    {BB_IDEMPOTENT, "idempotent"},
    {BB_CAN_LOOKUP, "can_lookup"},
    {BB_PARK, "park"},
    {BB_UNVERIFIED, "unverified"},
    {BB_AT_START, "at_start"},
    {BB_WORK_ORDER, "work_order"},
    {BB_REPEAT_5XX, "repeat_5xx"},
};
#define FLAG_COUNT (sizeof operation_flags / sizeof *operation_flags)

static void describe_auth(const struct bb_auth *auth, struct buf *text)
{
    switch (auth->scheme) {
    case BB_AUTH_NONE:
        buf_puts(text, "none");
        break;
    case BB_AUTH_HEADER:
        buf_printf(text, "header %s from %s", auth->header, auth->secret_option);
        break;
    case BB_AUTH_BASIC:
        buf_printf(text, "basic from %s and %s", auth->user_option, auth->secret_option);
        break;
    case BB_AUTH_BEARER:
        buf_printf(text, "bearer token from %s", auth->secret_option);
        break;
    }
}

static void describe_webhooks(const struct bb_plugin *plugin, struct buf *text)
{
    if (!plugin->hook.event_pointer)
        buf_puts(text, "none");
    else if (plugin->hook.signature.header)
        buf_printf(text, "event at %s, signed in %s", plugin->hook.event_pointer, plugin->hook.signature.header);
    else
        buf_printf(text, "event at %s, not signed: needs allow_unsigned: true", plugin->hook.event_pointer);
}

static void show_options(const struct bb_plugin *plugin)
{
    struct bb_option option;
    if (plugin->option_count)
        puts("\noptions");
    for (size_t i = 0; plugin_option(plugin, i, &option); i++) {
        printf("  %-*s %-9s %s", BLURB - 2, option.name, type_name(option.type), or_empty(option.help));
        if (option.flags & BB_REQUIRED)
            printf(" (required)");
        else if (option.default_value)
            printf(" (default %s)", option.default_value);
        putchar('\n');
    }
}

static void show_operations(const struct bb_plugin *plugin)
{
    struct bb_operation operation;
    if (plugin->operation_count)
        puts("\noperations");
    for (size_t i = 0; plugin_operation(plugin, i, &operation); i++) {
        char cooldown[24];
        printf("  %-*s %s\n%*s", BLURB - 2, operation.name, or_empty(operation.help), BLURB + 1, "");
        fputs(operation.flags & BB_WRITES ? "writes" : "reads", stdout);
        for (size_t f = 0; f < FLAG_COUNT; f++)
            if (operation.flags & operation_flags[f].bit & ~BB_WRITES)
                printf(", %s", operation_flags[f].name);
        if (operation.max_batch > 1)
            printf(", batches of %u", operation.max_batch);
        if (operation.coalesce)
            printf(", newest of each %s", operation.coalesce);
        if (operation.default_cooldown_ms) {
            number_format_duration(operation.default_cooldown_ms, cooldown);
            printf(", cooldown %s", cooldown);
        }
        if (operation.default_budget)
            printf(", budget %s", operation.default_budget);
        if (operation.budget_pointer)
            printf(" per %s", operation.budget_pointer);
        if (operation.order_pointer)
            printf(", of the order at %s", operation.order_pointer);
        if (operation.moves_to)
            printf(", to %s", operation.moves_to);
        putchar('\n');
    }
    if (plugin->describe)
        puts("\noperations, webhooks and the poll of a target are what its settings say");
}

static const char *const table_names[] = {[WORDS_STATUS] = "statuses", [WORDS_PRIORITY] = "priorities"};

static struct mapping_table table_of(const struct bb_plugin *plugin, enum word_list list)
{
    return list == WORDS_STATUS ? (struct mapping_table){plugin->statuses, plugin->status_count}
                                : (struct mapping_table){plugin->priorities, plugin->priority_count};
}

static void show_tables(const struct bb_plugin *plugin)
{
    for (enum word_list list = WORDS_STATUS; list <= WORDS_PRIORITY; list++) {
        const struct mapping_table table = table_of(plugin, list);
        if (table.count)
            printf("\n%s (a target's `map: {%s: ...}` adds to them and wins)\n", table_names[list],
                   lifecycle_list_name(list));
        for (size_t i = 0; i < table.count; i++)
            printf("  %-*s %s\n", BLURB - 2, table.lines[i].source, table.lines[i].common);
    }
}

static struct json_object *table_json(const struct mapping_table *table)
{
    struct json_object *lines = json_object_new_object();
    for (size_t i = 0; i < table->count; i++)
        json_put_text(lines, table->lines[i].source, table->lines[i].common);
    return lines;
}

static struct json_object *options_json(const struct bb_plugin *plugin)
{
    struct json_object *items = json_object_new_array();
    struct bb_option option;
    for (size_t i = 0; plugin_option(plugin, i, &option); i++) {
        struct json_object *item = json_object_new_object();
        json_put_text(item, "name", option.name);
        json_put_text(item, "type", type_name(option.type));
        json_object_object_add(item, "required", json_object_new_boolean((option.flags & BB_REQUIRED) != 0));
        json_put_text(item, "default", option.default_value);
        json_put_text(item, "help", option.help);
        json_object_array_add(items, item);
    }
    return items;
}

static struct json_object *operations_json(const struct bb_plugin *plugin)
{
    struct json_object *items = json_object_new_array();
    struct bb_operation operation;
    for (size_t i = 0; plugin_operation(plugin, i, &operation); i++) {
        struct json_object *item = json_object_new_object(), *flags = json_object_new_array();
        for (size_t f = 0; f < FLAG_COUNT; f++)
            if (operation.flags & operation_flags[f].bit)
                json_object_array_add(flags, json_text(span_of(operation_flags[f].name)));
        json_put_text(item, "name", operation.name);
        json_put_text(item, "help", operation.help);
        json_object_object_add(item, "flags", flags);
        json_put_int(item, "max_batch", operation.max_batch);
        json_put_text(item, "coalesce", operation.coalesce);
        json_put_int(item, "default_cooldown_ms", operation.default_cooldown_ms);
        json_put_text(item, "default_budget", operation.default_budget);
        json_put_text(item, "budget_pointer", operation.budget_pointer);
        json_put_text(item, "order_pointer", operation.order_pointer);
        json_put_text(item, "moves_to", operation.moves_to);
        json_object_array_add(items, item);
    }
    return items;
}

static int run_show(const char *name, bool json)
{
    char *error cleanup_text = NULL;
    const struct loaded_plugin *loaded = loader_load(name, &error);
    if (!loaded) {
        fprintf(stderr, "%s\n", error);
        return CMD_NO;
    }
    const struct bb_plugin *plugin = &loaded->descriptor;
    struct buf auth cleanup_buf = {0}, webhooks cleanup_buf = {0};
    describe_auth(&plugin->auth, &auth);
    describe_webhooks(plugin, &webhooks);
    if (json) {
        struct json_object *item cleanup_json = list_item(plugin->name, loaded, NULL);
        json_put_text(item, "help", plugin->help);
        json_put_text(item, "default_url", plugin->default_url);
        json_put_text(item, "auth", auth.data);
        json_put_text(item, "webhooks", webhooks.data);
        json_put_int(item, "poll_ms", plugin->poll_ms);
        json_object_object_add(item, "options", options_json(plugin));
        json_object_object_add(item, "operations", operations_json(plugin));
        for (enum word_list list = WORDS_STATUS; list <= WORDS_PRIORITY; list++) {
            const struct mapping_table table = table_of(plugin, list);
            json_object_object_add(item, table_names[list], table_json(&table));
        }
        print_json(item);
        return CMD_DONE;
    }
    printf("%s %s: %s\n%s\n\n", plugin->name, plugin->version, plugin->title, plugin->help);
    printf("%-10s %s\n%-10s %s\n", "file", loaded->path, "url",
           plugin->default_url ? plugin->default_url : "none of its own: the target must say url");
    printf("%-10s %s\n%-10s %s\n", "auth", auth.data, "webhooks", webhooks.data);
    if (plugin->poll) {
        char every[24];
        number_format_duration(plugin->poll_ms, every);
        printf("%-10s every %s\n", "polls", every);
    }
    show_options(plugin);
    show_operations(plugin);
    show_tables(plugin);
    return CMD_DONE;
}

/* ---- test --------------------------------------------------------------------------------- */

struct test {
    const char *name;
    char **files;
    size_t count;
    bool json;
    /* Shared with the process that runs them. */
    struct {
        struct cases_result result;
        bool refused, broken, finished;
    } * shared;
};

/* The report, a file's part as soon as it is run. */
static void run_cases(int out, void *context)
{
    const struct test *test = context;
    char *error cleanup_text = NULL;
    const struct loaded_plugin *plugin = loader_load(test->name, &error);
    if (!plugin)
        fprintf(stderr, "%s\n", error);
    test->shared->refused = !plugin;
    for (size_t i = 0; plugin && i < test->count; i++) {
        struct buf report cleanup_buf = {0};
        if (cases_run(plugin, test->files[i], !test->json, &report, &test->shared->result) != 0)
            test->shared->broken = true;
        aside_tell(out, report.data, report.len);
    }
    test->shared->finished = true;
}

/* Whoever is at it with a debugger has time. */
static bool say_slow(int seconds, void *context)
{
    const struct test *test = context;
    if (seconds % 10 == 0)
        fprintf(stderr, "busbar plugins test: after %d s in %s\n", seconds, test->shared->result.doing);
    return true;
}

static void judge_test(const struct test *test, struct aside *aside)
{
    struct cases_result *result = &test->shared->result;
    if (test->shared->finished && aside_ended_well(aside))
        return;
    result->cases += !test->shared->finished && *result->doing;
    result->failed++;
    buf_printf(&aside->out, "%s: the plugin ",
               test->shared->finished ? "after the last case"
               : *result->doing       ? result->doing
                                      : test->name);
    aside_say_end(aside, &aside->out);
    buf_putc(&aside->out, '\n');
}

static int run_test(const char *name, char **files, size_t count, bool json)
{
    struct test test = {.name = name, .files = files, .count = count, .json = json};
    test.shared = mmap(NULL, sizeof *test.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (test.shared == MAP_FAILED) {
        fputs("busbar plugins: no memory\n", stderr);
        return CMD_NO;
    }
    struct aside aside;
    aside_run(&aside, run_cases, say_slow, &test);
    judge_test(&test, &aside);
    const struct cases_result *result = &test.shared->result;
    const bool refused = test.shared->refused, good = !refused && !test.shared->broken && result->failed == 0;
    fwrite(aside.words.data ? aside.words.data : "", 1, aside.words.len, stderr);
    if (json && !refused) {
        struct json_object *item cleanup_json = json_object_new_object();
        json_object_object_add(item, "ok", json_object_new_boolean(good));
        json_put_int(item, "cases", (int64_t)result->cases);
        json_put_int(item, "failed", (int64_t)result->failed);
        json_put_text(item, "report", aside.out.data ? aside.out.data : "");
        print_json(item);
    } else if (!refused) {
        fwrite(aside.out.data ? aside.out.data : "", 1, aside.out.len, stdout);
        printf("%zu cases, %zu failed\n", result->cases, result->failed);
    }
    aside_finish(&aside);
    munmap(test.shared, sizeof *test.shared);
    return good ? CMD_DONE : CMD_NO;
}

/* What `check` does with --cases: the rules, then each case of a folder. */
static int run_check_and_cases(const char *name, char **pairs, size_t count, bool json, const char *folder)
{
    char *pattern cleanup_text = mem_printf("%s/*.case", folder);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "busbar plugins: %s holds no .case file\n", folder);
        return CMD_NO;
    }
    const int checked = plugins_check(name, pairs, count, json);
    const int tested = checked == CMD_DONE ? run_test(name, found.gl_pathv, found.gl_pathc, json) : checked;
    globfree(&found);
    return tested;
}

/* ---- the verbs ------------------------------------------------------------------------------- */

#define WHERE                                                                                                      \
    "A name with a slash is a path; one without is looked for in $BUSBAR_PLUGIN_PATH, beside the program and in\n" \
    "the installed folder. "
#define STATUS "Exit status: 0 done, 1 the answer is no, 2 usage.\n"
#define JSON_OPTION "      --json             as JSON\n"

static int run_verb_list(int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {{NULL, "--json", NULL, &json}, {0}};
    const int status = cmd_options(&cmd_plugins_list, &argc, argv, options);
    return status >= 0 ? status : argc == 1 ? run_list(json) : cmd_usage(&cmd_plugins_list, "it takes nothing");
}

const struct command cmd_plugins_list = {
    .name = "plugins list",
    .usage = "busbar plugins list [--json]",
    .help = "Lists the plugins that can be found, with what is wrong with the others.\n\n" JSON_OPTION "\n" STATUS,
    .run = run_verb_list,
};

static int run_verb_show(int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {{NULL, "--json", NULL, &json}, {0}};
    const int status = cmd_options(&cmd_plugins_show, &argc, argv, options);
    return status >= 0 ? status : argc == 2 ? run_show(argv[1], json) : cmd_usage(&cmd_plugins_show, "it takes a NAME");
}

const struct command cmd_plugins_show = {
    .name = "plugins show",
    .usage = "busbar plugins show NAME [--json]",
    .help = "Shows what a plugin speaks to, its options and operations.\n\n" JSON_OPTION "\n" WHERE STATUS,
    .run = run_verb_show,
};

static int run_verb_check(int argc, char **argv)
{
    bool json = false;
    const char *cases = NULL;
    const struct cmd_option options[] = {{NULL, "--json", NULL, &json}, {NULL, "--cases", &cases, NULL}, {0}};
    const int status = cmd_options(&cmd_plugins_check, &argc, argv, options);
    if (status >= 0)
        return status;
    if (argc < 2)
        return cmd_usage(&cmd_plugins_check, "it takes a FILE.so");
    return cases ? run_check_and_cases(argv[1], argv + 2, (size_t)argc - 2, json, cases)
                 : plugins_check(argv[1], argv + 2, (size_t)argc - 2, json);
}

const struct command cmd_plugins_check = {
    .name = "plugins check",
    .usage = "busbar plugins check FILE.so [--cases DIR] [--json] [OPTION=VALUE...]",
    .help =
        "Reads a plugin's file, loads it in a process of its own and calls it with nonsense: it must not crash,\n"
        "break a rule of the ABI or take over 10 ms. Each fault is told with its rule, what was seen, what would be\n"
        "right and the section of ABI.md (a page of busbar-dev's) that tells more.\n"
        "\n"
        "      --cases DIR        then runs each .case file there, as `busbar plugins test` does (as JSON, on a line\n"
        "                         of its own)\n" JSON_OPTION "      OPTION=VALUE       where stand-ins for the "
        "plugin's options do not do\n\n" WHERE STATUS,
    .run = run_verb_check,
};

static int run_verb_test(int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {{NULL, "--json", NULL, &json}, {0}};
    const int status = cmd_options(&cmd_plugins_test, &argc, argv, options);
    return status >= 0 ? status
           : argc >= 3 ? run_test(argv[1], argv + 2, (size_t)argc - 2, json)
                       : cmd_usage(&cmd_plugins_test, "it takes a FILE.so and CASE files");
}

const struct command cmd_plugins_test = {
    .name = "plugins test",
    .usage = "busbar plugins test FILE.so CASE... [--json]",
    .help = "Runs conversations written down in .case files, without a network. CASES.md (a page of busbar-dev's) has\n"
            "their language.\n\n" JSON_OPTION "\n" WHERE STATUS,
    .run = run_verb_test,
};

static int run_verb_new(int argc, char **argv)
{
    const char *language = NULL;
    const struct cmd_option options[] = {{NULL, "--lang", &language, NULL}, {0}};
    const int status = cmd_options(&cmd_plugins_new, &argc, argv, options);
    return status >= 0 ? status
           : argc == 2 ? plugins_new(argv[1], language)
                       : cmd_usage(&cmd_plugins_new, "it takes a NAME");
}

const struct command cmd_plugins_new = {
    .name = "plugins new",
    .usage = "busbar plugins new NAME [--lang c|c++|rust]",
    .help = "Writes ./NAME, a project with a plugin to start from; it needs cmake and the package busbar-dev.\n"
            "\n"
            "      --lang LANG        what the plugin is written in: c (default), c++, rust\n\n" STATUS,
    .run = run_verb_new,
};

/* ---- the command ----------------------------------------------------------------------------- */

static const struct command *const verbs[] = {&cmd_plugins_list, &cmd_plugins_show, &cmd_plugins_check,
                                              &cmd_plugins_test, &cmd_plugins_new,  &cmd_plugins_record};
#define VERBS (sizeof verbs / sizeof *verbs)
#define VERB_NAME(command) ((command)->name + sizeof "plugins")

static int run(int argc, char **argv)
{
    const char *names[VERBS];
    for (size_t i = 0; i < VERBS; i++) {
        names[i] = VERB_NAME(verbs[i]);
        if (argc >= 2 && strcmp(argv[1], names[i]) == 0)
            return verbs[i]->run(argc - 1, argv + 1);
    }
    const struct cmd_option options[] = {{0}};
    const int status = cmd_options(&cmd_plugins, &argc, argv, options);
    if (status >= 0)
        return status;
    const char *nearest = argc >= 2 ? problems_nearest(span_of(argv[1]), names, VERBS) : NULL;
    char *wrong cleanup_text =
        argc < 2 ? mem_strdup("a verb is missing")
                 : mem_printf("there is no verb '%s'%s%s%s", argv[1], nearest ? ", did you mean '" : "",
                              nearest ? nearest : "", nearest ? "'?" : "");
    return cmd_usage(&cmd_plugins, wrong);
}

const struct command cmd_plugins = {
    .name = "plugins",
    .usage = "busbar plugins list|show|check|test|new|record ...",
    .help = "Lists, shows, checks and tests plugins; begins a new one.\n"
            "\n"
            "  list     the plugins that can be found, with what is wrong with the others\n"
            "  show     what a plugin speaks to, its options and operations\n"
            "  check    whether a plugin keeps the rules of the ABI, called with nonsense\n"
            "  test     runs conversations written down in .case files, without a network\n"
            "  new      begins a project with a plugin to start from\n"
            "  record   writes a conversation with a real target as a case, secrets removed\n"
            "\n"
            "`busbar plugins check --help` explains check, and so on.\n" WHERE STATUS,
    .run = run,
};
