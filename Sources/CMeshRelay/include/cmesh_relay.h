/* The system calls of the relay: epoll(7), eventfd(2), splice(2), accept4(2), and socket addresses. Exists because the
 * Glibc module leaves out what needs _GNU_SOURCE. Every function returns -errno on failure; EINTR is tried again. */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Names the calling thread, at most 15 bytes, and blocks SIGPIPE on it: splice(2) to a socket whose peer is gone raises it
 * and takes no MSG_NOSIGNAL. SIGURG is let through, for cmesh_relay_trace. */
void cmesh_relay_thread(const char *name);

/* The thread writes the addresses of its stack to standard error, whatever it does at the moment. */
void cmesh_relay_trace(pthread_t thread);

/* Events; the values are those of EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP (checked when this is compiled). */
#define CMESH_READABLE 0x001u
#define CMESH_WRITABLE 0x004u
#define CMESH_FAILED 0x008u
#define CMESH_HUNG_UP 0x010u
#define CMESH_INPUT_ENDS 0x2000u

struct cmesh_poll_event {
    uint64_t token;
    uint32_t events;
    uint32_t reserved;
};

/* Most events of one cmesh_poll_wait. */
#define CMESH_POLL_EVENTS 256

/* An epoll descriptor, and the eventfd that wakes it under the token 0. Both close-on-exec. */
int cmesh_poll_open(int *poll, int *wake);
/* Edge-triggered, all events. */
int cmesh_poll_add_stream(int poll, int fd, uint64_t token);
/* Level-triggered, one poll is woken of those that watch the listener (EPOLLEXCLUSIVE). */
int cmesh_poll_add_listener(int poll, int fd, uint64_t token);
int cmesh_poll_remove(int poll, int fd);
/* The number of events; 0 at the timeout, in milliseconds, or after a signal. */
int cmesh_poll_wait(int poll, struct cmesh_poll_event *events, int timeout_ms);
int cmesh_wake(int wake);
int cmesh_wake_clear(int wake);

/* An IPv4 address is mapped into IPv6, as everywhere in Martlet; all in host byte order. */
struct cmesh_relay_address {
    uint64_t high;
    uint64_t low;
    uint16_t port;
    uint16_t is_v4;
};

/* Non-blocking and close-on-exec, unconnected. */
int cmesh_relay_socket(int is_v4);
/* Two ends of a stream of this process. */
int cmesh_relay_pair(int *one, int *other);
int cmesh_relay_listen(const struct cmesh_relay_address *address, int backlog);
/* 0, or -EINPROGRESS. */
int cmesh_relay_connect(int fd, const struct cmesh_relay_address *address);
/* Non-blocking and close-on-exec. */
int cmesh_relay_accept(int listener);
/* SO_ERROR as -errno, 0 if there is none: how a connect ended. */
int cmesh_relay_error(int fd);
/* Who a connected socket's peer is. */
int cmesh_relay_peer(int fd, struct cmesh_relay_address *address);
int cmesh_relay_is_listener(int fd);
int cmesh_set_nonblocking(int fd);

/* NODELAY and keepalive: a peer that vanished is found in 60 s without traffic, and in 30 s with bytes unacknowledged
 * (tcp(7)). And a close that nobody ordered sends RST. Accepted sockets inherit them from their listener. Best effort: a
 * socket that refuses still carries bytes. */
void cmesh_relay_tune(int fd);
/* close(2) of a stream that is complete: the kernel sends what is left, and FIN if it was not sent. */
void cmesh_relay_close(int fd);
/* close(2) with RST: what waits to be sent is dropped (socket(7), SO_LINGER). */
void cmesh_relay_reset(int fd);
/* Free pages of the heap are the kernel's again (malloc_trim(3)). */
void cmesh_relay_give_back(void);

ssize_t cmesh_relay_receive(int fd, void *bytes, size_t size);
ssize_t cmesh_relay_send(int fd, const void *bytes, size_t size);
/* Two pieces as one, the first of which may be empty: sendmsg(2). */
ssize_t cmesh_relay_send_both(int fd, const void *first, size_t first_size, const void *second, size_t second_size);
/* Whether a receive would give anything, be it the end or an error. */
int cmesh_relay_has_input(int fd);

/* A pipe of at least CMESH_PIPE_LEAST bytes, non-blocking and close-on-exec; -ENOBUFS if the user's share of pipe memory
 * is used up (pipe(7), pipe-user-pages-soft). */
#define CMESH_PIPE_SIZE (1 << 20)
#define CMESH_PIPE_LEAST (64 << 10)
int cmesh_relay_pipe(int *reading, int *writing);
/* Moves pages, not bytes. */
ssize_t cmesh_relay_splice(int from, int to, size_t size);

/* Datagrams. A socket that is non-blocking, close-on-exec, and for IPv6 only if it is of IPv6; bound to `address` if that is
 * not NULL. */
int cmesh_datagram_socket(int is_v4, const struct cmesh_relay_address *address);
int cmesh_is_datagram(int fd);
/* The next datagram and who sent it; one of no bytes is 0. */
ssize_t cmesh_datagram_receive(int fd, void *bytes, size_t size, struct cmesh_relay_address *from);
ssize_t cmesh_datagram_send(int fd, const void *bytes, size_t size, const struct cmesh_relay_address *to);
/* Undoes connect: the port that the kernel chose is given back, the next connect gets another one; what waits is
 * dropped. */
int cmesh_datagram_disconnect(int fd);
