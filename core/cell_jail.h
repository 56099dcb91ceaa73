/* What a cell's child gives up (private to the cell room). Each answers NULL, or why it cannot be. */
#ifndef BUSBAR_CELL_JAIL_H
#define BUSBAR_CELL_JAIL_H

#include <stdint.h>

const char *jail_begin(void);                 /* at once: it dies with its parent, gains nothing, leaves no core */
const char *jail_close(int64_t memory_bytes); /* once the plugin is loaded: nothing but to compute */

#endif
