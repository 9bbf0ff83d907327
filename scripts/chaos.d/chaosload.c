/* Load and judges of scripts/chaos: every call is one line there and back, and every one that fails is told.
 *
 *   chaosload serve PORT                        echoes lines; at the end of its input prints how many connections came from
 *                                               which address, as "C ADDRESS COUNT"
 *   chaosload new ADDRESS PORT THREADS RATE     a connection for each call, RATE a second in all
 *   chaosload kept ADDRESS PORT THREADS RATE LIFE    THREADS connections that stay open for about LIFE seconds each, RATE calls
 *                                               a second in all
 *   chaosload deny ADDRESS PORT THREADS RATE    like new, but an answer is what must not be
 *   chaosload probe ADDRESS PORT                one call for each line of its input
 *   chaosload watch INTERFACE ADDRESS...        packets of an interface: those to the range of services (240.0.0.0/4),
 *                                               which nobody steered, and those with bytes from one of the addresses
 *
 * Lines: "F TIME HOW MILLISECONDS" a call that failed (HOW: refused, reset, closed, timeout, or errno's number),
 * "A TIME" an answer that must not be, "P HOW MILLISECONDS" of a probe, "U ADDRESS" a packet. At the end of the input
 * "E OK FAILED OPENED" and "L MILLISECONDS COUNT" for each latency that was seen, rounded up to 1, 2, 3, 5, 7 times powers of
 * ten. TIME is CLOCK_MONOTONIC in seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE 100
#define TIMEOUT 15
#define MAX_SOURCES 64
#define LATENCIES 40

static atomic_int over;
static atomic_long good, bad, opened;
static atomic_long latencies[LATENCIES];
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void rest(double seconds)
{
    if (seconds <= 0)
        return;
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

static struct sockaddr_in address_of(const char *text, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
        fprintf(stderr, "chaosload: %s is no IPv4 address\n", text);
        exit(2);
    }
    return address;
}

static const double steps[5] = {1, 2, 3, 5, 7};

static double latency_bound(int index)
{
    double bound = steps[index % 5] / 10;
    for (int i = 0; i < index / 5; i++)
        bound *= 10;
    return bound;
}

static void note_latency(double milliseconds)
{
    int index = 0;
    while (index < LATENCIES - 1 && milliseconds > latency_bound(index))
        index++;
    atomic_fetch_add(&latencies[index], 1);
}

static const char *word(int error, char *text)
{
    switch (error) {
    case 0: return "ok";
    case -1: return "closed";
    case ECONNREFUSED: return "refused";
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED: return "reset";
    case EAGAIN:
    case EINPROGRESS:
    case ETIMEDOUT: return "timeout";
    }
    sprintf(text, "%d", error);
    return text;
}

/* 0, errno, or -1 for an end without an answer. */
static int exchange(int fd)
{
    char line[LINE], answer[LINE];
    memset(line, 'x', LINE);
    line[LINE - 1] = '\n';
    if (send(fd, line, LINE, MSG_NOSIGNAL) != LINE)
        return errno;
    for (size_t got = 0; got < LINE;) {
        ssize_t count = recv(fd, answer + got, LINE - got, 0);
        if (count == 0)
            return -1;
        if (count < 0)
            return errno;
        got += (size_t)count;
    }
    return 0;
}

/* The socket, or -errno. */
static int dial(const struct sockaddr_in *address)
{
    struct timeval limit = {.tv_sec = TIMEOUT};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    atomic_fetch_add(&opened, 1);
    return fd;
}

/* Sockets in TIME_WAIT would use up the ports: after a whole exchange nothing is lost by an RST. */
static void hang_up(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

/* The other way to end: both say that they are done. 0, errno, or -1 for bytes that nobody sent. */
static int part(int fd)
{
    char byte;
    if (shutdown(fd, SHUT_WR) < 0)
        return errno;
    ssize_t count = recv(fd, &byte, 1, 0);
    return count == 0 ? 0 : count < 0 ? errno : -1;
}

static void failed(int error, double begin)
{
    char text[16];
    atomic_fetch_add(&bad, 1);
    pthread_mutex_lock(&output);
    printf("F %.3f %s %.1f\n", begin, word(error, text), (now() - begin) * 1000);
    fflush(stdout);
    pthread_mutex_unlock(&output);
}

enum kind { NEW, KEPT, DENY };

struct caller {
    struct sockaddr_in address;
    enum kind kind;
    double interval;
    double life;
};

struct kept {
    int fd;
    double until;
};

static void call_once(const struct caller *caller, struct kept *kept)
{
    static atomic_uint turn;
    double begin = now();
    int fd = kept->fd >= 0 ? kept->fd : dial(&caller->address);
    int error = fd < 0 ? -fd : exchange(fd);
    if (kept->fd < 0)
        kept->until = begin + caller->life * (0.5 + (double)random() / (double)RAND_MAX);
    int is_last = caller->kind != KEPT || begin >= kept->until;
    if (error == 0 && (caller->kind == KEPT ? is_last : caller->kind == NEW && atomic_fetch_add(&turn, 1) % 4 == 0))
        error = part(fd);
    if (caller->kind == DENY) {
        if (error == 0) {
            pthread_mutex_lock(&output);
            printf("A %.3f\n", begin);
            fflush(stdout);
            pthread_mutex_unlock(&output);
        }
        atomic_fetch_add(error == 0 ? &bad : &good, 1);
    } else if (error == 0) {
        note_latency((now() - begin) * 1000);
        atomic_fetch_add(&good, 1);
    } else {
        failed(error, begin);
    }
    if (fd < 0)
        return;
    if (!is_last && error == 0)
        kept->fd = fd;
    else {
        hang_up(fd);
        kept->fd = -1;
    }
}

static void *call(void *argument)
{
    const struct caller *caller = argument;
    struct kept kept = {.fd = -1};
    double next = now() + caller->interval * ((double)random() / (double)RAND_MAX);
    while (!atomic_load(&over)) {
        rest(next - now());
        call_once(caller, &kept);
        next += caller->interval;
        /* What was late is not made up for: no burst after a pause. */
        if (next < now() - caller->interval)
            next = now();
    }
    if (kept.fd >= 0)
        close(kept.fd);
    return NULL;
}

static int until_input_ends(void)
{
    char bytes[64];
    while (read(0, bytes, sizeof(bytes)) > 0)
        continue;
    atomic_store(&over, 1);
    return 0;
}

static int calls(enum kind kind, char **argv)
{
    int threads = atoi(argv[4]);
    struct caller caller = {address_of(argv[2], argv[3]), kind, threads / atof(argv[5]), kind == KEPT ? atof(argv[6]) : 0};
    pthread_t *ids = calloc((size_t)threads, sizeof(*ids));
    if (ids == NULL)
        return 1;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, call, &caller) != 0)
            return 1;
    until_input_ends();
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    printf("E %ld %ld %ld\n", atomic_load(&good), atomic_load(&bad), atomic_load(&opened));
    for (int i = 0; i < LATENCIES; i++)
        if (atomic_load(&latencies[i]) > 0)
            printf("L %g %ld\n", latency_bound(i), atomic_load(&latencies[i]));
    return 0;
}

static int probe(char **argv)
{
    struct sockaddr_in address = address_of(argv[2], argv[3]);
    char line[64], text[16];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        double begin = now();
        int fd = dial(&address);
        int error = fd < 0 ? -fd : exchange(fd);
        printf("P %s %.1f\n", word(error, text), (now() - begin) * 1000);
        fflush(stdout);
        if (fd >= 0)
            hang_up(fd);
    }
    return 0;
}

static struct { uint32_t address; long count; } sources[MAX_SOURCES];

static void count_source(uint32_t address)
{
    for (int i = 0; i < MAX_SOURCES; i++)
        if (sources[i].count == 0 || sources[i].address == address) {
            sources[i].address = address;
            sources[i].count++;
            return;
        }
}

static void echo(int poll_fd, int fd)
{
    char bytes[4096];
    for (;;) {
        ssize_t count = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN)
            return;
        /* A line fits into any socket buffer: what cannot be sent is a peer that does not read, and has itself to blame. */
        if (count <= 0 || send(fd, bytes, (size_t)count, MSG_NOSIGNAL) != count) {
            epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
            close(fd);
            return;
        }
    }
}

static int serve(char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll_fd = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4096)) {
        perror("chaosload: listen");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(poll_fd, events, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == 0) {
                for (int n = 0; n < MAX_SOURCES && sources[n].count > 0; n++) {
                    struct in_addr source = {.s_addr = sources[n].address};
                    printf("C %s %ld\n", inet_ntoa(source), sources[n].count);
                }
                return 0;
            }
            if (fd != listener) {
                echo(poll_fd, fd);
                continue;
            }
            struct sockaddr_in peer;
            socklen_t size = sizeof(peer);
            int accepted = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK);
            if (accepted < 0)
                continue;
            count_source(peer.sin_addr.s_addr);
            struct epoll_event stream = {.events = EPOLLIN, .data.fd = accepted};
            epoll_ctl(poll_fd, EPOLL_CTL_ADD, accepted, &stream);
        }
    }
}

static int watch(int argc, char **argv)
{
    /* Every protocol: only such sockets see what a bridge takes from its port. */
    struct sockaddr_ll link = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(argv[2])};
    int size = 8 << 20, fd = socket(AF_PACKET, SOCK_DGRAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    if (fd < 0 || link.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&link, sizeof(link)) < 0) {
        perror("chaosload: watch");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    long seen = 0;
    struct pollfd waits[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    for (;;) {
        uint8_t packet[128];
        if (poll(waits, 2, -1) < 0)
            return 1;
        if (waits[1].revents != 0)
            break;
        struct sockaddr_ll from_link;
        socklen_t from_size = sizeof(from_link);
        ssize_t count = recvfrom(fd, packet, sizeof(packet), MSG_TRUNC, (struct sockaddr *)&from_link, &from_size);
        size_t header = (size_t)(packet[0] & 15) * 4;
        if (count < 40 || from_link.sll_protocol != htons(ETH_P_IP) || header + 20 > sizeof(packet) || packet[9] != IPPROTO_TCP)
            continue;
        seen++;
        struct in_addr source, target;
        memcpy(&source, packet + 12, 4);
        memcpy(&target, packet + 16, 4);
        size_t total = (size_t)packet[2] << 8 | packet[3], payload = total - header - (size_t)(packet[header + 12] >> 4) * 4;
        int is_bad = packet[16] >= 240 && packet[16] != 255;
        for (int i = 3; i < argc; i++)
            is_bad |= payload > 0 && inet_addr(argv[i]) == source.s_addr;
        if (is_bad) {
            char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];
            inet_ntop(AF_INET, &source, from, sizeof(from));
            inet_ntop(AF_INET, &target, to, sizeof(to));
            printf("U %s > %s, %zu bytes\n", from, to, payload);
            fflush(stdout);
        }
    }
    struct tpacket_stats lost = {0};
    socklen_t length = sizeof(lost);
    getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &lost, &length);
    printf("E %ld %u 0\n", seen, lost.tp_drops);
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    srandom((unsigned)getpid());
    if (strcmp(mode, "serve") == 0 && argc == 3)
        return serve(argv);
    if (strcmp(mode, "probe") == 0 && argc == 4)
        return probe(argv);
    if (strcmp(mode, "watch") == 0 && argc >= 3)
        return watch(argc, argv);
    if (argc == 7 && strcmp(mode, "kept") == 0 && atoi(argv[4]) > 0 && atof(argv[5]) > 0)
        return calls(KEPT, argv);
    if (argc == 6 && atoi(argv[4]) > 0 && atof(argv[5]) > 0) {
        if (strcmp(mode, "new") == 0)
            return calls(NEW, argv);
        if (strcmp(mode, "deny") == 0)
            return calls(DENY, argv);
    }
    fprintf(stderr, "usage: see the head of chaosload.c\n");
    return 2;
}
