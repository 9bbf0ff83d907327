/* Connect, accept, close, as fast as two processes can: the load of `scripts/bench conn`.
 *
 *   connloop server ADDRESS PORT            accepts and closes until SIGTERM
 *   connloop client ADDRESS PORT COUNT      connects COUNT times, one after another
 *
 * Each prints one JSON line at its end: connections, seconds, CPU seconds of its own (user and system). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop;
static void on_term(int signal) { (void)signal; stop = 1; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(long count, long failed, double seconds, double cpu_seconds) {
    printf("{\"connections\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n", count, failed, seconds,
        cpu_seconds);
    fflush(stdout);
}

static int serve(const struct sockaddr_in *address) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (const struct sockaddr *)address, sizeof *address) || listen(listener, 4096)) {
        perror("connloop: listen");
        return 1;
    }
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    double start = now();
    long count = 0;
    while (!stop) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        count++;
        close(connection);
    }
    report(count, 0, now() - start, cpu());
    return 0;
}

static int call(const struct sockaddr_in *address, long count) {
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    double start = now(), before = cpu();
    long failed = 0;
    for (long i = 0; i < count; i++) {
        int connection = socket(AF_INET, SOCK_STREAM, 0);
        if (connection < 0 || connect(connection, (const struct sockaddr *)address, sizeof *address)) failed++;
        /* A reset leaves no TIME_WAIT: the ephemeral ports last. */
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(connection);
    }
    report(count, failed, now() - start, cpu() - before);
    return failed ? 1 : 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (argc < 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: connloop server ADDRESS PORT | connloop client ADDRESS PORT COUNT\n");
        return 2;
    }
    address.sin_port = htons((unsigned short)atoi(argv[3]));
    if (!strcmp(argv[1], "server")) return serve(&address);
    if (!strcmp(argv[1], "client") && argc == 5) return call(&address, atol(argv[4]));
    return 2;
}
