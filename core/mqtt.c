/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes.
 *
 * Paho calls back on its own threads, under its process-wide lock. A callback takes our small lock,
 * writes down what happened (struct news, a completion), and wakes the reactor; mqtt_tick then draws
 * the conclusions. So Paho is never called from a callback, and our lock is never held around a call
 * to Paho (both dead-lock there).
 *
 * Links. One Paho handle for the life of the process. We reconnect ourselves, with backoff, one URL
 * at a time (Paho's own failover and automatic reconnect know no backoff and stop silently). State:
 * the reactor moves DOWN -> CONNECTING, Paho's threads move on from there and back to DOWN. A failed
 * round over all URLs counts as one failure; a link that lasted for reconnect_max_ms clears the count,
 * a shorter one does not: a store that refuses every commit must not make us reconnect in a circle.
 *
 * Publishing. Each PUBLISH has a struct publish, which lives until Paho has called back for it, and
 * completes exactly once: by its PUBACK, or as not acked when the link goes. Paho is made to forget it
 * as well (mqtt_ack.c), so the outbox alone sends it again. */
#include "mqtt_inside.h"

#include "backoff.h"
#include "clock.h"
#include "digest.h"
#include "log.h"
#include "metrics.h"

#include <MQTTAsync.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_MAX_MS 30000      /* how rarely to look at a quiet link */
#define CONNECT_GRACE_MS 15000 /* on top of the connect timeout, until Paho's answer is no longer believed in */

void mqtt_wake(struct mqtt *mqtt)
{
    if (mqtt->handler.wake != NULL)
        mqtt->handler.wake(mqtt->handler.context);
}

void mqtt_set_text(char **text, char *value)
{
    free(*text);
    *text = value;
}

void mqtt_drop_because(struct mqtt *mqtt, const char *reason)
{
    pthread_mutex_lock(&mqtt->lock);
    mqtt_set_text(&mqtt->cause, mem_strdup(reason));
    pthread_mutex_unlock(&mqtt->lock);
    mqtt_acks_cut(mqtt->acks);
}

void mqtt_drop(struct mqtt *mqtt)
{
    mqtt_drop_because(mqtt, "dropped by us");
}

static char *check_options(const struct mqtt_options *options)
{
    bool tls = false;
    for (size_t i = 0; i < options->url_count; i++) {
        cleanup_text char *server = mqtt_link_server(options->urls[i]);
        if (server == NULL)
            return mem_printf("%s is no mqtt:// or mqtts:// URL", options->urls[i]);
        bool this_tls = strncmp(server, "ssl:", 4) == 0;
        if (i > 0 && this_tls != tls)
            return mem_strdup("the broker URLs must be all mqtt:// or all mqtts://");
        tls = this_tls;
    }
    return options->url_count > 0 ? NULL : mem_strdup("no broker URL");
}

struct mqtt *mqtt_create(const struct mqtt_options *options, const struct mqtt_handler *handler, char **error)
{
    *error = check_options(options);
    if (*error != NULL)
        return NULL;
    struct mqtt *mqtt = mem_alloc(sizeof(*mqtt));
    mqtt->options = options;
    mqtt->handler = *handler;
    pthread_mutex_init(&mqtt->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&mqtt->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    mqtt->connected =
        metric_get(metric_family(METRIC_GAUGE, "busbar_bus_connected", "1 while the link to the broker is up.", ""));
    mqtt->reconnects = metric_get(
        metric_family(METRIC_COUNTER, "busbar_bus_reconnects_total", "Times the link to the broker came back.", ""));
    metric_set(mqtt->connected, 0);
    mqtt_subscribe_prepare(mqtt);
    int rc = mqtt_link_create(mqtt);
    if (rc != MQTTASYNC_SUCCESS) {
        *error = mem_printf("cannot create the MQTT client: %s", MQTTAsync_strerror(rc));
        mqtt_destroy(mqtt, (struct span){0}, 0);
        return NULL;
    }
    return mqtt;
}

static enum mqtt_state take_news(struct mqtt *mqtt, struct news *news)
{
    pthread_mutex_lock(&mqtt->lock);
    *news = mqtt->news;
    mqtt->news = (struct news){0};
    enum mqtt_state state = mqtt->state;
    pthread_mutex_unlock(&mqtt->lock);
    return state;
}

static void subscribed(struct mqtt *mqtt)
{
    mqtt->confirmed = true;
    mqtt_set_text(&mqtt->error, NULL);
    log_info("bus ready", "url", mqtt->options->urls[mqtt->url], NULL);
}

/* mosquitto 2.0 keeps a session over its restart but forgets the session's shared subscriptions. */
static bool must_ask_again(const struct mqtt_options *options)
{
    return options->filter_count > 0 && strncmp(options->filters[0], "$share/", 7) == 0;
}

static void opened(struct mqtt *mqtt, bool session, int64_t now_ms)
{
    const struct mqtt_options *options = mqtt->options;
    log_info("bus connected", "url", options->urls[mqtt->url], "session", session ? "resumed" : "new", NULL);
    metric_set(mqtt->connected, 1);
    if (mqtt->ever_open)
        metric_add(mqtt->reconnects, 1);
    mqtt->open = mqtt->ever_open = true;
    mqtt->opened_ms = mqtt->alive_ms = now_ms;
    mqtt->due_ms = now_ms + options->connect_timeout_ms;
    mqtt->confirmed = mqtt->confirmed && session && !must_ask_again(options);
    if (mqtt->confirmed) { /* the broker remembers; in 3.1.1 asking again would bring all retained messages again */
        pthread_mutex_lock(&mqtt->lock);
        if (mqtt->state == MQTT_SUBSCRIBING)
            mqtt->state = MQTT_READY;
        pthread_mutex_unlock(&mqtt->lock);
        subscribed(mqtt);
    } else {
        mqtt_subscribe_start(mqtt);
    }
    if (options->will_topic != NULL && options->birth_payload.len > 0)
        mqtt_publish_send(mqtt,
                          &(struct mqtt_publication){
                              .topic = options->will_topic, .payload = options->birth_payload, .retained = true},
                          0, true);
}

static void closed(struct mqtt *mqtt, const char *why, int64_t now_ms)
{
    const struct mqtt_options *options = mqtt->options;
    const char *url = options->urls[mqtt->url];
    if (!mqtt->open && strncmp(url, "mqtts:", 6) == 0 && strstr(why, "TLS") != NULL)
        log_warn(
            "bus cannot be connected", "url", url, "reason", why, "action",
            "the broker must listen there and speak TLS 1.2 or later, with a certificate that is valid now, holds the "
            "host of the url, and was issued by `bus.tls.ca` (or one the system trusts): openssl s_client -connect "
            "HOST:PORT shows it",
            NULL);
    else
        log_warn(mqtt->open ? "bus lost" : "bus cannot be connected", "url", url, "reason", why, NULL);
    mqtt_set_text(&mqtt->error, mem_printf("%s: %s", url, why));
    metric_set(mqtt->connected, 0);
    mqtt->due_ms = now_ms;
    if (!mqtt->open && mqtt->url + 1 < options->url_count) {
        mqtt->url++; /* the next one at once */
        return;
    }
    bool lasted = mqtt->open && now_ms - mqtt->opened_ms >= options->reconnect_max_ms;
    mqtt->failures = lasted ? 1 : mqtt->failures + 1;
    mqtt->due_ms +=
        backoff_delay_ms(options->reconnect_first_ms, options->reconnect_max_ms, mqtt->failures, random_unit());
    mqtt->url = 0;
    mqtt->open = false;
}

void mqtt_hurry(struct mqtt *mqtt)
{
    mqtt->failures = 0;
    if (mqtt_state(mqtt) == MQTT_DOWN)
        mqtt->due_ms = 0;
}

/* A link whose other end is gone without a word. Paho pings and should see it after two keep-alives. */
static int64_t watch_life(struct mqtt *mqtt, int64_t now_ms)
{
    unsigned packets = mqtt_acks_packets(mqtt->acks);
    if (packets != mqtt->packets)
        mqtt->alive_ms = now_ms;
    mqtt->packets = packets;
    int64_t limit_ms = 2 * mqtt->options->keep_alive_ms + 5000;
    if (now_ms - mqtt->alive_ms >= limit_ms) {
        mqtt_drop_because(mqtt, "no sign of life from the broker");
        mqtt->alive_ms = now_ms;
    }
    return mqtt->alive_ms + limit_ms - now_ms;
}

static int64_t watch_subscribing(struct mqtt *mqtt, int64_t now_ms)
{
    pthread_mutex_lock(&mqtt->lock);
    bool unanswered = mqtt->unanswered > 0;
    pthread_mutex_unlock(&mqtt->lock);
    if (now_ms >= mqtt->due_ms) {
        mqtt->due_ms = now_ms + mqtt->options->connect_timeout_ms;
        if (unanswered)
            mqtt_drop_because(mqtt, "the broker does not answer SUBSCRIBE");
        else
            mqtt_subscribe_start(mqtt); /* refused before; somebody may have changed the broker's rules */
    }
    return mqtt->due_ms - now_ms;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t mqtt_tick(struct mqtt *mqtt, int64_t now_ms)
{
    struct news news;
    enum mqtt_state state = take_news(mqtt, &news);
    if (news.opened)
        opened(mqtt, news.session, now_ms);
    if (news.subscribed && !news.closed)
        subscribed(mqtt);
    if (news.refused && !news.closed) {
        mqtt_subscribe_report(mqtt, &mqtt->error);
        mqtt->due_ms = now_ms + mqtt->options->reconnect_max_ms;
    }
    if (news.closed)
        closed(mqtt, news.why, now_ms);
    free(news.why);

    int64_t wait_ms = TICK_MAX_MS;
    switch (state) {
    case MQTT_DOWN:
        if (now_ms >= mqtt->due_ms) {
            mqtt->due_ms = now_ms + mqtt->options->connect_timeout_ms + CONNECT_GRACE_MS;
            mqtt_link_connect(mqtt);
        }
        wait_ms = mqtt->due_ms - now_ms;
        break;
    case MQTT_CONNECTING:
        if (now_ms >= mqtt->due_ms)
            mqtt_link_failed(mqtt, MQTTASYNC_FAILURE, "the MQTT library does not answer");
        wait_ms = mqtt->due_ms - now_ms;
        break;
    case MQTT_SUBSCRIBING:
        wait_ms = least(watch_subscribing(mqtt, now_ms), watch_life(mqtt, now_ms));
        break;
    case MQTT_READY:
        wait_ms = watch_life(mqtt, now_ms);
        break;
    }
    return wait_ms < 0 ? 0 : least(wait_ms, TICK_MAX_MS);
}

enum mqtt_state mqtt_state(const struct mqtt *mqtt)
{
    struct mqtt *shared = (struct mqtt *)(uintptr_t)mqtt; /* the lock is no part of what const promises */
    pthread_mutex_lock(&shared->lock);
    enum mqtt_state state = shared->state;
    pthread_mutex_unlock(&shared->lock);
    return state;
}

const char *mqtt_last_error(const struct mqtt *mqtt)
{
    return mqtt->error != NULL ? mqtt->error : "";
}

/* True when nothing is in flight any more. */
static bool drain(struct mqtt *mqtt, int64_t until_us)
{
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    pthread_mutex_lock(&mqtt->lock);
    int rc = 0;
    while (mqtt->in_flight > 0 && rc == 0)
        rc = pthread_cond_timedwait(&mqtt->changed, &mqtt->lock, &until);
    bool empty = mqtt->in_flight == 0;
    pthread_mutex_unlock(&mqtt->lock);
    return empty;
}

void mqtt_destroy(struct mqtt *mqtt, struct span farewell, int64_t timeout_ms)
{
    if (mqtt == NULL)
        return;
    if (farewell.len > 0 && mqtt->options->will_topic != NULL && mqtt_state(mqtt) >= MQTT_SUBSCRIBING) {
        const struct mqtt_publication last = {
            .topic = mqtt->options->will_topic, .payload = farewell, .retained = true};
        int64_t now_us = clock_monotonic_us();
        drain(mqtt, now_us + timeout_ms * 500);
        if (mqtt_publish_send(mqtt, &last, 0, true) != 0 || !drain(mqtt, now_us + timeout_ms * 1000))
            log_warn("the broker did not take the farewell", "topic", mqtt->options->will_topic, NULL);
    }
    if (mqtt->acks != NULL)
        mqtt_acks_shut(mqtt->acks);
    MQTTAsync_destroy(&mqtt->client); /* says DISCONNECT; the session stays */
    mqtt_acks_destroy(mqtt->acks);
    mqtt_publish_finish(mqtt);
    metric_set(mqtt->connected, 0);
    free(mqtt->subscriptions);
    free(mqtt->by_wire_id);
    free(mqtt->user);
    free(mqtt->server);
    free(mqtt->error);
    free(mqtt->cause);
    free(mqtt->news.why);
    pthread_cond_destroy(&mqtt->changed);
    pthread_mutex_destroy(&mqtt->lock);
    free(mqtt);
}
