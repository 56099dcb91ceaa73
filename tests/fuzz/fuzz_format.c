/* SPDX-License-Identifier: Apache-2.0 */
/* A payload as a number, as a line of CSV and as an asset map's: a JSON value or a reason, and what is printed of it
 * reads as JSON again. */
#include "fuzz.h"

#include "format.h"
#include "json.h"

#include <json-c/json.h>

static void try_format(const struct format *format, struct span payload)
{
    bool is_null = false, again_null = false;
    cleanup_buf struct buf reason = {0}, text = {0};
    cleanup_json struct json_object *value = format_parse(format, payload, &is_null, &reason);
    if (value == NULL) {
        HOLDS(is_null || reason.len > 0);
        return;
    }
    const char *error = NULL;
    json_print(value, &text);
    cleanup_json struct json_object *again = json_parse(buf_span(&text), &again_null, &error);
    HOLDS(again != NULL || again_null || strstr(error, "beyond 64 bits") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char a[] = "a", b[] = "b";
    static char *columns[] = {a, NULL, b};
    const struct format formats[] = {{.kind = FORMAT_NUMBER},
                                     {.kind = FORMAT_NUMBER, .decimal = ','},
                                     {.kind = FORMAT_TEXT},
                                     {.kind = FORMAT_CSV},
                                     {.kind = FORMAT_CSV, .separator = ';', .decimal = ','},
                                     {.kind = FORMAT_CSV, .columns = columns, .column_count = 3}};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        try_format(&formats[i], (struct span){(const char *)data, size});
    return 0;
}
