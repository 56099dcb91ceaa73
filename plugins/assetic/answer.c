/* SPDX-License-Identifier: Apache-2.0 */
/* What an error answer means. The vendor documents no error body; three shapes are met in the field (AS-C08) and
 * read as far as they hold. Anything else leaves the verdict of the shared classifier as it was. */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 5
#define PLAIN_MAX 300

struct reading {
    const struct as_call *call;
    struct json_object *fields; /* [{"pointer","key","parameters"}] */
    const char *text;           /* for people */
};

/* "workOrder.Labours[0].HoursRequired" or "$.Labours[0].HoursRequired" -> "/Labours/0/HoursRequired": what begins
 * in lower case, or is $, names the parameter that the body was bound to. */
static const char *pointer_of(const struct as_call *call, const char *field)
{
    const char *dot = strchr(field, '.');
    if (dot && (*field == '$' || (*field >= 'a' && *field <= 'z')))
        field = dot + 1;
    char *pointer = call->host->alloc(call->job, strlen(field) + 2), *to = pointer;
    *to++ = '/';
    for (; *field; field++) {
        if (*field == '.' || *field == '[')
            *to++ = '/';
        else if (*field != ']' && *field != '/' && *field != '~')
            *to++ = *field;
    }
    return pointer;
}

static void read_field(struct reading *reading, const char *field, const char *says)
{
    const struct as_call *call = reading->call;
    const char *pointer = pointer_of(call, field);
    struct json_object *entry = json_object_new_object(), *parameters = json_object_new_object();
    json_object_object_add(parameters, "says", json_object_new_string(says));
    json_object_object_add(entry, "pointer", json_object_new_string(pointer));
    json_object_object_add(entry, "key", json_object_new_string("refused"));
    json_object_object_add(entry, "parameters", parameters);
    json_object_array_add(reading->fields, entry);
    if (json_object_array_length(reading->fields) > SAID_MAX)
        return;
    const char *said = call->host->format(call->job, "%s %s", pointer, says);
    reading->text = reading->text ? call->host->format(call->job, "%s; %s", reading->text, said) : said;
}

static void read_fields(struct reading *reading, struct json_object *object)
{
    if (!json_object_is_type(object, json_type_object))
        return;
    json_object_object_foreach(object, field, says)
    {
        if (json_object_is_type(says, json_type_string))
            read_field(reading, field, json_object_get_string(says));
        for (size_t i = 0; json_object_is_type(says, json_type_array) && i < json_object_array_length(says); i++) {
            const char *text = as_text_of(reading->call, json_object_array_get_idx(says, i));
            if (text)
                read_field(reading, field, text);
        }
    }
}

static const char *plain_text(const struct as_call *call, struct bb_str body, struct json_object *json)
{
    const char *text = as_text_of(call, json);
    if (text)
        return call->host->format(call->job, "%.*s", PLAIN_MAX, text);
    const bool null = body.len == 4 && memcmp(body.data, "null", 4) == 0;
    if (json || null || body.len == 0 || body.len > PLAIN_MAX || body.data[0] == '<' ||
        memchr(body.data, '\0', body.len))
        return NULL; /* a page of HTML tells nobody anything */
    for (size_t i = 0; i < body.len; i++)
        if ((unsigned char)body.data[i] < ' ' || (unsigned char)body.data[i] > '~')
            return NULL;
    return call->host->format(call->job, "%.*s", (int)body.len, body.data);
}

static void refine(const struct as_call *call)
{
    struct bb_error *error = &call->out->error;
    PL_SCOPED struct json_object *body = pl_parse(call->in->response->body);
    struct reading reading = {.call = call, .fields = json_object_new_array()};
    const char *message = as_text_at(call, body, "/Message"), *more = as_text_at(call, body, "/ExceptionMessage");
    if (!message)
        message = as_text_at(call, body, "/title");
    if (!message && !json_object_is_type(body, json_type_object))
        message = plain_text(call, call->in->response->body, body);
    read_fields(&reading, pl_member(body, "ModelState"));
    read_fields(&reading, pl_member(body, "errors"));
    if (message || more || reading.text)
        error->message = call->host->format(
            call->job, "Assetic: %s%s%s%s%s", message ? message : "", message && more ? " " : "", more ? more : "",
            (message || more) && reading.text ? ": " : "", reading.text ? reading.text : "");
    if (json_object_array_length(reading.fields) > 0)
        error->rejected_fields = as_print(call, reading.fields).data;
    pl_put(&reading.fields);
}

enum bb_next as_judge(const struct as_call *call)
{
    const struct bb_response *response = call->in->response;
    enum bb_next next = call->host->judge(call->job, response, call->out);
    if (next == BB_DONE)
        return next;
    refine(call);
    if (response->status == 401)
        call->out->error.owner_action = "Check user and token: the API token is made per user in Assetic and may have "
                                        "been replaced. Then resume the target.";
    else if (response->status == 403)
        call->out->error.owner_action =
            "Give the API user the role Mnt Admin in Assetic. Then resume the operation."; /* AS-C02 */
    return next;
}
