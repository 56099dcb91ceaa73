/* SPDX-License-Identifier: Apache-2.0 */
/* The target of the benches: an HTTP/1.1 keep-alive server that answers every request at once, or after
 * a delay, with `201 null`. One thread, epoll.
 *
 *   bench_sink [--port N] [--delay MS] [--status N]
 *
 * Prints the port, then serves until SIGTERM or SIGINT, then prints how many requests it has answered.
 * GET /count tells the same number while it runs and does not count itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 65536, EVENTS = 256, ANSWER_MAX = 256 };

struct peer {
    char *text; /* what was received and not answered yet */
    size_t len, cap;
    int64_t due_us; /* 0: not waiting to answer */
    bool counting;  /* the request that waits is GET /count */
};

static struct peer peers[FDS_MAX];
static int waiting[FDS_MAX]; /* a ring of fds in order of due_us: the delay is the same for all */
static size_t wait_first, wait_count;
static uint64_t answered;
static int64_t delay_us;
static int status = 201;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void hang_up(int fd)
{
    free(peers[fd].text);
    bool queued = peers[fd].due_us != 0;
    peers[fd] = (struct peer){0};
    if (queued) /* rare: forget it in the ring, its number may come back */
        for (size_t i = 0; i < wait_count; i++)
            if (waiting[(wait_first + i) % FDS_MAX] == fd)
                waiting[(wait_first + i) % FDS_MAX] = -1;
    close(fd);
}

/* The length of the first whole request in the buffer, 0 while there is none. */
static size_t whole_request(const struct peer *peer)
{
    const char *end = peer->len ? memmem(peer->text, peer->len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    size_t len = (size_t)(end - peer->text) + 4, body = 0;
    for (const char *line = peer->text; line < end;) {
        const char *next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            body = strtoul(line + 15, NULL, 10);
        line = next + 2;
    }
    return len + body <= peer->len ? len + body : 0;
}

static bool answer(int fd)
{
    struct peer *peer = &peers[fd];
    char text[ANSWER_MAX], body[32] = "null";
    if (peer->counting)
        snprintf(body, sizeof(body), "%llu", (unsigned long long)answered);
    else
        answered++;
    peer->counting = false;
    peer->due_us = 0;
    int len = snprintf(text, sizeof(text),
                       "HTTP/1.1 %d Answered\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       status, strlen(body), body);
    return send(fd, text, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Answers the requests that are there, or queues the first of them; false: the peer is gone. */
static bool work(int fd)
{
    struct peer *peer = &peers[fd];
    size_t len;
    while (peer->due_us == 0 && (len = whole_request(peer)) > 0) {
        peer->counting = strncmp(peer->text, "GET /count ", 11) == 0;
        memmove(peer->text, peer->text + len, peer->len - len);
        peer->len -= len;
        if (delay_us > 0 && !peer->counting) {
            peer->due_us = now_us() + delay_us;
            waiting[(wait_first + wait_count++) % FDS_MAX] = fd;
        } else if (!answer(fd)) {
            return false;
        }
    }
    return true;
}

static bool receive(int fd)
{
    struct peer *peer = &peers[fd];
    if (peer->cap - peer->len < 4096) {
        peer->cap = peer->cap * 2 + 8192;
        peer->text = realloc(peer->text, peer->cap);
        if (!peer->text)
            abort();
    }
    ssize_t got = recv(fd, peer->text + peer->len, peer->cap - peer->len, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    peer->len += (size_t)got;
    return work(fd);
}

static int answer_due(void)
{
    int64_t now = wait_count > 0 ? now_us() : 0;
    while (wait_count > 0) {
        int fd = waiting[wait_first];
        if (fd >= 0 && peers[fd].due_us > now)
            return (int)((peers[fd].due_us - now) / 1000 + 1);
        wait_first = (wait_first + 1) % FDS_MAX;
        wait_count--;
        if (fd >= 0 && !(answer(fd) && work(fd)))
            hang_up(fd);
    }
    return -1;
}

static void take_peers(int epoll, int door)
{
    int fd, on = 1;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= FDS_MAX) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        perror("bench_sink");
        exit(1);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    uint16_t port = 0;
    for (int i = 1; i < argc; i += 2) {
        long value = i + 1 < argc ? strtol(argv[i + 1], NULL, 10) : -1;
        if (strcmp(argv[i], "--port") == 0 && value >= 0 && value <= UINT16_MAX) {
            port = (uint16_t)value;
        } else if (strcmp(argv[i], "--delay") == 0 && value >= 0 && value <= 3600000) {
            delay_us = value * 1000;
        } else if (strcmp(argv[i], "--status") == 0 && value >= 100 && value <= 599) {
            status = (int)value;
        } else {
            fprintf(stderr, "usage: bench_sink [--port N] [--delay MS] [--status N]\n");
            return 2;
        }
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int end = signalfd(-1, &signals, SFD_CLOEXEC), door = listen_on(port), epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, end, &(struct epoll_event){.events = EPOLLIN, .data.fd = end});
    epoll_ctl(epoll, EPOLL_CTL_ADD, door, &(struct epoll_event){.events = EPOLLIN, .data.fd = door});
    for (bool running = true; running;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, answer_due());
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == end)
                running = false;
            else if (fd == door)
                take_peers(epoll, door);
            else if (!receive(fd))
                hang_up(fd);
        }
    }
    printf("%llu\n", (unsigned long long)answered);
    return 0;
}
