/* SPDX-License-Identifier: Apache-2.0 */
/* The connection, and the messages that come over it. Everything named on_... runs on Paho's threads,
 * under Paho's lock. */
#include "mqtt_inside.h"

#include "clock.h"

#include <MQTTAsync.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* TLS 1.2 and later, whatever the system allows: Paho can be told one version, not the least of them. */
#define CIPHERS "DEFAULT:!TLSv1.0:!SSLv3"
#define WINDOW_MAX 256 /* publishes in flight at most: Paho scans lists of this length */
/* Of Paho's queue. The window is the limit; Paho's count is never told what mqtt_acks_close drops. */
#define BUFFERED_MAX INT_MAX

static void on_open(struct mqtt *mqtt, const MQTTProperties *properties)
{
    bool session = mqtt_acks_open(mqtt->acks);
    int receive_maximum = -1, wire_ids = -1, packet_max = -1;
    if (properties != NULL) {
        MQTTProperties copy = *properties; /* Paho's getters take no const */
        receive_maximum = MQTTProperties_getNumericValue(&copy, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
        wire_ids = MQTTProperties_getNumericValue(&copy, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE);
        packet_max = MQTTProperties_getNumericValue(&copy, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE);
    }
    /* strictly below what would make Paho's send thread sleep */
    size_t limit = receive_maximum > 0 && receive_maximum < WINDOW_MAX ? (size_t)receive_maximum : WINDOW_MAX;
    pthread_mutex_lock(&mqtt->lock);
    mqtt->state = MQTT_SUBSCRIBING;
    mqtt->window = limit > 1 ? limit - 1 : 1;
    mqtt->wire_ids = wire_ids != 0;
    mqtt->packet_max = packet_max > 0 ? (size_t)packet_max : 0;
    mqtt->unanswered = mqtt->options->filter_count;
    mqtt->refused = 0;
    mqtt->news.opened = true;
    mqtt->news.session = session;
    mqtt_set_text(&mqtt->cause, NULL);
    pthread_mutex_unlock(&mqtt->lock);
    if (mqtt->handler.session != NULL)
        mqtt->handler.session(mqtt->handler.context, session);
    mqtt_wake(mqtt);
}

static void on_open3(void *context, MQTTAsync_successData *data)
{
    (void)data;
    on_open(context, NULL);
}

static void on_open5(void *context, MQTTAsync_successData5 *data)
{
    on_open(context, &data->properties);
}

/* The lock is held. why: gives */
static void close_link(struct mqtt *mqtt, char *why)
{
    mqtt->state = MQTT_DOWN;
    mqtt->news.closed = true;
    mqtt_set_text(&mqtt->news.why, why);
    mqtt_publish_fail_all(mqtt);
    pthread_cond_broadcast(&mqtt->changed);
}

static char *connect_failure(const struct mqtt *mqtt, int code, const char *message)
{
    static const char *const refusals[] = {"",
                                           "refused: unacceptable protocol version",
                                           "refused: client id rejected",
                                           "refused: server unavailable",
                                           "refused: bad user name or password",
                                           "refused: not authorized"};
    if (mqtt->cause != NULL)
        return mem_strdup(mqtt->cause);
    if (mqtt->options->version == 5 && code >= MQTTREASONCODE_UNSPECIFIED_ERROR)
        return mem_printf("refused: %s", MQTTReasonCode_toString((enum MQTTReasonCodes)code));
    if (mqtt->options->version != 5 && code > 0 && (size_t)code < sizeof(refusals) / sizeof(refusals[0]))
        return mem_strdup(refusals[code]);
    return mem_strdup(message != NULL ? message : "cannot be reached");
}

void mqtt_link_failed(struct mqtt *mqtt, int code, const char *message)
{
    mqtt_acks_opening(mqtt->acks, false);
    pthread_mutex_lock(&mqtt->lock);
    close_link(mqtt, connect_failure(mqtt, code, message));
    pthread_mutex_unlock(&mqtt->lock);
    mqtt_wake(mqtt);
}

static void on_no_link3(void *context, MQTTAsync_failureData *data)
{
    mqtt_link_failed(context, data->code, data->message);
}

static void on_no_link5(void *context, MQTTAsync_failureData5 *data)
{
    mqtt_link_failed(context, data->reasonCode != 0 ? (int)data->reasonCode : data->code, data->message);
}

static void lose_link(struct mqtt *mqtt, const char *cause)
{
    mqtt_acks_close(mqtt->acks, mqtt->client);
    pthread_mutex_lock(&mqtt->lock);
    if (mqtt->state >= MQTT_SUBSCRIBING) /* else it is known already */
        close_link(mqtt, mem_strdup(mqtt->cause != NULL ? mqtt->cause : cause));
    pthread_mutex_unlock(&mqtt->lock);
    mqtt_wake(mqtt);
}

static void on_lost(void *context, char *cause)
{
    lose_link(context, cause != NULL ? cause : "the connection broke");
}

/* MQTT 5: the broker says why before it closes. Paho closes too, and calls on_lost not any more. */
static void on_disconnect(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
    struct mqtt *mqtt = context;
    (void)properties;
    const char *text = MQTTReasonCode_toString(reason);
    pthread_mutex_lock(&mqtt->lock);
    mqtt_set_text(&mqtt->cause, mem_printf("the broker disconnected us: %s", text != NULL ? text : "?"));
    mqtt->said = (int)reason;
    pthread_mutex_unlock(&mqtt->lock);
    lose_link(mqtt, "");
}

static int on_tls_error(const char *text, size_t len, void *context)
{
    struct mqtt *mqtt = context;
    while (len > 0 && text[len - 1] == '\n')
        len--;
    pthread_mutex_lock(&mqtt->lock);
    mqtt_set_text(&mqtt->cause, mem_printf("TLS: %.*s", (int)len, text));
    pthread_mutex_unlock(&mqtt->lock);
    return 1;
}

static struct span span_of_string(MQTTLenString string)
{
    return (struct span){string.data, (size_t)string.len};
}

static void read_identifier(const struct mqtt *mqtt, uint32_t id, bool merged, struct message *message)
{
    message->subscription_id = merged ? 0 : mqtt_subscribe_filter(mqtt, id);
    bool known = merged || message->subscription_id > 0 || mqtt_subscribe_was_ours(mqtt, id);
    message->stale_id = known ? 0 : id;
}

static void read_properties(struct mqtt *mqtt, const MQTTProperties *properties, struct message *message)
{
    size_t ids = 0;
    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *property = &properties->array[i];
        struct span data = span_of_string(property->value.data);
        switch ((int)property->identifier) {
        case MQTTPROPERTY_CODE_USER_PROPERTY:
            mqtt->user = mem_grow(mqtt->user, &mqtt->user_cap, message->user_count + 1, sizeof(*mqtt->user));
            mqtt->user[message->user_count++] =
                (struct message_property){.name = data, .value = span_of_string(property->value.value)};
            break;
        case MQTTPROPERTY_CODE_CONTENT_TYPE:
            message->content_type = data;
            break;
        case MQTTPROPERTY_CODE_RESPONSE_TOPIC:
            message->response_topic = data;
            break;
        case MQTTPROPERTY_CODE_CORRELATION_DATA:
            message->correlation = data;
            break;
        case MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER: /* a broker may merge the copies of several filters */
            read_identifier(mqtt, property->value.integer4, ids++ > 0, message);
            break;
        default: /* not for us */
            break;
        }
    }
    message->user = mqtt->user;
}

/* Always 1: with 0 Paho would keep the message in memory, and call that delivered. */
static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *in)
{
    struct mqtt *mqtt = context;
    if (mqtt_acks_wants(mqtt->acks)) {
        struct message message = {
            .topic = {topic, topic_len > 0 ? (size_t)topic_len : strlen(topic)},
            .payload = {in->payload, (size_t)in->payloadlen},
            .retained = in->retained != 0,
            .duplicate = in->dup != 0,
            .qos = in->qos,
            .packet_id = in->msgid,
            .received_ms = clock_wall_ms(),
        };
        read_properties(mqtt, &in->properties, &message);
        mqtt->handler.message(mqtt->handler.context, &message);
        mqtt_acks_hold(mqtt->acks, in->qos, in->msgid);
    }
    MQTTAsync_freeMessage(&in);
    MQTTAsync_free(topic);
    return 1;
}

static int on_flush(void *context)
{
    struct mqtt *mqtt = context;
    if (mqtt->handler.flush(mqtt->handler.context) == 0)
        return 0;
    pthread_mutex_lock(&mqtt->lock);
    mqtt_set_text(&mqtt->cause, mem_strdup("messages could not be kept; the broker sends them again"));
    pthread_mutex_unlock(&mqtt->lock);
    return -1;
}

/* ---- the reactor's: Paho is called without our lock */

char *mqtt_link_server(const char *url)
{
    if (strncmp(url, "mqtt://", 7) == 0)
        return mem_printf("tcp://%s", url + 7);
    if (strncmp(url, "mqtts://", 8) == 0)
        return mem_printf("ssl://%s", url + 8);
    return NULL;
}

int mqtt_link_create(struct mqtt *mqtt)
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
    mqtt_bare();
    mqtt->acks = mqtt_acks_create(mqtt->options->version, on_flush, mqtt);
    MQTTAsync_setDisconnected(mqtt->client, mqtt, on_disconnect);
    return MQTTAsync_setCallbacks(mqtt->client, mqtt, on_lost, on_message, NULL);
}

static int seconds_of(int64_t ms, int64_t least, int64_t most)
{
    int64_t seconds = (ms + 999) / 1000;
    return (int)(seconds < least ? least : seconds > most ? most : seconds);
}

static int connect_paho(struct mqtt *mqtt)
{
    const struct mqtt_options *options = mqtt->options;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    const MQTTAsync_connectOptions connect5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    if (options->version == 5) {
        connect = connect5;
        int64_t expiry_s = (options->session_expiry_ms + 999) / 1000;
        MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
        property.value.integer4 = expiry_s > UINT32_MAX ? UINT32_MAX : (uint32_t)expiry_s;
        MQTTProperties_add(&properties, &property);
        if (options->receive_maximum > 0 && options->receive_maximum < UINT16_MAX) {
            property = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM};
            property.value.integer2 = (uint16_t)options->receive_maximum;
            MQTTProperties_add(&properties, &property);
        }
        connect.connectProperties = &properties;
        connect.onSuccess5 = on_open5;
        connect.onFailure5 = on_no_link5;
    } else {
        connect.MQTTVersion = MQTTVERSION_3_1_1;
        connect.onSuccess = on_open3;
        connect.onFailure = on_no_link3;
    }
    connect.context = mqtt;
    connect.cleansession = connect.cleanstart = 0;
    connect.keepAliveInterval = seconds_of(options->keep_alive_ms, 1, 65535);
    connect.connectTimeout = seconds_of(options->connect_timeout_ms, 1, 3600);
    connect.maxInflight = WINDOW_MAX + 1; /* Paho takes the broker's limit if that is lower */
    connect.username = options->username;
    connect.password = options->password;
    if (options->will_topic != NULL) {
        will.topicName = options->will_topic;
        will.payload.data = options->will_payload.data;
        will.payload.len = (int)options->will_payload.len;
        will.retained = 1;
        will.qos = 1;
        connect.will = &will;
    }
    if (strncmp(mqtt->server, "ssl:", 4) == 0) {
        tls.trustStore = options->tls_ca; /* NULL: OpenSSL's default, the system's */
        tls.keyStore = options->tls_cert;
        tls.privateKey = options->tls_key;
        tls.enabledCipherSuites = CIPHERS;
        tls.enableServerCertAuth = 1;
        tls.verify = 1; /* the name too */
        tls.ssl_error_cb = on_tls_error;
        tls.ssl_error_context = mqtt;
        connect.ssl = &tls;
    }
    connect.serverURIs = &mqtt->server;
    connect.serverURIcount = 1;
    int rc = MQTTAsync_connect(mqtt->client, &connect);
    MQTTProperties_free(&properties);
    return rc;
}

void mqtt_link_connect(struct mqtt *mqtt)
{
    mqtt_set_text(&mqtt->server, mqtt_link_server(mqtt->options->urls[mqtt->url]));
    pthread_mutex_lock(&mqtt->lock);
    mqtt->state = MQTT_CONNECTING;
    mqtt->said = 0;
    mqtt_set_text(&mqtt->cause, NULL);
    pthread_mutex_unlock(&mqtt->lock);
    mqtt_acks_opening(mqtt->acks, true);
    int rc = connect_paho(mqtt);
    if (rc != MQTTASYNC_SUCCESS)
        mqtt_link_failed(mqtt, rc, MQTTAsync_strerror(rc));
}
