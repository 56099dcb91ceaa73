/* The MQTT client: Eclipse Paho MQTTAsync behind one short face.
 *
 * Threads: handler->message and handler->flush run on Paho's receive thread, under Paho's lock; they
 * must not call into this module. Everything else is the reactor's. Connection changes and publish
 * completions reach the reactor through handler->wake and are collected by mqtt_collect.
 *
 * Acknowledgements are held: message() is called for each PUBLISH, then flush() when the socket has
 * nothing more or 256 wait. flush answers 0: the PUBACKs go out. Else: none goes out, the link is
 * dropped and reconnected with backoff, and the broker sends the messages again. */
#ifndef BUSBAR_MQTT_H
#define BUSBAR_MQTT_H

#include "message.h"

struct mqtt;

struct mqtt_handler {
    void *context;
    void (*message)(void *context, const struct message *message); /* Paho's thread */
    int (*flush)(void *context);                                   /* Paho's thread: commit */
    void (*wake)(void *context);                                   /* any thread: mqtt_collect has news */
    /* Paho's thread, before any message of the session. present false: the broker forgot us. */
    void (*session)(void *context, bool present);
};

struct mqtt_options {        /* borrowed until mqtt_destroy */
    const char *const *urls; /* mqtt:// or mqtts://host:port, in failover order */
    size_t url_count;
    int version;                                 /* 5 or 3 */
    const char *client_id, *username, *password; /* NULL: none */
    const char *tls_ca, *tls_cert, *tls_key;     /* NULL: the system's CAs, no client certificate */
    int64_t session_expiry_ms, keep_alive_ms, connect_timeout_ms;
    int receive_maximum;
    const char *const *filters; /* subscribe at QoS 1, $share/... included; index+1 is the subscription id */
    size_t filter_count;
    const char *const *drop_filters; /* remembered by the session, no longer wanted: unsubscribe */
    size_t drop_count;
    const char *will_topic;                  /* retained, QoS 1; NULL: none */
    struct span will_payload, birth_payload; /* birth: published retained on will_topic after each connect */
    int64_t reconnect_first_ms, reconnect_max_ms;
};

enum mqtt_state { MQTT_DOWN, MQTT_CONNECTING, MQTT_SUBSCRIBING, MQTT_READY };

struct mqtt_completion {
    uint64_t token; /* as given to mqtt_publish */
    bool acked;     /* false: the link was lost or the broker refused it; send again */
    bool lost;      /* the link was */
    int reason; /* MQTT 5's, of the PUBACK, or lost, of the broker's DISCONNECT; 0: none; negative: not the broker's */
};

/* Whether a broker that ends the link, saying that, does so for what it was sent. */
enum mqtt_blame { MQTT_BLAMES_OTHER, MQTT_MAY_BLAME, MQTT_BLAMES };
enum mqtt_blame mqtt_blame(int reason);
const char *mqtt_reason_text(int reason); /* static */

struct mqtt *mqtt_create(const struct mqtt_options *options, const struct mqtt_handler *handler, char **error);
/* Starts, reconnects, resubscribes, pings the watchdog. Call once a turn; answers ms until it wants to be called. */
int64_t mqtt_tick(struct mqtt *mqtt, int64_t now_ms);
enum mqtt_state mqtt_state(const struct mqtt *mqtt);
const char *mqtt_last_error(const struct mqtt *mqtt); /* borrowed until the next tick; "" when none */
/* True when our window (strictly below the broker's receive maximum) has room. */
bool mqtt_can_publish(const struct mqtt *mqtt);
struct mqtt_publication { /* borrowed for the call */
    const char *topic;
    struct span payload;
    bool retained, at_most_once; /* QoS 1, or 0 */
    const char *content_type;    /* NULL: none; with version 5 only, like the correlation */
    struct span correlation;     /* empty: none */
};
/* False when the broker has said that it takes no packet of that size: it would drop the link for it. */
bool mqtt_takes(const struct mqtt *mqtt, const struct mqtt_publication *publication);
/* The link is up, and the broker has answered all that we published on it, the birth too. */
bool mqtt_is_idle(const struct mqtt *mqtt);
/* Answers 0 when taken: one completion with the token follows. */
int mqtt_publish(struct mqtt *mqtt, const struct mqtt_publication *publication, uint64_t token);
/* Copies up to max completions, answers how many. */
size_t mqtt_collect(struct mqtt *mqtt, struct mqtt_completion *out, size_t max);
/* What kept it away is mended: the next tick reconnects without further backoff. */
void mqtt_hurry(struct mqtt *mqtt);
/* Drops the link (nothing acknowledged) and comes back with backoff. Any thread but Paho's. */
void mqtt_drop(struct mqtt *mqtt);
/* Publishes the last-will payload's counterpart when `farewell` is not empty, DISCONNECTs keeping the
 * session, waits at most timeout_ms, and destroys. No message or flush after it returns. */
void mqtt_destroy(struct mqtt *mqtt, struct span farewell, int64_t timeout_ms);

#endif
