/* A real mosquitto for a test: on a free port, in a temporary folder, killed with the test program. */
#ifndef BUSBAR_TEST_BROKER_H
#define BUSBAR_TEST_BROKER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOSQUITTO "/usr/sbin/mosquitto"

struct broker {
    pid_t pid;
    int port;
    char dir[64], url[64];
};

static inline int broker_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = -1;
    if (bind(fd, (struct sockaddr *)&address, len) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        port = ntohs(address.sin_port);
    close(fd);
    return port;
}

static inline void broker_run(struct broker *broker)
{
    char config[96];
    snprintf(config, sizeof(config), "%s/mosquitto.conf", broker->dir);
    broker->pid = fork();
    if (broker->pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    execl(MOSQUITTO, MOSQUITTO, "-c", config, (char *)NULL);
    _exit(127);
}

/* A port and a folder (for certificates and the like); nothing runs yet. */
static inline void broker_prepare(struct broker *broker)
{
    *broker = (struct broker){.port = broker_free_port()};
    snprintf(broker->dir, sizeof(broker->dir), "/tmp/busbar-test-XXXXXX");
    if (mkdtemp(broker->dir) == NULL)
        abort();
    snprintf(broker->url, sizeof(broker->url), "mqtt://127.0.0.1:%d", broker->port);
}

/* extra: more lines of configuration, or NULL. */
static inline void broker_start(struct broker *broker, const char *extra)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/mosquitto.conf", broker->dir);
    FILE *config = fopen(path, "w");
    if (config == NULL)
        abort();
    fprintf(config,
            "per_listener_settings false\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n"
            "persistence true\npersistence_location %s/\nlog_dest none\nlistener %d 127.0.0.1\n%s\n%s\n",
            broker->dir, broker->port, geteuid() == 0 ? "user root" : "", extra != NULL ? extra : "");
    fclose(config);
    broker_run(broker);
}

static inline void broker_kill(struct broker *broker, int signal)
{
    if (broker->pid <= 0)
        return;
    kill(broker->pid, SIGCONT);
    kill(broker->pid, signal);
    while (waitpid(broker->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    broker->pid = 0;
}

static inline void broker_stop(struct broker *broker)
{
    char command[96];
    broker_kill(broker, SIGKILL);
    snprintf(command, sizeof(command), "rm -rf %s", broker->dir);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", broker->dir);
}

#endif
