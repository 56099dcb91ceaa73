/* SPDX-License-Identifier: Apache-2.0 */
/* attachment.add: POST /api/v2/document (AS-E11). An operation of its own: the order exists whatever becomes of
 * its photo (A-U18). The order is named by its GUID, by the number that people see, or by the ExternalId that it
 * was made with, which is busbar's own id of it; one that is not there yet is waited for. */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

#define PATH "/api/v2/document"
#define ORDERS "/api/v2/workorder"
#define PICTURES 7 /* AS-D05: the vendor's own defaults */
#define OTHERS 10

static const char *const members[] = {"work_order",  "external_id", "name",     "content",     "url",        "label",
                                      "description", "group",       "category", "subcategory", "expiry_date"};

struct file {
    struct as_faults faults;
    struct json_object *given;
    size_t bytes;
};

static bool is_template(const struct file *file)
{
    return file->faults.call->in == NULL;
}

static bool has(const struct file *file, const char *name)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(file->given, name, &value) && (value || is_template(file));
}

static const char *text(const struct file *file, const char *name)
{
    return as_text_of(file->faults.call, pl_member(file->given, name));
}

static void check_type(struct file *file, const char *name, enum json_type type, const char *sentence)
{
    struct json_object *value = pl_member(file->given, name);
    const bool empty = json_object_is_type(value, json_type_string) && json_object_get_string_len(value) == 0;
    if (value && (!json_object_is_type(value, type) || empty))
        as_fault(&file->faults, file->faults.call->host->format(file->faults.call->job, "/%s", name), "type", NULL,
                 sentence);
}

/* How many bytes the text stands for; false when it is no base64 (AS-D02). */
static bool decoded_size(const char *base64, size_t *bytes)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = strlen(base64), body = strspn(base64, alphabet), padding = len - body;
    if (len == 0 || len % 4 != 0 || padding > 2 || strspn(base64 + body, "=") != padding)
        return false;
    *bytes = len / 4 * 3 - padding;
    return true;
}

static void check_content(struct file *file)
{
    const struct as_call *call = file->faults.call;
    struct json_object *content = pl_member(file->given, "content");
    if (!json_object_is_type(content, json_type_string))
        return;
    if (!decoded_size(json_object_get_string(content), &file->bytes))
        as_fault(&file->faults, "/content", "base64", NULL, "must be the file in base64");
    else if (file->bytes > (size_t)call->config->max_attachment) /* A-U19 */
        as_fault(&file->faults, "/content", "max_size", NULL,
                 call->host->format(call->job, "must stand for at most %lld bytes (max_attachment)",
                                    (long long)call->config->max_attachment));
}

static void check_file(struct file *file)
{
    static const char *const texts[] = {"work_order", "external_id", "name",        "content",
                                        "url",        "label",       "description", "expiry_date"};
    static const char *const numbers[] = {"group", "category", "subcategory"};
    const struct as_call *call = file->faults.call;
    int64_t wall;
    if (!file->given && is_template(file))
        return; /* a template that is one placeholder */
    if (!json_object_is_type(file->given, json_type_object)) {
        as_fault(&file->faults, "", "type", NULL, "must be a JSON object");
        return;
    }
    for (size_t i = 0; i < PL_COUNT(texts); i++)
        check_type(file, texts[i], json_type_string, "must be text that is not empty");
    for (size_t i = 0; i < PL_COUNT(numbers); i++)
        check_type(file, numbers[i], json_type_int, "must be an integer");
    if (has(file, "work_order") == has(file, "external_id"))
        as_fault(&file->faults, "/work_order", "required", NULL, "or /external_id is required, and not both");
    if (has(file, "content") == has(file, "url"))
        as_fault(&file->faults, "/content", "required", NULL, "or /url is required, and not both");
    if (has(file, "content") && !has(file, "name"))
        as_fault(&file->faults, "/name", "required", NULL, "is required with content");
    if (has(file, "url") && !has(file, "label"))
        as_fault(&file->faults, "/label", "required", NULL, "is required with url"); /* AS-D05 */
    check_content(file);
    if (text(file, "expiry_date") && !as_read_wall(call->config->time_zone, text(file, "expiry_date"), &wall))
        as_fault(&file->faults, "/expiry_date", "date_time", NULL, "must be a date-time");
    json_object_object_foreach(file->given, name, value)
    {
        (void)value;
        size_t i = 0;
        while (i < PL_COUNT(members) && strcmp(members[i], name) != 0)
            i++;
        if (i == PL_COUNT(members))
            as_fault_unknown(&file->faults, "", name, members, PL_COUNT(members));
    }
}

/* ---- the request ---------------------------------------------------------------*/

static void add_text(struct json_object *object, const char *name, const char *value)
{
    if (value)
        json_object_object_add(object, name, json_object_new_string(value));
}

static void add_number(const struct file *file, struct json_object *object, const char *name, const char *from)
{
    struct json_object *value = pl_member(file->given, from);
    if (value)
        json_object_object_add(object, name, json_object_get(value));
}

/* "photo.jpg" -> "jpg": what Assetic calls MimeType is the extension (AS-D05). */
static const char *extension_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot[1] ? dot + 1 : "";
}

static int default_group(const char *extension)
{
    static const char *const pictures[] = {"jpg", "png", "gif"};
    for (size_t i = 0; i < PL_COUNT(pictures); i++)
        if (strcasecmp(pictures[i], extension) == 0)
            return PICTURES;
    return OTHERS;
}

static void add_content(const struct file *file, struct json_object *document)
{
    const char *name = text(file, "name"), *extension = extension_of(name);
    struct json_object *property = json_object_new_object(), *properties = json_object_new_array();
    add_text(document, "Label", text(file, "label") ? text(file, "label") : name);
    add_text(document, "MimeType", extension);
    json_object_object_add(document, "DocumentSize", json_object_new_int64((int64_t)file->bytes));
    add_text(property, "Name", name);
    json_object_object_add(property, "FileSize", json_object_new_int64((int64_t)file->bytes));
    add_text(property, "mimetype", extension);
    json_object_object_add(property, "filecontent", json_object_get(pl_member(file->given, "content")));
    json_object_array_add(properties, property);
    json_object_object_add(document, "FileProperty", properties);
    if (!has(file, "group"))
        json_object_object_add(document, "DocumentGroup", json_object_new_int(default_group(extension)));
}

static enum bb_next send_document(const struct file *file, const char *order)
{
    const struct as_call *call = file->faults.call;
    PL_SCOPED struct json_object *document = json_object_new_object();
    int64_t wall;
    add_text(document, "ParentId", order); /* AS-D01, AS-D04 */
    add_text(document, "ParentType", "WorkOrder2");
    if (has(file, "content")) {
        add_content(file, document);
    } else {
        add_text(document, "Label", text(file, "label"));
        add_text(document, "DocumentLink", text(file, "url"));
    }
    add_text(document, "Description", text(file, "description"));
    add_number(file, document, "DocumentGroup", "group"); /* AS-D03 */
    add_number(file, document, "DocumentCategory", "category");
    add_number(file, document, "DocumentSubCategory", "subcategory");
    if (text(file, "expiry_date") && as_read_wall(call->config->time_zone, text(file, "expiry_date"), &wall))
        add_text(document, "ExpiryDate", as_print_wall(call, wall));
    add_text(document, "ExternalId", call->in->messages[0].id);
    call->state->stage = AS_SENT;
    call->state->newest = order;
    call->out->request = (struct bb_request){.method = "POST", .path = PATH, .body = as_print(call, document)};
    return BB_SEND;
}

/* ---- the order that it belongs to ---------------------------------------------------*/

static enum bb_next find_marked(const struct file *file, const char *mark)
{
    const struct as_call *call = file->faults.call;
    size_t count = 0;
    const char *id = as_find_marked(call, mark, &count);
    if (count == 1)
        return send_document(file, id);
    if (count > 1)
        return pl_fail(call->out, BB_REJECT, BB_CONFLICT, "ambiguous_work_order",
                       "several work orders have this ExternalId: name one by its own id");
    if (call->want->path)
        return as_send_lookup(call);
    return pl_fail(call->out, BB_RETRY, BB_IDENTITY, "work_order_not_there", "no work order has this ExternalId yet");
}

#define VERSION_AT 14 /* in a GUID */

/* Busbar gives ids of version 7 to what it makes. Assetic's own are random (4), or a database's, whose digit there is
 * of the century. */
static bool is_ours(const struct file *file)
{
    return as_is_guid(pl_member(file->given, "work_order")) && text(file, "work_order")[VERSION_AT] == '7';
}

static enum bb_next find_numbered(const struct file *file)
{
    const struct as_call *call = file->faults.call;
    const char *number = text(file, "work_order"), *id = NULL;
    PL_SCOPED struct json_object *orders = as_list(call, ORDERS, as_equals(call, "FriendlyIdStr", number), 0);
    size_t count = 0;
    if (!orders)
        return as_send_lookup(call);
    for (size_t i = 0; i < json_object_array_length(orders); i++) {
        struct json_object *each = json_object_array_get_idx(orders, i);
        const char *its = as_text_at(call, each, "/FriendlyIdStr");
        if (!its || strcmp(its, number) != 0)
            continue;
        id = as_text_at(call, each, "/Id");
        count++;
    }
    if (count == 1 && id)
        return send_document(file, id);
    return pl_fail(call->out, BB_REJECT, BB_IDENTITY, count > 1 ? "ambiguous_work_order" : "unknown_work_order",
                   call->host->format(call->job, "%zu work orders have the number %s: one is wanted", count, number));
}

static enum bb_next attach(const struct as_call *call)
{
    struct file file = {.faults = as_no_faults(call), .given = pl_parse(call->in->messages[0].body)};
    enum bb_next next;
    check_file(&file);
    if (file.faults.said.count > 0)
        next = pl_reject_faults(&file.faults.said, call->out, "invalid_attachment", "the attachment would be refused");
    else if (has(&file, "external_id"))
        next = find_marked(&file, text(&file, "external_id"));
    else if (is_ours(&file))
        next = find_marked(&file, text(&file, "work_order"));
    else if (as_is_guid(pl_member(file.given, "work_order")))
        next = send_document(&file, text(&file, "work_order"));
    else
        next = find_numbered(&file);
    pl_put(&file.given);
    return next;
}

/* FV-06e. The file itself stays out of the event. */
static void tell(const struct as_call *call, const char *id)
{
    PL_SCOPED struct json_object *raw = json_object_new_object();
    add_text(raw, "Id", id);
    add_text(raw, "ParentId", call->state->newest);
    add_text(raw, "ExternalId", call->in->messages[0].id);
    const struct bb_work_order order = {.source_work_order_id = call->state->newest};
    const struct bb_event event = {.size = sizeof event,
                                   .type = "attachment.added",
                                   .name = "document",
                                   .dedup_id = call->host->format(call->job, "document/%s", call->in->messages[0].id),
                                   .work_order = &order,
                                   .raw = as_print(call, raw)};
    call->host->emit(call->job, &event);
}

enum bb_next as_attachment_add(const struct as_call *call)
{
    if (call->state->stage == AS_START)
        return attach(call);
    if (call->state->stage == AS_LOOKING_UP) {
        enum bb_next next = as_take_lookup(call);
        return next == BB_DONE ? attach(call) : next;
    }
    enum bb_next next = as_judge(call);
    if (next != BB_DONE)
        return next;
    const char *id = as_answered_id(call, call->in->response->body); /* AS-D06 */
    if (!id)
        return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer",
                       "the answer to a document names no Id of it");
    tell(call, id);
    return BB_DONE;
}

const char *as_attachment_check(const struct as_call *call, struct bb_str body)
{
    struct file file = {.faults = as_no_faults(call), .given = pl_parse(body)};
    check_file(&file);
    const char *wrong = file.faults.said.text;
    pl_put(&file.given);
    return wrong;
}
