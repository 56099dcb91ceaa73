/* SPDX-License-Identifier: Apache-2.0 */
/* `busbar plugins record`: one real delivery to a target, by the real client, written down as a case. The daemon is not
 * asked and the store not touched. What is written holds no secret: the whole text passes the redactor, and what is
 * then still found in it ends the recording. It is run before it is kept, so a case that was recorded passes; one that
 * does not is kept under another name: what was sent for good cannot be recorded twice. */
#include "cmd.h"

#include "app.h"
#include "cases.h"
#include "clock.h"
#include "cmd_plugins.h"
#include "digest.h"
#include "http.h"
#include "json.h"
#include "loader.h"
#include "redact.h"
#include "rehearse.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_REQUESTS 64 /* of an attempt, as in the daemon */
#define MOST_MESSAGES 32 /* of a case */
#define TURN_MS 200
#define FAILED ".failed" /* behind the name of a case that does not pass */
#define TEMPORARY "/tmp" /* where a case that goes to standard output is tried */

struct recording {
    const char *config, *target_name, *operation, *topic, *title, *out_path;
    bool poll;
    struct app app;
    struct target *target;
    struct http *http;
    struct redact *redact, *named; /* secrets that are known; that a member or a header is named after */
    struct arena *arena;
    int64_t now_ms;
    struct bb_message messages[MOST_MESSAGES];
    size_t message_count, requests;
    struct job_note *notes; /* what the target's start left, as the store would hold it */
    size_t note_count, note_cap;
    struct buf text;  /* the case as it happened */
    struct buf ended; /* how, in a word: done, unknown_asset */
    bool sent;        /* something of it reached the target, or may have */
    struct buf fault; /* why the conversation came to no verdict */
};

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
    va_list args;
    fputs("busbar plugins record: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CMD_NO;
}

/* The same of what ends a conversation. */
__attribute__((format(printf, 2, 3))) static bool break_off(struct recording *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_clear(&r->fault);
    buf_vprintf(&r->fault, format, args);
    va_end(args);
    return false;
}

/* ---- one request ------------------------------------------------------------------------- */

struct reply {
    bool came;
    enum http_failure failure;
    char *error;
    struct arena *arena;
    struct bb_response response;
};

static void on_reply(void *context, const struct http_result *result)
{
    struct reply *reply = context;
    reply->came = true;
    reply->failure = result->failure;
    reply->error = arena_dup(reply->arena, result->error, strlen(result->error));
    struct bb_header *headers = arena_alloc(reply->arena, (result->header_count + 1) * sizeof *headers);
    for (size_t i = 0; i < result->header_count; i++) {
        const struct http_header *header = &result->headers[i];
        headers[i].name = arena_dup(reply->arena, header->name, strlen(header->name));
        headers[i].value =
            (struct bb_str){arena_dup(reply->arena, header->value.data, header->value.len), header->value.len};
    }
    reply->response =
        (struct bb_response){.size = sizeof reply->response,
                             .status = result->status,
                             .body = {arena_dup(reply->arena, result->body.data, result->body.len), result->body.len},
                             .headers = headers,
                             .header_count = result->header_count};
}

/* Sends and waits. False: no answer came. */
static bool exchange(struct recording *r, const struct http_request *request, struct reply *reply)
{
    *reply = (struct reply){.arena = r->arena};
    (void)http_send(r->http, request, on_reply, reply);
    while (!reply->came)
        http_turn(r->http, TURN_MS);
    const bool unsent = reply->failure == HTTP_NOT_SENT || reply->failure == HTTP_BAD_TLS;
    r->sent = r->sent || !unsent;
    return reply->failure == HTTP_OK || break_off(r, "no answer came of %s: %s%s", r->target->url, reply->error,
                                                  unsent ? "" : " (the request was sent: the target may have done it)");
}

static bool fetch_token(struct recording *r)
{
    struct http_request request;
    struct reply reply;
    const char *why = NULL;
    if (!r->target->token || target_has_token(r->target, clock_wall_ms()))
        return true;
    target_ask_token(r->target, r->arena, &request);
    if (!exchange(r, &request, &reply))
        return false;
    const struct span body = {reply.response.body.data, reply.response.body.len};
    if (target_take_token(r->target, reply.response.status, body, clock_wall_ms(), &why))
        return true;
    return break_off(r, "%s", why);
}

/* ---- one attempt ----------------------------------------------------------------------------- */

static char *read_note(void *context, const char *key)
{
    const struct recording *r = context;
    for (size_t i = r->note_count; i-- > 0;)
        if (strcmp(r->notes[i].key, key) == 0)
            return mem_strdup(r->notes[i].value);
    return NULL;
}

static void keep_notes(struct recording *r, const struct bb_job *job)
{
    for (size_t i = 0; i < job->note_count; i++) {
        const struct job_note *note = &job->notes[i];
        r->notes = mem_grow(r->notes, &r->note_cap, r->note_count + 1, sizeof *r->notes);
        r->notes[r->note_count++] =
            (struct job_note){arena_dup(r->arena, note->key, strlen(note->key)),
                              note->value ? arena_dup(r->arena, note->value, strlen(note->value)) : NULL};
    }
}

static void learn_body(struct recording *r, struct bb_str body)
{
    struct json_object *value cleanup_json = json_parse((struct span){body.data, body.len}, NULL, NULL);
    (void)redact_members(value, r->named);
}

/* A cookie also by what stands between its = and its ;. */
static void learn_headers(struct recording *r, const struct bb_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!redact_is_secret_name(headers[i].name))
            continue;
        char *value cleanup_text = span_dup((struct span){headers[i].value.data, headers[i].value.len});
        redact_add(r->named, value);
        value[strcspn(value, ";")] = '\0';
        redact_add(r->named, value);
        redact_add(r->named, value + strcspn(value, "=") + (strchr(value, '=') != NULL));
    }
}

/* Steps the plugin to its verdict; what is said goes to *into. False: it came to none. */
static bool converse(struct recording *r, struct bb_job *job, struct bb_in *in, struct buf *into, struct bb_out *out,
                     enum bb_next *next)
{
    struct cell_call call = {.door = in->operation ? CELL_STEP : CELL_POLL, .in = in, .out = out};
    struct reply reply = {0};
    for (size_t sent = 0; sent <= MOST_REQUESTS; sent++) {
        *out = (struct bb_out){.size = sizeof *out};
        *next = target_ask(r->target, &call);
        const char *fault = job_review(job, *next, out);
        struct http_request request;
        if (!fault && *next == BB_SEND)
            (void)target_request(r->target, job, &out->request, &request, &fault);
        if (fault)
            return break_off(r, "the plugin breaks a rule: %s", fault);
        target_heed_retry_after(*next, in->response, r->now_ms, out);
        if (*next != BB_SEND)
            return true;
        case_write_request(&out->request, into);
        learn_body(r, out->request.body);
        learn_headers(r, out->request.headers, out->request.header_count);
        if (!exchange(r, &request, &reply))
            return false;
        r->requests++;
        in->response = &reply.response;
        learn_body(r, reply.response.body);
        learn_headers(r, reply.response.headers, reply.response.header_count);
        case_write_response(&reply.response, into);
    }
    return break_off(r, "the plugin sent %d requests and came to no end", MOST_REQUESTS);
}

static bool attempt(struct recording *r, const char *operation, size_t message_count, struct buf *into, bool for_good)
{
    struct bb_job job;
    struct bb_out out = {0};
    enum bb_next next = 0;
    target_init_job(r->target, &job, message_count, r->now_ms);
    job.read_note = read_note;
    job.context = r;
    for (size_t i = 0; i < message_count; i++)
        rehearse_name_order(&job, r->target, operation, &r->messages[i]);
    for (size_t i = 0; i < message_count; i++) {
        case_write_message(&r->messages[i], into);
        learn_body(r, r->messages[i].body);
    }
    struct bb_in in = {.size = sizeof in,
                       .job = &job,
                       .operation = operation,
                       .messages = r->messages,
                       .message_size = sizeof r->messages[0],
                       .message_count = message_count,
                       .state = &job.state,
                       .attempt = 1,
                       .now_ms = r->now_ms};
    const bool good = converse(r, &job, &in, into, &out, &next);
    if (good && for_good) {
        case_write_verdict(r->target, &job, next, &out, into);
        buf_puts(&r->ended, next == BB_DONE ? "done" : out.error.code);
    } else if (good && next == BB_DONE) {
        keep_notes(r, &job);
    } else if (good) {
        (void)break_off(r, "%s, which is asked at a target's start, ended with %s: %s", operation, out.error.code,
                        out.error.message);
    }
    job_finish(&job);
    return good && (for_good || next == BB_DONE);
}

/* What the daemon asks when the target opens, for the notes that it leaves. */
static bool attempt_start(struct recording *r)
{
    struct buf ignored cleanup_buf = {0};
    struct bb_operation operation;
    const size_t requests = r->requests;
    for (size_t i = 0; plugin_operation(r->target->plugin, i, &operation); i++) {
        const bool own = r->operation && strcmp(operation.name, r->operation) == 0;
        if ((operation.flags & BB_AT_START) && !own && !attempt(r, operation.name, 0, &ignored, false))
            return false;
    }
    r->requests = requests;
    r->sent = false;
    return true;
}

/* ---- what is asked for -------------------------------------------------------------------------- */

static bool read_message(struct recording *r, const char *path)
{
    struct buf text cleanup_buf = {0}, body cleanup_buf = {0};
    const bool from_stdin = strcmp(path, "-") == 0;
    FILE *file = from_stdin ? stdin : fopen(path, "r");
    char part[8192];
    for (size_t got; file && (got = fread(part, 1, sizeof part, file)) > 0;)
        buf_append(&text, part, got);
    const bool bad = !file || ferror(file);
    if (file && !from_stdin)
        fclose(file);
    bool is_null = false;
    const char *error = NULL;
    struct json_object *value cleanup_json = bad ? NULL : json_parse(buf_span(&text), &is_null, &error);
    if (bad || (!value && !is_null)) {
        (void)refuse("%s: %s", path, bad ? strerror(errno) : error ? error : "it is no JSON");
        return false;
    }
    json_print(value, &body);
    char id[UUID_TEXT_MAX], order[UUID_TEXT_MAX];
    uuid_v7(r->now_ms, id);
    uuid_v7(r->now_ms, order);
    r->messages[r->message_count++] =
        (struct bb_message){.id = arena_dup(r->arena, id, strlen(id)),
                            .order_id = arena_dup(r->arena, order, strlen(order)),
                            .body = {arena_dup(r->arena, body.data, body.len), body.len},
                            .topic = {r->topic ? r->topic : "", r->topic ? strlen(r->topic) : 0},
                            .received_ms = r->now_ms};
    return true;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Whether a file can be made in it. */
static int examine_folder(const char *path)
{
    if (!is_folder(path))
        return refuse("%s: there is no such folder; nothing was sent", path);
    if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0)
        return refuse("%s: no file can be made in it (%s); nothing was sent", path, strerror(errno));
    return CMD_DONE;
}

/* Looked at before anything is sent, which cannot be taken back. */
static int examine_place(const char *path)
{
    struct stat info;
    const char *ending = path ? strrchr(path, '.') : NULL;
    if (!path || is_folder(path))
        return examine_folder(path ? path : TEMPORARY);
    char *failed cleanup_text = mem_printf("%s" FAILED, path);
    if (lstat(path, &info) == 0 || lstat(failed, &info) == 0)
        return refuse("%s: it exists already; nothing was sent", lstat(path, &info) == 0 ? path : failed);
    if (!ending || strcmp(ending, ".case") != 0)
        return refuse("%s: it is no folder, and a file of cases ends in .case; nothing was sent", path);
    const char *slash = strrchr(path, '/');
    char *folder cleanup_text = slash ? span_dup((struct span){path, (size_t)(slash - path) + 1}) : mem_strdup(".");
    return examine_folder(folder);
}

static int examine(struct recording *r, char **files, size_t count)
{
    struct bb_operation operation;
    if (examine_place(r->out_path) != CMD_DONE)
        return CMD_NO;
    r->target = app_target(&r->app, r->target_name);
    if (!r->target)
        return refuse("the configuration has no target %s", r->target_name);
    if (r->poll)
        return r->target->plugin->poll ? CMD_DONE : refuse("the plugin %s has no poll", r->target->plugin->name);
    if (!plugin_find_operation(r->target->plugin, r->operation, &operation))
        return refuse("the plugin %s has no operation %s", r->target->plugin->name, r->operation);
    const char *mode = rehearse_mode(r->target, r->operation);
    if (mode)
        return refuse("it would send %s for good, and the target's mode is against it: %s", r->operation, mode);
    const size_t least = operation.flags & BB_AT_START ? 0 : 1, most = least ? operation.max_batch : 0;
    if (count < least || count > most || count > MOST_MESSAGES)
        return refuse("%s takes %zu to %zu messages, a file each", r->operation, least, most);
    for (size_t i = 0; i < count; i++)
        if (!read_message(r, files[i]))
            return CMD_NO;
    return CMD_DONE;
}

/* ---- secrets --------------------------------------------------------------------------------------- */

/* False after saying that one is too short to be found. */
static bool gather_secrets(struct recording *r)
{
    const struct config_target *config = r->target->config;
    for (size_t i = 0; i < r->app.config->hidden_count; i++)
        redact_add(r->redact, r->app.config->hidden[i]);
    for (size_t i = 0; i < TARGET_SECRETS && r->target->secrets[i]; i++)
        redact_add(r->redact, r->target->secrets[i]);
    for (size_t i = 0; i < config->webhook_secret_count; i++)
        redact_add(r->redact, config->webhook_secrets[i].secret);
    redact_add(r->redact, r->target->auth_value);
    for (size_t i = 0; i < config->option_count; i++) {
        const struct config_option *option = &config->options[i];
        if (option->secret && option->text && strlen(option->text) < REDACT_LEAST) {
            (void)refuse("option %s is a secret of fewer than %d letters, which cannot be told from other text",
                         option->name, REDACT_LEAST);
            return false;
        }
        redact_add(r->redact, option->secret ? option->text : NULL);
    }
    return true;
}

/* The case without secrets; false: one is still there. */
static bool take_out_secrets(const struct recording *r, struct buf *clean, size_t *count)
{
    struct buf again cleanup_buf = {0};
    *count = redact_text(r->redact, buf_span(&r->text), clean);
    return redact_text(r->redact, buf_span(clean), &again) == 0;
}

/* ---- the file ---------------------------------------------------------------------------------------- */

static void write_head(struct recording *r)
{
    char time[CLOCK_TEXT_MAX];
    buf_puts(&r->text, "# Recorded by `busbar plugins record`; secrets are replaced.\n");
    case_write_target(r->target, &r->text);
    buf_printf(&r->text, "\ncase %s\nnow %s\n",
               r->title       ? r->title
               : r->operation ? r->operation
                              : "a poll",
               clock_format(r->now_ms, time));
    for (size_t i = 0; i < r->note_count; i++)
        if (r->notes[i].value)
            buf_printf(&r->text, "note %s %s\n", r->notes[i].key, r->notes[i].value);
    if (r->topic)
        buf_printf(&r->text, "topic %s\n", r->topic);
    buf_puts(&r->text, r->poll ? "poll\n" : "operation ");
    if (!r->poll)
        buf_printf(&r->text, "%s\n", r->operation);
}

/* Where it goes: the file that was named, or a new one in the folder that was named. gives; NULL: to standard output */
static char *place(const struct recording *r)
{
    if (!r->out_path)
        return NULL;
    if (!is_folder(r->out_path))
        return mem_strdup(r->out_path);
    const char *what = r->poll ? "poll" : r->operation;
    for (int n = 1;; n++) {
        struct buf path cleanup_buf = {0};
        buf_printf(&path, "%s/%s-%s", r->out_path, what, r->ended.len ? r->ended.data : "broken-off");
        buf_printf(&path, n > 1 ? "-%d.case" : ".case", n);
        char *failed cleanup_text = mem_printf("%s" FAILED, path.data);
        if (access(path.data, F_OK) != 0 && access(failed, F_OK) != 0)
            return buf_steal(&path);
    }
}

/* A new file that its owner alone can read: what is personal in an answer is nobody else's. */
static int open_new(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static bool write_new(int fd, const struct buf *text)
{
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    const bool written = file && fwrite(text->data, 1, text->len, file) == text->len;
    return file && fclose(file) == 0 && written;
}

/* Runs the case in that file. False: it does not pass, *report says why. */
static bool passes(const struct recording *r, const char *file, struct buf *report)
{
    struct cases_result result = {0};
    char *error cleanup_text = NULL;
    const struct loaded_plugin *plugin = loader_load(r->target->config->plugin, &error);
    if (!plugin)
        buf_puts(report, error);
    return plugin && cases_run(plugin, file, false, report, &result) == 0 && result.failed == 0;
}

static void put_comment(struct span text, struct buf *out)
{
    bool begins = true;
    for (size_t i = 0; i < text.len; i++) {
        buf_puts(out, begins ? "# " : "");
        buf_putc(out, text.data[i]);
        begins = text.data[i] == '\n';
    }
    buf_puts(out, begins ? "" : "\n");
}

/* Under a name of its own, and without what stands as "***" where it is named, wherever else it went: a case that
 * passes has that nowhere else. Shown where it cannot be written: what was sent cannot be sent again only to be
 * recorded. */
static int keep_failed(const struct recording *r, const char *path, const struct buf *clean)
{
    struct buf text cleanup_buf = {0};
    (void)redact_text(r->named, buf_span(clean), &text);
    char *failed cleanup_text = path ? mem_printf("%s" FAILED, path) : NULL;
    if (path && write_new(open_new(failed), &text))
        return refuse("it is kept as %s, which ends with the reason", failed);
    if (path)
        (void)refuse("%s: %s; here it is", failed, strerror(errno));
    fwrite(text.data, 1, text.len, stdout);
    return CMD_NO;
}

static int keep(const struct recording *r, const char *path, struct buf *clean, size_t secrets)
{
    char temporary[] = TEMPORARY "/busbar-record-XXXXXX";
    struct buf report cleanup_buf = {0};
    const char *name = path ? path : temporary;
    const bool written = write_new(path ? open_new(path) : mkstemp(temporary), clean);
    if (!written)
        buf_printf(&report, "%s: %s", name, strerror(errno));
    const bool passed = written && passes(r, name, &report);
    if (!passed || !path)
        unlink(name);
    if (!passed) {
        const struct span why = buf_span(&report);
        buf_puts(clean, "\n# It does not pass as a case:\n");
        put_comment(why, clean);
        (void)refuse("what was recorded does not pass as a case");
        return keep_failed(r, path, clean);
    }
    if (!path)
        fwrite(clean->data, 1, clean->len, stdout);
    fprintf(stderr, "%s: %zu requests, %zu times a secret replaced%s%s\n", r->ended.data, r->requests, secrets,
            path ? "; wrote " : "", path ? path : "");
    return CMD_DONE;
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static int record(struct recording *r, char **files, size_t count)
{
    struct buf clean cleanup_buf = {0};
    struct buf said cleanup_buf = {0};
    size_t secrets = 0;
    const int status = examine(r, files, count);
    if (status != CMD_DONE)
        return status;
    if (!gather_secrets(r))
        return CMD_NO;
    if (!fetch_token(r) || !attempt_start(r))
        return refuse("%s; nothing was recorded", r->fault.data);
    write_head(r);
    const bool ended = attempt(r, r->operation, r->message_count, &said, true);
    if (!ended && !r->sent)
        return refuse("%s; nothing was recorded", r->fault.data);
    buf_append(&r->text, said.data, said.len);
    if (!ended) {
        (void)refuse("%s", r->fault.data);
        buf_puts(&r->text, "\n# It came to no verdict:\n");
        put_comment(buf_span(&r->fault), &r->text);
    }
    if (!gather_secrets(r) || !take_out_secrets(r, &clean, &secrets)) /* once more: the token's */
        return refuse("a secret could not be taken out of what was recorded, so nothing was written");
    char *path cleanup_text = place(r);
    return ended ? keep(r, path, &clean, secrets) : keep_failed(r, path, &clean);
}

static int run(int argc, char **argv)
{
    struct recording r = {.now_ms = clock_wall_ms() / 1000 * 1000};
    const struct cmd_option options[] = {
        {"-c", "--config", &r.config, NULL},       {NULL, "--target", &r.target_name, NULL},
        {NULL, "--operation", &r.operation, NULL}, {NULL, "--poll", NULL, &r.poll},
        {NULL, "--out", &r.out_path, NULL},        {NULL, "--title", &r.title, NULL},
        {NULL, "--topic", &r.topic, NULL},         {0}};
    int status = cmd_options(&cmd_plugins_record, &argc, argv, options);
    if (status >= 0)
        return status;
    if (!r.target_name || r.poll == (r.operation != NULL))
        return cmd_usage(&cmd_plugins_record, "give --target, and --operation or --poll");
    if (app_load(&r.app, r.config) != 0) {
        app_report(&r.app);
        app_finish(&r.app);
        return CMD_NO;
    }
    r.http = http_create();
    r.redact = redact_create();
    r.named = redact_create();
    r.arena = arena_create();
    status = record(&r, argv + 1, (size_t)argc - 1);
    http_destroy(r.http);
    redact_destroy(r.redact);
    redact_destroy(r.named);
    arena_destroy(r.arena);
    free(r.notes);
    buf_finish(&r.text);
    buf_finish(&r.ended);
    buf_finish(&r.fault);
    app_finish(&r.app);
    return status;
}

const struct command cmd_plugins_record = {
    .name = "plugins record",
    .usage = "busbar plugins record --target NAME --operation NAME [--out PATH] [-c FILE] MESSAGE.json...\n"
             "busbar plugins record --target NAME --poll [--out PATH] [-c FILE]",
    .help = "Sends one message (or a batch, a file each) to a target, for good, and writes the conversation as a case "
            "that\n"
            "passes as it stands. It needs no daemon, and neither tells it nor uses its store. Secrets are replaced:\n"
            "credentials, whatever ${file:} and ${env:} gave, cookies, and members whose name says so. A name or an "
            "address\n"
            "in an answer is not: read the case before you share it.\n"
            "\n"
            "      --target NAME      of the configuration; its mode must allow the operation\n"
            "      --operation NAME   one of its plugin's\n"
            "      --poll             asks for news instead\n"
            "      --out PATH         the new file, X.case, or the folder for it; without: standard output. Only its "
            "owner can\n"
            "                         read it, and what exists is never written over. What does not pass is kept as\n"
            "                         X.case.failed, with the reason\n"
            "      --title TEXT       of the case\n"
            "      --topic TOPIC      that the message came from\n"
            "  -c, --config FILE      the configuration\n"
            "\n"
            "MESSAGE.json is the body as the route would make it; - is standard input.\n"
            "Exit status: 0 recorded, whatever the verdict; 1 not; 2 usage.\n",
    .run = run,
};
