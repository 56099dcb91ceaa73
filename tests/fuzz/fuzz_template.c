/* SPDX-License-Identifier: Apache-2.0 */
/* A template, a payload, a topic: it compiles or says where it does not; it renders or says why not, and what it
 * renders as JSON is JSON. */
#include "fuzz.h"

#include "json.h"
#include "template.h"

#include <json-c/json.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const captures[] = {"machine", "line", NULL}, *const columns[] = {"mw", "at", NULL};
    static const struct template_names names = {captures, columns};
    struct span rest = {(const char *)data, size}, text = fuzz_part(&rest), payload = fuzz_part(&rest), topic = rest;
    cleanup_text char *error = NULL;
    size_t offset = 0;
    if (!span_is_utf8(text) || !topic_is_valid(topic)) /* libyaml and MQTT let nothing else through */
        return 0;
    struct template *t = template_compile(text, &names, &error, &offset);
    if (t == NULL) {
        HOLDS(error != NULL && offset <= text.len);
        return 0;
    }
    struct topic_captures values = {.names = {"machine", "line"}, .values = {topic, topic}, .count = 2};
    const struct span cells[] = {topic, SPAN("")};
    struct template_asset asset = {.tag = topic, .cells = topic.len % 2 ? cells : NULL};
    const struct message_property user[] = {{SPAN("shift"), SPAN("early")}};
    struct template_scope scope = {.payload_text = payload,
                                   .captures = &values,
                                   .topic = topic,
                                   .key = topic,
                                   .id = "id",
                                   .asset = &asset,
                                   .time_ms = 1700000000000,
                                   .now_ms = 1700000000000,
                                   .received_ms = 1700000000000,
                                   .user = user,
                                   .user_count = 1};
    scope.payload = json_parse(payload, &scope.payload_null, &scope.payload_error);
    cleanup_buf struct buf reason = {0}, plain = {0}, json = {0};
    struct json_object *value = NULL;
    HOLDS(template_render_text(t, &scope, &plain, &reason) == 0 || reason.len > 0);
    if (template_render_json(t, &scope, &json, &reason) == 0) {
        bool is_null = false;
        cleanup_json struct json_object *again = json_parse(buf_span(&json), &is_null, NULL);
        HOLDS(again != NULL || is_null);
    }
    if (template_render(t, &scope, &value, &reason) == 0)
        json_object_put(value);
    json_object_put(scope.payload);
    template_destroy(t);
    return 0;
}
