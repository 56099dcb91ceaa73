/* The integration hand-over of a configuration: connectors, credentials, payloads with worked requests, mapping,
 * webhooks, errors, acceptance (FV-0A). Built as one JSON document, printed as it is or as Markdown. No network, no
 * store; of a secret only its name and where it comes from. */
#ifndef BUSBAR_HANDOFF_H
#define BUSBAR_HANDOFF_H

#include "buf.h"

struct app;
struct json_object;

/* now_ms: the time of the examples. gives */
struct json_object *handoff_document(const struct app *app, int64_t now_ms);
void handoff_print_markdown(struct json_object *document, struct buf *out);

#endif
