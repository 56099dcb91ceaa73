/* SPDX-License-Identifier: Apache-2.0 */
/* What has no place in a plugin, by the names that it takes from libraries. A library that is linked into it may take
 * one and never call it: so they are told as warnings, whatever the calls then prove. */
#include "conform_private.h"

#include <string.h>

#define TIME "in->now_ms and host->now_ms are the time"
#define ENVIRONMENT "it changes the process that all plugins share; settings are options of the target"
#define NUMBERS \
    "it changes how numbers are read and written in the whole process; host->format() writes them as JSON has it"
#define CHANCE "an instance answers the same to the same: make ids from what came in"
#define PROCESS "the process is the core's, and all other targets' too: answer a verdict"
#define OUTPUT "the core does all output: host->log()"

static const struct {
    const char *name;
    enum rule rule;
    const char *instead;
} misplaced[] = {
    {"setlocale", RULE_GLOBALS, NUMBERS},
    {"fesetround", RULE_GLOBALS, NUMBERS},
    {"fesetenv", RULE_GLOBALS, NUMBERS},
    {"setenv", RULE_GLOBALS, ENVIRONMENT},
    {"unsetenv", RULE_GLOBALS, ENVIRONMENT},
    {"putenv", RULE_GLOBALS, ENVIRONMENT},
    {"tzset", RULE_GLOBALS, ENVIRONMENT},
    {"strtok", RULE_GLOBALS, "its place is shared by all that call it: strtok_r(), or strcspn()"},
    {"rand", RULE_GLOBALS, CHANCE},
    {"srand", RULE_GLOBALS, CHANCE},
    {"random", RULE_GLOBALS, CHANCE},
    {"srandom", RULE_GLOBALS, CHANCE},
    {"drand48", RULE_GLOBALS, CHANCE},
    {"time", RULE_GLOBALS, TIME},
    {"gettimeofday", RULE_GLOBALS, TIME},
    {"ftime", RULE_GLOBALS, TIME},
    {"localtime", RULE_GLOBALS, "its place is shared, and so is the time zone: gmtime_r()"},
    {"gmtime", RULE_GLOBALS, "its place is shared by all that call it: gmtime_r()"},
    {"exit", RULE_IO, PROCESS},
    {"_exit", RULE_IO, PROCESS},
    {"quick_exit", RULE_IO, PROCESS},
    {"fork", RULE_IO, PROCESS},
    {"vfork", RULE_IO, PROCESS},
    {"system", RULE_IO, PROCESS},
    {"popen", RULE_IO, PROCESS},
    {"signal", RULE_IO, PROCESS},
    {"sigaction", RULE_IO, PROCESS},
    {"pthread_create", RULE_IO, "there is one thread: send, and answer when the response comes"},
    {"thrd_create", RULE_IO, "there is one thread: send, and answer when the response comes"},
    {"dlopen", RULE_IO, "what it calls is linked into it"},
    {"printf", RULE_IO, OUTPUT},
    {"__printf_chk", RULE_IO, OUTPUT},
    {"puts", RULE_IO, OUTPUT},
    {"perror", RULE_IO, OUTPUT},
};

void imports_check(struct conform *c, const struct object *object)
{
    for (size_t v = 0; v < object->version_count; v++)
        for (size_t i = 0; i < object->versions[v].symbols.count; i++)
            for (size_t m = 0; m < sizeof misplaced / sizeof *misplaced; m++)
                if (strcmp(object->versions[v].symbols.items[i], misplaced[m].name) == 0)
                    conform_warn(c, misplaced[m].rule, "it calls %s(): %s", misplaced[m].name, misplaced[m].instead);
}
