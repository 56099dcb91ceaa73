/* SPDX-License-Identifier: Apache-2.0 */
/* <prefix>/commands/<target>/<operation>: a message there is a delivery to that operation, its payload the body. Who
 * may publish there is the broker's to say, what may be done the target's mode. Commands are counted as a route of
 * their own. With an MQTT 5 response topic the outcome is answered there (the dispatcher's answer.c); what cannot even
 * become a delivery is answered here, at once, or is a dead letter. */
#include "intake_private.h"

#include "clock.h"
#include "digest.h"
#include "json.h"
#include "loader.h"
#include "log.h"
#include "route.h"
#include "target.h"
#include "topic.h"

#include <json-c/json.h>
#include <string.h>

struct command {
    char *target, *operation; /* of the topic */
    char *reply;              /* as the store keeps it; NULL: no answer is asked for */
    char *reply_topic;
    struct bb_operation what;
    const struct config_target *to; /* NULL: unknown */
    struct buf body, reason;
    const char *code; /* of what is wrong */
};

static void finish_command(struct command *command)
{
    mem_free_char(&command->target);
    mem_free_char(&command->operation);
    mem_free_char(&command->reply);
    mem_free_char(&command->reply_topic);
    buf_finish(&command->body);
    buf_finish(&command->reason);
}

static void parse_topic(const struct intake *intake, struct span topic, struct command *command)
{
    size_t start = strlen(intake->options.config->bus.prefix) + strlen("/commands/");
    struct span rest = {topic.data + start, topic.len - start};
    const char *slash = memchr(rest.data, '/', rest.len);
    size_t len = slash != NULL ? (size_t)(slash - rest.data) : rest.len;
    command->target = span_dup((struct span){rest.data, len});
    command->operation = slash != NULL ? span_dup((struct span){slash + 1, rest.len - len - 1}) : mem_strdup("");
}

#define REPLY_LEVELS_MAX 32 /* brokers throw out who publishes on too many: mosquitto at 200 */

static bool is_deep(struct span topic)
{
    size_t levels = 1;
    for (size_t i = 0; i < topic.len; i++)
        levels += topic.data[i] == '/';
    return levels > REPLY_LEVELS_MAX;
}

/* An answer among our own topics could be the next command. */
static void parse_reply(const struct intake *intake, const struct message *message, struct command *command)
{
    struct span topic = message->response_topic;
    cleanup_text char *own = mem_printf("%s/", intake->options.config->bus.prefix);
    size_t len = strlen(own);
    if (!topic_is_valid(topic) || topic.data[0] == '$' || (topic.len >= len && memcmp(topic.data, own, len) == 0))
        return;
    if (is_deep(topic)) {
        log_warn("a command gets no answer: its response topic has too many levels", "target", command->target, NULL);
        return;
    }
    struct buf reply = {0};
    cleanup_text char *correlation = digest_base64(message->correlation);
    buf_puts(&reply, "{\"topic\":");
    buf_put_json(&reply, topic);
    buf_printf(&reply, ",\"correlation\":\"%s\"}", correlation);
    command->reply = buf_steal(&reply);
    command->reply_topic = span_dup(topic);
}

static void find_operation(const struct intake *intake, struct command *command)
{
    const char *names[64];
    size_t count = 0;
    for (; count < intake->options.target_count && count < 64; count++)
        names[count] = intake->options.targets[count]->name;
    command->to = config_target(intake->options.config, command->target);
    const struct bb_plugin *plugin = intake_plugin(intake, command->target);
    const char *near = problems_nearest(span_of(command->target), names, count);
    if (plugin == NULL || command->to == NULL) {
        command->to = NULL;
        command->code = "unknown_target";
        buf_printf(&command->reason, "no target '%s'", command->target);
    } else if (!plugin_find_operation(plugin, command->operation, &command->what)) {
        struct bb_operation each;
        for (count = 0; count < 64 && plugin_operation(plugin, count, &each) != NULL; count++)
            names[count] = each.name;
        near = problems_nearest(span_of(command->operation), names, count);
        command->code = "unknown_operation";
        buf_printf(&command->reason, "target '%s' has no operation '%s'", command->target, command->operation);
    } else {
        return;
    }
    if (near != NULL)
        buf_printf(&command->reason, ", did you mean '%s'?", near);
}

static void read_body(const struct message *message, struct command *command)
{
    bool is_null;
    const char *error = NULL;
    cleanup_json struct json_object *body = json_parse(message->payload, &is_null, &error);
    if (body == NULL && !is_null) {
        command->code = "mapping_failed";
        buf_printf(&command->reason, "the payload is no JSON: %s", error);
        return;
    }
    json_print(body, &command->body);
}

/* 0, or -1: the store failed. */
static int store_command(struct intake *intake, const struct message *message, const struct command *command)
{
    char id[UUID_TEXT_MAX];
    bool invalid = command->code != NULL;
    cleanup_text char *topic = span_dup(message->topic), *user = intake_user_properties(message);
    uuid_v7(message->received_ms, id);
    struct delivery delivery = {.id = id,
                                .kind = DELIVERY_OUT,
                                .state = invalid ? DELIVERY_REJECTED : DELIVERY_PENDING,
                                .route = COMMANDS,
                                .target = command->to != NULL ? command->to->name : COMMANDS,
                                .operation = command->operation,
                                .lane = topic,
                                .accepted_ms = message->received_ms,
                                .due_ms = intake->steady_ms,
                                .body = buf_span(&command->body),
                                .topic = topic,
                                .payload = message->payload,
                                .user = user,
                                .reply = command->reply,
                                .packet_id = message->packet_id,
                                .packet_hash = (int64_t)intake->hash};
    const unsigned order = BB_CREATES | BB_WORK_ORDER;
    if (invalid) {
        delivery.ended_ms = message->received_ms;
        delivery.error = (struct delivery_error){.error_class = "validation",
                                                 .code = command->code,
                                                 .message = buf_span(&command->reason).data,
                                                 .owner_action = "mend what publishes the command, then `busbar "
                                                                 "queue discard`"};
    } else {
        bool draft =
            (command->what.flags & BB_WRITES) != 0 && config_mode_of(command->to, command->operation) == MODE_DRAFT;
        delivery.state = draft ? DELIVERY_DRAFT : DELIVERY_PENDING;
        delivery.order_id = (command->what.flags & order) == order ? id : NULL;
    }
    return intake_add_command(intake, &delivery);
}

static int answer_refusal(struct intake *intake, const struct message *message, const struct command *command)
{
    cleanup_json struct json_object *answer = json_object_new_object();
    struct json_object *error = json_object_new_object();
    cleanup_buf struct buf payload = {0};
    char id[UUID_TEXT_MAX];
    uuid_v7(message->received_ms, id);
    json_put_text(answer, "delivery", NULL);
    json_put_text(answer, "state", "rejected");
    json_put_text(answer, "target", command->target);
    json_put_text(answer, "operation", command->operation);
    json_put_text(error, "class", "validation");
    json_put_text(error, "code", command->code);
    json_put_text(error, "message", buf_span(&command->reason).data);
    json_object_object_add(answer, "error", error);
    json_print(answer, &payload);
    return intake_add_to_bus(intake, id, command->reply_topic, command->reply_topic, buf_span(&payload),
                             command->reply);
}

void intake_command(struct intake *intake, const struct message *message)
{
    struct command command = {0};
    size_t route = intake->options.config->route_count;
    if (message->retained) {
        intake_count_outcome(intake, route, OUTCOME_IGNORED);
        return;
    }
    parse_topic(intake, message->topic, &command);
    parse_reply(intake, message, &command);
    find_operation(intake, &command);
    if (command.code == NULL)
        read_body(message, &command);
    intake_count_outcome(intake, route, command.code != NULL ? OUTCOME_INVALID : OUTCOME_ACCEPTED);
    bool answered = command.code != NULL && command.reply != NULL;
    if (!intake_begin_group(intake) ||
        (answered ? answer_refusal(intake, message, &command) : store_command(intake, message, &command)) != 0)
        intake->failed = true;
    finish_command(&command);
}
