/* What the files of the MQTT client share: mqtt.c (its face, the reactor's turn), mqtt_link.c
 * (connecting, messages), mqtt_subscribe.c, mqtt_publish.c, mqtt_bare.c. Nobody else includes this; the design
 * notes stand in mqtt.c. */
#ifndef BUSBAR_MQTT_INSIDE_H
#define BUSBAR_MQTT_INSIDE_H

#include "mqtt.h"

#include "mqtt_ack.h"

#include <pthread.h>

struct metric;
struct publish;
struct subscription;

struct news { /* from Paho's threads to the next tick */
    bool opened, session, subscribed, refused, closed;
    char *why; /* the link closed, or did not open */
};

struct mqtt {
    const struct mqtt_options *options;
    struct mqtt_handler handler;
    void *client; /* MQTTAsync */
    struct mqtt_acks *acks;
    struct subscription *subscriptions; /* by filter */
    const struct subscription **by_wire_id;
    struct metric *connected, *reconnects;

    /* The reactor's. */
    size_t url;
    char *server;                    /* options->urls[url] as Paho writes it */
    int failures;                    /* rounds over all URLs, and links that did not last */
    bool open, ever_open, confirmed; /* confirmed: the session knows all filters and none of the dropped */
    int64_t due_ms;                  /* DOWN: connect; CONNECTING, SUBSCRIBING: the answer is overdue, or ask again */
    int64_t opened_ms, alive_ms;
    unsigned packets;
    char *error;

    /* Paho's receive thread's. */
    struct message_property *user;
    size_t user_cap;

    /* Shared. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* in_flight fell */
    enum mqtt_state state;
    struct news news;
    char *cause; /* what is known of why the link will go: from us, the broker or OpenSSL */
    int said;    /* the reason in the broker's DISCONNECT, 0: none */
    bool wire_ids;
    size_t unanswered, refused; /* filters */
    size_t window, in_flight;   /* publishes */
    size_t packet_max;          /* what the broker takes at most, 0: anything */
    struct publish *publishes;
    struct mqtt_completion *done;
    size_t done_count, done_cap;
};

void mqtt_wake(struct mqtt *mqtt);
void mqtt_set_text(char **text, char *value); /* takes value, frees the old one */
void mqtt_drop_because(struct mqtt *mqtt, const char *reason);

/* mqtt_bare.c: once a Paho handle is there */
void mqtt_bare(void);

/* mqtt_link.c */
int mqtt_link_create(struct mqtt *mqtt); /* the Paho handle; 0, or Paho's rc */
void mqtt_link_connect(struct mqtt *mqtt);
void mqtt_link_failed(struct mqtt *mqtt, int code, const char *message);
char *mqtt_link_server(const char *url); /* gives Paho's spelling; NULL when it is no mqtt URL */

/* mqtt_subscribe.c */
void mqtt_subscribe_prepare(struct mqtt *mqtt);
void mqtt_subscribe_start(struct mqtt *mqtt);                            /* unsubscribes the dropped, subscribes all */
void mqtt_subscribe_report(const struct mqtt *mqtt, char **error);       /* logs the refused filters */
int mqtt_subscribe_filter(const struct mqtt *mqtt, uint32_t wire_id);    /* index+1, or 0 */
bool mqtt_subscribe_was_ours(const struct mqtt *mqtt, uint32_t wire_id); /* of a dropped filter */

/* mqtt_publish.c */
/* own: without a completion */
int mqtt_publish_send(struct mqtt *mqtt, const struct mqtt_publication *publication, uint64_t token, bool own);
void mqtt_publish_fail_all(struct mqtt *mqtt); /* the link went; the lock is held */
void mqtt_publish_finish(struct mqtt *mqtt);

#endif
