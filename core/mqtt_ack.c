/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes.
 *
 * Paho acknowledges a QoS 1 message as soon as the callback returns, so a durable commit would have to
 * happen in every callback: one fsync a message. Here the PUBACKs of many messages wait for one commit.
 * Paho has no interface for that. It is linked statically, and the linker redirects five of its
 * functions to this file (-Wl,--wrap, see CMakeLists.txt). Their prototypes are those of Paho 1.3.9 to
 * 1.3.13:
 *
 *   MQTTPacket_send_puback   Paho's own PUBACK is swallowed; the callback has put the packet id on our list.
 *   Socket_getReadySocket    the receive thread is about to wait. When nothing is ready to be read, the
 *                            group is flushed (committed) and its PUBACKs go out. 256 messages do not
 *                            wait for that: then the flush happens in the callback.
 *   MQTTPacket_Factory       reads a packet: tells which connection it is, and is a sign of life.
 *   MQTTPacket_connack       the CONNACK's session-present bit is kept here and cleared for Paho. It then
 *                            drops its own memory of publishes in flight at each reconnect, reporting
 *                            them as failed, and does not send them again behind our back: mqtt.c has
 *                            given them back to the outbox when the connection went. (The bit matters to
 *                            Paho for nothing else: we subscribe at QoS 1, where the receiver has no state.)
 *
 * What Paho had queued and not yet written when the connection went is dropped too, with the function
 * that MQTTAsync_destroy uses (MQTTAsync_freeCommands).
 *
 * Threads and locks. Paho has one receive thread. Its callbacks run there or on the send thread, under
 * mqttasync_mutex ("Paho's lock"), and so does everything below that changes a struct mqtt_acks.
 * Socket_getReadySocket is called without that lock, takes it for the flush, and leaves it before it
 * waits. Two exceptions: MQTTPacket_send_puback may come without Paho's lock (from
 * Socket_getReadySocket, when a stuck write went through and Paho sends the PUBACKs it had queued
 * meanwhile), so it only looks at `net`, which the receive thread alone sets; and the list of clients
 * is read under either lock and changed under both. Order: Paho's lock, then
 * list_lock or Paho's lock of its command queue.
 *
 * Never acknowledged: what was not flushed, what a flush refused, what belongs to a connection that is
 * gone. A PUBACK on the list names a packet of the current connection only: opening and closing empty it.
 *
 * A connection is cut with shutdown(2): Paho reads end-of-file and reports the loss. What the kernel had
 * already received is still read, and ignored (mqtt_acks_wants), so the broker sends it again.
 *
 * TLS: what OpenSSL has read and Paho not yet, no poll of the socket tells of. Paho looks for it after each packet that
 * has a body; the answer to a ping has none, and what shares its record would lie there until more comes. So after a
 * packet without a body it is told to look again (SSLSocket_getdata). */
#include "mqtt_ack.h"

#include "buf.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define GROUP_MAX 256
/* How long the receive thread waits at most while it waits for a socket to become writable: it looks
 * at that only before it waits for something to read, so each connect would take a second. */
#define WRITABLE_POLL_MS 10

/* Of Paho, not in its public headers. */
struct net {
    int socket; /* the first member of its networkHandles; 0 when closed */
};
enum { PAHO_COMPLETE = 0, PAHO_INTERRUPTED = -22 }; /* interrupted: the rest is written when the socket allows */
extern pthread_mutex_t *mqttasync_mutex, *mqttcommand_mutex;
void MQTTAsync_freeCommands(void *client);
int Socket_noPendingWrites(int socket);
void SSLSocket_addPendingRead(int socket);
/* NOLINTBEGIN(bugprone-reserved-identifier): the names that the linker gives what it wraps */
int __real_MQTTPacket_send_puback(int version, int packet_id, struct net *net, const char *client_id);
int __wrap_MQTTPacket_send_puback(int version, int packet_id, struct net *net, const char *client_id);
int __real_Socket_getReadySocket(int more_work, int timeout_ms, pthread_mutex_t *mutex, int *rc);
int __wrap_Socket_getReadySocket(int more_work, int timeout_ms, pthread_mutex_t *mutex, int *rc);
void *__real_MQTTPacket_Factory(int version, struct net *net, int *error);
void *__wrap_MQTTPacket_Factory(int version, struct net *net, int *error);
void *__real_MQTTPacket_connack(int version, unsigned char header, char *data, size_t len);
void *__wrap_MQTTPacket_connack(int version, unsigned char header, char *data, size_t len);
char *__real_SSLSocket_getdata(void *ssl, int socket, size_t bytes, size_t *actual, int *rc);
char *__wrap_SSLSocket_getdata(void *ssl, int socket, size_t bytes, size_t *actual, int *rc);
/* NOLINTEND(bugprone-reserved-identifier) */

enum link {
    LINK_DOWN,
    LINK_UP,
    LINK_CUT, /* shut down, Paho has not noticed yet */
    LINK_SHUT /* we are leaving: stays so */
};

struct mqtt_acks {
    struct mqtt_acks *next;
    int version;
    int (*flush)(void *context);
    void *context;
    struct net *net; /* of our client at Paho, from the first CONNACK until MQTTAsync_destroy */
    enum link link;
    uint16_t *ids; /* ids[0..durable) may be sent, ids[durable..held) wait for the flush */
    size_t cap, held, durable;
    size_t fresh; /* messages handed on since the last flush, QoS 0 too */
    bool busy;    /* counted in `busy` */
    atomic_bool opening;
    atomic_uint packets;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mqtt_acks *list;
static atomic_int busy;    /* clients with something to flush or to send */
static atomic_int opening; /* clients that are connecting */

/* What the receive thread reads just now; under Paho's lock. */
static struct net *reading;
static bool session_present;

static void note_busy(struct mqtt_acks *acks)
{
    bool now = acks->fresh > 0 || acks->held > 0;
    if (now != acks->busy)
        atomic_fetch_add(&busy, now ? 1 : -1);
    acks->busy = now;
}

static void forget(struct mqtt_acks *acks)
{
    acks->held = acks->durable = 0;
    note_busy(acks);
}

static void cut(struct mqtt_acks *acks)
{
    forget(acks);
    if (acks->link != LINK_UP)
        return;
    acks->link = LINK_CUT;
    if (acks->net->socket > 0)
        shutdown(acks->net->socket, SHUT_RDWR);
}

static void set_tcp(const struct net *net, int option, int on)
{
    setsockopt(net->socket, IPPROTO_TCP, option, &on, sizeof(on));
}

/* As many as the socket takes; the rest keeps its place. Corked: one segment, not one for each. */
static void send_durable(struct mqtt_acks *acks)
{
    if (acks->link != LINK_UP || acks->durable == 0 || acks->net->socket <= 0)
        return;
    size_t sent = 0;
    int rc = PAHO_COMPLETE;
    set_tcp(acks->net, TCP_CORK, 1);
    while (sent < acks->durable && Socket_noPendingWrites(acks->net->socket)) {
        rc = __real_MQTTPacket_send_puback(acks->version, acks->ids[sent], acks->net, "");
        if (rc != PAHO_COMPLETE && rc != PAHO_INTERRUPTED)
            break;
        sent++;
    }
    set_tcp(acks->net, TCP_CORK, 0);
    if (rc != PAHO_COMPLETE && rc != PAHO_INTERRUPTED) {
        cut(acks);
        return;
    }
    acks->held -= sent;
    acks->durable -= sent;
    memmove(acks->ids, acks->ids + sent, acks->held * sizeof(*acks->ids));
}

static void flush_group(struct mqtt_acks *acks)
{
    if (acks->fresh > 0) {
        acks->fresh = 0;
        if (acks->flush(acks->context) != 0)
            cut(acks);
        acks->durable = acks->held;
    }
    send_durable(acks);
    note_busy(acks);
}

struct mqtt_acks *mqtt_acks_create(int version, int (*flush)(void *context), void *context)
{
    struct mqtt_acks *acks = mem_alloc(sizeof(*acks));
    acks->version = version == 5 ? 5 : 4;
    acks->flush = flush;
    acks->context = context;
    pthread_mutex_lock(mqttasync_mutex);
    pthread_mutex_lock(&list_lock);
    acks->next = list;
    list = acks;
    pthread_mutex_unlock(&list_lock);
    pthread_mutex_unlock(mqttasync_mutex);
    return acks;
}

void mqtt_acks_destroy(struct mqtt_acks *acks)
{
    if (acks == NULL)
        return;
    pthread_mutex_lock(mqttasync_mutex);
    pthread_mutex_lock(&list_lock);
    struct mqtt_acks **at = &list;
    while (*at != acks)
        at = &(*at)->next;
    *at = acks->next;
    pthread_mutex_unlock(&list_lock);
    bool unflushed = acks->fresh > 0;
    acks->fresh = 0;
    forget(acks);
    pthread_mutex_unlock(mqttasync_mutex);
    mqtt_acks_opening(acks, false);
    if (unflushed)
        acks->flush(acks->context); /* kept or not: the broker was told nothing and sends it again */
    free(acks->ids);
    free(acks);
}

void mqtt_acks_opening(struct mqtt_acks *acks, bool now)
{
    if (atomic_exchange(&acks->opening, now) != now)
        atomic_fetch_add(&opening, now ? 1 : -1);
}

bool mqtt_acks_open(struct mqtt_acks *acks)
{
    forget(acks);
    mqtt_acks_opening(acks, false);
    acks->net = reading;
    if (acks->link != LINK_SHUT)
        acks->link = LINK_UP;
    set_tcp(acks->net, TCP_NODELAY, 1); /* Paho writes a packet with one call */
    return session_present;
}

void mqtt_acks_close(struct mqtt_acks *acks, void *client)
{
    pthread_mutex_lock(mqttcommand_mutex);
    MQTTAsync_freeCommands(client);
    pthread_mutex_unlock(mqttcommand_mutex);
    forget(acks); /* fresh stays: the receive thread flushes what was handed on, unacknowledged */
    if (acks->link != LINK_SHUT)
        acks->link = LINK_DOWN;
}

bool mqtt_acks_wants(const struct mqtt_acks *acks)
{
    return acks->link == LINK_UP;
}

void mqtt_acks_hold(struct mqtt_acks *acks, int qos, int packet_id)
{
    acks->fresh++;
    if (qos > 0) {
        acks->ids = mem_grow(acks->ids, &acks->cap, acks->held + 1, sizeof(*acks->ids));
        acks->ids[acks->held++] = (uint16_t)packet_id;
    }
    note_busy(acks);
    if (acks->fresh >= GROUP_MAX)
        flush_group(acks);
}

void mqtt_acks_cut(struct mqtt_acks *acks)
{
    pthread_mutex_lock(mqttasync_mutex);
    cut(acks);
    pthread_mutex_unlock(mqttasync_mutex);
}

void mqtt_acks_shut(struct mqtt_acks *acks)
{
    pthread_mutex_lock(mqttasync_mutex);
    forget(acks);
    acks->link = LINK_SHUT;
    pthread_mutex_unlock(mqttasync_mutex);
}

unsigned mqtt_acks_packets(const struct mqtt_acks *acks)
{
    return atomic_load(&acks->packets);
}

int __wrap_MQTTPacket_send_puback(int version, int packet_id, struct net *net, const char *client_id)
{
    pthread_mutex_lock(&list_lock);
    const struct mqtt_acks *acks = list;
    while (acks != NULL && acks->net != net)
        acks = acks->next;
    pthread_mutex_unlock(&list_lock);
    if (acks == NULL) /* no client of ours */
        return __real_MQTTPacket_send_puback(version, packet_id, net, client_id);
    return PAHO_COMPLETE;
}

int __wrap_Socket_getReadySocket(int more_work, int timeout_ms, pthread_mutex_t *mutex, int *rc)
{
    if (atomic_load(&busy) > 0) {
        int socket = __real_Socket_getReadySocket(more_work, 0, mutex, rc);
        if (socket != 0 || *rc != 0)
            return socket;
        pthread_mutex_lock(mqttasync_mutex);
        for (struct mqtt_acks *acks = list; acks != NULL; acks = acks->next)
            flush_group(acks);
        pthread_mutex_unlock(mqttasync_mutex);
    }
    /* still busy: PUBACKs that the socket did not take */
    bool writing = atomic_load(&busy) > 0 || atomic_load(&opening) > 0;
    if (writing && timeout_ms > WRITABLE_POLL_MS)
        timeout_ms = WRITABLE_POLL_MS;
    return __real_Socket_getReadySocket(more_work, timeout_ms, mutex, rc);
}

void *__wrap_MQTTPacket_Factory(int version, struct net *net, int *error)
{
    reading = net;
    void *packet = __real_MQTTPacket_Factory(version, net, error);
    if (packet == NULL)
        return NULL;
    for (struct mqtt_acks *acks = list; acks != NULL; acks = acks->next)
        if (acks->net == net)
            atomic_fetch_add(&acks->packets, 1);
    return packet;
}

void *__wrap_MQTTPacket_connack(int version, unsigned char header, char *data, size_t len)
{
    session_present = len > 0 && (data[0] & 1) != 0;
    if (session_present)
        data[0] = (char)(data[0] & ~1);
    return __real_MQTTPacket_connack(version, header, data, len);
}

char *__wrap_SSLSocket_getdata(void *ssl, int socket, size_t bytes, size_t *actual, int *rc)
{
    if (bytes == 0)
        SSLSocket_addPendingRead(socket);
    return __real_SSLSocket_getdata(ssl, socket, bytes, actual, rc);
}
