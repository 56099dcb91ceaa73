/* What births said, by group, node and device (inside the Sparkplug room). */
#ifndef BUSBAR_SPARKPLUG_BIRTHS_H
#define BUSBAR_SPARKPLUG_BIRTHS_H

#include "buf.h"

struct born_metric {
    char *name;
    bool has_alias;
    uint64_t alias;
    uint32_t datatype;
};

struct born_device { /* "" is the node itself */
    char *name;
    bool alive, changed;
    struct born_metric *metrics; /* by name */
    uint32_t *by_alias;          /* those that have one, places in metrics */
    size_t count, cap, alias_count;
};

struct born_node {
    char *group, *name;
    struct born_device **devices; /* by name: the node itself is the first */
    size_t count, cap;
    int seq;                /* of the last message; -1: not known */
    int64_t bdseq;          /* of the last birth; -1: not known */
    bool unsure, listed;    /* births may have been missed; it is on the list of those to be asked */
    int64_t asked_ms;       /* for its births; 0: not yet */
    struct born_node *next; /* of its bucket */
};

struct births;

struct births *births_create(void);
void births_destroy(struct births *births);
struct born_node *births_find(const struct births *births, struct span group, struct span node);
struct born_node *births_get(struct births *births, struct span group, struct span node); /* made when there is none */
/* All of them in turn: NULL gives the first. */
struct born_node *births_next(const struct births *births, const struct born_node *node);

struct born_device *born_find_device(const struct born_node *node, struct span name);
struct born_device *born_get_device(struct born_node *node, struct span name);
void born_clear(struct born_device *device);
void born_add(struct born_device *device, const char *name, bool has_alias, uint64_t alias, uint32_t datatype);
void born_settle(struct born_device *device); /* after the last add, before the first find */
const struct born_metric *born_find_name(const struct born_device *device, const char *name);
const struct born_metric *born_find_alias(const struct born_device *device, uint64_t alias);

/* The stored form of a device. */
void born_print(const struct born_node *node, const struct born_device *device, struct buf *out);
bool born_parse(struct born_node *node, struct born_device *device, struct span text);

#endif
