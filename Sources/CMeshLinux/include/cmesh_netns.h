/* Network namespaces. A socket belongs for good to the namespace of the thread that made it, so only socket(2) has to
 * happen inside: bind, listen, netlink requests and the rest work on it from anywhere. The thread that enters is made for
 * the purpose and ends there: nothing has to find its way back, so no thread can be left in a foreign namespace. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Both forms of an address as IPv6; IPv4 is ::ffff:a.b.c.d. Numbers in host order, high first. */
struct cmesh_address {
    uint64_t high;
    uint64_t low;
};

/* Makes `count` sockets inside the namespace. SOCK_CLOEXEC is added to `type`. All or none: 0 or -errno. */
int cmesh_netns_sockets(int netns, int domain, int type, int protocol, int *fds, size_t count);

/* One of them: the descriptor or -errno. */
int cmesh_netns_socket(int netns, int domain, int type, int protocol);

/* Opens a file for reading inside, such as one of /proc/thread-self/net: the descriptor or -errno. */
int cmesh_netns_file(int netns, const char *path);

/* SO_NETNS_COOKIE (Linux 5.14) of the namespace of any socket: 64 bits, never used twice until the next boot. */
int cmesh_socket_netns_cookie(int socket, uint64_t *cookie);

/* Opens a path that must be a network namespace (nsfs, NS_GET_NSTYPE); anything else, a FIFO or a device too, is never
 * opened for reading. Close-on-exec descriptor, or -errno: -EMEDIUMTYPE for a file that is no network namespace. */
int cmesh_netns_open(const char *path);

/* Binds a socket to address and port, with IPV6_V6ONLY for IPv6. Nobody may share them: SO_REUSEADDR, which lets a second
 * UDP socket take over what the first one gets, is not set. 0 or -errno. */
int cmesh_bind(int socket, struct cmesh_address address, uint16_t port);

/* Binds a TCP socket to address and port with SO_REUSEADDR (not SO_REUSEPORT: nobody may share it) and IPV6_V6ONLY for
 * IPv6, and listens. 0 or -errno. */
int cmesh_listen(int socket, struct cmesh_address address, uint16_t port, int backlog);

/* The port of a bound socket, or -errno. */
int cmesh_bound_port(int socket);

/* connect(2). 0, -EINPROGRESS (poll says writable when it is decided), or -errno. */
int cmesh_connect(int socket, struct cmesh_address address, uint16_t port);

/* SO_ERROR, which is cleared by it: 0, an errno, or -errno if it cannot be asked. */
int cmesh_socket_error(int socket);
