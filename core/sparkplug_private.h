/* Between the Sparkplug room's files: the wire and the memory of births. */
#ifndef BUSBAR_SPARKPLUG_PRIVATE_H
#define BUSBAR_SPARKPLUG_PRIVATE_H

#include "sparkplug.h"

/* Numbers of the specification. */
enum sparkplug_type {
    SPARKPLUG_INT8 = 1,
    SPARKPLUG_INT16,
    SPARKPLUG_INT32,
    SPARKPLUG_INT64,
    SPARKPLUG_UINT8,
    SPARKPLUG_UINT16,
    SPARKPLUG_UINT32,
    SPARKPLUG_UINT64,
    SPARKPLUG_FLOAT,
    SPARKPLUG_DOUBLE,
    SPARKPLUG_BOOLEAN,
    SPARKPLUG_STRING,
    SPARKPLUG_DATETIME,
    SPARKPLUG_TEXT,
    SPARKPLUG_UUID
};

enum wire_kind { WIRE_NONE = 0, WIRE_WHOLE, WIRE_FLOAT, WIRE_DOUBLE, WIRE_BOOLEAN, WIRE_TEXT };

struct wire_metric {
    const char *name; /* borrowed from the payload; NULL: by alias */
    bool has_alias, historical, is_null, has_timestamp;
    uint64_t alias, timestamp_ms;
    uint32_t datatype; /* 0: not said */
    int64_t quality;   /* of its properties; -1: not said */
    enum wire_kind kind;
    uint64_t whole; /* as it came: two's complement of the datatype's width */
    double real;
    bool boolean;
    const char *text;
};

struct wire_payload;
/* NULL: it is no such payload. gives */
struct wire_payload *wire_unpack(struct span bytes);
void wire_free(struct wire_payload *payload); /* NULL is legal */
size_t wire_count(const struct wire_payload *payload);
int64_t wire_seq(const struct wire_payload *payload);          /* -1: none */
int64_t wire_timestamp_ms(const struct wire_payload *payload); /* 0: none */
void wire_metric(const struct wire_payload *payload, size_t i, struct wire_metric *out);
/* A command that asks an edge node for its births, appended. */
void wire_pack_rebirth(int64_t wall_ms, struct buf *out);

const char *sparkplug_type_name(uint32_t datatype); /* NULL: none that has a value for us */
/* The metric's value as its datatype says. false: it has none for us. NULL is null. gives */
bool sparkplug_value(const struct wire_metric *metric, uint32_t datatype, struct json_object **value);

#endif
