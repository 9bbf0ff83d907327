/* Connects and closes as fast as one thread can, or accepts and closes: the load under which program times are measured.
 *   connloop serve ADDRESS PORT            prints "ready", ends with its standard input
 *   connloop connect ADDRESS PORT SECONDS  prints {"errnos": {"0": N, "111": M}}
 * Closes with RST, because sockets in TIME_WAIT would use up the ports within two seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int serve(const struct sockaddr_in *address)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)address, sizeof(*address)) || listen(listener, 4096))
        return 1;
    puts("ready");
    fflush(stdout);
    struct pollfd wanted[2] = {{.fd = 0, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    while (poll(wanted, 2, -1) >= 0 && !wanted[0].revents) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0)
            close(connection);
    }
    return 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int connect_until(const struct sockaddr_in *address, double deadline)
{
    long good = 0, refused = 0, other = 0;
    while (now() < deadline) {
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
    printf("{\"errnos\": {\"0\": %ld, \"111\": %ld, \"-1\": %ld}}\n", good, refused, other);
    return 0;
}

int main(int count, char **words)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (count < 4 || inet_pton(AF_INET, words[2], &address.sin_addr) != 1)
        return 2;
    address.sin_port = htons((unsigned short)atoi(words[3]));
    if (strcmp(words[1], "serve") == 0)
        return serve(&address);
    return count == 5 ? connect_until(&address, now() + atof(words[4])) : 2;
}
