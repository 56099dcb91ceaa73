/* SPDX-License-Identifier: Apache-2.0 */
#include "strays.h"

#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

struct stray {
    char *target;
    int64_t count;
};

struct strays {
    struct stray *items;
    size_t count, cap;
};

struct strays *strays_create(void)
{
    return mem_alloc(sizeof(struct strays));
}

void strays_destroy(struct strays *strays)
{
    if (strays == NULL)
        return;
    for (size_t i = 0; i < strays->count; i++)
        free(strays->items[i].target);
    free(strays->items);
    free(strays);
}

void strays_add(struct strays *strays, const char *target, int64_t count)
{
    size_t at = 0;
    if (target == NULL) /* the row is damaged */
        target = "?";
    while (at < strays->count && strcmp(strays->items[at].target, target) != 0)
        at++;
    if (at == strays->count) {
        strays->items = mem_grow(strays->items, &strays->cap, strays->count + 1, sizeof(strays->items[0]));
        strays->items[strays->count++] = (struct stray){mem_strdup(target), 0};
    }
    strays->items[at].count += count;
}

const char *strays_target(const struct strays *strays, size_t i)
{
    return i < strays->count ? strays->items[i].target : NULL;
}

int64_t strays_count(const struct strays *strays, size_t i)
{
    return strays->items[i].count;
}

struct json_object *strays_describe(const struct strays *strays)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < strays->count; i++) {
        if (strays->items[i].count == 0)
            continue;
        struct json_object *shown = json_object_new_object();
        json_put_text(shown, "target", strays->items[i].target);
        json_put_int(shown, "waiting", strays->items[i].count);
        json_object_array_add(list, shown);
    }
    return list;
}
