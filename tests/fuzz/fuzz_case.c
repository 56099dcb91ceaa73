/* SPDX-License-Identifier: Apache-2.0 */
/* A .case file against the test plugin `good` (PLUGIN): it is run, or the report says what is wrong with it. */
#include "fuzz.h"

#include "cases.h"
#include "loader.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct loaded_plugin *plugin;
    char *error = NULL, path[32];
    if (plugin == NULL) {
        log_open(false, LOG_ERROR);
        plugin = loader_load(PLUGIN, &error);
        HOLDS(plugin != NULL);
    }
    int fd = fuzz_file((struct span){(const char *)data, size}, path);
    cleanup_buf struct buf report = {0};
    struct cases_result result = {0};
    int rc = cases_run(plugin, path, false, &report, &result);
    close(fd);
    HOLDS(result.failed <= result.cases);
    HOLDS((rc == 0 && result.failed == 0) || report.len > 0);
    return 0;
}
