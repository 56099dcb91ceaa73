/* SPDX-License-Identifier: Apache-2.0 */
/* How many requests the HTTP client carries, and what one costs.
 *
 *   bench_http URL [requests] [concurrency]      (a sink answers; see bench_sink.c)
 *
 * Prints one JSON line. The CPU time is this process's own, so it compares across busy machines. */
#include "http.h"

#include "clock.h"
#include "number.h"

#include <stdio.h>
#include <sys/resource.h>

struct run {
    struct http *http;
    struct http_request request;
    int64_t to_send, open, answered, failed;
};

static void next(void *context, const struct http_result *result)
{
    struct run *run = context;
    if (result) {
        run->open--;
        if (result->failure == HTTP_OK && result->status / 100 == 2)
            run->answered++;
        else
            run->failed++;
    }
    if (run->to_send > 0) {
        run->to_send--;
        run->open++;
        http_send(run->http, &run->request, next, run);
    }
}

static double cpu_us(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    int64_t requests = 100000, concurrency = 64;
    if (argc < 2 || argc > 4 || (argc > 2 && !number_parse_int(span_of(argv[2]), 1, INT64_C(1000000000), &requests)) ||
        (argc > 3 && !number_parse_int(span_of(argv[3]), 1, 128, &concurrency))) {
        fprintf(stderr, "usage: bench_http URL [requests] [concurrency]\n");
        return 2;
    }
    const struct http_header headers[] = {{"Authorization", SPAN("Bearer 0123456789abcdef")},
                                          {"Content-Type", SPAN("application/json")},
                                          {"Accept", SPAN("application/json")}};
    struct run run = {.http = http_create(), .to_send = requests};
    run.request = (struct http_request){
        .method = "POST",
        .url = argv[1],
        .body = SPAN("{\"equipment\":{\"type\":\"external\",\"value\":\"pump-7\"},\"description\":\"Bearing at 91.5 on "
                     "pump-7 (line 3)\",\"startDateTime\":\"2025-01-01T00:00:00.000Z\",\"allDay\":false}"),
        .headers = headers,
        .header_count = 3,
    };
    int64_t start_us = clock_monotonic_us();
    double cpu_start = cpu_us();
    for (int64_t i = 0; i < concurrency; i++)
        next(&run, NULL);
    while (run.open > 0)
        http_turn(run.http, 1000);
    double seconds = (double)(clock_monotonic_us() - start_us) / 1e6;
    printf("{\"requests\": %lld, \"failed\": %lld, \"concurrency\": %lld, \"seconds\": %.3f, \"per_second\": %.0f, "
           "\"cpu_us_per_request\": %.1f}\n",
           (long long)run.answered, (long long)run.failed, (long long)concurrency, seconds,
           (double)run.answered / seconds, (cpu_us() - cpu_start) / (double)requests);
    http_destroy(run.http);
    return run.failed > 0;
}
