/* A target of the test plugin good, its options given by hand, and what is asked of it. */
#ifndef BUSBAR_TARGET_FIXTURE_H
#define BUSBAR_TARGET_FIXTURE_H

#include "unit.h"

#include "loader.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* The config struct of tests/plugins/good.c. */
struct good_config {
    const char *site;
    bool fast;
    int64_t floor;
    double factor;
    int64_t patience_ms;
    const char *codes;
};

static struct fixture {
    struct config_target config;
    struct config_option options[8];
    struct config_mode_entry modes[2];
    struct config_secret secret;
    const struct loaded_plugin *plugin;
    struct problems problems;
    struct target *target;
    struct bb_job job;
    struct http_request request;
    const char *error;
} f;

static inline void give(const char *name, const char *text)
{
    struct config_option *option = &f.options[f.config.option_count++];
    *option = (struct config_option){.name = TEXT(name), .text = TEXT(text), .mark = {"busbar.yaml", 7, 3}};
}

static inline int setup(void **state)
{
    (void)state;
    f = (struct fixture){0};
    char *path cleanup_text = mem_printf("%s/tests/plugins/good.so", getenv("TEST_BUILD_DIR"));
    char *error cleanup_text = NULL;
    f.plugin = loader_load(path, &error);
    assert_non_null(f.plugin);
    f.secret.secret = TEXT("hook-secret");
    f.config = (struct config_target){.name = TEXT("t"),
                                      .mark = {"busbar.yaml", 5, 1},
                                      .options = f.options,
                                      .modes = f.modes,
                                      .webhook_secrets = &f.secret,
                                      .webhook_secret_count = 1};
    give("api_key", "s3cret-key");
    give("site", "Factory Inc.");
    job_init(&f.job, "t", "good", 1, 0);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    target_destroy(f.target);
    problems_finish(&f.problems);
    job_finish(&f.job);
    return 0;
}

static inline void create(void)
{
    f.target = target_create(&f.config, f.plugin, &f.problems);
}

static inline void created(void)
{
    create();
    struct buf text cleanup_buf = {0};
    problems_print(&f.problems, &text);
    if (!f.target || f.problems.count)
        fail_msg("%s", text.data);
}

static inline void says(const char *what)
{
    struct buf text cleanup_buf = {0};
    problems_print(&f.problems, &text);
    if (!text.data || !strstr(text.data, what))
        fail_msg("\"%s\" does not say \"%s\"", text.data, what);
}

static inline void refused(const char *what)
{
    create();
    assert_null(f.target);
    says(what);
}

/* Auth of the target's own stands for the plugin's secret, which is then not asked for. */
static inline void own_auth(struct config_auth auth)
{
    f.config.option_count = 0;
    give("site", "Factory Inc.");
    auth.mark = (struct mark){"busbar.yaml", 6, 3};
    f.config.auth = auth;
}

static inline struct loaded_plugin copy_of_good(void)
{
    return (struct loaded_plugin){.descriptor = f.plugin->descriptor, .path = f.plugin->path};
}

static inline int ask(struct bb_request request)
{
    return target_request(f.target, &f.job, &request, &f.request, &f.error);
}

static inline const struct http_header *sent_header(const char *name)
{
    for (size_t i = 0; i < f.request.header_count; i++)
        if (strcmp(f.request.headers[i].name, name) == 0)
            return &f.request.headers[i];
    return NULL;
}

static inline void request_refused(struct bb_request request, const char *reason)
{
    assert_int_equal(ask(request), -1);
    if (!strstr(f.error, reason))
        fail_msg("\"%s\" does not say \"%s\"", f.error, reason);
}

static inline void header_refused(const char *name, struct bb_str value, const char *reason)
{
    const struct bb_header header = {name, value};
    request_refused((struct bb_request){.method = "GET", .path = "/", .headers = &header, .header_count = 1}, reason);
}

#endif
