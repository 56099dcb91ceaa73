/* SPDX-License-Identifier: Apache-2.0 */
/* Small texts from outside: numbers, durations, times, Retry-After, JSON, CSV. What is read is within its bounds, and
 * JSON that is printed can be read again. */
#include "fuzz.h"

#include "clock.h"
#include "format.h"
#include "http.h"
#include "json.h"
#include "number.h"

#include <json-c/json.h>
#include <math.h>

static void read_numbers(struct span text)
{
    int64_t whole, window;
    double number;
    HOLDS(!number_parse_int(text, -5, 500, &whole) || (whole >= -5 && whole <= 500));
    HOLDS(!number_parse_double(text, &number) || isfinite(number));
    HOLDS(!number_parse_duration(text, &whole) || whole >= 0);
    HOLDS(!number_parse_size(text, &whole) || whole >= 0);
    HOLDS(!number_parse_rate(text, &number) || number > 0);
    HOLDS(!number_parse_budget(text, &whole, &window) || (whole > 0 && window > 0));
    HOLDS(!http_parse_retry_after(text, 1700000000000, &whole) || whole >= 0);
    char printed[CLOCK_TEXT_MAX];
    if (clock_parse(text, &whole))
        (void)clock_format(whole, printed);
}

static void read_json(struct span text)
{
    bool is_null = false, null_again = false;
    const char *error = NULL;
    cleanup_json struct json_object *value = json_parse(text, &is_null, &error);
    HOLDS(value != NULL || is_null || error != NULL);
    if (value == NULL)
        return;
    cleanup_buf struct buf printed = {0};
    json_print(value, &printed);
    cleanup_json struct json_object *again = json_parse(buf_span(&printed), &null_again, NULL);
    HOLDS(again != NULL);
}

static void read_csv(struct span text, uint8_t choice)
{
    char *columns[] = {"a", NULL, "b"};
    const struct format format = {.kind = FORMAT_CSV,
                                  .columns = choice & 1 ? columns : NULL,
                                  .column_count = choice & 1 ? 3 : 0,
                                  .separator = choice & 2 ? ';' : 0,
                                  .decimal = choice & 2 ? ',' : 0};
    cleanup_buf struct buf reason = {0};
    bool is_null = false;
    cleanup_json struct json_object *value = format_parse(&format, text, &is_null, &reason);
    HOLDS(value != NULL || is_null || reason.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    uint8_t choice = fuzz_byte(&text);
    read_numbers(text);
    read_json(text);
    read_csv(text, choice);
    return 0;
}
