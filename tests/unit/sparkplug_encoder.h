/* Sparkplug B payloads, encoded on their own: tags and wire types as the specification numbers them, nothing of what
 * the decoder was generated from. */
#ifndef BUSBAR_SPARKPLUG_ENCODER_H
#define BUSBAR_SPARKPLUG_ENCODER_H

#include "buf.h"

static inline void put_varint(struct buf *out, uint64_t value)
{
    while (value >= 0x80) {
        buf_putc(out, (char)(value | 0x80));
        value >>= 7;
    }
    buf_putc(out, (char)value);
}

static inline void put_whole(struct buf *out, unsigned field, uint64_t value)
{
    put_varint(out, field << 3);
    put_varint(out, value);
}

static inline void put_bytes(struct buf *out, unsigned field, struct span bytes)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len);
    buf_append(out, bytes.data, bytes.len);
}

static inline void put_fixed(struct buf *out, unsigned field, const void *value, size_t bytes)
{
    put_varint(out, field << 3 | (bytes == 4 ? 5 : 1));
    buf_append(out, value, bytes); /* little-endian, as this machine is */
}

struct point { /* a metric */
    const char *name;
    int alias; /* 0: none */
    unsigned type;
    unsigned field; /* of the value: 10 int, 11 long, 12 float, 13 double, 14 boolean, 15 string, 16 bytes; 0: none */
    uint64_t whole;
    double real;
    const char *text;
    bool is_null, historical;
    int quality; /* 0: none; -1: written as 0 */
    uint64_t timestamp;
};

static inline void put_point(struct buf *out, const struct point *p)
{
    cleanup_buf struct buf metric = {0}, set = {0}, property = {0};
    if (p->name != NULL)
        put_bytes(&metric, 1, span_of(p->name));
    if (p->alias != 0)
        put_whole(&metric, 2, (uint64_t)p->alias);
    if (p->timestamp != 0)
        put_whole(&metric, 3, p->timestamp);
    if (p->type != 0)
        put_whole(&metric, 4, p->type);
    if (p->historical)
        put_whole(&metric, 5, 1);
    if (p->is_null)
        put_whole(&metric, 7, 1);
    if (p->quality != 0) {
        put_bytes(&set, 1, SPAN("engUnit"));
        put_bytes(&set, 1, SPAN("Quality"));
        put_whole(&property, 1, 12);
        put_bytes(&property, 8, SPAN("C"));
        put_bytes(&set, 2, buf_span(&property));
        buf_clear(&property);
        put_whole(&property, 1, 3);
        put_whole(&property, 3, p->quality < 0 ? 0 : (uint64_t)p->quality);
        put_bytes(&set, 2, buf_span(&property));
        put_bytes(&metric, 9, buf_span(&set));
    }
    float single = (float)p->real;
    if (p->field == 12)
        put_fixed(&metric, 12, &single, 4);
    else if (p->field == 13)
        put_fixed(&metric, 13, &p->real, 8);
    else if (p->field >= 15)
        put_bytes(&metric, p->field, span_of(p->text));
    else if (p->field != 0)
        put_whole(&metric, p->field, p->whole);
    put_bytes(out, 2, buf_span(&metric));
}

#endif
