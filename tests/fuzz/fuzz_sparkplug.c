/* SPDX-License-Identifier: Apache-2.0 */
/* Three messages of edge nodes in a row: readings or a reason; what is remembered of births reads back as it was
 * written. */
#include "fuzz.h"

#include "json.h"
#include "sparkplug.h"

#include <json-c/json.h>

static void restore(void *context, const char *key, struct span text)
{
    sparkplug_restore(context, key, text);
}

static void count_command(void *context, const char *topic, struct span payload)
{
    HOLDS(topic[0] == 's' && payload.len > 0);
    ++*(int *)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const topics[] = {"spBv1.0/g/NBIRTH/n",  "spBv1.0/g/NDATA/n",  "spBv1.0/g/DBIRTH/n/d",
                                         "spBv1.0/g/DDATA/n/d", "spBv1.0/g/NDEATH/n", "spBv1.0/g/DDEATH/n/d"};
    struct span rest = {(const char *)data, size};
    struct sparkplug *sparkplug = sparkplug_create(), *again = sparkplug_create();
    for (int i = 0; i < 3; i++) {
        cleanup_buf struct buf reason = {0};
        size_t len = fuzz_byte(&rest);
        struct span payload = {rest.data, len < rest.len ? len : rest.len};
        rest = (struct span){rest.data + payload.len, rest.len - payload.len};
        const char *topic = topics[fuzz_byte(&payload) % 6];
        cleanup_json struct json_object *readings = sparkplug_read(sparkplug, span_of(topic), payload, &reason);
        HOLDS(readings != NULL || reason.len > 0);
    }
    int commands = 0;
    sparkplug_changes(sparkplug, restore, again);
    sparkplug_rebirths(sparkplug, 1, 1, count_command, &commands);
    HOLDS(commands <= 1 && !sparkplug_wants_rebirths(sparkplug));
    sparkplug_destroy(sparkplug);
    sparkplug_destroy(again);
    return 0;
}
