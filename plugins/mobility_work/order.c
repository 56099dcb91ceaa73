/* SPDX-License-Identifier: Apache-2.0 */
/* work_order.create: a work order in the words that all targets understand, as one of Mobility Work's tasks.
 *
 * Mobility Work has no member for a place or a priority: they are lines of the description, so that the one who
 * does the work reads them. What the message has under native is in Mobility Work's words and wins; what neither
 * says is the target's default, and the times begin with the message's own. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <string.h>

static const char *const words[] = {"asset_ref", "title",      "description", "location",
                                    "priority",  "sla_due_at", "native"};

struct order {
    struct mw_task *task;
    struct json_object *body;
};

/* Null is the same as left out; in a template it is what is not known yet. */
static bool says(const struct order *order, const char *word, struct json_object **value)
{
    return json_object_object_get_ex(order->body, word, value) && (*value || !order->task->faults.call->in);
}

/* A member of the task, unless native has it. takes */
static void put(const struct order *order, const char *name, struct json_object *value, const char *pointer)
{
    struct mw_task *task = order->task;
    if (json_object_object_get_ex(task->given, name, NULL)) {
        json_object_put(value);
        return;
    }
    json_object_object_add(task->given, name, value);
    json_object_object_add(task->pointers, name, json_object_new_string(pointer));
}

static void put_natives(const struct order *order)
{
    struct mw_task *task = order->task;
    struct json_object *native = NULL;
    if (!says(order, "native", &native) || !native)
        return;
    if (!json_object_is_type(native, json_type_object)) {
        pl_fault(&task->faults.said, "/native", "type", NULL, "must be an object of a task's members");
        return;
    }
    json_object_object_foreach(native, name, value)
    {
        if (value || !task->faults.call->in)
            json_object_object_add(task->given, name, json_object_get(value));
    }
}

static void put_asset(const struct order *order)
{
    struct json_object *asset = NULL;
    if (says(order, "asset_ref", &asset))
        put(order, "equipment", json_object_get(asset), "/asset_ref");
}

static bool is_text(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 0;
}

/* By their lengths: JSON text may hold a NUL. gives */
static struct json_object *join(const struct order *order, struct json_object *first, const char *between,
                                struct json_object *second)
{
    const struct mw_call *call = order->task->faults.call;
    const size_t a = (size_t)json_object_get_string_len(first), b = strlen(between),
                 c = (size_t)json_object_get_string_len(second);
    char *text = call->host->alloc(call->job, a + b + c);
    memcpy(text, json_object_get_string(first), a);
    memcpy(text + a, between, b);
    memcpy(text + a + b, json_object_get_string(second), c);
    return json_object_new_string_len(text, (int)(a + b + c));
}

/* Title and description are one text; what is no text is left for its fault. */
static void put_texts(const struct order *order)
{
    struct json_object *title = NULL, *description = NULL;
    const bool titled = says(order, "title", &title), described = says(order, "description", &description);
    if (is_text(title) && is_text(description))
        put(order, "description", join(order, title, "\n\n", description), "/description");
    else if (titled && (!described || (title && !is_text(title))))
        put(order, "description", json_object_get(title), "/title");
    else if (described)
        put(order, "description", json_object_get(description), "/description");
}

static bool is_priority(struct json_object *value)
{
    static const char *const known[] = {"critical", "high", "medium", "low"};
    for (size_t i = 0; i < PL_COUNT(known) && is_text(value); i++)
        if (strcmp(known[i], json_object_get_string(value)) == 0)
            return true;
    return false;
}

/* The site's own word for a priority, where its mapping has one. gives; NULL: not known yet */
static struct json_object *priority_word(const struct order *order, struct json_object *value)
{
    const struct mw_call *call = order->task->faults.call;
    const char *theirs =
        value ? call->host->source_word(call->job, BB_PRIORITIES, json_object_get_string(value)) : NULL;
    return theirs ? json_object_new_string(theirs) : json_object_get(value);
}

/* takes and gives the description; null: not known yet */
static struct json_object *add_line(const struct order *order, struct json_object *description, const char *label,
                                    struct json_object *value)
{
    struct json_object *longer = description && value ? join(order, description, label, value) : NULL;
    json_object_put(description);
    return longer;
}

static void put_lines(const struct order *order)
{
    struct mw_task *task = order->task;
    struct json_object *location = NULL, *priority = NULL;
    bool located = says(order, "location", &location), graded = says(order, "priority", &priority);
    if (location && !is_text(location)) {
        pl_fault(&task->faults.said, "/location", "type", NULL, "must be a string that is not empty");
        located = false;
    }
    if (priority && !is_priority(priority)) {
        pl_fault(&task->faults.said, "/priority", "priority", NULL, "must be one of critical, high, medium, low");
        graded = false;
    }
    struct json_object *description = json_object_get(pl_at(task->given, "/description"));
    if (json_object_is_type(description, json_type_string) && (located || graded)) {
        if (located)
            description = add_line(order, description, "\n\nLocation: ", location);
        PL_SCOPED struct json_object *word = graded ? priority_word(order, priority) : NULL;
        if (graded)
            description = add_line(order, description, located ? "\nPriority: " : "\n\nPriority: ", word);
        json_object_object_add(task->given, "description", description);
    } else {
        json_object_put(description);
    }
}

/* From the message's time on, for as long as a task lasts here. */
static void put_times(const struct order *order)
{
    const struct mw_call *call = order->task->faults.call;
    int64_t start = call->in ? call->in->messages[0].received_ms : 0;
    put(order, "startDateTime", call->in ? json_object_new_string(mw_print_time(call, start)) : NULL,
        "/native/startDateTime");
    const char *text = mw_text_at(call, order->task->given, "/startDateTime");
    if (text)
        pl_read_time(text, &start);
    put(order, "endDateTime",
        call->in ? json_object_new_string(mw_print_time(call, start + call->config->task_duration_ms)) : NULL,
        "/native/endDateTime");
}

void mw_order_as_task(struct mw_task *task, struct json_object *body)
{
    struct order order = {task, body};
    struct json_object *due = NULL;
    task->place = "/native";
    task->given = json_object_new_object();
    task->pointers = json_object_new_object();
    pl_fault_unknown(&task->faults.said, body, "", words, PL_COUNT(words));
    put_natives(&order);
    put_asset(&order);
    put_texts(&order);
    if (says(&order, "sla_due_at", &due))
        put(&order, "endDateTime", json_object_get(due), "/sla_due_at");
    mw_task_put_defaults(task);
    if (!json_object_object_get_ex(task->given, "equipment", NULL)) /* where it would stand */
        json_object_object_add(task->pointers, "equipment", json_object_new_string("/asset_ref"));
    if (!json_object_object_get_ex(task->given, "description", NULL))
        json_object_object_add(task->pointers, "description", json_object_new_string("/title"));
    put_lines(&order);
    put_times(&order);
    put(&order, "allDay", json_object_new_boolean(false), "/native/allDay");
}
