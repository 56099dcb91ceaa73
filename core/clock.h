/* Time. Wall time is for people and for what is stored; steady time is for durations and does not
 * move when NTP steps the wall. Both are milliseconds. Above this layer, time is an argument. */
#ifndef BUSBAR_CLOCK_H
#define BUSBAR_CLOCK_H

#include "buf.h"

#define CLOCK_TEXT_MAX 32

int64_t clock_wall_ms(void);   /* since 1970-01-01T00:00:00Z */
int64_t clock_steady_ms(void); /* wall at process start plus monotonic time since: never jumps */
int64_t clock_monotonic_us(void);
const char *clock_format(int64_t wall_ms, char text[CLOCK_TEXT_MAX]); /* RFC 3339 UTC with ms; answers text */
bool clock_parse(struct span text, int64_t *wall_ms);                 /* RFC 3339 with offset */

#endif
