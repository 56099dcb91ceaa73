/* Units of measure by their UCUM codes (https://ucum.org): what a plant's readings usually come in. Pure. */
#ifndef BUSBAR_MEASURE_H
#define BUSBAR_MEASURE_H

#include "buf.h"

struct measure_conversion {
    double factor, offset; /* to = from * factor + offset */
};

/* 0, or -1 and *error (gives): an unknown code with the nearest known one, or two that measure different things. */
int measure_find(struct span from, struct span to, struct measure_conversion *out, char **error);
/* Rounded to twelve digits, so that 212 [degF] are 100 Cel and not a hair more. false: no number holds it. */
bool measure_convert(const struct measure_conversion *conversion, double *value);

#endif
