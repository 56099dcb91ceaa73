/* Acknowledgements held back until what they acknowledge is durable. mqtt.c's helper, nobody else's:
 * how and why stands in mqtt_ack.c. Unless said otherwise, called from Paho's callbacks and so under
 * Paho's lock. */
#ifndef BUSBAR_MQTT_ACK_H
#define BUSBAR_MQTT_ACK_H

#include <stdbool.h>
#include <stdint.h>

struct mqtt_acks;

/* Any thread but Paho's. version: 5 or 3. flush as in mqtt.h. gives */
struct mqtt_acks *mqtt_acks_create(int version, int (*flush)(void *context), void *context);
/* Any thread but Paho's, after MQTTAsync_destroy. Flushes what was handed on and not yet flushed. */
void mqtt_acks_destroy(struct mqtt_acks *acks);

/* Any thread. Whether a connect is under way: Paho is made to look more often. */
void mqtt_acks_opening(struct mqtt_acks *acks, bool now);
/* In the connect callback: acknowledgements belong to this connection from now on. Answers whether
 * the broker still had our session (Paho is told that it never has). */
bool mqtt_acks_open(struct mqtt_acks *acks);
/* In the connection-lost callback: forget what is held, and make Paho (client: the MQTTAsync) forget
 * what it has queued, with a failure callback for each. */
void mqtt_acks_close(struct mqtt_acks *acks, void *client);
bool mqtt_acks_wants(const struct mqtt_acks *acks); /* false: do not hand this message on, the broker keeps it */
void mqtt_acks_hold(struct mqtt_acks *acks, int qos, int packet_id); /* a message was handed on */

/* Any thread but Paho's. Forgets what is held and cuts the connection. */
void mqtt_acks_cut(struct mqtt_acks *acks);
/* Any thread but Paho's. Hands on and acknowledges nothing any more; the connection stays for DISCONNECT. */
void mqtt_acks_shut(struct mqtt_acks *acks);
/* Any thread. Packets received so far: a sign of life. */
unsigned mqtt_acks_packets(const struct mqtt_acks *acks);

#endif
