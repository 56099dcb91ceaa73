/* The one range-checked reader of numbers from outside. Answers false and leaves *out alone when the
 * text is not wholly such a number. */
#ifndef BUSBAR_NUMBER_H
#define BUSBAR_NUMBER_H

#include "buf.h"

bool number_parse_int(struct span text, int64_t min, int64_t max, int64_t *out);
bool number_parse_double(struct span text, double *out);                        /* finite; C locale; no hex, no nan */
bool number_parse_duration(struct span text, int64_t *ms);                      /* 250ms 30s 15m 1h 7d; "0" */
bool number_parse_size(struct span text, int64_t *bytes);                       /* 4096 64KiB 1GiB 10MB */
bool number_parse_rate(struct span text, double *per_second);                   /* 10/s 250/1m 24/1d */
bool number_parse_budget(struct span text, int64_t *count, int64_t *window_ms); /* 24/1d */
void number_format_duration(int64_t ms, char text[24]);                         /* the shortest exact form */

#endif
