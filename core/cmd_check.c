/* SPDX-License-Identifier: Apache-2.0 */
#include "app.h"
#include "cmd.h"
#include "config.h"

#include <stdio.h>

static int run(int argc, char **argv)
{
    const char *path = NULL;
    bool defaults = false;
    struct app app;
    const struct cmd_option options[] = {{"-c", "--config", &path, NULL}, {NULL, "--defaults", NULL, &defaults}, {0}};
    int rc = cmd_options(&cmd_check, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc > 1)
        return cmd_usage(&cmd_check, "no argument is expected: the file goes behind -c");
    rc = app_load(&app, path);
    app_report(&app);
    if (rc == 0 && defaults) {
        cleanup_buf struct buf text = {0};
        config_print(app.config, &text);
        fwrite(text.data, 1, text.len, stdout);
    } else if (rc == 0) {
        printf("%s: good: %zu target%s, %zu route%s\n", app.path, app.config->target_count,
               app.config->target_count == 1 ? "" : "s", app.config->route_count,
               app.config->route_count == 1 ? "" : "s");
    }
    app_finish(&app);
    return rc == 0 ? CMD_DONE : CMD_NO;
}

const struct command cmd_check = {
    .name = "check",
    .usage = "busbar check [-c FILE] [--defaults]",
    .help = "Validates the configuration and prints every problem with file, line and column.\n"
            "\n"
            "  -c, --config FILE  the configuration\n"
            "      --defaults     prints it with all defaults filled in, secrets as ***\n"
            "\n"
            "Exit status: 0 it can be run, 1 it cannot.\n",
    .run = run,
};
