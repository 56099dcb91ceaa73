/* A client of core/mqtt.h with a reactor around it, for tests. Include after cmocka.h. */
#ifndef BUSBAR_TEST_MQTT_BUS_H
#define BUSBAR_TEST_MQTT_BUS_H

#include "broker.h"
#include "clock.h"
#include "mqtt.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUS_NUMBERS 32768
#define BUS_DEADLINE_MS 60000

struct seen { /* a copy of the last message */
    char topic[64], payload[64], content_type[64], response_topic[64], correlation[64], user[64];
    int qos, subscription_id;
    uint32_t stale_id;
    bool retained, duplicate;
};

struct bus {
    struct mqtt_options options;
    struct mqtt *mqtt;
    const char *urls[3], *filters[4], *drops[2];
    int wakeup;

    pthread_mutex_t lock;
    size_t messages, duplicates, flushes, flushed, pending; /* flushed: messages that a flush kept */
    size_t sessions_new, sessions_resumed;
    int fail_flushes;  /* this many refuse */
    size_t fail_after; /* and only once so many messages came */
    bool die_in_flush;
    unsigned char numbers[BUS_NUMBERS]; /* payloads that are numbers: how often each was kept */
    uint16_t group[65536];
    struct seen last;
    size_t by_subscription[5];

    size_t acked, failed;
    unsigned char tokens[BUS_NUMBERS];
};

static inline void bus_copy(char *out, struct span in)
{
    size_t len = in.len < 63 ? in.len : 63;
    if (len > 0)
        memcpy(out, in.data, len);
    out[len] = '\0';
}

static void bus_message(void *context, const struct message *message)
{
    struct bus *bus = context;
    pthread_mutex_lock(&bus->lock);
    bus->messages++;
    bus->duplicates += message->duplicate;
    bus->last = (struct seen){.qos = message->qos,
                              .subscription_id = message->subscription_id,
                              .stale_id = message->stale_id,
                              .retained = message->retained,
                              .duplicate = message->duplicate};
    bus_copy(bus->last.topic, message->topic);
    bus_copy(bus->last.payload, message->payload);
    bus_copy(bus->last.content_type, message->content_type);
    bus_copy(bus->last.response_topic, message->response_topic);
    bus_copy(bus->last.correlation, message->correlation);
    if (message->user_count > 0)
        snprintf(bus->last.user, sizeof(bus->last.user), "%.*s=%.*s", (int)message->user[0].name.len,
                 message->user[0].name.data, (int)message->user[0].value.len, message->user[0].value.data);
    bus->by_subscription[message->subscription_id]++;
    char number[64];
    bus_copy(number, message->payload);
    int n = atoi(number);
    bus->group[bus->pending++] = (uint16_t)(n >= 0 && n < BUS_NUMBERS ? n : 0);
    pthread_mutex_unlock(&bus->lock);
}

static int bus_flush(void *context)
{
    struct bus *bus = context;
    pthread_mutex_lock(&bus->lock);
    if (bus->die_in_flush)
        kill(getpid(), SIGKILL);
    bool refuse = bus->fail_flushes > 0 && bus->messages >= bus->fail_after;
    if (refuse) {
        bus->fail_flushes--;
    } else {
        bus->flushes++;
        bus->flushed += bus->pending;
        for (size_t i = 0; i < bus->pending; i++)
            bus->numbers[bus->group[i]]++;
    }
    bus->pending = 0;
    pthread_mutex_unlock(&bus->lock);
    uint64_t one = 1;
    if (write(bus->wakeup, &one, sizeof(one)) < 0)
        abort();
    return refuse ? -1 : 0;
}

static void bus_wake(void *context)
{
    struct bus *bus = context;
    uint64_t one = 1;
    if (write(bus->wakeup, &one, sizeof(one)) < 0)
        abort();
}

static void bus_session(void *context, bool present)
{
    struct bus *bus = context;
    pthread_mutex_lock(&bus->lock);
    bus->sessions_new += !present;
    bus->sessions_resumed += present;
    pthread_mutex_unlock(&bus->lock);
}

/* Not connected yet: change bus->options, then bus_open. */
static inline struct bus *bus_new(const char *url, const char *client_id, const char *filter)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    if (bus == NULL)
        abort();
    pthread_mutex_init(&bus->lock, NULL);
    bus->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bus->urls[0] = url;
    bus->filters[0] = filter;
    bus->options = (struct mqtt_options){
        .urls = bus->urls,
        .url_count = 1,
        .version = 5,
        .client_id = client_id,
        .session_expiry_ms = 3600000,
        .keep_alive_ms = 60000,
        .connect_timeout_ms = 5000,
        .receive_maximum = 1024,
        .filters = bus->filters,
        .filter_count = filter != NULL,
        .drop_filters = bus->drops,
        .reconnect_first_ms = 10,
        .reconnect_max_ms = 200,
    };
    return bus;
}

static inline void bus_open(struct bus *bus)
{
    char *error = NULL;
    bus->mqtt =
        mqtt_create(&bus->options, &(struct mqtt_handler){bus, bus_message, bus_flush, bus_wake, bus_session}, &error);
    if (bus->mqtt == NULL)
        fail_msg("mqtt_create: %s", error);
}

static inline void bus_close(struct bus *bus, const char *farewell)
{
    mqtt_destroy(bus->mqtt, span_of(farewell), 5000);
    bus->mqtt = NULL;
}

static inline void bus_free(struct bus *bus)
{
    if (bus->mqtt != NULL)
        bus_close(bus, NULL);
    close(bus->wakeup);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

/* One turn of the reactor. */
static inline void bus_turn(struct bus *bus, int most_ms)
{
    int64_t wait = mqtt_tick(bus->mqtt, clock_steady_ms());
    struct pollfd ready = {.fd = bus->wakeup, .events = POLLIN};
    poll(&ready, 1, wait < most_ms ? (int)wait : most_ms);
    uint64_t count;
    if (read(bus->wakeup, &count, sizeof(count)) < 0)
        count = 0;
    struct mqtt_completion done[64];
    size_t n;
    while ((n = mqtt_collect(bus->mqtt, done, 64)) > 0)
        for (size_t i = 0; i < n; i++) {
            bus->acked += done[i].acked;
            bus->failed += !done[i].acked;
            if (done[i].token < BUS_NUMBERS)
                bus->tokens[done[i].token]++;
        }
}

/* Turns the reactor until the condition holds; the test fails at the deadline. The condition may read
 * what Paho's threads write. */
#define await(bus, condition)                                                             \
    do {                                                                                  \
        int64_t until_ms_ = clock_steady_ms() + BUS_DEADLINE_MS;                          \
        bool held_ = false;                                                               \
        while (!held_) {                                                                  \
            bus_turn(bus, 50);                                                            \
            pthread_mutex_lock(&(bus)->lock);                                             \
            held_ = (condition);                                                          \
            pthread_mutex_unlock(&(bus)->lock);                                           \
            if (!held_ && clock_steady_ms() > until_ms_)                                  \
                fail_msg("never came: %s; %s", #condition, mqtt_last_error((bus)->mqtt)); \
        }                                                                                 \
    } while (0)

#define bus_ready(bus) (mqtt_state((bus)->mqtt) == MQTT_READY)

/* How many of the numbers [0, count) were never kept. */
static inline size_t bus_missing(const struct bus *bus, size_t count)
{
    size_t missing = 0;
    for (size_t i = 0; i < count; i++)
        missing += bus->numbers[i] == 0;
    return missing;
}

/* ---- the broker of the test at hand */

static struct broker broker;

static inline int start(void **state)
{
    (void)state;
    if (access(MOSQUITTO, X_OK) != 0) {
        print_error("SKIPPED: no %s\n", MOSQUITTO);
        return 0;
    }
    broker_prepare(&broker);
    broker_start(&broker, NULL);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    if (broker.dir[0] != '\0')
        broker_stop(&broker);
    broker = (struct broker){0};
    return 0;
}

#define needs_broker()             \
    do {                           \
        if (broker.dir[0] == '\0') \
            skip();                \
    } while (0)

static inline void restart_with(const char *extra)
{
    broker_kill(&broker, SIGKILL);
    broker_start(&broker, extra);
}

static inline struct bus *ready(struct bus *bus)
{
    bus_open(bus);
    await(bus, bus_ready(bus));
    return bus;
}

static inline void publish(struct bus *bus, const char *topic, const char *payload, bool retained)
{
    size_t before = bus->acked;
    await(bus, mqtt_can_publish(bus->mqtt));
    assert_int_equal(
        mqtt_publish(bus->mqtt,
                     &(struct mqtt_publication){.topic = topic, .payload = span_of(payload), .retained = retained},
                     UINT64_MAX),
        0);
    await(bus, bus->acked > before);
}

/* Publishes the numbers [0, count) as fast as the window allows, turning `other` too when it is given. */
static inline void publish_numbers(struct bus *bus, struct bus *other, const char *topic, size_t count)
{
    size_t next = 0, from = bus->acked;
    int64_t until = clock_steady_ms() + BUS_DEADLINE_MS;
    while (bus->acked - from < count && clock_steady_ms() < until) {
        while (next < count && mqtt_can_publish(bus->mqtt)) {
            char number[24];
            snprintf(number, sizeof(number), "%zu", next);
            assert_int_equal(
                mqtt_publish(bus->mqtt,
                             &(struct mqtt_publication){.topic = topic, .payload = span_of(number), .retained = false},
                             next),
                0);
            next++;
        }
        bus_turn(bus, 50);
        if (other != NULL)
            bus_turn(other, 0);
    }
    assert_int_equal(bus->acked - from, count);
}

#define test(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
