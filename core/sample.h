/* A message that a route would take, made up from what its configuration reads of one: a capture is its own name, a
 * member of the payload a text, number, time ... with which the plugin makes a request. For examples, not for tests:
 * where no value will do, the sample says what the plugin asks for. */
#ifndef BUSBAR_SAMPLE_H
#define BUSBAR_SAMPLE_H

#include "buf.h"

struct app;
struct json_object;

struct sample {
    char *topic;
    struct json_object *payload;
    struct json_object *user;   /* MQTT 5 user properties: name to text */
    struct json_object *fields; /* array of {"pointer", "example"}: what is read of the payload; "" is all of it */
    struct buf payload_text;    /* as it comes from the bus */
    bool is_json;               /* payload_text is payload, printed */
    struct buf body;            /* what the route makes of it; empty: it cannot be mapped */
    struct buf reason;          /* why not */
    char id[40];
};

/* The rules' state stays as it is. sample_finish() it. */
void sample_make(struct sample *sample, const struct app *app, size_t route, int64_t now_ms);
void sample_finish(struct sample *sample);

#endif
