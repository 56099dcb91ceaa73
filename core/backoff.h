/* Exponential backoff with full jitter on the upper half. Pure. */
#ifndef BUSBAR_BACKOFF_H
#define BUSBAR_BACKOFF_H

#include <stdint.h>

/* Delay before try number attempt+1 (attempt 1 is the first failure): first * 2^(attempt-1), at most
 * max, of which the part above half is drawn by unit in [0, 1). */
int64_t backoff_delay_ms(int64_t first_ms, int64_t max_ms, int attempt, double unit);

#endif
