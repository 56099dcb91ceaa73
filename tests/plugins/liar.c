/* SPDX-License-Identifier: Apache-2.0 */
/* Answers what its message asks for ({"say": "latin_id"}): what is no text, more than is meant, or no memory at all.
 * What says nothing of it is a good one. */
#include <busbar/plugin.h>

#include <stdint.h>
#include <string.h>

#define NOWHERE ((const char *)(uintptr_t)0x10)

struct settings {
    const char *at_poll;
};

static const char *long_text(const struct bb_host *host, struct bb_job *job, size_t len)
{
    char *text = host->alloc(job, len + 1);
    memset(text, 'a', len);
    text[0] = '/';
    return text;
}

static bool says(struct bb_str body, const char *what)
{
    const size_t len = strlen(what);
    for (size_t i = 0; i + len + 2 <= body.len; i++)
        if (body.data[i] == '"' && memcmp(body.data + i + 1, what, len) == 0 && body.data[i + 1 + len] == '"')
            return true;
    return false;
}

static void emit(const struct bb_host *host, struct bb_job *job, struct bb_str body)
{
    const struct bb_work_order latin = {.source_work_order_id = "7", .source_status = "ge\xe4ndert"};
    struct bb_event event = {.size = sizeof event, .name = "heard", .raw = body};
    if (says(body, "latin_event"))
        event.name = "n\xe4me";
    if (says(body, "latin_dedup"))
        event.dedup_id = "\xe4";
    if (says(body, "latin_status"))
        event.work_order = &latin;
    if (says(body, "long_raw"))
        event.raw = (struct bb_str){long_text(host, job, (size_t)17 << 20), (size_t)17 << 20};
    if (says(body, "null_raw"))
        event.raw = (struct bb_str){NULL, 100};
    host->emit(job, &event);
    if (says(body, "latin_note"))
        host->note_put(job, "k\xe4", "v");
    if (says(body, "latin_log"))
        host->log(job, BB_LOG_WARN, "Ger\xe4t");
}

/* Whether it asked for an error. */
static bool fill_error(const struct bb_host *host, struct bb_job *job, struct bb_str body, struct bb_error *error)
{
    *error = (struct bb_error){BB_VALIDATION, "c", "m", NULL, NULL};
    if (says(body, "wild_error"))
        error->code = NOWHERE;
    else if (says(body, "latin_code"))
        error->code = "\xe4";
    else if (says(body, "latin_error"))
        *error = (struct bb_error){BB_VALIDATION, "c", "Ger\xe4t", "[{\"pointer\":\"/\xe4\"}]", "Ger\xe4t"};
    else if (says(body, "long_error"))
        error->message = long_text(host, job, (size_t)20 << 20);
    else
        return false;
    return true;
}

static void fill_request(const struct bb_host *host, struct bb_job *job, struct bb_str body, struct bb_request *request)
{
    static const struct bb_header wild = {"X-A", {NOWHERE, 3}}, latin = {"X-A", {"\xe4", 1}};
    *request = (struct bb_request){.method = "POST", .path = "/things", .body = body};
    if (says(body, "null_body"))
        request->body.data = NULL;
    if (says(body, "endless_body"))
        request->body.len = SIZE_MAX;
    if (says(body, "wild_body"))
        request->body.data = NOWHERE;
    if (says(body, "long_path"))
        request->path = long_text(host, job, (size_t)8 << 20);
    if (says(body, "many_headers")) {
        request->headers = &wild;
        request->header_count = 2000000000;
    }
    if (says(body, "wild_header") || says(body, "latin_header")) {
        request->headers = says(body, "wild_header") ? &wild : &latin;
        request->header_count = 1;
    }
}

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    const struct bb_str body = in->messages[0].body;
    if (fill_error(host, in->job, body, &out->error))
        return BB_REJECT;
    if (!in->response) {
        fill_request(host, in->job, body, &out->request);
        return BB_SEND;
    }
    emit(host, in->job, body);
    const enum bb_next next = host->judge(in->job, in->response, out);
    if (next == BB_DONE)
        out->source_work_order_id = says(body, "latin_id") ? "Ger\xe4t-7" : "7";
    if (next == BB_DONE && says(body, "latin_asset"))
        out->asset_ref = "Ger\xe4t";
    if (next == BB_DONE && says(body, "wild_id"))
        out->source_work_order_id = NOWHERE;
    return next;
}

static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    if (fill_error(host, in->job, in->messages[0].body, &out->error))
        return BB_REJECT;
    emit(host, in->job, in->messages[0].body);
    return BB_DONE;
}

static enum bb_next poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)host;
    const struct settings *settings = self;
    if (in->response || strcmp(settings->at_poll, "wild") != 0)
        return BB_DONE;
    out->request = (struct bb_request){.method = "GET", .path = NOWHERE};
    return BB_SEND;
}

static const struct bb_option options[] = {
    {"at_poll", BB_STRING, offsetof(struct settings, at_poll), "", 0, "What a poll answers"}};

static const struct bb_operation operations[] = {{.name = "thing.create",
                                                  .help = "Creates",
                                                  .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_IDEMPOTENT,
                                                  .max_batch = 1}};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "liar",
    .title = "Test",
    .version = "1",
    .help = "For tests.",
    .config_size = sizeof(struct settings),
    .options = options,
    .option_size = sizeof options[0],
    .option_count = sizeof options / sizeof options[0],
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = sizeof operations / sizeof operations[0],
    .hook = {.event_pointer = "/event"},
    .step = step,
    .decode = decode,
    .poll = poll,
    .poll_ms = 3600000,
};
