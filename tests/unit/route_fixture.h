/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of a configuration's text, and what they decide, a line each. */
#ifndef BUSBAR_ROUTE_FIXTURE_H
#define BUSBAR_ROUTE_FIXTURE_H

#include "unit.h"

#include "config.h"
#include "digest.h"
#include "route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define T0 INT64_C(1700000000000)
#define HEAD                                                                       \
    "instance: t\nbus: {url: 'mqtt://localhost'}\nstore: {path: /tmp/unused.db}\n" \
    "targets: {mw: {plugin: mobility_work}}\n"

struct bench { /* a configuration and what its routes decided */
    struct config *config;
    struct problems problems;
    struct route_set *set;
    struct buf log; /* one line a decision */
    int version;    /* of MQTT, 0: as configured */
    char id[UUID_TEXT_MAX], first_id[UUID_TEXT_MAX];
    int id_count;
};

static inline void load(struct bench *b, const char *head, const char *routes)
{
    char path[] = "/tmp/busbar-route-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    fprintf(file, "%sroutes:\n%s", head, routes);
    fclose(file);
    b->config = config_load(path, &b->problems);
    unlink(path);
    b->set = b->config != NULL ? route_set_create(b->config, &b->problems) : NULL;
}

static inline struct bench *set_up_with(const char *head, const char *routes)
{
    struct bench *b = mem_alloc(sizeof(*b));
    load(b, head, routes);
    if (b->set == NULL || b->problems.errors > 0) {
        struct buf text = {0};
        problems_print(&b->problems, &text);
        fail_msg("%s", text.data);
    }
    return b;
}

static inline struct bench *set_up(const char *routes)
{
    return set_up_with(HEAD, routes);
}

static inline void tear_down(struct bench *b)
{
    route_set_destroy(b->set);
    config_destroy(b->config);
    problems_finish(&b->problems);
    buf_finish(&b->log);
    free(b);
}

/* The problems of these routes, without the file's name. gives */
static inline char *problems_of(const char *routes)
{
    struct bench *b = mem_alloc(sizeof(*b));
    load(b, HEAD, routes);
    assert_null(b->set);
    struct buf text = {0};
    for (size_t i = 0; i < b->problems.count; i++) {
        const struct problem *p = &b->problems.items[i];
        if (!p->warning)
            buf_printf(&text, "%d:%d %s\n", p->mark.line - 4, p->mark.column, p->text); /* after HEAD and routes: */
    }
    tear_down(b);
    return buf_steal(&text);
}

static inline void note(void *context, const struct route_decision *d)
{
    struct bench *b = context;
    buf_printf(&b->log, "%zu %s %s", d->route, outcome_name(d->outcome), d->reason);
    if (d->key.len > 0)
        buf_printf(&b->log, " key=%.*s", (int)d->key.len, d->key.data);
    if (d->outcome == OUTCOME_ACCEPTED)
        buf_printf(&b->log, " lane=%.*s %.*s", (int)d->lane.len, d->lane.data, (int)d->body.len, d->body.data);
    if (d->identity)
        buf_puts(&b->log, " identity");
    if (d->one_reading && d->id != NULL)
        buf_printf(&b->log, " kept=%.*s", (int)d->payload.len, d->payload.data);
    if (d->state_changed)
        buf_puts(&b->log, " state");
    buf_putc(&b->log, '\n');
    if (d->id != NULL && b->id_count++ == 0)
        snprintf(b->first_id, sizeof(b->first_id), "%s", d->id);
    if (d->id != NULL)
        snprintf(b->id, sizeof(b->id), "%s", d->id);
    assert_int_equal(d->id != NULL, d->outcome == OUTCOME_ACCEPTED || d->outcome == OUTCOME_INVALID);
}

static inline const char *send_message(struct bench *b, struct message message, int64_t at_ms)
{
    message.received_ms = at_ms;
    buf_clear(&b->log);
    route_set_evaluate(b->set, &message, at_ms, note, b);
    return buf_span(&b->log).data;
}

static inline const char *send(struct bench *b, const char *topic, const char *payload, int64_t at_ms)
{
    return send_message(b, (struct message){.topic = span_of(topic), .payload = span_of(payload)}, at_ms);
}

#endif
