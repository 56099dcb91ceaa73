/* SPDX-License-Identifier: Apache-2.0 */

/* Each unit by its size in the first unit of what it measures. Codes are case-sensitive (c/s of UCUM); rpm and
 * kWh are the words that UCUM does not have and every plant does. */
#include "measure.h"

#include "problems.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INCH 0.0254
#define FOOT 0.3048
#define POUND 0.45359237
#define GRAVITY 9.80665
#define PSI (POUND * GRAVITY / (INCH * INCH))
#define GALLON 0.003785411784

static const struct unit {
    const char *code, *measures;
    double size, offset; /* in the first unit: value * size + offset */
} units[] = {
    {"K", "temperature", 1, 0},
    {"mK", "temperature", 1e-3, 0},
    {"Cel", "temperature", 1, 273.15},
    {"[degF]", "temperature", 5.0 / 9, 459.67 * 5 / 9},
    {"[degR]", "temperature", 5.0 / 9, 0},
    {"Pa", "pressure", 1, 0},
    {"hPa", "pressure", 1e2, 0},
    {"kPa", "pressure", 1e3, 0},
    {"MPa", "pressure", 1e6, 0},
    {"mbar", "pressure", 1e2, 0},
    {"bar", "pressure", 1e5, 0},
    {"atm", "pressure", 101325, 0},
    {"[psi]", "pressure", PSI, 0},
    {"m[H2O]", "pressure", 9806.65, 0},
    {"mm[H2O]", "pressure", 9.80665, 0},
    {"mm[Hg]", "pressure", 133.322, 0},
    {"[in_i'H2O]", "pressure", 249.08891, 0},
    {"m", "length", 1, 0},
    {"nm", "length", 1e-9, 0},
    {"um", "length", 1e-6, 0},
    {"mm", "length", 1e-3, 0},
    {"cm", "length", 1e-2, 0},
    {"km", "length", 1e3, 0},
    {"[mil_i]", "length", INCH / 1000, 0},
    {"[in_i]", "length", INCH, 0},
    {"[ft_i]", "length", FOOT, 0},
    {"m/s", "speed", 1, 0},
    {"mm/s", "speed", 1e-3, 0},
    {"cm/s", "speed", 1e-2, 0},
    {"m/min", "speed", 1.0 / 60, 0},
    {"km/h", "speed", 1 / 3.6, 0},
    {"[in_i]/s", "speed", INCH, 0},
    {"[ft_i]/s", "speed", FOOT, 0},
    {"[ft_i]/min", "speed", FOOT / 60, 0},
    {"m/s2", "acceleration", 1, 0},
    {"mm/s2", "acceleration", 1e-3, 0},
    {"[g]", "acceleration", GRAVITY, 0},
    {"m[g]", "acceleration", GRAVITY / 1000, 0},
    {"[in_i]/s2", "acceleration", INCH, 0},
    {"A", "electric current", 1, 0},
    {"uA", "electric current", 1e-6, 0},
    {"mA", "electric current", 1e-3, 0},
    {"kA", "electric current", 1e3, 0},
    {"V", "voltage", 1, 0},
    {"uV", "voltage", 1e-6, 0},
    {"mV", "voltage", 1e-3, 0},
    {"kV", "voltage", 1e3, 0},
    {"Ohm", "resistance", 1, 0},
    {"mOhm", "resistance", 1e-3, 0},
    {"kOhm", "resistance", 1e3, 0},
    {"MOhm", "resistance", 1e6, 0},
    {"GOhm", "resistance", 1e9, 0},
    {"W", "power", 1, 0},
    {"mW", "power", 1e-3, 0},
    {"kW", "power", 1e3, 0},
    {"MW", "power", 1e6, 0},
    {"[HP]", "power", 550 * POUND *GRAVITY *FOOT, 0},
    {"V.A", "apparent power", 1, 0},
    {"kV.A", "apparent power", 1e3, 0},
    {"MV.A", "apparent power", 1e6, 0},
    {"J", "energy", 1, 0},
    {"kJ", "energy", 1e3, 0},
    {"MJ", "energy", 1e6, 0},
    {"GJ", "energy", 1e9, 0},
    {"W.h", "energy", 3600, 0},
    {"kW.h", "energy", 3.6e6, 0},
    {"MW.h", "energy", 3.6e9, 0},
    {"kWh", "energy", 3.6e6, 0},
    {"Hz", "frequency", 1, 0},
    {"kHz", "frequency", 1e3, 0},
    {"MHz", "frequency", 1e6, 0},
    {"/s", "frequency", 1, 0},
    {"/min", "frequency", 1.0 / 60, 0},
    {"/h", "frequency", 1.0 / 3600, 0},
    {"{rev}/s", "frequency", 1, 0},
    {"{rev}/min", "frequency", 1.0 / 60, 0},
    {"rpm", "frequency", 1.0 / 60, 0},
    {"1", "ratio", 1, 0},
    {"%", "ratio", 1e-2, 0},
    {"[ppth]", "ratio", 1e-3, 0},
    {"[ppm]", "ratio", 1e-6, 0},
    {"[ppb]", "ratio", 1e-9, 0},
    {"m3", "volume", 1, 0},
    {"L", "volume", 1e-3, 0},
    {"mL", "volume", 1e-6, 0},
    {"[gal_us]", "volume", GALLON, 0},
    {"m3/s", "volume flow", 1, 0},
    {"m3/min", "volume flow", 1.0 / 60, 0},
    {"m3/h", "volume flow", 1.0 / 3600, 0},
    {"L/s", "volume flow", 1e-3, 0},
    {"L/min", "volume flow", 1e-3 / 60, 0},
    {"L/h", "volume flow", 1e-3 / 3600, 0},
    {"mL/min", "volume flow", 1e-6 / 60, 0},
    {"[gal_us]/min", "volume flow", GALLON / 60, 0},
    {"[cft_i]/min", "volume flow", FOOT *FOOT *FOOT / 60, 0},
    {"kg", "mass", 1, 0},
    {"mg", "mass", 1e-6, 0},
    {"g", "mass", 1e-3, 0},
    {"t", "mass", 1e3, 0},
    {"[lb_av]", "mass", POUND, 0},
    {"kg/s", "mass flow", 1, 0},
    {"kg/min", "mass flow", 1.0 / 60, 0},
    {"kg/h", "mass flow", 1.0 / 3600, 0},
    {"t/h", "mass flow", 1e3 / 3600, 0},
    {"N", "force", 1, 0},
    {"kN", "force", 1e3, 0},
    {"[lbf_av]", "force", POUND *GRAVITY, 0},
    {"N.m", "torque", 1, 0},
    {"kN.m", "torque", 1e3, 0},
    {"[ft_i].[lbf_av]", "torque", FOOT *POUND *GRAVITY, 0},
    {"s", "time", 1, 0},
    {"us", "time", 1e-6, 0},
    {"ms", "time", 1e-3, 0},
    {"min", "time", 60, 0},
    {"h", "time", 3600, 0},
    {"d", "time", 86400, 0},
    {"wk", "time", 604800, 0},
    {"deg", "angle", 1, 0},
    {"rad", "angle", 57.295779513082320876, 0},
    {"S/m", "conductivity", 1, 0},
    {"mS/cm", "conductivity", 0.1, 0},
    {"uS/cm", "conductivity", 1e-4, 0},
};
#define UNIT_COUNT (sizeof(units) / sizeof(units[0]))

/* What people write instead. */
static const char *const meant[][2] = {
    {"C", "Cel"},           {"°C", "Cel"},      {"degC", "Cel"},   {"F", "[degF]"},      {"°F", "[degF]"},
    {"degF", "[degF]"},     {"psi", "[psi]"},   {"PSI", "[psi]"},  {"in/s", "[in_i]/s"}, {"ips", "[in_i]/s"},
    {"in", "[in_i]"},       {"inch", "[in_i]"}, {"ft", "[ft_i]"},  {"mil", "[mil_i]"},   {"µm", "um"},
    {"μm", "um"},           {"µA", "uA"},       {"m/s²", "m/s2"},  {"m/s^2", "m/s2"},    {"g's", "[g]"},
    {"G", "[g]"},           {"Wh", "W.h"},      {"MWh", "MW.h"},   {"kVA", "kV.A"},      {"VA", "V.A"},
    {"hp", "[HP]"},         {"m³/h", "m3/h"},   {"m^3/h", "m3/h"}, {"m³", "m3"},         {"l/min", "L/min"},
    {"lpm", "L/min"},       {"l", "L"},         {"l/s", "L/s"},    {"l/h", "L/h"},       {"gpm", "[gal_us]/min"},
    {"cfm", "[cft_i]/min"}, {"Nm", "N.m"},      {"RPM", "rpm"},    {"1/min", "/min"},    {"U/min", "rpm"},
    {"percent", "%"},       {"ppm", "[ppm]"},   {"lb", "[lb_av]"}, {"Ω", "Ohm"},         {"ohm", "Ohm"},
    {"hour", "h"},          {"hours", "h"},     {"sec", "s"},      {"minutes", "min"},
};

static const struct unit *find(struct span code)
{
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (span_is(code, units[i].code))
            return &units[i];
    return NULL;
}

static char *unknown(struct span code)
{
    const char *known[UNIT_COUNT], *near = NULL;
    for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++)
        if (span_is(code, meant[i][0]))
            near = meant[i][1];
    for (size_t i = 0; i < UNIT_COUNT; i++)
        known[i] = units[i].code;
    near = near != NULL ? near : problems_nearest(code, known, UNIT_COUNT);
    int shown = (int)(code.len < 64 ? code.len : 64);
    return near != NULL ? mem_printf("unknown unit '%.*s', did you mean '%s'?", shown, code.data, near)
                        : mem_printf("unknown unit '%.*s': a UCUM code such as Cel, bar, mm/s, rpm", shown, code.data);
}

int measure_find(struct span from, struct span to, struct measure_conversion *out, char **error)
{
    const struct unit *a = find(from), *b = find(to);
    *error = NULL;
    if (a == NULL || b == NULL)
        *error = unknown(a == NULL ? from : to);
    else if (strcmp(a->measures, b->measures) != 0)
        *error = mem_printf("'%s' measures %s, '%s' %s", a->code, a->measures, b->code, b->measures);
    else
        *out = (struct measure_conversion){a->size / b->size, (a->offset - b->offset) / b->size};
    return *error == NULL ? 0 : -1;
}

/* Digits are counted from the larger of the two terms: near zero, their difference has fewer. */
bool measure_convert(const struct measure_conversion *conversion, double *value)
{
    char text[400];
    double product = *value * conversion->factor, result = product + conversion->offset;
    double larger = fmax(fabs(product), fabs(conversion->offset));
    if (!isfinite(result))
        return false;
    *value = result;
    if (larger == 0)
        return true;
    int decimals = 11 - (int)floor(log10(larger));
    if (decimals < 0 || decimals > 40)
        snprintf(text, sizeof(text), "%.12g", result);
    else
        snprintf(text, sizeof(text), "%.*f", decimals, result);
    *value = strtod(text, NULL);
    return true;
}
