/* SPDX-License-Identifier: Apache-2.0 */
/* core/mqtt.h against a real mosquitto: messages and their acknowledgements. With arguments the program
 * is the client that gets killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log.h"
#include "mqtt_bus.h"

static void test_mqtt_receive_brings_topic_payload_and_properties(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "props", "in/#"));
    char command[512];
    snprintf(command, sizeof(command),
             "mosquitto_pub -V 5 -p %d -q 1 -t in/a -m '{\"x\":1}' -D publish user-property site north "
             "-D publish content-type application/json -D publish response-topic back/to/me "
             "-D publish correlation-data c-17",
             broker.port);
    assert_int_equal(system(command), 0);
    await(bus, bus->flushed == 1);
    assert_string_equal(bus->last.topic, "in/a");
    assert_string_equal(bus->last.payload, "{\"x\":1}");
    assert_string_equal(bus->last.user, "site=north");
    assert_string_equal(bus->last.content_type, "application/json");
    assert_string_equal(bus->last.response_topic, "back/to/me");
    assert_string_equal(bus->last.correlation, "c-17");
    assert_int_equal(bus->last.qos, 1);
    assert_int_equal(bus->last.subscription_id, 1);
    assert_false(bus->last.retained || bus->last.duplicate);
    bus_free(bus);
}

static void test_mqtt_qos0_is_flushed_too(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "qos0", "in/#"));
    char command[128];
    snprintf(command, sizeof(command), "mosquitto_pub -p %d -q 0 -t in/a -m 1", broker.port);
    assert_int_equal(system(command), 0);
    await(bus, bus->flushed == 1);
    assert_int_equal(bus->last.qos, 0);
    bus_free(bus);
}

/* Of Paho, not in its public headers. */
void MQTTAsync_setTraceCallback(void (*callback)(int level, char *line));

static int traced;

static void count_trace(int level, char *line)
{
    (void)level, (void)line;
    traced++;
}

static void test_mqtt_paho_keeps_no_trace(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "bare", "in/#"));
    MQTTAsync_setTraceCallback(count_trace); /* how it was built, it says in any case */
    publish_numbers(bus, NULL, "in/x", 10);
    await(bus, bus->flushed >= 10);
    bus_free(bus);
    MQTTAsync_setTraceCallback(NULL);
    assert_int_equal(traced, 0);
}

static void test_mqtt_v3_1_1_receives_and_publishes(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = bus_new(broker.url, "three", "in/#");
    bus->options.version = 3;
    ready(bus);
    publish_numbers(bus, NULL, "in/x", 2000);
    await(bus, bus->flushed >= 2000);
    assert_int_equal(bus_missing(bus, 2000), 0);
    assert_int_equal(bus->last.subscription_id, 0);
    bus_free(bus);
}

/* Two copies of a message under overlapping filters say which filter each is for; the identifier
 * belongs to the filter, also when the configuration orders the filters anew. */
static void test_mqtt_subscription_ids_follow_the_filter(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = bus_new(broker.url, "ids", "o/#");
    bus->filters[1] = "o/+/t";
    bus->options.filter_count = 2;
    ready(bus);
    struct bus *peer = ready(bus_new(broker.url, "ids-peer", NULL));
    publish(peer, "o/1/t", "1", false);
    await(bus, bus->flushed == 2);
    assert_int_equal(bus->by_subscription[1], 1);
    assert_int_equal(bus->by_subscription[2], 1);
    bus_close(bus, NULL);

    publish(peer, "o/only-wide", "2", false); /* parked in the session, under the old order */
    bus->filters[0] = "o/+/t";
    bus->filters[1] = "o/#";
    ready(bus);
    await(bus, bus->flushed == 3);
    assert_int_equal(bus->last.subscription_id, 2);
    bus_free(bus);
    bus_free(peer);
}

/* What a message came for is ours, of an older configuration of ours, or of a session that knows more than we do. */
static void test_mqtt_an_identifier_that_nobody_knows(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "stale", "stale/#"));
    struct bus *peer = ready(bus_new(broker.url, "stale-peer", NULL));
    bus_close(bus, NULL);
    publish(peer, "stale/1", "1", false);
    bus->filters[0] = "other/#";
    ready(bus);
    await(bus, bus->flushed == 1);
    assert_int_equal(bus->last.subscription_id, 0);
    assert_int_not_equal(bus->last.stale_id, 0);
    bus_close(bus, NULL);

    publish(peer, "stale/1", "2", false);
    bus->drops[0] = "stale/#";
    bus->options.drop_count = 1;
    ready(bus);
    await(bus, bus->flushed == 2);
    assert_int_equal(bus->last.subscription_id, 0);
    assert_int_equal(bus->last.stale_id, 0);
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_share_gives_the_real_topic(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "share", "$share/group/s/+"));
    struct bus *peer = ready(bus_new(broker.url, "share-peer", NULL));
    publish(peer, "s/1", "1", false);
    await(bus, bus->flushed == 1);
    assert_string_equal(bus->last.topic, "s/1");
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_dropped_filters_are_unsubscribed(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = bus_new(broker.url, "drops", "keep/#");
    bus->filters[1] = "gone/#";
    bus->options.filter_count = 2;
    ready(bus);
    bus_close(bus, NULL);

    bus->options.filter_count = 1;
    bus->drops[0] = "gone/#";
    bus->options.drop_count = 1;
    ready(bus);
    assert_int_equal(bus->sessions_resumed, 1);
    publish(bus, "gone/1", "1", false);
    publish(bus, "keep/1", "2", false);
    await(bus, bus->messages > 0 && strcmp(bus->last.topic, "keep/1") == 0);
    assert_int_equal(bus->messages, 1);
    bus_free(bus);
}

/* Nothing is acknowledged that was not kept. */
static void test_mqtt_refused_flush_brings_the_messages_again(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = bus_new(broker.url, "refuse", "in/#");
    bus->fail_flushes = 1;
    bus->fail_after = 100;
    ready(bus);
    struct bus *peer = ready(bus_new(broker.url, "refuse-peer", NULL));
    publish_numbers(peer, bus, "in/x", 500);
    await(bus, bus->flushed >= 500);
    assert_int_equal(bus->fail_flushes, 0);
    assert_int_equal(bus_missing(bus, 500), 0);
    assert_true(bus->duplicates > 0);
    assert_int_equal(bus->sessions_resumed, 1);
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_refused_flush_in_a_full_group(void **state)
{
    (void)state;
    needs_broker();
    restart_with("max_inflight_messages 1000");
    struct bus *bus = ready(bus_new(broker.url, "full", "in/#"));
    bus_close(bus, NULL);
    struct bus *peer = ready(bus_new(broker.url, "full-peer", NULL));
    publish_numbers(peer, NULL, "in/x", 3000); /* waits for us in the session: groups of 256 */
    bus->fail_flushes = 3;
    ready(bus);
    await(bus, bus->flushed >= 3000);
    assert_int_equal(bus_missing(bus, 3000), 0);
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_drop_loses_nothing(void **state)
{
    (void)state;
    needs_broker();
    restart_with("max_inflight_messages 1000");
    struct bus *bus = ready(bus_new(broker.url, "drop", "in/#"));
    bus_close(bus, NULL);
    struct bus *peer = ready(bus_new(broker.url, "drop-peer", NULL));
    publish_numbers(peer, NULL, "in/x", 5000);
    bus_open(bus);
    for (int i = 0; i < 5; i++) {
        size_t more = 500 + 600 * (size_t)i;
        await(bus, bus->messages > more);
        mqtt_drop(bus->mqtt);
    }
    await(bus, bus_missing(bus, 5000) == 0);
    assert_int_equal(bus_missing(bus, 5000), 0);
    assert_true(bus->sessions_resumed > 1);
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_destroy_under_load_loses_nothing(void **state)
{
    (void)state;
    needs_broker();
    restart_with("max_inflight_messages 1000");
    struct bus *bus = ready(bus_new(broker.url, "destroy", "in/#"));
    bus_close(bus, NULL);
    struct bus *peer = ready(bus_new(broker.url, "destroy-peer", NULL));
    publish_numbers(peer, NULL, "in/x", 5000);
    for (size_t stop_at = 300; stop_at < 2000; stop_at += 500) {
        bus_open(bus);
        await(bus, bus->messages > stop_at);
        bus_close(bus, NULL);
        size_t at_return = bus->messages;
        assert_int_equal(bus->pending, 0); /* nothing stays unflushed */
        assert_int_equal(bus->messages, at_return);
    }
    bus_open(bus);
    await(bus, bus_missing(bus, 5000) == 0);
    bus_free(bus);
    bus_free(peer);
}

static void flood(const char *name, const char *extra, int version)
{
    enum { COUNT = 20000 };
    restart_with(extra);
    struct bus *bus = bus_new(broker.url, "flood", "in/#");
    bus->options.version = version;
    ready(bus);
    bus_close(bus, NULL);
    struct bus *peer = ready(bus_new(broker.url, "flood-peer", NULL));
    int64_t start_us = clock_monotonic_us();
    publish_numbers(peer, NULL, "in/x", COUNT);
    double publish_s = (double)(clock_monotonic_us() - start_us) / 1e6;
    bus_free(peer);

    bus->flushes = 0;
    bus_open(bus);
    start_us = clock_monotonic_us();
    await(bus, bus->flushed >= COUNT);
    double receive_s = (double)(clock_monotonic_us() - start_us) / 1e6;
    assert_int_equal(bus_missing(bus, COUNT), 0);
    assert_int_equal(bus->flushed, COUNT);
    print_message("%s: published %.0f/s, received %.0f/s in groups of %.1f\n", name, COUNT / publish_s,
                  COUNT / receive_s, (double)COUNT / (double)bus->flushes);
    assert_true(publish_s < 20); /* a stall at each window would be 1 s for every 20 */
    bus_free(bus);
}

static void test_mqtt_flood_with_the_brokers_defaults(void **state)
{
    (void)state;
    needs_broker();
    flood("receive maximum 20", NULL, 5);
}

static void test_mqtt_flood_is_flushed_in_groups(void **state)
{
    (void)state;
    needs_broker();
    flood("receive maximum 1000", "max_inflight_messages 1000", 5);
}

static void test_mqtt_flood_v3_1_1(void **state)
{
    (void)state;
    needs_broker();
    flood("3.1.1", "max_inflight_messages 1000", 3);
}

/* ---- the client that gets killed: this program again, with arguments */

static pid_t child(const char *client_id)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/proc/self/exe", "test_mqtt", broker.url, client_id, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static _Noreturn void child_main(const char *url, const char *client_id)
{
    struct bus *bus = bus_new(url, client_id, "in/#");
    bus->die_in_flush = true;
    bus->options.will_topic = "status/child";
    bus->options.will_payload = SPAN("offline");
    bus->options.birth_payload = SPAN("online");
    bus_open(bus);
    for (;;)
        bus_turn(bus, 1000);
}

/* Killed after the messages came, before they were durable. */
static void test_mqtt_kill_before_flush_brings_the_messages_again(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "killed", "in/#"));
    bus_close(bus, NULL);
    struct bus *peer = ready(bus_new(broker.url, "killed-peer", NULL));
    publish_numbers(peer, NULL, "in/x", 200);
    int status = 0;
    pid_t pid = child("killed");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ready(bus);
    await(bus, bus->flushed >= 200);
    assert_int_equal(bus_missing(bus, 200), 0);
    assert_true(bus->duplicates > 0);
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_kill_publishes_the_will(void **state)
{
    (void)state;
    needs_broker();
    struct bus *peer = ready(bus_new(broker.url, "will-peer", "status/#"));
    pid_t pid = child("will");
    await(peer, strcmp(peer->last.payload, "online") == 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    await(peer, strcmp(peer->last.payload, "offline") == 0);
    bus_free(peer);
}

int main(int argc, char **argv)
{
    log_open(false, getenv("TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
    if (argc == 3)
        child_main(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        test(test_mqtt_receive_brings_topic_payload_and_properties),
        test(test_mqtt_qos0_is_flushed_too),
        test(test_mqtt_paho_keeps_no_trace),
        test(test_mqtt_v3_1_1_receives_and_publishes),
        test(test_mqtt_subscription_ids_follow_the_filter),
        test(test_mqtt_an_identifier_that_nobody_knows),
        test(test_mqtt_share_gives_the_real_topic),
        test(test_mqtt_dropped_filters_are_unsubscribed),
        test(test_mqtt_refused_flush_brings_the_messages_again),
        test(test_mqtt_refused_flush_in_a_full_group),
        test(test_mqtt_drop_loses_nothing),
        test(test_mqtt_destroy_under_load_loses_nothing),
        test(test_mqtt_flood_with_the_brokers_defaults),
        test(test_mqtt_flood_is_flushed_in_groups),
        test(test_mqtt_flood_v3_1_1),
        test(test_mqtt_kill_before_flush_brings_the_messages_again),
        test(test_mqtt_kill_publishes_the_will),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("mqtt", tests, NULL, NULL);
}
