/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher of the benches: MQTT 3.1.1 on a plain socket, QoS 1, as fast as the broker acknowledges, or RATE
 * messages per second.
 *
 *   bench_publish PORT TOPIC COUNT [WINDOW [RATE]]
 *
 * In TOPIC, %d is the machine, one of 1000 in turn: plant/line-1/m%d/job. The payload is a reading of
 * about 150 bytes that stays between 60 and 80 degrees. At most WINDOW (1000) wait for their PUBACK.
 * Prints the seconds until the last one. Paho would cost several times the CPU, on the cores that are measured. */
#include "buf.h"
#include "clock.h"
#include "number.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PACKET_IDS = 65535,
    BURST_BYTES = 65536,
    MACHINES = 1000,
    CONNECT = 0x10,
    CONNACK = 0x20,
    PUBLISH_QOS1 = 0x32,
    PUBACK = 0x40,
    DISCONNECT = 0xe0
};

struct publisher {
    int fd;
    const char *topic; /* before %d */
    const char *topic_rest;
    int64_t count, window, sent, acked;
    int64_t rate, start_us; /* per second; 0: as fast as may be */
    struct buf out;
    size_t out_sent;
    unsigned char in[BURST_BYTES];
    size_t in_len;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_publish: %s\n", what);
    exit(1);
}

static void put_number(struct buf *out, size_t value)
{
    buf_putc(out, (char)(value >> 8));
    buf_putc(out, (char)(value & 0xff));
}

static void put_head(struct buf *out, int type, size_t len)
{
    buf_putc(out, (char)type);
    for (; len > 127; len >>= 7)
        buf_putc(out, (char)((len & 127) | 128));
    buf_putc(out, (char)len);
}

static void connect_broker(struct publisher *p, int64_t port)
{
    static const unsigned char connect_rest[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2 /* clean session */, 0, 0, 0, 0};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("cannot connect");
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct buf hello = {0};
    put_head(&hello, CONNECT, sizeof(connect_rest));
    buf_append(&hello, connect_rest, sizeof(connect_rest));
    unsigned char answer[4];
    if (send(p->fd, hello.data, hello.len, MSG_NOSIGNAL) != (ssize_t)hello.len ||
        recv(p->fd, answer, sizeof(answer), MSG_WAITALL) != sizeof(answer) || answer[0] != CONNACK || answer[3] != 0)
        die("the broker refused us");
    buf_finish(&hello);
}

static void put_publish(struct publisher *p, int64_t i)
{
    char topic[256], payload[256];
    int topic_len = snprintf(topic, sizeof(topic), "%s%d%s", p->topic, (int)(i % MACHINES), p->topic_rest);
    int payload_len =
        snprintf(payload, sizeof(payload),
                 "{\"celsius\":%d.%d,\"ts\":%lld,\"quality\":\"good\",\"sensor\":\"bearing-2\",\"seq\":%lld,"
                 "\"note\":\"measured at the drive end, averaged over one second\"}",
                 60 + (int)(i % 20), (int)(i % 10), 1714557600000LL + (long long)i, (long long)i);
    put_head(&p->out, PUBLISH_QOS1, (size_t)(topic_len + payload_len) + 4);
    put_number(&p->out, (size_t)topic_len);
    buf_append(&p->out, topic, (size_t)topic_len);
    put_number(&p->out, (size_t)(i % PACKET_IDS) + 1);
    buf_append(&p->out, payload, (size_t)payload_len);
}

static bool may_send(const struct publisher *p)
{
    if (p->sent >= p->count || p->sent - p->acked >= p->window)
        return false;
    return p->rate == 0 || p->sent <= (clock_monotonic_us() - p->start_us) / 1000 * p->rate / 1000;
}

static void write_some(struct publisher *p)
{
    while (may_send(p) && p->out.len < BURST_BYTES)
        put_publish(p, p->sent++);
    ssize_t sent = send(p->fd, p->out.data + p->out_sent, p->out.len - p->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN)
        die("the connection broke");
    p->out_sent += sent > 0 ? (size_t)sent : 0;
    if (p->out_sent == p->out.len) {
        buf_clear(&p->out);
        p->out_sent = 0;
    }
}

static void read_acks(struct publisher *p)
{
    ssize_t got = recv(p->fd, p->in + p->in_len, sizeof(p->in) - p->in_len, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        die("the broker hung up");
    p->in_len += got > 0 ? (size_t)got : 0;
    size_t at = 0;
    for (; p->in_len - at >= 4; at += 4) {
        if (p->in[at] != PUBACK || p->in[at + 1] != 2)
            die("something else than a PUBACK came");
        p->acked++;
    }
    p->in_len -= at;
    memmove(p->in, p->in + at, p->in_len);
}

int main(int argc, char **argv)
{
    static struct publisher p;
    int64_t port = 0;
    p.window = 1000;
    char *place = argc > 2 ? strstr(argv[2], "%d") : NULL;
    if (place == NULL || argc < 4 || argc > 6 || strlen(argv[2]) > 200 ||
        !number_parse_int(span_of(argv[1]), 1, 65535, &port) ||
        !number_parse_int(span_of(argv[3]), 1, INT64_C(1000000000), &p.count) ||
        (argc > 4 && !number_parse_int(span_of(argv[4]), 1, PACKET_IDS, &p.window)) ||
        (argc > 5 && !number_parse_int(span_of(argv[5]), 1, 1000000, &p.rate))) {
        fprintf(stderr, "usage: bench_publish PORT TOPIC COUNT [WINDOW [RATE]]   (%%d in TOPIC: the machine)\n");
        return 2;
    }
    *place = '\0';
    p.topic = argv[2];
    p.topic_rest = place + 2;
    connect_broker(&p, port);
    p.start_us = clock_monotonic_us();
    while (p.acked < p.count) {
        bool writes = p.out.len > 0 || may_send(&p);
        struct pollfd ready = {.fd = p.fd, .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
        if (poll(&ready, 1, p.rate > 0 ? 5 : 60000) <= 0 && p.rate == 0)
            die("the broker does not answer");
        if ((ready.revents & POLLOUT) != 0)
            write_some(&p);
        if ((ready.revents & ~POLLOUT) != 0)
            read_acks(&p);
    }
    printf("%.3f\n", (double)(clock_monotonic_us() - p.start_us) / 1e6);
    send(p.fd, (const unsigned char[]){DISCONNECT, 0}, 2, MSG_NOSIGNAL);
    close(p.fd);
    buf_finish(&p.out);
    return 0;
}
