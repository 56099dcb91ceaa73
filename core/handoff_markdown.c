/* SPDX-License-Identifier: Apache-2.0 */
#include "handoff_private.h"

#include <json-c/json.h>
#include <string.h>

struct column {
    const char *title, *pointer; /* JSON Pointer into an item */
};

/* A value in a table's cell. */
static void put_cell(struct buf *out, struct json_object *value)
{
    cleanup_buf struct buf text = {0};
    if (json_object_is_type(value, json_type_array)) {
        size_t count = json_object_array_length(value);
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                buf_puts(out, ", ");
            put_cell(out, json_object_array_get_idx(value, i));
        }
        if (count == 0)
            buf_putc(out, '-');
        return;
    }
    if (value == NULL)
        buf_putc(&text, '-');
    else if (json_object_is_type(value, json_type_boolean))
        buf_puts(&text, json_object_get_boolean(value) ? "yes" : "no");
    else if (!json_to_text(value, &text))
        json_print(value, &text);
    if (text.len == 0)
        buf_puts(out, "(all of it)");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '|')
            buf_putc(out, '\\');
        buf_putc(out, text.data[i] == '\n' ? ' ' : text.data[i]);
    }
}

static void put_row(struct buf *out, struct json_object *item, const struct column *columns, size_t count)
{
    buf_putc(out, '|');
    for (size_t i = 0; i < count; i++) {
        struct json_object *value = json_pointer(item, columns[i].pointer, NULL);
        buf_putc(out, ' ');
        put_cell(out, value);
        buf_puts(out, " |");
    }
    buf_putc(out, '\n');
}

static void put_table(struct buf *out, struct json_object *items, const struct column *columns, size_t count)
{
    size_t rows = json_object_is_type(items, json_type_array) ? json_object_array_length(items) : 0;
    if (rows == 0) {
        buf_puts(out, "None.\n\n");
        return;
    }
    buf_putc(out, '|');
    for (size_t i = 0; i < count; i++)
        buf_printf(out, " %s |", columns[i].title);
    buf_puts(out, "\n|");
    for (size_t i = 0; i < count; i++)
        buf_puts(out, "---|");
    buf_putc(out, '\n');
    for (size_t i = 0; i < rows; i++)
        put_row(out, json_object_array_get_idx(items, i), columns, count);
    buf_putc(out, '\n');
}
#define TABLE(out, items, columns) put_table(out, items, columns, sizeof(columns) / sizeof((columns)[0]))

/* Each of an object's members as a line "name | value". */
static void put_members(struct buf *out, struct json_object *object)
{
    buf_puts(out, "| | |\n|---|---|\n");
    json_object_object_foreach(object, key, value)
    {
        buf_printf(out, "| %s | ", key);
        put_cell(out, value);
        buf_puts(out, " |\n");
    }
    buf_putc(out, '\n');
}

static void put_block(struct buf *out, const char *language, struct json_object *value)
{
    buf_printf(out, "```%s\n", language);
    if (json_object_is_type(value, json_type_string))
        buf_puts(out, json_object_get_string(value));
    else
        buf_puts(out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
    buf_puts(out, "\n```\n\n");
}

#define EACH(item, array) \
    for (size_t at_ = 0;  \
         at_ < json_object_array_length(array) && ((item) = json_object_array_get_idx(array, at_), true); at_++)

/* ---- sections ---------------------------------------------------------------------------*/

static void put_connectors(struct buf *out, struct json_object *document)
{
    static const struct column targets[] = {{"target", "/target"}, {"system", "/system"},
                                            {"plugin", "/plugin"}, {"version", "/plugin_version"},
                                            {"url", "/url"},       {"User-Agent", "/user_agent"}};
    static const struct column operations[] = {
        {"operation", "/operation"}, {"first request", "/method"},  {"path", "/path"},
        {"at start", "/at_start"},   {"unverified", "/unverified"}, {"routes", "/routes"},
        {"what it does", "/help"}};
    struct json_object *connectors = json_get(document, "connectors"), *connector;
    buf_puts(out, "## 1. Endpoints and connectors in scope\n\n");
    TABLE(out, connectors, targets);
    EACH(connector, connectors)
    {
        buf_printf(out, "Operations of `%s` that routes use or that run at its start:\n\n",
                   json_get_text(connector, "target"));
        TABLE(out, json_get(connector, "operations"), operations);
    }
    buf_puts(out, "Unverified: the vendor does not document the request. Prove it in a test system first.\n\n");
}

static void put_credentials(struct buf *out, struct json_object *document)
{
    static const struct column credentials[] = {
        {"of", "/of"}, {"setting", "/setting"}, {"use", "/use"}, {"where it comes from", "/sources"}};
    static const struct column scope[] = {{"target", "/target"},
                                          {"operation", "/operation"},
                                          {"access", "/access"},
                                          {"mode", "/mode"},
                                          {"what follows", "/effect"}};
    buf_puts(out, "## 2. Credentials and scope\n\nNames and sources; values are in no document, log or store.\n\n");
    TABLE(out, json_get(document, "credentials"), credentials);
    buf_puts(out,
             "What may be done: `read` imports only, `draft` waits for a person, `handoff` creates once, `write_back` "
             "creates and changes.\n\n");
    TABLE(out, json_get(document, "scope"), scope);
}

static void put_request(struct buf *out, struct json_object *request)
{
    cleanup_buf struct buf text = {0};
    const char *body = json_get_text(request, "body");
    buf_printf(&text, "%s %s\n", json_get_text(request, "method"), json_get_text(request, "url"));
    json_object_object_foreach(json_get(request, "headers"), name, value)
        buf_printf(&text, "%s: %s\n", name, json_object_get_string(value));
    if (body != NULL)
        buf_printf(&text, "\n%s\n", body);
    buf_printf(out, "```http\n%s```\n\n", text.data);
}

static void put_example_payload(struct buf *out, struct json_object *example)
{
    struct json_object *payload = json_get(example, "payload");
    bool structured = json_object_is_type(payload, json_type_object) || json_object_is_type(payload, json_type_array);
    put_block(out, structured ? "json" : "text", structured ? payload : json_get(example, "text"));
}

static void put_payload(struct buf *out, struct json_object *payload)
{
    static const struct column fields[] = {{"member of the payload", "/pointer"}, {"example", "/example"}};
    struct json_object *example = json_get(payload, "example"), *request = json_get(example, "request");
    buf_printf(out, "### %s\n\n`%s` to `%s`%s\n\n", json_get_text(payload, "route"), json_get_text(payload, "from"),
               json_get_text(payload, "to"),
               json_get(payload, "trigger") == NULL ? ": each message is a command." : ", when its trigger fires:");
    if (json_get(payload, "trigger") != NULL)
        put_members(out, json_get(payload, "trigger"));
    if (json_object_array_length(json_get(payload, "fields")) > 0)
        TABLE(out, json_get(payload, "fields"), fields);
    else
        buf_puts(out, "It reads nothing of the payload.\n\n");
    if (json_get(payload, "body") != NULL) {
        buf_puts(out, "Body, a template:\n\n");
        put_block(out, "json", json_get(payload, "body"));
    } else if (json_get(payload, "body_jq") != NULL) {
        buf_puts(out, "Body, in jq:\n\n");
        put_block(out, "jq", json_get(payload, "body_jq"));
    } else {
        buf_puts(out, "The body is the payload itself.\n\n");
    }
    buf_printf(out, "Example, values made up, on `%s`:\n\n", json_get_text(example, "topic"));
    put_example_payload(out, example);
    if (json_object_object_length(json_get(example, "user")) > 0) {
        buf_puts(out, "With the MQTT 5 user properties\n\n");
        put_members(out, json_get(example, "user"));
    }
    if (request != NULL) {
        bool asks = strcmp(json_get_text(request, "method"), "GET") == 0;
        buf_printf(out, "The first request that it makes%s:\n\n",
                   asks ? "; it asks before it writes, and what follows depends on the answer" : "");
        put_request(out, request);
    } else {
        buf_printf(out, "It makes no request: %s\n\n", json_get_text(example, "why_none"));
    }
}

static void put_payloads(struct buf *out, struct json_object *document)
{
    struct json_object *payloads = json_get(document, "payloads"), *payload;
    buf_puts(out, "## 3. Payload fields and examples\n\n");
    EACH(payload, payloads) put_payload(out, payload);
}

static void put_mapping(struct buf *out, struct json_object *document)
{
    static const struct column words[] = {{"theirs", "/source"}, {"common", "/common"}, {"by", "/from"}};
    static const struct column transitions[] = {{"status", "/status"}, {"may be followed by", "/next"}};
    struct json_object *mapping = json_get(document, "mapping"), *target;
    buf_puts(
        out,
        "## 4. Status, priority and SLA mapping\n\n"
        "The first line with a word decides; of several words for one common word the first is sent. A word that no "
        "line maps gives `unknown` and the event `mapping.exception`, never a guess. Source and common value travel "
        "together.\n\n");
    EACH(target, mapping)
    {
        json_object_object_foreach(target, list, lines)
        {
            if (!json_object_is_type(lines, json_type_array) || json_object_array_length(lines) == 0)
                continue;
            buf_printf(out, "`%s`, %s:\n\n", json_get_text(target, "target"), list);
            TABLE(out, lines, words);
        }
    }
    buf_puts(out, "What busbar writes keeps to these steps; what a target tells is recorded as it is.\n\n");
    TABLE(out, json_get(document, "transitions"), transitions);
    buf_puts(out, "SLA: `sla_due_at` of a message goes to the target; the record's is what the target tells of the "
                  "order, in UTC, "
                  "null until it does. busbar computes none.\n\n");
}

static void put_inbound(struct buf *out, struct json_object *document)
{
    struct json_object *inbound = json_get(document, "inbound"), *target;
    static const struct column columns[] = {
        {"target", "/target"},         {"webhook", "/webhook/path"},     {"listener", "/webhook/listener"},
        {"scheme", "/webhook/scheme"}, {"accepts", "/webhook/accepts"},  {"polls every", "/poll"},
        {"stale after", "/freshness"}, {"events on the bus", "/events"}, {"newest records on the bus", "/orders"}};
    buf_puts(out, "## 5. Webhooks and synchronisation\n\n");
    TABLE(out, inbound, columns);
    EACH(target, inbound)
    {
        struct json_object *webhook = json_get(target, "webhook"), *signature = json_get(webhook, "signature");
        if (signature == NULL)
            continue;
        buf_printf(out, "Signature of the webhooks of `%s`:\n\n", json_get_text(target, "target"));
        put_members(out, signature);
    }
    buf_puts(out,
             "A webhook is answered 200 once it is stored, also when it is a repetition; 400 no JSON object or no "
             "event; 401 signature missing, wrong or too old; 404, 405, 411, 413, 431 not such a request; 503 when "
             "the store cannot take it, to be sent again.\n\n");
}

static void put_errors(struct buf *out, struct json_object *document)
{
    static const struct column classes[] = {{"class", "/class"},
                                            {"answers", "/answers"},
                                            {"what busbar does", "/busbar"},
                                            {"what a person does", "/owner_action"}};
    static const struct column retry[] = {
        {"target", "/target"},     {"first", "/first"},         {"doubled up to", "/max"},
        {"attempts", "/attempts"}, {"until", "/max_age"},       {"connect", "/connect_timeout"},
        {"request", "/timeout"},   {"at once", "/concurrency"}, {"rate", "/rate"}};
    static const struct column routes[] = {
        {"route", "/route"}, {"when the answer was lost", "/lost_answer"}, {"unverified", "/unverified"}};
    struct json_object *errors = json_get(document, "errors");
    buf_puts(out,
             "## 6. Errors and retries\n\n"
             "Six classes. A plugin may know better: an answer that names an unknown asset is `identity`, whatever its "
             "status.\n\n");
    TABLE(out, json_get(errors, "classes"), classes);
    TABLE(out, json_get(errors, "retry"), retry);
    TABLE(out, json_get(errors, "routes"), routes);
}

static void put_acceptance(struct buf *out, struct json_object *document)
{
    struct json_object *items = json_get(document, "acceptance"), *item;
    const char *path = json_get_text(json_get(document, "deployment"), "configuration");
    buf_printf(out,
               "## 7. Test cases and acceptance\n\nWith `BUSBAR_CONFIG=%s`:\n\n| id | criterion | shown by |\n"
               "|---|---|---|\n",
               path);
    EACH(item, items)
    {
        struct json_object *commands = json_get(item, "commands");
        buf_printf(out, "| %s | ", json_get_text(item, "id"));
        put_cell(out, json_get(item, "criterion"));
        buf_puts(out, " |");
        for (size_t i = 0; i < json_object_array_length(commands); i++) {
            buf_puts(out, i > 0 ? "<br>`" : " `");
            put_cell(out, json_object_array_get_idx(commands, i));
            buf_putc(out, '`');
        }
        buf_puts(out, " |\n");
    }
}

void handoff_print_markdown(struct json_object *document, struct buf *out)
{
    struct json_object *deployment = json_get(document, "deployment");
    buf_printf(out, "# Integration hand-over: busbar instance %s\n\nMade %s from the configuration alone.\n\n",
               json_get_text(deployment, "instance"), json_get_text(document, "made"));
    put_members(out, deployment);
    put_connectors(out, document);
    put_credentials(out, document);
    put_payloads(out, document);
    put_mapping(out, document);
    put_inbound(out, document);
    put_errors(out, document);
    put_acceptance(out, document);
}
