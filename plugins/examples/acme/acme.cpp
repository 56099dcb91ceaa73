/* SPDX-License-Identifier: Apache-2.0 */
// Acme: translates between busbar and that system. What it does for an operator is in acme.md; the rules are in
// busbar/plugin.h. Each function is noexcept: no exception may cross into the core.
#include <busbar/plugin.h>

#include <iterator>
#include <new>
#include <string_view>

namespace {

std::string_view view(bb_str text) noexcept
{
    return {text.data, text.len};
}

bb_str slice(std::string_view text) noexcept
{
    return {text.data(), text.size()};
}

// What the functions of one call share. What they hand out lives in the job's memory.
struct Call {
    const bb_host &host;
    bb_job *job;

    const char *keep(std::string_view text) const noexcept
    {
        return host.format(job, "%.*s", static_cast<int>(text.size()), text.data());
    }
    template <typename T> T *make(const T &value) const noexcept { return new (host.alloc(job, sizeof(T))) T(value); }
};

// Filled from the target's options. The token is not here: the core adds it to each request.
struct Config {
    const char *site;
};

constexpr bb_option options[] = {
    {"token", BB_SECRET, 0, nullptr, BB_REQUIRED, "API token of an integration user"},
    {"site", BB_STRING, offsetof(Config, site), "main", 0, "site that the work orders belong to"},
};

// Idempotent, because Acme does a request with a known Idempotency-Key once.
constexpr bb_operation operations[] = {
    {.name = "work_order.create",
     .help = "Creates a work order; the body goes as it is",
     .flags = BB_WRITES | BB_CREATES | BB_WORK_ORDER | BB_IDEMPOTENT,
     .max_batch = 1},
};

// Where the new work order is: Location: /sites/main/work-orders/7. Its last segment, or nothing.
std::string_view new_id(const bb_response &response) noexcept
{
    for (size_t i = 0; i < response.header_count; i++) {
        const bb_header &header = response.headers[i];
        if (std::string_view(header.name) != "location") // names come in lower case
            continue;
        const auto path = view(header.value);
        const auto slash = path.rfind('/');
        return slash == path.npos ? std::string_view() : path.substr(slash + 1);
    }
    return {};
}

bb_next judge(const Call &call, const bb_response &response, bb_out *out) noexcept
{
    const bb_next next = call.host.judge(call.job, &response, out);
    if (response.status == 404) { // every message would fail so: keep them until a person has mended it
        out->error.code = "unknown_site";
        out->error.message = "Acme does not know the site; the option site must name one of its sites";
        return BB_HOLD;
    }
    const auto id = new_id(response);
    if (next == BB_DONE && !id.empty())
        out->source_work_order_id = call.keep(id);
    return next;
}

// Outbound. The first call asks for a request to be sent, the second judges its response.
bb_next step(const bb_host *host, void *self, const bb_in *in, bb_out *out) noexcept
{
    const Call call{*host, in->job};
    if (in->response)
        return judge(call, *in->response, out);
    const auto &config = *static_cast<const Config *>(self);
    const bb_message &message = in->messages[0];
    out->request.method = "POST";
    out->request.path =
        host->format(in->job, "/sites/%s/work-orders", host->path_segment(in->job, slice(config.site)));
    out->request.body = message.body;
    out->request.headers = call.make(bb_header{"Idempotency-Key", slice(message.id)});
    out->request.header_count = 1;
    return BB_SEND;
}

// Inbound. One verified webhook becomes events on the bus.
bb_next decode(const bb_host *host, void *, const bb_in *in, bb_out *) noexcept
{
    const Call call{*host, in->job};
    const bb_message &message = in->messages[0];
    bb_event event{};
    event.size = sizeof event;
    event.name = call.keep(view(message.event));
    event.raw = message.body;
    host->emit(in->job, &event);
    return BB_DONE;
}

constexpr const char *dedup_pointers[] = {"/id", nullptr};

} // namespace

extern "C" BB_EXPORT const bb_plugin busbar_plugin;
const bb_plugin busbar_plugin = {
    .magic = BB_MAGIC,
    .abi = BB_ABI,
    .size = sizeof(bb_plugin),
    .name = "acme",
    .title = "Acme",
    .version = "0.1.0",
    .help = "Creates work orders in Acme and passes its webhooks on.",
    .default_url = "https://api.acme.example",
    .config_size = sizeof(Config),
    .options = options,
    .option_size = sizeof options[0],
    .option_count = std::size(options),
    .operations = operations,
    .operation_size = sizeof operations[0],
    .operation_count = std::size(operations),
    .auth = {.scheme = BB_AUTH_BEARER, .secret_option = "token"},
    .hook = {.event_pointer = "/event",
             .dedup_pointers = dedup_pointers,
             .dedup_required = "/id",
             .signature = {.header = "X-Signature", .sign_key = "sha256=", .signed_string = "{body}"}},
    .step = step,
    .decode = decode,
};
