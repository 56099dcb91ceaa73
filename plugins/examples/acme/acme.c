/* SPDX-License-Identifier: Apache-2.0 */
/* Acme: translates between busbar and that system. What it does for an operator is in acme.md; the rules are in
 * busbar/plugin.h. */
#include <busbar/plugin.h>

#include <string.h>

/* Filled from the target's options. The token is not here: the core adds it to each request. */
struct config {
    const char *site;
};

static const struct bb_option options[] = {
    {"token", BB_SECRET, 0, NULL, BB_REQUIRED, "API token of an integration user"},
    {"site", BB_STRING, offsetof(struct config, site), "main", 0, "site that the work orders belong to"},
};

/* Idempotent, because Acme does a request with a known Idempotency-Key once. */
static const struct bb_operation operations[] = {
    {.name = "work_order.create",
     .help = "Creates a work order; the body goes as it is",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_IDEMPOTENT,
     .max_batch = 1},
};

/* Where the new work order is: Location: /sites/main/work-orders/7. Its last segment, or NULL. */
static const char *new_id(const struct bb_host *host, const struct bb_in *in)
{
    for (size_t i = 0; i < in->response->header_count; i++) {
        const struct bb_header *header = &in->response->headers[i];
        if (strcmp(header->name, "location") != 0) /* names come in lower case */
            continue;
        const char *path = host->format(in->job, "%.*s", (int)header->value.len, header->value.data);
        const char *slash = strrchr(path, '/');
        return slash && slash[1] ? slash + 1 : NULL;
    }
    return NULL;
}

static enum bb_next judge(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    const enum bb_next next = host->judge(in->job, in->response, out);
    if (in->response->status == 404) { /* every message would fail so: keep them until a person has mended it */
        out->error.code = "unknown_site";
        out->error.message = "Acme does not know the site; the option site must name one of its sites";
        return BB_HOLD;
    }
    if (next == BB_DONE)
        out->source_work_order_id = new_id(host, in);
    return next;
}

/* Outbound. The first call asks for a request to be sent, the second judges its response. */
static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    if (in->response)
        return judge(host, in, out);
    const struct config *config = self;
    const struct bb_message *message = &in->messages[0];
    const struct bb_str site = {config->site, strlen(config->site)};
    struct bb_header *header = host->alloc(in->job, sizeof *header); /* must outlive this call */
    *header = (struct bb_header){"Idempotency-Key", {message->id, strlen(message->id)}};
    out->request.method = "POST";
    out->request.path = host->format(in->job, "/sites/%s/work-orders", host->path_segment(in->job, site));
    out->request.body = message->body;
    out->request.headers = header;
    out->request.header_count = 1;
    return BB_SEND;
}

/* Inbound. One verified webhook becomes events on the bus. */
static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)
{
    (void)self, (void)out;
    const struct bb_message *message = &in->messages[0];
    struct bb_event event = {.size = sizeof event};
    event.name = host->format(in->job, "%.*s", (int)message->event.len, message->event.data);
    event.raw = message->body;
    host->emit(in->job, &event);
    return BB_DONE;
}

static const char *const dedup_pointers[] = {"/id", NULL};

extern BB_EXPORT const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(struct bb_plugin),
    .name = "acme",
    .title = "Acme",
    .version = "0.1.0",
    .help = "Creates work orders in Acme and passes its webhooks on.",
    .default_url = "https://api.acme.example",
    .config_size = sizeof(struct config),
    .options = BB_ITEMS(options),
    .operations = BB_ITEMS(operations),
    .auth = {.scheme = BB_AUTH_BEARER, .secret_option = "token"},
    .hook = {.event_pointer = "/event",
             .dedup_pointers = dedup_pointers,
             .dedup_required = "/id",
             .signature = {.header = "X-Signature", .sign_key = "sha256=", .signed_string = "{body}"}},
    .step = step,
    .decode = decode,
};
