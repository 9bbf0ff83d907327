/* Load for the tcp benches: one thread, epoll, no allocation while it runs.
 *
 *   load serve ECHO_PORT SINK_PORT        echoes on one port, counts on the other; prints "ready", runs until killed
 *   load small PORT CONNECTIONS SIZE SECONDS    request/response: each connection keeps one request of SIZE bytes under way
 *   load bulk PORT CONNECTIONS SECONDS          sends as fast as it can; the sink's own count is what is reported
 *
 * Results are one line of JSON. Loopback only. A connection that fails or a short answer ends it with status 1: a
 * benchmark of errors is none. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096
#define MAX_FD 65536
#define CHUNK (256 * 1024)
#define MAX_SAMPLES (8 * 1024 * 1024)

static char chunk[CHUNK];

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void no_delay(int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* ---- server ---- */

enum kind { NONE, LISTEN_ECHO, LISTEN_SINK, ECHO, SINK };
static struct { enum kind kind; uint64_t bytes; } fds[MAX_FD];

static int listener(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;
    struct sockaddr_in a = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0)
        fail("listen");
    return fd;
}

static void watch(int epoll, int fd, enum kind kind)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= MAX_FD || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        fail("watch");
    fds[fd].kind = kind;
    fds[fd].bytes = 0;
}

/* Writes all; waits where the socket is full (echo messages are small, so this is rare). */
static int write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            usleep(50);
            continue;
        }
        if (n <= 0)
            return -1;
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

static void serve(int echo_port, int sink_port)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener(echo_port), LISTEN_ECHO);
    watch(epoll, listener(sink_port), LISTEN_SINK);
    puts("ready");
    fflush(stdout);
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            enum kind kind = fds[fd].kind;
            if (kind == LISTEN_ECHO || kind == LISTEN_SINK) {
                int accepted;
                while ((accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    no_delay(accepted);
                    watch(epoll, accepted, kind == LISTEN_ECHO ? ECHO : SINK);
                }
                continue;
            }
            ssize_t n = recv(fd, chunk, CHUNK, 0);
            if (n < 0 && errno == EAGAIN)
                continue;
            if (n > 0 && kind == SINK)
                fds[fd].bytes += (uint64_t)n;
            else if (n > 0 && write_all(fd, chunk, (size_t)n) < 0)
                n = -1;
            if (n == 0 && kind == SINK)
                write_all(fd, (char *)&fds[fd].bytes, sizeof(fds[fd].bytes));
            if (n <= 0) {
                fds[fd].kind = NONE;
                close(fd);
            }
        }
    }
}

/* ---- clients ---- */

static int dial(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = loopback(port);
    if (fd < 0 || fd >= MAX_FD || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        fail("connect");
    no_delay(fd);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void small(int port, int connections, size_t size, double seconds)
{
    static uint64_t sent_at[MAX_FD];
    static size_t missing[MAX_FD];
    uint32_t *samples = malloc(MAX_SAMPLES * sizeof(uint32_t));
    size_t sampled = 0;
    uint64_t requests = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (samples == NULL || size > CHUNK)
        fail("memory");
    int list[MAX_CONNECTIONS];
    for (int i = 0; i < connections; i++) {
        list[i] = dial(port);
        watch(epoll, list[i], ECHO);
    }
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < connections; i++) {
        sent_at[list[i]] = now_ns();
        missing[list[i]] = size;
        if (write_all(list[i], chunk, size) < 0)
            fail("send");
    }
    struct epoll_event events[256];
    uint64_t now = start;
    while (now < end) {
        int count = epoll_wait(epoll, events, 256, 2000);
        if (count == 0)
            errno = ETIMEDOUT, fail("no answer");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            ssize_t n = recv(fd, chunk, missing[fd], 0);
            if (n <= 0)
                fail("receive");
            missing[fd] -= (size_t)n;
            if (missing[fd] > 0)
                continue;
            now = now_ns();
            requests++;
            if (sampled < MAX_SAMPLES)
                samples[sampled++] = (uint32_t)((now - sent_at[fd]) / 1000);
            sent_at[fd] = now;
            missing[fd] = size;
            if (write_all(fd, chunk, size) < 0)
                fail("send");
        }
    }
    double took = (double)(now - start) / 1e9;
    qsort(samples, sampled, sizeof(uint32_t), compare);
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"p50_us\": %u, \"p99_us\": %u}\n", (unsigned long long)requests, took,
        samples[sampled / 2], samples[sampled * 99 / 100]);
}

static void bulk(int port, int connections, double seconds)
{
    int list[MAX_CONNECTIONS];
    for (int i = 0; i < connections; i++)
        list[i] = dial(port);
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), sent = 0, counted = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < connections; i++) {
        struct epoll_event e = {.events = EPOLLOUT, .data.fd = list[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, list[i], &e);
    }
    struct epoll_event events[256];
    while (now_ns() < end) {
        int count = epoll_wait(epoll, events, 256, 2000);
        if (count == 0)
            errno = ETIMEDOUT, fail("stuck");
        for (int i = 0; i < count; i++) {
            ssize_t n = send(events[i].data.fd, chunk, CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN)
                fail("send");
            sent += n > 0 ? (uint64_t)n : 0;
        }
    }
    for (int i = 0; i < connections; i++)
        shutdown(list[i], SHUT_WR);
    for (int i = 0; i < connections; i++) {
        uint64_t answer = 0;
        if (recv(list[i], &answer, sizeof(answer), MSG_WAITALL) != sizeof(answer))
            fail("count");
        counted += answer;
    }
    double took = (double)(now_ns() - start) / 1e9;
    if (counted != sent)
        errno = EIO, fail("bytes were lost");
    printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)counted, took);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < MAX_FD ? limit.rlim_max : MAX_FD;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        serve(atoi(argv[2]), atoi(argv[3]));
    else if (argc == 6 && strcmp(argv[1], "small") == 0 && atoi(argv[3]) <= MAX_CONNECTIONS)
        small(atoi(argv[2]), atoi(argv[3]), (size_t)atol(argv[4]), atof(argv[5]));
    else if (argc == 5 && strcmp(argv[1], "bulk") == 0 && atoi(argv[3]) <= MAX_CONNECTIONS)
        bulk(atoi(argv[2]), atoi(argv[3]), atof(argv[4]));
    else
        return fprintf(stderr, "load: see the head of load.c\n"), 2;
    return 0;
}
