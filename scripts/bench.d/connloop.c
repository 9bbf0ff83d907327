/* Connects and closes as fast as one thread can, or accepts and closes: the load of `scripts/bench conn`, and that under
 * which the tests measure program times.
 *
 *   connloop serve ADDRESS PORT             prints "ready", accepts and closes, ends with its standard input
 *   connloop connect ADDRESS PORT SECONDS   connects for that long, one after another
 *   connloop count ADDRESS PORT COUNT       connects that many times
 *
 * The callers print one JSON line: errnos (0: connected, 111: refused, -1: anything else), connections, seconds, CPU
 * seconds of their own (user and system). They close with RST, because sockets in TIME_WAIT would use up the ports
 * within two seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void *end_with_input(void *unused)
{
    char byte;
    (void)unused;
    while (read(0, &byte, 1) > 0)
        continue;
    _exit(0);
}

static int serve(const struct sockaddr_in *address)
{
    pthread_t watcher;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)address, sizeof(*address)) || listen(listener, 4096)) {
        perror("connloop: listen");
        return 1;
    }
    if (pthread_create(&watcher, NULL, end_with_input, NULL) != 0)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0)
            close(connection);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/* Until `deadline`, or `count` connections. */
static int call(const struct sockaddr_in *address, double deadline, long count)
{
    long good = 0, refused = 0, other = 0;
    double start = now(), before = cpu();
    while (good + refused + other < count && (deadline == 0 || now() < deadline)) {
        struct linger reset = {1, 0};
        int connection = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        if (connect(connection, (const struct sockaddr *)address, sizeof(*address)) == 0)
            good++;
        else if (errno == ECONNREFUSED)
            refused++;
        else
            other++;
        close(connection);
    }
    printf("{\"errnos\": {\"0\": %ld, \"111\": %ld, \"-1\": %ld}, \"connections\": %ld, \"seconds\": %.6f, "
           "\"cpu_seconds\": %.6f}\n",
        good, refused, other, good, now() - start, cpu() - before);
    return 0;
}

int main(int count, char **words)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (count < 4 || inet_pton(AF_INET, words[2], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: connloop serve ADDRESS PORT | connect ADDRESS PORT SECONDS | count ADDRESS PORT COUNT\n");
        return 2;
    }
    address.sin_port = htons((unsigned short)atoi(words[3]));
    if (!strcmp(words[1], "serve"))
        return serve(&address);
    if (count == 5 && !strcmp(words[1], "connect"))
        return call(&address, now() + atof(words[4]), 1L << 40);
    if (count == 5 && !strcmp(words[1], "count"))
        return call(&address, 0, atol(words[4]));
    return 2;
}
