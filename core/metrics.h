/* Numbers for Prometheus. A family has a name, a help text and label names; a metric is one set of
 * label values. Look a metric up once and keep the pointer: it lives as long as the process, and
 * adding to it is one atomic operation. Any thread. */
#ifndef BUSBAR_METRICS_H
#define BUSBAR_METRICS_H

#include "buf.h"

struct metric_family;
struct metric;

enum metric_kind { METRIC_COUNTER = 1, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_SIZES };

/* The same name gives the same family. labels: names parted by commas, "" for none. borrows (static text). */
struct metric_family *metric_family(enum metric_kind kind, const char *name, const char *help, const char *labels);
/* Values in the order of the labels, one for each. Histograms: buckets 1 ms .. 1 h, in seconds; of sizes 1 .. 500,000.
 */
struct metric *metric_get(struct metric_family *family, ...);

void metric_add(struct metric *metric, int64_t n);
void metric_set(struct metric *metric, double value);
void metric_observe(struct metric *metric, double value);
double metric_value(const struct metric *metric);
void metric_drop(struct metric_family *family); /* forgets the family's metrics (tests) */

/* Exposition format 0.0.4, families by name. */
void metrics_render(struct buf *out);

#endif
