/* The house put together from a configuration: plugins loaded, targets opened, routes compiled, and
 * all of it checked against each other. What `check`, `try` and `run` begin with. */
#ifndef BUSBAR_APP_H
#define BUSBAR_APP_H

#include "problems.h"

struct config;
struct route_set;
struct target;

struct app {
    struct config *config;
    struct target **targets;
    size_t target_count;
    struct route_set *routes;
    struct problems problems;
    char *path;
};

/* path NULL: found by the usual rules. 0 when it can be run; the problems hold warnings too. */
int app_load(struct app *app, const char *path);
void app_finish(struct app *app);
/* Prints problems to stderr; answers 0 when there are no errors. */
int app_report(const struct app *app);
/* The processes of isolated plugins, started anew as this one has become: its user, what it gave up. 0, or -1: logged
 */
int app_renew_plugins(const struct app *app);
struct target *app_target(const struct app *app, const char *name);

#endif
