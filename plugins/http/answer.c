/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer means: the shared classifier, then what the settings say of this system: which statuses are good
 * (`success`), where an answer tells its error, also within a 200 (`answers`), and which class a status or a code is
 * (`errors`, of the operation, then of the target). */
#include "http.h"

#include <json-c/json.h>
#include <string.h>

#define SAID_MAX 500
#define CODE_MAX 100

static bool is_listed(struct json_object *statuses, int status)
{
    for (size_t i = 0; statuses && i < json_object_array_length(statuses); i++)
        if (json_object_get_int(json_object_array_get_idx(statuses, i)) == status)
            return true;
    return false;
}

static const char *class_of(const struct ht_call *call, struct json_object *said, const char *key)
{
    const char *own = key ? ht_setting(call, pl_member(said, "errors"), key) : NULL;
    return own || !key ? own : ht_setting(call, call->self->errors, key);
}

static const struct verdict {
    const char *word;
    enum bb_next next;
    enum bb_class error_class;
    bool hold_operation;
    const char *message;
} verdicts[] = {
    {"authentication", BB_HOLD, BB_AUTHENTICATION, false, "the target refused the credential"},
    {"authorization", BB_HOLD, BB_AUTHORIZATION, true, "the target does not allow this operation"},
    {"validation", BB_REJECT, BB_VALIDATION, false, "the target refused the request as invalid"},
    {"identity", BB_REJECT, BB_IDENTITY, false, "the target does not know what the request names"},
    {"conflict", BB_REJECT, BB_CONFLICT, false, "it conflicts with the target's present state"},
    {"retry", BB_RETRY, BB_PROVIDER_UNAVAILABLE, false, "the target asks to try again later"},
    {"done", BB_DONE, BB_CLASS_NONE, false, NULL},
};

/* As the word of the settings has it. What the target itself says of it is kept. */
static enum bb_next apply(const struct ht_call *call, const char *word)
{
    struct bb_out *out = call->out;
    size_t i = 0;
    while (i < PL_COUNT(verdicts) - 1 && strcmp(verdicts[i].word, word) != 0)
        i++;
    const struct verdict *verdict = &verdicts[i];
    const char *code = call->host->format(call->job, "http_%d", call->in->response->status);
    out->error = (struct bb_error){verdict->error_class, code, verdict->message, NULL, NULL};
    out->hold_operation = verdict->hold_operation;
    if (verdict->next == BB_DONE)
        out->error = (struct bb_error){0};
    return verdict->next;
}

/* What the answer says of its error: code and sentence. */
static void tell(const struct ht_call *call, struct json_object *answer, const char *code)
{
    const char *at = ht_setting(call, call->self->answers, "message");
    const char *message = at ? ht_word_at(call, answer, at) : NULL;
    if (message)
        call->out->error.message =
            call->host->format(call->job, "%s: %.*s", call->out->error.message, SAID_MAX, message);
    if (code && pl_matches(code, CODE_MAX, "_.-"))
        call->out->error.code = code;
}

/* *text* is anywhere in what is there. */
static bool is_like(const struct ht_call *call, const char *is, const char *should)
{
    const size_t len = strlen(should);
    if (len < 3 || should[0] != '*' || should[len - 1] != '*')
        return strcmp(is, should) == 0;
    return strstr(is, pl_text(call->host, call->job, (struct bb_str){should + 1, len - 2})) != NULL;
}

bool ht_matches(struct ht_scope *scope, struct json_object *match, struct json_object *item)
{
    if (!match)
        return true;
    json_object_object_foreach(match, pointer, template)
    {
        const char *is = ht_word_at(scope->call, item, pointer);
        const char *should = ht_fill_text(scope, json_object_get_string(template), HT_PLAIN);
        if (!is || !should || !is_like(scope->call, is, should))
            return false;
    }
    return true;
}

/* Nothing, in any of its forms. */
static bool is_empty(struct json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_null:
        return true;
    case json_type_boolean:
    case json_type_int:
    case json_type_double:
        return !json_object_get_boolean(value);
    case json_type_string:
        return json_object_get_string_len(value) == 0;
    case json_type_array:
        return json_object_array_length(value) == 0;
    case json_type_object:
        return json_object_object_length(value) == 0;
    }
    return true;
}

/* A good status, and a body that says otherwise. */
static bool is_refusal(const struct ht_call *call, struct json_object *answer)
{
    const struct ht_self *self = call->self;
    const char *error_at = ht_setting(call, self->answers, "error");
    struct ht_scope scope = {.call = call, .faults = {.host = call->host, .job = call->job}};
    if (error_at && !is_empty(pl_at(answer, error_at)))
        return true;
    return call->in->response->body.len > 0 && !ht_matches(&scope, pl_member(self->answers, "ok"), answer);
}

enum bb_next ht_judge(const struct ht_call *call, struct json_object *said, struct json_object *answer)
{
    const struct bb_response *response = call->in->response;
    const char *code_at = ht_setting(call, call->self->answers, "code");
    struct json_object *success = pl_member(said, "success");
    enum bb_next next = call->host->judge(call->job, response, call->out);
    const bool page = next == BB_RETRY && response->status >= 200 && response->status <= 299;
    const bool refused = next == BB_DONE && is_refusal(call, answer);
    const char *code = (refused || next != BB_DONE) && code_at ? ht_word_at(call, answer, code_at) : NULL;
    const char *word = class_of(call, said, code);
    if (!word)
        word = class_of(call, said, call->host->format(call->job, "%d", response->status));
    if (!word && page)
        return next; /* `success` speaks of the system's own answers */
    if (!word && next != BB_DONE)
        word = class_of(call, said, call->host->format(call->job, "%dxx", response->status / 100));
    if (success && next == BB_DONE && !word && !is_listed(success, response->status))
        word = "validation";
    if (!word && refused)
        word = "validation";
    if (success && next != BB_DONE && is_listed(success, response->status))
        word = "done";
    next = word ? apply(call, word) : next;
    if (next != BB_DONE)
        tell(call, answer, code);
    return next;
}

enum bb_next ht_odd(const struct ht_call *call, const char *what)
{
    return pl_fail(call->out, BB_RETRY, BB_PROVIDER_UNAVAILABLE, "odd_answer", what);
}
