/* SPDX-License-Identifier: Apache-2.0 */
#include "app.h"
#include "cmd.h"
#include "config.h"
#include "http.h"
#include "listen.h"
#include "web.h"

#include <stdio.h>

/* A certificate that does not go with its key is seen by serving with it: on a port of its own, as the configured one
 * may be another busbar's. A reload with a pair that is half renewed would end the daemon otherwise. */
static void check_pair(struct app *app)
{
    const struct config_http *config = &app->config->http;
    const char *address = config->webhooks != NULL ? config->webhooks : config->admin;
    if (config->tls.cert == NULL || config->tls.key == NULL || address == NULL)
        return;
    cleanup_text char *error = NULL;
    struct http *reactor = http_create();
    int fd = listen_open("127.0.0.1:0", &error);
    const struct web_options options = {
        .address = address, .listen_fd = fd, .tls_cert = config->tls.cert, .tls_key = config->tls.key};
    struct web *web = fd >= 0 ? web_create(&options, reactor, NULL, NULL, &error) : NULL;
    if (web == NULL)
        problems_add(&app->problems, config->tls_mark, "'tls': 'cert' and 'key' must be PEM and belong together: %s",
                     error);
    web_destroy(web);
    http_destroy(reactor);
}

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
    if (rc == 0)
        check_pair(&app);
    rc = app_report(&app) != 0 ? -1 : rc;
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
