/* SPDX-License-Identifier: Apache-2.0 */
/* Money (MW-C13). Mobility Work counts in the lowest unit of a currency; people and machines write decimals. The
 * conversion moves the point in the number's own text: a double never sees it, and 0.29 is 29 cents, 1e2 is 100.00. */
#include "mobility_work.h"

#include <string.h>

#define DIGITS_MAX 18 /* always fit an int64_t */
#define EXPONENT_DIGITS_MAX 3
#define CENTS 2

/* ISO 4217: the codes whose minor unit is not a hundredth. */
static const struct {
    int exponent;
    const char *codes;
} others[] = {
    {0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"},
    {3, "BHD IQD JOD KWD LYD OMR TND"},
    {4, "CLF UYW"},
    {MW_NO_MINOR_UNIT, "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA"},
};

bool mw_is_currency(const char *code)
{
    return strlen(code) == 3 && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
}

int mw_minor_unit(const char *currency)
{
    for (size_t i = 0; i < PL_COUNT(others); i++)
        if (strstr(others[i].codes, currency))
            return others[i].exponent;
    return CENTS;
}

/* What follows an e. */
static bool read_exponent(const char *text, int *exponent)
{
    const int sign = *text == '-' ? -1 : 1;
    text += *text == '-' || *text == '+';
    const size_t len = strspn(text, "0123456789");
    if (len == 0 || len > EXPONENT_DIGITS_MAX || text[len] != '\0')
        return false;
    for (; *text; text++)
        *exponent = *exponent * 10 + sign * (*text - '0');
    return true;
}

bool mw_shift_decimal(const char *text, int places, int64_t *out)
{
    const size_t whole = strspn(text, "0123456789"), point = text[whole] == '.',
                 fraction = point ? strspn(text + whole + 1, "0123456789") : 0;
    const char *tail = text + whole + point + fraction;
    int exponent = 0, digits = 0;
    if (whole == 0 || (point && fraction == 0) ||
        (*tail && ((*tail != 'e' && *tail != 'E') || !read_exponent(tail + 1, &exponent))))
        return false;
    int keep = places + exponent + (int)(whole < INT16_MAX ? whole : INT16_MAX); /* so many digits are the result's */
    *out = 0;
    for (const char *at = text; at < tail; at++) {
        if (*at == '.')
            continue;
        if (keep-- <= 0) { /* beyond what the currency has: nothing may be lost */
            if (*at != '0')
                return false;
            continue;
        }
        digits += digits > 0 || *at != '0';
        if (digits > DIGITS_MAX)
            return false;
        *out = *out * 10 + (*at - '0');
    }
    for (; keep > 0 && digits > 0; keep--) {
        if (++digits > DIGITS_MAX)
            return false;
        *out *= 10;
    }
    return true;
}
