/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include "number.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,  /* the kernel makes it net.core.somaxconn at most */
    OWN_FILES = 256, /* store, broker, targets, logs, plugins while they are loaded */
};

int listen_open(const char *address, char **error)
{
    const char *colon = strrchr(address, ':');
    cleanup_text char *host = colon ? span_dup((struct span){address, (size_t)(colon - address)}) : NULL;
    int64_t port;
    size_t len = host ? strlen(host) : 0;
    bool bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (!colon || !number_parse_int(span_of(colon + 1), 0, 65535, &port) || (!bracketed && strpbrk(host, ":[]"))) {
        *error = mem_printf("%s: an address is host:port or [v6]:port", address);
        return -1;
    }
    if (bracketed)
        host[len - 1] = '\0';
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int code = getaddrinfo(len == 0 ? NULL : host + bracketed, colon + 1, &hints, &list);
    if (code != 0) {
        *error = mem_printf("cannot listen on %s: %s", address, gai_strerror(code));
        return -1;
    }
    int fd = -1, on = 1, off = 0, why = 0;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        if (fd >= 0) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
            if (a->ai_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        }
        if (fd < 0 || bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
            why = errno;
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        *error = mem_printf("cannot listen on %s: %s", address, strerror(why));
    return fd;
}

int listen_inherit(int fd, const char *address, char **error)
{
    int listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening) {
        *error = mem_printf("the socket inherited for %s is not one that listens", address);
        return -1;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

int listen_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return -1;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

unsigned listen_fit(unsigned wanted)
{
    struct rlimit files;
    rlim_t needed = (rlim_t)wanted + OWN_FILES;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= needed)
        return wanted;
    files.rlim_cur = files.rlim_max < needed ? files.rlim_max : needed;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur >= needed)
        return wanted;
    rlim_t most = files.rlim_cur > (rlim_t)2 * OWN_FILES ? files.rlim_cur - OWN_FILES : files.rlim_cur / 2;
    return most < wanted ? (unsigned)most : wanted;
}
