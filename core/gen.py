R=lambda n: open('/tmp/mq/'+n).read()
SP='/* SPDX-License-Identifier: Apache-2.0 */\n'
ren=lambda s: (s.replace('wake(mqtt);','mqtt_wake(mqtt);').replace('set_text(','mqtt_set_text('))
# publish
comp=R('completions').split('\n',2)[2]
send=R('send').replace('static int send_publish(struct mqtt *mqtt, const char *topic, struct span payload, bool retained,\n                        const char *content_type, uint64_t token, bool own)','int mqtt_publish_send(struct mqtt *mqtt, const char *topic, struct span payload, bool retained,\n                      const char *content_type, uint64_t token, bool own)')
send=send.replace('            add_property(&message.properties, MQTTPROPERTY_CODE_CONTENT_TYPE, 0, content_type);','            add_content_type(&message.properties, content_type);')
pub=SP+'''/* Publishes in flight: see "Publishing" in mqtt.c's notes. */
#include "mqtt_inside.h"

#include <MQTTAsync.h>
#include <stdlib.h>
#include <string.h>

struct publish { /* Paho's context of one PUBLISH */
    struct publish *next, **at; /* in mqtt->publishes */
    struct mqtt *mqtt;
    uint64_t token;
    bool own;       /* birth or farewell: nobody waits for its completion */
    bool completed; /* already, when the link went */
};

/* The lock is held. */
'''+comp+'''
void mqtt_publish_fail_all(struct mqtt *mqtt)
{
    for (struct publish *publish = mqtt->publishes; publish != NULL; publish = publish->next)
        complete(publish, false, MQTTASYNC_DISCONNECTED);
}

static void add_content_type(MQTTProperties *properties, const char *type)
{
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_CONTENT_TYPE};
    property.value.data = (MQTTLenString){(int)strlen(type), (char *)(uintptr_t)type}; /* copied */
    MQTTProperties_add(properties, &property);
}

'''+send+'''
bool mqtt_can_publish(const struct mqtt *mqtt)
{
    struct mqtt *shared = (struct mqtt *)(uintptr_t)mqtt; /* the lock is no part of what const promises */
    pthread_mutex_lock(&shared->lock);
    bool can = shared->state >= MQTT_SUBSCRIBING && shared->in_flight < shared->window;
    pthread_mutex_unlock(&shared->lock);
    return can;
}

int mqtt_publish(struct mqtt *mqtt, const char *topic, struct span payload, bool retained, const char *content_type,
                 uint64_t token)
{
    if (!mqtt_can_publish(mqtt))
        return -1;
    return mqtt_publish_send(mqtt, topic, payload, retained, content_type, token, false) == 0 ? 0 : -1;
}

size_t mqtt_collect(struct mqtt *mqtt, struct mqtt_completion *out, size_t max)
{
    pthread_mutex_lock(&mqtt->lock);
    size_t count = mqtt->done_count < max ? mqtt->done_count : max;
    if (count > 0) {
        memcpy(out, mqtt->done, count * sizeof(*out));
        mqtt->done_count -= count;
        memmove(mqtt->done, mqtt->done + count, mqtt->done_count * sizeof(*out));
    }
    pthread_mutex_unlock(&mqtt->lock);
    return count;
}

void mqtt_publish_finish(struct mqtt *mqtt)
{
    while (mqtt->publishes != NULL) { /* Paho has not called back for them, and will not any more */
        struct publish *publish = mqtt->publishes;
        unlink_publish(publish);
        free(publish);
    }
    free(mqtt->done);
}
'''
pub=pub.replace('    wake(mqtt);','    mqtt_wake(mqtt);')
open('core/mqtt_publish.c','w').write(pub)

# subscribe
subs=R('subs').split('\n',2)[2]
subs=subs.replace('''            mqtt->refused++;
            mqtt->news.refused = subscription->index + 1;
            mqtt->news.refusal = reason;
''','''            mqtt->refused++;
            subscription->reason = reason;
''').replace('''        if (mqtt->unanswered == 0 && mqtt->refused == 0) {
            mqtt->state = MQTT_READY;
            mqtt->news.subscribed = true;
        }
''','''        if (mqtt->unanswered == 0)
            all_answered(mqtt);
''').replace('    bool expected = mqtt->state == MQTT_SUBSCRIBING && !subscription->answered; /* not of an older link */','''    /* Not what Paho drops of an older link. */
    bool expected =
        mqtt->state == MQTT_SUBSCRIBING && !subscription->answered && reason != MQTTASYNC_OPERATION_INCOMPLETE;''')
subs=subs.replace('        wake(mqtt);','        mqtt_wake(mqtt);').replace('static void prepare_subscriptions','void mqtt_subscribe_prepare').replace('static int filter_of_wire_id','int mqtt_subscribe_filter')
body=R('subscribe').replace('static void subscribe(struct mqtt *mqtt, bool unsubscribe_first, int64_t now_ms)','void mqtt_subscribe_start(struct mqtt *mqtt)')
body=body.replace('''        if (options->filter_count == 0)
            mqtt->state = MQTT_READY;
''','''        if (options->filter_count == 0)
            all_answered(mqtt);
''').replace('    mqtt->due_ms = now_ms + options->connect_timeout_ms;\n','').replace(' && unsubscribe_first && rc == 0',' && rc == 0')
body=body.replace('''                add_property(&response.properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, subscription->wire_id,
                             NULL);''','''                add_identifier(&response.properties, subscription->wire_id);''')
body=body.replace('''    if (rc != 0 && rc != MQTTASYNC_DISCONNECTED) {
        log_error("cannot subscribe", "reason", MQTTAsync_strerror(rc), NULL);
        mqtt_drop(mqtt);
    }''','''    if (rc != 0 && rc != MQTTASYNC_DISCONNECTED)
        mqtt_drop_because(mqtt, MQTTAsync_strerror(rc));''')
sub=SP+'''/* Subscriptions. One SUBSCRIBE packet for each filter, because in MQTT 5 a packet has one identifier:
 * with it the broker says which filter a copy of a message is for.
 *
 * On the wire the identifier is a hash of the filter, not its index. A message that the broker parked
 * in the session under an older configuration keeps its meaning that way. */
#include "mqtt_inside.h"

#include "digest.h"
#include "log.h"

#include <MQTTAsync.h>
#include <stdlib.h>

#define WIRE_ID_MAX 268435455UL /* MQTT 5: 1 to 2^28 - 1 */

struct subscription { /* Paho's context of one SUBSCRIBE */
    struct mqtt *mqtt;
    size_t index;
    uint32_t wire_id; /* 0: none */
    bool answered, granted;
    int reason;
};

/* The lock is held. */
static void all_answered(struct mqtt *mqtt)
{
    if (mqtt->refused > 0) {
        mqtt->news.refused = true;
    } else {
        mqtt->state = MQTT_READY;
        mqtt->news.subscribed = true;
    }
}

'''+subs+'''static void add_identifier(MQTTProperties *properties, uint32_t wire_id)
{
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER};
    property.value.integer4 = wire_id;
    MQTTProperties_add(properties, &property);
}

'''+body+'''
void mqtt_subscribe_report(const struct mqtt *mqtt, char **error)
{
    for (size_t i = 0; i < mqtt->options->filter_count; i++) {
        const struct subscription *subscription = &mqtt->subscriptions[i];
        if (!subscription->answered || subscription->granted)
            continue;
        const char *filter = mqtt->options->filters[i], *text = NULL;
        if (subscription->reason == 0)
            text = "QoS 0 was granted, which may lose messages";
        else if (mqtt->options->version == 5)
            text = MQTTReasonCode_toString((enum MQTTReasonCodes)subscription->reason);
        if (text == NULL)
            text = "not allowed by the broker";
        log_error("subscription refused, not ready", "filter", filter, "reason", text, NULL);
        mqtt_set_text(error, mem_printf("subscription to %s refused: %s", filter, text));
    }
}
'''
open('core/mqtt_subscribe.c','w').write(sub)

# link
link=R('link').split('\n',2)[2]
link=link.replace('''    for (struct publish *publish = mqtt->publishes; publish != NULL; publish = publish->next)
        complete(publish, false, MQTTASYNC_DISCONNECTED);
''','''    mqtt_publish_fail_all(mqtt);
''').replace('static void on_no_link(','void mqtt_link_failed(').replace('on_no_link(context','mqtt_link_failed(context')
link=ren(link)
msgs=ren(R('msgs').split('\n',2)[2]).replace('filter_of_wire_id','mqtt_subscribe_filter')
connect=R('connect')
connect=connect.replace('''        add_property(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                     expiry_s > UINT32_MAX ? UINT32_MAX : (uint32_t)expiry_s, NULL);
        if (options->receive_maximum > 0 && options->receive_maximum < UINT16_MAX)
            add_property(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, (uint32_t)options->receive_maximum, NULL);
''','''        MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
        property.value.integer4 = expiry_s > UINT32_MAX ? UINT32_MAX : (uint32_t)expiry_s;
        MQTTProperties_add(&properties, &property);
        if (options->receive_maximum > 0 && options->receive_maximum < UINT16_MAX) {
            property = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM};
            property.value.integer2 = (uint16_t)options->receive_maximum;
            MQTTProperties_add(&properties, &property);
        }
''')
connect=connect.replace('static int start_connect','static int connect_paho').replace('= WINDOW_MAX;','= WINDOW_MAX + 1; /* Paho takes the broker\'s limit if that is lower */')
server=R('server')
server=server[:server.index('static void try_connect')].replace('static char *server_of','char *mqtt_link_server')
lk=SP+'''/* The connection, and the messages that come over it. Everything named on_... runs on Paho's threads,
 * under Paho's lock. */
#include "mqtt_inside.h"

#include "clock.h"

#include <MQTTAsync.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_MAX 256    /* publishes in flight at most: Paho scans lists of this length */
#define BUFFERED_MAX 1024 /* Paho's queue, never reached: the window is smaller */

'''+link+msgs+'''/* ---- the reactor's: Paho is called without our lock */

'''+server+'''int mqtt_link_create(struct mqtt *mqtt)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.MQTTVersion = mqtt->options->version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    create.maxBufferedMessages = BUFFERED_MAX;
    char *server = mqtt_link_server(mqtt->options->urls[0]);
    int rc = MQTTAsync_createWithOptions(&mqtt->client, server, mqtt->options->client_id, MQTTCLIENT_PERSISTENCE_NONE,
                                         NULL, &create);
    free(server);
    if (rc != MQTTASYNC_SUCCESS)
        return rc;
    mqtt->acks = mqtt_acks_create(mqtt->options->version, on_flush, mqtt);
    MQTTAsync_setDisconnected(mqtt->client, mqtt, on_disconnect);
    return MQTTAsync_setCallbacks(mqtt->client, mqtt, on_lost, on_message, NULL);
}

'''+connect+'''void mqtt_link_connect(struct mqtt *mqtt)
{
    mqtt_set_text(&mqtt->server, mqtt_link_server(mqtt->options->urls[mqtt->url]));
    pthread_mutex_lock(&mqtt->lock);
    mqtt->state = MQTT_CONNECTING;
    mqtt_set_text(&mqtt->cause, NULL);
    pthread_mutex_unlock(&mqtt->lock);
    int rc = connect_paho(mqtt);
    if (rc != MQTTASYNC_SUCCESS)
        mqtt_link_failed(mqtt, rc, MQTTAsync_strerror(rc));
}
'''
open('core/mqtt_link.c','w').write(lk)

notes=R('notes')
notes=notes[:notes.index(' *\n * Subscription identifiers')]+' */\n'
main=SP+notes+'''#include "mqtt_inside.h"

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
    mqtt->connected = metric_get(
        metric_family(METRIC_GAUGE, "busbar_bus_connected", "1 while the link to the broker is up.", ""));
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
    mqtt->confirmed = mqtt->confirmed && session;
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
        mqtt_publish_send(mqtt, options->will_topic, options->birth_payload, true, NULL, 0, true);
}

static void closed(struct mqtt *mqtt, const char *why, int64_t now_ms)
{
    const struct mqtt_options *options = mqtt->options;
    const char *url = options->urls[mqtt->url];
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
    mqtt->due_ms += backoff_delay_ms(options->reconnect_first_ms, options->reconnect_max_ms, mqtt->failures, random_unit());
    mqtt->url = 0;
    mqtt->open = false;
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
        int64_t now_us = clock_monotonic_us();
        drain(mqtt, now_us + timeout_ms * 500);
        if (mqtt_publish_send(mqtt, mqtt->options->will_topic, farewell, true, NULL, 0, true) != 0 ||
            !drain(mqtt, now_us + timeout_ms * 1000))
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
'''
open('core/mqtt.c','w').write(main)
