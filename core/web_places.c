/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * A connection is in one phase, and each phase but one has a deadline. RECEIVING: from the first byte
 * expected to the last byte of the body, an absolute limit, so that a byte a second buys nothing.
 * HANDLED: ours, no limit. SENDING: a multiple of the limit. IDLE: kept alive between two requests.
 * The deadlines are looked at when the earliest may have passed, not at each turn.
 *
 * Room. An honest sender is in and out within milliseconds; one who holds a place does so by being slow.
 * So when all places are taken and someone waits at the door, who is idle leaves, and then who holds most:
 * of the address with the most connections the one that has been receiving or sending longest. Nobody
 * leaves whose request is in our hands, or whose bytes wait to be read. Bodies that are not whole yet share a budget,
 * too: the largest of them leaves when it is spent. So a flood of slow requests costs whoever makes it, and nobody
 * else.
 *
 * Progress. libmicrohttpd has a fixed buffer for what is not body. Of a line within chunks that outgrows it,
 * it reads no more and wants to run again at once, for ever. Who does not get on that way is cut. */
#include "web_private.h"

#include "clock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SENDING_FACTOR = 6, /* a reply may take so many time-outs */
    UNREAD_US = 500000,
    HELD_MAX_BYTES = 32 << 20, /* of bodies, whole or not, unless four do not fit */
    HURRIES_MAX = 4,           /* between two looks at who gets on */
};

/* ---- seats */

static void print_peer(const struct sockaddr *address, char text[INET6_ADDRSTRLEN])
{
    text[0] = '\0';
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(six))
            inet_ntop(AF_INET, &six->s6_addr[12], text, INET6_ADDRSTRLEN);
        else
            inet_ntop(AF_INET6, six, text, INET6_ADDRSTRLEN);
    } else if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text, INET6_ADDRSTRLEN);
    }
}

static struct peer *find_peer(struct web *web, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN];
    print_peer(address, text);
    struct peer *peer = web->peers;
    while (peer != NULL && strcmp(peer->text, text) != 0)
        peer = peer->next;
    if (peer == NULL) {
        peer = mem_alloc(sizeof(*peer));
        memcpy(peer->text, text, sizeof(text));
        peer->next = web->peers;
        web->peers = peer;
    }
    return peer;
}

static void release_peer(struct web *web, struct peer *peer)
{
    if (--peer->connections > 0)
        return;
    struct peer **at = &web->peers;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    free(peer);
}

void web_seat(struct web *web, struct connection *connection, const struct sockaddr *address)
{
    connection->web = web;
    connection->peer = find_peer(web, address);
    connection->peer->connections++;
    connection->next = web->connections;
    if (connection->next)
        connection->next->prev = connection;
    web->connections = connection;
    web->connection_count++;
    web_enter_phase(connection, PHASE_RECEIVING);
}

void web_unseat(struct connection *connection)
{
    struct web *web = connection->web;
    *(connection->prev ? &connection->prev->next : &web->connections) = connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
    web->connection_count--;
    web->closed = true;
    if (connection->cut)
        web->cut_count--;
    else
        release_peer(web, connection->peer);
}

/* ---- time */

void web_enter_phase(struct connection *connection, enum phase phase)
{
    struct web *web = connection->web;
    int64_t factor = phase == PHASE_SENDING ? SENDING_FACTOR : 1;
    connection->phase = phase;
    connection->full = false;
    connection->since_us = clock_monotonic_us();
    connection->deadline_ms =
        phase == PHASE_HANDLED ? INT64_MAX : connection->since_us / 1000 + factor * web->timeout_ms;
    if (connection->deadline_ms < web->next_check_ms)
        web->next_check_ms = connection->deadline_ms;
}

void web_cut(struct connection *connection, int status)
{
    struct web *web = connection->web;
    if (connection->cut)
        return;
    connection->cut = true;
    web->cut_count++;
    release_peer(web, connection->peer);
    connection->peer = NULL;
    if (connection->phase == PHASE_RECEIVING && connection->request) { /* nobody will read it */
        web->held_bytes -= connection->request->body.len;
        buf_finish(&connection->request->body);
    }
    if (status > 0 && web->refused)
        web->refused(web->context, status);
    if (status > 0 && !web->tls) {
        const char *reason = status == 400   ? "Bad Request"
                             : status == 408 ? "Request Timeout"
                             : status == 413 ? "Content Too Large"
                             : status == 414 ? "URI Too Long"
                                             : "Service Unavailable";
        char text[128];
        int len = snprintf(text, sizeof(text), "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                           status, reason);
        (void)!send(connection->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    shutdown(connection->fd, SHUT_RDWR);
}

void web_cut_overdue(struct web *web, int64_t now_ms)
{
    web->next_check_ms = INT64_MAX;
    for (struct connection *c = web->connections; c; c = c->next) {
        if (c->cut)
            continue;
        if (now_ms >= c->deadline_ms)
            web_cut(c, c->phase == PHASE_RECEIVING ? 408 : 0);
        else if (c->deadline_ms < web->next_check_ms)
            web->next_check_ms = c->deadline_ms;
    }
}

/* ---- room */

bool web_is_full(const struct web *web)
{
    return !web->draining && web->connection_count - web->cut_count >= web->max_connections;
}

static int by_leaving(const void *left, const void *right)
{
    const struct connection *a = *(const struct connection *const *)left, *b = *(const struct connection *const *)right;
    bool a_idle = a->phase == PHASE_IDLE, b_idle = b->phase == PHASE_IDLE;
    if (a_idle != b_idle)
        return a_idle ? -1 : 1;
    if (!a_idle && a->peer->connections != b->peer->connections)
        return a->peer->connections > b->peer->connections ? -1 : 1;
    return a->since_us < b->since_us ? -1 : a->since_us > b->since_us;
}

/* Those that are slow; who has said something that we did not read yet is not, for a while. *leaving: so many have hung
 * up, which libmicrohttpd is about to see. */
static size_t choose_slow(const struct web *web, struct connection **slow, unsigned *leaving)
{
    int64_t now_us = clock_monotonic_us();
    struct pollfd *sockets = mem_alloc(web->connection_count * sizeof(*sockets));
    size_t count = 0, kept = 0;
    for (struct connection *c = web->connections; c; c = c->next) {
        if (c->cut || c->phase == PHASE_HANDLED)
            continue;
        bool ours = c->phase != PHASE_SENDING && now_us - c->since_us < UNREAD_US;
        sockets[count] = (struct pollfd){.fd = ours ? c->fd : -1, .events = POLLIN | POLLRDHUP};
        slow[count++] = c;
    }
    poll(sockets, count, 0);
    for (size_t i = 0; i < count; i++) {
        *leaving += (sockets[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
        if (sockets[i].revents == 0)
            slow[kept++] = slow[i];
    }
    free(sockets);
    return kept;
}

/* How many wait to be accepted: of a listening socket, Linux tells it here. */
static unsigned waiting_outside(const struct web *web)
{
    struct pollfd door = {.fd = web->listen_fd, .events = POLLIN};
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    if (poll(&door, 1, 0) <= 0)
        return 0;
    bool told = getsockopt(web->listen_fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_unacked > 0;
    return told ? info.tcpi_unacked : 1;
}

static void make_places(struct web *web)
{
    unsigned waiting = web_is_full(web) ? waiting_outside(web) : 0;
    if (waiting == 0)
        return;
    struct connection **slow = mem_alloc(web->connection_count * sizeof(struct connection *));
    unsigned leaving = 0;
    size_t count = choose_slow(web, slow, &leaving);
    qsort(slow, count, sizeof(struct connection *), by_leaving);
    for (size_t i = 0; i < count && i + leaving < waiting; i++)
        web_cut(slow[i], slow[i]->phase == PHASE_RECEIVING ? 503 : 0);
    free(slow);
}

static void make_memory(struct web *web)
{
    size_t most = 4 * web->max_body > HELD_MAX_BYTES ? 4 * web->max_body : HELD_MAX_BYTES;
    while (web->held_bytes > most) {
        struct connection *largest = NULL;
        for (struct connection *c = web->connections; c; c = c->next)
            if (!c->cut && c->phase == PHASE_RECEIVING && c->request &&
                (!largest || c->request->body.len > largest->request->body.len))
                largest = c;
        if (!largest || largest->request->body.len == 0)
            return;
        web_cut(largest, 503);
    }
}

void web_make_room(struct web *web)
{
    make_memory(web);
    make_places(web);
}

void web_watch_progress(struct web *web, bool hurries)
{
    web->hurries = hurries ? web->hurries + 1 : 0;
    if (web->hurries < HURRIES_MAX)
        return;
    web->hurries = 0;
    for (struct connection *c = web->connections; c; c = c->next) {
        if (c->cut || c->phase != PHASE_RECEIVING || !c->request || !c->request->looked_at)
            continue; /* of too many headers libmicrohttpd says so itself */
        struct pollfd socket = {.fd = c->fd, .events = POLLIN};
        size_t bytes = c->request->body.len;
        bool was_full = c->full && c->full_bytes == bytes;
        c->full = poll(&socket, 1, 0) > 0;
        c->full_bytes = bytes;
        if (was_full && c->full)
            web_cut(c, 400);
    }
}
