/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions. One SUBSCRIBE packet for each filter, because in MQTT 5 a packet has one identifier:
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

static void on_subscribed(struct subscription *subscription, bool granted, int reason)
{
    struct mqtt *mqtt = subscription->mqtt;
    pthread_mutex_lock(&mqtt->lock);
    /* Not what Paho drops of an older link. */
    bool expected =
        mqtt->state == MQTT_SUBSCRIBING && !subscription->answered && reason != MQTTASYNC_OPERATION_INCOMPLETE;
    if (expected) {
        subscription->answered = true;
        subscription->granted = granted;
        mqtt->unanswered--;
        if (!granted) {
            mqtt->refused++;
            subscription->reason = reason;
        }
        if (mqtt->unanswered == 0)
            all_answered(mqtt);
    }
    bool news = expected && mqtt->unanswered == 0;
    pthread_mutex_unlock(&mqtt->lock);
    if (news)
        mqtt_wake(mqtt);
}

/* Granted QoS 0 would lose messages: as good as refused. */
static void on_subscribed3(void *context, MQTTAsync_successData *data)
{
    on_subscribed(context, data->alt.qos == 1, data->alt.qos);
}

static void on_subscribed5(void *context, MQTTAsync_successData5 *data)
{
    on_subscribed(context, data->reasonCode == MQTTREASONCODE_GRANTED_QOS_1, (int)data->reasonCode);
}

static void on_refused3(void *context, MQTTAsync_failureData *data)
{
    on_subscribed(context, false, data->code);
}

static void on_refused5(void *context, MQTTAsync_failureData5 *data)
{
    on_subscribed(context, false, data->reasonCode != 0 ? (int)data->reasonCode : data->code);
}

static uint32_t wire_id_of(const char *filter)
{
    return (uint32_t)(1 + digest_fast(span_of(filter), 0) % WIRE_ID_MAX);
}

static int by_wire_id(const void *a, const void *b)
{
    const struct subscription *x = *(const struct subscription *const *)a, *y = *(const struct subscription *const *)b;
    return (x->wire_id > y->wire_id) - (x->wire_id < y->wire_id);
}

void mqtt_subscribe_prepare(struct mqtt *mqtt)
{
    size_t count = mqtt->options->filter_count;
    mqtt->subscriptions = mem_alloc((count + 1) * sizeof(*mqtt->subscriptions));
    mqtt->by_wire_id = mem_alloc((count + 1) * sizeof(const struct subscription *));
    for (size_t i = 0; i < count; i++) {
        struct subscription *subscription = &mqtt->subscriptions[i];
        *subscription =
            (struct subscription){.mqtt = mqtt, .index = i, .wire_id = wire_id_of(mqtt->options->filters[i])};
        mqtt->by_wire_id[i] = subscription;
    }
    qsort(mqtt->by_wire_id, count, sizeof(const struct subscription *), by_wire_id);
    for (size_t i = 1; i < count; i++) /* two filters of one hash: one of them goes without, 0 is "match them all" */
        if (mqtt->by_wire_id[i]->wire_id == mqtt->by_wire_id[i - 1]->wire_id)
            mqtt->subscriptions[mqtt->by_wire_id[i]->index].wire_id = 0;
    qsort(mqtt->by_wire_id, count, sizeof(const struct subscription *), by_wire_id);
}

int mqtt_subscribe_filter(const struct mqtt *mqtt, uint32_t wire_id)
{
    const struct subscription key = {.wire_id = wire_id}, *keyp = &key;
    const struct subscription **found =
        bsearch(&keyp, mqtt->by_wire_id, mqtt->options->filter_count, sizeof(const struct subscription *), by_wire_id);
    return found == NULL || wire_id == 0 ? 0 : (int)(*found)->index + 1;
}

bool mqtt_subscribe_was_ours(const struct mqtt *mqtt, uint32_t wire_id)
{
    for (size_t i = 0; i < mqtt->options->drop_count; i++)
        if (wire_id_of(mqtt->options->drop_filters[i]) == wire_id)
            return true;
    return false;
}

static void add_identifier(MQTTProperties *properties, uint32_t wire_id)
{
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER};
    property.value.integer4 = wire_id;
    MQTTProperties_add(properties, &property);
}

void mqtt_subscribe_start(struct mqtt *mqtt)
{
    const struct mqtt_options *options = mqtt->options;
    pthread_mutex_lock(&mqtt->lock);
    bool open = mqtt->state == MQTT_SUBSCRIBING, wire_ids = mqtt->wire_ids;
    if (open) {
        mqtt->unanswered = options->filter_count;
        mqtt->refused = 0;
        for (size_t i = 0; i < options->filter_count; i++)
            mqtt->subscriptions[i].answered = mqtt->subscriptions[i].granted = false;
        if (options->filter_count == 0)
            all_answered(mqtt);
    }
    pthread_mutex_unlock(&mqtt->lock);
    int rc = open ? 0 : MQTTASYNC_DISCONNECTED;
    for (size_t i = 0; i < options->drop_count && rc == 0; i++)
        rc = MQTTAsync_unsubscribe(mqtt->client, options->drop_filters[i], NULL);
    for (size_t i = 0; i < options->filter_count && rc == 0; i++) {
        struct subscription *subscription = &mqtt->subscriptions[i];
        MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
        response.context = subscription;
        if (options->version == 5) {
            response.onSuccess5 = on_subscribed5;
            response.onFailure5 = on_refused5;
            response.subscribeOptions.retainHandling = 1; /* retained messages when the subscription is new */
            if (wire_ids && subscription->wire_id != 0)
                add_identifier(&response.properties, subscription->wire_id);
        } else {
            response.onSuccess = on_subscribed3;
            response.onFailure = on_refused3;
        }
        rc = MQTTAsync_subscribe(mqtt->client, options->filters[i], 1, &response);
        MQTTProperties_free(&response.properties);
    }
    if (rc != 0 && rc != MQTTASYNC_DISCONNECTED)
        mqtt_drop_because(mqtt, MQTTAsync_strerror(rc));
}

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
