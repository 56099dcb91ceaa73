/* SPDX-License-Identifier: Apache-2.0 */
#include "app.h"
#include "clock.h"
#include "cmd.h"
#include "handoff.h"
#include "json.h"

#include <stdio.h>

static int run(int argc, char **argv)
{
    const char *path = NULL;
    bool as_json = false;
    struct app app;
    const struct cmd_option options[] = {{"-c", "--config", &path, NULL}, {NULL, "--json", NULL, &as_json}, {0}};
    int rc = cmd_options(&cmd_handoff, &argc, argv, options);
    if (rc >= 0)
        return rc;
    if (argc > 1)
        return cmd_usage(&cmd_handoff, "no argument is expected: the file goes behind -c");
    rc = app_load(&app, path);
    app_report(&app);
    if (rc == 0) {
        cleanup_buf struct buf text = {0};
        cleanup_json struct json_object *document = handoff_document(&app, clock_wall_ms());
        if (as_json) {
            json_print(document, &text);
            buf_putc(&text, '\n');
        } else {
            handoff_print_markdown(document, &text);
        }
        fwrite(text.data, 1, text.len, stdout);
    }
    app_finish(&app);
    return rc == 0 ? CMD_DONE : CMD_NO;
}

const struct command cmd_handoff = {
    .name = "handoff",
    .usage = "busbar handoff [-c FILE] [--json]",
    .help = "Prints the integration hand-over document of a configuration, as Markdown.\n"
            "No network, no store; of a secret only its name and where it comes from.\n"
            "\n"
            "Connectors and operations in scope; credentials and modes; payload fields with a worked\n"
            "request for each route; status and priority mapping; webhooks and polls; errors and\n"
            "retries; test cases and acceptance criteria with the commands that show them.\n"
            "\n"
            "  -c, --config FILE  the configuration\n"
            "      --json         the same for programs\n",
    .run = run,
};
