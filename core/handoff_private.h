/* Shared by the files of the hand-over: each makes sections of the document. */
#ifndef BUSBAR_HANDOFF_PRIVATE_H
#define BUSBAR_HANDOFF_PRIVATE_H

#include "app.h"
#include "config.h"
#include "handoff.h"
#include "json.h"
#include "target.h"

void put_bool(struct json_object *object, const char *key, bool value);
void put_duration(struct json_object *object, const char *key, int64_t ms);
void put_list(struct json_object *array, const char *text); /* NULL: nothing */

/* handoff_scope.c: connectors, credentials, modes */
struct json_object *handoff_connectors(const struct app *app, struct json_object *payloads);
struct json_object *handoff_credentials(const struct app *app);
struct json_object *handoff_scope(const struct app *app);
/* handoff_payload.c */
struct json_object *handoff_payloads(const struct app *app, int64_t now_ms);
struct json_object *handoff_start_request(const struct target *target, const char *operation, int64_t now_ms);
/* handoff_operation.c: what happens while it runs */
struct json_object *handoff_mapping(const struct app *app);
struct json_object *handoff_transitions(void);
struct json_object *handoff_inbound(const struct app *app);
struct json_object *handoff_errors(const struct app *app);
struct json_object *handoff_acceptance(const struct app *app, struct json_object *payloads);

#endif
