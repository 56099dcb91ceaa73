/* SPDX-License-Identifier: Apache-2.0 */
/* Money (MW-C13). Mobility Work counts in the lowest unit of a currency; people and machines write decimals. The
 * conversion moves the point in the number's own text: a double never sees it, and 0.29 is 29 cents. */
#include "mobility_work.h"

#include <string.h>

#define DIGITS_MAX 18 /* always fit an int64_t */
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

bool mw_shift_decimal(const char *text, int places, int64_t *out)
{
    int digits = 0, decimals = 0;
    bool point = false;
    *out = 0;
    if (*text < '0' || *text > '9')
        return false;
    for (; *text; text++) {
        if (*text == '.' && !point && text[1]) {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9')
            return false;
        if (point && decimals == places) { /* beyond what the currency has: nothing may be lost */
            if (*text != '0')
                return false;
            continue;
        }
        decimals += point;
        digits += digits > 0 || *text != '0';
        if (digits > DIGITS_MAX)
            return false;
        *out = *out * 10 + (*text - '0');
    }
    for (; decimals<places; decimals++, digits += digits> 0) {
        if (digits >= DIGITS_MAX)
            return false;
        *out *= 10;
    }
    return true;
}
