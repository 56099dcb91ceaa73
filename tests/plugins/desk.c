/* SPDX-License-Identifier: Apache-2.0 */
/* A target of work orders as plain as can be: creates them, changes those that exist, hears what becomes of them. */
#include <busbar/plugin.h>

#include <json-c/json.h>
#include <string.h>

#define SCOPED __attribute__((cleanup(put))) struct json_object

static void put(struct json_object **value)
{
    json_object_put(*value);
}

static struct json_object *parse(struct bb_str text)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *value = json_tokener_parse_ex(tokener, text.len ? text.data : "", (int)text.len);
    json_tokener_free(tokener);
    return value;
}

/* In job memory; NULL: it has no such member. */
static const char *text_of(const struct bb_host *host, struct bb_job *job, struct json_object *from, const char *name)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(from, json_type_object) || !json_object_object_get_ex(from, name, &value) || !value)
        return NULL;
    return host->format(job, "%s", json_object_get_string(value));
}

static const struct bb_operation operations[] = {
    {.name = "work_order.create",
     .help = "POST /orders",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_IDEMPOTENT,
     .max_batch = 1},
    {.name = "work_order.create_all",
     .help = "POST /orders/all, [{mark, body}]; answers [{id} or {why}]",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_IDEMPOTENT,
     .max_batch = 10},
    {.name = "work_order.update",
     .help = "PATCH /orders/{id}",
     .flags = BB_WRITES | BB_WORK_ORDER,
     .max_batch = 1,
     .order_pointer = "/work_order"},
    {.name = "work_order.move",
     .help = "PATCH /orders/{id}, to the body's status",
     .flags = BB_WRITES | BB_WORK_ORDER,
     .max_batch = 1,
     .order_pointer = "/work_order",
     .moves_to = "/status"},
    {.name = "work_order.complete",
     .help = "PATCH /orders/{id}, to completed",
     .flags = BB_WRITES | BB_WORK_ORDER,
     .max_batch = 1,
     .order_pointer = "/work_order",
     .moves_to = "completed"},
};

static const struct bb_message *message_at(const struct bb_in *in, size_t i)
{
    return (const void *)((const char *)in->messages + i * in->message_size);
}

static enum bb_next send_all(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    const char *list = "[";
    for (size_t i = 0; i < in->message_count; i++) {
        const struct bb_message *message = message_at(in, i);
        list = host->format(in->job, "%s%s{\"mark\":\"%s\",\"body\":%.*s}", list, i ? "," : "", message->id,
                            (int)message->body.len, message->body.data);
    }
    list = host->format(in->job, "%s]", list);
    out->request = (struct bb_request){.method = "POST", .path = "/orders/all", .body = {list, strlen(list)}};
    return BB_SEND;
}

/* As GUIDE.md's section on batches has it: an id is told by an event, a refusal by settle. */
static void take_all(const struct bb_host *host, const struct bb_in *in)
{
    SCOPED *answer = parse(in->response->body);
    for (size_t i = 0; i < in->message_count; i++) {
        const struct bb_message *message = message_at(in, i);
        const char *id = text_of(host, in->job, json_object_array_get_idx(answer, i), "id");
        const struct bb_error error = {BB_VALIDATION, "refused", "Desk refused it", NULL, NULL};
        const struct bb_work_order order = {
            .order_id = message->order_id, .delivery_id = message->id, .source_work_order_id = id};
        const struct bb_event event = {.size = sizeof event,
                                       .type = "work_order.created",
                                       .name = "order.created",
                                       .dedup_id = host->format(in->job, "created/%s", message->id),
                                       .work_order = &order};
        if (id)
            host->emit(in->job, &event);
        else
            host->settle(in->job, i, BB_REJECT, &error);
    }
}

static enum bb_next step_all(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    if (in->response == NULL)
        return send_all(host, in, out);
    const enum bb_next next = host->judge(in->job, in->response, out);
    if (next == BB_DONE)
        take_all(host, in);
    return next;
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    if (strcmp(in->operation, "work_order.create_all") == 0)
        return step_all(host, in, out);
    const struct bb_message *message = &in->messages[0];
    bool creates = strcmp(in->operation, "work_order.create") == 0;
    if (in->response == NULL) {
        out->request.method = creates ? "POST" : "PATCH";
        out->request.path = creates ? "/orders" : host->format(in->job, "/orders/%s", message->source_work_order_id);
        out->request.body = message->body;
        return BB_SEND;
    }
    enum bb_next next = host->judge(in->job, in->response, out);
    SCOPED *answer = parse(in->response->body);
    if (next == BB_DONE && creates)
        out->source_work_order_id = text_of(host, in->job, answer, "id");
    return next;
}

/* {"event", "id", "order", "status", "priority", "mark"}; without a status the event is the word. */
static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self, (void)out;
    struct bb_job *job = in->job;
    SCOPED *body = parse(in->messages[0].body);
    struct bb_work_order order = {.source_work_order_id = text_of(host, job, body, "order"),
                                  .source_status = text_of(host, job, body, "status"),
                                  .source_priority = text_of(host, job, body, "priority"),
                                  .delivery_id = text_of(host, job, body, "mark")};
    struct bb_event event = {.size = sizeof event,
                             .type = "work_order.updated",
                             .name = text_of(host, job, body, "event"),
                             .dedup_id = text_of(host, job, body, "id"),
                             .work_order = &order,
                             .raw = in->messages[0].body};
    if (!order.source_status)
        order.source_status = event.name;
    host->emit(job, &event);
    return BB_DONE;
}

static const struct bb_mapping statuses[] = {
    {"open", "requested"}, {"planned", "assigned"}, {"running", "in_progress"}, {"waiting", "blocked"},
    {"done", "completed"}, {"filed", "closed"},     {"dropped", "canceled"}};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "desk",
    .title = "Desk",
    .version = "1",
    .help = "Keeps work orders.",
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = sizeof operations / sizeof operations[0],
    .hook = {.event_pointer = "/event"},
    .step = step,
    .decode = decode,
    .statuses = statuses,
    .status_count = sizeof statuses / sizeof statuses[0],
};
