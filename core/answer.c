/* SPDX-License-Identifier: Apache-2.0 */
/* The outcome of a command, for the MQTT 5 response topic that it named: stored with the verdict, published like an
 * event. A dead letter that someone retries is answered again, with the same correlation data. */
#include "digest.h"
#include "dispatch_private.h"
#include "json.h"

#include <json-c/json.h>
#include <string.h>

#define COMMANDS "$commands" /* as the intake names their route */

struct answer {
    bool due; /* it is over, and an answer was asked for */
    char *topic, *reply, *order_id;
    struct json_object *json;
};

static void finish_answer(struct answer *answer)
{
    mem_free_char(&answer->topic);
    mem_free_char(&answer->reply);
    mem_free_char(&answer->order_id);
    json_free(&answer->json);
}
#define cleanup_answer __attribute__((cleanup(finish_answer)))

static struct json_object *error_json(const struct delivery_error *error)
{
    if (error->error_class == NULL)
        return NULL;
    struct json_object *json = json_object_new_object();
    json_put_text(json, "class", error->error_class);
    json_put_text(json, "code", error->code);
    json_put_text(json, "message", error->message);
    json_object_object_add(json, "http_status",
                           error->http_status > 0 ? json_object_new_int(error->http_status) : NULL);
    json_put_text(json, "request_id", error->request_id);
    json_object_object_add(json, "rejected_fields",
                           error->rejected_fields != NULL ? json_parse(span_of(error->rejected_fields), NULL, NULL)
                                                          : NULL);
    json_put_text(json, "owner_action", error->owner_action);
    return json;
}

static void note_outcome(void *context, const struct delivery *delivery)
{
    struct answer *answer = context;
    if (delivery->reply == NULL || delivery_state_is_open(delivery->state))
        return;
    cleanup_json struct json_object *reply = json_parse(span_of(delivery->reply), NULL, NULL);
    answer->topic = mem_strdup(json_get_text(reply, "topic"));
    answer->reply = mem_strdup(delivery->reply);
    answer->order_id = mem_strdup(delivery->order_id);
    answer->due = answer->topic != NULL;
    answer->json = json_object_new_object();
    json_put_text(answer->json, "delivery", delivery->id);
    json_put_text(answer->json, "state", delivery_state_name(delivery->state));
    json_put_text(answer->json, "target", delivery->target);
    json_put_text(answer->json, "operation", delivery->operation);
    json_object_object_add(answer->json, "error", error_json(&delivery->error));
}

static void note_order(void *context, const struct work_order *order)
{
    struct answer *answer = context;
    json_put_text(answer->json, "common_work_order_id", order->common_work_order_id);
    json_put_text(answer->json, "source_work_order_id", order->source_work_order_id);
    json_put_text(answer->json, "common_status", order->common_status);
}

int answer_command(struct dispatch *d, const char *route, int64_t seq)
{
    char id[UUID_TEXT_MAX];
    struct store_session *session = d->options.session;
    cleanup_answer struct answer answer = {0};
    cleanup_buf struct buf payload = {0};
    if (route == NULL || strcmp(route, COMMANDS) != 0)
        return 0;
    if (store_get_delivery(session, seq, note_outcome, &answer) < 0)
        return -1;
    if (!answer.due)
        return 0;
    if (answer.order_id != NULL && store_find_order(session, answer.order_id, note_order, &answer) < 0)
        return -1;
    json_print(answer.json, &payload);
    uuid_v7(d->wall_ms, id);
    struct delivery delivery = {.id = id,
                                .kind = DELIVERY_BUS,
                                .state = DELIVERY_PENDING,
                                .target = d->bus->name,
                                .operation = "publish",
                                .lane = answer.topic,
                                .topic = answer.topic,
                                .accepted_ms = d->wall_ms,
                                .due_ms = d->now_ms,
                                .body = buf_span(&payload),
                                .reply = answer.reply};
    if (store_add_delivery(session, &delivery) != 0)
        return -1;
    d->added++;
    return 0;
}
