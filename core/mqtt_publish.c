/* SPDX-License-Identifier: Apache-2.0 */
/* Publishes in flight: see "Publishing" in mqtt.c's notes. */
#include "mqtt_inside.h"

#include <MQTTAsync.h>
#include <stdlib.h>
#include <string.h>

struct publish {                /* Paho's context of one PUBLISH */
    struct publish *next, **at; /* in mqtt->publishes */
    struct mqtt *mqtt;
    uint64_t token;
    bool own;       /* birth or farewell: nobody waits for its completion */
    bool completed; /* already, when the link went */
};

/* The lock is held. */
static void complete(struct publish *publish, struct mqtt_completion how)
{
    struct mqtt *mqtt = publish->mqtt;
    if (publish->completed)
        return;
    publish->completed = true;
    mqtt->in_flight--;
    if (!publish->own) {
        mqtt->done = mem_grow(mqtt->done, &mqtt->done_cap, mqtt->done_count + 1, sizeof(*mqtt->done));
        how.token = publish->token;
        mqtt->done[mqtt->done_count++] = how;
    }
    pthread_cond_broadcast(&mqtt->changed);
}

static void unlink_publish(struct publish *publish)
{
    *publish->at = publish->next;
    if (publish->next != NULL)
        publish->next->at = publish->at;
}

static void on_published(struct publish *publish, bool acked, int reason)
{
    struct mqtt *mqtt = publish->mqtt;
    pthread_mutex_lock(&mqtt->lock);
    complete(publish, (struct mqtt_completion){.acked = acked, .lost = !acked && reason <= 0, .reason = reason});
    unlink_publish(publish);
    pthread_mutex_unlock(&mqtt->lock);
    free(publish);
    mqtt_wake(mqtt);
}

static void on_published3(void *context, MQTTAsync_successData *data)
{
    (void)data;
    on_published(context, true, 0);
}

static void on_published5(void *context, MQTTAsync_successData5 *data)
{
    on_published(context, true, (int)data->reasonCode);
}

static void on_unpublished3(void *context, MQTTAsync_failureData *data)
{
    on_published(context, false, data->code);
}

static void on_unpublished5(void *context, MQTTAsync_failureData5 *data)
{
    on_published(context, false, data->reasonCode != 0 ? (int)data->reasonCode : data->code);
}

void mqtt_publish_fail_all(struct mqtt *mqtt)
{
    int reason = mqtt->said != 0 ? mqtt->said : mqtt->cause != NULL ? MQTTASYNC_DISCONNECTED : 0;
    for (struct publish *publish = mqtt->publishes; publish != NULL; publish = publish->next)
        complete(publish, (struct mqtt_completion){.lost = true, .reason = reason});
}

enum mqtt_blame mqtt_blame(int reason)
{
    switch (reason) {
    case MQTTREASONCODE_MALFORMED_PACKET:
    case MQTTREASONCODE_PROTOCOL_ERROR:
    case MQTTREASONCODE_TOPIC_NAME_INVALID:
    case MQTTREASONCODE_PACKET_TOO_LARGE:
    case MQTTREASONCODE_PAYLOAD_FORMAT_INVALID:
    case MQTTREASONCODE_RETAIN_NOT_SUPPORTED:
    case MQTTREASONCODE_QOS_NOT_SUPPORTED:
        return MQTT_BLAMES;
    case 0: /* 3.1.1 knows no other; so ends a broker that dies */
    case MQTTREASONCODE_UNSPECIFIED_ERROR:
    case MQTTREASONCODE_IMPLEMENTATION_SPECIFIC_ERROR:
    case MQTTREASONCODE_NOT_AUTHORIZED: /* on that topic, or any more */
        return MQTT_MAY_BLAME;
    default:
        return MQTT_BLAMES_OTHER;
    }
}

const char *mqtt_reason_text(int reason)
{
    const char *text = reason > 0 ? MQTTReasonCode_toString((enum MQTTReasonCodes)reason) : NULL;
    return text != NULL ? text : "it gives no reason";
}

static void add_properties(MQTTProperties *properties, const struct mqtt_publication *publication)
{
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_CONTENT_TYPE}; /* all is copied */
    const char *type = publication->content_type;
    if (type != NULL) {
        property.value.data = (MQTTLenString){(int)strlen(type), (char *)(uintptr_t)type};
        MQTTProperties_add(properties, &property);
    }
    property.identifier = MQTTPROPERTY_CODE_CORRELATION_DATA;
    if (publication->correlation.len > 0) {
        property.value.data =
            (MQTTLenString){(int)publication->correlation.len, (char *)(uintptr_t)publication->correlation.data};
        MQTTProperties_add(properties, &property);
    }
}

int mqtt_publish_send(struct mqtt *mqtt, const struct mqtt_publication *publication, uint64_t token, bool own)
{
    struct publish *publish = mem_alloc(sizeof(*publish));
    publish->mqtt = mqtt;
    publish->token = token;
    publish->own = own;
    pthread_mutex_lock(&mqtt->lock);
    publish->next = mqtt->publishes;
    publish->at = &mqtt->publishes;
    if (publish->next != NULL)
        publish->next->at = &publish->next;
    mqtt->publishes = publish;
    mqtt->in_flight++;
    pthread_mutex_unlock(&mqtt->lock);

    MQTTAsync_message message = MQTTAsync_message_initializer;
    message.payload = (char *)(uintptr_t)publication->payload.data; /* copied */
    message.payloadlen = (int)publication->payload.len;
    message.qos = publication->at_most_once ? 0 : 1;
    message.retained = publication->retained;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = publish;
    if (mqtt->options->version == 5) {
        response.onSuccess5 = on_published5;
        response.onFailure5 = on_unpublished5;
        add_properties(&message.properties, publication);
    } else {
        response.onSuccess = on_published3;
        response.onFailure = on_unpublished3;
    }
    int rc = MQTTAsync_sendMessage(mqtt->client, publication->topic, &message, &response);
    MQTTProperties_free(&message.properties);
    if (rc == MQTTASYNC_SUCCESS)
        return 0; /* publish may be gone already */

    pthread_mutex_lock(&mqtt->lock); /* Paho does not call back for what it did not take */
    if (publish->completed)
        rc = 0; /* the link went meanwhile, its completion is on its way */
    else
        mqtt->in_flight--;
    unlink_publish(publish);
    pthread_mutex_unlock(&mqtt->lock);
    free(publish);
    return rc;
}

bool mqtt_can_publish(const struct mqtt *mqtt)
{
    struct mqtt *shared = (struct mqtt *)(uintptr_t)mqtt; /* the lock is no part of what const promises */
    pthread_mutex_lock(&shared->lock);
    bool can = shared->state >= MQTT_SUBSCRIBING && shared->in_flight < shared->window;
    pthread_mutex_unlock(&shared->lock);
    return can;
}

bool mqtt_is_idle(const struct mqtt *mqtt)
{
    struct mqtt *shared = (struct mqtt *)(uintptr_t)mqtt; /* as above */
    pthread_mutex_lock(&shared->lock);
    bool idle = shared->state == MQTT_READY && shared->in_flight == 0;
    pthread_mutex_unlock(&shared->lock);
    return idle;
}

#define PACKET_REST 64 /* more than the fixed header, the lengths, the packet id and the properties' names need */

bool mqtt_takes(const struct mqtt *mqtt, const struct mqtt_publication *publication)
{
    struct mqtt *shared = (struct mqtt *)(uintptr_t)mqtt; /* as above */
    size_t type = publication->content_type != NULL ? strlen(publication->content_type) : 0;
    size_t size =
        strlen(publication->topic) + publication->payload.len + type + publication->correlation.len + PACKET_REST;
    pthread_mutex_lock(&shared->lock);
    bool takes = shared->packet_max == 0 || size <= shared->packet_max;
    pthread_mutex_unlock(&shared->lock);
    return takes;
}

int mqtt_publish(struct mqtt *mqtt, const struct mqtt_publication *publication, uint64_t token)
{
    if (!mqtt_can_publish(mqtt))
        return -1;
    return mqtt_publish_send(mqtt, publication, token, false) == 0 ? 0 : -1;
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
