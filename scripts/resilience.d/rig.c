/* Backends and callers of scripts/resilience.
 *
 *   rig serve PORT NAME     answers requests of HTTP/1.1; obeys lines of its input (see `obey`); prints "ready", and at the end of
 *                           its input "served COUNT"
 *   rig call ADDRESS PORT PATH RATE SECONDS THREADS
 *                           RATE requests a second in all, as planned before: one that has to wait for a thread is late, and its
 *                           latency counts from when it was due. A line of JSON at the end; a letter a second meanwhile
 *
 * Threads and blocking sockets: simple, and idle ones cost nothing. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD 16384
#define PATIENCE_MS 5000
#define STACK (64 << 10)

static uint64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void rest_until(uint64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "rig: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void start(void *(*body)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, body, argument) != 0)
        fail("thread");
}

/* One bit for each behaviour: several hold at once. */
enum mode { OK, STATUS, BURST, HANG, CUT, SLOW, LEAVING };
static atomic_int mode = OK;
static atomic_int amount;
static atomic_long served;
static atomic_int listener = -1;
static int port;
static const char *name;

static void set_reset(int socket)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* One whole head; requests here have no body. The length, 0 at the end. */
static long read_head(int socket, char *buffer, size_t *held)
{
    for (;;) {
        char *end = *held >= 4 ? memmem(buffer, *held, "\r\n\r\n", 4) : NULL;
        if (end)
            return end + 4 - buffer;
        if (*held == HEAD)
            return 0;
        ssize_t count = recv(socket, buffer + *held, HEAD - *held, 0);
        if (count <= 0)
            return 0;
        *held += (size_t)count;
    }
}

static int answer(int socket, int status, int is_last)
{
    char text[512];
    int length = snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\ncontent-length: %zu\r\n%s\r\n%s", status, status == 200 ? "OK" : "Unwell",
                          strlen(name), is_last ? "connection: close\r\n" : "", name);
    return send(socket, text, (size_t)length, MSG_NOSIGNAL) == length;
}

static void *serve_one(void *argument)
{
    int socket = (int)(intptr_t)argument;
    char *buffer = malloc(HEAD);
    size_t held = 0;
    while (buffer) {
        /* Whoever leaves closes connections at rest, as servers do. */
        struct pollfd poll_one = {.fd = socket, .events = POLLIN};
        int found = held ? 1 : poll(&poll_one, 1, 50);
        if (found < 0 || (found == 0 && atomic_load(&mode) == LEAVING))
            break;
        if (found == 0)
            continue;
        long head = read_head(socket, buffer, &held);
        if (head == 0)
            break;
        memmove(buffer, buffer + head, held - (size_t)head);
        held -= (size_t)head;
        atomic_fetch_add(&served, 1);
        int what = atomic_load(&mode), how = atomic_load(&amount);
        if (what == HANG) {
            while (atomic_load(&mode) == HANG && poll(&(struct pollfd){.fd = socket, .events = POLLRDHUP}, 1, 50) == 0) {
            }
            break;
        }
        if (what == CUT) {
            static const char part[] = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf of it";
            send(socket, part, sizeof part - 1, MSG_NOSIGNAL);
            rest_until(now_us() + 2000);
            set_reset(socket);
            break;
        }
        if (what == SLOW)
            rest_until(now_us() + (uint64_t)how * 1000);
        /* The first `how` milliseconds of each second. */
        int is_bad = what == STATUS || (what == BURST && now_us() / 1000 % 1000 < (uint64_t)how);
        int is_last = what == LEAVING;
        if (!answer(socket, is_bad ? 503 : 200, is_last) || is_last)
            break;
    }
    free(buffer);
    close(socket);
    return NULL;
}

static void *accept_all(void *argument)
{
    int own = (int)(intptr_t)argument;
    for (;;) {
        int socket = accept4(own, NULL, NULL, SOCK_CLOEXEC);
        if (socket < 0)
            return NULL;
        int one = 1;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        start(serve_one, (void *)(intptr_t)socket);
    }
}

static void open_listener(void)
{
    int own = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(own, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(own, (struct sockaddr *)&address, sizeof address) < 0 || listen(own, 1024) < 0)
        fail("listen");
    atomic_store(&listener, own);
    start(accept_all, (void *)(intptr_t)own);
}

static void close_listener(void)
{
    int own = atomic_exchange(&listener, -1);
    if (own < 0)
        return;
    shutdown(own, SHUT_RDWR);
    close(own);
}

/* "ok", "status" (503), "burst MS", "hang", "cut", "slow MS", "leave" (no more connections, those that are there end with their next
 * answer, or at rest), "back". Each is acknowledged by a line that says how many requests came so far. */
static void obey(const char *line)
{
    static const struct { const char *word; enum mode mode; } words[] = {
        {"ok", OK}, {"status", STATUS}, {"burst", BURST}, {"hang", HANG}, {"cut", CUT}, {"slow", SLOW}, {"leave", LEAVING}, {"back", OK}};
    char word[16] = "";
    int value = 0;
    sscanf(line, "%15s %d", word, &value);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i].word) != 0)
            continue;
        atomic_store(&amount, value);
        atomic_store(&mode, words[i].mode);
        if (words[i].mode == LEAVING)
            close_listener();
        else if (atomic_load(&listener) < 0)
            open_listener();
    }
    printf("served %ld\n", atomic_load(&served));
    fflush(stdout);
}

static int serve(void)
{
    char line[64];
    open_listener();
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        obey(line);
    return 0;
}

/* ---- callers */

#define BUCKETS 4096
enum { DONE, STATUS_BAD, REFUSED, RESET, SHORT, LATE, KINDS };
static const char *kinds[KINDS] = {"ok", "status", "refused", "reset", "short", "timeout"};
static atomic_long counts[KINDS];
/* By latency: 100 us each to 0.4 s, the last holds all above; those are kept exactly in `slow`. */
static atomic_long times[BUCKETS + 1];
static uint32_t slow[1 << 16];
static atomic_long slow_count;
/* How late a thread woke at most that had slept until its call was due: what the machine, not the callee, made of it. In us. */
static atomic_long overslept;
static atomic_long next_call;
static struct sockaddr_in target;
static char request[512];
static int request_length;
static uint64_t begin_us, every_ns;
static long calls;

static int dial(void)
{
    int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000, .tv_usec = PATIENCE_MS % 1000 * 1000};
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(socket_, (struct sockaddr *)&target, sizeof target) == 0)
        return socket_;
    close(socket_);
    return -1;
}

/* One request on a connection that is there, or on a new one. `*socket` is -1 if it does not stay. */
static int ask(int *socket)
{
    static __thread char buffer[HEAD];
    if (*socket < 0 && (*socket = dial()) < 0)
        return errno == ECONNREFUSED ? REFUSED : errno == EAGAIN || errno == ETIMEDOUT || errno == EINPROGRESS ? LATE : RESET;
    int result = RESET;
    size_t held = 0;
    if (send(*socket, request, (size_t)request_length, MSG_NOSIGNAL) == request_length) {
        for (;;) {
            ssize_t count = recv(*socket, buffer + held, HEAD - 1 - held, 0);
            if (count <= 0) {
                result = count < 0 && errno == EAGAIN ? LATE : count < 0 || held == 0 ? RESET : SHORT;
                break;
            }
            held += (size_t)count;
            buffer[held] = 0;
            char *end = strstr(buffer, "\r\n\r\n");
            if (!end)
                continue;
            char *length = strcasestr(buffer, "\r\ncontent-length:");
            size_t whole = (size_t)(end + 4 - buffer) + (length && length < end ? (size_t)atoi(length + 17) : 0);
            if (held < whole)
                continue;
            char *last = strcasestr(buffer, "\r\nconnection: close");
            result = strncmp(buffer + 9, "200", 3) == 0 ? DONE : STATUS_BAD;
            if (!last || last > end)
                return result;
            break;
        }
    }
    close(*socket);
    *socket = -1;
    return result;
}

static void note_most(atomic_long *most, long value)
{
    long known = atomic_load(most);
    while (value > known && !atomic_compare_exchange_weak(most, &known, value)) {
    }
}

static void *call_all(void *argument)
{
    int socket = -1;
    (void)argument;
    for (;;) {
        long number = atomic_fetch_add(&next_call, 1);
        if (number >= calls)
            break;
        uint64_t due = begin_us + (uint64_t)number * every_ns / 1000;
        int sleeps = now_us() < due;
        rest_until(due);
        if (sleeps)
            note_most(&overslept, (long)(now_us() - due));
        int result = ask(&socket);
        uint64_t spent = now_us() - due, bucket = spent / 100;
        atomic_fetch_add(&counts[result], 1);
        atomic_fetch_add(&times[bucket < BUCKETS ? bucket : BUCKETS], 1);
        if (bucket >= BUCKETS) {
            long at = atomic_fetch_add(&slow_count, 1);
            if (at < (long)(sizeof slow / sizeof *slow))
                slow[at] = (uint32_t)(spent / 100);
        }
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Milliseconds below which this share of the requests was. */
static double percentile(double share)
{
    long seen = 0, wanted = (long)((double)calls * share);
    for (int i = 0; i < BUCKETS; i++) {
        seen += times[i];
        if (seen > wanted)
            return (double)(i + 1) / 10;
    }
    long kept = slow_count < (long)(sizeof slow / sizeof *slow) ? slow_count : (long)(sizeof slow / sizeof *slow);
    long at = wanted - seen;
    return kept == 0 ? 0 : (double)slow[at < kept ? at : kept - 1] / 10;
}

static int call(char **words)
{
    int rate = atoi(words[3]), seconds = atoi(words[4]), threads = atoi(words[5]);
    target.sin_family = AF_INET;
    target.sin_port = htons((uint16_t)atoi(words[1]));
    if (inet_pton(AF_INET, words[0], &target.sin_addr) != 1 || rate < 1 || seconds < 1 || seconds > 600 || threads < 1 || threads > 4096)
        return 2;
    request_length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nhost: web\r\n\r\n", words[2]);
    calls = (long)rate * seconds;
    every_ns = 1000000000ull / (uint64_t)rate;
    begin_us = now_us() + 100000;
    pthread_t *all = calloc((size_t)threads, sizeof *all);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&all[i], &attributes, call_all, NULL) != 0)
            fail("thread");
    for (int i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    qsort(slow, (size_t)(slow_count < (long)(sizeof slow / sizeof *slow) ? slow_count : (long)(sizeof slow / sizeof *slow)), sizeof *slow, by_size);
    printf("{\"calls\": %ld, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"overslept\": %.1f", calls, percentile(0.5), percentile(0.99),
           percentile(0.999), (double)atomic_load(&overslept) / 1000);
    for (int i = 0; i < KINDS; i++)
        printf(", \"%s\": %ld", kinds[i], atomic_load(&counts[i]));
    puts("}");
    free(all);
    return 0;
}

int main(int count, char **words)
{
    if (count == 4 && strcmp(words[1], "serve") == 0) {
        port = atoi(words[2]);
        name = words[3];
        return serve();
    }
    if (count == 8 && strcmp(words[1], "call") == 0)
        return call(words + 2);
    fputs("usage: rig serve PORT NAME | rig call ADDRESS PORT PATH RATE SECONDS THREADS\n", stderr);
    return 2;
}
