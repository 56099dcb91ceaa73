/* SPDX-License-Identifier: Apache-2.0 */
#include "sparkplug_births.h"

#include "digest.h"
#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

struct births {
    struct born_node **buckets;
    size_t bucket_count, count;
};

#define FIRST_BUCKETS 64

/* ---- nodes */

struct births *births_create(void)
{
    struct births *births = mem_alloc(sizeof(*births));
    births->bucket_count = FIRST_BUCKETS;
    births->buckets = mem_alloc(FIRST_BUCKETS * sizeof(births->buckets[0]));
    return births;
}

static void free_device(struct born_device *device)
{
    born_clear(device);
    free(device->metrics);
    free(device->by_alias);
    free(device->name);
    free(device);
}

static void free_node(struct born_node *node)
{
    for (size_t i = 0; i < node->count; i++)
        free_device(node->devices[i]);
    free(node->devices);
    free(node->group);
    free(node->name);
    free(node);
}

void births_destroy(struct births *births)
{
    for (size_t i = 0; i < births->bucket_count; i++)
        for (struct born_node *node = births->buckets[i], *next; node != NULL; node = next) {
            next = node->next;
            free_node(node);
        }
    free(births->buckets);
    free(births);
}

static size_t bucket_of(const struct births *births, struct span group, struct span node)
{
    return (size_t)(digest_fast(node, digest_fast(group, 0)) % births->bucket_count);
}

struct born_node *births_find(const struct births *births, struct span group, struct span node)
{
    struct born_node *at = births->buckets[bucket_of(births, group, node)];
    while (at != NULL && !(span_is(group, at->group) && span_is(node, at->name)))
        at = at->next;
    return at;
}

static void grow(struct births *births)
{
    struct births old = *births;
    births->bucket_count *= 2;
    births->buckets = mem_alloc(births->bucket_count * sizeof(births->buckets[0]));
    for (size_t i = 0; i < old.bucket_count; i++)
        for (struct born_node *node = old.buckets[i], *next; node != NULL; node = next) {
            size_t at = bucket_of(births, span_of(node->group), span_of(node->name));
            next = node->next;
            node->next = births->buckets[at];
            births->buckets[at] = node;
        }
    free(old.buckets);
}

struct born_node *births_get(struct births *births, struct span group, struct span name)
{
    struct born_node *node = births_find(births, group, name);
    if (node != NULL)
        return node;
    if (++births->count > births->bucket_count)
        grow(births);
    size_t at = bucket_of(births, group, name);
    node = mem_alloc(sizeof(*node));
    *node = (struct born_node){
        .group = span_dup(group), .name = span_dup(name), .seq = -1, .bdseq = -1, .next = births->buckets[at]};
    births->buckets[at] = node;
    born_get_device(node, SPAN(""));
    return node;
}

struct born_node *births_next(const struct births *births, const struct born_node *node)
{
    size_t at = 0;
    if (node != NULL && node->next != NULL)
        return node->next;
    if (node != NULL)
        at = bucket_of(births, span_of(node->group), span_of(node->name)) + 1;
    while (at < births->bucket_count && births->buckets[at] == NULL)
        at++;
    return at < births->bucket_count ? births->buckets[at] : NULL;
}

/* ---- devices */

/* Where it stands, or would. */
static size_t place_of(const struct born_node *node, struct span name, bool *found)
{
    size_t low = 0, high = node->count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        const char *other = node->devices[middle]->name;
        size_t len = strlen(other), common = len < name.len ? len : name.len;
        int order = common > 0 ? memcmp(name.data, other, common) : 0;
        order = order != 0 ? order : (name.len > len) - (name.len < len);
        *found = order == 0;
        if (order <= 0)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

struct born_device *born_find_device(const struct born_node *node, struct span name)
{
    bool found;
    size_t at = place_of(node, name, &found);
    return found ? node->devices[at] : NULL;
}

struct born_device *born_get_device(struct born_node *node, struct span name)
{
    bool found;
    size_t at = place_of(node, name, &found);
    if (found)
        return node->devices[at];
    node->devices = mem_grow(node->devices, &node->cap, node->count + 1, sizeof(node->devices[0]));
    memmove(&node->devices[at + 1], &node->devices[at], (node->count - at) * sizeof(node->devices[0]));
    node->count++;
    node->devices[at] = mem_alloc(sizeof(*node->devices[at]));
    node->devices[at]->name = span_dup(name);
    return node->devices[at];
}

/* ---- metrics */

void born_clear(struct born_device *device)
{
    for (size_t i = 0; i < device->count; i++)
        free(device->metrics[i].name);
    device->count = device->alias_count = 0;
}

void born_add(struct born_device *device, const char *name, bool has_alias, uint64_t alias, uint32_t datatype)
{
    device->metrics = mem_grow(device->metrics, &device->cap, device->count + 1, sizeof(device->metrics[0]));
    device->metrics[device->count++] = (struct born_metric){mem_strdup(name), has_alias, alias, datatype};
}

static int by_name(const void *left, const void *right)
{
    const struct born_metric *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static int by_alias(const void *left, const void *right, void *metrics)
{
    const struct born_metric *a = (struct born_metric *)metrics + *(const uint32_t *)left,
                             *b = (struct born_metric *)metrics + *(const uint32_t *)right;
    return (a->alias > b->alias) - (a->alias < b->alias);
}

void born_settle(struct born_device *device)
{
    if (device->count > 0) /* qsort takes no NULL */
        qsort(device->metrics, device->count, sizeof(device->metrics[0]), by_name);
    free(device->by_alias);
    device->by_alias = mem_alloc((device->count + 1) * sizeof(device->by_alias[0]));
    device->alias_count = 0;
    for (size_t i = 0; i < device->count; i++)
        if (device->metrics[i].has_alias)
            device->by_alias[device->alias_count++] = (uint32_t)i;
    qsort_r(device->by_alias, device->alias_count, sizeof(device->by_alias[0]), by_alias, device->metrics);
}

const struct born_metric *born_find_name(const struct born_device *device, const char *name)
{
    struct born_metric wanted = {.name = (char *)(uintptr_t)name};
    if (device->count == 0)
        return NULL;
    return bsearch(&wanted, device->metrics, device->count, sizeof(wanted), by_name);
}

const struct born_metric *born_find_alias(const struct born_device *device, uint64_t alias)
{
    size_t low = 0, high = device->alias_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct born_metric *metric = &device->metrics[device->by_alias[middle]];
        if (metric->alias == alias)
            return metric;
        if (metric->alias < alias)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- stored: {"alive": true, "bdseq": 3, "metrics": [[name, datatype, alias or null], ...]} */

void born_print(const struct born_node *node, const struct born_device *device, struct buf *out)
{
    buf_printf(out, "{\"alive\":%s,\"bdseq\":%lld,\"metrics\":[", device->alive ? "true" : "false",
               (long long)node->bdseq);
    for (size_t i = 0; i < device->count; i++) {
        const struct born_metric *metric = &device->metrics[i];
        buf_puts(out, i == 0 ? "[" : ",[");
        buf_put_json(out, span_of(metric->name));
        buf_printf(out, ",%lu,", (unsigned long)metric->datatype);
        if (metric->has_alias)
            buf_printf(out, "%llu]", (unsigned long long)metric->alias);
        else
            buf_puts(out, "null]");
    }
    buf_puts(out, "]}");
}

bool born_parse(struct born_node *node, struct born_device *device, struct span text)
{
    cleanup_json struct json_object *root = json_parse(text, NULL, NULL);
    struct json_object *metrics = json_get(root, "metrics");
    if (!json_object_is_type(metrics, json_type_array))
        return false;
    born_clear(device);
    device->alive = json_object_get_boolean(json_get(root, "alive"));
    if (device->name[0] == '\0')
        node->bdseq = json_object_get_int64(json_get(root, "bdseq"));
    for (size_t i = 0; i < json_object_array_length(metrics); i++) {
        struct json_object *metric = json_object_array_get_idx(metrics, i);
        if (!json_object_is_type(metric, json_type_array) || json_object_array_length(metric) != 3)
            continue;
        const char *name = json_object_get_string(json_object_array_get_idx(metric, 0));
        struct json_object *alias = json_object_array_get_idx(metric, 2);
        if (name != NULL)
            born_add(device, name, alias != NULL, json_object_get_uint64(alias),
                     (uint32_t)json_object_get_int64(json_object_array_get_idx(metric, 1)));
    }
    born_settle(device);
    return true;
}
