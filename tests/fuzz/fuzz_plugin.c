/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin (PLUGIN, its file) between a message and a target that are both hostile: it keeps the rules of the ABI and
 * comes to an end. The input, its parts ended by NUL: an operation's name, "decode" or "poll"; a byte of flags; bodies;
 * then for each answer a byte that chooses the status, and the body. */
#include "fuzz.h"

#include "config.h"
#include "host.h"
#include "json.h"
#include "loader.h"
#include "log.h"
#include "target.h"

#include <json-c/json.h>

#define MESSAGES_MAX 4
#define SENDS_MAX 80

static struct target *target;
static struct config *config; /* the target borrows it */

/* A line for each required option: what the plugin's own check.options says, else nonsense. */
static void add_options(const struct bb_plugin *plugin, struct buf *yaml)
{
    struct bb_option option;
    cleanup_buf struct buf given = {0};
    FILE *file = fopen(OPTIONS, "re");
    char line[1024];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *value = strchr(line, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        value[strcspn(value, "\n")] = '\0';
        buf_printf(yaml, "    %s: %s\n", line, value);
        buf_printf(&given, "|%s|", line);
    }
    if (file != NULL)
        fclose(file);
    for (size_t i = 0; plugin_option(plugin, i, &option) != NULL; i++) {
        cleanup_text char *name = mem_printf("|%s|", option.name);
        if ((option.flags & BB_REQUIRED) != 0 && (given.data == NULL || strstr(given.data, name) == NULL))
            buf_printf(yaml, "    %s: x\n", option.name);
    }
}

static void open_target(void)
{
    struct problems problems = {0};
    char *error = NULL;
    const struct loaded_plugin *plugin = loader_load(PLUGIN, &error);
    HOLDS(plugin != NULL);
    cleanup_buf struct buf yaml = {0}, said = {0};
    buf_printf(&yaml, "targets:\n  t:\n    plugin: %s\n    url: http://127.0.0.1:9\n    mode: write_back\n", PLUGIN);
    if (plugin->descriptor.hook.event_pointer != NULL)
        buf_puts(&yaml, "    allow_unsigned: true\n");
    add_options(&plugin->descriptor, &yaml);
    static char path[32];
    int fd = fuzz_file(buf_span(&yaml), path);
    config = config_load(path, &problems);
    close(fd);
    if (config != NULL && config->target_count == 1)
        target = target_create(&config->targets[0], plugin, &problems);
    problems_print(&problems, &said);
    if (target == NULL)
        fprintf(stderr, "%s\n%s", yaml.data, said.data);
    HOLDS(target != NULL);
    problems_finish(&problems);
}

static void add_messages(struct span *rest, size_t count, bool decodes, struct bb_message *messages)
{
    for (size_t i = 0; i < count; i++) {
        struct span body = fuzz_part(rest), event = decodes ? fuzz_part(rest) : (struct span){0};
        messages[i] = (struct bb_message){.id = "0190c0de-0000-7000-8000-000000000001",
                                          .order_id = "0190c0de-0000-7000-8000-000000000002",
                                          .body = {body.data, body.len},
                                          .event = {event.data, event.len},
                                          .received_ms = 1704164645000};
    }
}

static bool is_object(struct bb_str body)
{
    cleanup_json struct json_object *value = json_parse((struct span){body.data, body.len}, NULL, NULL);
    return json_object_is_type(value, json_type_object);
}

static void converse(struct span rest)
{
    static const int statuses[] = {200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 412, 422, 429, 500, 502, 503};
    const struct bb_plugin *plugin = target->plugin;
    cleanup_text char *door = span_dup(fuzz_part(&rest));
    uint8_t flags = fuzz_byte(&rest);
    struct bb_operation operation = {0};
    bool decodes = plugin->decode != NULL && strcmp(door, "decode") == 0,
         polls = plugin->poll != NULL && strcmp(door, "poll") == 0;
    if (!decodes && !polls && !plugin_find_operation(plugin, door, &operation))
        plugin_operation(plugin, flags / 16 % plugin->operation_count, &operation);
    size_t most = decodes ? 1 : polls || (operation.flags & BB_AT_START) != 0 ? 0 : operation.max_batch;
    size_t count = most > 1 ? 1 + (flags & 3) : most;
    struct bb_message messages[MESSAGES_MAX];
    add_messages(&rest, count, decodes, messages);
    if (decodes && (!is_object(messages[0].body) || /* the door lets nothing else through */
                    !span_is_utf8((struct span){messages[0].event.data, messages[0].event.len})))
        return;

    struct bb_job job;
    target_init_job(target, &job, count, 1704164645000);
    struct bb_in in = {.size = sizeof(in),
                       .job = &job,
                       .operation = operation.name,
                       .messages = messages,
                       .message_size = sizeof(messages[0]),
                       .message_count = count,
                       .state = &job.state,
                       .attempt = flags & 4 ? 2 : 1,
                       .uncertain = (flags & 8) != 0,
                       .now_ms = job.now_ms};
    const struct bb_header header = {"etag", {"\"7\"", 3}};
    for (int sends = 0;; sends++) {
        struct bb_out out = {.size = sizeof(out)};
        enum bb_next next = (decodes ? plugin->decode
                             : polls ? plugin->poll
                                     : plugin->step)(host_table(), target->self, &in, &out);
        const char *fault = job_review(&job, next, &out);
        struct http_request request;
        if (fault == NULL && next == BB_SEND)
            (void)target_request(target, &job, &out.request, &request, &fault);
        if (fault != NULL && (strstr(fault, "walks with") != NULL || strstr(fault, "is over") != NULL))
            break; /* an id that is a dot, or without end: the core refuses it for all plugins */
        if (fault != NULL)
            fprintf(stderr, "fault: %s\n", fault);
        HOLDS(fault == NULL && sends < SENDS_MAX && (!decodes || next == BB_DONE || next == BB_REJECT));
        if (next != BB_SEND)
            break;
        struct bb_response *response = arena_alloc(job.arena, sizeof(*response));
        int status = statuses[fuzz_byte(&rest) % (sizeof(statuses) / sizeof(statuses[0]))];
        struct span body = fuzz_part(&rest);
        *response = (struct bb_response){.size = sizeof(*response),
                                         .status = status,
                                         .body = {body.data, body.len},
                                         .headers = &header,
                                         .header_count = 1};
        in.response = response;
    }
    job_finish(&job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (target == NULL) {
        log_open(false, LOG_ERROR);
        open_target();
    }
    converse((struct span){(const char *)data, size});
    return 0;
}
