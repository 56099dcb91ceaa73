/* SPDX-License-Identifier: Apache-2.0 */
/* What a bulk request of mobility_work costs, in CPU time of this thread: 10,000 items, a call of step at a time. A
 * call holds the thread that all targets share. Prints; judges nothing. */
#include "buf.h"
#include "host.h"
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MANY 10000
#define ROUNDS 9

static const struct bb_plugin *plugin;
static char settings[1024];

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void fill_settings(void)
{
    for (size_t i = 0; i < plugin->option_count; i++) {
        struct bb_option option;
        plugin_option(plugin, i, &option);
        if (option.type == BB_STRING || option.type == BB_JSON)
            memcpy(settings + option.offset, &option.default_value, sizeof option.default_value);
    }
}

static char *read_note(void *context, const char *key)
{
    (void)context;
    return strcmp(key, "currency") == 0 ? mem_strdup("EUR") : NULL;
}

struct bulk {
    const char *operation;
    struct bb_job job;
    struct bb_message messages[MANY];
    char bodies[MANY][320];
    struct bb_out out;
};

static double step(struct bulk *bulk, int status, const char *text, enum bb_next *next)
{
    struct bb_response response = {.size = sizeof response, .status = status, .body = {text, text ? strlen(text) : 0}};
    struct bb_in in = {.size = sizeof in,
                       .job = &bulk->job,
                       .operation = bulk->operation,
                       .messages = bulk->messages,
                       .message_size = sizeof bulk->messages[0],
                       .message_count = MANY,
                       .response = text ? &response : NULL,
                       .state = &bulk->job.state,
                       .attempt = 1};
    bulk->out = (struct bb_out){.size = sizeof bulk->out};
    const double start = cpu_ms();
    *next = plugin->step(host_table(), settings, &in, &bulk->out);
    return cpu_ms() - start;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

/* A refusal that names so many of the items. */
static char *refusal_of(size_t named)
{
    struct buf text = {0};
    buf_puts(&text, "{\"code\":\"400044\",\"message\":\"The request payload is not valid.\","
                    "\"extended_message\":{\"property_errors\":{");
    for (size_t i = 0; i < named; i++)
        buf_printf(&text, "%s\"/%zu/name\":[{\"messageKey\":\"error.payload.min_length\",\"parameters\":{\"min\":3}}]",
                   i ? "," : "", i * (MANY / named));
    buf_puts(&text, "}}}");
    buf_putc(&text, '\0');
    return text.data;
}

#define ANSWERS 3 /* accepted, three refused, all refused */

static void fill(struct bulk *bulk, const char *operation, const char *format)
{
    memset(bulk, 0, sizeof *bulk);
    bulk->operation = operation;
    job_init(&bulk->job, "mw", "mobility_work", MANY, 0);
    bulk->job.read_note = read_note;
    for (int i = 0; i < MANY; i++) {
        const int len = snprintf(bulk->bodies[i], sizeof bulk->bodies[i], format, i, i % 97);
        bulk->messages[i] =
            (struct bb_message){.id = "01a2016d", .order_id = "01a2016d", .body = {bulk->bodies[i], (size_t)len}};
    }
}

/* format: of a message, with two numbers. A wrong one is refused before it is sent. */
static void bench(const char *operation, const char *format)
{
    static struct bulk bulk;
    cleanup_text char *three = refusal_of(3), *all = refusal_of(MANY);
    const char *const texts[ANSWERS] = {"null", three, all};
    double asked[ROUNDS], answered[ANSWERS][ROUNDS] = {0};
    size_t bytes = 0;
    for (size_t i = 0; i < ANSWERS * ROUNDS; i++) {
        const size_t which = i % ANSWERS, round = i / ANSWERS;
        enum bb_next next;
        fill(&bulk, operation, format);
        asked[round] = step(&bulk, 0, NULL, &next);
        bytes = bulk.out.request.body.len;
        if (next == BB_SEND)
            answered[which][round] = step(&bulk, which == 0 ? 202 : 400, texts[which], &next);
        job_finish(&bulk.job);
    }
    printf("%-22s %6.1f ms %6.1f ms %6.1f ms %6.1f ms %6.2f MB\n", operation, median(asked), median(answered[0]),
           median(answered[1]), median(answered[2]), (double)bytes / 1e6);
}

int main(void)
{
    char *error = NULL;
    const struct loaded_plugin *loaded = loader_load("mobility_work", &error);
    if (!loaded) {
        fprintf(stderr, "%s\n", error);
        free(error);
        return 1;
    }
    plugin = &loaded->descriptor;
    fill_settings();
    printf("10,000 items          request  accepted 3 refused all refused  body\n");
    bench("spare_part.set_stock", "{\"id\":\"MW-417304e0-%d\",\"quantity\":%d}");
    bench("spare_part.create",
          "{\"externalReference\":\"BRG-%d\",\"name\":\"Bearing %d\",\"unitPrice\":19.99,\"stock\":4,"
          "\"description\":\"deep groove, sealed\",\"minimumStock\":2,\"gtin\":\"4006381333931\"}");
    bench("equipment.create",
          "{\"name\":\"Press %d\",\"itemCode\":\"P-%d\",\"description\":\"hydraulic press of line 2\","
          "\"costCenter\":\"CC-17\",\"private\":false,\"tags\":[\"hot\",\"line2\"]}");
    bench("equipment.update", "{\"id\":\"P-%d\",\"name\":\"Press number %d\",\"gtin\":null,\"tags\":[\"hot\"]}");
    printf("each wrong in three members, refused before it is sent\n");
    bench("equipment.create", "{\"name\":\"\",\"itemCode\":%d,\"nmae\":%d}");
    return 0;
}
