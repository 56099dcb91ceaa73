/* SPDX-License-Identifier: Apache-2.0 */
/* What the core itself reads of HTTP answers, with the test plugin `good` (PLUGIN): a token's answer never becomes a
 * header of two lines, every status has its verdict, and Retry-After is a time from now on. Two bytes of a status, a
 * header ended by NUL, the body. What plugins read: fuzz_plugin.c. */
#include "fuzz.h"

#include "clock.h"
#include "host.h"
#include "http.h"
#include "loader.h"
#include "log.h"
#include "target.h"

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static struct target *target;

static void open_target(void)
{
    static struct config_option site = {.name = TEXT("site"), .text = TEXT("Factory Inc.")};
    static struct config_target config;
    struct problems problems = {0};
    char *error = NULL;
    const struct loaded_plugin *plugin = loader_load(PLUGIN, &error);
    HOLDS(plugin != NULL);
    config = (struct config_target){.name = TEXT("t"),
                                    .options = &site,
                                    .option_count = 1,
                                    .auth = {.kind = AUTH_OAUTH2,
                                             .oauth2 = {.token_url = TEXT("https://id.example/token"),
                                                        .client_id = TEXT("i"),
                                                        .client_secret = TEXT("s")}}};
    target = target_create(&config, plugin, &problems);
    HOLDS(target != NULL);
    problems_finish(&problems);
}

static void take_token(int status, struct span body)
{
    const char *why = NULL;
    if (!target_take_token(target, status, body, 1700000000000, &why)) {
        HOLDS(why != NULL);
        return;
    }
    HOLDS(why == NULL && strncmp(target->auth_value, "Bearer ", 7) == 0 && target->auth_value[7] != '\0');
    for (const char *at = target->auth_value + 7; *at != '\0'; at++)
        HOLDS(*at > 0x20 && *at < 0x7f);
    HOLDS(target_token_number(target) > 0);
}

static void judge(int status, struct span header, struct span body)
{
    struct bb_job job;
    struct bb_out out = {.size = sizeof(out)};
    const struct bb_header headers[] = {{"retry-after", {header.data, header.len}}};
    const struct bb_response response = {.size = sizeof(response),
                                         .status = status,
                                         .body = {body.data, body.len},
                                         .headers = headers,
                                         .header_count = 1};
    job_init(&job, "t", "good", 1, 0);
    enum bb_next next = host_judge(&job, &response, &out);
    HOLDS(next != BB_SEND);
    HOLDS(next == BB_DONE ? status >= 200 && status < 300 : out.error.code != NULL && out.error.message != NULL);
    job_finish(&job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = {(const char *)data, size};
    int64_t delay_ms = 0;
    if (target == NULL) {
        log_open(false, LOG_ERROR);
        open_target();
    }
    int status = fuzz_byte(&rest) << 8;
    status |= fuzz_byte(&rest);
    struct span header = fuzz_part(&rest);
    HOLDS(!http_parse_retry_after(header, 1700000000000, &delay_ms) || delay_ms >= 0);
    take_token(status, rest);
    judge(status, header, rest);
    return 0;
}
