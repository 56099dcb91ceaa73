/* SPDX-License-Identifier: Apache-2.0 */
/* Looks an asset up before it creates, keeps the answer a minute; polls with a cursor. */
#include <busbar/plugin.h>

#include <stdlib.h>
#include <string.h>

#define KEEP_MS 60000

static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    if (in->response == NULL) { /* the body is a JSON string: its text is the tag */
        struct bb_str tag = {in->messages[0].body.data + 1, in->messages[0].body.len - 2};
        out->request =
            (struct bb_request){.method = "GET",
                                .path = host->format(in->job, "/assets/%s", host->path_segment(in->job, tag)),
                                .cache_ms = KEEP_MS};
        return BB_SEND;
    }
    if (*in->state == NULL && in->response->status == 200) {
        *in->state = host->alloc(in->job, 1);
        out->request = (struct bb_request){.method = "POST", .path = "/tickets", .body = in->response->body};
        return BB_SEND;
    }
    return host->judge(in->job, in->response, out);
}

static enum bb_next poll(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self;
    if (in->response == NULL) {
        const char *since = host->note_get(in->job, "cursor");
        out->request = (struct bb_request){
            .method = "GET", .path = host->format(in->job, "/changes?since=%s", since != NULL ? since : "0")};
        return BB_SEND;
    }
    enum bb_next next = host->judge(in->job, in->response, out);
    if (next != BB_DONE)
        return next;
    const char *cursor = host->format(in->job, "%.*s", (int)in->response->body.len, in->response->body.data);
    const char *last = host->note_get(in->job, "cursor");
    for (long n = last != NULL ? atol(last) + 1 : 1; n <= atol(cursor); n++) {
        const struct bb_event event = {
            .size = sizeof event,
            .name = "Change",
            .dedup_id = host->format(in->job, "change-%ld", n),
            .raw = {host->format(in->job, "%ld", n), strlen(host->format(in->job, "%ld", n))}};
        host->emit(in->job, &event);
    }
    host->note_put(in->job, "cursor", cursor);
    return BB_DONE;
}

static const struct bb_operation operations[] = {
    {.name = "ticket.create", .help = "Creates", .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER}};

BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "lookup",
    .title = "Test",
    .version = "1",
    .help = "For tests.",
    .default_url = "https://test.example",
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = 1,
    .step = step,
    .poll = poll,
    .poll_ms = 100,
};
