/* The mobility_work plugin as the core meets it: loaded from its file, driven with the host's own jobs. Shared by
 * its test programs. */
#ifndef BUSBAR_UNIT_MOBILITY_WORK_H
#define BUSBAR_UNIT_MOBILITY_WORK_H

#include "unit.h"

#include "host.h"
#include "json.h"
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW_MS INT64_C(1700000000000)
#define NETWORK "17df9a0f-5c04-43c8-b010-b48e1237e6ff"

/* The plugin's own settings, as its option table lays them out. */
static const struct bb_plugin *plugin;
static char settings[256];
static char note_network[64]; /* the note network_id; empty: none */

/* What the last call said beside its answer. */
static struct {
    char log[1024]; /* the last message */
    int messages, counts;
    char counted[64]; /* the last name */
} heard;

/* One call of the plugin and what came of it. */
struct call {
    struct bb_job job;
    struct bb_out out;
    enum bb_next next;
    struct json_object *request; /* body of out.request */
    struct json_object *fields;  /* out.error.rejected_fields */
};

static inline void set_option(const char *name, const char *value)
{
    for (size_t i = 0; i < plugin->option_count; i++) {
        struct bb_option option;
        plugin_option(plugin, i, &option);
        if (strcmp(option.name, name) != 0)
            continue;
        bool truth = value && strcmp(value, "true") == 0;
        if (option.type == BB_BOOL)
            memcpy(settings + option.offset, &truth, sizeof truth);
        else
            memcpy(settings + option.offset, &value, sizeof value);
        return;
    }
    fail_msg("no option %s", name);
}

static inline int set_up(void **state)
{
    (void)state;
    memset(settings, 0, sizeof settings);
    note_network[0] = '\0';
    for (size_t i = 0; i < plugin->option_count; i++) {
        struct bb_option option;
        plugin_option(plugin, i, &option);
        if (option.type != BB_SECRET)
            set_option(option.name, option.default_value);
    }
    set_option("network_name", "Factory Inc.");
    return 0;
}

static inline char *read_note(void *context, const char *key)
{
    (void)context;
    return strcmp(key, "network_id") == 0 && note_network[0] ? mem_strdup(note_network) : NULL;
}

static inline void hear_log(struct bb_job *job, enum bb_log_level level, const char *message)
{
    (void)job;
    assert_int_equal(level, BB_LOG_WARN);
    heard.messages++;
    snprintf(heard.log, sizeof heard.log, "%s", message);
}

static inline void hear_count(struct bb_job *job, const char *name, uint64_t n)
{
    host_table()->count(job, name, n); /* checks the name */
    heard.counts += (int)n;
    snprintf(heard.counted, sizeof heard.counted, "%s", name);
}

static inline void run(struct call *call,
                       enum bb_next (*entry)(const struct bb_host *, void *, const struct bb_in *, struct bb_out *),
                       const char *operation, const char *body, const struct bb_response *response)
{
    const struct bb_message message = {.id = "0190-delivery",
                                       .order_id = "0190-order",
                                       .body = {body, body ? strlen(body) : 0},
                                       .topic = {"plant/l1/m7", 11},
                                       .received_ms = NOW_MS};
    *call = (struct call){0};
    job_init(&call->job, "mw", "mobility_work", body ? 1 : 0, NOW_MS);
    call->job.read_note = read_note;
    const struct mapping_table tables[WORD_LISTS] = {[WORDS_STATUS] = {plugin->statuses, plugin->status_count}};
    call->job.tables = tables;
    struct bb_in in = {.size = sizeof in,
                       .job = &call->job,
                       .operation = operation,
                       .messages = &message,
                       .message_size = sizeof message,
                       .message_count = body ? 1 : 0,
                       .response = response,
                       .state = &call->job.state,
                       .attempt = 1,
                       .now_ms = NOW_MS};
    call->out.size = sizeof call->out;
    struct bb_host host = *host_table();
    host.log = hear_log;
    host.count = hear_count;
    memset(&heard, 0, sizeof heard);
    call->next = entry(&host, settings, &in, &call->out);
    const char *wrong = job_review(&call->job, call->next, &call->out);
    if (wrong)
        fail_msg("%s", wrong);
    struct span sent = {call->out.request.body.data, call->out.request.body.len};
    call->request = sent.len > 0 ? json_parse(sent, NULL, NULL) : NULL;
    call->fields =
        call->out.error.rejected_fields ? json_parse(span_of(call->out.error.rejected_fields), NULL, NULL) : NULL;
}

static inline void finish(struct call *call)
{
    json_free(&call->request);
    json_free(&call->fields);
    job_finish(&call->job);
}

static inline void ask(struct call *call, const char *operation, const char *body)
{
    run(call, plugin->step, operation, body, NULL);
}

static inline void answer(struct call *call, const char *operation, const char *body, int status, const char *text)
{
    struct bb_response response = {.size = sizeof response, .status = status, .body = {text, strlen(text)}};
    run(call, plugin->step, operation, body, &response);
}

static inline void decode(struct call *call, const char *body)
{
    run(call, plugin->decode, NULL, body, NULL);
}

/* The value as JSON text, good until the next call. */
static inline const char *at(struct json_object *root, const char *pointer)
{
    static char text[4096];
    bool found = false;
    struct json_object *value = json_pointer(root, pointer, &found);
    cleanup_buf struct buf printed = {0};
    if (!found)
        return "(absent)";
    json_print(value, &printed);
    assert_true(printed.len < sizeof text);
    return memcpy(text, printed.data, printed.len + 1);
}

static inline bool has_field(const struct call *call, const char *pointer, const char *key)
{
    for (int i = 0;; i++) {
        char place[16];
        bool found = false;
        snprintf(place, sizeof place, "/%d", i);
        struct json_object *field = json_pointer(call->fields, place, &found);
        if (!found)
            return false;
        if (strcmp(json_get_text(field, "pointer"), pointer) == 0 && strcmp(json_get_text(field, "key"), key) == 0)
            return at(field, "/parameters")[0] == '{';
    }
}

/* Before the tests of a program. */
static inline bool load_plugin(void)
{
    char *error = NULL;
    const struct loaded_plugin *loaded = loader_load("mobility_work", &error);
    if (!loaded)
        print_error("%s\n", error);
    free(error);
    plugin = loaded ? &loaded->descriptor : NULL;
    return plugin && plugin->config_size <= sizeof settings;
}

/* The contract's sample (MW-E08). */
#define TASK                                                                                                  \
    "{\"equipment\":9,\"description\":\"API Task creation\",\"startDateTime\":\"2022-01-11T09:00:00+00:00\"," \
    "\"endDateTime\":\"2022-01-11T10:00:00+00:00\",\"assignees\":[3,\"john.doe@example.com\"],\"allDay\":false}"

#define TEST(name) cmocka_unit_test_setup(test_mobility_work_##name, set_up)

#endif
