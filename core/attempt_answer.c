/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin answered, and what a target did, as it is kept and as the plugin gets it. A target may answer with the
 * credential that it was sent: what is kept, shown or handed on has none. */
#include "dispatch_private.h"

#include <stdint.h>
#include <string.h>

static struct bb_str scrub(const struct attempt *a, struct span text)
{
    cleanup_buf struct buf clean = {0};
    target_scrub(a->slot->target, text, &clean, SIZE_MAX);
    struct span rest = buf_span(&clean); /* "" when it is empty */
    return (struct bb_str){arena_dup(a->job.arena, rest.data, rest.len), rest.len};
}

static void scrub_text(const struct attempt *a, const char **text)
{
    if (*text != NULL)
        *text = scrub(a, span_of(*text)).data;
}

static void scrub_error(const struct attempt *a, struct bb_error *error)
{
    scrub_text(a, &error->code);
    scrub_text(a, &error->message);
    scrub_text(a, &error->rejected_fields);
    scrub_text(a, &error->owner_action);
}

void attempt_scrub_errors(struct attempt *a)
{
    scrub_error(a, &a->out.error);
    for (size_t i = 0; i < a->job.item_count; i++)
        scrub_error(a, &a->job.items[i].error);
}

/* The verdict as it counts; a->out and the job's items are ours from here on. */
enum bb_next attempt_take_answer(struct attempt *a, enum bb_next next)
{
    const char *misuse = job_review(&a->job, next, &a->out);
    if (misuse == NULL)
        return next;
    a->out.error = (struct bb_error){.error_class = BB_VALIDATION, .code = "plugin_misuse", .message = misuse};
    return BB_REJECT;
}

void attempt_keep_response(struct attempt *a, const struct http_result *result)
{
    struct buf text = {0};
    buf_printf(&text, "HTTP %d\n", result->status);
    for (size_t i = 0; i < result->header_count; i++) {
        const struct http_header *h = &result->headers[i];
        if (strcmp(h->name, "set-cookie") != 0 && text.len < TEXT_KEPT_MAX / 2) {
            buf_puts(&text, h->name);
            buf_puts(&text, ": ");
            buf_append(&text, h->value.data, h->value.len);
            buf_putc(&text, '\n');
        }
        if (strcmp(h->name, "request-id") == 0 || strcmp(h->name, "x-request-id") == 0)
            a->request_id = scrub(a, h->value).data;
    }
    buf_putc(&text, '\n');
    /* more than is kept: a secret that the cut goes through must be seen whole */
    buf_append(&text, result->body.data, result->body.len < 2 * TEXT_KEPT_MAX ? result->body.len : 2 * TEXT_KEPT_MAX);
    struct buf clean = {0};
    target_scrub(a->slot->target, buf_span(&text), &clean, TEXT_KEPT_MAX);
    a->response_text = arena_dup(a->job.arena, clean.data, clean.len);
    buf_finish(&clean);
    buf_finish(&text);
}

void attempt_hand_response(struct attempt *a, const struct http_result *result)
{
    struct arena *arena = a->job.arena;
    struct bb_response *response = arena_alloc(arena, sizeof(*response));
    struct bb_header *headers = arena_alloc(arena, (result->header_count + 1) * sizeof(*headers));
    for (size_t i = 0; i < result->header_count; i++) {
        const struct http_header *h = &result->headers[i];
        headers[i] = (struct bb_header){arena_dup(arena, h->name, strlen(h->name)), scrub(a, h->value)};
    }
    *response = (struct bb_response){.size = sizeof(*response),
                                     .status = result->status,
                                     .body = scrub(a, result->body),
                                     .headers = headers,
                                     .header_count = result->header_count};
    a->in.response = response;
    a->http_status = result->status;
}
