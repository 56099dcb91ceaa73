/* SPDX-License-Identifier: Apache-2.0 */
#include "backoff.h"

int64_t backoff_delay_ms(int64_t first_ms, int64_t max_ms, int attempt, double unit)
{
    int64_t delay = first_ms;
    for (int i = 1; i < attempt && delay < max_ms; i++)
        delay = delay > max_ms / 2 ? max_ms : delay * 2;
    if (delay > max_ms)
        delay = max_ms;
    int64_t half = delay / 2;
    return half + (int64_t)((double)(delay - half) * unit);
}
