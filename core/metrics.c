/* SPDX-License-Identifier: Apache-2.0 */
/* Families and metrics are made rarely and under one mutex; they are never freed while the process
 * lives, so that a pointer once handed out may be used from any thread without a lock. A metric that is
 * there is found by the hash of its label values, and its text is made once: some are looked up for each
 * delivery. New ones are put in order when somebody asks: ten thousand routes make sixty thousand at start. */
#include "metrics.h"

#include "digest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 4
#define TABLE_LEAST 16

static const double bucket_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                       1,     2.5,    5,     10,   30,    60,   300, 900,  3600};
#define BUCKETS (sizeof(bucket_bounds) / sizeof(bucket_bounds[0]))
static const double size_bounds[BUCKETS] = {1,    2,    5,    10,    20,    50,    100,    200,    500,
                                            1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000};

struct metric {
    struct metric *next;     /* by labels, once sorted */
    struct metric *neighbor; /* in the same place of the table */
    uint64_t hash;
    char *values[LABELS_MAX];
    char *labels; /* ready to print, without braces: a="b",c="d" */
    enum metric_kind kind;
    _Atomic int64_t count; /* counter's value, histogram's number of observations */
    _Atomic double value;  /* gauge's value, histogram's sum */
    _Atomic int64_t *buckets;
};

struct metric_family {
    struct metric_family *next;
    enum metric_kind kind;
    const char *name, *help;
    char *label_names[LABELS_MAX];
    size_t label_count;
    struct metric *metrics;
    bool unsorted;
    struct metric **table; /* by hash; its size is a power of two and not below the number of metrics */
    size_t table_size, metric_count;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric_family *families; /* by name */

static void split_labels(struct metric_family *family, const char *labels)
{
    while (*labels != '\0' && family->label_count < LABELS_MAX) {
        size_t len = strcspn(labels, ",");
        family->label_names[family->label_count++] = span_dup((struct span){labels, len});
        labels += len + (labels[len] == ',');
    }
}

struct metric_family *metric_family(enum metric_kind kind, const char *name, const char *help, const char *labels)
{
    pthread_mutex_lock(&registry_lock);
    struct metric_family **at = &families;
    while (*at != NULL && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    struct metric_family *family = *at;
    if (family == NULL || strcmp(family->name, name) != 0) {
        family = mem_alloc(sizeof(*family));
        family->kind = kind;
        family->name = name;
        family->help = help;
        split_labels(family, labels);
        family->next = *at;
        *at = family;
    }
    pthread_mutex_unlock(&registry_lock);
    return family;
}

static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s%s=\"", out->len > 0 ? "," : "", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\n')
            buf_puts(out, "\\n");
        else {
            if (*p == '"' || *p == '\\')
                buf_putc(out, '\\');
            buf_putc(out, *p);
        }
    }
    buf_putc(out, '"');
}

static struct metric *find(const struct metric_family *family, const char *const *values, uint64_t hash)
{
    if (family->table_size == 0)
        return NULL;
    struct metric *metric = family->table[hash & (family->table_size - 1)];
    for (; metric != NULL; metric = metric->neighbor) {
        size_t same = 0;
        while (metric->hash == hash && same < family->label_count && strcmp(metric->values[same], values[same]) == 0)
            same++;
        if (metric->hash == hash && same == family->label_count)
            return metric;
    }
    return NULL;
}

static void put_in_table(struct metric_family *family, struct metric *metric)
{
    struct metric **place = &family->table[metric->hash & (family->table_size - 1)];
    metric->neighbor = *place;
    *place = metric;
}

static void index_metric(struct metric_family *family, struct metric *metric)
{
    if (++family->metric_count <= family->table_size) {
        put_in_table(family, metric);
        return;
    }
    free(family->table);
    family->table_size = family->table_size > 0 ? 2 * family->table_size : TABLE_LEAST;
    family->table = mem_alloc(family->table_size * sizeof(family->table[0]));
    for (struct metric *each = family->metrics; each != NULL; each = each->next)
        put_in_table(family, each);
}

static struct metric *add(struct metric_family *family, const char *const *values, uint64_t hash)
{
    struct metric *metric = mem_alloc(sizeof(*metric));
    struct buf labels = {0};
    for (size_t i = 0; i < family->label_count; i++) {
        metric->values[i] = mem_strdup(values[i]);
        put_label(&labels, family->label_names[i], values[i]);
    }
    metric->labels = buf_steal(&labels);
    metric->hash = hash;
    metric->kind = family->kind;
    if (family->kind >= METRIC_HISTOGRAM)
        metric->buckets = mem_alloc(sizeof(metric->buckets[0]) * BUCKETS);
    metric->next = family->metrics;
    family->metrics = metric;
    family->unsorted = true;
    index_metric(family, metric);
    return metric;
}

struct metric *metric_get(struct metric_family *family, ...)
{
    const char *values[LABELS_MAX];
    uint64_t hash = 0;
    va_list args;
    va_start(args, family);
    for (size_t i = 0; i < family->label_count; i++) {
        const char *value = va_arg(args, const char *);
        values[i] = value == NULL ? "" : value;
        hash = digest_fast(span_of(values[i]), hash);
    }
    va_end(args);
    pthread_mutex_lock(&registry_lock);
    struct metric *metric = find(family, values, hash);
    if (metric == NULL)
        metric = add(family, values, hash);
    pthread_mutex_unlock(&registry_lock);
    return metric;
}

void metric_add(struct metric *metric, int64_t n)
{
    if (metric->kind == METRIC_GAUGE) {
        double old = atomic_load_explicit(&metric->value, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&metric->value, &old, old + (double)n, memory_order_relaxed,
                                                      memory_order_relaxed))
            ;
        return;
    }
    atomic_fetch_add_explicit(&metric->count, n, memory_order_relaxed);
}

void metric_set(struct metric *metric, double value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static const double *bounds_of(const struct metric *metric)
{
    return metric->kind == METRIC_SIZES ? size_bounds : bucket_bounds;
}

void metric_observe(struct metric *metric, double value)
{
    const double *bounds = bounds_of(metric);
    atomic_fetch_add_explicit(&metric->count, 1, memory_order_relaxed);
    double old = atomic_load_explicit(&metric->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&metric->value, &old, old + value, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    for (size_t i = 0; i < BUCKETS; i++)
        if (value <= bounds[i]) {
            atomic_fetch_add_explicit(&metric->buckets[i], 1, memory_order_relaxed);
            return;
        }
}

double metric_value(const struct metric *metric)
{
    if (metric->kind == METRIC_GAUGE)
        return atomic_load_explicit(&metric->value, memory_order_relaxed);
    return (double)atomic_load_explicit(&metric->count, memory_order_relaxed);
}

void metric_drop(struct metric_family *family)
{
    pthread_mutex_lock(&registry_lock);
    while (family->metrics != NULL) {
        struct metric *next = family->metrics->next;
        for (size_t i = 0; i < family->label_count; i++)
            free(family->metrics->values[i]);
        free(family->metrics->labels);
        free(family->metrics->buckets);
        free(family->metrics);
        family->metrics = next;
    }
    free(family->table);
    family->table = NULL;
    family->table_size = family->metric_count = 0;
    pthread_mutex_unlock(&registry_lock);
}

static void render_histogram(struct buf *out, const struct metric_family *family, const struct metric *metric)
{
    const char *comma = metric->labels[0] != '\0' ? "," : "";
    int64_t sum = 0;
    /* read first: observations that race with us may only make the total larger than the buckets */
    for (size_t i = 0; i < BUCKETS; i++) {
        sum += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %lld\n", family->name, metric->labels, comma, bounds_of(metric)[i],
                   (long long)sum);
    }
    int64_t count = atomic_load_explicit(&metric->count, memory_order_relaxed);
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %lld\n", family->name, metric->labels, comma, (long long)count);
    const char *open = metric->labels[0] != '\0' ? "{" : "", *close = metric->labels[0] != '\0' ? "}" : "";
    buf_printf(out, "%s_sum%s%s%s %.9g\n", family->name, open, metric->labels, close,
               atomic_load_explicit(&metric->value, memory_order_relaxed));
    buf_printf(out, "%s_count%s%s%s %lld\n", family->name, open, metric->labels, close, (long long)count);
}

static int by_labels(const void *a, const void *b)
{
    const struct metric *const *x = a, *const *y = b;
    return strcmp((*x)->labels, (*y)->labels);
}

static void sort_metrics(struct metric_family *family)
{
    size_t count = 0;
    struct metric **all = mem_alloc(family->metric_count * sizeof(*all));
    for (struct metric *metric = family->metrics; metric != NULL; metric = metric->next)
        all[count++] = metric;
    qsort(all, count, sizeof(*all), by_labels);
    family->metrics = NULL;
    while (count > 0) {
        all[--count]->next = family->metrics;
        family->metrics = all[count];
    }
    family->unsorted = false;
    free(all);
}

void metrics_render(struct buf *out)
{
    static const char *const kinds[] = {"", "counter", "gauge", "histogram", "histogram"};
    pthread_mutex_lock(&registry_lock);
    for (struct metric_family *family = families; family != NULL; family = family->next) {
        if (family->metrics == NULL)
            continue;
        if (family->unsorted)
            sort_metrics(family);
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name, kinds[family->kind]);
        for (const struct metric *metric = family->metrics; metric != NULL; metric = metric->next) {
            if (family->kind >= METRIC_HISTOGRAM) {
                render_histogram(out, family, metric);
                continue;
            }
            buf_puts(out, family->name);
            if (metric->labels[0] != '\0')
                buf_printf(out, "{%s}", metric->labels);
            if (family->kind == METRIC_GAUGE)
                buf_printf(out, " %.17g\n", metric_value(metric));
            else
                buf_printf(out, " %lld\n", (long long)atomic_load_explicit(&metric->count, memory_order_relaxed));
        }
    }
    pthread_mutex_unlock(&registry_lock);
}
