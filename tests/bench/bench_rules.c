/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules cost, in CPU time of this thread: topics, jq, readings, keys. Prints; judges nothing. */
#include "config.h"
#include "expr.h"
#include "json.h"
#include "log.h"
#include "route.h"
#include "topic.h"

#include <json-c/json.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define T0 INT64_C(1700000000000)

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void bench_topics(size_t filters)
{
    struct topic_trie *trie = topic_trie_create();
    char text[64];
    for (size_t i = 0; i < filters; i++) {
        snprintf(text, sizeof(text), "plant/line%zu/+/temperature", i);
        topic_trie_add(trie, text, (uint32_t)i);
    }
    uint32_t *values = NULL;
    size_t cap = 0, found = 0, rounds = 1000000;
    double start = cpu_s();
    for (size_t i = 0; i < rounds; i++) {
        int len = snprintf(text, sizeof(text), "plant/line%zu/pump/temperature", i % filters);
        found += topic_trie_match(trie, (struct span){text, (size_t)len}, &values, &cap);
    }
    double took = cpu_s() - start;
    printf("topic: %6zu filters: %4.0f ns a match (with making the topic), %zu found\n", filters,
           took * 1e9 / (double)rounds, found);
    free(values);
    topic_trie_destroy(trie);
}

static void bench_jq(int count)
{
    struct expr_set *set = expr_create();
    struct problems problems = {0};
    for (int i = 0; i < count; i++) {
        cleanup_text char *text = mem_printf(".celsius > %d and .unit == \"C\"", i);
        expr_add(set, span_of(text), (struct mark){0});
    }
    double start = cpu_s();
    if (expr_compile(set, &problems) != 0)
        abort();
    double compiled = cpu_s() - start;
    cleanup_buf struct buf reason = {0};
    int rounds = 200000, held = 0;
    start = cpu_s();
    for (int i = 0; i < rounds; i++) { /* a new payload each time: with its conversion */
        struct json_object *payload = json_parse(SPAN("{\"celsius\":71.5,\"unit\":\"C\",\"n\":1}"), NULL, NULL);
        struct expr_scope scope = {.payload = payload};
        held += expr_test(set, i % count, &scope, &reason);
        json_object_put(payload);
    }
    double took = cpu_s() - start;
    printf("jq: %4d expressions: compile %4.0f ms, %.2f us to parse a payload and ask one (%d held)\n", count,
           compiled * 1e3, took * 1e6 / rounds, held);
    expr_destroy(set);
}

static struct route_set *load(int routes, const char *trigger, const char *rest, struct config **config)
{
    char path[] = "/tmp/busbar-bench-XXXXXX";
    struct problems problems = {0};
    FILE *file = fdopen(mkstemp(path), "w");
    fprintf(file, "instance: t\nbus: {url: 'mqtt://localhost'}\nstore: {path: /tmp/unused.db}\n"
                  "targets: {mw: {plugin: mobility_work}}\nroutes:\n");
    for (int i = 0; i < routes; i++) {
        fprintf(file, "  - {name: r%d, from: 'plant/{line}/{asset}/temperature', to: mw.task.schedule, trigger: {", i);
        fprintf(file, trigger, 85 + i);
        fprintf(file, "}, %s}\n", rest);
    }
    fclose(file);
    *config = config_load(path, &problems);
    unlink(path);
    struct route_set *set = *config != NULL ? route_set_create(*config, &problems) : NULL;
    if (set == NULL) {
        cleanup_buf struct buf text = {0};
        problems_print(&problems, &text);
        fputs(text.data, stderr);
        exit(1);
    }
    return set;
}

static size_t outcomes[OUTCOME_ACCEPTED + 1];
static void count(void *context, const struct route_decision *decision)
{
    (void)context;
    outcomes[decision->outcome]++;
}

#define PAYLOAD(celsius)                                               \
    "{\"ts\":1700000000123,\"asset\":\"pump-17\",\"celsius\":" celsius \
    ",\"unit\":\"C\",\"quality\":\"good\",\"seq\":123456}"

static void bench_readings(const char *name, int routes, const char *trigger, struct span payload, int rounds)
{
    struct config *config;
    struct route_set *set = load(routes, trigger,
                                 "body: {text: 'Bearing at ${value} on ${asset}', at: '${now}', "
                                 "equipment: {type: external, value: '${asset}'}}",
                                 &config);
    struct message message = {.topic = SPAN("plant/line1/pump-17/temperature"), .payload = payload, .received_ms = T0};
    double start = cpu_s();
    for (int i = 0; i < rounds; i++) {
        route_set_evaluate(set, &message, T0 + i, count, NULL);
        route_set_commit(set);
    }
    double took = cpu_s() - start;
    printf("readings: %-44s %2d routes: %8.0f readings/s (%.2f us)\n", name, routes, rounds / took,
           took * 1e6 / rounds);
    route_set_destroy(set);
    config_destroy(config);
}

/* Each reading fires: armed and tripped in turns by two messages. */
static void bench_firings(int routes, int rounds)
{
    struct config *config;
    struct route_set *set = load(routes, "value: '${.celsius}', above: %d",
                                 "body: {text: 'Bearing at ${value} on ${asset}', "
                                 "at: '${now}', end: '${now+2h}', equipment: {type: external, value: '${asset}'}}",
                                 &config);
    struct message hot = {
        .topic = SPAN("plant/line1/pump-17/temperature"), .payload = SPAN(PAYLOAD("187.5")), .received_ms = T0};
    struct message cold = hot;
    cold.payload = SPAN(PAYLOAD("17.5"));
    double start = cpu_s();
    for (int i = 0; i < rounds; i++) {
        route_set_evaluate(set, &hot, T0 + i, count, NULL);
        route_set_evaluate(set, &cold, T0 + i, count, NULL);
        route_set_commit(set);
    }
    double took = cpu_s() - start;
    printf("firings: %d routes: %.0f firings/s, each with its mapping and a re-arming\n", routes,
           rounds * routes / took);
    route_set_destroy(set);
    config_destroy(config);
}

static void bench_keys(int routes, int keys, const char *trigger)
{
    struct config *config;
    cleanup_text char *keyed = mem_printf("%s, key: '${asset}'", trigger);
    struct route_set *set = load(routes, keyed, "body: {}", &config);
    char topic[64];
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    double start = cpu_s();
    for (int i = 0; i < keys; i++) {
        int len = snprintf(topic, sizeof(topic), "plant/l/asset-%08d/temperature", i);
        struct message message = {.topic = {topic, (size_t)len}, .payload = SPAN("1000"), .received_ms = T0};
        route_set_evaluate(set, &message, T0, count, NULL);
        route_set_commit(set);
    }
    double took = cpu_s() - start;
    size_t states = route_set_keys(set), bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("keys: %s\n", trigger);
    printf("keys: %zu states (%d keys of 14 bytes, %d routes): %.1f bytes a state, %.2f us to trip one\n", states, keys,
           routes, (double)bytes / (double)states, took * 1e6 / (double)states);
    start = cpu_s();
    for (int i = 0; i < keys; i++) {
        int len = snprintf(topic, sizeof(topic), "plant/l/asset-%08d/temperature", (int)((i * 7919L) % keys));
        struct message message = {.topic = {topic, (size_t)len}, .payload = SPAN("1000"), .received_ms = T0};
        route_set_evaluate(set, &message, T0, count, NULL);
    }
    took = cpu_s() - start;
    printf("keys: a reading of a tripped key among them: %.2f us a route\n", took * 1e6 / (double)states);
    route_set_destroy(set);
    config_destroy(config);
}

/* A reading that one route takes, among many: 10 against 10,000 routes, each on a topic of its own. */
static double bench_many_routes(int routes, int rounds)
{
    char path[] = "/tmp/busbar-bench-XXXXXX", topic[64];
    struct problems problems = {0};
    FILE *file = fdopen(mkstemp(path), "w");
    fprintf(file, "instance: t\nbus: {url: 'mqtt://localhost'}\nstore: {path: /tmp/unused.db}\n"
                  "targets: {mw: {plugin: mobility_work}}\nroutes:\n");
    for (int i = 0; i < routes; i++)
        fprintf(file,
                "  - {name: r%d, from: 'plant/line%d/{asset}/temperature', to: mw.task.schedule, trigger: {value: "
                "'${.celsius}', above: 85, key: '${asset}'}, body: {}}\n",
                i, i);
    fclose(file);
    struct config *config = config_load(path, &problems);
    unlink(path);
    struct route_set *set = route_set_create(config, &problems);
    double start = cpu_s();
    for (int i = 0; i < rounds; i++) {
        int len =
            snprintf(topic, sizeof(topic), "plant/line%d/pump-%d/temperature", (int)((i * 7919L) % routes), i % 10);
        struct message message = {.topic = {topic, (size_t)len}, .payload = SPAN(PAYLOAD("71.5")), .received_ms = T0};
        route_set_evaluate(set, &message, T0 + i, count, NULL);
        route_set_commit(set);
    }
    double took = (cpu_s() - start) * 1e6 / rounds;
    printf("routes: %6d: %.2f us a reading that one of them takes\n", routes, took);
    route_set_destroy(set);
    config_destroy(config);
    return took;
}

static void bench_route_counts(void)
{
    double few = 1e9, many = 1e9;
    for (int i = 0; i < 3; i++) { /* the least of three: the machine is not ours alone */
        double a = bench_many_routes(10, 300000), b = bench_many_routes(10000, 300000);
        few = a < few ? a : few;
        many = b < many ? b : many;
    }
    printf("routes: 10,000 cost %.2f x what 10 do\n", many / few);
}

int main(void)
{
    log_open(false, LOG_ERROR);
    bench_topics(10);
    bench_topics(10000);
    bench_jq(1);
    bench_jq(100);
    bench_jq(1000);
    bench_readings("above, value ${.celsius}", 1, "value: '${.celsius}', above: %d", SPAN(PAYLOAD("71.5")), 300000);
    bench_readings("above, value ${.celsius}", 10, "value: '${.celsius}', above: %d", SPAN(PAYLOAD("71.5")), 300000);
    bench_readings("above, value ${.celsius}, key ${line}/${asset}", 10,
                   "value: '${.celsius}', above: %d, key: '${line}/${asset}'", SPAN(PAYLOAD("71.5")), 300000);
    bench_readings("above, the payload is the number", 10, "above: %d", SPAN("71.5"), 300000);
    bench_readings("when .celsius > ..", 10, "when: '.celsius > %d'", SPAN(PAYLOAD("71.5")), 50000);
    bench_firings(10, 20000);
    bench_keys(10, 100000, "above: %d");
    bench_keys(1, 100000, "value: '${.?1}', above: %d, window: {avg: 10m}");
    bench_keys(1, 100000, "above: %d, for: 10m");
    bench_route_counts();
    return 0;
}
