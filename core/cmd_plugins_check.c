/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_plugins.h"

#include "cmd.h"
#include "conform.h"
#include "json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE "ABI.md" /* in plugins/, and among the pages of busbar-dev */

static struct json_object *complaints_json(const struct conform_complaints *of)
{
    struct json_object *complaints = json_object_new_array();
    for (size_t i = 0; i < of->count; i++) {
        const struct conform_complaint *complaint = &of->items[i];
        struct json_object *each = json_object_new_object();
        char *page cleanup_text = mem_printf(PAGE "#%s", complaint->rule->name);
        json_put_text(each, "rule", complaint->rule->name);
        json_put_text(each, "seen", complaint->seen);
        json_put_text(each, "right", complaint->rule->right);
        json_put_text(each, "page", page);
        json_object_array_add(complaints, each);
    }
    return complaints;
}

static void print_result_json(const struct conform_result *result)
{
    struct json_object *item cleanup_json = json_object_new_object();
    json_object_object_add(item, "ok", json_object_new_boolean(result->faults.count == 0));
    json_object_object_add(item, "complaints", complaints_json(&result->faults));
    json_object_object_add(item, "warnings", complaints_json(&result->warnings));
    json_put_int(item, "calls", (int64_t)result->calls);
    json_put_int(item, "slowest_us", result->slowest_us);
    json_object_object_add(item, "system_calls_watched", json_object_new_boolean(!result->unwatched));
    struct buf text cleanup_buf = {0};
    json_print(item, &text);
    puts(text.data);
}

static void print_complaints(const char *kind, const struct conform_complaints *complaints)
{
    for (size_t i = 0; i < complaints->count; i++) {
        const struct conform_complaint *complaint = &complaints->items[i];
        printf("%s%s: %s\n    right: %s (%s#%s)\n", kind, complaint->rule->name, complaint->seen,
               complaint->rule->right, PAGE, complaint->rule->name);
    }
}

static void print_result(const char *name, const struct conform_result *result)
{
    print_complaints("", &result->faults);
    print_complaints("warning: ", &result->warnings);
    if (result->faults.count == 0)
        printf("%s keeps the rules: %zu calls, the slowest took %.1f ms%s\n", name, result->calls,
               (double)result->slowest_us / 1000.0,
               result->unwatched ? "; system calls could not be watched here" : "");
}

int plugins_check(const char *name, char **pairs, size_t count, bool json)
{
    struct conform_option *options = mem_alloc((count + 1) * sizeof *options);
    bool usage = false;
    for (size_t i = 0; i < count; i++) {
        char *equals = strchr(pairs[i], '=');
        usage = usage || !equals;
        if (equals)
            *equals = '\0';
        options[i] = (struct conform_option){pairs[i], equals ? equals + 1 : ""};
    }
    if (usage) {
        free(options);
        return cmd_usage(&cmd_plugins_check, "options are given as NAME=VALUE");
    }
    struct conform_result result;
    conform_run(name, options, count, &result);
    if (json)
        print_result_json(&result);
    else
        print_result(name, &result);
    const bool good = result.faults.count == 0;
    conform_result_finish(&result);
    free(options);
    return good ? CMD_DONE : CMD_NO;
}
